"""What is particular to the losses of region statistics, and to the Wasserstein Dice loss."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

import metriseg
from metriseg import (
    CompoundLoss,
    DiceLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    GeneralizedWassersteinDiceLoss,
    LogCoshDiceLoss,
    PenaltyGeneralizedDiceLoss,
    PowerDiceLoss,
    RegionStatistics,
    SensitivitySpecificityLoss,
    TverskyLoss,
)
from metriseg import functional as F
from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import random_labels, random_logits, random_soft_labels

LOGITS, TARGET = random_logits(4), random_labels(4)
CONFUSIONS = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]


def gradient(loss: torch.nn.Module, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    leaf = logits.detach().clone().requires_grad_()
    loss(leaf, target).backward()
    return leaf.grad


def sums(overlap: float, predicted: float, target: float) -> RegionStatistics:
    """Float32 statistics of one class in one group."""
    values = [{1.0: torch.tensor([[v]], requires_grad=True)} for v in (overlap, predicted, target)]
    return RegionStatistics(*values, torch.tensor([[predicted + target]]))


@pytest.mark.parametrize("soft", [False, True])
def test_identities(soft: bool) -> None:
    """Each loss at the parameter where it is another one."""
    target = random_soft_labels(4) if soft else TARGET
    for special, ordinary in [
        (PowerDiceLoss(power=1.0, per_image=True), DiceLoss()),
        (FocalTverskyLoss(0.2, 0.9, gamma=1.0), TverskyLoss(0.2, 0.9)),
        (PenaltyGeneralizedDiceLoss(penalty=0.0), GeneralizedDiceLoss()),
        (
            PenaltyGeneralizedDiceLoss(penalty=0.0, weighting="simple", class_weight=[1, 2, 0, 1]),
            GeneralizedDiceLoss(weighting="simple", class_weight=[1, 2, 0, 1]),
        ),
    ]:
        torch.testing.assert_close(special(LOGITS, target), ordinary(LOGITS, target))


def test_generalized_dice_of_one_channel_is_dice() -> None:
    """The weight of the only class cancels."""
    logits, target = random_logits(1), random_labels(1)
    arguments: dict[str, Any] = {"activation": "sigmoid", "smooth": 0.0}
    torch.testing.assert_close(
        GeneralizedDiceLoss(**arguments)(logits, target), DiceLoss(**arguments)(logits, target)
    )


def test_uniform_generalized_dice_is_one_minus_the_mean_probability_of_the_truth() -> None:
    """Of exclusive classes sum S = sum Y = pixels, so 1 - 2 sum I / (2 pixels)."""
    own = LOGITS.softmax(1).gather(1, TARGET.unsqueeze(1))
    loss = GeneralizedDiceLoss(weighting="uniform", smooth=0.0)
    torch.testing.assert_close(loss(LOGITS, TARGET), 1 - own.mean())


# ---------------------------------------------------------------------- log-cosh


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_cosh_is_exact_near_zero(dtype: torch.dtype) -> None:
    """ln cosh x = x^2/2 - x^4/12 + … and never below 0, where ln 2 would swallow it."""
    x = torch.logspace(-8, -2, 50, dtype=dtype)
    torch.testing.assert_close(F.log_cosh(x), x**2 / 2 - x**4 / 12, rtol=1e-6, atol=0)
    assert F.log_cosh(torch.zeros((), dtype=dtype)) == 0


def test_log_cosh_does_not_overflow() -> None:
    """ln cosh x is |x| - ln 2 far from 0; its slope is tanh x on both sides of 1."""
    x = torch.tensor([-1e30, -50.0, -1.0, -1 - 1e-6, 0.3, 1.0, 3.0, 1e30], dtype=torch.float64)
    x.requires_grad_()
    value = F.log_cosh(x)
    value.sum().backward()
    torch.testing.assert_close(x.grad, x.detach().tanh())
    torch.testing.assert_close(value[[0, 1, 7]], x[[0, 1, 7]].abs() - math.log(2))
    torch.testing.assert_close(value[2:7], x[2:7].cosh().log())


def test_log_cosh_dice_gradient() -> None:
    """tanh(Dice loss) times the gradient of the Dice loss, class by class."""
    whole = torch.zeros_like(LOGITS)
    for c in range(4):
        only = {"class_weight": [float(k == c) for k in range(4)], "per_image": False}
        dice = DiceLoss(smooth=1.0, **only)
        whole += dice(LOGITS, TARGET).tanh() * gradient(dice, LOGITS, TARGET) / 4
    found = gradient(LogCoshDiceLoss(per_image=False), LOGITS, TARGET)
    torch.testing.assert_close(found, whole)


# ---------------------------------------------------------------------- focal Tversky


def test_focal_tversky_slope_at_the_truth() -> None:
    """In truth infinite, here 1/gamma (1e-6)^(1/gamma - 1) times the slope of the Tversky loss."""
    p = torch.nn.functional.one_hot(TARGET, 4).movedim(-1, 1).double()
    arguments: dict[str, Any] = {"smooth": 0.0, "activation": "identity"}
    loss = FocalTverskyLoss(gamma=2.0, **arguments)
    assert loss(p, TARGET) == 0
    expected = 0.5 * 1e-6**-0.5 * gradient(TverskyLoss(**arguments), p, TARGET)
    torch.testing.assert_close(gradient(loss, p, TARGET), expected)


def test_focal_tversky_survives_rounding() -> None:
    """Sums of float32 may put the overlap above the mass; a power of what is below 0 is NaN."""
    s = sums(1.0000001, 1.0, 1.0)
    assert 1 - F.tversky_index(s, 0.3, 0.7) < 0
    value = F.focal_tversky(s, 0.3, 0.7, 4 / 3)
    value.sum().backward()
    assert value == 0
    assert math.isfinite(s.overlap[1.0].grad.item())
    assert s.overlap[1.0].grad < 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0.75}, r"gamma must be a finite number in \[1, 3\], got 0.75"),
        ({"gamma": 4}, r"gamma must be a finite number in \[1, 3\], got 4"),
        ({"alpha": 0.3}, "FocalTverskyLoss has no argument 'alpha': say 'fp_weight'"),
        ({"beta": 0.7}, "FocalTverskyLoss has no argument 'beta': say 'fn_weight'"),
        ({"smooth": (2.0, 1.0)}, "smooth must not add more to the numerator"),
    ],
)
def test_focal_tversky_refuses(arguments: dict[str, Any], message: str) -> None:
    """0.75 is what the authors' code calls gamma: here that exponent is gamma = 4/3."""
    with pytest.raises(ValueError, match=message):
        FocalTverskyLoss(**arguments)


