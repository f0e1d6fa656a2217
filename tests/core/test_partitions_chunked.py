"""Tables of Dask, Zarr and memory-mapped arrays: exactly those of the same arrays in memory."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import ContingencyTable, contingency_table
from metriseg.partitions.counting import arrays, blocks, chunked
from metriseg.partitions.counting.chunked import FAN_IN

da = pytest.importorskip("dask.array", reason="needs the extra scale")
zarr = pytest.importorskip("zarr", reason="needs the extra scale")

SHAPE = (20, 33, 41)
IGNORE = {"x": 3, "y": [1, -1]}


def volume(regions: int, seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Blocky segments: boxes of 3 to 5 pixels, of labels that repeat."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, regions, tuple(-(-n // 3) for n in shape))
    for axis, length in enumerate(shape):
        labels = labels.repeat(rng.integers(3, 6, labels.shape[axis]), axis)
        labels = labels.take(range(length), axis)
    return labels


@pytest.fixture
def x() -> np.ndarray:
    return volume(9, seed=0)


@pytest.fixture
def y() -> np.ndarray:
    labels = volume(7, seed=1)
    labels[0, 0, :5] = -1
    return labels


@pytest.fixture
def weight() -> np.ndarray:
    """Small whole numbers: their sums are exact in whatever order."""
    return np.random.default_rng(2).integers(0, 4, (2, *SHAPE)).astype(float)


def expected(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Pixel by pixel: pair of labels -> measure."""
    total: dict[tuple[int, int], Any] = {}
    for place in np.ndindex(x.shape):
        pair = int(x[place]), int(y[place])
        if pair[0] != 3 and pair[1] not in (1, -1):
            one = 1 if weight is None else weight[(slice(None), *place)]
            total[pair] = total.get(pair, 0) + one
    return {pair: mass for pair, mass in total.items() if np.any(mass > 0)}


def entries(table: ContingencyTable) -> dict:
    cells = table.cells
    pairs = zip(cells.x.tolist(), cells.y.tolist(), strict=True)
    return dict(zip(pairs, cells.values, strict=True))


def same_entries(table: ContingencyTable, wanted: dict) -> bool:
    found = entries(table)
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[pair], wanted[pair]) for pair in wanted
    )


#: How each array of the four is held.
DASK = {
    "uneven": lambda a: da.from_array(a, chunks=((7, 13), (33,), (1, 40))[-a.ndim :]),
    "small": lambda a: da.from_array(a, chunks=6),
    "automatic": lambda a: da.from_array(a),
    "one empty chunk": lambda a: da.concatenate([da.from_array(a[:0]), da.from_array(a, chunks=9)]),
}


@pytest.mark.parametrize("name", DASK)
def test_dask_gives_the_table_of_the_whole(name: str, x: np.ndarray, y: np.ndarray) -> None:
    hold = DASK[name]
    table = contingency_table(hold(x), hold(y), ignore=IGNORE)
    assert same_entries(table, expected(x, y))
    assert table == contingency_table(x, y, ignore=IGNORE)


def test_chunks_that_differ_are_aligned(x: np.ndarray, y: np.ndarray) -> None:
    lazily = da.from_array(x, chunks=(7, 10, 41)), da.from_array(y, chunks=(3, 33, 8))
    assert contingency_table(*lazily, ignore=IGNORE) == contingency_table(x, y, ignore=IGNORE)


def stored(values: np.ndarray, chunks: int | tuple[int, ...]) -> Any:
    """As a Zarr array in memory."""
    chunks = (chunks,) * values.ndim if isinstance(chunks, int) else chunks
    return zarr.array(values, chunks=chunks)


HELD: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": lambda a: a,
    "torch": torch.from_numpy,
    "dask": lambda a: da.from_array(a, chunks=9),
    "zarr": lambda a: stored(a, 8),
}


