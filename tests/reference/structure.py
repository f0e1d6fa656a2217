"""Losses of orders, windows and whole images, as plain loops in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {}
