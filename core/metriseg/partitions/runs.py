"""From label maps to entries of their contingency table, run by run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.partitions.grouping import Cells, group

#: Pixels read at once: their temporaries stay in the cache of a core.
BLOCK = 1 << 19
#: Pixels read at once on an accelerator.
ACCELERATOR_BLOCK = 1 << 27
LARGEST = 2**63 - 1


def cells_of_arrays(
    x: Any, y: Any, weight: Any, features: Any, ignored: tuple[NDArray[np.int64], ...]
) -> Iterator[Cells]:
    """Entries of two label maps in host memory, a block of pixels at a time."""
    x, y = _label_array("x", x), _label_array("y", y)
    _same_shape(x.shape, y.shape)
    shape = x.shape
    weight = None if weight is None else _planes("weight", host(weight), shape)
    features = None if features is None else _planes("features", host(features), shape)
    single = weight is not None and weight.ndim == len(shape)
    if x.flags.f_contiguous and y.flags.f_contiguous and weight is None and features is None:
        x, y = x.T, y.T
    x, y = x.reshape(-1), y.reshape(-1)
    weights = None if weight is None else weight.reshape(-1, x.size)
    described = None if features is None else features.reshape(-1, x.size)
    for start in range(0, x.size, BLOCK):
        block = slice(start, start + BLOCK)
        xs, ys = x[block], y[block]
        change = xs[1:] != xs[:-1]
        change |= ys[1:] != ys[:-1]
        heads = np.concatenate([[0], np.flatnonzero(change) + 1])
        values: NDArray[Any]
        if weights is None:
            values = np.diff(heads, append=len(xs))
        else:
            mass = np.asarray(weights[:, block], np.float64)
            _check("weight", bool((mass >= 0).all()) and bool(np.isfinite(mass).all()))
            values = np.add.reduceat(mass, heads, axis=1).T
            values = np.ascontiguousarray(values[:, 0] if single else values)
        sums = None
        if described is not None:
            seen = np.asarray(described[:, block], np.float64)
            _check_features(bool(np.isfinite(seen).all()))
            if weights is not None:
                seen = seen * mass[0]
            sums = np.ascontiguousarray(np.add.reduceat(seen, heads, axis=1).T)
        cells = _kept(
            Cells(_signed("x", xs[heads]), _signed("y", ys[heads]), values, sums), ignored
        )
        _not_negative("x", cells.x)
        _not_negative("y", cells.y)
        yield cells


def cells_of_tensors(
    x: Tensor, y: Any, weight: Any, features: Any, ignored: tuple[NDArray[np.int64], ...]
) -> Iterator[Cells]:
    """Entries of two label maps on an accelerator, counted there; only the entries leave it."""
    x = _label_tensor("x", x, x)
    y = _label_tensor("y", y, x)
    _same_shape(tuple(x.shape), tuple(y.shape))
    shape = tuple(x.shape)
    weight = None if weight is None else _tensor_planes("weight", weight, x)
    features = None if features is None else _tensor_planes("features", features, x)
    single = weight is not None and weight.ndim == len(shape)
    x, y = x.reshape(-1), y.reshape(-1)
    weights = None if weight is None else weight.reshape(-1, x.numel())
    described = None if features is None else features.reshape(-1, x.numel())
    for start in range(0, x.numel(), ACCELERATOR_BLOCK):
        block = slice(start, start + ACCELERATOR_BLOCK)
        xs, ys = x[block], y[block]
        change = torch.ones(len(xs), dtype=torch.bool, device=xs.device)
        torch.ne(xs[1:], xs[:-1], out=change[1:])
        change[1:] |= ys[1:] != ys[:-1]
        heads = change.nonzero().squeeze(1)
        lengths = torch.diff(heads, append=heads.new_tensor([len(xs)]))
        x_heads, y_heads = xs[heads].long(), ys[heads].long()
        parts = []
        if weights is not None:
            mass = weights[:, block].double()
            _check("weight", bool(((mass >= 0) & mass.isfinite()).all()))
            parts += list(mass)
        if described is not None:
            seen = described[:, block].double()
            _check_features(bool(seen.isfinite().all()))
            parts += list(seen if weights is None else seen * mass[0])
        sums = [torch.segment_reduce(part, "sum", lengths=lengths) for part in parts]
        yield from _grouped_on_device(x_heads, y_heads, lengths, sums, weights, single, ignored)


def _grouped_on_device(
    x: Tensor,
    y: Tensor,
    lengths: Tensor,
    sums: list[Tensor],
    weights: Tensor | None,
    single: bool,
    ignored: tuple[NDArray[np.int64], ...],
) -> Iterator[Cells]:
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
    cells = Cells(x[first].cpu().numpy(), y[first].cpu().numpy(), values, features)
    cells = _kept(cells, ignored)
    _not_negative("x", cells.x)
    _not_negative("y", cells.y)
    yield group(cells)


def given_cells(x: Any, y: Any, values: Any, features: Any) -> Cells:
    """Entries that a caller states, checked."""
    xs, ys = _given_labels("x", x), _given_labels("y", y)
    data = np.asarray(values)
    if data.dtype.kind not in "biuf":
        raise ValueError(f"values must hold real numbers, got dtype {data.dtype}")
    data = data.astype(np.float64 if data.dtype.kind == "f" else np.int64)
    _check("values", bool((data >= 0).all()) and bool(np.isfinite(data).all()))
    sums = None if features is None else np.asarray(features, np.float64)
    entries = xs.shape
    fits = len(entries) == 1 and ys.shape == entries == data.shape[:1] and data.ndim <= 2
    if not (fits and (sums is None or (sums.ndim == 2 and sums.shape[:1] == entries))):
        came = [part.shape for part in (xs, ys, data, sums) if part is not None]
        raise ValueError(
            "values must have shape (cells,) or (cells, R), features (cells, F), and x and y"
            f" (cells,), got x, y, values, features of {', '.join(map(str, came))}"
        )
    if sums is not None:
        _check_features(bool(np.isfinite(sums).all()))
    return Cells(xs, ys, data, sums)


def _given_labels(name: str, given: Any) -> NDArray[np.int64]:
    labels = host(given)
    signed = _signed(name, _label_array(name, labels) if labels.size else labels)
    _not_negative(name, signed)
    return signed


def _kept(cells: Cells, ignored: tuple[NDArray[np.int64], ...]) -> Cells:
    drop: NDArray[np.bool_] | None = None
    for labels, names in zip((cells.x, cells.y), ignored, strict=True):
        for name in names:
            drop = labels == name if drop is None else drop | (labels == name)
    if drop is None or not drop.any():
        return cells
    kept = ~drop
    features = None if cells.features is None else cells.features[kept]
    return Cells(cells.x[kept], cells.y[kept], cells.values[kept], features)


def host(values: Any) -> NDArray[Any]:
    """As a NumPy array, wherever it was."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _label_array(name: str, labels: Any) -> NDArray[Any]:
    array = host(labels)
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one pixel, got shape {array.shape}")
    if array.dtype.kind not in "biu":
        raise ValueError(f"{name} must hold integer labels, got dtype {array.dtype}")
    return array


