"""Label maps, and the images beside them, from the files that they come in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metriseg.data.hdf5 import read_hdf5
from metriseg.data.nifti import read_nifti
from metriseg.data.packages import optional
from metriseg.data.slices import read_slices, slices_of
from metriseg.data.tensorstores import is_n5, is_precomputed, read_n5, read_precomputed
from metriseg.data.zarr_stores import is_zarr, read_zarr

_ANNOTATOR = re.compile(r"(?P<file>.+\.mat):(?P<number>\d+)", re.IGNORECASE)
#: Bytes of an NPY file that is read at once: to map it into memory takes longer.
_READ = 1 << 20
#: What a path may name within a file or folder: ``file.h5:volumes/labels``.
_INSIDE = re.compile(
    r"(?P<file>.+?\.(?:h5|hdf5|hdf|n5|zarr|npz)):(?P<inside>.+)", re.IGNORECASE | re.DOTALL
)


def read_label_map(path: str | Path, *, segmentation: int | None = None) -> Any:
    """Read a label map: an integer array whose equal numbers are one region.

    - PNG: grey of 1 … 16 bits as it stands; of a palette the indices, not the colours; of a colour
      picture a label a colour: 65536 red + 256 green + blue. Where there is transparency
      2^24 (255 - alpha) is added, and what is wholly transparent is one label.
    - TIFF: the same; pages of one shape are a volume, the pages being its first axis. A folder of
      TIFF files is a volume of slices, in natural order, of which one is read at a time.
    - NPY: mapped into memory, where it is large, and not read at once.
    - NPZ: the only array, or ``file.npz:name``.
    - NIfTI, .nii and .nii.gz. Its axes run nearest to right, anterior, superior, however the file
      stores them.
    - HDF5, .h5, .hdf5 and .hdf: ``file.h5:name``, or the only array of integers.
    - Zarr: a folder, an array or a group that holds a single one. Of an OME-Zarr image the finest
      level, and ``image.zarr:labels/cells`` for the labels beside it.
    - N5: ``volume.n5:name``, or the only array, or the finest of a pyramid s0, s1, …; axes in the
      order of NumPy.
    - neuroglancer's precomputed chunks, a folder with the file info: the finest scale, or
      ``folder:1``, or ``folder:key``; axes are z, y, x.
    - MATLAB, .mat: one of the human segmentations of a BSDS file, ``groundTruth[0, k]``.

    HDF5, Zarr, N5, precomputed chunks and slices are opened, not read: a contingency table reads
    them chunk by chunk. TIFF, NPY, NPZ and NIfTI may hold floating-point numbers, where these are
    all whole; they become int64. JPEG is refused: it changes the labels that it stores.

    Args:
        path: the file, or the folder. ``file.mat:2`` chooses a segmentation.
        segmentation: which one of a BSDS file, from 0. It may be left out where there is one.

    Returns:
        Integer array, of the file's type: NumPy, ``zarr.Array``, or another that is read by parts
        ``labels[slices]`` and whole by ``np.asarray``.

    Raises:
        FileNotFoundError: when nothing is there.
        ValueError: for an unknown ending, a file that is broken or of another kind, several
            pictures in a PNG, numbers that are no integers, a segmentation that isn't there, or
            more pixels than the file can hold, or than Pillow reads.
        ImportError: without the package that reads the format; the message names the extra.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/labels.npy", np.array([[0, 0], [7, 7]]))
    ...     np.array(read_label_map(f"{folder}/labels.npy"))
    array([[0, 0],
           [7, 7]])
    """
    file, inside = located(path)
    file, number = _annotator(file, segmentation)
    readers = _readers(inside, number)
    if number is not None and _ending(file, readers) != ".mat":
        raise ValueError(f"segmentation is for BSDS files (.mat), got {number} for {file}")
    labels = _read(file, readers)
    if np.dtype(labels.dtype).kind not in "biu":
        raise ValueError(f"path {path} must hold integer labels, got dtype {labels.dtype}")
    return labels


def located(path: str | Path) -> tuple[Path, str | None]:
    """The file or folder that a path is of, and what it names within, if anything."""
    text = str(path)
    found = _INSIDE.fullmatch(text)
    if found is not None:
        return Path(found["file"]), found["inside"]
    folder, _, inside = text.rpartition(":")
    if folder and inside and Path(folder).is_dir() and not Path(text).exists():
        return Path(folder), inside
    return Path(path), None


def is_label_map(path: Path) -> bool:
    """Whether this is one map, by its name or what is in it; a folder of slices may be many."""
    ending = _ending(path, _readers(None, None))
    return ending in _FOLDERS and ending != "slices" if path.is_dir() else bool(ending)


def name_of_map(path: str) -> str:
    """A path without what tells the kind of file."""
    ending = next((one for one in _ENDINGS if path.lower().endswith(one)), "")
    return path[: len(path) - len(ending)]


def read_image(path: str | Path) -> NDArray[Any]:
    """Read the image that a label map belongs to.

    Args:
        path: ``.png``, ``.jpg``, ``.tif``, ``.npy``, ``.nii`` or ``.nii.gz``. What the file holds
            decides between PNG and JPEG, and no other format of pictures is read.

    Returns:
        ``(*S)`` grey or ``(*S, 3)`` colours, in the file's own type; transparency is dropped.

    Raises:
        FileNotFoundError: when nothing is there.
        ValueError: for an unknown ending, a broken file, or what isn't real numbers.
        ImportError: without the package that reads the format; the message names the extra.
    """
    file = Path(path)
    image = np.asarray(_read(file, _IMAGES))
    if image.dtype.kind not in "biuf":
        raise ValueError(f"path {file} must hold real numbers, got dtype {image.dtype}")
    return image


def _annotator(path: str | Path, segmentation: int | None) -> tuple[Path, int | None]:
    chosen = _ANNOTATOR.fullmatch(str(path))
    if chosen is None:
        return Path(path), segmentation
    number = int(chosen["number"])
    if segmentation not in (None, number):
        raise ValueError(
            f"segmentation must be the one that path names, {path}, got {segmentation}"
        )
    return Path(chosen["file"]), number


def _ending(file: Path, known: Mapping[str, Any]) -> str:
    """What a path ends in, of those known, or what a folder is; "" where it is none of them."""
    if file.is_dir():
        kind = next((kind for kind, holds in _FOLDERS.items() if kind in known and holds(file)), "")
        if kind:
            return kind
    name = file.name.lower()
    return next((ending for ending in known if ending[0] == "." and name.endswith(ending)), "")


def _read(file: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    if not file.exists():
        raise FileNotFoundError(f"path must be a file that exists, got {file}")
    ending = _ending(file, readers)
    if not ending:
        lossy = " (JPEG changes labels)" if file.suffix.lower() in (".jpg", ".jpeg") else ""
        endings = ", ".join(one for one in readers if one[0] == ".")
        raise ValueError(f"path must end in {endings}, got {str(file)!r}{lossy}")
    try:
        return readers[ending](file)
    except ImportError:
        raise
    except Exception as error:  # every library has exceptions of its own for a broken file
        raise ValueError(f"path {file} can't be read: {error or type(error).__name__}") from error


# Label maps


def _png_labels(file: Path) -> NDArray[Any]:
    pillow = optional("PIL.Image", "PNG files", "Pillow", "viz")
    with _picture_of(pillow, file, ["PNG"]) as picture:
        depth, kind = _png_depth(file)
        values: NDArray[Any] = np.array(picture)
        if depth == 16 and kind != 0:
            raise ValueError("labels are made of colours of 8 bits, and this file has 16")
        if picture.mode in ("LA", "RGB", "RGBA"):
            return _labels_of_colors(values)
        if picture.mode == "L" and depth < 8:
            # spread over 0 … 255 when they were decoded
            values //= 255 // (2**depth - 1)
        return values


def _png_depth(file: Path) -> tuple[int, int]:
    """Bits a channel, and the colour type, of which 0 is grey: the header's."""
    with file.open("rb") as stream:
        depth, kind = stream.read(26)[24:]
    return depth, kind


