"""What a pipeline knows of a batch beside its labels, on its way to the losses of stock heads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import SegmentationLoss

#: The maps that losses read -> their keys among a pipeline's results and in a data sample.
MAP_KEYS = {
    "signed_distance": "gt_signed_distance_map",
    "region": "gt_region_map",
    "penalty": "gt_penalty_map",
    "target_distance": "gt_target_distance_map",
    "skeleton": "gt_skeleton_map",
    "instances": "gt_instance_map",
}
#: The key of object numbers.
INSTANCE_MAP = MAP_KEYS["instances"]
#: The key of what multiplies the weight that a head gives its pixels.
PIXEL_WEIGHT = "gt_pixel_weight"
#: Maps with a channel a class; the others have one.
DENSE_MAPS = ("signed_distance", "region", "target_distance", "skeleton")


class Carried:
    """The maps and pixel weights of a batch's data samples, stacked when a loss asks for them.

    They are padded as MMSegmentation's preprocessor pads labels, at the right and below, with 0.

    Args:
        samples: the data samples of the batch.
    """

    def __init__(self, samples: Sequence[Any]) -> None:
        self.samples = samples
        self._stacked: dict[str, Tensor | None] = {}

    def stacked(self, key: str) -> Tensor | None:
        """``(N, K, H, W)``, or None where no sample has it.

        Raises:
            ValueError: where only some samples have it, or they have it in different shapes.
        """
        if key not in self._stacked:
            self._stacked[key] = self._stack(key)
        return self._stacked[key]

    def fitting(self, key: str, reader: str, logits: Tensor) -> Tensor | None:
        """As :meth:`stacked`, in the size of the logits and on their device.

        Raises:
            ValueError: in other sizes, or another number, too, naming the map and who reads it.
        """
        values = self.stacked(key)
        if values is None:
            return None
        if len(values) != len(logits):
            raise ValueError(
                f"{key}, which {reader} reads, must be that of the {len(logits)} images of the"
                f" logits, got it of {len(values)}"
            )
        wanted, came = tuple(logits.shape[2:]), tuple(values.shape[2:])
        if came != wanted:
            raise ValueError(
                f"{key}, which {reader} reads, must have the size of the logits, {wanted},"
                f" got {came}: make it behind all transforms that change the size, or let them"
                " change it too"
            )
        return values.to(logits.device)

    def _stack(self, key: str) -> Tensor | None:
        having = [sample for sample in self.samples if key in sample]
        if not having:
            return None
        if len(having) < len(self.samples):
            raise ValueError(
                f"{key} must stand in all data samples or in none, got it in"
                f" {len(having)} of {len(self.samples)}"
            )
        padded = [_padded(sample, key) for sample in having]
        shapes = sorted({tuple(one.shape) for one in padded})
        if len(shapes) > 1:
            raise ValueError(f"{key} must have one shape in all data samples, got {shapes}")
        return torch.stack(padded)


_CARRIED: ContextVar[Carried | None] = ContextVar("metriseg_mmseg_carried", default=None)


@contextlib.contextmanager
def carrying(samples: Sequence[Any]) -> Iterator[None]:
    """Within it the losses of this package know what the data samples hold for them."""
    known = _CARRIED.get()
    if known is None or known.samples is not samples:
        known = Carried(samples)
    token = _CARRIED.set(known)
    try:
        yield
    finally:
        _CARRIED.reset(token)


@contextlib.contextmanager
def carrying_nothing() -> Iterator[None]:
    """Within it the losses know nothing: for what is called on other things than the images."""
    token = _CARRIED.set(None)
    try:
        yield
    finally:
        _CARRIED.reset(token)


def with_carried(
    loss: nn.Module, logits: Tensor, weight: Tensor | None, maps: Mapping[str, Tensor] | None
) -> tuple[Tensor | None, Mapping[str, Tensor] | None]:
    """A loss's pixel weights and maps, with those that are carried and that it reads.

    Args:
        loss: that asks.
        logits: ``(N, C, *S)``.
        weight: ``(N, *S)`` from the head, or None; a carried weight multiplies it, and has one
            channel or, then ``(N, C, *S)``, one a class.
        maps: that the caller gives, by name; they win.

    Raises:
        ValueError: for a map that only some data samples have, or of another size than the logits.
    """
    carried = _CARRIED.get()
    if carried is None:
        return weight, maps
    found = dict(maps or {})
    for name, reader in readers(loss).items():
        if name not in found:
            values = carried.fitting(MAP_KEYS[name], reader, logits)
            if values is not None:
                found[name] = values if name in DENSE_MAPS else _alone(MAP_KEYS[name], values)
    own = carried.fitting(PIXEL_WEIGHT, type(loss).__name__, logits)
    if own is not None:
        if own.shape[1] == logits.shape[1] > 1:
            # a channel a class: what isn't annotated has none
            weight = own if weight is None else weight.unsqueeze(1) * own
        else:
            own = _alone(PIXEL_WEIGHT, own)
            weight = own if weight is None else weight * own
    return weight, found or None


def readers(module: nn.Module) -> dict[str, str]:
    """The maps that the losses in a module read -> the name of the first that does."""
    found: dict[str, str] = {}
    for loss in module.modules():
        for name in getattr(loss, "map_names", ()):
            # a loss from elsewhere may read what no pipeline of ours makes
            if name in MAP_KEYS:
                found.setdefault(name, type(loss).__name__)
    return found


def unread(model: nn.Module, sample: Any) -> list[str]:
    """What a data sample holds for losses, and none in the model reads.

    Object numbers are not meant: metrics read them too.
    """
    read = {MAP_KEYS[name] for name in readers(model)} | {INSTANCE_MAP}
    if any(isinstance(loss, SegmentationLoss) for loss in model.modules()):
        read.add(PIXEL_WEIGHT)
    return [key for key in (*MAP_KEYS.values(), PIXEL_WEIGHT) if key in sample and key not in read]


def _padded(sample: Any, key: str) -> Tensor:
    values: Tensor = sample.get(key).data
    values = values.unsqueeze(0) if values.ndim == 2 else values
    labels = sample.get("gt_sem_seg")
    height, width = values.shape[-2:] if labels is None else labels.data.shape[-2:]
    missing = (height - values.shape[-2], width - values.shape[-1])
    if missing == (0, 0) and labels is not None:
        return values
    # a map that is smaller for another reason than the padding must be found out
    padding = sample.metainfo.get("padding_size", (0, max(missing[1], 0), 0, max(missing[0], 0)))
    return nnf.pad(values, tuple(padding))


def _alone(key: str, values: Tensor) -> Tensor:
    """``(N, H, W)`` of one channel."""
    if values.shape[1] != 1:
        of_classes = ", or one a class" if key == PIXEL_WEIGHT else ""
        raise ValueError(f"{key} must have one channel{of_classes}, got {values.shape[1]}")
    return values.squeeze(1)
