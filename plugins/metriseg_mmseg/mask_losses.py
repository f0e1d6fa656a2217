"""Losses of masks, for heads that predict a set of them: Mask2Former and MaskFormer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from metriseg import SegmentationLoss, validation
from metriseg.catalogue import Entry, parts_of
from metriseg.options import Reduction
from metriseg.reduction import connected, nothing_of
from metriseg_mmseg.carried import carrying_nothing
from metriseg_mmseg.convention import AVG_FACTOR_MARGIN
from metriseg_mmseg.registry import MODELS

__all__ = ["MaskLoss"]

#: What every mask for itself means in the words of a loss.
MASK_WORDS: dict[str, Any] = {"per_image": True, "classes": "all"}

#: Losses that count or rank the pixels of a whole batch, or the masks in which there is something.
JOINT = frozenset(
    {
        "BlobLoss",
        "ExponentialLogarithmicLoss",
        "LogHausdorffDistanceTransformLoss",
        "TopKLoss",
    }
)


class _Masks(NamedTuple):
    """Masks as images with one channel, ``(K, 1, *S)``, or all their points as a single one."""

    logits: Tensor
    target: Tensor
    points_alone: bool

    @property
    def count(self) -> int:
        """How many values a head averages: of masks, or of points."""
        return self.logits.numel() if self.points_alone else len(self.logits)


@MODELS.register_module()
class MaskLoss(nn.Module):
    """A loss of metriseg as ``loss_mask`` or ``loss_dice`` of Mask2Former and MaskFormer.

    Those heads call a loss with the logits of the matched masks, without classes. Every mask is an
    image with one channel here, has sums of its own and counts as much as any other; the value is
    the mean over the masks, or their sum divided by the ``avg_factor`` of the head.

    In MMSegmentation
    -----------------
    The heads' ``loss_dice`` gets masks ``(K, H, W)`` (MaskFormer) or sampled points of each,
    ``(K, P)`` (Mask2Former). Their ``loss_mask`` gets the points of all masks in one row, ``(M,)``
    or ``(M, 1)``: there a loss needs a value a pixel. Points have no neighbours, so that losses
    which look at them need masks ``(K, H, W)``. Points of Mask2Former lie between pixels, and their
    targets between 0 and 1; losses without soft labels get them rounded. Pixels with the ignored
    label are outside of every mask: the heads know no others.

    Args:
        loss: a loss or its config, ``dict(type='metriseg_mmseg.DiceLoss', …)``. Where it has the
            words, ``per_image=True`` and ``classes="all"`` are understood.
        loss_weight: a number >= 0 that multiplies the value.
        reduction: "mean", "sum", or "none" for a value a mask (a point, where all are in one row).
        words: what a stock loss's config leaves behind where this one was merged over it:
            ``use_sigmoid=True``, ``activate=True`` and ``use_mask=False`` say nothing new.

    Raises:
        ValueError: for a loss that asks for several classes, for embeddings or for sums over
            several masks, and for words of other losses.
    """

    #: Words of the stock losses at the values that change nothing.
    without_effect: ClassVar[Mapping[str, bool]] = {
        "use_sigmoid": True,
        "activate": True,
        "use_mask": False,
    }

    def __init__(
        self,
        loss: SegmentationLoss | Mapping[str, Any],
        loss_weight: float = 1.0,
        reduction: Reduction = "mean",
        **words: Any,
    ) -> None:
        super().__init__()
        for word, value in words.items():
            if word not in self.without_effect or value is not self.without_effect[word]:
                raise ValueError(
                    f"MaskLoss has no argument {word!r}, got {word}={value!r}: in a config that"
                    " inherits from another add _delete_=True to the dict of the loss, and say"
                    " what is meant for the loss inside in 'loss'"
                )
        self.loss_weight = validation.number("loss_weight", loss_weight, low=0.0)
        validation.one_of("reduction", reduction, ("mean", "sum", "none"))
        self.reduction: Reduction = reduction
        self.loss = _built(loss)
        for part, entry in self.parts:
            _refuse_unfit(part, entry)

    @property
    def parts(self) -> list[tuple[SegmentationLoss, Entry]]:
        """The losses that the one inside is a sum of, with what they promise."""
        return [(part, _known(part, entry)) for part, entry in parts_of(self.loss)]

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
    ) -> Tensor:
        """The loss as a head of MMDetection asks for it.

        Args:
            pred: logits of masks ``(K, *S)``, or of points ``(M,)`` or ``(M, 1)``.
            target: of the shape of ``pred``, 1 inside and 0 outside. For logits ``(M, 1)`` it is
                ``(M,)`` and holds labels as MMDetection counts them: 0 inside and 1 outside.
            weight: a number >= 0 a mask ``(K,)``, or a point ``(M,)``.
            avg_factor: what to divide the sum by, in place of the mean.
            reduction_override: "mean", "sum" or "none" in place of the loss's own.

        Raises:
            ValueError: for shapes that don't fit the loss, and for ``avg_factor`` with the
                reduction "sum".
        """
        validation.one_of("reduction_override", reduction_override, (None, "mean", "sum", "none"))
        reduction = reduction_override or self.reduction
        if avg_factor is not None and reduction == "sum":
            raise ValueError("avg_factor replaces the mean: it can't be used with reduction='sum'")
        masks = self._masks(pred, target)
        if weight is None and reduction != "none":
            total = self.loss_weight * self._total(masks)
        else:
            values = self.loss_weight * self._values(masks)
            if weight is not None:
                values = values * _weight(weight, masks.count, values)
            if reduction == "none":
                return values
            total = values.sum()
        if reduction == "sum":
            return total
        if avg_factor is None:
            return total / max(masks.count, 1)
        return total / (avg_factor + AVG_FACTOR_MARGIN)

    def extra_repr(self) -> str:
        return f"loss_weight={self.loss_weight!r}, reduction={self.reduction!r}"

    def _masks(self, pred: Tensor, target: Tensor) -> _Masks:
        """Tell masks from points by the shapes, and refuse a loss that these don't suit."""
        labels = pred.ndim == 2 and pred.shape[1] == 1 and target.shape == pred.shape[:1]
        if not labels and (pred.ndim == 0 or target.shape != pred.shape):
            raise ValueError(
                "pred and target must have one shape, (K, *S) for masks or (M,) for points, or be"
                f" (M, 1) and (M,), got {tuple(pred.shape)} and {tuple(target.shape)}"
            )
        points_alone = labels or pred.ndim == 1
        for part, entry in self.parts:
            _refuse_points(part, entry, tuple(pred.shape), points_alone)
        if labels:
            target = 1 - target
        if not target.is_floating_point():
            target = target.long()
        elif all(entry.soft_targets for _, entry in self.parts):
            # interpolation may leave the unit interval by a rounding
            target = target.clamp(0, 1)
        else:
            target = (target > 0.5).long()
        if points_alone:
            return _Masks(pred.reshape(1, 1, -1), target.reshape(1, -1), True)
        return _Masks(pred.unsqueeze(1), target, False)

    def _total(self, masks: _Masks) -> Tensor:
        """The sum of :meth:`_values`, where that is possible without each of them."""
        if masks.logits.numel() == 0:
            return connected(nothing_of(masks.logits), self.loss)
        if masks.points_alone:
            return self._called(masks.logits, masks.target, "sum")
        if all(_is_a_mean(part) for part, _ in self.parts):
            return masks.count * self._called(masks.logits, masks.target, "mean")
        return self._values(masks).sum()

    def _values(self, masks: _Masks) -> Tensor:
        """``(K,)``, or of points ``(M,)``."""
        if masks.logits.numel() == 0:
            # no points, or masks without a pixel
            logits = masks.logits.flatten(0 if masks.points_alone else 1)
            return connected(logits if masks.points_alone else logits.sum(1), self.loss)
        if masks.points_alone:
            return self._called(masks.logits, masks.target, "none").flatten()
        each = zip(masks.logits.split(1), masks.target.split(1), strict=True)
        return torch.stack([self._called(logits, target, "mean") for logits, target in each])

    def _called(self, logits: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        # what a segmentor carries is of images, not of masks or points
        with carrying_nothing():
            return self.loss(logits, target, reduction_override=reduction, ignore_index=None)


def _built(loss: Any) -> SegmentationLoss:
    built = MODELS.build(_with_mask_words(loss)) if isinstance(loss, Mapping) else loss
    if not isinstance(built, SegmentationLoss):
        raise ValueError(
            "loss must be a loss of metriseg or its config, such as"
            f" dict(type='metriseg_mmseg.DiceLoss'), got {type(built).__name__}: {loss!r}"
        )
    return built


def _with_mask_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a loss, and of the terms in it, for masks unless it says otherwise."""
    kind = config.get("type")
    loss = MODELS.get(kind) if isinstance(kind, str) else kind
    known = inspect.signature(loss).parameters if callable(loss) else {}
    words = {name: value for name, value in MASK_WORDS.items() if name in known}
    words.update(config)
    if isinstance(words.get("terms"), (list, tuple)):
        words["terms"] = [
            _with_mask_words(term) if isinstance(term, Mapping) else term for term in words["terms"]
        ]
    return words


def _known(loss: SegmentationLoss, entry: Entry | None) -> Entry:
    if entry is None:
        raise ValueError(f"loss must be one of metriseg's catalogue, got {type(loss).__name__}")
    return entry


def _is_a_mean(loss: SegmentationLoss) -> bool:
    """Whether the value of several masks is the mean of their values."""
    return loss.class_weight is None and type(loss).__name__ not in JOINT


def _refuse_unfit(loss: SegmentationLoss, entry: Entry) -> None:
    name = type(loss).__name__
    if entry.min_classes > 1:
        raise ValueError(f"loss: {name} needs {entry.min_classes} classes, and a mask has one")
    if entry.features:
        raise ValueError(f"loss: {name} looks at embeddings, and heads of masks hand over none")
    if loss.reduction != "mean":
        raise ValueError(
            f"loss: {name} must have reduction='mean', got {loss.reduction!r}: MaskLoss has a"
            " 'reduction' of its own"
        )
    for word, value in MASK_WORDS.items():
        if getattr(loss, word, value) != value:
            raise ValueError(
                f"loss: {name} must have {word}={value!r} since every mask counts for itself,"
                f" got {getattr(loss, word)!r}"
            )


def _refuse_points(
    loss: SegmentationLoss, entry: Entry, shape: tuple[int, ...], points_alone: bool
) -> None:
    name = type(loss).__name__
    if entry.spatial and len(shape) < 3:
        raise ValueError(
            f"pred of shape {shape} holds points, and {name} looks at the neighbours of a pixel:"
            " it needs masks (K, H, W), as the loss_dice of MaskFormerHead gets them"
        )
    if points_alone and entry.level != "pixel":
        raise ValueError(
            f"pred of shape {shape} holds the points of all masks in one row, and {name} has no"
            " value a point: choose it as the head's loss_dice, where each mask has its own"
        )


def _weight(weight: Tensor, count: int, values: Tensor) -> Tensor:
    if tuple(weight.shape) != (count,):
        raise ValueError(
            f"weight must have shape ({count},), a number a mask or a point,"
            f" got {tuple(weight.shape)}"
        )
    return weight.to(values)