def _label_tensor(name: str, labels: Any, like: Tensor) -> Tensor:
    tensor = labels if isinstance(labels, Tensor) else torch.as_tensor(np.asarray(labels))
    if tensor.numel() == 0:
        raise ValueError(f"{name} must hold at least one pixel, got shape {tuple(tensor.shape)}")
    if tensor.is_floating_point() or tensor.is_complex():
        raise ValueError(f"{name} must hold integer labels, got dtype {tensor.dtype}")
    if tensor.dtype is torch.uint64:
        tensor = tensor.view(torch.int64)
        if bool((tensor < 0).any()):
            raise ValueError(f"{name} must hold labels up to 2^63 - 1, got larger ones")
    return tensor.to(like.device)


def _same_shape(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    if x != y:
        raise ValueError(f"y must have the shape of x, {tuple(x)}, got {tuple(y)}")


def _planes(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    _check_planes(name, tuple(values.shape), shape)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {values.dtype}")
    return values


def _tensor_planes(name: str, values: Any, x: Tensor) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    _check_planes(name, tuple(tensor.shape), tuple(x.shape))
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {tensor.dtype}")
    return tensor.detach().to(x.device)


def _check_planes(name: str, came: tuple[int, ...], shape: tuple[int, ...]) -> None:
    fits = len(came) == len(shape) + 1 and came[1:] == shape and came[0] > 0
    if not fits and not (name == "weight" and came == shape):
        plain = f"{shape} or " if name == "weight" else ""
        count = "R" if name == "weight" else "F"
        rest = ", ".join(map(str, shape))
        raise ValueError(f"{name} must have shape {plain}({count}, {rest}), got {came}")


def _signed(name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.dtype == np.uint64 and len(labels) and int(labels.max()) > LARGEST:
        raise ValueError(f"{name} must hold labels up to 2^63 - 1, got {int(labels.max())}")
    return labels.astype(np.int64)


def _not_negative(name: str, labels: NDArray[np.int64]) -> None:
    if len(labels) and int(labels.min()) < 0:
        raise ValueError(
            f"{name} must hold labels that are not negative (or ignored), got {int(labels.min())}"
        )


def _check(name: str, fine: bool) -> None:
    if not fine:
        raise ValueError(f"{name} must be finite and not negative")


def _check_features(fine: bool) -> None:
    if not fine:
        raise ValueError("features must be finite")
