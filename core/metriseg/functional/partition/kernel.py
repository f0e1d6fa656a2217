r"""The partition distance of an embedding: no segments, only which pixels belong together.

Two pixels belong together by a Gaussian kernel of their embeddings. Random Fourier features take
the place of a soft assignment, since the Frobenius form of the partition distance only needs
products of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import exact_backward
from metriseg.functional.partition.blocks import blocks
from metriseg.functional.partition.distance import shares

__all__ = ["gaussian_frequencies", "kernel_partition_distance"]


def gaussian_frequencies(
    dim: int,
    frequencies: int,
    *,
    bandwidth: float = 1.0,
    generator: torch.Generator | None = None,
    like: Tensor | None = None,
) -> Tensor:
    r"""``(2, dim, frequencies)``: two independent draws of frequencies of a Gaussian kernel.

    With :math:`\omega \sim N(0, I / \sigma^2)` the features
    :math:`\Phi(f) = (\cos \omega_r f, \sin \omega_r f)_r / \sqrt R` have
    :math:`E\, \Phi(f) \cdot \Phi(g) = \exp(-\|f - g\|^2 / 2\sigma^2)`.

    Args:
        dim: length of an embedding.
        frequencies: R of each draw.
        bandwidth: sigma > 0, the distance at which pixels begin to part.
        generator: of the random numbers, on the device of ``like``.
        like: tensor whose dtype and device are taken.

    Raises:
        ValueError: for an argument outside its domain.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines".
    """
    validation.whole_number("dim", dim, low=1)
    validation.whole_number("frequencies", frequencies, low=1)
    validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
    draw = torch.randn(
        (2, dim, frequencies),
        generator=generator,
        dtype=None if like is None else like.dtype,
        device=None if like is None else like.device,
    )
    return draw / bandwidth


def kernel_partition_distance(
    embedding: Tensor,
    labels: Tensor,
    frequencies: Tensor,
    *,
    density: Tensor | None = None,
    segments: int | None = None,
) -> Tensor:
    r"""Estimate of the squared distance of a Gaussian kernel from the truth's co-membership.

    .. math::
        \sum_{uv} w_u w_v (K_{uv} - [y_u = y_v])^2 \approx \|\Phi_1^\top W \Phi_2\|^2
        - \|\Phi_1^\top W Q\|^2 - \|\Phi_2^\top W Q\|^2 + \|Q^\top W Q\|^2

    with w summing to 1 and Q the one-hot truth. The two sides of the product have draws of
    their own, so that the estimate and its gradient are unbiased: over the draws its mean is the
    exact value, its standard deviation falls as one over the square root of the frequencies, and a
    single value may be negative. With one draw the estimate would be too large by the kernel's
    variance, which pulls all pixels together.

    Features are made again in the backward pass, a block of pixels at a time: memory is
    O(pixels x dim + R (R + n)). Pixels without measure cost nothing.

    Args:
        embedding: ``(B, N, D)``.
        labels: ``(B, N)`` integer labels 0 … n - 1 of the true segments.
        frequencies: ``(2, D, R)`` from :func:`gaussian_frequencies`.
        density: ``(B, N)`` measure of the pixels, >= 0; None counts them.
        segments: n, if it is known.

    Returns:
        ``(B,)``; about 0 … 1; 0 for an image without any measure.

    Raises:
        ValueError: for shapes that don't fit, or labels outside 0 … n - 1.
    """
    check_frequencies(embedding, frequencies)
    images = embedding.shape[:2]
    number = checked_labels(labels, images, segments, density)
    share = shares(embedding.new_ones(images) if density is None else density.to(embedding.dtype))
    place = segment_places(labels, number)
    if density is not None:
        embedding, place, share = counted_pixels(embedding, place, share)
    distance = _KernelDistance.apply(embedding, place, share, frequencies, number)
    return distance  # type: ignore[no-any-return]


def check_frequencies(embedding: Tensor, frequencies: Tensor) -> None:
    """Refuse frequencies that aren't two draws for embeddings ``(B, N, D)``."""
    if embedding.ndim != 3:
        raise ValueError(f"embedding must have shape (B, N, D), got {tuple(embedding.shape)}")
    if frequencies.ndim != 3 or frequencies.shape[:2] != (2, embedding.shape[2]):
        raise ValueError(
            f"frequencies must have shape (2, D, R) with D = {embedding.shape[2]},"
            f" got {tuple(frequencies.shape)}"
        )


