"""Losses of thin structures, which look at their centrelines."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import OverlapLoss
from metriseg.options import GroupOptions, RegionOptions, SmoothOption
from metriseg.reduction import beside_classes, counted_classes
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = [
    "CenterlineBoundaryDiceLoss",
    "CenterlineDiceLoss",
    "DiceCenterlineDiceLoss",
    "SkeletonRecallLoss",
]


class SkeletonOptions(SmoothOption, GroupOptions, total=False):
    """Sums of skeletons are not added over ranks."""


class _SkeletonLoss(OverlapLoss):
    """A loss of the skeletons of classes, of which an excluded background has none made.

    Args:
        include_background: False leaves class 0 out; a lone channel is the foreground and always
            counts.
        ignore_index: label of the pixels that don't count. To skeletons they are background, of
            prediction and truth alike, and they are in no sum.
    """

    lone_channel_is_foreground: ClassVar[bool] = True
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    defaults: ClassVar[RegionOptions] = {"include_background": False}

    def __init__(self, **options: Unpack[SkeletonOptions]) -> None:
        super().__init__(**options)

    @abc.abstractmethod
    def values(self, batch: Batch, first: int) -> Tensor:
        """``(G, C')``: the loss of every class from ``first`` on."""

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        validation.spatial_dimensions(self, batch.logits, self.dimensions)
        classes = self.classes_among(batch.num_classes)
        first = 0 if self.include_background or batch.num_classes == 1 else 1
        values = nnf.pad(self.values(batch, first), (first, 0))
        return values, counted_classes(batch, classes, per_image=self.per_image)

    @staticmethod
    def probabilities_of(batch: Batch, first: int) -> Tensor:
        """``(N, C', *S)``: the probabilities, 0 where a pixel doesn't count."""
        p = batch.probabilities[:, first:]
        return p if batch.valid is None else torch.where(batch.valid.unsqueeze(1), p, 0.0)


class _CenterlineLoss(_SkeletonLoss):
    """One minus the harmonic mean of a precision and a sensitivity of soft skeletons.

    Args:
        smooth: epsilon >= 0 of precision and sensitivity, or a pair (numerator, denominator).
        iterations: erosions of the soft skeleton, >= 0. As many as the largest radius in pixels:
            the middle of what is more than about ``2 iterations + 2`` pixels wide has no skeleton.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        "iter_": "say 'iterations' for the erosions of the soft skeleton"
    }
    defaults: ClassVar[RegionOptions] = {"smooth": 1.0}

    def __init__(self, iterations: int, **options: Unpack[SkeletonOptions]) -> None:
        super().__init__(**options)
        self.iterations = validation.whole_number("iterations", iterations, low=0)

    @abc.abstractmethod
    def sums(self, batch: Batch, first: int) -> F.CenterlineSums:
        """``(N, C')`` each."""

    def values(self, batch: Batch, first: int) -> Tensor:
        s = self.sums(batch, first)
        return 1 - F.centerline_dice_index(s if self.per_image else s.pooled(), self.smooth_pair)


class CenterlineDiceLoss(_CenterlineLoss):
    r"""Centreline Dice loss (clDice): whether each mask holds the skeleton of the other.

    .. math:: \ell_c = 1 - \frac{2\, T_{prec} T_{sens}}{T_{prec} + T_{sens}}, \quad
              T_{prec} = \frac{\sum S(p_c)\, t_c + \epsilon}{\sum S(p_c) + \epsilon},\;
              T_{sens} = \frac{\sum S(t_c)\, p_c + \epsilon}{\sum S(t_c) + \epsilon}

    with the soft skeleton S of :func:`metriseg.functional.soft_skeleton`, averaged over classes,
    then over images. A line that is broken costs its gap, however thin it is; how thick it is
    hardly matters, so add a region loss (:class:`DiceCenterlineDiceLoss`). Values lie in [0, 1], 0
    at a perfect hard prediction; a class neither there nor predicted costs 0. A class that is
    everywhere has no skeleton.

    To skeletons a pixel that doesn't count is background, in prediction and truth alike; it is in
    no sum. All of it is PyTorch: nothing is asked of the host.

    Source: Shit et al. 2021, "clDice - a novel topology-preserving loss function for tubular
    structure segmentation", arXiv:2003.07311. The authors' code, and MONAI's ``SoftclDiceLoss``,
    add up all channels before they divide; here each class has its own index.

    >>> import torch
    >>> loss = CenterlineDiceLoss(smooth=0.0, activation="identity")
    >>> line, broken = torch.tensor([[0, 1, 1, 1, 0]]), torch.tensor([[[0., 1., 0., 0., 0.]]])
    >>> loss(broken, line)   # the middle of the line is missed: 1 - 2 (1 * 0) / (1 + 0)
    tensor(1.)
    """

    def __init__(self, iterations: int = 3, **options: Unpack[SkeletonOptions]) -> None:
        super().__init__(iterations, **options)

    def sums(self, batch: Batch, first: int) -> F.CenterlineSums:
        return F.centerline_sums(
            self.probabilities_of(batch, first),
            batch.dense_target[:, first:],
            self.iterations,
            batch.weight,
        )


class DiceCenterlineDiceLoss(_CenterlineLoss):
    r"""Dice loss plus centreline Dice loss, of the same classes and sums.

    .. math:: \ell_c = (1 - \alpha)\, \ell_{Dice,c} + \alpha\, \ell_{clDice,c}

    with :class:`~metriseg.DiceLoss` and :class:`CenterlineDiceLoss` of the same arguments, averaged
    over classes, then over images. Values lie in [0, 1], 0 at a perfect hard prediction; a class
    neither there nor predicted costs 0.

    Args:
        alpha: share of the centreline Dice loss, in [0, 1]; the authors recommend at most 0.5.
        smooth: epsilon >= 0 of the Dice coefficient as of precision and sensitivity, or a pair
            (numerator, denominator).

    Source: Shit et al. 2021, "clDice - a novel topology-preserving loss function for tubular
    structure segmentation", arXiv:2003.07311.

    >>> import torch
    >>> loss = DiceCenterlineDiceLoss(smooth=0.0, activation="identity")
    >>> line, broken = torch.tensor([[0, 1, 1, 1, 0]]), torch.tensor([[[0., 1., 0., 0., 0.]]])
    >>> loss(broken, line)   # Dice 1/2, and the middle of the line is missed: (1/2 + 1) / 2
    tensor(0.7500)
    """

    def __init__(
        self, alpha: float = 0.5, iterations: int = 3, **options: Unpack[SkeletonOptions]
    ) -> None:
        super().__init__(iterations, **options)
        self.alpha = validation.number("alpha", alpha, low=0.0, high=1.0)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0} if self.alpha < 1 else ())

    def sums(self, batch: Batch, first: int) -> F.CenterlineSums:
        return F.centerline_sums(
            self.probabilities_of(batch, first),
            batch.dense_target[:, first:],
            self.iterations,
            batch.weight,
        )

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        if self.alpha == 0:
            return self.dice_table(batch, statistics)
        values, counted = super().table(batch, None)
        if self.alpha == 1:
            return values, counted
        dice, _ = self.dice_table(batch, statistics)
        return torch.lerp(dice, values, self.alpha), counted

    def dice_table(
        self, batch: Batch, statistics: RegionStatistics | None
    ) -> tuple[Tensor, Tensor]:
        """Of the Dice loss alone."""
        s = region_statistics(batch, self.moments) if statistics is None else statistics
        s = s if self.per_image else s.pooled()
        return 1 - F.dice_index(s, self.smooth_pair), self.counted(s)


