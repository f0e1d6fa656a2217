"""Losses of points in MONAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import metriseg as core
from metriseg_monai import inputs
from metriseg_monai.convention import MonaiConvention

__all__ = ["PointLoss"]


class PointLoss(core.PointLoss):
    """Point loss: a loss of points that are sampled where the prediction is undecided.

    Called as ``loss(input, target, mask=None)`` with the tensors that the loss inside takes. Class
    indices, the mask and maps are those of the nearest voxel; other targets are interpolated where
    the loss has a meaning for soft labels. Otherwise :class:`metriseg.PointLoss`.

    Args:
        loss: of this package, one that doesn't look at neighbours.
        num_points: P >= 1, of every image.
        oversample_ratio: how many times P points are tried, >= 1.
        importance_sample_ratio: the share of the most uncertain, in [0, 1].

    Raises:
        ValueError: for a loss that looks at neighbours, which points don't have, and for numbers
            out of range.

    Source: Kirillov et al. 2020, arXiv:1912.08193; Cheng et al. 2022, arXiv:2112.01527.

    >>> import torch
    >>> from metriseg_monai import CrossEntropyLoss
    >>> loss = PointLoss(CrossEntropyLoss(softmax=True, to_onehot_y=True), num_points=50)
    >>> print(f"{loss(torch.zeros(1, 4, 8, 8, 8), torch.zeros(1, 1, 8, 8, 8)):.4f}")      # ln 4
    1.3863
    """

    inner = (MonaiConvention,)
    inner_words = "a loss of metriseg_monai"

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        *,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss as a trainer of MONAI asks for it."""
        input, target = inputs.plain("input", input), inputs.plain("target", target)
        inputs.check_prediction(input)
        maps = {name: inputs.plain(f"maps[{name!r}]", one) for name, one in (maps or {}).items()}
        if mask is not None:
            mask = inputs.plain("mask", mask)
            mask = mask.expand(len(input), *mask.shape[1:])
        return self.of_points(input, target, mask, maps, features)

    def called(self, input: Any, target: Any, mask: Any, maps: Any, features: Any) -> Tensor:
        value: Tensor = self.loss(input, target, mask, maps=maps, features=features)
        return value

    def holds_labels(self, target: Tensor, input: Tensor) -> bool:
        return bool(self.wrapped.to_onehot_y) and input.shape[1] > 1
