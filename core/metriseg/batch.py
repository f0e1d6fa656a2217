"""One training step's prediction and truth in one canonical form."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import validation

__all__ = ["Batch"]

Activation = Literal["softmax", "sigmoid", "identity"]
R = TypeVar("R")

#: Probabilities that are given as such are kept this far from 0 and 1 before a logarithm.
PROBABILITY_MARGIN = 1e-7


def full_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast off for the tensor's device: it would take matrix products to half precision."""
    device = tensor.device.type
    if not torch.amp.is_autocast_available(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def exact_backward(backward: Callable[..., R]) -> Callable[..., R]:
    """For an autograd function's ``backward``: it runs in :func:`full_precision`.

    Whoever calls ``backward()`` under autocast would otherwise get its products in half precision.
    """

    @functools.wraps(backward)
    def guarded(ctx: Any, *grads: Tensor) -> R:
        with full_precision(grads[0]):
            return backward(ctx, *grads)

    return guarded


@dataclass(frozen=True, eq=False)
class Batch:
    """Logits and target of one step, with everything that a loss may want to know about them.

    Build it with :meth:`from_tensors`, which checks its arguments and brings them into this form;
    the constructor itself checks nothing.

    Attributes:
        logits: ``(N, C, *S)``, float32 or float64.
        target: ``(N, *S)`` int64 labels (0 where ignored), or ``(N, C, *S)`` soft labels of the
            logits' dtype. With one class, always soft.
        weight: ``(N, *S)`` of the logits' dtype, or None for all ones. A pixel of weight 2 counts
            as two pixels, a pixel of weight 0 doesn't exist.
        counted: ``(N, *S)``, what a pixel adds to the divisor of a mean over pixels where that
            isn't its weight; None where it is.
        maps: what a loader has computed beforehand, by name.
        features: ``(N, D, *S)`` embeddings, for the losses that need more than logits.
        annotation: ``(N, C, *S)``, what every class weighs at a pixel, 0 where it isn't annotated;
            None where it weighs what the pixel does. ``weight`` is then 1 where any class is
            annotated, else 0.
        activation: how logits become probabilities: ``"softmax"`` over the classes, ``"sigmoid"``
            for each class by itself, ``"identity"`` when they are probabilities already
            (of exclusive classes; with one class, of the foreground).
    """

    logits: Tensor
    target: Tensor
    weight: Tensor | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    features: Tensor | None = None
    activation: Activation = "softmax"
    counted: Tensor | None = None
    annotation: Tensor | None = None
    _known: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_tensors(
        cls,
        logits: Tensor,
        target: Tensor,
        *,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        weight: Tensor | None = None,
        counted: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Batch:
        """Check the arguments and bring them into canonical form.

        Half precision is raised to float32; pixels labelled ``ignore_index`` get weight zero and
        label 0; labels of a one-class problem (0 and 1) become its soft target.

        Args:
            logits: ``(N, C, *S)`` with at least one spatial dimension, any floating dtype.
            target: integer labels ``(N, *S)``, or one-hot or soft labels ``(N, C, *S)`` of any
                real dtype in [0, 1]; with one class also ``(N, *S)`` floats in [0, 1].
            activation: "softmax", "sigmoid" or "identity"; one class can't be "softmax".
            ignore_index: the label of pixels that don't count; None counts all.
            weight: ``(N, *S)``, finite and not negative; or of classes, ``(N, C, *S)`` or, for
                whole images, ``(N, C)`` (in one dimension with as many pixels as classes it is
                ``(N, *S)``).
            counted: ``(N, *S)``, likewise; see above.
            maps: tensors whose first dimension is N, by name.
            features: ``(N, D, *S)``.

        Raises:
            ValueError: naming the argument, what came and what is allowed.
        """
        validation.logits_shape(logits)
        num_classes = logits.shape[1]
        validation.activation_fits(activation, num_classes)
        if not isinstance(target, Tensor):
            raise ValueError(f"target must be a torch.Tensor, got {type(target).__name__}")
        validation.same_device("target", target, logits)
        if logits.dtype not in (torch.float32, torch.float64):
            logits = logits.float()
        annotation = None
        if weight is not None:
            weight = validation.of_pixels_or_classes(weight, logits).to(logits.dtype)
            if weight.ndim == logits.ndim:
                annotation, weight = weight, (weight > 0).any(1).to(logits.dtype)
                if counted is not None:
                    raise ValueError(
                        f"weight of classes, {tuple(annotation.shape)}, says itself what counts:"
                        " leave out 'counted'"
                    )
        if counted is not None:
            validation.pixel_weight(counted, logits, name="counted")
            counted = counted.to(logits.dtype)

        if _holds_labels(target, logits):
            target, weight = _canonical_labels(target, weight, counted, logits, ignore_index)
            if annotation is not None and weight is not None:
                annotation = torch.where(weight.unsqueeze(1) > 0, annotation, 0.0)
        else:
            if ignore_index is not None:
                raise ValueError(
                    f"ignore_index={ignore_index} needs integer labels of shape (N, *S): with soft"
                    " or one-hot targets a weight of 0 says what is ignored"
                )
            target = _canonical_soft_labels(target, weight, annotation, logits)
        if activation == "identity":
            validation.unit_interval(
                "logits",
                logits,
                None if weight is None else (weight if annotation is None else annotation) > 0,
                " (activation='identity' takes probabilities: for raw logits choose 'softmax' or"
                " 'sigmoid')",
            )
        _check_companions(logits, maps, features)
        if annotation is not None and num_classes == 1:
            weight, annotation = annotation[:, 0], None
        return cls(
            logits, target, weight, dict(maps or {}), features, activation, counted, annotation
        )

    def under(self, activation: Activation) -> Batch:
        """The same logits and target, with probabilities made in another way.

        Raises:
            ValueError: for an activation that one class can't have.
        """
        if activation == self.activation:
            return self
        validation.activation_fits(activation, self.num_classes)
        other = dataclasses.replace(self, activation=activation)
        kept = ("labels", "masks", "dense_target")
        other._known.update({name: self._known[name] for name in kept if name in self._known})
        return other

    @property
    def num_classes(self) -> int:
        return self.logits.shape[1]

    @property
    def has_labels(self) -> bool:
        """Whether the target holds integer labels (else soft labels)."""
        return not self.target.is_floating_point()

    @property
    def one_vs_rest(self) -> bool:
        """Whether every class is a yes-or-no question of its own."""
        return self.activation == "sigmoid" or self.num_classes == 1

    @property
    def measure(self) -> Tensor | None:
        """``(N, *S)``: what a mean over pixels divides by, in total; None for all ones."""
        return self.weight if self.counted is None else self.counted

    @property
    def finest_weight(self) -> Tensor | None:
        """What every class weighs at a pixel, ``(N, C, *S)``, or where that is the same for all the
        pixel's weight ``(N, *S)``; None for all ones."""
        return self.weight if self.annotation is None else self.annotation

    @property
    def valid(self) -> Tensor | None:
        """``(N, *S)`` bool, or None when every pixel counts."""
        return None if self.weight is None else self.weight > 0

    @property
    def labels(self) -> Tensor:
        """``(N, *S)`` int64, 0 where ignored, for losses of exclusive classes without soft labels.

        Raises:
            ValueError: for soft labels, and for one-hot ones that aren't exclusive (checked on the
                CPU, and on a GPU under :func:`~metriseg.debug`).
        """
        return self.once("labels", self._labels)

    @property
    def masks(self) -> Tensor:
        """``(N, C, *S)`` bool: where the target exceeds one half; nowhere where ignored."""
        return self.once("masks", self._masks)

    @property
    def dense_target(self) -> Tensor:
        """``(N, C, *S)`` of the logits' dtype: the target with a channel a class, 0 where ignored.

        For losses that look at neighbours; all others do without.
        """
        if not self.has_labels:
            return self.target
        return self.once("dense_target", lambda: self.masks.to(self.logits.dtype))

    @property
    def masked_logits(self) -> Tensor:
        """The logits with a finite number at every pixel that doesn't count."""
        return self.once("masked_logits", self._masked_logits)

    @property
    def probabilities(self) -> Tensor:
        """``(N, C, *S)``."""
        return self.once("probabilities", self._probabilities)

    @property
    def log_probabilities(self) -> Tensor:
        """``(N, C, *S)``: ln p, never by way of p unless p is what was given."""
        return self.once("log_probabilities", self._log_probabilities)

    @property
    def log_complements(self) -> Tensor:
        """``(N, C, *S)``: ln(1 - p), for classes that are yes-or-no questions."""
        return self.once("log_complements", self._log_complements)

    @property
    def embedding(self) -> Tensor:
        """``(N, D, *S)``: the features, or the logits where there are none; finite where ignored.

        Raises:
            ValueError: for features of another spatial shape than the logits.
        """
        if self.features is None:
            return self.masked_logits
        expected, came = tuple(self.logits.shape[2:]), tuple(self.features.shape[2:])
        if came != expected:
            raise ValueError(
                f"features must have the spatial shape of the logits, {expected},"
                f" got {came}: resize one of the two"
            )
        features = self.features.to(self.logits.dtype)
        return (
            features if self.valid is None else torch.where(self.valid.unsqueeze(1), features, 0.0)
        )

    def loaded(self, name: str, *, dense: bool) -> Tensor | None:
        """The map that a loader has computed beforehand, 0 where ignored; None without one.

        Args:
            name: its key in :attr:`maps`.
            dense: whether its shape is ``(N, C, *S)``, else ``(N, *S)``.

        Raises:
            ValueError: for a map of another shape.
        """
        values = self.maps.get(name)
        if values is None:
            return None
        images, _, *space = self.logits.shape
        expected = tuple(self.logits.shape) if dense else (images, *space)
        if tuple(values.shape) != expected:
            words = "(N, C, *S)" if dense else "(N, *S)"
            raise ValueError(
                f"maps[{name!r}] must have shape {words} = {expected}, got {tuple(values.shape)}"
            )
        values = values.detach()
        if values.is_floating_point():
            values = values.to(self.logits.dtype)
        if self.valid is None:
            return values
        return torch.where(self.valid.unsqueeze(1) if dense else self.valid, values, 0)

    def of_known_instances(self) -> Batch:
        """The same without the pixels that ``maps["instances"]`` gives a negative number.

        Their object isn't known, as in a crowd. A batch without such pixels is returned as it is.

        Raises:
            ValueError: as of :meth:`instances`.
        """
        names = self.instances()
        if names is None or not bool((names < 0).any()):
            return self
        known = names >= 0
        weight = known.to(self.logits) if self.weight is None else self.weight * known
        counted = None if self.counted is None else self.counted * known
        return dataclasses.replace(self, weight=weight, counted=counted)

    def instances(self) -> Tensor | None:
        """``(N, *S)`` int64: the object of every pixel as the loader numbered them, or None.

        Raises:
            ValueError: for a map of another shape, or of anything but integers.
        """
        values = self.loaded("instances", dense=False)
        if values is None:
            return None
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(
                f"maps['instances'] must hold integers, one an object, got {values.dtype}"
            )
        return values.long()

    def once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """What several losses over one batch need is computed once.

        (functools.cached_property takes a lock, which torch.compile can't trace.)
        """
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]

    def _labels(self) -> Tensor:
        if self.has_labels:
            return self.target
        validation.hard_target(self.target, exclusive=True, valid=self.valid)
        if self.num_classes == 1:
            return (self.target[:, 0] > 0.5).long()
        return self.target.argmax(1)

    def _masks(self) -> Tensor:
        if not self.has_labels:
            return self.target > 0.5
        classes = torch.arange(self.num_classes, device=self.target.device)
        own = self.target.unsqueeze(1) == classes.view(-1, *(1,) * (self.target.ndim - 1))
        return own if self.valid is None else own & self.valid.unsqueeze(1)

    def _masked_logits(self) -> Tensor:
        if self.valid is None:
            return self.logits
        filler = 0.5 if self.activation == "identity" else 0.0
        seen = self.valid.unsqueeze(1)
        if self.annotation is not None and self.one_vs_rest:
            seen = self.annotation > 0
        return torch.where(seen, self.logits, filler)

    def _probabilities(self) -> Tensor:
        if self.activation == "softmax":
            return self.masked_logits.softmax(1)
        if self.activation == "sigmoid":
            return self.masked_logits.sigmoid()
        return self.masked_logits

    def _log_probabilities(self) -> Tensor:
        if self.activation == "softmax":
            return self.masked_logits.log_softmax(1)
        if self.activation == "sigmoid":
            return nnf.logsigmoid(self.masked_logits)
        return _off_the_edges(self.masked_logits).log()

    def _log_complements(self) -> Tensor:
        if self.activation == "sigmoid":
            return nnf.logsigmoid(-self.masked_logits)
        return torch.log1p(-_off_the_edges(self.probabilities))


def _off_the_edges(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)


def _holds_labels(target: Tensor, logits: Tensor) -> bool:
    """Tell labels (N, *S) from soft labels (N, C, *S) by shape; refuse anything else."""
    pixels = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) == tuple(logits.shape):
        return False
    if tuple(target.shape) != pixels:
        raise ValueError(
            f"target must have shape (N, *S) = {pixels} for labels or (N, C, *S) ="
            f" {tuple(logits.shape)} for one-hot or soft labels, got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.is_complex():
        if logits.shape[1] == 1:
            return False
        raise ValueError(
            f"target of shape (N, *S) must hold integer labels, got {target.dtype}: convert it, or"
            " give soft labels of shape (N, C, *S)"
        )
    return True


def _canonical_labels(
    target: Tensor,
    weight: Tensor | None,
    counted: Tensor | None,
    logits: Tensor,
    ignore_index: int | None,
) -> tuple[Tensor, Tensor | None]:
    target = target.long()
    if ignore_index is not None:
        counted = target != ignore_index
        ones = torch.ones((), dtype=logits.dtype, device=logits.device)
        weight = torch.where(counted, ones if weight is None else weight, 0.0)
    valid = None if weight is None else weight > 0
    if valid is not None and counted is not None:
        # what a mean divides by may depend on the labels that it counts
        valid = valid | (counted > 0)
    num_classes = logits.shape[1]
    validation.labels(target, valid, max(num_classes, 2))
    if valid is not None:
        target = torch.where(valid, target, 0)
    if num_classes == 1:
        target = target.to(logits.dtype).unsqueeze(1)
    return target, weight


def _canonical_soft_labels(
    target: Tensor, weight: Tensor | None, annotation: Tensor | None, logits: Tensor
) -> Tensor:
    if target.is_complex():
        raise ValueError(f"target must be real, got {target.dtype}")
    if target.requires_grad:
        raise ValueError("target must not require a gradient: none would be computed for it")
    target = target.to(logits.dtype).reshape(logits.shape)
    if annotation is not None:
        target = torch.where(annotation > 0, target, 0.0)
    valid = None if weight is None else weight > 0
    validation.unit_interval("target", target, valid)
    if valid is not None:
        target = torch.where(valid.unsqueeze(1), target, 0)
    return target


def _check_companions(
    logits: Tensor, maps: Mapping[str, Tensor] | None, features: Tensor | None
) -> None:
    if not isinstance(maps, (Mapping, type(None))):
        raise ValueError(f"maps must be a mapping of names to tensors, got {type(maps).__name__}")
    for name, tensor in (maps or {}).items():
        validation.real(f"maps[{name!r}]", tensor)
        if tensor.shape[:1] != logits.shape[:1]:
            raise ValueError(f"maps[{name!r}] must be a tensor with N = {logits.shape[0]} entries")
        validation.same_device(f"maps[{name!r}]", tensor, logits)
    if features is None:
        return
    validation.real("features", features)
    if features.ndim != logits.ndim or features.shape[0] != logits.shape[0]:
        raise ValueError(
            f"features must have shape (N, D, *S) with N = {logits.shape[0]} and as many spatial"
            f" dimensions as the logits, got {tuple(features.shape)}"
        )
    validation.same_device("features", features, logits)
