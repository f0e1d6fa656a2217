"""Instances from a semantic network: a head of classes and embeddings, and their grouping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemanticSegmentor
from detectron2.modeling.postprocessing import sem_seg_postprocess
from detectron2.structures import BitMasks, ImageList, Instances
from torch import Tensor

from metriseg import SegmentationLoss, validation
from metriseg.catalogue import parts_of
from metriseg.components import connected_components
from metriseg.extraction import KernelSegments, group_embedding, landing_points
from metriseg.extraction.grouping import method_for
from metriseg.extraction.places import checked_units
from metriseg.models.embedding import EmbeddingBranch
from metriseg_detectron2.heads import MetrisegSemSegFPNHead
from metriseg_detectron2.mapper import CROWDS

__all__ = ["MetrisegEmbeddingSegmentor", "MetrisegEmbeddingSemSegFPNHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegEmbeddingSemSegFPNHead(MetrisegSemSegFPNHead):
    """The semantic FPN head with an embedding beside the classes.

    The losses of ``MODEL.SEM_SEG_HEAD.LOSSES`` get the embedding as ``features``, and the true
    instances as ``maps["instances"]`` where :class:`MetrisegEmbeddingSegmentor` finds some. A
    stock segmentor is given the classes alone. Weights of the stock head fit, but for those of the
    embedding.

    Args:
        input_shape: of the features, by name.
        num_classes: C.
        conv_dims: channels of the features that classes and embedding are made of.
        losses: losses of this plugin; without any, the embedding isn't trained.
        embedding_channels: D of the embedding, >= 1.
        coordinates: whether the embedding knows where a pixel is.
        arguments: those of ``SemSegFPNHead``.

    Raises:
        ValueError: for a loss that doesn't fit the number of classes, and for
            ``embedding_channels`` below 1.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        num_classes: int,
        conv_dims: int,
        losses: Iterable[SegmentationLoss] = (),
        embedding_channels: int = 6,
        coordinates: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(
            input_shape=input_shape,
            num_classes=num_classes,
            conv_dims=conv_dims,
            losses=losses,
            **arguments,
        )
        self.num_classes = num_classes
        self.embedding = EmbeddingBranch(conv_dims, embedding_channels, coordinates=coordinates)

    @classmethod
    def from_config(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        return {
            **super().from_config(cfg, input_shape),
            "embedding_channels": cfg.MODEL.EMBEDDING.CHANNELS,
            "coordinates": cfg.MODEL.EMBEDDING.COORDINATES,
        }

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """``(N, C + D, H, W)`` at ``common_stride``: classes, then the embedding."""
        scales = zip(self.in_features, self.scale_heads, strict=True)
        shared = torch.stack([head(features[name]) for name, head in scales]).sum(0)
        return torch.cat([self.predictor(shared), self.embedding(shared)], dim=1)

    def forward(
        self,
        features: Mapping[str, Tensor],
        targets: Tensor | None = None,
        instances: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """In training the losses; at inference the logits ``(N, C, H, W)`` alone."""
        if self.training:
            return None, self.losses(self.layers(features), targets, instances, weights)
        return self.predict_with_embedding(features)[:, : self.num_classes], {}

    def predict_with_embedding(self, features: Mapping[str, Tensor]) -> Tensor:
        """``(N, C + D, H, W)`` at the size of the images."""
        return self.enlarged(self.layers(features))

    def losses(
        self,
        predictions: Tensor,
        targets: Tensor,
        instances: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses of what :meth:`layers` gives, against labels and instances at full size."""
        if len(self.loss_modules) == 0:
            if weights is not None:
                raise ValueError("sem_seg_weights need LOSSES: the stock loss takes no weights")
            return super().losses(predictions[:, : self.num_classes], targets)
        both = self.enlarged(predictions.float())
        logits, embedding = both.tensor_split([self.num_classes], dim=1)
        maps = None if instances is None else {"instances": instances}
        return self.weighed(logits, targets, weights, maps=maps, features=embedding)


@META_ARCH_REGISTRY.register()
class MetrisegEmbeddingSegmentor(SemanticSegmentor):
    """Detectron2's semantic segmentor, which also finds instances by grouping embeddings.

    In training the masks of ``instances`` (``MASK_ON: True``) say which pixels belong together; in
    an image without them, the components of its classes. Pixels of ``crowds``, which
    :class:`CrowdDatasetMapper` adds to an input, don't count there; ``sem_seg_weights`` weigh the
    pixels of all losses. At inference an output has, beside ``sem_seg``,
    ``instance_map``: ``(H, W)`` int64, 0 on the background and the instances from 1. The embedding
    is what :class:`metriseg.extraction.KernelSegments` trains.

    Args:
        sem_seg_head: a :class:`MetrisegEmbeddingSemSegFPNHead`.
        bandwidth: > 0, that of the ``KernelSegments`` in training.
        background: the class whose pixels belong to no instance; None groups all pixels.
        min_size: groups of fewer pixels join another, >= 1.
        pixels_per_unit: that of the ``KernelSegments`` in training, in pixels of the network's
            input; None for an embedding that isn't anchored at places.
        arguments: those of ``SemanticSegmentor``.

    Raises:
        ValueError: for an argument outside its domain, for a head without an embedding, and for a
            loss of another ``pixels_per_unit``.
    """

    @configurable
    def __init__(
        self,
        *,
        sem_seg_head: MetrisegEmbeddingSemSegFPNHead,
        bandwidth: float = 1.0,
        background: int | None = 0,
        min_size: int = 10,
        pixels_per_unit: float | Sequence[float] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(sem_seg_head=sem_seg_head, **arguments)
        if not isinstance(sem_seg_head, MetrisegEmbeddingSemSegFPNHead):
            raise ValueError(
                "sem_seg_head must be a MetrisegEmbeddingSemSegFPNHead,"
                f" got {type(sem_seg_head).__name__}"
            )
        self.bandwidth = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
        self.background = validation.label("background", background)
        self.min_size = validation.whole_number("min_size", min_size, low=1)
        self.pixels_per_unit = None if pixels_per_unit is None else axes_units(pixels_per_unit)
        for loss in sem_seg_head.loss_modules:
            for part, _ in parts_of(loss):
                self._check_places(part)

    def _check_places(self, loss: SegmentationLoss) -> None:
        extractor = getattr(loss, "extractor", None)
        if isinstance(extractor, KernelSegments):
            given = extractor.pixels_per_unit
            if (None if given is None else axes_units(given)) != self.pixels_per_unit:
                raise ValueError(
                    "pixels_per_unit must be that of the loss's KernelSegments"
                    f" (MODEL.EMBEDDING.PIXELS_PER_UNIT: {given!r}), got {self.pixels_per_unit!r}"
                )

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        node = cfg.MODEL.EMBEDDING
        return {
            **super().from_config(cfg),
            "bandwidth": node.BANDWIDTH,
            "background": node.BACKGROUND,
            "min_size": node.MIN_SIZE,
            "pixels_per_unit": node.PIXELS_PER_UNIT,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """The losses in training, else an output for every image."""
        images = self._batched(
            [(one["image"].to(self.device) - self.pixel_mean) / self.pixel_std
             for one in batched_inputs]
        )  # fmt: skip
        features = self.backbone(images.tensor)
        if self.training:
            ignored = self.sem_seg_head.ignore_value
            targets = self._batched([one["sem_seg"] for one in batched_inputs], ignored)
            weights = self._loaded(batched_inputs, "sem_seg_weights")
            instances = self._true_instances(batched_inputs)
            return self.sem_seg_head(features, targets.tensor, instances, weights)[1]
        both = self.sem_seg_head.predict_with_embedding(features)
        return [
            self._output(one, size, given)
            for one, size, given in zip(both, images.image_sizes, batched_inputs, strict=True)
        ]

    def _loaded(self, batched_inputs: list[dict[str, Any]], key: str) -> Tensor | None:
        """What the inputs have under a key, 0 in the padding; None where none has it."""
        having = [key in one for one in batched_inputs]
        if not any(having):
            return None
        if not all(having):
            raise ValueError(f"batched_inputs must all have {key!r}, or none of them")
        return self._batched([one[key] for one in batched_inputs]).tensor

    def _true_instances(self, batched_inputs: list[dict[str, Any]]) -> Tensor | None:
        """``(N, H, W)``; None where no image has any, and the losses find components themselves.

        Beside images with instances, the components of others are found as the losses find them.
        """
        if not any(has_masks(one) or CROWDS in one for one in batched_inputs):
            return None
        parts = [part for loss in self.sem_seg_head.loss_modules for part, _ in parts_of(loss)]
        reach = next((part.connectivity for part in parts if hasattr(part, "connectivity")), 1)
        painted = []
        for one in batched_inputs:
            if has_masks(one):
                painted.append(painted_instances(one["instances"], one.get(CROWDS)))
                continue
            found = connected_components(one["sem_seg"].cpu(), connectivity=reach)
            numbers = torch.from_numpy(found)
            crowds = one.get(CROWDS)
            painted.append(numbers if crowds is None else numbers.masked_fill(crowds.cpu(), -1))
        return self._batched(painted, 0).tensor

    def _batched(self, tensors: list[Tensor], padding: float = 0.0) -> ImageList:
        return ImageList.from_tensors(
            [tensor.to(self.device) for tensor in tensors],
            self.backbone.size_divisibility,
            padding,
            self.backbone.padding_constraints,
        )

    def _output(
        self, both: Tensor, size: tuple[int, int], given: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        height, width = given.get("height", size[0]), given.get("width", size[1])
        both = sem_seg_postprocess(both, size, height, width)
        logits, embedding = both.tensor_split([self.sem_seg_head.num_classes])
        foreground = None if self.background is None else logits.argmax(0) != self.background
        points = embedding[None]
        if self.pixels_per_unit is not None:
            # offsets are of the network's pixels, and these have another size
            down, across = self.pixels_per_unit
            points = landing_points(points, (down * height / size[0], across * width / size[1]))
        instances = group_embedding(
            points,
            foreground=None if foreground is None else foreground[None],
            bandwidth=self.bandwidth,
            min_size=self.min_size,
            method=method_for(self.pixels_per_unit),
        )
        return {"sem_seg": logits, "instance_map": instances[0] + (foreground is None)}


def axes_units(pixels_per_unit: float | Sequence[float]) -> tuple[float, float]:
    """The pixels of a unit down and across.

    Raises:
        ValueError: for anything but one number > 0 or two.
    """
    units = checked_units(pixels_per_unit)
    if len(units) > 2:
        raise ValueError(f"pixels_per_unit must be one number or two, got {pixels_per_unit!r}")
    return units[0], units[-1]


def has_masks(one: Mapping[str, Any]) -> bool:
    """Whether an input has masks of instances, or is known to have no instance."""
    instances = one.get("instances")
    return instances is not None and (instances.has("gt_masks") or len(instances) == 0)


def painted_instances(instances: Instances, crowds: Tensor | None = None) -> Tensor:
    """``(H, W)`` int64: 0 for background, and the instances from 1, the smallest on top.

    Args:
        instances: with ``gt_masks``, if there is any.
        crowds: ``(H, W)`` bool, the pixels that are -1 where no instance is.
    """
    height, width = instances.image_size
    if len(instances) == 0:
        drawn = torch.zeros(0, height, width, dtype=torch.bool)
    else:
        masks = instances.gt_masks
        if not isinstance(masks, BitMasks):
            masks = BitMasks.from_polygon_masks(masks, height, width)
        drawn = masks.tensor
    order = drawn.flatten(1).sum(1).argsort(descending=True, stable=True)
    # the highest number is on top
    number = torch.arange(len(drawn), device=drawn.device) + 1
    background = torch.zeros(1, height, width, dtype=torch.int64, device=drawn.device)
    painted = torch.cat([background, drawn[order] * number[:, None, None]]).amax(0)
    if crowds is None:
        return painted
    return torch.where(crowds.to(drawn.device) & (painted == 0), -1, painted)
