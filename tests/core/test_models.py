"""The networks: shapes for any size, indices that are kept, coordinates that are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from metriseg.models import SegNet, UNet
from metriseg.models.segnet import CONVOLUTIONS


class Case(NamedTuple):
    """A network of four output channels, and the size of images for it."""

    make: Callable[[], nn.Module]
    depth: int
    size: tuple[int, ...]


CASES = {
    "segnet": Case(lambda: SegNet(3, 4, width=4, depth=3), 3, (2, 3, 21, 18)),
    "unet": Case(lambda: UNet(3, 4, width=4, depth=2), 2, (2, 3, 21, 18)),
    "unet with places": Case(lambda: UNet(3, 4, width=4, coordinates=True), 3, (2, 3, 21, 18)),
    "unet of groups": Case(
        lambda: UNet(3, 4, width=6, depth=2, normalization="group"), 2, (2, 3, 21, 18)
    ),
    "bare unet": Case(
        lambda: UNet(3, 4, width=4, depth=2, normalization="none"), 2, (2, 3, 21, 18)
    ),
    "unet of volumes": Case(
        lambda: UNet(1, 4, width=4, depth=2, coordinates=True, dimensions=3), 2, (2, 1, 9, 10, 7)
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def network(case: Case) -> nn.Module:
    torch.manual_seed(0)
    return case.make()


@pytest.fixture
def images(case: Case) -> Tensor:
    return torch.randn(case.size, generator=torch.Generator().manual_seed(1))


def test_the_output_has_the_size_of_the_images(network: nn.Module, images: Tensor) -> None:
    """Odd sizes too."""
    output = network(images)
    assert output.shape == (len(images), 4, *images.shape[2:])
    assert output.isfinite().all()


def test_the_least_size(case: Case, network: nn.Module) -> None:
    """2 ** depth pixels are one pixel at the bottom; one less would be none."""
    least = 2**case.depth
    spatial = [least] * (len(case.size) - 2)
    images = torch.randn(2, case.size[1], *spatial)
    assert network.eval()(images).shape == (2, 4, *spatial)
    with pytest.raises(ValueError, match=f"images must have {least} pixels or more"):
        network(images[:, :, 1:])


def test_gradients_reach_all_parameters(network: nn.Module, images: Tensor) -> None:
    network(images).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_weights_are_saved_and_loaded(case: Case, network: nn.Module, images: Tensor) -> None:
    network(images)  # moves the running means of a batch normalisation
    again = case.make()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(images), network.eval()(images), rtol=0, atol=0)


def test_a_step_of_training_lowers_the_loss(network: nn.Module, images: Tensor) -> None:
    target = (images[:, 0] > 0).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    values = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]


def test_images_of_another_shape_are_refused(network: nn.Module, images: Tensor) -> None:
    name = type(network).__name__
    with pytest.raises(ValueError, match=rf"images must have shape \(N, .* for this {name}"):
        network(torch.cat([images, images], dim=1))
    with pytest.raises(ValueError, match="images must have shape"):
        network(images[0])
    with pytest.raises(
        ValueError, match=r"images must be a floating point tensor, got torch.uint8"
    ):
        network(images.to(torch.uint8))


def test_segnet_unpools_where_the_maxima_were() -> None:
    """Every stage of the decoder is given zeros but where its counterpart's maxima were."""
    torch.manual_seed(0)
    network = SegNet(1, 2, width=4, depth=2)
    before: list[Tensor] = []
    after: list[Tensor] = []
    for stage in network.encoder:
        stage.register_forward_hook(lambda _, __, output: before.append(output.detach().clone()))
    for stage in network.decoder:
        stage.register_forward_pre_hook(lambda _, inputs: after.append(inputs[0].detach().clone()))
    network(torch.randn(1, 1, 10, 13))
    for values, unpooled in zip(reversed(before), after, strict=True):
        assert unpooled.shape == values.shape
        for channel, (own, placed) in enumerate(zip(values[0], unpooled[0], strict=True)):
            expected = _places_of_maxima(own)
            assert {tuple(p) for p in placed.nonzero().tolist()} <= expected, channel
            assert placed.abs().sum() > 0


def _places_of_maxima(values: Tensor) -> set[tuple[int, int]]:
    height, width = values.shape
    places = set()
    for y in range(0, height - 1, 2):
        for x in range(0, width - 1, 2):
            window = [(y + i, x + j) for i in (0, 1) for j in (0, 1)]
            places.add(max(window, key=lambda p: float(values[p])))
    return places


