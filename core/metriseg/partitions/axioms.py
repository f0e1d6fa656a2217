"""Whether a distance of partitions is a metric, tried out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.partitions.contingency import ContingencyTable, contingency_table
from metriseg.partitions.registry import MEASURES, Measure

__all__ = ["AxiomReport", "check_metric_axioms"]

#: The worst witnesses of each axiom that a report keeps.
WITNESSES = 10

Distance: TypeAlias = Measure | Callable[[ContingencyTable], float] | str


@dataclass(frozen=True)
class Witness:
    """Partitions that break an axiom, by their places in the list, and the distances in it."""

    indices: tuple[int, ...]
    distances: tuple[float, ...]


@dataclass(frozen=True)
class AxiomCheck:
    """What became of one axiom.

    Attributes:
        checked: pairs, or triples, that were tried.
        violations: how many of them break it.
        witnesses: the worst ten of these.
    """

    checked: int
    violations: int
    witnesses: tuple[Witness, ...]

    def __bool__(self) -> bool:
        return self.violations == 0


@dataclass(frozen=True, eq=False)
class AxiomReport:
    """The axioms of a metric on some partitions; true if none is broken.

    Attributes:
        identity: d(X, X) = 0, and d(X, Y) > 0 for different partitions. Witnesses are (i, j).
        symmetry: d(X, Y) = d(Y, X). Witnesses are (i, j), with both distances.
        triangle: d(X, Y) <= d(X, Z) + d(Z, Y). Witnesses are (x, z, y), with d(X, Y), d(X, Z) and
            d(Z, Y); a symmetric distance has each with x and y exchanged too.
        distances: ``(n, n)``.
    """

    identity: AxiomCheck
    symmetry: AxiomCheck
    triangle: AxiomCheck
    distances: NDArray[np.float64]

    def __bool__(self) -> bool:
        return bool(self.identity and self.symmetry and self.triangle)

    def __str__(self) -> str:
        lines = [f"Metric axioms on {len(self.distances)} partitions"]
        for name, check in (
            ("identity", self.identity),
            ("symmetry", self.symmetry),
            ("triangle", self.triangle),
        ):
            of = "triples" if name == "triangle" else "pairs"
            found = (
                f"holds for all {check.checked} {of}"
                if check
                else f"broken by {check.violations} of {check.checked} {of}"
            )
            lines.append(f"  {name}: {found}")
            lines += [f"    {_sentence(name, witness)}" for witness in check.witnesses]
        return "\n".join(lines)


def check_metric_axioms(
    partitions: Sequence[Any],
    distance: Distance,
    *,
    weight: Any = None,
    features: Any = None,
    tolerance: float = 1e-9,
) -> AxiomReport:
    r"""Try the axioms of a metric on every pair and triple of some partitions.

    .. math:: d(X, Y) = 0 \iff X = Y, \qquad d(X, Y) = d(Y, X), \qquad
        d(X, Y) \le d(X, Z) + d(Z, Y)

    Label maps are equal as partitions if they differ in the names of the labels alone (where a
    pixel of weight 0 doesn't count). A violation is a proof; to find none is not.

    Args:
        partitions: label maps of one shape, one or more.
        distance: a name in :data:`MEASURES`, a :class:`Measure`, or a function of a table.
        weight: for :func:`contingency_table`, of all pairs.
        features: for :func:`contingency_table`, of all pairs.
        tolerance: what rounding may do, as a share of the largest distance for d(X, X) = 0, and
            of the larger side for the others; not negative. d(X, Y) > 0 is asked without any.

    Returns:
        The violations, with their worst witnesses.

    Raises:
        ValueError: for no partitions, different shapes, a score where higher is nearer, an unknown
            name, or a distance that is no finite number.

    The weighted functional with :math:`\varphi = 1 + |\bar f(x) - \bar f(y)|` is no metric
    (26/3 > 6 + 2):

    >>> def weighted(table):
    ...     k, l, c = table.x_index, table.y_index, table.values
    ...     phi = 1 + abs(table.x_features[k, 0] - table.y_features[l, 0])
    ...     return (phi * (table.x_sizes[k] + table.y_sizes[l] - 2 * c) * c).sum()
    >>> maps = [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    >>> print(check_metric_axioms(maps, weighted, features=[[0.0, 0.0, 1.0]]))
    Metric axioms on 3 partitions
      identity: holds for all 6 pairs
      symmetry: holds for all 3 pairs
      triangle: broken by 2 of 6 triples
        d(0, 2) = 8.66667 > d(0, 1) + d(1, 2) = 6 + 2
        d(2, 0) = 8.66667 > d(2, 1) + d(1, 0) = 2 + 6
    >>> bool(check_metric_axioms(maps, "mirkin_distance"))
    True
    """
    maps = list(partitions)
    shapes = {tuple(np.shape(labels)) for labels in maps}
    if len(shapes) != 1:
        came = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(f"partitions must be label maps of one shape, one or more, got {came}")
    compare = _of_table(distance)
    slack = arguments.number("tolerance", tolerance, low=0.0)
    d = np.zeros((len(maps), len(maps)))
    equal = np.zeros(d.shape, np.bool_)
    for i, j in itertools.combinations_with_replacement(range(len(maps)), 2):
        table = contingency_table(maps[i], maps[j], weight=weight, features=features)
        equal[i, j] = equal[j, i] = table.shape == (len(table.values),) * 2
        d[i, j] = _finite(compare(table), i, j)
        if i != j:
            d[j, i] = _finite(compare(table.T), j, i)
    return AxiomReport(_identity(d, equal, slack), _symmetry(d, slack), _triangle(d, slack), d)


def _of_table(distance: Distance) -> Callable[[ContingencyTable], Any]:
    if isinstance(distance, str):
        arguments.one_of("distance", distance, MEASURES)
        distance = MEASURES[distance]
    if isinstance(distance, Measure) and distance.better != "lower":
        raise ValueError(
            f"distance must be lower for nearer partitions, {distance.name} is a score"
        )
    if not callable(distance):
        raise ValueError(
            f"distance must be a measure, its name, or a function of a table, got {distance!r}"
        )
    return distance


def _finite(value: Any, i: int, j: int) -> float:
    if np.size(value) != 1 or not np.isfinite(value).all():
        raise ValueError(
            f"distance must give one finite number, got {value!r} for partitions {i} and {j}"
        )
    return float(np.reshape(value, ()))


def _identity(d: NDArray[np.float64], equal: NDArray[np.bool_], slack: float) -> AxiomCheck:
    apart = np.where(equal, abs(d) > slack * abs(d).max(), d <= 0)
    found = np.argwhere(np.triu(apart | apart.T))
    found = found[np.argsort(-abs(d[tuple(found.T)]), kind="stable")]
    worst = tuple(Witness((int(i), int(j)), (float(d[i, j]),)) for i, j in found[:WITNESSES])
    return AxiomCheck(len(d) * (len(d) + 1) // 2, len(found), worst)


def _symmetry(d: NDArray[np.float64], slack: float) -> AxiomCheck:
    excess = abs(d - d.T)
    found = np.argwhere(np.triu(excess > slack * np.maximum(abs(d), abs(d.T))))
    found = found[np.argsort(-excess[tuple(found.T)], kind="stable")]
    worst = tuple(
        Witness((int(i), int(j)), (float(d[i, j]), float(d[j, i]))) for i, j in found[:WITNESSES]
    )
    return AxiomCheck(len(d) * (len(d) - 1) // 2, len(found), worst)


def _triangle(d: NDArray[np.float64], slack: float) -> AxiomCheck:
    n, violations = len(d), 0
    worst: list[tuple[float, Witness]] = []
    for z in range(n):
        excess = d - (d[:, z, None] + d[None, z, :])
        broken = excess > slack * np.maximum(abs(d), 0)
        np.fill_diagonal(broken, False)
        found = np.argwhere(broken)
        violations += len(found)
        found = found[np.argsort(-excess[tuple(found.T)], kind="stable")]
        for x, y in found[:WITNESSES]:
            three = (float(d[x, y]), float(d[x, z]), float(d[z, y]))
            worst.append((float(excess[x, y]), Witness((int(x), z, int(y)), three)))
        worst = sorted(worst, key=lambda one: -one[0])[:WITNESSES]
    return AxiomCheck(n * (n - 1) * (n - 2), violations, tuple(witness for _, witness in worst))


def _sentence(axiom: str, witness: Witness) -> str:
    at, numbers = witness.indices, [f"{value:g}" for value in witness.distances]
    if axiom == "identity":
        same = "equal" if witness.distances[0] else "different"
        return f"d({at[0]}, {at[1]}) = {numbers[0]} of {same} partitions"
    if axiom == "symmetry":
        return f"d({at[0]}, {at[1]}) = {numbers[0]}, d({at[1]}, {at[0]}) = {numbers[1]}"
    x, z, y = at
    return f"d({x}, {y}) = {numbers[0]} > d({x}, {z}) + d({z}, {y}) = {numbers[1]} + {numbers[2]}"
