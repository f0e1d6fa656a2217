"""Every loss equals its naive float64 oracle, in every setting that all losses share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import (
    IGNORE,
    accepted,
    oracle_value,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
CLASS_WEIGHT = [0.2, 1.0, 0.0, 2.5]
#: Between four classes; the largest is not 1.
DISTANCES = [
    [0.0, 2.0, 1.5, 0.5],
    [2.0, 0.0, 1.0, 1.8],
    [1.5, 1.0, 0.0, 1.25],
    [0.5, 1.8, 1.25, 0.0],
]


def assert_equals_oracle(
    entry: Entry,
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    activation: str = "softmax",
    ignore_index: int | None = None,
    **hyperparameters: Any,
) -> None:
    loss = entry.build(activation=activation, ignore_index=ignore_index, **hyperparameters)
    expected = oracle_value(
        entry,
        logits,
        target,
        weight=weight,
        activation=activation,
        ignore_index=ignore_index,
        **hyperparameters,
    )
    actual = loss(logits, target, weight=weight).detach().numpy()
    np.testing.assert_allclose(actual.reshape(np.shape(expected)), expected, **TOLERANCE)


def suits(entry: Entry, activation: str = "softmax", dimensions: int = 2) -> bool:
    """Whether a setting has a meaning for a loss; where not, the loss must say so itself."""
    if activation not in entry.loss.activations:
        with pytest.raises(ValueError, match="activation must be one of"):
            entry.build(activation=activation)
        return False
    if dimensions not in entry.spatial_dimensions:
        words = f"{entry.loss.__name__} is for .* images, got {dimensions}-D logits"
        with pytest.raises(ValueError, match=words):
            entry.build()(random_logits(4, dimensions), random_labels(4, dimensions))
        return False
    return True


def targets(entry: Entry, **arguments: Any) -> list[torch.Tensor]:
    """Labels, and soft labels if the loss takes them."""
    found = [random_labels(4, **arguments)]
    return [*found, random_soft_labels(4)] if entry.soft_targets else found


def activated(logits: torch.Tensor, activation: str) -> torch.Tensor:
    """What a loss with this activation is given: for "identity", probabilities."""
    return logits.softmax(1) if activation == "identity" else logits


@pytest.mark.parametrize("ignore", [0.0, 0.3])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_labels(entry: Entry, dimensions: int, activation: str, ignore: float) -> None:
    """Index targets in 1-D, 2-D and 3-D, with and without ignored pixels."""
    if not suits(entry, activation, dimensions):
        return
    logits = activated(random_logits(4, dimensions), activation)
    target = random_labels(4, dimensions, ignore=ignore)
    ignore_index = IGNORE if ignore else None
    assert_equals_oracle(entry, logits, target, activation=activation, ignore_index=ignore_index)


@pytest.mark.parametrize("activation", ["sigmoid", "identity"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_one_channel(entry: Entry, dimensions: int, activation: str) -> None:
    """One class is a yes-or-no question: label 1 is yes. A loss that needs more classes says so."""
    if not suits(entry, activation, dimensions):
        return
    logits = random_logits(1, dimensions)
    logits = logits.sigmoid() if activation == "identity" else logits
    target = random_labels(1, dimensions, ignore=0.2)
    if entry.min_classes > 1:
        words = f"{entry.name} needs logits with {entry.min_classes} classes or more, got 1"
        with pytest.raises(ValueError, match=words):
            entry.build(activation=activation, ignore_index=IGNORE)(logits, target)
        return
    assert_equals_oracle(entry, logits, target, activation=activation, ignore_index=IGNORE)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_labels(entry: Entry, activation: str, weighted: bool) -> None:
    """Soft targets (N, C, *S); pixels that don't count are named by the weight.

    A loss for which they have no meaning says so.
    """
    if not suits(entry, activation):
        return
    logits = activated(random_logits(4), activation)
    target = random_soft_labels(4, exclusive=activation != "sigmoid")
    weight = random_weight() if weighted else None
    if not entry.soft_targets:
        with pytest.raises(ValueError, match="target must hold labels or be one-hot"):
            entry.build(activation=activation)(logits, target, weight=weight)
        return
    assert_equals_oracle(entry, logits, target, activation=activation, weight=weight)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_pixel_weight(entry: Entry, dimensions: int, activation: str) -> None:
    if not suits(entry, activation, dimensions):
        return
    logits, weight = random_logits(4, dimensions), random_weight(dimensions)
    target = random_labels(4, dimensions, ignore=0.2)
    assert_equals_oracle(
        entry, logits, target, weight=weight, activation=activation, ignore_index=IGNORE
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_class_policies(
    entry: Entry,
    activation: str,
    class_weight: list[float] | None,
    include_background: bool,
    reduction: str,
) -> None:
    """Class weights, an excluded background and every reduction, in all combinations."""
    if not suits(entry, activation):
        return
    if entry.level == "compound" and reduction == "none":
        with pytest.raises(ValueError, match="the terms can't be added, their shapes are"):
            entry.build(activation=activation, reduction=reduction)(
                random_logits(4), random_labels(4)
            )
        return
    for target in targets(entry, ignore=0.2):
        assert_equals_oracle(
            entry,
            random_logits(4),
            target,
            weight=random_weight(),
            activation=activation,
            ignore_index=None if target.is_floating_point() else IGNORE,
            **accepted(
                entry,
                class_weight=class_weight,
                include_background=include_background,
                reduction=reduction,
            ),
        )


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("classes", ["all", "present"])
@pytest.mark.parametrize("smooth", [0.0, 1e-5, (0.5, 2.0)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_region_policies(
    region_entry: Entry,
    reduction: str,
    smooth: float | tuple[float, float],
    classes: str,
    per_image: bool,
) -> None:
    """Groups, present classes and smoothing; class 2 is in no image, class 3 in one of three."""
    if region_entry.level == "compound" and reduction == "none":
        return  # refused, as test_class_policies sees
    target = random_labels(4, images=3, ignore=0.2)
    target[target == 2] = 1
    target[:2][target[:2] == 3] = 0
    assert_equals_oracle(
        region_entry,
        random_logits(4, images=3),
        target,
        ignore_index=IGNORE,
        **accepted(
            region_entry,
            smooth=smooth,
            classes=classes,
            per_image=per_image,
            reduction=reduction,
        ),
    )


def test_an_ignored_image_leaves_the_mean(region_entry: Entry) -> None:
    """Of two images, one wholly ignored: the mean is the other's loss, not half of it."""
    logits, target = random_logits(4), random_labels(4)
    target[1] = IGNORE
    assert_equals_oracle(region_entry, logits, target, ignore_index=IGNORE, per_image=True)
    loss = region_entry.build(ignore_index=IGNORE, per_image=True)
    assert torch.allclose(loss(logits, target), loss(logits[:1], target[:1]))


