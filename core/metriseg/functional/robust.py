"""Likelihoods that forgive outliers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["floored", "student_t"]


def student_t(
    squares: Tensor,
    dimensions: Tensor,
    degrees_of_freedom: Tensor,
    log_precision: float = 0.0,
) -> Tensor:
    r"""-ln of a multivariate Student-t density of residuals of one precision.

    With D dimensions, the sum of squares s, nu degrees of freedom and precision
    :math:`e^\lambda` it is :math:`-\ln\Gamma\frac{\nu+D}2 + \ln\Gamma\frac\nu2
    - \frac{\lambda D}2 + \frac D2 \ln(\pi\nu)
    + \frac{\nu+D}2 \ln(1 + e^\lambda s/\nu)`.
    The gamma functions of a whole image's D differ by little from each other: give float64.
    Gonzalez-Jimenez et al. 2023, arXiv:2306.00753.

    Args:
        squares: sum of squared residuals of every image.
        dimensions: how many residuals there are, of the same shape.
        degrees_of_freedom: nu > 0.
        log_precision: lambda.

    >>> import torch
    >>> one = torch.ones(())
    >>> print(f"{student_t(0 * one, one, one).item():.4f}")   # Cauchy's density at 0: 1 / pi
    1.1447
    """
    half = (degrees_of_freedom + dimensions) / 2
    spread = torch.log1p(math.exp(log_precision) * squares / degrees_of_freedom)
    scale = torch.log(math.pi * degrees_of_freedom) - log_precision
    return (
        torch.lgamma(degrees_of_freedom / 2)
        - torch.lgamma(half)
        + dimensions / 2 * scale
        + half * spread
    )


def floored(value: Tensor, floor: float) -> Tensor:
    """``value`` where it is a unit above the floor or more; below, a curve that ends at the floor.

    It bends smoothly, so the slope is positive everywhere and nothing gets stuck.

    >>> import torch
    >>> floored(torch.tensor([3., -4., -100.]), floor=-5.0)
    tensor([ 3., -4., -5.])
    """
    return floor + 1 + torch.nn.functional.elu(value - floor - 1)
