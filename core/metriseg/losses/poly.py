"""Cross-entropy and focal loss as polynomials, with another first coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import PixelLoss
from metriseg.losses.pixel import alpha_in, focal_alpha, labelled_values
from metriseg.options import LossOptions
from metriseg.statistics import has_label_logs

__all__ = ["PolyCrossEntropyLoss", "PolyFocalLoss"]


class _PolyLoss(PixelLoss):
    """What is added to the first coefficient of a polynomial in 1 - p.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        epsilon: what is added to the first coefficient, >= -1.
    """

    weighs_classes: ClassVar[bool] = True
    labels_have_weights: ClassVar[bool] = True

    def __init__(self, epsilon: float = 1.0, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        self.epsilon = validation.number("epsilon", epsilon, low=-1.0)

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def focal_values(self, batch: Batch, gamma: float, alpha: float | Tensor | None) -> Tensor:
        return labelled_values(self, batch, F.focal, F.binary_focal, gamma, alpha, self.epsilon)


class PolyCrossEntropyLoss(_PolyLoss):
    r"""Poly-1 cross-entropy: cross-entropy with another first coefficient of its Taylor series.

    .. math:: \ell = \sum_c w_c\, t_c \bigl(-\ln p_c + \epsilon\,(1 - p_c)\bigr), \qquad
              -\ln p = \sum_{j \ge 1} (1 - p)^j / j

    at every pixel, averaged over the valid pixels; with sigmoid probabilities the mean over the
    classes of the same for the answers t and 1 - t. :math:`\epsilon = 0` is cross-entropy, larger
    ones keep pulling at labels that are nearly certain. Values lie in :math:`[0, \infty)`, 0 at a
    perfect prediction.

    Args:
        epsilon: what is added to the first coefficient, which is 1; >= -1.

    Source: Leng et al. 2022, "PolyLoss: a polynomial expansion perspective of classification loss
    functions", arXiv:2204.12511.

    >>> import torch
    >>> PolyCrossEntropyLoss(epsilon=2.0)(torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]))
    tensor(1.6931)
    """

    def evaluate(self, batch: Batch) -> Tensor:
        return self.focal_values(batch, 0.0, None)


class PolyFocalLoss(_PolyLoss):
    r"""Poly-1 focal loss: a focal loss with another first coefficient of its Taylor series.

    .. math:: \ell = \sum_c w_c\, \alpha_c\, t_c
              \bigl(-(1 - p_c)^\gamma \ln p_c + \epsilon\,(1 - p_c)^{\gamma + 1}\bigr)

    at every pixel, averaged over the valid pixels; with sigmoid probabilities the mean over the
    classes of the same for the answers t and 1 - t, as in :class:`~metriseg.FocalLoss`, which
    :math:`\epsilon = 0` is. :math:`\alpha` weighs both terms (some codes leave the second
    unweighted). Values lie in :math:`[0, \infty)`, 0 at a perfect prediction.

    Args:
        epsilon: what is added to the first coefficient, which is 1; >= -1.
        gamma: how fast the loss fades, >= 0.
        alpha: in [0, 1], the weight of positives, with 1 - alpha that of negatives; None leaves
            both out. With exclusive classes (softmax) class 0 is the negative. Or C numbers >= 0:
            what the positives of each class weigh, beside negatives of 1.

    Source: Leng et al. 2022, "PolyLoss: a polynomial expansion perspective of classification loss
    functions", arXiv:2204.12511.

    >>> import torch
    >>> loss = PolyFocalLoss(epsilon=2.0, gamma=1.0)
    >>> loss(torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]))      # (ln 2) / 2 + 2 / 4
    tensor(0.8466)
    """

    alpha: float | Tensor | None

    def __init__(
        self,
        epsilon: float = 1.0,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(epsilon, **options)
        self.gamma = validation.number("gamma", gamma, low=0.0)
        focal_alpha(self, alpha)

    def evaluate(self, batch: Batch) -> Tensor:
        return self.focal_values(batch, self.gamma, alpha_in(self, batch))
