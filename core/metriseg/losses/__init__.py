"""Segmentation losses as modules."""

from metriseg.losses.base import PixelLoss, RegionLoss, SegmentationLoss, TableLoss
from metriseg.losses.boundary import (
    ActiveContourLoss,
    BoundaryAwareLoss,
    BoundaryDoULoss,
    BoundaryLoss,
    RegionWiseLoss,
)
from metriseg.losses.combination import (
    ComboLoss,
    DiceCELoss,
    DiceFocalLoss,
    ExponentialLogarithmicLoss,
    UnifiedFocalLoss,
)
from metriseg.losses.compound import CompoundLoss
from metriseg.losses.generalized_dice import GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss
from metriseg.losses.pixel import (
    CrossEntropyLoss,
    DistanceMapCrossEntropyLoss,
    FocalLoss,
    MimeLoss,
    NegativeMimeLoss,
    TopKLoss,
)
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
    "ActiveContourLoss",
    "BoundaryAwareLoss",
    "BoundaryDoULoss",
    "BoundaryLoss",
    "ComboLoss",
    "CompoundLoss",
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
    "PixelLoss",
    "PowerDiceLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionWiseLoss",
    "SegmentationLoss",
    "SensitivitySpecificityLoss",
    "TableLoss",
    "TopKLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]
