"""Every method trained on the same images, and what its segments of fresh ones are worth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metriseg.components import connected_components
from metriseg.experiments.shapes.methods import (
    BASELINES,
    LEAST_PIXELS,
    METHODS,
    Images,
    Labels,
    Method,
    draw_images,
)
from metriseg.experiments.tables import progress
from metriseg.models import SegNet
from metriseg.partitions import partition_scores

#: Names in :func:`~metriseg.partitions.partition_scores`, and in the table.
SCORES = {
    "normalized_partition_distance": "partition distance",
    "variation_of_information": "VI (nats)",
    "adapted_rand_error": "adapted Rand error",
}
#: How far the number of objects is from the true one, on average.
COUNT = "error of the count"
#: How often a training is looked at, the untrained network included.
LOOKS = 5
#: Of the images to measure with.
FRESH_SEED = 1_000_000
#: Images in a figure.
SHOWN = 4


@dataclass(frozen=True)
class Settings:
    """All that the results depend on.

    Attributes:
        steps: of the optimiser, the same for every method.
        batch: images a step.
        images: different ones to learn from.
        fresh: images to measure with, of another seed.
        rate: the highest learning rate.
        width: of the network.
        side: of the images, in pixels.
        least_gap: between two shapes, in pixels; 0 lets them touch.
    """

    steps: int = 450
    batch: int = 4
    images: int = 1000
    fresh: int = 100
    rate: float = 2e-3
    width: int = 16
    side: int = 100
    least_gap: int = 0

    def draw(self, count: int, seed: int) -> Images:
        return draw_images(count, seed, side=self.side, least_gap=self.least_gap)


class Trained(NamedTuple):
    """A network, and its outputs for a few images at some steps of its training."""

    network: SegNet
    looks: dict[int, Tensor]
    seconds: float


def new_network(method: Method, settings: Settings, seed: int) -> SegNet:
    """The same random numbers for every method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SegNet(3, method.channels, width=settings.width)


