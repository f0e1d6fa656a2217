"""The Dice of every connected component of the truth, so that small ones count as large ones do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import integer_array
from metriseg.components import connected_components
from metriseg.partitions.label_maps import at_least_one
from metriseg.partitions.masks import checked_spacing

__all__ = ["ComponentDice", "component_dice"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Nearest pixels that are looked at, at first, for others as near.
NEAR = 8
#: What rounding may add to equal distances, relatively.
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class ComponentDice:
    """What :func:`component_dice` gives; of components in the order of their first pixels.

    Attributes:
        dice: ``(K,)``.
        sizes: ``(K,)``, the pixels of each component.
        predicted: ``(K,)``, the predicted pixels nearest to each.
        invented: the predicted pixels where there is no component.
    """

    dice: Float
    sizes: Int
    predicted: Int
    invented: int

    @property
    def mean(self) -> float:
        """Over the components; without any 1 where nothing was predicted, and else 0."""
        return float(self.dice.mean()) if len(self.dice) else float(self.invented == 0)


def component_dice(
    truth: Any,
    prediction: Any,
    *,
    connectivity: int | None = None,
    spacing: Sequence[float] | None = None,
) -> ComponentDice:
    r"""The Dice of each component of the truth, within what is nearer to it than to the others.

    .. math:: \mathrm{CC\text{-}Dice} = \frac1K \sum_k
        \frac{2\,|T_k \cap P|}{|T_k| + |P \cap V_k|}

    with the K components :math:`T_k` of the true foreground, the predicted foreground P, and the
    Voronoi region :math:`V_k` of the pixels nearest to :math:`T_k` (of equally near components to
    the first).

    Args:
        truth: ``(*S)`` Booleans, or labels of which all but 0 are foreground.
        prediction: the same of the same shape.
        connectivity: of the components, 1 … dimensions; None for all neighbours, diagonal ones
            too, as the paper's evaluation has it.
        spacing: the size of a pixel along every axis, each above 0; None for all ones.

    Returns:
        The Dice of each, and their mean.

    Raises:
        ValueError: for maps of different shapes, of no pixel, of labels that are no integers, or
            another bad argument.

    Source: A. Jaus and others, Every component counts: rethinking the measure of success for
    medical semantic segmentation in multi-instance segmentation tasks, AAAI 2025,
    arXiv:2410.18684.

    >>> found = component_dice([1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0])
    >>> found.dice, found.mean     # the Dice of all is 8/9
    (array([1., 0.]), 0.5)
    """
    true, found = (
        integer_array(name, labels) != 0
        for name, labels in (("truth", truth), ("prediction", prediction))
    )
    at_least_one("truth", true.shape)
    if found.shape != true.shape:
        raise ValueError(
            f"prediction must have the shape of truth, {true.shape}, got {found.shape}"
        )
    steps = checked_spacing(spacing, true.ndim)
    reach = max(true.ndim, 1) if connectivity is None else connectivity
    numbers = connected_components(true, connectivity=reach, valid=true)
    count = int(numbers.max()) + 1
    outside = found & ~true
    sizes = np.bincount(numbers[true], minlength=count)
    hits = np.bincount(numbers[true & found], minlength=count)
    if not count:
        none = np.zeros(0, np.int64)
        return ComponentDice(none.astype(np.float64), none, none, int(np.count_nonzero(outside)))
    nearest = _nearest(numbers, true, outside, steps)
    predicted = hits + np.bincount(nearest, minlength=count)
    return ComponentDice(2 * hits / (sizes + predicted), sizes, predicted, 0)


def _nearest(
    numbers: Int, true: NDArray[np.bool_], asked: NDArray[np.bool_], spacing: Sequence[float]
) -> Int:
    """The first of the components nearest to each pixel asked for, which are outside of all."""
    from scipy.spatial import cKDTree

    edge = true & _beside(~true)
    places, wanted = (np.argwhere(one) * np.array(spacing) for one in (edge, asked))
    if not len(wanted):
        return np.zeros(0, np.int64)
    owners = numbers[edge]
    tree = cKDTree(places)
    several = min(NEAR, len(places))
    distances, indices = tree.query(wanted, k=[*range(1, several + 1)])
    limits = distances[:, :1] * (1 + SLACK)
    as_near = distances <= limits
    nearest: Int = np.where(as_near, owners[indices], len(numbers.ravel())).min(1)
    if several < len(places):
        for row in np.flatnonzero(as_near.all(1)):
            nearest[row] = owners[tree.query_ball_point(wanted[row], limits[row, 0])].min()
    return nearest


def _beside(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels with a marked one before or behind them along an axis."""
    found = np.zeros_like(marked)
    for axis in range(marked.ndim):
        seen, here = np.moveaxis(marked, axis, 0), np.moveaxis(found, axis, 0)
        here[1:] |= seen[:-1]
        here[:-1] |= seen[1:]
    return found
