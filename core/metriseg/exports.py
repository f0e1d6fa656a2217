"""Packages that show what the modules in them declare, found when it is asked for.

A name is listed once, in the ``__all__`` of the module that defines it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any


def lazy_exports(
    package: str, homes: Sequence[str], submodules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its name.
        homes: the modules in it whose names it shows, searched in this order.
        submodules: those that belong to its own ``__all__`` themselves.
    """
    module = sys.modules[package]

    def home(name: str) -> Any:
        return importlib.import_module(f"{package}.{name}")

    def everything() -> list[str]:
        return sorted([*submodules, *(name for one in homes for name in declared(home(one)))])

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return everything()
        if not name.startswith("_"):
            # a module first: while the homes are being imported, they ask for one another
            if importlib.util.find_spec(f"{package}.{name}"):
                return home(name)
            for one in map(home, homes):
                if name in declared(one):
                    setattr(module, name, getattr(one, name))
                    return getattr(one, name)
            for one in map(home, homes):
                # a manifest tells why it lacks a loss
                if hasattr(one, "__getattr__"):
                    return one.__getattr__(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(module), *everything()})

    return __getattr__, __dir__


def declared(module: Any) -> Sequence[str]:
    """A module's ``__all__``; of a package that gathers those of its modules, what it gathered."""
    if "__all__" in vars(module):
        listed: Sequence[str] = module.__all__
        return listed
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]
