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
from metriseg.losses.pixel import (
    CrossEntropyLoss,
    FocalLoss,
    MimeLoss,
    NegativeMimeLoss,
    TopKLoss,
)
from metriseg.losses.region import DiceLoss, JaccardLoss, PowerJaccardLoss, TverskyLoss

__all__ = [
    "ComboLoss",
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceFocalLoss",
    "DiceLoss",
    "ExponentialLogarithmicLoss",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "SegmentationLoss",
    "TableLoss",
    "TopKLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]
