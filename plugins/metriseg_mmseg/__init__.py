"""The losses of metriseg in MMSegmentation: ``loss_decode=dict(type='metriseg_mmseg.DiceLoss')``.

MMEngine finds :mod:`metriseg_mmseg.registry` by the scope in the type, so a config needs no
``custom_imports``. For Python code the losses, metrics, heads, segmentors, transforms and hooks
stand here too; importing this package alone imports neither them nor MMEngine.
"""

from typing import TYPE_CHECKING

from metriseg.exports import lazy_exports

if TYPE_CHECKING:
    from metriseg_mmseg.boundary_metric import *
    from metriseg_mmseg.distance_map import *
    from metriseg_mmseg.heads import *
    from metriseg_mmseg.hooks import *
    from metriseg_mmseg.loss_metric import *
    from metriseg_mmseg.losses import *
    from metriseg_mmseg.map_files import *
    from metriseg_mmseg.mask_losses import *
    from metriseg_mmseg.metrics import *
    from metriseg_mmseg.segmentors import *
    from metriseg_mmseg.transforms import *
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        homes=(
            "losses",
            "metrics",
            "loss_metric",
            "boundary_metric",
            "heads",
            "mask_losses",
            "segmentors",
            "transforms",
            "distance_map",
            "map_files",
            "hooks",
        ),
    )
