"""Every loss of metriseg under ``{"_target_": "metriseg_monai.<name>"}``."""

from __future__ import annotations

import metriseg as core
from metriseg.binding import refuse_missing
from metriseg_monai.convention import (
    CompoundConvention,
    FocalConvention,
    PixelConvention,
    TableConvention,
)

#: Losses that MONAI can't be offered, with the reason.
UNSUPPORTED: dict[str, str] = {}

_pixel = core.binder(PixelConvention, __name__)
_focal = core.binder(FocalConvention, __name__)
_table = core.binder(TableConvention, __name__)
_compound = core.binder(CompoundConvention, __name__)

CrossEntropyLoss = _pixel(core.CrossEntropyLoss)
FocalLoss = _focal(core.FocalLoss)
MimeLoss = _pixel(core.MimeLoss)
NegativeMimeLoss = _pixel(core.NegativeMimeLoss)
DiceLoss = _table(core.DiceLoss)
JaccardLoss = _table(core.JaccardLoss)
PowerJaccardLoss = _table(core.PowerJaccardLoss)
TverskyLoss = _table(core.TverskyLoss)
CompoundLoss = _compound(core.CompoundLoss)


def __getattr__(name: str) -> None:
    refuse_missing(__name__, "MONAI", UNSUPPORTED, name)
