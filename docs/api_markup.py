"""Lets mkdocstrings understand the docstrings' Sphinx markup."""

from __future__ import annotations

from typing import Any

import griffe

import references
import sphinx_markup


class SphinxMarkup(griffe.Extension):
    """Converts every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = sphinx_markup.blocks(obj.docstring.value, references.resolve)