@pytest.mark.parametrize("lazy", ["dask", "zarr"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("others", HELD)
def test_arrays_of_different_kinds(
    lazy: str, place: int, others: str, x: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> None:
    """Weights and features with ignored labels; each of the four in turn is the lazy one."""
    held = [HELD[others](one) for one in (x, y, weight, weight[:1])]
    held[place] = HELD[lazy]((x, y, weight, weight[:1])[place])
    table = contingency_table(held[0], held[1], weight=held[2], features=held[3], ignore=IGNORE)
    assert same_entries(table, expected(x, y, weight))
    assert table == contingency_table(x, y, weight=weight, features=weight[:1], ignore=IGNORE)


@pytest.mark.parametrize("lazy", ["dask", "zarr"])
def test_a_weight_without_an_axis_of_measures(
    lazy: str, x: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> None:
    table = contingency_table(x, y, weight=HELD[lazy](weight[0]), ignore=IGNORE)
    assert table.values.ndim == 1
    assert table == contingency_table(x, y, weight=weight[0], ignore=IGNORE)


@pytest.mark.parametrize("read", [1, 1000, 1 << 20])
@pytest.mark.parametrize("chunks", [(20, 33, 41), (1, 33, 41), (8, 5, 41), (64, 64, 64)])
def test_zarr_on_disk(
    chunks: tuple[int, ...],
    read: int,
    x: np.ndarray,
    y: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Chunk by chunk, several at once, or all of it."""
    monkeypatch.setattr(chunked, "READ", read)
    kept = []
    for name, labels, steps in (("x", x, chunks), ("y", y, (9, 9, 9))):
        array = zarr.create_array(
            tmp_path / name, shape=labels.shape, chunks=steps, dtype=labels.dtype
        )
        array[:] = labels
        kept.append(zarr.open_array(tmp_path / name, mode="r"))
    wanted = contingency_table(x, y, ignore=IGNORE)
    assert contingency_table(*kept, ignore=IGNORE) == wanted
    by_dask = [da.from_zarr(one) for one in kept]
    assert contingency_table(*by_dask, ignore=IGNORE) == wanted


def test_update_adds_to_what_is_there(x: np.ndarray, y: np.ndarray) -> None:
    table = contingency_table(x, y, ignore=IGNORE)
    table.update(stored(x, 8), y, ignore=IGNORE)
    table.update(da.from_array(x, chunks=9), y, ignore=IGNORE)
    assert table == sum([contingency_table(x, y, ignore=IGNORE)] * 3)


@pytest.mark.parametrize("lazy", ["dask", "zarr"])
@pytest.mark.parametrize("dtype", ["<u8", ">u8"])
def test_labels_of_all_bits(lazy: str, dtype: str, x: np.ndarray, y: np.ndarray) -> None:
    """Some chunks have such labels, and others none."""
    background = 2**64 - 1
    large = np.where(x % 5 == 0, np.uint64(background), x.astype(np.uint64))
    large[:2] = 7
    given = large.astype(dtype)
    if lazy == "dask":
        chunked = pytest.importorskip("dask.array").from_array(given, chunks=3)
    else:
        chunked = stored(given, 3)
    y = y.clip(0)
    assert contingency_table(chunked, y) == contingency_table(large, y)
    left_out = contingency_table(np.where(large == background, 0, large + 1), y, ignore={"x": 0})
    counted = contingency_table(chunked, y, ignore={"x": background})
    assert counted.x_labels.dtype == np.int64
    assert counted.relabel(np.arange(1, 999)) == left_out


def test_a_tree_deeper_than_one_merge() -> None:
    """FAN_IN^2 + 1 chunks need three levels; with each pixel its own cell none may be lost."""
    n = FAN_IN**2 + 1
    labels = np.arange(n)
    table = contingency_table(da.from_array(labels, chunks=1), da.from_array(labels, chunks=3))
    assert table.values.tolist() == [1] * n
    assert table.x_labels.tolist() == labels.tolist()


def test_libraries_are_imported_when_their_arrays_come() -> None:
    """In a process of its own: none for arrays in memory, and Zarr works without Dask."""
    code = (
        "import sys, numpy\n"
        "from metriseg.partitions import contingency_table\n"
        "labels = numpy.arange(12).reshape(3, 4) // 3\n"
        "wanted = contingency_table(labels, labels)\n"
        "assert not {'dask', 'distributed', 'zarr', 'rich'} & set(sys.modules)\n"
        "sys.modules['dask'] = None\n"
        "import zarr\n"
        "table = contingency_table(zarr.array(labels, chunks=(2, 2)), labels)\n"
        "assert table == wanted and table.values.tolist() == [3] * 4"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables_pickle_without_what_can_be_made_again(x: np.ndarray, y: np.ndarray) -> None:
    """A table that was read holds indices and margins; they don't travel."""
    table = contingency_table(x, y, ignore=IGNORE)
    size = len(pickle.dumps(table))
    assert table.x_sizes.sum() == table.total
    again = pickle.loads(pickle.dumps(table))
    assert again == table
    assert len(pickle.dumps(table)) == size
    assert again.update(x, y, ignore=IGNORE) == table + table


def test_a_copy_is_its_own(x: np.ndarray, y: np.ndarray) -> None:
    table = contingency_table(x, y, ignore=IGNORE)
    twin = copy.copy(table)
    twin.update(x, y, ignore=IGNORE)
    assert table == contingency_table(x, y, ignore=IGNORE)
    assert twin == table + table


@pytest.mark.parametrize("lazy", ["numpy", "dask", "zarr"])
def test_a_bar_is_shown_when_asked_for(
    lazy: str, x: np.ndarray, y: np.ndarray, capfd: pytest.CaptureFixture
) -> None:
    hold = HELD[lazy]
    plain = contingency_table(hold(x), hold(y), ignore=IGNORE)
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""
    assert contingency_table(hold(x), hold(y), ignore=IGNORE, progress=True) == plain
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err


def test_a_bar_without_rich(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r"rich: pip install 'metriseg\[scale\]'"):
        contingency_table(x, x, progress=True)


# Memory


def peak(action: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy held at once on the way, beyond those at the start."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BIG = (96, 256, 256)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_map_is_read_block_by_block(order: str, tmp_path: Path) -> None:
    """2 x 24 MiB of labels and 24 MiB of weights, in either order of memory.

    A block of 2^16 pixels costs a few arrays of half a MiB: 6 MiB is above them and far below
    one copy of the labels.
    """
    labels = volume(9, 0, BIG).astype(np.int32)
    maps = []
    for name in ("x", "y", "weight"):
        one = np.memmap(tmp_path / name, np.int32, "w+", shape=BIG, order=order)
        one[:] = labels
        one.flush()
        maps.append(np.memmap(tmp_path / name, np.int32, "r", shape=BIG, order=order))
    assert peak(lambda: contingency_table(maps[0], maps[1], weight=maps[2])) < 6 << 20


def test_a_view_that_skips_pixels_is_not_copied_whole() -> None:
    """Every second voxel of every axis but the first: 2 x 24 MiB, were they copied."""
    labels = np.zeros((96, 512, 512), np.int32)[:, ::2, ::-2]
    assert peak(lambda: contingency_table(labels, labels)) < 6 << 20


@pytest.mark.parametrize("chunks", [(64, 64, 64), (1, 256, 256), (32, 32, 32)])
def test_zarr_is_read_chunk_by_chunk(
    chunks: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 x 24 MiB, of which a read takes 1 MiB each: a third of one volume is plenty."""
    monkeypatch.setattr(chunked, "READ", 1 << 18)
    labels = volume(9, 0, BIG).astype(np.int32)
    array = zarr.create_array(tmp_path / "x", shape=BIG, chunks=chunks, dtype=np.int32)
    array[:] = labels
    array = zarr.open_array(tmp_path / "x", mode="r")
    assert peak(lambda: contingency_table(array, array)) < 8 << 20


def test_dask_holds_the_chunks_at_work_alone() -> None:
    """256 MiB of labels, never made at once: eight chunks of 2 MiB on two threads."""
    import dask

    def chunk(block_info: Any = None) -> np.ndarray:
        (low, high), *_ = block_info[None]["array-location"]
        return np.arange(low, high)[:, None, None] // 4 + np.zeros((1, 256, 256), np.int64)

    made = da.map_blocks(chunk, chunks=((4,) * 128, (256,), (256,)), dtype=np.int64)
    assert made.nbytes == 256 << 20
    with dask.config.set(scheduler="threads", num_workers=2):
        assert peak(lambda: contingency_table(made, made)) < 32 << 20


# Blocks


@pytest.mark.parametrize(
    ("shape", "pixels", "block"),
    [
        ((4096, 4096), 1 << 16, (16, 4096)),
        ((10,), 100, (10,)),
        ((), 100, ()),
        ((3, 10, 10), 100, (1, 10, 10)),
        ((3, 101), 100, (1, 51)),
        ((7, 70000), 1 << 16, (1, 35000)),
        ((5, 5), 1, (1, 1)),
    ],
)
def test_blocks_are_whole_rows(shape: tuple[int, ...], pixels: int, block: tuple[int, ...]) -> None:
    """4096^2: 65,536 / 4096 = 16 rows; 70,000 pixels a row: two equal parts."""
    assert blocks.block_shape(shape, pixels) == block


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 4, 5), ()])
@pytest.mark.parametrize("pixels", [1, 4, 11, 1000])
def test_regions_hold_every_pixel_once(shape: tuple[int, ...], pixels: int) -> None:
    seen = np.zeros(shape, int)
    for region in blocks.regions(shape, blocks.block_shape(shape, pixels)):
        assert seen[region].size <= pixels
        seen[region] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_every_order_of_memory_gives_the_same_table(
    axes: tuple[int, ...],
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The arrays laid out by other axes, and seen in the same shape; blocks of a few pixels."""
    monkeypatch.setattr(arrays, "BLOCK", 50)
    back = np.argsort(axes)
    turned = np.ascontiguousarray(x.transpose(axes)).transpose(back)
    assert turned.shape == x.shape
    table = contingency_table(turned, y[::-1][::-1], weight=weight, ignore=IGNORE)
    assert same_entries(table, expected(x, y, weight))


@pytest.mark.parametrize("step", [1, 2**31 - 1, 2**55 + 1])
def test_labels_of_any_size_group_alike(step: int, x: np.ndarray, y: np.ndarray) -> None:
    """Keys that fit beside their place in 63 bits, that don't, and that don't fit at all."""
    wanted = {(a * step, b * step): n for (a, b), n in expected(x, y).items()}
    scaled = np.where(y < 0, y, y * step)
    table = contingency_table(x * step, scaled, ignore={"x": 3 * step, "y": [step, -1]})
    assert same_entries(table, wanted)


# Errors


@pytest.mark.parametrize("lazy", ["dask", "zarr"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros((4, 5), int)}, r"y must have the shape of x, \(4, 4\), got \(4, 5\)"),
        ({"y": np.zeros((4, 4))}, "y must hold integer labels, got dtype float64"),
        ({"y": np.full((4, 4), -2)}, "y must hold labels that are not negative"),
        ({"weight": np.zeros((3, 4))}, r"weight must have shape \(4, 4\) or \(R, 4, 4\)"),
        ({"weight": np.full((4, 4), np.nan)}, "weight must be finite"),
        ({"features": np.zeros((4, 4))}, r"features must have shape \(F, 4, 4\)"),
        ({"features": np.full((1, 4, 4), np.inf)}, "features must be finite"),
        ({"ignore": 0.5}, "ignore must be an integer label"),
    ],
)
def test_errors(lazy: str, arguments: dict[str, Any], message: str) -> None:
    given = {"x": np.zeros((4, 4), int), "y": np.zeros((4, 4), int), **arguments}
    held = {
        name: HELD[lazy](one) if isinstance(one, np.ndarray) else one for name, one in given.items()
    }
    with pytest.raises(ValueError, match=message):
        contingency_table(held.pop("x"), held.pop("y"), **held)


@pytest.mark.parametrize("lazy", ["dask", "zarr"])
def test_empty_arrays(lazy: str) -> None:
    empty = np.zeros((0, 4), int)
    held = da.from_array(empty) if lazy == "dask" else zarr.zeros((0, 4), dtype=int)
    with pytest.raises(ValueError, match="x must hold at least one pixel"):
        contingency_table(held, empty)


def test_a_zarr_group_is_no_label_map() -> None:
    with pytest.raises(ValueError, match="x must hold integer labels"):
        contingency_table(zarr.group(), np.arange(3))


def test_unknown_chunk_sizes() -> None:
    labels = da.from_array(np.arange(6), chunks=2)
    with pytest.raises(ValueError, match="x must have known chunk sizes"):
        contingency_table(labels[labels > 2], np.arange(3))


# A cluster, last: while it runs, it computes all that is Dask's


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="needs the extra scale")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as started,
        distributed.Client(started) as client,
    ):
        yield client


def test_a_cluster_gives_the_same_table(
    cluster: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> None:
    """With a bar and without."""
    lazily = [da.from_array(one, chunks=11) for one in (x, y)]
    wanted = contingency_table(x, y, weight=weight, features=weight, ignore=IGNORE)
    for progress in (False, True):
        found = contingency_table(
            *lazily, weight=weight, features=weight, ignore=IGNORE, progress=progress
        )
        assert found == wanted


def test_chunks_stay_on_the_cluster(cluster: Any) -> None:
    """Each chunk's label is the process that makes it: 4 chunks of 6 pixels, none made here."""
    made = da.map_blocks(
        lambda _: np.full(6, os.getpid()), da.zeros(24, chunks=6), dtype=int, meta=np.empty(0, int)
    )
    table = contingency_table(made, np.zeros(24, int))
    assert table.total == 24
    assert set(table.x_labels) <= set(cluster.run(os.getpid).values())
    assert os.getpid() not in table.x_labels


def test_an_error_on_a_cluster_is_the_error_here(cluster: Any, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="x must hold labels that are not negative"):
        contingency_table(da.from_array(x - 1, chunks=11), x)
