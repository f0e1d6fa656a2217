"""How MONAI builds and calls a loss."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import (
    Batch,
    Convention,
    JaccardLoss,
    PowerDiceLoss,
    PowerJaccardLoss,
    RegionLoss,
    RegionStatistics,
    validation,
)
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.options import Reduction
from metriseg_monai import inputs

_CALL = """\
Called as ``loss(input, target, mask=None)`` with ``input`` ``(B, C, *S)`` and ``target`` of the
same shape (one-hot or soft), or class indices ``(B, 1, *S)`` of any dtype with
``to_onehot_y=True`` (no one-hot tensor is made of them). ``mask`` ``(B, 1, *S)``, ``(1, 1, *S)``
or ``(B, *S)`` weighs voxels; those of weight 0 may hold anything, also NaN. Metadata of a
``MetaTensor`` is left behind."""

_WORDS = """\
    to_onehot_y: whether the target holds class indices. With one channel, the target 0 or 1 is
        taken as it is.
    sigmoid, softmax, other_act: what makes probabilities of the input; at most one of them.
        ``other_act`` is a callable. With none, the input must lie in [0, 1].
    ignore_index: needs class indices; for one-hot targets there is ``mask``.
    weight: weights of the classes: C numbers, or C - 1 with ``include_background=False``, or one
        for all."""


class MonaiConvention(Convention):
    """MONAI's words and its way to call a loss."""

    foreign_words: ClassVar[Mapping[str, str]] = {
        "activation": "say softmax=True, sigmoid=True or other_act",
        "use_softmax": "say softmax=True",
        "class_weight": "say 'weight'",
        "per_image": "say 'batch': batch=True takes the sums over the batch",
        "smooth": "say 'smooth_nr' and 'smooth_dr'",
        "jaccard": "that is a loss of its own: JaccardLoss (and DiceLoss(jaccard=True))",
        "squared_pred": "PowerDiceLoss(power=2) squares probabilities in its denominator, so does"
        " DiceLoss(squared_pred=True)",
        "soft_label": "soft targets need no flag",
    }

    to_onehot_y: bool
    other_act: Callable[[Tensor], Tensor] | None

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = {n: p for n, p in core.items() if n not in ("activation", "class_weight")}
        for name in ("to_onehot_y", "sigmoid", "softmax"):
            words[name] = keyword(name, False, "bool")
        words["other_act"] = keyword("other_act", None, "Callable[[Tensor], Tensor] | None")
        if "class_weight" in core:
            words["weight"] = keyword("weight", None, "Sequence[float] | float | Tensor | None")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        validation.flag("to_onehot_y", arguments["to_onehot_y"])
        words = {name: value for name, value in arguments.items() if name in core}
        words["activation"] = cls._possible(_activation(arguments))
        if "weight" in arguments:
            weight = arguments["weight"]
            if _is_one_number(weight):
                weight = [float(weight)]
            validation.class_weights(weight, name="weight")
            words["class_weight"] = weight
        return words

    @classmethod
    def _possible(cls, activation: Activation) -> Activation:
        """The activation, if the loss has a meaning under it."""
        if activation in cls.activations:
            return activation
        usual = [f"{word}=True" for word in cls.activations if word != "identity"]
        raise ValueError(f"{cls.__name__} needs {' or '.join(usual)}")

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        self.to_onehot_y = arguments["to_onehot_y"]
        self.other_act = arguments["other_act"]
        self._one_weight_for_all = _is_one_number(arguments.get("weight"))

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        *,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss as a trainer of MONAI asks for it.

        Args:
            input: ``(B, C, *S)``, any floating dtype.
            target: ``(B, C, *S)`` in [0, 1], or class indices ``(B, 1, *S)``.
            mask: ``(B, 1, *S)``, ``(1, 1, *S)`` or ``(B, *S)``, finite and not negative.
            maps: what a loader has computed beforehand, by name; ``"instances"`` ``(B, *S)``.
            features: embeddings ``(B, D, *S)``, for the losses that look at them. A trainer gives
                neither: see :class:`metriseg_monai.SplitChannels`.

        Raises:
            ValueError: for tensors of the wrong shape, type or range.
        """
        input, target = inputs.plain("input", input), inputs.plain("target", target)
        inputs.check_prediction(input)
        if input.shape[1] == 1 and self.activation == "softmax":
            raise ValueError("softmax=True over one channel is constant: say sigmoid=True")
        weight = None if mask is None else inputs.voxel_weight(mask, input)
        if self._expects_indices(input):
            target, weight = inputs.class_indices(input, target, weight, self.ignore_index)
        else:
            inputs.check_channels(input, target)
        if self.activation == "identity":
            input = self._probabilities(input, weight)
        return self.compute(
            input,
            target,
            weight=weight,
            maps={name: inputs.plain(f"maps[{name!r}]", one) for name, one in (maps or {}).items()},
            features=None if features is None else inputs.plain("features", features),
            activation=self.activation,
            ignore_index=None,
            reduction=None,
        )

    def spread_class_weight(self, weight: Tensor, num_classes: int) -> Tensor:
        if self._one_weight_for_all:
            return weight.expand(num_classes)
        foreground_only = not self.include_background and weight.numel() == num_classes - 1
        if foreground_only:
            return nnf.pad(weight, (1, 0))
        if weight.numel() != num_classes:
            raise ValueError(
                f"weight must be one number or one for each of the {num_classes} classes (without"
                f" the background when include_background=False), got {weight.numel()}"
            )
        return weight

    def _expects_indices(self, input: Tensor) -> bool:
        if input.shape[1] == 1:
            # 0 and 1 are their own one-hot form; only a third label must be told apart.
            return self.ignore_index is not None
        if self.ignore_index is not None and not self.to_onehot_y:
            raise ValueError(
                f"ignore_index={self.ignore_index} needs a target of class indices and"
                " to_onehot_y=True: with a one-hot target the mask says what is ignored"
            )
        return self.to_onehot_y

    def _probabilities(self, input: Tensor, weight: Tensor | None) -> Tensor:
        valid = None if weight is None else weight > 0
        given = "input"
        hint = ": for raw logits say softmax=True or sigmoid=True"
        if self.other_act is not None:
            if valid is not None:
                # Behind a mask the gradient is 0, but through other_act 0 times NaN is NaN.
                input = torch.where(valid.unsqueeze(1), input, 0)
            shape = input.shape
            given, hint = "other_act(input)", ": other_act must make probabilities"
            input = inputs.plain(given, self.other_act(input))
            if input.shape != shape:
                raise ValueError(
                    f"other_act must keep the shape {tuple(shape)}, got {tuple(input.shape)}"
                )
        if input.dtype != torch.float64:
            input = input.float()
        validation.unit_interval(given, input, valid, hint)
        return input


class PixelConvention(MonaiConvention):
    """Losses with a value at every voxel."""

    note = f"""\
