"""Networks taught to partition photographs as people do, beside the usual ways."""

from metriseg.experiments.photographs.command import main

__all__ = ["main"]
