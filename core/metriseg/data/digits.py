"""Handwritten digits as segmentation problems.

The images are the MNIST test digits in ``$METRISEG_DATA/mnist`` (IDX files, gzip). Where that
folder is absent, they are the smaller handwritten digits that come with scikit-learn, enlarged,
and a warning says so.
"""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Split = Literal["train", "val", "test"]

#: Names of the labels of :func:`segmentation_masks`.
CLASSES = ("background", *(f"digit {d}" for d in range(10)))
#: A colour for each of them (RGB).
PALETTE = (
    (0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212),
)  # fmt: skip

#: Images a split, as in Duque-Arias et al. 2021 (140 of each digit, then 1000, 200 and 200).
SPLITS: dict[Split, tuple[int, int]] = {
    "train": (0, 1000),
    "val": (1000, 1200),
    "test": (1200, 1400),
}
_PER_DIGIT = 140
_SEED = 20211
_SIDE = 28


@dataclass(frozen=True)
class Digits:
    """Grey images of one digit each.

    Attributes:
        images: ``(K, 28, 28)`` uint8.
        labels: ``(K,)`` uint8, 0 … 9.
        source: where they come from, in words.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scene:
    """Several digits on one canvas.

    Attributes:
        image: ``(H, W)`` uint8.
        masks: ``(K, H, W)`` bool, one a digit.
        boxes: ``(K, 4)`` int64: x0, y0, x1, y1, the last two exclusive.
        labels: ``(K,)`` int64, 0 … 9.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.int64]
    labels: NDArray[np.int64]


def load_digits(split: Split, root: str | Path | None = None) -> Digits:
    """The digits of a split, the same at every call.

    Args:
        split: "train", "val" or "test".
        root: the folder that ``mnist`` lies in; None takes ``$METRISEG_DATA``.

    Raises:
        ValueError: for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}, got {split!r}")
    images, labels, source = _all_digits(root or os.environ.get("METRISEG_DATA"))
    order = _balanced_order(labels)
    first, last = SPLITS[split]
    chosen = order[first:last]
    return Digits(images[chosen], labels[chosen], source)


def segmentation_masks(digits: Digits, threshold: int = 128) -> NDArray[np.uint8]:
    """``(K, 28, 28)``: 0 for background, d + 1 where digit d is at least ``threshold`` bright."""
    return np.where(digits.images >= threshold, digits.labels[:, None, None] + 1, 0).astype(
        np.uint8
    )


def scenes(
    digits: Digits,
    count: int,
    *,
    side: int = 128,
    per_scene: tuple[int, int] = (2, 5),
    threshold: int = 128,
    seed: int = 0,
) -> Iterator[Scene]:
    """Digits pasted where there is room on a square canvas, enlarged once or twice."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        image = np.zeros((side, side), np.uint8)
        masks, labels = [], []
        for _ in range(int(random.integers(per_scene[0], per_scene[1] + 1))):
            index, scale = int(random.integers(len(digits))), int(random.integers(1, 3))
            patch = np.kron(digits.images[index], np.ones((scale, scale), np.uint8))
            extent = len(patch)
            y, x = (int(v) for v in random.integers(0, side - extent + 1, size=2))
            room = (slice(y, y + extent), slice(x, x + extent))
            if image[room].any():
                continue
            image[room] = patch
            mask = np.zeros((side, side), bool)
            mask[room] = patch >= threshold
            masks.append(mask)
            labels.append(int(digits.labels[index]))
        boxes = np.array([_box(mask) for mask in masks], np.int64)
        yield Scene(image, np.array(masks), boxes, np.array(labels, np.int64))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _all_digits(
    folder: str | Path | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    mnist = Path(folder) / "mnist" if folder else None
    if mnist is not None and (mnist / "t10k-images-idx3-ubyte.gz").is_file():
        images = _read_idx(mnist / "t10k-images-idx3-ubyte.gz")
        return images, _read_idx(mnist / "t10k-labels-idx1-ubyte.gz"), "MNIST (test digits)"
    return _small_digits()


def _small_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    try:
        from sklearn.datasets import load_digits as load_small
    except ImportError:
        raise ImportError(
            "there is no MNIST in $METRISEG_DATA/mnist, and scikit-learn, whose digits could stand"
            " in for it, is not installed: pip install 'metriseg[demo]'"
        ) from None
    warnings.warn(
        "no MNIST in $METRISEG_DATA/mnist: using scikit-learn's handwritten digits, enlarged from"
        " 8 x 8 to 28 x 28 pixels",
        stacklevel=3,
    )
    bunch: Any = load_small()
    coarse = bunch.images.astype(np.float64) * (255 / 16)
    scale = _SIDE / coarse.shape[1]
    fine = ndimage.zoom(coarse, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    images = fine.round().clip(0, 255).astype(np.uint8)
    return images, bunch.target.astype(np.uint8), "scikit-learn (handwritten digits, enlarged)"


def _read_idx(path: Path) -> NDArray[np.uint8]:
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _balanced_order(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """140 of every digit, shuffled once and for all."""
    random = np.random.default_rng(_SEED)
    chosen = [random.permutation(np.flatnonzero(labels == d))[:_PER_DIGIT] for d in range(10)]
    return random.permutation(np.concatenate(chosen))
