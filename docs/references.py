"""What the site calls the names that it describes, for cross-references."""

from __future__ import annotations

from metriseg.catalogue import CATALOGUE

#: Names that have a place of their own on the site, besides the losses.
DOCUMENTED = (
    "metriseg.Batch",
    "metriseg.RegionStatistics",
    "metriseg.region_statistics",
    "metriseg.SegmentationLoss",
    "metriseg.PixelLoss",
    "metriseg.DistanceLoss",
    "metriseg.TableLoss",
    "metriseg.OverlapLoss",
    "metriseg.RegionLoss",
    "metriseg.UnknownArgumentError",
    "metriseg.debug",
    "metriseg.distances",
    "metriseg.distances.distance_to",
    "metriseg.distances.distance_transform",
    "metriseg.distances.inside_distance",
    "metriseg.distances.label_distance_transform",
    "metriseg.distances.signed_distance_map",
    "metriseg.extraction",
    "metriseg.extraction.ClassSegments",
    "metriseg.extraction.KNNSegments",
    "metriseg.extraction.KernelSegments",
    "metriseg.extraction.Segments",
    "metriseg.extraction.SlotSegments",
    "metriseg.extraction.group_embedding",
    "metriseg.extraction.half_width",
    "metriseg.extraction.landing_points",
    "metriseg.functional.gaussian_frequencies",
    "metriseg.functional.kernel_partition_distance",
    "metriseg.functional.pairwise_kernel_partition_distance",
    "metriseg.functional.soft_partition_distance",
    "metriseg.functional.weighted_kernel_partition_distance",
    "metriseg.functional.weighted_soft_partition_distance",
    "metriseg.losses.schedules",
    "metriseg.losses.schedules.ConstantSchedule",
    "metriseg.losses.schedules.CosineSchedule",
    "metriseg.losses.schedules.LinearSchedule",
    "metriseg.losses.schedules.StepSchedule",
    "metriseg.partitions",
    "metriseg.partitions.weights",
    "metriseg.partitions.ArbitraryWeight",
    "metriseg.partitions.ContingencyTable",
    "metriseg.partitions.DiceWeight",
    "metriseg.partitions.FeatureWeight",
    "metriseg.partitions.KernelWeight",
    "metriseg.partitions.ObjectMatches",
    "metriseg.partitions.ObjectScores",
    "metriseg.partitions.PartitionIndex",
    "metriseg.partitions.PowerWeight",
    "metriseg.partitions.ProductMeasure",
    "metriseg.partitions.SizeWeight",
    "metriseg.partitions.UnionWeight",
    "metriseg.partitions.UnitWeight",
    "metriseg.partitions.WorstObjects",
    "metriseg.partitions.adapted_rand_error",
    "metriseg.partitions.adjusted_rand_index",
    "metriseg.partitions.check_metric_axioms",
    "metriseg.partitions.color_bins",
    "metriseg.partitions.color_features",
    "metriseg.partitions.contingency_table",
    "metriseg.partitions.disagreement_map",
    "metriseg.partitions.earth_movers_distance",
    "metriseg.partitions.intensity_bins",
    "metriseg.partitions.intensity_features",
    "metriseg.partitions.larsen_aone_dissimilarity",
    "metriseg.partitions.match_objects",
    "metriseg.partitions.microm_distance",
    "metriseg.partitions.mirkin_distance",
    "metriseg.partitions.object_scores",
    "metriseg.partitions.objects",
    "metriseg.partitions.partition_distance",
    "metriseg.partitions.partition_scores",
    "metriseg.partitions.partition_sketch",
    "metriseg.partitions.rand_index",
    "metriseg.partitions.satisfies_weight_conditions",
    "metriseg.partitions.signature_distance",
    "metriseg.partitions.split_and_merge",
    "metriseg.partitions.texture_bins",
    "metriseg.partitions.texture_features",
    "metriseg.partitions.van_dongen_distance",
    "metriseg.partitions.variation_of_information",
    "metriseg.partitions.weighted_partition_distance",
    "metriseg.partitions.worst_objects",
)


def identifier(name: str) -> str:
    """What a loss's page is called in cross-references."""
    return f"metriseg.{name}"


def resolve(name: str) -> str | None:
    """The cross-reference of a name that a docstring mentions; None where it has no page."""
    last = name.rpartition(".")[2]
    if last in CATALOGUE:
        return identifier(last)
    known = {reference.rpartition(".")[2]: reference for reference in DOCUMENTED}
    inside = name.startswith("metriseg.") or "." not in name
    return known.get(last) if inside else None
