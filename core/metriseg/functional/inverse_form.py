"""Edge maps, their tiles, and how far an affine map is from the identity.

Borse et al. 2021, "InverseForm: a loss function for structured boundary-aware segmentation",
arXiv:2104.02745.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.batch import exact_backward, full_precision
from metriseg.functional.power import guarded_power

__all__ = [
    "coefficient_norm",
    "edge_tiles",
    "inverse_form_distance",
    "label_edges",
    "region_edges",
    "tile_means",
]


def region_edges(
    probabilities: Tensor, valid: Tensor | None = None, *, exclusive: bool = True
) -> Tensor:
    """How much the probabilities change toward the next pixel, (N, *S) in [0, 1].

    The largest, over the next pixel v along every axis, of 1/2 sum_c |p_c(u) - p_c(v)| if a pixel
    has one class, else of max_c |p_c(u) - p_c(v)|. No edge is seen toward, or from, a pixel that
    isn't valid.

    Args:
        probabilities: ``(N, C, *S)``.
        valid: ``(N, *S)`` bool, or None for all.
        exclusive: whether a pixel has one class.

    >>> import torch
    >>> region_edges(torch.tensor([[[1., 1., .75, 0.], [0., 0., .25, 1.]]]))
    tensor([[0.0000, 0.2500, 0.7500, 0.0000]])
    """
    steps = (probabilities.diff(dim=axis).abs() for axis in range(2, probabilities.ndim))
    return _largest((s.sum(1) / 2 if exclusive else s.amax(1) for s in steps), valid)


def label_edges(labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """1.0 where the next pixel along an axis has another label, else 0.0: (N, *S).

    What :func:`region_edges` is for one-hot probabilities.

    >>> import torch
    >>> label_edges(torch.tensor([[2, 2, 0, 1]]))
    tensor([[0., 1., 1., 0.]])
    """
    steps = (labels.diff(dim=axis) != 0 for axis in range(1, labels.ndim))
    return _largest((s.to(torch.get_default_dtype()) for s in steps), valid)


def edge_tiles(edges: Tensor, tiles: tuple[int, int], side: int) -> Tensor:
    """Edge maps cut into tiles of the same number of cells, (N, rows * columns, side, side).

    A cell holds the mean of the edges over its area, times its extent in pixels (the geometric
    mean of its sides, 1 if they are shorter than a pixel): about 1 where an edge crosses it,
    whatever the size of the image.

    Args:
        edges: ``(N, H, W)``.
        tiles: rows and columns of tiles.
        side: cells along each side of a tile.

    >>> import torch
    >>> edge_tiles(torch.tensor([[[0., 1., 0., 0.]] * 4]), (1, 2), 1)
    tensor([[[[1.4142]],
    <BLANKLINE>
             [[0.0000]]]])
    """
    rows, columns = tiles
    height, width = edges.shape[1:]
    extent = max(height / (rows * side), 1.0) * max(width / (columns * side), 1.0)
    return _cell_means(edges, tiles, side) * math.sqrt(extent)


def tile_means(values: Tensor, tiles: tuple[int, int]) -> Tensor:
    """The mean over the area of every tile of a map (N, H, W): (N, rows * columns).

    >>> import torch
    >>> tile_means(torch.tensor([[[0., 3., 6.]]]), (1, 2))   # (0 + 3/2) / 1.5, (3/2 + 6) / 1.5
    tensor([[1., 5.]])
    """
    return _cell_means(values, tiles, 1).reshape(len(values), tiles[0] * tiles[1])


def inverse_form_distance(theta: Tensor) -> Tensor:
    """||theta - I||_F of affine maps (..., 2, 3).

    >>> import torch
    >>> inverse_form_distance(torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, -0.4]]))
    tensor(0.5000)
    """
    identity = torch.eye(2, 3, dtype=theta.dtype, device=theta.device)
    return coefficient_norm((theta - identity).flatten(-2))


def coefficient_norm(coefficients: Tensor) -> Tensor:
    """The Euclidean norm over the last dimension, with the gradient 0 at 0.

    The distance for a network whose coefficients are ideally 0, as the authors' released one.

    >>> import torch
    >>> coefficient_norm(torch.tensor([[0.1, 0.2], [0.0, 0.3]])).mean()   # (0.2236 + 0.3) / 2
    tensor(0.2618)
    """
    return guarded_power(coefficients.square().sum(-1), 0.5)


def _largest(steps: Iterable[Tensor], valid: Tensor | None) -> Tensor:
    """The largest of the steps to the next pixel, one map an axis; 0 from the last pixel."""
    result = None
    for axis, step in enumerate(steps, 1):
        if valid is not None:
            length = step.shape[axis]
            both = valid.narrow(axis, 0, length) & valid.narrow(axis, 1, length)
            step = torch.where(both, step, 0.0)
        padded = nnf.pad(step, [0, 0] * (step.ndim - 1 - axis) + [0, 1])
        result = padded if result is None else torch.maximum(result, padded)
    assert result is not None, "an image has a spatial dimension"
    return result


def _cell_means(values: Tensor, tiles: tuple[int, int], side: int) -> Tensor:
    """(N, H, W) to (N, rows * columns, side, side): the mean over the area of every cell."""
    rows, columns = tiles
    upright = _shares(rows * side, values.shape[1], values)
    level = _shares(columns * side, values.shape[2], values)
    cells: Tensor = _Products.apply(values, upright, level.T)
    return (
        cells.reshape(-1, rows, side, columns, side)
        .transpose(2, 3)
        .reshape(-1, rows * columns, side, side)
    )


def _shares(cells: int, pixels: int, like: Tensor) -> Tensor:
    """(cells, pixels): which part of each cell lies in each pixel, both filling one line."""
    # in whole numbers: on a line of cells * pixels units a pixel takes `cells`, a cell `pixels`
    cell = torch.arange(cells, device=like.device)[:, None] * pixels
    pixel = torch.arange(pixels, device=like.device) * cells
    end = torch.minimum(cell + pixels, pixel + cells)
    return (end - torch.maximum(cell, pixel)).clamp(min=0).to(like.dtype) / pixels


class _Products(torch.autograd.Function):
    """left @ values @ right, of constant matrices."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        with full_precision(values):
            return left @ values @ right

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        left, right = ctx.saved_tensors
        return left.T @ grads[0] @ right.T, None, None
