"""HDF5 files: one of their arrays, read chunk by chunk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from metriseg.data.limits import of_this_world
from metriseg.data.packages import optional
from metriseg.partitions.counting.blocks import block_shape
from metriseg.stored import StoredArray

#: Pixels read at once of what isn't stored in chunks.
_READ = 1 << 20


def read_hdf5(path: Path, inside: str | None) -> StoredArray:
    """The array of this name; of no name the one of integers, where there is a single one."""
    h5py = optional("h5py", "HDF5 files", "h5py", "volumes")
    file = h5py.File(path, "r")
    found = _named(h5py, file, inside) if inside else _single(h5py, file, path)
    chunks = found.chunks or block_shape(found.shape, _READ)
    of_this_world(found.shape, chunks)

    # the file is open for as long as someone may read
    def read(part: tuple[slice, ...], file: Any = file) -> Any:
        return found[part]

    return StoredArray(found.shape, found.dtype, chunks, read)


def _named(h5py: Any, file: Any, inside: str) -> Any:
    found = file.get(inside)
    if isinstance(found, h5py.Dataset) and found.shape:
        return found
    known = _arrays(h5py, file)
    if isinstance(found, h5py.Group):
        within = [name for name in known if name.startswith(f"{inside.strip('/')}/")]
        raise ValueError(f"{inside} is a group, of {', '.join(within) or 'no array'}: name one")
    raise ValueError(f"it has no array {inside!r}, but {', '.join(known) or 'none'}")


def _single(h5py: Any, file: Any, path: Path) -> Any:
    known = _arrays(h5py, file)
    labels = [name for name, one in known.items() if one.dtype.kind in "biu"]
    if len(labels) == 1:
        return known[labels[0]]
    if not labels:
        raise ValueError(f"it must hold an array of integers, got {', '.join(known) or 'none'}")
    raise ValueError(
        f"it holds {len(labels)} arrays of integers, {', '.join(labels)}: name one, as"
        f" {path.name}:{labels[0]}"
    )


def _arrays(h5py: Any, file: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and one.shape and math.prod(one.shape):
            found[name] = one

    file.visititems(visit)
    return found
