"""Losses that count components, holes and voids, by their persistence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import TableLoss
from metriseg.losses.pixel import alpha_in, focal_alpha, focal_values
from metriseg.options import LossOptions, Reduction
from metriseg.reduction import counted_classes, nothing_of, pixel_mass, reduce_pixels
from metriseg.statistics import RegionStatistics

__all__ = ["TopologicalLoss", "TopologyAwareFocalLoss"]


class _PersistenceLoss(TableLoss):
    """A distance between the persistence diagrams of prediction and truth.

    Args:
        dimensions: of the features that are compared: 0 components, 1 holes, in 3-D tunnels, 2
            voids; each less than the number of spatial dimensions. None for all.
        min_persistence: in [0, 1]: features of the prediction that live no longer are left alone.
        include_background: whether class 0 has features; a single channel is foreground and always
            has.

    Raises:
        ValueError: for soft labels, and for dimensions that the image doesn't have.
    """

    lone_channel_is_foreground: ClassVar[bool] = True
    defaults: ClassVar[LossOptions] = {"include_background": False}
    #: q of the Wasserstein distance.
    order: float = 2.0

    def __init__(
        self,
        dimensions: Sequence[int] | None = None,
        min_persistence: float = 0.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        if dimensions is not None:
            if not isinstance(dimensions, Sequence) or isinstance(dimensions, str):
                raise ValueError(
                    f"dimensions must be a list of whole numbers >= 0, or None, got {dimensions!r}"
                )
            dimensions = [validation.whole_number("dimensions", d, low=0) for d in dimensions]
            if not dimensions or len(set(dimensions)) < len(dimensions):
                raise ValueError(
                    f"dimensions must name one dimension or more, each once, got {dimensions!r}"
                )
        self.dimensions = dimensions
        self.min_persistence = validation.number(
            "min_persistence", min_persistence, low=0.0, high=1.0
        )

    # features are found on the host: torch.compile goes on around it
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        if batch.logits.is_meta:
            raise ValueError("logits must hold numbers, of which features are found, got meta")
        space = batch.logits.ndim - 2
        if self.dimensions is not None and max(self.dimensions) >= space:
            raise ValueError(
                f"dimensions must be in 0 … {space - 1} for {space}-D images, got {self.dimensions}"
            )
        if not batch.has_labels:
            validation.hard_target(batch.target, exclusive=False, valid=batch.valid)
        # what doesn't count is background in both
        shown, masks = batch.probabilities, batch.masks
        if batch.valid is not None:
            shown = torch.where(batch.valid.unsqueeze(1), shown, 0.0)
            masks = masks & batch.valid.unsqueeze(1)
        counted = counted_classes(batch, "all", per_image=True)
        factors = self.class_factors(batch)
        if factors is not None:
            counted = counted & (factors > 0)
        nothing = nothing_of(batch.logits)
        truth = masks.cpu().numpy()
        values = [
            self._distance(shown[n, c], truth[n, c]) if looked_at else nothing
            for n, row in enumerate(counted.tolist())
            for c, looked_at in enumerate(row)
        ]
        return (torch.stack(values) if values else nothing.expand(0)).view_as(counted), counted

    def _distance(self, probabilities: Tensor, mask: NDArray[np.bool_]) -> Tensor:
        features = [len(pairs) for pairs in F.persistence_pairs(mask)] if mask.any() else None
        diagrams = F.persistence_diagram(probabilities, self.dimensions, self.min_persistence)
        chosen = range(mask.ndim) if self.dimensions is None else self.dimensions
        costs = [
            F.diagram_cost(diagram, features[dimension] if features else 0, self.order)
            for dimension, diagram in zip(chosen, diagrams, strict=True)
        ]
        return self.of_cost(torch.stack(costs).sum())

    def of_cost(self, cost: Tensor) -> Tensor:
        """The distance, from the sum over all points of what they are moved."""
        return cost


class TopologicalLoss(_PersistenceLoss):
    r"""Topological loss: the prediction's persistence diagram is drawn to that of the truth.

    .. math:: \ell = \min_\gamma \sum_{x \in D(p)} \|x - \gamma(x)\|^2 + \sum_{y \text{ unmatched}}
              \tfrac12

    for every class of an image. The diagram :math:`D(p)` has a point (birth, death) for each
    component, hole or void of the superlevel sets of p: the thresholds between which it is there.
    In that of the truth each stands at (1, 0). The best matching takes as many points to (1, 0) as
    the truth has features, and all others to the diagonal, where a feature dies as it is born; a
    feature that nothing is matched with costs 1/2. The gradient is that of the few pixels at which
    features are born and die. It knows how many features there are, not where: add it to a loss of
    pixels, with a small weight (:class:`~metriseg.CompoundLoss`). Values lie in :math:`[0,
    \infty)`, 0 at a perfect hard prediction, and wherever a hard prediction has as many features.

    Pixels touch along axes and diagonally, in the background along axes alone. Of pixels' weights
    only whether they are zero matters: what doesn't count is background in prediction and truth.
    Diagrams are found on the CPU, by the package gudhi, which takes seconds for 512 x 512 pixels of
    noise: give it crops, as the authors do.

    Source: Hu et al. 2019, "Topology-preserving deep image segmentation", arXiv:1906.05404.

    >>> import torch
    >>> loss = TopologicalLoss(activation="identity")
    >>> p, target = torch.tensor([[[.9, .1, .5]]]), torch.tensor([[1, 0, 0]])
    >>> loss(p, target)                              # the second summit: .4^2 / 2, the first .1^2
    tensor(0.0900)
    """


class TopologyAwareFocalLoss(_PersistenceLoss):
    r"""Topology-aware focal loss: focal loss plus the distance between persistence diagrams.

    .. math:: \ell = \ell_{focal} + \lambda\, W_q(D(p), D(t)), \quad
              W_q = \Bigl(\min_\gamma \sum_x \|x - \gamma(x)\|^q\Bigr)^{1/q}

    with :class:`~metriseg.FocalLoss`, averaged over the valid pixels, of the same arguments, and
    the diagrams of :class:`~metriseg.TopologicalLoss`, whose distance is averaged over classes and
    images. The matching is the best one itself; the authors approach it by Sinkhorn's iterations.
    Values lie in :math:`[0, \infty)`, 0 at a perfect hard prediction, where the slope of the
    distance is set to 0.

    Args:
        gamma: how fast the focal loss fades, >= 0.
        alpha: of the focal loss, as in :class:`~metriseg.FocalLoss`; None leaves it out.
        topology_weight: lambda >= 0; 0 leaves the diagrams out.
        order: q >= 1 of the Wasserstein distance.
        class_weight: C numbers >= 0; the mean of the distances divides by their sum, the focal loss
            by the number of pixels. With one channel also two, of the labels 0 and 1 in the focal
            loss.
        include_background: whether class 0 has features; the focal loss keeps it either way.
        reduction: "mean" or "sum"; the unreduced parts differ in shape.

    Raises:
        ValueError: for ``reduction="none"`` when called.

    Source: Demir et al. 2023, "Topology-aware focal loss for 3D image segmentation",
    arXiv:2304.12223.

    >>> import torch
    >>> loss = TopologyAwareFocalLoss(gamma=0.0, topology_weight=1.0, activation="identity")
    >>> p, target = torch.tensor([[[.9, .1, .5]]]), torch.tensor([[1, 0, 0]])
    >>> loss(p, target)                              # (ln 2 - 2 ln .9) / 3 + .3
    tensor(0.6013)
    """

    labels_have_weights: ClassVar[bool] = True
    alpha: float | Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        topology_weight: float = 0.001,
        order: float = 2.0,
        dimensions: Sequence[int] | None = None,
        min_persistence: float = 0.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(dimensions, min_persistence, **options)
        self.gamma = validation.number("gamma", gamma, low=0.0)
        focal_alpha(self, alpha)
        self.topology_weight = validation.number("topology_weight", topology_weight, low=0.0)
        self.order = validation.number("order", order, low=1.0)

    @property
    def background_of_pixels(self) -> bool:
        return True

    def of_cost(self, cost: Tensor) -> Tensor:
        there = cost > 0
        return torch.where(there, torch.where(there, cost, 1.0) ** (1 / self.order), 0.0)

    def evaluate(self, batch: Batch) -> Tensor:
        return self.reduced(batch, "none", None)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        if reduction == "none":
            raise ValueError(
                "reduction: the terms can't be added, their shapes are (N, *S) and (G, C): choose"
                " 'mean' or 'sum'"
            )
        focal = focal_values(self, batch, self.gamma, alpha_in(self, batch))
        value = reduce_pixels(focal, batch.weight, reduction, pixel_mass(batch))
        if not self.topology_weight:
            return value
        return value + self.topology_weight * super().reduced(batch, reduction, statistics)
