"""Many pairs of small label maps: CPU seconds of their tables and variation of information.

    .venv/bin/python tests/benchmarks/many_pairs.py [--pairs 10000] [--size 256] [--segments 20]

First of maps in memory, then of files, as ``metriseg compare truth found --metric
variation_of_information`` reads them, and last what the time of the files goes into. A few distinct
maps take turns, in files of their own each.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import spatial

from metriseg.cli.files import Asked
from metriseg.cli.many import Outcome, outcomes, summaries
from metriseg.cli.pairing import paired
from metriseg.partitions import contingency_table, variation_of_information

DISTINCT = 32
NAME = "variation_of_information"

Maps = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def voronoi(size: int, segments: int, seed: int) -> NDArray[np.uint8]:
    """Each pixel's nearest of so many random points."""
    points = np.random.default_rng(seed).uniform(0, size, (segments, 2))
    pixels = np.stack(np.meshgrid(range(size), range(size), indexing="ij"), -1)
    return spatial.cKDTree(points).query(pixels)[1].astype(np.uint8)


def report(title: str, pairs: int, action: Callable[[], object]) -> None:
    """Processor time of this process; that of the wall, which others share, beside it."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{title:36} {cpu:7.2f} CPU s  {cpu / pairs * 1e3:6.3f} ms a pair  {wall:7.2f} s")


def in_turn(maps: Maps, pairs: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    return islice(cycle(maps), pairs)


def write(folder: Path, maps: Maps, pairs: int, ending: str) -> tuple[str, str]:
    sides = folder / f"truth{ending}", folder / f"found{ending}"
    for side in sides:
        side.mkdir()
    for index, both in enumerate(in_turn(maps, pairs)):
        for side, labels in zip(sides, both, strict=True):
            file = side / f"{index:06}{ending}"
            np.save(file, labels) if ending == ".npy" else Image.fromarray(labels).save(file)
    return str(sides[0]), str(sides[1])


def compared(a: str, b: str, metrics: tuple[str, ...]) -> list[Outcome]:
    pairing = paired(a, b)
    assert pairing is not None
    found = list(outcomes(pairing.pairs, Asked(metrics)))
    assert not any(one.error for one in found)
    summaries(found)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    options.add_argument("--pairs", type=int, default=10_000)
    options.add_argument("--size", type=int, default=256)
    options.add_argument("--segments", type=int, default=20)
    asked = options.parse_args()
    maps = [
        (voronoi(asked.size, asked.segments, seed), voronoi(asked.size, asked.segments, -~seed))
        for seed in range(DISTINCT)
    ]
    pairs = asked.pairs
    print(f"{pairs:,} pairs of {asked.size} x {asked.size}, {asked.segments} segments each")
    report("tables", pairs, lambda: [contingency_table(*p).values for p in in_turn(maps, pairs)])
    report(
        "tables and variation of information",
        pairs,
        lambda: [variation_of_information(contingency_table(*p)) for p in in_turn(maps, pairs)],
    )
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".npy", ".png"):
            sides = write(Path(folder), maps, pairs, ending)
            report(f"the same of {ending} files", pairs, lambda s=sides: compared(*s, (NAME,)))
            report(f"all measures of {ending} files", pairs, lambda s=sides: compared(*s, ()))
        profile = cProfile.Profile()
        few = Path(folder) / "few"
        few.mkdir()
        sides = write(few, maps, min(pairs, 1000), ".npy")
        profile.runcall(compared, *sides, (NAME,))
        pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
