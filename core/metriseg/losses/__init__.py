"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.generalized_dice import GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss
from metriseg.losses.pixel import CrossEntropyLoss, FocalLoss, MimeLoss, NegativeMimeLoss
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
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
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
    "TverskyLoss",
]
