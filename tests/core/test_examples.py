"""The hand-checked values of ``tests/reference/examples.json``.

``CASES`` says for each record which class, functional or oracle it concerns, or that it is the
value of a formula that is printed wrongly. Every record stands there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import distances
from metriseg import functional as F
from metriseg.distances import signed_distance_map
from metriseg.partitions import (
    MEASURES,
    ArbitraryWeight,
    UnionWeight,
    contingency_table,
    satisfies_weight_conditions,
    signature_distance,
    weighted_partition_distance,
)
from reference import metrics, oracle, partitions

RECORDS = {
    record["id"]: record
    for record in json.loads(
        (Path(__file__).parents[1] / "reference" / "examples.json").read_text()
    )
}


def prediction(record: dict[str, Any]) -> torch.Tensor:
    """(1, C, H, W) from a CHW record, (1, 1, H, W) from an HW record."""
    p = torch.tensor(record["probabilities"], dtype=torch.float64)
    return p[None] if record["layout"] == "CHW" else p[None, None]


def truth(record: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(record["target"])[None]


def by_class(name: str, **arguments: Any) -> Callable[[dict[str, Any]], torch.Tensor]:
    """The value of a loss of the library, given the record's probabilities."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        loss = getattr(metriseg, name)(activation="identity", **arguments)
        return loss(prediction(record), truth(record)).squeeze()

    return value


def gradient_by_class(name: str, **arguments: Any) -> Callable[[dict[str, Any]], torch.Tensor]:
    """The gradient of a loss against the record's probabilities."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        p = prediction(record).requires_grad_()
        getattr(metriseg, name)(activation="identity", **arguments)(p, truth(record)).backward()
        return p.grad.squeeze()

    return value


def one_minus(
    value: Callable[[dict[str, Any]], torch.Tensor],
) -> Callable[[dict[str, Any]], torch.Tensor]:
    return lambda record: 1 - value(record)


def tversky_functional(record: dict[str, Any]) -> torch.Tensor:
    """A Tversky index of hard masks, which the record gives as a prediction."""
    batch = metriseg.Batch.from_tensors(prediction(record), truth(record), activation="identity")
    params = record["params"]
    return F.tversky_index(
        metriseg.region_statistics(batch), params["fp_weight"], params["fn_weight"]
    ).squeeze()


def micro_dice(record: dict[str, Any]) -> torch.Tensor:
    """Sums pooled over classes before the ratio: region statistics of all classes as one."""
    batch = metriseg.Batch.from_tensors(prediction(record), truth(record), activation="identity")
    s = metriseg.region_statistics(batch)
    pooled = metriseg.RegionStatistics(
        *({1.0: part[1.0].sum(1, keepdim=True)} for part in (s.overlap, s.predicted, s.target)),
        s.count[:, :1],
    )
    return 1 - F.dice_index(pooled).squeeze()


def class_mean_cross_entropy(record: dict[str, Any]) -> torch.Tensor:
    """Divided by classes and pixels, as the dice-gradient paper prints it: mean / C."""
    return by_class("CrossEntropyLoss")(record) / 3


def inverse_frequencies(record: dict[str, Any]) -> torch.Tensor:
    return F.inverse_frequency_weights(truth(record), 3)


def oracle_power_jaccard(record: dict[str, Any]) -> float:
    """A power that the class refuses."""
    p, t = np.array(record["probabilities"]), np.array(record["target"], float)
    p, t = p.reshape(1, 1, -1), t.reshape(1, 1, -1)
    params = record["params"]
    return oracle.power_jaccard(
        p, t, np.ones((1, p.shape[2])), power=params["p"], smooth=params["smooth"]
    )


def oracle_pixelwise_power_jaccard(record: dict[str, Any]) -> float:
    """The literal reading of the paper's equation: a ratio a pixel, then the mean."""
    p, t = np.array(record["probabilities"]).ravel(), np.array(record["target"], float).ravel()
    q, e = record["params"]["p"], record["params"]["smooth"]
    values = [1 - (a * b + e) / (b**q + a**q - a * b + e) for a, b in zip(p, t, strict=True)]
    return float(np.mean(values))


