"""Images with their objects: folders of files, and what a training step draws of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.data.label_maps import read_image, read_label_map
from metriseg.experiments.objects import Labels

#: Percentiles of an image's values that become 0 and 1, and the most that a value becomes.
DARK, BRIGHT, MOST = 1.0, 99.8, 1.5
#: In training an image's values are multiplied by something between.
GAINS = (0.7, 1.3)


class Sample(NamedTuple):
    """An image ``(H, W)`` float32, about 0 to 1, and its objects ``(H, W)``, 0 for background."""

    name: str
    image: NDArray[np.float32]
    objects: Labels


def data_folder(part: str) -> Path:
    """``nuclei/<part>`` of the folder that METRISEG_DATA names.

    Raises:
        ValueError: where it names none, or one without nuclei.
    """
    root = os.environ.get("METRISEG_DATA")
    if not root:
        raise ValueError("METRISEG_DATA must name the folder of nuclei/train and nuclei/val")
    folder = Path(root) / "nuclei" / part
    if not folder.is_dir():
        raise ValueError(f"METRISEG_DATA must name a folder with nuclei/{part}, got {root}")
    return folder


def read_folder(folder: str | Path) -> list[Sample]:
    """``images/*.png`` and the ``instances`` of the same names, in the order of the names.

    Raises:
        ValueError: for a folder without images, and for an image without its objects or of
            another size.
    """
    files = sorted((Path(folder) / "images").glob("*.png"))
    if not files:
        raise ValueError(f"folder must hold images/*.png, got {folder}")
    samples = []
    for file in files:
        beside = Path(folder) / "instances" / file.name
        if not beside.is_file():
            raise ValueError(f"folder must hold instances/{file.name} beside images/{file.name}")
        image, objects = read_image(file), np.asarray(read_label_map(beside)).astype(np.int64)
        if image.ndim == 3:
            image = image.mean(2)
        if image.shape != objects.shape:
            raise ValueError(
                f"images/{file.name} must have the shape of its instances, {objects.shape},"
                f" got {image.shape}"
            )
        samples.append(Sample(file.stem, scaled(image), objects))
    return samples


def scaled(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Values whose dark and bright ends are 0 and 1, whatever the exposure."""
    values = image.astype(np.float32)
    low, high = np.percentile(values, [DARK, BRIGHT])
    found: NDArray[np.float32] = np.clip((values - low) / (high - low + 1e-6), 0, MOST)
    return found.astype(np.float32)


def draw_crops(
    samples: Sequence[Sample], count: int, side: int, drawn: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Crops ``(N, 1, side, side)``, turned, mirrored, brighter or darker, and their objects."""
    images, objects = [], []
    for _ in range(count):
        one = samples[int(drawn.integers(len(samples)))]
        top, left = (int(drawn.integers(length - side + 1)) for length in one.objects.shape)
        rows, columns = slice(top, top + side), slice(left, left + side)
        turns, mirrored = int(drawn.integers(4)), drawn.random() < 0.5
        image, labels = (np.rot90(part[rows, columns], turns) for part in one[1:])
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        images.append(image * np.float32(drawn.uniform(*GAINS)))
        objects.append(labels)
    return torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(objects))
