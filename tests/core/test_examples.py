"""The hand-checked values of ``tests/reference/examples.json``.

``CASES`` says for each record which class, functional or oracle it concerns; ``NOT_YET`` names the
losses and distances that the library doesn't have so far. A record must stand in one of the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import distances
from metriseg import functional as F
from reference import oracle

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


def hausdorff_of_fields(
    field: Callable[[torch.Tensor], torch.Tensor], *, of_prediction: bool = True
) -> Callable[[dict[str, Any]], torch.Tensor]:
    """The distance-transform loss with another field than the paper's."""

    def value(record: dict[str, Any]) -> torch.Tensor:
        p, t = prediction(record), truth(record)[None].double()
        d_p = field(p > 0.5) if of_prediction else torch.zeros_like(p)
        return F.hausdorff_distance_transform(p, t, d_p, field(t > 0.5), alpha=2.0).mean()

    return value


def active_boundary(record: dict[str, Any]) -> torch.Tensor:
    params = record["params"]
    loss = metriseg.ActiveBoundaryLoss(
        params["max_N_ratio"], params["max_clip_dist"], params["label_smoothing"]
    )
    return loss(torch.tensor(record["logits"], dtype=torch.float64)[None], truth(record))


WEIGHTS = [0.2, 0.3, 0.5]

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
    "dice_gradient": gradient_by_class("DiceLoss", smooth=0.0),
    "dice_gradient_perfect": gradient_by_class("DiceLoss", smooth=0.0),
    "hd_dt": by_class("HausdorffDistanceTransformLoss", alpha=2.0),
    "hd_dt_one_sided": hausdorff_of_fields(distances.distance_field, of_prediction=False),
    "hd_dt_foreground_only": hausdorff_of_fields(distances.distance_transform),
    "hd_er": by_class("HausdorffErosionLoss", erosions=2, threshold="linear"),
    "hd_er_minmax": by_class("HausdorffErosionLoss", erosions=2),
    "hd_er_thin_error": by_class("HausdorffErosionLoss"),
    "hd_cv": by_class("HausdorffConvolutionLoss", radii=[1]),
    "abl": active_boundary,
    "abl_smooth": active_boundary,
    "metric_iou": one_minus(by_class("JaccardLoss", smooth=0.0)),
    "metric_dice_coefficient": one_minus(by_class("DiceLoss", smooth=0.0)),
    "metric_jaccard_distance": by_class("JaccardLoss", smooth=0.0),
    "metric_tversky_index": tversky_functional,
}
for _extreme in ("perfect", "worst"):
    CASES |= {
        f"{_extreme}:dice_loss(smooth=0,macro)": by_class("DiceLoss", smooth=0.0),
        f"{_extreme}:iou_loss(smooth=0,macro)": by_class("JaccardLoss", smooth=0.0),
        f"{_extreme}:tversky_loss(.3,.7)": by_class("TverskyLoss", smooth=0.0),
        f"{_extreme}:power_jaccard_loss(p=1.5,macro)": by_class("PowerJaccardLoss", smooth=0.0),
        f"{_extreme}:mime_loss(sum)": by_class("MimeLoss", reduction="sum"),
        f"{_extreme}:negative_mime_loss(sum)": by_class("NegativeMimeLoss", reduction="sum"),
    }

#: Losses, metrics and distances of the records that the library doesn't have yet, and the one
#: record of Dice that concerns a loss of its own (V-Net's squares are the power Dice of power 2).
NOT_YET = frozenset(
    {
        "(do not implement) paper eq.1",
        "(do not implement) printed mutual information",
        "(do not implement) survey eq.18-20",
        "(do not implement) survey eq.9",
        "(do not use) eq.6 with the same phi",
        "accuracy",
        "active_boundary_loss",
        "active_contour_loss",
        "balanced_cross_entropy",
        "bootstrapped_cross_entropy",
        "boundary_aware_loss",
        "boundary_dou_loss",
        "boundary_iou",
        "boundary_loss",
        "cbl_a2c_loss",
        "cbl_a2pn_loss",
        "center_loss",
        "center_loss_update",
        "classwise_ece",
        "combo_loss",
        "dice_ce_loss",
        "dice_loss(smooth=0,squared)",
        "dice_semimetric_loss",
        "distance_map_cross_entropy",
        "earth_movers_distance",
        "exponential_logarithmic_loss",
        "exponential_logarithmic_loss dice part(gamma=.3,smooth=1)",
        "focal_tversky_loss",
        "focal_tversky_loss(gamma=4/3,mean)",
        "generalised_dice_loss",
        "generalised_dice_loss(square)",
        "generalised_wasserstein_dice_loss",
        "hausdorff_cv_loss",
        "hausdorff_distance",
        "hausdorff_dt_loss",
        "hausdorff_er_loss",
        "inverseform_distance",
        "jaccard_metric_loss",
        "dice_vnet",
        "larsen_distance",
        "larsen_similarity",
        "log_cosh_dice_loss",
        "lovasz_hinge",
        "lovasz_softmax",
        "lovasz_softmax_binary",
        "mean_iou",
        "microm_distance",
        "mirkin_metric",
        "partition_metric",
        "penalty_generalised_dice_loss",
        "penalty_generalised_dice_loss(k=2.5)",
        "power_dice_loss",
        "precision",
        "rand_index",
        "rectified_region_wise_map",
        "region_wise_loss",
        "region_wise_loss(boundary,mean)",
        "region_wise_loss(rectified,mean)",
        "rmi_lower_bound_loss",
        "sensitivity",
        "sensitivity_specificity_loss",
        "sensitivity_specificity_loss(r=.05,mean)",
        "signed_distance_map",
        "soft_partition_loss",
        "soft_partition_loss_gradient",
        "specificity",
        "t_loss",
        "topk_cross_entropy",
        "triplet_loss",
        "truncated_distance_map",
        "unified_focal_loss",
        "van_dongen_metric",
        "variation_of_information",
        "weighted_partition_metric",
    }
)


def as_array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    return np.asarray(value, float)


@pytest.mark.parametrize("record_id", sorted(CASES))
def test_value(record_id: str) -> None:
    """The record's note derives the value by hand."""
    record = RECORDS[record_id]
    np.testing.assert_allclose(
        as_array(CASES[record_id](record)), as_array(record["expected"]), rtol=1e-9, atol=1e-9
    )


def test_every_record_is_accounted_for() -> None:
    """A record is either tested or of a loss that is named as missing, never both."""
    absent = {i for i, r in RECORDS.items() if {i, r["name"]} & NOT_YET} - set(CASES)
    assert set(RECORDS) == absent | set(CASES)


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
