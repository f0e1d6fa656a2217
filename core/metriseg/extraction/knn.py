"""Segments by the nearest centroid, with the gradient of an estimator."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from scipy.spatial import KDTree
from torch import Tensor

from metriseg import validation
from metriseg.batch import Batch
from metriseg.extraction.base import AssignedSegments, check_finite
from metriseg.extraction.regions import regions
from metriseg.functional.partition import Form, SparseAssignment

__all__ = ["KNNSegments"]

Estimator = Literal["soft", "gumbel", "conv1x1"]


class KNNSegments(AssignedSegments):
    r"""Segments of a one-channel prediction or an embedding by nearest centroids.

    Forward, hard and without a gradient: the values f (``features``, or the logits as they are
    where none are given) go to the nearest of k centroids, and every connected component of the
    result is a segment. Their number isn't fixed. The centroids start at values far from each
    other (each the farthest from those before), so that a small segment is found beside a large
    background, and take a few steps of Lloyd's algorithm; nothing is random.

    Backward the estimator takes the place of the assignment (a straight-through estimator). Each
    pixel u has as candidates the segments nearest in value and place, its own among them; with the
    mean value c and mean place y of each and the pixel's place x,

    .. math:: s_k = -\|f_u - c_k\|^2 - \lambda^2 \|x_u - y_k\|^2

    * "soft": :math:`\mathrm{softmax}(s / \tau)`, the shares in which it belongs to the centroids;
    * "gumbel": :math:`\mathrm{softmax}((s + g) / \tau)` with noise g of the Gumbel distribution;
    * "conv1x1": :math:`2 c_k \cdot f_u - \|c_k\|^2`, a 1 x 1 convolution whose kernels are the
      centroids, less its mean over the pixel's candidates: shares sum to 1, so only what sets the
      candidates apart counts, and it doesn't matter where the values have their zero.

    Centroids carry no gradient: a pixel moves towards a segment or away from it, no segment moves
    to its pixels. An image with a single segment has nothing to move to and gets no gradient, so
    the layer that makes f must start from random numbers.

    It learns with ``form="paper"``, which a loss takes by itself: at hard segments the Frobenius
    form's gradient leads astray, see :func:`~metriseg.functional.soft_partition_distance`. With
    a ``weighting`` of the loss it is the only form.

    Candidates are looked for among the ``searched`` largest segments of the image, and memory is
    O(pixels x candidates), however many there are. What that costs is little: a segment pulls
    a pixel by the size of what it shares with that pixel's true segment, so what is left out are
    the weakest pulls. The search takes a k-d tree on the CPU, as the components do.

    Args:
        k: number of values that are told apart, >= 1.
        connectivity: in how many axes neighbours may differ.
        estimator: "soft", "gumbel" or "conv1x1".
        candidates: segments that a pixel may move to, its own included, >= 1.
        temperature: tau > 0 of the two softmaxes, in squared units of f.
        place: lambda >= 0, what the image's longest side counts, in units of f.
        iterations: steps of Lloyd's algorithm, >= 0.
        searched: segments among which candidates are looked for, >= candidates.
        seed: of the noise; None draws anew at every call, from PyTorch's generator.

    Raises:
        ValueError: for an argument outside its domain.

    Source: Kovtunenko and Mashtalir 2026, section 4, doi:10.15276/aait.09.2026.12; Bengio et al.
    2013, arXiv:1308.3432; Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax";
    Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5 (the start).

    >>> import torch
    >>> from metriseg.batch import Batch
    >>> values = torch.tensor([[[0.0, 0.1, 5.0, 0.1]]])
    >>> batch = Batch.from_tensors(values, torch.zeros(1, 4).long(), activation="sigmoid")
    >>> KNNSegments(k=2).label_map(batch)
    tensor([[0, 0, 1, 2]])
    """

    form: ClassVar[Form] = "paper"

    def __init__(
        self,
        k: int = 8,
        connectivity: int = 1,
        estimator: Estimator = "soft",
        candidates: int = 8,
        temperature: float = 1.0,
        place: float = 1.0,
        iterations: int = 5,
        searched: int = 1024,
        seed: int | None = None,
    ) -> None:
        validation.one_of("estimator", estimator, ("soft", "gumbel", "conv1x1"))
        self.k = validation.whole_number("k", k, low=1)
        self.connectivity = validation.whole_number("connectivity", connectivity, low=1)
        self.estimator = estimator
        self.candidates = validation.whole_number("candidates", candidates, low=1)
        self.temperature = validation.number("temperature", temperature, low=0.0, open_low=True)
        self.place = validation.number("place", place, low=0.0)
        self.iterations = validation.whole_number("iterations", iterations)
        self.searched = validation.whole_number("searched", searched, low=self.candidates)
        self.seed = validation.label("seed", seed)

    def assign(self, batch: Batch) -> SparseAssignment:
        check_finite(batch)
        embedding = batch.embedding
        values = embedding.flatten(2).transpose(1, 2)
        fixed = values.detach()
        own, numbers = self._segments(batch, fixed)
        segments = int(own.max()) + 1 if own.numel() else 1
        counted = _counted(batch, fixed)
        places = self.place * _places(embedding)
        where = torch.cat([fixed, places.expand(len(fixed), -1, -1)], -1)
        centroids = _means(where, own, segments, counted)
        sizes = fixed.new_zeros(own.shape[0], segments).scatter_add_(1, own, counted)
        candidates = own.new_empty(*own.shape, min(self.candidates, segments))
        empty = torch.empty_like(candidates, dtype=torch.bool)
        for image, number in enumerate(numbers):
            candidates[image], empty[image] = _candidates(
                where[image],
                centroids[image],
                sizes[image],
                own[image],
                number,
                candidates.shape[-1],
                self.searched,
            )
        picked = centroids[torch.arange(len(own), device=own.device)[:, None, None], candidates]
        value = self._value(values, places, picked, empty)
        return SparseAssignment(candidates, value, segments, own)

    def label_map(self, batch: Batch) -> Tensor:
        check_finite(batch)
        values = batch.embedding.detach().flatten(2).transpose(1, 2)
        return self._segments(batch, values)[0].view(len(values), *batch.logits.shape[2:])

    def quantised(self, batch: Batch) -> Tensor:
        """``(B, *S)`` int64: the nearest of the k centroids, before components part them."""
        check_finite(batch)
        return self._codes(batch, batch.embedding.detach().flatten(2).transpose(1, 2))

    def _codes(self, batch: Batch, values: Tensor) -> Tensor:
        counted = _counted(batch, values)
        codes = torch.empty_like(counted, dtype=torch.int64)
        for row, image, mask in zip(codes, values, counted > 0, strict=True):
            row.copy_(_quantised(image, mask, self.k, self.iterations))
        return codes.view(len(values), *batch.logits.shape[2:])

    def _segments(self, batch: Batch, values: Tensor) -> tuple[Tensor, list[int]]:
        return regions(self._codes(batch, values), batch.valid, self.connectivity)

    def _value(self, values: Tensor, places: Tensor, picked: Tensor, empty: Tensor) -> Tensor:
        """``(B, N, K)``: what stands for the assignment in the backward pass."""
        width = values.shape[-1]
        centroids = picked[..., :width]
        if self.estimator == "conv1x1":
            # from the own candidates' mean: no product loses what differs little
            full = (~empty).unsqueeze(-1).to(values.dtype)
            middle = (centroids * full).sum(2, keepdim=True) / full.sum(2, keepdim=True)
            kernels = (centroids - middle) * full
            score = 2 * ((values.unsqueeze(2) - middle) * kernels).sum(-1)
            score = score - kernels.square().sum(-1)
            score = score - (score * full[..., 0]).sum(-1, keepdim=True) / full.sum(2)
            return torch.where(empty, 0.0, score)
        score = -(values.unsqueeze(2) - centroids).square().sum(-1)
        score = score - (places.unsqueeze(2) - picked[..., width:]).square().sum(-1)
        if self.estimator == "gumbel":
            score = score + self._noise(score)
        return torch.where(empty, -torch.inf, score / self.temperature).softmax(-1)

    def _noise(self, like: Tensor) -> Tensor:
        generator = None
        if self.seed is not None:
            generator = torch.Generator(like.device).manual_seed(self.seed)
        waiting = torch.empty_like(like, requires_grad=False).exponential_(generator=generator)
        return -waiting.clamp_min(torch.finfo(like.dtype).tiny).log()


def _counted(batch: Batch, like: Tensor) -> Tensor:
    """``(B, N)``: 1 for pixels that count, else 0."""
    if batch.valid is None:
        return like.new_ones(like.shape[:2])
    return batch.valid.flatten(1).to(like.dtype)


def _places(image: Tensor) -> Tensor:
    """``(1, N, dimensions)``: coordinates, the longest side being 1."""
    sides = image.shape[2:]
    axes = [torch.arange(n, dtype=image.dtype, device=image.device) / max(sides) for n in sides]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2).unsqueeze(0)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """``(B, 1, D)``."""
    mass = counted.unsqueeze(-1)
    return (values * mass).sum(1, keepdim=True) / mass.sum(1, keepdim=True).clamp_min(1)


def _means(values: Tensor, own: Tensor, segments: int, counted: Tensor) -> Tensor:
    """``(B, m, D)``: the mean of each segment's values; 0 where none counts."""
    images, pixels, width = values.shape
    shift = torch.arange(images, device=own.device).unsqueeze(1) * segments
    index = (own + shift).flatten()
    # in double precision: a background has very many pixels
    rows = torch.cat([values, values.new_ones(images, pixels, 1)], -1) * counted.unsqueeze(-1)
    sums = rows.new_zeros(images * segments, width + 1, dtype=torch.float64)
    sums.index_add_(0, index, rows.flatten(0, 1).double())
    means = sums[:, :-1] / sums[:, -1:].clamp_min(1)
    return means.to(values.dtype).view(images, segments, width)


