"""Label maps and images from files: what was written comes back, and what can't is refused."""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from metriseg.data.label_maps import read_image, read_label_map
from metriseg.data.nifti import check_one_space
from metriseg.data.slices import slices_of
from metriseg.partitions import contingency_table, partition_scores
from metriseg.stored import StoredArray, squeezed

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
zarr = pytest.importorskip("zarr", reason="zarr is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed")
tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")

RANDOM = np.random.default_rng(4)
FLAT = RANDOM.integers(0, 200, (7, 9))
VOLUME = RANDOM.integers(0, 200, (4, 6, 5))


def write_png(path: Path, labels: NDArray[Any]) -> None:
    Image.fromarray(labels).save(path)


def write_nifti(path: Path, labels: NDArray[Any]) -> None:
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), path)


def write_oriented(path: Path, labels: NDArray[Any], affine: NDArray[Any]) -> None:
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)


def write_zarr(path: Path, labels: NDArray[Any]) -> None:
    zarr.create_array(str(path), data=labels, chunks=(3,) * labels.ndim)


def write_bsds(path: Path, *segmentations: NDArray[Any]) -> None:
    """A cell array 1 x K of structures, as BSDS500 has it."""
    truths = np.empty((1, len(segmentations)), object)
    for index, segmentation in enumerate(segmentations):
        truths[0, index] = {"Segmentation": segmentation, "Boundaries": segmentation > 0}
    savemat(path, {"groundTruth": truths})


def write_tiff(path: Path, labels: NDArray[Any]) -> None:
    tifffile.imwrite(path, labels, photometric="minisblack")


def write_hdf5(path: Path, labels: NDArray[Any]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("labels", data=labels, chunks=(3,) * labels.ndim, compression="gzip")


def write_slices(folder: Path, labels: NDArray[Any]) -> None:
    """Numbers without leading zeros, so that 10 comes before 9 by name."""
    folder.mkdir()
    for index, one in enumerate(labels):
        write_tiff(folder / f"slice_{8 + index}.tif", one)


def write_n5(folder: Path, labels: NDArray[Any], name: str = "") -> None:
    """A root that says what it is, and the axes x, y, z that N5 lists."""
    kept = {"driver": "file", "path": f"{folder / name}/"}
    said = {"dimensions": labels.T.shape, "blockSize": (3,) * labels.ndim}
    said |= {"dataType": str(labels.dtype), "compression": {"type": "gzip"}}
    spec = {"driver": "n5", "kvstore": kept, "metadata": said}
    tensorstore.open(spec, create=True).result()[...] = labels.T
    if name:
        (folder / "attributes.json").write_text('{"n5": "2.5.1"}')


def write_precomputed(folder: Path, *scales: NDArray[Any]) -> None:
    """Volumes whose corner is elsewhere than at 0."""
    for factor, labels in enumerate(scales, 1):
        size = 4 * factor
        scale = {"size": labels.T.shape, "resolution": (size, size, 40), "voxel_offset": (7, 5, 3)}
        scale |= {"encoding": "compressed_segmentation", "chunk_size": (2, 4, 3)}
        scale |= {"compressed_segmentation_block_size": (8, 8, 8)}
        said = {"type": "segmentation", "data_type": str(labels.dtype), "num_channels": 1}
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "multiscale_metadata": said,
            "scale_metadata": scale,
        }
        tensorstore.open(spec, create=True).result()[..., 0] = labels.T


Writer = Callable[[Path, NDArray[Any]], None]
ROUND_TRIPS: list[tuple[str, Writer, NDArray[Any]]] = [
    ("grey.png", write_png, FLAT.astype(np.uint8)),
    ("grey16.png", write_png, (FLAT * 300).astype(np.uint16)),
    ("UPPER.PNG", write_png, FLAT.astype(np.uint8)),
    ("flat.tif", write_tiff, (FLAT * 9_000_000).astype(np.uint32)),
    ("stack.tiff", write_tiff, VOLUME.astype(np.uint16)),
    ("signed.tif", write_tiff, FLAT.astype(np.int32) - 3),
    ("flat.npy", np.save, FLAT.astype(np.uint64) << 40),
    ("volume.npy", np.save, np.asfortranarray(VOLUME)),
    ("volume.nii", write_nifti, VOLUME.astype(np.int16)),
    ("volume.nii.gz", write_nifti, VOLUME.astype(np.int32)),
    ("whole.nii.gz", write_nifti, VOLUME.astype(np.float32)),
    ("flat.zarr", write_zarr, FLAT),
    ("volume.zarr", write_zarr, VOLUME.astype(np.uint8)),
    ("one.mat", write_bsds, FLAT.astype(np.uint16)),
    ("whole.npy", np.save, FLAT.astype(np.float32)),
    ("whole.tif", write_tiff, VOLUME.astype(np.float32)),
    ("half.npy", np.save, FLAT.astype(np.float16)),
    ("row.npy", np.save, FLAT[0].astype(np.float64)),
    ("one.npz", np.savez, VOLUME.astype(np.uint16)),
    ("flat.h5", write_hdf5, FLAT.astype(np.uint64) << 40),
    ("volume.hdf5", write_hdf5, VOLUME.astype(">i4")),
    ("slices", write_slices, VOLUME.astype(np.uint16)),
    ("volume.n5", write_n5, VOLUME.astype(np.uint32)),
    ("precomputed", write_precomputed, VOLUME.astype(np.uint64)),
]


