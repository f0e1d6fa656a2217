"""Losses that MONAI has too: here every word, default, value and shape is MONAI's."""

from __future__ import annotations

import abc
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from metriseg import Batch, RegionStatistics, SegmentationLoss, validation
from metriseg import functional as F
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.losses.pixel import alpha_in
from metriseg.options import Reduction
from metriseg.reduction import beside_classes, pixel_mass
from metriseg_monai import inputs
from metriseg_monai.convention import (
    ACTIVATIONS,
    CALL,
    IGNORE,
    TO_ONEHOT,
    WEIGHT,
    MonaiConvention,
    PixelConvention,
    TableConvention,
    alias,
    table_note,
    weights_of_classes,
)

Words = Mapping[str, inspect.Parameter]


def renamed(words: Words, names: Mapping[str, str], **defaults: Any) -> dict[str, Any]:
    """The same parameters under MONAI's names, with its defaults."""
    found = {}
    for name, word in words.items():
        theirs = names.get(name, name)
        default = defaults.get(theirs, word.default)
        found[theirs] = word.replace(name=theirs, default=default)
    return found


def told(arguments: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The arguments under the core's names."""
    return {
        **arguments,
        **{ours: arguments[theirs] for ours, theirs in names.items() if theirs in arguments},
    }


def without(*words: str) -> dict[str, str]:
    """The hints for foreign words, but for some that the loss understands."""
    return {w: hint for w, hint in MonaiConvention.foreign_words.items() if w not in words}


# ------------------------------------------------------------------------------- regions


class DiceConvention(TableConvention):
    """MONAI's Dice is four overlaps in one: squared or not, of the sum or of the union."""

    note = f"""{TableConvention.note}\
    squared_pred: True squares prediction and target in the denominator: PowerDiceLoss(power=2).
    jaccard: True divides twice the overlap by twice the union, where ``smooth_nr`` and
        ``smooth_dr`` count half as much as in JaccardLoss.
"""
    foreign_words: ClassVar[Mapping[str, str]] = without("jaccard", "squared_pred", "soft_label")

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = dict(super().constructor_parameters(core))
        for name in ("squared_pred", "jaccard"):
            words[name] = keyword(name, False, "bool")
        return words

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        for name in ("squared_pred", "jaccard"):
            validation.flag(name, arguments[name])
        words = super().translate(arguments, core)
        if arguments["squared_pred"]:
            # with squares the product is what makes soft labels their own minimum
            words.pop("overlap", None)
        return words

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        self.squared_pred, self.jaccard = arguments["squared_pred"], arguments["jaccard"]

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({2.0}) if self.squared_pred else super().moments

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        upper, lower = self.smooth_pair
        if self.jaccard:
            half = (upper / 2, lower / 2)
            squares = self.squared_pred
            return 1 - (
                F.power_jaccard_index(s, 2.0, half) if squares else F.jaccard_index(s, half)
            )
        if self.squared_pred:
            return 1 - F.power_dice_index(s, 2.0, (upper, lower))
        return super().from_statistics(s)

    def table_factors(self, batch: Batch) -> Tensor | None:
        alone = batch.num_classes - self.first_included(batch) == 1
        if alone and self.class_weight is not None:
            # MONAI's Dice does not weigh a class that is alone
            return self.included(batch)
        return super().table_factors(batch)


TVERSKY_SHAPE = """\
With ``reduction="none"`` the value has shape ``(B, C)``, or ``(C,)`` with ``batch=True``, without
an excluded background."""
ONE_VALUE_SHAPE = """\
With ``reduction="none"`` the value has shape ``(B, 1, 1, …)``, or ``(1, 1, …)`` with
``batch=True``."""


class TverskyConvention(TableConvention):
    """MONAI's alpha is the price of false positives, its beta that of false negatives."""

    note = f"""{table_note(TVERSKY_SHAPE)}\
    alpha: the price of false positives, >= 0.
    beta: the price of false negatives, >= 0.
"""
    alpha = alias("fp_weight", lambda value: validation.number("alpha", value, low=0.0))
    beta = alias("fn_weight", lambda value: validation.number("beta", value, low=0.0))
    foreign_words: ClassVar[Mapping[str, str]] = {
        **without("soft_label"),
        "fp_weight": "say 'alpha', as MONAI's Tversky loss",
        "fn_weight": "say 'beta', as MONAI's Tversky loss",
    }
    words: ClassVar[Mapping[str, str]] = {"fp_weight": "alpha", "fn_weight": "beta"}

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), cls.words, alpha=0.5, beta=0.5)

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        for word in cls.words.values():
            validation.number(word, arguments[word], low=0.0)
        return super().translate(told(arguments, cls.words), core)

    def unreduced(self, table: Tensor, batch: Batch) -> Tensor:
        return self.columns(table, batch)


