"""One training step of the partition distance at 512 x 512: seconds and peak memory.

    .venv/bin/python tests/benchmarks/partition_loss.py

About 1,000 predicted segments against 64 true ones, forward and backward: the distance of a sparse
soft assignment of eight candidates, the same straight-through, the whole way from a one-channel
prediction by KNNSegments (quantisation, components, search and distance), and 64 frequencies of a
six-dimensional embedding by KernelSegments. Memory is the peak of what torch's operations hold at
once beyond their inputs.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from metriseg.batch import Batch
from metriseg.extraction import KernelSegments, KNNSegments
from metriseg.functional import soft_partition_distance

SIDE = 512
ROUNDS = 7


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_bytes(action: Callable[[], None]) -> int:
    """The largest sum of live allocations made during the action."""
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        action()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in events))


def batch_of(logits: torch.Tensor) -> Batch:
    labels = torch.zeros(1, SIDE, SIDE, dtype=torch.int64)
    return Batch.from_tensors(logits, labels, activation="sigmoid")


def main() -> None:
    noise = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    smooth = ndimage.gaussian_filter(noise, 5.0)
    values = torch.from_numpy(smooth / smooth.std()).float()[None, None].requires_grad_()
    embedding = torch.randn(1, 6, SIDE, SIDE, requires_grad=True)
    tiles = torch.arange(SIDE) // (SIDE // 8)
    truth = (8 * tiles[:, None] + tiles)[None]

    knn, kernel = KNNSegments(), KernelSegments(frequencies=64)
    p = knn.assign(batch_of(values))
    shares = p.value.detach().requires_grad_()

    def of_shares(straight: bool, form: str) -> Callable[[], None]:
        given = p._replace(value=shares, own=p.own if straight else None)

        def action() -> None:
            soft_partition_distance(given, truth.flatten(1), form=form).sum().backward()
            shares.grad = None

        return action

    def of_prediction() -> None:
        knn.distance(batch_of(values), truth, None, "paper").sum().backward()
        values.grad = None

    def of_kernel() -> None:
        kernel.distance(batch_of(embedding), truth, None).sum().backward()
        embedding.grad = None

    contenders = {
        "soft, 8 candidates": of_shares(False, "frobenius"),
        "soft, 8 candidates, paper's form": of_shares(False, "paper"),
        "straight-through": of_shares(True, "frobenius"),
        "straight-through, paper's form": of_shares(True, "paper"),
        "KNNSegments, all of it": of_prediction,
        "KernelSegments, 64 frequencies": of_kernel,
    }
    print(
        f"{SIDE} x {SIDE} pixels, {p.segments} predicted and {int(truth.max()) + 1} true segments,"
        f" float32, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, action in contenders.items():
        peak = peak_bytes(action)
        median = statistics.median(seconds(action) for _ in range(ROUNDS))
        print(f"{name:34} {median:6.3f} s (median of {ROUNDS}) {peak / 2**20:6.1f} MiB peak")
    print("target: below 1 s on two cores, below 500 MB")


if __name__ == "__main__":
    main()
