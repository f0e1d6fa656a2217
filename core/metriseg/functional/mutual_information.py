"""How much the windows of a prediction say about those of the truth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

__all__ = ["region_mutual_information"]


def region_mutual_information(
    probabilities: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    radius: int = 3,
    downsample: int | None = None,
    epsilon: float = 5e-4,
) -> Tensor:
    """ln det(M + epsilon I) / (2 d): what a Gaussian truth keeps to itself, given the prediction.

    Every window of side ``radius`` is a vector of its d values. M is the covariance of the truth's
    vectors, less what a linear regression on the prediction's explains: with unnormalised
    covariances S over the windows of an image, ``M = Syy - Syp (Spp + epsilon I)^-1 Spy``.
    Computed in float64, but for the means of blocks. Zhao et al. 2019, arXiv:1910.12037.

    Args:
        probabilities: ``(N, C, *S)``, finite.
        target: ``(N, C, *S)``.
        weight: ``(N, *S)``; windows that touch a weight of 0 don't count, others weigh the mean of
            their pixels' weights.
        radius: side of a window.
        downsample: side of the blocks whose means are the pixels; None for the pixels themselves.
        epsilon: added to the diagonals, > 0.

    Returns:
        ``(N, C)``, in the dtype of ``probabilities``; 0 for an image without a window.

    >>> import torch
    >>> truth = torch.tensor([[[1., 0., 1., 0.]]])   # variance 4 (1/2)^2 = 1, unexplained: ln(1)/2
    >>> print(f"{region_mutual_information(0 * truth, truth, radius=1, epsilon=1e-9).item():.4f}")
    0.0000
    """
    side = 1 if downsample is None else downsample
    if any(size // side < radius for size in probabilities.shape[2:]):
        return probabilities.flatten(2)[..., :0].sum(2)
    predicted, true = (_windows(values, side, radius) for values in (probabilities, target))
    mass = None if weight is None else _window_mass(weight, side, radius)
    scatter: Tensor = _Scatter.apply(predicted, true.detach(), mass)
    # prediction first, truth last: of the Cholesky factor of the whole, the last block is that of
    # the Schur complement, M + epsilon I
    ridge = epsilon * torch.eye(scatter.shape[-1], dtype=scatter.dtype, device=scatter.device)
    # (the plain cholesky waits for the device to know whether it failed, and raises on NaN)
    factor = torch.linalg.cholesky_ex(scatter + ridge).L
    unexplained = factor.diagonal(dim1=-2, dim2=-1)[..., scatter.shape[-1] // 2 :]
    values = unexplained.log().mean(-1)
    if mass is not None:
        values = torch.where(mass.sum((2, 3)) > 0, values, 0.0)
    found: Tensor = values.to(probabilities.dtype)
    return found


class _Scatter(torch.autograd.Function):
    """``(N, C, 2 d, 2 d)``: sum m (v - mean)(v - mean)^T over the windows, each a column v.

    v has the values of the prediction and then those of the truth, which gets no gradient. In
    float64 nothing is lost where the mean is taken off the sum of squares.
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, true: Tensor, mass: Tensor | None) -> Tensor:
        ctx.save_for_backward(predicted, true, mass)
        vectors, weighted, total, mean = _weighed(predicted, true, mass)
        ctx.mean = mean
        return weighted @ vectors.transpose(-1, -2) - total * (mean @ mean.transpose(-1, -2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        predicted, true, mass = ctx.saved_tensors
        length, mean = predicted.shape[2], ctx.mean
        if torch.is_grad_enabled():
            # its own derivative is wanted
            mean = _weighed(predicted, true, mass)[-1]
        both = (grads[0] + grads[0].transpose(-1, -2))[..., :length, :]
        slope = both[..., :length] @ predicted - both @ mean
        slope = slope + both[..., length:] @ true
        return (slope if mass is None else slope * mass), None, None


def _weighed(
    predicted: Tensor, true: Tensor, mass: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The vectors of both, the same times their mass, what that is in all, and their mean."""
    vectors = torch.cat([predicted, true], 2)
    if mass is None:
        weighted, total = vectors, vectors.new_full((), float(vectors.shape[-1]))
    else:
        weighted, total = vectors * mass, mass.sum(-1, keepdim=True)
        total = torch.where(total > 0, total, 1.0)
    return vectors, weighted, total, weighted.sum(-1, keepdim=True) / total


def _blocks(values: Tensor, side: int, step: int) -> Tensor:
    """``(N, C, *S)`` to ``(N, C, *S', side^dimensions)``: the values of every block."""
    dimensions = values.ndim - 2
    for axis in range(2, values.ndim):
        values = values.unfold(axis, side, step)
    return values.flatten(2 + dimensions)


def _windows(values: Tensor, side: int, radius: int) -> Tensor:
    """``(N, C, d, windows)``: the windows of the pooled image, each a column."""
    pooled = _pooled(values, side).double()
    return _blocks(pooled, radius, 1).flatten(2, -2).transpose(-1, -2)


def _pooled(values: Tensor, side: int) -> Tensor:
    """The means of all blocks that lie in the image."""
    dimensions = values.ndim - 2
    if side == 1:
        return values
    if dimensions > 3:
        return _blocks(values, side, side).mean(-1)
    pool = (nnf.avg_pool1d, nnf.avg_pool2d, nnf.avg_pool3d)[dimensions - 1]
    return pool(values, side)


def _window_mass(weight: Tensor, side: int, radius: int) -> Tensor:
    """``(N, 1, 1, windows)``: what every window weighs."""
    mass = weight.double().unsqueeze(1)
    for length, step in ((side, side), (radius, 1)):
        parts = _blocks(mass, length, step)
        mass = torch.where((parts > 0).all(-1), parts.mean(-1), 0.0)
    return mass.flatten(2)[:, None]
