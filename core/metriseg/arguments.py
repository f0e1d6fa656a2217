"""What counts as a bad argument, where no tensor is concerned: free of torch."""

from __future__ import annotations

import difflib
import inspect
import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

__all__ = ["UnknownArgumentError"]

T = TypeVar("T")


class UnknownArgumentError(TypeError, ValueError):
    """A constructor was called with an argument that it doesn't have.

    It is a ``TypeError``, as Python raises for an unexpected keyword, and a ``ValueError``, as
    every other complaint of this library about a configuration.
    """


def refuse_unknown(
    owner: type, given: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> None:
    """Raise :class:`UnknownArgumentError` for the first name that ``owner`` doesn't take."""
    parameters = inspect.signature(owner).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        refuse_words(owner.__name__, given, parameters, synonyms)


def refuse_words(
    owner: str,
    given: Iterable[str],
    allowed: Collection[str],
    synonyms: Mapping[str, str] | None = None,
) -> None:
    """Raise :class:`UnknownArgumentError` for the first name that isn't allowed."""
    for name in given:
        if name in allowed:
            continue
        synonym = (synonyms or {}).get(name)
        hint = f": {synonym}" if synonym is not None else nearest(name, allowed)
        raise UnknownArgumentError(
            f"{owner} has no argument '{name}'{hint} (it takes {', '.join(allowed) or 'none'})"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """A question after the known word that resembles this one most; nothing where none does."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f": did you mean '{near[0]}'?" if near else ""


def one_of(name: str, value: object, allowed: Collection[object]) -> None:
    # 1 == True, and an array answers with an array; an enumeration's word is a word
    if not any(
        isinstance(value, type(word))
        and isinstance(value, bool) == isinstance(word, bool)
        and value == word
        for word in allowed
    ):
        words = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"{name} must be one of {words}, got {value!r}")


def number(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """``value`` as a float within ``[low, high]``; an open end is no allowed value itself.

    A number may be written as text: YAML reads ``1e-5`` so. A bool is no number.
    """
    bracket = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    try:
        result = float(_plain(value))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{name} must be a number in {bracket}, got {value!r}") from None
    above = low < result if open_low else low <= result
    below = result < high if open_high else result <= high
    if not (math.isfinite(result) and above and below):
        raise ValueError(f"{name} must be a finite number in {bracket}, got {value!r}")
    return result


def optional(check: Callable[..., T], name: str, value: T | None, **bounds: Any) -> T | None:
    """``check(name, value, …)``, and None as it is."""
    return None if value is None else check(name, value, **bounds)


def flag(name: str, value: bool) -> bool:
    """``value`` if it is True or False: a word such as "False", or a number, would be true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _plain(value: Any) -> Any:
    """``value``; a TypeError for a bool, also in an array, and for what is to be learnt."""
    is_bool = isinstance(value, (bool, np.bool_)) or "bool" in str(getattr(value, "dtype", ""))
    if is_bool or getattr(value, "requires_grad", False):
        raise TypeError
    return value


def label(name: str, value: int | None) -> int | None:
    """``value`` if it is an integer that a label map can hold, or None."""
    if value is None:
        return None
    try:
        result = operator.index(_plain(value))
    except (TypeError, RuntimeError):
        raise ValueError(f"{name} must be an integer or None, got {value!r}") from None
    if not -(2**63) <= result < 2**64:
        raise ValueError(f"{name} must be a label within int64 or uint64, got {value!r}")
    return result


def whole_number(name: str, value: int, *, low: int = 0) -> int:
    """``value`` if it is an integer of at least ``low``."""
    try:
        result = operator.index(_plain(value))
    except (TypeError, RuntimeError):
        raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}") from None
    if result < low:
        raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")
    return result


def odd_number(name: str, value: int, *, low: int) -> int:
    """``value`` if it is an integer of at least ``low`` that has a middle."""
    result = whole_number(name, value, low=low)
    if result % 2 == 0:
        raise ValueError(f"{name} must be odd, to have a pixel in its middle, got {result}")
    return result
