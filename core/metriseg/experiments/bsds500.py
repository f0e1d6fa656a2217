"""What the distances and the search are worth on human segmentations of photographs.

``python -m metriseg.experiments.bsds500`` compares all human segmentations of equal size in
BSDS500 (:mod:`metriseg.data.bsds500`) with one another, by every distance and score that needs
nothing but labels, and prints two tables:

1. the mean over pairs of the same photograph, and over pairs of different ones. Each pair counts
   in both orders, which the split and merge parts tell apart;
2. for every metric, over the segmentations of the most frequent size: the share whose nearest
   other segmentation is of the same photograph, and the distances that a
   :class:`~metriseg.partitions.PartitionIndex` computes to find it. Every segmentation is sought
   once, left out as if it had not been indexed; brute force computes the distances to all others.

``--output`` also writes both, as ``bsds500.md`` and as ``bsds500_pairs.csv`` and
``bsds500_search.csv``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metriseg.data.bsds500 import BSDS500, Photograph
from metriseg.partitions import (
    MEASURES,
    ContingencyTable,
    Measure,
    PartitionIndex,
    contingency_table,
)

Float = NDArray[np.float64]

#: Those that change when the two partitions change places.
ONE_WAY = ("split", "merge")


class Segmentations(NamedTuple):
    """All of one size: label maps, and the number of the photograph that each is of."""

    maps: list[NDArray[np.uint16]]
    photograph: NDArray[np.int64]

    @property
    def name(self) -> str:
        return " x ".join(map(str, self.maps[0].shape))


class PairRow(NamedTuple):
    """Means of a distance or score; ``closer`` says that the same photograph's are nearer."""

    measure: str
    unit: str
    same: float
    different: float
    closer: bool


class SearchRow(NamedTuple):
    """Nearest neighbours by a metric: shares are of all queries, evaluations are means a query."""

    metric: str
    same_photograph: float
    as_brute_force: float
    evaluations: float
    brute_force: int
    most: int
    building: int


def by_size(photographs: Iterable[Photograph]) -> list[Segmentations]:
    """Segmentations of equal size together, the most frequent size first."""
    groups: dict[tuple[int, ...], tuple[list[Any], list[int]]] = {}
    for number, photograph in enumerate(photographs):
        for labels in photograph.segmentations():
            maps, owners = groups.setdefault(labels.shape, ([], []))
            maps.append(labels.astype(np.uint16))
            owners.append(number)
    found = [Segmentations(maps, np.array(owners)) for maps, owners in groups.values()]
    return sorted(found, key=lambda group: -len(group.maps))


def plain_measures() -> dict[str, Measure]:
    """Those that need nothing but labels."""
    return {name: one for name, one in MEASURES.items() if one.is_plain}


def all_pairs(group: Segmentations, measures: Mapping[str, Measure]) -> dict[str, Float]:
    """``(n, n)`` a measure: every two segmentations compared, in both orders."""
    count = len(group.maps)
    found = {name: np.full((count, count), measures[name].best) for name in measures}
    for row in range(1, count):
        tables = [contingency_table(group.maps[row], other) for other in group.maps[:row]]
        stack, turned = ContingencyTable.stack(tables), None
        for name, measure in measures.items():
            found[name][row, :row] = measure(stack)
            if name in ONE_WAY:
                turned = turned or ContingencyTable.stack([table.T for table in tables])
                found[name][:row, row] = measure(turned)
            else:
                found[name][:row, row] = found[name][row, :row]
        _progress(f"pairs of {group.name}", row + 1, count)
    return found


