"""From a network's output, or colours, to partitions that grow ever coarser.

Watershed or SLIC cuts the image in a few hundred pieces, and neighbouring regions are merged, the
most alike first. What is alike is the choice of method: features of near means, or a border that
is weak. One merging then gives the partitions of all thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metriseg.experiments.scikit_image import scikit_image
from metriseg.partitions import ContingencyTable, contingency_table

Float = NDArray[np.float64]
Labels = NDArray[np.int64]


def kernel_edges(embedding: Float, reach: int) -> Float:
    r"""``(h, w)`` within 0 … 1: how far a Gaussian kernel parts what lies about a pixel.

    .. math:: 1 - \min_d \exp\left(-\tfrac12 \|f_{u + d} - f_{u - d}\|^2\right)

    over the offsets d of length ``reach`` in four directions: an embedding takes a few pixels to
    pass from one segment to the next, so that neighbours say little.
    """
    height, width = embedding.shape[1:]
    padded = np.pad(embedding, [(0, 0), (reach, reach), (reach, reach)], mode="edge")

    def moved(down: int, right: int) -> Float:
        rows = slice(reach + down, reach + down + height)
        return padded[:, rows, reach + right : reach + right + width]

    slant = round(reach * np.sqrt(0.5))
    offsets = ((0, reach), (reach, 0), (slant, slant), (slant, -slant))
    squares = [((moved(*d) - moved(-d[0], -d[1])) ** 2).sum(0) for d in offsets]
    result: Float = 1 - np.exp(-np.max(squares, 0) / 2)
    return result


def watershed_pieces(edges: Float, blur: float) -> Labels:
    """The basins of an edge map, numbered from 0: those of its blurred minima."""
    segmentation = scikit_image("segmentation")
    found: Labels = (
        segmentation.watershed(ndimage.gaussian_filter(edges, blur)).astype(np.int64) - 1
    )
    return found


def slic_pieces(image: NDArray[np.uint8], number: int) -> Labels:
    """SLIC superpixels, numbered from 0 (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120)."""
    segmentation = scikit_image("segmentation")
    found: Labels = segmentation.slic(
        image, n_segments=number, compactness=10, start_label=0
    ).astype(np.int64)
    return found


class Merging:
    """Regions of an image that are merged, the most alike neighbours first.

    The cost of merging two regions is their unlikeness times the smaller one's number of pixels to
    the power of ``small``: with a power above 0, small regions go first. Unlikeness is the mean of
    ``edges`` along the common border, and ``share`` times the distance of the mean ``features``.

    Args:
        pieces: ``(h, w)`` labels from 0 without gaps: what to begin with.
        edges: ``(h, w)``; None for none.
        features: ``(D, h, w)``; None for none.
        share: >= 0.
        small: the power.
    """

    def __init__(
        self,
        pieces: Labels,
        *,
        edges: Float | None = None,
        features: Float | None = None,
        share: float = 1.0,
        small: float = 0.0,
    ) -> None:
        self.pieces, self.small, self.share = pieces, small, share
        self.by_features = features is not None
        border = np.zeros(pieces.shape) if edges is None else edges
        self.graph: Any = scikit_image("graph").rag_boundary(pieces, border)
        sizes = np.bincount(pieces.ravel())
        means = None
        if features is not None:
            sums = [np.bincount(pieces.ravel(), weights=one.ravel()) for one in features]
            means = np.stack(sums, 1) / sizes[:, None]
        for node, data in self.graph.nodes(data=True):
            data["size"] = int(sizes[node])
            if means is not None:
                data["mean"] = means[node]
        for one, other, data in self.graph.edges(data=True):
            data["border"] = data["weight"]
            data["weight"] = self._cost(self.graph, one, other, data["border"])

    def cuts(self, thresholds: Sequence[float]) -> list[Labels]:
        """For each threshold, in ascending order, the region of each piece."""
        graph = scikit_image("graph")
        names = np.arange(int(self.pieces.max()) + 1)
        return [
            graph.merge_hierarchical(
                names,
                self.graph,
                thresh=threshold,
                rag_copy=False,
                in_place_merge=True,
                merge_func=self._merge,
                weight_func=self._weigh,
            )
            for threshold in thresholds
        ]

    def _merge(self, graph: Any, source: int, target: int) -> None:
        one, other = graph.nodes[source], graph.nodes[target]
        size = one["size"] + other["size"]
        if self.by_features:
            other["mean"] = (one["mean"] * one["size"] + other["mean"] * other["size"]) / size
        other["size"] = size

    def _weigh(self, graph: Any, source: int, target: int, neighbour: int) -> dict[str, Any]:
        borders = [graph.get_edge_data(end, neighbour) for end in (source, target)]
        known = [one for one in borders if one is not None]
        count = sum(one["count"] for one in known)
        border = sum(one["border"] * one["count"] for one in known) / count
        return {
            "count": count,
            "border": border,
            "weight": self._cost(graph, target, neighbour, border),
        }

    def _cost(self, graph: Any, one: int, other: int, border: float) -> float:
        first, second = graph.nodes[one], graph.nodes[other]
        if self.by_features:
            difference = first["mean"] - second["mean"]
            border += self.share * float(np.sqrt(difference @ difference))
        return float(border * min(first["size"], second["size"]) ** self.small)


class Counted:
    """How many pixels the pieces of an image share with the segments that each human saw."""

    def __init__(self, pieces: Labels, people: Sequence[Labels]) -> None:
        self.tables = [contingency_table(pieces, one) for one in people]

    def tables_of(self, regions: Labels) -> list[ContingencyTable]:
        """The tables of what the pieces have been merged to, one a human."""
        return [
            contingency_table(
                regions[table.x_index], np.asarray(table.y_index), weight=np.asarray(table.values)
            )
            for table in self.tables
        ]
