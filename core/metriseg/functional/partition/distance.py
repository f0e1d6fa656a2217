r"""The distance of soft partitions: how far two co-membership matrices are from each other.

A soft assignment P gives every pixel u a share of every segment; two pixels belong together by
:math:`(P P^\top)_{uv}`. Nothing here forms that matrix, nor a one-hot truth: all is made of
:math:`P^\top W P`, :math:`P^\top W Q` and :math:`Q^\top W Q`, with W the pixels' density.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import exact_backward

__all__ = ["Form", "SparseAssignment", "shares", "soft_partition_distance"]

Form = Literal["frobenius", "paper"]


class SparseAssignment(NamedTuple):
    """A soft assignment of which every pixel keeps a few candidates.

    Attributes:
        candidates: ``(B, N, K)`` int64, segments in 0 … segments - 1, different ones a pixel.
        value: ``(B, N, K)``, the share of each; all others are 0.
        segments: how many there are.
        own: ``(B, N)`` int64 for a straight-through assignment: the distance is that of these hard
            segments, and its derivative at them is passed on to ``value``.
    """

    candidates: Tensor
    value: Tensor
    segments: int
    own: Tensor | None = None


def soft_partition_distance(
    p: Tensor | SparseAssignment,
    q: Tensor | SparseAssignment,
    *,
    density: Tensor | None = None,
    form: Form = "frobenius",
    phi: Tensor | None = None,
) -> Tensor:
    r"""Distance of a soft assignment P from a hard or soft one Q, within [0, 1].

    .. math::
        \frac{\|P^\top W P\|^2 + \|Q^\top W Q\|^2 - 2 \|P^\top W Q\|^2}{(\sum_u w_u)^2}
        = \frac{\sum_{uv} w_u w_v \bigl((P P^\top)_{uv} - (Q Q^\top)_{uv}\bigr)^2}
        {(\sum_u w_u)^2}

    is the Frobenius form: its gradient is 0 where the distance is. ``form="paper"`` is the
    published

    .. math:: \frac{1}{(\sum_u w_u)^2} \sum_{kl} \varphi_{kl} (a_k + b_l - 2 C_{kl})\, C_{kl},
        \quad C = P^\top W Q,\ a = P^\top w,\ b = Q^\top w

    whose gradient isn't; as its authors do, it is set to 0 where nothing is wrong: at pixels with
    :math:`\sum_{kl} P_{uk} Q_{ul} \varphi_{kl} (a_k + b_l - 2 C_{kl}) = 0`. Both are
    :func:`~metriseg.partitions.partition_distance` / N² for hard assignments. The backward pass is
    written out; memory is O(pixels x candidates + segments²).

    A straight-through assignment (one with ``own``) wants the paper's form. It is linear in a
    pixel's shares, so its slopes say what moving that pixel to another segment does to the hard
    distance; those of the Frobenius form, which is quadratic, lead every pixel of a segment that
    is not perfect out of it, and training with them goes astray.

    A uniform P is a stationary point of both, because all its segments are alike: start the layer
    that makes P from random numbers, never from zeros.

    Args:
        p: ``(B, N, m)`` shares of m segments, rows summing to 1 (not checked), or a
            :class:`SparseAssignment`.
        q: the truth: ``(B, N)`` integer labels 0 … n - 1, ``(B, N, n)`` shares, or sparse. It gets
            no gradient.
        density: ``(B, N)`` measure of the pixels, >= 0; None counts them. 1 / |true segment|
            makes every object count alike; 0 leaves a pixel out.
        form: "frobenius" or "paper".
        phi: ``(m, n)`` or ``(B, m, n)`` weights of the paper's form, > 0; None is 1, the metric.

    Returns:
        ``(B,)``; 0 for an image without any measure.

    Raises:
        ValueError: for shapes that don't fit, another form, ``phi`` with the Frobenius form.

    Source: Kovtunenko and Mashtalir 2026, eq. (3) and (4), doi:10.15276/aait.09.2026.12.

    >>> import torch
    >>> p = torch.tensor([[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]]])
    >>> q = torch.tensor([[0, 0, 0, 1, 1, 1]])
    >>> round(36 * soft_partition_distance(p, q).item(), 4)
    7.79
    """
    validation.one_of("form", form, ("frobenius", "paper"))
    if phi is not None and form != "paper":
        raise ValueError("phi belongs to form='paper': the Frobenius form takes a density")
    value, share, truth = checked(p, q, density)
    if form == "frobenius":
        return _Frobenius.apply(value, p, truth, share)  # type: ignore[no-any-return]
    if phi is not None:
        phi = _phi(phi, value, (_segments(p), _segments(truth)))
    return _Paper.apply(value, p, truth, share, phi)  # type: ignore[no-any-return]


def checked(
    p: Tensor | SparseAssignment, q: Tensor | SparseAssignment, density: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | SparseAssignment]:
    """The shares that P holds, the density's shares, and Q as an assignment.

    Raises:
        ValueError: for shapes that don't fit, and labels below 0.
    """
    value = p.value if isinstance(p, SparseAssignment) else p
    if value.ndim != 3:
        raise ValueError(f"p must have shape (B, N, m), got {tuple(value.shape)}")
    if isinstance(p, SparseAssignment):
        _fits("p", p)
    truth = as_assignment(q, value)
    pixels = value.shape[:2]
    if density is not None and density.shape != pixels:
        raise ValueError(
            f"density must have shape (B, N) = {tuple(pixels)}, got {tuple(density.shape)}"
        )
    share = shares(value.new_ones(pixels) if density is None else density.to(value.dtype))
    return value, share, truth


def shares(density: Tensor) -> Tensor:
    """``(B, N)``: the density as shares of an image's whole; zeros where there is none."""
    total = density.sum(1, keepdim=True)
    return torch.where(total > 0, density / torch.where(total > 0, total, 1.0), 0.0)


