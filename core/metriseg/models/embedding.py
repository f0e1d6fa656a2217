"""What turns the features of a semantic network into an embedding of its pixels."""

from __future__ import annotations

import math
from typing import cast

from torch import Tensor, nn

from metriseg import validation
from metriseg.models.places import with_places

#: Groups of the normalisation, where that many divide the channels.
GROUPS = 8


class EmbeddingBranch(nn.Module):
    r"""An embedding a pixel, from features and from the place that the pixel has.

    A 3 x 3 convolution, normalised by groups (so that distances have one scale in training and
    at inference) and rectified, and a 1 x 1 convolution. With ``coordinates`` the place along each
    axis, from -1 to 1, stands beside the features (Liu et al. 2018, arXiv:1807.03247): without,
    two equal objects far from each other have equal embeddings, and no loss can part them, unless
    the embedding starts at a pixel's own place (:func:`metriseg.extraction.landing_points`):
    ``coordinates=False`` belongs to that, for the same offsets in crops, tiles and whole images, up
    to their borders and to the statistics that normalise them.

    Args:
        in_channels: of the features, >= 1.
        dimensions: D of the embedding, >= 1.
        coordinates: whether places are appended to the features.

    Shape:
        - features: ``(N, in_channels, H, W)``.
        - output: ``(N, D, H, W)``.

    Raises:
        ValueError: for an argument outside its domain.

    >>> import torch
    >>> EmbeddingBranch(16, 6)(torch.rand(2, 16, 9, 10)).shape
    torch.Size([2, 6, 9, 10])
    """

    def __init__(self, in_channels: int, dimensions: int = 6, *, coordinates: bool = True) -> None:
        super().__init__()
        width = validation.whole_number("in_channels", in_channels, low=1)
        self.dimensions = validation.whole_number("dimensions", dimensions, low=1)
        validation.flag("coordinates", coordinates)
        self.coordinates = bool(coordinates)
        self.layers = nn.Sequential(
            nn.Conv2d(width + (2 if coordinates else 0), width, 3, padding=1, bias=False),
            nn.GroupNorm(math.gcd(GROUPS, width), width),
            nn.ReLU(),
            nn.Conv2d(width, self.dimensions, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        seen = with_places(features) if self.coordinates else features
        return cast(Tensor, self.layers(seen))
