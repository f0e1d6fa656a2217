"""How MMSegmentation builds and calls a loss."""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from mmengine.logging import MessageHub
from mmseg.models.losses.utils import get_class_weight
from torch import Tensor

from metriseg import Batch, Convention, RegionStatistics, SegmentationLoss, TableLoss, validation
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.catalogue import CATALOGUE
from metriseg.losses.schedules import schedule
from metriseg.options import Classes, Reduction
from metriseg.reduction import pixel_mass
from metriseg_mmseg.carried import with_carried
from metriseg_mmseg.registry import MODELS

#: Names in MMSegmentation's logs that don't follow from the name of the loss.
STOCK_NAMES = {"cross_entropy": "loss_ce"}

#: Added to ``avg_factor``, which is zero where everything is ignored.
AVG_FACTOR_MARGIN = torch.finfo(torch.float32).eps

_CALL = """\
In a head it is called as ``loss(pred, target, weight=None, avg_factor=None,
reduction_override=None, ignore_index=255)`` with raw logits ``(N, C, H, W)`` and labels
``(N, H, W)``, or soft labels ``(N, C, H, W)``. ``ignore_index`` is an argument of the head, not of
the loss; None counts every pixel."""

_WORDS = """\
    loss_weight: a number >= 0 that multiplies the value, or a schedule of it
        (``dict(schedule="linear", start=1.0, end=0.1, steps=10000)``, in iterations, or with
        ``by_epoch=True`` in epochs), which the log shows as ``<loss_name>_weight``.
    loss_name: what the log calls it, beginning with ``loss_``; None for the stock name."""


