"""Where in the repository a loss is: read as text, so that no framework need be installed."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

from metriseg import functional
from metriseg.catalogue import Entry

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = {
    "metriseg_mmseg": "MMSegmentation",
    "metriseg_monai": "MONAI",
    "metriseg_detectron2": "Detectron2",
}
#: Where what all losses share is.
BASES = "metriseg.losses.base"
#: What tests every loss of the catalogue.
GENERIC_TESTS = ("tests/core/test_catalogue.py", "tests/core/test_oracles.py")


@dataclass(frozen=True)
class Place:
    """A line of a file, by its path from the repository's root."""

    path: str
    line: int = 1


@functools.cache
def unsupported(plugin: str) -> dict[str, str]:
    """What a plugin's manifest says of the losses that it can't offer: name -> reason."""
    for node in _tree(ROOT / "plugins" / plugin / "losses.py").body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "UNSUPPORTED":
            assert node.value is not None
            reasons: dict[str, str] = ast.literal_eval(node.value)
            return reasons
    raise ValueError(f"the manifest of {plugin} has no UNSUPPORTED")


def definition(entry: Entry) -> Place:
    """The loss's class."""
    return _place(entry.loss)


def formulas(entry: Entry) -> dict[str, Place]:
    """The functions of :mod:`metriseg.functional` that the class and its family call, by name."""
    family = [
        base
        for base in entry.loss.__mro__
        if base.__module__.startswith("metriseg.losses.") and base.__module__ != BASES
    ]
    called = dict.fromkeys(
        node.attr
        for base in family
        for node in ast.walk(ast.parse(inspect.getsource(base)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "F"
    )
    return {name: _place(getattr(functional, name)) for name in called}


def oracle(entry: Entry) -> Place | None:
    """The naive function that the tests compare the loss with."""
    return _oracles().get(entry.name)


def tests(entry: Entry) -> list[Place]:
    """The tests of every loss, then those that name this one."""
    named = [
        f"tests/core/{path.name}"
        for path in sorted((ROOT / "tests" / "core").glob("test_*.py"))
        if re.search(rf"\b{entry.name}\b", path.read_text(encoding="utf-8"))
    ]
    return [Place(path) for path in dict.fromkeys((*GENERIC_TESTS, *named))]


@functools.cache
def _oracles() -> dict[str, Place]:
    found = {}
    for path in sorted((ROOT / "tests" / "reference").glob("*.py")):
        tree = _tree(path)
        lines = {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef)}
        for node in tree.body:
            if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target) != "ORACLES":
                continue
            assert isinstance(node.value, ast.Dict)
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant):
                    line = lines.get(ast.unparse(value), node.lineno)
                    found[key.value] = Place(path.relative_to(ROOT).as_posix(), line)
    return found


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _place(thing: object) -> Place:
    source = inspect.unwrap(thing)  # type: ignore[arg-type]
    path = Path(inspect.getsourcefile(source) or "").resolve()  # type: ignore[arg-type]
    _, line = inspect.getsourcelines(source)  # type: ignore[arg-type]
    return Place(path.relative_to(ROOT).as_posix(), line)
