"""Packages that read a format, and which extra brings them."""

from __future__ import annotations

import importlib
from typing import Any


def optional(module: str, what: str, package: str, extra: str) -> Any:
    """The module, where it is installed.

    Raises:
        ImportError: where it isn't, with what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"reading {what} needs {package}: pip install 'metriseg[{extra}]'"
        ) from None
