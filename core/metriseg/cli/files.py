"""Two label maps in files, and what was asked of them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metriseg.arrays import integer_array, is_among
from metriseg.cli.comparison import Comparison, Family, Misused, Row, families
from metriseg.components import connected_components
from metriseg.data.label_maps import read_image, read_label_map
from metriseg.data.nifti import check_one_space
from metriseg.partitions import MEASURES, Measure
from metriseg.partitions.counting import ignored_labels
from metriseg.partitions.objects import object_names
from metriseg.partitions.table import Unit
from metriseg.stored import StoredArray, squeezed

#: Of pixels that are ignored, when components are compared.
_LEFT_OUT = -1


@dataclass(frozen=True)
class Pair:
    """Two label maps to compare.

    Attributes:
        name: of the pair, among others.
        a: path of one map.
        b: path of the other.
        weights: path of the image that weighs their pixels, None without.
        mask: path of the map of the pixels that count, None where all do.
    """

    name: str
    a: str
    b: str
    weights: str | None = None
    mask: str | None = None


@dataclass(frozen=True)
class Asked:
    """What to compute of each pair.

    Attributes:
        metrics: names of measures; of none all that need no image.
        families: names of families of weights; of none all, where there is an image.
        ignore: labels to leave out, of "x" and of "y".
        components: whether to compare connected components.
        unit: of information.

    Raises:
        Misused: for an unknown name.
        ValueError: for what is no label.
    """

    metrics: Sequence[str] = ()
    families: Sequence[str] = ()
    ignore: Mapping[str, Sequence[int]] = field(default_factory=lambda: {"x": [], "y": []})
    components: bool = False
    unit: Unit = "nats"

    def __post_init__(self) -> None:
        for name in self.metrics:
            _known("--metric", name, MEASURES)
        for name in self.families:
            _known("--family", name, families())

    @property
    def measures(self) -> list[Measure]:
        if not self.metrics:
            return [measure for measure in MEASURES.values() if measure.is_plain]
        return [MEASURES[name] for name in self.metrics]

    def weighing(self, image: str | None) -> dict[str, Family]:
        """The families that weigh a pair, by name.

        Raises:
            Misused: for one that needs an image where there is none.
        """
        if not self.families and image is None:
            return {}
        known = families()
        chosen = {name: known[name] for name in self.families or known}
        for name, one in chosen.items():
            if one.needs_image and image is None:
                raise Misused(f"--family {name} needs an image: --weights image.png")
        return chosen


@dataclass(frozen=True)
class Compared:
    """What came of a pair.

    Attributes:
        comparison: of the two maps.
        rows: a line a measure.
        notes: what the user should know of how the files were taken.
    """

    comparison: Comparison
    rows: Sequence[Row]
    notes: Sequence[str]


def compare_files(pair: Pair, asked: Asked) -> Compared:
    """Read both maps and what weighs them, and compute what was asked.

    Raises:
        Misused: for a combination of options that there isn't.
        ValueError: for files or maps that can't be compared; the message says of which.
        OSError: for files that aren't there.
        ImportError: without the package that reads a file.
    """
    chosen = asked.weighing(pair.weights)
    image = None
    if pair.weights is not None:
        with said_as(path="--weights"):
            image = read_image(pair.weights)
    with said_as(path="A"):
        x = read_label_map(pair.a)
    with said_as(path="B"):
        y = read_label_map(pair.b)
    x, y, notes = _without_unit_axes(x, y)
    if x.shape != y.shape:
        raise ValueError(f"B must have the shape of A, {x.shape}, got {y.shape}")
    if image is not None and image.shape not in (x.shape, (*x.shape, 3)):
        raise ValueError(
            f"--weights must be an image of shape {x.shape} or {(*x.shape, 3)}, got {image.shape}"
        )
    counted = None if pair.mask is None else _mask(pair.mask, x.shape)
    named = {"A": pair.a, "B": pair.b, "--weights": pair.weights, "--mask": pair.mask}
    check_one_space({option: path for option, path in named.items() if path is not None})
    left_out = asked.ignore
    names: tuple[Any, Any] = (None, None)
    if asked.components:
        classes = x, y
        with said_as(labels=f"A {pair.a}"):
            x = _components(x, left_out["x"], counted)
        with said_as(labels=f"B {pair.b}"):
            y = _components(y, left_out["y"], counted)
        left_out = {"x": [_LEFT_OUT], "y": [_LEFT_OUT]}
        names = (
            object_names(x, integer_array("A", classes[0])),
            object_names(y, integer_array("B", classes[1])),
        )
    with said_as(**_names(pair)):
        comparison = Comparison(x, y, image, left_out, counted, names, asked.unit)
        rows = [comparison.row(measure) for measure in asked.measures]
        rows += [
            comparison.weighted_row(name, one)
            for name, one in chosen.items()
            if asked.families or comparison.is_colored or not one.of_color
        ]
    return Compared(comparison, rows, notes)


def left_out(
    both: Sequence[int] | None, a: Sequence[int] | None, b: Sequence[int] | None
) -> dict[str, list[int]]:
    """The labels to leave out of each map, checked."""
    for option, labels in (("--ignore", both), ("--ignore-a", a), ("--ignore-b", b)):
        with said_as(ignore=option):
            ignored_labels(labels)
    return {"x": [*(both or []), *(a or [])], "y": [*(both or []), *(b or [])]}


@contextmanager
def said_as(**names: str) -> Iterator[None]:
    """What the library says of an argument, said of what the user typed."""
    try:
        yield
    except (ValueError, OSError) as error:
        argument, _, rest = str(error).partition(" ")
        if argument not in names:
            raise
        # where a file is named anyway, it follows
        named = names[argument]
        kind = Misused if isinstance(error, Misused) else ValueError
        raise kind(f"{named} {rest}") from error


def _known(option: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"nearest are {', '.join(nearest)}; " if nearest else ""
    raise Misused(f"{option} {name!r} is unknown: {hint}there are {', '.join(known)}")


def _without_unit_axes(x: Any, y: Any) -> tuple[Any, Any, list[str]]:
    """Both maps as one shape, where they differ by axes of length 1 alone; and what was done."""
    shape = _flat(x)
    if x.shape == y.shape or shape != _flat(y):
        return x, y, []
    notes = [
        f"{side} of shape {tuple(one.shape)} is taken as {shape}, without its axes of length 1"
        for side, one in (("A", x), ("B", y))
        if tuple(one.shape) != shape
    ]
    return squeezed(x), squeezed(y), notes


def _names(pair: Pair) -> dict[str, str]:
    """By the names of the library's arguments, what was typed for them."""
    image = f"--weights {pair.weights}"
    maps = {"x": f"A {pair.a}", "y": f"B {pair.b}", "table": "the comparison"}
    return maps | dict.fromkeys(("image", "weight", "features", "value_range"), image)


def _mask(path: str, shape: tuple[int, ...]) -> Any:
    """The pixels that count: read by parts where the file is."""
    with said_as(path="--mask"):
        values = read_label_map(path)
    if _flat(values) == shape:
        values = squeezed(values)
    if tuple(values.shape) != shape:
        raise ValueError(f"--mask must have the shape of A, {shape}, got {tuple(values.shape)}")
    if isinstance(values, np.ndarray):
        return values != 0
    return StoredArray(shape, np.bool_, values.chunks, lambda part: np.asarray(values[part]) != 0)


def _flat(labels: Any) -> tuple[int, ...]:
    """The shape without axes of length 1."""
    return tuple(length for length in labels.shape if length != 1)


def _components(labels: Any, ignore: Sequence[int], mask: Any) -> Any:
    """Each label's connected components; what is ignored is in none, and no label of its own."""
    array = integer_array("labels", labels)
    valid = ~is_among(array, ignore)
    return connected_components(array, valid=valid if mask is None else valid & np.asarray(mask))
