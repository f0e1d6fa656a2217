"""Power Jaccard losses on digits: tables 1 and 2, and figures 1 and 2, of their paper."""

from metriseg.experiments.power_jaccard.command import main
from metriseg.experiments.power_jaccard.pictures import figures
from metriseg.experiments.power_jaccard.report import tables

__all__ = ["figures", "main", "tables"]
