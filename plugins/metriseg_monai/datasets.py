"""The handwritten digits of :mod:`metriseg.data.digits` as MONAI's data sets take them."""

from __future__ import annotations

from typing import Any

from metriseg.data.digits import Split, load_digits, segmentation_masks


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
