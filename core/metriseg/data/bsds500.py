"""The photographs of BSDS500 and what people saw in each: several partitions of one image.

Nothing is downloaded: the files lie in ``$METRISEG_DATA/bsds500``, photographs in ``images``
(``.jpg``) and segmentations in ``groundTruth`` (``.mat``), with or without folders of splits
below, as in the data set's own archive.

Reference: P. Arbeláez, M. Maire, C. Fowlkes, J. Malik, Contour detection and hierarchical image
segmentation, IEEE TPAMI 33, 2011, doi:10.1109/TPAMI.2010.161.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy import io
from scipy.io.matlab import MatReadError


@dataclass(frozen=True)
class Photograph:
    """One photograph; its files are read when asked for.

    Attributes:
        name: the file's name without its ending.
        image_file: the photograph.
        segmentation_file: what several people made of it.
    """

    name: str
    image_file: Path
    segmentation_file: Path

    def image(self) -> NDArray[np.uint8]:
        """``(H, W, 3)``: RGB.

        Raises:
            ImportError: without Pillow.
        """
        try:
            from PIL import Image
        except ImportError:
            raise ImportError(
                "reading photographs needs Pillow: pip install 'metriseg[viz]'"
            ) from None
        with Image.open(self.image_file, formats=["JPEG"]) as opened:
            return np.asarray(opened.convert("RGB"))

    def segmentations(self) -> list[NDArray[np.int64]]:
        """Label maps ``(H, W)`` with labels from 1, one a person."""
        return read_segmentations(self.segmentation_file)


class BSDS500(Sequence[Photograph]):
    """The photographs that have segmentations, in the order of their names.

    Args:
        root: the folder that ``bsds500`` lies in; None takes ``$METRISEG_DATA``.

    Raises:
        FileNotFoundError: where there are none.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        given = root or os.environ.get("METRISEG_DATA")
        if not given:
            raise FileNotFoundError(
                "BSDS500 needs root or the environment variable METRISEG_DATA: the folder that"
                " bsds500 lies in"
            )
        folder = Path(given) / "bsds500"
        truths = folder / "groundTruth"
        files = sorted(truths.rglob("*.mat"), key=lambda file: file.stem)
        if not files:
            raise FileNotFoundError(
                f"BSDS500 found no segmentations (.mat) in {truths}: root or METRISEG_DATA must be"
                " the folder that bsds500 lies in"
            )
        self._photographs = [
            Photograph(
                file.stem,
                (folder / "images" / file.relative_to(truths)).with_suffix(".jpg"),
                file,
            )
            for file in files
        ]

    def __len__(self) -> int:
        return len(self._photographs)

    @overload
    def __getitem__(self, index: int) -> Photograph: ...

    @overload
    def __getitem__(self, index: slice) -> list[Photograph]: ...

    def __getitem__(self, index: int | slice) -> Photograph | list[Photograph]:
        return self._photographs[index]


def read_segmentations(path: str | Path) -> list[NDArray[np.int64]]:
    """The label maps ``(H, W)`` of a BSDS500 file of human segmentations.

    Raises:
        ValueError: for a file of another kind.
    """
    try:
        people = io.loadmat(path)["groundTruth"].reshape(-1)
        return [np.asarray(one["Segmentation"][0, 0], np.int64) for one in people]
    except (IndexError, KeyError, MatReadError, NotImplementedError, ValueError) as error:
        raise ValueError(
            f"path must be a MATLAB file with groundTruth{{k}}.Segmentation, got {path}: {error}"
        ) from None
