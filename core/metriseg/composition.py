"""Signatures and docstrings in which the options that losses share are written out."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Collection
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from metriseg.options import default_options


def compose(loss: type) -> None:
    """Give a class the signature, and the docstring, in which the shared options are written out.

    The signature has the constructor's own parameters, then, keyword-only, every word of its
    ``**options: Unpack[…]``. The docstring describes each by its own ``Args:`` or else by that of
    the nearest base, and has the base's ``Raises:`` before its own, and its ``Shape:``.
    """
    loss.__signature__ = _signature(loss)  # type: ignore[attr-defined]
    if loss.__doc__ is not None:
        loss.__doc__ = _docstring(loss)


def argument_types(loss: type) -> dict[str, Any]:
    """The type of every constructor argument, evaluated."""
    init: Any = loss.__init__  # type: ignore[misc]
    shared = _options_type(loss)
    found = get_type_hints(init)
    found |= {} if shared is None else get_type_hints(shared)
    return {word: found[word] for word in inspect.signature(loss).parameters if word in found}


def _options_type(loss: type) -> type | None:
    """The typed dictionary in ``**options: Unpack[…]``; where that is untyped, a base's."""
    for kind in loss.__mro__:
        if "__init__" not in vars(kind):
            continue
        init: Any = vars(kind)["__init__"]
        words = inspect.signature(init).parameters.values()
        passed_on = [word for word in words if word.kind is inspect.Parameter.VAR_KEYWORD]
        if not passed_on:
            return None
        hint = passed_on[0].annotation
        if isinstance(hint, str):
            hint = eval(hint, init.__globals__)
        if get_origin(hint) is Unpack:
            (options,) = get_args(hint)
            return options  # type: ignore[no-any-return]
    return None


def _signature(loss: type) -> inspect.Signature:
    init: Any = loss.__init__  # type: ignore[misc]
    _, *own = inspect.signature(init).parameters.values()
    shared = _options_type(loss)
    if shared is None:
        return inspect.Signature(own)
    defaults = default_options(loss)
    words = [
        inspect.Parameter(
            word,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[word],
            annotation=getattr(hint, "__forward_arg__", hint),
        )
        for word, hint in shared.__annotations__.items()
    ]
    own = [word for word in own if word.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*own, *words])


#: A header such as ``Args:``, and the indented lines under it.
_SECTION = re.compile(r"^(\w+):\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
_MARGIN = " " * 4


def _docstring(loss: type) -> str:
    text, own = _parted(loss.__doc__)
    documented = (base.__doc__ for base in loss.__mro__[1:] if hasattr(base, "defaults"))
    _, base = _parted(next(filter(None, documented), None))
    described = {**_items(base.get("Args", "")), **_items(own.get("Args", ""))}
    words = [described[word] for word in inspect.signature(loss).parameters if word in described]
    found = {
        "Args": "\n".join(words),
        **{name: section for name, section in own.items() if name not in ("Args", "Raises")},
        "Shape": own.get("Shape", base.get("Shape", "")),
        "Raises": _raised(base.get("Raises", ""), own.get("Raises", "")),
    }
    body, source, rest = text.partition("\n\nSource:")
    parts = [body, *(f"{name}:\n{section}" for name, section in found.items() if section)]
    return "\n\n".join(parts) + source + rest + "\n"


def _parted(docstring: str | None) -> tuple[str, dict[str, str]]:
    """A docstring's running text, and its sections by name."""
    text = inspect.cleandoc(docstring or "") + "\n"
    sections = {match[1]: match[2].rstrip() for match in _SECTION.finditer(text)}
    return re.sub(r"\n{3,}", "\n\n", _SECTION.sub("", text)).strip(), sections


def with_arguments(docstring: str, words: Collection[str]) -> str:
    """A docstring whose ``Args:`` describe no other arguments than these."""

    def kept(section: re.Match[str]) -> str:
        if section[1] != "Args":
            return section[0]
        items = [item for word, item in _items(section[2].rstrip()).items() if word in words]
        return "Args:\n" + "\n".join(items) + "\n\n" if items else ""

    return _SECTION.sub(kept, docstring + "\n")


def _items(section: str) -> dict[str, str]:
    """What a section says of each name, as it stands there."""
    items = re.split(rf"\n(?={_MARGIN}\S)", section) if section else []
    return {item.strip().partition(":")[0]: item for item in items}


def _raised(*sections: str) -> str:
    """The reasons of the family, then the loss's own, as one."""
    texts = (" ".join(section.split()).removeprefix("ValueError: ") for section in sections)
    reasons = [text.rstrip(".") for text in texts if text]
    return "\n".join(
        textwrap.wrap(
            f"ValueError: {'; '.join(reasons)}.",
            width=96,
            initial_indent=_MARGIN,
            subsequent_indent=2 * _MARGIN,
            break_on_hyphens=False,
        )
        if reasons
        else []
    )
