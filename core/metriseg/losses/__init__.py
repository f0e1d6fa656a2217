"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.boundary import (
    ActiveContourLoss,
    BoundaryAwareLoss,
    BoundaryDoULoss,
    BoundaryLoss,
    RegionWiseLoss,
)
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.pixel import (
    CrossEntropyLoss,
    DistanceMapCrossEntropyLoss,
    FocalLoss,
    MimeLoss,
    NegativeMimeLoss,
)
from metriseg.losses.region import DiceLoss, JaccardLoss, PowerJaccardLoss, TverskyLoss

__all__ = [
    "ActiveContourLoss",
    "BoundaryAwareLoss",
    "BoundaryDoULoss",
    "BoundaryLoss",
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "DistanceMapCrossEntropyLoss",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionWiseLoss",
    "SegmentationLoss",
    "TableLoss",
    "TverskyLoss",
]
