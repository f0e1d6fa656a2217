r"""How far a predicted label map is from the true one, as partitions of the image.

What the metrics of every framework are made of: one image in, one small dictionary out. The scores
are pure numbers or nats, so that those of images of different sizes average.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import Labels, as_labels, host, integer_array, is_among
from metriseg.components import connected_components
from metriseg.partitions.contingency import ContingencyTable, contingency_table
from metriseg.partitions.counting.planes import check_mask
from metriseg.partitions.objects import object_names
from metriseg.partitions.registry import MEASURES, Measure
from metriseg.partitions.table import Unit, in_unit

__all__ = ["DEFAULT_SCORES", "SCORES", "PartitionScores", "mean_scores", "partition_scores"]

Segments = Literal["components", "labels"]


def _of_any_size() -> dict[str, Measure]:
    """The measures that don't grow with the image, and the normalized forms of all."""
    found = {}
    for measure in MEASURES.values():
        if measure.needs == "features":
            continue
        if not measure.unit.startswith("pixels"):
            found[measure.name] = measure
        if measure.normalized is not None:
            name = f"normalized_{measure.name}"
            found[name] = dataclasses.replace(
                measure, name=name, function=measure.normalized, unit="", normalized=None
            )
    return found


#: Name -> measure: what :func:`partition_scores` can compute.
SCORES: Mapping[str, Measure] = MappingProxyType(_of_any_size())
#: What it computes unless told otherwise.
DEFAULT_SCORES = (
    "variation_of_information",
    "split",
    "merge",
    "adapted_rand_error",
    "normalized_partition_distance",
)


@dataclass(frozen=True)
class PartitionScores:
    """:func:`partition_scores` with its arguments settled and checked: call it for every image.

    Args:
        metrics: as there; kept as a tuple of names without repetition.
        segments: as there.
        connectivity: as there.
        ignore_index: as there.
        unit: as there.

    Raises:
        ValueError: for an unknown name, with the nearest one, or another bad argument.

    >>> scores = PartitionScores("rand_index", segments="labels")
    >>> scores([[0, 0, 1]], [[5, 5, 2]])
    {'rand_index': 1.0}
    """

    metrics: str | Sequence[str] = DEFAULT_SCORES
    segments: Segments = "components"
    connectivity: int = 1
    ignore_index: int | None = None
    unit: Unit = "nats"

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", _names(self.metrics))
        arguments.one_of("segments", self.segments, get_args(Segments))
        arguments.whole_number("connectivity", self.connectivity, low=1)
        arguments.label("ignore_index", self.ignore_index)
        arguments.one_of("unit", self.unit, get_args(Unit))

    @property
    def names(self) -> tuple[str, ...]:
        """The keys of the result, in its order."""
        return tuple(self.metrics)

    def __call__(self, truth: Any, prediction: Any, mask: Any = None) -> dict[str, float]:
        truth, prediction = _label_map("truth", truth), _label_map("prediction", prediction)
        if truth.shape != prediction.shape:
            raise ValueError(
                f"prediction must have the shape of truth, {truth.shape}, got {prediction.shape}"
            )
        left_out = () if self.ignore_index is None else (self.ignore_index,)
        valid = ~is_among(truth, left_out)
        if mask is not None:
            counted = host("mask", mask)
            check_mask(counted.dtype, counted.shape, truth.shape, like="truth")
            valid &= counted
        if not valid.any():
            return dict.fromkeys(self.names, math.nan)
        pair = {"truth": truth, "prediction": prediction}
        regions = [self._regions(name, labels, valid) for name, labels in pair.items()]
        table = objects = contingency_table(*regions)
        if self.segments == "components" and self._of_objects:
            named = zip(regions, pair.values(), strict=True)
            objects = table.relabel(*(object_names(one, labels[valid]) for one, labels in named))
        return {
            name: self._in_unit(SCORES[name], objects if name in self._of_objects else table)
            for name in self.names
        }

    def _in_unit(self, score: Measure, table: ContingencyTable) -> float:
        value = float(score(table))
        return float(in_unit(self.unit, value)) if score.unit == "nats" else value

    @property
    def _of_objects(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if SCORES[name].needs == "objects")

    def _regions(self, name: str, labels: NDArray[Any], valid: NDArray[np.bool_]) -> Labels:
        """The numbers of the segments of the valid pixels, in one row."""
        lowest = int(labels[valid].min())
        if lowest < 0:
            raise ValueError(
                f"{name} must hold labels that are not negative (or ignored), got {lowest}"
            )
        if self.segments == "labels":
            return as_labels(labels[valid])
        return connected_components(labels, connectivity=self.connectivity, valid=valid)[valid]