def test_power_dice_refuses_powers_outside_one_and_two() -> None:
    """At power 3, t = 1 and p = 0.9: 1 - 1.8 / 1.729 < 0."""
    for power in (0.5, 3.0):
        with pytest.raises(ValueError, match=r"power must be a finite number in \[1, 2\]"):
            PowerDiceLoss(power=power)


# ---------------------------------------------------------------------- sensitivity-specificity


def test_soft_labels_are_an_expectation() -> None:
    """A pixel of label t is two pixels, one inside of weight t, one outside of weight 1 - t."""
    logits, t = random_logits(1, 1), random_soft_labels(1, 1)
    loss = SensitivitySpecificityLoss(activation="sigmoid")
    twice = torch.cat([logits, logits], 2)
    hard = torch.cat([torch.ones_like(t), torch.zeros_like(t)], 2)
    weight = torch.cat([t, 1 - t], 2)[:, 0]
    torch.testing.assert_close(loss(logits, t), loss(twice, hard, weight=weight))


def test_a_term_with_nothing_to_average_is_zero() -> None:
    """Of a class that is everywhere only the error inside is left, of an absent one that outside.

    p = .8 for class 0, everywhere; r (1 - .8)^2 and (1 - r) .2^2.
    """
    p = torch.tensor([0.8, 0.2], dtype=torch.float64).view(1, 2, 1).expand(1, 2, 6)
    loss = SensitivitySpecificityLoss(0.3, activation="identity", reduction="none")
    table = loss(p, torch.zeros(1, 6, dtype=torch.int64))
    expected = torch.tensor([[0.3 * 0.04, 0.7 * 0.04]], dtype=torch.float64)
    torch.testing.assert_close(table, expected)


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("margin", [1.0, 5.0, 12.0])
def test_expanded_squares_in_single_precision(margin: float, share: float) -> None:
    """512 x 512 pixels, right by margins up to p = 1 - 6e-6: value and gradient of float64.

    To a few 1e-7 times the pixels over those outside the class, of a loss of at most 1.
    """
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(1, 512, 512, generator=generator) < share).long()
    own = torch.stack([1 - target, target], 1)
    logits = (own - 0.5) * margin + 0.3 * torch.randn(own.shape, generator=generator)
    loss = SensitivitySpecificityLoss(0.5)
    value, exact = loss(logits, target), loss(logits.double(), target)
    assert value >= 0
    assert abs(value.item() - exact.item()) < 3e-7 / share
    found, expected = gradient(loss, logits, target), gradient(loss, logits.double(), target)
    scale = 1 / (target.numel() * share)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=2e-7 * scale)


