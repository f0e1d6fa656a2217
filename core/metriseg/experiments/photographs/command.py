"""Networks taught to partition photographs as people do, beside the usual ways.

``python -m metriseg.experiments.photographs`` trains on 70 of the 100 photographs of
:class:`~metriseg.data.bsds500.BSDS500` and tests on the other 30, on the CPU in about twenty
minutes. Ours are networks that learn boundaries and, by the partition distance of an embedding,
which pixels of a crop belong together: by the plain distance, and by those that the union and the
sum of two segments weigh. The baseline is the same network taught the boundaries alone
(``--alone``: the partition distances alone, too); the table says how long each trained. Beside them
stand colour methods without training, the trivial partitions, and what another human does. The
networks are those of :mod:`metriseg.experiments.photographs.networks`, the merging of their regions
that of :mod:`metriseg.experiments.photographs.regions`.

How regions are merged, and how far, is tuned on every third training photograph, for all methods
by the same rule, twice: for the variation of information, and for the partition distance. The table
has means over the test photographs of the mean over the humans of each, at full resolution.
``--output`` writes it as ``photographs.md`` and ``photographs.csv``, with a picture of some test
photographs, ``photographs.png``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from metriseg.data.bsds500 import BSDS500
from metriseg.experiments.photographs.comparison import COLUMNS, report, run, split
from metriseg.experiments.photographs.methods import Plan
from metriseg.experiments.photographs.networks import halved
from metriseg.experiments.photographs.picture import save_picture

#: Test photographs in the picture.
SHOWN = (1, 6, 11, 16, 21)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, tune, test, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.photographs", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("--data", help="the folder that bsds500 lies in; else $METRISEG_DATA")
    parser.add_argument("--output", type=Path, help="a folder to write the table and picture to")
    parser.add_argument("--steps", type=int, default=Plan().steps, help="of training, for ours")
    parser.add_argument(
        "--boundary-steps", type=int, default=Plan().boundary_steps, help="for the baseline"
    )
    parser.add_argument(
        "--alone", action="store_true", help="train with the partition distance alone, too"
    )
    parser.add_argument("--photographs", type=int, default=100, help="how many of them to use")
    given = parser.parse_args(arguments)
    plan = Plan(given.steps, given.boundary_steps, alone=given.alone)
    chosen = split(BSDS500(given.data)[: given.photographs])
    rows, maps = run(chosen, plan)
    text = report(rows)
    print(text)
    if given.output is None:
        return
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "photographs.md").write_text(text + "\n")
    with (given.output / "photographs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "tuned_for", *COLUMNS, "segments", "seconds"])
        for one in rows:
            scores = [one.scores[name] for name in COLUMNS]
            writer.writerow([one.method, one.tuned_for, *scores, one.segments, one.seconds])
    shown = [number for number in SHOWN if number < len(chosen.test)]
    test = [halved(chosen.test[number]) for number in shown]
    columns = {"one human": [one.whole[0] for one in test]}
    columns |= {name: [found[number] for number in shown] for name, found in maps.items()}
    save_picture(given.output / "photographs.png", test, columns)
