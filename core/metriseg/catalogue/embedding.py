"""Losses of pixel embeddings."""

from __future__ import annotations

from metriseg import losses
from metriseg.catalogue.entry import Entry, entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    entry(
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
    entry(
        losses.BoundaryTripletLoss,
        "embedding",
        "max(|a - p|^2 - |a - n|^2 + margin, 0) of pixels near another label",
        "Wen et al. 2022",
        "doi:10.1016/j.knosys.2022.108424",
        monotone=False,
        spatial=True,
        features=True,
        soft_targets=False,
        min_classes=2,
    ),
    entry(
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