def as_assignment(q: Tensor | SparseAssignment, like: Tensor) -> Tensor | SparseAssignment:
    """Labels as a sparse assignment of one candidate; shares as they are."""
    labels = not isinstance(q, SparseAssignment) and not q.is_floating_point()
    given = q.candidates if isinstance(q, SparseAssignment) else q
    if given.shape[:2] != like.shape[:2] or given.ndim != (2 if labels else 3):
        raise ValueError(
            f"q must have shape (B, N) or, of shares, (B, N, n) with (B, N) ="
            f" {tuple(like.shape[:2])}, got {tuple(given.shape)} of {given.dtype}"
        )
    if isinstance(q, SparseAssignment):
        _fits("q", q)
        return q
    if q.is_floating_point():
        return q.to(like.dtype)
    if validation.values_are_checked(q) and int(q.min()) < 0:
        raise ValueError(f"q must hold labels >= 0, got {int(q.min())}")
    number = int(q.max()) + 1 if q.numel() else 1
    index = q.long().unsqueeze(-1)
    return SparseAssignment(index, like.new_ones(()).expand(index.shape), number)


def _fits(name: str, p: SparseAssignment) -> None:
    if p.candidates.shape != p.value.shape:
        raise ValueError(
            f"{name}.candidates must have the shape of {name}.value, {tuple(p.value.shape)},"
            f" got {tuple(p.candidates.shape)}"
        )
    if p.own is not None and p.own.shape != p.value.shape[:2]:
        raise ValueError(
            f"{name}.own must have shape (B, N) = {tuple(p.value.shape[:2])},"
            f" got {tuple(p.own.shape)}"
        )


def _segments(p: Tensor | SparseAssignment) -> int:
    return p.segments if isinstance(p, SparseAssignment) else p.shape[2]


def _phi(phi: Tensor, like: Tensor, table: tuple[int, int]) -> Tensor:
    if phi.shape not in (table, (len(like), *table)):
        raise ValueError(
            f"phi must have shape (m, n) or (B, m, n) with (m, n) = {table}, got {tuple(phi.shape)}"
        )
    return phi.to(like.dtype).expand(len(like), -1, -1)


