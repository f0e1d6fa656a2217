"""Zarr: an array, a group of a single one, or the finest level of an OME-Zarr image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metriseg.data.limits import of_this_world
from metriseg.data.packages import optional

#: Any of these in a folder makes it a Zarr array or group.
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(folder: Path) -> bool:
    """By the files in it."""
    return any((folder / name).is_file() for name in ZARR_FILES)


def read_zarr(folder: Path, inside: str | None) -> Any:
    """The array of this path, or of its group; opened, not read."""
    zarr = optional("zarr", "Zarr arrays", "zarr", "scale")
    opened = zarr.open(str(folder), mode="r")
    within = (inside or "").strip("/")
    if within:
        opened = _member(opened, within)
    array = _array(opened, f"{folder}:{within}/" if within else f"{folder}/", bool(within))
    of_this_world(array.shape, array.chunks)
    return array


def _member(group: Any, inside: str) -> Any:
    if hasattr(group, "dtype"):
        raise ValueError(f"it is an array, and holds no {inside!r}")
    try:
        return group[inside]
    except KeyError:
        known = sorted(name for name, _ in _arrays(group))
        raise ValueError(f"it has no {inside!r}, but {', '.join(known) or 'no array'}") from None


def _array(opened: Any, prefix: str, named: bool) -> Any:
    if hasattr(opened, "dtype"):
        return opened
    labels = _label_images(opened)
    level = _finest(opened)
    if level is not None and (named or not labels):
        return opened[level]
    if level is not None:
        beside = ", ".join(f"labels/{name}" for name in labels)
        raise ValueError(
            f"the image must be one of labels, and beside it there are {beside}: name one, as"
            f" {prefix}labels/{labels[0]}; or the image, as {prefix}{level}"
        )
    listed = _own_labels(opened)
    if len(listed) == 1:
        return _array(opened[listed[0]], f"{prefix}{listed[0]}/", True)
    arrays = dict(_arrays(opened))
    if len(arrays) != 1:
        known = listed or sorted(arrays)
        held = f"{len(known)}: {', '.join(known)}" if known else "none"
        choice = f"; name one, as {prefix}{min(known)}" if known else ""
        raise ValueError(f"the group must hold a single array, got {held}{choice}")
    return next(iter(arrays.values()))


def _ome(group: Any) -> Mapping[str, Any]:
    """What OME-Zarr says of a group: since version 0.5 under a name of its own."""
    said = dict(group.attrs)
    inner = said.get("ome", said)
    return inner if isinstance(inner, Mapping) else {}


def _finest(group: Any) -> str | None:
    """The path of level 0 of an image of several; None of another group."""
    images = _ome(group).get("multiscales")
    if not images:
        return None
    if len(images) > 1:
        raise ValueError(f"the group must be of one image, got {len(images)}: name a level of one")
    return str(images[0]["datasets"][0]["path"])


def _own_labels(group: Any) -> list[str]:
    """Of a group of label images, these."""
    listed = _ome(group).get("labels") or []
    return [str(name) for name in listed]


def _label_images(group: Any) -> list[str]:
    """The label images beside an image."""
    inner = dict(group.groups()).get("labels")
    return [] if inner is None else _own_labels(inner)


def _arrays(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = [(prefix + name, array) for name, array in group.arrays()]
    for name, inner in group.groups():
        found += _arrays(inner, f"{prefix}{name}/")
    return found