def _labels_of_colors(colors: NDArray[Any]) -> NDArray[np.int64]:
    channels = colors.shape[-1]
    if colors.dtype != np.uint8 or channels not in (2, 3, 4):
        raise ValueError(
            f"labels are made of colours of 8 bits and 2 to 4 channels, got {channels} of"
            f" {colors.dtype}"
        )
    labels: NDArray[np.int64] = np.zeros(colors.shape[:-1], np.int64)
    opaque = channels == 3
    for channel in range(channels if opaque else channels - 1):
        labels = (labels << 8) + colors[..., channel]
    if opaque:
        return labels
    transparency = 255 - colors[..., -1].astype(np.int64)
    labels[transparency == 255] = 0
    return labels + (transparency << 24)


def _tiff_labels(file: Path) -> NDArray[Any]:
    values, is_color = _tiff(file)
    return _labels_of_colors(values) if is_color else _whole(values)


def _tiff(file: Path) -> tuple[NDArray[Any], bool]:
    """What it holds, and whether its last axis are colours."""
    tifffile = optional("tifffile", "TIFF files", "tifffile", "partitions")
    with tifffile.TiffFile(file) as tiff:
        if len(tiff.series) != 1:
            raise ValueError(f"it must hold pages of one shape, got {len(tiff.series)} kinds")
        (series,) = tiff.series
        values = series.asarray()
        if "S" not in series.axes:
            return values, False
        return np.moveaxis(values, series.axes.index("S"), -1), True


