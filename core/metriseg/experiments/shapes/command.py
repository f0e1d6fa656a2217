r"""Networks that learn to partition: the published experiment, and what goes past it.

``python -m metriseg.experiments.shapes --output DIR`` draws images of a few shapes of one colour
that may touch (:mod:`metriseg.data.shapes`), trains the same SegNet by every method of
:data:`~metriseg.experiments.shapes.methods.METHODS`, with equal images and equal steps, and writes

* ``table.md``: how far the partitions of fresh images are from the truth, and how many objects
  are found, as means over the images. With several seeds, the mean and the standard deviation
  over them;
* ``figure_1.png``: from an image to segments, before training and after;
* ``figure_2.png``: the three estimators of the published method side by side;
* ``figure_3.png``: their outputs and segments over training;
* ``figure_4.png``: the gradient at the outputs before training; it is zero where nothing is wrong;
* ``figure_5.png``: the segments of every method.

The short form trains for one seed, a quarter of an hour on one core; ``--full`` takes three seeds
and more steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from metriseg.experiments.shapes.comparison import Results, Settings, report, run
from metriseg.experiments.shapes.figures import save_figures
from metriseg.experiments.shapes.methods import METHODS

#: Of the full form.
FULL_SEEDS, FULL_STEPS = 3, 1500


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the table, and write it and the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.shapes", description=__doc__.partition("\n\n")[0]
    )
    default = Settings()
    parser.add_argument("--output", type=Path, default=Path("work_dirs/shapes"))
    parser.add_argument("--full", action="store_true", help="three seeds and more steps")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--steps", type=int, help="of every training")
    parser.add_argument("--batch", type=int, default=default.batch, help="images a step")
    parser.add_argument("--images", type=int, default=default.images, help="to learn from")
    parser.add_argument("--fresh", type=int, default=default.fresh, help="images to measure with")
    parser.add_argument("--width", type=int, default=default.width, help="of the network")
    parser.add_argument("--side", type=int, default=default.side, help="of the images")
    parser.add_argument(
        "--least-gap", type=int, default=default.least_gap, help="pixels between shapes"
    )
    given = parser.parse_args(arguments)
    settings = Settings(
        steps=given.steps or (FULL_STEPS if given.full else default.steps),
        batch=given.batch,
        images=given.images,
        fresh=given.fresh,
        width=given.width,
        side=given.side,
        least_gap=given.least_gap,
    )
    seeds = [given.seed + k for k in range(FULL_SEEDS if given.full else 1)]
    results = run(given.methods, settings, seeds)
    write(results, given.output)


def write(results: Results, folder: Path) -> None:
    """Print the table and write it, then the figures."""
    text = report(results)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text + "\n")
    save_figures(
        folder,
        results.shown,
        {name: trained.looks for name, trained in results.trained.items()},
    )
    print(f"the table and the figures are in {folder}", file=sys.stderr, flush=True)
