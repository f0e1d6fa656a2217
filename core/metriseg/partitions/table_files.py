"""The files of a contingency table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.grouping import Cells, few_enough, of_labels_in_one_form, total_count
from metriseg.partitions.index_files import read_arrays, written_anew

#: The layout of the files.
VERSION = 1

_TYPES = {
    "x": (np.int64, np.uint64),
    "y": (np.int64, np.uint64),
    "values": (np.int64, np.float64),
    "features": (np.float64,),
}


def write_table(path: str | os.PathLike[str], cells: Cells | None) -> None:
    """One file, in place when it is complete; without entries where none were ever added."""
    kept = {} if cells is None else cells._asdict()
    arrays = {name: values for name, values in kept.items() if values is not None}
    with written_anew(path) as file:
        np.savez_compressed(file, table_version=VERSION, **arrays)


def read_table(path: str | os.PathLike[str]) -> Cells | None:
    """The entries, checked.

    Raises:
        OSError: where there is no file that may be read.
        ValueError: for a file of another kind or version, or a broken one.
    """
    kept = read_arrays(path)
    version = kept.pop("table_version", None)
    if version is None or version.shape != () or version != VERSION:
        came = "of none" if version is None else f"of {version}"
        raise ValueError(f"path must be a table of version {VERSION}, got {path} {came}")
    if not kept:
        return None
    wrong = _what_is_wrong(kept)
    if wrong:
        raise ValueError(f"path must be a file that save wrote, got {path}: {wrong}")
    return of_labels_in_one_form(Cells(kept["x"], kept["y"], kept["values"], kept.get("features")))


def _what_is_wrong(kept: Mapping[str, NDArray[Any]]) -> str:
    """Why these can't be a table's entries; "" where they can."""
    for name, types in _TYPES.items():
        if name not in kept:
            if name != "features":
                return f"it has no {name}"
        elif kept[name].dtype not in types:
            return f"its {name} are of dtype {kept[name].dtype}"
    x, y, values = kept["x"], kept["y"], kept["values"]
    features = kept.get("features")
    fits = x.ndim == 1 and y.shape == x.shape == values.shape[:1] and values.ndim <= 2
    if not fits or (features is not None and (features.ndim != 2 or len(features) != len(x))):
        return f"its entries have shapes {[array.shape for array in kept.values()]}"
    if not len(x):
        return ""
    if x.min() < 0 or y.min() < 0:
        return "it holds negative labels"
    if not ((x[1:] > x[:-1]) | ((x[1:] == x[:-1]) & (y[1:] > y[:-1]))).all():
        return "its entries are not in order"
    if not (np.isfinite(values).all() and (values >= 0).all()):
        return "its values hold what is no measure"
    if not (values.reshape(len(x), -1) > 0).any(1).all():
        return "it holds entries of no measure"
    if features is not None and not np.isfinite(features).all():
        return "its features are not finite"
    try:
        few_enough("its values", total_count(values))
    except ValueError as error:
        return str(error)
    return ""
