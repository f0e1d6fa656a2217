"""What a loss asks of logits and labels, each with a gradient that takes one pass and keeps nothing
but the inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metriseg.batch import Batch, exact_backward, full_precision
from metriseg.statistics import aten, has_label_logs

__all__ = ["label_errors", "question_entropies"]


def label_errors(batch: Batch) -> Tensor:
    """``(N, C, *S)``: \\|t - p\\| under a softmax, of labels; where pixels don't count too.

    >>> import torch
    >>> label_errors(Batch.from_tensors(torch.zeros(1, 4, 1), torch.tensor([[3]]))).flatten()
    tensor([0.2500, 0.2500, 0.2500, 0.7500])
    """
    assert has_label_logs(batch)
    with full_precision(batch.logits):
        found: Tensor = _LabelErrors.apply(batch.masked_logits, batch.target.unsqueeze(1))
    return found


def question_entropies(batch: Batch) -> Tensor:
    """``(N, C)``: sums over pixels of -t ln p - (1 - t) ln(1 - p) under a sigmoid, of labels.

    >>> import torch
    >>> batch = Batch.from_tensors(
    ...     torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]), activation="sigmoid"
    ... )
    >>> question_entropies(batch)   # 3 ln 2
    tensor([[2.0794, 2.0794]])
    """
    assert batch.has_labels
    assert batch.activation == "sigmoid"
    weight = None if batch.weight is None else batch.weight.flatten(1).unsqueeze(1)
    labels = batch.target.flatten(1).unsqueeze(1)
    with full_precision(batch.logits):
        found: Tensor = _QuestionEntropies.apply(batch.masked_logits.flatten(2), labels, weight)
    return found


class _LabelErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        ctx.save_for_backward(logits, labels)
        p = logits.softmax(1)
        return p.scatter_(1, labels, 1 - p.gather(1, labels))

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels = ctx.saved_tensors
        slope = grads[0].scatter(1, labels, -grads[0].gather(1, labels))
        p = logits.softmax(1)
        return aten._softmax_backward_data(slope, p, 1, p.dtype), None


class _QuestionEntropies(torch.autograd.Function):
    """The sum of softplus(z), less that of z at the label."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
        ctx.save_for_backward(logits, labels, weight)
        # softplus(z) - z is softplus(-z): at the label the one that keeps its digits
        costs = torch.nn.functional.softplus(logits)
        own = torch.nn.functional.softplus(-logits.gather(1, labels))
        costs = costs.scatter_(1, labels, own)
        return (costs if weight is None else costs * weight).sum(2)

    @staticmethod
    @exact_backward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels, weight = ctx.saved_tensors
        factor = grads[0].unsqueeze(2)
        # p - t, at the label minus the probability of the other answer
        own = -torch.sigmoid(-logits.gather(1, labels))
        slope = logits.sigmoid().scatter(1, labels, own)
        if weight is not None:
            factor = factor * weight
        return slope * factor, None, None
