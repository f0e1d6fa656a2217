"""Slices of the hippocampus: volumes of METRISEG_DATA, from the top to the bottom."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.data.nifti import read_nifti

#: Labels, and what is beyond a volume that others are larger than.
CLASSES = ("background", "anterior", "posterior")
BEYOND = -1
#: Sides of the slices are multiples of this, as the network wants them.
MULTIPLE = 8


class Volume(NamedTuple):
    """Slices ``(D, 1, H, W)`` of mean 0 and deviation 1, and labels ``(D, H, W)``."""

    images: Tensor
    labels: Tensor


def read_volumes(part: str, limit: int | None = None) -> list[Volume]:
    """The first volumes by name of ``hippocampus/<part>``, padded to the size of the largest.

    Raises:
        ValueError: where METRISEG_DATA names no folder, or one without them, and for a volume
            without its labels, of another shape than these, or with labels that aren't 0, 1 or 2.
    """
    root = os.environ.get("METRISEG_DATA")
    if not root:
        raise ValueError("METRISEG_DATA must name the folder of hippocampus/train and …/val")
    folder = Path(root) / "hippocampus" / part
    files = sorted((folder / "images").glob("*.nii.gz"))[:limit]
    if not files:
        raise ValueError(
            f"METRISEG_DATA must name a folder with hippocampus/{part}/images/*.nii.gz, got {root}"
        )
    return padded([_read(file, folder / "labels" / file.name) for file in files])


def padded(volumes: Sequence[Volume]) -> list[Volume]:
    """All with slices of one size; labels beyond a volume are :data:`BEYOND`, and images 0."""
    sides = [max(one.labels.shape[axis] for one in volumes) for axis in (1, 2)]
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in sides)
    found = []
    for images, labels in volumes:
        missing = (0, width - labels.shape[2], 0, height - labels.shape[1])
        found.append(Volume(nnf.pad(images, missing), nnf.pad(labels, missing, value=BEYOND)))
    return found


def together(volumes: Sequence[Volume]) -> Volume:
    """All slices as one volume."""
    return Volume(*(torch.cat(parts) for parts in zip(*padded(volumes), strict=True)))


def _read(file: Path, beside: Path) -> Volume:
    if not beside.is_file():
        raise ValueError(f"hippocampus must have labels/{file.name} beside images/{file.name}")
    image, labels = read_nifti(file).astype(np.float32), read_nifti(beside).astype(np.int64)
    if image.shape != labels.shape:
        raise ValueError(
            f"images/{file.name} must have the shape of its labels, {labels.shape}, got"
            f" {image.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"labels/{file.name} must be 0, 1 or 2, got {np.unique(labels).tolist()}")
    image = (image - image.mean()) / max(float(image.std()), 1e-6)
    slices = [np.ascontiguousarray(np.moveaxis(one, 2, 0)) for one in (image, labels)]
    return Volume(torch.from_numpy(slices[0])[:, None], torch.from_numpy(slices[1]))