class MMSegConvention(Convention):
    """MMSegmentation's words and its way to call a loss."""

    note = f"""\
In MMSegmentation
-----------------
{_CALL}

Losses with the words ``per_image`` and ``classes`` take the batch as one image
(``per_image=False``), unless told otherwise. Losses of regions have no value a pixel and refuse
``reduction="none"``. What a sampler gives as ``weight`` multiplies, as in the stock losses: the
mean of a loss of pixels divides by the number of pixels that aren't ignored.

Further arguments:
    activation: None takes sigmoid for one output channel and softmax for more.
    use_sigmoid: True for ``activation="sigmoid"``, False for "softmax"; None leaves it open.
    classes: None averages the classes that are there, of one output channel the foreground whether
        it is there or not.
    class_weight: a list, or a file that holds one; with one output channel two numbers, of
        background and foreground, in losses of pixels.
{_WORDS}
"""

    advice: ClassVar[str] = (
        ". MMEngine merges a loss's dict into the one that the config inherits: if the word is from"
        " there, say _delete_=True beside 'type'"
    )
    without_effect: ClassVar[Mapping[str, Any]] = {
        "avg_non_ignore": True,
        "use_mask": False,
        "activate": True,
        "naive_dice": True,
    }
    foreign_words: ClassVar[Mapping[str, str]] = {
        "ignore_index": "it is an argument of the head, which passes it on at every call",
        "avg_non_ignore": "the mean is always over the pixels that are not ignored",
        "activate": "say activation='identity' where the head's output is probabilities already",
        "naive_dice": "the sums are always plain; PowerDiceLoss(power=2) has the squared ones",
        "eps": "say 'smooth'",
        "thres": "say 'threshold', in TopKLoss",
        "thresh": "say 'threshold', in TopKLoss",
        "ignore_label": "it is an argument of the head, 'ignore_index'",
        "loss_type": "'multi_class' is LovaszSoftmaxLoss, 'binary' is LovaszHingeLoss",
        "use_mask": "that is for mask heads; use_sigmoid=True makes every class a question of its"
        " own",
    }

    _loss_name: str
    #: What stands before the name in the log: the hook of this package says which head it is.
    log_prefix: str = ""

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = {name: word for name, word in core.items() if name != "ignore_index"}
        for name, default in (("classes", None), ("per_image", False), ("activation", None)):
            if name in words:
                words[name] = words[name].replace(default=default)
        if "normalize" in words and words["normalize"].default == "pixels":
            words["normalize"] = words["normalize"].replace(default="weights")
        if "classes" in words:
            words["classes"] = words["classes"].replace(annotation="Classes | None")
        if "class_weight" in words:
            annotation = "Sequence[float] | Tensor | str | None"
            words["class_weight"] = words["class_weight"].replace(annotation=annotation)
        if "activation" in words:
            words["activation"] = words["activation"].replace(annotation="Activation | None")
            words["use_sigmoid"] = keyword("use_sigmoid", None, "bool | None")
        words["loss_weight"] = keyword("loss_weight", 1.0, "float | Mapping[str, Any]")
        words["loss_name"] = keyword("loss_name", None, "str | None")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = {name: value for name, value in arguments.items() if name in core}
        if "activation" in words:
            # The core wants one of its words even where the number of channels will decide.
            chosen = _activation(arguments) or core["activation"].default
            if arguments["use_sigmoid"] is False and "softmax" not in cls.activations:
                raise ValueError(
                    f"use_sigmoid=False asks for softmax, and {cls.__name__} is of yes-or-no"
                    f" questions: leave it out{cls.advice}"
                )
            words["activation"] = chosen
        if words.get("classes", "") is None:
            words["classes"] = "present"
        if isinstance(words.get("class_weight"), str):
            words["class_weight"] = _weights_of_file(words["class_weight"])
        if isinstance(words.get("network"), Mapping):
            words["network"] = MODELS.build(words["network"])
        if "loss" in words:
            words["loss"] = _term(words["loss"], "loss")
        return words

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        if "activation" in arguments:
            self.activation = _activation(arguments)
        self.loss_weight = arguments["loss_weight"]
        self._classes_are_open = arguments.get("classes", "") is None
        name = arguments["loss_name"]
        if name is None:
            name = STOCK_NAMES.get(self.name, f"loss_{self.name}")
        if not (isinstance(name, str) and name.startswith("loss_")):
            raise ValueError(
                "loss_name must be a string that begins with 'loss_' (MMEngine would log the loss"
                f" but not train with it), got {name!r}"
            )
        self._loss_name = name

    @property
    def loss_weight(self) -> float:
        """What multiplies the value, in this iteration."""
        if not isinstance(self._weight, Scheduled):
            return self._weight
        return validation.number("loss_weight: what its schedule gives", self._weight(0), low=0.0)

    @loss_weight.setter
    def loss_weight(self, given: Any) -> None:
        if isinstance(given, Mapping):
            self._weight: float | Scheduled = Scheduled(given)
        else:
            self._weight = validation.number("loss_weight", given, low=0.0)

    @property
    def loss_name(self) -> str:
        """The key of the value in the head's dictionary of losses."""
        return self._loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
        ignore_index: int | None = 255,
        *,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss as a head of MMSegmentation asks for it.

        Args:
            pred: logits ``(N, C, *S)``, any floating dtype.
            target: labels ``(N, *S)``, or soft labels ``(N, C, *S)``; with one channel also
                ``(N, *S)`` floats.
            weight: ``(N, *S)`` >= 0, or None; or of classes, ``(N, C, *S)`` or ``(N, C)``, which
                the mean then divides by.
            avg_factor: what to divide the sum by, in place of the mean.
            reduction_override: "mean", "sum" or "none" in place of the loss's own.
            ignore_index: the label of the pixels that don't count, or None. Soft labels have no
                such label: there a weight of 0 ignores.
            maps: what a loader has computed beforehand, by name; ``"instances"`` ``(N, *S)``.
            features: embeddings ``(N, D, *S)``, for the losses that look at them.

        Raises:
            ValueError: for tensors of the wrong shape, type or range, for a reduction that the
                loss doesn't have, and for ``avg_factor`` with the reduction "sum".
        """
        validation.one_of("reduction_override", reduction_override, (None, "mean", "sum", "none"))
        reduction = reduction_override or self.reduction
        if avg_factor is not None and reduction == "sum":
            raise ValueError("avg_factor replaces the mean: it can't be used with reduction='sum'")
        divided = avg_factor is not None and reduction == "mean"
        self._refuse_pixel_values_of_tables(reduction_override)
        validation.logits_shape(pred)
        self._refuse_points_without_neighbours(pred)
        weight, maps = with_carried(self, pred, weight, maps)
        ignored = None if _is_soft(pred, target) else ignore_index
        value = self.compute(
            pred,
            target,
            weight=weight,
            maps=maps,
            features=features,
            counted=_counted(pred, target, ignored, weight),
            activation=self._activation_for(pred),
            ignore_index=ignored,
            reduction="sum" if divided else reduction_override,
        )
        if isinstance(self._weight, Scheduled) and self.training:
            self._log(f"{self.loss_name}_weight", self.loss_weight)
        return value / (avg_factor + AVG_FACTOR_MARGIN) if divided else value

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        return self.loss_weight * super().value(batch, reduction=reduction, statistics=statistics)

    def classes_among(self, num_classes: int) -> Classes:
        # a lone channel that is left out where there is no foreground would cost nothing there
        return "all" if self._classes_are_open and num_classes == 1 else self.classes

    def _log(self, name: str, value: float | Tensor) -> None:
        MessageHub.get_current_instance().update_scalar(f"train/{self.log_prefix}{name}", value)

    def _activation_for(self, pred: Tensor) -> Activation:
        usual: Activation = "sigmoid" if pred.shape[1] == 1 else "softmax"
        return self.activation or self.fitting_activation(usual)

    def _refuse_points_without_neighbours(self, pred: Tensor) -> None:
        if pred.ndim > 3:
            return
        for loss in self.modules():
            entry = CATALOGUE.get(type(loss).__name__)
            if entry is not None and entry.spatial:
                raise ValueError(
                    f"{entry.name} looks at the neighbours of a pixel, and points that are sampled,"
                    f" (N, C, P) = {tuple(pred.shape)}, have none: choose another for this head"
                )

    def _refuse_pixel_values_of_tables(self, override: Reduction | None) -> None:
        for loss in self.modules():
            if isinstance(loss, TableLoss) and (override or loss.reduction) == "none":
                raise ValueError(
                    f"reduction='none' asks for a value a pixel, and {type(loss).__name__} has"
                    " none: it is a value a class or an image (OHEMPixelSampler needs losses of"
                    " pixels, or a 'thresh'; the stock LovaszLoss calls its mean 'none': leave it"
                    " out)"
                )


class CrossEntropyConvention(MMSegConvention):
    """MMSegmentation hands the one class weight of one output channel to torch as pos_weight."""

    note = f"""{MMSegConvention.note}
