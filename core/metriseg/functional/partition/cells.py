r"""The weighted partition metric as a sum over soft cells: of tables, not of pairs of pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metriseg.batch import exact_backward
from metriseg.functional.partition import distance as soft
from metriseg.functional.partition.distance import SparseAssignment
from metriseg.functional.partition.sets import Weighting, quotient

__all__: list[str] = []

#: Shares of an image below which the sets differ by rounding alone, in double precision.
_ROUNDING = 1e-13


def weighted_cell_distance(
    p: Tensor | SparseAssignment, labels: Tensor, *, weighting: Weighting, density: Tensor | None
) -> Tensor:
    """``form="paper"`` of :func:`~metriseg.functional.weighted_soft_partition_distance`."""
    value, share, truth = soft.checked(p, labels, density)
    return _OfCells.apply(value, p, truth, share, weighting)  # type: ignore[no-any-return]


class _OfCells(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, p: Any, q: Any, share: Tensor, weighting: Weighting
    ) -> Tensor:
        cells, apart, whole = _cells(soft.with_value(p, value), q, share, weighting)
        ctx.save_for_backward(value, share)
        ctx.sides, ctx.weighting = (soft.without_value(p), q), weighting
        return (quotient(apart, whole) * cells).flatten(1).sum(1).to(value.dtype)

    @staticmethod
    @exact_backward
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        value, share = ctx.saved_tensors
        p, q = soft.with_value(ctx.sides[0], value), ctx.sides[1]
        cells, apart, whole = _cells(p, q, share, ctx.weighting)
        cost, overlap = quotient(apart, whole), quotient(cells, whole)
        # derivatives of C (1 - C / (a + b - C)), or of C (1 - 2 C / (a + b)), by C and by a
        if ctx.weighting == "union":
            by_cell, by_size = 1 - overlap * (2 + overlap), overlap.square()
        else:
            by_cell, by_size = 1 - 4 * overlap, 2 * overlap.square()
        pull = soft.entries(p, q, by_cell + by_size.sum(2, keepdim=True))
        wrong = (soft.entries(p, q, cost) * soft.own_members(p)).sum(-1, keepdim=True)
        pull = torch.where(wrong > _ROUNDING, pull, 0.0).to(value.dtype)
        return slopes[0][:, None, None] * share.unsqueeze(-1) * pull, None, None, None, None


def _cells(p: Any, q: Any, share: Tensor, weighting: Weighting) -> tuple[Tensor, Tensor, Tensor]:
    """C = PᵀWQ, a_k + b_l - 2 C_kl, and the union's or the sum's measure, in double precision."""
    p, exact = soft.hard_side(p), share.double()
    cells = soft.product(p, q, exact)
    only_p = soft.sizes(p, exact).unsqueeze(2) - cells
    only_q = soft.sizes(q, exact).unsqueeze(1) - cells
    # of soft shares the sums may differ by rounding
    apart = only_p.clamp(min=0) + only_q.clamp(min=0)
    return cells, apart, apart + (cells if weighting == "union" else 2 * cells)
