"""Every loss of metriseg under ``{"_target_": "metriseg_monai.<name>"}``."""

from __future__ import annotations

import metriseg as core
from metriseg.binding import refuse_missing
from metriseg_monai.compound import CompoundConvention
from metriseg_monai.convention import PixelConvention, TableConvention
from metriseg_monai.counterparts import (
    BoundaryConvention,
    DiceCEConvention,
    DiceConvention,
    DiceFocalConvention,
    FocalConvention,
    GeneralizedDiceConvention,
    GeneralizedDiceFocalConvention,
    HausdorffConvention,
    LogHausdorffConvention,
    MatthewsConvention,
    SkeletonConvention,
    TverskyConvention,
    UnifiedFocalConvention,
    WassersteinConvention,
)

#: Losses that MONAI can't be offered, with the reason.
UNSUPPORTED: dict[str, str] = {}

_pixel = core.binder(PixelConvention, __name__)
_focal = core.binder(FocalConvention, __name__)
_boundary = core.binder(BoundaryConvention, __name__)
_hausdorff = core.binder(HausdorffConvention, __name__)
_skeleton = core.binder(SkeletonConvention, __name__)
_log_hausdorff = core.binder(LogHausdorffConvention, __name__)
_table = core.binder(TableConvention, __name__)
_dice = core.binder(DiceConvention, __name__)
_dice_ce = core.binder(DiceCEConvention, __name__)
_dice_focal = core.binder(DiceFocalConvention, __name__)
_tversky = core.binder(TverskyConvention, __name__)
_generalized_focal = core.binder(GeneralizedDiceFocalConvention, __name__)
_matthews = core.binder(MatthewsConvention, __name__)
_generalized = core.binder(GeneralizedDiceConvention, __name__)
_wasserstein = core.binder(WassersteinConvention, __name__)
_unified = core.binder(UnifiedFocalConvention, __name__)
_compound = core.binder(CompoundConvention, __name__)

CrossEntropyLoss = _pixel(core.CrossEntropyLoss)
FocalLoss = _focal(core.FocalLoss)
TopKLoss = _pixel(core.TopKLoss)
DistanceMapCrossEntropyLoss = _pixel(core.DistanceMapCrossEntropyLoss)
MimeLoss = _pixel(core.MimeLoss)
NegativeMimeLoss = _pixel(core.NegativeMimeLoss)
GeneralizedCrossEntropyLoss = _pixel(core.GeneralizedCrossEntropyLoss)
SymmetricCrossEntropyLoss = _pixel(core.SymmetricCrossEntropyLoss)
PolyCrossEntropyLoss = _pixel(core.PolyCrossEntropyLoss)
PolyFocalLoss = _pixel(core.PolyFocalLoss)
NeighborAwareCalibrationLoss = _pixel(core.NeighborAwareCalibrationLoss)
DiceLoss = _dice(core.DiceLoss)
JaccardLoss = _table(core.JaccardLoss)
PowerJaccardLoss = _table(core.PowerJaccardLoss)
TverskyLoss = _tversky(core.TverskyLoss)
LogCoshDiceLoss = _table(core.LogCoshDiceLoss)
PowerDiceLoss = _table(core.PowerDiceLoss)
FocalTverskyLoss = _table(core.FocalTverskyLoss)
SensitivitySpecificityLoss = _table(core.SensitivitySpecificityLoss)
GeneralizedDiceLoss = _generalized(core.GeneralizedDiceLoss)
PenaltyGeneralizedDiceLoss = _table(core.PenaltyGeneralizedDiceLoss)
GeneralizedWassersteinDiceLoss = _wasserstein(core.GeneralizedWassersteinDiceLoss)
RegionMutualInformationLoss = _table(core.RegionMutualInformationLoss)
RobustTLoss = _table(core.RobustTLoss)
LovaszSoftmaxLoss = _table(core.LovaszSoftmaxLoss)
LovaszHingeLoss = _table(core.LovaszHingeLoss)
JaccardMetricLoss = _table(core.JaccardMetricLoss)
DiceSemimetricLoss = _table(core.DiceSemimetricLoss)
TverskySemimetricLoss = _table(core.TverskySemimetricLoss)
DicePlusPlusLoss = _table(core.DicePlusPlusLoss)
NoiseRobustDiceLoss = _table(core.NoiseRobustDiceLoss)
MatthewsCorrelationLoss = _matthews(core.MatthewsCorrelationLoss)
AverageCalibrationLoss = _table(core.AverageCalibrationLoss)
BoundaryLoss = _boundary(core.BoundaryLoss)
RegionWiseLoss = _pixel(core.RegionWiseLoss)
BoundaryDoULoss = _table(core.BoundaryDoULoss)
BoundaryAwareLoss = _pixel(core.BoundaryAwareLoss)
ActiveContourLoss = _pixel(core.ActiveContourLoss)
ConditionalBoundaryLoss = _pixel(core.ConditionalBoundaryLoss)
InverseFormLoss = _table(core.InverseFormLoss)
HausdorffDistanceTransformLoss = _hausdorff(core.HausdorffDistanceTransformLoss)
LogHausdorffDistanceTransformLoss = _log_hausdorff(core.LogHausdorffDistanceTransformLoss)
HausdorffErosionLoss = _pixel(core.HausdorffErosionLoss)
HausdorffConvolutionLoss = _pixel(core.HausdorffConvolutionLoss)
ActiveBoundaryLoss = _pixel(core.ActiveBoundaryLoss)
CenterlineDiceLoss = _skeleton(core.CenterlineDiceLoss)
DiceCenterlineDiceLoss = _skeleton(core.DiceCenterlineDiceLoss)
CenterlineBoundaryDiceLoss = _skeleton(core.CenterlineBoundaryDiceLoss)
SkeletonRecallLoss = _skeleton(core.SkeletonRecallLoss)
TopologicalLoss = _table(core.TopologicalLoss)
BlobLoss = _table(core.BlobLoss)
ConnectedComponentLoss = _table(core.ConnectedComponentLoss)
CompoundLoss = _compound(core.CompoundLoss)
DiceCELoss = _dice_ce(core.DiceCELoss)
DiceFocalLoss = _dice_focal(core.DiceFocalLoss)
GeneralizedDiceFocalLoss = _generalized_focal(core.GeneralizedDiceFocalLoss)
ComboLoss = _table(core.ComboLoss)
ExponentialLogarithmicLoss = _table(core.ExponentialLogarithmicLoss)
UnifiedFocalLoss = _unified(core.UnifiedFocalLoss)
TopologyAwareFocalLoss = _table(core.TopologyAwareFocalLoss)
TripletLoss = _pixel(core.TripletLoss)
BoundaryTripletLoss = _pixel(core.BoundaryTripletLoss)
CenterLoss = _pixel(core.CenterLoss)
PartitionLoss = _table(core.PartitionLoss)
MarginalCrossEntropyLoss = _pixel(core.MarginalCrossEntropyLoss)
ExclusionCrossEntropyLoss = _pixel(core.ExclusionCrossEntropyLoss)
MarginalDiceLoss = _table(core.MarginalDiceLoss)
LeafDiceLoss = _table(core.LeafDiceLoss)
ExclusionLoss = _table(core.ExclusionLoss)

__all__ = ["UNSUPPORTED", *(name for name in core.CATALOGUE if name not in UNSUPPORTED)]


def __getattr__(name: str) -> None:
    refuse_missing(__name__, "MONAI", UNSUPPORTED, name)