In MONAI
--------
{_CALL} With ``reduction="none"`` the value has shape ``(B, 1, *S)``.

In place of ``activation`` and ``class_weight``:
{_WORDS}
"""

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        value = super().value(batch, reduction=reduction, statistics=statistics)
        return value.unsqueeze(1) if value.ndim else value


class FocalConvention(PixelConvention):
    """MONAI's focal loss has a word of its own for softmax."""

    note = f"""{PixelConvention.note}\
    use_softmax: as in MONAI's focal loss True means softmax and False sigmoid; None leaves it to
        the other words. The mean is taken over voxels, so that softmax values are C times those
        of MONAI's, which divides by the number of channels too.
"""

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = dict(super().constructor_parameters(core))
        words["use_softmax"] = keyword("use_softmax", None, "bool | None")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        use_softmax = arguments["use_softmax"]
        validation.optional(validation.flag, "use_softmax", use_softmax)
        if use_softmax is None:
            return super().translate(arguments, core)
        meant, other = ("softmax", "sigmoid") if use_softmax else ("sigmoid", "softmax")
        if arguments[other]:
            raise ValueError(f"use_softmax={use_softmax} contradicts {other}=True")
        return super().translate({**arguments, meant: True}, core)


class TableConvention(MonaiConvention):
    """Losses with a value for every class of an image or of the batch."""

    note = f"""\
In MONAI
--------
{_CALL} With ``reduction="none"`` the value has shape ``(B, C, 1, …)``, or ``(1, C, 1, …)`` with
``batch=True``.

In place of ``activation``, ``class_weight``, ``per_image`` and ``smooth``, as far as the loss has
them:
{_WORDS}
        The mean over classes divides by their sum, where MONAI's own losses don't.
    batch: whether the sums go over the batch, or over each image.
    smooth_nr, smooth_dr: what is added to numerator and denominator, >= 0.
"""

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = dict(super().constructor_parameters(core))
        if per_image := words.pop("per_image", None):
            words["batch"] = keyword("batch", not per_image.default, "bool")
        if smooth := words.pop("smooth", None):
            for name in ("smooth_nr", "smooth_dr"):
                words[name] = keyword(name, smooth.default, "float")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = super().translate(arguments, core)
        if "batch" in arguments:
            batch = validation.flag("batch", arguments["batch"])
            if arguments.get("sync") and not batch:
                raise ValueError("sync=True sums statistics over ranks: it needs batch=True")
            words["per_image"] = not batch
        if "smooth_nr" in arguments:
            words["smooth"] = tuple(
                validation.number(name, arguments[name], low=0.0)
                for name in ("smooth_nr", "smooth_dr")
            )
        return words

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        value = super().value(batch, reduction=reduction, statistics=statistics)
        spatial = (1,) * (batch.logits.ndim - 2)
        return value.reshape(*value.shape, *spatial) if value.ndim else value


