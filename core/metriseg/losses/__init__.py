"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.combination import (
    ComboLoss,
    DiceCELoss,
    DiceFocalLoss,
    ExponentialLogarithmicLoss,
    UnifiedFocalLoss,
)
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.generalized_dice import GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss
from metriseg.losses.pixel import CrossEntropyLoss, FocalLoss, MimeLoss, NegativeMimeLoss, TopKLoss
from metriseg.losses.region import (
    DiceLoss,
    FocalTverskyLoss,
    JaccardLoss,
    LogCoshDiceLoss,
    PowerDiceLoss,
    PowerJaccardLoss,
    SensitivitySpecificityLoss,
    TverskyLoss,
)
from metriseg.losses.wasserstein import GeneralizedWassersteinDiceLoss

__all__ = [
    "ComboLoss",
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceFocalLoss",
    "DiceLoss",
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
    "PixelLoss",
    "PowerDiceLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "SegmentationLoss",
    "SensitivitySpecificityLoss",
    "TableLoss",
    "TopKLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]
