"""How MONAI builds and calls a loss."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import Batch, Convention, RegionStatistics, validation
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.options import Reduction
from metriseg.reduction import reduce_table
from metriseg_monai import inputs

CALL = """\
Called as ``loss(input, target, mask=None)`` with ``input`` ``(B, C, *S)`` and ``target`` of the
same shape (one-hot or soft), or class indices ``(B, 1, *S)`` of any dtype with
``to_onehot_y=True`` (no one-hot tensor is made of them). ``mask`` ``(B, 1, *S)``, ``(1, 1, *S)``
or ``(B, *S)`` weighs voxels, ``(B, C, *S)`` or ``(B, C)`` classes where they are annotated; those
of weight 0 may hold anything, also NaN. Metadata of a
``MetaTensor`` is left behind."""

TO_ONEHOT = """\
    to_onehot_y: whether the target holds class indices. With one channel, the target 0 or 1 is
        taken as it is.
"""
ACTIVATIONS = """\
    sigmoid, softmax, other_act: what makes probabilities of the input; at most one of them.
        ``other_act`` is a callable. With none, the input must lie in [0, 1].
"""
IGNORE = """\
    ignore_index: voxels of this label are left out; of a one-hot target those where its channel is
        1, or, if it has none, those where no channel is.
"""
WEIGHT = """\
    weight: weights of the classes: C numbers, or C - 1 with ``include_background=False``, or one
        for all.
"""


DICE_SHAPE = """\
With ``reduction="none"`` the value has shape ``(B, C, 1, …)``, or ``(C, 1, …)`` with
``batch=True``, without an excluded background."""


def table_note(shape: str = DICE_SHAPE, weight: str = WEIGHT) -> str:
    """What is to be said of losses with a value for every class of an image or of the batch."""
    return f"""\
In MONAI
--------
{CALL}
{shape}

In place of ``activation``, ``class_weight``, ``per_image``, ``smooth`` and ``overlap``, as far as
the loss has them:
{TO_ONEHOT}{ACTIVATIONS}{IGNORE}{weight}\
        They multiply; the mean divides by the number of the classes.
    batch: whether the sums go over the batch, or over each image.
    smooth_nr, smooth_dr: what is added to numerator and denominator, >= 0.
    soft_label: True for ``overlap="minimum"``: the loss of soft labels is then 0 where the
        prediction equals them.
"""


class MonaiConvention(Convention):
    """MONAI's words and its way to call a loss."""

    foreign_words: ClassVar[Mapping[str, str]] = {
        "activation": "say softmax=True, sigmoid=True or other_act",
        "use_softmax": "say softmax=True",
        "class_weight": "say 'weight'",
        "per_image": "say 'batch': batch=True takes the sums over the batch",
        "smooth": "say 'smooth_nr' and 'smooth_dr'",
        "overlap": "say soft_label=True for overlap='minimum'",
        "jaccard": "that is a loss of its own: JaccardLoss (and DiceLoss(jaccard=True))",
        "squared_pred": "PowerDiceLoss(power=2) squares probabilities in its denominator, so does"
        " DiceLoss(squared_pred=True)",
        "soft_label": "soft targets need no flag",
    }
    without_effect: ClassVar[Mapping[str, Any]] = dict.fromkeys(
        ("jaccard", "squared_pred", "soft_label"), False
    )
    #: What makes probabilities where no word says it; None for a loss that must be told.
    usual_activation: ClassVar[Activation | None] = "identity"
    #: The word for the weights of the classes.
    class_weight_word: ClassVar[str] = "weight"
    lone_channel_is_foreground: ClassVar[bool] = True

    to_onehot_y: bool
    other_act: Callable[[Tensor], Tensor] | None

    @classmethod
    def fitting_hints(cls, words: Collection[str]) -> Mapping[str, str]:
        needs = {"overlap": "soft_label", "per_image": "batch", "smooth": "smooth_nr"}
        return {
            word: hint
            for word, hint in cls.foreign_words.items()
            if needs.get(word, cls.class_weight_word if word == "class_weight" else None)
            in (None, *words)
        }

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
        words["activation"] = cls._possible(cls.chosen_activation(arguments))
        if "weight" in arguments:
            words["class_weight"] = weights_of_classes("weight", arguments["weight"])
        return words

    @classmethod
    def chosen_activation(cls, arguments: Mapping[str, Any]) -> Activation:
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
        if chosen:
            return chosen[0]
        if cls.usual_activation is None:
            raise ValueError(
                f"{cls.__name__} needs softmax=True, sigmoid=True or other_act for its Dice part;"
                " of a network that ends in probabilities, sum DiceLoss and the other loss in a"
                " CompoundLoss"
            )
        return cls.usual_activation

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
        self._one_weight_for_all = is_one_number(arguments.get(self.class_weight_word))

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
            mask: ``(B, 1, *S)``, ``(1, 1, *S)`` or ``(B, *S)``, finite and not negative; or of
                classes, ``(B, C, *S)`` or ``(B, C)``.
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
        if self._expects_indices(input, target):
            target, weight = inputs.class_indices(input, target, weight, self.ignore_index)
        else:
            inputs.check_channels(input, target)
            if self.ignore_index is not None:
                target, weight = inputs.without_ignored(target, weight, self.ignore_index)
        if input.shape[1] == 1 and not getattr(self, "include_background", True):
            warnings.warn(
                "include_background=False is ignored: one channel is foreground", stacklevel=2
            )
        raw = input
        if self.activation == "identity":
            input = self._probabilities(input, weight)
        return self.compute(
            input,
            target,
            weight=weight,
            maps={name: inputs.plain(f"maps[{name!r}]", one) for name, one in (maps or {}).items()},
            features=self.features_of(raw, features),
            activation=self.activation,
            ignore_index=None,
            reduction=None,
        )

    def features_of(self, raw: Tensor, features: Tensor | None) -> Tensor | None:
        """What goes along as features; ``raw`` is the input before ``other_act``."""
        return None if features is None else inputs.plain("features", features)

    def spread_class_weight(self, weight: Tensor, num_classes: int) -> Tensor:
        if self._one_weight_for_all:
            return weight.expand(num_classes)
        if self.for_foreground(weight.numel(), num_classes):
            return nnf.pad(weight, (1, 0))
        if weight.numel() != num_classes:
            where = (
                " (without the background when include_background=False)"
                if self.background_of_pixels == self.include_background
                else " (also without background, which the loss of voxels keeps)"
            )
            raise ValueError(
                f"{self.class_weight_word} must be one number or one for each of the"
                f" {num_classes} classes{where}, got {weight.numel()}"
            )
        return weight

    def for_foreground(self, numbers: int, num_classes: int) -> bool:
        """Whether so many numbers are those of all classes but an excluded background."""
        excluded = not (self.include_background or self.background_of_pixels)
        return excluded and numbers == num_classes - 1

    def _expects_indices(self, input: Tensor, target: Tensor) -> bool:
        # with one channel 0 and 1 are their own one-hot form
        return self.to_onehot_y and input.shape[1] > 1

    def _probabilities(self, input: Tensor, weight: Tensor | None) -> Tensor:
        valid = None if weight is None else inputs.counting_voxels(weight, input)
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
{CALL} With ``reduction="none"`` the value has shape ``(B, 1, *S)``.

