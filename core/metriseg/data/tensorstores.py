"""N5 and neuroglancer's precomputed chunks, which tensorstore reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metriseg.data.limits import of_this_world
from metriseg.data.packages import optional
from metriseg.stored import StoredArray

_N5 = "attributes.json"
_PRECOMPUTED = "info"


def is_n5(folder: Path) -> bool:
    """By the attributes of its root."""
    said = _json(folder / _N5)
    return folder.name.lower().endswith(".n5") or "n5" in said or "dimensions" in said


def is_precomputed(folder: Path) -> bool:
    """By the scales that its info lists."""
    return "scales" in _json(folder / _PRECOMPUTED)


def read_n5(folder: Path, inside: str | None) -> StoredArray:
    """The array of this path, or the only one, or the finest of a pyramid s0, s1, …

    Axes are in the order of NumPy, the last one running fastest: N5 lists them the other way
    round.
    """
    within = folder / inside.strip("/") if inside else folder
    place = _array_of_n5(folder, within)
    store = _opened("n5", place, "N5 arrays")
    return _stored(store.T)


def read_precomputed(folder: Path, inside: str | None) -> StoredArray:
    """The scale of this number, or of this key; of none the finest, which is the first.

    Axes are z, y, x; the one of channels is gone where there is one channel.
    """
    keys = [str(scale.get("key")) for scale in _json(folder / _PRECOMPUTED)["scales"]]
    if inside in (None, *keys):
        index = 0 if inside is None else keys.index(inside)
    elif inside is not None and inside.isdecimal() and int(inside) < len(keys):
        index = int(inside)
    else:
        raise ValueError(f"it has no scale {inside!r}, but {', '.join(keys)}, or 0, 1, …")
    name = "neuroglancer's precomputed chunks"
    store = _opened("neuroglancer_precomputed", folder, name, scale_index=index)
    if store.shape[3] == 1:
        store = store[..., 0]
    return _stored(store.T)


def _opened(driver: str, folder: Path, name: str, **options: Any) -> Any:
    tensorstore = optional("tensorstore", name, "tensorstore", "volumes")
    kept = {"driver": "file", "path": f"{folder.resolve()}/"}
    spec = {"driver": driver, "kvstore": kept, **options}
    return tensorstore.open(spec, open=True, read=True).result()


def _stored(store: Any) -> StoredArray:
    chunks = store.chunk_layout.read_chunk.shape
    of_this_world(store.shape, chunks)
    origin = store.domain.origin

    def read(part: tuple[slice, ...]) -> Any:
        moved = zip(part, origin, strict=True)
        return (
            store[tuple(slice(one.start + at, one.stop + at) for one, at in moved)].read().result()
        )

    return StoredArray(store.shape, store.dtype.numpy_dtype, chunks, read)


def _array_of_n5(root: Path, place: Path) -> Path:
    if not place.is_dir():
        known = _arrays_of_n5(root)
        raise ValueError(
            f"it has no {str(place.relative_to(root))!r}, but {', '.join(known) or 'no array'}"
        )
    for one in (place, place / "s0"):
        if "dimensions" in _json(one / _N5):
            return one
    known = _arrays_of_n5(place)
    finest = [name for name in known if name.rpartition("/")[2] == "s0"]
    single = known if len(known) == 1 else finest
    if len(single) != 1:
        held = f"{len(known)}: {', '.join(known)}" if known else "none"
        start = "" if place == root else f"{place.relative_to(root)}/"
        choice = f"; name one, as {root}:{start}{known[0]}" if known else ""
        raise ValueError(f"the group must hold a single array, got {held}{choice}")
    return place / single[0]


def _arrays_of_n5(folder: Path) -> list[str]:
    """The folders of arrays, below which are chunks alone."""
    found = []
    for inner in sorted(folder.iterdir()):
        if not inner.is_dir():
            continue
        if "dimensions" in _json(inner / _N5):
            found.append(inner.name)
        else:
            found += [f"{inner.name}/{name}" for name in _arrays_of_n5(inner)]
    return found


def _json(file: Path) -> dict[str, Any]:
    """What a file says; nothing, where there is none, or it is of another kind."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
