"""Weighted sums: one pass, named terms, weights that change."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import nn

import metriseg
from metriseg import (
    Batch,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    PixelLoss,
    PowerJaccardLoss,
    TverskyLoss,
    statistics,
)
from metriseg.losses import compound
from metriseg.losses.schedules import ConstantSchedule, schedule
from reference.batches import random_labels, random_logits

LOGITS, TARGET = random_logits(4), random_labels(4)


class OffsetLoss(PixelLoss):
    """A loss with something to learn, for the tests of what must stay connected."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor([2.0, 3.0]))

    def evaluate(self, batch: Batch) -> torch.Tensor:
        return batch.logits.sum(1) * self.offset.prod()


def test_value_is_the_weighted_sum() -> None:
    terms = [DiceLoss(), PowerJaccardLoss(), FocalLoss(), TverskyLoss(per_image=False)]
    weights = [0.5, 2.0, 1.0, 0.25]
    expected = sum(w * term(LOGITS, TARGET) for w, term in zip(weights, terms, strict=True))
    torch.testing.assert_close(CompoundLoss(terms, weights)(LOGITS, TARGET), expected)


def test_terms_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many region terms, also nested: the united moments, one call."""
    asked = []

    def counted(batch: Batch, moments: frozenset[float], **kwargs: bool) -> object:
        asked.append(frozenset(moments))
        return statistics.region_statistics(batch, moments, **kwargs)

    monkeypatch.setattr(compound, "region_statistics", counted)
    monkeypatch.setattr("metriseg.losses.base.region_statistics", counted)
    nested = CompoundLoss([PowerJaccardLoss(power=2.0), CrossEntropyLoss()])
    CompoundLoss([DiceLoss(), PowerJaccardLoss(power=1.5), nested])(LOGITS, TARGET)
    assert asked == [frozenset({1.0, 1.5, 2.0})]


def test_names_of_terms() -> None:
    loss = CompoundLoss([DiceLoss(), CrossEntropyLoss(), DiceLoss(classes="present"), DiceLoss()])
    assert loss.term_names == ["dice", "cross_entropy", "dice_2", "dice_3"]


def test_term_values_add_up_and_are_reported() -> None:
    reported: list[Mapping[str, torch.Tensor]] = []

    class Reporting(CompoundLoss):
        def report(self, values: Mapping[str, torch.Tensor]) -> None:
            reported.append(dict(values))

    loss = Reporting([DiceLoss(), CrossEntropyLoss()], [1.0, 0.5])
    total = loss(LOGITS, TARGET)
    assert list(reported[0]) == ["dice", "cross_entropy"]
    torch.testing.assert_close(sum(reported[0].values()), total)


def test_schedules_are_read_at_the_step() -> None:
    linear = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 10}
    loss = CompoundLoss([DiceLoss(), CrossEntropyLoss()], [linear, 1.0])
    dice, entropy = DiceLoss()(LOGITS, TARGET), CrossEntropyLoss()(LOGITS, TARGET)
    for step, weight in ((0, 1.0), (5, 0.5), (10, 0.0), (99, 0.0)):
        loss.step = step
        torch.testing.assert_close(loss(LOGITS, TARGET), weight * dice + entropy)


def test_a_term_of_weight_zero_is_connected_but_not_computed() -> None:
    """DDP wants every parameter used; 0 times an infinite value would be NaN."""
    loss = CompoundLoss([DiceLoss(), OffsetLoss()], [1.0, 0.0])
    logits = torch.full_like(LOGITS, float("inf"))
    logits[:, 0] = 0.0
    value = CompoundLoss([DiceLoss(activation="sigmoid")])(logits, TARGET)
    assert torch.isfinite(value)
    loss(LOGITS, TARGET).backward()
    assert torch.equal(loss.terms[1].offset.grad, torch.zeros(2))


def test_learnable_parameters_are_connected_when_nothing_counts() -> None:
    loss = OffsetLoss()
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, TARGET, weight=torch.zeros(2, 5, 4))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(loss.offset.grad, torch.zeros(2))
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_terms_keep_their_own_reduction() -> None:
    loss = CompoundLoss([CrossEntropyLoss(reduction="sum"), CrossEntropyLoss()])
    expected = CrossEntropyLoss()(LOGITS, TARGET) * (TARGET.numel() + 1)
    torch.testing.assert_close(loss(LOGITS, TARGET), expected)


def test_unreduced_pixel_terms_add_up() -> None:
    loss = CompoundLoss(
        [CrossEntropyLoss(reduction="none"), FocalLoss(reduction="none")], [1.0, 2.0]
    )
    assert loss(LOGITS, TARGET).shape == TARGET.shape


def test_bad_terms_and_weights() -> None:
    with pytest.raises(ValueError, match="terms must have at least one loss"):
        CompoundLoss([])
    with pytest.raises(ValueError, match="terms must be losses of metriseg, got CrossEntropyLoss"):
        CompoundLoss([nn.CrossEntropyLoss()])
    with pytest.raises(ValueError, match="weights must have a number for each of the 2 terms"):
        CompoundLoss([DiceLoss(), FocalLoss()], [1.0])
    with pytest.raises(ValueError, match="weights must be a finite number"):
        CompoundLoss([DiceLoss()], [-1.0])
    with pytest.raises(ValueError, match=r"agree whether they take probabilities .* or raw scores"):
        CompoundLoss([DiceLoss(), FocalLoss(activation="identity")])
    with pytest.raises(ValueError, match="terms must agree about ignore_index"):
        CompoundLoss([DiceLoss(ignore_index=255), FocalLoss()])


def test_each_term_has_its_own_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Softmax Dice beside a sigmoid focal loss; region terms of one activation share a pass."""
    asked = []

    def counted(batch: Batch, moments: frozenset[float], **kwargs: bool) -> object:
        asked.append((batch.activation, frozenset(moments)))
        return statistics.region_statistics(batch, moments, **kwargs)

    monkeypatch.setattr("metriseg.losses.compound.region_statistics", counted)
    terms = [
        DiceLoss(),
        FocalLoss(activation="sigmoid"),
        metriseg.JaccardLoss(activation="sigmoid"),
        metriseg.PowerJaccardLoss(power=2.0),
        metriseg.LovaszHingeLoss(),
        CompoundLoss([DiceLoss(activation="sigmoid"), CrossEntropyLoss()]),
    ]
    expected = sum(term(LOGITS, TARGET) for term in terms)
    asked.clear()
    torch.testing.assert_close(CompoundLoss(terms)(LOGITS, TARGET), expected)
    assert asked[:2] == [("softmax", {1.0, 2.0}), ("sigmoid", {1.0})]
    leaf = LOGITS.clone().requires_grad_()
    CompoundLoss(terms[:5])(leaf, TARGET).backward()
    other = LOGITS.clone().requires_grad_()
    sum(term(other, TARGET) for term in terms[:5]).backward()
    torch.testing.assert_close(leaf.grad, other.grad)