KERNEL = {"type": "KernelSegments", "frequencies": 3, "bandwidth": 2.0, "seed": 1}
#: of more pixels than there are: all pairs
PAIRS = {"type": "KernelSegments", "samples": 1000, "bandwidth": 0.7}

HYPERPARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("CrossEntropyLoss", {"normalize": "weights", "class_weight": CLASS_WEIGHT}),
    ("CrossEntropyLoss", {"normalize": "weights", "include_background": False}),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "class_weight": CLASS_WEIGHT}),
    (
        "CrossEntropyLoss",
        {"label_smoothing": 1.0, "normalize": "weights", "class_weight": CLASS_WEIGHT},
    ),
    ("CrossEntropyLoss", {"label_smoothing": 0.3, "include_background": False}),
    ("FocalLoss", {"gamma": 1.0, "alpha": [0.2, 1.0, 0.0, 3.0]}),
    ("FocalLoss", {"gamma": 0.0}),
    ("FocalLoss", {"gamma": 0.5}),
    ("FocalLoss", {"gamma": 1.0, "alpha": 0.25}),
    ("FocalLoss", {"gamma": 3.5, "alpha": 0.9, "class_weight": CLASS_WEIGHT}),
    ("TopKLoss", {"percent": 50.0}),
    ("TopKLoss", {"percent": 33.3, "class_weight": CLASS_WEIGHT}),
    ("TopKLoss", {"percent": 100.0, "include_background": False}),
    ("TopKLoss", {"threshold": 0.5}),
    ("TopKLoss", {"threshold": 0.3, "class_weight": CLASS_WEIGHT}),
    ("TopKLoss", {"threshold": 0.5, "include_background": False}),
    ("TopKLoss", {"threshold": 0.05, "min_kept": 7}),
    ("TopKLoss", {"threshold": 0.3, "min_kept": 12, "class_weight": CLASS_WEIGHT}),
    ("TopKLoss", {"percent": 10.0, "min_kept": 9}),
    ("TopKLoss", {"threshold": 0.2, "min_kept": 1000}),
    ("DistanceMapCrossEntropyLoss", {"map": "raw"}),
    ("DistanceMapCrossEntropyLoss", {"spacing": (0.5, 2.0)}),
    ("DistanceMapCrossEntropyLoss", {"map": "raw", "spacing": (3.0, 0.75)}),
    ("BoundaryLoss", {"spacing": (0.5, 2.0)}),
    ("RegionWiseLoss", {"map": "boundary"}),
    ("RegionWiseLoss", {"spacing": (0.5, 2.0)}),
    ("RegionWiseLoss", {"map": "boundary", "spacing": (3.0, 0.75)}),
    ("BoundaryDoULoss", {"max_alpha": 0.0}),
    ("BoundaryDoULoss", {"alpha": 0.3}),
    ("BoundaryDoULoss", {"classes": "all", "smooth": (0.5, 2.0), "class_weight": CLASS_WEIGHT}),
    ("BoundaryDoULoss", {"smooth": 0.0, "include_background": False}),
    ("BoundaryAwareLoss", {"spacing": (0.5, 2.0)}),
    ("ActiveContourLoss", {"region_weight": 3.0, "fp_weight": 0.2, "eps": 0.1}),
    ("InverseFormLoss", {"tiles": (2, 1)}),
    ("InverseFormLoss", {"tiles": (2, 3), "reduction": "none"}),
    ("HausdorffDistanceTransformLoss", {"alpha": 0.5, "include_background": True}),
    ("HausdorffDistanceTransformLoss", {"alpha": 1.0, "spacing": (0.5, 2.0)}),
    ("HausdorffErosionLoss", {"alpha": 1.0, "erosions": 3, "include_background": True}),
    ("HausdorffErosionLoss", {"erosions": 3, "threshold": "linear"}),
    ("HausdorffConvolutionLoss", {"alpha": 1.0, "radii": (1,), "include_background": True}),
    ("HausdorffConvolutionLoss", {"alpha": 0.5, "radii": (2.5, 1, 0.5)}),
    ("ActiveBoundaryLoss", {"boundary_share": 0.01}),
    ("ActiveBoundaryLoss", {"boundary_share": 0.1, "max_distance": 1.0}),
    ("ActiveBoundaryLoss", {"boundary_share": 1.0, "label_smoothing": 0.0}),
    ("MimeLoss", {"a": 0.5, "b": 2.0}),
    ("PowerJaccardLoss", {"power": 1.0}),
    ("PowerJaccardLoss", {"power": 1.75}),
    ("PowerJaccardLoss", {"power": 2.0}),
    ("ConditionalBoundaryLoss", {"window": 3, "center_weight": 0.5, "pair_weight": 0.0}),
    ("ConditionalBoundaryLoss", {"boundary_width": 3, "classification_weight": 3.0}),
    ("RegionMutualInformationLoss", {"radius": 2, "downsample": None}),
    ("RegionMutualInformationLoss", {"radius": 1, "downsample": 2, "bce_weight": 0.1}),
    ("RegionMutualInformationLoss", {"radius": 2, "downsample": 2, "epsilon": 0.1}),
    ("RegionMutualInformationLoss", {"radius": 3, "downsample": 1, "bce_weight": 0.0}),
    ("RobustTLoss", {"log_degrees": -4.5, "log_precision": 1.0}),
    ("RobustTLoss", {"log_degrees": 3.0, "log_precision": -2.0, "epsilon": 0.5}),
    ("TripletLoss", {"mining": "hard"}),
    ("TripletLoss", {"mining": "all", "margin": 1.0}),
    ("TripletLoss", {"mining": "semihard", "margin": 5.0, "normalize": False}),
    ("TripletLoss", {"samples": 15}),
    ("BoundaryTripletLoss", {"mining": "hard", "boundary_width": 1}),
    ("BoundaryTripletLoss", {"mining": "all", "margin": 1.0, "samples": 9}),
    ("TverskyLoss", {"fp_weight": 0.0, "fn_weight": 1.0}),
    ("TverskyLoss", {"fp_weight": 1.0, "fn_weight": 1.0}),
    ("DiceLoss", {"overlap": "minimum", "smooth": 0.0}),
    ("JaccardLoss", {"overlap": "minimum", "per_image": False}),
    ("TverskyLoss", {"overlap": "minimum", "fp_weight": 0.2, "fn_weight": 0.9}),
    ("LogCoshDiceLoss", {"overlap": "minimum"}),
    ("FocalTverskyLoss", {"overlap": "minimum", "gamma": 2.0}),
    ("GeneralizedDiceLoss", {"overlap": "minimum"}),
    ("PenaltyGeneralizedDiceLoss", {"overlap": "minimum", "weighting": "uniform"}),
    ("DiceCELoss", {"overlap": "minimum", "label_smoothing": 0.2}),
    ("DiceFocalLoss", {"overlap": "minimum", "alpha": [0.2, 1.0, 0.0, 3.0]}),
    ("ComboLoss", {"overlap": "minimum"}),
    ("ExponentialLogarithmicLoss", {"overlap": "minimum"}),
    ("UnifiedFocalLoss", {"overlap": "minimum"}),
    ("LogCoshDiceLoss", {"smooth": 0.0, "per_image": False}),
    ("PowerDiceLoss", {"power": 1.0}),
    ("PowerDiceLoss", {"power": 1.75, "per_image": True}),
    ("PowerDiceLoss", {"power": 2.0}),
    ("FocalTverskyLoss", {"fp_weight": 0.0, "fn_weight": 1.0, "gamma": 1.0}),
    ("FocalTverskyLoss", {"fp_weight": 0.5, "fn_weight": 0.5, "gamma": 3.0}),
    ("SensitivitySpecificityLoss", {"sensitivity_weight": 0.0}),
    ("SensitivitySpecificityLoss", {"sensitivity_weight": 0.6, "class_weight": CLASS_WEIGHT}),
    ("GeneralizedDiceLoss", {"weighting": "simple", "class_weight": CLASS_WEIGHT}),
    ("GeneralizedDiceLoss", {"weighting": "uniform", "include_background": False}),
    ("PenaltyGeneralizedDiceLoss", {"penalty": 0.0}),
    ("PenaltyGeneralizedDiceLoss", {"penalty": 7.0, "weighting": "simple", "per_image": False}),
    ("GeneralizedWassersteinDiceLoss", {"distances": DISTANCES, "per_image": False}),
    ("GeneralizedWassersteinDiceLoss", {"distances": DISTANCES, "background": 2}),
    ("GeneralizedWassersteinDiceLoss", {"distances": DISTANCES, "class_weight": CLASS_WEIGHT}),
    ("GeneralizedWassersteinDiceLoss", {"distances": DISTANCES, "include_background": False}),
    ("GeneralizedWassersteinDiceLoss", {"distances": DISTANCES, "weighting": "GDL"}),
    (
        "GeneralizedWassersteinDiceLoss",
        {"weighting": "GDL", "class_weight": CLASS_WEIGHT, "per_image": False, "smooth": 0.5},
    ),
    ("DiceCELoss", {"lambda_dice": 0.3, "lambda_ce": 2.0}),
    ("DiceFocalLoss", {"lambda_dice": 0.3, "lambda_focal": 2.0, "gamma": 0.5, "alpha": 0.25}),
    ("ComboLoss", {"alpha": 0.8}),
    ("ExponentialLogarithmicLoss", {"lambda_dice": 0.1, "gamma_dice": 1.0, "gamma_ce": 2.0}),
    ("ExponentialLogarithmicLoss", {"lambda_ce": 3.0, "frequencies": [0.5, 0.3, 0.0, 0.2]}),
    ("UnifiedFocalLoss", {"focal_share": 0.25, "delta": 0.7, "gamma": 0.75}),
    ("UnifiedFocalLoss", {"focal_share": 0.75, "gamma": 0.2, "form": "symmetric"}),
    ("UnifiedFocalLoss", {"delta": 0.7, "form": "symmetric", "class_weight": CLASS_WEIGHT}),
    ("UnifiedFocalLoss", {"gamma": 0.0, "include_background": False}),
    ("LovaszSoftmaxLoss", {"classes": "all", "per_image": True}),
    ("LovaszHingeLoss", {"classes": "present", "per_image": False}),
    ("JaccardMetricLoss", {"form": "product"}),
    ("BlobLoss", {"connectivity": 2, "per_image": False}),
    ("ConnectedComponentLoss", {"connectivity": 2, "per_image": False}),
    ("ConnectedComponentLoss", {"classes": "present", "class_weight": CLASS_WEIGHT}),
    ("ConnectedComponentLoss", {"spacing": (3.0, 1.0), "include_background": True}),
    ("TopologicalLoss", {"dimensions": [0]}),
    ("TopologicalLoss", {"dimensions": [1], "include_background": True}),
    ("TopologicalLoss", {"min_persistence": 0.2}),
    ("TopologyAwareFocalLoss", {"topology_weight": 1.0, "order": 1.0, "gamma": 1.0}),
    ("TopologyAwareFocalLoss", {"topology_weight": 0.5, "order": 3.0, "alpha": 0.25}),
    ("TopologyAwareFocalLoss", {"topology_weight": 0.0}),
    ("PartitionLoss", {"density": "segment", "connectivity": 2}),
    ("PartitionLoss", {"density": "root", "include_background": False}),
    ("PartitionLoss", {"segments": {"type": "ClassSegments", "connectivity": 2}}),
    ("PartitionLoss", {"segments": "SlotSegments", "class_weight": CLASS_WEIGHT}),
    ("PartitionLoss", {"segments": KERNEL}),
    ("PartitionLoss", {"segments": KERNEL, "density": "root", "include_background": False}),
    ("PartitionLoss", {"segments": PAIRS, "density": "root"}),
    ("PartitionLoss", {"weighting": "union"}),
    ("PartitionLoss", {"weighting": "sum", "density": "segment"}),
    ("PartitionLoss", {"weighting": "union", "segments": "SlotSegments"}),
    ("PartitionLoss", {"weighting": "sum", "segments": "SlotSegments", "density": "root"}),
    ("PartitionLoss", {"weighting": "union", "segments": "SlotSegments", "form": "paper"}),
    ("PartitionLoss", {"weighting": "sum", "segments": "SlotSegments", "form": "paper"}),
    ("PartitionLoss", {"weighting": "union", "segments": KERNEL, "class_weight": CLASS_WEIGHT}),
    ("PartitionLoss", {"weighting": "sum", "segments": KERNEL, "density": "segment"}),
    ("PartitionLoss", {"weighting": "union", "segments": {**PAIRS, "pixels_per_unit": 3.0}}),
    ("PartitionLoss", {"weighting": "sum", "segments": PAIRS, "class_weight": CLASS_WEIGHT}),
    ("PartitionLoss", {"segments": {**PAIRS, "pixels_per_unit": [3.0, 2.0]}}),
    ("CenterlineDiceLoss", {"iterations": 0, "smooth": 0.0}),
    ("CenterlineDiceLoss", {"iterations": 5, "include_background": True}),
    ("DiceCenterlineDiceLoss", {"alpha": 0.0, "per_image": False}),
    ("DiceCenterlineDiceLoss", {"alpha": 1.0, "smooth": (0.5, 2.0), "class_weight": CLASS_WEIGHT}),
    ("DiceCenterlineDiceLoss", {"alpha": 0.3, "iterations": 1, "classes": "present"}),
    ("CenterlineBoundaryDiceLoss", {"iterations": 0, "include_background": True}),
    ("CenterlineBoundaryDiceLoss", {"spacing": (0.5, 2.0), "smooth": 0.0}),
    ("SkeletonRecallLoss", {"tube": 0, "include_background": True}),
    ("SkeletonRecallLoss", {"tube": 1, "smooth": 0.0, "classes": "present"}),
    ("JaccardMetricLoss", {"form": "norms", "smooth": (0.5, 2.0), "per_image": False}),
    ("DiceSemimetricLoss", {"form": "product"}),
    ("DiceSemimetricLoss", {"form": "norms", "smooth": (0.5, 2.0), "per_image": False}),
    ("TverskySemimetricLoss", {"form": "product", "fp_weight": 0.0, "fn_weight": 1.0}),
    ("TverskySemimetricLoss", {"fp_weight": 0.9, "fn_weight": 0.2, "class_weight": CLASS_WEIGHT}),
    ("DicePlusPlusLoss", {"gamma": 1.0}),
    ("DicePlusPlusLoss", {"gamma": 3.5, "per_image": False, "smooth": 0.0}),
    ("NoiseRobustDiceLoss", {"gamma": 1.0, "per_image": False}),
    ("NoiseRobustDiceLoss", {"gamma": 2.0, "smooth": (0.5, 2.0)}),
    ("MatthewsCorrelationLoss", {"smooth": 0.0, "per_image": False}),
    ("MatthewsCorrelationLoss", {"overlap": "minimum", "smooth": (0.0, 3.0)}),
    ("MatthewsCorrelationLoss", {"smooth": (2.0, 0.5), "class_weight": CLASS_WEIGHT}),
    ("AverageCalibrationLoss", {"binning": "hard"}),
    ("AverageCalibrationLoss", {"binning": "hard", "bins": 3, "per_image": False}),
    ("AverageCalibrationLoss", {"bins": 2, "least_mass": 5.0}),
    ("AverageCalibrationLoss", {"least_mass": 0.0, "classes": "present", "per_image": False}),
    ("GeneralizedCrossEntropyLoss", {"q": 1.0}),
    ("GeneralizedCrossEntropyLoss", {"q": 0.2, "truncation": 0.3}),
    ("GeneralizedCrossEntropyLoss", {"truncation": 0.5, "class_weight": CLASS_WEIGHT}),
    ("SymmetricCrossEntropyLoss", {"alpha": 6.0, "beta": 0.1, "log_zero": -9.2}),
    ("SymmetricCrossEntropyLoss", {"log_zero": -1.0, "class_weight": CLASS_WEIGHT}),
    ("PolyCrossEntropyLoss", {"epsilon": -1.0}),
    ("PolyCrossEntropyLoss", {"epsilon": 4.0, "class_weight": CLASS_WEIGHT}),
    ("PolyFocalLoss", {"gamma": 0.5, "alpha": 0.25}),
    ("PolyFocalLoss", {"epsilon": -0.5, "gamma": 1.0, "alpha": [0.2, 1.0, 0.0, 3.0]}),
    ("NeighborAwareCalibrationLoss", {"window": 5, "penalty_weight": 2.0}),
    ("NeighborAwareCalibrationLoss", {"norm": "l2", "class_weight": CLASS_WEIGHT}),
    ("NeighborAwareCalibrationLoss", {"window": 1, "include_background": False}),
    ("LogHausdorffDistanceTransformLoss", {"alpha": 0.5, "include_background": True}),
    ("LogHausdorffDistanceTransformLoss", {"alpha": 1.0, "spacing": (0.5, 2.0)}),
    ("GeneralizedDiceFocalLoss", {"lambda_gdl": 0.3, "lambda_focal": 2.0, "gamma": 0.5}),
    ("GeneralizedDiceFocalLoss", {"weighting": "simple", "alpha": [0.2, 1.0, 0.0, 3.0]}),
    ("GeneralizedDiceFocalLoss", {"overlap": "minimum", "weighting": "uniform"}),
]


