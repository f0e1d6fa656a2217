"""What stands in the catalogue about a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from metriseg.losses import SegmentationLoss

__all__ = ["Entry", "entry"]

Level = Literal[
    "pixel", "region", "boundary", "topology", "object", "compound", "embedding", "partition"
]


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


def entry(
    loss: type[SegmentationLoss],
    level: Level,
    summary: str,
    paper: str,
    source: str,
    **promises: Any,
) -> Entry:
    return Entry(loss, level, summary, paper, source, **{"build": loss, **promises})
