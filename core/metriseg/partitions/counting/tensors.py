"""Entries of label maps on an accelerator, counted there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.arrays import Labels, as_labels, host, integer_array
from metriseg.partitions.counting.ignored import IgnoredLabels, without_ignored
from metriseg.partitions.counting.planes import (
    check_features,
    check_mask,
    check_measure,
    check_planes,
)
from metriseg.partitions.grouping import Cells, group
from metriseg.partitions.label_maps import not_negative, same_shape

#: Pixels read at once.
BLOCK = 1 << 27


def cells_of_tensors(
    x: Tensor, y: Any, weight: Any, features: Any, ignored: IgnoredLabels, mask: Any = None
) -> Iterator[Cells]:
    """Entries of two label maps on an accelerator, counted there; only the entries leave it."""
    x, x_is_large = _label_tensor("x", x, x)
    y, y_is_large = _label_tensor("y", y, x)
    same_shape(tuple(x.shape), tuple(y.shape))
    shape = tuple(x.shape)
    weight = None if weight is None else _tensor_planes("weight", weight, x)
    features = None if features is None else _tensor_planes("features", features, x)
    single = weight is not None and weight.ndim == len(shape)
    counted = None if mask is None else _tensor_mask(mask, x)
    x, y = x.reshape(-1), y.reshape(-1)
    weights = None if weight is None else weight.reshape(-1, x.numel())
    described = None if features is None else features.reshape(-1, x.numel())
    for start in range(0, x.numel(), BLOCK):
        block = slice(start, start + BLOCK)
        kept: Any = slice(None) if counted is None else counted[block]
        xs, ys = x[block][kept], y[block][kept]
        if not len(xs):
            continue
        change = torch.ones(len(xs), dtype=torch.bool, device=xs.device)
        torch.ne(xs[1:], xs[:-1], out=change[1:])
        change[1:] |= ys[1:] != ys[:-1]
        heads = change.nonzero().squeeze(1)
        lengths = torch.diff(heads, append=heads.new_tensor([len(xs)]))
        x_heads, y_heads = xs[heads].long(), ys[heads].long()
        parts = []
        if weights is not None:
            mass = weights[:, block][:, kept].double()
            check_measure("weight", bool(((mass >= 0) & mass.isfinite()).all()))
            parts += list(mass)
        if described is not None:
            seen = described[:, block][:, kept].double()
            check_features(bool(seen.isfinite().all()))
            parts += list(seen if weights is None else seen * mass[0])
        sums = [torch.segment_reduce(part, "sum", lengths=lengths) for part in parts]
        cells = _grouped_on_device(x_heads, y_heads, lengths, sums, weights, single)
        cells = cells._replace(x=_as_labels(cells.x, x_is_large), y=_as_labels(cells.y, y_is_large))
        cells = without_ignored(cells, ignored)
        not_negative("x", cells.x)
        not_negative("y", cells.y)
        yield group(cells)


def _grouped_on_device(
    x: Tensor,
    y: Tensor,
    lengths: Tensor,
    sums: list[Tensor],
    weights: Tensor | None,
    single: bool,
) -> Cells:
    """Entries of equal label pairs added up before they leave the device."""
    low_x, high_x, low_y, high_y = (
        int(end) for end in torch.stack([*torch.aminmax(x), *torch.aminmax(y)]).tolist()
    )
    width = high_y - low_y + 1
    if (high_x - low_x + 1) * width < 2**63:
        keys = (x - low_x) * width + (y - low_y)
    else:
        _, x_place = torch.unique(x, return_inverse=True)
        names, y_place = torch.unique(y, return_inverse=True)
        keys = x_place * len(names) + y_place
    keys, order = torch.sort(keys, stable=True)
    _, place, runs = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
    first = order[torch.cumsum(runs, 0) - runs]
    columns = [torch.segment_reduce(part[order], "sum", lengths=runs) for part in sums]
    measures = 0 if weights is None else len(weights)
    if weights is None:
        counted = torch.zeros_like(runs).index_add_(0, place, lengths[order])
        values = counted.cpu().numpy()
    else:
        stacked = torch.stack(columns[:measures], 1).cpu().numpy()
        values = stacked[:, 0] if single else stacked
    described = columns[measures:]
    features = torch.stack(described, 1).cpu().numpy() if described else None
    return Cells(x[first].cpu().numpy(), y[first].cpu().numpy(), values, features)


def _as_labels(bits: NDArray[Any], is_large: bool) -> Labels:
    return as_labels(bits.view(np.uint64) if is_large else bits)


def _label_tensor(name: str, labels: Any, like: Tensor) -> tuple[Tensor, bool]:
    """Labels on the device of the others, and whether they are the bits of uint64, as int64."""
    given = labels if isinstance(labels, Tensor) else integer_array(name, labels)
    tensor = torch.as_tensor(given)
    if tensor.numel() == 0:
        raise ValueError(f"{name} must hold at least one pixel, got shape {tuple(tensor.shape)}")
    if tensor.is_floating_point() or tensor.is_complex():
        raise ValueError(f"{name} must hold integer labels, got dtype {tensor.dtype}")
    is_large = tensor.dtype is torch.uint64
    # few operators take uint64: to tell equal ones bits are enough
    return (tensor.view(torch.int64) if is_large else tensor).to(like.device), is_large


def _tensor_mask(mask: Any, x: Tensor) -> Tensor:
    """``(pixels,)``."""
    tensor = torch.as_tensor(mask if isinstance(mask, Tensor) else host("mask", mask))
    check_mask(tensor.dtype, tuple(tensor.shape), tuple(x.shape))
    return tensor.to(x.device).reshape(-1)


def _tensor_planes(name: str, values: Any, x: Tensor) -> Tensor:
    tensor = torch.as_tensor(values if isinstance(values, Tensor) else host(name, values))
    check_planes(name, tuple(tensor.shape), tuple(x.shape))
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {tensor.dtype}")
    return tensor.detach().to(x.device)