def wasserstein(record: dict[str, Any]) -> torch.Tensor:
    """The loss, after seeing that the distance at every pixel is the record's map."""
    p, target = prediction(record), truth(record)
    distances = torch.tensor(record["params"]["M"], dtype=torch.float64)
    found = F.wasserstein_map(p, target, distances)[0]
    expected = torch.tensor(record["maps"]["wasserstein_map"], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    loss = by_class("GeneralizedWassersteinDiceLoss", distances=distances, smooth=0.0)
    return loss(record)


def sensitivity_specificity_of_classes(record: dict[str, Any]) -> torch.Tensor:
    """The mean over classes, after seeing the record's value of each."""
    table = by_class("SensitivitySpecificityLoss", reduction="none")(record)
    np.testing.assert_allclose(table.numpy(), record["maps"]["per_class"], rtol=1e-9)
    return table.mean()


def printed_sensitivity_specificity(record: dict[str, Any]) -> float:
    """1 - a sensitivity + (1 - a) specificity, with mean squared errors under these names."""
    p, t = np.array(record["probabilities"]).ravel(), np.array(record["target"], float).ravel()
    a, error = record["params"]["alpha"], (p - t) ** 2
    sensitivity = (error * t).sum() / t.sum()
    specificity = (error * (1 - t)).sum() / (1 - t).sum()
    return 1 - a * sensitivity + (1 - a) * specificity


def printed_wasserstein(record: dict[str, Any]) -> float:
    """-sum M_cc t_c p_c, of the diagonal of a distance matrix: nothing but zeros."""
    p, labels = np.array(record["probabilities"]), np.array(record["target"])
    matrix = record["params"]["M"]
    return -sum(matrix[c][c] * p[c][labels == c].sum() for c in range(len(matrix)))


def combo_as_printed(record: dict[str, Any]) -> torch.Tensor:
    """With minus the Dice coefficient in place of 1 - Dice: less by 1 - alpha."""
    return by_class("ComboLoss")(record) - (1 - record["params"]["alpha"])


def exponential_logarithmic_dice(record: dict[str, Any]) -> torch.Tensor:
    """The Dice part alone, averaged over classes."""
    batch = metriseg.Batch.from_tensors(prediction(record), truth(record), activation="identity")
    return F.exponential_logarithmic_dice(metriseg.region_statistics(batch), 0.3).mean()


def unified_focal(record: dict[str, Any]) -> torch.Tensor:
    params = record["params"]
    return by_class(
        "UnifiedFocalLoss",
        focal_share=params["lambda_"],
        delta=params["delta"],
        gamma=params["gamma"],
        form="symmetric" if params["symmetric"] else "asymmetric",
        smooth=params["epsilon"],
    )(record)


def by_maps(name: str, key: str, channel: str, **arguments: Any) -> Callable[..., torch.Tensor]:
    """The value of a loss that is given the map of the record, as from a loader."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        loss = getattr(metriseg, name)(activation="identity", **arguments)
        p, given = prediction(record), torch.tensor(record["maps"][key], dtype=torch.float64)
        shape = p.shape if channel != "penalty" else p[:, 0].shape
        return loss(p, truth(record), maps={channel: given.reshape(shape)})

    return value


def agreeing(*values: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Several ways to the value of a record, which must all give it."""

    def value(record: dict[str, Any]) -> Any:
        first, *others = [way(record) for way in values]
        for other in others:
            assert_close(other, first)
        return first

    return value


def masks_of(record: dict[str, Any]) -> torch.Tensor:
    """(1, C, H, W) bool of a record's target."""
    target = truth(record)
    if record["layout"] != "CHW":
        return target[:, None] > 0
    return torch.nn.functional.one_hot(target).movedim(-1, 1).bool()


def signed_distances(record: dict[str, Any]) -> torch.Tensor:
    return signed_distance_map(masks_of(record))[0, 0]


def rectified_maps(record: dict[str, Any]) -> torch.Tensor:
    return F.rectified_region_map(masks_of(record))[0]


def region_wise_sum(record: dict[str, Any]) -> torch.Tensor:
    """Over classes too: the class takes their mean."""
    return F.region_wise(prediction(record), F.rectified_region_map(masks_of(record))).sum()


def unclamped_difference_over_union(record: dict[str, Any]) -> torch.Tensor:
    """As the authors' code has it: alpha may be negative, and an absent class counts."""
    batch = metriseg.Batch.from_tensors(prediction(record), truth(record), activation="identity")
    share = F.boundary_share(batch.masks, None, torch.float64)
    alpha = (1 - 2 * share).clamp(max=record["params"]["alpha_clamp"][1])
    smooth = record["params"]["smooth"]
    s = metriseg.region_statistics(batch, {1.0, 2.0})
    return F.difference_over_union(s, alpha, (smooth, smooth)).squeeze()


def truncated_distances(record: dict[str, Any]) -> torch.Tensor:
    return F.truncated_distance_map(truth(record), record["params"]["R"] + 1)[0]


def boundary_aware(record: dict[str, Any]) -> torch.Tensor:
    """Channels are bins of the distance, not classes."""
    bins = torch.tensor(record["probabilities"], dtype=torch.float64)[None]
    return metriseg.BoundaryAwareLoss(activation="identity")(bins, truth(record))


def boundary_loss(reduction: str) -> Callable[[dict[str, Any]], Any]:
    """From the truth, and from the record's map."""
    return agreeing(
        by_class("BoundaryLoss", reduction=reduction),
        by_maps("BoundaryLoss", "phi", "signed_distance", reduction=reduction),
    )


def distance_map_cross_entropy(map: str) -> Callable[[dict[str, Any]], Any]:
    name = "DistanceMapCrossEntropyLoss"
    return agreeing(by_class(name, map=map), by_maps(name, "phi", "penalty", map=map))


def region_wise(map: str) -> Callable[[dict[str, Any]], Any]:
    return agreeing(
        by_class("RegionWiseLoss", map=map), by_maps("RegionWiseLoss", "map", "region", map=map)
    )


def window_information(record: dict[str, Any]) -> torch.Tensor:
    """Region mutual information alone, from the record's own window and epsilon."""
    params = record["params"]
    arguments = {"downsample": params["downsample"], "epsilon": params["alpha"]}
    return by_class(
        "RegionMutualInformationLoss", radius=params["radius"], bce_weight=0.0, **arguments
    )(record)


def student_t(record: dict[str, Any]) -> torch.Tensor:
    params = record["params"]
    return by_class(
        "RobustTLoss",
        log_degrees=params["log_nu"],
        log_precision=params["log_precision"],
        epsilon=params["epsilon"],
    )(record)


def conditional_boundary(**weights: float) -> Callable[[dict[str, Any]], torch.Tensor]:
    """One term of the conditional boundary loss, of a prediction given as labels.

    All pixels of these records are boundary pixels.
    """

    def value(record: dict[str, Any]) -> torch.Tensor:
        maps = record["maps"]
        assert np.all(maps["boundary"])
        features = torch.tensor(maps["features_HWD"], dtype=torch.float64).movedim(-1, 0)[None]
        labels = torch.tensor(maps["prediction"])[None]
        logits = torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).double()
        zero = {"center_weight": 0.0, "pair_weight": 0.0, "classification_weight": 0.0}
        loss = metriseg.ConditionalBoundaryLoss(record["params"]["window"], **zero | weights)
        return loss(logits, truth(record), features=features)

    return value


