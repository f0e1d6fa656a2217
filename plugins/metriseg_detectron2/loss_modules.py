"""The losses that a head owns."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from metriseg import SegmentationLoss
from metriseg_detectron2.convention import CATEGORY, Detectron2Convention


class LossModules(nn.ModuleList):
    """Losses, settled for a head, and the keys under which the head returns them.

    One loss has the key ``stem``, each of several ``stem_<name>``.

    Args:
        losses: losses of this plugin; none leaves the head its stock loss.
        stem: the stock loss's key.
        num_channels: of the logits that the losses will see.
        activation: for losses that were given none.
        smooth: for losses that were given none; None leaves them their own.
        num_categories: of a mask head; the regions' category is then the map ``CATEGORY``.
        points: whether the logits are of sampled points ``(N, C, P)``, which have no neighbours.

    Raises:
        ValueError: for anything else than a loss of this plugin, and for a loss that can't work
            with such logits.
    """

    def __init__(
        self,
        losses: Iterable[SegmentationLoss],
        *,
        stem: str,
        num_channels: int,
        activation: str,
        smooth: float | None,
        num_categories: int | None = None,
        points: bool = False,
    ) -> None:
        super().__init__()
        losses = list(losses)
        for position, loss in enumerate(losses):
            if not isinstance(loss, Detectron2Convention):
                raise ValueError(
                    f"losses[{position}] must be a loss of metriseg_detectron2, got {loss!r}"
                )
        self.keys = _keys(stem, losses)
        for key, loss in zip(self.keys, losses, strict=True):
            try:
                loss.settle(
                    activation=activation, smooth=smooth, log_as=key, categories=num_categories
                )
                _rehearse(loss, num_channels, num_categories is not None, points)
            except ValueError as error:
                raise ValueError(f"{loss.name} doesn't fit the head's {stem}: {error}") from error
            self.append(loss)

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        ignore_index: int | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Every loss's value under its key."""
        return {
            key: loss(logits, target, ignore_index=ignore_index, maps=maps, features=features)
            for key, loss in zip(self.keys, self, strict=True)
        }


def _keys(stem: str, losses: list[SegmentationLoss]) -> list[str]:
    if len(losses) == 1:
        return [stem]
    keys: list[str] = []
    names = [loss.name for loss in losses]
    for position, name in enumerate(names):
        before = names[:position].count(name)
        keys.append(f"{stem}_{name}_{before + 1}" if before else f"{stem}_{name}")
    return keys


def _rehearse(
    loss: SegmentationLoss, num_channels: int, of_regions: bool, points: bool = False
) -> None:
    """Compute the loss once, of nothing much: what doesn't fit complains now, not in training."""
    loss = copy.deepcopy(loss)
    for part in loss.modules():
        if getattr(part, "sync", False):
            part.sync = False  # ranks may build their models at different times
    space = (4,) if points else (1, 1)
    logits = torch.zeros(1, num_channels, *space)
    with torch.no_grad(), EventStorage():
        if of_regions:
            category = torch.zeros(1, dtype=torch.int64)
            loss(logits, torch.zeros_like(logits), maps={CATEGORY: category})
        else:
            loss(logits, torch.zeros(1, *space, dtype=torch.int64))
