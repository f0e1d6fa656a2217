"""How well probabilities say how often they are right."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metriseg.arguments import whole_number
from metriseg.arrays import host, integer_array

__all__ = ["Bins", "binned", "classwise_bins", "classwise_calibration_error"]

Float = NDArray[np.float64]

#: As in Mukhoti et al. 2020, arXiv:2002.09437.
BINS = 15


class Bins(NamedTuple):
    """Of one class and each bin of its probability: all ``(bins,)``.

    Attributes:
        share: of the pixels that are in the bin.
        confidence: their mean probability; 0 for an empty bin.
        frequency: how many of them are of the class, 0 … 1; 0 for an empty bin.
    """

    share: Float
    confidence: Float
    frequency: Float

    @property
    def error(self) -> float:
        """The expected calibration error of the class."""
        return float((self.share * np.abs(self.frequency - self.confidence)).sum())


def binned(p: Float, own: NDArray[np.bool_], bins: int = BINS) -> Bins:
    """Probabilities of a class in bins of equal width, open below and closed above.

    The first has 0 too.

    Args:
        p: ``(N,)`` within 0 … 1.
        own: ``(N,)``: which pixels are of the class.
        bins: how many.
    """
    edges = np.arange(1, bins) / bins
    place = np.searchsorted(edges, p, side="left")
    count = np.bincount(place, minlength=bins)
    some = np.maximum(count, 1)
    return Bins(
        count / max(len(p), 1),
        np.bincount(place, p, minlength=bins) / some,
        np.bincount(place, own.astype(np.float64), minlength=bins) / some,
    )


def classwise_bins(
    probabilities: Any, target: Any, bins: int = BINS, ignore_index: int | None = None
) -> list[Bins]:
    """The bins of every class, of which :func:`classwise_calibration_error` is the mean error.

    Args, errors: as there.
    """
    bins = whole_number("bins", bins, low=1)
    p, labels = host("probabilities", probabilities), integer_array("target", target)
    if p.dtype.kind != "f" or p.ndim < 1 or p.shape[1:] != labels.shape:
        raise ValueError(
            "probabilities must be floating point of shape (K, *S), for a target (*S) ="
            f" {labels.shape}, got {p.dtype} of shape {p.shape}"
        )
    rows, labels = p.reshape(len(p), -1).astype(np.float64), labels.ravel()
    if ignore_index is not None:
        rows, labels = rows[:, labels != ignore_index], labels[labels != ignore_index]
    if rows.size and not (rows.min() >= 0 and rows.max() <= 1 + 1e-5):
        raise ValueError(
            f"probabilities must lie in [0, 1], got values from {rows.min():g} to {rows.max():g}"
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < len(rows)):
        raise ValueError(
            f"target must hold labels in 0 … {len(rows) - 1} (or ignore_index), got values from"
            f" {labels.min()} to {labels.max()}"
        )
    return [binned(values, labels == k, bins) for k, values in enumerate(rows)]


def classwise_calibration_error(
    probabilities: Any, target: Any, bins: int = BINS, ignore_index: int | None = None
) -> float:
    r"""The mean over classes of the expected calibration error.

    .. math:: \frac 1 K \sum_k \sum_b \frac{|B_{bk}|}{N}
              \bigl| \operatorname{mean}_{n \in B_{bk}} [t_n = k]
              - \operatorname{mean}_{n \in B_{bk}} p_{nk} \bigr|

    with :math:`B_{bk}` the pixels whose probability of class k is in bin b: open below, closed
    above, of equal width. It is 0 where of the pixels with a probability p of a class, a share p is
    of that class, and at most 2 / K for probabilities that sum to 1. Of no pixels it is 0.

    Args:
        probabilities: ``(K, *S)`` within 0 … 1, an array or tensor; several images in one of the
            axes of S.
        target: ``(*S)`` classes 0 … K - 1.
        bins: how many, >= 1.
        ignore_index: the label of pixels that don't count.

    Raises:
        ValueError: for anything else.

    Source: Mukhoti et al. 2020, "Calibrating deep neural networks using focal loss",
    arXiv:2002.09437.

    >>> import numpy as np
    >>> p = np.array([[0.75, 0.75, 0.75, 0.75], [0.25, 0.25, 0.25, 0.25]])
    >>> classwise_calibration_error(p, np.array([0, 0, 0, 1]))
    0.0
    >>> classwise_calibration_error(p, np.array([0, 0, 1, 1]))
    0.25
    """
    found = classwise_bins(probabilities, target, bins, ignore_index)
    return float(np.mean([one.error for one in found])) if found else 0.0
