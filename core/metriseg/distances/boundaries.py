"""How well the boundaries of a hard segmentation lie, class by class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metriseg import validation
from metriseg.distances.transforms import distance_to

__all__ = ["BOUNDARY_TOLERANCE", "boundary_f_score"]

#: Of the length of an image's diagonal: how far off a boundary may lie (Csurka et al. 2013).
BOUNDARY_TOLERANCE = 0.0075


def boundary_f_score(
    prediction: Tensor,
    target: Tensor,
    num_classes: int,
    *,
    tolerance: float | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    r"""The F-score of every class's boundary in an image, found within a tolerance.

    .. math:: F = \frac{2 P R}{P + R}, \quad
              P = \frac{|\{u \in B_p : d(u, B_t) \le \theta\}|}{|B_p|}, \quad
              R = \frac{|\{u \in B_t : d(u, B_p) \le \theta\}|}{|B_t|}

    with the boundary :math:`B_p` of the class in the prediction and :math:`B_t` in the truth: its
    pixels that have a pixel of another class above, below, left or right. Pixels that don't count
    are in no boundary and make none. F is 1 for equal segmentations, 0 where only one of them has a
    boundary of the class, and NaN where neither has.

    Args:
        prediction: labels ``(H, W)``, integers.
        target: labels ``(H, W)``, integers 0 … num_classes - 1, or ``ignore_index``.
        num_classes: >= 1.
        tolerance: :math:`\theta \ge 0` in pixels; None for 0.75 % of the image's diagonal.
        ignore_index: pixels with this label in the target don't count; None counts all.

    Returns:
        ``(num_classes,)`` float64.

    Raises:
        ValueError: for labels of other shapes or types, or another bad argument.

    Source: Csurka, Larlus & Perronnin 2013, "What is a good evaluation measure for semantic
    segmentation?", doi:10.5244/C.27.32.

    >>> import torch
    >>> truth = torch.tensor([[0, 0, 0, 1, 1, 1]])
    >>> found = torch.tensor([[0, 1, 1, 1, 1, 1]])   # two pixels off
    >>> boundary_f_score(found, truth, 2, tolerance=2.0)
    tensor([1., 1.], dtype=torch.float64)
    >>> boundary_f_score(found, truth, 3, tolerance=1.0)
    tensor([0., 0., nan], dtype=torch.float64)
    """
    for name, labels in (("prediction", prediction), ("target", target)):
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.ndim != 2:
            raise ValueError(f"{name} must be an integer tensor of shape (H, W)")
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction must have the shape of target, {tuple(target.shape)}, got"
            f" {tuple(prediction.shape)}"
        )
    count = validation.whole_number("num_classes", num_classes, low=1)
    if tolerance is None:
        tolerance = BOUNDARY_TOLERANCE * math.hypot(*target.shape)
    else:
        validation.number("tolerance", tolerance, low=0.0)
    valid = torch.ones_like(target, dtype=torch.bool)
    if ignore_index is not None:
        valid = target != ignore_index
    found, true = (_boundaries(one, count, valid) for one in (prediction, target))
    near_true, near_found = (distance_to(one[None])[0] <= tolerance for one in (true, found))
    precision = _share(near_true, found)
    recall = _share(near_found, true)
    both = found.flatten(1).any(1) & true.flatten(1).any(1)
    score = torch.where(both, 2 * precision * recall / (precision + recall).clamp(min=1e-12), 0.0)
    return torch.where(found.flatten(1).any(1) | true.flatten(1).any(1), score, torch.nan)


def _boundaries(labels: Tensor, num_classes: int, valid: Tensor) -> Tensor:
    """``(C, H, W)``: the pixels of each class beside another class."""
    edge = torch.zeros_like(valid)
    across = (labels[1:] != labels[:-1]) & valid[1:] & valid[:-1]
    along = (labels[:, 1:] != labels[:, :-1]) & valid[:, 1:] & valid[:, :-1]
    edge[1:] |= across
    edge[:-1] |= across
    edge[:, 1:] |= along
    edge[:, :-1] |= along
    classes = torch.arange(num_classes, device=labels.device)[:, None, None]
    return edge & (labels == classes)


def _share(near: Tensor, boundary: Tensor) -> Tensor:
    """``(C,)``: of each boundary's pixels, those that are near; of none 0."""
    hits = (near & boundary).sum((1, 2), dtype=torch.float64)
    return hits / boundary.sum((1, 2)).clamp(min=1)
