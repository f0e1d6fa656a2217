"""The canonical form, and the errors that bad input gets."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metriseg
from metriseg import Batch, DiceLoss
from reference.batches import IGNORE, random_labels, random_logits

LOGITS = random_logits(4)
TARGET = random_labels(4)


def test_ignored_pixels_become_weight_zero_and_label_zero() -> None:
    target = torch.tensor([[0, IGNORE, 2]])
    batch = Batch.from_tensors(torch.zeros(1, 3, 3), target, ignore_index=IGNORE)
    assert batch.weight.tolist() == [[1, 0, 1]]
    assert batch.target.tolist() == [[0, 0, 2]]


def test_a_weight_and_an_ignored_label_combine() -> None:
    batch = Batch.from_tensors(
        torch.zeros(1, 3, 3),
        torch.tensor([[0, IGNORE, 2]]),
        weight=torch.tensor([[2.0, 2.0, 0.5]]),
        ignore_index=IGNORE,
    )
    assert batch.weight.tolist() == [[2.0, 0.0, 0.5]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype: torch.dtype) -> None:
    batch = Batch.from_tensors(LOGITS.to(dtype), TARGET, weight=torch.ones(2, 5, 4).to(dtype))
    assert batch.logits.dtype == batch.weight.dtype == torch.float32


def test_one_class_labels_are_its_soft_target() -> None:
    batch = Batch.from_tensors(
        torch.zeros(1, 1, 3),
        torch.tensor([[0, 1, IGNORE]]),
        ignore_index=IGNORE,
        activation="sigmoid",
    )
    assert batch.target.tolist() == [[[0.0, 1.0, 0.0]]]


def test_a_label_that_is_ignored_may_be_a_class() -> None:
    """``ignore_index=0`` takes class 0 out of every sum."""
    target = torch.tensor([[0, 1, 2]])
    batch = Batch.from_tensors(torch.zeros(1, 3, 3), target, ignore_index=0)
    assert batch.weight.tolist() == [[0, 1, 1]]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("logits is no tensor", {"logits": [[1.0]]}, "logits must be a torch.Tensor"),
    (
        "no spatial dimension",
        {"logits": torch.zeros(2, 4)},
        r"logits must have shape \(N, C, \*S\)",
    ),
    ("integer logits", {"logits": LOGITS.long()}, "logits must be floating point, got torch.int64"),
    ("no class", {"logits": torch.zeros(2, 0, 5, 4)}, "logits must have at least one class"),
    ("softmax of one", {"logits": LOGITS[:, :1]}, "activation='softmax' over one class"),
    ("unknown activation", {"activation": "tanh"}, "activation must be one of 'softmax'"),
    ("target is no tensor", {"target": 3}, "target must be a torch.Tensor"),
    ("other size", {"target": TARGET[:, :3]}, r"target must have shape .* got \(2, 3, 4\)"),
    ("channel dimension", {"target": TARGET[:, None]}, r"target must have shape .* \(2, 1, 5, 4\)"),
    ("float labels", {"target": TARGET.float()}, "must hold integer labels, got torch.float32"),
    ("label too large", {"target": TARGET + 1}, r"target must hold labels in 0 … 3 .* to 4"),
    ("negative label", {"target": TARGET - 1}, "target must hold labels in 0 … 3 .* from -1"),
    ("soft above one", {"target": LOGITS.softmax(1) * 5}, r"target must lie in \[0, 1\]"),
    ("soft NaN", {"target": LOGITS * float("nan")}, r"target must lie in \[0, 1\]"),
    (
        "ignoring in soft labels",
        {"target": LOGITS.softmax(1), "ignore_index": 255},
        "ignore_index=255 needs integer labels",
    ),
    (
        "target with gradient",
        {"target": LOGITS.softmax(1).requires_grad_()},
        "target must not require a gradient",
    ),
    ("weight of other size", {"weight": torch.ones(2, 5)}, r"weight must be .* \(2, 5, 4\)"),
    ("negative weight", {"weight": -torch.ones(2, 5, 4)}, "weight must be finite and not negative"),
    (
        "infinite weight",
        {"weight": torch.full((2, 5, 4), float("inf"))},
        "weight must be finite and not negative",
    ),
    (
        "weight with gradient",
        {"weight": torch.ones(2, 5, 4, requires_grad=True)},
        "weight must not require a gradient",
    ),
    (
        "logits as probabilities",
        {"activation": "identity"},
        r"logits must lie in \[0, 1\].*for raw logits choose 'softmax'",
    ),
    ("maps of other length", {"maps": {"penalty": torch.ones(3, 5, 4)}}, r"maps\['penalty'\] must"),
    ("features of other length", {"features": torch.ones(3, 8, 5, 4)}, "features must have shape"),
    ("target elsewhere", {"target": TARGET.to("meta")}, "target is on meta, but the logits are on"),
]


@pytest.mark.parametrize(("arguments", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    """A ValueError names the argument, what came and what is allowed."""
    given = {"logits": LOGITS, "target": TARGET, "activation": "softmax", **arguments}
    with pytest.raises(ValueError, match=message):
        Batch.from_tensors(given.pop("logits"), given.pop("target"), **given)


CONSTRUCTORS: list[tuple[str, dict[str, Any], str]] = [
    ("DiceLoss", {"smooth": -1.0}, r"smooth must be a finite number in \[0, inf\], got -1.0"),
    ("DiceLoss", {"smooth": (1.0, 2.0, 3.0)}, "smooth must be one number or a pair"),
    ("DiceLoss", {"classes": "some"}, "classes must be one of 'all', 'present', got 'some'"),
    ("DiceLoss", {"reduction": "max"}, "reduction must be one of 'mean', 'sum', 'none'"),
    ("DiceLoss", {"activation": "relu"}, "activation must be one of"),
    ("DiceLoss", {"class_weight": [1.0, -1.0]}, "class_weight must be finite and not negative"),
    ("DiceLoss", {"class_weight": [0.0, 0.0]}, "class_weight must have a number above zero"),
    ("DiceLoss", {"class_weight": "balanced"}, "class_weight must be a list or tensor"),
    ("DiceLoss", {"class_weight": [[1.0]]}, "class_weight must have one dimension"),
    ("DiceLoss", {"ignore_index": "255"}, "ignore_index must be an integer or None, got '255'"),
    ("DiceLoss", {"ignore_index": 255.0}, "ignore_index must be an integer or None, got 255.0"),
    ("DiceLoss", {"sync": True}, "sync=True .* needs per_image=False"),
    ("CrossEntropyLoss", {"normalize": "classes"}, "normalize must be one of 'pixels', 'weights'"),
    ("FocalLoss", {"gamma": -0.5}, "gamma must be a finite number"),
    ("FocalLoss", {"alpha": 1.5}, r"alpha must be a finite number in \[0, 1\], got 1.5"),
    ("FocalLoss", {"gamma": "two"}, "gamma must be a number"),
    ("MimeLoss", {"a": 0.0}, r"a must be a finite number in \(0, inf\], got 0.0"),
    ("MimeLoss", {"b": -0.1}, r"b must be a finite number"),
    ("PowerJaccardLoss", {"power": 0.5}, r"power must be a finite number in \[1, 2\], got 0.5"),
    ("TverskyLoss", {"fp_weight": -1}, "fp_weight must be a finite number"),
    ("TverskyLoss", {"fn_weight": float("nan")}, "fn_weight must be a finite number"),
    ("TverskyLoss", {"alpha": 0.3}, "TverskyLoss has no argument 'alpha': say 'fp_weight'"),
    ("TverskyLoss", {"beta": 0.3}, "TverskyLoss has no argument 'beta': say 'fn_weight'"),
    ("DiceLoss", {"ignore_idx": 3}, "no argument 'ignore_idx': did you mean 'ignore_index'"),
    ("DiceLoss", {"weights": [1.0]}, r"did you mean 'class_weight'.* .it takes smooth"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), CONSTRUCTORS)
def test_bad_hyperparameters(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(metriseg, name)(**arguments)


def test_an_unknown_argument_is_a_type_error_too() -> None:
    """As Python itself raises for an unexpected keyword."""
    with pytest.raises(TypeError):
        DiceLoss(gamma=2.0)


def test_class_weight_of_other_length() -> None:
    with pytest.raises(
        ValueError, match="class_weight must have a number for each of the 4 classes"
    ):
        DiceLoss(class_weight=[1.0, 2.0])(LOGITS, TARGET)


def test_no_foreground_in_one_class() -> None:
    loss = DiceLoss(include_background=False, activation="sigmoid")
    with pytest.raises(ValueError, match="include_background=False leaves nothing"):
        loss(LOGITS[:, :1], TARGET.clamp(max=1))


def test_debug_is_off_by_default_and_restored() -> None:
    """On the meta device values can't be read, so nothing is checked with or without debug()."""
    logits, target = LOGITS.to("meta"), TARGET.to("meta") + 9
    assert DiceLoss()(logits, target).device.type == "meta"
    with metriseg.debug():
        assert DiceLoss()(logits, target).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_label_range_on_a_gpu_is_checked_under_debug() -> None:
    logits, target = LOGITS.cuda(), TARGET.cuda() + 1
    with metriseg.debug(), pytest.raises(ValueError, match="target must hold labels"):
        DiceLoss()(logits, target)
