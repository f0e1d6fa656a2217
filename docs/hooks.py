"""What mkdocs calls beside its plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import formulas


def on_config(config: Any) -> None:
    """The scripts in this folder import one another, whoever runs them."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def on_page_content(html: str, **_: Any) -> str:
    """Draw the formulas."""
    return formulas.render(html)