def triplet_functional(record: dict[str, Any]) -> torch.Tensor:
    anchor, positive, negative = (
        torch.tensor(record["maps"][name], dtype=torch.float64)
        for name in ("anchor", "positive", "negative")
    )
    power = 1 if record["params"]["distance"] == "euclidean" else 2
    near, far = ((anchor - other).norm() ** power for other in (positive, negative))
    return F.triplet(near, far, record["params"]["margin"])


def kept_centers(record: dict[str, Any], reduction: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A center loss with the record's centres, its features as one row of pixels, its labels."""
    maps = record["maps"]
    loss = metriseg.CenterLoss(2, 2, reduction=reduction).double()
    loss.centers.copy_(torch.tensor(maps["centers"]))
    features = torch.tensor(maps["features"], dtype=torch.float64).T[None]
    return loss, features, torch.tensor(maps["labels"])[None]


def center_value(reduction: str) -> Callable[[dict[str, Any]], torch.Tensor]:
    def value(record: dict[str, Any]) -> torch.Tensor:
        loss, features, labels = kept_centers(record, reduction)
        return loss(torch.zeros_like(features), labels, features=features)

    return value


def center_update(record: dict[str, Any]) -> torch.Tensor:
    loss, features, labels = kept_centers(record, "mean")
    assert loss.update_rate == record["params"]["alpha"]
    loss.update(torch.zeros_like(features), labels, features=features)
    return loss.centers


def lovasz_hinge(record: dict[str, Any]) -> torch.Tensor:
    """A record of raw logits."""
    z = torch.tensor(record["logits"], dtype=torch.float64)[None, None]
    return metriseg.LovaszHingeLoss(per_image=True)(z, truth(record))


def soft_truth(record: dict[str, Any]) -> torch.Tensor:
    """(1, 1, H, W) from an HW record."""
    return torch.tensor(record["target"], dtype=torch.float64)[None, None]


def jaccard_metric(form: str) -> Callable[[dict[str, Any]], torch.Tensor]:
    """A record of a soft target."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        loss = metriseg.JaccardMetricLoss(form=form, smooth=0.0, activation="identity")
        return loss(prediction(record), soft_truth(record))

    return value


def dice_semimetric(record: dict[str, Any]) -> torch.Tensor:
    """|x + y| and |x - y| of a soft mask, by hand."""
    x, y = prediction(record), soft_truth(record)
    return F.dice_semimetric((x + y).abs().sum(), (x - y).abs().sum())


def inverse_form_of_map(record: dict[str, Any]) -> torch.Tensor:
    """The distance of the affine map that a network is supposed to have given."""
    return F.inverse_form_distance(torch.tensor(record["maps"]["theta_hat"], dtype=torch.float64))


def mean_coefficient_norm(record: dict[str, Any]) -> torch.Tensor:
    """The mean over tiles of the norm of coefficients that are ideally 0."""
    return F.coefficient_norm(torch.tensor(record["maps"]["coeffs"], dtype=torch.float64)).mean()


def hausdorff_of_fields(
    field: Callable[[torch.Tensor], torch.Tensor], *, of_prediction: bool = True
) -> Callable[[dict[str, Any]], torch.Tensor]:
    """The distance-transform loss with another field than the paper's."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        p, t = prediction(record), truth(record)[None].double()
        d_p = field(p > 0.5) if of_prediction else torch.zeros_like(p)
        return F.hausdorff_distance_transform(p, t, d_p**2, field(t > 0.5) ** 2).mean()

    return value


def active_boundary(record: dict[str, Any]) -> torch.Tensor:
    params = record["params"]
    loss = metriseg.ActiveBoundaryLoss(
        params["max_N_ratio"], params["max_clip_dist"], params["label_smoothing"]
    )
    return loss(torch.tensor(record["logits"], dtype=torch.float64)[None], truth(record))


WEIGHTS = [0.2, 0.3, 0.5]
CONFUSIONS = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]

