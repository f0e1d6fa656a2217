"""Networks trained in each way, and how well the objects that they find meet the true ones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metriseg.experiments.nuclei.images import Sample, draw_crops
from metriseg.experiments.nuclei.methods import Method, Way
from metriseg.experiments.objects import Labels
from metriseg.experiments.tables import mean_text, progress
from metriseg.models import UNet
from metriseg.partitions import (
    contingency_table,
    partition_distance,
    variation_of_information,
)

#: Intersections over union above which a found object is a true one.
THRESHOLDS = tuple(np.arange(10, 20) / 20)
DEPTH = 4
RATE = 3e-3
#: Batches by which a trained network's normalisation is measured.
MEASURED = 40

#: What is measured: a heading, and digits behind the point.
COLUMNS = {
    "F1 at 0.5": 3,
    "mean F1": 3,
    "AP at 0.5": 3,
    "partition distance": 5,
    "VI": 4,
    "error in the number": 2,
}


class Plan(NamedTuple):
    """How all networks are trained."""

    steps: int = 800
    images: int = 4
    side: int = 128
    width: int = 16


class Trained(NamedTuple):
    """A network, and what it took."""

    network: UNet
    seconds: float


class Scored(NamedTuple):
    """A way of a method with its settings, the objects in each image, and what they score."""

    method: Method
    name: str
    seed: int
    settings: Mapping[str, Any]
    labels: list[Labels]
    scores: list[dict[str, float]]
    seconds: float

    def means(self) -> dict[str, float]:
        """Over all images."""
        return {column: float(np.mean([one[column] for one in self.scores])) for column in COLUMNS}


def train(method: Method, samples: Sequence[Sample], plan: Plan, seed: int) -> Trained:
    """A network trained on random crops by AdamW under a one-cycle schedule."""
    torch.manual_seed(seed)
    drawn = np.random.default_rng(seed)
    network = UNet(1, method.channels, width=plan.width, depth=DEPTH)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=plan.steps)
    start = time.perf_counter()
    for step in range(plan.steps):
        images, objects = draw_crops(samples, plan.images, plan.side, drawn)
        images = images.contiguous(memory_format=torch.channels_last)
        loss = method.objective(network(images), objects)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % max(plan.steps // 5, 1) == 0:
            seconds = time.perf_counter() - start
            progress(
                f"{method.name}, seed {seed}: step {step + 1} of {plan.steps}, {seconds:.0f} s,"
                f" loss {loss.item():.4f}"
            )
    _measure_anew(network, samples, plan, drawn)
    return Trained(network.eval(), time.perf_counter() - start)


def _measure_anew(
    network: UNet, samples: Sequence[Sample], plan: Plan, drawn: np.random.Generator
) -> None:
    """The statistics that normalise, of the network as it has become and of many crops."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
    with torch.no_grad():
        for _ in range(MEASURED):
            network(draw_crops(samples, plan.images, plan.side, drawn)[0])


def load_or_train(
    method: Method, samples: Sequence[Sample], plan: Plan, seed: int, kept: Path | None
) -> Trained:
    """A network that lies in the folder ``kept``, or a new one, which then lies there."""
    file = None
    if kept is not None:
        file = kept / f"{method.key}_{plan.steps}x{plan.images}_width{plan.width}_seed{seed}.pt"
    if file is not None and file.is_file():
        found = torch.load(file, weights_only=True)
        network = UNet(1, method.channels, width=plan.width, depth=DEPTH)
        network.load_state_dict(found["network"])
        return Trained(network.eval(), float(found["seconds"]))
    trained = train(method, samples, plan, seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {"network": trained.network.state_dict(), "seconds": trained.seconds}
        torch.save(state, file)
    return trained


def predict(network: UNet, samples: Iterable[Sample]) -> list[Tensor]:
    """``(K, H, W)`` of each, on whole images."""
    with torch.no_grad():
        return [network(torch.from_numpy(one.image)[None, None])[0] for one in samples]


def scores(truth: Labels, found: Labels) -> dict[str, float]:
    """Of one image, by the names of :data:`COLUMNS`.

    Above an intersection over union of one half an object matches one other at most. With TP
    matches among n true and m found objects, F1 is 2 TP / (n + m), the average precision (AP)
    TP / (n + m - TP); both are 1 where there are none at all.
    """
    table = contingency_table(truth, found)
    of_objects = (table.x_labels[table.x_index] != 0) & (table.y_labels[table.y_index] != 0)
    union = table.x_sizes[table.x_index] + table.y_sizes[table.y_index] - table.values
    overlaps = (table.values / union)[of_objects]
    true, others = (np.count_nonzero(names) for names in (table.x_labels, table.y_labels))
    f1, precision = [], []
    for threshold in THRESHOLDS:
        matches = int((overlaps > threshold).sum())
        f1.append(2 * matches / (true + others) if true + others else 1.0)
        precision.append(matches / (true + others - matches) if true + others else 1.0)
    values = (
        f1[0],
        float(np.mean(f1)),
        precision[0],
        partition_distance(table, normalized=True),
        variation_of_information(table),
        float(abs(true - others)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def score(
    way: Way, settings: Mapping[str, Any], outputs: Sequence[Tensor], samples: Sequence[Sample]
) -> tuple[list[Labels], list[dict[str, float]]]:
    """The objects of each image, and what they score."""
    found = [way.label(output, **settings) for output in outputs]
    pairs = zip(samples, found, strict=True)
    return found, [scores(one.objects, labels) for one, labels in pairs]


def tune(way: Way, outputs: Sequence[Tensor], samples: Sequence[Sample]) -> dict[str, Any]:
    """The settings of the best mean F1: one after the other, until none gets better."""
    known: dict[tuple[Any, ...], float] = {}

    def value(settings: Mapping[str, Any]) -> float:
        key = tuple(settings.values())
        if key not in known:
            found = score(way, settings, outputs, samples)[1]
            known[key] = float(np.mean([one["mean F1"] for one in found]))
        return known[key]

    chosen = {name: values[len(values) // 2] for name, values in way.values.items()}
    while True:
        before = dict(chosen)
        for name, values in way.values.items():
            chosen = max(({**chosen, name: one} for one in values), key=value)
        if chosen == before:
            return chosen


def report(rows: Sequence[Scored]) -> str:
    """Means over the seeds, with their standard deviation, in Markdown."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for one in rows:
        groups.setdefault((one.method.name, one.name), []).append(one)
    lines = [
        "| trained with | objects by | " + " | ".join(COLUMNS) + " | training, s |",
        "| --- | --- |" + " ---: |" * (len(COLUMNS) + 1),
    ]
    for names, members in groups.items():
        cells = [
            mean_text([one.means()[column] for one in members], digits)
            for column, digits in COLUMNS.items()
        ]
        seconds = f"{np.mean([one.seconds for one in members]):.0f}"
        lines.append(f"| {' | '.join([*names, *cells, seconds])} |")
    return "\n".join(lines)
