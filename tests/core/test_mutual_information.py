"""What is special about region mutual information: windows, pooling, precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metriseg import RegionMutualInformationLoss
from metriseg import functional as F
from reference.batches import IGNORE, random_labels, random_logits, random_soft_labels

#: Windows that the small images of these tests have.
SMALL: dict[str, Any] = {"radius": 2, "downsample": None}
#: What the second term is where nothing varies: ln(5e-4) / 2.
NOTHING_VARIES = math.log(5e-4) / 2


def alone(**arguments: Any) -> RegionMutualInformationLoss:
    """The second term without cross-entropy."""
    return RegionMutualInformationLoss(**{**SMALL, "bce_weight": 0.0, **arguments})


def noisy(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_derivatives(dimensions: int) -> None:
    """First and second, through pooling, windows and the Cholesky factor, with ignored pixels."""
    logits = random_logits(2, dimensions, images=1).requires_grad_()
    target = random_labels(2, dimensions, images=1, ignore=0.1)
    loss = RegionMutualInformationLoss(**SMALL, ignore_index=IGNORE)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)
    assert torch.autograd.gradgradcheck(lambda z: loss(z, target), logits)


def test_one_window_has_no_covariance() -> None:
    """A single vector is its own mean: every covariance is zero, the value a constant."""
    logits = random_logits(3)[..., :2, :2].requires_grad_()
    value = alone()(logits, random_labels(3)[..., :2, :2])
    value.backward()
    assert value.item() == pytest.approx(NOTHING_VARIES)
    assert logits.grad.abs().max() < 1e-12


def test_an_image_without_a_window_has_cross_entropy_alone() -> None:
    logits, target = random_logits(3), random_labels(3)
    assert alone(downsample=3)(logits, target).item() == 0.0
    half = RegionMutualInformationLoss(radius=2, downsample=3)(logits, target)
    one_hot = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double()
    whole = torch.nn.functional.binary_cross_entropy_with_logits(logits, one_hot)
    torch.testing.assert_close(half, whole / 2)


def test_no_window_is_whole_where_the_ignored_pixels_hit_them_all() -> None:
    """A chequerboard of ignored pixels leaves no 2 x 2 window, and no gradient but BCE's."""
    logits = random_logits(3).requires_grad_()
    target = random_labels(3)
    target[:, ::2, ::2] = target[:, 1::2, 1::2] = IGNORE
    value = alone(ignore_index=IGNORE)(logits, target)
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_an_ignored_pixel_spoils_its_block() -> None:
    """Pooled by 4, one ignored pixel takes its 4 x 4 block out: whatever the block holds else."""
    loss = RegionMutualInformationLoss(radius=1, bce_weight=0.0, ignore_index=IGNORE)
    logits = torch.randn(1, 1, 8, 12, generator=torch.Generator().manual_seed(0)).double()
    target = (torch.rand(1, 8, 12, generator=torch.Generator().manual_seed(1)) > 0.5).long()
    target[0, 5, 6] = IGNORE
    other = logits.clone()
    other[..., 4:8, 4:8] = 7.0
    other[..., 5, 6] = float("nan")
    torch.testing.assert_close(loss(other, target), loss(logits, target))


def test_all_valid_equals_no_weight() -> None:
    logits, target = random_logits(3), random_labels(3)
    ones = torch.ones(target.shape)
    torch.testing.assert_close(alone()(logits, target, weight=ones), alone()(logits, target))


def test_weights_are_how_often_a_window_counts() -> None:
    """With windows of one pixel, weights 2 and 0 are pixels given twice, or not at all."""
    logits, target = random_logits(1, 1), random_labels(1, 1)
    times = torch.tensor([2, 0, 1, 1, 3, 1, 0, 0, 1, 2, 1])
    loss = RegionMutualInformationLoss(radius=1, downsample=None, bce_weight=0.0)
    torch.testing.assert_close(
        loss(logits, target, weight=times.double().expand(2, -1)),
        loss(logits.repeat_interleave(times, 2), target.repeat_interleave(times, 1)),
    )


