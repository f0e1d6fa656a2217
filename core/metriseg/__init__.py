"""metriseg: segmentation losses and partition metrics, defined once."""

from metriseg import functional
from metriseg.batch import Batch
from metriseg.binding import Convention, binder
from metriseg.catalogue import CATALOGUE, Entry
from metriseg.losses import (
    ActiveBoundaryLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    HausdorffConvolutionLoss,
    HausdorffDistanceTransformLoss,
    HausdorffErosionLoss,
    JaccardLoss,
    MimeLoss,
    NegativeMimeLoss,
    PixelLoss,
    PowerJaccardLoss,
    RegionLoss,
    SegmentationLoss,
    TableLoss,
    TverskyLoss,
)
from metriseg.statistics import RegionStatistics, region_statistics
from metriseg.validation import UnknownArgumentError, debug

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "ActiveBoundaryLoss",
    "Batch",
    "CompoundLoss",
    "Convention",
    "CrossEntropyLoss",
    "DiceLoss",
    "Entry",
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
    "RegionStatistics",
    "SegmentationLoss",
    "TableLoss",
    "TverskyLoss",
    "UnknownArgumentError",
    "binder",
    "debug",
    "functional",
    "region_statistics",
]
