"""Segmentation losses as modules."""

from metriseg.losses.active_boundary import ActiveBoundaryLoss
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
from metriseg.losses.conditional_boundary import ConditionalBoundaryLoss
from metriseg.losses.embedding import CenterLoss, TripletLoss
from metriseg.losses.generalized_dice import GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss
from metriseg.losses.hausdorff import (
    HausdorffConvolutionLoss,
    HausdorffDistanceTransformLoss,
    HausdorffErosionLoss,
)
from metriseg.losses.inverse_form import InverseFormLoss
from metriseg.losses.jaccard_metric import JaccardMetricLoss
from metriseg.losses.lovasz import LovaszHingeLoss, LovaszSoftmaxLoss
from metriseg.losses.mutual_information import RegionMutualInformationLoss
from metriseg.losses.partition import PartitionLoss
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
from metriseg.losses.robust import RobustTLoss
from metriseg.losses.wasserstein import GeneralizedWassersteinDiceLoss

__all__ = [
    "ActiveBoundaryLoss",
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
    "HausdorffConvolutionLoss",
    "HausdorffDistanceTransformLoss",
    "HausdorffErosionLoss",
    "InverseFormLoss",
    "JaccardLoss",
    "JaccardMetricLoss",
    "LogCoshDiceLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PartitionLoss",
    "PenaltyGeneralizedDiceLoss",
    "PixelLoss",
    "PowerDiceLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionMutualInformationLoss",
    "RegionWiseLoss",
    "RobustTLoss",
    "SegmentationLoss",
    "SensitivitySpecificityLoss",
    "TableLoss",
    "TopKLoss",
    "TripletLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]
