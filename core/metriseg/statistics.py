"""Per-class sums over pixels: all that a region loss knows of a prediction.

The sums are additive over tiles, images, ranks and steps, so a loss written as a function of them
needs one pass over the logits, whatever the number of losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor

from metriseg.batch import Activation, Batch, exact_backward, full_precision
from metriseg.options import Overlap

__all__ = ["RegionStatistics", "region_statistics"]

#: Values of logits that one step of the pass holds at once: few enough to save memory, enough for
#: every step to keep all threads busy.
TILE_VALUES = 1 << 23

#: Below this base the derivative of a power smaller than 1 stops growing.
GUARDED_BASE = 1e-6


#: Logits (n, C, s), target (n, C or 1, s) and weight (n, 1, s) of some images and pixels.
Tile = tuple[Tensor, Tensor, Tensor | None]


class RegionStatistics(NamedTuple):
    """Sums over the pixels of a group (an image, or the whole batch), a class each.

    With p the probability, t the target and w the weight of a pixel, every entry is ``(G, C)``:

    Attributes:
        overlap: q -> sum of w p^q t; or of w min(p, t), of which ``missed`` and the others are then
            the differences.
        predicted: q -> sum of w p^q.
        target: q -> sum of w t^q (differs from the sum of w t only for soft labels).
        count: sum of w, the same for every class.
        missed, claimed, rejected: sum of w t (1 - p), of w (1 - t) p and of w (1 - t)(1 - p), of
            these differences themselves, so that single precision keeps the digits of a small one;
            None where nobody asked.
    """

    overlap: Mapping[float, Tensor]
    predicted: Mapping[float, Tensor]
    target: Mapping[float, Tensor]
    count: Tensor  # type: ignore[assignment]  # a NamedTuple's own count() is never wanted
    missed: Tensor | None = None
    claimed: Tensor | None = None
    rejected: Tensor | None = None

    @property
    def errors(self) -> tuple[Tensor, Tensor, Tensor]:
        """``missed``, ``claimed`` and ``rejected``, from the other sums if need be."""
        if self.missed is None or self.claimed is None or self.rejected is None:
            overlap = self.overlap[1.0]
            claimed = self.predicted[1.0] - overlap
            return self.target[1.0] - overlap, claimed, self.count - self.target[1.0] - claimed
        return self.missed, self.claimed, self.rejected

    def pooled(self) -> RegionStatistics:
        """One group out of all: the statistics of the batch as a whole."""
        return self._mapped(lambda sums: sums.sum(1, keepdim=True))

    def __add__(self, other: object) -> RegionStatistics:
        """The statistics of both sets of pixels together, group by group."""
        if not isinstance(other, RegionStatistics):
            return NotImplemented
        known = None not in (self.missed, other.missed)
        errors = [a + b for a, b in zip(self.errors, other.errors, strict=True)] if known else []
        return RegionStatistics(
            {q: v + other.overlap[q] for q, v in self.overlap.items()},
            {q: v + other.predicted[q] for q, v in self.predicted.items()},
            {q: v + other.target[q] for q, v in self.target.items()},
            self.count + other.count,
            *errors,
        )

    def all_reduce(self) -> RegionStatistics:
        """The sums over all ranks of ``torch.distributed``, with gradient.

        Every rank must call it, also one that has nothing to add. Without an initialised process
        group the statistics are returned as they are.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return self
        return self._mapped(_SumOverRanks.apply)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> RegionStatistics:
        """All entries as one tensor (K, G, C) through ``change``: one collective, one kernel."""
        families = (self.overlap, self.predicted, self.target)
        errors = [] if self.missed is None else self.errors
        rows = [*(v for family in families for v in family.values()), self.count, *errors]
        entries = iter(change(torch.stack(rows)).unbind())
        overlap, predicted, target = ({q: next(entries) for q in family} for family in families)
        return RegionStatistics(overlap, predicted, target, *entries)


