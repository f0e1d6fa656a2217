"""Contingency tables, beside scikit-image and scikit-learn in one run.

    .venv/bin/python tests/benchmarks/contingency.py [--size 4096] [--segments 10000]

All see the same two label maps (int64) of the nearest of random points, on the CPU. They take
turns, so that a drift of the machine meets all; the median of the ratios is what counts. Maps of
noise, in which every pixel is a run of its own, show the other end. With a GPU, the table of the
same maps there is compared with reading both maps once.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch
from scipy import spatial
from skimage import metrics
from sklearn.metrics.cluster import contingency_matrix

from metriseg.partitions import contingency_table

ROUNDS, SLOW_ROUNDS, GPU_ROUNDS = 11, 3, 50


def voronoi(size: int, segments: int, seed: int) -> np.ndarray:
    """Each pixel's nearest of so many random points."""
    points = np.random.default_rng(seed).uniform(0, size, (segments, 2))
    tree = spatial.cKDTree(points)
    columns = np.arange(size)
    labels = np.empty((size, size), np.int64)
    for row in range(size):
        pixels = np.stack([np.full(size, row), columns], 1)
        labels[row] = tree.query(pixels)[1]
    return labels


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak(action: Callable[[], object]) -> float:
    """The most MiB held at once on the way, beside the maps."""
    tracemalloc.start()
    action()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held / 2**20


def compare(title: str, x: np.ndarray, y: np.ndarray, rounds: int) -> None:
    contenders: dict[str, tuple[Callable[[], object], int, str]] = {
        # .values: all work that is put off is in the time
        "metriseg": (lambda: contingency_table(x, y).values, rounds, ""),
        "scikit-image": (lambda: metrics.contingency_table(x, y), rounds, "  (target 2)"),
        "scikit-learn": (
            lambda: contingency_matrix(x.ravel(), y.ravel(), sparse=True),
            min(rounds, SLOW_ROUNDS),
            "  (target 8)",
        ),
    }
    ours, theirs = contingency_table(x, y), contingency_matrix(x.ravel(), y.ravel(), sparse=True)
    same = (ours.to_scipy() != theirs).nnz == 0
    print(f"\n{title}: {x.shape}, {ours.shape} regions, {len(ours.values)} cells, equal {same}")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, (action, turns, _) in contenders.items():
            if turn < turns:
                times[name].append(seconds(action))
    for name, (action, turns, target) in contenders.items():
        ratios = [b / a for a, b in zip(times["metriseg"], times[name], strict=False)]
        print(
            f"{name:13} {statistics.median(times[name]) * 1e3:8.1f} ms (median of {turns:2}, best"
            f" {min(times[name]) * 1e3:8.1f}), {peak(action):7.1f} MiB,"
            f" {statistics.median(ratios):5.1f} x ours{target if title == 'segments' else ''}"
        )


def gpu_seconds(action: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def on_gpu(x: np.ndarray, y: np.ndarray) -> None:
    """The table beside the sums of both maps, which read every pixel once."""
    first, second = torch.from_numpy(x).cuda(), torch.from_numpy(y).cuda()
    actions: dict[str, Callable[[], object]] = {
        "reading both": lambda: (first.sum(), second.sum()),
        "table": lambda: contingency_table(first, second).values,
    }
    same = contingency_table(first, second) == contingency_table(x, y)
    print(f"\n{torch.cuda.get_device_name()}: equal {same}")
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(GPU_ROUNDS):
        for name, action in actions.items():
            times[name].append(gpu_seconds(action))
    for name, taken in times.items():
        print(f"{name:13} {statistics.median(taken) * 1e3:8.3f} ms (median of {GPU_ROUNDS})")
    ratios = [b / a for a, b in zip(times["reading both"], times["table"], strict=True)]
    print(f"times of reading  {statistics.median(ratios):.1f}  (target: at most 3)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--segments", type=int, default=10_000)
    arguments = parser.parse_args()
    size, segments = arguments.size, arguments.segments
    x, y = voronoi(size, segments, 0), voronoi(size, segments, 1)
    compare("segments", x, y, ROUNDS)
    compare("segments, int32", x.astype(np.int32), y.astype(np.int32), SLOW_ROUNDS)
    rng = np.random.default_rng(2)
    half = (size // 2, size // 2)
    for labels in (20, segments):
        noise = [rng.integers(0, labels, half) for _ in range(2)]
        compare(f"noise of {labels} labels", *noise, SLOW_ROUNDS)
    if torch.cuda.is_available():
        on_gpu(x, y)
    else:
        print("\nno GPU at hand: its part is left out")


if __name__ == "__main__":
    main()
