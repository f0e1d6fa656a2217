"""metriseg for Detectron2: losses that YAML and LazyConfig choose, and the heads that take them."""

from importlib.util import find_spec

INSTALLATION = """\
Detectron2 is not installed, and it is not on PyPI. Its installation page has
    pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'
(torch and torchvision first). A wheel of it in ~/.cache/metriseg/wheels is what make picks up."""

if find_spec("detectron2") is None:

    def __getattr__(name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(INSTALLATION)

else:
    # first: with $DETECTRON2_ENV_MODULE this import comes back to the modules below
    import detectron2  # noqa: F401

    from metriseg_detectron2.config import (
        add_metriseg_config,
        check_metriseg_config,
        strip_metriseg_config,
    )
    from metriseg_detectron2.evaluator import GivenBoxes, MaskIoUEvaluator
    from metriseg_detectron2.heads import MetrisegMaskRCNNConvUpsampleHead, MetrisegSemSegFPNHead
    from metriseg_detectron2.losses import (
        LOSS_REGISTRY,
        UNSUPPORTED,
        ActiveBoundaryLoss,
        ActiveContourLoss,
        BoundaryDoULoss,
        BoundaryLoss,
        CenterLoss,
        ComboLoss,
        CompoundLoss,
        ConditionalBoundaryLoss,
        CrossEntropyLoss,
        DiceCELoss,
        DiceFocalLoss,
        DiceLoss,
        DistanceMapCrossEntropyLoss,
        ExponentialLogarithmicLoss,
        FocalLoss,
        FocalTverskyLoss,
        GeneralizedDiceLoss,
        GeneralizedWassersteinDiceLoss,
        HausdorffConvolutionLoss,
        HausdorffDistanceTransformLoss,
        HausdorffErosionLoss,
        InverseFormLoss,
        JaccardLoss,
        JaccardMetricLoss,
        LogCoshDiceLoss,
        LovaszHingeLoss,
        LovaszSoftmaxLoss,
        MimeLoss,
        NegativeMimeLoss,
        PartitionLoss,
        PenaltyGeneralizedDiceLoss,
        PowerDiceLoss,
        PowerJaccardLoss,
        RegionMutualInformationLoss,
        RegionWiseLoss,
        RobustTLoss,
        SensitivitySpecificityLoss,
        TopKLoss,
        TripletLoss,
        TverskyLoss,
        UnifiedFocalLoss,
        __getattr__,  # noqa: F401
    )
    from metriseg_detectron2.partition_evaluator import PartitionEvaluator
    from metriseg_detectron2.segmentor import (
        MetrisegEmbeddingSegmentor,
        MetrisegEmbeddingSemSegFPNHead,
    )

    __all__ = [
        "LOSS_REGISTRY",
        "UNSUPPORTED",
        "ActiveBoundaryLoss",
        "ActiveContourLoss",
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
        "GivenBoxes",
        "HausdorffConvolutionLoss",
        "HausdorffDistanceTransformLoss",
        "HausdorffErosionLoss",
        "InverseFormLoss",
        "JaccardLoss",
        "JaccardMetricLoss",
        "LogCoshDiceLoss",
        "LovaszHingeLoss",
        "LovaszSoftmaxLoss",
        "MaskIoUEvaluator",
        "MetrisegEmbeddingSegmentor",
        "MetrisegEmbeddingSemSegFPNHead",
        "MetrisegMaskRCNNConvUpsampleHead",
        "MetrisegSemSegFPNHead",
        "MimeLoss",
        "NegativeMimeLoss",
        "PartitionEvaluator",
        "PartitionLoss",
        "PenaltyGeneralizedDiceLoss",
        "PowerDiceLoss",
        "PowerJaccardLoss",
        "RegionMutualInformationLoss",
        "RegionWiseLoss",
        "RobustTLoss",
        "SensitivitySpecificityLoss",
        "TopKLoss",
        "TripletLoss",
        "TverskyLoss",
        "UnifiedFocalLoss",
        "add_metriseg_config",
        "check_metriseg_config",
        "strip_metriseg_config",
    ]
