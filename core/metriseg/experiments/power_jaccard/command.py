"""Power Jaccard losses on digits: tables 1 and 2, and figures 1 and 2, of their paper.

``python -m metriseg reproduce power-jaccard`` trains a small U-Net on 1,000 MNIST digits of
``METRISEG_DATA``, to find digits in the background and to tell ten of them apart, with
cross-entropy and with the power Jaccard loss of powers from 1 to 2, and prints the mean IoU of 200
test images beside what Duque-Arias et al. 2021 (hal-03139997) print.

The short form has a part of the paper's filters, batches, powers and repeats, each training as
long as theirs; ``--full`` has all of them, and goes on where a shorter run of the same folder has
been. What the paper doesn't say is as in the authors' code: Adam at a rate of 0.001, at most 100
epochs, an end after 5 without a lower validation loss, sums over all classes and images of a batch
smoothed by 10, no channel for the background. Table 2 is of 8 filters.

``--output`` gets ``results.json``, to which each training is added as it ends, and the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from metriseg.experiments.power_jaccard.pictures import figures
from metriseg.experiments.power_jaccard.report import tables
from metriseg.experiments.power_jaccard.training import (
    CHANNELS,
    WITH_BACKGROUND,
    Plan,
    Trial,
    loss_names,
    read_digits,
    train,
)
from metriseg.experiments.records import Record
from metriseg.experiments.tables import progress


class Extent(NamedTuple):
    """Which of the paper's trainings: table 1 varies the filters, table 2 the images a batch."""

    filters: tuple[int, ...] = (2,)
    batches: tuple[int, ...] = (50,)
    losses: tuple[str, ...] = ("CE", WITH_BACKGROUND, "p = 1", "p = 2")
    repeats: int = 1

    def trials(self, tasks: Sequence[str]) -> Iterator[Trial]:
        """Repeat by repeat, so that a run broken off leaves whole tables."""
        for repeat in range(self.repeats):
            for task in tasks:
                binary = task == "binary"
                for varied in self.filters if binary else self.batches:
                    filters, batch = (varied, 1) if binary else (8, varied)
                    for loss in loss_names(task):
                        if loss in self.losses:
                            yield Trial(task, filters, batch, loss, repeat)


FULL = Extent((2, 4, 8), (1, 10, 50), tuple(loss_names("ten classes")), 5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what the record doesn't have, print the tables and draw the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.power_jaccard",
        description=__doc__.partition("\n\n")[0],
    )
    plan = Plan()
    parser.add_argument("--output", type=Path, default=Path("work_dirs/power_jaccard"))
    parser.add_argument("--full", action="store_true", help="all that the paper has, for hours")
    parser.add_argument("--task", choices=CHANNELS, help="only this one")
    parser.add_argument("--filters", type=int, nargs="+", help="of the first stage, table 1")
    parser.add_argument("--batches", type=int, nargs="+", help="images a step, table 2")
    parser.add_argument("--losses", nargs="+", choices=FULL.losses, metavar="LOSS", help="of both")
    parser.add_argument("--repeats", type=int, help="trainings a row")
    parser.add_argument(
        "--epochs", type=int, default=plan.epochs, help=f"at most (default {plan.epochs})"
    )
    parser.add_argument(
        "--images", type=int, default=plan.images, help=f"to learn from (default {plan.images})"
    )
    given = parser.parse_args(arguments)
    plan = plan._replace(epochs=given.epochs, images=given.images)
    extent = FULL if given.full else Extent()
    extent = Extent(
        tuple(given.filters or extent.filters),
        tuple(given.batches or extent.batches),
        tuple(given.losses or extent.losses),
        given.repeats or extent.repeats,
    )
    try:
        digits = read_digits(plan.images)
        record = Record(given.output / "results.json", plan._asdict())
    except ValueError as error:
        parser.error(str(error))
    trials = list(extent.trials([given.task] if given.task else list(CHANNELS)))
    for number, trial in enumerate(trials, 1):
        if record.find(**trial._asdict()) is None:
            one = record.add(train(digits, trial, plan))
            progress(
                f"{number} of {len(trials)}: {trial.task}, {trial.filters} filters, batches of"
                f" {trial.batch}, {trial.loss}, repeat {trial.repeat}: mean IoU"
                f" {one['mean IoU']:.4f}, {one['epochs']} epochs, {one['seconds']:.0f} s"
            )
    results = record.results
    print("\n\n".join(f"{name}\n\n{text}" for name, text in tables(results).items()))
    for path in figures(results, given.output):
        progress(str(path))
