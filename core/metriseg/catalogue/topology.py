"""Losses that look at connections: thin structures, components and holes."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.CenterlineDiceLoss,
        "topology",
        "1 - harmonic mean of sum S(p) t / sum S(p) and sum S(t) p / sum S(t), S the skeleton",
        "Shit et al. 2021",
        "arXiv:2003.07311",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.DiceCenterlineDiceLoss,
        "topology",
        "(1 - alpha) Dice loss + alpha centreline Dice loss",
        "Shit et al. 2021",
        "arXiv:2003.07311",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.CenterlineBoundaryDiceLoss,
        "topology",
        "clDice of skeletons over their radius, and of masks times the distance to the outside",
        "Shi et al. 2024",
        "arXiv:2407.01517",
        monotone=False,
        spatial=True,
    ),
    entry(
        losses.SkeletonRecallLoss,
        "topology",
        "1 - sum y p / sum y, y the tube around the skeleton of the truth",
        "Kirchhoff et al. 2024",
        "arXiv:2404.03010",
        spatial=True,
        spatial_dimensions=(2, 3),
        graph_break="the skeleton of the truth is made on the host, unless the loader gives it",
    ),
    entry(
        losses.TopologicalLoss,
        "topology",
        "min sum |x - y|^2 over matchings of persistence diagrams",
        "Hu et al. 2019",
        "arXiv:1906.05404",
        monotone=False,
        spatial=True,
        soft_targets=False,
        graph_break="persistence diagrams are found on the host",
    ),
)
