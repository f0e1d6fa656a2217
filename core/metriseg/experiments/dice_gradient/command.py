"""The gradient of the Dice loss, and losses that mimic it: figure 1 and table 1 of their paper.

``python -m metriseg reproduce dice-gradient`` takes the hippocampus of ``METRISEG_DATA``, where
Kervadec & de Bruijne 2023 took the heart and the prostate. It draws the gradients of the Dice loss
and of cross-entropy at the prediction of a network that has seen the slices a few times. Then it
trains small U-Nets with cross-entropy, Dice, mime and negative mime, by Adam and by SGD, with the
paper's settings of these, and prints the Dice coefficients of test volumes, how fast the trainings
converge and how well their probabilities are calibrated, beside what the paper prints.

The first volumes of ``hippocampus/train`` are for training, the next ones for validation; those of
``hippocampus/val`` are the test. The short form has one seed and few epochs; ``--full`` has three
and as many epochs as the halving of the learning rate takes to matter.

``--output`` gets ``results.json``, to which each training is added as it ends, and the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from metriseg.experiments.dice_gradient.gradients import gradient, shown_losses, spread
from metriseg.experiments.dice_gradient.pictures import draw_gradients, figures
from metriseg.experiments.dice_gradient.report import tables
from metriseg.experiments.dice_gradient.training import (
    LOSSES,
    OPTIMIZERS,
    Data,
    Plan,
    Trial,
    new_network,
    predict,
    run_epoch,
    split,
    train,
)
from metriseg.experiments.dice_gradient.volumes import BEYOND, CLASSES, read_volumes
from metriseg.experiments.records import Record
from metriseg.experiments.tables import progress

FULL_SEEDS, FULL_EPOCHS = 3, 100
#: Of the network whose gradients are shown.
BRIEF = 3
PICTURE = "figure_1.png"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the record doesn't have, print the tables and draw the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.dice_gradient",
        description=__doc__.partition("\n\n")[0],
    )
    plan = Plan()
    parser.add_argument("--output", type=Path, default=Path("work_dirs/dice_gradient"))
    parser.add_argument(
        "--full", action="store_true", help="three seeds and more epochs, for hours"
    )
    parser.add_argument("--losses", nargs="+", choices=LOSSES, metavar="LOSS", default=list(LOSSES))
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=int, help=f"a row (default 1; {FULL_SEEDS} with --full)")
    parser.add_argument(
        "--epochs", type=int, help=f"(default {plan.epochs}; {FULL_EPOCHS} with --full)"
    )
    parser.add_argument("--width", type=int, default=plan.width, help="of the network")
    for name in ("volumes", "validation", "test"):
        number = getattr(plan, name)
        parser.add_argument(f"--{name}", type=int, default=number, help=f"(default {number})")
    given = parser.parse_args(arguments)
    plan = plan._replace(
        epochs=given.epochs or (FULL_EPOCHS if given.full else plan.epochs),
        width=given.width,
        volumes=given.volumes,
        validation=given.validation,
        test=given.test,
    )
    try:
        known = read_volumes("train", plan.volumes + plan.validation)
        if len(known) <= plan.volumes:
            raise ValueError(f"--volumes must leave some of {len(known)}, got {plan.volumes}")
        data = split(known, read_volumes("val", plan.test), plan)
        record = Record(given.output / "results.json", plan._asdict())
    except ValueError as error:
        parser.error(str(error))
    compare_gradients(data, plan, record, given.output / PICTURE)
    seeds = given.seeds or (FULL_SEEDS if given.full else 1)
    trials = [
        Trial(optimizer, loss, seed)
        for seed in range(seeds)
        for optimizer in given.optimizers
        for loss in given.losses
    ]
    measure(data, plan, record, trials)
    results = record.results
    print("\n\n".join(f"{name}\n\n{text}" for name, text in tables(results).items()))
    for path in [given.output / PICTURE, *figures(results, given.output)]:
        progress(str(path))


def measure(data: Data, plan: Plan, record: Record, trials: Iterable[Trial]) -> None:
    """Each training that the record doesn't have."""
    trials = list(trials)
    for number, trial in enumerate(trials, 1):
        if record.find(**trial._asdict()) is None:
            one = record.add(train(data, trial, plan))
            progress(
                f"{number} of {len(trials)}: {trial.optimizer}, {trial.loss}, seed {trial.seed}:"
                f" validation Dice {max(one['validation'], default=0):.4f},"
                f" {one['seconds']:.0f} s"
            )


def compare_gradients(data: Data, plan: Plan, record: Record, path: Path) -> None:
    """The picture of the gradients, and their ranges in the record, where either is missing.

    Of the first test volume the slice with the most labelled pixels is shown, and there the larger
    structure.
    """
    known = {name: record.find(gradient=name) for name in shown_losses()}
    if path.is_file() and None not in known.values():
        return
    network = new_network(plan, 0)
    optimizer = OPTIMIZERS["Adam"](network.parameters())
    for _ in range(min(BRIEF, plan.epochs)):
        run_epoch(network, LOSSES["cross-entropy"](), optimizer, data.train, plan.batch)
    volume = data.test[0]
    place = int((volume.labels > 0).sum((1, 2)).argmax())
    inside = volume.labels[place] != BEYOND
    rows, columns = slice(int(inside.any(1).sum())), slice(int(inside.any(0).sum()))
    labels = volume.labels[place, rows, columns]
    p = predict(network, volume)[place, :, rows, columns]
    k = max(range(1, len(CLASSES)), key=lambda k: int((labels == k).sum()))
    maps = {name: gradient(loss, p, labels)[k] for name, loss in shown_losses().items()}
    ranges: dict[str, Any] = {name: spread(values) for name, values in maps.items()}
    decibels = {name: one.decibels for name, one in ranges.items()}
    for name, one in ranges.items():
        if known[name] is None:
            entry = {"gradient": name, "structure": CLASSES[k], **one._asdict()}
            record.add({**entry, "decibels": one.decibels})
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_gradients(path, CLASSES[k], (labels == k).numpy(), p[k].double().numpy(), maps, decibels)
