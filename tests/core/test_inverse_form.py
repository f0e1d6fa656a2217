"""InverseForm: edges, tiles, the network that comes with the library, and a user's own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from metriseg import CompoundLoss, CrossEntropyLoss, InverseFormLoss
from metriseg import functional as F
from metriseg.data.digits import load_digits
from metriseg.experiments import inverse_form as experiment
from metriseg.models import inverse_form as inverse_network
from metriseg.models.inverse_form import InverseNetwork, load_network, save_weights
from reference.batches import IGNORE, random_labels, random_logits, random_weight
from reference.inverse_form import inverse_form

pytestmark = pytest.mark.filterwarnings("ignore:no MNIST in")


class Difference(nn.Module):
    """The identity but for what can be told by hand: the maps' mean difference as translation."""

    tile_side = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.norm = nn.BatchNorm2d(2)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        pairs = self.norm(pairs) * (1 + self.norm.eps) ** 0.5
        by = (pairs[:, 0] - pairs[:, 1]).mean((1, 2))
        zero, one = torch.zeros_like(by), torch.ones_like(by)
        return torch.stack([one, zero, by * self.scale[0], zero, one, by * self.scale[1]], 1)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """:class:`Difference`, for the oracle."""
    by = (a - b).mean()
    return np.array([[1.0, 0.0, by], [0.0, 1.0, by]])


def shifted_digit(index: int, pixels: int) -> torch.Tensor:
    """(1, 56, 56) labels: a digit in the middle, moved to the right."""
    mask = torch.from_numpy(load_digits("test").images[index] >= 128).long()
    canvas = nn.functional.pad(mask, (14, 14, 14, 14))
    return canvas.roll(pixels, 1)[None]


def certain(labels: torch.Tensor) -> torch.Tensor:
    """(N, 2, H, W) logits of labels 0 and 1."""
    return torch.stack([1 - labels, labels], 1) * 200.0 - 100


# ---------------------------------------------------------------------- edges and tiles


def test_edges_of_labels_are_those_of_their_one_hot_code() -> None:
    labels = random_labels(4)
    one_hot = nn.functional.one_hot(labels, 4).movedim(-1, 1).double()
    valid = random_weight() > 0
    for exclusive in (True, False):
        found = F.region_edges(one_hot, valid, exclusive=exclusive)
        torch.testing.assert_close(found, F.label_edges(labels, valid).double())


def test_ignored_pixels_show_no_edge() -> None:
    """In 0 0 1 1 the edge stands at the second pixel; not if it or the third is ignored."""
    labels = torch.tensor([[0, 0, 1, 1]])
    for ignored in (None, 0, 1, 2, 3):
        valid = torch.arange(4)[None] != (-1 if ignored is None else ignored)
        assert F.label_edges(labels, valid).sum() == (0.0 if ignored in (1, 2) else 1.0)


