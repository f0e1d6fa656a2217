"""Losses that forgive outliers."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import TableLoss
from metriseg.options import LossOptions
from metriseg.reduction import beside_classes
from metriseg.statistics import RegionStatistics

__all__ = ["RobustTLoss"]

#: The logarithm of the degrees of freedom never falls below: with a residual of exactly zero the
#: likelihood grows without bound as they vanish.
LOG_DEGREES_FLOOR = -5.0


class RobustTLoss(TableLoss):
    r"""T-loss: minus the log-likelihood of an image's residuals under a Student-t distribution.

    .. math:: \ell = -\ln\Gamma\frac{\nu+D}{2} + \ln\Gamma\frac{\nu}{2} - \frac{\lambda D}{2}
              + \frac D2 \ln(\pi\nu)
              + \frac{\nu+D}2 \ln\Bigl(1 + \frac{e^\lambda}{\nu} \sum (p - t)^2\Bigr)

    for every image, averaged over images. One distribution holds all :math:`D = C\,|\Omega|`
    residuals of an image (pixel and class weights are how often a residual counts), so a value is
    of the order of D. The degrees of freedom :math:`\nu = e^{\tilde\nu} + \epsilon` are learnt: the
    parameter ``log_degrees_of_freedom`` belongs into the optimiser, best without weight decay. Few
    forgive large residuals (the loss grows as a logarithm), many make it half their squares. Below
    -4 its effect bends off, so that it never passes -5. Values lie in :math:`(-\infty, \infty)`; a
    perfect prediction has the logarithm of the normaliser, not 0.

    Args:
        log_degrees: where the parameter starts, in [-5, 20].
        log_precision: lambda, the logarithm of the residuals' precision; the authors' code has 1
            where their paper has 0.
        epsilon: added to the degrees of freedom, >= 0.
        class_weight: C numbers >= 0: how often the residuals of each class count.
        reduction: "mean", "sum" or "none", then ``(N, 1)``.

    Source: Gonzalez-Jimenez et al. 2023, "Robust T-loss for medical image segmentation",
    arXiv:2306.00753.

    >>> import torch
    >>> loss = RobustTLoss(log_degrees=0.0, activation="identity")
    >>> value = loss(torch.ones(1, 1, 1), torch.tensor([[1]]))   # Cauchy's density at 0: ln pi
    >>> print(f"{value.item():.4f}")
    1.1447
    """

    columns_are_classes: ClassVar[bool] = False

    def __init__(
        self,
        log_degrees: float = 1.0,
        log_precision: float = 0.0,
        epsilon: float = 1e-8,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.log_degrees = validation.number(
            "log_degrees", log_degrees, low=LOG_DEGREES_FLOOR, high=20.0
        )
        self.log_precision = validation.number("log_precision", log_precision, low=-50.0, high=50.0)
        self.epsilon = validation.number("epsilon", epsilon, low=0.0)
        # one entry, not none: sharding optimisers take no scalars
        self.log_degrees_of_freedom = nn.Parameter(torch.tensor([self.log_degrees]))

    @property
    def degrees_of_freedom(self) -> Tensor:
        """nu as it now stands, ``(1,)`` in float64."""
        return F.floored(self.log_degrees_of_freedom.double(), LOG_DEGREES_FLOOR).exp() + (
            self.epsilon
        )

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        squares = (batch.probabilities - batch.dense_target).square()
        mass = torch.ones_like(squares[:, :1]) if batch.weight is None else batch.weight[:, None]
        factors = self.class_factors(batch)
        if factors is None:
            factors = squares.new_ones(batch.num_classes)
        mass = mass * beside_classes(factors, squares)
        residuals = torch.where(mass > 0, squares * mass, 0.0)
        # in float64: the two gamma functions of a large image differ in their last digits
        total, dimensions = (
            part.flatten(1).sum(1, keepdim=True, dtype=torch.float64) for part in (residuals, mass)
        )
        values = F.student_t(total, dimensions, self.degrees_of_freedom, self.log_precision)
        return values.to(squares.dtype), dimensions > 0
