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

from metriseg import fused
from metriseg.batch import Activation, Batch, exact_backward, full_precision
from metriseg.options import Overlap

aten = torch.ops.aten

__all__ = ["RegionStatistics", "label_log_probabilities", "region_statistics"]

#: Values of logits that one step of the pass holds at once, where memory is all that they cost.
TILE_VALUES = 1 << 23
#: The same for every thread of a CPU: few enough that its caches hold what a step makes of them.
CACHED_VALUES = 1 << 17

#: Below this base the derivative of a power smaller than 1 stops growing.
GUARDED_BASE = 1e-6
#: The least probability that a gradient is divided by and multiplied with again.
SMALL = 1e-30


#: Logits (n, C, s), target (n, C or 1, s) and weight (n, 1 or C, s) of some images and pixels.
Tile = tuple[Tensor, Tensor, Tensor | None]


class _Asked(NamedTuple):
    """What a pass over the logits is for.

    Attributes:
        overlap: powers of p that are summed where the target is.
        predicted: powers of p that are summed everywhere.
        target: powers of the target that are summed.
        activation: what makes p.
        errors: whether the differences are summed too.
        least: whether the overlap is the minimum.
        logs: whether ln p at every pixel's label is wanted.
    """

    overlap: tuple[float, ...]
    predicted: tuple[float, ...]
    target: tuple[float, ...]
    activation: Activation
    errors: bool
    least: bool
    logs: bool


