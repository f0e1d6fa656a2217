"""Losses of points in place of all pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metriseg import functional as F
from metriseg import validation
from metriseg.catalogue import parts_of
from metriseg.losses.wrapper import LossWrapper
from metriseg.reduction import connected, nothing_of

__all__ = ["PointLoss"]


class PointLoss(LossWrapper):
    r"""Point loss: a loss of points that are sampled where the prediction is undecided.

    .. math:: \ell = \ell\bigl(z(u_1), \ldots, z(u_P);\; y(u_1), \ldots, y(u_P)\bigr)

    with P points u of every image: three quarters the most uncertain of three times P, the others
    anywhere (:func:`metriseg.functional.uncertain_points`). Logits and embeddings are interpolated,
    over the pixels that count; labels, weights and maps are those of the nearest pixel; soft labels
    are interpolated where the loss has a meaning for them, else of the nearest pixel too. Points
    are drawn anew at every call. Memory and time of the loss are those of P pixels. At a perfect
    prediction the value is that of the loss.

    Args:
        loss: one that doesn't look at neighbours, or a sum of such.
        num_points: P >= 1, of every image.
        oversample_ratio: how many times P points are tried, >= 1.
        importance_sample_ratio: the share of the most uncertain, in [0, 1].

    Shape:
        - logits: ``(N, C, *S)`` with one to three spatial dimensions.
        - target, weight, maps, features: as of the loss; the size may be another than that of the
          logits.

    Raises:
        ValueError: for a loss that looks at neighbours, which points don't have, and for numbers
            out of range.

    Source: Kirillov et al. 2020, "PointRend: image segmentation as rendering", arXiv:1912.08193;
    Cheng et al. 2022, "Masked-attention mask transformer for universal image segmentation",
    arXiv:2112.01527.

    >>> from metriseg import CrossEntropyLoss
    >>> loss = PointLoss(CrossEntropyLoss(), num_points=50)
    >>> loss(torch.zeros(1, 4, 16, 16), torch.zeros(1, 16, 16, dtype=torch.int64))      # ln 4
    tensor(1.3863)
    """

    def __init__(
        self,
        loss: nn.Module,
        num_points: int,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
    ) -> None:
        super().__init__(loss)
        if isinstance(loss, LossWrapper):
            raise ValueError(
                f"loss must be {self.inner_words}: {type(loss).__name__} goes around PointLoss"
            )
        self.num_points = validation.whole_number("num_points", num_points, low=1)
        self.oversample_ratio = validation.number("oversample_ratio", oversample_ratio, low=1.0)
        self.importance_sample_ratio = validation.number(
            "importance_sample_ratio", importance_sample_ratio, low=0.0, high=1.0
        )
        self._interpolates = True
        for part, entry in parts_of(self.wrapped):
            if entry is not None and entry.spatial:
                raise ValueError(
                    f"loss: {type(part).__name__} looks at the neighbours of a pixel, and sampled"
                    " points have none"
                )
            if entry is not None and not entry.soft_targets:
                self._interpolates = False

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss of sampled points; shapes as in the class description."""
        return self.of_points(logits, target, weight, maps, features)

    def of_points(self, logits: Any, target: Any, weight: Any, maps: Any, features: Any) -> Tensor:
        """The same, in the order of the arguments; a framework's class calls it."""
        validation.logits_shape(logits)
        if logits.numel() == 0:
            return connected(nothing_of(logits), self.loss)
        counts = self._counts(target, weight, logits)
        with torch.no_grad():
            undecided = logits
            if logits.shape[1] == 1 and getattr(self.wrapped, "activation", "") == "identity":
                # of probabilities a half is what 0 is of logits
                undecided = logits - 0.5
            points = F.uncertain_points(
                undecided if counts is None else torch.where(counts, undecided, 0.0),
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
                weight=None if counts is None else counts[:, 0],
            )
        return self.called(
            _interpolated(logits, points, counts),
            self._at_target(target, points, counts, logits),
            None if weight is None else self._nearest(weight, points, logits),
            {name: self._nearest(one, points, logits) for name, one in (maps or {}).items()},
            None if features is None else _interpolated(features, points, counts),
        )

    def holds_labels(self, target: Tensor, logits: Tensor) -> bool:
        """Whether a target of floats holds labels all the same."""
        return False

    def extra_repr(self) -> str:
        return (
            f"num_points={self.num_points}, oversample_ratio={self.oversample_ratio},"
            f" importance_sample_ratio={self.importance_sample_ratio}"
        )

    def _counts(self, target: Tensor, weight: Tensor | None, logits: Tensor) -> Tensor | None:
        """``(N, 1, *S)`` bool: the pixels of the logits that count; None where it isn't known."""
        ignored = getattr(self.wrapped, "ignore_index", None)
        counts = None
        if ignored is not None and _is_of_pixels(target, logits):
            counts = _one_channel(target, logits) != ignored
        if weight is not None and _is_of_pixels(weight, logits):
            weighs = _one_channel(weight, logits) > 0
            counts = weighs if counts is None else counts & weighs
        return counts

    def _at_target(
        self, target: Tensor, points: Tensor, counts: Tensor | None, logits: Tensor
    ) -> Tensor:
        linear = self._interpolates and target.is_floating_point()
        if not linear or self.holds_labels(target, logits):
            return self._nearest(target, points, logits)
        if target.ndim == logits.ndim:
            return _interpolated(target, points, counts)
        return _interpolated(target.unsqueeze(1), points, counts).squeeze(1)

    @staticmethod
    def _nearest(values: Tensor, points: Tensor, logits: Tensor) -> Tensor:
        """Of pixels ``(N, *S)`` or ``(N, C, *S)``, in any size; what isn't of pixels as it is."""
        if values.ndim == logits.ndim:
            return F.sample_points(values, points, mode="nearest")
        if values.ndim == logits.ndim - 1:
            return F.sample_points(values.unsqueeze(1), points, mode="nearest").squeeze(1)
        return values


def _interpolated(values: Tensor, points: Tensor, counts: Tensor | None) -> Tensor:
    """``(N, C, P)``: between the pixels that count alone, which may be the only finite ones."""
    if counts is None or counts.shape[2:] != values.shape[2:]:
        return F.sample_points(values, points, padding="border")
    shares = F.sample_points(counts.to(points.dtype), points, padding="border")
    found = F.sample_points(torch.where(counts, values, 0.0), points, padding="border")
    return found / torch.where(shares > 0, shares, 1.0)


def _is_of_pixels(values: Tensor, logits: Tensor) -> bool:
    """Whether it has one number for every pixel of the logits."""
    one = (len(logits), 1, *logits.shape[2:])
    return tuple(values.shape) in (one, (one[0], *one[2:]))


def _one_channel(values: Tensor, logits: Tensor) -> Tensor:
    return values.reshape(len(logits), 1, *logits.shape[2:])
