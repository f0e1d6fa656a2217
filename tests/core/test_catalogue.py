"""What every loss of the catalogue must do, whatever its formula."""

from __future__ import annotations

import copy
import pickle
import shutil
from typing import Any

import pytest
import torch
from torch import nn

import metriseg
from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import (
    IGNORE,
    accepted,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

#: Losses of each level that inductor compiles in the tests (ten seconds each).
INDUCTED = 2


def activations(entry: Entry) -> list[str]:
    """Those that take raw logits."""
    return [word for word in entry.loss.activations if word != "identity"]


def takes_grids(entry: Entry) -> int:
    """A number of spatial dimensions that the loss allows, the smallest."""
    return min(entry.spatial_dimensions)


def gradient(loss: nn.Module, logits: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    leaf = logits.detach().clone().requires_grad_()
    loss(leaf, *args, **kwargs).backward()
    return leaf.grad


def hard_logits(target: torch.Tensor, classes: int, margin: float = 60.0) -> torch.Tensor:
    """Logits whose softmax and sigmoid are the labels, to the last bit of float64."""
    own = torch.nn.functional.one_hot(target, classes).movedim(-1, 1)
    return (own.double() * 2 - 1) * margin


# ---------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("soft", [False, True])
def test_gradcheck(entry: Entry, activation: str, soft: bool) -> None:
    """Analytic gradients equal finite differences; ignored and weighted pixels included.

    Losses with detached terms have tests of their own, with these terms frozen.
    """
    if entry.stop_gradient or activation not in entry.loss.activations:
        return
    if soft and not entry.soft_targets:
        return
    logits = random_logits(4)
    logits = logits.softmax(1) if activation == "identity" else logits
    target = random_soft_labels(4) if soft else random_labels(4, ignore=0.2)
    loss = entry.build(activation=activation, ignore_index=None if soft else IGNORE)
    weight = random_weight()
    # entry by entry, or for losses that cost more along random directions
    assert torch.autograd.gradcheck(
        lambda z: loss(z, target, weight=weight), logits.requires_grad_(), fast_mode=entry.spatial
    )


def test_second_derivatives(entry: Entry) -> None:
    """Penalties on gradients work: the backward pass is differentiable too."""
    if entry.stop_gradient:
        return
    dimensions = takes_grids(entry)
    target = random_labels(4, dimensions)
    loss = entry.build()
    assert torch.autograd.gradgradcheck(
        lambda z: loss(z, target),
        random_logits(4, dimensions).requires_grad_(),
        fast_mode=True,
    )


def test_gradient_of_one_channel(entry: Entry) -> None:
    if entry.min_classes > 1 or entry.stop_gradient:
        return
    target = random_labels(1, ignore=0.2)
    loss = entry.build(activation="sigmoid", ignore_index=IGNORE)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), random_logits(1).requires_grad_())


def test_dice_gradient_takes_two_values_a_class() -> None:
    """-2 (U - I) / U^2 where the class is, 2 I / U^2 elsewhere, over C classes and N images."""
    p = random_logits(3).softmax(1)
    target = random_labels(3)
    found = gradient(metriseg.DiceLoss(smooth=0.0, activation="identity"), p, target)
    for n in range(2):
        for c in range(3):
            own = target[n] == c
            overlap, union = p[n, c][own].sum(), p[n, c].sum() + own.sum()
            expected = torch.where(own, -2 * (union - overlap), 2 * overlap) / union**2 / 3 / 2
            torch.testing.assert_close(found[n, c], expected)


def test_mime_gradient_is_the_constant_map() -> None:
    """omega / number of pixels, whatever the prediction."""
    p = random_logits(3).softmax(1)
    target = random_labels(3)
    own = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double()
    expected = (-1.9 * own + 0.1 * (1 - own)) / target.numel()
    found = gradient(metriseg.MimeLoss(activation="identity"), p, target)
    torch.testing.assert_close(found, expected)