class RegionStatistics(NamedTuple):
    """Sums over the pixels of a group (an image, or the whole batch), a class each.

    With p the probability, t the target and w the weight of a pixel, every entry is ``(G, C)``:

    Attributes:
        overlap: q -> sum of w p^q t; or of w min(p, t), of which ``missed`` and the others are then
            the differences.
        predicted: q -> sum of w p^q.
        target: q -> sum of w t^q (differs from the sum of w t only for soft labels).
        count: sum of w, the same for every class unless classes have weights of their own.
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
    overlap_moments: Collection[float] | None = None,
    per_image: bool = True,
    errors: bool = False,
    overlap: Overlap = "product",
    label_logs: bool = False,
) -> RegionStatistics:
    """The sums of powers of probability and target that region losses are made of.

    One autograd function that visits the pixels in tiles. Beside logits and target it keeps the
    probabilities alone, and the gradient takes their place (no one-hot tensor, no second softmax).

    Args:
        batch: prediction and truth.
        moments: the exponents q > 0 for which the sums are wanted. Of the target the sums for 1 are
            always there.
        overlap_moments: those of ``overlap``; None for the same ones and 1.
        per_image: a group an image (``G = N``) or one group for the batch (``G = 1``).
        errors: whether ``missed``, ``claimed`` and ``rejected`` are wanted; moment 1 must be.
        overlap: "product", p t, or "minimum", min(p, t), which is p t of hard labels; for the
            moment 1 alone.
        label_logs: whether the pass takes :func:`label_log_probabilities` along, which then cost
            next to nothing.

    Returns:
        Statistics with a gradient to the logits through ``overlap``, ``predicted`` and the errors.

    >>> import torch
    >>> p = torch.tensor([[[.9, .2], [.1, .8]]])                 # (1, 2 classes, 2 pixels)
    >>> batch = Batch.from_tensors(p, torch.tensor([[0, 1]]), activation="identity")
    >>> s = region_statistics(batch)
    >>> s.overlap[1.0], s.predicted[1.0], s.target[1.0]
    (tensor([[0.9000, 0.8000]]), tensor([[1.1000, 0.9000]]), tensor([[1., 1.]]))
    """
    powers = _exponents("moments", moments)
    shared = _exponents(
        "overlap_moments", {1.0, *powers} if overlap_moments is None else overlap_moments
    )
    if errors and not (1.0 in powers and 1.0 in shared):
        raise ValueError(f"moments must have 1 among them with errors=True, got {tuple(moments)}")
    if overlap == "minimum" and (powers != (1.0,) or shared != powers):
        raise ValueError(f"moments must be (1,) with overlap='minimum', got {tuple(moments)}")
    asked = _Asked(
        overlap=shared,
        predicted=powers,
        target=tuple(sorted({1.0, *powers})),
        activation=batch.activation,
        errors=errors,
        least=overlap == "minimum" and not batch.has_labels,
        logs=label_logs and has_label_logs(batch),
    )
    common, predicted, target, count, missed, claimed, rejected, logs = _passed(batch, asked)
    if asked.logs:
        batch.once("label_logs", lambda: logs)
    statistics = RegionStatistics(
        dict(zip(shared, common.unbind(), strict=True)),
        dict(zip(powers, predicted.unbind(), strict=True)),
        dict(zip(asked.target, target.unbind(), strict=True)),
        count.expand_as(common[0]),
        *((missed, claimed, rejected) if errors else ()),
    )
    return statistics if per_image else statistics.pooled()


def has_label_logs(batch: Batch) -> bool:
    """Whether :func:`label_log_probabilities` are defined: for labels of exclusive classes."""
    return batch.has_labels and batch.activation == "softmax"


def label_log_probabilities(batch: Batch) -> Tensor:
    """``(N, *S)``: ln p of every pixel's label under a softmax; nothing is kept but the logits.

    Where pixels don't count it is that of equal logits.

    Args:
        batch: with labels and exclusive classes, see :func:`has_label_logs`.

    >>> import torch
    >>> label_log_probabilities(Batch.from_tensors(torch.zeros(1, 4, 2), torch.tensor([[0, 3]])))
    tensor([[-1.3863, -1.3863]])
    """
    asked = _Asked((), (), (), batch.activation, errors=False, least=False, logs=True)
    return batch.once("label_logs", lambda: _passed(batch, asked)[-1])


def _exponents(name: str, given: Collection[float]) -> tuple[float, ...]:
    powers = tuple(sorted(float(q) for q in given))
    if not powers or powers[0] <= 0:
        raise ValueError(f"{name} must be exponents above zero, got {tuple(given)}")
    return powers


def _passed(batch: Batch, asked: _Asked) -> tuple[Tensor, ...]:
    with full_precision(batch.logits):
        found: tuple[Tensor, ...] = _Pass.apply(
            batch.logits, batch.target, batch.finest_weight, asked
        )
    return found


class _Pass(torch.autograd.Function):
    """(overlap, predicted, target), each (Q, N, C), count (N, 1) or, where classes have weights of
    their own, (N, C), the differences, each (N, C), and the logarithms at the labels (N, *S); what
    nobody asked for is empty."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, weight: Tensor | None, asked: _Asked
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, target, weight)
        ctx.asked = asked
        of_classes = weight is not None and weight.ndim == logits.ndim
        ctx.fused = not of_classes and fused.fits(
            logits, target, asked.activation, errors=asked.errors, least=asked.least
        )
        pixels = math.prod(logits.shape[2:])
        if ctx.fused:
            found, logs = fused.forward(
                *_contiguous(logits, target, weight),
                activation=asked.activation,
                overlap=asked.overlap,
                predicted=asked.predicted,
                powers=asked.target,
                errors=asked.errors,
                logs=asked.logs,
            )
            sums = _Sums(*found)
            ctx.known = None
        else:
            sums = _Sums.zeros(logits, asked)
            logs = logits.new_empty(len(logits), 1, pixels if asked.logs else 0)
            keeps = ctx.needs_input_grad[0] and _is_worth_keeping(asked)
            # in one go, unless what doesn't count must be taken out of a tile first
            at_once = keeps and weight is None
            known = _Mosaic(logits, _prepared(logits.flatten(2), None, asked) if at_once else None)
            for (rows, columns), tile in _tiles(logits, target, weight):
                of_tile = known.values[rows, :, columns] if at_once else None
                of_tile = _add_tile(
                    sums.of_images(rows), logs[rows, :, columns], tile, asked, of_tile
                )
                if keeps and not at_once:
                    known.put(rows, columns, of_tile)
            ctx.known = known.values if keeps else None
        count = logits.new_full((len(logits), 1), float(pixels))
        if weight is not None:
            count = weight.flatten(2).sum(2) if of_classes else weight.flatten(1).sum(1, True)
        if asked.errors and asked.activation == "softmax" and not target.is_floating_point():
            # all that is neither of a class nor claimed by it
            sums.rejected.copy_(count - sums.target[0] - sums.claimed)
        given = [one.to(logits.dtype) for one in sums]
        ctx.mark_non_differentiable(given[2], count)
        shape = (len(logits), *logits.shape[2:]) if asked.logs else (0,)
        return *given[:3], count, *given[3:], logs.view(shape)

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, weight = ctx.saved_tensors
        asked: _Asked = ctx.asked
        grad_overlap, grad_predicted = grads[:2]
        if asked.errors:
            # missed = target - overlap, claimed = predicted - overlap, and what isn't claimed is
            # rejected: all of moment 1
            on_missed, on_claimed = grads[4], grads[5] - grads[6]
            grad_overlap = grad_overlap - _first(asked.overlap, logits) * (on_missed + on_claimed)
            grad_predicted = grad_predicted + _first(asked.predicted, logits) * on_claimed
        if ctx.fused and not torch.is_grad_enabled():
            found = fused.backward(
                *_contiguous(logits, target, weight),
                grad_overlap,
                grad_predicted,
                grads[7].flatten(1) if asked.logs else None,
                activation=asked.activation,
                overlap=asked.overlap,
                predicted=asked.predicted,
            )
            return found.view(logits.shape), None, None, None
        on_logs = grads[7].reshape(len(logits), 1, -1)
        # derivatives of the gradient need all the way from the logits
        known = None if torch.is_grad_enabled() else ctx.known
        if known is not None:
            # the gradient takes their place: another backward pass makes them anew
            ctx.known = None
        grad = _Mosaic(logits, known)
        logs_alone = not (asked.predicted or _is_pure())
        for (rows, columns), tile in _tiles(logits, target, weight):
            place = grad.values[rows, :, columns] if logs_alone else None
            of_tile = _gradient(
                tile,
                asked,
                (grad_overlap[:, rows], grad_predicted[:, rows]),
                on_logs[rows, :, columns] if asked.logs else None,
                known=None if known is None else known[rows, :, columns],
                out=place,
            )
            if of_tile is not place:
                grad.put(rows, columns, of_tile)
        return grad.values.view(logits.shape), None, None, None


