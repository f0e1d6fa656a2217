"""Seconds of every loss on one core, forward and backward, in one run.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/seconds.py

Logits ``[1, 19, 512, 1024]``, float32: a street, its labels squares of 32 x 32 pixels, predicted
well but for noise. Each loss takes turns with cross-entropy, so that a drift of the machine meets
both; the median of each is shown, and of their ratios. What the first step alone does (imports,
tables that are kept) isn't counted.
"""

from __future__ import annotations

import statistics
import time
import warnings

import torch
from torch import Tensor, nn

import metriseg

SHAPE = (1, 19, 512, 1024)
SQUARE = 32
ROUNDS = 3
#: Steps that take longer are measured once.
LONG = 5.0
HEAD = ("| loss | seconds | times cross-entropy |", "| --- | ---: | ---: |")


def inputs() -> tuple[Tensor, Tensor]:
    """Logits that are right at most pixels, and labels in squares."""
    generator = torch.Generator().manual_seed(0)
    images, classes, height, width = SHAPE
    coarse = torch.randint(
        classes, (images, height // SQUARE, width // SQUARE), generator=generator
    )
    labels = coarse.repeat_interleave(SQUARE, 1).repeat_interleave(SQUARE, 2)
    own = torch.nn.functional.one_hot(labels, classes).movedim(-1, 1)
    noise = torch.randn(SHAPE, generator=generator)
    return (4.0 * own + noise).requires_grad_(), labels


def step(loss: nn.Module, logits: Tensor, labels: Tensor) -> float:
    """Seconds of forward and backward; the gradient is thrown away."""
    start = time.perf_counter()
    loss(logits, labels).backward()
    logits.grad = None
    return time.perf_counter() - start


def row(name: str, logits: Tensor, labels: Tensor) -> str:
    """A loss beside cross-entropy."""
    loss, other = metriseg.CATALOGUE[name].build(), metriseg.CrossEntropyLoss()
    first = step(loss, logits[..., :64, :64].detach().requires_grad_(), labels[..., :64, :64])
    pairs = []
    while not pairs or (len(pairs) < ROUNDS and max(first, pairs[0][0]) < LONG):
        pairs.append((step(loss, logits, labels), step(other, logits, labels)))
    ours = statistics.median(one for one, _ in pairs)
    ratio = statistics.median(one / beside for one, beside in pairs)
    return f"| `{name}` | {ours:.2f} | {ratio:.1f} |"


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    logits, labels = inputs()
    step(metriseg.CrossEntropyLoss(), logits, labels)
    print("\n".join(HEAD))
    for name in metriseg.CATALOGUE:
        print(row(name, logits, labels), flush=True)


if __name__ == "__main__":
    main()
