"""The losses of metriseg in MMSegmentation: ``loss_decode=dict(type='metriseg_mmseg.DiceLoss')``.

MMEngine finds :mod:`metriseg_mmseg.registry` by the scope in the type, so a config needs no
``custom_imports``. For Python code the losses, the metric, and the head and segmentor of embeddings
stand here too; importing this package alone imports neither them nor MMEngine.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "PartitionMetric":
        from metriseg_mmseg.metrics import PartitionMetric

        return PartitionMetric
    if name.startswith("Embedding"):
        from metriseg_mmseg import heads

        return getattr(heads, name)
    if not name.endswith("Loss"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from metriseg_mmseg import losses

    return getattr(losses, name)
