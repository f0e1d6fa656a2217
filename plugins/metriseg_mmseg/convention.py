"""How MMSegmentation builds and calls a loss."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from mmengine.logging import MessageHub
from torch import Tensor

from metriseg import Batch, Convention, RegionStatistics, SegmentationLoss, TableLoss, validation
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.options import Reduction
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
    loss_weight: a number >= 0 that multiplies the value.
    loss_name: what the log calls it, beginning with ``loss_``; None for the stock name."""


class MMSegConvention(Convention):
    """MMSegmentation's words and its way to call a loss."""

    note = f"""\
In MMSegmentation
-----------------
{_CALL}

Losses with the words ``per_image`` and ``classes`` take the batch as one image
(``per_image=False``) and average the classes that are there (``classes="present"``), unless told
otherwise. Losses of regions have no value a pixel and refuse ``reduction="none"``.

Further arguments:
    activation: None takes sigmoid for one output channel and softmax for more.
    use_sigmoid: True for ``activation="sigmoid"``, False for "softmax"; None leaves it open.
{_WORDS}
"""

    foreign_words: ClassVar[Mapping[str, str]] = {
        "ignore_index": "it is an argument of the head, which passes it on at every call",
        "avg_non_ignore": "the mean is always over the pixels that are not ignored",
        "activate": "say activation='identity' where the head's output is probabilities already",
        "naive_dice": "the sums are always plain; PowerJaccardLoss(power=2) has the squared ones",
        "eps": "say 'smooth'",
        "use_mask": "that is for mask heads; use_sigmoid=True makes every class a question of its"
        " own",
    }

    loss_weight: float
    _loss_name: str

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = {name: word for name, word in core.items() if name != "ignore_index"}
        for name, default in (("classes", "present"), ("per_image", False), ("activation", None)):
            if name in words:
                words[name] = words[name].replace(default=default)
        if "activation" in words:
            words["activation"] = words["activation"].replace(annotation="Activation | None")
            words["use_sigmoid"] = keyword("use_sigmoid", None, "bool | None")
        words["loss_weight"] = keyword("loss_weight", 1.0, "float")
        words["loss_name"] = keyword("loss_name", None, "str | None")
        return words

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = {name: value for name, value in arguments.items() if name in core}
        if "activation" in words:
            # The core wants one of its words even where the number of channels will decide.
            words["activation"] = _activation(arguments) or core["activation"].default
        if isinstance(words.get("network"), Mapping):
            words["network"] = MODELS.build(words["network"])
        return words

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        if "activation" in arguments:
            self.activation = _activation(arguments)
        self.loss_weight = validation.number("loss_weight", arguments["loss_weight"], low=0.0)
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
            weight: ``(N, *S)`` >= 0, or None.
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
        weight, maps = with_carried(self, pred, weight, maps)
        value = self.compute(
            pred,
            target,
            weight=weight,
            maps=maps,
            features=features,
            activation=self._activation_for(pred),
            ignore_index=None if _is_soft(pred, target) else ignore_index,
            reduction="sum" if divided else reduction_override,
        )
        return value / (avg_factor + AVG_FACTOR_MARGIN) if divided else value

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        return self.loss_weight * super().value(batch, reduction=reduction, statistics=statistics)

    def _activation_for(self, pred: Tensor) -> Activation:
        usual: Activation = "sigmoid" if pred.shape[1] == 1 else "softmax"
        return self.activation or self.fitting_activation(usual)

    def _refuse_pixel_values_of_tables(self, override: Reduction | None) -> None:
        for loss in self.modules():
            if isinstance(loss, TableLoss) and (override or loss.reduction) == "none":
                raise ValueError(
                    f"reduction='none' asks for a value a pixel, and {type(loss).__name__} has"
                    " none: it is a value a class or an image (OHEMPixelSampler needs losses of"
                    " pixels, or a 'thresh')"
                )


class CompoundConvention(MMSegConvention):
    """Terms come from the config, schedules count iterations, every term is logged."""

    note = f"""\
In MMSegmentation
-----------------
{_CALL}

``terms`` are losses or their configs, ``[dict(type='metriseg_mmseg.DiceLoss', …), …]``.
Schedules count training iterations. The log shows every term as ``<loss_name>_<term>``, with
all its weights; two compound losses in one model want different names.

Further arguments:
{_WORDS}
"""

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = super().translate(arguments, core)
        terms = words["terms"]
        if not isinstance(terms, (list, tuple)):
            raise ValueError(f"terms must be a list of losses or of their configs, got {terms!r}")
        return {**words, "terms": [_term(term) for term in terms]}

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        # each term has its own, or what the number of channels says
        self.activation = None

    def current_step(self) -> int:
        return int(MessageHub.get_current_instance().get_info("iter", self.step))

    def report(self, values: Mapping[str, Tensor]) -> None:
        if not self.training:
            return
        log = MessageHub.get_current_instance()
        for name, value in values.items():
            # A pixel sampler's look at the loss of every pixel is no step of the training.
            if value.ndim == 0:
                log.update_scalar(
                    f"train/{self.loss_name}_{name}", self.loss_weight * value.detach()
                )


def _activation(arguments: Mapping[str, Any]) -> Activation | None:
    """What ``activation`` and ``use_sigmoid`` say together; None where both leave it open."""
    activation, use_sigmoid = arguments["activation"], arguments["use_sigmoid"]
    if use_sigmoid is None:
        return activation
    validation.optional(validation.flag, "use_sigmoid", use_sigmoid)
    meant: Activation = "sigmoid" if use_sigmoid else "softmax"
    if activation not in (None, meant):
        raise ValueError(f"use_sigmoid={use_sigmoid} contradicts activation={activation!r}")
    return meant


def _term(term: Any) -> SegmentationLoss:
    return MODELS.build(term) if isinstance(term, Mapping) else term


def _is_soft(pred: Tensor, target: Tensor) -> bool:
    return isinstance(target, Tensor) and (target.is_floating_point() or target.shape == pred.shape)