@pytest.mark.parametrize("pos_weight", [0.3, [0.2, 1.0, 0.0, 3.0]], ids=["one", "each"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.25])
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "DiceCELoss"])
def test_positives_of_questions_weigh_more(
    name: str, label_smoothing: float, pos_weight: float | list[float]
) -> None:
    """With class weights beside them; exclusive classes have no positives."""
    entry = CATALOGUE[name]
    words = {"pos_weight": pos_weight, "label_smoothing": label_smoothing}
    for target in targets(entry):
        assert_equals_oracle(
            entry,
            random_logits(4),
            target,
            activation="sigmoid",
            class_weight=CLASS_WEIGHT,
            **words,
        )
    with pytest.raises(ValueError, match=r"pos_weight is for yes-or-no questions .* 4 exclusive"):
        entry.build(**words)(random_logits(4), random_labels(4))
    with pytest.raises(ValueError, match="pos_weight must be one number or one for each of the 2"):
        entry.build(activation="sigmoid", pos_weight=[1, 2, 3])(random_logits(2), random_labels(2))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize(("name", "arguments"), HYPERPARAMETERS)
def test_hyperparameters(name: str, arguments: dict[str, Any], activation: str) -> None:
    """Each loss's own parameters, away from their defaults."""
    if not suits(CATALOGUE[name], activation):
        return
    logits = activated(random_logits(4), activation)
    for target in targets(CATALOGUE[name]):
        assert_equals_oracle(CATALOGUE[name], logits, target, activation=activation, **arguments)
