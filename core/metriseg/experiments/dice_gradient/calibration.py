"""How well probabilities say how often they are right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def classwise_calibration_error(
    p: Float, target: NDArray[np.integer], bins: int = BINS
) -> tuple[float, list[Bins]]:
    r"""The mean over classes of the expected calibration error, and the bins of each class.

    .. math:: \frac 1 K \sum_k \sum_b \frac{|B_{bk}|}{N}
              \bigl| \operatorname{mean}_{n \in B_{bk}} [t_n = k]
              - \operatorname{mean}_{n \in B_{bk}} p_{nk} \bigr|

    with :math:`B_{bk}` the pixels whose probability of class k is in bin b. It is 0 where of the
    pixels with a probability p of a class, a share p is of that class, and at most 2 / K for
    probabilities that sum to 1.

    Source: Mukhoti et al. 2020, "Calibrating deep neural networks using focal loss",
    arXiv:2002.09437.

    Args:
        p: ``(K, N)`` probabilities.
        target: ``(N,)`` classes from 0.
        bins: of equal width.

    >>> import numpy as np
    >>> p = np.array([[0.75, 0.75, 0.75, 0.75], [0.25, 0.25, 0.25, 0.25]])
    >>> classwise_calibration_error(p, np.array([0, 0, 0, 1]))[0]
    0.0
    >>> classwise_calibration_error(p, np.array([0, 0, 1, 1]))[0]
    0.25
    """
    found = [binned(values, target == k, bins) for k, values in enumerate(p)]
    return float(np.mean([one.error for one in found])), found
