"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.jaccard_metric import (
    dice_semimetric,
    jaccard_metric,
    jaccard_metric_of_product,
)
from metriseg.functional.lovasz import lovasz_jaccard
from metriseg.functional.pixel import (
    binary_cross_entropy,
    binary_focal,
    cross_entropy,
    expected_over_target,
    focal,
    inverse_frequency_weights,
    mime,
)
from metriseg.functional.power import guarded_power
from metriseg.functional.region import dice_index, jaccard_index, power_jaccard_index, tversky_index

__all__ = [
    "binary_cross_entropy",
    "binary_focal",
    "cross_entropy",
    "dice_index",
    "dice_semimetric",
    "expected_over_target",
    "focal",
    "guarded_power",
    "inverse_frequency_weights",
    "jaccard_index",
    "jaccard_metric",
    "jaccard_metric_of_product",
    "lovasz_jaccard",
    "mime",
    "power_jaccard_index",
    "tversky_index",
]
