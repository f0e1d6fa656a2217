"""Names of MONAI's own losses that the catalogue has under another."""

from __future__ import annotations

import metriseg as core
from metriseg_monai.counterparts import (
    AsymmetricUnifiedFocalConvention,
    DiceConvention,
    HausdorffConvention,
    LogHausdorffConvention,
    MatthewsConvention,
)

__all__ = [
    "AsymmetricUnifiedFocalLoss",
    "HausdorffDTLoss",
    "LogHausdorffDTLoss",
    "MCCLoss",
    "MaskedDiceLoss",
]

MaskedDiceLoss = core.binder(DiceConvention, __name__)(core.DiceLoss, name="MaskedDiceLoss")
HausdorffDTLoss = core.binder(HausdorffConvention, __name__)(
    core.HausdorffDistanceTransformLoss, name="HausdorffDTLoss"
)
LogHausdorffDTLoss = core.binder(LogHausdorffConvention, __name__)(
    core.LogHausdorffDistanceTransformLoss, name="LogHausdorffDTLoss"
)
MCCLoss = core.binder(MatthewsConvention, __name__)(core.MatthewsCorrelationLoss, name="MCCLoss")
AsymmetricUnifiedFocalLoss = core.binder(AsymmetricUnifiedFocalConvention, __name__)(
    core.UnifiedFocalLoss, name="AsymmetricUnifiedFocalLoss"
)