def test_a_caller_who_decides_is_told_which_term_cannot() -> None:
    loss = CompoundLoss([CrossEntropyLoss(), metriseg.LovaszHingeLoss()])
    given = {"ignore_index": None, "weight": None}
    both = loss.compute(LOGITS, TARGET, activation="sigmoid", **given)
    assert torch.isfinite(both)
    message = "activation must be 'sigmoid' for the term 'lovasz_hinge', got 'identity'"
    with pytest.raises(ValueError, match=message):
        loss.compute(LOGITS.softmax(1), TARGET, activation="identity", **given)


def test_bad_schedules() -> None:
    with pytest.raises(ValueError, match="weights: schedule must be one of 'constant', 'linear'"):
        schedule({"schedule": "exponential"})
    with pytest.raises(ValueError, match="LinearSchedule has no argument 'stop'"):
        schedule({"schedule": "linear", "start": 1.0, "stop": 0.0, "steps": 3})
    with pytest.raises(ValueError, match=r"the schedule 'linear' is incomplete: .*'end'"):
        schedule({"schedule": "linear", "start": 1.0, "steps": 3})
    with pytest.raises(ValueError, match="steps must be a finite number"):
        schedule({"schedule": "cosine", "start": 1.0, "end": 0.0, "steps": 0})
    with pytest.raises(ValueError, match="weights must have one number more than milestones"):
        schedule({"schedule": "step", "weights": [1.0], "milestones": [3]})
    with pytest.raises(ValueError, match="milestones must increase"):
        schedule({"schedule": "step", "weights": [1.0, 0.5, 0.2], "milestones": [5, 3]})
    assert schedule(3) == ConstantSchedule(3.0)
    assert schedule({"SCHEDULE": "constant", "WEIGHT": 2}) == ConstantSchedule(2)


def test_deepcopy_keeps_schedules() -> None:
    linear = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 10}
    loss = copy.deepcopy(CompoundLoss([DiceLoss()], [linear]))
    loss.step = 10
    assert loss(LOGITS, TARGET).item() == 0.0