def checked_labels(
    labels: Tensor, images: tuple[int, ...], segments: int | None, density: Tensor | None
) -> int:
    """How many true segments there are.

    Raises:
        ValueError: for labels or a density of another shape than ``images``, ``(B, N)``, or labels
            outside 0 … segments - 1.
    """
    if labels.shape != images or labels.is_floating_point():
        raise ValueError(
            f"labels must be integers of shape (B, N) = {tuple(images)}, got {tuple(labels.shape)}"
            f" of {labels.dtype}"
        )
    if density is not None and density.shape != images:
        raise ValueError(
            f"density must have shape (B, N) = {tuple(images)}, got {tuple(density.shape)}"
        )
    number = segments or (int(labels.max()) + 1 if labels.numel() else 1)
    if validation.values_are_checked(labels):
        low, high = (int(v) for v in torch.aminmax(labels))
        if low < 0 or high >= number:
            raise ValueError(
                f"labels must lie in 0 … {number - 1}, got values from {low} to {high}"
            )
    return number


def segment_places(labels: Tensor, number: int) -> Tensor:
    """``(B, N)``: rows of a table of ``number`` segments an image."""
    shift = torch.arange(len(labels), device=labels.device).unsqueeze(1) * number
    return labels.long() + shift


def counted_pixels(
    embedding: Tensor, place: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels that have a measure, as many of each image as the fullest has."""
    counts = share > 0
    most = int(counts.sum(1).max()) if counts.numel() else 0
    if most == counts.shape[1]:
        return embedding, place, share
    chosen = counts.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    there = chosen.unsqueeze(2).expand(-1, -1, embedding.shape[2])
    return embedding.gather(1, there), place.gather(1, chosen), share.gather(1, chosen)


class _KernelDistance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embedding: Tensor, place: Tensor, share: Tensor, frequencies: Tensor, number: int
    ) -> Tensor:
        images, _, _ = embedding.shape
        width = 2 * frequencies.shape[2]
        both = embedding.new_zeros(images, width, width)
        truth = embedding.new_zeros(2, images * number, width)
        for block in _blocks(embedding, frequencies):
            first, second = _features(embedding[:, block], frequencies)
            mass = share[:, block, None]
            both += (first * mass).transpose(1, 2) @ second
            index = place[:, block].flatten()
            truth[0].index_add_(0, index, (first * mass).flatten(0, 1))
            truth[1].index_add_(0, index, (second * mass).flatten(0, 1))
        size = share.new_zeros(images * number).index_add_(0, place.flatten(), share.flatten())
        ctx.save_for_backward(embedding, place, share, frequencies, both, truth)
        squares = both.double().square().flatten(1).sum(1)
        overlaps = truth.double().square().sum((0, 2)).view(images, number).sum(1)
        sizes = size.double().square().view(images, number).sum(1)
        return (squares - overlaps + sizes).to(embedding.dtype)

    @staticmethod
    @exact_backward
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        embedding, place, share, frequencies, both, truth = ctx.saved_tensors
        slope = torch.empty_like(embedding)
        scale = 2 * slopes[0][:, None, None]
        for block in _blocks(embedding, frequencies):
            first, second = _features(embedding[:, block], frequencies)
            index, mass = place[:, block], share[:, block, None] * scale
            to_first = (second @ both.transpose(1, 2) - truth[0][index]) * mass
            slope[:, block] = through_features(first, to_first, frequencies[0])
            to_second = (first @ both - truth[1][index]) * mass
            slope[:, block] += through_features(second, to_second, frequencies[1])
        return slope, None, None, None, None


def _blocks(embedding: Tensor, frequencies: Tensor) -> Iterator[slice]:
    images, pixels, _ = embedding.shape
    return blocks(pixels, images * frequencies.shape[2] * 4, embedding)


def _features(embedding: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, n, 2 R)`` of both draws: cosines, then sines."""
    scale = 1 / math.sqrt(frequencies.shape[2])
    first, second = (
        torch.cat([angles.cos(), angles.sin()], -1).mul_(scale)
        for angles in (embedding @ draw for draw in frequencies)
    )
    return first, second


def through_features(features: Tensor, slopes: Tensor, frequencies: Tensor) -> Tensor:
    """The slope of the embedding, from that of cosines and sines."""
    half = features.shape[-1] // 2
    cosines, sines = features[..., :half], features[..., half:]
    angles = slopes[..., half:] * cosines - slopes[..., :half] * sines
    return angles @ frequencies.T
