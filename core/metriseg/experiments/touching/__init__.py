"""What the partition metric is worth as a loss where objects of one colour touch."""

from metriseg.experiments.touching.command import main

__all__ = ["main"]
