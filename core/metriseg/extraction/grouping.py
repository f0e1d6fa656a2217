"""From a predicted embedding to a label map, at inference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from metriseg import validation
from metriseg.extraction.persistence import hills

__all__ = ["group_embedding"]

Method = Literal["modes", "persistence", "mean_shift", "hdbscan"]
Values = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Bandwidths within which a Gaussian kernel exceeds one half: two such pixels belong together.
REACH = math.sqrt(2 * math.log(2))
#: Cells that stand for an image's pixels while its first modes are looked for.
_CELLS = 1024
#: Persistence: the bandwidth of the density, in bandwidths of the kernel.
_FINE = 0.25
#: Mean shift: steps at the most, and bandwidths that count as no step.
_STEPS, _STILL = 30, 1e-2
#: Numbers of a table of distances that are held at once.
_HELD = 1 << 22
#: Distances beyond which a tree finds the nearest faster than all of them.
_BRUTE = 1 << 27


def group_embedding(
    embedding: Tensor,
    *,
    foreground: Tensor | None = None,
    bandwidth: float = 1.0,
    method: Method = "modes",
    min_size: int = 10,
    valley: float = 0.7,
) -> Tensor:
    r"""The segments of an embedding: pixels that a Gaussian kernel says belong together.

    .. math:: \exp\left(-\frac{\|f_u - f_v\|^2}{2 \sigma^2}\right) > \tfrac12
        \iff \|f_u - f_v\| < \sqrt{2 \ln 2}\, \sigma

    is what two pixels of a segment should meet. "modes", the default, finds the modes of the
    embeddings' density by mean shift with that kernel, cut off where it falls to one half: over the
    1,024 fullest cells of a grid, and then over all cells of the pixels that lie far from every
    mode, however many these are. Modes that belong together are one, and each pixel goes to the
    nearest. It is deterministic. "persistence" is for embeddings of two or three dimensions that
    pixels fill densely, as :func:`landing_points` do, where a pixel's offset takes it to about its
    object's middle and not precisely to it: a group is a hill of their density at a quarter of the
    bandwidth, whatever its form, and two hills are one unless the valley between them is deep
    enough. A pixel goes its own way uphill, not to the nearest mode; ten thousand pixels take some
    hundredths of a second. "mean_shift" is scikit-learn's, with a flat kernel of that radius and
    binned seeds: many seconds. "hdbscan" is scikit-learn's too, for clusters of any form, and
    slower still.

    What "modes" costs: a fraction of a second for a picture of 256 x 256 with tens of segments.
    Beyond what 1,024 cells show, time grows about as the number of pixels and of segments (mean
    shift looks at the cells within reach alone, a k-d tree finds them), and memory as the number of
    pixels: 8,000 segments of 512 x 512 pixels in 8 dimensions took 13 seconds of one core and a
    fifth of a gigabyte. Noise that fills the space, as from an untrained network, is the worst,
    since every pixel is a cell: 256 x 256 in 8 dimensions took 11 seconds.

    Where a network passes from one segment to the next, its embedding does so by way of values
    that belong to neither. Pixels that lie between their two neighbours along an axis take no part
    in the grouping; they and what else is left over go to the nearest centre, with persistence to
    the nearest member. Beyond that a pixel's place doesn't count: what shall also be connected,
    pass through :func:`~metriseg.components.connected_components`.

    Args:
        embedding: ``(B, D, *S)``, any device.
        foreground: ``(B, *S)`` bool: only these pixels are grouped; the others are label 0.
        bandwidth: sigma > 0 of the kernel.
        method: "modes", "persistence", "mean_shift" or "hdbscan".
        min_size: groups of fewer pixels join the nearest that is larger, >= 1; where none is,
            they stay.
        valley: of "persistence", within [0, 1]: two hills stay apart where the density between them
            falls below this share of the lower summit's; 0 joins all that touch, 1 parts at the
            least dent.

    Returns:
        ``(B, *S)`` int64, on the device of the embedding: groups numbered from 0, or from 1 beside
        a ``foreground``, in the order of their first pixels.

    Raises:
        ValueError: for an argument outside its domain, or an embedding that isn't finite.
        ImportError: when scikit-learn is asked for and missing.

    Source: Comaniciu and Meer 2002, "Mean shift: a robust approach toward feature space analysis",
    doi:10.1109/34.1000236; Chazal, Guibas, Oudot and Skraba 2013, "Persistence-based clustering in
    Riemannian manifolds", doi:10.1145/2535927; Campello et al. 2013,
    doi:10.1007/978-3-642-37456-2_14 (HDBSCAN).

    >>> import torch
    >>> embedding = torch.tensor([[[0.0, 0.1, 4.0, 4.1, 0.2]]])
    >>> group_embedding(embedding, min_size=1)
    tensor([[0, 0, 1, 1, 0]])
    """
    validation.one_of("method", method, ("modes", "persistence", "mean_shift", "hdbscan"))
    depth = validation.number("valley", valley, low=0.0, high=1.0)
    sigma = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
    least = validation.whole_number("min_size", min_size, low=1)
    for name, given in (("embedding", embedding), ("foreground", foreground)):
        if given is not None and not isinstance(given, Tensor):
            raise ValueError(f"{name} must be a torch.Tensor, got {type(given).__name__}")
    if embedding.ndim < 3 or not embedding.is_floating_point():
        raise ValueError(
            "embedding must be floating point of shape (B, D, *S) with a spatial dimension or"
            f" more, got {tuple(embedding.shape)} of {embedding.dtype}"
        )
    space = (len(embedding), *embedding.shape[2:])
    if foreground is not None and (
        tuple(foreground.shape) != space or foreground.dtype != torch.bool
    ):
        raise ValueError(
            f"foreground must be bool of shape (B, *S) = {space}, got {tuple(foreground.shape)}"
            f" of {foreground.dtype}"
        )
    scaled = embedding.detach().double().cpu().numpy() / sigma
    mask = np.ones(space, np.bool_) if foreground is None else foreground.cpu().numpy()
    labels = np.zeros(space, np.int64)
    for image, here, label in zip(scaled, mask, labels, strict=True):
        values = image[:, here].T
        if not np.isfinite(values).all():
            raise ValueError("embedding must be finite, got NaN or infinity")
        if len(values):
            long = REACH / (4 if method == "persistence" else 2)
            steady = ~_between(np.where(here, image, 0.0), here, long)[here]
            found = _numbered(_grouped(values, steady, method, least, depth))
            label[here] = found + (foreground is not None)
    return torch.from_numpy(labels).to(embedding.device)


def method_for(pixels_per_unit: object) -> Method:
    """What suits an embedding that starts at a pixel's own place, or one that doesn't (None)."""
    return "modes" if pixels_per_unit is None else "persistence"


def _between(image: Values, here: NDArray[np.bool_], longer: float) -> NDArray[np.bool_]:
    """Where a pixel lies on the way between its neighbours along an axis, by steps as long."""
    between = np.zeros_like(here)
    for axis in range(here.ndim):
        step = np.moveaxis(np.diff(image, axis=axis + 1), axis + 1, -1)
        whole = np.moveaxis(here, axis, -1)
        before, after = step[..., :-1], step[..., 1:]
        lengths = np.sqrt((step * step).sum(0))
        long = lengths > longer
        straight = (before * after).sum(0) > lengths[..., :-1] * lengths[..., 1:] / 2
        inside = whole[..., :-2] & whole[..., 2:] & long[..., :-1] & long[..., 1:]
        np.moveaxis(between, axis, -1)[..., 1:-1] |= inside & straight
    return between


def _grouped(
    values: Values, steady: NDArray[np.bool_], method: Method, least: int, valley: float
) -> Labels:
    """The group of each of some values ``(N, D)``, measured in bandwidths."""
    if not steady.any():
        steady = ~steady
    labels = np.full(len(values), -1)
    certain = values[steady]
    if method == "modes":
        labels[steady] = _nearest(certain, _modes(certain, least))[0]
    elif method == "persistence":
        labels[steady] = hills(certain / _FINE, valley)
        return _with_nearest(values, labels, least)
    elif method == "mean_shift":
        labels[steady] = _mean_shift(certain)
    else:
        labels[steady] = _hdbscan(certain, least)
    return _without_rest(values, labels, least)


def _numbered(labels: Labels) -> Labels:
    """From 0, in the order of their first members."""
    _, first, index = np.unique(labels, True, True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[index.ravel()]


def _without_rest(values: Values, labels: Labels, least: int) -> Labels:
    """Small groups and what has none (-1) go to the nearest centre of the others."""
    names, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    groups = names >= 0
    large = groups & (sizes >= least)
    kept = large if large.any() else groups
    if not kept.any() or kept.all():
        return index.ravel()
    index = index.ravel()
    sums = np.stack([np.bincount(index, weights=column) for column in values.T], 1)
    rest = ~kept[index]
    nearest = _nearest(values[rest], (sums / sizes[:, None])[kept])[0]
    index[rest] = np.flatnonzero(kept)[nearest]
    return index


def _with_nearest(values: Values, labels: Labels, least: int) -> Labels:
    """Small groups and what has none (-1) go where the nearest member of the others is."""
    names, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    large = (names >= 0) & (sizes >= least)
    kept = (large if large.any() else names >= 0)[index.ravel()]
    if not kept.all():
        place = KDTree(values[kept]).query(values[~kept])[1]
        labels[~kept] = labels[kept][place]
    return labels


def _modes(values: Values, least: int) -> Values:
    """``(G, D)``: modes of the density that are farther apart than the reach."""
    found = _apart(*_shifted(*_cells(values)))
    members, left = _reached(values, found)
    if (members >= least).any():
        found = found[members >= least]
        left = _reached(values, found)[1]
    # cells that were not among the fullest: pixels with no mode anywhere near
    while len(left) >= least:
        new = _apart(*_shifted_nearby(*_cells(left, None)))
        new = new[_nearest(new, found)[1] > REACH]
        if len(new):
            new = new[_reached(left, new)[0] >= least]
        if not len(new):
            break
        found = np.concatenate([found, new])
        left = _reached(left, new)[1]
    return found


def _reached(values: Values, centres: Values) -> tuple[Labels, Values]:
    """How many pixels each centre has, and those pixels that are far from every one.

    Far is twice the reach: between two modes there is no third.
    """
    nearest, distance = _nearest(values, centres)
    near = distance <= 2 * REACH
    return np.bincount(nearest[near], minlength=len(centres)), values[~near]


def _cells(values: Values, most: int | None = _CELLS) -> tuple[Values, Values]:
    """Means and sizes of cells of a grid of half a bandwidth: of the fullest, in their order."""
    steps = np.floor((values - values.min(0)) * 2)
    code = np.zeros(len(values), np.int64)
    for column in steps.T:
        _, place = np.unique(column, return_inverse=True)
        # numbered anew with each axis, so that no product of sides overflows
        _, code = np.unique(code * (int(place.max()) + 1) + place.ravel(), return_inverse=True)
    size = np.bincount(code)
    sums = np.stack([np.bincount(code, weights=column) for column in values.T], 1)
    fullest = np.argsort(-size, kind="stable")[:most]
    return (sums / size[:, None])[fullest], size[fullest].astype(np.float64)


def _shifted(points: Values, mass: Values) -> tuple[Values, Values]:
    """Where the points come to by mean shift, and the density there."""
    places, density = points.copy(), np.empty(len(points))
    moving = np.arange(len(points))
    for _ in range(_STEPS):
        here = places[moving]
        squares = _squares(here, points)
        # cut off: a background of very many pixels would draw a small segment from afar
        pull = np.where(squares < REACH**2, np.exp(-squares / 2), 0.0) * mass
        density[moving] = pull.sum(1)
        there = pull @ points / density[moving, None]
        places[moving] = there
        moving = moving[np.abs(there - here).max(1) > _STILL]
        if not len(moving):
            break
    return places, density


def _shifted_nearby(points: Values, mass: Values) -> tuple[Values, Values]:
    """The same from points of which no two belong together, by what is near each alone."""
    tree = KDTree(points)
    places = points[_cover(points)]
    density = np.empty(len(places))
    moving = np.arange(len(places))
    for _ in range(_STEPS):
        here = places[moving]
        there = np.empty_like(here)
        for block in _held(tree.query_ball_point(here, REACH, return_length=True)):
            near = tree.query_ball_point(here[block], REACH)
            lengths = np.array([len(one) for one in near])
            owner = np.repeat(np.arange(len(near)), lengths)
            others = np.concatenate([np.asarray(one, np.int64) for one in near])
            apart = points[others] - here[block][owner]
            pull = np.exp(-(apart * apart).sum(1) / 2) * mass[others]
            whole = np.bincount(owner, pull, len(near))
            density[moving[block]] = whole
            for axis, column in enumerate(points[others].T):
                there[block, axis] = np.bincount(owner, pull * column, len(near)) / whole
        places[moving] = there
        moving = moving[np.abs(there - here).max(1) > _STILL]
        if not len(moving):
            break
    return places, density


def _held(lengths: Labels) -> Iterator[slice]:
    """Blocks of lists of these lengths that are held at once, of one list at least."""
    start = 0
    ends = np.cumsum(lengths)
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _HELD, "right")))
        yield slice(start, stop)
        start = stop


def _apart(places: Values, density: Values) -> Values:
    """The densest places of which no two belong together."""
    ordered = places[np.argsort(-density, kind="stable")]
    return ordered[_cover(ordered)]


def _cover(places: Values) -> Labels:
    """Which of them, each the first that belongs to none before it, all others belong to."""
    tree = KDTree(places)
    is_open = np.ones(len(places), np.bool_)
    kept = []
    for index in range(len(places)):
        if is_open[index]:
            kept.append(index)
            is_open[tree.query_ball_point(places[index], REACH)] = False
    return np.array(kept)


def _nearest(values: Values, centres: Values) -> tuple[Labels, Values]:
    """Which centre is nearest, and how far it is."""
    if len(values) * len(centres) > _BRUTE:
        found, place = KDTree(centres).query(values)
        return place.astype(np.int64), found
    index = np.empty(len(values), np.int64)
    distance = np.empty(len(values))
    step = max(1, _HELD // len(centres))
    for start in range(0, len(values), step):
        block = slice(start, start + step)
        squares = _squares(values[block], centres)
        index[block] = squares.argmin(1)
        distance[block] = np.sqrt(squares.min(1))
    return index, distance


def _squares(x: Values, y: Values) -> Values:
    # about a common point, lest a large mean drowns what differs
    middle = y.mean(0)
    x, y = x - middle, y - middle
    squares: Values = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    return np.maximum(squares, 0)


def _mean_shift(values: Values) -> Labels:
    try:
        from sklearn.cluster import MeanShift
    except ImportError as error:
        raise _missing("mean_shift") from error
    labels: Labels = MeanShift(bandwidth=REACH, bin_seeding=True).fit_predict(values)
    return labels


def _hdbscan(values: Values, least: int) -> Labels:
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise _missing("hdbscan") from error
    smallest = max(2, least)
    if len(values) < smallest:
        return np.zeros(len(values), np.int64)
    clusters = HDBSCAN(
        min_cluster_size=smallest,
        cluster_selection_epsilon=REACH,
        allow_single_cluster=True,
        copy=True,
    )
    labels: Labels = clusters.fit_predict(values)
    return labels


def _missing(method: str) -> ImportError:
    return ImportError(f"method={method!r} needs scikit-learn: pip install 'metriseg[embedding]'")
