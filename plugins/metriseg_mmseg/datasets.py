"""The handwritten digits of :mod:`metriseg.data.digits` as a data set of MMSegmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset

from metriseg.data.digits import CLASSES, PALETTE, Split, load_digits, segmentation_masks
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
