"""A volume as a folder of slices, a file each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metriseg.stored import StoredArray

ENDINGS = (".tif", ".tiff")


def slices_of(folder: Path) -> list[Path]:
    """The TIFF files of a folder in natural order, in which 2 comes before 10."""
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]
    return sorted(found, key=lambda file: (_natural(file.name), file.name))


def read_slices(files: Sequence[Path], read: Callable[[Path], Any]) -> StoredArray:
    """The volume of these slices, which are its first axis; one is read at a time."""
    first = np.asarray(read(files[0]))

    def read_part(part: tuple[slice, ...]) -> Any:
        along, *within = part
        shape = [one.stop - one.start for one in part]
        volume = np.empty(shape, first.dtype)
        for plane, file in zip(volume, files[along], strict=True):
            found = np.asarray(read(file))
            if (found.shape, found.dtype) != (first.shape, first.dtype):
                raise ValueError(
                    f"slices must be alike: {files[0].name} is {first.shape} of {first.dtype},"
                    f" and {file.name} {found.shape} of {found.dtype}"
                )
            plane[...] = found[tuple(within)]
        return volume

    return StoredArray((len(files), *first.shape), first.dtype, (1, *first.shape), read_part)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [
        (True, int(part), "") if part.isdecimal() else (False, 0, part.lower()) for part in parts
    ]
