"""One loss for the outputs of a network at several resolutions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import validation
from metriseg.losses.wrapper import LossWrapper
from metriseg.reduction import connected, nothing_of

__all__ = ["DeepSupervisionLoss"]

LevelWeights = Literal["halving", "equal", "half"] | Sequence[float]
#: One for all levels, or one for each.
OneOrEach = Tensor | Sequence[Tensor]

#: Maps that a loss compares with what it measures itself, in the pixels of the level.
OF_FULL_RESOLUTION = frozenset({"target_distance"})


class DeepSupervisionLoss(LossWrapper):
    r"""Deep supervision: the weighted sum of one loss over outputs of several resolutions.

    .. math:: \ell = \sum_k \frac{w_k}{\sum_j w_j}\, \ell\bigl(z_k, y_k\bigr)

    with the logits :math:`z_k` of level k, the largest first, and the target :math:`y_k` in their
    size. Labels, weights, maps and one-hot targets of integers are those of the nearest pixel, as
    half-pixel centres see it (``"nearest-exact"`` of torch, order 0 of scikit-image); no one-hot
    tensor is made of labels. Soft labels are averaged over the area of the larger pixel, where
    pixels weigh their weight. What the loss measures in pixels, distances say, it measures in those
    of the level.

    A level of weight zero is not computed. A lone tensor in place of the list is one level. At a
    perfect prediction the value is that of the loss.

    Args:
        loss: any loss of metriseg.
        weights: "halving" for 1, 1/2, 1/4, …, "equal" for all 1, "half" for 1 and then 1/2 for
            every other, or a list of numbers >= 0, one a level.
        normalize: whether the weights are divided by their sum.
        soft_labels: "area", or "nearest" for soft labels of the nearest pixel.

    Shape:
        - logits: a list of ``(N, C, *S_k)``, no level larger than the one before it.
        - target: ``(N, *S)`` labels or ``(N, C, *S)`` soft labels, or a list, one a level.
        - weight, maps: as of the loss, or a list (for a map a list in its place), one a level.
        - features: a list, one a level.

    Raises:
        ValueError: for another loss, weights that are none or don't fit the number of levels, and,
            when called, for a level larger than the one before, lists of different lengths, values
            that can't be added (``reduction="none"`` of pixels), and for what has no meaning in
            another size: features, and the map ``"target_distance"``, which the loss compares with
            distances that it measures at the level.

    Source: Lee et al. 2015, "Deeply-supervised nets", arXiv:1409.5185; the weights as in Isensee
    et al. 2021, "nnU-Net", doi:10.1038/s41592-020-01008-z (which gives the last level none).

    >>> import torch
    >>> from metriseg import CrossEntropyLoss
    >>> loss = DeepSupervisionLoss(CrossEntropyLoss())
    >>> right = torch.tensor([[[99., 99., 0., 0.], [0., 0., 99., 99.]]])
    >>> loss([right, torch.zeros(1, 2, 2)], torch.tensor([[0, 0, 1, 1]]))  # ln 2 / 3
    tensor(0.2310)
    """

    def __init__(
        self,
        loss: nn.Module,
        weights: LevelWeights = "halving",
        normalize: bool = True,
        soft_labels: Literal["area", "nearest"] = "area",
    ) -> None:
        super().__init__(loss)
        self.weights = _checked_weights(weights)
        self.normalize = validation.flag("normalize", normalize)
        validation.one_of("soft_labels", soft_labels, ("area", "nearest"))
        self.soft_labels = soft_labels

    def forward(
        self,
        logits: OneOrEach,
        target: OneOrEach,
        *,
        weight: OneOrEach | None = None,
        maps: Mapping[str, OneOrEach] | None = None,
        features: OneOrEach | None = None,
    ) -> Tensor:
        """The loss of a network's outputs; shapes as in the class description."""
        return self.summed(logits, target, weight, maps, features)

    def summed(
        self,
        logits: OneOrEach,
        target: OneOrEach,
        weight: OneOrEach | None,
        maps: Mapping[str, OneOrEach] | None,
        features: OneOrEach | None,
    ) -> Tensor:
        """The weighted sum over the levels; a framework's class calls it in its own words."""
        if isinstance(logits, Tensor):
            return self.called(logits, target, weight, maps, features)
        levels = checked_levels("logits", logits)
        targets = one_each("target", target, len(levels))
        weights = one_each("weight", weight, len(levels))
        each_features = _features(features, len(levels))
        each_maps = {name: one_each(f"maps[{name!r}]", m, len(levels)) for name, m in _items(maps)}
        values = []
        for k, (share, level) in enumerate(zip(self.shares(len(levels)), levels, strict=True)):
            if not share:
                values.append(connected(nothing_of(level), self.loss))
                continue
            seen = {
                name: map_in_size(name, one[k], tuple(level.shape[2:]))
                for name, one in each_maps.items()
            }
            resized = self.in_size(targets[k], weights[k], level)
            values.append(share * self.called(level, *resized, seen, each_features[k]))
        return _added(values)

    def shares(self, levels: int) -> list[float]:
        """What multiplies the value of every level.

        Raises:
            ValueError: for a list of weights of another length.
        """
        if isinstance(self.weights, str):
            series = {
                "halving": [0.5**k for k in range(levels)],
                "equal": [1.0] * levels,
                "half": [1.0, *[0.5] * (levels - 1)],
            }
            weights = series[self.weights]
        else:
            weights = list(self.weights)
        if len(weights) != levels:
            raise ValueError(
                f"weights must have a number for each of the {levels} levels, got {len(weights)}"
            )
        total = sum(weights) if self.normalize else 1.0
        return [weight / total for weight in weights]

    def extra_repr(self) -> str:
        return f"weights={self.weights!r}, normalize={self.normalize}"

    def in_size(
        self, target: Tensor, weight: Tensor | None, level: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Target and weight of a level, in its size."""
        size = tuple(level.shape[2:])
        if target.ndim not in (level.ndim - 1, level.ndim):
            raise ValueError(
                f"target must have shape (N, *S) or (N, C, *S) with {len(size)} spatial dimensions"
                f" as the logits, got {tuple(target.shape)}"
            )
        whole = weight is not None and _is_of_images(weight, target, level)
        if weight is not None and weight.ndim not in (level.ndim - 1, level.ndim) and not whole:
            raise ValueError(
                f"weight must have shape (N, *S) with {len(size)} spatial dimensions as the"
                f" logits, or be one of classes, (N, C, *S) or (N, C), got {tuple(weight.shape)}"
            )
        if not target.is_floating_point() or self.soft_labels == "nearest":
            resized = weight if weight is None or whole else nearest(weight, size)
            return nearest(target, size), resized
        if weight is not None and whole:
            weight = weight.view(*weight.shape, *[1] * len(size)).expand_as(target)
        return averaged(target, weight, size)


def _is_of_images(weight: Tensor, target: Tensor, level: Tensor) -> bool:
    """Whether a weight is that of the classes of whole images, ``(N, C)``."""
    of_classes = weight.ndim == 2 and weight.shape == level.shape[:2]
    return of_classes and (level.ndim > 3 or weight.shape[-1] != target.shape[-1])


def nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """The pixels nearest to the centres of those of another size, along the last axes.

    >>> nearest(torch.arange(6), (2,))
    tensor([1, 4])
    """
    for axis, new in zip(range(-len(size), 0), size, strict=True):
        old = values.shape[axis]
        if old != new:
            places = torch.arange(new, device=values.device)
            values = values.index_select(axis, (2 * places + 1) * old // (2 * new))
    return values


def averaged(
    target: Tensor, weight: Tensor | None, size: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """Soft labels ``(N, C, *S)``, or ``(N, *S)`` of one class, and the weight, as means of areas.

    >>> averaged(torch.tensor([[.1, .3, .5, .7]]), torch.tensor([[3., 1., 1., 0.]]), (2,))
    (tensor([[0.1500, 0.5000]]), tensor([[2.0000, 0.5000]]))
    """
    if tuple(target.shape[-len(size) :]) == size:
        return target, None if weight is None else nearest(weight, size)
    lone = target.ndim == len(size) + 1
    dense = target.unsqueeze(1) if lone else target
    if dense.dtype not in (torch.float32, torch.float64):
        dense = dense.float()
    mass = None
    if weight is None:
        dense = nnf.interpolate(dense, size, mode="area")
    else:
        of_classes = weight.ndim == dense.ndim
        shares = (weight if of_classes else weight.unsqueeze(1)).to(dense.dtype)
        mass = nnf.interpolate(shares, size, mode="area")
        dense = nnf.interpolate(torch.where(shares > 0, dense * shares, 0.0), size, mode="area")
        # a mean of numbers up to 1 may round to more
        dense = (dense / torch.where(mass > 0, mass, 1.0)).clamp(max=1.0)
        mass = mass if of_classes else mass.squeeze(1)
    return dense.squeeze(1) if lone else dense, mass


def map_in_size(name: str, values: Tensor, size: tuple[int, ...]) -> Tensor:
    """A map of pixels in another size; what isn't of pixels as it is.

    Raises:
        ValueError: for a map that has no meaning in another size.
    """
    if values.ndim not in (len(size) + 1, len(size) + 2):
        return values
    if tuple(values.shape[-len(size) :]) != size and name in OF_FULL_RESOLUTION:
        raise ValueError(
            f"maps[{name!r}] holds distances in the pixels of its own size"
            f" {tuple(values.shape[-len(size) :])}, and the loss compares them with those that it"
            f" measures in a level of {size}: give a list with a map for each level, or none"
        )
    return nearest(values, size)


def checked_levels(name: str, given: Any) -> list[Tensor]:
    """A list of outputs, none larger than the one before."""
    levels = list(given) if isinstance(given, (list, tuple)) else []
    if not levels or not all(isinstance(level, Tensor) for level in levels):
        raise ValueError(f"{name} must be a tensor or a list of tensors, got {_described(given)}")
    for level in levels:
        if level.ndim != levels[0].ndim or level.ndim < 3:
            shapes = [tuple(level.shape) for level in levels]
            raise ValueError(f"{name} must all have shape (N, C, *S), got {shapes}")
    for before, level in itertools.pairwise(levels):
        if any(n > o for n, o in zip(level.shape[2:], before.shape[2:], strict=True)):
            sizes = [tuple(level.shape[2:]) for level in levels]
            raise ValueError(f"{name} must come with the largest level first, got sizes {sizes}")
    return levels


def one_each(name: str, given: Any, levels: int) -> list[Any]:
    """One for each level, from a list or from one for all."""
    if not isinstance(given, (list, tuple)):
        return [given] * levels
    if len(given) != levels:
        raise ValueError(
            f"{name} must be one, or one for each of the {levels} levels, got {len(given)}"
        )
    return list(given)


def _added(values: Sequence[Tensor]) -> Tensor:
    """The sum of the levels' values."""
    shapes = sorted({tuple(value.shape) for value in values if value.ndim})
    if len(shapes) > 1:
        raise ValueError(
            f"reduction: the values of the levels can't be added, their shapes are {shapes}"
        )
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _features(features: Any, levels: int) -> list[Any]:
    if isinstance(features, Tensor) and levels > 1:
        raise ValueError(
            "features must be a list, one for each level: embeddings have no meaning in another"
            " size"
        )
    return one_each("features", features, levels)


def _items(maps: Any) -> list[tuple[str, Any]]:
    if not isinstance(maps, (Mapping, type(None))):
        raise ValueError(f"maps must be a mapping of names to tensors, got {type(maps).__name__}")
    return list((maps or {}).items())


def _checked_weights(weights: Any) -> str | list[float]:
    if isinstance(weights, str):
        validation.one_of("weights", weights, ("halving", "equal", "half"))
        return weights
    if not isinstance(weights, Sequence) or not weights:
        raise ValueError(
            "weights must be 'halving', 'equal', 'half' or a list of numbers, one a level,"
            f" got {weights!r}"
        )
    numbers = [validation.number("weights", weight, low=0.0) for weight in weights]
    if not any(numbers):
        raise ValueError(f"weights must have a number above zero, got {weights!r}")
    return numbers


def _described(given: Any) -> str:
    if isinstance(given, (list, tuple)):
        return f"a list of {[type(one).__name__ for one in given]}"
    return type(given).__name__