def region_statistics(
    batch: Batch,
    moments: Collection[float] = (1.0,),
    *,
    per_image: bool = True,
    errors: bool = False,
    overlap: Overlap = "product",
) -> RegionStatistics:
    """The sums of powers of probability and target that region losses are made of.

    One autograd function: it keeps the logits and the target for the backward pass and nothing
    else (no one-hot tensor, no probabilities), and visits the pixels in tiles.

    Args:
        batch: prediction and truth.
        moments: the exponents q > 0 for which the sums are wanted.
        per_image: a group an image (``G = N``) or one group for the batch (``G = 1``).
        errors: whether ``missed``, ``claimed`` and ``rejected`` are wanted; moment 1 must be.
        overlap: "product", p t, or "minimum", min(p, t), which is p t of hard labels; for the
            moment 1 alone.

    Returns:
        Statistics with a gradient to the logits through ``overlap``, ``predicted`` and the errors.

    >>> import torch
    >>> p = torch.tensor([[[.9, .2], [.1, .8]]])                 # (1, 2 classes, 2 pixels)
    >>> batch = Batch.from_tensors(p, torch.tensor([[0, 1]]), activation="identity")
    >>> s = region_statistics(batch)
    >>> s.overlap[1.0], s.predicted[1.0], s.target[1.0]
    (tensor([[0.9000, 0.8000]]), tensor([[1.1000, 0.9000]]), tensor([[1., 1.]]))
    """
    powers = tuple(sorted(float(q) for q in moments))
    if not powers or powers[0] <= 0:
        raise ValueError(f"moments must be exponents above zero, got {tuple(moments)}")
    if errors and 1.0 not in powers:
        raise ValueError(f"moments must have 1 among them with errors=True, got {tuple(moments)}")
    if overlap == "minimum" and powers != (1.0,):
        raise ValueError(f"moments must be (1,) with overlap='minimum', got {tuple(moments)}")
    least = overlap == "minimum" and not batch.has_labels
    with full_precision(batch.logits):
        sums = _RegionSums.apply(
            batch.logits, batch.target, batch.weight, powers, batch.activation, errors, least
        )
    common, predicted, target, count, *differences = sums
    statistics = RegionStatistics(
        dict(zip(powers, common.unbind(), strict=True)),
        dict(zip(powers, predicted.unbind(), strict=True)),
        dict(zip(powers, target.unbind(), strict=True)),
        count.unsqueeze(1).expand_as(common[0]),
        *(differences if errors else ()),
    )
    return statistics if per_image else statistics.pooled()