class _Mosaic:
    """``(N, C, s)``: a value for every logit, put together from tiles."""

    def __init__(self, logits: Tensor, values: Tensor | None = None) -> None:
        self._logits = logits
        self._values = values

    @property
    def values(self) -> Tensor:
        if self._values is None:
            shape = (*self._logits.shape[:2], math.prod(self._logits.shape[2:]))
            self._values = self._logits.new_empty(shape)
        return self._values

    def put(self, rows: slice, columns: slice, tile: Tensor) -> None:
        """Write a tile; one that is all there is takes the place of what was there."""
        if tile.numel() == self._logits.numel():
            self._values = tile
        else:
            self.values[rows, :, columns].copy_(tile)


class _Sums(NamedTuple):
    """What the tiles are added to, in double precision where there is one."""

    overlap: Tensor
    predicted: Tensor
    target: Tensor
    missed: Tensor
    claimed: Tensor
    rejected: Tensor

    @classmethod
    def zeros(cls, logits: Tensor, asked: _Asked) -> _Sums:
        images, classes = logits.shape[:2]
        of_errors = (images if asked.errors else 0, classes)
        shapes = [
            *((len(q), images, classes) for q in (asked.overlap, asked.predicted, asked.target)),
            *(of_errors,) * 3,
        ]
        return cls(*(logits.new_zeros(shape, dtype=summing_dtype(logits)) for shape in shapes))

    def of_images(self, rows: slice) -> _Sums:
        return _Sums(*(one[:, rows] for one in self[:3]), *(one[rows] for one in self[3:]))


def _first(powers: tuple[float, ...], logits: Tensor) -> Tensor:
    """1 for the moment 1, in a shape that multiplies (Q, N, C)."""
    first = torch.tensor([q == 1.0 for q in powers], device=logits.device)
    return first.to(logits.dtype).view(-1, 1, 1)


def _is_worth_keeping(asked: _Asked) -> bool:
    """Whether the backward pass should find p; a compiler knows better what to keep.

    The gradient of logarithms at labels needs one softmax, and no room beside it.
    """
    given = asked.activation == "identity"
    return bool(asked.predicted) and not given and not torch.compiler.is_compiling()


