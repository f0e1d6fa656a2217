"""Loading what losses read beside the labels: object numbers, pixel weights, distances."""

from __future__ import annotations

import abc
import io
import os
from typing import Any, ClassVar

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from numpy.typing import NDArray
from PIL import Image

from metriseg import validation
from metriseg_mmseg.carried import DENSE_MAPS, INSTANCE_MAP, MAP_KEYS, PIXEL_WEIGHT
from metriseg_mmseg.registry import TRANSFORMS
from metriseg_mmseg.transforms import scale_key

__all__ = ["LoadDistanceMap", "LoadInstanceMap", "LoadPixelWeight"]


class LoadBesideLabels(BaseTransform):
    """What the loaders have in common; :class:`LoadInstanceMap` says it all."""

    key: str

    def __init__(
        self,
        folder: str | None,
        suffix: str,
        label_folder: str | None = None,
        label_suffix: str | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        for name, word in (("folder", folder), ("label_folder", label_folder)):
            if word is not None and not (isinstance(word, str) and word and "/" not in word):
                raise ValueError(f"{name} must be the name of a folder, or None, got {word!r}")
        for name, word in (("suffix", suffix), ("label_suffix", label_suffix)):
            if not isinstance(word, str) and not (name == "label_suffix" and word is None):
                raise ValueError(f"{name} must be the end of a file's name, got {word!r}")
        self.folder, self.suffix = folder, suffix
        self.label_folder, self.label_suffix = label_folder, label_suffix
        self.backend_args = backend_args

    def path(self, label: str) -> str:
        """The file that belongs to a label's.

        Raises:
            ValueError: for a label outside ``label_folder``, or without ``label_suffix``.
        """
        *folders, name = label.replace(os.sep, "/").split("/")
        extension = f".{name.rpartition('.')[2]}" if "." in name else ""
        ending = extension if self.label_suffix is None else self.label_suffix
        if not name.endswith(ending):
            raise ValueError(f"label_suffix: {label!r} doesn't end in {ending!r}")
        if self.folder is not None:
            folders[self._place(label, folders)] = self.folder
        return "/".join([*folders, name.removesuffix(ending) + self.suffix])

    def _place(self, label: str, folders: list[str]) -> int:
        """Where in the path the folder stands that is replaced: the last of its name."""
        wanted = folders[-1:] if self.label_folder is None else [self.label_folder]
        if not wanted or wanted[0] not in folders:
            named = "" if self.label_folder is None else f" {self.label_folder!r}"
            raise ValueError(f"label_folder: {label!r} lies in no folder{named}")
        return len(folders) - 1 - folders[::-1].index(wanted[0])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds the map, in the shape of the labels."""
        if "seg_map_path" not in results:
            raise ValueError(
                f"{type(self).__name__} finds its file by the label's: the results have no"
                " seg_map_path"
            )
        path = self.path(results["seg_map_path"])
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{type(self).__name__}: no file {path!r} beside the label"
                f" {results['seg_map_path']!r}: see its folder and suffix"
            ) from None
        try:
            values = self.values(_decoded(content, path))
            self._check_size(values, results)
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from None
        fields = results.get("seg_fields", [])
        if self.key not in fields:
            fields = [*fields, self.key]
        return {**results, self.key: values, "seg_fields": fields}

    def _check_size(self, values: NDArray[Any], results: dict[str, Any]) -> None:
        labels = results.get("gt_seg_map")
        wanted = tuple(results["img_shape"][:2]) if labels is None else labels.shape
        if values.shape[:2] != wanted:
            of = "image" if labels is None else "labels"
            raise ValueError(
                f"{self.key} must have the size of the {of}, {wanted}, got {values.shape[:2]}:"
                " load it where the labels are loaded, before they change"
            )

    @abc.abstractmethod
    def values(self, read: NDArray[Any]) -> NDArray[Any]:
        """What stands in the file as ``(H, W)`` or ``(H, W, C)``, of a type that transforms take.

        Raises:
            ValueError: for what is no such map.
        """

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(folder={self.folder!r}, suffix={self.suffix!r},"
            f" label_folder={self.label_folder!r}, label_suffix={self.label_suffix!r})"
        )


@TRANSFORMS.register_module()
class LoadInstanceMap(LoadBesideLabels):
    """Loads the numbers of the objects, ``gt_instance_map`` ``(H, W)``, 0 where there is none.

    It stands beside ``LoadAnnotations``, before the transforms that change labels: they flip, crop,
    resize (by the nearest pixel) and rotate it with them, as ``seg_fields`` has it. The file is a
    PNG or TIFF of one channel, of 8, 16 or 32 bits, or a ``.npy`` of integers. What mixes images
    (``RandomMosaic``) mixes the numbers too.

    The file is found by the label's path: the name of the folder that the label lies in is replaced
    by ``folder``, and the end of its name by ``suffix``. So ``train/labels/a.png`` has
    ``train/instances/a.png``. Where labels lie deeper, ``label_folder`` is the folder to replace:
    with ``dict(folder='objects', label_folder='gtFine', label_suffix='_labelTrainIds.png',
    suffix='_objects.npy')`` the label ``gtFine/train/ulm/x_labelTrainIds.png`` has
    ``objects/train/ulm/x_objects.npy``.

    Args:
        folder: the name of the folder; None for that of the labels.
        suffix: the end of the file's name.
        label_folder: the name of the labels' folder that is replaced, the last of that name; None
            for the one that they lie in.
        label_suffix: the end of the label's name that is replaced; None for its extension.
        backend_args: of MMEngine's file backend.

    Raises:
        ValueError: for an argument that is no name; when called, for a label's path that doesn't
            fit, or a file of another type or size.
        FileNotFoundError: when called, for a file that is missing.
    """

    key = INSTANCE_MAP

    def __init__(
        self,
        folder: str | None = "instances",
        suffix: str = ".png",
        label_folder: str | None = None,
        label_suffix: str | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, suffix, label_folder, label_suffix, backend_args)

    def values(self, read: NDArray[Any]) -> NDArray[Any]:
        _one_channel(self.key, read)
        if not np.issubdtype(read.dtype, np.integer):
            raise ValueError(f"{self.key} must hold integers, got {read.dtype}")
        low, high = (int(read.min()), int(read.max())) if read.size else (0, 0)
        if low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(f"{self.key} must hold numbers from 0 to 2^31 - 1, got {low} … {high}")
        # OpenCV, which resizes and rotates, knows no int64
        return read.astype(np.uint16 if high <= np.iinfo(np.uint16).max else np.int32)


@TRANSFORMS.register_module()
class LoadPixelWeight(LoadBesideLabels):
    """Loads pixel weights, ``gt_pixel_weight`` ``(H, W)`` float32, for the losses.

    It multiplies the weight that a head's sampler gives, and counts like that: the mean of a loss
    of pixels divides by the number of pixels that aren't ignored, so weights of mean 1 keep its
    size; a loss of regions takes it as how much of a pixel there is. Files, places and transforms
    are those of :class:`LoadInstanceMap`; a ``.npy`` may also hold floats.

    Args:
        folder: the name of the folder; None for that of the labels.
        suffix: the end of the file's name.
        label_folder: as in :class:`LoadInstanceMap`.
        label_suffix: as there.
        scale: > 0; what the numbers in the file are multiplied by. A picture in which 100 stands
            for weight 1 has 0.01.
        backend_args: of MMEngine's file backend.

    Raises:
        ValueError: as in :class:`LoadInstanceMap`, and for weights that are negative or not finite.
        FileNotFoundError: when called, for a file that is missing.
    """

    key = PIXEL_WEIGHT

    def __init__(
        self,
        folder: str | None = "weights",
        suffix: str = ".npy",
        label_folder: str | None = None,
        label_suffix: str | None = None,
        scale: float = 1.0,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, suffix, label_folder, label_suffix, backend_args)
        self.scale = validation.number("scale", scale, low=0.0, open_low=True)

    def values(self, read: NDArray[Any]) -> NDArray[Any]:
        _one_channel(self.key, read)
        weight = (_real(self.key, read) * self.scale).astype(np.float32)
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError(f"{self.key} must be finite and not negative")
        return weight


@TRANSFORMS.register_module()
class LoadDistanceMap(LoadBesideLabels):
    """Loads a map of distances, such as ``gt_signed_distance_map``, from a ``.npy``.

    In the file it is ``(C, H, W)``, of a penalty ``(H, W)``. It is flipped and cropped with the
    labels, and the distances stay those of the whole image. It must not be resized:
    ``metriseg_mmseg.PackSegInputs`` refuses that, and ``metriseg_mmseg.DistanceMap`` is the way.
    Places are those of :class:`LoadInstanceMap`.

    Args:
        map: "signed_distance", "region", "penalty", "target_distance" or "skeleton".
        folder: the name of the folder; None for the name of the map.
        suffix: the end of the file's name.
        label_folder: as in :class:`LoadInstanceMap`.
        label_suffix: as there.
        backend_args: of MMEngine's file backend.

    Raises:
        ValueError: as in :class:`LoadInstanceMap`, and for another number of dimensions.
        FileNotFoundError: when called, for a file that is missing.
    """

    known: ClassVar[tuple[str, ...]] = tuple(name for name in MAP_KEYS if name != "instances")

    def __init__(
        self,
        map: str,
        folder: str | None = None,
        suffix: str = ".npy",
        label_folder: str | None = None,
        label_suffix: str | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        validation.one_of("map", map, self.known)
        super().__init__(folder or map, suffix, label_folder, label_suffix, backend_args)
        self.map, self.key = map, MAP_KEYS[map]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        found = super().transform(results)
        return {**found, scale_key(self.key): results.get("scale_factor")}

    def values(self, read: NDArray[Any]) -> NDArray[Any]:
        read = _real(self.key, read).astype(np.float32)
        if self.map not in DENSE_MAPS:
            _one_channel(self.key, read)
            return read
        if read.ndim != 3:
            raise ValueError(f"{self.key} must have shape (C, H, W), got {read.shape}")
        return np.ascontiguousarray(read.transpose(1, 2, 0))


def _decoded(content: bytes, path: str) -> NDArray[Any]:
    if path.endswith(".npy"):
        read: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        return read
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture)
    except OSError:
        raise ValueError("is neither .npy nor a picture that can be read") from None


def _one_channel(key: str, read: NDArray[Any]) -> None:
    if read.ndim != 2:
        raise ValueError(f"{key} must have shape (H, W), got {read.shape}")


def _real(key: str, read: NDArray[Any]) -> NDArray[Any]:
    if not (np.issubdtype(read.dtype, np.integer) or np.issubdtype(read.dtype, np.floating)):
        raise ValueError(f"{key} must hold numbers, got {read.dtype}")
    return read
