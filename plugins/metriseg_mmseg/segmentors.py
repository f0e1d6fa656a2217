"""MMSegmentation's segmentors, in which losses know what the pipeline knows."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmseg.models import segmentors as stock
from torch import Tensor

from metriseg_mmseg.carried import carrying, unread
from metriseg_mmseg.registry import MODELS

__all__ = ["CarryingMixin", "CascadeEncoderDecoder", "EncoderDecoder"]


class CarryingMixin:
    """Makes a segmentor tell the losses in its heads what the data samples hold for them.

    Mixed in before a segmentor: ``class MySegmentor(CarryingMixin, DepthEstimator)``. While
    ``loss(inputs, data_samples)`` runs, the losses of metriseg in any head, and in any list or
    compound loss there, read the maps that they know, and multiply the head's pixel weights by
    ``gt_pixel_weight``. Stock losses see none of it. A loss that is given ``maps`` by its caller
    keeps those.

    A data sample's maps are ``PixelData``: ``gt_signed_distance_map``, ``gt_region_map``,
    ``gt_target_distance_map`` and ``gt_skeleton_map`` ``(C, H, W)``; ``gt_penalty_map``,
    ``gt_instance_map`` and ``gt_pixel_weight`` ``(1, H, W)``. All samples of a batch have a map, or
    none. They are padded with 0 where the preprocessor has padded the labels.
    """

    _looked_at_samples = False

    def loss(self, inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """The losses of all heads by their names.

        Raises:
            ValueError: for a map that only some samples have, or of another size than the logits.
        """
        if not self._looked_at_samples:
            self._looked_at_samples = True
            for key in unread(self, data_samples[0]) if data_samples else ():
                print_log(f"no loss in the model reads {key}", "current", logging.WARNING)
        with carrying(data_samples):
            return super().loss(inputs, data_samples)


@MODELS.register_module()
class EncoderDecoder(CarryingMixin, stock.EncoderDecoder):
    """MMSegmentation's ``EncoderDecoder`` with :class:`CarryingMixin`.

    ``model=dict(type='metriseg_mmseg.EncoderDecoder', …)``

    Args:
        words: those of MMSegmentation's.
    """


@MODELS.register_module()
class CascadeEncoderDecoder(CarryingMixin, stock.CascadeEncoderDecoder):
    """MMSegmentation's ``CascadeEncoderDecoder`` with :class:`CarryingMixin`.

    A head of points (``PointHead``) computes its losses at points, where no map fits: give it stock
    losses where the pipeline carries pixel weights, or maps that its loss would read.

    Args:
        words: those of MMSegmentation's.
    """
