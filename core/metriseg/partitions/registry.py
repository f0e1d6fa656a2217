"""The distances by name: what each is, so that others can choose, refuse and document them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from metriseg.partitions import distances, information, objects, transport
from metriseg.partitions.table import Table

__all__ = ["MEASURES", "Measure"]


@dataclass(frozen=True)
class Measure:
    """A distance or score of two partitions.

    Attributes:
        name: as in :data:`MEASURES`.
        function: of a contingency table, or of a stack of them.
        is_metric: whether it is 0 for equal partitions only, symmetric, and obeys the triangle
            inequality on all partitions of a domain.
        better: whether "lower" or "higher" values say that the partitions are nearer.
        unit: of its value, "" for a pure number.
        normalized: the same within 0 … 1, where it has such a form.
        needs: what a table must have beside one measure: "counts", "features", "objects" (label 0
            is the background, so what labels are called matters), or nothing.
        takes_long: whether its time grows faster than the table, so that it is for those who ask.
    """

    name: str
    function: Callable[[Table], Any]
    is_metric: bool
    better: Literal["lower", "higher"]
    unit: str = ""
    needs: Literal["", "counts", "features", "objects"] = ""
    normalized: Callable[[Table], Any] | None = None
    takes_long: bool = False

    def __call__(self, table: Table) -> Any:
        return self.function(table)

    @property
    def best(self) -> float:
        """The value of a partition and itself."""
        return 0.0 if self.better == "lower" else 1.0

    @property
    def is_plain(self) -> bool:
        """Whether it is of two partitions alone, whatever their labels are called, and cheap."""
        return self.needs in ("", "counts") and not self.takes_long


def _split(table: Table) -> Any:
    return distances.split_and_merge(table)[0]


def _merge(table: Table) -> Any:
    return distances.split_and_merge(table)[1]


def _rand_split(table: Table) -> Any:
    return distances.rand_split_and_merge(table)[0]


def _rand_merge(table: Table) -> Any:
    return distances.rand_split_and_merge(table)[1]


def _metric(function: Callable[..., Any], unit: str) -> Measure:
    """A metric with a normalized form that is one too."""
    normalized = partial(function, normalized=True)
    return Measure(function.__name__, function, True, "lower", unit, normalized=normalized)


_ALL = (
    _metric(distances.partition_distance, "pixels²"),
    _metric(distances.mirkin_distance, "pixels²"),
    _metric(distances.van_dongen_distance, "pixels"),
    _metric(distances.variation_of_information, "nats"),
    Measure("split", _split, False, "lower", "nats"),
    Measure("merge", _merge, False, "lower", "nats"),
    Measure(
        "normalized_information_distance",
        information.normalized_information_distance,
        True,
        "lower",
    ),
    Measure(
        "normalized_mutual_information", information.normalized_mutual_information, False, "higher"
    ),
    Measure(
        "adjusted_mutual_information",
        information.adjusted_mutual_information,
        False,
        "higher",
        "",
        "counts",
        takes_long=True,
    ),
    Measure("larsen_aone_dissimilarity", distances.larsen_aone_dissimilarity, False, "lower"),
    Measure(
        "earth_movers_distance", transport.earth_movers_distance, False, "lower", "", "features"
    ),
    Measure("microm_distance", transport.microm_distance, False, "lower", "", "features"),
    Measure("rand_index", distances.rand_index, False, "higher", "", "counts"),
    Measure("adjusted_rand_index", distances.adjusted_rand_index, False, "higher", "", "counts"),
    Measure("adapted_rand_error", distances.adapted_rand_error, False, "lower", "", "counts"),
    Measure("rand_split", _rand_split, False, "higher", "", "counts"),
    Measure("rand_merge", _rand_merge, False, "higher", "", "counts"),
    Measure("cremi_score", distances.cremi_score, False, "lower", "", "counts"),
    Measure("object_f1", objects.object_f1, False, "higher", "", "objects"),
    Measure("object_ap", objects.object_ap, False, "higher", "", "objects"),
    Measure("mean_object_ap", objects.mean_object_ap, False, "higher", "", "objects"),
    Measure("panoptic_quality", objects.panoptic_quality, False, "higher", "", "objects"),
)

#: Name -> measure.
MEASURES: Mapping[str, Measure] = MappingProxyType({one.name: one for one in _ALL})