def _prepared(z: Tensor, w: Tensor | None, asked: _Asked) -> Tensor:
    """What a tile's sums and gradient are made of: p, or ln p where logarithms are wanted."""
    if asked.logs:
        return torch.log_softmax(_finite(z, _of_pixels(w)), 1)
    return _activate(z, w, asked.activation)


def _add_tile(sums: _Sums, logs: Tensor, tile: Tile, asked: _Asked, known: Tensor | None) -> Tensor:
    """Add a tile to the sums, and write the logarithms at its labels.

    p is returned, written over ``known`` if that was prepared.
    """
    z, t, w = tile
    p = _prepared(z, w, asked) if known is None else known
    if asked.logs:
        logs.copy_(p.gather(1, t))
        if not asked.predicted:
            return p
        p.exp_()
    if t.is_floating_point():
        _add_soft(sums, p, tile, asked)
    else:
        _add_hard(sums, p, tile, asked)
    return p


def _add_hard(sums: _Sums, p: Tensor, tile: Tile, asked: _Asked) -> None:
    """Add a tile with labels."""
    _, t, w = tile
    p_true, own_w = p.gather(1, t), _at_labels(w, t)
    for k, q in enumerate(asked.overlap):
        sums.overlap[k].add_(sums_by_label(_weighted(_power(p_true, q), own_w), t, p.shape[1]))
    ones = p_true.new_ones(()).expand_as(p_true)
    sums.target.add_(sums_by_label(ones if own_w is None else own_w, t, p.shape[1]))
    for k, q in enumerate(asked.predicted):
        if q != 1.0 or not asked.errors:
            sums.predicted[k] += _weighted(_power(p, q), w).sum(2)
    if asked.errors:
        claimed = _add_errors(sums, p, p_true, tile, asked.activation)
        own = _weighted(p_true, own_w)
        one = asked.predicted.index(1.0)
        sums.predicted[one] += claimed
        sums.predicted[one].add_(sums_by_label(own, t, p.shape[1]))


def _add_errors(
    sums: _Sums, p: Tensor, p_true: Tensor, tile: Tile, activation: Activation
) -> Tensor:
    """Add the differences of a tile with labels; what the classes claim of it is returned."""
    z, t, w = tile
    given = activation == "identity"
    others = p.scatter(1, t, 0.0) if given else p.scatter_(1, t, 0.0)
    if activation == "softmax":
        # 1 - p of the label is the sum of the others, and has its digits where p rounds to 1
        short = others.sum(1, keepdim=True)
    else:
        left = _activate(-z, w, activation) if activation == "sigmoid" else 1 - p
        short = left.gather(1, t)
        sums.rejected.add_(_weighted(left.scatter(1, t, 0.0), w).sum(2))
    sums.missed.add_(sums_by_label(_weighted(short, _at_labels(w, t)), t, p.shape[1]))
    claimed = _weighted(others, w).sum(2)
    sums.claimed.add_(claimed)
    if not given:
        p.scatter_(1, t, p_true)
    return claimed


def _add_soft(sums: _Sums, p: Tensor, tile: Tile, asked: _Asked) -> None:
    """Add a tile with soft labels."""
    z, t, w = tile
    for k, q in enumerate(asked.predicted):
        sums.predicted[k] += _weighted(_power(p, q), w).sum(2)
    for k, q in enumerate(asked.overlap):
        common = torch.minimum(p, t) if asked.least else _power(p, q) * t
        sums.overlap[k] += _weighted(common, w).sum(2)
    for k, q in enumerate(asked.target):
        sums.target[k] += _weighted(_power(t, q), w).sum(2)
    if not asked.errors:
        return
    left = short_of_one(z, w, p, asked.activation)
    if asked.least:
        # t - p from what both are short of 1: that of p has its digits
        missed = (left - (1 - t)).clamp(min=0)
        claimed, rejected = (p - t).clamp(min=0), torch.minimum(left, 1 - t)
    else:
        missed, claimed, rejected = left * t, p * (1 - t), left * (1 - t)
    for total, one in zip(sums[3:], (missed, claimed, rejected), strict=True):
        total.add_(_weighted(one, w).sum(2))