def _quantised(values: Tensor, counts: Tensor, k: int, iterations: int) -> Tensor:
    """``(N,)``: the nearest of k centroids of values ``(N, D)``."""
    centroids = _far_apart(values, counts, k)
    for _ in range(iterations):
        nearest = _nearest(values, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, values * counts.unsqueeze(-1))
        sizes = counts.new_zeros(k, dtype=values.dtype)
        sizes = sizes.index_add_(0, nearest, counts.to(values.dtype)).unsqueeze(-1)
        centroids = torch.where(sizes > 0, sums / sizes.clamp_min(1), centroids)
    return _nearest(values, centroids)


def _far_apart(values: Tensor, counts: Tensor, k: int) -> Tensor:
    """``(k, D)`` of the values: the one nearest their mean, then ever the farthest."""
    middle = _mean(values[None], counts[None].to(values.dtype))[0]
    place = torch.where(counts, (values - middle).square().sum(1), torch.inf).argmin()
    chosen = [values[place]]
    distance = torch.where(counts, (values - chosen[0]).square().sum(1), -1.0)
    for _ in range(k - 1):
        chosen.append(values[distance.argmax()])
        distance = torch.minimum(distance, (values - chosen[-1]).square().sum(1))
    return torch.stack(chosen)


def _nearest(values: Tensor, centroids: Tensor) -> Tensor:
    # differences, not products: these would lose what differs little beside a large mean
    return torch.cdist(values, centroids, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)


def _candidates(
    where: Tensor, centroids: Tensor, sizes: Tensor, own: Tensor, number: int, k: int, searched: int
) -> tuple[Tensor, Tensor]:
    """``(N, k)``: an image's nearest segments, the own one among them; and which are empty."""
    slots = torch.arange(k, device=own.device)
    found = slots.expand(len(own), k).clone()
    known = min(number, searched)
    largest = sizes[:number].argsort(descending=True, stable=True)[:known]
    wanted = min(k, known)
    if wanted:
        tree = KDTree(centroids[largest].cpu().numpy())
        _, index = tree.query(
            where.cpu().numpy(), k=list(range(1, wanted + 1)), workers=torch.get_num_threads()
        )
        found[:, :wanted] = largest[torch.from_numpy(index).to(own.device)]
    missing = ~(found == own.unsqueeze(1)).any(1)
    found[:, -1] = torch.where(missing, own, found[:, -1])
    return found, (slots >= wanted) & (found != own.unsqueeze(1))