class GeneralizedDiceConvention(TableConvention):
    """MONAI adds its smoothing to sums weighted by one over squared volumes, as they are."""

    note = f"""{table_note(ONE_VALUE_SHAPE)}\
    w_type: "square" (w = 1 / Y^2), "simple" (1 / Y) or "uniform" (1), as ``weighting`` elsewhere.

As in MONAI ``smooth_nr`` and ``smooth_dr`` are added to sums weighted by w itself, which is small
where the volumes are large; elsewhere w is divided by the largest.
"""
    foreign_words: ClassVar[Mapping[str, str]] = {
        **without("soft_label"),
        "weighting": "say 'w_type', as MONAI's generalized Dice loss",
    }
    words: ClassVar[Mapping[str, str]] = {"weighting": "w_type"}
    w_type = alias("weighting")

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), cls.words)

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        validation.one_of("w_type", arguments["w_type"], tuple(F.region.WEIGHTINGS))
        # an enumeration's word is a word
        arguments = {
            **arguments,
            "w_type": getattr(arguments["w_type"], "value", None) or arguments["w_type"],
        }
        return super().translate(told(arguments, cls.words), core)

    def from_statistics(self, s: RegionStatistics, class_weight: Tensor | None = None) -> Tensor:
        index = F.generalized_dice_index(
            s, self.weighting, class_weight, self.smooth_pair, scaled=False
        )
        return 1 - index


class MatthewsConvention(TableConvention):
    """MONAI adds its smoothing to products of four counts."""

    note = f"""{table_note(TVERSKY_SHAPE)}\

As in MONAI ``smooth_nr`` is added to TP TN - FP FN, and ``smooth_dr`` to the product under the
root.
"""

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), {}, smooth_nr=0.0)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.smoothed_matthews_correlation_error(s, self.smooth_pair)

    def unreduced(self, table: Tensor, batch: Batch) -> Tensor:
        return self.columns(table, batch)


class WassersteinConvention(TableConvention):
    """MONAI's takes raw scores and class indices, and has words of its own."""

    note = f"""\
In MONAI
--------
{CALL}
A target of one channel, or ``(B, *S)``, holds class indices, whatever ``to_onehot_y`` says. With
``reduction="none"`` the value has shape ``(B,)``, or ``(1,)`` with ``batch=True``.

In place of ``activation``, ``class_weight``, ``per_image``, ``smooth``, ``distances`` and
``weighting``:
{TO_ONEHOT}\
    sigmoid, softmax, other_act: softmax, unless ``other_act`` makes probabilities of the input.
{IGNORE}{WEIGHT}\
    batch: whether the sums go over the batch, or over each image.
    smooth_nr, smooth_dr: what is added to numerator and denominator, >= 0.
    dist_matrix: the distances M, ``(C, C)``.
    weighting_mode: "default" or "GDL".
"""
    foreign_words: ClassVar[Mapping[str, str]] = {
        **MonaiConvention.foreign_words,
        "distances": "say 'dist_matrix', as MONAI's generalized Wasserstein Dice loss",
        "weighting": "say 'weighting_mode', as MONAI's generalized Wasserstein Dice loss",
    }
    usual_activation: ClassVar[Activation | None] = "softmax"
    words: ClassVar[Mapping[str, str]] = {
        "distances": "dist_matrix",
        "weighting": "weighting_mode",
    }
    weighting_mode = alias("weighting")

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), cls.words, to_onehot_y=True)

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        validation.one_of("weighting_mode", arguments["weighting_mode"], ("default", "GDL"))
        validation.distance_matrix(arguments["dist_matrix"], "dist_matrix")
        return super().translate(told(arguments, cls.words), core)

    def forward(
        self, input: Tensor, target: Tensor, mask: Tensor | None = None, **beside: Any
    ) -> Tensor:
        target = inputs.plain("target", target)
        if isinstance(input, Tensor) and target.ndim == input.ndim - 1:
            target = target.unsqueeze(1)
        return super().forward(input, target, mask, **beside)

    def _expects_indices(self, input: Tensor, target: Tensor) -> bool:
        return target.ndim == input.ndim and target.shape[1] == 1 < input.shape[1]

    def unreduced(self, table: Tensor, batch: Batch) -> Tensor:
        return table.flatten()


