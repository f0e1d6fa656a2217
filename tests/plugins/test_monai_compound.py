"""Compound losses in MONAI: nested, deeply supervised, scheduled and shown in the log."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("monai")
pytest.importorskip("ignite")

from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedTrainer
from monai.losses import DeepSupervisionLoss, DiceFocalLoss

import metriseg_monai as m
from metriseg_monai.handlers import CompoundLossHandler

COMMON = {"softmax": True, "to_onehot_y": True}


def dice_and_cross_entropy(second_weight: Any = 0.5) -> m.CompoundLoss:
    return m.CompoundLoss(
        [m.DiceLoss(**COMMON), m.CrossEntropyLoss(**COMMON)], weights=[1.0, second_weight]
    )


def data(count: int = 4) -> list[dict[str, Tensor]]:
    random = torch.Generator().manual_seed(3)
    return [
        {
            "image": torch.rand(1, 6, 6, generator=random),
            "label": torch.randint(0, 3, (1, 6, 6), generator=random).float(),
        }
        for _ in range(count)
    ]


def trainer(loss: nn.Module, handlers: list[Any], epochs: int = 2) -> SupervisedTrainer:
    """Two iterations an epoch over a network that never learns, so every epoch is the same."""
    torch.manual_seed(0)
    network = nn.Conv2d(1, 3, 3, padding=1)
    return SupervisedTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(data()), batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=loss,
        train_handlers=handlers,
    )


def mean_value(loss: nn.Module, network: nn.Module) -> float:
    """The mean of the two iterations' values."""
    batches = list(DataLoader(Dataset(data()), batch_size=2))
    with torch.no_grad():
        return sum(float(loss(network(b["image"]), b["label"])) for b in batches) / 2


class Recorder:
    """A handler that notes what stands in the engine after every iteration."""

    def __init__(self, note: Any) -> None:
        self.note, self.notes = note, []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.notes.append(self.note(engine))


def test_a_compound_is_the_weighted_sum_of_its_terms() -> None:
    """Nested ones too: 1 dice + 2 (1 dice + 0.5 ce) = 3 dice + ce."""
    random = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 5, 5, generator=random)
    target = torch.randint(0, 3, (2, 1, 5, 5), generator=random)
    dice, ce = (loss(**COMMON)(logits, target) for loss in (m.DiceLoss, m.CrossEntropyLoss))
    nested = m.CompoundLoss([m.DiceLoss(**COMMON), dice_and_cross_entropy()], weights=[1, 2])
    torch.testing.assert_close(nested(logits, target), 3 * dice + ce)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"softmax": True}, {}, "terms must agree whether they take probabilities"),
        ({"ignore_index": 9}, {}, "terms must agree about ignore_index"),
        ({"to_onehot_y": True}, {}, "terms must agree about to_onehot_y"),
        ({"other_act": torch.sigmoid}, {"other_act": torch.tanh}, "agree about other_act"),
    ],
)
def test_terms_must_agree(first: dict[str, Any], second: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.CompoundLoss([m.DiceLoss(**first), m.JaccardLoss(**second)])


def test_each_term_has_its_own_activation() -> None:
    """Softmax Dice plus sigmoid focal, as MONAI's DiceFocalLoss(softmax=True) is."""
    random = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 5, 5, generator=random)
    target = torch.randint(0, 3, (2, 1, 5, 5), generator=random)
    terms = [
        m.DiceLoss(softmax=True, to_onehot_y=True),
        m.FocalLoss(sigmoid=True, to_onehot_y=True),
    ]
    expected = sum(term(logits, target) for term in terms)
    torch.testing.assert_close(m.CompoundLoss(terms)(logits, target), expected)
    monai = DiceFocalLoss(softmax=True, to_onehot_y=True)(logits, target)
    torch.testing.assert_close(expected, monai, rtol=1e-5, atol=1e-6)


