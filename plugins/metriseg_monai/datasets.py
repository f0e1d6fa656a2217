"""The data of :mod:`metriseg.data` as MONAI's data sets take them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

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


def hippocampus(
    split: Literal["train", "val"], dataset_dir: str | None = None, limit: int | None = None
) -> list[dict[str, str]]:
    """Volumes of the hippocampus, for the ``data`` of a ``monai.data.Dataset`` with ``LoadImaged``.

    Task 4 of the Medical Segmentation Decathlon (Simpson et al. 2019, arXiv:1902.09063), laid out
    as ``hippocampus/{train,val}/{images,labels}/*.nii.gz``, an image and its label of one name:
    MRI of about 36 x 50 x 36 mm at 1 mm; label 0 is background, 1 anterior, 2 posterior.

    Args:
        split: "train" or "val".
        dataset_dir: the folder that ``hippocampus`` lies in; None takes ``$METRISEG_DATA``.
        limit: how many of them, from the first by name; None for all.

    Returns:
        A dictionary a volume: the paths "image" and "label".

    Raises:
        ValueError: for an unknown split or a limit below 1.
        FileNotFoundError: where there are no such files, or an image has no label.
    """
    validation.one_of("split", split, ("train", "val"))
    return _pairs("hippocampus", split, dataset_dir, limit, ("label", "labels"), ".nii.gz")


#: What a folder of volumes must hold.
_LAYOUT = "the folder must hold images and labels, files of the same names"


def volumes(folder: str | Path, limit: int | None = None) -> list[dict[str, str]]:
    """Volumes in any folder, for the ``data`` of a ``monai.data.Dataset`` with ``LoadImaged``.

    Args:
        folder: laid out as ``{images,labels}/*.nii.gz``, an image and its label of one name.
        limit: how many of them, from the first by name; None for all.

    Returns:
        A dictionary a volume: the paths "image" and "label".

    Raises:
        ValueError: for a limit below 1.
        FileNotFoundError: where there are no such files, or an image has no label.
    """
    return _pairs_in(Path(folder), limit, ("label", "labels"), ".nii.gz", "volumes", _LAYOUT)


def nuclei(
    split: Split, dataset_dir: str | None = None, limit: int | None = None
) -> list[dict[str, str]]:
    """Images of nuclei, for the ``data`` of a ``monai.data.Dataset`` with ``LoadImaged``.

    The fluorescence images of the 2018 Data Science Bowl (Caicedo et al. 2019,
    doi:10.1038/s41592-019-0612-7), laid out as ``nuclei/{train,val,test}/{images,instances}``, an
    image and its instances of one name, both PNG: images of 8 bits; instances of 16 bits, 0
    background and the nuclei from 1.

    Args:
        split: "train", "val" or "test".
        dataset_dir: the folder that ``nuclei`` lies in; None takes ``$METRISEG_DATA``.
        limit: how many of them, from the first by name; None for all.

    Returns:
        A dictionary an image: the paths "image" and "instances".

    Raises:
        ValueError: for an unknown split or a limit below 1.
        FileNotFoundError: where there are no such files, or an image has no instances.
    """
    validation.one_of("split", split, get_args(Split))
    return _pairs("nuclei", split, dataset_dir, limit, ("instances", "instances"), ".png")


def _pairs(
    name: str,
    split: str,
    dataset_dir: str | None,
    limit: int | None,
    truth: tuple[str, str],
    suffix: str,
) -> list[dict[str, str]]:
    """The files in ``<name>/<split>/images``, and those of the same names that hold the truth.

    ``truth`` is the key of the latter in a dictionary, and the folder beside ``images``.
    """
    given = dataset_dir or os.environ.get("METRISEG_DATA")
    if not given:
        raise FileNotFoundError(
            f"{name} needs dataset_dir or the environment variable METRISEG_DATA: the folder"
            f" that {name} lies in"
        )
    hint = f"dataset_dir or METRISEG_DATA must be the folder that {name} lies in"
    return _pairs_in(Path(given) / name / split, limit, truth, suffix, name, hint)


def _pairs_in(
    folder: Path, limit: int | None, truth: tuple[str, str], suffix: str, name: str, hint: str
) -> list[dict[str, str]]:
    """Those of a folder; ``name`` and ``hint`` are said where there are none."""
    validation.optional(validation.whole_number, "limit", limit, low=1)
    key, beside = truth
    images = sorted((folder / "images").glob(f"*{suffix}"))
    if not images:
        raise FileNotFoundError(f"{name} found no images ({suffix}) in {folder / 'images'}: {hint}")
    items = [
        {"image": str(image), key: str(folder / beside / image.name)} for image in images[:limit]
    ]
    for item in items:
        if not Path(item[key]).exists():
            raise FileNotFoundError(f"{name} found no {key} {item[key]}")
    return items


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