CASES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "ce_mean": by_class("CrossEntropyLoss"),
    "ce_sum": by_class("CrossEntropyLoss", reduction="sum"),
    "ce_ignore": by_class("CrossEntropyLoss", ignore_index=255),
    "ce_all_ignored": by_class("CrossEntropyLoss", ignore_index=255),
    "ce_kervadec4": class_mean_cross_entropy,
    "wce_sum": by_class("CrossEntropyLoss", class_weight=WEIGHTS, reduction="sum"),
    "wce_mean": by_class("CrossEntropyLoss", class_weight=WEIGHTS),
    "wce_weighted_mean": by_class("CrossEntropyLoss", class_weight=WEIGHTS, normalize="weights"),
    "wce_inverse_frequency": inverse_frequencies,
    "bce_mean": by_class("CrossEntropyLoss"),
    "balanced_ce": by_class("CrossEntropyLoss", balance="image"),
    "balanced_ce_2": by_class("CrossEntropyLoss", balance="image"),
    "topk_50": by_class("TopKLoss", percent=50),
    "topk_10": by_class("TopKLoss", percent=10),
    "topk_threshold": by_class("TopKLoss", threshold=0.6),
    "focal_g2": by_class("FocalLoss", gamma=2.0),
    "focal_g2_sum": by_class("FocalLoss", gamma=2.0, reduction="sum"),
    "focal_g0": by_class("FocalLoss", gamma=0.0),
    "focal_binary_alpha": by_class("FocalLoss", gamma=2.0, alpha=0.25),
    "dice_mc": by_class("DiceLoss", smooth=0.0),
    "dice_mc_classes": one_minus(by_class("DiceLoss", smooth=0.0, reduction="none")),
    "dice_mc_smooth1": by_class("DiceLoss", smooth=1.0),
    "dice_micro": micro_dice,
    "dice_bin": by_class("DiceLoss", smooth=0.0),
    "dice_absent_class_zero_pred": by_class("DiceLoss", smooth=1e-5, reduction="none"),
    "dice_absent_class_predicted": by_class("DiceLoss", smooth=1e-5, reduction="none"),
    "dice_absent_class_present_mode": by_class("DiceLoss", smooth=1e-5, classes="present"),
    "iou_mc": by_class("JaccardLoss", smooth=0.0),
    "iou_bin": by_class("JaccardLoss", smooth=0.0),
    "tversky": by_class("TverskyLoss", fp_weight=0.3, fn_weight=0.7, smooth=0.0),
    "tversky_swapped": by_class("TverskyLoss", fp_weight=0.7, fn_weight=0.3, smooth=0.0),
    "tversky_half": by_class("TverskyLoss", fp_weight=0.5, fn_weight=0.5, smooth=0.0),
    "tversky_one": by_class("TverskyLoss", fp_weight=1.0, fn_weight=1.0, smooth=0.0),
    "tversky_mc": by_class("TverskyLoss", fp_weight=0.3, fn_weight=0.7, smooth=0.0),
    "power_jaccard_1.0": by_class("PowerJaccardLoss", power=1.0, smooth=0.0),
    "power_jaccard_1.5": by_class("PowerJaccardLoss", power=1.5, smooth=0.0),
    "power_jaccard_2.0": by_class("PowerJaccardLoss", power=2.0, smooth=0.0),
    "power_jaccard_author_smooth": by_class("PowerJaccardLoss", power=2.0, smooth=10.0),
    "power_jaccard_pixelwise": oracle_pixelwise_power_jaccard,
    "power_jaccard_p3_single": oracle_power_jaccard,
    "power_jaccard_empty": by_class("PowerJaccardLoss", power=1.5, smooth=1e-6),
    "mime_sum": by_class("MimeLoss", a=1.9, b=0.1, reduction="sum"),
    "mime_mean": by_class("MimeLoss", a=1.9, b=0.1),
    "mime_perfect_sum": by_class("MimeLoss", a=1.9, b=0.1, reduction="sum"),
    "neg_mime_sum": by_class("NegativeMimeLoss", reduction="sum"),
    "neg_mime_mean": by_class("NegativeMimeLoss"),
    "dice_ce": by_class("DiceCELoss", smooth=0.0),
    "combo": by_class("ComboLoss"),
    "combo_beta07": by_class("ComboLoss", beta=0.7),
    "combo_paper_minus_dice": combo_as_printed,
    "exp_log": by_class("ExponentialLogarithmicLoss"),
    "exp_log_gamma1": by_class("ExponentialLogarithmicLoss", gamma_dice=1.0, gamma_ce=1.0),
    "unified_focal_sym": unified_focal,
    "unified_focal_sym_g075": unified_focal,
    "unified_focal_asym": unified_focal,
    "unified_focal_asym_g075": unified_focal,
    "dice_gradient": gradient_by_class("DiceLoss", smooth=0.0),
    "dice_gradient_perfect": gradient_by_class("DiceLoss", smooth=0.0),
    "dice_vnet": by_class("PowerDiceLoss", power=2.0, smooth=0.0),
    "power_dice_2": by_class("PowerDiceLoss", power=2.0, smooth=0.0),
    "logcosh_dice": by_class("LogCoshDiceLoss", smooth=0.0),
    "logcosh_dice_worst": by_class("LogCoshDiceLoss", smooth=0.0),
    "focal_tversky": by_class("FocalTverskyLoss", smooth=0.0),
    "focal_tversky_mc_sum": by_class("FocalTverskyLoss", smooth=0.0, reduction="sum"),
    "focal_tversky_mc_mean": by_class("FocalTverskyLoss", smooth=0.0),
    "ssl_bin": by_class("SensitivitySpecificityLoss", sensitivity_weight=0.05),
    "ssl_mc": sensitivity_specificity_of_classes,
    "ssl_survey_literal": printed_sensitivity_specificity,
    "gdl": by_class("GeneralizedDiceLoss", smooth=0.0),
    "gdl_simple": by_class("GeneralizedDiceLoss", weighting="simple", smooth=0.0),
    "pgd": by_class("PenaltyGeneralizedDiceLoss", penalty=2.5, smooth=0.0),
    "gwdl": wasserstein,
    "gwdl_general_M": wasserstein,
    "gwdl_survey_literal": printed_wasserstein,
    "metric_iou": one_minus(by_class("JaccardLoss", smooth=0.0)),
    "metric_dice_coefficient": one_minus(by_class("DiceLoss", smooth=0.0)),
    "metric_jaccard_distance": by_class("JaccardLoss", smooth=0.0),
    "metric_tversky_index": tversky_functional,
    "dmce_normalised": distance_map_cross_entropy("normalized"),
    "dmce_raw": distance_map_cross_entropy("raw"),
    "boundary_map": signed_distances,
    "boundary_loss_mean": boundary_loss("mean"),
    "boundary_loss_sum": boundary_loss("sum"),
    "boundary_loss_TB": by_class("BoundaryLoss"),
    "boundary_loss_perfect_negative": boundary_loss("sum"),
    "boundary_loss_empty": boundary_loss("mean"),
    "bal_map": truncated_distances,
    "bal_bce": boundary_aware,
    "bdou_code": unclamped_difference_over_union,
    "bdou_clamped": by_class("BoundaryDoULoss"),
    "bdou_fixed_alpha": by_class("BoundaryDoULoss", alpha=0.5, smooth=0.0),
    "bdou_absent_class_code": unclamped_difference_over_union,
    "rrw_map": rectified_maps,
    "rw_rrw": region_wise("rectified"),
    "rw_rrw_sum": region_wise_sum,
    "rw_boundary": region_wise("boundary"),
    "active_contour": by_class("ActiveContourLoss"),
    "active_contour_perfect": by_class("ActiveContourLoss"),
    "rmi_r1": window_information,
    "rmi_r1_perfect": window_information,
    "rmi_r1_uninformative": window_information,
    "rmi_r2": window_information,
    "tloss_identity": student_t,
    "tloss_author_code": student_t,
    "tloss_perfect": student_t,
    "cbl_a2c": conditional_boundary(center_weight=1.0),
    "cbl_a2pn": conditional_boundary(pair_weight=1.0),
    "triplet": triplet_functional,
    "triplet_torch_style": triplet_functional,
    "center_mean": center_value("mean"),
    "center_sum": center_value("sum"),
    "center_update": center_update,
    "lovasz_softmax": by_class("LovaszSoftmaxLoss"),
    "lovasz_softmax_present": by_class("LovaszSoftmaxLoss", classes="present"),
    "lovasz_softmax_all": by_class("LovaszSoftmaxLoss", classes="all"),
    "lovasz_binary": by_class("LovaszSoftmaxLoss"),
    "lovasz_hinge": lovasz_hinge,
    "jml1_hard": jaccard_metric("norms"),
    "jml1_soft": jaccard_metric("norms"),
    "jml2_soft": jaccard_metric("product"),
    "jml_soft_perfect": jaccard_metric("norms"),
    "dml1_soft": dice_semimetric,
    "inverseform_euclid": inverse_form_of_map,
    "inverseform_code": mean_coefficient_norm,
    "hd_dt": by_class("HausdorffDistanceTransformLoss", alpha=2.0),
    "hd_dt_one_sided": hausdorff_of_fields(distances.distance_field, of_prediction=False),
    "hd_dt_foreground_only": hausdorff_of_fields(distances.distance_transform),
    "hd_er": by_class("HausdorffErosionLoss", erosions=2, threshold="linear"),
    "hd_er_minmax": by_class("HausdorffErosionLoss", erosions=2),
    "hd_er_thin_error": by_class("HausdorffErosionLoss"),
    "hd_cv": by_class("HausdorffConvolutionLoss", radii=[1]),
    "abl": active_boundary,
    "abl_smooth": active_boundary,
}
for _extreme in ("perfect", "worst"):
    CASES |= {
        f"{_extreme}:dice_loss(smooth=0,macro)": by_class("DiceLoss", smooth=0.0),
        f"{_extreme}:iou_loss(smooth=0,macro)": by_class("JaccardLoss", smooth=0.0),
        f"{_extreme}:tversky_loss(.3,.7)": by_class("TverskyLoss", smooth=0.0),
        f"{_extreme}:power_jaccard_loss(p=1.5,macro)": by_class("PowerJaccardLoss", smooth=0.0),
        f"{_extreme}:dice_loss(smooth=0,squared)": by_class("PowerDiceLoss", power=2, smooth=0.0),
        f"{_extreme}:log_cosh_dice_loss": by_class("LogCoshDiceLoss", smooth=0.0),
        f"{_extreme}:focal_tversky_loss(gamma=4/3,mean)": by_class("FocalTverskyLoss", smooth=0.0),
        f"{_extreme}:generalised_dice_loss(square)": by_class("GeneralizedDiceLoss", smooth=0.0),
        f"{_extreme}:penalty_generalised_dice_loss(k=2.5)": by_class(
            "PenaltyGeneralizedDiceLoss", smooth=0.0
        ),
        f"{_extreme}:generalised_wasserstein_dice_loss": by_class(
            "GeneralizedWassersteinDiceLoss", distances=CONFUSIONS, smooth=0.0
        ),
        f"{_extreme}:sensitivity_specificity_loss(r=.05,mean)": by_class(
            "SensitivitySpecificityLoss"
        ),
        f"{_extreme}:mime_loss(sum)": by_class("MimeLoss", reduction="sum"),
        f"{_extreme}:negative_mime_loss(sum)": by_class("NegativeMimeLoss", reduction="sum"),
        f"{_extreme}:exponential_logarithmic_loss dice part(gamma=.3,smooth=1)": (
            exponential_logarithmic_dice
        ),
        f"{_extreme}:region_wise_loss(rectified,mean)": by_class("RegionWiseLoss"),
        f"{_extreme}:region_wise_loss(boundary,mean)": by_class("RegionWiseLoss", map="boundary"),
        f"{_extreme}:lovasz_softmax": by_class("LovaszSoftmaxLoss"),
    }


