"""Drawn objects that are not convex, and touch: crescents, rings and worms."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from metriseg.components import connected_components
from metriseg.experiments.nuclei.images import Sample
from metriseg.experiments.objects import Labels, Mask, Values

SIDE = 128
#: Objects that are tried for each image; one that would hide too much of another is left out.
TRIED = 22
#: Of an object's pixels at least so many stay seen, and in one piece.
SEEN = 0.85
#: Of the touching ones: how near another the middle of a new object comes, pixels.
NEAR = 14.0
BRIGHTNESS, NOISE, BLUR = (0.6, 0.9), 0.06, 0.7


def draw_samples(count: int, seed: int) -> list[Sample]:
    """So many images of 128 x 128 pixels, always the same of a seed."""
    drawn = np.random.default_rng(seed)
    return [_sample(f"drawn-{seed}-{number:03}", drawn) for number in range(count)]


def _sample(name: str, drawn: np.random.Generator) -> Sample:
    objects = np.zeros((SIDE, SIDE), np.int64)
    image = np.zeros((SIDE, SIDE))
    middles: list[Values] = []
    for number in range(1, TRIED + 1):
        middle = drawn.uniform(0, SIDE, 2)
        if middles and drawn.random() < 0.7:
            middle = middles[drawn.integers(len(middles))] + drawn.normal(0, NEAR, 2)
        form = FORMS[drawn.integers(len(FORMS))](middle, drawn)
        if form.sum() < 40 or not _leaves_room(objects, form):
            continue
        objects[form] = number
        image[form] = drawn.uniform(*BRIGHTNESS)
        middles.append(middle)
    # where two objects meet, the image is a little darker, as where membranes do
    image[_between(objects)] *= 0.75
    image = ndimage.gaussian_filter(image, BLUR) + drawn.normal(0, NOISE, image.shape)
    numbers = np.unique(objects, return_inverse=True)[1].reshape(objects.shape)
    return Sample(name, image.astype(np.float32), numbers.astype(np.int64))


def _leaves_room(objects: Labels, form: Mask) -> bool:
    """Whether what lies below stays whole, and a new object isn't almost another."""
    for number in np.unique(objects[form]):
        if number == 0:
            continue
        whole = objects == number
        rest = whole & ~form
        if rest.sum() < SEEN * whole.sum() or _parts(rest) > 1:
            return False
    return _parts(form) == 1


def _parts(form: Mask) -> int:
    return len(np.unique(connected_components(form.astype(np.int64))[form]))


def _between(objects: Labels) -> Mask:
    """Pixels beside another object."""
    found = np.zeros(objects.shape, np.bool_)
    for axis in (0, 1):
        one, other = (np.moveaxis(objects, axis, 0)[part] for part in (slice(1, None), slice(-1)))
        meeting = (one != other) & (one > 0) & (other > 0)
        rows = np.moveaxis(found, axis, 0)
        rows[1:] |= meeting
        rows[:-1] |= meeting
    return found


def _grid() -> tuple[Values, Values]:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    return rows, columns


def _ring(middle: Values, drawn: np.random.Generator) -> Mask:
    rows, columns = _grid()
    radius = np.hypot(rows - middle[0], columns - middle[1])
    outer = drawn.uniform(9, 16)
    inside: Mask = (radius < outer) & (radius > outer - drawn.uniform(4, 6))
    return inside


def _crescent(middle: Values, drawn: np.random.Generator) -> Mask:
    rows, columns = _grid()
    outer, turn = drawn.uniform(9, 15), drawn.uniform(0, 2 * np.pi)
    other = middle + 0.55 * outer * np.array([np.sin(turn), np.cos(turn)])
    whole = np.hypot(rows - middle[0], columns - middle[1]) < outer
    cut: Mask = np.hypot(rows - other[0], columns - other[1]) < 0.85 * outer
    found: Mask = whole & ~cut
    return found


def _worm(middle: Values, drawn: np.random.Generator) -> Mask:
    """A path of bounded curvature, thickened."""
    steps = drawn.integers(24, 50)
    bend = ndimage.gaussian_filter1d(drawn.normal(0, 1, steps), 6, mode="reflect")
    turns = drawn.uniform(0, 2 * np.pi) + np.cumsum(0.12 * bend / max(bend.std(), 1e-9))
    path = np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1), 0)
    path += middle - path[steps // 2]
    form = np.ones((SIDE, SIDE), np.bool_)
    places = np.round(path).astype(np.int64)
    inside = ((places >= 0) & (places < SIDE)).all(1)
    form[tuple(places[inside].T)] = False
    near: Mask = ndimage.distance_transform_edt(form) < drawn.uniform(2.2, 3.2)
    return near & bool(inside.any())


FORMS = (_ring, _crescent, _worm)