@pytest.mark.parametrize("size", [8, 21, 64, 200])
def test_an_edge_crosses_cells_with_about_one(size: int) -> None:
    """A straight edge has in 8 x 8 cells the mean 1/8, whatever the size of the image."""
    labels = (torch.arange(size) >= size // 2).expand(1, size, size)
    cells = F.edge_tiles(F.label_edges(labels.long()), (1, 1), 8)
    torch.testing.assert_close(cells.mean(), torch.tensor(1 / 8))


def test_tiles_are_parts_of_the_image() -> None:
    """Two rows and three columns of a map that numbers its tiles."""
    numbers = torch.arange(6.0).reshape(2, 3)
    image = numbers.repeat_interleave(4, 0).repeat_interleave(4, 1)[None]
    tiles = F.edge_tiles(image, (2, 3), 4)
    assert torch.equal(tiles, torch.arange(6.0).view(1, 6, 1, 1).expand(1, 6, 4, 4))
    assert torch.equal(F.tile_means(image, (2, 3)), torch.arange(6.0)[None])


def test_the_norm_has_gradient_zero_at_zero() -> None:
    coefficients = torch.zeros(2, 6, requires_grad=True)
    F.coefficient_norm(coefficients).sum().backward()
    assert torch.equal(coefficients.grad, torch.zeros(2, 6))


# ---------------------------------------------------------------------- the loss


@pytest.mark.parametrize("activation", ["sigmoid", "identity"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_edges_as_inputs(activation: str, reduction: str) -> None:
    """One channel of boundary scores against a boundary map; weights included."""
    logits, target, weight = random_logits(1), random_labels(1, ignore=0.2), random_weight()
    given = logits.sigmoid() if activation == "identity" else logits
    loss = InverseFormLoss(
        inputs="edges",
        tiles=(1, 2),
        activation=activation,
        ignore_index=IGNORE,
        reduction=reduction,
    )
    expected = inverse_form(
        logits.sigmoid().numpy(),
        torch.where(target == IGNORE, 0, target)[:, None].double().numpy(),
        torch.where(target == IGNORE, 0.0, weight).numpy(),
        inputs="edges",
        tiles=(1, 2),
        reduction=reduction,
    )
    np.testing.assert_allclose(loss(given, target, weight=weight).numpy(), expected, rtol=1e-10)


def test_tiles_weigh_as_much_as_their_pixels() -> None:
    """The left half ignored: the loss of the right half alone; an ignored image leaves the mean."""
    logits, labels = random_logits(4), random_labels(4)
    labels[:, :, :2] = IGNORE
    half = InverseFormLoss(tiles=(1, 1))(logits[..., 2:], labels[..., 2:])
    loss = InverseFormLoss(tiles=(1, 2), ignore_index=IGNORE)
    torch.testing.assert_close(loss(logits, labels), half)
    labels[1] = IGNORE
    torch.testing.assert_close(loss(logits, labels), loss(logits[:1], labels[:1]))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 1), (70, 45)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    """A perfect prediction costs 0 at any size, also with more tiles than pixels."""
    labels = torch.randint(2, (2, *size), generator=torch.Generator().manual_seed(0))
    for tiles in ((1, 1), (3, 2)):
        logits = certain(labels).requires_grad_()
        value = InverseFormLoss(tiles=tiles)(logits, labels)
        value.backward()
        assert value.item() == pytest.approx(0.0, abs=1e-6)
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("index", range(5))
def test_grows_with_the_shift(index: int) -> None:
    """A digit moved by 0, 2, … 8 of 56 pixels, up to the 0.3 half sides that were learnt."""
    loss = InverseFormLoss()
    values = [
        loss(certain(shifted_digit(index, pixels)), shifted_digit(index, 0)).item()
        for pixels in range(0, 9, 2)
    ]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(8 / 28, rel=0.5)


@pytest.mark.parametrize("index", range(5))
def test_grows_with_the_rotation(index: int) -> None:
    """A digit turned by 0, 5, … 20 degrees; sqrt(2) times the angle is the norm of theta - I."""
    image = torch.from_numpy(load_digits("test").images[index]).float()[None, None] / 255
    loss, values = InverseFormLoss(), []
    for degrees in range(0, 21, 5):
        angle = torch.tensor(degrees).deg2rad()
        turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]])
        turned = nn.functional.grid_sample(
            image,
            nn.functional.affine_grid(turn[None], [1, 1, 56, 56], align_corners=False),
            align_corners=False,
        )
        if degrees == 0:
            target = (turned[:, 0] > 0.5).long()
        values.append(loss(certain((turned[:, 0] > 0.5).long()), target).item())
    assert values == sorted(values)


