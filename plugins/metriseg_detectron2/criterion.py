"""The losses of matched masks, for the criteria of Mask2Former and MaskFormer."""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from detectron2.utils.events import EventStorage, get_event_storage, has_event_storage
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import SegmentationLoss
from metriseg.catalogue import parts_of
from metriseg_detectron2.config import build_loss
from metriseg_detectron2.convention import CATEGORY, Seen
from metriseg_detectron2.loss_modules import LossModules

__all__ = ["MaskCriterionMixin"]

#: The key of the stock mask loss, and what ours begin with.
STEM = "loss_mask"

#: What a model's last layer has predicted, while the criterion compares it and the layers before.
_PREDICTED: ContextVar[Mapping[str, Any] | None] = ContextVar("_PREDICTED", default=None)


class MaskCriterionMixin:
    """Losses of metriseg in the ``SetCriterion`` of Mask2Former, MaskFormer or what follows them.

    Mix it in before theirs; ``loss_masks`` then returns our losses in place of theirs::

        class MetrisegSetCriterion(MaskCriterionMixin, SetCriterion):
            pass

    Every matched mask is a problem of its own with one channel, as a region of a mask head is. A
    loss's mean over the n masks of a process becomes mean * n / ``num_masks``, the number that the
    criterion divides by. One loss has the key ``loss_mask``, each of several ``loss_mask_<name>``.

    The models multiply a value by ``weight_dict[key]`` and drop those without one, so the keys of
    ours are entered there: with the weight of ``loss_mask`` (1.0 without one), and for every
    auxiliary output that has weights with that of its ``loss_mask_<i>``. A key that is there
    already keeps its weight. The ``loss_weight`` of a loss multiplies beside it.

    Args:
        arguments: those of the criterion.
        mask_losses: losses of this plugin, or mappings such as ``{"NAME": "DiceLoss"}``; none
            leaves the criterion its own.
        points: whether losses see points sampled as Mask2Former samples them, by ``num_points``,
            ``oversample_ratio`` and ``importance_sample_ratio`` of the criterion; their targets
            lie between 0 and 1, and losses without soft labels get them rounded. False shows them
            whole masks at the size of the targets. Where the masks of images differ in size, what
            lies beyond one doesn't count.

    Raises:
        ValueError: for a loss that can't be the loss of one channel, looks at neighbours of points,
            or doesn't reduce by its mean; for two losses of one name; for a criterion without
            "masks" among its ``losses``, or without ``num_points``.
        ImportError: for points without OpenCV, which Detectron2's PointRend imports.
    """

    weight_dict: dict[str, float]
    loss_modules: LossModules

    def __init__(
        self,
        *arguments: Any,
        mask_losses: Iterable[SegmentationLoss | Mapping[str, Any]] = (),
        points: bool = True,
        **words: Any,
    ) -> None:
        super().__init__(*arguments, **words)
        losses = _built(mask_losses)
        self.points = points
        if losses:
            self._refuse_unfit(losses)
        self.loss_modules = LossModules(
            losses, Seen.of_regions(STEM, self.num_classes, points=points)
        )
        self._enter_weights()

    @classmethod
    def from_stock(cls, criterion: nn.Module, **words: Any) -> MaskCriterionMixin:
        """The same criterion, its matcher and ``weight_dict`` too, with our losses.

        Args:
            criterion: one that keeps the arguments of its constructor under their names.
            words: ``mask_losses`` and ``points``.
        """
        names = inspect.signature(type(criterion)).parameters
        return cls(**{name: getattr(criterion, name) for name in names}, **words)

    def forward(self, outputs: Mapping[str, Any], *truth: Any, **words: Any) -> dict[str, Tensor]:
        """The criterion's losses of all outputs, each of ours with a weight in ``weight_dict``."""
        token = _PREDICTED.set(outputs)
        try:
            values = super().forward(outputs, *truth, **words)
        finally:
            _PREDICTED.reset(token)
        if any(self._is_ours(key) and key not in self.weight_dict for key in values):
            # weights of auxiliary outputs may have come after the constructor
            self._enter_weights()
        return values

    def loss_masks(
        self,
        outputs: Mapping[str, Any],
        targets: Sequence[Mapping[str, Tensor]],
        indices: Sequence[tuple[Tensor, Tensor]],
        num_masks: float,
    ) -> dict[str, Tensor]:
        """The losses of the matched masks.

        Args:
            outputs: ``pred_masks``, logits ``(N, Q, h, w)``.
            targets: of every image ``masks`` ``(M, H, W)``, 1 inside and 0 outside, and ``labels``
                ``(M,)``.
            indices: of every image, which of the Q is matched with which of the M.
            num_masks: what a sum over masks is divided by.
        """
        if len(self.loss_modules) == 0:
            return super().loss_masks(outputs, targets, indices, num_masks)
        masks = _matched(outputs["pred_masks"], targets, indices)
        count = len(masks.logits)
        if count == 0:
            masks = masks.without_pixels()
        elif self.points:
            masks = self._sampled(masks)
        else:
            masks = masks.enlarged()
        with _logging_the_last_alone(outputs):
            values = self.loss_modules(
                masks.logits,
                masks.target.unsqueeze(1),
                weight=None if masks.valid is None else masks.valid.to(masks.logits),
                maps={CATEGORY: masks.categories},
            )
        return {key: value * (count / num_masks) for key, value in values.items()}

    def _sampled(self, masks: _Masks) -> _Masks:
        """Points ``(n, 1, P)`` of every mask, most of them where its logit is near 0."""
        sampling = _point_features()
        with torch.no_grad():
            places = sampling.get_uncertain_point_coords_with_randomness(
                masks.logits,
                lambda logits: -logits.abs(),
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )

        def at_places(values: Tensor, mode: str = "bilinear") -> Tensor:
            return sampling.point_sample(values, places, mode=mode, align_corners=False)

        valid = masks.valid
        if valid is not None:
            valid = at_places(valid.to(masks.logits).unsqueeze(1), "nearest")[:, 0] > 0.5
        # interpolation may leave the unit interval by a rounding
        target = at_places(masks.target.unsqueeze(1))[:, 0].clamp(0, 1)
        return _Masks(at_places(masks.logits), target, valid, masks.categories)

    def _refuse_unfit(self, losses: Sequence[SegmentationLoss]) -> None:
        if "masks" not in getattr(self, "losses", ("masks",)):
            raise ValueError(
                f"losses must have 'masks', else mask_losses are never asked, got {self.losses!r}"
            )
        for name, number in Counter(getattr(loss, "name", loss) for loss in losses).items():
            if number > 1:
                raise ValueError(
                    f"mask_losses: {number} losses are called {name}, and {STEM}_{name}_2 would be"
                    " the key of an auxiliary output: make them the terms of one CompoundLoss"
                )
        known = [loss for loss in losses if isinstance(loss, SegmentationLoss)]
        for part, entry in (found for loss in known for found in parts_of(loss)):
            name = type(part).__name__
            if part.reduction != "mean":
                raise ValueError(
                    f"mask_losses: {name} must have reduction='mean', got {part.reduction!r}:"
                    " the criterion divides by its number of masks"
                )
            if self.points and entry is not None and entry.spatial:
                raise ValueError(
                    f"mask_losses: {name} looks at the neighbours of a pixel, and sampled"
                    " points have none: say points=False for whole masks"
                )
        if self.points and not hasattr(self, "num_points"):
            raise ValueError(
                f"points=True needs a criterion with num_points, as Mask2Former's, and"
                f" {type(self).__name__} has none: say points=False for whole masks"
            )
        if self.points:
            _point_features()

    def _is_ours(self, key: str) -> bool:
        return any(key == own or key.startswith(f"{own}_") for own in self.loss_modules.keys)

    def _enter_weights(self) -> None:
        """Give our keys weights, and their copies for auxiliary outputs."""
        weights = self.weight_dict
        stock = [key for key in weights if not self._is_ours(key)]
        endings = dict.fromkeys(
            copy.removeprefix(key) for key in stock for copy in stock if copy.startswith(f"{key}_")
        )
        for key in self.loss_modules.keys:
            given = weights.get(key)
            for ending in ("", *endings):
                usual = weights.get(f"{STEM}{ending}", weights.get(STEM, 1.0))
                weights.setdefault(f"{key}{ending}", usual if given is None else given)


