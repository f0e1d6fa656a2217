"""Flat shapes that never overlap, but may touch: a data set of partitions, drawn on demand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from torch import Tensor
from torch.utils.data import Dataset

from metriseg import validation
from metriseg.data.outlines import SHAPES, Shape, shape_mask

#: Names of the labels of :attr:`ShapesSample.classes`.
CLASSES = ("background", *SHAPES)
#: A colour for each of them (RGB).
PALETTE = (
    (0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
)  # fmt: skip

#: Below this radius a star and a pentagon are the same few pixels.
LEAST_RADIUS = 3.0
#: What a drawn colour differs from the background at least, on average over the channels.
CONTRAST = 0.25
#: Shapes drawn for one place before the image is begun anew, and how often it is.
_DRAWS, _BEGINNINGS = 10, 100

_Mask = NDArray[np.bool_]


class ShapesSample(NamedTuple):
    """An image and its two truths.

    Attributes:
        image: ``(C, H, W)`` float32 in [0, 1].
        classes: ``(H, W)`` int64: 0 for background, else the shape, see :data:`CLASSES`.
        instances: ``(H, W)`` int64: 0 for background, else the object, from 1.
    """

    image: Tensor
    classes: Tensor
    instances: Tensor


class ShapesDataset(Dataset[ShapesSample]):
    """Images of a few circles, rectangles, triangles, pentagons and stars that never overlap.

    The default is the hard case: objects of one colour, half of which touch another. Only their
    outlines tell them apart, and connected components of the true classes merge some.

    An image is drawn when it is asked for, from the seed and its index alone. The shapes are drawn
    before their colours and the noise, so that these settings don't change the truth. Every
    shape lies in the image as a whole, and is one component of four neighbours. Where one has no
    room, others are drawn, so that crowded images hold smaller shapes.

    Args:
        length: how many images, >= 0.
        size: height and width, in pixels.
        shapes: which of the five there are; their labels don't depend on it.
        number: the least and the most shapes an image, >= 0.
        mean_number: mean of the normal distribution that the number is drawn from, which is then
            rounded and clipped to ``number``; None for the middle of ``number``.
        number_deviation: its standard deviation, >= 0.
        radius: the least and the largest radius of the circle around a shape, in pixels, >= 3;
            None for a tenth and a fifth of the shorter side.
        least_gap: how many pixels of background there are between two shapes at least; the
            distance between a pixel of the one and one of the other is at least ``least_gap + 1``.
            0 lets shapes touch.
        touching: the share of the shapes, after an image's first, that are put as near to another
            as ``least_gap`` allows, rather by a long side than by a corner; with ``least_gap=0``
            they touch it. In [0, 1].
        channels: C >= 1.
        color: "same" draws one colour an image, "own" one a shape; or the colour of all, a number
            or C numbers in [0, 1].
        background: a number, or C numbers, in [0, 1].
        noise: standard deviation of the noise that is added to every value, >= 0; the sum is
            clipped to [0, 1].
        seed: >= 0. Data sets of different seeds have nothing in common: take one for training and
            another for testing.

    Raises:
        ValueError: for an argument outside its domain; at an image, where the shapes have no room.
        IndexError: for an index that is not there.

    Source: after the data of Kovtunenko & Mashtalir 2026, "Metrical loss functions for image
    segmentation based on convolutional neural networks", doi:10.15276/aait.09.2026.12, section 4.

    >>> image, classes, instances = ShapesDataset(10, size=(64, 64))[3]
    >>> image.shape, classes.shape, instances.unique()
    (torch.Size([3, 64, 64]), torch.Size([64, 64]), tensor([0, 1, 2, 3]))
    """

    def __init__(
        self,
        length: int = 1000,
        *,
        size: tuple[int, int] = (100, 100),
        shapes: Sequence[Shape] = SHAPES,
        number: tuple[int, int] = (2, 5),
        mean_number: float | None = None,
        number_deviation: float = 1.0,
        radius: tuple[float, float] | None = None,
        least_gap: int = 0,
        touching: float = 0.5,
        channels: int = 3,
        color: Literal["same", "own"] | float | Sequence[float] = "same",
        background: float | Sequence[float] = 0.0,
        noise: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.length = validation.whole_number("length", length)
        height, width = _pair("size", size)
        self.size = (
            validation.whole_number("size", height, low=1),
            validation.whole_number("size", width, low=1),
        )
        self.shapes = _chosen(shapes)
        self.number = _number(number)
        middle = sum(self.number) / 2
        self.mean_number = middle if mean_number is None else _finite("mean_number", mean_number)
        self.number_deviation = validation.number("number_deviation", number_deviation, low=0.0)
        self.radius = _radius(radius, self.size)
        self.least_gap = validation.whole_number("least_gap", least_gap)
        self.touching = validation.number("touching", touching, low=0.0, high=1.0)
        self.channels = validation.whole_number("channels", channels, low=1)
        self.background = _levels("background", background, self.channels)
        self.color = self._color(color)
        self.noise = validation.number("noise", noise, low=0.0)
        self.seed = validation.whole_number("seed", seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> ShapesSample:
        if not -self.length <= index < self.length:
            raise IndexError(f"index must be below {self.length}, the length, got {index}")
        random = np.random.default_rng([self.seed, index % self.length])
        instances, labels = self._scene(random)
        image = self._painted(instances, len(labels), random)
        classes = np.array([0, *labels])[instances]
        return ShapesSample(*map(torch.from_numpy, (image, classes, instances)))

    def _scene(self, random: np.random.Generator) -> tuple[NDArray[np.int64], list[int]]:
        """The map of the objects, and the label of each."""
        drawn = random.normal(self.mean_number, self.number_deviation)
        count = int(np.clip(round(drawn), *self.number))
        for _ in range(_BEGINNINGS):
            instances, labels = np.zeros(self.size, np.int64), list[int]()
            while len(labels) < count:
                label = self._add_shape(instances, random)
                if label is None:
                    break
                labels.append(label)
            else:
                return instances, labels
        raise ValueError(
            f"number, radius and least_gap must leave room: found no place for {count} shapes of a"
            f" radius from {self.radius[0]:g} to {self.radius[1]:g} with a gap of {self.least_gap}"
            f" in {self.size[0]} x {self.size[1]} pixels"
        )

    def _add_shape(self, instances: NDArray[np.int64], random: np.random.Generator) -> int | None:
        """Write one more object and tell its label; None where nothing fits."""
        occupied = instances > 0
        beside = bool(occupied.any()) and random.random() < self.touching
        for _ in range(_DRAWS):
            label, mask = self._drawn(random)
            corner = _draw_place(_places(occupied, mask, self.least_gap, beside=beside), random)
            if corner is not None:
                room = instances[corner[0] :, corner[1] :][: mask.shape[0], : mask.shape[1]]
                room[mask] = instances.max() + 1
                return label
        return None

    def _drawn(self, random: np.random.Generator) -> tuple[int, _Mask]:
        shape = self.shapes[int(random.integers(len(self.shapes)))]
        mask = shape_mask(
            shape,
            random.uniform(*self.radius),
            angle=random.uniform(0, 2 * math.pi),
            side_ratio=random.uniform(0.4, 1.0),
            offset=(random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)),
        )
        return CLASSES.index(shape), mask

    def _painted(
        self, instances: NDArray[np.int64], count: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        colors = np.stack([self.background, *self._colors(count, random)])
        image = np.take(colors.T, instances, axis=1)
        if self.noise:
            image += np.float32(self.noise) * random.standard_normal(image.shape, np.float32)
        return image.clip(0, 1, out=image)

    def _colors(self, count: int, random: np.random.Generator) -> list[NDArray[np.float32]]:
        if not isinstance(self.color, str):
            return [self.color] * count
        if self.color == "same":
            return [self._visible_color(random)] * count
        return [self._visible_color(random) for _ in range(count)]

    def _visible_color(self, random: np.random.Generator) -> NDArray[np.float32]:
        while True:
            color = random.random(self.channels, np.float32)
            if np.abs(color - self.background).mean() >= CONTRAST:
                return color

    def _color(self, color: object) -> str | NDArray[np.float32]:
        if isinstance(color, str):
            if color not in ("same", "own"):
                raise ValueError(f"color must be 'same', 'own', or numbers, got {color!r}")
            return color
        levels = _levels("color", color, self.channels)
        if (levels == self.background).all():
            raise ValueError(f"color must differ from background, got {color!r} for both")
        return levels


def _places(
    occupied: _Mask, mask: _Mask, least_gap: int, *, beside: bool
) -> NDArray[np.int64] | None:
    """How well a mask's box stands with its first corner here or there; 0 where it must not.

    1 wherever it is in the image and far enough from all others; if beside, then only where it is
    no farther from another than it must be, and the number of its pixels that are. Both are
    correlations of maps with the mask, which a Fourier transform has for all places at once.
    """
    free = tuple(full - own + 1 for full, own in zip(occupied.shape, mask.shape, strict=True))
    if min(free) < 1:
        return None
    if not occupied.any():
        return np.ones(free, np.int64)
    blocked = occupied
    if least_gap:
        blocked = ndimage.distance_transform_edt(~occupied) < least_gap + 1
    fits = _correlation(blocked, mask)[: free[0], : free[1]] == 0
    counts: NDArray[np.int64] = fits.astype(np.int64)
    if not beside:
        return counts
    border = ndimage.binary_dilation(blocked) & ~blocked
    counts *= _correlation(border, mask)[: free[0], : free[1]]
    return counts


def _correlation(field: _Mask, mask: _Mask) -> NDArray[np.int64]:
    """How many pixels of the mask are in the field, for every place; right where it isn't cut."""
    spectrum = fft.rfft2(field.astype(np.float64))
    own = fft.rfft2(mask.astype(np.float64), s=field.shape)
    sums = fft.irfft2(spectrum * own.conj(), s=field.shape)
    rounded: NDArray[np.int64] = np.rint(sums).astype(np.int64)
    return rounded


