"""Entries of contingency tables from all ranks of ``torch.distributed``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from metriseg.arrays import Labels
from metriseg.partitions.grouping import Cells


def gather_cells(cells: Cells | None, process_group: Any = None) -> list[Cells] | None:
    """The entries of every rank that has any, in the order of ranks; None without a group.

    Sizes differ from rank to rank, so all pad to the largest.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return None
    on_gpu = dist.get_backend(process_group) == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    ranks = dist.get_world_size(process_group)
    header = torch.tensor(_header(cells), dtype=torch.int64, device=device)
    headers = [torch.empty_like(header) for _ in range(ranks)]
    dist.all_gather(headers, header, group=process_group)
    kinds = [tuple(int(n) for n in one.tolist()) for one in headers]
    longest = max(kind[0] for kind in kinds)
    width = max(2 + max(kind[2], 1) + kind[3] for kind in kinds)
    if longest == 0:
        return []
    packed = torch.zeros((longest, width), dtype=torch.int64, device=device)
    if cells is not None and len(cells.x):
        rows = torch.from_numpy(_pack(cells)).to(device)
        packed[: rows.shape[0], : rows.shape[1]] = rows
    gathered = [torch.empty_like(packed) for _ in range(ranks)]
    dist.all_gather(gathered, packed, group=process_group)
    return [
        _unpack(rows[: kind[0]].cpu().numpy(), kind)
        for rows, kind in zip(gathered, kinds, strict=True)
        if kind[0]
    ]


def _header(cells: Cells | None) -> tuple[int, int, int, int]:
    """Entries, whether they are counts, measures (0: one, without an axis), features."""
    if cells is None or len(cells.x) == 0:
        return 0, 0, 0, 0
    measures = 0 if cells.values.ndim == 1 else cells.values.shape[1]
    features = 0 if cells.features is None else cells.features.shape[1]
    return len(cells.x), int(cells.values.dtype == np.int64), measures, features


def _pack(cells: Cells) -> NDArray[np.int64]:
    """Rows of int64; floating-point numbers keep their bits."""
    columns = [labels[:, None].view(np.int64) for labels in (cells.x, cells.y)]
    for part in (cells.values, cells.features):
        if part is not None:
            flat = np.ascontiguousarray(part.reshape(len(cells.x), -1))
            columns.append(flat.view(np.int64))
    return np.concatenate(columns, axis=1)


def _unpack(rows: NDArray[np.int64], kind: tuple[int, ...]) -> Cells:
    _, is_count, measures, features = kind
    wide = max(measures, 1)
    values: NDArray[Any] = np.ascontiguousarray(rows[:, 2 : 2 + wide])
    if not is_count:
        values = values.view(np.float64)
    described = None
    if features:
        described = np.ascontiguousarray(rows[:, 2 + wide : 2 + wide + features]).view(np.float64)
    x, y = (_labels(np.ascontiguousarray(rows[:, side])) for side in (0, 1))
    return Cells(x, y, values if measures else values[:, 0], described)


def _labels(bits: NDArray[np.int64]) -> Labels:
    """None is negative: those that look so are above 2^63 - 1."""
    return bits.view(np.uint64) if bits.min() < 0 else bits
