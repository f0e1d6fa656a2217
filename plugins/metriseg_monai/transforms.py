"""What a network's output becomes after inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from metriseg import validation
from metriseg.extraction import group_embedding, landing_points
from metriseg.extraction.grouping import method_for
from metriseg.extraction.places import checked_units

__all__ = ["GroupEmbeddingd"]


class GroupEmbeddingd(MapTransform):
    """Instances from a prediction whose first channels are classes, the others an embedding.

    For the postprocessing of an evaluator. An item's ``pred`` ``(C + D, *S)`` becomes the logits of
    the classes, ``(C, *S)``, for ``AsDiscreted`` and metrics of classes; ``pred_instances``,
    ``(1, *S)`` int64, is 0 on the background and numbers the instances from 1. The embedding is
    what :class:`metriseg.extraction.KernelSegments` trains, in
    :class:`metriseg_monai.SplitChannels`.

    With ``pixels_per_unit`` the embedding's first channels are offsets from a voxel's own place, so
    windows of a ``SlidingWindowInferer`` agree where they overlap. Voxels and axes are those that
    the network saw: group before ``Invertd``, and invert ``pred_instances`` with
    ``nearest_interp=True``. Of a prediction that was resized by r along an axis the number of the
    axis is r times that of training.

    Args:
        keys: of the predictions; the instances of ``key`` stand under ``<key>_instances``.
        num_classes: C >= 1; one channel is foreground where its logit is above 0.
        bandwidth: > 0, that of the ``KernelSegments`` in training.
        background: the class whose voxels belong to no instance; None groups all voxels.
        min_size: groups of fewer voxels join another, >= 1.
        allow_missing_keys: whether items may lack a key.
        pixels_per_unit: that of the ``KernelSegments`` in training, a number > 0 or one for each
            axis: what is grouped are :func:`metriseg.extraction.landing_points`.

    Raises:
        ValueError: for an argument outside its domain, and for a prediction without an embedding,
            or with fewer channels of it than axes with ``pixels_per_unit``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        bandwidth: float = 1.0,
        background: int | None = 0,
        min_size: int = 10,
        allow_missing_keys: bool = False,
        pixels_per_unit: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_classes = validation.whole_number("num_classes", num_classes, low=1)
        self.bandwidth = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
        self.background = validation.label("background", background)
        self.min_size = validation.whole_number("min_size", min_size, low=1)
        if pixels_per_unit is not None:
            checked_units(pixels_per_unit)
        self.pixels_per_unit = pixels_per_unit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found = dict(data)
        for key in self.key_iterator(found):
            output = found[key]
            if output.shape[0] <= self.num_classes:
                raise ValueError(
                    f"{key} must have more channels than the {self.num_classes} of the classes,"
                    f" got {output.shape[0]}"
                )
            plain = convert_to_tensor(output, track_meta=False)
            logits, embedding = plain.tensor_split([self.num_classes])
            labels = (logits[0] > 0).long() if self.num_classes == 1 else logits.argmax(0)
            foreground = None if self.background is None else labels[None] != self.background
            points = embedding[None]
            if self.pixels_per_unit is not None:
                points = landing_points(points, self.pixels_per_unit)
            instances = group_embedding(
                points,
                foreground=foreground,
                bandwidth=self.bandwidth,
                min_size=self.min_size,
                method=method_for(self.pixels_per_unit),
            )
            numbers = instances + (foreground is None)
            found[key] = output[: self.num_classes]
            found[f"{key}_instances"] = convert_to_dst_type(numbers, output, numbers.dtype)[0]
        return found
