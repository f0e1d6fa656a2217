"""What a pipeline of MMSegmentation needs to carry more than classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from metriseg_mmseg.registry import TRANSFORMS

#: The key of object numbers among a pipeline's results, and their place in a data sample.
INSTANCE_MAP = "gt_instance_map"


@TRANSFORMS.register_module()
class PackInstanceInputs(PackSegInputs):
    """MMSegmentation's ``PackSegInputs``, which packs the numbers of the objects as well.

    The result ``gt_instance_map``, ``(H, W)`` integers, becomes the data sample's
    ``gt_instance_map``, a ``PixelData`` of data ``(1, H, W)`` int64, as MMSegmentation does it with
    edges and depths; without that result nothing is added. MMSegmentation's preprocessor takes it
    to the device, but doesn't pad it: let its ``size`` be the size of the images.

    Args:
        meta_keys: as in ``PackSegInputs``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        packed: dict[str, Any] = super().transform(results)
        if INSTANCE_MAP in results:
            instances = torch.from_numpy(results[INSTANCE_MAP].astype(np.int64))
            field = PixelData(data=instances.unsqueeze(0))
            packed["data_samples"].set_data({INSTANCE_MAP: field})
        return packed