def _npy(file: Path) -> NDArray[Any]:
    mode: Literal["r"] | None = "r" if file.stat().st_size > _READ else None
    mapped = np.load(file, mmap_mode=mode, allow_pickle=False)
    if not isinstance(mapped, np.ndarray):
        names = ", ".join(mapped.files)
        mapped.close()
        raise ValueError(f"it is an archive of arrays (.npz), of {names}: save one by np.save")
    return mapped


def _npy_labels(file: Path) -> NDArray[Any]:
    return _whole(_npy(file))


def _npz_labels(file: Path, inside: str | None) -> NDArray[Any]:
    with np.load(file, allow_pickle=False) as archive:
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a single array: name it .npy")
        names = list(archive.files)
        if inside is None and len(names) != 1:
            held = f"{len(names)} arrays, {', '.join(names)}: name one, as {file.name}:{names[0]}"
            raise ValueError(f"it holds {held}" if names else "it holds no array")
        if inside is not None and inside not in names:
            raise ValueError(f"it has no array {inside!r}, but {', '.join(names) or 'none'}")
        return _whole(np.asarray(archive[inside or names[0]]))


def _nifti_labels(file: Path) -> NDArray[Any]:
    return _whole(read_nifti(file))


def _slices(folder: Path) -> Any:
    return read_slices(slices_of(folder), _tiff_labels)


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """Integers as they are, and int64 of floating-point numbers that are all whole."""
    if values.dtype.kind != "f":
        return values
    labels = np.empty(values.shape, np.int64)
    # plane by plane: packed files hold far more than they weigh
    planes = zip(np.atleast_2d(labels), np.atleast_2d(values), strict=True)
    for index, (whole, plane) in enumerate(planes):
        odd = ~(np.abs(plane) < np.float64(2**63)) | (plane != np.rint(plane))
        if odd.any():
            within = np.argwhere(odd)[0]
            place = (*((index,) if values.ndim > 1 else ()), *map(int, within))
            raise ValueError(
                "labels that are stored as floating-point numbers must all be whole, within"
                f" int64, got {float(plane[tuple(within)])} at {place}"
            )
        whole[...] = plane
    return labels