def test_the_gradient_pulls_an_edge_home() -> None:
    """A blurred disc beside its place: moving it away costs, on every side."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    target = ((rows - 23.5) ** 2 + (columns - 23.5) ** 2 < 100).long()[None]
    loss = InverseFormLoss(activation="sigmoid")
    for shift in ((4.0, 0.0), (-4.0, 0.0), (0.0, 4.0), (0.0, -4.0)):
        at = torch.tensor(shift, requires_grad=True)
        distance = ((rows - 23.5 - at[0]) ** 2 + (columns - 23.5 - at[1]) ** 2).sqrt()
        loss((10 - distance)[None, None], target[:, None]).backward()
        assert (at.grad * torch.tensor(shift)).sum() > 0


def test_as_a_term() -> None:
    """Its own reduction to a scalar lets it stand beside a pixel loss."""
    logits, target = random_logits(4), random_labels(4)
    both = CompoundLoss([CrossEntropyLoss(), InverseFormLoss()], weights=[1.0, 0.3])
    expected = CrossEntropyLoss()(logits, target) + 0.3 * InverseFormLoss()(logits, target)
    torch.testing.assert_close(both(logits, target), expected)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"network must be a torch.nn.Module, the path"):
        InverseFormLoss(network=3)
    with pytest.raises(ValueError, match="'tile_side', a whole number >= 1, got None from Linear"):
        InverseFormLoss(network=nn.Linear(2, 2))
    with pytest.raises(ValueError, match="inputs must be one of 'regions', 'edges', got 'masks'"):
        InverseFormLoss(inputs="masks")
    for tiles in (3, (1,), (0, 1), (1.5, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match="tiles must be two whole numbers >= 1"):
            InverseFormLoss(tiles=tiles)
    with pytest.raises(ValueError, match="logits must have one channel, of boundary scores"):
        InverseFormLoss(inputs="edges")(random_logits(4), random_labels(4))
    shapeless = nn.Flatten()
    shapeless.tile_side = 4
    with pytest.raises(ValueError, match=r"network must take .* to affine maps \(2, 6\), it gave"):
        InverseFormLoss(shapeless)(random_logits(4), random_labels(4))


# ---------------------------------------------------------------------- a network of one's own


def test_own_network_equals_the_oracle() -> None:
    """It is given the predicted edges first, in the logits' precision."""
    logits, target, weight = random_logits(4), random_labels(4), random_weight()
    one_hot = nn.functional.one_hot(target, 4).movedim(-1, 1).double().numpy()
    expected = inverse_form(
        logits.softmax(1).numpy(),
        one_hot,
        weight.numpy(),
        tiles=(2, 1),
        network=difference,
        side=4,
    )
    loss = InverseFormLoss(Difference(), tiles=(2, 1))
    assert loss(logits, target, weight=weight).item() == pytest.approx(expected, rel=1e-10)


def test_own_network_is_frozen() -> None:
    """A copy: not learnt, not saved, never in training mode; the user's own stays as it was."""
    network = Difference()
    model = nn.Module()
    model.criterion = InverseFormLoss(network)
    logits = random_logits(4).requires_grad_()
    before = model.criterion(logits, random_labels(4))
    model.train()
    model.criterion(logits, random_labels(4)).backward()
    assert logits.grad.abs().sum() > 0
    assert not list(model.parameters())
    assert not model.state_dict()
    assert model.criterion(logits, random_labels(4)) == before
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert network.norm.num_batches_tracked == 0
    with torch.no_grad():
        network.scale.zero_()
    assert model.criterion(logits, random_labels(4)) == before


def test_own_network_lives_with_the_loss() -> None:
    """It moves, is copied, pickled and handed on by ``arguments``."""
    loss = InverseFormLoss(Difference(), tiles=(1, 2))
    logits, target = random_logits(4), random_labels(4)
    rebuilt = InverseFormLoss(**loss.arguments())
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), rebuilt):
        assert torch.equal(other(logits, target), loss(logits, target))
    assert {b.device.type for b in loss.to("meta").buffers()} == {"meta"}


# ---------------------------------------------------------------------- the shipped network


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse_network, "_LOADED", {})


def test_construction_reads_no_file(nothing_loaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(
        inverse_network, "load_network", lambda file: read.append(file) or load_network(None)
    )
    loss, other = InverseFormLoss(), InverseFormLoss("weights.npz")
    copy.deepcopy(loss)
    assert read == []
    for _ in range(2):
        loss(random_logits(4), random_labels(4))
        other(random_logits(4), random_labels(4))
    assert read == [None, "weights.npz"]


def test_first_use_leaves_no_trace(nothing_loaded: None) -> None:
    """The random generator isn't touched; in inference mode the weights stay fit for training."""
    state = torch.random.get_rng_state()
    logits, target = random_logits(4), random_labels(4)
    with torch.inference_mode():
        InverseFormLoss()(logits, target)
    assert torch.equal(torch.random.get_rng_state(), state)
    logits = logits.clone().requires_grad_()
    InverseFormLoss()(logits, target).backward()
    assert torch.isfinite(logits.grad).all()


def test_compiles_before_first_use(nothing_loaded: None) -> None:
    torch._dynamo.reset()
    logits, target = random_logits(4), random_labels(4)
    compiled = torch.compile(InverseFormLoss(), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, target), InverseFormLoss()(logits, target))


def test_equal_maps_are_the_identity_whatever_the_weights() -> None:
    edges = torch.rand(5, 1, 32, 32).expand(5, 2, 32, 32)
    identity = torch.eye(2, 3).flatten().expand(5, 6)
    torch.testing.assert_close(InverseNetwork()(edges), identity, rtol=0, atol=1e-6)


