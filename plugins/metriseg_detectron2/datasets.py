"""Handwritten digits on a canvas, as instances."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as rle

from metriseg.data import digits
from metriseg.data.digits import Split

#: How many scenes a split has.
SCENES: dict[Split, int] = {"train": 300, "val": 40, "test": 40}


def register_digits(split: Split, folder: str | Path = "work_dirs/digits") -> str:
    """Register ``metriseg_digits_<split>`` in Detectron2's catalogue, if it isn't there already.

    Nothing is read or written before the data set is asked for.

    Args:
        split: "train", "val" or "test".
        folder: where the images are then written.

    Returns:
        The name.
    """
    if split not in SCENES:
        raise ValueError(f"split must be one of {', '.join(map(repr, SCENES))}, got {split!r}")
    name = f"metriseg_digits_{split}"
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, functools.partial(_records, split, Path(folder) / split))
        # "coco": the evaluator that Detectron2's own scripts then choose
        MetadataCatalog.get(name).set(thing_classes=list(digits.CLASSES[1:]), evaluator_type="coco")
    return name


def _records(split: Split, folder: Path) -> list[dict[str, Any]]:
    """The scenes of a split in Detectron2's format, their images written as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = digits.scenes(digits.load_digits(split), SCENES[split], seed=list(SCENES).index(split))
    return [_record(i, scene, folder / f"{i:04}.png") for i, scene in enumerate(scenes)]


def _record(number: int, scene: digits.Scene, path: Path) -> dict[str, Any]:
    _write(scene.image, path)
    height, width = scene.image.shape
    return {
        "file_name": str(path),
        "image_id": number,
        "height": height,
        "width": width,
        "annotations": [
            {
                "bbox": [float(edge) for edge in box],
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": int(label),
                "segmentation": rle.encode(np.asfortranarray(mask.astype(np.uint8))),
            }
            for mask, box, label in zip(scene.masks, scene.boxes, scene.labels, strict=True)
        ],
    }


def _write(image: np.ndarray, path: Path) -> None:
    """Whole or not at all: other ranks may be reading the same file."""
    draft = path.with_suffix(f".{os.getpid()}.png")
    Image.fromarray(image).save(draft)
    draft.replace(path)
