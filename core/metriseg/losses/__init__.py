"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.inverse_form import InverseFormLoss
from metriseg.losses.pixel import CrossEntropyLoss, FocalLoss, MimeLoss, NegativeMimeLoss
from metriseg.losses.region import DiceLoss, JaccardLoss, PowerJaccardLoss, TverskyLoss

__all__ = [
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "InverseFormLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "SegmentationLoss",
    "TableLoss",
    "TverskyLoss",
]
