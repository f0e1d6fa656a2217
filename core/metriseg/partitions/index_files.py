"""Files that are complete or not there, and those of an index of partitions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

#: The layout of the files.
VERSION = 1


@contextmanager
def written_anew(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file beside this one, which takes its place once it is written to the end."""
    # the file itself, where the path is a link to it
    target = os.path.realpath(path)
    temporary = f"{target}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """All that an archive of arrays holds, by name.

    Raises:
        OSError: where there is no file that may be read.
        ValueError: for a file of another kind, or a broken one.
    """
    with open(path, "rb") as file:
        try:
            return dict(np.load(file, allow_pickle=False))
        except Exception as error:  # a broken archive has many ways to fail, and as many errors
            raise ValueError(
                f"path must be a file that save wrote, got {path}:"
                f" {str(error) or type(error).__name__}"
            ) from error


def read_index(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """What the file holds, by name, checked.

    Raises:
        OSError: where there is no file that may be read.
        ValueError: for a file of another kind, or a broken one.
    """
    kept = read_arrays(path)
    try:
        version = int(kept["version"]) if "version" in kept else None
    except (TypeError, ValueError) as error:
        raise ValueError(f"path must be a file that save wrote, got {path}: {error}") from error
    if version != VERSION or "mutual" not in kept:
        raise ValueError(
            f"path must be an index of version {VERSION}, got {path} of version {version}"
        )
    wrong = _what_is_wrong(kept)
    if wrong:
        raise ValueError(f"path must be a file that save wrote, got {path}: {wrong}")
    return kept


def _what_is_wrong(kept: Mapping[str, NDArray[Any]]) -> str:
    """Why these can't be an index's arrays; "" where they can."""
    kinds = {
        "distance": "U",
        "labels": "u",
        "pivots": "i",
        "table": "f",
        "sample": "i",
        "mutual": "f",
        "build_evaluations": "i",
    }
    for name, kind in kinds.items():
        if name not in kept:
            return f"it has no {name}"
        if kept[name].dtype.kind != kind:
            return f"its {name} are of dtype {kept[name].dtype}"
    labels, pivots, sample = kept["labels"], kept["pivots"], kept["sample"]
    shapes = {
        "distance": (),
        "table": (pivots.size, len(labels) if labels.ndim else 0),
        "pivots": (pivots.size,),
        "sample": (sample.size,),
        "mutual": (sample.size, sample.size),
        "build_evaluations": (),
    }
    for name, shape in shapes.items():
        if kept[name].shape != shape:
            return f"its {name} have shape {kept[name].shape} and not {shape}"
    if labels.ndim < 2 or 0 in labels.shape or not pivots.size:
        return f"its labels have shape {labels.shape}, its pivots {pivots.shape}"
    for name, indices in (("pivots", pivots), ("sample", sample)):
        if not ((indices >= 0) & (indices < len(labels))).all():
            return f"its {name} are not of its {len(labels)} partitions"
    for name in ("table", "mutual"):
        if not (np.isfinite(kept[name]).all() and (kept[name] >= 0).all()):
            return f"its {name} holds what is no distance"
    return ""
