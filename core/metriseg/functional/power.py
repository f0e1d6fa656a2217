"""Powers whose derivative stays finite."""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.statistics import GUARDED_BASE

__all__ = ["guarded_power"]


def guarded_power(base: Tensor, exponent: float) -> Tensor:
    """base^exponent for base >= 0, exact in value and finite in slope.

    For an exponent below 1 the slope at 0 is infinite; here it stops growing below a base of
    1e-6, and is constant there. All other bases, and other exponents, are untouched.

    >>> import torch
    >>> x = torch.tensor([0., 4.], requires_grad=True)
    >>> y = guarded_power(x, 0.5)
    >>> y.sum().backward()
    >>> [round(value) for value in y.tolist()], [round(slope, 2) for slope in x.grad.tolist()]
    ([0, 2], [500.0, 0.25])
    """
    if exponent == 0 or exponent >= 1:
        return base.pow(exponent)
    anchor = base.detach()
    steep = anchor < GUARDED_BASE
    tangent = anchor.pow(exponent) + (base - anchor) * exponent * GUARDED_BASE ** (exponent - 1)
    return torch.where(steep, tangent, torch.where(steep, 1.0, base).pow(exponent))
