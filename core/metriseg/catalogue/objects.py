"""Losses in which every object counts, large or small."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
        losses.BlobLoss,
        "object",
        "mean_k region loss of object k, the others left out",
        "Kofler et al. 2022",
        "arXiv:2205.08209",
        spatial=True,
        soft_targets=False,
        graph_break="connected components are found on the host",
    ),
    entry(
        losses.ConnectedComponentLoss,
        "object",
        "mean_k region loss in the Voronoi region of object k",
        "Jaus et al. 2024",
        "arXiv:2410.18684",
        spatial=True,
        soft_targets=False,
        graph_break="connected components are found on the host",
    ),
)