# ---------------------------------------------------------------------- values


def test_perfect_prediction(entry: Entry) -> None:
    """The value that the catalogue documents, at logits that are certain and right."""
    if entry.perfect is None:
        return
    classes = max(entry.min_classes, 3)
    target = random_labels(classes)
    value = entry.build()(hard_logits(target, classes), target)
    assert value.item() == pytest.approx(entry.perfect, abs=1e-9)


def test_monotone(entry: Entry) -> None:
    """The loss falls all along the way from a random prediction to the truth, 50 times."""
    if not entry.monotone:
        return
    of_logits = "identity" not in entry.loss.activations
    loss = entry.build() if of_logits else entry.build(activation="identity")
    for trial in range(50):
        start = random_logits(4, seed=trial)
        target = random_labels(4, seed=trial + 1000)
        truth = hard_logits(target, 4, margin=10.0)
        if not of_logits:
            start, truth = start.softmax(1), (truth > 0).double()
        values = [
            loss(torch.lerp(start, truth, step), target).item()
            for step in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        assert values == sorted(values, reverse=True), (trial, values)


def test_identities() -> None:
    """Tversky at (.5, .5) is Dice and at (1, 1) Jaccard, power 1 is Jaccard, gamma 0 is CE."""
    logits, target = random_logits(4), random_labels(4)

    def value(name: str, **arguments: Any) -> torch.Tensor:
        return getattr(metriseg, name)(**arguments)(logits, target)

    exact = {"smooth": 0.0, "per_image": True}
    half = value("TverskyLoss", fp_weight=0.5, fn_weight=0.5, **exact)
    torch.testing.assert_close(half, value("DiceLoss", **exact))
    ones = value("TverskyLoss", fp_weight=1.0, fn_weight=1.0, **exact)
    torch.testing.assert_close(ones, value("JaccardLoss", **exact))
    torch.testing.assert_close(
        value("PowerJaccardLoss", power=1.0, smooth=0.3, per_image=True),
        value("JaccardLoss", smooth=0.3, per_image=True),
    )
    torch.testing.assert_close(value("FocalLoss", gamma=0.0), value("CrossEntropyLoss"))


def test_cross_entropy_equals_torch() -> None:
    """With ``normalize="weights"`` and ignored pixels, torch's own cross-entropy."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    weight = [0.2, 1.0, 0.5, 2.5]
    ours = metriseg.CrossEntropyLoss(normalize="weights", class_weight=weight, ignore_index=IGNORE)(
        logits, target
    )
    theirs = torch.nn.functional.cross_entropy(
        logits, target, torch.tensor(weight).double(), ignore_index=IGNORE
    )
    torch.testing.assert_close(ours, theirs)


def test_present_classes_settle_a_near_perfect_image() -> None:
    """9 of 150 classes, all right but for one pixel in a hundred.

    Under "all" the 141 absent classes share the misplaced mass and cost almost 1 each; under
    "present" only the nine count.
    """
    target = (torch.arange(900) % 9)[None]
    logits = hard_logits(target, 150, margin=3.0)
    whole = metriseg.DiceLoss()(logits, target)
    present = metriseg.DiceLoss(classes="present")(logits, target)
    assert whole > 0.9
    assert present < 0.25


def test_weight_two_is_two_pixels(entry: Entry) -> None:
    """A pixel measure: weights 2 and 0 equal a batch with the pixel twice, or not at all."""
    if entry.spatial:
        return
    logits, target = random_logits(4, 1), random_labels(4, 1)
    times = torch.tensor([2, 0, 1, 1, 3, 1, 0, 0, 1, 2, 1])
    loss = entry.build()
    torch.testing.assert_close(
        loss(logits, target, weight=times.double().expand(2, -1)),
        loss(logits.repeat_interleave(times, 2), target.repeat_interleave(times, 1)),
    )


def test_one_hot_equals_labels(entry: Entry) -> None:
    """One-hot targets of any dtype give the value of the labels."""
    logits, target = random_logits(4), random_labels(4)
    one_hot = torch.nn.functional.one_hot(target, 4).movedim(-1, 1)
    for activation in activations(entry):
        loss = entry.build(activation=activation)
        for dtype in (torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64):
            torch.testing.assert_close(loss(logits, one_hot.to(dtype)), loss(logits, target))


def test_label_dtypes(entry: Entry) -> None:
    """Labels may come as any integer type."""
    logits, target = random_logits(4), random_labels(4)
    loss = entry.build()
    for dtype in (torch.uint8, torch.int16, torch.int32):
        torch.testing.assert_close(loss(logits, target.to(dtype)), loss(logits, target))


# ---------------------------------------------------------------------- edges


def test_nothing_valid(entry: Entry) -> None:
    """An all-ignored batch: exactly 0, connected, with a zero gradient."""
    for activation in activations(entry):
        logits, target = random_logits(4).requires_grad_(), torch.full((2, 5, 4), IGNORE)
        value = entry.build(activation=activation, ignore_index=IGNORE)(logits, target)
        value.backward()
        assert value.item() == 0.0
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_no_images(entry: Entry) -> None:
    """No image at all (a mask head without foreground): 0, connected."""
    logits = torch.zeros(0, 4, 5, 4, requires_grad=True)
    value = entry.build()(logits, torch.zeros(0, 5, 4, dtype=torch.int64))
    value.backward()
    assert value.item() == 0.0
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_ignored_pixels_may_hold_anything(entry: Entry, bad: float) -> None:
    """NaN and infinities where nothing counts change neither value nor gradient."""
    logits, target = random_logits(4), random_labels(4, ignore=0.3)
    ignored = (target == IGNORE).unsqueeze(1)
    spoilt = torch.where(ignored, bad, logits)
    for activation in activations(entry):
        loss = entry.build(activation=activation, ignore_index=IGNORE)
        torch.testing.assert_close(loss(spoilt, target), loss(logits, target))
        found = gradient(loss, spoilt, target)
        torch.testing.assert_close(found, gradient(loss, logits, target))
        assert (found[ignored.expand_as(found)] == 0).all()


@pytest.mark.parametrize("shape", [(1, 4, 1), (1, 4, 1, 1), (3, 4, 1, 1, 1)])
def test_one_pixel_images(entry: Entry, shape: tuple[int, ...]) -> None:
    if len(shape) - 2 not in entry.spatial_dimensions:
        return
    target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    for activation in activations(entry):
        logits = torch.zeros(shape, requires_grad=True)
        value = entry.build(activation=activation)(logits, target)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_extremes(entry: Entry, dtype: torch.dtype) -> None:
    """Logits near ±1e4: value and gradient finite, and those of the same logits in float32."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.where(torch.rand(2, 4, 6, 7, generator=generator) < 0.5, -1e4, 1e4).to(dtype)
    target = torch.randint(4, (2, 6, 7), generator=generator)
    for activation in activations(entry):
        loss = entry.build(activation=activation)
        value, slope = loss(logits, target), gradient(loss, logits, target)
        assert value.dtype == torch.float32
        assert slope.dtype == dtype
        torch.testing.assert_close(value, loss(logits.float(), target))
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_do_not_overflow(entry: Entry, dtype: torch.dtype) -> None:
    """256 x 512 pixels of a class: a float16 sum would pass 65504 and stop the gradient."""
    generator = torch.Generator().manual_seed(6)
    classes = max(entry.min_classes, 2)
    logits = torch.randn(1, classes, 512, 512, generator=generator).to(dtype)
    target = torch.zeros(1, 512, 512, dtype=torch.int64)
    target[..., 256:] = 1
    loss = entry.build()
    value = loss(logits, target)
    torch.testing.assert_close(value, loss(logits.double(), target).float(), rtol=1e-4, atol=1e-5)
    # mean losses have gradients of about 1e-6, below what float16 resolves: scale as AMP does
    expected = gradient(loss, logits.double(), target)
    scale = 1000 / expected.abs().max()
    leaf = logits.clone().requires_grad_()
    (loss(leaf, target) * scale).backward()
    resolved = (expected * scale).abs() > 1e-3
    assert torch.isfinite(leaf.grad).all()
    assert resolved.any()
    # in a partition, what two choices of one pixel cost may round to the same
    few = 1e-5 if entry.level == "partition" else 0
    assert (leaf.grad[resolved] == 0).float().mean() <= few


def test_autocast_changes_nothing(entry: Entry) -> None:
    logits, target = random_logits(4).float(), random_labels(4)
    loss = entry.build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gradient(loss, logits, target)
        value = loss(logits, target)
    assert torch.equal(inside, gradient(loss, logits, target))
    assert torch.equal(value, loss(logits, target))


def test_an_absent_class_is_finite(entry: Entry) -> None:
    """Class 3 is nowhere in the truth; smooth 0 too."""
    logits, target = random_logits(4), random_labels(3)
    for smooth in (1e-5, 0.0):
        loss = entry.build(**accepted(entry, smooth=smooth) if entry.level == "region" else {})
        assert torch.isfinite(loss(logits, target))
        assert torch.isfinite(gradient(loss, logits, target)).all()


# ---------------------------------------------------------------------- memory formats


def test_memory_formats(entry: Entry) -> None:
    """Channels-last, transposed and strided inputs give the same value and gradient."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    loss = entry.build(ignore_index=IGNORE)
    expected_value, expected_slope = loss(logits, target), gradient(loss, logits, target)
    strided = torch.stack([logits, logits], -1)[..., 0]
    transposed = logits.transpose(2, 3).contiguous().transpose(2, 3)
    last = logits.contiguous(memory_format=torch.channels_last)
    for other in (last, transposed, strided):
        assert other.stride() != logits.stride()
        leaf = other.detach().requires_grad_()
        loss(leaf, target.transpose(1, 2).contiguous().transpose(1, 2)).backward()
        torch.testing.assert_close(loss(other, target), expected_value)
        torch.testing.assert_close(leaf.grad, expected_slope)


def test_expanded_logits(entry: Entry) -> None:
    """An expanded (stride 0) input is read, never written."""
    logits = random_logits(4)[:1].expand(2, -1, -1, -1)
    target = random_labels(4)
    loss = entry.build()
    torch.testing.assert_close(loss(logits, target), loss(logits.clone(), target))


def test_inputs_are_left_alone(entry: Entry) -> None:
    logits, target, weight = random_logits(4), random_labels(4, ignore=0.2), random_weight()
    copies = [tensor.clone() for tensor in (logits, target, weight)]
    gradient(entry.build(ignore_index=IGNORE), logits, target, weight=weight)
    for tensor, before in zip((logits, target, weight), copies, strict=True):
        assert torch.equal(tensor, before)


def test_a_fresh_tensor_is_returned(entry: Entry) -> None:
    """Trainers add losses in place: the value must be nobody's saved output."""
    logits, target = random_logits(4).requires_grad_(), random_labels(4)
    loss = entry.build()
    value = loss(logits, target)
    value += loss(logits, target)
    value.backward()
    torch.testing.assert_close(logits.grad, 2 * gradient(loss, logits, target))


# ---------------------------------------------------------------------- life as a module


def test_pickle_and_deepcopy(entry: Entry) -> None:
    weight = [1.0, 2.0, 3.0, 4.0]
    last = activations(entry)[-1]
    loss = entry.build(**accepted(entry, class_weight=weight, activation=last))
    logits, target = random_logits(4), random_labels(4)
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert type(copied) is type(loss)
        assert torch.equal(copied(logits, target), loss(logits, target))


def test_arguments_rebuild_the_loss(entry: Entry) -> None:
    weight = [1.0, 2.0, 3.0, 4.0]
    loss = entry.build(**accepted(entry, class_weight=weight, ignore_index=7, reduction="sum"))
    again = type(loss)(**loss.arguments())
    logits, target = random_logits(4), random_labels(4)
    assert torch.equal(again(logits, target), loss(logits, target))
    assert repr(again) == repr(loss)


def test_nothing_is_saved_but_what_is_learnt(entry: Entry) -> None:
    """A network with a loss inside has the state dict of the network alone."""
    loss = entry.build(**accepted(entry, class_weight=[1.0, 2.0, 3.0, 4.0]))
    learnt = {name for name, parameter in loss.named_parameters() if parameter.requires_grad}
    assert set(loss.state_dict()) == learnt
    model = nn.Sequential(nn.Conv2d(1, 4, 1))
    stock = copy.deepcopy(model.state_dict())
    model.criterion = entry.build(**accepted(entry, class_weight=[4.0, 3.0, 2.0, 1.0]))
    if not learnt:
        model.load_state_dict(stock, strict=True)


def test_class_weights_follow_the_module(entry: Entry) -> None:
    if not accepted(entry, class_weight=[1.0]):
        return
    loss = entry.build(class_weight=[1.0, 2.0, 3.0, 4.0]).to("meta")
    weighted = [m for m in loss.modules() if getattr(m, "class_weight", None) is not None]
    assert weighted
    assert all(m.class_weight.device.type == "meta" for m in weighted)


def assert_compiles(entry: Entry, backend: str) -> None:
    torch._dynamo.reset()
    logits, target = random_logits(4).float(), random_labels(4, ignore=0.2)
    loss = entry.build(ignore_index=IGNORE)
    # eager first: what is loaded at the first use is there then
    expected_value, expected_slope = loss(logits, target), gradient(loss, logits, target)
    compiled = torch.compile(loss, backend=backend, fullgraph=not entry.graph_break)
    torch.testing.assert_close(compiled(logits, target), expected_value)
    torch.testing.assert_close(
        gradient(compiled, logits, target), expected_slope, rtol=1e-4, atol=1e-6
    )


def test_compile(entry: Entry) -> None:
    """torch.compile gives the eager value and gradient, without a graph break if it can do so."""
    assert_compiles(entry, "aot_eager")


@pytest.mark.parametrize(
    "entry",
    [
        entry
        for level in ("pixel", "region", "boundary", "compound")
        for entry in [e for e in CATALOGUE.values() if e.level == level][:INDUCTED]
    ],
    ids=lambda e: e.name,
)
def test_inductor(entry: Entry) -> None:
    """Code that inductor generates gives the eager value and gradient."""
    if shutil.which("c++") is None:
        pytest.skip("inductor needs a C++ compiler")
    assert_compiles(entry, "inductor")


def test_documentation(entry: Entry) -> None:
    """Every docstring has formula, domains, errors, the perfect value, source and an example."""
    text = entry.loss.__doc__
    for part in (".. math::", "Args:", "Raises:", "ValueError", "Source:", ">>>", "perfect"):
        assert part in text, part
    assert entry.source.removeprefix("doi:").removeprefix("arXiv:") in " ".join(text.split())


def test_the_catalogue_is_complete() -> None:
    """Every concrete loss that is public stands in the catalogue."""
    bases = {
        *("SegmentationLoss", "PixelLoss", "DistanceLoss"),
        *("TableLoss", "OverlapLoss", "RegionLoss"),
    }
    public = {
        name
        for name in metriseg.__all__
        if isinstance(getattr(metriseg, name), type)
        and issubclass(getattr(metriseg, name), metriseg.SegmentationLoss)
    }
    assert public - bases == set(CATALOGUE)
