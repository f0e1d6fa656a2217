"""Handwritten digits on a canvas, and drawn shapes, as instances."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as rle
from scipy import ndimage

from metriseg import validation
from metriseg.data import digits, shapes
from metriseg.data.digits import Split
from metriseg.data.shapes import ShapesDataset, ShapesSample

#: How many scenes a split has.
SCENES: dict[Split, int] = {"train": 300, "val": 40, "test": 40}
#: How many images of shapes a split has.
SHAPES: dict[Split, int] = {"train": 1000, "val": 100, "test": 100}


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
            _annotation(mask, box, int(label))
            for mask, box, label in zip(scene.masks, scene.boxes, scene.labels, strict=True)
        ],
    }


def register_shapes(
    split: Split,
    folder: str | Path = "work_dirs/shapes",
    *,
    name: str | None = None,
    length: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Register drawn shapes in Detectron2's catalogue, if they aren't there already.

    A record has objects of five categories, and a map of six classes (0 is the background), so
    that heads of instances and of semantics find what they need. Nothing is drawn or written
    before the data set is asked for.

    Args:
        split: "train", "val" or "test".
        folder: where the images and maps are then written.
        name: in the catalogue; None for ``metriseg_shapes_<split>``. Data sets of other settings
            want other names, and other folders.
        length: how many images; None for 1000 in training and 100 else.
        settings: further arguments of :class:`metriseg.data.shapes.ShapesDataset`, as
            ``{"least_gap": 2}``; None for its defaults. The seed is 0, 1 or 2 by the split, unless
            they have one.

    Returns:
        The name.

    Raises:
        ValueError: for an unknown split, for settings that don't exist or lie outside their
            domains, and for a name that stands for other shapes already.
    """
    validation.one_of("split", split, tuple(SHAPES))
    name = name or f"metriseg_shapes_{split}"
    given = {"seed": list(SHAPES).index(split), "channels": 3, **(settings or {})}
    validation.refuse_unknown(ShapesDataset, given)
    drawn = ShapesDataset(SHAPES[split] if length is None else length, **given)
    validation.one_of("channels", drawn.channels, (1, 3))
    meaning = f"{len(drawn)} images in {folder}, {sorted(given.items())}"
    if name in DatasetCatalog:
        found = MetadataCatalog.get(name).get("meaning")
        if found != meaning:
            raise ValueError(f"name must be new for {meaning}: {name!r} is {found}")
        return name
    DatasetCatalog.register(name, functools.partial(_shapes_records, drawn, Path(folder) / split))
    MetadataCatalog.get(name).set(
        thing_classes=list(shapes.CLASSES[1:]),
        stuff_classes=list(shapes.CLASSES),
        ignore_label=255,
        evaluator_type="coco",
        meaning=meaning,
    )
    return name


def _shapes_records(drawn: ShapesDataset, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    return [_shapes_record(number, drawn[number], folder) for number in range(len(drawn))]


def _shapes_record(number: int, sample: ShapesSample, folder: Path) -> dict[str, Any]:
    image, classes, instances = (tensor.numpy() for tensor in sample)
    picture, semantics = folder / f"{number:04}.png", folder / f"{number:04}_classes.png"
    pixels = np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8)
    _write(pixels if pixels.shape[2] == 3 else pixels[..., 0], picture)
    _write(classes.astype(np.uint8), semantics)
    height, width = classes.shape
    annotations = []
    for k, (rows, columns) in enumerate(ndimage.find_objects(instances), start=1):
        mask, box = instances == k, (columns.start, rows.start, columns.stop, rows.stop)
        annotations.append(_annotation(mask, box, int(classes[mask][0]) - 1))
    return {
        "file_name": str(picture),
        "sem_seg_file_name": str(semantics),
        "image_id": number,
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def _annotation(mask: np.ndarray, box: Iterable[int], category: int) -> dict[str, Any]:
    return {
        "bbox": [float(edge) for edge in box],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": category,
        "segmentation": rle.encode(np.asfortranarray(mask.astype(np.uint8))),
    }


def _write(image: np.ndarray, path: Path) -> None:
    """Whole or not at all: other ranks may be reading the same file."""
    draft = path.with_suffix(f".{os.getpid()}.png")
    Image.fromarray(image).save(draft)
    draft.replace(path)
