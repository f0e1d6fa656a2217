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
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    GeneralizedWassersteinDiceLoss,
    JaccardLoss,
    LogCoshDiceLoss,
    MimeLoss,
    NegativeMimeLoss,
    PenaltyGeneralizedDiceLoss,
    PixelLoss,
    PowerDiceLoss,
    PowerJaccardLoss,
    RegionLoss,
    SegmentationLoss,
    SensitivitySpecificityLoss,
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
    "RegionStatistics",
    "SegmentationLoss",
    "SensitivitySpecificityLoss",
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
