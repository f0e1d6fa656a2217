"""DiceLoss beside MONAI's on one batch: seconds and peak memory, in one run.

    .venv/bin/python tests/benchmarks/dice.py

Both losses see the same logits ``[2, 19, 512, 512]`` and labels, forward and backward, on the CPU.
The two take turns, so that a drift of the machine meets both; the median of the ratios is what
counts. Memory is the peak of what the operations hold at once beyond their inputs, counted by
torch's profiler from every allocation.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import torch
from monai.losses import DiceLoss as MonaiDiceLoss

import metriseg

SHAPE = (2, 19, 512, 512)
ROUNDS = 15


def step(loss: Callable[..., torch.Tensor], logits: torch.Tensor, target: torch.Tensor) -> None:
    """Forward and backward; the gradient is thrown away, so that every step starts alike."""
    loss(logits, target).backward()
    logits.grad = None


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


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(SHAPE, generator=generator).requires_grad_()
    labels = torch.randint(SHAPE[1], (SHAPE[0], *SHAPE[2:]), generator=generator)
    ours, theirs = metriseg.DiceLoss(), MonaiDiceLoss(softmax=True, to_onehot_y=True)
    contenders = {
        "metriseg.DiceLoss": lambda: step(ours, logits, labels),
        "monai.losses.DiceLoss": lambda: step(theirs, logits, labels[:, None]),
    }
    value, other = ours(logits, labels).item(), theirs(logits, labels[:, None]).item()
    print(
        f"logits {list(SHAPE)} float32, {torch.get_num_threads()} threads,"
        f" torch {torch.__version__}"
    )
    print(f"values {value:.6f} and {other:.6f}")

    peaks = {name: peak_bytes(action) for name, action in contenders.items()}
    for action in contenders.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, action in contenders.items():
            times[name].append(seconds(action))
    for name in contenders:
        median = statistics.median(times[name]) * 1e3
        print(
            f"{name:22} {median:7.1f} ms (median of {ROUNDS}) {peaks[name] / 2**20:7.1f} MiB peak"
        )
    mine, reference = contenders
    ratios = [a / b for a, b in zip(times[mine], times[reference], strict=True)]
    print(f"time ratio   {statistics.median(ratios):.2f}  (target: at most 1)")
    print(f"memory ratio {peaks[mine] / peaks[reference]:.2f}  (target: at most 0.67)")


if __name__ == "__main__":
    main()
