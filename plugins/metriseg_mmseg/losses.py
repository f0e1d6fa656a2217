"""Every loss of metriseg under ``type='metriseg_mmseg.<name>'``."""

from __future__ import annotations

import metriseg as core
from metriseg.binding import refuse_missing
from metriseg_mmseg.convention import CompoundConvention, MMSegConvention
from metriseg_mmseg.registry import MODELS

#: Losses that MMSegmentation can't be offered, with the reason.
UNSUPPORTED: dict[str, str] = {}

_bind = core.binder(MMSegConvention, __name__)
_bind_compound = core.binder(CompoundConvention, __name__)

CrossEntropyLoss = MODELS.register_module(module=_bind(core.CrossEntropyLoss))
FocalLoss = MODELS.register_module(module=_bind(core.FocalLoss))
MimeLoss = MODELS.register_module(module=_bind(core.MimeLoss))
NegativeMimeLoss = MODELS.register_module(module=_bind(core.NegativeMimeLoss))
DiceLoss = MODELS.register_module(module=_bind(core.DiceLoss))
JaccardLoss = MODELS.register_module(module=_bind(core.JaccardLoss))
PowerJaccardLoss = MODELS.register_module(module=_bind(core.PowerJaccardLoss))
TverskyLoss = MODELS.register_module(module=_bind(core.TverskyLoss))
CompoundLoss = MODELS.register_module(module=_bind_compound(core.CompoundLoss))


def __getattr__(name: str) -> None:
    refuse_missing(__name__, "MMSegmentation", UNSUPPORTED, name)
