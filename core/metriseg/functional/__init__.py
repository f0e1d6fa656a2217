"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.inverse_form import (
    coefficient_norm,
    edge_tiles,
    inverse_form_distance,
    label_edges,
    region_edges,
    tile_means,
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
    "coefficient_norm",
    "cross_entropy",
    "dice_index",
    "edge_tiles",
    "expected_over_target",
    "focal",
    "guarded_power",
    "inverse_form_distance",
    "inverse_frequency_weights",
    "jaccard_index",
    "label_edges",
    "mime",
    "power_jaccard_index",
    "region_edges",
    "tile_means",
    "tversky_index",
]
