"""NIfTI files: arrays in one orientation, and where they lie."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.data.packages import optional

#: The most that DEFLATE, the method of gzip, makes of a byte.
INFLATION = 1032
#: The most bytes of remarks before the numbers.
REMARKS = 1 << 24
#: By how much two files may place a corner of their volumes differently, in voxels.
APART = 0.1


def read_nifti(file: Path) -> NDArray[Any]:
    """The numbers, with axes in the order and direction nearest to right, anterior, superior.

    Files may store the same volume along other axes or backwards along one, and say so in their
    affine; here all are alike.
    """
    image = _opened(file)
    _, turn = _orientation(image)
    return _turned(np.asanyarray(image.dataobj), turn)


def check_one_space(files: Mapping[str, str | Path]) -> None:
    """Raise where NIfTI files, by what they are for, aren't of the same voxels in space.

    Once their axes run alike, voxel size, origin and direction must be the same, to a tenth of a
    voxel at every corner of the volume. Other files say nothing of space.

    Raises:
        ValueError: for those that differ.
    """
    known = {name: _place(Path(path)) for name, path in files.items() if is_nifti(path)}
    for one, other in itertools.combinations(known, 2):
        (shape, here), (others, there) = known[one], known[other]
        if shape != others:
            # which is told with the shapes of all kinds of files
            continue
        corners = np.array([*itertools.product(*((0, n - 1) for n in shape)), (0, 0, 0)])
        apart = np.linalg.norm(corners @ (here - there)[:3, :3].T + (here - there)[:3, 3], axis=1)
        voxel = np.linalg.norm(here[:3, :3], axis=0).min()
        if not apart.max() <= APART * voxel:
            raise ValueError(
                f"{one} {files[one]} and {other} {files[other]} must be of the same voxels in"
                f" space, and their affines place a corner {apart.max():.3g} apart, where a voxel"
                f" is {voxel:.3g} wide: resample one onto the other, or save both as .npy to"
                " compare them as they are stored"
            )


def is_nifti(path: str | Path) -> bool:
    """By its name."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def _opened(file: Path) -> Any:
    nibabel = optional("nibabel", "NIfTI files", "nibabel", "partitions")
    _check_header(file, nibabel)
    return nibabel.load(file)


def _check_header(file: Path, nibabel: Any) -> None:
    """Raise for a header that asks for more than the file can hold, before anything is unpacked."""
    packed = file.name.lower().endswith(".gz")
    with gzip.open(file) if packed else file.open("rb") as stream:
        start = stream.read(540)
    kind = nibabel.Nifti2Header if start[:4] in _SIZES_OF_2 else nibabel.Nifti1Header
    if len(start) < kind.sizeof_hdr:
        raise ValueError(f"it has {len(start)} bytes, less than a header")
    header = kind(start[: kind.sizeof_hdr])
    offset = float(header["vox_offset"])
    if not 0 <= offset <= REMARKS:
        raise ValueError(f"its header puts the numbers at byte {offset:g}")
    asked = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    held = file.stat().st_size * (INFLATION if packed else 1)
    if asked > held:
        raise ValueError(
            f"its header asks for {asked:,} bytes, and a file of {file.stat().st_size:,} bytes"
            f" holds {held:,} at most"
        )


_SIZES_OF_2 = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))


def _place(file: Path) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Shape and affine of three axes, once they run alike."""
    image = _opened(file)
    affine, turn = _orientation(image)
    shape = (*image.shape, 1, 1, 1)[:3]
    return tuple(shape[axis] for axis in np.argsort(turn[:, 0])), affine


def _orientation(image: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The affine once the axes run alike, and how to turn them: new place and direction of each."""
    orientations = optional("nibabel.orientations", "NIfTI files", "nibabel", "partitions")
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all():
        raise ValueError("its affine must be finite")
    turn = orientations.io_orientation(affine)
    if np.isnan(turn).any():
        raise ValueError("its affine must give every axis a direction of its own")
    shape = (*image.shape, 1, 1, 1)[:3]
    return affine @ orientations.inv_ornt_aff(turn, shape), turn


def _turned(values: NDArray[Any], turn: NDArray[np.float64]) -> NDArray[Any]:
    """The values, of as many axes as they had, along the axes that ``turn`` says."""
    axes = values.ndim
    values = values.reshape(*values.shape, *(1,) * (3 - axes))
    for axis, direction in enumerate(turn[:, 1]):
        if direction < 0:
            values = np.flip(values, axis)
    order = [int(axis) for axis in np.argsort(turn[:, 0])]
    values = values.transpose(*order, *range(3, values.ndim))
    # an axis that the file didn't have
    return values.squeeze(tuple(new for new, old in enumerate(order) if old >= axes))
