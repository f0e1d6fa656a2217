"""From two label maps to the entries of their contingency table, whatever holds the maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metriseg.arrays import is_tensor
from metriseg.partitions.counting.arrays import cells_of_arrays
from metriseg.partitions.counting.chunked import cells_of_chunks, is_chunked
from metriseg.partitions.counting.given import given_cells
from metriseg.partitions.counting.ignored import Ignore, IgnoredLabels, ignored_labels
from metriseg.partitions.grouping import Cells


def counted_cells(
    x: Any,
    y: Any,
    weight: Any,
    features: Any,
    mask: Any,
    ignored: IgnoredLabels,
    progress: bool,
) -> Iterator[Cells]:
    """Entries of two label maps, part by part: the same pair may come up in several parts."""
    if any(is_chunked(one) for one in (x, y, weight, features, mask)):
        return cells_of_chunks(x, y, weight, features, mask, ignored, progress)
    if is_tensor(x) and x.device.type not in ("cpu", "meta"):
        # torch is at work already
        from metriseg.partitions.counting.tensors import cells_of_tensors

        return cells_of_tensors(x, y, weight, features, ignored, mask)
    return cells_of_arrays(x, y, weight, features, ignored, progress, mask)


__all__ = ["Ignore", "IgnoredLabels", "counted_cells", "given_cells", "ignored_labels"]
