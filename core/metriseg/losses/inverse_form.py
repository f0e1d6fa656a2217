"""The loss of how far a predicted boundary must be moved to lie on the true one."""

from __future__ import annotations

from os import PathLike, fspath
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor, nn

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import TableLoss
from metriseg.models.inverse_form import (
    InverseNetwork,
    affine_maps,
    frozen,
    loaded_network,
    tile_side,
)
from metriseg.options import PredictionOptions, ReductionOption
from metriseg.reduction import mean
from metriseg.statistics import RegionStatistics

__all__ = ["InverseFormLoss"]


class InverseFormOptions(PredictionOptions, ReductionOption, total=False):
    """Edges have no class."""


class InverseFormLoss(TableLoss):
    r"""InverseForm loss: how far the map from predicted to true edges is from the identity.

    .. math:: \ell = \lVert \theta(e(p), e(t)) - I \rVert_F

    where :math:`\theta`, a ``(2, 3)`` affine map, is what a frozen network sees between the edges
    of the prediction and those of the truth, in normalised coordinates (a shift by half a tile is
    1). An edge map has at a pixel u, over the next pixels v along both axes,

    .. math:: e(u) = \max_v \tfrac12 \sum_c |p_c(u) - p_c(v)|

    (for yes-or-no questions :math:`\max_{v, c} |p_c(u) - p_c(v)|`), which for labels is 1 where
    they change and 0 elsewhere. It is cut into tiles, each resampled to the side that the network
    takes. Averaged over the tiles of an image, each weighing as much as its valid pixels, then over
    images. Values lie in :math:`[0, \infty)`, 0 at a perfect prediction; the loss sees nothing but
    edges, and is meant as a term beside another. Images are 2-D.

    Args:
        network: None takes the weights that come with the library; a path those of a file that
            ``python -m metriseg.experiments.inverse_form`` wrote (either is read at first use,
            once); a module takes edge maps ``(B, 2, h, h)``, predicted and true, to ``(B, 6)``,
            the rows of theta, and names h in its attribute ``tile_side``. A frozen copy of it is
            kept.
        inputs: "regions" for scores of classes, or "edges" for one channel of boundary scores
            with a boundary map as target, which are edge maps themselves.
        tiles: rows and columns into which an image is cut, each >= 1.
        ignore_index: label of the pixels that don't count: neither they nor a step from or to
            them shows an edge, in the prediction and in the truth.
        reduction: "mean", "sum" (over images) or "none", then ``(N, 1)``.

    Source: Borse et al. 2021, "InverseForm: a loss function for structured boundary-aware
    segmentation", arXiv:2104.02745, with their Euclidean distance. Network and weights are this
    library's own.

    >>> import torch
    >>> class AlwaysShifted(torch.nn.Module):
    ...     tile_side = 8
    ...     def forward(self, pairs):
    ...         return torch.tensor([[1.0, 0.0, 0.3, 0.0, 1.0, -0.4]]).expand(len(pairs), 6)
    >>> loss = InverseFormLoss(AlwaysShifted())
    >>> loss(torch.zeros(1, 2, 9, 9), torch.zeros(1, 9, 9, dtype=torch.int64))
    tensor(0.5000)
    """

    columns_are_classes: ClassVar[bool] = False

    def __init__(
        self,
        network: nn.Module | str | PathLike[str] | None = None,
        *,
        inputs: Literal["regions", "edges"] = "regions",
        tiles: tuple[int, int] = (1, 1),
        **options: Unpack[InverseFormOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("inputs", inputs, ("regions", "edges"))
        self.inputs = inputs
        self.tiles = validation.tiles(tiles)
        self.tile_side = InverseNetwork.tile_side
        self.network: nn.Module | str | None
        if isinstance(network, nn.Module):
            self.tile_side = tile_side(network)
            self.network = frozen(network)
        elif network is None or isinstance(network, (str, PathLike)):
            self.network = None if network is None else fspath(network)
        else:
            raise ValueError(
                "network must be a torch.nn.Module, the path of a file of weights or None,"
                f" got {network!r}"
            )

    def train(self, mode: bool = True) -> InverseFormLoss:
        """As ever, but the network stays in evaluation mode."""
        super().train(mode)
        if isinstance(self.network, nn.Module):
            self.network.eval()
        return self

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        validation.spatial_dimensions(self, batch.logits, (2,))
        pairs = torch.stack(
            [
                F.edge_tiles(edges, self.tiles, self.tile_side)
                for edges in (self._predicted_edges(batch), self._true_edges(batch))
            ],
            2,
        )
        network = self.network
        if not isinstance(network, nn.Module):
            network = loaded_network(network, pairs.device)
        values = F.inverse_form_distance(affine_maps(network, pairs.flatten(0, 1)))
        values = values.reshape(pairs.shape[:2])
        shares = torch.ones_like(values)
        if batch.weight is not None:
            shares = F.tile_means(batch.weight, self.tiles)
        masses = shares.sum(1, keepdim=True)
        return mean((values * shares).sum(1, keepdim=True), masses), masses > 0

    def _predicted_edges(self, batch: Batch) -> Tensor:
        if self.inputs == "edges":
            return self._given_edges(batch, batch.probabilities)
        exclusive = not batch.one_vs_rest
        return F.region_edges(batch.probabilities, batch.valid, exclusive=exclusive)

    def _true_edges(self, batch: Batch) -> Tensor:
        if self.inputs == "edges":
            return self._given_edges(batch, batch.target)
        if batch.has_labels:
            return F.label_edges(batch.labels, batch.valid).to(batch.logits.dtype)
        return F.region_edges(batch.target, batch.valid, exclusive=not batch.one_vs_rest)

    def _given_edges(self, batch: Batch, edges: Tensor) -> Tensor:
        if batch.num_classes != 1:
            raise ValueError(
                "logits must have one channel, of boundary scores, with inputs='edges', got"
                f" {batch.num_classes}: class scores are inputs='regions'"
            )
        edges = edges.squeeze(1)
        return edges if batch.valid is None else torch.where(batch.valid, edges, 0.0)
