"""What stands in for the Hausdorff distance: values a pixel and class, (N, C, *S).

Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image segmentation with
convolutional neural networks", arXiv:1904.10030. Probabilities and target are ``(N, C, *S)``;
``valid`` is ``(N, *S)`` bool, None for all pixels, and beyond it nothing costs anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metriseg.neighbours import cross_sum
from metriseg.recomputed import by_maps

__all__ = ["hausdorff_convolution", "hausdorff_distance_transform", "hausdorff_erosion"]


def hausdorff_distance_transform(
    probabilities: Tensor,
    target: Tensor,
    predicted_field: Tensor,
    target_field: Tensor,
) -> Tensor:
    """(p - t)^2 (d_p^alpha + d_t^alpha), (N, C, *S), of distances that are powers already.

    >>> import torch
    >>> values = [torch.tensor([[[v]]]) for v in (0.5, 1.0, 4.0, 16.0)]
    >>> hausdorff_distance_transform(*values)   # (4 + 16) / 4
    tensor([[[5.]]])
    """
    return (probabilities - target) ** 2 * (predicted_field + target_field)


def hausdorff_erosion(
    probabilities: Tensor,
    target: Tensor,
    alpha: float,
    erosions: int,
    *,
    rescale: bool,
    valid: Tensor | None = None,
) -> Tensor:
    """sum_k k^alpha e_k, (N, C, *S), with e_k the k-th erosion of (p - t)^2.

    An erosion is the mean over a pixel and its neighbours along the axes, 0 beyond the image,
    and then a soft threshold at one half: max(x - 1/2, 0), which ``rescale`` stretches over each
    map to [0, 1] (a constant map stays), or else min(max(2x - 1, 0), 1).
    """
    counted = None if valid is None else valid.unsqueeze(1)

    def eroded(error: Tensor, counted: Tensor | None) -> Tensor:
        dimensions = error.ndim - 2
        total = torch.zeros_like(error)
        for step in range(1, erosions + 1):
            mean = cross_sum(error) / (2 * dimensions + 1)
            if rescale:
                error = _stretched(_where_counted(counted, (mean - 0.5).relu()), counted)
            else:
                error = _where_counted(counted, _soft_threshold(mean))
            total = total.add(error, alpha=step**alpha)
        return total

    return by_maps(eroded, _where_counted(counted, (probabilities - target) ** 2), counted)


def hausdorff_convolution(
    probabilities: Tensor,
    target: Tensor,
    alpha: float,
    radii: Sequence[float],
    *,
    valid: Tensor | None = None,
) -> Tensor:
    """The four terms of convolutions with disks, (N, C, *S).

    sum_r r^alpha e [f(B_r * t^c) p + f(B_r * t) t + f(B_r * p^c) t + f(B_r * p) p] with
    e = (p - t)^2, B_r the mean over a ball of radius r, f(x) = min(max(2x - 1, 0), 1) and ^c the
    complement, to which all beyond the image belongs.
    """
    counted = None if valid is None else valid.unsqueeze(1)
    p, t = _where_counted(counted, probabilities), _where_counted(counted, target)
    if p.numel() == 0:
        return p
    space = p.shape[2:]
    # so much room that a ball at one border doesn't meet what stands at the other
    room = [_fast_length(size + min(math.floor(max(radii)), size - 1)) for size in space]
    axes = tuple(range(2, p.ndim))
    of_p = torch.fft.rfftn(p, s=room, dim=axes)
    of_t = torch.fft.rfftn(t, s=room, dim=axes)
    total = torch.zeros_like(p)
    for radius in radii:
        ball = _ball_spectrum(radius, room, space, p)
        near_p, near_t = (
            _cropped(torch.fft.irfftn(spectrum * ball, s=room, dim=axes), space)
            for spectrum in (of_p, of_t)
        )
        around = (_soft_threshold(1 - near_t) + _soft_threshold(near_p)) * p
        around = around + (_soft_threshold(near_t) + _soft_threshold(1 - near_p)) * t
        total = total + radius**alpha * around
    return (p - t) ** 2 * total


def _where_counted(counted: Tensor | None, values: Tensor) -> Tensor:
    return values if counted is None else torch.where(counted, values, 0.0)


def _soft_threshold(values: Tensor) -> Tensor:
    return (2 * values - 1).clamp(0, 1)


def _stretched(values: Tensor, counted: Tensor | None) -> Tensor:
    """Each map's valid values, none below zero, from [min, max] to [0, 1]."""
    axes = tuple(range(2, values.ndim))
    most = values.amax(axes, keepdim=True)
    least = (values if counted is None else torch.where(counted, values, most)).amin(
        axes, keepdim=True
    )
    spread = most - least
    varies = spread > 0
    stretched = (values - least) / torch.where(varies, spread, 1.0)
    return _where_counted(counted, torch.where(varies, stretched, values))


def _fast_length(size: int) -> int:
    """The next length that has no prime factor above 5."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def _ball_spectrum(
    radius: float, room: Sequence[int], space: Sequence[int], like: Tensor
) -> Tensor:
    """The transform of the mean over a ball, laid around the origin: real, as it is even."""
    reach = math.floor(radius)
    pixels, squared = like.new_zeros(()), like.new_zeros(())
    for length, size in zip(room, space, strict=True):
        places = torch.arange(length, device=like.device)
        steps = torch.minimum(places, length - places).to(like.dtype)
        # pixels further away than the image is long see nothing of it
        steps = torch.where(steps < size, steps, math.inf)
        squared = squared.unsqueeze(-1) + steps**2
    whole = torch.arange(-reach, reach + 1, device=like.device).to(like.dtype) ** 2
    for _ in space:
        pixels = pixels.unsqueeze(-1) + whole
    ball = (squared <= radius**2).to(like.dtype) / (pixels <= radius**2).sum()
    spectrum: Tensor = torch.fft.rfftn(ball).real
    return spectrum


def _cropped(values: Tensor, space: Sequence[int]) -> Tensor:
    for axis, size in enumerate(space, start=2):
        values = values.narrow(axis, 0, size)
    return values
