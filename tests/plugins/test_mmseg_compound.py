"""Several losses in one, its schedules and what MMEngine's log shows of it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("mmseg")

from mmengine.logging import MessageHub
from mmseg.registry import MODELS

from metriseg_mmseg import CompoundLoss, CrossEntropyLoss, DiceLoss

DICE = {"type": "metriseg_mmseg.DiceLoss"}
CROSS_ENTROPY = {"type": "metriseg_mmseg.CrossEntropyLoss"}


@pytest.fixture
def log() -> MessageHub:
    """MMEngine's message hub as a training of its own would have it."""
    return MessageHub.get_instance(f"compound-{uuid.uuid4()}")


def build(**words: Any) -> CompoundLoss:
    return MODELS.build(
        {"type": "metriseg_mmseg.CompoundLoss", "terms": [DICE, CROSS_ENTROPY], **words}
    )


def batch() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(3, (2, 4, 4), generator=random)
    target[:, 0] = 255
    return torch.randn(2, 3, 4, 4, generator=random), target


def values() -> tuple[Tensor, Tensor]:
    return DiceLoss()(*batch()), CrossEntropyLoss()(*batch())


def test_weighted_sum() -> None:
    """0.5 (2 dice + 3 * 0.1 ce): the weights of the sum, of the term and of the whole."""
    dice, ce = values()
    terms = [DICE, {**CROSS_ENTROPY, "loss_weight": 0.1}]
    found = build(terms=terms, weights=[2.0, 3.0], loss_weight=0.5)(*batch())
    torch.testing.assert_close(found, 0.5 * (2 * dice + 0.3 * ce))


def test_ready_losses_and_nested_compounds() -> None:
    """dice + (dice + ce)."""
    dice, ce = values()
    inner = {"type": "metriseg_mmseg.CompoundLoss", "terms": [DICE, CROSS_ENTROPY]}
    found = CompoundLoss([DiceLoss(), inner])(*batch())
    torch.testing.assert_close(found, 2 * dice + ce)


def test_pixel_terms_have_values_a_pixel() -> None:
    """The sum of cross-entropy and focal loss is one too, so hard pixels can be mined by it."""
    terms = [CROSS_ENTROPY, {"type": "metriseg_mmseg.FocalLoss"}]
    found = build(terms=terms)(*batch(), reduction_override="none")
    focal = MODELS.build(terms[1])(*batch(), reduction_override="none")
    ce = CrossEntropyLoss()(*batch(), reduction_override="none")
    torch.testing.assert_close(found, ce + focal)


def test_terms_keep_their_reductions() -> None:
    """A sum over pixels beside a mean over classes, unless the call decides for both."""
    dice, ce = values()
    loss = build(terms=[DICE, {**CROSS_ENTROPY, "reduction": "sum"}])
    valid = (batch()[1] != 255).sum()
    torch.testing.assert_close(loss(*batch()), dice + valid * ce)
    torch.testing.assert_close(loss(*batch(), reduction_override="mean"), dice + ce)


def test_each_term_has_its_own_activation() -> None:
    """What a term leaves open is softmax with three channels, whatever another one needs."""
    logits, target = batch()
    alone = {
        term["type"]: MODELS.build(term)(logits, target)
        for term in (DICE, {"type": "metriseg_mmseg.LovaszHingeLoss"})
    }
    terms = [{"type": "metriseg_mmseg.LovaszHingeLoss"}, DICE]
    torch.testing.assert_close(build(terms=terms)(logits, target), sum(alone.values()))
    softmax = MODELS.build({**DICE, "activation": "softmax"})(logits, target)
    assert torch.equal(alone[DICE["type"]], softmax)
    sigmoid = MODELS.build({**DICE, "use_sigmoid": True})(logits, target)
    mixed = build(terms=[{**DICE, "use_sigmoid": True}, DICE])
    torch.testing.assert_close(mixed(logits, target), sigmoid + softmax)


def test_terms_must_agree() -> None:
    with pytest.raises(ValueError, match="agree whether they take probabilities"):
        build(terms=[DICE, {**CROSS_ENTROPY, "activation": "identity"}])


def test_one_channel() -> None:
    """The terms take sigmoid together: zero logits are probabilities 1/2, so ln 2 + 1 - 1/2...

    Dice with half of the pixels foreground: 1 - 2 (n/4) / (n/2 + n/2) = 1/2.
    """
    target = torch.tensor([[[0, 1], [1, 0]]])
    found = build()(torch.zeros(1, 1, 2, 2), target)
    assert found.item() == pytest.approx(0.5 + torch.tensor(2.0).log().item(), abs=1e-4)


def test_schedules_count_iterations(log: MessageHub) -> None:
    """A weight that goes from 0 to 1 in four iterations: 0, 1/2 and 1 at 0, 2 and 9."""
    dice, ce = values()
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 4}
    loss = build(weights=[ramp, 1.0])
    for iteration, weight in ((0, 0.0), (2, 0.5), (9, 1.0)):
        log.update_info("iter", iteration)
        torch.testing.assert_close(loss(*batch()), weight * dice + ce)


def test_schedules_without_a_runner(log: MessageHub) -> None:
    """Where nobody counts iterations, the loss's own ``step`` is read."""
    dice, ce = values()
    loss = build(weights=[{"schedule": "step", "weights": [0.0, 3.0], "milestones": [5]}, 1.0])
    torch.testing.assert_close(loss(*batch()), ce)
    loss.step = 5
    torch.testing.assert_close(loss(*batch()), 3 * dice + ce)


def test_terms_are_logged(log: MessageHub) -> None:
    """Each under the loss's name and its own, with all weights, so that they add up."""
    dice, ce = values()
    total = build(weights=[2.0, 1.0], loss_weight=0.5)(*batch())
    scalars = {key: buffer.current() for key, buffer in log.log_scalars.items()}
    assert scalars == pytest.approx(
        {
            "train/loss_compound_dice": dice.item(),
            "train/loss_compound_cross_entropy": 0.5 * ce.item(),
        }
    )
    assert sum(scalars.values()) == pytest.approx(total.item())


def test_only_steps_of_training_are_logged(log: MessageHub) -> None:
    """Not a sampler's look at the pixels, nor a validation loss."""
    pixels = build(terms=[CROSS_ENTROPY])
    pixels(*batch(), reduction_override="none")
    pixels.eval()(*batch())
    assert not log.log_scalars
