"""From label maps to entries of their contingency table, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.partitions.grouping import Cells, group
from metriseg.partitions.progress import watched

Region: TypeAlias = tuple[slice, ...]

#: Pixels read at once: their temporaries stay in the cache of a core.
BLOCK = 1 << 16
#: Pixels read at once on an accelerator.
ACCELERATOR_BLOCK = 1 << 27
LARGEST = 2**63 - 1


def cells_of_arrays(
    x: Any,
    y: Any,
    weight: Any,
    features: Any,
    ignored: tuple[NDArray[np.int64], ...],
    progress: bool = False,
) -> Iterator[Cells]:
    """Entries of two label maps in host memory, or mapped into it, a block of pixels at a time."""
    x, y = _label_array("x", x), _label_array("y", y)
    same_shape(x.shape, y.shape)
    single = weight is not None and np.ndim(weight) == x.ndim
    weights = None if weight is None else _planes("weight", host(weight), x.shape)
    described = None if features is None else _planes("features", host(features), x.shape)
    # in the order of memory, so that blocks are read through and not copied together
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    x, y = x.transpose(order), y.transpose(order)
    for region in watched(regions(x.shape, block_shape(x.shape, BLOCK)), progress):
        xs, ys = x[region].reshape(-1), y[region].reshape(-1)
        heads = _run_heads(xs, ys)
        values: NDArray[Any] = np.diff(heads, append=len(xs))
        if weights is not None:
            mass = _block_of_planes(weights, order, region)
            _check("weight", bool((mass >= 0).all()) and bool(np.isfinite(mass).all()))
            values = np.add.reduceat(mass, heads, axis=1).T
            values = np.ascontiguousarray(values[:, 0] if single else values)
        sums = None
        if described is not None:
            seen = _block_of_planes(described, order, region)
            _check_features(bool(np.isfinite(seen).all()))
            if weights is not None:
                seen = seen * mass[0]
            sums = np.ascontiguousarray(np.add.reduceat(seen, heads, axis=1).T)
        cells = _kept(
            Cells(_signed("x", xs[heads]), _signed("y", ys[heads]), values, sums), ignored
        )
        _not_negative("x", cells.x)
        _not_negative("y", cells.y)
        # neighbouring rows cross the same regions: few entries are left of a block's runs
        yield group(cells)


def _run_heads(xs: NDArray[Any], ys: NDArray[Any]) -> NDArray[np.int64]:
    """Where a run of pixels begins that are alike in both."""
    change = np.ones(len(xs), np.bool_)
    np.not_equal(xs[1:], xs[:-1], out=change[1:])
    change[1:] |= ys[1:] != ys[:-1]
    return np.flatnonzero(change)


def _block_of_planes(
    planes: NDArray[Any], order: Sequence[int], region: Region
) -> NDArray[np.float64]:
    """``(R, pixels)`` of the region of maps whose axes are put in this order."""
    turned = planes.transpose(0, *(axis + 1 for axis in order))
    return np.asarray(turned[(slice(None), *region)], np.float64).reshape(len(planes), -1)


def block_shape(shape: Sequence[int], pixels: int) -> tuple[int, ...]:
    """Of blocks that hold at most so many pixels, as whole rows, planes … as they can."""
    steps: list[int] = []
    inner = 1
    for length in reversed(shape):
        parts = -(-length // max(1, pixels // inner))
        steps.insert(0, -(-length // parts))
        inner *= length
    return tuple(steps)


def regions(shape: Sequence[int], steps: Sequence[int]) -> list[Region]:
    """The parts of a map of this shape that blocks of these steps cut it into."""
    along = [
        [slice(start, min(start + step, length)) for start in range(0, length, step)]
        for length, step in zip(shape, steps, strict=True)
    ]
    return list(product(*along))


def cells_of_tensors(
    x: Tensor, y: Any, weight: Any, features: Any, ignored: tuple[NDArray[np.int64], ...]
) -> Iterator[Cells]:
    """Entries of two label maps on an accelerator, counted there; only the entries leave it."""
    x = _label_tensor("x", x, x)
    y = _label_tensor("y", y, x)
    same_shape(tuple(x.shape), tuple(y.shape))
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


def is_chunked(values: Any) -> bool:
    """Whether this is an array of chunks that are read when asked for: of Dask, or Zarr."""
    return is_dask(values) or (_of_zarr(values) and hasattr(values, "chunks"))


def _of_zarr(values: Any) -> bool:
    return type(values).__module__.partition(".")[0] == "zarr"


def is_dask(values: Any) -> bool:
    """Whether this is a Dask array; told without importing Dask."""
    return type(values).__module__.startswith("dask.array")


def host(values: Any) -> NDArray[Any]:
    """As a NumPy array; without a copy where it has one in host memory."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _label_array(name: str, labels: Any) -> NDArray[Any]:
    if _of_zarr(labels) and not hasattr(labels, "dtype"):
        raise ValueError(
            f"{name} must hold integer labels, got a Zarr group: give one of its arrays"
        )
    array = host(labels)
    check_labels(name, array)
    return array


def check_labels(name: str, labels: Any) -> None:
    """Raise for an array, of whatever kind, that can't be a label map."""
    if 0 in labels.shape:
        raise ValueError(f"{name} must hold at least one pixel, got shape {labels.shape}")
    if labels.dtype.kind not in "biu":
        raise ValueError(f"{name} must hold integer labels, got dtype {labels.dtype}")


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


def same_shape(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Raise for maps of different pixels."""
    if x != y:
        raise ValueError(f"y must have the shape of x, {tuple(x)}, got {tuple(y)}")


def _planes(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """``values`` as ``(R, *shape)``."""
    check_planes(name, tuple(values.shape), shape)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {values.dtype}")
    return values[None] if values.ndim == len(shape) else values


def _tensor_planes(name: str, values: Any, x: Tensor) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    check_planes(name, tuple(tensor.shape), tuple(x.shape))
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {tensor.dtype}")
    return tensor.detach().to(x.device)


def check_planes(name: str, came: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise for weights or features that are not of these pixels."""
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


def relabelled(name: str, labels: Any) -> NDArray[Any]:
    """The same partition with labels 0, 1, … in their order, in the smallest type that holds them.

    Raises:
        ValueError: for labels that are no integers, negative or above 2^63 - 1, or no pixels.
    """
    array = _label_array(name, labels)
    flat = array.reshape(-1)
    heads = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    seen = _signed(name, flat[heads])
    if int(seen.min()) < 0:
        raise ValueError(f"{name} must hold labels that are not negative, got {int(seen.min())}")
    names, index = np.unique(seen, return_inverse=True)
    small = index.reshape(-1).astype(np.min_scalar_type(len(names) - 1))
    return np.repeat(small, np.diff(heads, append=flat.size)).reshape(array.shape)
