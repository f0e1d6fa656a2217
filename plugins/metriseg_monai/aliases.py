"""Names of MONAI's own losses that the catalogue has under another, or as a sum."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

import metriseg as core
from metriseg import Batch, validation
from metriseg.losses.schedules import schedule
from metriseg.options import Reduction
from metriseg.reduction import nothing_of
from metriseg_monai.counterparts import (
    AsymmetricUnifiedFocalConvention,
    DiceConvention,
    HausdorffConvention,
    LogHausdorffConvention,
)
from metriseg_monai.losses import CompoundLoss, FocalLoss, GeneralizedDiceLoss

__all__ = [
    "AsymmetricUnifiedFocalLoss",
    "GeneralizedDiceFocalLoss",
    "HausdorffDTLoss",
    "LogHausdorffDTLoss",
    "MaskedDiceLoss",
]

MaskedDiceLoss = core.binder(DiceConvention, __name__)(core.DiceLoss, name="MaskedDiceLoss")
HausdorffDTLoss = core.binder(HausdorffConvention, __name__)(
    core.HausdorffDistanceTransformLoss, name="HausdorffDTLoss"
)
LogHausdorffDTLoss = core.binder(LogHausdorffConvention, __name__)(
    core.HausdorffDistanceTransformLoss, name="LogHausdorffDTLoss"
)
AsymmetricUnifiedFocalLoss = core.binder(AsymmetricUnifiedFocalConvention, __name__)(
    core.UnifiedFocalLoss, name="AsymmetricUnifiedFocalLoss"
)


class GeneralizedDiceFocalLoss(CompoundLoss):
    r"""Generalized Dice loss plus focal loss, as MONAI's of that name.

    .. math:: \ell = \lambda_{GDL}\, \ell_{GDL} + \lambda_{focal}\, \ell_{focal}

    with :class:`GeneralizedDiceLoss` and the :class:`FocalLoss` of yes-or-no questions, whatever
    the activation of the Dice part.

    Args:
        include_background: False leaves class 0 out of both.
        to_onehot_y: whether the target holds class indices.
        sigmoid: sigmoid probabilities in the Dice part.
        softmax: softmax probabilities in the Dice part; one of both must be True.
        w_type: "square", "simple" or "uniform", of the Dice part.
        reduction: "mean", "sum" or "none", then ``(B, C, *S)``.
        smooth_nr: added to the numerator of the Dice part, >= 0.
        smooth_dr: added to its denominator, >= 0.
        batch: whether the sums of the Dice part go over the batch.
        gamma: how fast the focal loss fades, >= 0.
        weight: of the classes, in the focal part.
        lambda_gdl: share of the generalized Dice loss, >= 0.
        lambda_focal: share of the focal loss, >= 0.
        ignore_index: label of the voxels that don't count.
        soft_label: True for a Dice part that is 0 where the prediction equals soft labels.
        other_act: None; it would be for the Dice part alone.

    Raises:
        ValueError: without an activation, for ``other_act``, and for what either loss refuses.

    Source: Sudre et al. 2017, arXiv:1707.03237; Lin et al. 2017, arXiv:1708.02002.
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        to_onehot_y: bool = False,
        sigmoid: bool = False,
        softmax: bool = False,
        other_act: Callable[[Tensor], Tensor] | None = None,
        w_type: str = "square",
        reduction: Reduction = "mean",
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        batch: bool = False,
        gamma: float = 2.0,
        weight: Sequence[float] | float | Tensor | None = None,
        lambda_gdl: float = 1.0,
        lambda_focal: float = 1.0,
        ignore_index: int | None = None,
        soft_label: bool = False,
        **idle: Any,
    ) -> None:
        given = {n: v for n, v in locals().items() if n not in ("self", "idle", "__class__")}
        for word, value in idle.items():
            if word not in self.without_effect or value is not self.without_effect[word]:
                validation.refuse_words(type(self).__name__, [word], given, self.foreign_words)
        if other_act is not None:
            raise ValueError(
                "other_act would be for the Dice part alone: say softmax=True or sigmoid=True"
            )
        if not (sigmoid or softmax):
            raise ValueError(
                "GeneralizedDiceFocalLoss needs softmax=True or sigmoid=True for its Dice part: its"
                " focal part takes raw scores"
            )
        shared = {
            "include_background": include_background,
            "to_onehot_y": to_onehot_y,
            "reduction": reduction,
            "ignore_index": ignore_index,
        }
        dice = GeneralizedDiceLoss(
            **shared,
            sigmoid=sigmoid,
            softmax=softmax,
            w_type=w_type,
            smooth_nr=smooth_nr,
            smooth_dr=smooth_dr,
            batch=batch,
            soft_label=soft_label,
        )
        super().__init__(
            [dice, FocalLoss(gamma, weight=weight, **shared)],
            [
                validation.number(name, given[name], low=0.0)
                for name in ("lambda_gdl", "lambda_focal")
            ],
        )
        self.include_background = include_background
        self._given = given

    @property
    def lambda_gdl(self) -> float:
        """Share of the generalized Dice loss."""
        return float(self.weights[0])

    @lambda_gdl.setter
    def lambda_gdl(self, value: float) -> None:
        self._share(0, "lambda_gdl", value)

    @property
    def lambda_focal(self) -> float:
        """Share of the focal loss."""
        return float(self.weights[1])

    @lambda_focal.setter
    def lambda_focal(self, value: float) -> None:
        self._share(1, "lambda_focal", value)

    def _share(self, term: int, name: str, value: float) -> None:
        self.weights[term] = validation.number(name, value, low=0.0)
        self._schedules[term] = schedule(self.weights[term])

    def added(self, values: Mapping[str, Tensor], batch: Batch) -> Tensor:
        # unreduced, a value an image stands beside one a voxel
        return sum(values.values(), start=nothing_of(batch.logits))


# what is spelt out and has no effect is no argument
GeneralizedDiceFocalLoss.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        word
        for word in inspect.signature(GeneralizedDiceFocalLoss).parameters.values()
        if word.kind is not inspect.Parameter.VAR_KEYWORD
    ]
)
