"""Losses between partitions."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
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
