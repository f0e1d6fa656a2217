"""Points of an image, between its pixels too: where to lay them, and what is there."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import validation

__all__ = ["point_uncertainty", "sample_points", "uncertain_points"]


def uncertain_points(
    logits: Tensor,
    num_points: int,
    oversample_ratio: float = 3.0,
    importance_sample_ratio: float = 0.75,
    *,
    weight: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``(N, P, D)``: points of every image, most of them where its prediction is undecided.

    Of ``oversample_ratio`` P points laid at random the ``importance_sample_ratio`` P most uncertain
    are kept, by the logits interpolated at the points themselves; the others are laid at random.

    Args:
        logits: ``(N, C, *S)`` with one to three spatial dimensions.
        num_points: P >= 1.
        oversample_ratio: >= 1.
        importance_sample_ratio: in [0, 1].
        weight: ``(N, *S)``; a point in a pixel of weight 0 is the least uncertain. Not so in the
            source.
        generator: of the random numbers; None for the global one of the device.

    Returns:
        Coordinates in [0, 1] of the image's extent, the last axis first: x, y and z.

    Raises:
        ValueError: for numbers out of range.

    Source: Kirillov et al. 2020, "PointRend: image segmentation as rendering", arXiv:1912.08193;
    for masks Cheng et al. 2022, arXiv:2112.01527.

    >>> z = torch.tensor([[[-9., -9., -9., 0., 9., 9., 9.]]])
    >>> points = uncertain_points(z, 2, 99, 1.0, generator=torch.Generator().manual_seed(0))
    >>> (points * 7).round(decimals=1)       # the pixel in the middle reaches from 3 to 4
    tensor([[[3.5000],
             [3.5000]]])
    """
    validation.whole_number("num_points", num_points, low=1)
    validation.number("oversample_ratio", oversample_ratio, low=1.0)
    validation.number("importance_sample_ratio", importance_sample_ratio, low=0.0, high=1.0)
    images, dimensions = len(logits), logits.ndim - 2
    tried, kept = int(num_points * oversample_ratio), int(importance_sample_ratio * num_points)
    dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32

    def laid(number: int) -> Tensor:
        shape = (images, number, dimensions)
        return torch.rand(shape, generator=generator, device=logits.device, dtype=dtype)

    candidates = laid(tried)
    uncertainty = point_uncertainty(sample_points(logits.detach(), candidates))
    if weight is not None:
        counts = sample_points(weight.unsqueeze(1), candidates, mode="nearest").squeeze(1) > 0
        uncertainty = torch.where(counts, uncertainty, -torch.inf)
    places = uncertainty.topk(kept, dim=1).indices.unsqueeze(2).expand(-1, -1, dimensions)
    chosen = candidates.gather(1, places)
    return torch.cat([chosen, laid(num_points - kept)], 1) if kept < num_points else chosen


def point_uncertainty(logits: Tensor) -> Tensor:
    """``(N, P)`` from logits ``(N, C, P)``: how undecided they are, at most 0.

    Of one class minus the distance of its logit from 0, of several the second largest minus the
    largest.

    >>> point_uncertainty(torch.tensor([[[2.], [5.], [4.]]]))
    tensor([[-1.]])
    """
    if logits.shape[1] == 1:
        return -logits[:, 0].abs()
    largest, second = logits.topk(2, dim=1).values.unbind(1)
    return second - largest


def sample_points(
    values: Tensor,
    points: Tensor,
    mode: Literal["linear", "nearest"] = "linear",
    padding: Literal["zeros", "border"] = "zeros",
) -> Tensor:
    """``(N, C, P)``: what is at points of an image.

    Args:
        values: ``(N, C, *S)`` with one to three spatial dimensions; of any dtype if "nearest".
        points: ``(N, P, D)`` in [0, 1], the last axis first, as of :func:`uncertain_points`.
        mode: "linear" between the centres of pixels (bilinear, trilinear), or "nearest" for the
            pixel whose centre is nearest.
        padding: what lies beyond the outermost centres, for "linear": zeros, or the border.

    Raises:
        ValueError: for points of another number of images or axes.

    >>> row = torch.tensor([[[0., 1., 2., 3.]]])
    >>> sample_points(row, torch.tensor([[[.125], [.5], [.6]]]))
    tensor([[[0.0000, 1.5000, 1.9000]]])
    """
    validation.one_of("mode", mode, ("linear", "nearest"))
    validation.one_of("padding", padding, ("zeros", "border"))
    dimensions = values.ndim - 2
    if points.ndim != 3 or len(points) != len(values) or points.shape[2] != dimensions:
        raise ValueError(
            f"points must have shape (N, P, D) = ({len(values)}, P, {dimensions}),"
            f" got {tuple(points.shape)}"
        )
    if mode == "nearest":
        return _nearest(values, points)
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    points = points.to(values.dtype)
    if dimensions == 1:
        # there is no interpolation of lines: a plane of one row
        values = values.unsqueeze(2)
        points = torch.cat([points, torch.full_like(points, 0.5)], 2)
    axes = max(dimensions, 2)
    grid = (2.0 * points - 1.0).view(*points.shape[:2], *[1] * (axes - 1), axes)
    found = nnf.grid_sample(values, grid, "bilinear", padding, align_corners=False)
    return found.flatten(2)


def _nearest(values: Tensor, points: Tensor) -> Tensor:
    size = list(values.shape[2:])
    place = torch.zeros(points.shape[:2], dtype=torch.int64, device=points.device)
    for axis, length in enumerate(size):
        along = points[..., len(size) - 1 - axis] * length - 0.5
        place = place * length + along.round().clamp(0, length - 1).long()
    index = place.unsqueeze(1).expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, index)