def test_the_shipped_network_tells_unseen_warps() -> None:
    """Digits and partitions it hasn't seen: a third of the error of seeing nothing, or less."""
    held_out = experiment.Masks("test", experiment.Ranges(), seed=7).draw(512)
    found = experiment.error(load_network().eval(), held_out)
    assert found < experiment.error_of_identity(held_out) / 3


def test_the_direction_of_the_map() -> None:
    """The truth lies 6 of 28 to the right: at x stands what the prediction has at x - 6/28."""
    pair = [F.label_edges(shifted_digit(3, pixels)) for pixels in (0, 6)]
    tiles = torch.cat([F.edge_tiles(edges, (1, 1), 32) for edges in pair], 1)
    theta = load_network()(tiles).detach().view(2, 3)
    assert theta[0, 2].item() == pytest.approx(-6 / 28, rel=0.4)
    assert abs(theta[1, 2].item()) < 0.08


# ---------------------------------------------------------------------- its training


@pytest.mark.parametrize("symmetry", range(8))
def test_turned_pairs_keep_their_relation(symmetry: int) -> None:
    """The truth is the prediction seen through theta, also after mirroring and transposing."""
    smooth = nn.functional.interpolate(torch.rand(1, 1, 4, 4), size=32, mode="bicubic")
    theta = torch.tensor([[[0.9, 0.2, 0.1], [-0.1, 1.1, -0.15]]])

    def seen(image: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        grid = nn.functional.affine_grid(theta, list(image.shape), align_corners=False)
        return nn.functional.grid_sample(image, grid, align_corners=False)

    pairs = experiment.Pairs(torch.cat([smooth, seen(smooth, theta)], 1), theta).turned(symmetry)
    predicted, true = pairs.tiles.split(1, 1)
    torch.testing.assert_close(seen(predicted, pairs.theta), true, rtol=1e-4, atol=1e-4)


def test_drawn_pairs_keep_their_relation() -> None:
    """Warping the predicted edges by theta brings them nearer to the true ones."""
    drawn = experiment.Masks("train", experiment.Ranges(), seed=3).draw(64)
    grid = nn.functional.affine_grid(drawn.theta, [64, 1, 32, 32], align_corners=False)
    predicted, true = drawn.tiles.split(1, 1)
    warped = nn.functional.grid_sample(predicted, grid, align_corners=False)

    def likeness(edges: torch.Tensor) -> torch.Tensor:
        blurred = [nn.functional.avg_pool2d(e, 3, 1, 1).flatten(1) for e in (edges, true)]
        return nn.functional.cosine_similarity(*blurred).mean()

    assert likeness(warped) > likeness(predicted) + 0.2


def test_a_short_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """120 steps lower the error below that of the identity; the loss takes the file."""
    file = tmp_path / "weights.npz"
    experiment.main(["--output", str(file), "--steps", "120", "--pairs", "512"])
    said = capsys.readouterr().out.splitlines()[-1].split()
    found, idle = float(said[5].rstrip(",")), float(said[-1])
    assert found < 0.95 * idle
    logits, target = random_logits(4), random_labels(4)
    by_path = InverseFormLoss(file)(logits, target)
    assert torch.equal(by_path, InverseFormLoss(load_network(file))(logits, target))
    assert not torch.equal(by_path, InverseFormLoss()(logits, target))
    assert InverseFormLoss(file).arguments()["network"] == str(file)


def test_training_repeats_itself() -> None:
    settings = experiment.Settings(steps=2, pairs=64, batch=16)
    first, second = (experiment.train(settings).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_files_of_weights(tmp_path: Path) -> None:
    """What is saved comes back, to half precision; other arrays are refused; nothing unpickled."""
    network = InverseNetwork()
    save_weights(network, tmp_path / "a.npz", {"steps": 0})
    again = load_network(tmp_path / "a.npz").state_dict()
    for name, weight in network.state_dict().items():
        assert torch.equal(again[name], weight.half().float())
    np.savez(tmp_path / "b.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match="doesn't hold the weights of an InverseNetwork"):
        load_network(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", weight=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_network(tmp_path / "c.npz")


def test_the_shipped_file_says_how_it_came_about() -> None:
    """It is small, in half precision, and carries the settings of its training."""
    file = Path(inverse_network.__file__).with_name(inverse_network.SHIPPED_WEIGHTS)
    assert file.stat().st_size < 200_000
    with np.load(file) as arrays:
        assert '"steps": ' in arrays["settings"].item()
        assert {arrays[name].dtype for name in arrays.files} - {arrays["settings"].dtype} == {
            np.dtype(np.float16)
        }