class _RegionSums(torch.autograd.Function):
    """(overlap, predicted, target), each (Q, N, C), count (N), and the differences, each (N, C)."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None,
        powers: tuple[float, ...],
        activation: Activation,
        errors: bool,
        least: bool,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, target, weight)
        ctx.powers, ctx.activation, ctx.errors, ctx.least = powers, activation, errors, least
        images, classes, pixels = logits.shape[0], logits.shape[1], math.prod(logits.shape[2:])
        overlap = logits.new_zeros(len(powers), images, classes)
        predicted, targeted = torch.zeros_like(overlap), torch.zeros_like(overlap)
        asked = images if errors else 0
        missed, claimed, rejected = (logits.new_zeros(asked, classes) for _ in range(3))
        soft = target.is_floating_point()
        p_true = logits.new_empty(0 if soft else images, 1, pixels, dtype=_precision(logits))
        short = torch.empty_like(p_true) if errors else None
        for (rows, columns), tile in _tiles(logits, target, weight):
            _add_tile(
                overlap[:, rows],
                predicted[:, rows],
                targeted[:, rows],
                None if soft else p_true[rows, :, columns],
                (missed[rows], claimed[rows], rejected[rows]) if errors else None,
                None if soft or short is None else short[rows, :, columns],
                tile,
                powers,
                activation,
                least,
            )
        _, target, weight = _flat(logits, target, weight)
        if not soft:
            for k, q in enumerate(powers):
                overlap[k] = sums_by_label(_weighted(_power(p_true, q), weight), target, classes)
            mass = p_true.new_ones(()).expand_as(p_true) if weight is None else weight
            targeted += sums_by_label(mass, target, classes)
            if short is not None:
                missed += sums_by_label(_weighted(short, weight), target, classes)
        count = logits.new_full((images,), float(pixels))
        if weight is not None:
            count = weight.sum((1, 2))
        ctx.mark_non_differentiable(targeted, count)
        return overlap, predicted, targeted, count, missed, claimed, rejected

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, weight = ctx.saved_tensors
        grad_overlap, grad_predicted = grads[:2]
        if ctx.errors:
            # missed = target - overlap, claimed = predicted - overlap, and what isn't claimed is
            # rejected: all of moment 1
            first = torch.tensor([q == 1.0 for q in ctx.powers], device=logits.device)
            first = first.to(logits.dtype).view(-1, 1, 1)
            on_missed, on_claimed = grads[4], grads[5] - grads[6]
            grad_overlap = grad_overlap - first * (on_missed + on_claimed)
            grad_predicted = grad_predicted + first * on_claimed
        grad = logits.new_empty(*logits.shape[:2], math.prod(logits.shape[2:]))
        for (rows, columns), tile in _tiles(logits, target, weight):
            _write_gradient(
                grad[rows, :, columns],
                tile,
                ctx.powers,
                (grad_overlap[:, rows], grad_predicted[:, rows]),
                ctx.activation,
                ctx.least,
            )
        return grad.view(logits.shape), None, None, None, None, None, None


def _add_tile(
    overlap: Tensor,
    predicted: Tensor,
    targeted: Tensor,
    p_true: Tensor | None,
    errors: tuple[Tensor, Tensor, Tensor] | None,
    short: Tensor | None,
    tile: Tile,
    powers: tuple[float, ...],
    activation: Activation,
    least: bool,
) -> None:
    """Add a tile to the sums; of labels only keep p at the label, summed when all tiles are."""
    z, t, w = tile
    p = _activate(z, w, activation)
    if p_true is not None:
        p_true.copy_(p.gather(1, t))
    for k, q in enumerate(powers):
        p_power = _weighted(_power(p, q), w)
        predicted[k] += p_power.sum(2)
        if p_true is None:
            common = _weighted(torch.minimum(p, t), w) if least else p_power * t
            overlap[k] += common.sum(2)
            targeted[k] += _weighted(_power(t, q), w).sum(2)
    if errors is not None:
        _add_errors(errors, short, p, tile, activation, least)


def _add_errors(
    sums: tuple[Tensor, Tensor, Tensor],
    short: Tensor | None,
    p: Tensor,
    tile: Tile,
    activation: Activation,
    least: bool,
) -> None:
    """Add a tile's differences; of labels only keep what p is short of 1 at the label."""
    missed, claimed, rejected = sums
    z, t, w = tile
    left = _short_of_one(z, w, p, activation)
    if least:
        # t - p from what both are short of 1: that of p has its digits
        missed += _weighted((left - (1 - t)).clamp(min=0), w).sum(2)
        claimed += _weighted((p - t).clamp(min=0), w).sum(2)
        rejected += _weighted(torch.minimum(left, 1 - t), w).sum(2)
    elif short is None:
        missed += _weighted(left * t, w).sum(2)
        claimed += _weighted(p * (1 - t), w).sum(2)
        rejected += _weighted(left * (1 - t), w).sum(2)
    else:
        short.copy_(left.gather(1, t))
        claimed += _weighted(p.scatter(1, t, 0.0), w).sum(2)
        rejected += _weighted(left.scatter(1, t, 0.0), w).sum(2)


def _short_of_one(z: Tensor, w: Tensor | None, p: Tensor, activation: Activation) -> Tensor:
    """1 - p, with its digits also where p rounds to 1."""
    if activation == "sigmoid":
        return _activate(-z, w, activation)
    if activation == "identity":
        return 1 - p
    largest = p.argmax(1, keepdim=True)
    return (1 - p).scatter(1, largest, p.scatter(1, largest, 0.0).sum(1, keepdim=True))


def _write_gradient(
    out: Tensor,
    tile: Tile,
    powers: tuple[float, ...],
    grads: tuple[Tensor, Tensor],
    activation: Activation,
    least: bool,
) -> None:
    """The gradient of a tile, into its place (in a function: what it needs dies with it)."""
    z, t, w = tile
    # the place of the gradient holds p for the time being, unless derivatives of it are wanted
    spare = None if torch.is_grad_enabled() or torch.compiler.is_compiling() else out
    p = _activate(z, w, activation, spare)
    slope = _weighted(_slope_against_p(p, t, powers, *grads, activation, least), w)
    if activation == "identity":
        out.copy_(slope)
        return
    shared = slope.sum(1, keepdim=True) if activation == "softmax" else slope
    if spare is None:
        out.copy_(torch.addcmul(slope, p, shared, value=-1))
    else:
        torch.addcmul(slope, p, shared, value=-1, out=out)


