"""On any device: lower envelopes of parabolas along one axis after the other.

Source: Felzenszwalb & Huttenlocher 2012, doi:10.4086/toc.2012.v008a019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as nnf

#: Values that one step holds at once.
STEP_VALUES = 1 << 26


def squared_distances(mask: Tensor, steps: list[float]) -> Tensor:
    """Squared distances on any device, one axis after the other."""
    exact = _exact(mask)
    squared = _along_last_axis(mask, steps[-1], exact)
    for axis in range(2, mask.ndim - 1):
        lines = squared.movedim(axis, -1)
        squared = _lower_envelope(lines, steps[axis - 2]).movedim(-1, axis)
    return torch.where(torch.isinf(squared), 0.0, squared)


def squared_label_distances(labels: Tensor, steps: list[float]) -> Tensor:
    """Squared distances ``(N, *S)`` to the nearest other label, on any device.

    The same lower envelopes: seen from a pixel, a pixel of its own label on another line is as
    far from the nearest other label as that line's distances say, any other is one itself.
    """
    squared = _along_last_axis_of_labels(labels, steps[-1])
    for axis in range(1, labels.ndim - 1):
        lines = _lower_envelope(
            squared.movedim(axis, -1), steps[axis - 1], labels.movedim(axis, -1)
        )
        squared = lines.movedim(-1, axis)
    return torch.where(torch.isinf(squared), 0.0, squared)


def _along_last_axis(mask: Tensor, step: float, dtype: torch.dtype) -> Tensor:
    """Squared distances to the nearest false pixel of the same line; infinite without one."""
    places = torch.arange(mask.shape[-1], device=mask.device, dtype=dtype)
    before = torch.where(mask, -math.inf, places).cummax(-1).values
    behind = torch.where(mask, math.inf, places).flip(-1).cummin(-1).values.flip(-1)
    return (torch.minimum(places - before, behind - places) * step) ** 2


def _along_last_axis_of_labels(labels: Tensor, step: float) -> Tensor:
    length, exact = labels.shape[-1], _exact(labels)
    places = torch.arange(length, device=labels.device, dtype=exact)
    changes = labels[..., 1:] != labels[..., :-1]
    # the last pixel of the run before, the first pixel of the run behind
    before = nnf.pad(torch.where(changes, places[:-1], -math.inf), (1, 0), value=-math.inf)
    behind = nnf.pad(torch.where(changes, places[1:], math.inf), (0, 1), value=math.inf)
    before = before.cummax(-1).values
    behind = behind.flip(-1).cummin(-1).values.flip(-1)
    return (torch.minimum(places - before, behind - places) * step) ** 2


def _lower_envelope(squared: Tensor, step: float, labels: Tensor | None = None) -> Tensor:
    """min over j of (squared[j] + (step (i - j))^2) along the last axis, for every i.

    With labels, squared[j] counts as 0 where i and j have different ones.
    """
    length = squared.shape[-1]
    places = torch.arange(length, device=squared.device, dtype=squared.dtype) * step
    parabolas = (places.unsqueeze(1) - places) ** 2
    lines = squared.reshape(-1, length)
    line_labels = None if labels is None else labels.reshape(-1, length)
    result = torch.empty_like(lines)
    rows = max(1, STEP_VALUES // max(length * length, 1))
    for start in range(0, len(lines), rows):
        part = lines[start : start + rows].unsqueeze(1)
        if line_labels is not None:
            seen = line_labels[start : start + rows]
            part = torch.where(seen.unsqueeze(2) == seen.unsqueeze(1), part, 0.0)
        result[start : start + rows] = (part + parabolas).amin(2)
    return result.view(squared.shape)


def _exact(tensor: Tensor) -> torch.dtype:
    """Double precision, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