@pytest.mark.parametrize(("name", "write", "labels"), ROUND_TRIPS, ids=lambda v: str(v)[:16])
def test_round_trip(tmp_path: Path, name: str, write: Writer, labels: NDArray[Any]) -> None:
    """Shape, numbers and an integer type; the contingency table takes it as it comes."""
    write(tmp_path / name, labels)
    for path in (tmp_path / name, str(tmp_path / name)):
        read = read_label_map(path)
        assert np.dtype(read.dtype).kind in "iu"
        np.testing.assert_array_equal(np.asarray(read), labels.astype(np.int64))
    known = labels.astype(np.int64) - min(int(labels.min()), 0)
    read = np.asarray(read) if labels.min() >= 0 else np.asarray(read) + 3
    assert contingency_table(read, known).shape == (len(np.unique(labels)),) * 2


def test_large_files_are_not_read_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1 << 20) + 1, np.uint8))
    write_zarr(tmp_path / "a.zarr", FLAT)
    assert isinstance(read_label_map(tmp_path / "a.npy"), np.memmap)
    assert isinstance(read_label_map(tmp_path / "a.zarr"), zarr.Array)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_png_gives_indices(tmp_path: Path, bits: int) -> None:
    """Not the colours that they stand for."""
    labels = RANDOM.integers(0, 2**bits, (8, 16)).astype(np.uint8)
    labels[0, :2] = 0, 2**bits - 1
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.reshape(-1).tolist())
    picture.putpalette([int(v) for v in RANDOM.integers(0, 256, 3 * 2**bits)])
    picture.save(tmp_path / "p.png", bits=bits)
    assert (tmp_path / "p.png").read_bytes()[24] == bits
    np.testing.assert_array_equal(read_label_map(tmp_path / "p.png"), labels)


def test_black_and_white_png(tmp_path: Path) -> None:
    Image.fromarray(FLAT > 100).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "m.png"), FLAT > 100)


def png_bytes(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG file by hand: what Pillow doesn't write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("depth", "row", "labels"),
    [(2, 0b00_01_10_11, [[0, 1, 2, 3]]), (4, 0x5F, [[5, 15]])],
)
def test_grey_of_few_bits_is_not_stretched(
    tmp_path: Path, depth: int, row: int, labels: list[list[int]]
) -> None:
    """A row is its filter, 0, and one byte of labels."""
    data = png_bytes(len(labels[0]), 1, depth, 0, bytes([0, row]))
    (tmp_path / "few.png").write_bytes(data)
    np.testing.assert_array_equal(read_label_map(tmp_path / "few.png"), labels)


@pytest.mark.parametrize("name", ["c.png", "c.tif"])
def test_colors_become_labels(tmp_path: Path, name: str) -> None:
    """(1, 2, 3) is 1 * 65536 + 2 * 256 + 3 = 66051."""
    colors = np.array([[[0, 0, 0], [1, 2, 3]], [[255, 255, 255], [0, 0, 9]]], np.uint8)
    if name == "c.png":
        Image.fromarray(colors).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, colors, photometric="rgb")
    np.testing.assert_array_equal(read_label_map(tmp_path / name), [[0, 66051], [2**24 - 1, 9]])


