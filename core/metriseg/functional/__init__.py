"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``; boundary formulas make maps
of masks.
"""

from metriseg.functional.boundary import (
    boundary_share,
    contour_length,
    decode_truncated_distance,
    difference_over_union,
    false_mass,
    rectified_region_map,
    region_wise,
    reversed_distance_map,
    truncated_distance_map,
)
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
    "boundary_share",
    "contour_length",
    "cross_entropy",
    "decode_truncated_distance",
    "dice_index",
    "difference_over_union",
    "expected_over_target",
    "false_mass",
    "focal",
    "guarded_power",
    "inverse_frequency_weights",
    "jaccard_index",
    "mime",
    "power_jaccard_index",
    "rectified_region_map",
    "region_wise",
    "reversed_distance_map",
    "truncated_distance_map",
    "tversky_index",
]
