"""All losses at a glance: which to choose, their tables, and the navigation."""

from __future__ import annotations

from collections.abc import Iterable

from loss_pages import LEVELS, dimensions, perfect, table
from metriseg.catalogue import CATALOGUE, Entry

#: A problem, losses made for it (names that the catalogue lacks are left out), and why these.
GUIDE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "you want what nnU-Net trains with",
        ("DiceCELoss", "CompoundLoss"),
        "`DiceCELoss(include_background=False, per_image=False)` is that loss, plus one",
    ),
    (
        "classes differ greatly in size",
        ("GeneralizedDiceLoss", "PenaltyGeneralizedDiceLoss", "ExponentialLogarithmicLoss"),
        "they weigh a class by how rare it is",
    ),
    (
        "a missed pixel costs more than a false alarm, or less",
        ("TverskyLoss", "FocalTverskyLoss", "SensitivitySpecificityLoss", "UnifiedFocalLoss"),
        "the two kinds of error have weights of their own",
    ),
    (
        "most pixels are easy",
        ("FocalLoss", "TopKLoss", "PolyFocalLoss"),
        "easy pixels fade, or are left out",
    ),
    (
        "the result is judged by its Jaccard index (IoU)",
        ("JaccardLoss", "LovaszSoftmaxLoss", "LovaszHingeLoss", "PowerJaccardLoss"),
        "each extends that index to probabilities in a way of its own",
    ),
    (
        "labels are soft",
        ("DiceSemimetricLoss", "JaccardMetricLoss", "TverskySemimetricLoss", "CrossEntropyLoss"),
        "least where the prediction is the label; the first three are then 0",
    ),
    (
        "some confusions are worse than others",
        ("GeneralizedWassersteinDiceLoss",),
        "a matrix says how far apart two classes are",
    ),
    (
        "contours must not be far off",
        (
            "BoundaryLoss",
            "HausdorffDistanceTransformLoss",
            "HausdorffErosionLoss",
            "HausdorffConvolutionLoss",
            "RegionWiseLoss",
            "DistanceMapCrossEntropyLoss",
        ),
        "what an error weighs depends on its distance from the contour",
    ),
    (
        "contours must be sharp",
        ("ActiveBoundaryLoss", "BoundaryDoULoss", "InverseFormLoss", "ConditionalBoundaryLoss"),
        "they look at the pixels along the contour",
    ),
    (
        "contours must be short",
        ("ActiveContourLoss",),
        "the length of the contour is part of the loss",
    ),
    (
        "thin structures must not break",
        (
            "DiceCenterlineDiceLoss",
            "CenterlineDiceLoss",
            "CenterlineBoundaryDiceLoss",
            "SkeletonRecallLoss",
        ),
        "they look at the centrelines of prediction and truth",
    ),
    (
        "small objects are missed beside large ones",
        ("BlobLoss", "ConnectedComponentLoss"),
        "every true object counts alike, whatever its size",
    ),
    (
        "the number of components and holes must be right",
        ("TopologicalLoss", "TopologyAwareFocalLoss"),
        "persistence diagrams count them, at all thresholds at once",
    ),
    (
        "neighbouring pixels belong together",
        ("RegionMutualInformationLoss",),
        "windows of pixels are compared, not pixels",
    ),
    (
        "some images are labelled wrongly",
        (
            "GeneralizedCrossEntropyLoss",
            "SymmetricCrossEntropyLoss",
            "NoiseRobustDiceLoss",
            "RobustTLoss",
        ),
        "a label that the network doesn't believe pulls less",
    ),
    (
        "a label stands for one of several classes",
        ("MarginalCrossEntropyLoss", "MarginalDiceLoss", "LeafDiceLoss", "ExclusionLoss"),
        "`label_sets` says which; nothing is made up about the rest",
    ),
    (
        "probabilities are read as such",
        ("NeighborAwareCalibrationLoss", "AverageCalibrationLoss", "DicePlusPlusLoss"),
        "they keep a network from being surer than it is right",
    ),
    (
        "a class is sometimes nearly everything",
        ("MatthewsCorrelationLoss",),
        "a class and its complement count alike",
    ),
    (
        "objects of a class touch, and are to be told apart",
        ("PartitionLoss",),
        "it compares which pixels belong together, and a semantic network learns instances",
    ),
    (
        "embeddings of a class should lie together",
        ("TripletLoss", "BoundaryTripletLoss", "CenterLoss"),
        "they look at features, not at probabilities",
    ),
)


def guide(catalogue: dict[str, Entry] = CATALOGUE) -> str:
    """Problems, and the losses that are made for them."""
    rows = []
    for problem, names, reason in GUIDE:
        known = [f"[{name}](losses/{name}.md)" for name in names if name in catalogue]
        if known:
            rows.append((problem, ", ".join(known), reason))
    return table(("if", "look at", "because"), rows) + "\n"


def loss_tables(entries: Iterable[Entry] = CATALOGUE.values()) -> str:
    """All losses, a table a level."""
    parts = []
    for level, members in by_level(entries).items():
        rows = [
            (
                f"[{entry.name}](losses/{entry.name}.md)",
                f"`{entry.summary}`",
                perfect(entry),
                dimensions(entry),
                "yes" if entry.soft_targets else "no",
            )
            for entry in members
        ]
        head = ("loss", "formula", "at a perfect prediction", "images", "soft labels")
        parts += [f"### {level.capitalize()}: {LEVELS[level]}", table(head, rows)]
    return "\n\n".join(parts) + "\n"


def navigation(entries: Iterable[Entry] = CATALOGUE.values()) -> str:
    """The losses by level, for mkdocs-literate-nav."""
    lines = []
    for level, members in by_level(entries).items():
        lines.append(f"- {level.capitalize()}")
        lines += [f"    - [{entry.name}]({entry.name}.md)" for entry in members]
    return "\n".join(lines) + "\n"


def by_level(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The levels that have losses, in their order."""
    entries = list(entries)
    found = {level: [e for e in entries if e.level == level] for level in LEVELS}
    return {level: members for level, members in found.items() if members}