def test_transparency_is_part_of_a_color(tmp_path: Path) -> None:
    """Opaque pixels are as without it; two wholly transparent ones are one label, 255 * 2^24."""
    colors = np.array([[[0, 0, 7, 255], [0, 0, 7, 254], [1, 2, 3, 0], [9, 9, 9, 0]]], np.uint8)
    Image.fromarray(colors, "RGBA").save(tmp_path / "c.png")
    expected = [[7, 7 + 2**24, 255 * 2**24, 255 * 2**24]]
    np.testing.assert_array_equal(read_label_map(tmp_path / "c.png"), expected)
    Image.fromarray(colors[..., 2:], "LA").save(tmp_path / "g.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "g.png"), expected)


def test_colors_of_16_bits_are_refused(tmp_path: Path) -> None:
    """Pillow would halve them, and join labels that differ."""
    data = png_bytes(1, 1, 16, 2, bytes([0, 0, 1, 0, 2, 0, 3]))
    (tmp_path / "deep.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"colours of 8 bits, and this file has 16"):
        read_label_map(tmp_path / "deep.png")


# ---------------------------------------------------------------------- MATLAB


def test_bsds_segmentations(tmp_path: Path) -> None:
    first, second = FLAT.astype(np.uint16), (FLAT % 5).astype(np.uint16)
    write_bsds(tmp_path / "t.mat", first, second)
    np.testing.assert_array_equal(read_label_map(f"{tmp_path}/t.mat:1"), second)
    np.testing.assert_array_equal(read_label_map(f"{tmp_path}/t.mat", segmentation=0), first)
    with pytest.raises(ValueError, match=r"holds 2 segmentations: choose one, t.mat:0 … t.mat:1"):
        read_label_map(tmp_path / "t.mat")
    with pytest.raises(ValueError, match=r"segmentation must be in 0 … 1, got 2"):
        read_label_map(f"{tmp_path}/t.mat:2")
    with pytest.raises(ValueError, match=r"segmentation must be in 0 … 1, got -1"):
        read_label_map(tmp_path / "t.mat", segmentation=-1)
    with pytest.raises(ValueError, match=r"segmentation must be the one that path names"):
        read_label_map(f"{tmp_path}/t.mat:1", segmentation=0)


def test_another_matlab_file(tmp_path: Path) -> None:
    savemat(tmp_path / "o.mat", {"labels": FLAT})
    with pytest.raises(ValueError, match=r"a BSDS file holds groundTruth, this one labels"):
        read_label_map(tmp_path / "o.mat")


def test_segmentation_is_for_bsds_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLAT)
    with pytest.raises(ValueError, match=r"segmentation is for BSDS files"):
        read_label_map(tmp_path / "a.npy", segmentation=1)


def test_the_real_data_set() -> None:
    """481 x 321 pixels; labels from 1."""
    folder = os.environ.get("METRISEG_DATA")
    if not folder or not (Path(folder) / "bsds500").is_dir():
        pytest.skip("METRISEG_DATA has no bsds500")
    path = Path(folder) / "bsds500" / "groundTruth" / "101085.mat"
    labels = read_label_map(f"{path}:0")
    assert sorted(labels.shape) == [321, 481]
    assert labels.min() == 1


# ---------------------------------------------------------------------- Zarr


def test_zarr_groups(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    with pytest.raises(ValueError, match=r"a single array, got none"):
        read_label_map(tmp_path / "g.zarr")
    group.create_array("labels/s0", data=FLAT)
    np.testing.assert_array_equal(np.asarray(read_label_map(tmp_path / "g.zarr")), FLAT)
    group.create_array("raw", data=FLAT)
    with pytest.raises(ValueError, match=r"got 2: labels/s0, raw; name one, as .*g.zarr/labels/s0"):
        read_label_map(tmp_path / "g.zarr")
    np.testing.assert_array_equal(np.asarray(read_label_map(tmp_path / "g.zarr/raw")), FLAT)


# ---------------------------------------------------------------------- volumes in chunks


LARGE = VOLUME.astype(np.uint64) + np.uint64(2**63 + 5)


def test_numbers_above_int64_are_kept(tmp_path: Path) -> None:
    """As they stand, in the files that have room for them."""
    write_hdf5(tmp_path / "v.h5", LARGE)
    write_n5(tmp_path / "v.n5", LARGE)
    write_precomputed(tmp_path / "v", LARGE)
    write_zarr(tmp_path / "v.zarr", LARGE)
    np.savez(tmp_path / "v.npz", LARGE)
    for name in ("v.h5", "v.n5", "v", "v.zarr", "v.npz"):
        read = read_label_map(tmp_path / name)
        assert read.dtype == np.uint64
        np.testing.assert_array_equal(np.asarray(read), LARGE)


def test_arrays_of_an_hdf5_file(tmp_path: Path) -> None:
    """By name; without one the only array of integers, beside an image of fractions."""
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["image"] = VOLUME / 7
        file["volumes/labels/cells"] = VOLUME
        file["scalar"] = 3
    np.testing.assert_array_equal(np.asarray(read_label_map(path)), VOLUME)
    with h5py.File(path, "a") as file:
        file["volumes/labels/nuclei"] = VOLUME + 1
    named = read_label_map(f"{path}:volumes/labels/nuclei")
    np.testing.assert_array_equal(np.asarray(named), VOLUME + 1)
    with pytest.raises(ValueError, match=r"2 arrays of integers, .*: name one, as v.h5:volumes/la"):
        read_label_map(path)
    with pytest.raises(ValueError, match=r"has no array 'cells', but image, volumes/labels/cells"):
        read_label_map(f"{path}:cells")
    with pytest.raises(ValueError, match=r"volumes is a group, of volumes/labels/cells, "):
        read_label_map(f"{path}:volumes")
    with pytest.raises(ValueError, match=r"has no array 'scalar'"):
        read_label_map(f"{path}:scalar")
    with pytest.raises(FileNotFoundError, match=r"path must be a file that exists, got .*none.h5$"):
        read_label_map(tmp_path / "none.h5:cells")


def test_arrays_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, first=FLAT, second=FLAT + 1.0)
    np.testing.assert_array_equal(read_label_map(f"{path}:second"), FLAT + 1)
    with pytest.raises(ValueError, match=r"2 arrays, first, second: name one, as a.npz:first"):
        read_label_map(path)
    with pytest.raises(ValueError, match=r"has no array 'third', but first, second"):
        read_label_map(f"{path}:third")


def test_names_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a file or folder ends before it."""
    monkeypatch.chdir(tmp_path)
    np.save("a:b.npy", FLAT)
    np.testing.assert_array_equal(read_label_map("a:b.npy"), FLAT)
    with pytest.raises(FileNotFoundError, match=r"got a:c.npy$"):
        read_label_map("a:c.npy")


def ome_zarr(path: Path, version: int, *levels: NDArray[Any]) -> Any:
    """An image of several levels, as version 0.4 (Zarr 2) or 0.5 (Zarr 3) puts it down."""
    group = zarr.open_group(str(path), mode="a", zarr_format=version)
    datasets = [{"path": f"s{index}"} for index in range(len(levels))]
    for one, labels in zip(datasets, levels, strict=True):
        group.create_array(one["path"], data=labels, chunks=(3,) * labels.ndim)
    say(group, "multiscales", [{"datasets": datasets}])
    return group


def say(group: Any, name: str, value: Any) -> None:
    group.attrs.update({name: value} if group.metadata.zarr_format == 2 else {"ome": {name: value}})


@pytest.mark.parametrize("version", [2, 3])
def test_levels_of_ome_zarr(tmp_path: Path, version: int) -> None:
    """The finest, which is the first, unless another is named."""
    path = tmp_path / "v.zarr"
    ome_zarr(path, version, VOLUME, VOLUME[::2, ::2, ::2])
    assert read_label_map(path).shape == VOLUME.shape
    np.testing.assert_array_equal(np.asarray(read_label_map(path)), VOLUME)
    coarse = read_label_map(f"{path}:s1")
    np.testing.assert_array_equal(np.asarray(coarse), VOLUME[::2, ::2, ::2])
    with pytest.raises(ValueError, match=r"it has no 's2', but s0, s1"):
        read_label_map(f"{path}:s2")


@pytest.mark.parametrize("version", [2, 3])
def test_labels_beside_an_image(tmp_path: Path, version: int) -> None:
    """Its brightness isn't taken for labels unless one asks."""
    path = tmp_path / "v.zarr"
    group = ome_zarr(path, version, VOLUME.astype(np.uint16) * 9)
    say(group.create_group("labels"), "labels", ["cells", "nuclei"])
    ome_zarr(path / "labels" / "cells", version, VOLUME, VOLUME[::2])
    ome_zarr(path / "labels" / "nuclei", version, VOLUME + 1)
    for name, labels in {
        "labels/cells": VOLUME,
        "labels/cells/s1": VOLUME[::2],
        "labels/nuclei": VOLUME + 1,
        "s0": VOLUME * 9,
    }.items():
        np.testing.assert_array_equal(np.asarray(read_label_map(f"{path}:{name}")), labels)
    words = r"labels/cells, labels/nuclei: name one, as .*v.zarr/labels/cells; or .*v.zarr/s0"
    with pytest.raises(ValueError, match=words):
        read_label_map(path)
    with pytest.raises(ValueError, match=r"got 2: cells, nuclei; name one, as .*:labels/cells"):
        read_label_map(f"{path}:labels")


def test_arrays_of_n5(tmp_path: Path) -> None:
    path = tmp_path / "v.n5"
    write_n5(path, VOLUME, "em/cells/s0")
    write_n5(path, VOLUME[::2], "em/cells/s1")
    np.testing.assert_array_equal(np.asarray(read_label_map(path)), VOLUME)
    np.testing.assert_array_equal(np.asarray(read_label_map(f"{path}:em/cells")), VOLUME)
    np.testing.assert_array_equal(np.asarray(read_label_map(f"{path}:em/cells/s1")), VOLUME[::2])
    write_n5(path, VOLUME + 1, "em/nuclei")
    np.testing.assert_array_equal(np.asarray(read_label_map(f"{path}:em/nuclei")), VOLUME + 1)
    write_n5(path, VOLUME + 1, "em/other/s0")
    with pytest.raises(ValueError, match=r"got 4: cells/s0, .*name one, as .*v.n5:em/cells/s0"):
        read_label_map(f"{path}:em")
    with pytest.raises(ValueError, match=r"it has no 'cells', but em/cells/s0, em/cells/s1"):
        read_label_map(f"{path}:cells")


def test_scales_of_precomputed_chunks(tmp_path: Path) -> None:
    path = tmp_path / "v"
    write_precomputed(path, VOLUME.astype(np.uint32), VOLUME[:, ::2, ::2].astype(np.uint32))
    for name in ("v", "v:0", "v:4_4_40"):
        np.testing.assert_array_equal(np.asarray(read_label_map(tmp_path / name)), VOLUME)
    coarse = np.asarray(read_label_map(f"{path}:1"))
    np.testing.assert_array_equal(coarse, VOLUME[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"it has no scale '2', but 4_4_40, 8_8_40"):
        read_label_map(f"{path}:2")


def test_slices_must_be_alike(tmp_path: Path) -> None:
    write_slices(tmp_path / "s", VOLUME.astype(np.uint16))
    write_tiff(tmp_path / "s" / "slice_12.tif", FLAT.astype(np.uint16))
    read = read_label_map(tmp_path / "s")
    with pytest.raises(
        ValueError, match=r"slice_8.tif is \(6, 5\) of uint16, and slice_12.tif \(7"
    ):
        np.asarray(read)


def test_slices_in_natural_order(tmp_path: Path) -> None:
    names = ["z1_c10.tif", "z1_c9.TIF", "Z2_c1.tiff", "z10_c1.tif"]
    for name in names:
        write_tiff(tmp_path / name, FLAT.astype(np.uint8))
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "._z1_c9.tif").write_text("")
    found = [file.name for file in slices_of(tmp_path)]
    assert found == ["z1_c9.TIF", "z1_c10.tif", "Z2_c1.tiff", "z10_c1.tif"]


STORES: dict[str, Writer] = {
    "v.h5": write_hdf5,
    "v.zarr": write_zarr,
    "v.n5": write_n5,
    "v": write_precomputed,
    "slices": write_slices,
}


@pytest.mark.parametrize("name", STORES)
def test_tables_of_stores(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside every other, whose chunks differ, and beside an array: as in memory."""
    monkeypatch.setattr("metriseg.partitions.counting.chunked.READ", 30)
    other = np.roll(VOLUME, 1, axis=2).astype(np.uint32)
    known = contingency_table(VOLUME, other)
    STORES[name](tmp_path / name, VOLUME.astype(np.uint32))
    assert contingency_table(read_label_map(tmp_path / name), other) == known
    assert contingency_table(VOLUME, read_label_map(tmp_path / name)) == known.__class__.from_cells(
        *contingency_table(VOLUME, VOLUME).cells
    )
    for second, write in STORES.items():
        write(tmp_path / f"2{second}", other)
        table = contingency_table(
            read_label_map(tmp_path / name), read_label_map(tmp_path / f"2{second}")
        )
        assert table == known


def test_chunks_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both files, though they differ: 2 and 3 slices are in parts of 6, and 12 are there."""
    labels = np.arange(12 * 8 * 8).reshape(12, 8, 8) // 50
    for name, depth in (("a.h5", 2), ("b.h5", 3)):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("labels", data=labels, chunks=(depth, 8, 8))
    parts: list[tuple[slice, ...]] = []
    known = StoredArray.__getitem__

    def counted(self: StoredArray, key: Any) -> Any:
        parts.append(key)
        return known(self, key)

    monkeypatch.setattr("metriseg.partitions.counting.chunked.READ", 6 * 64)
    monkeypatch.setattr(StoredArray, "__getitem__", counted)
    read = [read_label_map(tmp_path / name) for name in ("a.h5", "b.h5")]
    assert contingency_table(*read) == contingency_table(labels, labels)
    assert [(key[1].start, key[1].stop) for key in parts] == [(0, 6), (0, 6), (6, 12), (6, 12)]
    monkeypatch.setattr("metriseg.partitions.counting.chunked.ALIGNED", 3 * 64)
    parts.clear()
    assert contingency_table(*read) == contingency_table(labels, labels)
    assert max(key[1].stop - key[1].start for key in parts) <= 6


def test_a_volume_is_never_whole_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MiB a file, of which parts of 1 MiB a file are read."""
    shape = (64, 256, 256)
    labels = np.arange(64, dtype=np.uint64)[:, None, None] // 5 + np.zeros(shape, np.uint64)
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("labels", data=labels, chunks=(4, 256, 64), compression="gzip")
    whole = labels.nbytes
    del labels
    monkeypatch.setattr("metriseg.partitions.counting.chunked.READ", 1 << 17)
    tracemalloc.start()
    try:
        table = contingency_table(
            read_label_map(tmp_path / "a.h5"), read_label_map(tmp_path / "b.h5")
        )
        assert table.total == np.prod(shape)
        assert tracemalloc.get_traced_memory()[1] < whole / 4
    finally:
        tracemalloc.stop()


def test_weights_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several a voxel: their axis comes first, and is never cut."""
    monkeypatch.setattr("metriseg.partitions.counting.chunked.READ", 30)
    weight = RANDOM.integers(0, 5, (2, *VOLUME.shape)).astype(float)
    stored = StoredArray(weight.shape, weight.dtype, (1, 2, 3, 2), lambda part: weight[part])
    write_hdf5(tmp_path / "v.h5", VOLUME)
    table = contingency_table(read_label_map(tmp_path / "v.h5"), VOLUME // 3, weight=stored)
    assert table == contingency_table(VOLUME, VOLUME // 3, weight=weight)


def test_parts_of_a_stored_array() -> None:
    """Whole axes unless sliced or numbered; no steps, which the chunks don't know."""
    stored = StoredArray(VOLUME.shape, VOLUME.dtype, (9, 2, 2), lambda part: VOLUME[part])
    assert (stored.chunks, stored.ndim) == ((4, 2, 2), 3)
    np.testing.assert_array_equal(stored[1:3], VOLUME[1:3])
    np.testing.assert_array_equal(stored[..., 1:3, :, 2:9], VOLUME[1:3, :, 2:9])
    np.testing.assert_array_equal(np.asarray(stored, np.int16), VOLUME.astype(np.int16))
    np.testing.assert_array_equal(stored[2, :, -1], VOLUME[2, :, -1])
    np.testing.assert_array_equal(stored[..., 1:3], VOLUME[..., 1:3])
    np.testing.assert_array_equal(stored[1:, ..., 0], VOLUME[1:, ..., 0])
    assert stored[3:1].shape == (0, 6, 5)
    for key in (4, -5, np.s_[::2], np.s_[:, :, :, :]):
        with pytest.raises(IndexError, match="a part "):
            stored[key]
    deep = StoredArray(
        (1, *VOLUME.shape, 1), VOLUME.dtype, (1,) * 5, lambda p: VOLUME[None, ..., None][p]
    )
    flat = squeezed(deep)
    assert (flat.shape, flat.chunks) == (VOLUME.shape, (1, 1, 1))
    np.testing.assert_array_equal(flat[1:2, :, 3:], VOLUME[1:2, :, 3:])
    np.testing.assert_array_equal(squeezed(VOLUME[None]), VOLUME)


# ---------------------------------------------------------------------- NIfTI


PLACE = np.array([[-0.8, 0, 0, 11], [0, 0.9, 0.02, -3], [0, -0.02, 2.5, 7], [0, 0, 0, 1.0]])


def stored_otherwise(
    labels: NDArray[Any], affine: NDArray[Any], order: tuple[int, ...], flips: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same volume in space: axes in another order, and some of them backwards.

    What was at the index i of a flipped axis of n is at n - 1 - i, so the origin moves there.
    """
    moved = affine.copy()
    for axis in flips:
        moved[:3, 3] += moved[:3, axis] * (labels.shape[axis] - 1)
        moved[:3, axis] *= -1
        labels = np.flip(labels, axis)
    moved[:3, :3] = moved[:3, list(order)]
    return np.ascontiguousarray(labels.transpose(order)), moved


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_one_orientation(tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    """However the voxels are stored, they come back the same, as labels and as an image."""
    known = stored_otherwise(VOLUME, PLACE, (0, 1, 2), (0,))[0]
    stored, affine = stored_otherwise(VOLUME.astype(np.int16), PLACE, order, flips)
    write_oriented(tmp_path / "v.nii.gz", stored, affine)
    write_oriented(tmp_path / "r.nii", VOLUME.astype(np.int16), PLACE)
    np.testing.assert_array_equal(read_label_map(tmp_path / "v.nii.gz"), known)
    np.testing.assert_array_equal(read_image(tmp_path / "v.nii.gz"), known)
    check_one_space({"A": tmp_path / "v.nii.gz", "B": tmp_path / "r.nii"})


def test_flat_and_colored_nifti(tmp_path: Path) -> None:
    """Of two axes, and of four: those that are not of space stay where they are."""
    flipped = np.diag([-1.0, 1, 1, 1])
    write_oriented(tmp_path / "f.nii", FLAT.astype(np.int16), flipped)
    np.testing.assert_array_equal(read_label_map(tmp_path / "f.nii"), FLAT[::-1])
    series = np.stack([VOLUME, VOLUME + 1], -1).astype(np.int16)
    write_oriented(tmp_path / "s.nii", series, flipped)
    np.testing.assert_array_equal(read_image(tmp_path / "s.nii"), series[::-1])
    check_one_space({"A": tmp_path / "f.nii", "B": tmp_path / "f.nii"})


@pytest.mark.parametrize(
    ("change", "apart"),
    [
        (np.diag([1, 1.1, 1, 1]), "0.45"),
        (np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "1.6"),
        (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "0.4"),
    ],
)
def test_another_place_in_space(tmp_path: Path, change: NDArray[Any], apart: str) -> None:
    """Wider voxels, another origin, another direction: 4 x 6 x 5 voxels of 0.8 x 0.9 x 2.5.

    The sixth voxel along the second axis is 5 * 0.09 away; two voxels of the first are 1.6; a
    tenth of the first for each of five is 0.4.
    """
    write_oriented(tmp_path / "a.nii", VOLUME.astype(np.int16), PLACE)
    write_oriented(tmp_path / "b.nii.gz", VOLUME.astype(np.int16), PLACE @ change)
    files = {"A": tmp_path / "a.nii", "B": tmp_path / "b.nii.gz"}
    words = rf"A .*a.nii and B .*b.nii.gz must be of the same voxels .* {apart} apart, .*0.8 wide"
    with pytest.raises(ValueError, match=words):
        check_one_space(files)
    check_one_space({"A": tmp_path / "a.nii", "B": tmp_path / "b.npy"})


def test_places_that_differ_by_rounding(tmp_path: Path) -> None:
    """A file may hold its affine as a quaternion, and in single precision."""
    write_oriented(tmp_path / "a.nii", VOLUME.astype(np.int16), PLACE)
    write_oriented(tmp_path / "b.nii", VOLUME.astype(np.int16), PLACE + 1e-4)
    check_one_space({"A": tmp_path / "a.nii", "B": tmp_path / "b.nii"})


def with_header(path: Path, change: Callable[[bytearray], None], more: bytes = b"") -> None:
    """A packed file whose header says something else, and what follows it."""
    write_nifti(path, VOLUME.astype(np.int16))
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content) + more))


def test_a_packed_file_is_read_as_far_as_its_header_says(tmp_path: Path) -> None:
    """64 MB of zeros after the numbers are left alone."""
    path = tmp_path / "v.nii.gz"
    with_header(path, lambda content: None, bytes(1 << 26))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(read_label_map(path), VOLUME)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("place", "form", "value", "words"),
    [
        (42, "<3h", (30000, 30000, 30000), r"its header asks for 54,000,000,000,000 bytes, and"),
        (108, "<f", (1e9,), r"its header puts the numbers at byte 1e\+09"),
        (108, "<f", (float("nan"),), r"its header puts the numbers at byte nan"),
    ],
)
def test_headers_that_ask_for_more_than_there_is(
    tmp_path: Path, place: int, form: str, value: tuple[Any, ...], words: str
) -> None:
    """Nothing is unpacked, and nothing made room for."""
    path = tmp_path / "v.nii.gz"
    with_header(path, lambda content: struct.pack_into(form, content, place, *value))
    with pytest.raises(ValueError, match=rf"path .*v.nii.gz can't be read: {words}"):
        read_label_map(path)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_affines_that_say_nothing(tmp_path: Path, value: float) -> None:
    """A flat axis has no direction."""
    image = nibabel.Nifti1Image(VOLUME.astype(np.int16), np.eye(4))
    image.header["srow_x"] = value
    image.header["sform_code"] = 1
    image = nibabel.Nifti1Image(VOLUME.astype(np.int16), None, image.header)
    nibabel.save(image, tmp_path / "v.nii")
    with pytest.raises(ValueError, match=r"v.nii can't be read: its affine must"):
        read_label_map(tmp_path / "v.nii")


# ---------------------------------------------------------------------- what can't be read


def test_an_archive_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", truth=FLAT, other=FLAT)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    for read in (read_label_map, read_image):
        with pytest.raises(
            ValueError, match=r"archive of arrays \(.npz\), of truth, other: save one"
        ):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("what", "stated"),
    [("array", {"shape": [10**9, 10**9]}), ("chunk", {"chunk_shape": [10**9, 10**9]})],
)
def test_shapes_of_no_zarr_array(tmp_path: Path, what: str, stated: dict[str, Any]) -> None:
    """A few bytes state a shape of 10^18 pixels."""
    write_zarr(tmp_path / "z.zarr", FLAT)
    file = tmp_path / "z.zarr" / "zarr.json"
    content = json.loads(file.read_text())
    (content if what == "array" else content["chunk_grid"]["configuration"]).update(stated)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"z.zarr can't be read: its {what} must hold at most"):
        read_label_map(tmp_path / "z.zarr")


def test_broken_chunks_are_named(tmp_path: Path) -> None:
    """When they are read: opening an array reads none."""
    write_zarr(tmp_path / "z.zarr", FLAT)
    for chunk in (tmp_path / "z.zarr" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"no chunk")
    labels = read_label_map(tmp_path / "z.zarr")
    for x, y, name in ((labels, FLAT, "x"), (FLAT, labels, "y")):
        with pytest.raises(ValueError, match=rf"{name} must be an array whose chunks can be read"):
            contingency_table(x, y)
    with pytest.raises(ValueError, match=r"truth must be an array, got Array"):
        partition_scores(labels, FLAT)


def test_animated_pictures(tmp_path: Path) -> None:
    frames = [Image.fromarray((FLAT + step).astype(np.uint8)) for step in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    for read in (read_label_map, read_image):
        with pytest.raises(
            ValueError, match=r"a.png can't be read: it holds 3 pictures, one after"
        ):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "EPS", "PPM"])
def test_other_formats_under_a_known_name(
    tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file holds decides, and of formats only two: no other programme is started."""
    Image.fromarray(FLAT.astype(np.uint8)).save(tmp_path / "i.png", format=format_)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", None)
    with pytest.raises(ValueError, match=r"i.png can't be read: it holds no PNG or JPEG$"):
        read_image(tmp_path / "i.png")
    with pytest.raises(ValueError, match=r"i.png can't be read: it holds no PNG$"):
        read_label_map(tmp_path / "i.png")


def test_a_jpeg_under_the_name_of_a_png(tmp_path: Path) -> None:
    """As an image it is read, as labels it would be others."""
    Image.fromarray(COLORS).save(tmp_path / "i.png", format="JPEG")
    assert read_image(tmp_path / "i.png").shape == COLORS.shape
    with pytest.raises(ValueError, match=r"it holds no PNG$"):
        read_label_map(tmp_path / "i.png")


def test_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """63 pixels: above Pillow's limit they are read, without a word, and above twice that not."""
    Image.fromarray(FLAT.astype(np.uint8)).save(tmp_path / "i.png")
    for read in (read_label_map, read_image):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 40)
            np.testing.assert_array_equal(read(tmp_path / "i.png"), FLAT)
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 30)
        with pytest.raises(
            ValueError, match=r"more pixels than Pillow reads \(60\): save it as .tif"
        ):
            read(tmp_path / "i.png")


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.zarr", "t.mat:0", "none"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"path must be a file that exists, got .*"):
        read_label_map(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.xyz", r"got .*a.xyz'$"), ("a.jpg", r"JPEG changes labels"), ("none", r"got .*none'$")],
)
def test_unknown_ending(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"path must end in \.png, .*\.nii\.gz, .*\.mat") as raised:
        read_label_map(tmp_path / name)
    assert raised.match(words)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("f.h5:labels", write_hdf5),
        ("f.zarr", write_zarr),
        ("f.n5", write_n5),
        ("f.mat", write_bsds),
    ],
)
def test_floats_are_no_labels(tmp_path: Path, name: str, write: Writer) -> None:
    write(tmp_path / name.partition(":")[0], FLAT.astype(np.float32))
    with pytest.raises(ValueError, match=rf"path .*{name} must hold integer labels, got .*float32"):
        read_label_map(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_numbers_that_are_not_whole(tmp_path: Path, dtype: type) -> None:
    """The first is named, whatever follows; without a warning."""
    values = FLAT.astype(dtype)
    values[2, 3], values[2, 5], values[4, 0] = np.inf, 0.5, np.nan
    np.save(tmp_path / "f.npy", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"all be whole, within int64, got inf at \(2, 3\)$"):
            read_label_map(tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", values[2])
    with pytest.raises(ValueError, match=r"got inf at \(3,\)$"):
        read_label_map(tmp_path / "f.npy")


@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf, 2.0**63])
def test_nifti_numbers_must_be_whole(tmp_path: Path, odd: float) -> None:
    values = VOLUME.astype(np.float64)
    values[1, 2, 3] = odd
    write_nifti(tmp_path / "f.nii.gz", values)
    words = rf"f.nii.gz can't be read: .* must all be whole, .* got {odd} at \(1, 2, 3\)"
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        read_label_map(tmp_path / "f.nii.gz")


@pytest.mark.parametrize(
    "name",
    ["b.png", "b.tif", "b.npy", "b.nii", "b.nii.gz", "b.mat", "b.zarr", "b.h5", "b.npz", "b.n5"],
)
def test_broken_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is none of them")
    with pytest.raises(ValueError, match=rf"path .*{name} can't be read: .+"):
        read_label_map(tmp_path / name)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}, None]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"path .*o.npy can't be read"):
        read_label_map(tmp_path / "o.npy")