class _Frobenius(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, p: Any, q: Any, share: Tensor) -> Tensor:
        own = _measured(with_value(p, value), q, share)
        truth = _self_product(hard_side(q), share)
        ctx.save_for_backward(value, share)
        ctx.sides = without_value(p), q
        within, across = own
        squares = [part.double().square().flatten(1).sum(1) for part in (within, truth, across)]
        return (squares[0] + squares[1] - 2 * squares[2]).to(value.dtype)

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        value, share = ctx.saved_tensors
        p, q = with_value(ctx.sides[0], value), ctx.sides[1]
        within, across = _measured(p, q, share)
        pull = _own_entries(p, within) - entries(p, q, across)
        return 4 * slopes[0][:, None, None] * share.unsqueeze(-1) * pull, None, None, None


class _Paper(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, p: Any, q: Any, share: Tensor, phi: Tensor | None
    ) -> Tensor:
        across, outside = _outside(with_value(p, value), q, share)
        ctx.save_for_backward(value, share)
        ctx.sides, ctx.phi = (without_value(p), q), phi
        return (_weighted(outside, phi) * across).double().flatten(1).sum(1).to(value.dtype)

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        value, share = ctx.saved_tensors
        p, q = with_value(ctx.sides[0], value), ctx.sides[1]
        across, outside = _outside(p, q, share)
        cost = entries(p, q, _weighted(outside, ctx.phi))
        pull = entries(p, q, _weighted(outside - 2 * across, ctx.phi))
        through_size = _weighted(across, ctx.phi).sum(2)
        if isinstance(p, SparseAssignment):
            pull = pull + _rows(through_size.unsqueeze(-1), p.candidates).squeeze(-1)
        else:
            pull = pull + through_size.unsqueeze(1)
        members = own_members(p)
        wrong = (cost * members).sum(-1, keepdim=True)
        # the sums of an image are near 1: below this nothing is wrong but rounding
        pull = torch.where(wrong > 8 * torch.finfo(value.dtype).eps, pull, 0.0)
        return slopes[0][:, None, None] * share.unsqueeze(-1) * pull, None, None, None, None


def _measured(p: Any, q: Any, share: Tensor) -> tuple[Tensor, Tensor]:
    """PᵀWP, or its diagonal ``(B, m)`` for hard segments, and PᵀWQ."""
    hard = hard_side(p)
    return _self_product(hard, share), product(hard, hard_side(q), share)


def _outside(p: Any, q: Any, share: Tensor) -> tuple[Tensor, Tensor]:
    """C = PᵀWQ, and a_k + b_l - 2 C_kl."""
    p, q = hard_side(p), hard_side(q)
    across = product(p, q, share)
    return across, sizes(p, share).unsqueeze(2) + sizes(q, share).unsqueeze(1) - 2 * across


def _weighted(table: Tensor, phi: Tensor | None) -> Tensor:
    return table if phi is None else phi * table


def hard_side(p: Any) -> Any:
    """What a straight-through assignment is in the forward pass."""
    if not isinstance(p, SparseAssignment) or p.own is None:
        return p
    own = p.own.unsqueeze(-1)
    return SparseAssignment(own, p.value.new_ones(()).expand(own.shape), p.segments)


def own_members(p: Any) -> Tensor:
    """P at its own entries."""
    if not isinstance(p, SparseAssignment):
        return p  # type: ignore[no-any-return]
    return p.value if p.own is None else (p.candidates == p.own.unsqueeze(-1)).to(p.value.dtype)


def with_value(p: Any, value: Tensor) -> Any:
    return p._replace(value=value) if isinstance(p, SparseAssignment) else value


def without_value(p: Any) -> Any:
    """What may stand on a context beside the saved value."""
    return p._replace(value=p.value.new_empty(0)) if isinstance(p, SparseAssignment) else None


def _is_hard(p: Any) -> bool:
    return isinstance(p, SparseAssignment) and p.candidates.shape[-1] == 1