def test_each_term_keeps_its_reduction() -> None:
    """A sum of sums: Dice over 2 images x 3 classes, cross-entropy over 2 x 25 voxels."""
    random = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 5, 5, generator=random)
    target = torch.randint(0, 3, (2, 1, 5, 5), generator=random)
    terms = [loss(**COMMON, reduction="sum") for loss in (m.DiceLoss, m.CrossEntropyLoss)]
    means = [loss(**COMMON)(logits, target) for loss in (m.DiceLoss, m.CrossEntropyLoss)]
    expected = 6 * means[0] + 50 * means[1]
    torch.testing.assert_close(m.CompoundLoss(terms)(logits, target), expected)


@pytest.mark.parametrize("compound", [False, True])
def test_deep_supervision(compound: bool) -> None:
    """Float labels resized to every scale (nearest-exact), weights 1, 1/2, 1/4."""
    loss = dice_and_cross_entropy() if compound else m.PowerJaccardLoss(**COMMON)
    random = torch.Generator().manual_seed(4)
    outputs = [torch.randn(2, 3, size, size, generator=random) for size in (16, 8, 4)]
    target = torch.randint(0, 3, (2, 1, 16, 16), generator=random).float()
    expected = torch.zeros(())
    for level, output in enumerate(outputs):
        size = output.shape[2:]
        resized = torch.nn.functional.interpolate(target, size, mode="nearest-exact")
        expected = expected + 0.5**level * loss(output, resized)
    torch.testing.assert_close(DeepSupervisionLoss(loss)(outputs, MetaTensor(target)), expected)


def test_the_handler_counts_iterations() -> None:
    """A weight from 1 to 0 in 4 steps: 1, 3/4, 1/2, 1/4 in four iterations."""
    loss = dice_and_cross_entropy({"schedule": "linear", "start": 1, "end": 0, "steps": 4})
    recorder = Recorder(lambda engine: loss._schedules[1](loss.current_step()))
    trainer(loss, [CompoundLossHandler(loss), recorder]).run()
    assert recorder.notes == [1.0, 0.75, 0.5, 0.25]


def test_the_handler_counts_epochs_inside_other_losses() -> None:
    """Two iterations an epoch; the compound stands inside another, inside MONAI's wrapper."""
    inner = dice_and_cross_entropy()
    loss = DeepSupervisionLoss(m.CompoundLoss([inner]))
    recorder = Recorder(lambda engine: (loss.loss.step, inner.step))
    trainer(loss, [CompoundLossHandler(loss, epoch_level=True), recorder]).run()
    assert recorder.notes == [(0, 0), (0, 0), (1, 1), (1, 1)]


def test_the_log_shows_the_terms() -> None:
    """The weighted means over the epoch's iterations, which add up to the mean of the loss.

    What is computed between iterations, by a validation, doesn't count.
    """
    loss = dice_and_cross_entropy()
    other = torch.zeros(1, 3, 6, 6), torch.zeros(1, 1, 6, 6)
    validation = Recorder(lambda engine: loss(*other))
    engine = trainer(loss, [CompoundLossHandler(loss), validation])
    engine.run()
    logged = engine.state.metrics
    dice, ce = (term(**COMMON) for term in (m.DiceLoss, m.CrossEntropyLoss))
    assert set(logged) == {"loss_dice", "loss_cross_entropy"}
    assert logged["loss_dice"] == pytest.approx(mean_value(dice, engine.network))
    assert logged["loss_cross_entropy"] == pytest.approx(0.5 * mean_value(ce, engine.network))
    assert sum(logged.values()) == pytest.approx(mean_value(loss, engine.network))


def test_a_loss_in_training_can_be_copied_and_pickled() -> None:
    """The handler holds no engine, so a copy drags none along."""
    loss = dice_and_cross_entropy()
    copies = Recorder(lambda engine: (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))))
    engine = trainer(loss, [CompoundLossHandler(loss)])
    engine.add_event_handler(Events.ITERATION_STARTED, copies)
    engine.run()
    assert len(copies.notes) == 4
    for copied in copies.notes[0]:
        assert mean_value(copied, engine.network) == mean_value(loss, engine.network)