class DiceConvention(TableConvention):
    """MONAI's Dice is four overlaps in one: squared or not, of the sum or of the union."""

    note = f"""{TableConvention.note}\
    squared_pred: True squares prediction and target in the denominator: PowerDiceLoss(power=2).
    jaccard: True divides twice the overlap by twice the union, where ``smooth_nr`` and
        ``smooth_dr`` count half as much as in JaccardLoss.
"""
    foreign_words: ClassVar[Mapping[str, str]] = {
        word: hint
        for word, hint in TableConvention.foreign_words.items()
        if word not in ("jaccard", "squared_pred")
    }

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = dict(super().constructor_parameters(core))
        for name in ("squared_pred", "jaccard"):
            words[name] = keyword(name, False, "bool")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        for name in ("squared_pred", "jaccard"):
            validation.flag(name, arguments[name])
        return super().translate(arguments, core)

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        squared, union = arguments["squared_pred"], arguments["jaccard"]
        upper, lower = self.smooth_pair
        smooth = (upper / 2, lower / 2) if union else (upper, lower)
        overlap: RegionLoss | None = None
        if union:
            overlap = (
                PowerJaccardLoss(2.0, smooth=smooth) if squared else JaccardLoss(smooth=smooth)
            )
        elif squared:
            overlap = PowerDiceLoss(2.0, smooth=smooth)
        # in a tuple: it is no module of this one
        self._overlap = (overlap,)

    @property
    def moments(self) -> frozenset[float]:
        overlap = self._overlap[0]
        return super().moments if overlap is None else overlap.moments

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        overlap = self._overlap[0]
        return super().from_statistics(s) if overlap is None else overlap.from_statistics(s)


