"""Every loss of metriseg under ``type='metriseg_mmseg.<name>'``."""

from __future__ import annotations

import metriseg as core
from metriseg.binding import refuse_missing
from metriseg_mmseg.convention import (
    CompoundConvention,
    CrossEntropyConvention,
    MMSegConvention,
)
from metriseg_mmseg.registry import MODELS

#: Losses that MMSegmentation can't be offered, with the reason.
UNSUPPORTED: dict[str, str] = {
    "BoundaryAwareLoss": "its channels are bins of distance, and the heads take them for classes",
}

_register = MODELS.register_module()
_bind = core.binder(MMSegConvention, __name__)
_bind_cross_entropy = core.binder(CrossEntropyConvention, __name__)
_bind_compound = core.binder(CompoundConvention, __name__)

CrossEntropyLoss = _register(_bind_cross_entropy(core.CrossEntropyLoss))
FocalLoss = _register(_bind(core.FocalLoss))
TopKLoss = _register(_bind(core.TopKLoss))
DistanceMapCrossEntropyLoss = _register(_bind(core.DistanceMapCrossEntropyLoss))
MimeLoss = _register(_bind(core.MimeLoss))
NegativeMimeLoss = _register(_bind(core.NegativeMimeLoss))
GeneralizedCrossEntropyLoss = _register(_bind(core.GeneralizedCrossEntropyLoss))
SymmetricCrossEntropyLoss = _register(_bind(core.SymmetricCrossEntropyLoss))
PolyCrossEntropyLoss = _register(_bind(core.PolyCrossEntropyLoss))
PolyFocalLoss = _register(_bind(core.PolyFocalLoss))
NeighborAwareCalibrationLoss = _register(_bind(core.NeighborAwareCalibrationLoss))
DiceLoss = _register(_bind(core.DiceLoss))
JaccardLoss = _register(_bind(core.JaccardLoss))
PowerJaccardLoss = _register(_bind(core.PowerJaccardLoss))
TverskyLoss = _register(_bind(core.TverskyLoss))
LogCoshDiceLoss = _register(_bind(core.LogCoshDiceLoss))
PowerDiceLoss = _register(_bind(core.PowerDiceLoss))
FocalTverskyLoss = _register(_bind(core.FocalTverskyLoss))
SensitivitySpecificityLoss = _register(_bind(core.SensitivitySpecificityLoss))
GeneralizedDiceLoss = _register(_bind(core.GeneralizedDiceLoss))
PenaltyGeneralizedDiceLoss = _register(_bind(core.PenaltyGeneralizedDiceLoss))
GeneralizedWassersteinDiceLoss = _register(_bind(core.GeneralizedWassersteinDiceLoss))
RegionMutualInformationLoss = _register(_bind(core.RegionMutualInformationLoss))
RobustTLoss = _register(_bind(core.RobustTLoss))
LovaszSoftmaxLoss = _register(_bind(core.LovaszSoftmaxLoss))
LovaszHingeLoss = _register(_bind(core.LovaszHingeLoss))
JaccardMetricLoss = _register(_bind(core.JaccardMetricLoss))
DiceSemimetricLoss = _register(_bind(core.DiceSemimetricLoss))
TverskySemimetricLoss = _register(_bind(core.TverskySemimetricLoss))
DicePlusPlusLoss = _register(_bind(core.DicePlusPlusLoss))
NoiseRobustDiceLoss = _register(_bind(core.NoiseRobustDiceLoss))
MatthewsCorrelationLoss = _register(_bind(core.MatthewsCorrelationLoss))
AverageCalibrationLoss = _register(_bind(core.AverageCalibrationLoss))
BoundaryLoss = _register(_bind(core.BoundaryLoss))
RegionWiseLoss = _register(_bind(core.RegionWiseLoss))
BoundaryDoULoss = _register(_bind(core.BoundaryDoULoss))
ActiveContourLoss = _register(_bind(core.ActiveContourLoss))
ConditionalBoundaryLoss = _register(_bind(core.ConditionalBoundaryLoss))
InverseFormLoss = _register(_bind(core.InverseFormLoss))
HausdorffDistanceTransformLoss = _register(_bind(core.HausdorffDistanceTransformLoss))
LogHausdorffDistanceTransformLoss = _register(_bind(core.LogHausdorffDistanceTransformLoss))
HausdorffErosionLoss = _register(_bind(core.HausdorffErosionLoss))
HausdorffConvolutionLoss = _register(_bind(core.HausdorffConvolutionLoss))
ActiveBoundaryLoss = _register(_bind(core.ActiveBoundaryLoss))
CenterlineDiceLoss = _register(_bind(core.CenterlineDiceLoss))
DiceCenterlineDiceLoss = _register(_bind(core.DiceCenterlineDiceLoss))
CenterlineBoundaryDiceLoss = _register(_bind(core.CenterlineBoundaryDiceLoss))
SkeletonRecallLoss = _register(_bind(core.SkeletonRecallLoss))
TopologicalLoss = _register(_bind(core.TopologicalLoss))
BlobLoss = _register(_bind(core.BlobLoss))
ConnectedComponentLoss = _register(_bind(core.ConnectedComponentLoss))
CompoundLoss = _register(_bind_compound(core.CompoundLoss))
DiceCELoss = _register(_bind(core.DiceCELoss))
DiceFocalLoss = _register(_bind(core.DiceFocalLoss))
GeneralizedDiceFocalLoss = _register(_bind(core.GeneralizedDiceFocalLoss))
ComboLoss = _register(_bind(core.ComboLoss))
ExponentialLogarithmicLoss = _register(_bind(core.ExponentialLogarithmicLoss))
UnifiedFocalLoss = _register(_bind(core.UnifiedFocalLoss))
TopologyAwareFocalLoss = _register(_bind(core.TopologyAwareFocalLoss))
TripletLoss = _register(_bind(core.TripletLoss))
BoundaryTripletLoss = _register(_bind(core.BoundaryTripletLoss))
CenterLoss = _register(_bind(core.CenterLoss))
PartitionLoss = _register(_bind(core.PartitionLoss))
MarginalCrossEntropyLoss = _register(_bind(core.MarginalCrossEntropyLoss))
ExclusionCrossEntropyLoss = _register(_bind(core.ExclusionCrossEntropyLoss))
MarginalDiceLoss = _register(_bind(core.MarginalDiceLoss))
LeafDiceLoss = _register(_bind(core.LeafDiceLoss))
ExclusionLoss = _register(_bind(core.ExclusionLoss))


def _refusing(name: str) -> type:
    """What the registry finds of a loss that can't be offered: MMEngine's message ends in why."""

    def __init__(self: object, *args: object, **words: object) -> None:
        refuse_missing(__name__, "MMSegmentation", UNSUPPORTED, name)

    return type(name, (), {"__init__": __init__, "__module__": __name__})


for _name in UNSUPPORTED:
    MODELS.register_module(name=_name, module=_refusing(_name))

__all__ = ["UNSUPPORTED", *(name for name in core.CATALOGUE if name not in UNSUPPORTED)]


def __getattr__(name: str) -> None:
    refuse_missing(__name__, "MMSegmentation", UNSUPPORTED, name)
