"""Networks that learn to partition: the published experiment, and what goes past it."""

from metriseg.experiments.shapes.command import main

__all__ = ["main"]
