"""The losses of metriseg in MONAI: ``{"_target_": "metriseg_monai.PowerJaccardLoss", …}``."""

from __future__ import annotations

from typing import Any

from metriseg_monai import losses
from metriseg_monai.losses import (
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    JaccardLoss,
    MimeLoss,
    NegativeMimeLoss,
    PowerJaccardLoss,
    TverskyLoss,
)

__all__ = [
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "PowerJaccardLoss",
    "TverskyLoss",
]


def __getattr__(name: str) -> Any:
    return getattr(losses, name)
