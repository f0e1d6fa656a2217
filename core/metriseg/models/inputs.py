"""What a network can be given."""

from __future__ import annotations

from torch import Tensor, nn


def check_images(
    network: nn.Module, images: Tensor, *, dimensions: int, channels: int, least: int
) -> None:
    """Images are ``(N, channels, *S)``, floating, and have ``least`` pixels along every axis."""
    name = type(network).__name__
    if not isinstance(images, Tensor) or not images.is_floating_point():
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a floating point tensor, got {found}")
    if images.ndim != dimensions + 2 or images.shape[1] != channels:
        axes = ", ".join("DHW"[3 - dimensions :])
        raise ValueError(
            f"images must have shape (N, {channels}, {axes}) for this {name},"
            f" got {tuple(images.shape)}"
        )
    if min(images.shape[2:]) < least:
        raise ValueError(
            f"images must have {least} pixels or more along every axis for a {name} of this depth,"
            f" got {tuple(images.shape[2:])}"
        )
