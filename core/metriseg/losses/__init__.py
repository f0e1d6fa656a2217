"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.conditional_boundary import ConditionalBoundaryLoss
from metriseg.losses.embedding import CenterLoss, TripletLoss
from metriseg.losses.mutual_information import RegionMutualInformationLoss
from metriseg.losses.pixel import CrossEntropyLoss, FocalLoss, MimeLoss, NegativeMimeLoss
from metriseg.losses.region import DiceLoss, JaccardLoss, PowerJaccardLoss, TverskyLoss
from metriseg.losses.robust import RobustTLoss

__all__ = [
    "CenterLoss",
    "CompoundLoss",
    "ConditionalBoundaryLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionMutualInformationLoss",
    "RobustTLoss",
    "SegmentationLoss",
    "TableLoss",
    "TripletLoss",
    "TverskyLoss",
]
