"""The losses that a head owns."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from metriseg import SegmentationLoss
from metriseg.catalogue import Entry, parts_of
from metriseg_detectron2.convention import CATEGORY, Detectron2Convention, Seen
from metriseg_detectron2.yaml_messages import in_yaml


class LossModules(nn.ModuleList):
    """Losses, settled for a head, and the keys under which the head returns them.

    One loss has the key ``stem``, each of several ``stem_<name>``.

    Args:
        losses: losses of this plugin; none leaves the head its stock loss.
        seen: what they will see.

    Raises:
        ValueError: for anything else than a loss of this plugin, and for a loss that can't work
            with what it would see.
    """

    def __init__(self, losses: Iterable[SegmentationLoss], seen: Seen) -> None:
        super().__init__()
        losses = list(losses)
        for position, loss in enumerate(losses):
            if not isinstance(loss, Detectron2Convention):
                raise ValueError(
                    f"losses[{position}] must be a loss of metriseg_detectron2, got {loss!r}"
                )
        self.keys = _keys(seen.stem, losses)
        #: Which losses take targets between 0 and 1.
        self.soft: list[bool] = []
        for key, loss in zip(self.keys, losses, strict=True):
            parts = parts_of(loss)
            self.soft.append(all(entry is None or entry.soft_targets for _, entry in parts))
            try:
                loss.settle(seen, key)
                if seen.points:
                    _refuse_neighbours(parts)
                _rehearse(loss, seen)
            except ValueError as error:
                place, message = "", str(error)
                if loss.place:
                    place, message = f"{loss.place}: ", in_yaml(message, loss.arguments())
                raise ValueError(
                    f"{place}{loss.name} doesn't fit the head's {seen.stem}: {message}"
                ) from error
            self.append(loss)

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        ignore_index: int | None = None,
        weight: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Every loss's value under its key.

        Args:
            logits: ``(N, C, *S)``.
            target: labels ``(N, *S)``, or of one channel ``(N, 1, *S)`` in [0, 1]; losses without
                soft labels get these rounded.
            ignore_index: the label of pixels that don't count.
            weight: ``(N, *S)``, >= 0.
            maps: what a loader has computed beforehand, by name.
            features: ``(N, D, *S)``.
        """
        values = {}
        for key, loss, soft in zip(self.keys, self, self.soft, strict=True):
            fitting = target if soft or not target.is_floating_point() else target > 0.5
            values[key] = loss(
                logits,
                fitting,
                ignore_index=ignore_index,
                weight=weight,
                maps=maps,
                features=features,
            )
        return values


def _keys(stem: str, losses: list[SegmentationLoss]) -> list[str]:
    if len(losses) == 1:
        return [stem]
    keys: list[str] = []
    names = [loss.name for loss in losses]
    for position, name in enumerate(names):
        before = names[:position].count(name)
        keys.append(f"{stem}_{name}_{before + 1}" if before else f"{stem}_{name}")
    return keys


def _refuse_neighbours(parts: Iterable[tuple[SegmentationLoss, Entry | None]]) -> None:
    for part, entry in parts:
        if entry is not None and entry.spatial:
            raise ValueError(
                f"{type(part).__name__} looks at the neighbours of a pixel, and sampled points have"
                " none: choose it where whole masks or maps are compared"
            )


def _rehearse(loss: SegmentationLoss, seen: Seen) -> None:
    """Compute the loss once, of nothing much: what doesn't fit complains now, not in training."""
    loss = copy.deepcopy(loss)
    for part in loss.modules():
        if getattr(part, "sync", False):
            part.sync = False  # ranks may build their models at different times
    space = (4,) if seen.points else (1, 1)
    logits = torch.zeros(1, seen.num_channels, *space)
    with torch.no_grad(), EventStorage():
        if seen.regions:
            category = torch.zeros(1, dtype=torch.int64)
            loss(logits, torch.zeros_like(logits), maps={CATEGORY: category})
        else:
            loss(logits, torch.zeros(1, *space, dtype=torch.int64))
