"""One training step of the weighted partition metric beside the plain one: seconds and memory.

    .venv/bin/python tests/benchmarks/weighted_partition.py

An image of 512 x 512 and a volume of 64 x 64 x 64, 64 true segments: forward and backward of each
way from a prediction to segments, without weighting, with "union", with "sum". The three are timed
in turns, so that what else the machine does meets them alike; the ratio is the median over rounds.
Memory is the peak of what torch's operations hold at once beyond their inputs.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from metriseg import PartitionLoss

SPACES = ((512, 512), (64, 64, 64))
ROUNDS = 5
#: Channels of the prediction, and the way.
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "KernelSegments, 64 frequencies": (6, {"type": "KernelSegments"}),
    "KernelSegments, 1,200 samples": (6, {"type": "KernelSegments", "samples": 1200}),
    "the same, places": (
        6,
        {"type": "KernelSegments", "samples": 1200, "pixels_per_unit": 12},
    ),
    "SlotSegments, 16 slots": (16, {"type": "SlotSegments"}),
    "ClassSegments, 4 classes": (4, {"type": "ClassSegments"}),
    "KNNSegments": (1, {"type": "KNNSegments"}),
}


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_bytes(action: Callable[[], None]) -> int:
    """The largest sum of live allocations made during the action."""
    gc.collect()
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        action()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in events))


def prediction(channels: int, space: tuple[int, ...]) -> torch.Tensor:
    """Smooth, so that its segments are larger than a pixel."""
    coarse = torch.randn(1, channels, *(side // 16 for side in space))
    mode = "bilinear" if len(space) == 2 else "trilinear"
    smooth = torch.nn.functional.interpolate(coarse, size=space, mode=mode)
    return (3 * smooth).requires_grad_()


def tiles(space: tuple[int, ...]) -> torch.Tensor:
    """64 boxes."""
    each = round(64 ** (1 / len(space)))
    found = torch.zeros(space, dtype=torch.int64)
    for axis, side in enumerate(space):
        line = torch.arange(side) // (side // each)
        found = each * found + line.view(-1, *[1] * (len(space) - 1 - axis))
    return found.unsqueeze(0)


def step(way: Any, weighting: Any, logits: torch.Tensor, truth: torch.Tensor) -> Any:
    activation = "sigmoid" if logits.shape[1] == 1 else "softmax"
    loss = PartitionLoss(way, weighting=weighting, activation=activation)
    target = torch.zeros_like(truth)

    def action() -> None:
        loss(logits, target, maps={"instances": truth}).backward()
        logits.grad = None

    return action


def main() -> None:
    torch.manual_seed(0)
    print(f"float32, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for space in SPACES:
        print(" x ".join(map(str, space)))
        truth = tiles(space)
        for name, (channels, way) in WAYS.items():
            logits = prediction(channels, space)
            steps = {key: step(way, key, logits, truth) for key in (None, "union", "sum")}
            peaks = {key: peak_bytes(one) / 2**20 for key, one in steps.items()}
            rounds = [{key: seconds(one) for key, one in steps.items()} for _ in range(ROUNDS)]
            for key in steps:
                median = statistics.median(one[key] for one in rounds)
                ratio = statistics.median(one[key] / one[None] for one in rounds)
                print(
                    f"  {name:32} {key!s:6} {median:7.3f} s {ratio:6.2f} x"
                    f" {peaks[key]:7.1f} MiB peak",
                    flush=True,
                )


if __name__ == "__main__":
    main()