As in the stock loss the mean under ``class_weight`` divides by the weights that the pixels met
(``normalize="weights"``), and one class weight for one output channel is that of positives.
"""

    def label_weight(self, batch: Batch) -> Tensor | None:
        positives = self._of_positives(batch)
        if positives is None:
            return super().label_weight(batch)
        return torch.lerp(torch.ones_like(positives), positives, batch.target[:, 0])

    def mass(self, batch: Batch) -> Tensor:
        return super().mass(batch) if self._of_positives(batch) is None else pixel_mass(batch)

    def _of_positives(self, batch: Batch) -> Tensor | None:
        """``(1,)``, where a lone channel has a lone weight."""
        if batch.num_classes > 1:
            return None
        weight = self.numbers("class_weight", batch.logits)
        return weight if weight is not None and weight.numel() == 1 else None


class CompoundConvention(MMSegConvention):
    """Terms come from the config, schedules count iterations, every term is logged."""

    note = f"""\
In MMSegmentation
-----------------
{_CALL}

``terms`` are losses or their configs, ``[dict(type='metriseg_mmseg.DiceLoss', …), …]``.
Schedules count training iterations, or with ``by_epoch=True`` in them epochs. The log shows every
term as ``<loss_name>_<term>``, with all its weights, and what schedules give as
``<loss_name>_<term>_weight``. A second compound loss of the same name, in an auxiliary head say,
logs as ``<loss_name>_2_…``; ``metriseg_mmseg.LossHook`` puts the head before the name instead.

