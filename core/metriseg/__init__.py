"""metriseg: segmentation losses and partition metrics, defined once."""

from metriseg import functional
from metriseg.batch import Batch
from metriseg.binding import Convention, binder
from metriseg.catalogue import CATALOGUE, Entry
from metriseg.losses import (
    CenterLoss,
    CompoundLoss,
    ConditionalBoundaryLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    JaccardLoss,
    MimeLoss,
    NegativeMimeLoss,
    PixelLoss,
    PowerJaccardLoss,
    RegionLoss,
    RegionMutualInformationLoss,
    RobustTLoss,
    SegmentationLoss,
    TableLoss,
    TripletLoss,
    TverskyLoss,
)
from metriseg.statistics import RegionStatistics, region_statistics
from metriseg.validation import UnknownArgumentError, debug

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "Batch",
    "CenterLoss",
    "CompoundLoss",
    "ConditionalBoundaryLoss",
    "Convention",
    "CrossEntropyLoss",
    "DiceLoss",
    "Entry",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionMutualInformationLoss",
    "RegionStatistics",
    "RobustTLoss",
    "SegmentationLoss",
    "TableLoss",
    "TripletLoss",
    "TverskyLoss",
    "UnknownArgumentError",
    "binder",
    "debug",
    "functional",
    "region_statistics",
]
