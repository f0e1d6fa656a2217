"""Losses that are a mean over pixels."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.CrossEntropyLoss,
        "pixel",
        "-sum_c t_c ln p_c",
        "Azad et al. 2023",
        "arXiv:2312.05391",
    ),
    entry(
        losses.FocalLoss,
        "pixel",
        "-sum_c t_c (1 - p_c)^gamma ln p_c",
        "Lin et al. 2017",
        "arXiv:1708.02002",
    ),
    entry(
        losses.TopKLoss,
        "pixel",
        "mean of the k % largest -sum_c t_c ln p_c",
        "Wu et al. 2016",
        "arXiv:1605.06885",
    ),
    entry(
        losses.DistanceMapCrossEntropyLoss,
        "pixel",
        "-(1 + reversed distance) sum_c t_c ln p_c",
        "Caliva et al. 2019",
        "arXiv:1908.03679",
        spatial=True,
    ),
    entry(
        losses.MimeLoss,
        "pixel",
        "sum_c (-a t_c + b (1 - t_c)) p_c",
        "Kervadec & de Bruijne 2023",
        "On the dice loss gradient and the ways to mimic it",
        perfect=-1.9,
    ),
    entry(
        losses.NegativeMimeLoss,
        "pixel",
        "-sum_c t_c p_c",
        "Kervadec & de Bruijne 2023",
        "On the dice loss gradient and the ways to mimic it",
        perfect=-1.0,
        min_classes=3,
    ),
    entry(
        losses.MarginalCrossEntropyLoss,
        "pixel",
        "-ln sum_(c in g) p_c, with the set g of the classes that a pixel may be",
        "Shi et al. 2021",
        "arXiv:2007.03868",
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.ExclusionCrossEntropyLoss,
        "pixel",
        "sum_(c not in g) ln(1 + p_c), with the set g of the classes that a pixel may be",
        "Shi et al. 2021",
        "arXiv:2007.03868",
        soft_targets=False,
        min_classes=2,
    ),
    entry(
        losses.GeneralizedCrossEntropyLoss,
        "pixel",
        "sum_c t_c (1 - p_c^q) / q",
        "Zhang & Sabuncu 2018",
        "arXiv:1805.07836",
    ),
    entry(
        losses.SymmetricCrossEntropyLoss,
        "pixel",
        "-alpha sum_c t_c ln p_c - beta sum_c p_c ln t_c, ln 0 = A",
        "Wang et al. 2019",
        "arXiv:1908.06112",
    ),
    entry(
        losses.PolyCrossEntropyLoss,
        "pixel",
        "sum_c t_c (-ln p_c + epsilon (1 - p_c))",
        "Leng et al. 2022",
        "arXiv:2204.12511",
    ),
    entry(
        losses.PolyFocalLoss,
        "pixel",
        "sum_c t_c (-(1 - p_c)^gamma ln p_c + epsilon (1 - p_c)^(gamma + 1))",
        "Leng et al. 2022",
        "arXiv:2204.12511",
    ),
    entry(
        losses.NeighborAwareCalibrationLoss,
        "pixel",
        "-sum_c t_c ln p_c + lambda mean_c |share of c among the neighbours - z_c|",
        "Murugesan et al. 2023",
        "arXiv:2303.06268",
        perfect=None,
        monotone=False,
        spatial=True,
    ),
)
