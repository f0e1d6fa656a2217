"""Every loss of the library, with what it promises.

The generic tests, the three frameworks' manifests and the tables of the documentation are driven
by this list: a new loss gets all of them by standing here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from metriseg import losses
from metriseg.losses import SegmentationLoss

__all__ = ["CATALOGUE", "Entry"]

Level = Literal["pixel", "region", "boundary", "compound", "embedding", "partition"]


@dataclass(frozen=True)
class Entry:
    """A loss and what a test, or a reader, may expect of it.

    Attributes:
        loss: the class.
        level: what it looks at.
        summary: the formula in a line of text.
        paper: authors and year.
        source: DOI or arXiv identifier of the paper, or where it is published.
        build: makes an example from arguments that every loss takes (default: the class itself).
        perfect: the mean value at a perfect hard prediction; None where it depends on the input.
        monotone: whether the loss falls as a prediction moves toward the truth.
        stop_gradient: whether terms are detached, so that finite differences must freeze them.
        spatial: whether it matters where in the image a pixel is.
        features: whether it looks at pixel embeddings, the logits themselves where there are none.
        soft_targets: whether soft labels are meaningful.
        min_classes: fewest classes with which it makes sense.
        spatial_dimensions: numbers of spatial dimensions that the idea allows.
        graph_break: why torch.compile must leave its graph; empty where it needn't.
    """

    loss: type[SegmentationLoss]
    level: Level
    summary: str
    paper: str
    source: str
    build: Callable[..., SegmentationLoss]
    perfect: float | None = 0.0
    monotone: bool = True
    stop_gradient: bool = False
    spatial: bool = False
    features: bool = False
    soft_targets: bool = True
    min_classes: int = 1
    spatial_dimensions: tuple[int, ...] = (1, 2, 3)
    graph_break: str = ""

    @property
    def name(self) -> str:
        return self.loss.__name__

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps that a loader may have computed beforehand."""
        return self.loss.map_names


def _entry(
    loss: type[SegmentationLoss],
    level: Level,
    summary: str,
    paper: str,
    source: str,
    **promises: Any,
) -> Entry:
    return Entry(loss, level, summary, paper, source, **{"build": loss, **promises})


def _dice_and_cross_entropy(**common: Any) -> SegmentationLoss:
    terms = [losses.DiceLoss(**common), losses.CrossEntropyLoss(**common)]
    return losses.CompoundLoss(terms, weights=[1.0, 0.5])


_active_boundary = functools.partial(losses.ActiveBoundaryLoss, boundary_share=0.3)

_PIXEL: tuple[Entry, ...] = (
    _entry(
        losses.CrossEntropyLoss,
        "pixel",
        "-sum_c t_c ln p_c",
        "Azad et al. 2023",
        "arXiv:2312.05391",
    ),
    _entry(
        losses.FocalLoss,
        "pixel",
        "-sum_c t_c (1 - p_c)^gamma ln p_c",
        "Lin et al. 2017",
        "arXiv:1708.02002",
    ),
    _entry(
        losses.TopKLoss,
        "pixel",
        "mean of the k % largest -sum_c t_c ln p_c",
        "Wu et al. 2016",
        "arXiv:1605.06885",
    ),
    _entry(
        losses.DistanceMapCrossEntropyLoss,
        "pixel",
        "-(1 + reversed distance) sum_c t_c ln p_c",
        "Caliva et al. 2019",
        "arXiv:1908.03679",
        spatial=True,
    ),
    _entry(
        losses.MimeLoss,
        "pixel",
        "sum_c (-a t_c + b (1 - t_c)) p_c",
        "Kervadec & de Bruijne 2023",
        "On the dice loss gradient and the ways to mimic it",
        perfect=-1.9,
    ),
    _entry(
        losses.NegativeMimeLoss,
        "pixel",
        "-sum_c t_c p_c",
        "Kervadec & de Bruijne 2023",
        "On the dice loss gradient and the ways to mimic it",
        perfect=-1.0,
        min_classes=3,
    ),
)

