"""The data of :mod:`metriseg.data` as MONAI's data sets take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from metriseg import validation
from metriseg.data.digits import Split, load_digits, segmentation_masks
from metriseg.data.shapes import ShapesDataset


def digits(split: Split, dataset_dir: str | None = None) -> list[dict[str, Any]]:
    """Images of one digit each, for the ``data`` of a ``monai.data.Dataset``.

    Args:
        split: "train", "val" or "test".
        dataset_dir: the folder that ``mnist`` lies in; None takes ``$METRISEG_DATA``.

    Returns:
        A dictionary an image: "image", ``(1, 28, 28)`` uint8, and "label", ``(1, 28, 28)`` uint8
        with 0 for background and d + 1 for the digit d.

    Raises:
        ValueError: for an unknown split.
    """
    loaded = load_digits(split, dataset_dir)
    pairs = zip(loaded.images, segmentation_masks(loaded), strict=True)
    return [{"image": image[None], "label": mask[None]} for image, mask in pairs]


class Shapes(Dataset[dict[str, Tensor]]):
    """Drawn shapes that may touch, for the ``data`` of a ``monai.data.Dataset``.

    An item is drawn when it is asked for: a dictionary of "image", ``(C, H, W)`` float32 in
    [0, 1], "label", ``(1, H, W)`` int64 with 0 for background and 1 … 5 for the shapes, and
    "instances", ``(1, H, W)`` int64 with 0 for background and the objects from 1.

    Args:
        length: how many images.
        settings: further arguments of :class:`metriseg.data.shapes.ShapesDataset`, as
            ``{"least_gap": 0, "seed": 1}``; None for its defaults.

    Raises:
        ValueError: for settings that don't exist or lie outside their domains.
    """

    def __init__(self, length: int = 1000, settings: Mapping[str, Any] | None = None) -> None:
        validation.refuse_unknown(ShapesDataset, settings or {})
        self.drawn = ShapesDataset(length, **(settings or {}))

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image, classes, instances = self.drawn[index]
        return {
            "image": image,
            "label": classes.unsqueeze(0),
            "instances": instances.unsqueeze(0),
        }
