"""Hills of the density of points, told apart by how deep the valleys between them are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.spatial import KDTree

__all__ = ["hills"]

Values = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Bandwidths: side of a cell, reach of the kernel, and how far neighbours on a hill may be apart.
_SIDE, _REACH, _STEP = 1.0, 3.0, 2.0


def hills(points: Values, valley: float) -> Labels:
    r"""Which hill of their density each of some points ``(N, D)`` lies on, numbered from 0.

    The density is that of a Gaussian kernel of bandwidth 1, at the means of the points in each cell
    of a grid. From the highest cell down, each joins its highest neighbour above; where two hills
    meet, they become one unless their meeting place is lower than ``valley`` times the lower
    summit (persistence-based clustering).

    Source: Chazal, Guibas, Oudot and Skraba 2013, doi:10.1145/2535927.
    """
    member, place, mass = _cells(points)
    pairs = KDTree(place).query_pairs(_REACH, output_type="ndarray")
    apart = place[pairs[:, 0]] - place[pairs[:, 1]]
    squares = (apart * apart).sum(1)
    pull = np.exp(-squares / 2)
    density = mass.astype(np.float64)
    for one, other in ((0, 1), (1, 0)):
        density += np.bincount(pairs[:, one], pull * mass[pairs[:, other]], len(mass))
    near = pairs[squares <= _STEP**2]
    return _climbed(density, near, valley)[member]


def _cells(points: Values) -> tuple[Labels, Values, Labels]:
    """The cell of each point, and of each cell the mean and the number of its points."""
    code = np.zeros(len(points), np.int64)
    for column in np.floor((points - points.min(0)) / _SIDE).T:
        _, index = np.unique(column, return_inverse=True)
        # numbered anew with each axis, so that no product of sides overflows
        _, code = np.unique(code * (int(index.max()) + 1) + index.ravel(), return_inverse=True)
    mass = np.bincount(code)
    sums = np.stack([np.bincount(code, weights=column) for column in points.T], 1)
    return code, sums / mass[:, None], mass


def _climbed(density: Values, pairs: Labels, valley: float) -> Labels:
    """The hill of each cell, of pairs of neighbouring cells."""
    count = len(density)
    order = np.argsort(-density, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    # of each cell the neighbours above it, by rank
    ends = np.sort(rank[pairs], axis=1)
    ones = np.ones(len(ends), np.bool_)
    above = coo_array((ones, (ends[:, 1], ends[:, 0])), shape=(count, count)).tocsr()
    starts, others = above.indptr.tolist(), above.indices.tolist()
    heights = density[order].tolist()
    # of hills alone: the one that each has become part of; summits have the lower rank
    onto = list(range(count))
    hill = [0] * count
    for cell in range(count):
        neighbours = others[starts[cell] : starts[cell + 1]]
        if not neighbours:
            hill[cell] = cell
            continue
        own = hill[min(neighbours)]
        hill[cell] = own
        summits = sorted({_summit(onto, hill[one]) for one in neighbours})
        for lower in summits[1:]:
            if heights[cell] >= valley * heights[lower]:
                onto[lower] = summits[0]
    found = [_summit(onto, one) for one in hill]
    place = np.unique(np.array(found)[rank], return_inverse=True)[1]
    return place.ravel().astype(np.int64)


def _summit(onto: list[int], hill: int) -> int:
    while onto[hill] != hill:
        onto[hill] = onto[onto[hill]]
        hill = onto[hill]
    return hill