def compared(distance: Callable[..., float], **arguments: Any) -> Callable[[dict[str, Any]], float]:
    """A distance between the record's partitions, by the oracle alone."""

    def value(record: dict[str, Any]) -> float:
        x, y = np.ravel(record["target"]).tolist(), np.ravel(record["maps"]["prediction"]).tolist()
        return distance(x, y, **arguments)

    return value


def by_measure(name: str) -> Callable[[dict[str, Any]], float]:
    """A measure of the library, of the table of the record's partitions."""

    def value(record: dict[str, Any]) -> float:
        return MEASURES[name](contingency_table(record["target"], record["maps"]["prediction"]))

    return value


def every_pair(
    distance: Callable[[list[int], list[int], str, dict[str, Any]], float],
) -> Callable[[dict[str, Any]], dict[str, float]]:
    """The three distances of a triple of partitions."""

    def value(record: dict[str, Any]) -> dict[str, float]:
        three = record["target"]
        return {
            pair: distance(three[pair[0]], three[pair[1]], pair, record["params"])
            for pair in ("XY", "XZ", "ZY")
        }

    return value


def with_density(record: dict[str, Any]) -> float:
    density = np.ravel(record["maps"]["density"]).tolist()
    return compared(partitions.partition_distance, density=density)(record)


