"""The partition metric as a loss: how far a predicted partition is from the true one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from metriseg import extraction, validation
from metriseg.batch import Activation, Batch
from metriseg.extraction import Segments
from metriseg.extraction.truth import segment_sizes, true_segments
from metriseg.functional.partition import Form, Weighting, shares
from metriseg.losses.base import TableLoss
from metriseg.options import LossOptions
from metriseg.statistics import RegionStatistics
from metriseg.windows import random_windows

__all__ = ["PartitionLoss"]

Density = Literal["pixel", "segment", "root"]


class PartitionLoss(TableLoss):
    r"""Partition distance of a prediction from the truth.

    .. math:: \ell = \sum_{uv} w_u w_v
        \bigl([u \sim v \text{ in the prediction}] - [u \sim v \text{ in the truth}]\bigr)^2

    with pixel measures w that sum to 1: the share of the pairs of pixels that one partition joins
    and the other parts, :func:`~metriseg.partitions.partition_distance` / N². It knows segments,
    not classes: add a loss of classes in a :class:`~metriseg.CompoundLoss`. How a partition, and a
    gradient, come out of logits or features is the choice of ``segments``. The true segments are
    the connected components of the target's classes, the background's too, or what
    ``maps={"instances": …}`` ``(N, *S)`` says; a negative number there is an object that isn't
    known, a crowd, and its pixels have no measure. Each image has a value of its own; images
    without any measure leave the mean. Values lie in [0, 1] (an estimate of ``KernelSegments`` may
    be a little below 0); 0 at a perfect prediction.

    Args:
        segments: a :class:`~metriseg.extraction.Segments`, its name, or a mapping of its name
            (``type``) and arguments: "ClassSegments" (components of predicted classes),
            "SlotSegments" (each channel is a segment), "KNNSegments" (the paper's), or
            "KernelSegments" (pixels of near embeddings). The last two look at the ``features``,
            the logits where none are given.
        form: "frobenius", whose gradient is 0 where the distance is, or "paper", whose gradient at
            hard segments is what moving a pixel would cost; None is what serves ``segments`` best:
            "paper" for classes and the paper's segments, "frobenius" for slots and kernels.
        density: the measure of a pixel: "pixel", 1; "segment", 1 over the size of its true segment,
            so that all objects count alike; "root", 1 over the root of it, between the two.
        window: pairs are compared within windows of this side only, laid anew at random each
            call: distant pixels then need not differ. None compares all.
        connectivity: in how many axes neighbours may differ, for the true segments.
        weighting: the weights of the metric. None is the plain one above, in which an object counts
            by the square of its size; "union" is the mean over pixels of the Jaccard distance of
            the two segments that hold a pixel, "sum" that of their Dice distance: each object
            counts by its own overlap, for each of its pixels. With ``density="segment"`` too, all
            objects count alike.
        activation: "softmax", "sigmoid" or "identity".
        class_weight: C numbers >= 0, which the measure of a pixel of that class is multiplied with.
        include_background: False gives pixels of class 0 no measure.
        reduction: "mean" over images, "sum" or "none", then ``(N, 1)``.

    Raises:
        ValueError: for soft labels.

    With a ``weighting`` the value is :func:`~metriseg.partitions.weighted_partition_distance` / N
    of hard segments, with :class:`~metriseg.partitions.UnionWeight` ("union") or
    :class:`~metriseg.partitions.DiceWeight` ("sum"), and

    .. math:: \ell = \sum_u w_u \Bigl(1 - \frac{C_u}{a_u + b_u - C_u}\Bigr) \quad\text{or}\quad
        \sum_u w_u \Bigl(1 - \frac{2 C_u}{a_u + b_u}\Bigr)

    of soft ones, where a pixel's segments have the measures :math:`a_u = \sum_v w_v K_{uv}` in the
    prediction and :math:`b_u = \sum_v w_v [u \sim v]` in the truth and share :math:`C_u = \sum_v
    w_v K_{uv} [u \sim v]`, with :math:`K_{uv}` in [0, 1] saying whether the prediction joins two.

    Source: Kovtunenko and Mashtalir 2026, "Metrical loss functions for image segmentation based on
    convolutional neural networks", doi:10.15276/aait.09.2026.12.

    >>> import torch
    >>> loss = PartitionLoss("SlotSegments")
    >>> halves = torch.tensor([[[9., 9., -9., -9.], [-9., -9., 9., 9.]]])
    >>> print(f"{loss(halves, torch.tensor([[0, 0, 1, 1]])):.4f}")
    0.0000
    >>> print(f"{loss(halves, torch.tensor([[0, 0, 0, 0]])):.4f}")
    0.5000
    """

    map_names: ClassVar[tuple[str, ...]] = ("instances",)
    columns_are_classes: ClassVar[bool] = False

    def __init__(
        self,
        segments: str | Mapping[str, Any] | Segments = "ClassSegments",
        form: Form | None = None,
        density: Density = "pixel",
        window: int | None = None,
        connectivity: int = 1,
        weighting: Weighting | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.segments = segments
        self.extractor = extraction.make_segments(segments)
        validation.one_of("form", form, (None, "frobenius", "paper"))
        validation.one_of("density", density, ("pixel", "segment", "root"))
        self.form = form
        self.density = density
        self.window = validation.optional(validation.whole_number, "window", window, low=2)
        self.connectivity = validation.whole_number("connectivity", connectivity, low=1)
        validation.one_of("weighting", weighting, (None, "union", "sum"))
        self.weighting = weighting

    def possible_activations(self) -> tuple[Activation, ...]:
        return self.extractor.activations

    # segments are found on the host: torch.compile goes on around it
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        images = len(batch.logits)
        if batch.logits.is_meta:
            raise ValueError("logits must hold numbers, of which segments are found, got meta")
        if images == 0:  # as in a mask head without foreground
            nothing = batch.logits.flatten(1).sum(1, keepdim=True)
            return nothing, nothing.new_zeros(0, 1, dtype=torch.bool)
        batch = batch.of_known_instances()
        truth = true_segments(batch, self.connectivity)
        measure = self.pixel_factors(batch)
        measure = shares(measure.flatten(1)).view_as(measure)
        if self.density != "pixel":
            measure = measure / segment_sizes(truth, measure, root=self.density == "root")
        if self.window is not None:
            batch, truth, measure = random_windows(batch, truth, measure, self.window)
        values = self.extractor.distance(
            batch, truth, measure, self.form or self.extractor.form, self.weighting
        )
        windows = len(values) // images
        masses = measure.flatten(1).sum(1).view(images, windows)
        # of the plain metric, pairs across windows don't count: a window has the share of its pairs
        # in all that do; a mean over pixels takes every window by its pixels
        masses = masses.square() if self.weighting is None else masses
        total = masses.sum(1, keepdim=True)
        portions = masses / torch.where(total > 0, total, 1.0)
        return (values.view(images, windows) * portions).sum(1, keepdim=True), total > 0