class CenterlineBoundaryDiceLoss(_CenterlineLoss):
    r"""Centreline boundary Dice loss (cbDice): clDice that sees thickness, alike of thin and thick.

    .. math:: \ell_c = 1 - \frac{2\, T_{prec} T_{sens}}{T_{prec} + T_{sens}}, \quad
              T_{prec} = \frac{\sum J_p\, d_t + \epsilon}{\sum J_p R_{t|p} + \epsilon},\;
              T_{sens} = \frac{\sum J_t\, d_p + \epsilon}{\sum J_t R_{p|t} + \epsilon}

    averaged over classes, then over images. d is the distance of a mask's pixel to the outside (of
    the predicted mask, then times p), R that of a pixel of its skeleton S > 1/2, both divided by
    the largest R of the class in the image, d then at most 1. The predicted mask is where the class
    is the most probable one, of yes-or-no questions where p > 1/2. :math:`J = S / R^{D-1}` in D
    dimensions, so that thick branches weigh no more than thin ones; :math:`R_{t|p}` is the R of the
    true skeleton where there is some, else of the predicted one, :math:`R_{p|t}` the other way
    around. S is the soft skeleton of :func:`metriseg.functional.soft_skeleton`, of the truth that
    of its mask; distances and R are constants to the gradient. 0 at a perfect hard prediction, at
    most 1; where one skeleton lies beside the other within a thick mask, a ratio may pass 1 and the
    value fall below 0. A class neither there nor predicted costs 0. Where a class has no predicted
    mask there is no slope either: add a region loss.

    To skeletons a pixel that doesn't count is background, in prediction and truth alike; it is in
    no sum. Soft labels stand for the class where they exceed 1/2.

    Args:
        spacing: the size of a pixel along every axis, each > 0; None for all ones.

    Source: Shi et al. 2024, "Centerline boundary Dice loss for vascular segmentation",
    arXiv:2407.01517. The authors' code joins all foreground classes in one, adds up the batch (as
    ``per_image=False``), gives the loss less 1, and a predicted skeleton outside the predicted mask
    a radius of 0, so a weight of ten million; here a skeleton counts within its mask alone.

    >>> import torch
    >>> loss = CenterlineBoundaryDiceLoss(smooth=0.0, activation="identity")
    >>> line, broken = torch.tensor([[0, 1, 1, 1, 0]]), torch.tensor([[[0., 1., 0., 0., 0.]]])
    >>> loss(broken, line)   # the middle of the line is missed
    tensor(1.)
    """

    def __init__(
        self,
        iterations: int = 10,
        *,
        spacing: Sequence[float] | None = None,
        **options: Unpack[SkeletonOptions],
    ) -> None:
        super().__init__(iterations, **options)
        self.spacing = validation.spacing(spacing)

    def sums(self, batch: Batch, first: int) -> F.CenterlineSums:
        return F.centerline_boundary_sums(
            self.probabilities_of(batch, first),
            self.found(batch)[:, first:],
            batch.masks[:, first:],
            self.iterations,
            batch.weight,
            self.spacing,
        )

    @staticmethod
    def found(batch: Batch) -> Tensor:
        """``(N, C, *S)`` bool: the predicted masks, nowhere where a pixel doesn't count."""
        p = batch.probabilities.detach()
        if batch.one_vs_rest:
            masks = p > 0.5
        else:
            classes = torch.arange(batch.num_classes, device=p.device)
            masks = p.argmax(1, keepdim=True) == beside_classes(classes, p)
        return masks if batch.valid is None else masks & batch.valid.unsqueeze(1)