_REGION: tuple[Entry, ...] = (
    _entry(
        losses.DiceLoss,
        "region",
        "1 - 2 I / (S + Y)",
        "Azad et al. 2023",
        "arXiv:2312.05391",
    ),
    _entry(
        losses.JaccardLoss,
        "region",
        "1 - I / (S + Y - I)",
        "Rahman & Wang 2016",
        "doi:10.1007/978-3-319-50835-1_22",
    ),
    _entry(
        losses.PowerJaccardLoss,
        "region",
        "1 - I / (sum t^q + sum p^q - I)",
        "Duque-Arias et al. 2021",
        "hal-03139997",
    ),
    _entry(
        losses.TverskyLoss,
        "region",
        "1 - TP / (TP + fp_weight FP + fn_weight FN)",
        "Salehi et al. 2017",
        "arXiv:1706.05721",
    ),
    _entry(
        losses.LogCoshDiceLoss,
        "region",
        "ln cosh(1 - 2 I / (S + Y))",
        "Jadon 2020",
        "arXiv:2006.14822",
    ),
    _entry(
        losses.PowerDiceLoss,
        "region",
        "1 - 2 I / (sum t^q + sum p^q)",
        "Duque-Arias et al. 2021",
        "hal-03139997",
    ),
    _entry(
        losses.FocalTverskyLoss,
        "region",
        "(1 - TP / (TP + fp_weight FP + fn_weight FN))^(1 / gamma)",
        "Abraham & Khan 2018",
        "arXiv:1810.07842",
    ),
    _entry(
        losses.SensitivitySpecificityLoss,
        "region",
        "r sum t (1 - p)^2 / sum t + (1 - r) sum (1 - t) p^2 / sum (1 - t)",
        "Brosch et al. 2015",
        "doi:10.1007/978-3-319-24574-4_1",
    ),
    _entry(
        losses.GeneralizedDiceLoss,
        "region",
        "1 - 2 sum_c w_c I_c / sum_c w_c (S_c + Y_c), w = 1 / Y^2",
        "Sudre et al. 2017",
        "arXiv:1707.03237",
    ),
    _entry(
        losses.PenaltyGeneralizedDiceLoss,
        "region",
        "1 - GD / (1 + k (1 - GD))",
        "Yang et al. 2019",
        "Major vessel segmentation on X-ray coronary angiography using deep networks with a novel"
        " penalty loss function",
    ),
    _entry(
        losses.GeneralizedWassersteinDiceLoss,
        "region",
        "1 - 2 TP / (2 TP + sum W), W = sum_l M[t, l] p_l, TP = sum M[t, b] (M[t, b] - W)",
        "Fidon et al. 2017",
        "arXiv:1707.00478",
        soft_targets=False,
        min_classes=2,
    ),
    _entry(
        losses.RegionMutualInformationLoss,
        "region",
        "bce_weight BCE + (1 - bce_weight) ln det(Syy - Syp Spp^-1 Spy) / (2 d) over windows",
        "Zhao et al. 2019",
        "arXiv:1910.12037",
        perfect=None,
        monotone=False,
        spatial=True,
    ),
    _entry(
        losses.RobustTLoss,
        "region",
        "-ln Student-t density of an image's residuals p - t",
        "Gonzalez-Jimenez et al. 2023",
        "arXiv:2306.00753",
        perfect=None,
    ),
    _entry(
        losses.LovaszSoftmaxLoss,
        "region",
        "sum_i m_(i) (J_i - J_(i-1)), m = |t - p| in falling order",
        "Berman et al. 2018",
        "arXiv:1705.08790",
        soft_targets=False,
    ),
    _entry(
        losses.LovaszHingeLoss,
        "region",
        "sum_i max(m_(i), 0) (J_i - J_(i-1)), m = 1 - (2 t - 1) z in falling order",
        "Berman et al. 2018",
        "arXiv:1705.08790",
        soft_targets=False,
    ),
    _entry(
        losses.JaccardMetricLoss,
        "region",
        "1 - (|p + t| - |p - t|) / (|p + t| + |p - t|)",
        "Wang et al. 2023",
        "arXiv:2302.05666",
    ),
)