def test_perfect_predictions() -> None:
    """Where labels vary, M is about epsilon I: ln(2 epsilon) / 2. Where not, ln(epsilon) / 2.

    The deviation is of the order of epsilon over the smallest variance.
    """
    varied = (noisy()[0] > 0).long()
    value = alone(radius=1)(varied[:, None].double() * 2e3 - 1e3, varied)
    assert value.item() == pytest.approx(math.log(1e-3) / 2, abs=1e-4)
    constant = torch.zeros_like(varied)
    value = alone(radius=1)(noisy(), constant)
    assert value.item() == pytest.approx(NOTHING_VARIES)


def test_the_sum_is_over_classes_as_the_authors() -> None:
    """And over images: N C times the mean."""
    logits, target = random_logits(3), random_labels(3)
    mean, total = alone()(logits, target), alone(reduction="sum")(logits, target)
    torch.testing.assert_close(total, 2 * 3 * mean)


def test_float32_is_computed_in_float64() -> None:
    """A million windows: in float32, S of the order of 1e5 would drown epsilon = 5e-4.

    A good prediction, where M is tiny beside S, is where it matters. Even in float64 M keeps four
    digits only (S rounds at 1e-11, M is 1e-3), which ones depends on the processor.
    """
    generator = torch.Generator().manual_seed(3)
    target = (torch.rand(1, 512, 512, generator=generator) > 0.5).long()
    logits = torch.where(target.unsqueeze(1) == 1, 30.0, -30.0)
    value = alone(radius=3)(logits, target)
    assert value.dtype == torch.float32
    exact = alone(radius=3)(logits.double(), target)
    assert value.item() == pytest.approx(exact.item(), abs=1e-3)
    assert value.item() == pytest.approx(math.log(1e-3) / 2, abs=1e-3)


def test_compiles_with_windows() -> None:
    """The images of the generic test have none after pooling."""
    torch._dynamo.reset()
    logits, target = random_logits(3).requires_grad_(), random_labels(3, ignore=0.1)
    loss = RegionMutualInformationLoss(**SMALL, ignore_index=IGNORE)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, target), loss(logits, target))
    (found,) = torch.autograd.grad(compiled(logits, target), logits)
    torch.testing.assert_close(found, torch.autograd.grad(loss(logits, target), logits)[0])


def test_a_diverged_network_gives_nan_not_an_error() -> None:
    """Gradient scalers look for NaN; a Cholesky factorisation that raises would end training."""
    logits, target = random_logits(2), random_labels(2)
    logits[0, 0, 0, 0] = float("nan")
    assert torch.isnan(alone()(logits, target))


def test_no_images_with_windows() -> None:
    logits = torch.zeros(0, 3, 5, 4, requires_grad=True)
    value = alone()(logits, torch.zeros(0, 5, 4, dtype=torch.int64))
    value.backward()
    assert value.item() == 0.0


def test_functional_is_never_below_its_bound() -> None:
    """M is positive semi-definite, so ln det(M + epsilon I) / (2 d) >= ln(epsilon) / 2."""
    p, t = random_soft_labels(4, seed=5), random_soft_labels(4, seed=6)
    for radius in (1, 2, 3):
        values = F.region_mutual_information(p, t, radius=radius)
        assert (values >= NOTHING_VARIES - 1e-9).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"radius": 0}, "radius must be a whole number >= 1, got 0"),
        ({"radius": 1.5}, "radius must be a whole number >= 1, got 1.5"),
        ({"downsample": 0}, "downsample must be a whole number >= 1, got 0"),
        ({"epsilon": 0.0}, r"epsilon must be a finite number in \(0, inf\], got 0"),
        ({"bce_weight": 1.5}, r"bce_weight must be a finite number in \[0, 1\], got 1.5"),
        ({"activation": "softmax"}, "activation must be one of 'sigmoid', 'identity'"),
    ],
)
def test_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RegionMutualInformationLoss(**arguments)