def short_of_one(z: Tensor, w: Tensor | None, p: Tensor, activation: Activation) -> Tensor:
    """1 - p ``(N, C, …)``, with its digits also where p rounds to 1; z is finite or w 0."""
    if activation == "sigmoid":
        return _activate(-z, w, activation)
    if activation == "identity":
        return 1 - p
    largest = p.argmax(1, keepdim=True)
    return (1 - p).scatter(1, largest, p.scatter(1, largest, 0.0).sum(1, keepdim=True))


def _gradient(
    tile: Tile,
    asked: _Asked,
    grads: tuple[Tensor, Tensor],
    on_logs: Tensor | None,
    *,
    known: Tensor | None,
    out: Tensor | None,
) -> Tensor:
    """The gradient of a tile (in a function: what it needs dies with it).

    Args:
        known: what :func:`_add_tile` returned, if it was kept; it may be written over.
        out: where to write that of logarithms alone.
    """
    z, t, w = tile
    if on_logs is not None:
        on_logs = _finite(on_logs, _of_pixels(w))
    pure = _is_pure()
    if on_logs is not None and not asked.predicted:
        p = torch.softmax(_finite(z, _of_pixels(w)), 1, out=out)
        if pure:
            return (p * -on_logs).scatter_add(1, t, on_logs)
        return p.mul_(-on_logs).scatter_add_(1, t, on_logs)
    if known is None:
        # as the sums' own p, to the last bit
        known = _prepared(z, w, asked).exp() if asked.logs else _prepared(z, w, asked)
    p = known
    slope = _slope_against_p(p, tile, asked, *grads, pure=pure)
    if on_logs is not None:
        # p ln'(p) is 1: the p that it is divided by is the one that it is multiplied with
        at_label = p.gather(1, t).clamp(min=SMALL)
        on_label = on_logs / at_label
        slope = slope.scatter_add(1, t, on_label) if pure else slope.scatter_add_(1, t, on_label)
        p = p.scatter(1, t, at_label) if pure else p.scatter_(1, t, at_label)
    if asked.activation == "identity":
        return slope
    if asked.activation == "sigmoid":
        return cast(Tensor, aten.sigmoid_backward(slope, p))
    return cast(Tensor, aten._softmax_backward_data(slope, p, 1, p.dtype))