def pair_rows(
    groups: Sequence[Segmentations],
    matrices: Sequence[Mapping[str, Float]],
    measures: Mapping[str, Measure],
) -> list[PairRow]:
    """The first table, over the pairs of all sizes."""
    rows = []
    for name, measure in measures.items():
        same, different = [], []
        for group, found in zip(groups, matrices, strict=True):
            alike = group.photograph[:, None] == group.photograph
            other = ~np.eye(len(alike), dtype=bool)
            same.append(found[name][alike & other])
            different.append(found[name][~alike])
        near, far = float(np.concatenate(same).mean()), float(np.concatenate(different).mean())
        closer = near < far if measure.better == "lower" else near > far
        rows.append(PairRow(name, measure.unit, near, far, closer))
    return rows


def search_row(group: Segmentations, name: str, distances: Float) -> SearchRow:
    """Every segmentation's nearest other one, by the index and by brute force."""
    index = PartitionIndex(group.maps, name)
    nearest = (distances + np.diag(np.full(len(distances), np.inf))).argmin(1)
    agreed, evaluations = [], []
    for number, labels in enumerate(group.maps):
        distance, found = index.query(labels, exclude=number)
        expected = distances[number, nearest[number]]
        agreed.append(
            int(found[0]) == nearest[number] and bool(np.isclose(distance[0], expected, 1e-9, 0))
        )
        evaluations.append(index.evaluations)
        _progress(f"queries by {name}", number + 1, len(group.maps))
    hits = group.photograph[nearest] == group.photograph
    return SearchRow(
        name,
        float(hits.mean()),
        float(np.mean(agreed)),
        float(np.mean(evaluations)),
        len(group.maps) - 1,
        int(max(evaluations)),
        index.build_evaluations,
    )


def report(
    groups: Sequence[Segmentations], pairs: Sequence[PairRow], searches: Sequence[SearchRow]
) -> str:
    """Both tables in Markdown."""
    sizes = ", ".join(f"{len(group.maps)} of {group.name}" for group in groups)
    lines = [
        f"Human segmentations: {sizes}. Means over pairs of equal size.",
        "",
        "| distance or score | unit | same photograph | different photographs | same is nearer |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for pair in pairs:
        means = f"{pair.same:.5g} | {pair.different:.5g}"
        lines.append(
            f"| {pair.measure} | {pair.unit} | {means} | {'yes' if pair.closer else 'no'} |"
        )
    lines += [
        "",
        f"Nearest other one of each of the {len(groups[0].maps)} of {groups[0].name}.",
        "",
        "| metric | of the same photograph | as brute force | distances a query, mean (most)"
        " | by brute force | share | to build |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in searches:
        lines.append(
            f"| {one.metric} | {one.same_photograph:.1%} | {one.as_brute_force:.1%}"
            f" | {one.evaluations:.1f} ({one.most}) | {one.brute_force}"
            f" | {one.evaluations / one.brute_force:.1%} | {one.building} |"
        )
    return "\n".join(lines)


def run(
    photographs: Iterable[Photograph],
) -> tuple[list[Segmentations], list[PairRow], list[SearchRow]]:
    """Both tables of these photographs."""
    groups, measures = by_size(photographs), plain_measures()
    matrices = [all_pairs(group, measures) for group in groups]
    pairs = pair_rows(groups, matrices, measures)
    metrics = [name for name, measure in measures.items() if measure.is_metric]
    searches = [search_row(groups[0], name, matrices[0][name]) for name in metrics]
    return groups, pairs, searches


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", help="the folder that bsds500 lies in; else $METRISEG_DATA")
    parser.add_argument("--output", type=Path, help="a folder to write the tables to")
    given = parser.parse_args(arguments)
    groups, pairs, searches = run(BSDS500(given.data))
    text = report(groups, pairs, searches)
    print(text)
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "bsds500.md").write_text(text + "\n")
        _write(given.output / "bsds500_pairs.csv", PairRow._fields, pairs)
        _write(given.output / "bsds500_search.csv", SearchRow._fields, searches)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _progress(what: str, done: int, count: int) -> None:
    if done == count or done % max(count // 10, 1) == 0:
        print(f"{what}: {done} of {count}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
