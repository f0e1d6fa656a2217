"""HausdorffDistanceTransformLoss beside MONAI's on one batch: seconds, in one run.

    .venv/bin/python tests/benchmarks/hausdorff.py

Both losses see the same logits ``[2, 16, 256, 256]`` and labels, forward and backward, on the CPU:
once squares of 32 x 32 pixels, predicted well but for noise, and once labels and logits that are
noise alone. The two losses take turns, so that a drift of the machine meets both; the median of
the ratios is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from monai.losses import HausdorffDTLoss
from torch import Tensor

import metriseg

SHAPE = (2, 16, 256, 256)
SQUARE = 32
ROUNDS = 9


def squares(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits that are right at most pixels, and labels in squares."""
    images, classes, height, width = SHAPE
    coarse = torch.randint(
        classes, (images, height // SQUARE, width // SQUARE), generator=generator
    )
    labels = coarse.repeat_interleave(SQUARE, 1).repeat_interleave(SQUARE, 2)
    own = torch.nn.functional.one_hot(labels, classes).movedim(-1, 1)
    return 4.0 * own + torch.randn(SHAPE, generator=generator), labels


def noise(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.randint(SHAPE[1], (SHAPE[0], *SHAPE[2:]), generator=generator)
    return torch.randn(SHAPE, generator=generator), labels


def step(loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> float:
    """Seconds of forward and backward; the gradient is thrown away."""
    start = time.perf_counter()
    loss(logits, target).backward()
    logits.grad = None
    return time.perf_counter() - start


def main() -> None:
    print(
        f"logits {list(SHAPE)} float32, {torch.get_num_threads()} threads,"
        f" torch {torch.__version__}"
    )
    ours = metriseg.HausdorffDistanceTransformLoss()
    theirs = HausdorffDTLoss(softmax=True, to_onehot_y=True)
    for content in (squares, noise):
        logits, labels = content(torch.Generator().manual_seed(0))
        logits.requires_grad_()
        value, other = ours(logits, labels).item(), theirs(logits, labels[:, None]).item()
        pairs = [
            (step(ours, logits, labels), step(theirs, logits, labels[:, None]))
            for _ in range(ROUNDS)
        ]
        print(f"{content.__name__}: values {value:.6f} and {other:.6f}")
        for name, times in zip(("metriseg", "monai"), zip(*pairs, strict=True), strict=True):
            print(f"  {name:8} {statistics.median(times) * 1e3:7.1f} ms (median of {ROUNDS})")
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"  {ratio:.1f} times faster  (target: at least 5)")


if __name__ == "__main__":
    main()