# -------------------------------------------------------------------------------- voxels


def focal_channels(
    loss: SegmentationLoss, batch: Batch, gamma: float, alpha: float | Tensor | None
) -> Tensor:
    """``(B, C, *S)``: the focal loss of every class by itself, weighted by class."""
    log_p, target = batch.log_probabilities, batch.dense_target
    if batch.one_vs_rest:
        values = F.binary_focal(log_p, batch.log_complements, target, gamma, alpha)
    else:
        if isinstance(alpha, float):
            others = (alpha,) * (batch.num_classes - 1)
            alpha = log_p.new_tensor((1 - alpha, *others))
        # whoever isn't of the class costs nothing: its logarithm is that of 1
        values = F.binary_focal(log_p, torch.zeros_like(log_p), target, gamma, alpha)
    factors = loss.class_factors(batch)
    return values if factors is None else values * beside_classes(factors, values)


def alpha_for_all(loss: MonaiConvention, alpha: Tensor | None, like: Tensor) -> Tensor | None:
    """The alpha of every class, of an excluded background 0."""
    if alpha is not None and loss.for_foreground(len(alpha), like.shape[1]):
        return torch.nn.functional.pad(alpha, (1, 0))
    return alpha


def means_of_channels(values: Tensor, batch: Batch) -> Tensor:
    """``(B, C)``: the mean over the voxels of every image, by their weights; 0 of none."""
    if batch.weight is None:
        return values.flatten(2).mean(2)
    weight = batch.weight.unsqueeze(1)
    mass = weight.flatten(2).sum(2)
    total = (values * weight).flatten(2).sum(2)
    return total / torch.where(mass > 0, mass, 1.0)


class FocalConvention(PixelConvention):
    """MONAI's focal loss takes raw scores, has a word of its own for softmax, and a mean of all."""

    note = f"""\
In MONAI
--------
{CALL} As in MONAI the mean is over voxels and channels, also with softmax, where the core sums
over the channels; ``reduction="sum"`` adds the means over the voxels of each image and class;
``"none"`` has shape ``(B, C, *S)``, without an excluded background.

In place of ``activation`` and ``class_weight``:
{TO_ONEHOT}\
    use_softmax: True for softmax, False for sigmoid; None for the word that is said, or sigmoid.
    sigmoid, softmax, other_act: the same in other words; ``other_act`` makes probabilities.
{IGNORE}{WEIGHT}\
    alpha: a number in [0, 1], or C numbers >= 0, or C - 1 with ``include_background=False``.
"""
    usual_activation: ClassVar[Activation | None] = "sigmoid"

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = dict(super().constructor_parameters(core))
        words["use_softmax"] = keyword("use_softmax", None, "bool | None")
        return words

    @classmethod
    def chosen_activation(cls, arguments: Mapping[str, Any]) -> Activation:
        use_softmax = arguments["use_softmax"]
        validation.optional(validation.flag, "use_softmax", use_softmax)
        if use_softmax is None:
            return super().chosen_activation(arguments)
        meant, other = ("softmax", "sigmoid") if use_softmax else ("sigmoid", "softmax")
        for word in (other, "other_act"):
            if arguments[word]:
                raise ValueError(
                    f"use_softmax={use_softmax} contradicts {word}={arguments[word]!r}"
                )
        return super().chosen_activation({**arguments, meant: True})

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        words = super().translate(arguments, core)
        alone = isinstance(words["alpha"], (int, float)) and not words["include_background"]
        if alone and words["activation"] == "softmax":
            raise ValueError(
                "alpha of exclusive classes weighs the background against the others, which"
                " include_background=False leaves out (MONAI ignores alpha there): leave it out, or"
                " give a number for every class"
            )
        return words

    def numbers(self, name: str, like: Tensor) -> Tensor | None:
        found = super().numbers(name, like)
        return alpha_for_all(self, found, like) if name == "alpha" else found

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        if reduction == "mean":
            mean = super().reduced(batch, reduction, statistics)
            return mean if batch.one_vs_rest else mean / self.num_included(batch)
        return reduced_channels(self, self.channels(batch), batch, reduction)

    def channels(self, batch: Batch) -> Tensor:
        """``(B, C, *S)``, as :func:`focal_channels`."""
        return focal_channels(self, batch, self.gamma, alpha_in(self, batch))


