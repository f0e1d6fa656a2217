"""Which files are compared with which: of two folders, two patterns, or a list."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metriseg.cli.comparison import Misused
from metriseg.cli.files import Pair
from metriseg.data.label_maps import is_label_map, located, name_of_map
from metriseg.data.slices import slices_of

#: Columns of a list of pairs: the first two must be there.
_COLUMNS = ("a", "b", "name", "weights", "mask")


@dataclass(frozen=True)
class Pairing:
    """Pairs, in the order of their names, and what has no partner."""

    pairs: Sequence[Pair]
    alone: Mapping[str, Sequence[str]]


def paired(a: str, b: str, *, stack: bool = False) -> Pairing | None:
    """The files of two folders or patterns that go by one name; None of two single maps.

    In a folder it is the path without the folder and the ending; of a pattern it is what its
    wildcards stand for, without the ending.

    Args:
        a: a folder, or a pattern with ``*``, ``?``, ``[…]`` or ``**``; of HDF5 files with what they
            hold, as ``masks/*.h5:labels``.
        b: another one.
        stack: folders of slices are volumes, not label maps of their own.

    Raises:
        Misused: for a folder and a file.
        ValueError: where there are no label maps, or two of one name.
    """
    several = {side: _is_several(path, stack) for side, path in (("A", a), ("B", b))}
    if not any(several.values()):
        _check_stack(stack, (a, b))
        return None
    if not all(several.values()):
        many, one = (a, b) if several["A"] else (b, a)
        if _holds_slices(many):
            return None
        raise Misused(f"A and B must both be one label map or many, got many, {many}, and {one}")
    known = {side: _by_name(side, path, stack) for side, path in (("A", a), ("B", b))}
    common = [name for name in known["A"] if name in known["B"]]
    alone = {
        side: [path for name, path in known[side].items() if name not in known[other]]
        for side, other in (("A", "B"), ("B", "A"))
    }
    if not common:
        first = {side: next(iter(known[side])) for side in known}
        raise ValueError(
            f"A and B must hold label maps of the same names, got {len(known['A'])} and"
            f" {len(known['B'])}, such as {first['A']!r} and {first['B']!r}"
        )
    pairs = [Pair(name, known["A"][name], known["B"][name]) for name in common]
    _check_stack(stack, (path for one in pairs for path in (one.a, one.b)))
    return Pairing(pairs, alone)


def listed(path: str) -> Pairing:
    """The pairs that the lines of a file of comma-separated values name.

    Paths are relative to the folder of the file.

    Raises:
        OSError: where there is no such file.
        ValueError: for other columns, or lines without the first two.
    """
    folder = Path(path).parent
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = [str(one).strip() for one in rows.fieldnames or ()]
        if not {"a", "b"} <= set(columns) <= set(_COLUMNS):
            raise ValueError(
                f"--pairs {path} must have the columns a and b, and may have"
                f" {', '.join(_COLUMNS[2:])}, got {', '.join(columns) or 'none'}"
            )
        rows.fieldnames = columns
        pairs = [_listed(path, folder, rows.line_num, row) for row in rows]
    if not pairs:
        raise ValueError(f"--pairs {path} must list pairs, got none")
    return Pairing(pairs, {"A": [], "B": []})


def _listed(path: str, folder: Path, line: int, row: Mapping[str | None, object]) -> Pair:
    given = {
        name: value.strip()
        for name, value in row.items()
        if name is not None and isinstance(value, str) and value.strip()
    }
    if None in row or not {"a", "b"} <= set(given):
        raise ValueError(f"--pairs {path} must name a and b in every line, and line {line} doesn't")
    placed = {name: str(folder / value) for name, value in given.items() if name != "name"}
    placed["name"] = given.get("name", f"{given['a']} {given['b']}")
    return Pair(**placed)


def _check_stack(stack: bool, paths: Iterable[str]) -> None:
    if stack and not any(map(_holds_slices, paths)):
        raise Misused("--stack is for folders of TIFF slices, and there are none")


def _is_several(path: str, stack: bool) -> bool:
    if _is_pattern(path):
        return True
    folder = Path(path)
    return (
        bool(path)
        and folder.is_dir()
        and not (is_label_map(folder) or (stack and _holds_slices(path)))
    )


def _is_pattern(path: str) -> bool:
    return glob.has_magic(str(located(path)[0])) and not Path(path).exists()


def _holds_slices(path: str) -> bool:
    folder = Path(path)
    return bool(path) and folder.is_dir() and bool(slices_of(folder))


def _by_name(side: str, path: str, stack: bool) -> dict[str, str]:
    """The label maps of a folder or pattern, sorted."""
    found: dict[str, str] = {}
    pairs = _of_pattern(path, stack) if _is_pattern(path) else _of_folder(path, stack)
    for name, one in sorted(pairs):
        if name in found:
            raise ValueError(
                f"{side} must hold one label map of a name, got {found[name]} and {one}"
            )
        found[name] = one
    if not found:
        raise ValueError(f"{side} must hold label maps, got none in {path}")
    return found


def _of_folder(folder: str, stack: bool) -> Iterator[tuple[str, str]]:
    for at, folders, files in os.walk(folder):
        inner = [name for name in folders if not name.startswith(".")]
        whole = [name for name in inner if _is_one(Path(at, name), stack)]
        # what is one map isn't looked into
        folders[:] = [name for name in inner if name not in whole]
        maps = [name for name in files if name[0] != "." and name_of_map(name) != name]
        below = at[len(folder) :].strip(os.sep).replace(os.sep, "/")
        for name in [*maps, *whole]:
            known = name_of_map(name)
            yield f"{below}/{known}" if below else known, os.path.join(at, name)


def _of_pattern(path: str, stack: bool) -> Iterator[tuple[str, str]]:
    file, inside = located(path)
    pattern = str(file)
    # whatever the ending is, it tells the kind of file
    any_ending = pattern.endswith(".*")
    stands_for = _wildcards(pattern.removesuffix(".*"))
    for one in glob.iglob(pattern, recursive=True):
        match = stands_for.fullmatch(name_of_map(one) if any_ending else one)
        if match is not None and _is_one(Path(one), stack):
            parts = [part.strip("/") for part in match.groups()]
            name = name_of_map("/".join(part for part in parts if part))
            yield name, one if inside is None else f"{one}:{inside}"


def _is_one(path: Path, stack: bool) -> bool:
    return is_label_map(path) or (stack and _holds_slices(str(path)))


def _wildcards(pattern: str) -> re.Pattern[str]:
    """What a pattern stands for, a group a wildcard."""
    kinds = {"**/": "((?:[^/]+/)*)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return re.compile(
        "".join(
            kinds[part]
            if part in kinds
            else f"({part.replace('[!', '[^', 1)})"
            if index % 2
            else re.escape(part)
            for index, part in enumerate(parts)
        ),
        re.DOTALL,
    )
