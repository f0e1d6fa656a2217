"""Which loss for streets? MMSegmentation's runner trains one network with each, and measures it.

``python -m metriseg reproduce streets`` trains a U-Net on the CamVid scenes in
``$METRISEG_DATA/camvid/{train,val}/{images,labels}`` with every loss, and compares the mean IoU,
the F-score of boundaries and the accuracy on val.
"""

from __future__ import annotations

from collections.abc import Sequence

from metriseg.experiments import which_loss
from metriseg_mmseg.streets.bench import Streets

__all__ = ["Streets", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what isn't trained yet, and print the tables."""
    which_loss.main(Streets(), "Losses compared on streets by MMSegmentation.", arguments)
