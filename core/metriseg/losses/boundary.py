"""Losses that look at the boundary of the truth, or at the distance to it."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.distances import signed_distance_map
from metriseg.losses.base import DistanceLoss, OverlapLoss, PixelLoss
from metriseg.options import (
    ClassesOption,
    DistanceOptions,
    LossOptions,
    Reduction,
    RegionOptions,
    SmoothOption,
)
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = [
    "ActiveContourLoss",
    "BoundaryAwareLoss",
    "BoundaryDoULoss",
    "BoundaryLoss",
    "RegionWiseLoss",
]


class BoundaryLoss(DistanceLoss):
    r"""Boundary loss: probability, priced by its signed distance to the true boundary.

    .. math:: \ell = \frac1C \sum_c w_c\, \varphi_c\, p_c

    at every pixel, averaged over the valid pixels, with C the number of classes that count. Outside
    the class :math:`\varphi` is the distance to its nearest pixel; inside it is :math:`-(d - h)`,
    with d the distance to the nearest pixel outside and h the smallest spacing (1 without one), so
    that a pixel of the class whose neighbour outside is h away has 0 (with equal spacings all of
    its outermost pixels). A class that is absent, or the whole image, has 0 everywhere. The value
    has no bounds of its own; at a perfect prediction it is the mean of :math:`\varphi` within the
    class, not above 0.

    The gradient at the true boundary is 0, so the authors add it to a region loss and shift the
    weight from one to the other during the training: give
    :class:`~metriseg.losses.compound.CompoundLoss` two schedules.

    Soft labels stand for the class where they exceed 1/2. A loader may give the maps itself:
    ``maps={"signed_distance": ...}``, ``(N, C, *S)``.

    Args:
        include_background: whether class 0 counts; a single channel is foreground and always does.

    Source: Kervadec et al. 2021, "Boundary loss for highly unbalanced segmentation",
    arXiv:1812.07032.

    >>> import torch
    >>> loss = BoundaryLoss(activation="identity")
    >>> loss(torch.tensor([[[.5, .5, 1., 1.]]]), torch.tensor([[0, 0, 1, 1]]))   # (2 + 1 - 2) / 8
    tensor(0.1250)
    """

    map_names: ClassVar[tuple[str, ...]] = ("signed_distance",)
    lone_channel_is_foreground: ClassVar[bool] = True
    defaults: ClassVar[DistanceOptions] = {"include_background": False}

    def evaluate(self, batch: Batch) -> Tensor:
        return self.mean_over_classes(self.priced(batch), batch)

    def priced(self, batch: Batch) -> Tensor:
        """``(N, C, *S)``: every class's probability, priced by its distance."""
        signed = batch.loaded("signed_distance", dense=True)
        if signed is None:
            signed = signed_distance_map(
                batch.masks, self.spacing, valid=batch.valid, dtype=batch.logits.dtype
            )
        return F.region_wise(batch.probabilities, signed)


