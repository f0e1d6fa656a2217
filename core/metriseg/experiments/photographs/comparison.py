"""Every method tuned, and scored on the photographs that are left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metriseg.data.bsds500 import Photograph
from metriseg.experiments.photographs.methods import (
    Labels,
    Method,
    Plan,
    Setting,
    colour_methods,
    taught_methods,
)
from metriseg.experiments.photographs.networks import Halved, enlarged, halved
from metriseg.experiments.photographs.regions import Counted
from metriseg.experiments.tables import progress
from metriseg.partitions import (
    PartitionScores,
    mean_scores,
    partition_distance,
    variation_of_information,
)

#: Of ten photographs in the order of their names, those that are tested.
TESTED = (2, 5, 8)
#: The scores of the table, in its order.
COLUMNS = ("normalized_partition_distance", "variation_of_information", "split", "merge",
           "adapted_rand_error")  # fmt: skip
#: Of the training photographs, one in so many has a say in tuning.
TUNED = 3


class Split(NamedTuple):
    """The photographs that are trained and tuned on, and those that are tested."""

    train: list[Photograph]
    test: list[Photograph]


class Choice(NamedTuple):
    """A setting and the place of a threshold, with the mean score that chose them."""

    setting: Setting
    threshold: int
    score: float


class Row(NamedTuple):
    """A row of the table."""

    method: str
    tuned_for: str
    scores: dict[str, float]
    segments: float
    seconds: float


#: What methods are tuned for.
AIMS: Mapping[str, Callable[[Any], float]] = {
    "variation of information": variation_of_information,
    "partition distance": lambda table: partition_distance(table, normalized=True),
}


def split(photographs: Sequence[Photograph]) -> Split:
    """Three of every ten are tested."""
    test = [one for number, one in enumerate(photographs) if number % 10 in TESTED]
    rest = [one for number, one in enumerate(photographs) if number % 10 not in TESTED]
    return Split(rest, test)


def tune(method: Method, photographs: Sequence[Halved]) -> dict[str, Choice]:
    """For each aim the setting and threshold with the least mean over photographs."""
    chosen: dict[str, Choice] = {}
    for setting in method.settings:
        means = []
        for one in photographs:
            pieces, cuts = method.cuts(one, setting)
            counted = Counted(pieces, list(one.people.numpy()))
            tables = [counted.tables_of(regions) for regions in cuts]
            means.append(
                [
                    [float(np.mean([aim(table) for table in of_cut])) for aim in AIMS.values()]
                    for of_cut in tables
                ]
            )
        for name, scores in zip(AIMS, np.mean(means, 0).T, strict=True):
            best = int(scores.argmin())
            if name not in chosen or scores[best] < chosen[name].score:
                chosen[name] = Choice(setting, best, float(scores[best]))
    for name, choice in chosen.items():
        progress(
            f"{method.name}: {name} {choice.score:.3f} on training photographs with"
            f" {dict(choice.setting)}, cut {choice.threshold}"
        )
    return chosen


def partition(method: Method, choice: Choice, one: Halved) -> Labels:
    """A label map of the photograph's own size."""
    pieces, cuts = method.cuts(one, choice.setting)
    return enlarged(cuts[choice.threshold][pieces], one.whole[0].shape)


def row(name: str, aim: str, found: Iterable[tuple[Labels, list[Labels]]], seconds: float) -> Row:
    """Means over photographs of what a label map scores against each of some humans."""
    score, images, segments = PartitionScores(segments="labels"), [], []
    for labels, people in found:
        images.append(mean_scores([score(one, labels) for one in people]))
        segments.append(len(np.unique(labels)))
    return Row(name, aim, mean_scores(images), float(np.mean(segments)), seconds)


def human_row(photographs: Sequence[Halved]) -> Row:
    """Every human against the others of the same photograph."""
    found = [
        (labels, [*one.whole[:number], *one.whole[number + 1 :]])
        for one in photographs
        for number, labels in enumerate(one.whole)
    ]
    return row("another human", "", found, 0.0)


def trivial_rows(photographs: Sequence[Halved]) -> list[Row]:
    """All pixels in one segment, and each in its own."""
    shapes = [one.whole[0].shape for one in photographs]
    single = [np.zeros(shape, np.int64) for shape in shapes]
    apart = [np.arange(int(np.prod(shape))).reshape(shape) for shape in shapes]
    people = [one.whole for one in photographs]
    return [
        row("one segment", "", zip(single, people, strict=True), 0.0),
        row("each pixel its own", "", zip(apart, people, strict=True), 0.0),
    ]


def run(photographs: Split, plan: Plan) -> tuple[list[Row], dict[str, list[Labels]]]:
    """The table, and the partitions of the test photographs by method, tuned for VI."""
    training = [halved(one) for one in photographs.train]
    test = [halved(one) for one in photographs.test]
    rows = trivial_rows(test)
    maps: dict[str, list[Labels]] = {}
    for method in [*colour_methods(), *taught_methods(training, plan)]:
        for aim, choice in tune(method, training[::TUNED]).items():
            found = [partition(method, choice, one) for one in test]
            maps.setdefault(method.name, found)
            pairs = [(labels, one.whole) for labels, one in zip(found, test, strict=True)]
            rows.append(row(method.name, aim, pairs, method.seconds))
    return [*rows, human_row(test)], maps


def report(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = [
        "| method | tuned for | partition distance | VI | split | merge | adapted Rand error"
        " | segments | training, s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in rows:
        scores = " | ".join(f"{one.scores[name]:.3f}" for name in COLUMNS)
        seconds = f"{one.seconds:.0f}" if one.seconds else ""
        lines.append(
            f"| {one.method} | {one.tuned_for} | {scores} | {one.segments:.1f} | {seconds} |"
        )
    return "\n".join(lines)