def _self_product(p: Any, share: Tensor) -> Tensor:
    """PᵀWP ``(B, m, m)``; of one candidate a pixel, its diagonal ``(B, m)``."""
    if not _is_hard(p):
        return product(p, p, share)
    return _scatter(p.candidates[..., 0], share * p.value[..., 0].square(), p.segments)


def sizes(p: Tensor | SparseAssignment, share: Tensor) -> Tensor:
    """Pᵀw ``(B, m)``."""
    if not isinstance(p, SparseAssignment):
        return (share.unsqueeze(1) @ p.to(share.dtype)).squeeze(1)
    return sum(  # type: ignore[return-value]
        _scatter(p.candidates[..., k], share * p.value[..., k], p.segments)
        for k in range(p.candidates.shape[-1])
    )


def product(p: Tensor | SparseAssignment, q: Tensor | SparseAssignment, share: Tensor) -> Tensor:
    """PᵀWQ ``(B, m, n)``."""
    if not isinstance(p, SparseAssignment):
        if not isinstance(q, SparseAssignment):
            return (p * share.unsqueeze(-1)).transpose(1, 2) @ q
        return product(q, p, share).transpose(1, 2)
    total: Any = 0
    for k in range(p.candidates.shape[-1]):
        place, mass = p.candidates[..., k], share * p.value[..., k]
        if isinstance(q, SparseAssignment):
            for one in range(q.candidates.shape[-1]):
                both = place * q.segments + q.candidates[..., one]
                total = total + _scatter(both, mass * q.value[..., one], p.segments * q.segments)
        else:
            total = total + _scatter_rows(place, mass.unsqueeze(-1) * q, p.segments)
    if isinstance(q, SparseAssignment):
        total = total.view(-1, p.segments, q.segments)
    return total  # type: ignore[no-any-return]


def _own_entries(p: Any, within: Tensor) -> Tensor:
    """P(PᵀWP) at the entries of P."""
    if within.ndim == 3:
        return entries(p, p, within)
    own = p.candidates[..., 0] if p.own is None else p.own
    return torch.gather(within, 1, own).unsqueeze(-1) * own_members(p)


def entries(p: Any, x: Any, table: Tensor) -> Tensor:
    """X tableᵀ at the entries of P: sum_j X_uj table_kj."""
    if not isinstance(p, SparseAssignment):
        if not isinstance(x, SparseAssignment):
            return x @ table.transpose(1, 2)  # type: ignore[no-any-return]
        picked = (
            _rows(table.transpose(1, 2), x.candidates[..., k]) * x.value[..., k].unsqueeze(-1)
            for k in range(x.candidates.shape[-1])
        )
        return sum(picked)  # type: ignore[return-value]
    columns = []
    for k in range(p.candidates.shape[-1]):
        place = p.candidates[..., k]
        if isinstance(x, SparseAssignment):
            flat = table.flatten(1)
            total: Any = 0
            for one in range(x.candidates.shape[-1]):
                both = place * x.segments + x.candidates[..., one]
                total = total + torch.gather(flat, 1, both) * x.value[..., one]
            columns.append(total)
        else:
            columns.append((_rows(table, place) * x).sum(-1))
    return torch.stack(columns, -1)


def _scatter(index: Tensor, values: Tensor, length: int) -> Tensor:
    """Sums ``(B, length)`` of ``(B, N)`` values with equal index."""
    return values.new_zeros(len(values), length).scatter_add(1, index, values)


def _scatter_rows(index: Tensor, rows: Tensor, length: int) -> Tensor:
    """Sums ``(B, length, n)`` of rows ``(B, N, n)`` with equal index ``(B, N)``."""
    images, _, width = rows.shape
    shift = torch.arange(images, device=rows.device).unsqueeze(1) * length
    flat = rows.new_zeros(images * length, width)
    summed = flat.index_add(0, (index + shift).flatten(), rows.flatten(0, 1))
    return summed.view(images, length, width)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows ``(B, m, r)`` at ``(B, …)``."""
    images, length, width = table.shape
    shift = torch.arange(images, device=table.device) * length
    flat = index + shift.view(-1, *[1] * (index.ndim - 1))
    return table.reshape(images * length, width)[flat]
