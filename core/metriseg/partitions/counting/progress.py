"""A bar for long work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

Part = TypeVar("Part")


def watched(parts: Sequence[Part], progress: bool) -> Iterable[Part]:
    """The parts in turn; with a bar on standard error where ``progress`` asks for one.

    Raises:
        ImportError: when a bar is asked for and rich is missing.
    """
    if not progress:
        return parts
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError as error:
        raise ImportError(
            "progress=True needs rich: pip install 'metriseg[scale]', or leave progress=False"
        ) from error
    return track(parts, description="contingency table", console=Console(stderr=True))
