"""Label maps, and the images beside them, from the files that they come in."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.data.nifti import read_nifti
from metriseg.data.packages import optional

_ANNOTATOR = re.compile(r"(?P<file>.+\.mat):(?P<number>\d+)", re.IGNORECASE)
#: Any of these in a folder makes it a Zarr array or group.
#: Pixels of a Zarr array, which take days to count, and of one of its chunks, which fit memory.
_MOST = {"array": 1 << 46, "chunk": 1 << 32}
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")


def read_label_map(path: str | Path, *, segmentation: int | None = None) -> Any:
    """Read a label map: an integer array whose equal numbers are one region.

    - PNG: grey of 1 … 16 bits as it stands; of a palette the indices, not the colours; of a colour
      picture a label a colour: 65536 red + 256 green + blue. Where there is transparency
      2^24 (255 - alpha) is added, and what is wholly transparent is one label.
    - TIFF: the same; pages of one shape are a volume, the pages being its first axis.
    - NPY: mapped into memory, not read at once.
    - NIfTI, .nii and .nii.gz: integers, or floating-point numbers that are all whole. Its axes run
      nearest to right, anterior, superior, however the file stores them.
    - Zarr: a folder, an array or a group that holds a single one; opened, not read.
    - MATLAB, .mat: one of the human segmentations of a BSDS file, ``groundTruth[0, k]``.

    JPEG is refused: it changes the labels that it stores.

    Args:
        path: the file, or the folder of a Zarr array. ``file.mat:2`` chooses a segmentation.
        segmentation: which one of a BSDS file, from 0. It may be left out where there is one.

    Returns:
        Integer array: NumPy, or ``zarr.Array``.

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
    file, number = _annotator(path, segmentation)
    readers = {**_LABELS, ".mat": lambda file: _bsds(file, number)}
    if number is not None and _ending(file, readers) != ".mat":
        raise ValueError(f"segmentation is for BSDS files (.mat), got {number} for {file}")
    labels = _read(file, readers)
    if np.dtype(labels.dtype).kind not in "biu":
        raise ValueError(f"path {file} must hold integer labels, got dtype {labels.dtype}")
    return labels


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
    """What a path ends in, of those known; "" where it has none of them."""
    if ".zarr" in known and any((file / name).is_file() for name in _ZARR_FILES):
        return ".zarr"
    name = file.name.lower()
    return next((ending for ending in known if name.endswith(ending)), "")


def _read(file: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    if not file.exists():
        raise FileNotFoundError(f"path must be a file that exists, got {file}")
    ending = _ending(file, readers)
    if not ending:
        lossy = " (JPEG changes labels)" if file.suffix.lower() in (".jpg", ".jpeg") else ""
        raise ValueError(f"path must end in {', '.join(readers)}, got {str(file)!r}{lossy}")
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
    return _labels_of_colors(values) if is_color else values


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
    mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    if not isinstance(mapped, np.ndarray):
        names = ", ".join(mapped.files)
        mapped.close()
        raise ValueError(f"it is an archive of arrays (.npz), of {names}: save one by np.save")
    return mapped


def _nifti_labels(file: Path) -> NDArray[Any]:
    values = read_nifti(file)
    if values.dtype.kind != "f":
        return values
    labels = np.empty(values.shape, np.int64)
    # plane by plane: packed files hold far more than they weigh
    for whole, plane in zip(labels, values, strict=True):
        if not (np.abs(plane) < 2.0**63).all() or (plane != np.rint(plane)).any():
            raise ValueError("labels that are stored as floating-point numbers must all be whole")
        whole[...] = plane
    return labels


def _zarr(folder: Path) -> Any:
    zarr = optional("zarr", "Zarr arrays", "zarr", "scale")
    opened = zarr.open(str(folder), mode="r")
    if hasattr(opened, "dtype"):
        return _of_this_world(opened)
    arrays = dict(_arrays(opened))
    if len(arrays) != 1:
        held = f"{len(arrays)}: {', '.join(sorted(arrays))}" if arrays else "none"
        choice = f"; name one, as {folder / min(arrays)}" if arrays else ""
        raise ValueError(f"the group must hold a single array, got {held}{choice}")
    return _of_this_world(next(iter(arrays.values())))


def _of_this_world(array: Any) -> Any:
    """The array, whose shape a few bytes state, if anything could ever be made of it."""
    for what, pixels in (("array", array.shape), ("chunk", array.chunks)):
        if math.prod(pixels) > _MOST[what]:
            raise ValueError(
                f"its {what} must hold at most {_MOST[what]:,} pixels, and it states the shape"
                f" {tuple(pixels)}"
            )
    return array


def _arrays(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = [(prefix + name, array) for name, array in group.arrays()]
    for name, inner in group.groups():
        found += _arrays(inner, f"{prefix}{name}/")
    return found


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
    ".npy": _npy,
    ".nii": _nifti_labels,
    ".nii.gz": _nifti_labels,
    ".zarr": _zarr,
}
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
