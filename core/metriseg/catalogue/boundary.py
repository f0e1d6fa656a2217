"""Losses that look at where boundaries are."""

from __future__ import annotations

import functools

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

_active_boundary = functools.partial(losses.ActiveBoundaryLoss, boundary_share=0.3)

ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.BoundaryLoss,
        "boundary",
        "mean_c signed distance_c p_c",
        "Kervadec et al. 2021",
        "arXiv:1812.07032",
        perfect=None,
        spatial=True,
    ),
    entry(
        losses.RegionWiseLoss,
        "boundary",
        "mean_c z_c p_c with z = -d / max d inside, 1 outside",
        "Valverde & Tohka 2023",
        "arXiv:2108.01405",
        perfect=None,
        spatial=True,
    ),
    entry(
        losses.BoundaryDoULoss,
        "boundary",
        "(sum p^2 + sum t^2 - 2 I) / (sum p^2 + sum t^2 - (1 + alpha) I)",
        "Sun et al. 2023",
        "arXiv:2308.00220",
        perfect=None,
        spatial=True,
    ),
    entry(
        losses.BoundaryAwareLoss,
        "boundary",
        "mean_k binary cross-entropy of [truncated distance = k]",
        "Hayder et al. 2017",
        "arXiv:1612.03129",
        # perfect and true are the bins of distances, not the labels
        perfect=None,
        monotone=False,
        spatial=True,
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.ActiveContourLoss,
        "boundary",
        "|gradient p| + region_weight (fp_weight p (1 - t) + (1 - p) t)",
        "Chen et al. 2019",
        "doi:10.1109/CVPR.2019.01190",
        perfect=None,
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.ConditionalBoundaryLoss,
        "boundary",
        "|x - mean x'|^2 / D, (cos(x, x') - [y = y'])^2 and CE(mean z') over right neighbours x'",
        "Wu et al. 2023",
        "doi:10.1109/TIP.2023.3290519",
        perfect=None,
        monotone=False,
        stop_gradient=True,
        spatial=True,
        features=True,
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.InverseFormLoss,
        "boundary",
        "|| theta(edges of p, edges of t) - I ||",
        "Borse et al. 2021",
        "arXiv:2104.02745",
        monotone=False,
        spatial=True,
        spatial_dimensions=(2,),
    ),
    entry(
        losses.HausdorffDistanceTransformLoss,
        "boundary",
        "mean_c (p - t)^2 (d_p^alpha + d_t^alpha)",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.LogHausdorffDistanceTransformLoss,
        "boundary",
        "ln(1 + mean_c (p - t)^2 (d_p^alpha + d_t^alpha))",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.HausdorffErosionLoss,
        "boundary",
        "mean_c sum_k k^alpha erosion_k[(p - t)^2]",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.HausdorffConvolutionLoss,
        "boundary",
        "mean_c sum_r r^alpha (p - t)^2 [(f(B_r t^c) + f(B_r p)) p + (f(B_r t) + f(B_r p^c)) t]",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.ActiveBoundaryLoss,
        "boundary",
        "min(M, theta) / theta CE(KL(P_neighbour, P_i), direction to the boundary)",
        "Wang et al. 2022",
        "arXiv:2102.02696",
        build=_active_boundary,
        perfect=None,
        monotone=False,
        stop_gradient=True,
        spatial=True,
        soft_targets=False,
        min_classes=2,
        spatial_dimensions=(2,),
    ),
)