def _bsds(file: Path, number: int | None) -> NDArray[Any]:
    import scipy.io

    content = scipy.io.loadmat(str(file))
    if "groundTruth" not in content:
        names = ", ".join(sorted(name for name in content if not name.startswith("__")))
        raise ValueError(f"a BSDS file holds groundTruth, this one {names or 'nothing'}")
    truths = content["groundTruth"].reshape(-1)
    if number is None and len(truths) > 1:
        raise ValueError(
            f"it holds {len(truths)} segmentations: choose one,"
            f" {file.name}:0 … {file.name}:{len(truths) - 1}"
        )
    if not 0 <= (number or 0) < len(truths):
        raise ValueError(f"segmentation must be in 0 … {len(truths) - 1}, got {number}")
    return np.asarray(truths[number or 0]["Segmentation"][0, 0])


# Images


@contextmanager
def _picture_of(pillow: Any, file: Path, formats: list[str]) -> Iterator[Any]:
    """The one picture in a file of these formats."""
    with warnings.catch_warnings():
        # of pictures that are large and are read: those that are too large raise
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
        try:
            opened = pillow.open(file, formats=formats)
        except pillow.UnidentifiedImageError:
            raise ValueError(f"it holds no {' or '.join(formats)}") from None
        except pillow.DecompressionBombError as error:
            raise ValueError(
                "it has more pixels than Pillow reads"
                f" ({2 * pillow.MAX_IMAGE_PIXELS:,}): save it as .tif or .npy ({error})"
            ) from None
        with opened:
            # some cameras put a second picture for the depth into a JPEG
            if opened.format == "PNG" and getattr(opened, "n_frames", 1) > 1:
                raise ValueError(
                    f"it holds {opened.n_frames} pictures, one after the other: save one of them"
                )
            yield opened


def _picture(file: Path) -> NDArray[Any]:
    pillow = optional("PIL.Image", "PNG and JPEG files", "Pillow", "viz")
    with _picture_of(pillow, file, ["PNG", "JPEG"]) as picture:
        if picture.mode in ("L", "RGB", "I", "F") or picture.mode.startswith("I;"):
            return np.asarray(picture)
        return np.asarray(picture.convert("L" if picture.mode in ("1", "LA") else "RGB"))


def _tiff_image(file: Path) -> NDArray[Any]:
    values, is_color = _tiff(file)
    if not is_color:
        return values
    return values[..., :3] if values.shape[-1] >= 3 else values[..., 0]


_LABELS: dict[str, Callable[[Path], Any]] = {
    ".png": _png_labels,
    ".tif": _tiff_labels,
    ".tiff": _tiff_labels,
    ".npy": _npy_labels,
    ".nii": _nifti_labels,
    ".nii.gz": _nifti_labels,
}
#: What makes a folder one map, by the name of its reader.
_FOLDERS: dict[str, Callable[[Path], bool]] = {
    ".zarr": is_zarr,
    ".n5": is_n5,
    "precomputed": is_precomputed,
    "slices": lambda folder: bool(slices_of(folder)),
}


def _readers(inside: str | None, number: int | None) -> dict[str, Callable[[Path], Any]]:
    """By ending, or kind of folder; of files that hold several, of what is asked for within."""
    several: dict[str, Callable[[Path], Any]] = {
        ".npz": lambda file: _npz_labels(file, inside),
        **dict.fromkeys((".h5", ".hdf5", ".hdf"), lambda file: read_hdf5(file, inside)),
        ".zarr": lambda folder: read_zarr(folder, inside),
        ".n5": lambda folder: read_n5(folder, inside),
        "precomputed": lambda folder: read_precomputed(folder, inside),
    }
    if inside is not None:
        return several
    return {**_LABELS, **several, "slices": _slices, ".mat": lambda file: _bsds(file, number)}


#: Longest first, as one may end in another.
_ENDINGS = sorted((one for one in _readers(None, None) if one[0] == "."), key=len, reverse=True)
_IMAGES: dict[str, Callable[[Path], Any]] = {
    ".png": _picture,
    ".jpg": _picture,
    ".jpeg": _picture,
    ".tif": _tiff_image,
    ".tiff": _tiff_image,
    ".npy": _npy,
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
}
