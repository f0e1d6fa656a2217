"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.pixel import (
    asymmetric_focal,
    balanced_cross_entropy,
    binary_asymmetric_focal,
    binary_cross_entropy,
    binary_focal,
    binary_powered_cross_entropy,
    cross_entropy,
    expected_over_target,
    focal,
    inverse_frequency_weights,
    label_weights,
    largest_values,
    mime,
    powered_cross_entropy,
)
from metriseg.functional.power import guarded_power
from metriseg.functional.region import (
    binary_unified_focal_tversky,
    dice_index,
    exponential_logarithmic_dice,
    focal_tversky,
    generalized_dice_index,
    jaccard_index,
    log_cosh,
    penalized_index,
    power_dice_index,
    power_jaccard_index,
    sensitivity_specificity,
    tversky_index,
    unified_focal_tversky,
)
from metriseg.functional.wasserstein import (
    class_volumes,
    volume_weighted_wasserstein_dice_index,
    wasserstein_dice_index,
    wasserstein_map,
)

__all__ = [
    "asymmetric_focal",
    "balanced_cross_entropy",
    "binary_asymmetric_focal",
    "binary_cross_entropy",
    "binary_focal",
    "binary_powered_cross_entropy",
    "binary_unified_focal_tversky",
    "class_volumes",
    "cross_entropy",
    "dice_index",
    "expected_over_target",
    "exponential_logarithmic_dice",
    "focal",
    "focal_tversky",
    "generalized_dice_index",
    "guarded_power",
    "inverse_frequency_weights",
    "jaccard_index",
    "label_weights",
    "largest_values",
    "log_cosh",
    "mime",
    "penalized_index",
    "power_dice_index",
    "power_jaccard_index",
    "powered_cross_entropy",
    "sensitivity_specificity",
    "tversky_index",
    "unified_focal_tversky",
    "volume_weighted_wasserstein_dice_index",
    "wasserstein_dice_index",
    "wasserstein_map",
]
