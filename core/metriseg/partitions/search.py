"""Exact nearest neighbours among partitions, with few distances computed."""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import host
from metriseg.partitions.contingency import ContingencyTable, contingency_table
from metriseg.partitions.index_files import VERSION, read_index, written_anew
from metriseg.partitions.label_maps import relabelled
from metriseg.partitions.registry import MEASURES, Measure
from metriseg.partitions.table import Table, within_floats

__all__ = ["PartitionIndex"]

#: What rounding may add to a bound, relative to the largest distance seen.
SLACK = 1e-9
#: Tables that are read at once while an index is built.
TABLES = 64

Float: TypeAlias = NDArray[np.float64]
Int: TypeAlias = NDArray[np.int64]
Found: TypeAlias = tuple[NDArray[Any], NDArray[Any]]


@runtime_checkable
class CellWeight(Protocol):
    """Weights of the regions' pairs: the terms of a distance that sums over cells."""

    @property
    def is_metric(self) -> bool: ...

    def cells(self, table: Any) -> NDArray[Any]: ...


class PartitionIndex:
    r"""Set of partitions of one domain that is searched by the triangle inequality, exactly.

    Some of the partitions are pivots p, whose distances to all the others are kept. As soon as
    the distance of a query q to a pivot is known, every partition o has the bound

    .. math:: d(q, o) \ge |d(q, p) - d(o, p)|

    and is never compared with q when its bound exceeds the distance of the neighbours found so
    far. Pivots come first, then the rest in the order of their bounds. Pivots are those of a
    random sample that, together, rule most of the sample out; the sample's mutual distances are
    kept as well, so that each of it serves the others as a pivot. Answers are those of brute
    force, ties in the order of the indices included.

    Memory is the label maps (a byte a pixel below 257 regions), ``pivots`` numbers a partition,
    and ``sample²`` numbers. Building computes ``build_evaluations`` distances, at most
    ``sample²/2 + pivots x partitions``. With ``pivots=None`` all distances are kept: memory and
    building are quadratic, and queries need the fewest distances.

    Args:
        partitions: integer label maps of one shape: a sequence, an iterable, or an array
            ``(n, *S)``; labels as in :func:`~metriseg.partitions.contingency_table`.
        distance: the name of a metric of :data:`~metriseg.partitions.MEASURES`, a
            :class:`~metriseg.partitions.Measure`, or the weight of a
            ``weighted_partition_distance`` that is a metric.
        pivots: how many, 1 or more (all partitions when there are fewer); None for all.
        sample: how many partitions the pivots are chosen from.
        weight: the measure of each pixel, for all tables: see ``contingency_table``.
        features: pixel features, for all tables: see ``contingency_table``.
        seed: of the sample, 0 or more.

    Attributes:
        evaluations: distances that the latest call of a query computed.
        build_evaluations: distances that building computed.

    Raises:
        ValueError: for a distance that is not a metric, no partitions, partitions that differ in
            shape, or arguments outside their domain.

    Reference: L. Micó, J. Oncina, E. Vidal, Pattern Recognition Letters 15, 1994,
    doi:10.1016/0167-8655(94)90095-7; choice of pivots: B. Bustos, G. Navarro, E. Chávez, Pattern
    Recognition Letters 24, 2003, doi:10.1016/S0167-8655(03)00065-5.

    >>> index = PartitionIndex([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]], "partition_distance")
    >>> index.query([0, 0, 0, 1], k=2)
    (array([6., 6.]), array([0, 1]))
    >>> index.query_radius([[7, 7, 5, 5], [0, 0, 0, 0]], 4)[1]
    array([array([1, 2]), array([0])], dtype=object)
    """

    def __init__(
        self,
        partitions: Iterable[Any],
        distance: str | Measure | CellWeight = "variation_of_information",
        pivots: int | None = 16,
        *,
        sample: int = 256,
        weight: Any = None,
        features: Any = None,
        seed: int = 0,
    ) -> None:
        wanted = None if pivots is None else arguments.whole_number("pivots", pivots, low=1)
        sampled = arguments.whole_number("sample", sample, low=1)
        arguments.whole_number("seed", seed)
        self._set_distance(distance, weight, features)
        self._labels = _label_maps(partitions)
        self.shape: tuple[int, ...] = self._labels[0].shape
        self.evaluations = 0
        self._computed = 0
        self._choose_pivots(wanted, sampled, seed)
        self.build_evaluations = self._computed

    def _set_distance(self, distance: Any, weight: Any, features: Any) -> None:
        self.distance = distance
        self._function = _metric_function(distance, weighted=weight is not None)
        measure = MEASURES.get(distance) if isinstance(distance, str) else distance
        if getattr(measure, "needs", "") == "features" and features is None:
            raise ValueError(f"features must be given for {_name(distance)}, got None")
        self._weight = None if weight is None else host("weight", weight)
        self._features = None if features is None else host("features", features)

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        return (
            f"PartitionIndex({len(self)} partitions of shape {self.shape},"
            f" {_name(self.distance)}, {len(self.pivots)} pivots)"
        )

    @property
    def pivots(self) -> Int:
        """``(pivots,)``: the indices of those partitions whose distances to all are kept."""
        return self._pivots

    # Asking it

    def query(self, x: Any, k: int = 1, *, exclude: Any = None) -> Found:
        """The k nearest partitions of each query.

        Args:
            x: one label map of the partitions' shape S; or several, as a list or ``(Q, *S)``.
            k: how many, 1 … number of partitions (less one with ``exclude``).
            exclude: the index of a partition to leave out as if it had not been indexed, one
                for every query: itself, where the nearest other is sought.

        Returns:
            Distances (float64, ascending) and indices (int64), ``(k,)`` for one label map and
            ``(Q, k)`` for several. Of equal distances the lower index comes first.

        Raises:
            ValueError: for another shape, or k or ``exclude`` outside their domain.
        """
        left = len(self) - (exclude is not None)
        wanted = arguments.whole_number("k", k, low=1)
        if wanted > left:
            raise ValueError(f"k must be in 1 … {left}, the partitions to choose from, got {k!r}")

        def reach(nearest: list[float]) -> float:
            return nearest[wanted - 1] if len(nearest) >= wanted else np.inf

        maps, single = self._queries(x)
        answers = [
            tuple(part[:wanted] for part in answer) for answer in self._search(maps, reach, exclude)
        ]
        if single:
            return answers[0][0], answers[0][1]
        distances = np.array([answer[0] for answer in answers]).reshape(-1, wanted)
        indices = np.array([answer[1] for answer in answers], np.int64).reshape(-1, wanted)
        return distances, indices

    def query_radius(self, x: Any, r: float, *, exclude: Any = None) -> Found:
        """All partitions within distance r, inclusive.

        Args:
            x: as in :meth:`query`.
            r: 0 or more.
            exclude: as in :meth:`query`.

        Returns:
            Distances (float64, ascending) and indices (int64) of one label map; for several, two
            object arrays ``(Q,)`` of such arrays.

        Raises:
            ValueError: for another shape, or r or ``exclude`` outside their domain.
        """
        radius = arguments.number("r", r, low=0.0)
        maps, single = self._queries(x)
        answers = []
        for distances, indices in self._search(maps, lambda nearest: radius, exclude):
            within = distances <= radius
            answers.append((distances[within], indices[within]))
        if single:
            return answers[0]
        rows = np.empty((2, len(answers)), object)
        for number, answer in enumerate(answers):
            rows[0, number], rows[1, number] = answer
        return rows[0], rows[1]

    def _queries(self, x: Any) -> tuple[list[NDArray[Any]], bool]:
        listed = isinstance(x, (list, tuple)) and len(x) > 0
        if listed and host("x[0]", x[0]).shape == self.shape:
            maps, single = list(x), False
        else:
            array = host("x", x)
            if array.shape != self.shape and array.shape[1:] != self.shape:
                raise ValueError(
                    f"x must have the shape of the indexed partitions, {self.shape}, or one axis"
                    f" more in front for several, got {array.shape}"
                )
            single = array.shape == self.shape
            maps = [array] if single else list(array)
        named = ["x" if single else f"x[{number}]" for number in range(len(maps))]
        found = [relabelled(*pair) for pair in zip(named, maps, strict=True)]
        for name, labels in zip(named, found, strict=True):
            if labels.shape != self.shape:
                raise ValueError(f"{name} must have shape {self.shape}, got {labels.shape}")
        return found, single

    def _search(
        self, maps: list[NDArray[Any]], reach: Callable[[list[float]], float], exclude: Any
    ) -> list[tuple[Float, Int]]:
        hidden = self._excluded(exclude, len(maps))
        before = self._computed
        answers = [self._visit(*each, reach) for each in zip(maps, hidden, strict=True)]
        self.evaluations = self._computed - before
        return answers

    def _excluded(self, exclude: Any, queries: int) -> list[int | None]:
        if exclude is None:
            return [None] * queries
        indices = np.atleast_1d(np.asarray(exclude))
        fits = indices.shape == (queries,) and indices.dtype.kind in "iu"
        if not fits or not ((indices >= 0) & (indices < len(self))).all():
            raise ValueError(
                f"exclude must be an index in 0 … {len(self) - 1} for each of {queries} queries,"
                f" got {exclude!r}"
            )
        return [int(index) for index in indices]

    def _visit(
        self, query: NDArray[Any], hidden: int | None, reach: Callable[[list[float]], float]
    ) -> tuple[Float, Int]:
        """Everything that may lie within reach is compared: distances and indices, sorted."""
        bound = np.zeros(len(self))
        open_ = np.ones(len(self), np.bool_)
        if hidden is not None:
            open_[hidden] = False
        nearest: list[float] = []
        visited: list[int] = []
        distances: list[float] = []
        while (index := self._next(bound, open_, reach(nearest))) is not None:
            open_[index] = False
            distance = self._between(query, self._labels[index])
            visited.append(index)
            distances.append(distance)
            bisect.insort(nearest, distance)
            self._raise_bounds(bound, index, distance)
        values, indices = np.array(distances, np.float64), np.array(visited, np.int64)
        order = np.lexsort((indices, values))
        return values[order], indices[order]

    def _next(self, bound: Float, open_: NDArray[np.bool_], reach: float) -> int | None:
        """The pivot of the lowest bound, if that is within reach, or else any such partition."""
        seen = np.where(open_, bound, np.inf)
        for best in (int(self._pivots[seen[self._pivots].argmin()]), int(seen.argmin())):
            if seen[best] <= reach and seen[best] < np.inf:
                return best
        return None

    def _raise_bounds(self, bound: Float, index: int, distance: float) -> None:
        slack = SLACK * max(self._largest, distance)
        row = self._pivot_row.get(index)
        if row is not None:
            np.maximum(bound, np.abs(self._table[row] - distance) - slack, out=bound)
            return
        row = self._sample_row.get(index)
        if row is not None:
            gaps = np.abs(self._mutual[row] - distance) - slack
            bound[self._sample] = np.maximum(bound[self._sample], gaps)

    # Building it

    def _choose_pivots(self, pivots: int | None, sample: int, seed: int) -> None:
        count = len(self) if pivots is None else min(pivots, len(self))
        drawn = np.random.default_rng(seed).permutation(len(self))
        self._sample = np.sort(drawn[: max(sample, count)])
        self._mutual = self._all_distances(self._sample)
        everything = count == len(self._sample)
        rows = np.arange(count) if everything else _ruling_out(self._mutual, count)
        self._pivots = self._sample[rows]
        self._table = np.empty((count, len(self)))
        self._table[:, self._sample] = self._mutual[rows]
        others = np.setdiff1d(np.arange(len(self)), self._sample)
        for row, pivot in enumerate(self._pivots):
            self._table[row, others] = self._one_to_many(int(pivot), others)
        self._look_up()

    def _look_up(self) -> None:
        self._largest = float(max(self._table.max(), self._mutual.max()))
        self._pivot_row = {int(index): row for row, index in enumerate(self._pivots)}
        self._sample_row = {int(index): row for row, index in enumerate(self._sample)}

    def _all_distances(self, indices: Int) -> Float:
        matrix = np.zeros((len(indices), len(indices)))
        for row, index in enumerate(indices):
            matrix[row, :row] = self._one_to_many(int(index), indices[:row])
        return matrix + matrix.T

    def _one_to_many(self, index: int, others: Int) -> Float:
        parts = [np.empty(0)]
        for start in range(0, len(others), TABLES):
            chunk = others[start : start + TABLES]
            tables = [self._table_of(self._labels[index], self._labels[o]) for o in chunk]
            parts.append(self._function(ContingencyTable.stack(tables)))
        self._computed += len(others)
        return np.concatenate(parts)

    def _between(self, x: NDArray[Any], y: NDArray[Any]) -> float:
        self._computed += 1
        return float(self._function(self._table_of(x, y)))

    def _table_of(self, x: NDArray[Any], y: NDArray[Any]) -> ContingencyTable:
        return contingency_table(x, y, weight=self._weight, features=self._features)

    # Keeping it

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file, compressed and without pickle.

        A distance that is not one of ``MEASURES`` is not written: :meth:`load` asks for it. The
        file takes its place when it is complete: where writing fails, an old one stays.
        """
        size = max(labels.dtype.itemsize for labels in self._labels)
        kept: dict[str, Any] = {
            "version": VERSION,
            "distance": _registered(self.distance) or "",
            "labels": np.stack(self._labels).astype(f"u{size}"),
            "pivots": self._pivots,
            "table": self._table,
            "sample": self._sample,
            "mutual": self._mutual,
            "build_evaluations": self.build_evaluations,
        }
        pixels = {"weight": self._weight, "features": self._features}
        kept |= {name: values for name, values in pixels.items() if values is not None}
        with written_anew(path) as file:
            np.savez_compressed(file, **kept)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], distance: str | Measure | CellWeight | None = None
    ) -> PartitionIndex:
        """The index that :meth:`save` wrote; it answers as the one that was saved.

        Args:
            path: the file.
            distance: only for an index of a distance that is not one of ``MEASURES``.

        Raises:
            OSError: where there is no file that may be read.
            ValueError: for a file of another kind or version, one that is broken, or a distance
                that the stored numbers are not of.
        """
        kept = read_index(path)
        name = str(kept["distance"])
        if name not in ("", *MEASURES):
            raise ValueError(f"path must be an index of a known distance, got {path} of {name!r}")
        if not name and distance is None:
            raise ValueError(
                "distance must be given here: the index was built with one that is not in MEASURES"
            )
        index = cls.__new__(cls)
        index._set_distance(
            name if distance is None else distance, kept.get("weight"), kept.get("features")
        )
        index._labels = list(kept["labels"])
        index.shape = index._labels[0].shape
        index._pivots, index._table = kept["pivots"], kept["table"]
        index._sample, index._mutual = kept["sample"], kept["mutual"]
        index.build_evaluations = int(kept["build_evaluations"])
        index._look_up()
        index._computed = 0
        index._check_distance()
        index.evaluations = index._computed = 0
        return index

    def _check_distance(self) -> None:
        """The largest of the kept distances, computed anew."""
        row, column = np.unravel_index(int(self._table.argmax()), self._table.shape)
        anew = self._between(self._labels[self._pivots[row]], self._labels[column])
        kept = float(self._table[row, column])
        if not np.isclose(anew, kept, rtol=1e-6, atol=0.0):
            raise ValueError(
                f"distance must be that of the index, whose largest is {kept:g}:"
                f" {_name(self.distance)} gives {anew:g} there"
            )


def _ruling_out(mutual: Float, count: int) -> Int:
    """Rows whose bounds, together, rule most pairs out at the distance of nearest neighbours."""
    members = len(mutual)
    nearest = (mutual + np.diag(np.full(members, np.inf))).min(1)
    left = np.ones((members, members), np.bool_)
    ruled = [np.abs(row[:, None] - row) > nearest[:, None] for row in mutual]
    chosen: list[int] = []
    for _ in range(count):
        gains = np.array([np.count_nonzero(out & left) for out in ruled])
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        left &= ~ruled[chosen[-1]]
    return np.array(chosen, np.int64)


def _label_maps(partitions: Iterable[Any]) -> list[NDArray[Any]]:
    if isinstance(partitions, (str, bytes)) or not isinstance(partitions, Iterable):
        raise ValueError(f"partitions must be label maps, got {type(partitions).__name__}")
    maps = [relabelled(f"partitions[{place}]", one) for place, one in enumerate(partitions)]
    if not maps:
        raise ValueError("partitions must hold at least one label map, got none")
    for place, labels in enumerate(maps):
        if labels.ndim == 0:
            raise ValueError(f"partitions[{place}] must be a label map, got one number")
        if labels.shape != maps[0].shape:
            raise ValueError(
                f"partitions must be of one shape: partitions[0] has {maps[0].shape},"
                f" partitions[{place}] has {labels.shape}"
            )
    return maps


def _metric_function(distance: Any, *, weighted: bool) -> Callable[[Table], Any]:
    """The distance as a function of a table, if it is a metric."""
    if isinstance(distance, str):
        arguments.one_of("distance", distance, MEASURES)
        distance = MEASURES[distance]
    if not isinstance(distance, (Measure, CellWeight)):
        raise ValueError(
            "distance must be a name in MEASURES, a Measure or a weight of regions,"
            f" got {type(distance).__name__}"
        )
    if not distance.is_metric:
        metrics = ", ".join(name for name, one in MEASURES.items() if one.is_metric)
        raise ValueError(
            f"distance must be a metric, got {_name(distance)}: search rules partitions out by the"
            f" triangle inequality, without which it would lose neighbours; metrics are {metrics}"
        )
    if isinstance(distance, Measure):
        if weighted and distance.needs == "counts":
            raise ValueError(f"weight must be None for {distance.name}, which counts pixels")
        return distance.function
    return _sum_of_cells(distance)


def _sum_of_cells(weight: CellWeight) -> Callable[[Table], Any]:
    def distance(table: Table) -> Any:
        return table.result(table.sum_cells(weight.cells(table)))

    return partial(within_floats, "the index's distance", distance)


def _name(distance: Any) -> str:
    return distance if isinstance(distance, str) else getattr(distance, "name", repr(distance))


def _registered(distance: Any) -> str | None:
    """The name under which a distance stands in MEASURES, if it does."""
    name = _name(distance)
    return name if isinstance(distance, str) or MEASURES.get(name) == distance else None
