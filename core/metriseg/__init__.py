"""metriseg: segmentation losses and partition metrics, defined once."""

from metriseg import functional
from metriseg.batch import Batch
from metriseg.binding import Convention, binder
from metriseg.catalogue import CATALOGUE, Entry
from metriseg.losses import (
    ActiveContourLoss,
    BoundaryAwareLoss,
    BoundaryDoULoss,
    BoundaryLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    DistanceMapCrossEntropyLoss,
    FocalLoss,
    JaccardLoss,
    MimeLoss,
    NegativeMimeLoss,
    PixelLoss,
    PowerJaccardLoss,
    RegionLoss,
    RegionWiseLoss,
    SegmentationLoss,
    TableLoss,
    TverskyLoss,
)
from metriseg.statistics import RegionStatistics, region_statistics
from metriseg.validation import UnknownArgumentError, debug

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "ActiveContourLoss",
    "Batch",
    "BoundaryAwareLoss",
    "BoundaryDoULoss",
    "BoundaryLoss",
    "CompoundLoss",
    "Convention",
    "CrossEntropyLoss",
    "DiceLoss",
    "DistanceMapCrossEntropyLoss",
    "Entry",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionStatistics",
    "RegionWiseLoss",
    "SegmentationLoss",
    "TableLoss",
    "TverskyLoss",
    "UnknownArgumentError",
    "binder",
    "debug",
    "functional",
    "region_statistics",
]
