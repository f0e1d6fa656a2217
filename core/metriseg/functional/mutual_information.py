"""How much the windows of a prediction say about those of the truth."""

from __future__ import annotations

import torch
from torch import Tensor

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
    Computed in float64. Zhao et al. 2019, arXiv:1910.12037.

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
    windows = [_windows(values.double(), side, radius) for values in (probabilities, target)]
    vectors = torch.cat(windows, 2)
    mass = _window_mass(probabilities, weight, side, radius)
    total = mass.sum(-1, keepdim=True)
    centred = vectors - (vectors * mass).sum(-1, keepdim=True) / torch.where(total > 0, total, 1.0)
    scatter = (centred * mass) @ centred.transpose(-1, -2)
    # prediction first, truth last: of the Cholesky factor of the whole, the last block is that of
    # the Schur complement, M + epsilon I
    ridge = epsilon * torch.eye(scatter.shape[-1], dtype=scatter.dtype, device=scatter.device)
    # (the plain cholesky waits for the device to know whether it failed, and raises on NaN)
    factor = torch.linalg.cholesky_ex(scatter + ridge).L
    unexplained = factor.diagonal(dim1=-2, dim2=-1)[..., scatter.shape[-1] // 2 :]
    values = unexplained.log().mean(-1)
    return torch.where(total[..., 0, 0] > 0, values, 0.0).to(probabilities.dtype)


def _blocks(values: Tensor, side: int, step: int) -> Tensor:
    """``(N, C, *S)`` to ``(N, C, *S', side^dimensions)``: the values of every block."""
    dimensions = values.ndim - 2
    for axis in range(2, values.ndim):
        values = values.unfold(axis, side, step)
    return values.flatten(2 + dimensions)


def _windows(values: Tensor, side: int, radius: int) -> Tensor:
    """``(N, C, d, windows)``: the windows of the pooled image, each a column."""
    pooled = _blocks(values, side, side).mean(-1)
    return _blocks(pooled, radius, 1).flatten(2, -2).transpose(-1, -2)


def _window_mass(like: Tensor, weight: Tensor | None, side: int, radius: int) -> Tensor:
    """``(N, 1, 1, windows)``: what every window weighs."""
    if weight is None:
        sizes = [size // side - radius + 1 for size in like.shape[2:]]
        return like.new_ones((like.shape[0], 1, *sizes), dtype=torch.float64).flatten(2)[:, None]
    mass = weight.double().unsqueeze(1)
    for length, step in ((side, side), (radius, 1)):
        parts = _blocks(mass, length, step)
        mass = torch.where((parts > 0).all(-1), parts.mean(-1), 0.0)
    return mass.flatten(2)[:, None]