def test_a_class_everywhere_has_no_outside_in_single_precision() -> None:
    """The weights' sums by class and over all differ by rounding: nothing divides by the rest."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 300, 300, generator=generator)
    weight = torch.rand(1, 300, 300, generator=generator) + 0.1
    target = torch.zeros(1, 300, 300, dtype=torch.int64)
    loss = SensitivitySpecificityLoss()
    exact = loss(logits.double(), target, weight=weight)
    torch.testing.assert_close(
        loss(logits, target, weight=weight).double(), exact, rtol=1e-5, atol=0
    )


# ---------------------------------------------------------------------- generalized Dice


def absent_class() -> tuple[torch.Tensor, torch.Tensor]:
    """Class 0 three times, class 1 once, class 2 absent and predicted with .2 everywhere."""
    p = torch.tensor([[0.6, 0.2, 0.2]] * 3 + [[0.1, 0.7, 0.2]], dtype=torch.float64).T[None]
    return p, torch.tensor([[0, 0, 0, 1]])


def test_an_absent_class_gets_the_largest_weight() -> None:
    """w = (1/9, 1, 1), I = (1.8, .7, 0), S = (1.9, 1.3, .8), Y = (3, 1, 0)."""
    p, target = absent_class()
    expected = 1 - 2 * (1.8 / 9 + 0.7) / (4.9 / 9 + 2.3 + 0.8)
    loss = GeneralizedDiceLoss(smooth=0.0, activation="identity")
    assert loss(p, target).item() == pytest.approx(expected, rel=1e-12)


def test_a_class_of_weight_zero_is_left_out_of_the_largest_weight() -> None:
    """Without class 1 the largest weight is that of class 0: the absent class 2 has 1/9 too."""
    p, target = absent_class()
    expected = 1 - 2 * 1.8 / (4.9 + 0.8)
    loss = GeneralizedDiceLoss(smooth=0.0, activation="identity", class_weight=[2.0, 0.0, 2.0])
    assert loss(p, target).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smooth", [0.0, 1e-5, (0.5, 2.0)])
@pytest.mark.parametrize("loss_class", [GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss])
def test_a_group_without_any_class_costs_nothing(
    loss_class: type[GeneralizedDiceLoss], smooth: float | tuple[float, float]
) -> None:
    """No weight is finite: 0, with a zero gradient. The image still counts in the mean."""
    target = TARGET.clone()
    target[0] = 0
    loss = loss_class(smooth=smooth, include_background=False)
    whole, second = loss(LOGITS, target), loss(LOGITS[1:], target[1:])
    torch.testing.assert_close(whole, second / 2)
    assert (gradient(loss, LOGITS, target)[0] == 0).all()


def test_uniform_weights_are_finite_also_where_nothing_is() -> None:
    """w = 1: predicted mass S against nothing, 1 - s / (S + s)."""
    p = torch.full((1, 1, 4), 0.5)
    loss = GeneralizedDiceLoss(weighting="uniform", smooth=1.0, activation="identity")
    assert loss(p, torch.zeros(1, 4)).item() == pytest.approx(1 - 1 / 3)


def test_tiny_soft_volumes_do_not_overflow() -> None:
    """1 / (1e-30)^2 is infinite in float32: such a class counts as absent."""
    logits = random_logits(2, 1).float()
    target = torch.zeros(2, 2, 11)
    target[:, 0], target[:, 1, 3] = 1.0, 1e-30
    loss = GeneralizedDiceLoss()
    assert torch.isfinite(loss(logits, target))
    assert torch.isfinite(gradient(loss, logits, target)).all()


def test_penalty_steepens_the_end() -> None:
    """With L = 1 - GD the loss is (1 + k) L / (1 + k L): slope 1 + k at 0, 1 / (1 + k) at 1."""
    index = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    value = 1 - F.penalized_index(index, 2.5)
    value.sum().backward()
    torch.testing.assert_close(value.detach(), torch.tensor([1.0, 1.75 / 2.25, 0.0]).double())
    torch.testing.assert_close(index.grad, -torch.tensor([1 / 3.5, 3.5 / 2.25**2, 3.5]).double())


@pytest.mark.parametrize(
    ("loss_class", "arguments", "message"),
    [
        (
            GeneralizedDiceLoss,
            {"weighting": "cubic"},
            "weighting must be one of 'square', 'simple'",
        ),
        (GeneralizedDiceLoss, {"classes": "all"}, "GeneralizedDiceLoss has no argument 'classes'"),
        (PenaltyGeneralizedDiceLoss, {"penalty": -1}, "penalty must be a finite number in"),
        (PenaltyGeneralizedDiceLoss, {"smooth": (1, 0)}, "smooth must not add more"),
        (
            SensitivitySpecificityLoss,
            {"sensitivity_weight": 2},
            r"sensitivity_weight must be .* 1\]",
        ),
    ],
)
def test_refuses(loss_class: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_class(**arguments)


# ---------------------------------------------------------------------- Wasserstein


def test_confusing_near_classes_costs_less() -> None:
    """Class 2 for class 1 (distance .5) costs less than class 0 for it (distance 1)."""
    target = torch.tensor([[0, 1, 1, 2]])
    near, far = target.clone(), target.clone()
    near[0, 1], far[0, 1] = 2, 0
    loss = GeneralizedWassersteinDiceLoss(CONFUSIONS, smooth=0.0, activation="identity")

    def value(guess: torch.Tensor) -> float:
        return loss(torch.nn.functional.one_hot(guess, 3).movedim(-1, 1).double(), target).item()

    # TP = 2 + .5 and W = .5; TP = 2 and W = 1
    assert value(near) == pytest.approx(0.5 / 5.5)
    assert value(far) == pytest.approx(1 / 5)


def test_background_alone() -> None:
    """There is nothing to hit: 0 if the prediction is exact, otherwise almost 1."""
    target = torch.zeros(1, 4, dtype=torch.int64)
    loss = GeneralizedWassersteinDiceLoss(activation="identity")
    p = torch.tensor([[[1.0] * 4, [0.0] * 4]])
    assert loss(p, target) == 0
    assert loss(p.lerp(torch.tensor(0.5), 0.1), target) > 0.9999


def test_a_class_nearer_to_the_background_than_to_another() -> None:
    """M[1, b] = .5 and M[1, 2] = 1: hits .5 (.5 - 1) = -.25, errors 1, so 1 + .5 / .5."""
    distances = [[0.0, 0.5, 1.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.0]]
    loss = GeneralizedWassersteinDiceLoss(distances, smooth=0.0, activation="identity")
    assert loss(torch.tensor([[[0.0], [0.0], [1.0]]]), torch.tensor([[1]])).item() == 2


def test_distances_are_scaled_and_exact() -> None:
    """Any maximum; thirds are those of float64 for logits of float64, also after a rebuild."""
    logits, target = random_logits(3), random_labels(3)
    matrix = torch.tensor(CONFUSIONS, dtype=torch.float64)
    matrix[1, 2] = matrix[2, 1] = 1 / 3
    loss = GeneralizedWassersteinDiceLoss(matrix)
    for same in (matrix.tolist(), (21 * matrix).numpy(), 21 * matrix):
        other = GeneralizedWassersteinDiceLoss(same)
        torch.testing.assert_close(other(logits, target), loss(logits, target), rtol=1e-14, atol=0)
    again = GeneralizedWassersteinDiceLoss(**loss.arguments())
    assert torch.equal(again(logits, target), loss(logits, target))
    assert repr(again) == repr(loss)
    assert "distances=[[0.0, 1.0, 1.0]" in repr(loss)


def test_distances_are_a_buffer_that_is_not_saved() -> None:
    loss = GeneralizedWassersteinDiceLoss(CONFUSIONS)
    assert not loss.state_dict()
    assert loss.to("meta").distances.device.type == "meta"
    torch._dynamo.reset()
    loss = GeneralizedWassersteinDiceLoss(CONFUSIONS, weighting="GDL")
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    logits, target = random_logits(3).float(), random_labels(3)
    torch.testing.assert_close(compiled(logits, target), loss(logits, target))


def test_the_default_is_any_confusion_alike() -> None:
    """Without distances W = 1 - p_t: as with ones off the diagonal, for any number of classes."""
    for classes in (2, 5):
        logits, target = random_logits(classes), random_labels(classes)
        ones = 1 - torch.eye(classes)
        torch.testing.assert_close(
            GeneralizedWassersteinDiceLoss()(logits, target),
            GeneralizedWassersteinDiceLoss(ones)(logits, target),
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distances": [[0.0, 1.0]]}, "distances must be a square matrix"),
        ({"distances": [1.0, 2.0]}, "distances must be a square matrix"),
        ({"distances": "far"}, "distances must be a matrix of numbers"),
        ({"distances": [[0.0, 1.0], [2.0, 0.0]]}, "distances must be symmetric"),
        ({"distances": [[1.0, 1.0], [1.0, 0.0]]}, "distances must be 0 on the diagonal"),
        ({"distances": [[0.0, -1.0], [-1.0, 0.0]]}, "distances must be finite and not negative"),
        ({"distances": [[0.0, 0.0], [0.0, 0.0]]}, "distances must have a number above zero"),
        ({"distances": CONFUSIONS, "background": 3}, "background must be one of the 3 classes"),
        ({"background": -1}, "background must be a whole number >= 0, got -1"),
        ({"background": 0.5}, "background must be a whole number >= 0, got 0.5"),
        ({"weighting": "square"}, "weighting must be one of 'default', 'GDL'"),
        ({"activation": "sigmoid"}, "activation must be one of 'softmax', 'identity'"),
    ],
)
def test_wasserstein_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneralizedWassersteinDiceLoss(**arguments)


def test_wasserstein_refuses_what_does_not_fit_the_logits() -> None:
    with pytest.raises(ValueError, match="distances must have a row for each of the 4 classes"):
        GeneralizedWassersteinDiceLoss(CONFUSIONS)(LOGITS, TARGET)
    with pytest.raises(ValueError, match="background must be one of the 4 classes, got 4"):
        GeneralizedWassersteinDiceLoss(background=4)(LOGITS, TARGET)


def test_without_background_its_pixels_are_not_there() -> None:
    """Pixels of label 0 leave every sum; an image of them alone leaves the mean."""
    target = TARGET.clone()
    target[0] = 0
    loss = GeneralizedWassersteinDiceLoss(include_background=False)
    weight = (target > 0).double()
    torch.testing.assert_close(
        loss(LOGITS, target), GeneralizedWassersteinDiceLoss()(LOGITS, target, weight=weight)
    )
    torch.testing.assert_close(loss(LOGITS, target), loss(LOGITS[1:], target[1:]))


# ---------------------------------------------------------------------- together


def test_in_a_compound() -> None:
    """One pass over the logits for all of them, with the united moments."""
    terms = [
        LogCoshDiceLoss(),
        PowerDiceLoss(power=1.5),
        FocalTverskyLoss(),
        SensitivitySpecificityLoss(),
        GeneralizedDiceLoss(class_weight=[1.0, 2.0, 1.0, 0.5]),
        PenaltyGeneralizedDiceLoss(per_image=False),
        GeneralizedWassersteinDiceLoss(),
    ]
    compound = CompoundLoss(terms)
    assert compound.moments == {1.0, 1.5, 2.0}
    expected = sum(term(LOGITS, TARGET) for term in terms)
    torch.testing.assert_close(compound(LOGITS, TARGET), expected)


def test_names() -> None:
    assert metriseg.GeneralizedWassersteinDiceLoss().name == "generalized_wasserstein_dice"
    assert metriseg.LogCoshDiceLoss().name == "log_cosh_dice"


# ----------------------------------------------------------- soft labels as their own minimum

MINIMUM = [
    entry
    for entry in CATALOGUE.values()
    if "overlap" in inspect.signature(entry.loss).parameters and entry.level != "compound"
]


@pytest.mark.parametrize("entry", MINIMUM, ids=lambda entry: entry.name)
def test_soft_labels_cost_nothing_where_they_are_predicted(entry: Entry) -> None:
    """Where p = t the minimum is p: the loss is 0, and no other p costs less.

    The product makes a plain Dice loss of p = t = 1/2 one half.
    """
    t = random_soft_labels(4)
    loss = entry.build(overlap="minimum", activation="identity", smooth=0.0)
    assert loss(t, t).item() == pytest.approx(0.0, abs=1e-10)
    assert entry.build(activation="identity", smooth=0.0)(t, t).item() > 0.05
    for seed in range(20):
        other = random_soft_labels(4, seed=seed + 10)
        assert loss(0.9 * t + 0.1 * other, t).item() > 0


@pytest.mark.parametrize("entry", MINIMUM, ids=lambda entry: entry.name)
def test_of_hard_labels_both_overlaps_are_the_same(entry: Entry) -> None:
    dense = torch.nn.functional.one_hot(TARGET, 4).movedim(-1, 1)
    plain, least = entry.build(), entry.build(overlap="minimum")
    for target in (TARGET, dense):
        torch.testing.assert_close(least(LOGITS, target), plain(LOGITS, target))
        torch.testing.assert_close(gradient(least, LOGITS, target), gradient(plain, LOGITS, target))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("errors", [False, True])
def test_the_slope_of_the_minimum(activation: str, errors: bool) -> None:
    """By finite differences, through the overlap and, where asked for, through the errors."""
    target = random_soft_labels(3, exclusive=activation != "sigmoid")
    z = random_logits(3)
    z = (z.softmax(1) if activation == "identity" else z).requires_grad_()

    def sums(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch = metriseg.Batch.from_tensors(logits, target, activation=activation)
        s = metriseg.region_statistics(batch, errors=errors, overlap="minimum")
        return s.overlap[1.0], s.predicted[1.0], *s.errors

    assert torch.autograd.gradcheck(sums, (z,))


def test_terms_with_different_overlaps() -> None:
    """Each term of a sum, also of a sum in a sum, has what it has alone."""
    target = random_soft_labels(4)
    terms = [DiceLoss(), TverskyLoss(overlap="minimum"), DiceLoss(overlap="minimum")]
    expected = sum(term(LOGITS, target) for term in terms)
    torch.testing.assert_close(CompoundLoss(terms)(LOGITS, target), expected)
    nested = CompoundLoss([DiceLoss(), CompoundLoss(terms[:2])])
    torch.testing.assert_close(
        nested(LOGITS, target), 2 * terms[0](LOGITS, target) + terms[1](LOGITS, target)
    )


def test_the_minimum_is_of_sums_alone() -> None:
    batch = metriseg.Batch.from_tensors(LOGITS, TARGET)
    with pytest.raises(ValueError, match=r"moments must be \(1,\) with overlap='minimum'"):
        metriseg.region_statistics(batch, {1.0, 2.0}, overlap="minimum")
    with pytest.raises(ValueError, match="overlap must be one of 'product', 'minimum'"):
        DiceLoss(overlap="sum")
    with pytest.raises(ValueError, match="no argument 'overlap'"):
        PowerDiceLoss(overlap="minimum")
