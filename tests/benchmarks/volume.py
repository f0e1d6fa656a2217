"""Two segmentations of a volume compared in bounded memory, tile by tile, from Zarr.

    .venv/bin/python tests/benchmarks/volume.py [--size 512] [--chunk 128] [--segment 32]

The volumes (uint32, wavy boxes of about ``segment`` voxels a side) are written chunk by chunk to a
temporary directory and never held whole. Each way of reading them runs in a process of its own,
whose largest resident memory is told beside what it held before. What 2048^3 would take is
extrapolated: time and table grow with the voxels, what is read at once doesn't grow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np
import zarr

from metriseg.partitions import adapted_rand_error, contingency_table, variation_of_information
from metriseg.partitions.counting.blocks import regions

LARGE = 2048
WORKERS = 2


class Taken(NamedTuple):
    """Seconds; MiB resident before and at most, and of the table; its cells; distances."""

    seconds: float
    before: float
    most: float
    table: float
    cells: int
    values: tuple[float, ...]


def boxes(place: tuple[slice, ...], size: int, segment: int, phase: float) -> np.ndarray:
    """Labels of the boxes that a wavy grid cuts this part of the volume into."""
    z, y, x = np.ogrid[place]
    per_side = size // segment + 3
    bent = [
        along + segment + phase * segment + 4 * np.sin(across / 9)
        for along, across in ((z, y), (y, x), (x, z))
    ]
    k, j, i = ((one // segment).astype(np.uint32) for one in bent)
    return (k * per_side + j) * per_side + i


def write(folder: Path, size: int, chunk: int, segment: int) -> None:
    for name, phase, side in (("x", 0.0, segment), ("y", 0.4, segment + 3)):
        array = zarr.create_array(
            folder / name, shape=(size,) * 3, chunks=(chunk,) * 3, dtype=np.uint32
        )
        for place in regions(array.shape, array.chunks):
            array[place] = boxes(place, size, side, phase)


def resident() -> float:
    """The most MiB that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, way: str) -> Taken:
    x, y = (zarr.open_array(folder / name, mode="r") for name in "xy")
    before, start = resident(), time.perf_counter()
    if way == "dask":
        with dask.config.set(scheduler="threads", num_workers=WORKERS):
            table = contingency_table(da.from_zarr(x), da.from_zarr(y))
    else:
        table = contingency_table(x, y)
    values = variation_of_information(table), adapted_rand_error(table)
    seconds = time.perf_counter() - start
    held = sum(column.nbytes for column in table.cells if column is not None) / 2**20
    return Taken(seconds, before, resident(), held, len(table.values), values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--segment", type=int, default=32)
    arguments = parser.parse_args()
    size = arguments.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        write(folder, size, arguments.chunk, arguments.segment)
        print(
            f"2 volumes of {size}^3 voxels, {4 * size**3 / 2**20:,.0f} MiB each, in chunks of"
            f" {arguments.chunk}^3, written in {time.perf_counter() - start:.1f} s"
        )
        for way in ("zarr", "dask"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                report(way, size, pool.submit(measure, folder, way).result())


def report(way: str, size: int, taken: Taken) -> None:
    times = (LARGE / size) ** 3
    grown = taken.most - taken.before
    speed = size**3 / taken.seconds / 1e6
    print(
        f"\n{way}: {taken.seconds:.1f} s ({speed:.0f} million voxels/s), {taken.cells:,} cells\n"
        f"  resident {taken.before:.0f} MiB before, {taken.most:.0f} at most: {grown:.0f} for the"
        f" comparison, {taken.table:.1f} of it the table\n"
        f"  variation of information {taken.values[0]:.4f}, adapted Rand error"
        f" {taken.values[1]:.4f}\n"
        f"  extrapolated to {LARGE}^3 ({times:g} x the voxels): {taken.seconds * times / 60:.0f}"
        f" min, a table of {taken.cells * times:,.0f} cells ({taken.table * times:,.0f} MiB)"
    )


if __name__ == "__main__":
    main()