def by_measure_with_density(record: dict[str, Any]) -> float:
    maps = record["maps"]
    table = contingency_table(record["target"], maps["prediction"], weight=maps["density"])
    return MEASURES["partition_distance"](table)


def larsen_similarity(record: dict[str, Any]) -> float:
    """Of x to y: the best F-measures of the library's table, 2 C / (a + b), averaged over x."""
    table = contingency_table(record["target"], record["maps"]["prediction"])
    best = 2 * table.to_dense() / np.add.outer(table.x_sizes, table.y_sizes)
    return float(best.max(1).mean())


def larsen_by_measure(x: list[int], y: list[int], pair: str, params: dict[str, Any]) -> float:
    return MEASURES["larsen_aone_dissimilarity"](contingency_table(x, y))


def with_table(record: dict[str, Any]) -> float:
    x, y = np.ravel(record["target"]).tolist(), np.ravel(record["maps"]["prediction"]).tolist()
    phi = partitions.by_position(x, y, record["params"]["phi"])
    return partitions.partition_distance(x, y, phi=phi)


def weighted_by_table(record: dict[str, Any]) -> float:
    table = contingency_table(record["target"], record["maps"]["prediction"])
    phi = np.array(record["params"]["phi"])[table.x_index, table.y_index]
    return weighted_partition_distance(table, ArbitraryWeight(lambda pairs: phi))


def weighted_by_union(record: dict[str, Any]) -> float:
    table = contingency_table(record["target"], record["maps"]["prediction"])
    return weighted_partition_distance(table, UnionWeight())


def weighted_by_brightness(x: list[int], y: list[int], pair: str, params: dict[str, Any]) -> float:
    table = contingency_table(x, y, features=[params["grey"]])
    weight = ArbitraryWeight(lambda pairs: 1 + abs(pairs.x_features - pairs.y_features)[:, 0])
    return weighted_partition_distance(table, weight)


def printed_equation_6(record: dict[str, Any]) -> float:
    """sum_k a_k^2 + sum_l b_l^2 - 2 sum phi C^2: another number than (4) with the same phi."""
    x, y = np.ravel(record["target"]).tolist(), np.ravel(record["maps"]["prediction"]).tolist()
    phi, rows, columns = record["params"]["phi"], partitions.blocks(x), partitions.blocks(y)
    joint = sum(
        phi[k][m] * len(a & b) ** 2 for k, a in enumerate(rows) for m, b in enumerate(columns)
    )
    return sum(len(a) ** 2 for a in rows) + sum(len(b) ** 2 for b in columns) - 2 * joint


def printed_van_dongen(record: dict[str, Any]) -> float:
    """With the printed plus before the last sum: 2N wherever the two sums agree."""
    x, y = np.ravel(record["target"]).tolist(), np.ravel(record["maps"]["prediction"]).tolist()
    rows, columns = partitions.blocks(x), partitions.blocks(y)
    first = sum(max(len(a & b) for b in columns) for a in rows)
    return 2 * len(x) - first + sum(max(len(a & b) for a in rows) for b in columns)


def printed_information(record: dict[str, Any]) -> float:
    """With p(x) p(y) in place of p(x, y) before the logarithm."""
    x, y = np.ravel(record["target"]).tolist(), np.ravel(record["maps"]["prediction"]).tolist()
    n, information = len(x), 0.0
    for a in partitions.blocks(x):
        for b in partitions.blocks(y):
            apart = len(a) / n * len(b) / n
            if a & b:
                information += apart * math.log(len(a & b) / n / apart)
    return partitions.entropy(x) + partitions.entropy(y) - 2 * information


