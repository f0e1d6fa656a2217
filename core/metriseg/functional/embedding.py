"""Distances between the embeddings of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "Mining",
    "center",
    "class_sums",
    "evenly_spaced_by_class",
    "mined_triplets",
    "squared_distances",
    "triplet",
    "triplets_of_pixels",
    "unit_vectors",
    "updated_centers",
]

Mining = Literal["semihard", "hard", "all"]

#: Vectors shorter than this have no direction.
SHORTEST = 1e-8


def unit_vectors(values: Tensor, dim: int = 1) -> Tensor:
    """Vectors along ``dim`` at length 1; a zero vector stays zero, and has no gradient.

    >>> import torch
    >>> unit_vectors(torch.tensor([[3., 4.], [0., 0.]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    squares = values.square().sum(dim, keepdim=True)
    directed = squares > SHORTEST**2
    return torch.where(directed, values / torch.where(directed, squares, 1.0).sqrt(), 0.0)


def squared_distances(vectors: Tensor) -> Tensor:
    """``(M, M)``: \\|a - b\\|^2 between the rows of ``(M, D)``; give float64, it subtracts.

    >>> import torch
    >>> squared_distances(torch.tensor([[0., 0.], [3., 4.]]))
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    products = vectors @ vectors.T
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp(min=0)


def triplet(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(d(a, p) - d(a, n) + margin, 0) from an anchor's distances to a positive and a negative.

    With squared distances that of FaceNet, with distances themselves that of
    ``torch.nn.TripletMarginLoss``. Schroff et al. 2015, arXiv:1503.03832.
    """
    return (positive - negative + margin).clamp(min=0)


def triplets_of_pixels(
    features: Tensor,
    labels: Tensor,
    chosen: Tensor,
    margin: float,
    mining: Mining = "semihard",
    *,
    normalize: bool = True,
) -> tuple[Tensor, Tensor]:
    """``(N, *S)`` twice: for every pixel the sum of its triplets' costs as an anchor, their number.

    Args:
        features: ``(N, D, *S)``.
        labels: ``(N, *S)``.
        chosen: ``(M,)`` places in the flattened labels, -1 for none.
        margin: of :func:`triplet`.
        mining: of :func:`mined_triplets`.
        normalize: whether features are brought to length 1 first.
    """
    taken, places = chosen >= 0, chosen.clamp(min=0)
    flat = features.flatten(2)
    pixels = max(flat.shape[2], 1)
    image = torch.div(places, pixels, rounding_mode="floor")
    # in float64: distances are differences of squares
    vectors = flat[image, :, places % pixels].double()
    if normalize:
        vectors = unit_vectors(vectors)
    sums, numbers = (
        features.new_zeros(labels.numel())
        .scatter_add(0, places, value.to(features.dtype))
        .view_as(labels)
        for value in mined_triplets(
            squared_distances(vectors), labels.flatten()[places], taken, margin, mining
        )
    )
    return sums, numbers


def mined_triplets(
    distances: Tensor, labels: Tensor, valid: Tensor, margin: float, mining: Mining = "semihard"
) -> tuple[Tensor, Tensor]:
    """For every anchor the sum of its triplets' costs, and their number.

    A positive is another vector with the anchor's label, a negative one with another label.

    - ``"semihard"``: every positive, with the closest negative beyond it (where none is, the
      farthest negative there is).
    - ``"hard"``: the farthest positive with the closest negative.
    - ``"all"``: every positive with every negative.

    Sorting an anchor's negatives once serves all its positives, so that memory is M^2, not M^3.

    Args:
        distances: ``(M, M)``.
        labels: ``(M,)``.
        valid: ``(M,)`` bool, which vectors there are.
        margin: of the cost.
        mining: which triplets count.

    Returns:
        ``(M,)`` sums and ``(M,)`` numbers, both of the dtype of ``distances``.

    >>> import torch
    >>> x = torch.tensor([0., 1., 3.])
    >>> labels, valid = torch.tensor([0, 0, 1]), torch.ones(3, dtype=torch.bool)
    >>> mined_triplets((x[:, None] - x).abs(), labels, valid, margin=2.5)
    (tensor([0.5000, 1.5000, 0.0000]), tensor([1., 1., 0.]))
    """
    both = valid[:, None] & valid
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    negative = both & ~same
    farther, order = torch.where(negative, distances.detach(), torch.inf).sort(dim=1)
    closest_first = torch.where(farther < torch.inf, distances.gather(1, order), 0.0)
    return _MINERS[mining](
        distances, both & same & ~itself, farther.contiguous(), closest_first, margin
    )


def _semihard(
    distances: Tensor, positive: Tensor, beyond: Tensor, negatives: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    count = (beyond < torch.inf).sum(1, keepdim=True)
    place = torch.searchsorted(beyond, distances.detach(), right=True)
    found = negatives.gather(1, torch.minimum(place, count - 1).clamp(min=0))
    counted = positive & (count > 0)
    costs = torch.where(counted, triplet(distances, found, margin), 0.0)
    return costs.sum(1), counted.sum(1).to(costs.dtype)


def _hard(
    distances: Tensor, positive: Tensor, beyond: Tensor, negatives: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    farthest = torch.where(positive, distances.detach(), -1.0).argmax(1, keepdim=True)
    cost = triplet(distances.gather(1, farthest)[:, 0], negatives[:, 0], margin)
    counted = positive.any(1) & (beyond[:, 0] < torch.inf)
    return torch.where(counted, cost, 0.0), counted.to(cost.dtype)


def _all(
    distances: Tensor, positive: Tensor, beyond: Tensor, negatives: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    # of a positive at d, the negatives closer than d + margin cost what they lack to it
    lacking = torch.searchsorted(beyond, distances.detach() + margin)
    sums = torch.nn.functional.pad(negatives.cumsum(1), (1, 0)).gather(1, lacking)
    costs = torch.where(positive, lacking * (distances + margin) - sums, 0.0)
    numbers = positive.sum(1) * (beyond < torch.inf).sum(1)
    return costs.sum(1), numbers.to(costs.dtype)


_MINERS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "semihard": _semihard,
    "hard": _hard,
    "all": _all,
}


def evenly_spaced_by_class(labels: Tensor, valid: Tensor, classes: int, most: int) -> Tensor:
    """The places of some entries of every class: all of them, or evenly spaced ones.

    Every class that is there gets the same share of ``most``. The result has a fixed length, so
    that nothing waits for the device; what is left over of it holds -1.

    Args:
        labels: ``(P,)`` in 0 … classes - 1.
        valid: ``(P,)`` bool.
        classes: how many there can be.
        most: how many entries at most, >= 1.

    Returns:
        ``(min(most, classes P),)`` int64 indices, class after class, in each in rising order.

    >>> import torch
    >>> labels = torch.tensor([0, 0, 1, 0, 0, 1])
    >>> evenly_spaced_by_class(labels, torch.ones(6, dtype=torch.bool), classes=2, most=4)
    tensor([0, 3, 2, 5])
    """
    slots = torch.arange(min(most, classes * len(labels)), device=labels.device)
    if len(slots) == 0:
        return slots
    keys = torch.where(valid, labels, classes)
    order = keys.argsort(stable=True)
    ones = torch.ones_like(keys)
    counts = torch.zeros_like(keys[:1]).expand(classes + 1).scatter_add(0, keys, ones)[:classes]
    starts = counts.cumsum(0) - counts
    present = counts > 0
    share = (len(slots) // present.sum().clamp(min=1)).clamp(min=1)
    # the slots of the k-th class that is there
    turn = torch.div(slots, share, rounding_mode="floor")
    own = (~present).to(torch.int64).argsort(stable=True)[turn.clamp(max=classes - 1)]
    count, step = counts[own], slots % share
    taken = torch.minimum(count, share)
    spaced = starts[own] + torch.div(step * count, taken.clamp(min=1), rounding_mode="floor")
    chosen = order[spaced.clamp(max=len(labels) - 1)]
    return torch.where((turn < present.sum()) & (step < taken), chosen, -1)


def center(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """\\|x - c_y\\|^2 / 2: ``(N, D, *S)``, ``(K, D)`` and labels ``(N, *S)`` to ``(N, *S)``.

    Wen et al. 2016, doi:10.1007/978-3-319-46478-7_31.

    >>> import torch
    >>> center(torch.tensor([[[1.], [2.]]]), torch.tensor([[1., 1.]]), torch.tensor([[0]]))
    tensor([[0.5000]])
    """
    own = centers[labels].movedim(-1, 1)
    return (features - own).square().sum(1) / 2


def class_sums(
    features: Tensor, labels: Tensor, weight: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    """The weighted sum of every class's features, ``(K, D)``, and its mass, ``(K,)``.

    Args:
        features: ``(N, D, *S)``, finite.
        labels: ``(N, *S)`` in 0 … classes - 1.
        weight: ``(N, *S)``.
        classes: K.
    """
    own = labels.flatten(1).unsqueeze(1) == torch.arange(classes, device=labels.device)[:, None]
    mass = torch.where(own, weight.flatten(1).unsqueeze(1), 0.0)
    sums = mass @ features.flatten(2).transpose(1, 2)
    return sums.sum(0), mass.sum((0, 2))


def updated_centers(centers: Tensor, sums: Tensor, mass: Tensor, rate: float) -> Tensor:
    """c - rate sum (c - x) / (1 + n), from the sums and the mass n of every class, ``(K, D)``.

    Wen et al. 2016, doi:10.1007/978-3-319-46478-7_31, equation 4.
    """
    mass = mass.unsqueeze(1)
    return centers - rate * (mass * centers - sums) / (1 + mass)
