"""Which loss? The same network trained with each by a framework's own trainer, and measured.

What is compared, trained and scored is a :class:`~metriseg.experiments.which_loss.bench.Bench`,
which a framework's plugin builds; the comparison, its tables and its pictures are here.
"""

from metriseg.experiments.which_loss.bench import Bench, Candidate, Plan, Score, Shown
from metriseg.experiments.which_loss.command import main

__all__ = ["Bench", "Candidate", "Plan", "Score", "Shown", "main"]
