"""Segmentation losses as modules."""

from metriseg.losses.active_boundary import ActiveBoundaryLoss
from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.hausdorff import (
    HausdorffConvolutionLoss,
    HausdorffDistanceTransformLoss,
    HausdorffErosionLoss,
)
from metriseg.losses.pixel import CrossEntropyLoss, FocalLoss, MimeLoss, NegativeMimeLoss
from metriseg.losses.region import DiceLoss, JaccardLoss, PowerJaccardLoss, TverskyLoss

__all__ = [
    "ActiveBoundaryLoss",
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "HausdorffConvolutionLoss",
    "HausdorffDistanceTransformLoss",
    "HausdorffErosionLoss",
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
