"""Every loss of the library, with what it promises.

The generic tests, the three frameworks' manifests and the tables of the documentation are driven
by this list: a new loss gets all of them by standing here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from metriseg import losses
from metriseg.losses import SegmentationLoss

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
        maps: names of the maps that a loader may have computed beforehand.
        soft_targets: whether soft labels are meaningful.
        min_classes: fewest classes with which it makes sense.
        spatial_dimensions: numbers of spatial dimensions that the idea allows.
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
    maps: tuple[str, ...] = ()
    soft_targets: bool = True
    min_classes: int = 1
    spatial_dimensions: tuple[int, ...] = (1, 2, 3)

    @property
    def name(self) -> str:
        return self.loss.__name__


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


#: One pixel in a hundred is none of a small image: the example takes more of them.
_active_boundary = functools.partial(losses.ActiveBoundaryLoss, boundary_share=0.3)

_PIXEL = (
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

_REGION = (
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
)

_BOUNDARY = (
    _entry(
        losses.HausdorffDistanceTransformLoss,
        "boundary",
        "mean_c (p - t)^2 (d_p^alpha + d_t^alpha)",
        "Karimi & Salcudean 2020",
        "arXiv:1904.10030",
        monotone=False,
        spatial=True,
        maps=("target_distance",),
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

_COMPOUND = (
    _entry(
        losses.CompoundLoss,
        "compound",
        "sum_k w_k loss_k",
        "Azad et al. 2023",
        "arXiv:2312.05391",
        build=_dice_and_cross_entropy,
    ),
)

_EMBEDDING: tuple[Entry, ...] = ()

CATALOGUE: dict[str, Entry] = {
    entry.name: entry for entry in (*_PIXEL, *_REGION, *_BOUNDARY, *_COMPOUND, *_EMBEDDING)
}
