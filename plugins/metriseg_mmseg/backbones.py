"""The networks of :mod:`metriseg.models` as backbones of MMSegmentation."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from metriseg import models
from metriseg_mmseg.registry import MODELS


@MODELS.register_module()
class SegNet(BaseModule):
    """:class:`metriseg.models.SegNet` without its last convolution, which is the decode head's.

    It returns one map of features at the resolution of the images, so the head says
    ``in_channels=width, in_index=0``.

    Args:
        in_channels: of the images.
        width: channels of the first stage, and of the features.
        depth: how many stages there are, 1 … 5.
        init_cfg: how MMEngine initialises it; None leaves it as it is.

    Raises:
        ValueError: for an argument outside its domain, and for images too small for the depth.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 64,
        depth: int = 5,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.network = models.SegNet(in_channels, 1, width=width, depth=depth)
        self.network.classifier = nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """``(N, width, H, W)``, alone in a tuple."""
        return (self.network(images),)
