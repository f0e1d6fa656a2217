"""What the partition metric is worth as a loss of objects in real images.

``python -m metriseg.experiments.nuclei`` trains a small U-Net on the nuclei of ``METRISEG_DATA``
(``nuclei/train``) in each of some ways, with the same crops, steps and optimiser, and prints how
well the objects that each finds in the images of ``nuclei/val`` meet the true ones. Whatever can
be set in the ways from a network's output to objects is chosen there, a network at a time, for
every method alike: see :mod:`metriseg.experiments.nuclei.methods`.

``--drawn`` takes objects that no watershed of a distance can part instead: crescents, rings and
worms, that touch. ``--evaluate`` scores the networks, with those settings, on other images: a
folder with ``images`` and ``instances`` of the same names. ``--output`` keeps the networks, so that
a second run trains none again, and writes the tables, the values of each image, and a picture of
those that are worst and best.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metriseg.experiments.nuclei.comparison import (
    COLUMNS,
    Plan,
    Scored,
    load_or_train,
    predict,
    report,
    score,
    tune,
)
from metriseg.experiments.nuclei.drawn import draw_samples
from metriseg.experiments.nuclei.images import Sample, data_folder, read_folder
from metriseg.experiments.nuclei.methods import COMPARED, OURS, methods
from metriseg.experiments.nuclei.picture import save_picture
from metriseg.experiments.tables import progress

#: Of the wider network.
FULL = Plan(steps=6000, images=4, width=32)
#: Of the drawn objects: images to train on and to choose by, and their seeds.
DRAWN = ((300, 1), (60, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, tune, score, print the table, and write it where asked to."""
    known = {one.key: one for one in methods()}
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.nuclei", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("--output", type=Path, help="a folder to keep networks and results in")
    parser.add_argument("--evaluate", type=Path, help="a folder with other images and instances")
    parser.add_argument(
        "--method",
        action="append",
        choices=known,
        help=f"this one; repeatable (default {', '.join(COMPARED)})",
    )
    parser.add_argument("--seeds", type=int, default=3, help="networks a method (default 3)")
    parser.add_argument("--steps", type=int, help=f"of training (default {Plan().steps})")
    parser.add_argument("--side", type=int, help=f"of a crop, pixels (default {Plan().side})")
    parser.add_argument("--width", type=int, help=f"of the network (default {Plan().width})")
    parser.add_argument(
        "--drawn", action="store_true", help="drawn crescents, rings and worms, not nuclei"
    )
    parser.add_argument("--images", type=int, help="only so many of either folder")
    parser.add_argument(
        "--full", action="store_true", help="a wider network, for hours, with the best method only"
    )
    given = parser.parse_args(arguments)
    plan = FULL if given.full else Plan()
    changed = {"steps": given.steps, "side": given.side, "width": given.width}
    plan = plan._replace(**{name: one for name, one in changed.items() if one is not None})
    try:
        if given.evaluate is not None:
            fresh = read_folder(given.evaluate)[: given.images]
        if given.drawn:
            samples, known_images = (draw_samples(*one) for one in DRAWN)
        else:
            samples, known_images = (read_folder(data_folder(one)) for one in ("train", "val"))
        samples, known_images = samples[: given.images], known_images[: given.images]
    except ValueError as error:
        parser.error(str(error))
    names = given.method or ([OURS[0]] if given.full else list(COMPARED))
    seeds = 1 if given.full else given.seeds
    name = "drawn" if given.drawn else "nuclei"
    kept = None if given.output is None else given.output / f"{name}_networks"
    rows: list[Scored] = []
    others: list[Scored] = []
    for seed in range(seeds):
        for method in [known[name] for name in names]:
            network, seconds = load_or_train(method, samples, plan, seed, kept)
            outputs = predict(network, known_images)
            unseen = [] if given.evaluate is None else predict(network, fresh)
            for words, way in method.ways.items():
                settings = tune(way, outputs, known_images)
                found = score(way, settings, outputs, known_images)
                rows.append(Scored(method, words, seed, settings, *found, seconds))
                progress(f"{method.name}, {words}, seed {seed}: {settings}, {rows[-1].means()}")
                if unseen:
                    labels, scores = score(way, settings, unseen, fresh)
                    others.append(rows[-1]._replace(labels=labels, scores=scores))
    results = {name: (rows, known_images)}
    if others:
        results[f"{name}_evaluated"] = (others, fresh)
    for name, (scored, images) in results.items():
        text = report(scored)
        print(f"{given.evaluate}:\n{text}" if scored is others else text)
        if given.output is not None:
            _write(given.output, name, scored, images)


def _write(folder: Path, name: str, rows: Sequence[Scored], images: Sequence[Sample]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(report(rows) + "\n")
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "objects", "seed", "settings", "image", *COLUMNS])
        for row in rows:
            settings = " ".join(f"{key}={value}" for key, value in row.settings.items())
            for one, values in zip(images, row.scores, strict=True):
                line = [row.method.name, row.name, row.seed, settings, one.name]
                writer.writerow([*line, *values.values()])
    _draw(folder / f"{name}.png", [row for row in rows if row.seed == 0], images)


def _draw(path: Path, rows: Sequence[Scored], images: Sequence[Sample]) -> None:
    """Ours beside the best of the others, on images where ours is good and bad."""
    ours = [row for row in rows if row.method.key == OURS[0]]
    others = [row for row in rows if row.method.key not in OURS]
    if not ours or not others:
        return
    shown = [max(others, key=lambda row: row.means()["mean F1"]), ours[0]]
    values = [np.array([one["mean F1"] for one in row.scores]) for row in shown]
    order, lead = np.argsort(values[1], kind="stable"), np.argsort(values[1] - values[0])
    chosen = {"worst": order[0], "second worst": order[min(1, len(order) - 1)]}
    chosen |= {"farthest behind": lead[0], "farthest ahead": lead[-1], "best": order[-1]}
    places = list(chosen.values())
    names = [f"{row.method.name},\n{row.name}" for row in shown]
    save_picture(
        path,
        [images[k] for k in places],
        {name: [row.labels[k] for k in places] for name, row in zip(names, shown, strict=True)},
        {name: value[places].tolist() for name, value in zip(names, values, strict=True)},
        list(chosen),
    )
