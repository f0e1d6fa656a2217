"""SegNet: a decoder that knows where the encoder's maxima were."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from metriseg import validation
from metriseg.models.inputs import check_images

#: Convolutions a stage, as in VGG-16.
CONVOLUTIONS = (2, 2, 3, 3, 3)
#: Channels a stage, in units of the width.
CHANNELS = (1, 2, 4, 8, 8)


class SegNet(nn.Module):
    """An encoder and its mirror image, which unpools by the indices of the encoder's maxima.

    The encoder is VGG-16 without its linear layers: stages of 2, 2, 3, 3 and 3 convolutions, each
    stage ending in a 2 x 2 max pooling. Every stage of the decoder puts its values where the
    maxima of its counterpart were, zeros elsewhere, and convolves them. Convolutions are 3 x 3,
    batch-normalised and rectified but for the last, and begin as in He et al. 2015,
    arXiv:1502.01852.

    Args:
        in_channels: of the images, >= 1.
        out_channels: K >= 1: classes, or dimensions of an embedding.
        width: channels of the first stage, >= 1; the others have 2, 4, 8 and 8 times as many. 64
            is the paper's network, 16 one that a CPU trains.
        depth: how many stages there are, 1 … 5.

    Shape:
        - images: ``(N, in_channels, H, W)``, H and W at least ``2 ** depth``.
        - output: ``(N, K, H, W)``, logits.

    Raises:
        ValueError: for an argument outside its domain, and for smaller images.

    Source: Badrinarayanan, Kendall & Cipolla 2017, "SegNet: a deep convolutional encoder-decoder
    architecture for image segmentation", doi:10.1109/TPAMI.2016.2644615, arXiv:1511.00561.

    >>> import torch
    >>> SegNet(3, 6, width=4, depth=3)(torch.rand(2, 3, 50, 41)).shape
    torch.Size([2, 6, 50, 41])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 5
    ) -> None:
        super().__init__()
        inputs = validation.whole_number("in_channels", in_channels, low=1)
        outputs = validation.whole_number("out_channels", out_channels, low=1)
        base = validation.whole_number("width", width, low=1)
        stages = validation.whole_number("depth", depth, low=1)
        validation.one_of("depth", stages, range(1, len(CHANNELS) + 1))
        self.in_channels = inputs
        widths = [base * factor for factor in CHANNELS[:stages]]
        counts = CONVOLUTIONS[:stages]
        self.encoder = nn.ModuleList(
            _stage([before, *[own] * count])
            for before, own, count in zip([inputs, *widths], widths, counts, strict=False)
        )
        # the deepest stage comes first; of the last one the classifier is the last convolution
        self.decoder = nn.ModuleList(
            _stage([widths[k]] * counts[k] + widths[max(k - 1, 0) : k])
            for k in reversed(range(stages))
        )
        self.classifier = nn.Conv2d(base, outputs, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        check_images(
            self,
            images,
            dimensions=2,
            channels=self.in_channels,
            least=2 ** len(self.encoder),
        )
        values, pooled = images, []
        for stage in self.encoder:
            values = stage(values)
            size = values.shape[2:]
            values, indices = self.pool(values)
            pooled.append((indices, size))
        for stage in self.decoder:
            indices, size = pooled.pop()
            values = stage(self.unpool(values, indices, output_size=size))
        return cast(Tensor, self.classifier(values))


def _stage(channels: list[int]) -> nn.Sequential:
    """Convolutions from each number of channels to the next, at one resolution."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        # a bias would be taken away by the normalisation
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