def signatures(record: dict[str, Any]) -> tuple[Any, Any, list[list[float]]]:
    """Weights of both, and the distances on the line between their members."""
    if "A" in record["maps"]:
        p, at_p = zip(*record["maps"]["A"], strict=True)
        q, at_q = zip(*record["maps"]["B"], strict=True)
    else:
        p, q = record["params"]["weights_p"], record["params"]["weights_q"]
        at_p, at_q = record["maps"]["positions_p"], record["maps"]["positions_q"]
    return p, q, [[abs(a - b) for b in at_q] for a in at_p]


def moved_earth(record: dict[str, Any]) -> Any:
    return agreeing(
        lambda record: partitions.earth_movers(*signatures(record)),
        lambda record: signature_distance(*signatures(record)),
    )(record)


def by_brightness(x: list[int], y: list[int], pair: str, params: dict[str, Any]) -> float:
    def mean(block: frozenset[int]) -> float:
        return sum(params["grey"][u] for u in block) / len(block)

    return partitions.partition_distance(x, y, phi=lambda a, b: 1 + abs(mean(a) - mean(b)))


def by_row_and_column_sums(record: dict[str, Any]) -> dict[str, Any]:
    """The weights' products with the table have the block sizes as row and column sums (H_U)."""

    def distance(x: list[int], y: list[int], pair: str, params: dict[str, Any]) -> float:
        if pair != "XY":
            return partitions.partition_distance(x, y)
        return partitions.partition_distance(
            x, y, phi=partitions.by_position(x, y, params["alpha_XY"])
        )

    x, y = (partitions.blocks(record["target"][name]) for name in "XY")
    alpha = record["params"]["alpha_XY"]
    held = np.array([[alpha[k][m] * len(a & b) for m, b in enumerate(y)] for k, a in enumerate(x)])
    sums = {"row_sums": held.sum(1).tolist(), "col_sums": held.sum(0).tolist()}
    by_oracle = every_pair(distance)(record)
    params = record["params"]
    assert_close(
        conditions(record, [alpha, params["alpha_XZ"], params["alpha_ZY"]]),
        by_oracle,
    )
    return {**by_oracle, **sums}


def by_one_weight(x: list[int], y: list[int], pair: str, params: dict[str, Any]) -> float:
    weight = {"XY": params.get("lambda_XY"), "XZ": params.get("mu_XZ")}.get(
        pair, params.get("theta_ZY")
    )
    return partitions.partition_distance(x, y, phi=lambda a, b: weight)


def conditions(record: dict[str, Any], phi: Any) -> dict[str, float]:
    """The three distances that the conditions on weights are evaluated with."""
    x, y, z = (record["target"][name] for name in "XYZ")
    found = satisfies_weight_conditions(x, y, z, phi).distances
    return dict(zip(("XY", "XZ", "ZY"), found, strict=True))


