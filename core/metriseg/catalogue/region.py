"""Losses of regions: functions of what a class has in the whole image."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.DiceLoss,
        "region",
        "1 - 2 I / (S + Y)",
        "Azad et al. 2023",
        "arXiv:2312.05391",
    ),
    entry(
        losses.JaccardLoss,
        "region",
        "1 - I / (S + Y - I)",
        "Rahman & Wang 2016",
        "doi:10.1007/978-3-319-50835-1_22",
    ),
    entry(
        losses.PowerJaccardLoss,
        "region",
        "1 - I / (sum t^q + sum p^q - I)",
        "Duque-Arias et al. 2021",
        "hal-03139997",
    ),
    entry(
        losses.TverskyLoss,
        "region",
        "1 - TP / (TP + fp_weight FP + fn_weight FN)",
        "Salehi et al. 2017",
        "arXiv:1706.05721",
    ),
    entry(
        losses.LogCoshDiceLoss,
        "region",
        "ln cosh(1 - 2 I / (S + Y))",
        "Jadon 2020",
        "arXiv:2006.14822",
    ),
    entry(
        losses.PowerDiceLoss,
        "region",
        "1 - 2 I / (sum t^q + sum p^q)",
        "Duque-Arias et al. 2021",
        "hal-03139997",
    ),
    entry(
        losses.FocalTverskyLoss,
        "region",
        "(1 - TP / (TP + fp_weight FP + fn_weight FN))^(1 / gamma)",
        "Abraham & Khan 2018",
        "arXiv:1810.07842",
    ),
    entry(
        losses.SensitivitySpecificityLoss,
        "region",
        "r sum t (1 - p)^2 / sum t + (1 - r) sum (1 - t) p^2 / sum (1 - t)",
        "Brosch et al. 2015",
        "doi:10.1007/978-3-319-24574-4_1",
    ),
    entry(
        losses.GeneralizedDiceLoss,
        "region",
        "1 - 2 sum_c w_c I_c / sum_c w_c (S_c + Y_c), w = 1 / Y^2",
        "Sudre et al. 2017",
        "arXiv:1707.03237",
    ),
    entry(
        losses.PenaltyGeneralizedDiceLoss,
        "region",
        "1 - GD / (1 + k (1 - GD))",
        "Yang et al. 2019",
        "Major vessel segmentation on X-ray coronary angiography using deep networks with a novel"
        " penalty loss function",
    ),
    entry(
        losses.GeneralizedWassersteinDiceLoss,
        "region",
        "1 - 2 TP / (2 TP + sum W), W = sum_l M[t, l] p_l, TP = sum M[t, b] (M[t, b] - W)",
        "Fidon et al. 2017",
        "arXiv:1707.00478",
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.RegionMutualInformationLoss,
        "region",
        "bce_weight BCE + (1 - bce_weight) ln det(Syy - Syp Spp^-1 Spy) / (2 d) over windows",
        "Zhao et al. 2019",
        "arXiv:1910.12037",
        perfect=None,
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.RobustTLoss,
        "region",
        "-ln Student-t density of an image's residuals p - t",
        "Gonzalez-Jimenez et al. 2023",
        "arXiv:2306.00753",
        perfect=None,
    ),
    entry(
        losses.LovaszSoftmaxLoss,
        "region",
        "sum_i m_(i) (J_i - J_(i-1)), m = |t - p| in falling order",
        "Berman et al. 2018",
        "arXiv:1705.08790",
        soft_targets=False,
    ),
    entry(
        losses.LovaszHingeLoss,
        "region",
        "sum_i max(m_(i), 0) (J_i - J_(i-1)), m = 1 - (2 t - 1) z in falling order",
        "Berman et al. 2018",
        "arXiv:1705.08790",
        soft_targets=False,
    ),
    entry(
        losses.JaccardMetricLoss,
        "region",
        "1 - (|p + t| - |p - t|) / (|p + t| + |p - t|)",
        "Wang et al. 2023",
        "arXiv:2302.05666",
    ),
    entry(
        losses.MarginalDiceLoss,
        "region",
        "1 - 2 sum q u / (sum q + sum u), q = sum_(c in d) p_c of the joined classes d",
        "Shi et al. 2021",
        "arXiv:2007.03868",
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.LeafDiceLoss,
        "region",
        "1 - 2 sum p_c [g = {c}] / (sum p_c^q + sum [g = {c}])",
        "Fidon et al. 2021",
        "arXiv:2107.03846",
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.ExclusionLoss,
        "region",
        "2 sum p_c e_c / (sum p_c + sum e_c), e_c = [c not in g]",
        "Shi et al. 2021",
        "arXiv:2007.03868",
        soft_targets=False,
        min_classes=2,
    ),
)