class RegionWiseLoss(DistanceLoss):
    r"""Region-wise loss: probability, priced by a map of every class.

    .. math:: \ell = \frac1C \sum_c w_c\, z_c\, p_c

    at every pixel, averaged over the valid pixels, with C the number of classes that count. The
    rectified map is :math:`z = -d / \max d` within the class, d being the distance to the nearest
    pixel outside, and 1 elsewhere: everywhere for an absent class, and 0 for a class that is the
    whole image. Values lie in :math:`[-1/C, 1/C]` for exclusive classes with that map; at a perfect
    prediction the value is the mean of z within the classes, below 0.

    Soft labels stand for the class where they exceed 1/2. A loader may give the maps itself:
    ``maps={"region": ...}``, ``(N, C, *S)``.

    Args:
        map: "rectified", or "boundary" for the signed distances of
            :class:`~metriseg.losses.boundary.BoundaryLoss`.

    Source: Valverde & Tohka 2023, "Region-wise loss for biomedical image segmentation",
    arXiv:2108.01405.

    >>> import torch
    >>> loss = RegionWiseLoss(activation="identity")
    >>> loss(torch.tensor([[[.5, .5, 1., 1.]]]), torch.tensor([[0, 0, 1, 1]]))   # (1 - 1.5) / 4
    tensor(-0.1250)
    """

    map_names: ClassVar[tuple[str, ...]] = ("region",)

    def __init__(
        self,
        map: Literal["rectified", "boundary"] = "rectified",
        **options: Unpack[DistanceOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("map", map, ("rectified", "boundary"))
        self.map = map

    def evaluate(self, batch: Batch) -> Tensor:
        region = batch.loaded("region", dense=True)
        if region is None:
            make = F.rectified_region_map if self.map == "rectified" else signed_distance_map
            region = make(batch.masks, self.spacing, valid=batch.valid, dtype=batch.logits.dtype)
        return self.mean_over_classes(F.region_wise(batch.probabilities, region), batch)


class BoundaryDoUOptions(SmoothOption, ClassesOption, LossOptions, total=False):
    """Every image has an alpha of its own."""


class BoundaryDoULoss(OverlapLoss):
    r"""Boundary difference-over-union loss: a Jaccard loss that discounts the overlap.

    .. math:: \ell_c = \frac{Z_c + Y_c - 2 I_c + \epsilon}
              {Z_c + Y_c - (1 + \alpha_c) I_c + \epsilon}, \quad
              Z_c = \sum p_c^2,\; Y_c = \sum t_c^2,\; I_c = \sum p_c t_c

    with :math:`\alpha_c = 1 - 2 E_c / S_c` clamped to [0, ``max_alpha``], E being the number of
    pixels of the class with a neighbour along an axis that is outside it (or beyond the image) and
    S that of all its pixels: the larger the object, the smaller the share that counts, and the more
    its boundary. Averaged over classes, then over images; every image has its own :math:`\alpha`.
    Values lie in [0, 1]; at a perfect hard prediction it is :math:`\epsilon / (S (1 - \alpha) +
    \epsilon)`, so 0 but for ``smooth``. An absent class has 1 whatever is predicted, so it is left
    out unless ``classes="all"``.

    A pixel that doesn't count makes no boundary: what stands there is not known. E and S are those
    of the soft labels above 1/2.

    Args:
        max_alpha: largest alpha, in [0, 1).
        alpha: in [0, 1), the same for every class; None takes it from the shape of the class.
        classes: "present" to average the classes that the target holds, or "all".
        reduction: "mean", "sum" or "none", then ``(N, C)``.

    Source: Sun et al. 2023, "Boundary difference over union loss for medical image segmentation",
    arXiv:2308.00220.

    >>> import torch
    >>> loss = BoundaryDoULoss(alpha=0.5, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, 1.]]]), torch.tensor([[0, 1]]))   # (2.25 - 2) / (2.25 - 1.5)
    tensor(0.3333)
    """

    defaults: ClassVar[RegionOptions] = {"classes": "present"}

    def __init__(
        self,
        max_alpha: float = 0.8,
        alpha: float | None = None,
        **options: Unpack[BoundaryDoUOptions],
    ) -> None:
        super().__init__(**options)
        self.max_alpha = validation.number(
            "max_alpha", max_alpha, low=0.0, high=1.0, open_high=True
        )
        self.alpha = validation.optional(
            validation.number, "alpha", alpha, low=0.0, high=1.0, open_high=True
        )

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({2.0})

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = statistics
        if s is None:
            s = region_statistics(batch, self.moments, overlap_moments=self.overlap_moments)
        alpha: Tensor | float | None = self.alpha
        if alpha is None:
            share = self._boundary_share(batch)
            alpha = (1 - 2 * share).clamp(0.0, self.max_alpha)
        return F.difference_over_union(s, alpha, self.smooth_pair), self.counted(s)

    @staticmethod
    def _boundary_share(batch: Batch) -> Tensor:
        dtype = batch.logits.dtype
        if batch.has_labels:
            return F.label_boundary_share(batch.target, batch.num_classes, batch.weight, dtype)
        return F.boundary_share(batch.masks, batch.weight, dtype)


class BoundaryAwareLoss(DistanceLoss):
    r"""Boundary-aware loss: K questions how far a pixel is from the end of its object.

    .. math:: \ell = -\frac1K \sum_{k=0}^{K-1} w_k \left( [D = k] \ln p_k
              + [D \ne k] \ln (1 - p_k) \right), \quad D = \min(\lceil d \rceil, K - 1)

    at every pixel, averaged over the valid pixels. The K channels are no classes: channel k is the
    probability that the truncated distance is k. d is the distance to the nearest pixel that is not
    of the same object; background has D = 0, and an object that is the whole image K - 1. Values
    lie in :math:`[0, \infty)`, 0 at a perfect prediction of the distances, which
    :func:`~metriseg.functional.decode_truncated_distance` turns into masks.

    An object is all that has the same label in an image, label 0 being background; with
    ``maps={"instances": ...}``, ``(N, *S)`` integers, all that has the same number there, 0 being
    none. An ignored pixel, and one with a negative number, neither belongs to an object nor ends
    it.

    Args:
        spacing: the size of a pixel along every axis, each > 0; None for all ones. Distances, and
            so the bins, are measured in its unit.
        ignore_index: label of the pixels that don't count.
        activation: "sigmoid" or "identity".
        class_weight: K numbers >= 0, the weights of the bins.
        include_background: False gives bin 0 weight zero.

    Raises:
        ValueError: for fewer than two channels, soft labels.

    Source: Hayder et al. 2017, "Boundary-aware instance segmentation", arXiv:1612.03129, with the
    distance taken to the background, so that no pixel of an object has D = 0.

    >>> import torch
    >>> BoundaryAwareLoss()(torch.zeros(1, 5, 4), torch.tensor([[0, 1, 1, 0]]))   # ln 2
    tensor(0.6931)
    """

    map_names: ClassVar[tuple[str, ...]] = ("instances",)
    activations: ClassVar[tuple[Activation, ...]] = ("sigmoid", "identity")
    defaults: ClassVar[DistanceOptions] = {"activation": "sigmoid"}

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        return super().value(batch.of_known_instances(), reduction=reduction, statistics=statistics)

    def evaluate(self, batch: Batch) -> Tensor:
        validation.enough_classes(self, batch.num_classes, 2)
        objects = batch.instances()
        bins = F.truncated_distance_map(
            batch.labels if objects is None else objects,
            batch.num_classes,
            self.spacing,
            valid=batch.valid,
        )
        values = F.binary_cross_entropy(batch.log_probabilities, batch.log_complements, bins)
        return self.mean_over_classes(values, batch)


class ActiveContourLoss(PixelLoss):
    r"""Active contour loss: the length of the predicted contour, and what it encloses wrongly.

    .. math:: \ell = \frac1C \sum_c w_c \left[ \sqrt{\textstyle\sum_a (\Delta_a p_c)^2 + \epsilon}
              + \lambda \left( \mu\, p_c (1 - t_c) + (1 - p_c)\, t_c \right) \right]

    at every pixel, averaged over the valid pixels. :math:`\Delta_a` is the difference to the next
    pixel along axis a, 0 in the last one, and 0 where the next or the pixel itself doesn't count.
    Values lie in :math:`[0, \infty)`; a perfect prediction still costs the length of its contour.

    Args:
        region_weight: lambda, the weight of the regions beside the length, >= 0.
        fp_weight: mu, the price of a false positive where a false negative costs 1, >= 0.
        eps: what keeps the square root smooth, > 0.

    Source: Chen et al. 2019, "Learning active contour models for medical image segmentation",
    doi:10.1109/CVPR.2019.01190, with the mean intensities inside and outside set to 1 and 0.

    >>> import torch
    >>> loss = ActiveContourLoss(eps=1e-12, activation="identity")
    >>> loss(torch.tensor([[[.5, 1.]]]), torch.tensor([[0, 1]]))   # (0.5 + 0.5) / 2
    tensor(0.5000)
    """

    def __init__(
        self,
        region_weight: float = 1.0,
        fp_weight: float = 1.0,
        eps: float = 1e-8,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.region_weight = validation.number("region_weight", region_weight, low=0.0)
        self.fp_weight = validation.number("fp_weight", fp_weight, low=0.0)
        self.eps = validation.number("eps", eps, low=0.0, open_low=True)

    def evaluate(self, batch: Batch) -> Tensor:
        length = F.contour_length(batch.probabilities, self.eps, valid=batch.valid)
        regions = F.false_mass(batch.probabilities, batch.dense_target, self.fp_weight)
        return self.mean_over_classes(length + self.region_weight * regions, batch)
