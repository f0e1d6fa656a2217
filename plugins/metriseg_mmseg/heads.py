"""Instances from a semantic segmentor: a head of classes and embeddings, and their grouping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses import accuracy
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from metriseg import validation
from metriseg.extraction import group_embedding, landing_points
from metriseg.extraction.grouping import method_for
from metriseg.extraction.places import checked_units
from metriseg.models.embedding import EmbeddingBranch
from metriseg_mmseg.carried import carrying
from metriseg_mmseg.convention import MMSegConvention
from metriseg_mmseg.registry import MODELS
from metriseg_mmseg.segmentors import EncoderDecoder

__all__ = ["EmbeddingEncoderDecoder", "EmbeddingFCNHead"]


class EmbeddingMixin:
    """Makes a decode head predict an embedding a pixel beside its classes.

    Mixed in before a head that calls ``cls_seg`` on its last features, as MMSegmentation's heads
    do: ``class MyHead(EmbeddingMixin, ASPPHead)``. Losses of metriseg in ``loss_decode`` get the
    embedding as ``features``, and what else the data samples hold for them, such as
    ``gt_instance_map`` (see :class:`metriseg_mmseg.segmentors.CarryingMixin`), whatever the
    segmentor; other losses see classes alone. In training and in "tensor" mode
    the output is ``(N, C + D, H, W)``; a stock segmentor is given the C classes at inference.

    Args:
        embedding_channels: D of the embedding, >= 1.
        coordinates: whether the embedding knows where a pixel is; False with ``pixels_per_unit``.
        words: those of the head.

    Raises:
        ValueError: for ``embedding_channels`` below 1, and for data samples of which only some
            have instances.
    """

    def __init__(
        self, *, embedding_channels: int = 6, coordinates: bool = True, **words: Any
    ) -> None:
        super().__init__(**words)
        self.embedding = EmbeddingBranch(self.channels, embedding_channels, coordinates=coordinates)

    def cls_seg(self, feat: Tensor) -> Tensor:
        return torch.cat([super().cls_seg(feat), self.embedding(feat)], dim=1)

    def predict(
        self, inputs: tuple[Tensor, ...], batch_img_metas: list[dict[str, Any]], test_cfg: Any
    ) -> Tensor:
        """``(N, C, H, W)``: the classes alone."""
        both = self.predict_with_embedding(inputs, batch_img_metas, test_cfg)
        return both[:, : self.out_channels]

    def predict_with_embedding(
        self, inputs: tuple[Tensor, ...], batch_img_metas: list[dict[str, Any]], test_cfg: Any
    ) -> Tensor:
        """``(N, C + D, H, W)``: classes, then the embedding."""
        return super().predict(inputs, batch_img_metas, test_cfg)

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        labels = self._stack_batch_gt(batch_data_samples)
        both = resize(
            seg_logits, labels.shape[2:], mode="bilinear", align_corners=self.align_corners
        )
        logits, embedding = both.tensor_split([self.out_channels], dim=1)
        weight = None if self.sampler is None else self.sampler.sample(logits, labels)
        labels = labels.squeeze(1)
        found: dict[str, Tensor] = {}
        several = isinstance(self.loss_decode, nn.ModuleList)
        # a stock segmentor doesn't say what the samples hold
        with carrying(batch_data_samples):
            for loss in self.loss_decode if several else [self.loss_decode]:
                more = {"features": embedding} if isinstance(loss, MMSegConvention) else {}
                value = loss(logits, labels, weight=weight, ignore_index=self.ignore_index, **more)
                name = loss.loss_name
                found[name] = found[name] + value if name in found else value
        found["acc_seg"] = accuracy(logits, labels, ignore_index=self.ignore_index)
        return found


@MODELS.register_module()
class EmbeddingFCNHead(EmbeddingMixin, FCNHead):
    """MMSegmentation's FCN head with an embedding beside the classes.

    Args:
        embedding_channels: D of the embedding, >= 1.
        coordinates: whether the embedding knows where a pixel is; False with ``pixels_per_unit``.
        words: those of ``FCNHead``.
    """


@MODELS.register_module()
class EmbeddingEncoderDecoder(EncoderDecoder):
    """As ``metriseg_mmseg.EncoderDecoder``; it also groups the embedding of its decode head.

    Data samples get, beside ``pred_sem_seg`` and the ``seg_logits`` of the classes,
    ``pred_instance_map``: a ``PixelData`` of data ``(1, H, W)`` int64, 0 on the background and the
    instances from 1. The embedding is what :class:`metriseg.extraction.KernelSegments` trains.

    Inference in windows (``mode="slide"``) averages what overlapping windows say of a pixel. With
    ``pixels_per_unit`` these are offsets from the same place, so windows agree; a free embedding
    means another thing in each: take ``mode="whole"`` for it. Pixels are those that the network
    sees: where it says that they land is settled before padding, a flip and the size of the
    original image are.

    Args:
        bandwidth: > 0, that of the ``KernelSegments`` in training.
        background: the class whose pixels belong to no instance; None groups all pixels.
        min_size: groups of fewer pixels join another, >= 1.
        pixels_per_unit: that of the ``KernelSegments`` in training, a number > 0 or one for each
            axis, height first: what is grouped are :func:`metriseg.extraction.landing_points`.
        words: those of ``EncoderDecoder``; ``decode_head`` is an :class:`EmbeddingFCNHead` or
            another head with :class:`EmbeddingMixin`.

    Raises:
        ValueError: for an argument outside its domain, and for a head without an embedding, or
            with fewer than two channels of it with ``pixels_per_unit``.
    """

    def __init__(
        self,
        *,
        bandwidth: float = 1.0,
        background: int | None = 0,
        min_size: int = 10,
        pixels_per_unit: float | Sequence[float] | None = None,
        **words: Any,
    ) -> None:
        super().__init__(**words)
        self.bandwidth = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
        self.background = validation.label("background", background)
        self.min_size = validation.whole_number("min_size", min_size, low=1)
        self.pixels_per_unit = None
        if pixels_per_unit is not None:
            self.pixels_per_unit = checked_units(pixels_per_unit, 2)
            channels = self.decode_head.embedding.dimensions
            if channels < 2:
                raise ValueError(
                    "decode_head must have embedding_channels >= 2 with pixels_per_unit, an offset"
                    f" along each axis, got {channels}"
                )

    def _init_decode_head(self, decode_head: dict[str, Any]) -> None:
        super()._init_decode_head(decode_head)
        if not isinstance(self.decode_head, EmbeddingMixin):
            raise ValueError(
                "decode_head must predict an embedding, as metriseg_mmseg.EmbeddingFCNHead does,"
                f" got {type(self.decode_head).__name__}"
            )
        # what slide_inference makes room for
        self.out_channels += self.decode_head.embedding.dimensions

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        features = self.extract_feat(inputs)
        return self.decode_head.predict_with_embedding(features, batch_img_metas, self.test_cfg)

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        classes = self.decode_head.out_channels
        if self.pixels_per_unit is not None:
            # while pixels and directions are still those that the network saw
            logits, offsets = seg_logits.tensor_split([classes], dim=1)
            landing = landing_points(offsets, self.pixels_per_unit)
            seg_logits = torch.cat([logits, landing], dim=1)
        # padding, flips and sizes are settled for all channels alike
        data_samples = super().postprocess_result(seg_logits, data_samples)
        for sample in data_samples:
            logits, embedding = sample.seg_logits.data.tensor_split([classes])
            if classes > 1:
                labels = logits.argmax(0, keepdim=True)
            else:
                logits = logits.sigmoid()
                labels = (logits > self.decode_head.threshold).to(logits)
            foreground = None if self.background is None else labels != self.background
            instances = group_embedding(
                embedding.unsqueeze(0),
                foreground=foreground,
                bandwidth=self.bandwidth,
                min_size=self.min_size,
                method=method_for(self.pixels_per_unit),
            )
            sample.set_data(
                {
                    "seg_logits": PixelData(data=logits),
                    "pred_sem_seg": PixelData(data=labels),
                    "pred_instance_map": PixelData(data=instances + (foreground is None)),
                }
            )
        return data_samples
