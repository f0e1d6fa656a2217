"""What a stock trainer can't pass to a loss, in channels of the target behind the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch as PrepareBatchInterface
from monai.engines import default_prepare_batch
from monai.utils import CommonKeys
from torch import Tensor, nn

from metriseg import validation
from metriseg_monai import inputs
from metriseg_monai.convention import MonaiConvention

__all__ = ["PrepareBatch", "TargetChannels", "target_keys"]

MASK = "mask"
#: Maps of one channel, whatever the number of classes; all others have one a class.
PER_VOXEL = ("instances", "penalty")


class TargetChannels(nn.Module):
    """A loss whose target brings voxel weights and maps, in channels behind the labels.

    MONAI's ``SupervisedTrainer`` calls ``loss(input, target)`` and nothing else. Here the target is
    the labels, ``(B, 1, *S)`` class indices or ``(B, C, *S)`` one-hot as the loss wants them,
    followed along the channels by what ``channels`` names, in that order: ``ConcatItemsd`` in the
    loader joins them, or :class:`PrepareBatch` in the trainer. Each name is one of

    - ``"mask"``: voxel weights, the third argument of the loss; voxels of weight 0 don't count.
    - ``"penalty"``, one channel; ``"signed_distance"``, ``"region"``, ``"target_distance"``,
      ``"skeleton"``, one a class: what :class:`metriseg_monai.DistancePenaltyMapd` and its siblings
      write.
    - ``"instances"``, one channel of whole numbers, an object each, 0 where there is none. In
      float32 they are exact up to 2^24.

    Called as ``loss(input, target, mask=None)``; ``mask`` is for callers that have one when
    ``channels`` names none. It works within ``DeepSupervisionLoss``, whose lower scales see every
    channel by its nearest voxel; distances keep the unit of the full resolution there.
    :class:`SplitChannels` goes around it: ``SplitChannels(TargetChannels(loss, …), num_classes)``.

    Args:
        loss: of this package.
        channels: the names of what follows the labels -> how many channels each has.

    Raises:
        ValueError: for another loss, a name that is unknown (with the nearest one) or that the loss
            doesn't read, and another number of channels; when called, for a target of another
            number of channels.

    >>> import torch
    >>> from metriseg_monai import CrossEntropyLoss
    >>> cross_entropy = CrossEntropyLoss(softmax=True, to_onehot_y=True)
    >>> loss = TargetChannels(cross_entropy, {"mask": 1})
    >>> logits = torch.tensor([[[0., 9.], [0., -9.]]])
    >>> labels, weights = torch.tensor([[[0., 1.]]]), torch.tensor([[[1., 0.]]])
    >>> print(f"{loss(logits, torch.cat([labels, weights], 1)):.4f}")   # ln 2
    0.6931
    """

    def __init__(self, loss: nn.Module, channels: Mapping[str, int]) -> None:
        super().__init__()
        if not isinstance(loss, MonaiConvention):
            raise ValueError(
                f"loss must be a loss of metriseg_monai, got {type(loss).__name__}: SplitChannels"
                " and DeepSupervisionLoss go around TargetChannels"
            )
        if not isinstance(channels, Mapping) or not channels:
            raise ValueError(
                "channels must map the names of what follows the labels to numbers of channels,"
                f" such as {{'mask': 1}}, got {channels!r}"
            )
        self.loss = loss
        self.channels = {
            name: self._checked(name, number, _maps_read(loss)) for name, number in channels.items()
        }

    @staticmethod
    def _checked(name: str, number: int, read: set[str]) -> int:
        known = [MASK, *sorted(validation.KNOWN_MAPS)]
        if name not in known:
            raise ValueError(
                f"channels: there is no {name!r}{validation.nearest(str(name), known)}"
                f" (there are {', '.join(known)})"
            )
        if name != MASK and name not in read:
            reads = f"it reads {', '.join(sorted(read))}" if read else "it reads none"
            raise ValueError(f"channels: the loss reads no map {name!r} ({reads})")
        number = validation.whole_number(f"channels[{name!r}]", number, low=1)
        if name in (MASK, *PER_VOXEL) and number != 1:
            raise ValueError(f"channels[{name!r}] must be 1: a number a voxel, got {number}")
        return number

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        *,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss as a trainer of MONAI asks for it; ``features`` is for ``SplitChannels``."""
        input, target = inputs.plain("input", input), inputs.plain("target", target)
        inputs.check_prediction(input)
        labels, named = self._told_apart(input, target)
        if MASK in named:
            if mask is not None:
                raise ValueError("mask: the target has a channel 'mask' already")
            mask = named.pop(MASK)
        maps = {
            name: self._one_a_voxel(name, values) if name in PER_VOXEL else values
            for name, values in named.items()
        }
        return self.loss(input, labels, mask, maps=maps, features=features)

    def _told_apart(self, input: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The labels, and what follows them by name."""
        indices = input.shape[1] == 1 or self.loss.to_onehot_y
        parts = {"labels": 1 if indices else input.shape[1], **self.channels}
        found = target.shape[1] if target.ndim > 2 else 0
        if found != sum(parts.values()):
            layout = " + ".join(f"{number} {name}" for name, number in parts.items())
            raise ValueError(
                f"target must have {sum(parts.values())} channels ({layout}),"
                f" got shape {tuple(target.shape)}"
            )
        labels, *others = target.split(list(parts.values()), dim=1)
        return labels, dict(zip(self.channels, others, strict=True))

    @staticmethod
    def _one_a_voxel(name: str, values: Tensor) -> Tensor:
        """``(B, *S)``; numbers of objects as integers."""
        values = values.squeeze(1)
        if name != "instances":
            return values
        numbers = values.long()
        if validation.values_are_checked(values) and not torch.equal(
            numbers.to(values.dtype), values
        ):
            raise ValueError("target: the channel 'instances' must hold whole numbers")
        return numbers

    def extra_repr(self) -> str:
        return f"channels={self.channels}"


class PrepareBatch(PrepareBatchInterface):
    """Joins entries of a batch to the target, for the ``prepare_batch`` of a trainer.

    Gives ``(image, target)`` as MONAI's default does, with the target joined of the entries
    ``keys`` along the channels, in that order: what :class:`TargetChannels` takes apart. With the
    key of the labels alone it is MONAI's default. Entries of different dtypes become the wider one,
    as ``torch.cat`` has it. It is called as ``prepare_batch(batch, device, non_blocking)``, whose
    further keywords reach ``Tensor.to``.

    Args:
        keys: of the labels and of what follows them, ``(B, K, *S)`` each; see :func:`target_keys`.

    Raises:
        ValueError: for no keys; when called, for a batch that isn't a dictionary, lacks a key or
            has entries of different sizes.
    """

    def __init__(self, keys: Sequence[str] | str = CommonKeys.LABEL) -> None:
        if not isinstance(keys, (str, Sequence)) or not keys:
            raise ValueError(f"keys must name an entry or more of the batch, got {keys!r}")
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys)

    def __call__(
        self,
        batchdata: Any,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The image and the target, on the device."""
        if self.keys == (CommonKeys.LABEL,):
            return default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        if not isinstance(batchdata, Mapping):
            raise ValueError(f"the batch must be a dictionary, got {type(batchdata).__name__}")
        missing = [key for key in (CommonKeys.IMAGE, *self.keys) if key not in batchdata]
        if missing:
            raise ValueError(
                f"keys: the batch has no {missing[0]!r}, only {', '.join(map(str, batchdata))}:"
                " the loader must write it"
            )
        entries = [inputs.plain(f"keys: the entry {key!r}", batchdata[key]) for key in self.keys]
        sizes = {key: tuple(one.shape) for key, one in zip(self.keys, entries, strict=True)}
        if len({(*size[:1], *size[2:]) for size in sizes.values()}) > 1:
            raise ValueError(f"keys: the entries must differ in their channels alone, got {sizes}")
        to_device = {"device": device, "non_blocking": non_blocking, **kwargs}
        target = torch.cat([one.to(**to_device) for one in entries], 1)
        return batchdata[CommonKeys.IMAGE].to(**to_device), target


def target_keys(loss: nn.Module, label: str = CommonKeys.LABEL) -> list[str]:
    """The entries of a batch that a loss's target is joined of.

    The key of the labels, followed by ``<label>_<name>`` for what the :class:`TargetChannels` in
    the loss names: the keys that the transforms of this package write. So one config serves losses
    with and without maps.

    Args:
        loss: any loss; without a ``TargetChannels`` in it, its target is the labels.
        label: the key of the labels.

    Raises:
        ValueError: when ``loss`` is no module.

    >>> from metriseg_monai import BoundaryLoss, DiceLoss
    >>> target_keys(TargetChannels(BoundaryLoss(softmax=True), {"signed_distance": 3, "mask": 1}))
    ['label', 'label_signed_distance', 'label_mask']
    >>> target_keys(DiceLoss(softmax=True))
    ['label']
    """
    if not isinstance(loss, nn.Module):
        raise ValueError(f"loss must be a torch.nn.Module, got {type(loss).__name__}")
    for module in loss.modules():
        if isinstance(module, TargetChannels):
            return [str(label), *(f"{label}_{name}" for name in module.channels)]
    return [str(label)]


def _maps_read(loss: MonaiConvention) -> set[str]:
    """The maps that the loss reads, or a term of it."""
    return {name for module in loss.modules() for name in getattr(module, "map_names", ())}