In place of ``activation`` and ``class_weight``:
{TO_ONEHOT}{ACTIVATIONS}{IGNORE}{WEIGHT}"""

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        value = super().value(batch, reduction=reduction, statistics=statistics)
        return value.unsqueeze(1) if value.ndim == batch.logits.ndim - 1 else value


class TableConvention(MonaiConvention):
    """Losses with a value for every class of an image or of the batch."""

    note = table_note()

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
        if words.pop("overlap", None):
            words["soft_label"] = keyword("soft_label", False, "bool")
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
        if "soft_label" in arguments and validation.flag("soft_label", arguments["soft_label"]):
            words["overlap"] = "minimum"
        return words

    @property
    def batch(self) -> bool:
        """Whether the sums go over the batch."""
        return not getattr(self, "per_image", True)

    @batch.setter
    def batch(self, batch: bool) -> None:
        if not hasattr(self, "per_image"):
            raise AttributeError(f"{type(self).__name__} has no word 'batch'")
        self.per_image = not validation.flag("batch", batch)

    @property
    def smooth_nr(self) -> float:
        """What is added to the numerator."""
        return self.smooth_pair[0]

    @smooth_nr.setter
    def smooth_nr(self, value: float) -> None:
        self.smooth = (validation.number("smooth_nr", value, low=0.0), self.smooth_pair[1])

    @property
    def smooth_dr(self) -> float:
        """What is added to the denominator."""
        return self.smooth_pair[1]

    @smooth_dr.setter
    def smooth_dr(self, value: float) -> None:
        self.smooth = (self.smooth_pair[0], validation.number("smooth_dr", value, low=0.0))

    def reduced_table(
        self, values: Tensor, counted: Tensor, batch: Batch, reduction: Reduction
    ) -> Tensor:
        factors = self.table_factors(batch) if self.columns_are_classes else None
        # without weights of classes what multiplies them is what the mean divides by
        weighted = factors is not None and self.class_weight is not None
        shares = self.included(batch) if weighted else None
        reduced = reduce_table(values, counted, factors, reduction, shares)
        return self.unreduced(reduced, batch) if reduction == "none" else reduced

    def table_factors(self, batch: Batch) -> Tensor | None:
        """``(C,)`` that multiply the columns, 0 for an excluded background; None for all ones."""
        return self.class_factors(batch)

    def first_included(self, batch: Batch) -> int:
        """The first class that is no excluded background."""
        return int(not self.include_background and batch.num_classes > 1)

    def included(self, batch: Batch) -> Tensor:
        """``(C,)``: 1, and 0 for an excluded background."""
        classes = torch.arange(batch.num_classes, device=batch.logits.device)
        return (classes >= self.first_included(batch)).to(batch.logits.dtype)

    def unreduced(self, table: Tensor, batch: Batch) -> Tensor:
        """A table ``(G, C)`` as MONAI's losses of its kind return it: here as its Dice."""
        rows = self.columns(table, batch)
        spatial = (1,) * (batch.logits.ndim - 2)
        return rows.reshape(*rows.shape, *spatial)

    def columns(self, table: Tensor, batch: Batch) -> Tensor:
        """``(B, C)``, or ``(C,)`` of the batch as a whole, without an excluded background."""
        if self.columns_are_classes:
            table = table[:, self.first_included(batch) :]
        return table if getattr(self, "per_image", True) else table[0]

    def of_nothing(self, batch: Batch, reduction: Reduction) -> Tensor:
        nothing = super().of_nothing(batch, reduction)
        return self.unreduced(nothing, batch) if reduction == "none" else nothing


def weights_of_classes(name: str, value: Any) -> Any:
    """One number as a list of one; checked."""
    if is_one_number(value):
        value = [float(value)]
    validation.class_weights(value, name=name)
    return value


def is_one_number(value: Any) -> bool:
    """Whether it is a number, or a tensor or array without an axis."""
    return isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0


def alias(name: str, check: Callable[[Any], Any] = lambda value: value) -> property:
    """MONAI's name of an attribute, for handlers that set it in the course of a training."""

    def write(self: Any, value: Any) -> None:
        setattr(self, name, check(value))

    return property(lambda self: getattr(self, name), write, doc=f"``{name}`` of the core.")
