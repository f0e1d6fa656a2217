"""Persistent homology of images: at which thresholds components, holes and voids come and go."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["diagram_cost", "persistence_diagram", "persistence_pairs"]


def persistence_pairs(
    values: NDArray[Any], min_persistence: float = 0.0
) -> list[NDArray[np.int64]]:
    """Where the features of superlevel sets are born and die, of every dimension.

    As the threshold falls from the largest value, pixels at or above it join: components appear and
    grow together, holes close, voids fill. A component's birth is its highest pixel and its death
    the pixel by which it joins one that is born earlier; a hole's birth is the pixel that closes
    the ring, its death the last that fills it. Pixels touch along axes and diagonally. Computed by
    GUDHI, on the CPU.

    Args:
        values: an image of one dimension or more.
        min_persistence: features that live no longer than this, >= 0, are left out.

    Returns:
        A ``(M, 2)`` array a dimension, 0 … d - 1: the pixels of birth and death in the flattened
        image, -1 for the death of the first component, which never dies.

    Raises:
        ImportError: without gudhi (``pip install 'metriseg[topology]'``).

    >>> persistence_pairs(np.array([.9, .1, .5]))        # the lower summit joins at the valley
    [array([[ 2,  1],
           [ 0, -1]])]
    """
    complexes = _gudhi()
    # its first axis is the fastest, and it begins at the lowest value
    complex_ = complexes.CubicalComplex(top_dimensional_cells=-np.asarray(values, np.float64).T)
    complex_.compute_persistence(homology_coeff_field=2, min_persistence=min_persistence)
    finite, lasting = complex_.cofaces_of_persistence_pairs()
    found = []
    for dimension in range(values.ndim):
        pairs = finite[dimension] if dimension < len(finite) else []
        first = lasting[dimension] if dimension < len(lasting) else []
        rows = [*np.reshape(pairs, (-1, 2)).tolist(), *([int(pixel), -1] for pixel in first)]
        found.append(np.array(rows, np.int64).reshape(-1, 2))
    return found


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError:
        raise ImportError(
            "persistence diagrams need gudhi: pip install 'metriseg[topology]'"
        ) from None
    return gudhi


def persistence_diagram(
    probabilities: Tensor,
    dimensions: Collection[int] | None = None,
    min_persistence: float = 0.0,
) -> list[Tensor]:
    """Births and deaths of an image's features, with the gradient of the pixels where they happen.

    Args:
        probabilities: ``(*S)`` in [0, 1]; below them all is background, where the first component
            dies.
        dimensions: of the features, each in 0 … d - 1: components, holes, voids; None for all.
        min_persistence: of :func:`persistence_pairs`.

    Returns:
        ``(M, 2)`` births and deaths for every dimension asked for.

    >>> import torch
    >>> persistence_diagram(torch.tensor([.9, .1, .5]))
    [tensor([[0.5000, 0.1000],
            [0.9000, 0.0000]])]
    """
    flat = probabilities.flatten()
    pairs = persistence_pairs(probabilities.detach().double().cpu().numpy(), min_persistence)
    diagrams = []
    for dimension in range(probabilities.ndim) if dimensions is None else dimensions:
        places = torch.from_numpy(pairs[dimension]).to(flat.device)
        diagrams.append(torch.where(places < 0, 0.0, flat[places.clamp(min=0)]))
    return diagrams


def diagram_cost(diagram: Tensor, number: int, order: float = 2.0) -> Tensor:
    r"""What it costs to move a diagram onto that of a mask with so many features.

    .. math:: \min_\gamma \sum_x \|x - \gamma(x)\|^q

    over all ways to match points, each once, or leave them to the diagonal; the q-th power of the
    Wasserstein distance of order q. A mask's features are all born at 1 and die at 0: matched are
    those that gain most by it.

    Args:
        diagram: ``(M, 2)`` births and deaths.
        number: of the features of the mask.
        order: q >= 1.

    >>> import torch
    >>> diagram_cost(torch.tensor([[.5, .1], [.9, 0.]]), 1)      # .4^2 / 2 + .1^2
    tensor(0.0900)
    """
    birth, death = diagram.unbind(1)
    alone = _power((birth - death).square() / 2, order)
    matched = _power((1 - birth).square() + death.square(), order)
    missing: float = 0.5 ** (order / 2)
    gain = alone + missing - matched
    most, which = gain.detach().topk(min(number, len(gain)))
    return alone.sum() + number * missing - gain[which[most > 0]].sum()


def _power(square: Tensor, order: float) -> Tensor:
    """A distance to a power, from its square; of slope 0 where it is 0."""
    if order == 2:
        return square
    there = square > 0
    return torch.where(there, torch.where(there, square, 1.0).pow(order / 2), 0.0)
