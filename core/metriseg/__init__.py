"""metriseg: segmentation losses and partition metrics, defined once."""

from metriseg import functional
from metriseg.batch import Batch
from metriseg.binding import Convention, binder
from metriseg.catalogue import CATALOGUE, Entry
from metriseg.losses import (
    ComboLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceFocalLoss,
    DiceLoss,
    ExponentialLogarithmicLoss,
    FocalLoss,
    JaccardLoss,
    MimeLoss,
    NegativeMimeLoss,
    PixelLoss,
    PowerJaccardLoss,
    RegionLoss,
    SegmentationLoss,
    TableLoss,
    TopKLoss,
    TverskyLoss,
    UnifiedFocalLoss,
)
from metriseg.statistics import RegionStatistics, region_statistics
from metriseg.validation import UnknownArgumentError, debug

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "Batch",
    "ComboLoss",
    "CompoundLoss",
    "Convention",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceFocalLoss",
    "DiceLoss",
    "Entry",
    "ExponentialLogarithmicLoss",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PixelLoss",
    "PowerJaccardLoss",
    "RegionLoss",
    "RegionStatistics",
    "SegmentationLoss",
    "TableLoss",
    "TopKLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
    "UnknownArgumentError",
    "binder",
    "debug",
    "functional",
    "region_statistics",
]
