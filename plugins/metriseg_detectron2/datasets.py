"""Handwritten digits on a canvas, drawn shapes, and nuclei of cells, as instances."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
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
from metriseg.data.label_maps import read_label_map
from metriseg.data.shapes import ShapesDataset, ShapesSample

#: How many scenes a split has.
SCENES: dict[Split, int] = {"train": 300, "val": 40, "test": 40}
#: How many images of shapes a split has.
SHAPES: dict[Split, int] = {"train": 1000, "val": 100, "test": 100}


def register_data_sets() -> None:
    """Register digits, shapes and nuclei, each as training, validation and test data."""
    for split in SCENES:
        register_digits(split)
        register_shapes(split)
        register_nuclei(split)


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
    if _is_new(name, meaning):
        read = functools.partial(_shapes_records, drawn, Path(folder) / split)
        DatasetCatalog.register(name, read)
        _describe(name, shapes.CLASSES, meaning)
    return name


def _is_new(name: str, meaning: str) -> bool:
    """Whether the catalogue lacks a data set; raise where it has another of this name."""
    if name not in DatasetCatalog:
        return True
    found = MetadataCatalog.get(name).get("meaning")
    if found != meaning:
        raise ValueError(f"name must be new for {meaning}: {name!r} is {found}")
    return False


def _describe(name: str, classes: Iterable[str], meaning: str) -> None:
    """Metadata of a data set whose class 0 is the background, and the others are objects."""
    background, *things = classes
    MetadataCatalog.get(name).set(
        thing_classes=things,
        stuff_classes=[background, *things],
        ignore_label=255,
        evaluator_type="coco",
        meaning=meaning,
    )


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
    annotations = [
        _annotation(mask, box, int(classes[mask][0]) - 1) for mask, box in _objects(instances)
    ]
    return {
        "file_name": str(picture),
        "sem_seg_file_name": str(semantics),
        "image_id": number,
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def register_nuclei(
    split: Split,
    folder: str | Path = "work_dirs/nuclei",
    *,
    name: str | None = None,
    source: str | Path | None = None,
) -> str:
    """Register microscopic images of nuclei in Detectron2's catalogue, if they aren't there yet.

    The fluorescence images of the 2018 Data Science Bowl. A record has a nucleus an annotation,
    all of one category, and a map of two classes (0 is the background). Nothing is read or written
    before the data set is asked for; then a folder that isn't there is a FileNotFoundError.

    Args:
        split: "train", "val" or "test".
        folder: where the maps of classes are then written.
        name: in the catalogue; None for ``metriseg_nuclei_<split>``.
        source: the folder that ``images`` (PNG) and ``instances`` (PNG of 16 bits: 0 is the
            background, the nuclei from 1; of the same names) lie in; None takes
            ``$METRISEG_DATA/nuclei/<split>``.

    Returns:
        The name.

    Raises:
        ValueError: for an unknown split, and for a name that stands for another data set already.
    """
    validation.one_of("split", split, tuple(SHAPES))
    maps = Path(folder) / (name or split)
    name = name or f"metriseg_nuclei_{split}"
    meaning = f"nuclei in {source or f'$METRISEG_DATA/nuclei/{split}'}, their maps in {maps}"
    if _is_new(name, meaning):
        DatasetCatalog.register(name, functools.partial(_nuclei_records, split, source, maps))
        _describe(name, ("background", "nucleus"), meaning)
    return name


def _nuclei_records(split: Split, source: str | Path | None, maps: Path) -> list[dict[str, Any]]:
    folder = _nuclei_folder(split, source)
    pictures = sorted((folder / "images").glob("*.png"))
    if not pictures:
        raise FileNotFoundError(
            f"register_nuclei found no images (.png) in {folder / 'images'}: source must be the"
            " folder that images and instances lie in, or METRISEG_DATA the one that nuclei lies in"
        )
    maps.mkdir(parents=True, exist_ok=True)
    return [_nuclei_record(i, picture, maps) for i, picture in enumerate(pictures)]


def _nuclei_folder(split: Split, source: str | Path | None) -> Path:
    if source is not None:
        return Path(source)
    given = os.environ.get("METRISEG_DATA")
    if not given:
        raise FileNotFoundError(
            "register_nuclei needs source or the environment variable METRISEG_DATA: the folder"
            " that nuclei lies in"
        )
    return Path(given) / "nuclei" / split


def _nuclei_record(number: int, picture: Path, maps: Path) -> dict[str, Any]:
    numbers = picture.parents[1] / "instances" / picture.name
    if not numbers.is_file():
        raise FileNotFoundError(f"register_nuclei found no instances {numbers}")
    instances = read_label_map(numbers)
    semantics = maps / f"{picture.stem}_classes.png"
    _write((instances > 0).astype(np.uint8), semantics)
    height, width = instances.shape
    return {
        "file_name": str(picture),
        "sem_seg_file_name": str(semantics),
        "image_id": number,
        "height": height,
        "width": width,
        "annotations": [_annotation(mask, box, 0) for mask, box in _objects(instances)],
    }


def _objects(
    instances: np.ndarray,
) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """The mask of every number from 1 in a map, and its box: x0, y0, x1, y1, the last exclusive."""
    for k, place in enumerate(ndimage.find_objects(instances), start=1):
        if place is not None:
            rows, columns = place
            yield instances == k, (columns.start, rows.start, columns.stop, rows.stop)


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
