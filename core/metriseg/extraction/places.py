"""Embeddings that start at a pixel's own place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from metriseg import validation

__all__ = ["half_width", "landing_points"]


def landing_points(embedding: Tensor, pixels_per_unit: float | Sequence[float]) -> Tensor:
    r"""Where pixels land: their places plus predicted offsets.

    .. math:: f_{ud} = \frac{x_{ud}}{s_d} + e_{ud} \quad (d < D), \qquad f_{ud} = e_{ud}
        \quad (d \ge D)

    with x a pixel's coordinates, counted from 0 along each of the D axes, and e the embedding: its
    first D channels are offsets, in the order of the axes, the further ones stay free. Offsets of 0
    are a map of places; a network only says which way to go from there, and how far. Since only
    differences of landing points matter, a crop has those of the whole image.

    Args:
        embedding: ``(B, C, *S)`` with C >= D, any floating dtype.
        pixels_per_unit: s > 0, how many pixels are one unit of the embedding; a number for all
            axes, or one for each. About a half of a small object's width is a good unit for a
            bandwidth of 1: :func:`half_width`. Of voxels that are no cubes give each axis its own:
            with a spacing h in mm and a unit of r mm, r / h.

    Returns:
        ``(B, C, *S)``, of at least single precision.

    Raises:
        ValueError: for another number of axes, fewer channels than axes, or numbers not above 0.

    >>> import torch
    >>> landing_points(torch.tensor([[[0.0, 0.0, -0.5], [7.0, 7.0, 7.0]]]), 2.0)
    tensor([[[0.0000, 0.5000, 0.5000],
             [7.0000, 7.0000, 7.0000]]])
    """
    if not isinstance(embedding, Tensor) or embedding.ndim < 3:
        raise ValueError("embedding must be a torch.Tensor of shape (B, C, *S)")
    space = embedding.shape[2:]
    units = checked_units(pixels_per_unit, len(space))
    if embedding.shape[1] < len(space):
        raise ValueError(
            f"embedding must have at least {len(space)} channels, the offsets along each axis, with"
            f" pixels_per_unit, got {embedding.shape[1]}"
        )
    if embedding.dtype not in (torch.float32, torch.float64):
        embedding = embedding.float()
    axes = [
        torch.arange(side, dtype=embedding.dtype, device=embedding.device) / unit
        for side, unit in zip(space, units, strict=True)
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    free = embedding.shape[1] - len(space)
    places = torch.cat([places, places.new_zeros(free, *space)])
    return embedding + places


def half_width(instances: Iterable[ArrayLike], quantile: float = 0.5) -> float:
    r"""Half of a typical object's width, for :func:`landing_points`: a unit that comes from data.

    .. math:: \tfrac12\, |x|^{1/D}

    of the object x of which a share ``quantile`` of all objects is smaller, with its number of
    pixels :math:`|x|` and the D axes of its map. Where small objects touch, a smaller quantile
    gives a unit that parts them.

    Args:
        instances: label maps ``(*S)``, such as those of the training images: 0 for background, a
            number > 0 an object; a negative number is an object that isn't known.
        quantile: within [0, 1].

    Returns:
        Pixels.

    Raises:
        ValueError: for maps that aren't integers or of other numbers of axes, and where no map has
            an object.

    >>> import numpy as np
    >>> objects = np.zeros((20, 30), int)
    >>> objects[2:8, 3:9], objects[10:18, 12:24] = 1, 2
    >>> half_width([objects], quantile=0)
    3.0
    """
    share = validation.number("quantile", quantile, low=0.0, high=1.0)
    widths, axes = [], None
    for given in instances:
        labels = np.asarray(given)
        if labels.dtype.kind not in "iu" or labels.ndim < 1:
            raise ValueError(f"instances must be integer label maps (*S), got {labels.dtype}")
        if axes not in (None, labels.ndim):
            raise ValueError(f"instances must all have {axes} axes, got one of {labels.ndim}")
        axes = labels.ndim
        sizes = np.unique(labels[labels > 0], return_counts=True)[1]
        widths.append(sizes ** (1 / axes) / 2)
    found = np.concatenate(widths) if widths else np.empty(0)
    if not len(found):
        raise ValueError("instances must hold an object, a number > 0")
    return float(np.quantile(found, share, method="higher"))


def checked_units(pixels_per_unit: object, axes: int | None = None) -> tuple[float, ...]:
    """One number, or one an axis; of known axes one for each."""
    several = isinstance(pixels_per_unit, Sequence) and not isinstance(pixels_per_unit, str)
    given = pixels_per_unit if several else (pixels_per_unit,)
    units = tuple(
        validation.number("pixels_per_unit", one, low=0.0, open_low=True)
        for one in given  # type: ignore[attr-defined]
    )
    if not units:
        raise ValueError(f"pixels_per_unit must hold a number for each axis, got {given!r}")
    if axes is None or len(units) == axes:
        return units
    if len(units) > 1:
        raise ValueError(
            f"pixels_per_unit must be one number or one for each of {axes} axes,"
            f" got {pixels_per_unit!r}"
        )
    return units * axes
