"""The losses that Detectron2's configs may name: a line each."""

from __future__ import annotations

from typing import TypeVar

from detectron2.utils.registry import Registry

import metriseg as core
from metriseg import binder
from metriseg.binding import refuse_missing
from metriseg_detectron2.convention import CompoundConvention, Detectron2Convention

L = TypeVar("L", bound=core.SegmentationLoss)

#: What :func:`register_loss` takes.
HOW_TO_REGISTER = (
    "a subclass of metriseg.SegmentationLoss, such as metriseg.PixelLoss with evaluate() or"
    " metriseg.RegionLoss with from_statistics(), under @metriseg_detectron2.losses.register_loss"
)

LOSS_REGISTRY = Registry("METRISEG_LOSS")
LOSS_REGISTRY.__doc__ = "Losses by the NAME that stands in LOSSES: of a head's config."

_register = LOSS_REGISTRY.register()
_bind = binder(Detectron2Convention, __name__)
_bind_compound = binder(CompoundConvention, __name__)

CrossEntropyLoss = _register(_bind(core.CrossEntropyLoss))
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

#: Losses of the core that no head of Detectron2 can offer -> why.
UNSUPPORTED: dict[str, str] = {
    "BoundaryAwareLoss": "its channels are bins of distance: a mask head has one channel a region,"
    " and the semantic head takes channels for classes",
}


def register_loss(loss: type[L]) -> type[L]:
    """A class decorator: a loss of one's own that ``LOSSES`` may name, bound for Detectron2.

    Args:
        loss: a subclass of :class:`metriseg.SegmentationLoss`, or of a loss of this module.

    Returns:
        The loss with Detectron2's words (:class:`Detectron2Convention`), to stand in its module
        under the name of the class.

    Raises:
        ValueError: for anything else, and for a name that is taken.
    """
    if not (isinstance(loss, type) and issubclass(loss, core.SegmentationLoss)):
        raise ValueError(f"loss must be {HOW_TO_REGISTER}, got {loss!r}")
    if loss.__name__ in LOSS_REGISTRY:
        raise ValueError(f"loss: there is a loss {loss.__name__!r} already")
    if not issubclass(loss, Detectron2Convention):
        compound = issubclass(loss, core.CompoundLoss)
        convention = CompoundConvention if compound else Detectron2Convention
        loss = binder(convention, loss.__module__)(loss)
    LOSS_REGISTRY.register(loss)
    return loss


__all__ = [
    "LOSS_REGISTRY",
    "UNSUPPORTED",
    "register_loss",
    *(name for name in core.CATALOGUE if name not in UNSUPPORTED),
]


def __getattr__(name: str) -> None:
    refuse_missing(__name__, "Detectron2", UNSUPPORTED, name)
