"""What the partition metric is worth as a loss where objects of one colour touch.

``python -m metriseg.experiments.touching`` trains a small U-Net on images of
:class:`~metriseg.data.shapes.ShapesDataset` (64 x 64, objects of one colour, half of which touch
another) in four ways, with the same images, steps and optimiser, and prints how far the objects
that each finds in fresh images are from the true ones. Whatever can be set in the ways from a
network's output to objects is chosen on validation images, for every method alike: see
:mod:`metriseg.experiments.touching.methods`.

``--ablation`` varies one setting of ours at a time instead. ``--output`` also writes the table,
the values of each seed, and a picture.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from metriseg.experiments.touching.comparison import (
    COLUMNS,
    TEST,
    TEST_SEED,
    VALIDATION,
    draw,
    draw_scenes,
    report,
    run,
    variations,
)
from metriseg.experiments.touching.methods import methods


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it with a picture where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.touching", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("--output", type=Path, help="a folder to write to")
    parser.add_argument("--seeds", type=int, default=3, help="networks a method (default 3)")
    parser.add_argument("--steps", type=int, default=500, help="of training (default 500)")
    parser.add_argument("--width", type=int, default=16, help="of the network (default 16)")
    parser.add_argument("--test", type=int, default=TEST, help=f"images (default {TEST})")
    parser.add_argument(
        "--validation", type=int, default=VALIDATION, help=f"images (default {VALIDATION})"
    )
    parser.add_argument("--ablation", action="store_true", help="vary the settings of ours")
    given = parser.parse_args(arguments)
    results = list(
        run(
            variations() if given.ablation else methods(),
            seeds=given.seeds,
            steps=given.steps,
            width=given.width,
            validation=given.validation,
            test=given.test,
        )
    )
    text = report(results)
    print(text)
    if given.output is None:
        return
    given.output.mkdir(parents=True, exist_ok=True)
    name = "touching_ablation" if given.ablation else "touching"
    (given.output / f"{name}.md").write_text(text + "\n")
    with (given.output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "way", "seed", *COLUMNS])
        writer.writerows([one.method, one.name, one.seed, *one.values.values()] for one in results)
    if not given.ablation:
        draw(given.output / "touching.png", results, draw_scenes(given.test, TEST_SEED))