class SkeletonRecallLoss(_SkeletonLoss):
    r"""Skeleton recall loss: how much of the tube around the true skeleton is missed.

    .. math:: \ell_c = 1 - \frac{\sum y_c\, p_c + \epsilon}{\sum y_c + \epsilon}

    averaged over classes, then over images. The tube y is what of the class lies within ``tube``
    steps along the axes from its skeleton, so that a line's middle counts as much where it is thick
    as where it is thin. It is a recall: what is found too much costs nothing, so add a region loss.
    Values lie in [0, 1], 0 at a perfect hard prediction; a class that isn't there costs 0.

    The skeleton of every class's mask is made on the host, by scikit-image
    (:func:`metriseg.functional.tubed_skeleton`), while nothing of the prediction needs it: let the
    loader do it, ``maps={"skeleton": ...}``, ``(N, C, *S)`` in [0, 1]. A pixel that doesn't count
    is background to the skeleton, and in no sum. Soft labels stand for the class where they exceed
    1/2.

    Args:
        tube: steps from the skeleton, >= 0.

    Raises:
        ValueError: for images of one dimension, and for a map outside [0, 1].
        ImportError: when called without a map where scikit-image is missing
            (``pip install 'metriseg[skeleton]'``).

    Source: Kirchhoff et al. 2024, "Skeleton recall loss for connectivity conserving and resource
    efficient segmentation of thin tubular structures", arXiv:2404.03010. The authors' code makes
    one skeleton of all foreground classes together and then gives each its part.

    >>> import torch
    >>> line = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]])
    >>> p = torch.tensor([[[[1., 1., 1., 1.], [1., 1., 1., 0.], [0., 0., 0., 0.]]]])
    >>> SkeletonRecallLoss(smooth=0.0, activation="identity")(p, line)   # a pixel of four
    tensor(0.2500)
    """

    map_names: ClassVar[tuple[str, ...]] = ("skeleton",)
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, tube: int = 2, **options: Unpack[SkeletonOptions]) -> None:
        super().__init__(**options)
        self.tube = validation.whole_number("tube", tube, low=0)

    def values(self, batch: Batch, first: int) -> Tensor:
        missed, mass = F.missed_skeleton(
            self.probabilities_of(batch, first), self.skeleton(batch, first), batch.weight
        )
        if not self.per_image:
            missed, mass = missed.sum(0, keepdim=True), mass.sum(0, keepdim=True)
        return F.skeleton_miss_rate(missed, mass, self.smooth_pair)

    def skeleton(self, batch: Batch, first: int) -> Tensor:
        """``(N, C', *S)``: the tubes, from the loader or from the target itself."""
        given = batch.loaded("skeleton", dense=True)
        if given is not None:
            given = given.to(batch.logits.dtype)
            validation.unit_interval("maps['skeleton']", given, batch.valid)
            return given[:, first:]
        if batch.logits.is_meta:
            raise ValueError("logits must hold numbers, whose target is thinned, got meta")
        return F.tubed_skeleton(batch.masks[:, first:], self.tube).to(batch.logits.dtype)