def train(name: str, data: Images, shown: Tensor, settings: Settings, seed: int) -> Trained:
    """The network after so many steps of Adam, with a rate that rises and falls."""
    method = METHODS[name]
    network = new_network(method, settings, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.15
    )
    order = torch.Generator().manual_seed(seed)
    looked_at = {round(settings.steps * k / (LOOKS - 1)) for k in range(LOOKS)}
    looks = {0: outputs(network, shown)}
    began, losses = time.monotonic(), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(1, settings.steps + 1):
            chosen = data.chosen(
                torch.randint(len(data.images), (settings.batch,), generator=order)
            )
            loss = method.loss(network(chosen.images), chosen)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if step in looked_at:
                looks[step] = outputs(network, shown)
            if step % max(settings.steps // 10, 1) == 0:
                recent = statistics.fmean(losses[-max(settings.steps // 10, 1) :])
                progress(f"{name}, seed {seed}: step {step} of {settings.steps}, loss {recent:.5f}")
    return Trained(network, looks, time.monotonic() - began)


def outputs(network: SegNet, images: Tensor, chunk: int = 20) -> Tensor:
    """Without a gradient, and by the statistics that normalisation has gathered."""
    network.eval()
    with torch.no_grad():
        found = torch.cat([network(part) for part in torch.split(images, chunk)])
    network.train()
    return found


def measure(predicted: Labels, truth: Labels) -> dict[str, float]:
    """Means over images, by the names of the table."""
    rows = []
    for found, true in zip(predicted, truth, strict=True):
        scores = partition_scores(true, found, metrics=tuple(SCORES))
        row = {SCORES[name]: value for name, value in scores.items()}
        row[COUNT] = abs(count_objects(found) - int(true.max()))
        rows.append(row)
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def count_objects(labels: Labels, least: int = LEAST_PIXELS) -> int:
    """How many connected regions are no background and have so many pixels."""
    regions = connected_components(labels)[labels > 0]
    return int((np.unique(regions, return_counts=True)[1] >= least).sum())


class Row(NamedTuple):
    """A method's scores, one dictionary a seed, and the seconds that its training took."""

    name: str
    scores: list[dict[str, float]]
    seconds: float

    def mean(self, score: str) -> float:
        return statistics.fmean(one[score] for one in self.scores)

    def cell(self, score: str) -> str:
        """The mean, and the deviation where there are seeds to have one."""
        digits = 2 if score == COUNT else 4
        shown = f"{self.mean(score):.{digits}f}"
        if len(self.scores) > 1:
            shown += f" ± {statistics.stdev(one[score] for one in self.scores):.{digits}f}"
        return shown


class Results(NamedTuple):
    """What a run has found.

    Attributes:
        rows: one a method, in the order of the table.
        idle: scores of a partition of one segment, which needs no network.
        trained: the networks of the first seed, by method.
        shown: the images that the figures show.
        settings: of the run.
        seeds: of the weights and of the images to learn from.
    """

    rows: list[Row]
    idle: Row
    trained: dict[str, Trained]
    shown: Images
    settings: Settings
    seeds: tuple[int, ...]


def run(methods: Iterable[str], settings: Settings, seeds: Sequence[int]) -> Results:
    """Train every method with every seed, on the images of that seed, and measure on others."""
    fresh = settings.draw(settings.fresh, FRESH_SEED)
    truth = fresh.instances.numpy()
    shown = fresh.chosen(torch.arange(min(SHOWN, settings.fresh)))
    names = list(methods)
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    first: dict[str, Trained] = {}
    for seed in seeds:
        data = settings.draw(settings.images, seed)
        for name in names:
            trained = train(name, data, shown.images, settings, seed)
            found = METHODS[name].segments(outputs(trained.network, fresh.images))
            scores[name].append(measure(found, truth))
            seconds[name] += trained.seconds / len(seeds)
            first.setdefault(name, trained)
            values = ", ".join(f"{key} {value:.4f}" for key, value in scores[name][-1].items())
            progress(f"{name}, seed {seed}: {values}")
    rows = [Row(name, scores[name], seconds[name]) for name in names]
    idle = Row("one segment", [measure(np.zeros_like(truth), truth)], 0.0)
    return Results(rows, idle, first, shown, settings, tuple(seeds))


def report(results: Results) -> str:
    """The table, and in words what works and what doesn't."""
    settings, seeds = results.settings, results.seeds
    columns = [*SCORES.values(), COUNT]
    gap = f"at least {settings.least_gap} pixels apart" if settings.least_gap else "may touch"
    over = f"mean ± deviation over {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    lines = [
        f"SegNet of width {settings.width}, {settings.steps} steps of {settings.batch} images of"
        f" {settings.side} x {settings.side} pixels; shapes of one colour an image that {gap}.",
        f"Means over {settings.fresh} fresh images; {over}.",
        "Connected segments are compared; 0 is best everywhere.",
        "",
        "| method | trained by | " + " | ".join(columns) + " | s a training |",
        "| --- | --- |" + " ---: |" * (len(columns) + 1),
    ]
    for row in [*results.rows, results.idle]:
        words = METHODS[row.name].words if row.name in METHODS else "nothing: all is background"
        cells = " | ".join(row.cell(score) for score in columns)
        lines.append(f"| {row.name} | {words} | {cells} | {row.seconds:.0f} |")
    return "\n".join([*lines, "", *verdict(results)])


def verdict(results: Results) -> list[str]:
    """Who is nearer to the truth than the baselines, who counts better, and who hasn't learnt."""
    score = SCORES["normalized_partition_distance"]
    baselines = [row for row in results.rows if row.name in BASELINES]
    others = [row for row in results.rows if row.name not in BASELINES]
    lines = []
    if baselines:
        best = min(baselines, key=lambda row: row.mean(score))
        fewest = min(baselines, key=lambda row: row.mean(COUNT))
        for row in others:
            lines.append(
                f"* {row.name}: {_compared(row, best, score, 'nearer to the truth')};"
                f" {_compared(row, fewest, COUNT, 'better at counting')}."
            )
    for row in results.rows:
        if row.mean(score) >= results.idle.mean(score):
            lines.append(f"* {row.name}: no nearer than a single segment. It has not learnt.")
    return lines


def _compared(row: Row, other: Row, score: str, words: str) -> str:
    mine, theirs = row.mean(score), other.mean(score)
    no = "" if mine < theirs else "no "
    return f"{no}{words} than {other.name}, the best baseline ({mine:.4g} against {theirs:.4g})"
