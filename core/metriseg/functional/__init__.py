"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

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
from metriseg.functional.region import (
    dice_index,
    focal_tversky,
    generalized_dice_index,
    jaccard_index,
    log_cosh,
    penalized_index,
    power_dice_index,
    power_jaccard_index,
    sensitivity_specificity,
    tversky_index,
)
from metriseg.functional.wasserstein import (
    class_volumes,
    volume_weighted_wasserstein_dice_index,
    wasserstein_dice_index,
    wasserstein_map,
)

__all__ = [
    "binary_cross_entropy",
    "binary_focal",
    "class_volumes",
    "cross_entropy",
    "dice_index",
    "expected_over_target",
    "focal",
    "focal_tversky",
    "generalized_dice_index",
    "guarded_power",
    "inverse_frequency_weights",
    "jaccard_index",
    "log_cosh",
    "mime",
    "penalized_index",
    "power_dice_index",
    "power_jaccard_index",
    "sensitivity_specificity",
    "tversky_index",
    "volume_weighted_wasserstein_dice_index",
    "wasserstein_dice_index",
    "wasserstein_map",
]