def _is_pure() -> bool:
    """Whether nothing may be written over: derivatives of the gradient may be wanted."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def _slope_against_p(
    p: Tensor,
    tile: Tile,
    asked: _Asked,
    grad_overlap: Tensor,
    grad_predicted: Tensor,
    *,
    pure: bool,
) -> Tensor:
    """The derivative against p, a new tensor."""
    _, t, w = tile
    given = asked.activation == "identity"
    slope: Tensor | None = None
    hard = not t.is_floating_point()
    for k, q in enumerate(asked.predicted):
        factor = grad_predicted[k].unsqueeze(2)
        # (n, C, 1), or with the pixels' weights already (n, C, s)
        factor = factor * w if hard and w is not None else factor
        one = factor if q == 1.0 else _derivative(p, q, factor, given)
        if slope is not None:
            slope = slope + one
        else:
            slope = one if one.shape == p.shape else one.expand_as(p).clone()
    assert slope is not None
    if hard:
        p_true = p.gather(1, t) if asked.overlap != (1.0,) else p
        on_true: Tensor | None = None
        for k, q in enumerate(asked.overlap):
            factor = _of_labels(grad_overlap[k], t)
            one = factor if q == 1.0 else _derivative(p_true, q, factor, given)
            on_true = one if on_true is None else on_true + one
        assert on_true is not None
        on_true = _weighted(on_true, _at_labels(w, t))
        return slope.scatter_add(1, t, on_true) if pure else slope.scatter_add_(1, t, on_true)
    for k, q in enumerate(asked.overlap):
        # of the minimum, whose slope halfway, at p = t, is between those of both sides
        share = (1 - torch.sign(p - t)) / 2 if asked.least else t
        factor = grad_overlap[k].unsqueeze(2)
        on_true = share * (factor if q == 1.0 else _derivative(p, q, factor, given))
        slope = slope + on_true if pure else slope.add_(on_true)
    return _weighted(slope, w)


def _of_labels(table: Tensor, labels: Tensor) -> Tensor:
    """``(n, 1, s)``: the entry of ``(n, C)`` for every label."""
    if len(table) == 1:
        return table[0].index_select(0, labels.flatten()).view(labels.shape)
    return table.unsqueeze(2).expand(-1, -1, labels.shape[2]).gather(1, labels)


def _activate(z: Tensor, w: Tensor | None, activation: Activation) -> Tensor:
    """p; where the weight is zero of 0 in place of z, which may hold anything there, also NaN."""
    z = _finite(z, _of_pixels(w) if activation == "softmax" else w)
    if activation == "softmax":
        return torch.softmax(z, 1)
    return torch.sigmoid(z) if activation == "sigmoid" else z


def _finite(z: Tensor, w: Tensor | None) -> Tensor:
    return z if w is None else torch.where(w > 0, z, 0.0)


def _of_pixels(w: Tensor | None) -> Tensor | None:
    """``(n, 1, s)``: above 0 where any class counts; a softmax is of them all."""
    return w if w is None or w.shape[1] == 1 else w.amax(1, keepdim=True)


def _at_labels(w: Tensor | None, labels: Tensor) -> Tensor | None:
    """``(n, 1, s)``: the weights, of classes those of the labels."""
    return w if w is None or w.shape[1] == 1 else w.gather(1, labels)


def _power(x: Tensor, q: float) -> Tensor:
    if q == 1.0:
        return x
    if q == 1.5:
        return x.sqrt() * x
    return x.square() if q == 2.0 else x.pow(q)


def _derivative(p: Tensor, q: float, factor: Tensor, given: bool) -> Tensor:
    """q p^(q-1) times a factor, for an exponent below 1 with a bound.

    Through a softmax or a sigmoid it meets a factor p, and p^q is 0 where p is; only of
    probabilities that are given does the bound concern the gradient.
    """
    if q == 1.5:
        return p.sqrt() * (q * factor)
    if q == 2.0:
        return p * (q * factor)
    base = p.clamp(min=GUARDED_BASE if given else SMALL) if q < 1 else p
    return base.pow(q - 1) * (q * factor)


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    return values if weight is None else values * weight


def sums_by_label(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """``(N, C)`` from values and labels ``(N, 1, s)``.

    One number is added after the other: in single precision that would stop growing at 2^24.
    """
    sums = values.new_zeros(len(values), classes, dtype=summing_dtype(values))
    return sums.scatter_add(1, labels.squeeze(1), values.squeeze(1).to(sums.dtype))


def summing_dtype(values: Tensor) -> torch.dtype:
    """Of sums over many numbers; Apple's GPUs have single precision alone."""
    return torch.float32 if values.device.type == "mps" else torch.float64


def _flat(
    logits: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits (N, C, s), target (N, C or 1, s) and weight (N, C or 1, s), all pixels in one axis."""
    soft = target.is_floating_point()
    if weight is not None:
        weight = weight.flatten(2) if weight.ndim == logits.ndim else weight.flatten(1).unsqueeze(1)
    return (
        logits.flatten(2),
        target.flatten(2) if soft else target.flatten(1).unsqueeze(1),
        weight,
    )


def tile_values(device: torch.device) -> int:
    """How many values of logits a step should hold at once."""
    if device.type != "cpu":
        return TILE_VALUES
    return min(TILE_VALUES, CACHED_VALUES * torch.get_num_threads())


def _contiguous(
    logits: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits (N, C, s), target (N, s) or (N, C, s), weight (N, s), as the kernels read them."""
    return (
        logits.flatten(2).contiguous(),
        target.flatten(2 if target.is_floating_point() else 1).contiguous(),
        None if weight is None else weight.flatten(1).contiguous(),
    )


def _tiles(
    logits: Tensor, target: Tensor, weight: Tensor | None
) -> Iterator[tuple[tuple[slice, slice], Tile]]:
    """Many small images at once, or parts of a large one.

    A compiler that sees the whole pass cuts it better itself, and gets one tile.
    """
    z_flat, t_flat, w_flat = _flat(logits, target, weight)
    images, classes, pixels = z_flat.shape
    if torch.compiler.is_compiling():
        budget = max(images * pixels, 1)
    else:
        budget = tile_values(logits.device) // classes
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