_BOUNDARY: tuple[Entry, ...] = (
    _entry(
        losses.BoundaryLoss,
        "boundary",
        "mean_c signed distance_c p_c",
        "Kervadec et al. 2021",
        "arXiv:1812.07032",
        perfect=None,
        spatial=True,
    ),
    _entry(
        losses.RegionWiseLoss,
        "boundary",
        "mean_c z_c p_c with z = -d / max d inside, 1 outside",
        "Valverde & Tohka 2023",
        "arXiv:2108.01405",
        perfect=None,
        spatial=True,
    ),
    _entry(
        losses.BoundaryDoULoss,
        "boundary",
        "(sum p^2 + sum t^2 - 2 I) / (sum p^2 + sum t^2 - (1 + alpha) I)",
        "Sun et al. 2023",
        "arXiv:2308.00220",
        perfect=None,
        spatial=True,
    ),
    _entry(
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
    _entry(
        losses.ActiveContourLoss,
        "boundary",
        "|gradient p| + region_weight (fp_weight p (1 - t) + (1 - p) t)",
        "Chen et al. 2019",
        "doi:10.1109/CVPR.2019.01190",
        perfect=None,
        monotone=False,
        spatial=True,
    ),
    _entry(
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
    _entry(
        losses.InverseFormLoss,
        "boundary",
        "|| theta(edges of p, edges of t) - I ||",
        "Borse et al. 2021",
        "arXiv:2104.02745",
        monotone=False,
        spatial=True,
        spatial_dimensions=(2,),
    ),
    _entry(
        losses.HausdorffDistanceTransformLoss,
        "boundary",
        "mean_c (p - t)^2 (d_p^alpha + d_t^alpha)",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    _entry(
        losses.HausdorffErosionLoss,
        "boundary",
        "mean_c sum_k k^alpha erosion_k[(p - t)^2]",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    _entry(
        losses.HausdorffConvolutionLoss,
        "boundary",
        "mean_c sum_r r^alpha (p - t)^2 [(f(B_r t^c) + f(B_r p)) p + (f(B_r t) + f(B_r p^c)) t]",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
    ),
    _entry(
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

_COMPOUND: tuple[Entry, ...] = (
    _entry(
        losses.CompoundLoss,
        "compound",
        "sum_k w_k loss_k",
        "Azad et al. 2023",
        "arXiv:2312.05391",
        build=_dice_and_cross_entropy,
    ),
    _entry(
        losses.DiceCELoss,
        "compound",
        "lambda_dice Dice loss + lambda_ce cross-entropy",
        "Isensee et al. 2021",
        "doi:10.1038/s41592-020-01008-z",
    ),
    _entry(
        losses.DiceFocalLoss,
        "compound",
        "lambda_dice Dice loss + lambda_focal focal loss",
        "Zhu et al. 2019",
        "arXiv:1808.05238",
    ),
    _entry(
        losses.ComboLoss,
        "compound",
        "alpha weighted cross-entropy + (1 - alpha) Dice loss",
        "Taghanaki et al. 2019",
        "arXiv:1805.02798",
    ),
    _entry(
        losses.ExponentialLogarithmicLoss,
        "compound",
        "lambda_dice (-ln Dice)^gamma + lambda_ce sqrt(sum f / f_t) (-ln p_t)^gamma",
        "Wong et al. 2018",
        "arXiv:1809.00076",
    ),
    _entry(
        losses.UnifiedFocalLoss,
        "compound",
        "lambda d_t (1 - p_t)^g (-ln p_t) + (1 - lambda) (1 - Tversky index)^(1 - gamma)",
        "Yeung et al. 2022",
        "arXiv:2102.04525",
    ),
)

_EMBEDDING: tuple[Entry, ...] = (
    _entry(
        losses.TripletLoss,
        "embedding",
        "max(|a - p|^2 - |a - n|^2 + margin, 0)",
        "Schroff et al. 2015",
        "arXiv:1503.03832",
        monotone=False,
        # which pixels are looked at depends on where they stand, and a pixel is no positive of
        # itself, so that one of weight 2 isn't two
        spatial=True,
        features=True,
        soft_targets=False,
        min_classes=2,
    ),
    _entry(
        losses.CenterLoss,
        "embedding",
        "|x - c_y|^2 / 2",
        "Wen et al. 2016",
        "doi:10.1007/978-3-319-46478-7_31",
        stop_gradient=True,
        features=True,
        soft_targets=False,
    ),
)

_PARTITION: tuple[Entry, ...] = (
    _entry(
        losses.PartitionLoss,
        "partition",
        "sum_uv w_u w_v ([u ~ v predicted] - [u ~ v true])^2",
        "Kovtunenko & Mashtalir 2026",
        "doi:10.15276/aait.09.2026.12",
        monotone=False,
        # segments are hard; what a pixel's class would change is the gradient
        stop_gradient=True,
        spatial=True,
        features=True,
        soft_targets=False,
        graph_break="connected components are found on the host",
    ),
)

CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (*_PIXEL, *_REGION, *_BOUNDARY, *_COMPOUND, *_EMBEDDING, *_PARTITION)
}


def parts_of(loss: SegmentationLoss) -> list[tuple[SegmentationLoss, Entry | None]]:
    """The losses that one is a sum of, each with its entry, or None where it has none.

    A loss that a plugin derived from one of the catalogue has the entry of that one. What isn't a
    :class:`~metriseg.CompoundLoss` is its own only part.
    """
    if isinstance(loss, losses.CompoundLoss):
        terms: Iterable[Any] = loss.terms
        return [part for term in terms for part in parts_of(term)]
    names = (kind.__name__ for kind in type(loss).__mro__)
    return [(loss, next((CATALOGUE[name] for name in names if name in CATALOGUE), None))]
