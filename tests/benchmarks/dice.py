"""DiceLoss beside others' on one batch: seconds and peak memory, in one run.

    .venv/bin/python tests/benchmarks/dice.py

All see the same logits and labels, forward and backward, on the CPU: ``[2, 19, 512, 512]`` and
``[2, 4, 512, 512]``. They take turns, so that a drift of the machine meets all; the median of the
ratios is what counts. Memory is the peak of what the operations hold at once beyond their inputs,
counted by torch's profiler from every allocation.
"""

from __future__ import annotations

import itertools
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

import metriseg

SHAPES = ((2, 19, 512, 512), (2, 4, 512, 512))
ROUNDS = 15


def contenders() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Ours first, then those that are installed."""
    from mmseg.models.losses import DiceLoss as MmsegDiceLoss
    from monai.losses import DiceLoss as MonaiDiceLoss
    from segmentation_models_pytorch.losses import DiceLoss as SmpDiceLoss

    theirs = MonaiDiceLoss(softmax=True, to_onehot_y=True)
    return {
        "metriseg": metriseg.DiceLoss(),
        "MONAI": lambda logits, target: theirs(logits, target[:, None]),
        "MMSegmentation": MmsegDiceLoss(),
        "SMP": SmpDiceLoss("multiclass"),
        "torch's cross-entropy": torch.nn.functional.cross_entropy,
    }


def step(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> None:
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


def compare(shape: tuple[int, ...]) -> None:
    """A line for each, and how ours compares with it."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).requires_grad_()
    labels = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    actions = {
        name: (lambda loss=loss: step(loss, logits, labels)) for name, loss in contenders().items()
    }
    print(
        f"logits {list(shape)} float32, {torch.get_num_threads()} threads,"
        f" torch {torch.__version__}"
    )
    for action in actions.values():
        action()
    peaks = {name: peak_bytes(action) for name, action in actions.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            times[name].append(seconds(action))
    ours = times["metriseg"]
    size = logits.numel() * logits.element_size()
    for name, theirs in times.items():
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"{name:22} {statistics.median(theirs) * 1e3:7.1f} ms   peak {peaks[name] / size:5.2f}"
            f" of the logits   ours takes {ratio:.2f} of its time"
        )


def main() -> None:
    warnings.simplefilter("ignore")
    for shape in SHAPES:
        compare(shape)


if __name__ == "__main__":
    main()