def partition_scores(
    truth: Any,
    prediction: Any,
    *,
    metrics: str | Sequence[str] = DEFAULT_SCORES,
    segments: Segments = "components",
    connectivity: int = 1,
    ignore_index: int | None = None,
    unit: Unit = "nats",
    mask: Any = None,
) -> dict[str, float]:
    r"""Distances and scores of the partitions that two label maps of an image describe.

    Which class a segment has is not asked, only where it ends. ``"split"``,
    :math:`H(\text{prediction} \mid \text{truth})`, is what the prediction cuts in pieces, and
    ``"merge"`` what it glues together; they add up to ``"variation_of_information"``.

    Args:
        truth: integer label map ``(*S)``: NumPy array, or tensor (read on the CPU).
        prediction: integer label map of the same shape.
        metrics: one name or several of :data:`~metriseg.partitions.SCORES`: those of
            :data:`~metriseg.partitions.MEASURES` that don't grow with the image, and as
            ``"normalized_<name>"`` the form within 0 … 1 of those that have one. "split", "merge"
            and "variation_of_information" are in ``unit``, all others pure numbers. "object_f1",
            "object_ap", "mean_object_ap" and "panoptic_quality" are those of
            :func:`~metriseg.partitions.object_scores`: every segment is an object but those of
            label 0, which are the background.
        segments: "components": the segments are the connected components of each label, as
            semantic label maps need it; "labels": each label is a segment, as in maps of
            instances, wherever its pixels are.
        connectivity: of the components, 1 … dimensions: in 2-D 1 is four neighbours and 2 eight.
        ignore_index: pixels with this label in the truth are left out. No component leads through
            them, in neither map, so a prediction that is right on all other pixels is perfect.
            None leaves out nothing. With "labels" and the background's label the background of
            the truth is left out, as is the custom for the adapted Rand error.
        unit: of information: "nats", or "bits", which are 1/ln 2 as many.
        mask: bool, of the maps' shape: the pixels that count, such as
            :func:`~metriseg.partitions.boundary_mask` gives; the others are left out in the same
            way. None counts all.

    Returns:
        A number for every name, all NaN where no pixel is left to compare.

    Raises:
        ValueError: for another name or argument, maps of different shapes, of no pixel, of labels
            that are no integers or are negative (elsewhere than on ignored pixels).

    Reference: J. Nunez-Iglesias and others, Machine learning of hierarchical clustering to segment
    2D and 3D images, PLoS ONE 8, 2013, doi:10.1371/journal.pone.0071715 (split and merge).

    >>> truth = [[1, 1, 1, 255], [0, 0, 0, 0]]
    >>> scores = partition_scores(truth, [[1, 0, 1, 1], [0, 0, 0, 0]], ignore_index=255)
    >>> {name: round(score, 3) for name, score in scores.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'variation_of_information': 0.828, 'split': 0.471, 'merge': 0.357,
     'adapted_rand_error': 0.368, 'normalized_partition_distance': 0.286}
    """
    score = PartitionScores(metrics, segments, connectivity, ignore_index, unit)
    return score(truth, prediction, mask)


def mean_scores(
    scores: Iterable[Mapping[str, float]], names: str | Sequence[str] = DEFAULT_SCORES
) -> dict[str, float]:
    """The mean of every score over the images that have it, NaN where none has.

    Args:
        scores: what :func:`partition_scores` gave for each image.
        names: of the scores.

    >>> mean_scores([{"split": 1.0}, {"split": 2.0}, {"split": float("nan")}], ["split"])
    {'split': 1.5}
    """
    images = list(scores)
    means = {}
    for name in _names(names):
        defined = [image[name] for image in images if not math.isnan(image[name])]
        means[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return means


def _names(metrics: Any) -> tuple[str, ...]:
    given = [metrics] if isinstance(metrics, str) else metrics
    listed = list(given) if isinstance(given, Iterable) else []
    if not listed:
        raise ValueError(f"metrics must be one name or several, got {metrics!r}")
    for name in listed:
        if not isinstance(name, str) or name not in SCORES:
            raise ValueError(f"metrics must be of {', '.join(SCORES)}, got {name!r}{_hint(name)}")
    return tuple(dict.fromkeys(listed))


def _hint(name: Any) -> str:
    if f"normalized_{name}" in SCORES:
        return f", which grows with the image: did you mean 'normalized_{name}'?"
    return arguments.nearest(str(name), SCORES)


def _label_map(name: str, labels: Any) -> NDArray[Any]:
    array = integer_array(name, labels)
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one pixel, got shape {array.shape}")
    return array
