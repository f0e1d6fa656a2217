"""scikit-image, where an experiment takes it."""

from __future__ import annotations

import importlib
from typing import Any


def scikit_image(part: str) -> Any:
    """A module of scikit-image.

    Raises:
        ImportError: without it.
    """
    try:
        return importlib.import_module(f"skimage.{part}")
    except ImportError:
        raise ImportError(
            "this experiment needs scikit-image: pip install 'metriseg[demo]'"
        ) from None