def reduced_channels(
    loss: SegmentationLoss, values: Tensor, batch: Batch, reduction: Reduction
) -> Tensor:
    """Values ``(B, C, *S)`` as MONAI's focal loss adds them up, or leaves them."""
    values = values[:, batch.num_classes - loss.num_included(batch) :]
    if reduction == "sum":
        return means_of_channels(values, batch).sum()
    return values if batch.weight is None else values * batch.weight.unsqueeze(1)


class DistanceConvention(MonaiConvention):
    """Losses of distances, which MONAI reduces to a value for every class of an image."""

    note = f"""\
In MONAI
--------
{CALL} With ``reduction="none"`` the value has shape ``(B, C)``, or ``(C,)`` with ``batch=True``,
without an excluded background; ``"sum"`` adds these.

In place of ``activation`` and ``class_weight``:
{TO_ONEHOT}{ACTIVATIONS}{IGNORE}{WEIGHT}\
    batch: whether unreduced values, and those that "sum" adds, are means over the batch.
"""

    batch: bool

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = dict(super().constructor_parameters(core))
        words["batch"] = keyword("batch", False, "bool")
        return words

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        self.batch = validation.flag("batch", arguments["batch"])

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        if reduction == "mean":
            return super().reduced(batch, reduction, statistics)
        values, factors = self.priced(batch), self.class_factors(batch)
        included = self.num_included(batch)
        values = values[:, values.shape[1] - included :]
        means = means_of_channels(values, batch)
        if factors is not None:
            means = means * factors[batch.num_classes - included :]
        if self.batch:
            means = means.mean(0, keepdim=True)
        return means.sum() if reduction == "sum" else self.unreduced(means, batch)

    def unreduced(self, means: Tensor, batch: Batch) -> Tensor:
        """Means ``(B, C)``, or ``(1, C)``, as MONAI's boundary loss returns them."""
        return means[0] if self.batch else means


class BoundaryConvention(DistanceConvention):
    """MONAI's counts the background unless told otherwise."""

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), {}, include_background=True)


class SkeletonConvention(TableConvention):
    """Losses of thin structures: as MONAI's clDice they count the background unless told not to.

    MONAI's adds up all channels before it divides; here each class has its own ratios.
    """

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        return renamed(super().constructor_parameters(core), {}, include_background=True)


class HausdorffConvention(DistanceConvention):
    """Values keep the number of dimensions."""

    note = DistanceConvention.note.replace(
        "``(B, C)``, or ``(C,)``", "``(B, C, 1, …)``, or ``(1, C, 1, …)``"
    )

    def unreduced(self, means: Tensor, batch: Batch) -> Tensor:
        return means.reshape(*means.shape, *(1,) * (batch.logits.ndim - 2))


class LogHausdorffConvention(HausdorffConvention):
    """The logarithm is taken of MONAI's reductions."""

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        value = super().reduced(batch, reduction, statistics)
        # of the mean the loss itself has taken it
        return value if reduction == "mean" else value.log1p()


# ---------------------------------------------------------------------------------- sums


