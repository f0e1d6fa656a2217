"""Pixel losses that forgive wrong labels."""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import PixelLoss
from metriseg.losses.pixel import labelled_values, seen_log_probabilities
from metriseg.options import LossOptions
from metriseg.statistics import has_label_logs

__all__ = ["GeneralizedCrossEntropyLoss", "SymmetricCrossEntropyLoss"]


class GeneralizedCrossEntropyLoss(PixelLoss):
    r"""Generalized cross-entropy: between cross-entropy and the mean absolute error.

    .. math:: \ell = \sum_c w_c\, t_c\, \frac{1 - p_c^q}{q}

    at every pixel, averaged over the valid pixels; with sigmoid probabilities the mean over the
    classes of :math:`t (1 - p^q) / q + (1 - t)(1 - (1 - p)^q) / q`. The gradient is that of
    cross-entropy times :math:`p^q`, so that labels which the network doesn't believe pull less:
    :math:`q \to 0` is cross-entropy, q = 1 is 1 - p of the label. Values lie in [0, 1 / q], 0 at a
    perfect prediction.

    The truncated form has :math:`\max(p, k)` in place of p: a label with a probability below k
    costs :math:`(1 - k^q) / q` and pulls no longer. A network that has learnt nothing yet gives
    every label less than 1 / 2 or so: begin without truncation.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        q: in (0, 1].
        truncation: k in (0, 1), or None for the whole loss.

    Source: Zhang & Sabuncu 2018, "Generalized cross entropy loss for training deep neural networks
    with noisy labels", arXiv:1805.07836.

    >>> import torch
    >>> loss = GeneralizedCrossEntropyLoss(q=0.5)
    >>> loss(torch.zeros(1, 4, 3), torch.tensor([[0, 1, 3]]))      # (1 - sqrt(1/4)) / (1/2)
    tensor(1.)
    """

    weighs_classes: ClassVar[bool] = True
    labels_have_weights: ClassVar[bool] = True

    def __init__(
        self, q: float = 0.7, truncation: float | None = None, **options: Unpack[LossOptions]
    ) -> None:
        super().__init__(**options)
        self.q = validation.number("q", q, low=0.0, high=1.0, open_low=True)
        self.truncation = validation.optional(
            validation.number,
            "truncation",
            truncation,
            low=0.0,
            high=1.0,
            open_low=True,
            open_high=True,
        )

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        cost, question_cost = F.generalized_cross_entropy, F.binary_generalized_cross_entropy
        return labelled_values(self, batch, cost, question_cost, self.q, self.truncation)


class SymmetricCrossEntropyLoss(PixelLoss):
    r"""Symmetric cross-entropy: of the prediction under the labels, and the other way round.

    .. math:: \ell = -\alpha \sum_c w_c\, t_c \ln p_c
              - \beta \Bigl(\sum_c w_c\, t_c\Bigr) \sum_c p_c \ln t_c

    at every pixel, averaged over the valid pixels, with :math:`\ln t_c` not below A, which stands
    for ln 0. Of hard labels the second sum is :math:`-A (1 - p)` of the label: it is bounded, and
    wrong labels pull less. A yes-or-no question (sigmoid) has the two answers t and 1 - t; the mean
    over the questions is taken. Values lie in :math:`[0, \infty)`, 0 at a perfect hard prediction.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        alpha: share of the cross-entropy, >= 0.
        beta: share of the reverse cross-entropy, >= 0.
        log_zero: A < 0. (The authors' code clamps t to 1e-4, which is A = -9.21.)

    Source: Wang et al. 2019, "Symmetric cross entropy for robust learning with noisy labels",
    arXiv:1908.06112.

    >>> import torch
    >>> loss = SymmetricCrossEntropyLoss(alpha=0.5, beta=1.0, log_zero=-4.0)
    >>> loss(torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]))      # (ln 2) / 2 + 4 / 2
    tensor(2.3466)
    """

    labels_have_weights: ClassVar[bool] = True

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        log_zero: float = -4.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.alpha = validation.number("alpha", alpha, low=0.0)
        self.beta = validation.number("beta", beta, low=0.0)
        self.log_zero = validation.number("log_zero", log_zero, high=0.0, open_high=True)

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        shares = (self.alpha, self.beta, self.log_zero)
        log_p = seen_log_probabilities(batch)
        if batch.one_vs_rest:
            log_q = batch.log_complements
            values = F.binary_symmetric_cross_entropy(log_p, log_q, batch.target, *shares)
            return self.mean_over_classes(values, batch)
        factors = self.class_factors(batch)
        return F.symmetric_cross_entropy(log_p, batch.target, *shares, factors)