def assignments(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(N, m) of the prediction and (N, n), one-hot, of the target."""
    p = np.array(record["probabilities"])
    return p.reshape(len(p), -1).T, np.eye(len(p))[np.ravel(record["target"])]


def soft_partition(form: str) -> Callable[[dict[str, Any]], float]:
    """N² times the functional, after seeing that the oracle agrees."""
    written = {"frobenius": partitions.frobenius, "paper": partitions.soft_partition}[form]

    def value(record: dict[str, Any]) -> float:
        p, q = assignments(record)
        truth = torch.tensor(record["target"]).reshape(1, -1)
        found = F.soft_partition_distance(torch.from_numpy(p)[None], truth, form=form)
        scaled = len(p) ** 2 * found.item()
        assert scaled == pytest.approx(written(p, q))
        return scaled

    return value


def unmasked_soft_partition_gradient(record: dict[str, Any]) -> np.ndarray:
    """By the oracle, after seeing that the functional sets it to 0: nothing is wrong there."""
    p, q = assignments(record)
    shares = torch.from_numpy(p)[None].requires_grad_()
    truth = torch.tensor(record["target"]).reshape(1, -1)
    F.soft_partition_distance(shares, truth, form="paper").sum().backward()
    assert not shares.grad.any()
    return partitions.soft_partition_gradient(p, q)


def measured(metric: Callable[..., float], **arguments: Any) -> Callable[[dict[str, Any]], float]:
    """A metric of hard masks, by the oracle alone."""

    def value(record: dict[str, Any]) -> float:
        given = record.get("maps", {}).get("prediction", record["probabilities"])
        return metric(np.array(given), np.array(record["target"]), **arguments)

    return value


CASES |= {
    "mirkin": agreeing(compared(partitions.mirkin), by_measure("mirkin_distance")),
    "partition_3": agreeing(
        compared(partitions.partition_distance), by_measure("partition_distance")
    ),
    "partition_3_measure": agreeing(with_density, by_measure_with_density),
    "partition_4": agreeing(with_table, weighted_by_table),
    "partition_6_same_phi": printed_equation_6,
    "partition_jaccard": agreeing(
        compared(partitions.partition_distance, phi=lambda a, b: 1 / len(a | b)), weighted_by_union
    ),
    "van_dongen": agreeing(compared(partitions.van_dongen), by_measure("van_dongen_distance")),
    "van_dongen_ref": agreeing(compared(partitions.van_dongen), by_measure("van_dongen_distance")),
    "van_dongen_printed": printed_van_dongen,
    "larsen": agreeing(compared(partitions.larsen), by_measure("larsen_aone_dissimilarity")),
    "larsen_ref": agreeing(compared(partitions.larsen_similarity), larsen_similarity),
    "larsen_counterexample": agreeing(
        every_pair(lambda x, y, pair, params: partitions.larsen(x, y)),
        every_pair(larsen_by_measure),
    ),
    "vi": agreeing(
        compared(partitions.variation_of_information), by_measure("variation_of_information")
    ),
    "vi_printed": printed_information,
    "emd_balanced": moved_earth,
    "emd_partial": moved_earth,
    "microm": moved_earth,
    "rand_relation": agreeing(compared(partitions.rand_index), by_measure("rand_index")),
    "triangle_counterexample_brightness": agreeing(
        every_pair(by_brightness), every_pair(weighted_by_brightness)
    ),
    "triangle_counterexample_HU": by_row_and_column_sums,
    "triangle_counterexample_conditions": agreeing(
        every_pair(by_one_weight),
        lambda record: conditions(
            record, [record["params"][name] for name in ("lambda_XY", "mu_XZ", "theta_ZY")]
        ),
    ),
    "soft_partition_4": soft_partition("paper"),
    "soft_partition_4_grad_perfect": unmasked_soft_partition_gradient,
    "soft_partition_frobenius": soft_partition("frobenius"),
    "metric_sensitivity": measured(metrics.sensitivity),
    "metric_specificity": measured(metrics.specificity),
    "metric_precision": measured(metrics.precision),
    "metric_accuracy": measured(metrics.accuracy),
    "metric_miou": measured(metrics.mean_iou, present=False),
    "metric_miou_present": measured(metrics.mean_iou, present=True),
    "metric_clece": measured(metrics.classwise_calibration_error, bins=5),
    "metric_boundary_iou": measured(metrics.boundary_iou),
    "hausdorff_metric": lambda record: max(
        measured(metrics.directed_hausdorff)(record),
        measured(lambda p, t: metrics.directed_hausdorff(t, p))(record),
    ),
    "hausdorff_directed": measured(lambda p, t: metrics.directed_hausdorff(t, p)),
}


def as_array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    return np.asarray(value, float)


def assert_close(found: Any, expected: Any) -> None:
    """Numbers, arrays of them, or mappings of such."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
        return
    np.testing.assert_allclose(as_array(found), as_array(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("record_id", sorted(CASES))
def test_value(record_id: str) -> None:
    """The record's note derives the value by hand."""
    record = RECORDS[record_id]
    assert_close(CASES[record_id](record), record["expected"])


def test_every_record_is_accounted_for() -> None:
    assert set(CASES) == set(RECORDS)
    assert len(RECORDS) == 201


def test_all_ignored_has_zero_gradient() -> None:
    """The convention of ``ce_all_ignored``: 0 with a zero gradient, where torch gives NaN."""
    record = RECORDS["ce_all_ignored"]
    p = prediction(record).requires_grad_()
    loss = metriseg.CrossEntropyLoss(activation="identity", ignore_index=255)
    loss(p, truth(record)).backward()
    assert torch.equal(p.grad, torch.zeros_like(p))


def test_powers_above_two_are_refused() -> None:
    """``power_jaccard_p3_single`` is negative: its minimum lies inside (0, 1)."""
    assert RECORDS["power_jaccard_p3_single"]["expected"] < 0
    with pytest.raises(ValueError, match=r"power must be a finite number in \[1, 2\], got 3"):
        metriseg.PowerJaccardLoss(power=3.0)


def test_the_printed_sensitivity_specificity_loss_is_not_ours() -> None:
    """It is 1 at a perfect prediction and *less* where everything is called background.

    There the error inside is 1 and outside 0: 1 - 0.05. Ours is 0 and 0.05.
    """
    record = RECORDS["ssl_survey_literal"]
    loss = by_class("SensitivitySpecificityLoss", sensitivity_weight=0.05)
    assert abs(loss(record).item() - record["expected"]) > 0.9
    target = np.array(record["target"], float)
    for p, printed, ours in ((target, 1.0, 0.0), (0 * target, 0.95, 0.05)):
        variant = {**record, "probabilities": p.tolist()}
        assert printed_sensitivity_specificity(variant) == pytest.approx(printed)
        assert loss(variant).item() == pytest.approx(ours)


def test_the_printed_wasserstein_loss_is_not_ours() -> None:
    """The survey's sum over a zero diagonal is 0 whatever is predicted, ours is not."""
    record = RECORDS["gwdl_survey_literal"]
    assert printed_wasserstein(record) == record["expected"] == 0
    loss = by_class("GeneralizedWassersteinDiceLoss", distances=record["params"]["M"], smooth=0.0)
    assert loss(record).item() == pytest.approx(RECORDS["gwdl"]["expected"])


@pytest.mark.parametrize(
    ("record_id", "right"),
    [
        ("van_dongen_printed", by_measure("van_dongen_distance")),
        ("vi_printed", by_measure("variation_of_information")),
        ("partition_6_same_phi", with_table),
        ("ssl_survey_literal", by_class("SensitivitySpecificityLoss")),
        ("power_jaccard_pixelwise", by_class("PowerJaccardLoss", power=1.5, smooth=1e-7)),
    ],
)
def test_what_is_printed_wrongly_is_another_number(
    record_id: str, right: Callable[[dict[str, Any]], Any]
) -> None:
    """The record holds the value of a formula as a paper prints it; the right one differs."""
    record = RECORDS[record_id]
    assert abs(float(right(record)) - record["expected"]) > 1e-3
