"""The gradient of the Dice loss, and losses that mimic it: figure 1 and table 1 of their paper."""

from metriseg.experiments.dice_gradient.command import main
from metriseg.experiments.dice_gradient.pictures import figures
from metriseg.experiments.dice_gradient.report import tables

__all__ = ["figures", "main", "tables"]
