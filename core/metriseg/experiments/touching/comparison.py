"""Networks trained in each way, and how far the objects that they find are from the true ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metriseg.data.shapes import ShapesDataset
from metriseg.experiments.objects import Labels
from metriseg.experiments.tables import mean_text
from metriseg.experiments.touching.methods import Method, Way, kernel
from metriseg.experiments.touching.picture import Row, draw_rows
from metriseg.models import UNet
from metriseg.partitions import (
    adapted_rand_error,
    contingency_table,
    partition_distance,
    variation_of_information,
)

SIZE = (64, 64)
BATCH = 8
RATE = 3e-3
VALIDATION, TEST = 64, 128
#: Seeds of the images; training takes 0, 1, ….
VALIDATION_SEED, TEST_SEED = 1_000_001, 1_000_002

#: What is measured: a heading, and digits behind the point.
COLUMNS = {
    "partition distance": 5,
    "variation of information": 4,
    "adapted Rand error": 5,
    "adapted Rand error, objects": 5,
    "error in the number": 3,
}

#: Test images of the picture, and the headings of the ways that it shows; ours comes last.
PICTURED = 4
TITLES = {
    "cross-entropy": {"components": "cross-entropy\n+ components"},
    "cross-entropy with a boundary class": {"watershed": "boundary class\n+ watershed"},
    "cross-entropy + slots": {"fullest slot": "slots"},
    "cross-entropy + kernel": {"grouping": "kernel (ours)\n+ grouping"},
}


class Scenes(NamedTuple):
    """Images ``(N, 3, H, W)`` and their objects ``(N, H, W)``, 0 for background."""

    images: Tensor
    instances: Tensor


class Trained(NamedTuple):
    """A network, a way to objects with its best settings, and how far those of the test are off."""

    method: str
    name: str
    seed: int
    values: dict[str, float]
    network: UNet
    way: Way


def draw_scenes(count: int, seed: int) -> Scenes:
    """So many images of the data set of a seed."""
    data = ShapesDataset(count, size=SIZE, seed=seed)
    samples = [data[index] for index in range(count)]
    images = torch.stack([one.image for one in samples])
    return Scenes(images, torch.stack([one.instances for one in samples]))


def train(method: Method, scenes: Scenes, *, seed: int, width: int = 16) -> UNet:
    """A network trained on every image once, in batches, by AdamW under a one-cycle schedule."""
    torch.manual_seed(seed)
    network = UNet(3, method.channels, width=width, coordinates=True)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    steps = len(scenes.images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        images = scenes.images[batch].contiguous(memory_format=torch.channels_last)
        loss = method.objective(network(images), scenes.instances[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        _progress(f"{method.name}, seed {seed}", step + 1, steps, loss.item())
    return network.eval()


def predict(network: UNet, images: Tensor) -> Tensor:
    """``(N, K, H, W)``: the outputs."""
    with torch.no_grad():
        return torch.cat([network(some) for some in torch.split(images, BATCH)])


def errors(found: Labels, truth: Labels) -> tuple[float, ...]:
    """Of one image, in the order of :data:`COLUMNS`."""
    table = contingency_table(truth, found)
    objects = contingency_table(truth, found, ignore={"x": 0})
    number = len(np.setdiff1d(found, 0)) - len(np.setdiff1d(truth, 0))
    return (
        partition_distance(table, normalized=True),
        variation_of_information(table),
        adapted_rand_error(table),
        adapted_rand_error(objects),
        float(abs(number)),
    )


def mean_errors(found: Iterable[Labels], truth: Iterable[Labels]) -> dict[str, float]:
    """Over all images."""
    values = [errors(one, other) for one, other in zip(found, truth, strict=True)]
    return dict(zip(COLUMNS, np.mean(values, 0).tolist(), strict=True))


def best_way(ways: Sequence[Way], outputs: Tensor, truth: Iterable[Labels]) -> Way:
    """The one of the least partition distance."""
    truth = list(truth)
    distances = [mean_errors(map(way, outputs), truth)["partition distance"] for way in ways]
    return ways[int(np.argmin(distances))]


def run(
    chosen: Iterable[Method],
    *,
    seeds: int,
    steps: int,
    width: int = 16,
    validation: int = VALIDATION,
    test: int = TEST,
) -> Iterator[Trained]:
    """Every method on every seed, and each of its ways."""
    chosen = list(chosen)
    tuning, fresh = draw_scenes(validation, VALIDATION_SEED), draw_scenes(test, TEST_SEED)
    for seed in range(seeds):
        scenes = draw_scenes(steps * BATCH, seed)
        for method in chosen:
            network = train(method, scenes, seed=seed, width=width)
            known, outputs = predict(network, tuning.images), predict(network, fresh.images)
            for name, ways in method.ways.items():
                way = best_way(ways, known, tuning.instances.numpy())
                values = mean_errors(map(way, outputs), fresh.instances.numpy())
                print(f"{method.name}, {name}: {way.keywords}, {values}", file=sys.stderr)
                yield Trained(method.name, name, seed, values, network, way)


def variations() -> list[Method]:
    """Ours, with one setting changed at a time."""
    return [
        kernel("weight 0.3, 6 dimensions, 64 frequencies, bandwidth 1"),
        kernel("weight 0.1", weight=0.1),
        kernel("weight 1", weight=1.0),
        kernel("pairs with the background too", include_background=True),
        kernel("2 dimensions", dimension=2),
        kernel("16 dimensions", dimension=16),
        kernel("density: root", density="root"),
        kernel("density: segment", density="segment"),
        kernel("the same frequencies at every step", seed=0),
        kernel("16 frequencies", frequencies=16),
        kernel("256 frequencies", frequencies=256),
        kernel("bandwidth 0.5", bandwidth=0.5),
        kernel("bandwidth 2", bandwidth=2.0),
        kernel("windows of 32", window=32),
    ]


def report(results: Sequence[Trained]) -> str:
    """Means over the seeds, with their standard deviation, in Markdown."""
    groups: dict[tuple[str, str], list[Trained]] = {}
    for one in results:
        groups.setdefault((one.method, one.name), []).append(one)
    lines = [
        "| trained with | objects by | " + " | ".join(COLUMNS) + " |",
        "| --- | --- |" + " ---: |" * len(COLUMNS),
    ]
    for names, members in groups.items():
        cells = [
            mean_text([one.values[column] for one in members], digits)
            for column, digits in COLUMNS.items()
        ]
        lines.append(f"| {' | '.join([*names, *cells])} |")
    return "\n".join(lines)


def draw(path: Path, results: Sequence[Trained], fresh: Scenes) -> None:
    """What the first seed's networks make of the images whose objects touch most."""
    order = np.argsort([-contact(one) for one in fresh.instances.numpy()], kind="stable")
    chosen = torch.from_numpy(order[:PICTURED])
    images, truth = fresh.images[chosen], fresh.instances[chosen].numpy()
    found: list[dict[str, Labels]] = [{} for _ in chosen]
    embeddings = np.zeros((len(chosen), 1, *SIZE))
    for one in results:
        if one.seed == 0 and one.name in TITLES.get(one.method, {}):
            outputs = predict(one.network, images)
            for labels, output in zip(found, outputs, strict=True):
                labels[TITLES[one.method][one.name]] = one.way(output)
            embeddings = outputs[:, 2:].double().numpy()
    rows = zip(images.double().numpy(), truth, found, embeddings, strict=True)
    draw_rows(path, [Row(*row) for row in rows])


def contact(truth: Labels) -> int:
    """How many neighbouring pixels belong to different objects."""
    pairs = [(truth[1:], truth[:-1]), (truth[:, 1:], truth[:, :-1])]
    return int(sum(((a != b) & (a > 0) & (b > 0)).sum() for a, b in pairs))


def _progress(what: str, done: int, count: int, loss: float) -> None:
    if done == count or done % max(count // 5, 1) == 0:
        print(f"{what}: step {done} of {count}, loss {loss:.4f}", file=sys.stderr, flush=True)
