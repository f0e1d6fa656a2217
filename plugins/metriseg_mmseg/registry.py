"""Where MMEngine looks for ``metriseg_mmseg.…``: it imports this module by its name alone."""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry(
    "model",
    parent=MMENGINE_MODELS,
    scope="metriseg_mmseg",
    locations=[
        "metriseg_mmseg.losses",
        "metriseg_mmseg.heads",
        "metriseg_mmseg.backbones",
        "metriseg_mmseg.segment_head",
        "metriseg_mmseg.segmentors",
        "metriseg_mmseg.mask_losses",
    ],
)
DATASETS = Registry(
    "dataset",
    parent=MMENGINE_DATASETS,
    scope="metriseg_mmseg",
    locations=["metriseg_mmseg.datasets"],
)
METRICS = Registry(
    "metric",
    parent=MMENGINE_METRICS,
    scope="metriseg_mmseg",
    locations=[
        "metriseg_mmseg.metrics",
        "metriseg_mmseg.segment_metric",
        "metriseg_mmseg.loss_metric",
        "metriseg_mmseg.boundary_metric",
    ],
)
TRANSFORMS = Registry(
    "transform",
    parent=MMENGINE_TRANSFORMS,
    scope="metriseg_mmseg",
    locations=[
        "metriseg_mmseg.transforms",
        "metriseg_mmseg.map_files",
        "metriseg_mmseg.distance_map",
    ],
)
HOOKS = Registry(
    "hook",
    parent=MMENGINE_HOOKS,
    scope="metriseg_mmseg",
    locations=["metriseg_mmseg.hooks"],
)
