"""The data of :mod:`metriseg.data` as data sets of MMSegmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmseg.datasets import BaseSegDataset

from metriseg import validation
from metriseg.data import shapes
from metriseg.data.digits import CLASSES, PALETTE, Split, load_digits, segmentation_masks
from metriseg_mmseg.carried import INSTANCE_MAP
from metriseg_mmseg.registry import DATASETS


@DATASETS.register_module()
class DigitsDataset(BaseSegDataset):
    """Digits of 28 x 28 pixels, each on its background: eleven classes.

    The images are held in memory, so the pipeline begins with ``LoadImageFromNDArray`` and needs
    no ``LoadAnnotations``.

    Args:
        split: "train", "val" or "test".
        pipeline: transforms.
        indices: the first so many images, or these; None for all.
        test_mode: whether the images are for validation or testing.
        lazy_init: whether to load at first use.

    Raises:
        ValueError: for an unknown split.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        "classes": CLASSES,
        "palette": [list(color) for color in PALETTE],
    }

    def __init__(
        self,
        split: Split,
        pipeline: Sequence[dict[str, Any] | Callable[[dict[str, Any]], Any]] = (),
        *,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        self.split = split
        #: Where the images come from, in words; empty until they are loaded.
        self.source = ""
        super().__init__(
            pipeline=pipeline, indices=indices, test_mode=test_mode, lazy_init=lazy_init
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        digits = load_digits(self.split)
        self.source = digits.source
        return [
            {
                "img": image,
                "gt_seg_map": mask,
                "seg_fields": ["gt_seg_map"],
                "reduce_zero_label": False,
            }
            for image, mask in zip(digits.images, segmentation_masks(digits), strict=True)
        ]


@DATASETS.register_module()
class ShapesDataset(BaseSegDataset):
    """The shapes of :class:`metriseg.data.shapes.ShapesDataset`: six classes, and objects.

    An image is drawn when it is asked for, as uint8 (RGB where it has three channels), so the
    pipeline begins with ``LoadImageFromNDArray`` and needs no ``LoadAnnotations``. The numbers of
    the objects are ``gt_instance_map``, which transforms flip, crop and resize as they do the
    classes, and which ``metriseg_mmseg.PackInstanceInputs`` packs.

    Args:
        length: how many images.
        pipeline: transforms.
        settings: further arguments of :class:`metriseg.data.shapes.ShapesDataset`, as
            ``dict(least_gap=0, seed=1)``; None for its defaults.
        indices: the first so many images, or these; None for all.
        test_mode: whether the images are for validation or testing.
        lazy_init: whether to load at first use.

    Raises:
        ValueError: for settings that don't exist or lie outside their domains.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        "classes": shapes.CLASSES,
        "palette": [list(color) for color in shapes.PALETTE],
    }

    def __init__(
        self,
        length: int = 1000,
        pipeline: Sequence[dict[str, Any] | Callable[[dict[str, Any]], Any]] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        validation.refuse_unknown(shapes.ShapesDataset, settings or {})
        self.drawn = shapes.ShapesDataset(length, **(settings or {}))
        super().__init__(
            pipeline=pipeline, indices=indices, test_mode=test_mode, lazy_init=lazy_init
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        return [{"number": number} for number in range(len(self.drawn))]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        info: dict[str, Any] = super().get_data_info(idx)
        image, classes, instances = self.drawn[info.pop("number")]
        return {
            **info,
            "img": np.rint(255 * image.numpy().transpose(1, 2, 0)).astype(np.uint8),
            "gt_seg_map": classes.numpy().astype(np.uint8),
            INSTANCE_MAP: instances.numpy().astype(np.uint8),
            "seg_fields": ["gt_seg_map", INSTANCE_MAP],
            "reduce_zero_label": False,
        }
