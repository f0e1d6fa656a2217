"""A small U-Net for images and volumes, which may be told where it looks."""

from __future__ import annotations

import math
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import validation
from metriseg.models.inputs import check_images
from metriseg.models.places import with_places

Normalization = Literal["batch", "group", "none"]

#: Groups of channels, where that many divide them: more of them see too little of a narrow stage.
GROUPS = 4

_CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_POOLING = {2: nnf.max_pool2d, 3: nnf.max_pool3d}


class UNet(nn.Module):
    r"""A U-Net: a contracting path, and an expanding one that is shown what the first has seen.

    Each of the ``depth`` stages has two 3 x 3 (x 3) convolutions and a max pooling by 2; two more
    stand at the bottom. On the way up, a 1 x 1 convolution halves the channels, the nearest
    values are taken at the size of the stage's counterpart, whose features are appended, and two
    convolutions follow. All but the last are normalised and rectified.

    Normalisation is by the batch unless told otherwise: with a few images a batch such a narrow
    network learns classes in fewer steps than by groups (Wu & He 2018, arXiv:1803.08494). Groups
    are for batches of one or two volumes, whose statistics say little, and for outputs that must
    be the same in training and at inference, whatever else is in the batch.

    With ``coordinates`` the network sees where it is (Liu et al. 2018, arXiv:1807.03247). Without,
    two equal objects, far from each other and from the border, have equal features, and no loss
    can part them.

    Args:
        in_channels: of the images, >= 1.
        out_channels: K >= 1: classes, or dimensions of an embedding, or both together.
        width: channels of the first stage, >= 1; every other has twice as many as the one before.
        depth: how often the resolution is halved, >= 1.
        coordinates: whether the place along each axis, from -1 to 1, is appended to the channels.
        dimensions: 2 for images, 3 for volumes.
        normalization: "batch", "group" for groups of channels, or "none", with biases instead.

    Shape:
        - images: ``(N, in_channels, H, W)`` or ``(N, in_channels, D, H, W)``, each axis at least
          ``2 ** depth``.
        - output: ``(N, K, *S)``, logits.

    Raises:
        ValueError: for an argument outside its domain, and for images of another shape.

    Source: Ronneberger, Fischer & Brox 2015, "U-Net: convolutional networks for biomedical image
    segmentation", doi:10.1007/978-3-319-24574-4_28, arXiv:1505.04597.

    >>> import torch
    >>> UNet(1, 8, width=4, depth=2, coordinates=True)(torch.rand(2, 1, 21, 32)).shape
    torch.Size([2, 8, 21, 32])
    >>> UNet(1, 8, width=4, depth=2, dimensions=3)(torch.rand(1, 1, 8, 9, 10)).shape
    torch.Size([1, 8, 8, 9, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 16,
        depth: int = 3,
        coordinates: bool = False,
        dimensions: int = 2,
        normalization: Normalization = "batch",
    ) -> None:
        super().__init__()
        self.in_channels = validation.whole_number("in_channels", in_channels, low=1)
        outputs = validation.whole_number("out_channels", out_channels, low=1)
        base = validation.whole_number("width", width, low=1)
        self.depth = validation.whole_number("depth", depth, low=1)
        validation.flag("coordinates", coordinates)
        validation.one_of("dimensions", dimensions, tuple(_CONVOLUTION))
        validation.one_of("normalization", normalization, get_args(Normalization))
        self.coordinates, self.dimensions = bool(coordinates), dimensions
        convolution = _CONVOLUTION[dimensions]
        widths = [base * 2**k for k in range(self.depth + 1)]
        seen = self.in_channels + (dimensions if coordinates else 0)
        self.down = nn.ModuleList(
            _stage(dimensions, before, after, normalization)
            for before, after in zip([seen, *widths[:-1]], widths, strict=True)
        )
        upwards = list(reversed(range(self.depth)))
        self.halve = nn.ModuleList(convolution(widths[k + 1], widths[k], 1) for k in upwards)
        self.up = nn.ModuleList(
            _stage(dimensions, 2 * widths[k], widths[k], normalization) for k in upwards
        )
        self.classifier = convolution(base, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        check_images(
            self,
            images,
            dimensions=self.dimensions,
            channels=self.in_channels,
            least=2**self.depth,
        )
        values = with_places(images) if self.coordinates else images
        beside = []
        for stage in self.down[:-1]:
            values = stage(values)
            beside.append(values)
            values = _POOLING[self.dimensions](values, 2)
        values = self.down[-1](values)
        for halve, stage in zip(self.halve, self.up, strict=True):
            other = beside.pop()
            raised = nnf.interpolate(halve(values), size=other.shape[2:], mode="nearest")
            values = stage(torch.cat([other, raised], dim=1))
        return cast(Tensor, self.classifier(values))


def _stage(dimensions: int, before: int, after: int, normalization: Normalization) -> nn.Sequential:
    """Two convolutions at one resolution."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        bare = normalization == "none"
        conv = _CONVOLUTION[dimensions](channels, after, 3, padding=1, bias=bare)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        layers += [conv, _norm(dimensions, after, normalization), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _norm(dimensions: int, channels: int, normalization: Normalization) -> nn.Module:
    if normalization == "none":
        return nn.Identity()
    if normalization == "group":
        return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
    return nn.BatchNorm2d(channels) if dimensions == 2 else nn.BatchNorm3d(channels)
