"""Tables that a command writes into a page."""

from __future__ import annotations

import re
from collections.abc import Sequence


def with_table(page: str, text: str, head: Sequence[str], table: str) -> str:
    """The text of a page with a table, in place of the one that it has under this head.

    Args:
        page: what the page is called.
        text: that has one such table.
        head: the two lines that it begins with.
        table: as it should be, head and rows.

    Raises:
        ValueError: for a text without such a table, or with several.
    """
    rows = re.compile(re.escape("\n".join(head)) + r"(?:\n\|.*)*")
    if len(rows.findall(text)) != 1:
        raise ValueError(f"the {page} must have one table headed {head[0]!r}")
    return rows.sub(lambda _: table, text)
