"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.active_boundary import (
    active_boundary,
    boundary_distance,
    divergence,
    label_boundary,
    nearest_direction,
    neighbour_divergence,
    predicted_boundary,
)
from metriseg.functional.hausdorff import (
    hausdorff_convolution,
    hausdorff_distance_transform,
    hausdorff_erosion,
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
    "active_boundary",
    "binary_cross_entropy",
    "binary_focal",
    "boundary_distance",
    "cross_entropy",
    "dice_index",
    "divergence",
    "expected_over_target",
    "focal",
    "guarded_power",
    "hausdorff_convolution",
    "hausdorff_distance_transform",
    "hausdorff_erosion",
    "inverse_frequency_weights",
    "jaccard_index",
    "label_boundary",
    "mime",
    "nearest_direction",
    "neighbour_divergence",
    "power_jaccard_index",
    "predicted_boundary",
    "tversky_index",
]