class SumConvention(TableConvention):
    """A Dice loss and one of voxels, whose activation MONAI doesn't leave to the user."""

    usual_activation: ClassVar[Activation | None] = None

    @abc.abstractmethod
    def voxel_activation(self, batch: Batch) -> Activation:
        """What makes probabilities of raw scores for the loss of voxels."""

    def features_of(self, raw: Tensor, features: Tensor | None) -> Tensor | None:
        """Beside probabilities of ``other_act`` the loss of voxels wants the raw scores."""
        return super().features_of(raw, features) if self.other_act is None else raw

    def for_voxels(self, batch: Batch) -> Batch:
        """The batch as the loss of voxels sees it."""
        if batch.activation != "identity":
            return batch.under(self.voxel_activation(batch))
        raw = batch.features
        if raw is None:
            raise ValueError(
                f"{type(self).__name__} wants raw scores beside the probabilities of other_act:"
                " it can't be a term of a CompoundLoss then, sum its two losses there"
            )
        return dataclasses.replace(
            batch,
            logits=raw.to(batch.logits.dtype),
            features=None,
            activation=self.voxel_activation(batch),
        )


class DiceCEConvention(SumConvention, DiceConvention):
    """The cross-entropy is of exclusive classes wherever there are several channels."""

    note = f"""{DiceConvention.note}
As in MONAI the cross-entropy is that of exclusive classes of the raw scores, also with
``sigmoid=True``, which then concerns the Dice part; with one channel it is the binary one. Its mean
divides by the weights that the voxels met, of a one-hot target by the number of voxels. With one
channel ``weight`` is what positives weigh in it.
"""
    foreign_words: ClassVar[Mapping[str, str]] = {
        **DiceConvention.foreign_words,
        "normalize": "as in MONAI the cross-entropy of class indices divides by the weights met",
        "pos_weight": "say 'weight': with one channel it is that of positives",
    }

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = super().constructor_parameters(core)
        return {n: p for n, p in words.items() if n not in ("normalize", "pos_weight")}

    def voxel_activation(self, batch: Batch) -> Activation:
        return "sigmoid" if batch.num_classes == 1 else "softmax"

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        batch = self.for_voxels(batch)
        if batch.num_classes > 1:
            return super().pixel_values(batch, s)
        if self.label_smoothing:
            raise ValueError(
                "label_smoothing is for exclusive classes, and MONAI ignores it with one channel:"
                " leave it out"
            )
        log_p, log_q = batch.log_probabilities, batch.log_complements
        positives = self.numbers("class_weight", batch.logits)
        if positives is not None and positives.numel() != 1:
            raise ValueError(
                "weight must be one number with one channel, that of positives, got"
                f" {positives.numel()}"
            )
        return F.binary_cross_entropy(log_p, log_q, batch.target, positives)[:, 0]

    def pixel_mass(self, batch: Batch) -> Tensor:
        factors = None if batch.num_classes == 1 else self.class_factors(batch, True)
        if factors is None or not batch.has_labels:
            return pixel_mass(batch)
        met = factors[batch.target]
        return (met if batch.weight is None else met * batch.weight).sum()


FOCAL_SUM = """
As in MONAI the focal loss asks a yes-or-no question a channel of the raw scores, also with
``softmax=True``, which then concerns the Dice part; ``include_background=False`` concerns both.
``reduction="sum"`` adds the means over voxels of every image and class, ``"none"`` has shape
``(B, C, *S)``.
"""


class FocalSumConvention(SumConvention):
    """The focal loss asks a question a channel, and leaves out what Dice leaves out."""

    @property
    def background_of_pixels(self) -> bool:
        return self.include_background

    def voxel_activation(self, batch: Batch) -> Activation:
        return "sigmoid"

    def numbers(self, name: str, like: Tensor) -> Tensor | None:
        found = super().numbers(name, like)
        return alpha_for_all(self, found, like) if name == "alpha" else found

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return super().pixel_values(self.for_voxels(batch), s)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        if reduction == "mean":
            return super().reduced(batch, reduction, statistics)
        s = self.statistics(batch, statistics)
        table = self.reduced_table(self.region_values(batch, s), self.counted(s), batch, reduction)
        seen = self.for_voxels(batch)
        values = focal_channels(self, seen, self.gamma, alpha_in(self, seen))
        on_region, on_voxels = self.shares
        return on_region * table + on_voxels * reduced_channels(self, values, seen, reduction)


class DiceFocalConvention(FocalSumConvention, DiceConvention):
    """With all the words of MONAI's Dice."""

    note = f"{DiceConvention.note}{FOCAL_SUM}"