class DiceSumConvention(DiceConvention):
    """Dice and a loss of voxels, whose activation MONAI doesn't leave to the user."""

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        if arguments["other_act"] is not None:
            raise ValueError(
                f"other_act would be for the Dice part of {cls.__name__} alone: say softmax=True or"
                " sigmoid=True, or add a DiceLoss(other_act=…) and a loss of voxels in a"
                " CompoundLoss"
            )
        return super().translate(arguments, core)

    @abc.abstractmethod
    def voxel_activation(self, batch: Batch) -> Activation:
        """What makes probabilities of raw scores for the loss of voxels."""

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return super().pixel_values(self._for_voxels(batch), s)

    def pixel_mass(self, batch: Batch) -> Tensor:
        return super().pixel_mass(self._for_voxels(batch))

    def _for_voxels(self, batch: Batch) -> Batch:
        if batch.activation == "identity":
            return batch
        return batch.under(self.voxel_activation(batch))


class DiceCEConvention(DiceSumConvention):
    """The cross-entropy is of exclusive classes wherever there are several channels."""

    note = f"""{DiceConvention.note}
As in MONAI the cross-entropy is that of exclusive classes, also with ``sigmoid=True``, which then
concerns the Dice part; with one channel it is the binary one.
"""

    def voxel_activation(self, batch: Batch) -> Activation:
        return "sigmoid" if batch.num_classes == 1 else "softmax"


class DiceFocalConvention(DiceSumConvention):
    """The focal loss asks a question a channel, and leaves out what Dice leaves out."""

    note = f"""{DiceConvention.note}
As in MONAI the focal loss asks a yes-or-no question a channel, also with ``softmax=True``, which
then concerns the Dice part; ``include_background=False`` concerns both.
"""

    @property
    def background_of_pixels(self) -> bool:
        return self.include_background

    def voxel_activation(self, batch: Batch) -> Activation:
        return "sigmoid"


class CompoundConvention(MonaiConvention):
    """The words are those of the terms; whoever wants to see the terms' values observes."""

    note = f"""\
In MONAI
--------
{_CALL}

``terms`` are losses of this package, ``[{{"_target_": "metriseg_monai.DiceLoss", …}}, …]``, each
with its own words, and its own activation; they must agree about ``to_onehot_y``, ``ignore_index``
and ``other_act``.
:class:`metriseg_monai.handlers.CompoundLossHandler` moves the schedules on and shows the terms'
values in the log.
"""

    #: Called with the weighted value of every term, by name, whenever the loss is computed.
    observers: list[Callable[[Mapping[str, Tensor]], None]]

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        return core

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        terms = arguments["terms"]
        if not isinstance(terms, (list, tuple)):
            raise ValueError(f"terms must be a list of losses, got {terms!r}")
        for term in terms:
            if not isinstance(term, MonaiConvention):
                raise ValueError(
                    "terms must be losses of metriseg_monai, got"
                    f" {type(term).__module__}.{type(term).__name__}"
                )
        for word in ("to_onehot_y", "other_act"):
            found = [getattr(term, word) for term in terms]
            if any(value != found[0] for value in found):
                raise ValueError(f"terms must agree about {word}, got {found}")
        return arguments

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        first = self.terms[0]
        self.to_onehot_y, self.other_act = first.to_onehot_y, first.other_act
        self.observers = []

    def report(self, values: Mapping[str, Tensor]) -> None:
        for observe in self.observers:
            observe(values)


def _activation(arguments: Mapping[str, Any]) -> Activation:
    """What ``sigmoid``, ``softmax`` and ``other_act`` say together."""
    other_act = arguments["other_act"]
    if other_act is not None and not callable(other_act):
        raise TypeError(f"other_act must be None or callable, got {other_act!r}")
    chosen: list[Activation] = [] if other_act is None else ["identity"]
    for name in ("sigmoid", "softmax"):
        validation.flag(name, arguments[name])
        if arguments[name]:
            chosen.append(name)
    if len(chosen) > 1:
        raise ValueError(
            "sigmoid, softmax and other_act exclude one another, got"
            f" sigmoid={arguments['sigmoid']}, softmax={arguments['softmax']},"
            f" other_act={other_act!r}"
        )
    return chosen[0] if chosen else "identity"


def _is_one_number(weight: Any) -> bool:
    if isinstance(weight, Tensor):
        return weight.ndim == 0
    return isinstance(weight, (int, float))
