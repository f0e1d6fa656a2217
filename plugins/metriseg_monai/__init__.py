"""The losses of metriseg in MONAI: ``{"_target_": "metriseg_monai.PowerJaccardLoss", …}``."""

from __future__ import annotations

from typing import Any

from metriseg_monai import losses
from metriseg_monai.losses import (
    ActiveContourLoss,
    BoundaryAwareLoss,
    BoundaryDoULoss,
    BoundaryLoss,
    CenterLoss,
    ComboLoss,
    CompoundLoss,
    ConditionalBoundaryLoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceFocalLoss,
    DiceLoss,
    DistanceMapCrossEntropyLoss,
    ExponentialLogarithmicLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    GeneralizedWassersteinDiceLoss,
    JaccardLoss,
    LogCoshDiceLoss,
    MimeLoss,
    NegativeMimeLoss,
    PenaltyGeneralizedDiceLoss,
    PowerDiceLoss,
    PowerJaccardLoss,
    RegionMutualInformationLoss,
    RegionWiseLoss,
    RobustTLoss,
    SensitivitySpecificityLoss,
    TopKLoss,
    TripletLoss,
    TverskyLoss,
    UnifiedFocalLoss,
)

__all__ = [
    "ActiveContourLoss",
    "BoundaryAwareLoss",
    "BoundaryDoULoss",
    "BoundaryLoss",
    "CenterLoss",
    "ComboLoss",
    "CompoundLoss",
    "ConditionalBoundaryLoss",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceFocalLoss",
    "DiceLoss",
    "DistanceMapCrossEntropyLoss",
    "ExponentialLogarithmicLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "GeneralizedWassersteinDiceLoss",
    "JaccardLoss",
    "LogCoshDiceLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PenaltyGeneralizedDiceLoss",
    "PowerDiceLoss",
    "PowerJaccardLoss",
    "RegionMutualInformationLoss",
    "RegionWiseLoss",
    "RobustTLoss",
    "SensitivitySpecificityLoss",
    "TopKLoss",
    "TripletLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]


def __getattr__(name: str) -> Any:
    return getattr(losses, name)