def test_segnet_unpools_the_maxima_themselves() -> None:
    """At the bottom nothing stands between pooling and unpooling."""
    torch.manual_seed(0)
    network = SegNet(1, 2, width=4, depth=1)
    seen: dict[str, Tensor] = {}
    network.encoder[0].register_forward_hook(lambda _, __, out: seen.update(values=out.clone()))
    network.decoder[0].register_forward_pre_hook(lambda _, given: seen.update(unpooled=given[0]))
    network(torch.randn(1, 1, 8, 9))
    values, unpooled = seen["values"], seen["unpooled"]
    kept = unpooled != 0
    torch.testing.assert_close(unpooled[kept], values[kept], rtol=0, atol=0)
    torch.testing.assert_close(
        nn.functional.max_pool2d(unpooled, 2), nn.functional.max_pool2d(values, 2), rtol=0, atol=0
    )


def test_segnet_is_vgg_16_by_default() -> None:
    """Its 13 convolutions of 3 x 3 weights hold 14,710,464 numbers without biases.

    9 x (3 x 64 + 64 x 64 + 64 x 128 + 128² + 128 x 256 + 2 x 256² + 256 x 512
    + 2 x 512² + 3 x 512²) = 9 x 1,634,496.
    """
    assert sum(CONVOLUTIONS) == 13
    with torch.device("meta"):
        network = SegNet(3, 12)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 26
    weights = sum(m.weight.numel() for m in network.encoder.modules() if isinstance(m, nn.Conv2d))
    assert weights == 9 * 1_634_496
    assert convolutions[-1] is network.classifier
    assert network.classifier.weight.shape == (12, 64, 3, 3)


def test_a_unet_tells_equal_objects_apart_by_their_places_alone() -> None:
    """Two equal patches, far from each other and the border, have equal features without places.

    By 32 pixels apart, since only then three halvings of the resolution cut both alike.
    """
    image = torch.zeros(1, 1, 160, 160)
    image[..., 60:68, 56:64] = image[..., 60:68, 88:96] = 1.0
    found = {}
    for coordinates in (False, True):
        torch.manual_seed(0)
        network = UNet(1, 3, width=4, depth=2, coordinates=coordinates)
        found[coordinates] = network(image)
    one, other = (found[False][..., 60:68, x : x + 8] for x in (56, 88))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    one, other = (found[True][..., 60:68, x : x + 8] for x in (56, 88))
    assert (one - other).abs().max() > 1e-2


def test_places_run_from_minus_one_to_one() -> None:
    """What the first convolution is given: the image, then rows, then columns."""
    network = UNet(1, 2, width=4, depth=1, coordinates=True)
    given: list[Tensor] = []
    network.down[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    image = torch.rand(2, 1, 3, 5)
    network(image)
    rows = torch.tensor([-1.0, 0.0, 1.0])[:, None].expand(3, 5)
    columns = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).expand(3, 5)
    for sample, own in zip(given[0], image, strict=True):
        torch.testing.assert_close(sample, torch.stack([own[0], rows, columns]))


def test_groups_are_the_same_in_training_and_at_inference_and_for_every_batch() -> None:
    network = UNet(1, 2, width=4, depth=1, normalization="group")
    images = torch.randn(3, 1, 8, 8)
    trained = network(images)
    torch.testing.assert_close(network.eval()(images[:1]), trained[:1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SegNet(0, 2), "in_channels must be a whole number >= 1"),
        (lambda: SegNet(3, 0), "out_channels must be a whole number >= 1"),
        (lambda: SegNet(3, 2, width=0), "width must be a whole number >= 1"),
        (lambda: SegNet(3, 2, depth=6), "depth must be one of 1, 2, 3, 4, 5, got 6"),
        (lambda: SegNet(3, 2, depth=0), "depth must be a whole number >= 1"),
        (lambda: UNet(0, 2), "in_channels must be a whole number >= 1"),
        (lambda: UNet(3, 0), "out_channels must be a whole number >= 1"),
        (lambda: UNet(3, 2, width=0), "width must be a whole number >= 1"),
        (lambda: UNet(3, 2, depth=0), "depth must be a whole number >= 1"),
        (lambda: UNet(3, 2, dimensions=1), "dimensions must be one of 2, 3, got 1"),
        (
            lambda: UNet(3, 2, normalization="layer"),
            "normalization must be one of 'batch', 'group', 'none', got 'layer'",
        ),
        (lambda: UNet(3, 2, coordinates="xy"), "coordinates must be True or False"),
    ],
)
def test_arguments_outside_their_domains(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
