"""Active boundary loss."""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import PixelLoss
from metriseg.options import LossOptions, Reduction
from metriseg.reduction import reduce_pixels
from metriseg.statistics import RegionStatistics

__all__ = ["ActiveBoundaryLoss"]


class ActiveBoundaryLoss(PixelLoss):
    r"""Active boundary loss: moves the predicted boundary, pixel by pixel, to the true one.

    .. math:: \ell_i = w_{y_i}\, \frac{\min(M_i, \theta)}{\theta}
              \sum_{k=1}^{8} -q_k \ln \operatorname{softmax}_k
              \left( \mathrm{KL}(P_{i+\delta_k} \,\|\, P_i) \right)

    at the pixels of the predicted boundary, averaged over those of them that should move. The
    predicted boundary is where KL(P_i, P_below) + KL(P_i, P_right) exceeds a threshold, and the
    pixels around; the threshold is the smallest of 1e-5, 1.2e-5, 1.44e-5 … that at most a share of
    an image's valid pixels exceeds. M = max(d - 1, 0), d being the distance to the nearest pixel
    whose label differs from the one below or on the right (0 in an image without any). The
    direction to go, :math:`q`, is to the neighbour of the smallest M; among equals the first of
    down, up, left, right, up-right, down-right, up-left, down-left; a pixel that has no better
    neighbour doesn't move. Label smoothing s leaves 1 - s on that direction and s / 8 on each other
    one. Boundary, neighbours and directions are constants to the gradient: only :math:`\ln P_i`
    carries it. Values lie in :math:`[0, \infty)`, which is not 0 at every perfect prediction; 0
    where no pixel should move. Images have two dimensions.

    Ignored pixels are no boundary, neither predicted nor true; no direction leads to them, and in
    place of an ignored neighbour's distribution stands the pixel's own (beyond the image: that of
    the nearest pixel of its edge).

    Args:
        boundary_share: of each image's valid pixels, in (0, 1], at most so many are the core of
            its predicted boundary.
        max_distance: theta > 0, in pixels.
        label_smoothing: s in [0, 1].
        activation: "softmax" or "identity".
        class_weight: C numbers >= 0, applied by a pixel's true class.
        include_background: False gives the pixels of class 0 weight zero.
        reduction: "mean" (over the pixels that should move, by their weights), "sum" or "none",
            then ``(N, H, W)``.

    Raises:
        ValueError: for fewer than two classes, other than two spatial dimensions, soft labels.

    Source: Wang et al. 2022, "Active boundary loss for semantic segmentation", arXiv:2102.02696.

    >>> import torch
    >>> loss = ActiveBoundaryLoss(boundary_share=0.25, label_smoothing=0.0)
    >>> edge = torch.tensor([[[[9., 9., 9., -9.]], [[-9., -9., -9., 9.]]]])
    >>> loss(edge, torch.tensor([[[0, 1, 1, 1]]])).item() > 0   # two pixels too far to the right
    True
    >>> loss(edge, torch.tensor([[[0, 0, 0, 1]]])).item()
    0.0
    """

    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "identity")

    def __init__(
        self,
        boundary_share: float = 0.01,
        max_distance: float = 20.0,
        label_smoothing: float = 0.2,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.boundary_share = validation.number(
            "boundary_share", boundary_share, low=0.0, high=1.0, open_low=True
        )
        self.max_distance = validation.number("max_distance", max_distance, low=0.0, open_low=True)
        self.label_smoothing = validation.number(
            "label_smoothing", label_smoothing, low=0.0, high=1.0
        )

    def evaluate(self, batch: Batch) -> Tensor:
        return self.values_and_moving(batch)[0]

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        values, moving = self.values_and_moving(batch)
        mass = (moving if batch.weight is None else moving * batch.weight).sum()
        return reduce_pixels(values, batch.weight, reduction, mass)

    def values_and_moving(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Values weighted by class and, as bools, the pixels that should move; ``(N, H, W)``."""
        validation.enough_classes(self, batch.num_classes, 2)
        validation.spatial_dimensions(self, batch.logits, {2})
        values, moving = F.active_boundary(
            batch.log_probabilities,
            batch.labels,
            boundary_share=self.boundary_share,
            max_distance=self.max_distance,
            label_smoothing=self.label_smoothing,
            valid=batch.valid,
        )
        factors = self.class_factors(batch)
        return values if factors is None else values * factors[batch.labels], moving
