"""Distances within the classes of a label map, beside SciPy class by class, in one run.

    .venv/bin/python tests/benchmarks/distances.py

Both see the same one-hot masks of 16 classes at 512 x 512, blobs as of a segmentation, on the CPU.
The two take turns, so that a drift of the machine meets both; the median of the ratios is what
counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from metriseg import distances
from metriseg.distances import host

CLASSES, SIZE = 16, 512
ROUNDS = 15


def blobs(seed: int = 0, smoothness: float = 20.0) -> torch.Tensor:
    """A label map ``(1, H, W)`` of every class, in regions of some dozens of pixels."""
    noise = np.random.default_rng(seed).normal(size=(CLASSES, SIZE, SIZE))
    smooth = ndimage.gaussian_filter(noise, (0, smoothness, smoothness))
    return torch.from_numpy(smooth.argmax(0))[None]


def class_by_class(masks: torch.Tensor) -> torch.Tensor:
    planes = [ndimage.distance_transform_edt(plane) for plane in masks[0].numpy()]
    return torch.from_numpy(np.stack(planes))[None]


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    labels = blobs()
    masks = torch.nn.functional.one_hot(labels, CLASSES).movedim(-1, 1).bool().contiguous()
    contenders = {
        "metriseg.distance_transform": lambda: distances.distance_transform(masks),
        "scipy, class by class": lambda: class_by_class(masks),
    }
    print(
        f"masks {list(masks.shape)}, classes present: {len(labels.unique())}, "
        f"edt {'in use' if host.edt_package() is not None else 'not installed'}"
    )
    results = [action() for action in contenders.values()]
    print(f"largest difference {(results[0] - results[1]).abs().max().item():.1e}")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, action in contenders.items():
            times[name].append(seconds(action))
    for name in contenders:
        print(f"{name:28} {statistics.median(times[name]) * 1e3:7.1f} ms (median of {ROUNDS})")
    mine, reference = contenders
    ratios = [b / a for a, b in zip(times[mine], times[reference], strict=True)]
    print(f"times faster {statistics.median(ratios):.1f}  (target: at least 3)")


if __name__ == "__main__":
    main()
