"""Losses and a metric in MONAI: ``{"_target_": "metriseg_monai.PowerJaccardLoss", …}``."""

from typing import TYPE_CHECKING

from metriseg.exports import lazy_exports

if TYPE_CHECKING:
    from metriseg_monai.aliases import *
    from metriseg_monai.channels import *
    from metriseg_monai.deep_supervision import *
    from metriseg_monai.instances import *
    from metriseg_monai.losses import *
    from metriseg_monai.maps import *
    from metriseg_monai.metrics import *
    from metriseg_monai.points import *
    from metriseg_monai.transforms import *
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        homes=(
            *("losses", "aliases", "metrics", "transforms", "maps", "instances", "channels"),
            *("deep_supervision", "points"),
        ),
    )
