"""The partition metric as a loss of objects in real images: nuclei under a microscope."""

from metriseg.experiments.nuclei.command import main

__all__ = ["main"]
