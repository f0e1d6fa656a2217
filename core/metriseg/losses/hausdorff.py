"""Losses that stand in for the Hausdorff distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Unpack

from torch import Tensor

from metriseg import distances, validation
from metriseg import functional as F
from metriseg.batch import Batch
from metriseg.losses.base import PixelLoss
from metriseg.options import LossOptions, Reduction
from metriseg.reduction import beside_classes
from metriseg.statistics import RegionStatistics

__all__ = [
    "HausdorffConvolutionLoss",
    "HausdorffDistanceTransformLoss",
    "HausdorffErosionLoss",
    "LogHausdorffDistanceTransformLoss",
]


class _HausdorffLoss(PixelLoss):
    """A mean over classes, of which an excluded background is not computed.

    Args:
        include_background: False leaves class 0 out of the mean over classes; a lone channel is
            the foreground and always counts.
    """

    lone_channel_is_foreground: ClassVar[bool] = True
    defaults: ClassVar[LossOptions] = {"include_background": False}

    def __init__(self, alpha: float = 2.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        self.alpha = validation.number("alpha", alpha, low=0.0, open_low=True)

    def first_counted(self, batch: Batch) -> int:
        """The first class that is computed."""
        return batch.num_classes - self.num_included(batch)

    def mean_over_counted(self, values: Tensor, batch: Batch) -> Tensor:
        """``(N, *S)``: :meth:`mean_over_classes` of values from the first counted class on."""
        factors = self.class_factors(batch)
        if factors is None or self.class_weight is None:
            return values.mean(1)
        factors = factors[self.first_counted(batch) :]
        return (values * beside_classes(factors, values)).sum(1) / self.num_included(batch)


class _DistanceTransformLoss(_HausdorffLoss):
    """Squared errors times powers of distances.

    Args:
        alpha: how much faster than the distance the cost grows, > 0.
        spacing: the size of a pixel along every spatial axis, each > 0; None for all ones.
    """

    map_names: ClassVar[tuple[str, ...]] = ("target_distance",)

    def __init__(
        self,
        alpha: float = 2.0,
        *,
        spacing: Sequence[float] | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(alpha, **options)
        self.spacing = validation.spacing(spacing)

    def evaluate(self, batch: Batch) -> Tensor:
        return self.mean_over_counted(self.priced(batch), batch)

    def priced(self, batch: Batch) -> Tensor:
        """``(N, C', *S)``: what an error costs in every class that counts."""
        first = self.first_counted(batch)
        p = batch.probabilities[:, first:]
        return F.hausdorff_distance_transform(
            p,
            batch.dense_target[:, first:],
            self.field(p.detach() > 0.5, batch),
            self.target_field(batch, first),
        )

    def target_field(self, batch: Batch, first: int) -> Tensor:
        """Of the classes from ``first`` on, from the loader or from the target itself."""
        given = batch.loaded("target_distance", dense=True)
        if given is None:
            return self.field(batch.masks[:, first:], batch)
        given = given[:, first:]
        if validation.values_are_checked(given) and not bool((given >= 0).all()):
            raise ValueError("maps['target_distance'] must not be negative, nor NaN")
        return given.pow(self.alpha)

    def field(self, masks: Tensor, batch: Batch) -> Tensor:
        return distances.distance_field(
            masks,
            self.spacing,
            valid=batch.valid,
            exponent=self.alpha,
            dtype=batch.logits.dtype,
        )


class HausdorffDistanceTransformLoss(_DistanceTransformLoss):
    r"""Hausdorff loss by distance transforms: errors cost more the further from an edge they are.

    .. math:: \ell = \frac1C \sum_c w_c\, (p_c - t_c)^2\, (d_{p_c}^\alpha + d_{t_c}^\alpha)

    at every pixel, averaged over the valid pixels. :math:`d_{t}` is the distance to the other side
    of the edge of the mask t > 1/2: within it to the nearest pixel outside, outside it to the
    nearest one within; likewise :math:`d_{p}` of p > 1/2. Both are constants to the gradient, and 0
    for a mask that is empty or the whole image. Values lie in :math:`[0, \infty)`, 0 at a perfect
    prediction (and where both masks of a class are constant). Ignored pixels are neither inside nor
    outside a mask.

    Maps:
        target_distance: ``(N, C, *S)``, :math:`d_t` from a loader, in place of ours; not negative.

    Source: Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image
    segmentation with convolutional neural networks", arXiv:1904.10030, equation 8.

    >>> import torch
    >>> loss = HausdorffDistanceTransformLoss(activation="identity")
    >>> p, t = torch.tensor([[[1., .5, 0.]]]), torch.tensor([[1, 0, 0]])
    >>> loss(p, t)   # the middle pixel is 1 from either mask: (1/2)^2 (1 + 1) / 3
    tensor(0.1667)
    """


class LogHausdorffDistanceTransformLoss(_DistanceTransformLoss):
    r"""Logarithm of the Hausdorff loss by distance transforms: as small as a loss of regions.

    .. math:: \ell = \ln\Bigl(1 + \operatorname{mean}_u \frac1C \sum_c w_c\, (p_c - t_c)^2\,
              (d_{p_c}^\alpha + d_{t_c}^\alpha)\Bigr)

    with the mean of :class:`HausdorffDistanceTransformLoss` over the valid pixels, which is in
    pixels to the power :math:`\alpha`; of its logarithm other losses can be added. Values lie in
    :math:`[0, \infty)`, 0 at a perfect prediction.

    Args:
        reduction: "mean", "sum" or "none", then ``(N, *S)``; the logarithm is taken of what is
            reduced.

    Maps:
        target_distance: ``(N, C, *S)``, :math:`d_t` from a loader, in place of ours; not negative.

    Source: Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image
    segmentation with convolutional neural networks", arXiv:1904.10030, equation 8, without
    the logarithm.

    >>> import torch
    >>> loss = LogHausdorffDistanceTransformLoss(activation="identity")
    >>> p, t = torch.tensor([[[1., .5, 0.]]]), torch.tensor([[1, 0, 0]])
    >>> loss(p, t)   # ln(1 + (1/2)^2 (1 + 1) / 3)
    tensor(0.1542)
    """

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return super().reduced(batch, reduction, statistics).log1p()


class HausdorffErosionLoss(_HausdorffLoss):
    r"""Hausdorff loss by erosion: errors cost more the more erosions they survive.

    .. math:: \ell = \frac1C \sum_c w_c \sum_{k=1}^{K} k^\alpha e_{k,c}, \qquad
              e_0 = (p - t)^2, \quad e_k = f(B * e_{k-1})

    at every pixel, averaged over the valid pixels. :math:`B *` is the mean over a pixel and its
    neighbours along the axes (a cross of 3, 5 or 7 pixels; beyond the image the error is 0) and f a
    soft threshold at one half. The gradient flows through all of it. Values lie in :math:`[0,
    \sum_k k^\alpha]`, 0 at a perfect prediction, and also for thin errors, which don't survive the
    first erosion: use it beside a region loss. Ignored pixels hold no error.

    Args:
        alpha: how much faster than the number of erosions the cost grows, > 0.
        erosions: how many, >= 1.
        threshold: "minmax" is max(x - 1/2, 0), each image's map of each class then stretched to
            [0, 1] over its valid pixels (a constant map stays as it is); "linear" is
            min(max(2x - 1, 0), 1).

    Source: Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image
    segmentation with convolutional neural networks", arXiv:1904.10030, equation 10.

    >>> import torch
    >>> loss = HausdorffErosionLoss(erosions=1, threshold="linear", activation="identity")
    >>> p, t = torch.tensor([[[0., 0., 0.]]]), torch.tensor([[1, 1, 1]])
    >>> loss(p, t)   # means over neighbours 2/3, 1, 2/3: (1/3 + 1 + 1/3) / 3
    tensor(0.5556)
    """

    def __init__(
        self,
        alpha: float = 2.0,
        erosions: int = 10,
        threshold: Literal["minmax", "linear"] = "minmax",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(alpha, **options)
        validation.one_of("threshold", threshold, ("minmax", "linear"))
        self.erosions = validation.whole_number("erosions", erosions, low=1)
        self.threshold = threshold

    def evaluate(self, batch: Batch) -> Tensor:
        first = self.first_counted(batch)
        values = F.hausdorff_erosion(
            batch.probabilities[:, first:],
            batch.dense_target[:, first:],
            self.alpha,
            self.erosions,
            rescale=self.threshold == "minmax",
            valid=batch.valid,
        )
        return self.mean_over_counted(values, batch)


class HausdorffConvolutionLoss(_HausdorffLoss):
    r"""Hausdorff loss by convolution: errors cost more the larger the balls are that fit there.

    .. math:: \ell = \frac1C \sum_c w_c \sum_r r^\alpha (p - t)^2
              \left[ (f(\bar B_r t) + f(B_r p))\, p + (f(B_r t) + f(\bar B_r p))\, t \right]

    at every pixel, averaged over the valid pixels. :math:`B_r x` is the mean of x over a ball of
    radius r (an interval, a disk; x is 0 beyond the image), :math:`\bar B_r x = 1 - B_r x` and
    :math:`f(x) = \min(\max(2x - 1, 0), 1)`. The gradient flows through all of it. Values lie in
    :math:`[0, 2 \sum_r r^\alpha]`, 0 at a perfect prediction. Ignored pixels are background to the
    balls around them, as all beyond the image is, and cost nothing.

    Args:
        alpha: how much faster than the radius the cost grows, > 0.
        radii: one or more numbers > 0, in pixels.

    Source: Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image
    segmentation with convolutional neural networks", arXiv:1904.10030, equation 13.

    >>> import torch
    >>> loss = HausdorffConvolutionLoss(radii=[1], activation="identity")
    >>> p, t = torch.tensor([[[0., 1., 0.]]]), torch.tensor([[0, 0, 0]])
    >>> loss(p, t)   # the middle pixel: all around it is outside t, a third of it in p
    tensor(0.3333)
    """

    def __init__(
        self,
        alpha: float = 2.0,
        radii: Sequence[float] = (3, 6, 9, 12, 15, 18),
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(alpha, **options)
        if not isinstance(radii, Sequence) or isinstance(radii, str) or not radii:
            raise ValueError(f"radii must be a sequence of numbers above 0, got {radii!r}")
        self.radii = tuple(
            validation.number("radii", radius, low=0.0, open_low=True) for radius in radii
        )

    def evaluate(self, batch: Batch) -> Tensor:
        first = self.first_counted(batch)
        values = F.hausdorff_convolution(
            batch.probabilities[:, first:],
            batch.dense_target[:, first:],
            self.alpha,
            self.radii,
            valid=batch.valid,
        )
        return self.mean_over_counted(values, batch)