def test_pages_of_several_shapes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as tiff:
        tiff.write(FLAT.astype(np.uint8), photometric="minisblack")
        tiff.write(FLAT[:3].astype(np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"pages of one shape, got 2 kinds"):
        read_label_map(tmp_path / "s.tif")


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("a.png", "PIL.Image", r"PNG files needs Pillow: pip install 'metriseg\[viz\]'"),
        ("a.tif", "tifffile", r"TIFF files needs tifffile: pip install 'metriseg\[partitions\]'"),
        ("a.nii", "nibabel", r"NIfTI files needs nibabel: pip install 'metriseg\[partitions\]'"),
        ("a.zarr", "zarr", r"Zarr arrays needs zarr: pip install 'metriseg\[scale\]'"),
        ("a.h5", "h5py", r"HDF5 files needs h5py: pip install 'metriseg\[volumes\]'"),
        ("a.n5", "tensorstore", r"N5 arrays needs tensorstore: pip install 'metriseg\[volumes\]'"),
    ],
)
def test_missing_packages_name_their_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, words: str
) -> None:
    if name == "a.n5":
        write_n5(tmp_path / name, FLAT.astype(np.uint8))
    else:
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=words) as raised:
        read_label_map(tmp_path / name)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------------- images


COLORS = RANDOM.integers(0, 256, (7, 9, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["i.png", "i.tif", "i.npy"])
def test_images_come_back(tmp_path: Path, name: str) -> None:
    if name == "i.png":
        Image.fromarray(COLORS).save(tmp_path / name)
    elif name == "i.tif":
        tifffile.imwrite(tmp_path / name, COLORS, photometric="rgb")
    else:
        np.save(tmp_path / name, COLORS)
    np.testing.assert_array_equal(read_image(tmp_path / name), COLORS)


def test_jpeg_is_an_image(tmp_path: Path) -> None:
    """Lossy: a smooth ramp comes back within a few steps."""
    ramp = np.tile(np.arange(0, 128, 4, dtype=np.uint8), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "r.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "r.jpg").astype(int) - ramp).max() <= 4


def test_volumes_are_images(tmp_path: Path) -> None:
    write_nifti(tmp_path / "v.nii.gz", VOLUME.astype(np.float32) / 7)
    np.testing.assert_array_equal(read_image(tmp_path / "v.nii.gz"), VOLUME.astype(np.float32) / 7)
    write_tiff(tmp_path / "v.tif", VOLUME.astype(np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "v.tif"), VOLUME)


def test_pictures_without_their_transparency(tmp_path: Path) -> None:
    """And palettes by their colours."""
    opaque = np.dstack([COLORS, np.full(COLORS.shape[:2], 80, np.uint8)])
    Image.fromarray(opaque, "RGBA").save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", opaque, photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(COLORS).quantize(256, dither=0).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLORS)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLORS)
    assert read_image(tmp_path / "p.png").shape == COLORS.shape
    Image.fromarray(COLORS[..., 0]).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), COLORS[..., 0])


def test_images_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"")
    with pytest.raises(ValueError, match=r"path must end in \.png, \.jpg"):
        read_image(tmp_path / "a.mat")
    with pytest.raises(FileNotFoundError, match="path must be a file that exists"):
        read_image(tmp_path / "a.png")
    np.save(tmp_path / "c.npy", np.ones((2, 2), complex))
    with pytest.raises(
        ValueError, match=r"path .*c.npy must hold real numbers, got dtype complex128"
    ):
        read_image(tmp_path / "c.npy")