class GeneralizedDiceFocalConvention(FocalSumConvention, GeneralizedDiceConvention):
    """Weights of classes are the focal loss's alone."""

    note = f"""{GeneralizedDiceConvention.note}{FOCAL_SUM}\
``weight`` concerns the focal loss alone.
"""

    def region_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return self.from_statistics(s, self.included(batch))


class UnifiedFocalConvention(TableConvention):
    """MONAI's ``weight`` is the share of the focal part."""

    note = f"""{table_note(weight=WEIGHT.replace(" weight:", " class_weight:"))}\
    weight: the share of the focal part in [0, 1], as in MONAI's AsymmetricUnifiedFocalLoss;
        ``focal_share`` in the core.
"""
    class_weight_word: ClassVar[str] = "class_weight"
    weight = alias("focal_share", lambda value: _share({"weight": value}))
    foreign_words: ClassVar[Mapping[str, str]] = {
        **without("class_weight", "soft_label"),
        "focal_share": "say 'weight', as MONAI's unified focal loss",
    }

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = dict(super().constructor_parameters(core))
        words["class_weight"] = words.pop("weight").replace(name="class_weight")
        return renamed(words, {"focal_share": "weight"})

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        share = _share(arguments)
        classes = weights_of_classes("class_weight", arguments["class_weight"])
        words = super().translate({**arguments, "focal_share": share, "weight": None}, core)
        return {**words, "class_weight": classes}


def _share(arguments: Mapping[str, Any]) -> float:
    """The share of the focal part."""
    try:
        return validation.number("weight", arguments["weight"], low=0.0, high=1.0)
    except ValueError as problem:
        raise ValueError(
            f"{problem}: it is the share of the focal part (weights of classes are 'class_weight',"
            " in UnifiedFocalLoss)"
        ) from None


class AsymmetricUnifiedFocalConvention(MonaiConvention):
    """MONAI's: of two classes, with half of the focal part, and one number."""

    note = f"""\
In MONAI
--------
{CALL}
There are two classes: two channels, or one for the foreground. As in MONAI's the focal part is the
mean over both, half of the sum that the core takes, and the value is one number whatever
``reduction`` says.

    weight: the share of the focal part in [0, 1].
{TO_ONEHOT}{ACTIVATIONS}{IGNORE}\
    num_classes: 2.
"""
    foreign_words: ClassVar[Mapping[str, str]] = without("class_weight")
    weight = alias("focal_share", lambda value: _share({"weight": value}))

    @classmethod
    def constructor_parameters(cls, core: Words) -> Words:
        words = super().constructor_parameters(core)
        kept = ("focal_share", "delta", "gamma", "reduction", "ignore_index")
        activations = ("to_onehot_y", "sigmoid", "softmax", "other_act")
        found = {name: words[name] for name in (*kept, *activations)}
        found["num_classes"] = keyword("num_classes", 2, "int")
        return renamed(found, {"focal_share": "weight"}, delta=0.7)

    @classmethod
    def translate(cls, arguments: dict[str, Any], core: Words) -> dict[str, Any]:
        share = _share(arguments)
        if validation.whole_number("num_classes", arguments["num_classes"]) != 2:
            raise ValueError(
                f"num_classes must be 2, got {arguments['num_classes']}: for more take"
                " UnifiedFocalLoss"
            )
        validation.one_of("reduction", arguments["reduction"], ("mean", "sum", "none"))
        given = {name: value for name, value in arguments.items() if name != "weight"}
        words = super().translate({**given, "focal_share": share}, core)
        # what MONAI adds to the index
        return {**words, "reduction": "mean", "smooth": 1e-7}

    @property
    def shares(self) -> tuple[float, float]:
        on_regions, on_voxels = super().shares
        return on_regions, on_voxels / 2

    def forward(
        self, y_pred: Tensor, y_true: Tensor, mask: Tensor | None = None, **beside: Any
    ) -> Tensor:
        """The loss, of arguments that MONAI's calls so."""
        return super().forward(y_pred, y_true, mask, **beside)

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        if batch.num_classes > 2:
            raise ValueError(
                f"y_pred must have one channel or two, got {batch.num_classes}: for more classes"
                " take UnifiedFocalLoss"
            )
        return super().value(batch, reduction=reduction, statistics=statistics)