def test_the_handler_leaves_other_losses_alone() -> None:
    """It may stay in a config when the loss changes."""
    loss = m.DiceLoss(**COMMON)
    engine = trainer(loss, [CompoundLossHandler(loss)])
    engine.run()
    assert engine.state.metrics == {}
    with pytest.raises(ValueError, match=r"loss must be a torch\.nn\.Module, got str"):
        CompoundLossHandler("dice")


# ------------------------------------------------------------------- losses of MONAI as terms


def sums_of(*terms: nn.Module, **words: Any) -> tuple[Tensor, Tensor, Tensor]:
    """A sum with class indices: its value, the terms' values added, and the logits' gradient."""
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, 6, 5, generator=random).requires_grad_()
    target = torch.randint(0, 3, (2, 1, 6, 5), generator=random).float()
    value = m.CompoundLoss(list(terms), **words)(MetaTensor(logits), MetaTensor(target))
    apart = sum(term(logits, target) for term in terms)
    (gradient,) = torch.autograd.grad(value, logits)
    return value, apart, gradient


def test_losses_of_monai_are_terms() -> None:
    """Beside one of ours, with their own words, under their own names, with weights in time."""
    theirs = DiceFocalLoss(**COMMON, jaccard=True)
    value, apart, gradient = sums_of(m.CrossEntropyLoss(**COMMON), theirs)
    assert type(value) is Tensor
    torch.testing.assert_close(value, apart)
    assert gradient.any()
    loss = m.CompoundLoss(
        [m.DiceLoss(**COMMON), theirs, DiceFocalLoss(**COMMON)],
        weights=[1.0, {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}, 0.0],
    )
    assert loss.term_names == ["dice", "dice_focal", "dice_focal_2"]
    loss.step = 2
    logits, target = torch.zeros(1, 3, 4), torch.tensor([[[0.0, 1.0, 2.0, 2.0]]])
    torch.testing.assert_close(
        loss(logits, target), loss.terms[0](logits, target) + 0.5 * theirs(logits, target)
    )
    for other in (copy.deepcopy(loss), m.CompoundLoss(**loss.arguments())):
        other.step = 2
        torch.testing.assert_close(other(logits, target), loss(logits, target))


def test_losses_of_monai_see_every_voxel() -> None:
    terms = [m.DiceLoss(**COMMON, ignore_index=255), DiceFocalLoss(**COMMON)]
    logits, target = torch.zeros(1, 3, 4), torch.tensor([[[0.0, 1.0, 2.0, 2.0]]])
    with pytest.raises(ValueError, match="DiceFocalLoss of another package can't leave voxels out"):
        m.CompoundLoss(terms)(logits, target)
    with pytest.raises(ValueError, match="other_act makes probabilities of the input"):
        m.CompoundLoss([m.DiceLoss(other_act=torch.sigmoid), DiceFocalLoss(sigmoid=True)])


# ------------------------------------------------------------------------ schedules that stand


def test_a_schedule_that_nobody_moves_is_warned_of() -> None:
    """In the second step of a training; not under the handler, nor of weights that are numbers."""
    moving = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}
    with pytest.warns(UserWarning, match="attach metriseg_monai.handlers.CompoundLossHandler"):
        trainer(dice_and_cross_entropy(moving), []).run()
    quiet = [
        (dice_and_cross_entropy(0.5), []),
        *((loss, [CompoundLossHandler(loss)]) for loss in [dice_and_cross_entropy(moving)]),
    ]
    for loss, handlers in quiet:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            trainer(loss, handlers).run()
        assert not [w for w in seen if "schedules" in str(w.message)]


def test_a_compiled_loss_is_compiled_once() -> None:
    """Whatever it counts for its warning, a step looks like the last one to the compiler."""
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    loss = m.CompoundLoss([m.CrossEntropyLoss(**COMMON), m.BoundaryLoss(**COMMON)])
    compiled = torch.compile(loss, backend=counter)
    random = torch.Generator().manual_seed(0)
    for _ in range(4):
        logits = torch.randn(2, 3, 6, 5, generator=random).requires_grad_()
        target = torch.randint(0, 3, (2, 1, 6, 5), generator=random).float()
        compiled(logits, target).backward()
    assert counter.frame_count == 1
    torch._dynamo.reset()