def _draw_place(
    places: NDArray[np.int64] | None, random: np.random.Generator
) -> tuple[int, int] | None:
    """A place by chance, in proportion to the numbers; None where all are 0."""
    if places is None:
        return None
    sums = places.cumsum()
    if sums[-1] == 0:
        return None
    chosen = int(np.searchsorted(sums, random.integers(sums[-1]), side="right"))
    columns: int = places.shape[1]
    return divmod(chosen, columns)


def _chosen(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    if isinstance(shapes, str) or not isinstance(shapes, Sequence) or not shapes:
        raise ValueError(
            f"shapes must be a sequence of some of {', '.join(map(repr, SHAPES))}, got {shapes!r}"
        )
    for shape in shapes:
        validation.one_of("shapes", shape, SHAPES)
    return tuple(shapes)


def _number(number: tuple[int, int]) -> tuple[int, int]:
    least, most = (validation.whole_number("number", n) for n in _pair("number", number))
    if least > most:
        raise ValueError(f"number must be the least and the most, got {number!r}")
    return least, most


def _radius(radius: tuple[float, float] | None, size: tuple[int, int]) -> tuple[float, float]:
    side = min(size)
    if radius is None:
        radius = (max(side / 10, LEAST_RADIUS), max(side / 5, LEAST_RADIUS))
    least, most = (
        validation.number("radius", r, low=LEAST_RADIUS) for r in _pair("radius", radius)
    )
    if least > most:
        raise ValueError(f"radius must be the least and the largest, got {radius!r}")
    if 2 * most + 1 > side:
        raise ValueError(
            f"radius must be at most {(side - 1) / 2:g}, so that every shape has room in"
            f" {size[0]} x {size[1]} pixels, got {most:g}"
        )
    return least, most


def _pair(name: str, value: object) -> tuple[Any, Any]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{name} must be a pair, got {value!r}")
    return value[0], value[1]


def _levels(name: str, value: object, channels: int) -> NDArray[np.float32]:
    """``(C,)`` from a number for all channels, or from one a channel."""
    given: list[Any] = list(value) if isinstance(value, Sequence) else [value] * channels
    if len(given) != channels:
        raise ValueError(
            f"{name} must be a number or {channels}, one a channel, got {len(given)} numbers"
        )
    return np.array([validation.number(name, v, low=0.0, high=1.0) for v in given], np.float32)


def _finite(name: str, value: float) -> float:
    return validation.number(name, value)