class _Masks(NamedTuple):
    """Matched masks, or points of them in place of ``(H, W)``.

    Attributes:
        logits: ``(n, 1, h, w)``.
        target: ``(n, H, W)``, in [0, 1].
        valid: ``(n, H, W)`` bool, False in the padding; None without any.
        categories: ``(n,)``.
    """

    logits: Tensor
    target: Tensor
    valid: Tensor | None
    categories: Tensor

    def enlarged(self) -> _Masks:
        """The logits at the size of the targets."""
        size = self.target.shape[-2:]
        logits = nnf.interpolate(self.logits, size, mode="bilinear", align_corners=False)
        return self._replace(logits=logits)

    def without_pixels(self) -> _Masks:
        """No masks, ``(0, 1, P)``."""
        logits = self.logits.flatten(2)
        return _Masks(logits, logits.detach()[:, 0], None, self.categories)


def _built(losses: Iterable[SegmentationLoss | Mapping[str, Any]]) -> list[SegmentationLoss]:
    return [
        build_loss(entry, f"mask_losses[{position}]") if isinstance(entry, Mapping) else entry
        for position, entry in enumerate(losses)
    ]


def _matched(
    predicted: Tensor,
    targets: Sequence[Mapping[str, Tensor]],
    indices: Sequence[tuple[Tensor, Tensor]],
) -> _Masks:
    """The predictions that a target was found for, and these, padded to one size."""
    logits = torch.cat([image[found] for image, (found, _) in zip(predicted, indices, strict=True)])
    logits = logits.float().unsqueeze(1)
    sizes = [target["masks"].shape[-2:] for target in targets]
    height, width = (max(lengths) for lengths in zip(*sizes, strict=True))
    masks, insides, categories = [], [], []
    for target, (_, true) in zip(targets, indices, strict=True):
        own = target["masks"][true].to(logits)
        margin = (0, width - own.shape[-1], 0, height - own.shape[-2])
        masks.append(nnf.pad(own, margin))
        if len(set(sizes)) > 1:
            insides.append(nnf.pad(torch.ones_like(own, dtype=torch.bool), margin))
        categories.append(target["labels"][true].to(logits.device))
    valid = torch.cat(insides) if insides else None
    return _Masks(logits, torch.cat(masks), valid, torch.cat(categories))


@contextlib.contextmanager
def _logging_the_last_alone(outputs: Mapping[str, Any]) -> Iterator[None]:
    """What a compound logs of its terms is that of the last layer, as of a model without others."""
    predicted = _PREDICTED.get() or {}
    auxiliary = any(outputs is layer for layer in predicted.get("aux_outputs", ()))
    if not (auxiliary and has_event_storage()):
        yield
        return
    with EventStorage(get_event_storage().iter):
        yield


def _point_features() -> Any:
    try:
        from detectron2.projects.point_rend import point_features
    except ImportError as error:
        raise ImportError(
            "points are sampled by Detectron2's PointRend, which imports OpenCV:"
            f" pip install opencv-python-headless, or say points=False ({error})"
        ) from error
    return point_features
