"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.conditional_boundary import (
    label_boundary,
    local_class_mean,
    neighbour_similarity,
)
from metriseg.functional.embedding import (
    Mining,
    center,
    class_sums,
    evenly_spaced_by_class,
    mined_triplets,
    squared_distances,
    triplet,
    unit_vectors,
    updated_centers,
)
from metriseg.functional.mutual_information import region_mutual_information
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
from metriseg.functional.robust import floored, student_t

__all__ = [
    "Mining",
    "binary_cross_entropy",
    "binary_focal",
    "center",
    "class_sums",
    "cross_entropy",
    "dice_index",
    "evenly_spaced_by_class",
    "expected_over_target",
    "floored",
    "focal",
    "guarded_power",
    "inverse_frequency_weights",
    "jaccard_index",
    "label_boundary",
    "local_class_mean",
    "mime",
    "mined_triplets",
    "neighbour_similarity",
    "power_jaccard_index",
    "region_mutual_information",
    "squared_distances",
    "student_t",
    "triplet",
    "tversky_index",
    "unit_vectors",
    "updated_centers",
]