def _slope_against_p(
    p: Tensor,
    t: Tensor,
    powers: tuple[float, ...],
    grad_overlap: Tensor,
    grad_predicted: Tensor,
    activation: Activation,
    least: bool,
) -> Tensor:
    """The derivative against p, multiplied by p unless p itself is the input.

    Through a softmax or a sigmoid the derivative meets a factor p, and p * q p^(q-1) = q p^q is
    finite at p = 0 whatever q is; only for given probabilities must the derivative be guarded.
    """
    own = _derivative if activation == "identity" else _scaled_power
    slope: Tensor | None = None
    for k, q in enumerate(powers):
        on_all = own(p, q) * grad_predicted[k].unsqueeze(2)
        slope = on_all if slope is None else slope + on_all
        if t.is_floating_point():
            # of the minimum, whose slope halfway, at p = t, is between those of both sides
            share = (1 - torch.sign(p - t)) / 2 if least else t
            slope = slope + own(p, q) * share * grad_overlap[k].unsqueeze(2)
        else:
            on_true = own(p.gather(1, t), q) * grad_overlap[k].unsqueeze(2).expand(
                -1, -1, t.shape[2]
            ).gather(1, t)
            slope.scatter_add_(1, t, on_true)
    assert slope is not None
    return slope


def _activate(
    z: Tensor, w: Tensor | None, activation: Activation, out: Tensor | None = None
) -> Tensor:
    """p; where the weight is zero of 0 in place of z, which may hold anything there, also NaN."""
    if w is not None:
        z = torch.where(w > 0, z, 0.0)
    if activation == "softmax":
        return torch.softmax(z, 1, out=out)
    return torch.sigmoid(z, out=out) if activation == "sigmoid" else z


def _power(x: Tensor, q: float) -> Tensor:
    if q == 1.0:
        return x
    if q == 1.5:
        return x * x.sqrt()
    return x * x if q == 2.0 else x.pow(q)


def _scaled_power(p: Tensor, q: float) -> Tensor:
    return p if q == 1.0 else _power(p, q) * q


def _derivative(p: Tensor, q: float) -> Tensor:
    if q == 1.0:
        return torch.ones_like(p)
    base = p.clamp(min=GUARDED_BASE) if q < 1 else p
    return base.pow(q - 1) * q


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    return values if weight is None else values * weight


def sums_by_label(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """``(N, C)`` from values and labels ``(N, 1, s)``."""
    sums = values.new_zeros(len(values), classes, dtype=_precision(values))
    return sums.scatter_add(1, labels.squeeze(1), values.squeeze(1).to(sums.dtype))


def _precision(values: Tensor) -> torch.dtype:
    """Of sums by label, which are taken one number after the other.

    In single precision they would stop growing at 2^24 pixels (Apple's GPUs have no other).
    """
    return torch.float32 if values.device.type == "mps" else torch.float64


def _flat(
    logits: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits (N, C, s), target (N, C or 1, s) and weight (N, 1, s), all pixels in one axis."""
    soft = target.is_floating_point()
    return (
        logits.flatten(2),
        target.flatten(2) if soft else target.flatten(1).unsqueeze(1),
        None if weight is None else weight.flatten(1).unsqueeze(1),
    )


def _tiles(
    logits: Tensor, target: Tensor, weight: Tensor | None
) -> Iterator[tuple[tuple[slice, slice], Tile]]:
    """Of about TILE_VALUES values each: many small images at once, or parts of a large one.

    A compiler that sees the whole pass cuts it better itself, and gets one tile.
    """
    z_flat, t_flat, w_flat = _flat(logits, target, weight)
    images, classes, pixels = z_flat.shape
    budget = TILE_VALUES // classes
    if torch.compiler.is_compiling():
        budget = max(images * pixels, 1)
    width = max(1, min(pixels, budget))
    height = max(1, budget // max(pixels, 1))
    for image in range(0, images, height):
        for pixel in range(0, pixels, width):
            rows, columns = slice(image, image + height), slice(pixel, pixel + width)
            parts = (None if f is None else f[rows, :, columns] for f in (z_flat, t_flat, w_flat))
            yield (rows, columns), cast(Tile, tuple(parts))


class _SumOverRanks(torch.autograd.Function):
    """all_reduce with the gradient that makes DDP's average over ranks the true gradient.

    Every rank computes the same loss of the sum, so the sum of the ranks' gradients is R times
    the gradient; DDP divides by R.
    """

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total