Further arguments:
    use_sigmoid: of the terms that don't say it themselves; None leaves it open.
{_WORDS}
"""

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = dict(super().constructor_parameters(core))
        words["use_sigmoid"] = keyword("use_sigmoid", None, "bool | None")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = super().translate(arguments, core)
        terms = words["terms"]
        if not isinstance(terms, (list, tuple)):
            raise ValueError(f"terms must be a list of losses or of their configs, got {terms!r}")
        weights = words["weights"]
        if isinstance(weights, (list, tuple)):
            weights = [Scheduled(w) if isinstance(w, Mapping) else w for w in weights]
        return {**words, "terms": [_term(term, "terms") for term in terms], "weights": weights}

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        # each term has its own, or this, or what the number of channels says
        self.activation = _activation({**arguments, "activation": None})

    def current_step(self) -> int:
        return int(MessageHub.get_current_instance().get_info("iter", self.step))

    def report(self, values: Mapping[str, Tensor]) -> None:
        if not self.training:
            return
        # a pixel sampler's look at the loss of every pixel is no step of the training
        scalars = {name: value for name, value in values.items() if value.ndim == 0}
        if not scalars:
            return
        name = self._name_in_log()
        for term, value in scalars.items():
            self._log(f"{name}_{term}", self.loss_weight * value.detach())
        for term, weight in zip(self.term_names, self.weights, strict=True):
            if isinstance(weight, Scheduled):
                self._log(f"{name}_{term}_weight", weight(self.current_step()))

    def _name_in_log(self) -> str:
        """The name, with a number behind it where another of this training has it already."""
        if self.log_prefix:
            return self.loss_name
        hub = MessageHub.get_current_instance().instance_name
        known = _IN_LOG.setdefault(self, {})
        if (hub, self.loss_name) not in known:
            taken = {
                number
                for other, numbers in _IN_LOG.items()
                for (where, name), number in numbers.items()
                if other is not self and (where, name) == (hub, self.loss_name)
            }
            known[hub, self.loss_name] = next(n for n in itertools.count(1) if n not in taken)
        number = known[hub, self.loss_name]
        return self.loss_name if number == 1 else f"{self.loss_name}_{number}"


#: The numbers of compound losses, by training and name.
_IN_LOG: weakref.WeakKeyDictionary[CompoundConvention, dict[tuple[str, str], int]] = (
    weakref.WeakKeyDictionary()
)


class Scheduled:
    """A weight that moves with the training: a schedule of the core, in iterations or epochs.

    Args:
        given: a schedule's mapping, ``dict(schedule="linear", …)``, which may say ``by_epoch``.

    Raises:
        ValueError: for a mapping that is no schedule.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = dict(given)
        words = dict(given)
        self.by_epoch = validation.flag("by_epoch", words.pop("by_epoch", False))
        self.schedule = schedule(words)

    def __call__(self, step: int) -> float:
        """The weight now; ``step`` stands in where no training counts."""
        unit = "epoch" if self.by_epoch else "iter"
        return self.schedule(int(MessageHub.get_current_instance().get_info(unit, step)))

    def __repr__(self) -> str:
        return repr(self.given)


def _activation(arguments: Mapping[str, Any]) -> Activation | None:
    """What ``activation`` and ``use_sigmoid`` say together; None where both leave it open."""
    activation, use_sigmoid = arguments["activation"], arguments["use_sigmoid"]
    if use_sigmoid is None:
        return activation
    validation.optional(validation.flag, "use_sigmoid", use_sigmoid)
    meant: Activation = "sigmoid" if use_sigmoid else "softmax"
    if activation not in (None, meant):
        raise ValueError(
            f"use_sigmoid={use_sigmoid} contradicts activation={activation!r}"
            f"{MMSegConvention.advice}"
        )
    return meant


def _weights_of_file(name: str) -> Any:
    """Class weights as MMSegmentation reads them."""
    try:
        return get_class_weight(name)
    except (OSError, TypeError, ValueError) as problem:
        raise ValueError(f"class_weight: the file {name} can't be read: {problem}") from problem


def _term(term: Any, word: str) -> SegmentationLoss:
    """A loss within another, under that word: as it is, or from its config."""
    if not isinstance(term, Mapping):
        return term
    name = term.get("type")
    if isinstance(name, str) and name in MODELS.module_dict:
        raise ValueError(
            f"{word}: type={name!r} is the stock loss of that name, and losses within a loss are"
            f" metriseg's: say type='metriseg_mmseg.{name}'"
        )
    return MODELS.build(term)


def _counted(
    pred: Tensor, target: Tensor, ignore_index: int | None, weight: Tensor | None
) -> Tensor | None:
    """``(N, *S)``: 1 for every pixel that isn't ignored, whatever a sampler makes of it.

    None without a weight, and for one of classes, which says itself what counts.
    """
    pixels = (pred.shape[0], *pred.shape[2:])
    if weight is None or (
        tuple(weight.shape) != pixels and weight.shape in (pred.shape, pred.shape[:2])
    ):
        return None
    if ignore_index is None:
        return pred.new_ones((pred.shape[0], *pred.shape[2:]))
    return (target != ignore_index).to(pred.dtype)


def _is_soft(pred: Tensor, target: Tensor) -> bool:
    return isinstance(target, Tensor) and (target.is_floating_point() or target.shape == pred.shape)
