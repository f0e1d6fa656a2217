"""Labels that stand for one of several classes: which one isn't known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import Batch

#: A label, which is no class, -> the classes of which it is one.
LabelSets = Mapping[int, Sequence[int]] | None


def checked_label_sets(value: Any) -> dict[int, tuple[int, ...]] | None:
    """Label sets as whole numbers; a mapping (JSON's keys are text), or a list of pairs.

    >>> checked_label_sets({"4": [2, 3]}), checked_label_sets([[4, [3, 2]]])
    ({4: (2, 3)}, {4: (2, 3)})
    """
    if value is None:
        return None
    try:
        pairs = [(key, list(members)) for key, members in dict(value).items()]
    except (TypeError, ValueError):
        raise ValueError(
            "label_sets must map a label to the classes that it may be, such as {4: [2, 3]},"
            f" got {value!r}"
        ) from None
    found = {}
    for key, members in pairs:
        label = int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key
        label = validation.label("label_sets: a label", label)
        name = f"label_sets[{label}]"
        classes = [validation.whole_number(name, member, low=0) for member in members]
        if label is None or not classes or len(set(classes)) < len(classes):
            raise ValueError(f"{name} must be a list of different classes, got {members!r}")
        found[label] = tuple(sorted(classes))
    return found


def holds_numbers(target: Any, logits: Tensor) -> bool:
    """Whether a target holds labels ``(N, *S)``."""
    return (
        isinstance(target, Tensor)
        and tuple(target.shape) == (len(logits), *logits.shape[2:])
        and not (target.is_floating_point() or target.is_complex() or target.dtype == torch.bool)
    )


def spread_label_sets(
    target: Tensor,
    logits: Tensor,
    sets: Mapping[int, Sequence[int]],
    ignore_index: int | None,
    weight: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """``(N, C, *S)``, 1 for every class that a pixel may be, and the weight, 0 where ignored.

    Raises:
        ValueError: for sets that don't fit the number of classes, an ignored label among them, and
            labels that are neither a class nor a set.
    """
    classes = logits.shape[1]
    for label, members in sets.items():
        if 0 <= label < classes:
            raise ValueError(
                f"label_sets: {label} is itself one of the {classes} classes: give the set a label"
                " of its own"
            )
        if max(members) >= classes:
            raise ValueError(
                f"label_sets[{label}] must hold classes in 0 … {classes - 1}, got {list(members)}"
            )
        if label == ignore_index:
            raise ValueError(f"label_sets: {label} is ignore_index, and can't be a set too")
    row = target.long()
    if ignore_index is not None:
        counted = row != ignore_index
        ones = torch.ones((), dtype=logits.dtype, device=logits.device)
        if weight is not None:
            weight = validation.of_pixels_or_classes(weight, logits)
        of_classes = weight is not None and weight.ndim == logits.ndim
        seen = counted.unsqueeze(1) if of_classes else counted
        weight = torch.where(seen, ones if weight is None else weight, 0.0)
        row = torch.where(counted, row, 0)
    every = [(c,) for c in range(classes)] + list(sets.values())
    rows = logits.new_tensor([[float(c in one) for c in range(classes)] for one in every])
    for place, label in enumerate(sets, start=classes):
        row = torch.where(target == label, place, row)
    counts = None if weight is None else _anything_counts(weight, logits)
    _check_rows(row, target, counts, classes, sets)
    if counts is not None:
        row = torch.where(counts, row, 0)
    return rows[row].movedim(-1, 1), weight


def _anything_counts(weight: Tensor, logits: Tensor) -> Tensor:
    """``(N, *S)`` bool, of a weight of pixels or of classes."""
    weight = validation.of_pixels_or_classes(weight, logits)
    return weight > 0 if weight.ndim < logits.ndim else (weight > 0).any(1)


def _check_rows(
    row: Tensor, target: Tensor, counts: Tensor | None, classes: int, sets: Mapping[int, Any]
) -> None:
    if not validation.values_are_checked(row):
        return
    wrong = (row < 0) | (row >= classes + len(sets))
    # what stands at a place of the sets, without being one
    wrong |= (row >= classes) & ~torch.isin(target, torch.tensor(list(sets), device=target.device))
    if counts is not None:
        wrong &= counts
    if bool(wrong.any()):
        raise ValueError(
            f"target must hold labels in 0 … {classes - 1}, or of label_sets, {sorted(sets)} (or"
            f" ignore_index), got {sorted(set(target[wrong].tolist()))[:5]}"
        )


def members(batch: Batch) -> Tensor:
    """``(N, C, *S)`` of the logits' dtype: 1 for every class that a pixel may be, else 0.

    Raises:
        ValueError: for soft labels (checked on the CPU, and on a GPU under
            :func:`~metriseg.debug`).
    """
    if not batch.has_labels:
        validation.hard_target(batch.target, exclusive=False, valid=batch.valid)
    return batch.dense_target


def telling(batch: Batch) -> Batch:
    """The same without the pixels that may be any class, or are said to be none."""
    if batch.has_labels:
        return batch
    number = members(batch).sum(1)
    tells = (number > 0) & (number < batch.num_classes)
    weight = tells.to(batch.logits) if batch.weight is None else torch.where(tells, batch.weight, 0)
    counted = None if batch.counted is None else torch.where(tells, batch.counted, 0)
    target = torch.where((weight > 0).unsqueeze(1), batch.target, 0.0)
    return dataclasses.replace(batch, target=target, weight=weight, counted=counted)
