"""Sums of losses."""

from __future__ import annotations

from typing import Any

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry
from metriseg.losses import SegmentationLoss

__all__ = ["ENTRIES"]


def _dice_and_cross_entropy(**common: Any) -> SegmentationLoss:
    terms = [losses.DiceLoss(**common), losses.CrossEntropyLoss(**common)]
    return losses.CompoundLoss(terms, weights=[1.0, 0.5])


ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.CompoundLoss,
        "compound",
        "sum_k w_k loss_k",
        "Azad et al. 2023",
        "arXiv:2312.05391",
        build=_dice_and_cross_entropy,
    ),
    entry(
        losses.DiceCELoss,
        "compound",
        "lambda_dice Dice loss + lambda_ce cross-entropy",
        "Isensee et al. 2021",
        "doi:10.1038/s41592-020-01008-z",
    ),
    entry(
        losses.DiceFocalLoss,
        "compound",
        "lambda_dice Dice loss + lambda_focal focal loss",
        "Zhu et al. 2019",
        "arXiv:1808.05238",
    ),
    entry(
        losses.GeneralizedDiceFocalLoss,
        "compound",
        "lambda_gdl generalized Dice loss + lambda_focal focal loss",
        "Sudre et al. 2017",
        "arXiv:1707.03237",
    ),
    entry(
        losses.ComboLoss,
        "compound",
        "alpha weighted cross-entropy + (1 - alpha) Dice loss",
        "Taghanaki et al. 2019",
        "arXiv:1805.02798",
    ),
    entry(
        losses.ExponentialLogarithmicLoss,
        "compound",
        "lambda_dice (-ln Dice)^gamma + lambda_ce sqrt(sum f / f_t) (-ln p_t)^gamma",
        "Wong et al. 2018",
        "arXiv:1809.00076",
    ),
    entry(
        losses.UnifiedFocalLoss,
        "compound",
        "lambda d_t (1 - p_t)^g (-ln p_t) + (1 - lambda) (1 - Tversky index)^(1 - gamma)",
        "Yeung et al. 2022",
        "arXiv:2102.04525",
    ),
    entry(
        losses.TopologyAwareFocalLoss,
        "compound",
        "focal loss + topology_weight Wasserstein distance of persistence diagrams",
        "Demir et al. 2023",
        "arXiv:2304.12223",
        monotone=False,
        spatial=True,
        soft_targets=False,
        graph_break="persistence diagrams are found on the host",
    ),
)
