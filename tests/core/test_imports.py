"""What the contracts in ``pyproject.toml`` can't say about imports."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter is not installed")


def test_no_two_files_import_each_other() -> None:
    """Not through others and not within a function either: a cycle raises and is printed.

    The contract compares the files of a folder; this includes the folder's own ``__init__``.
    """
    graph = grimp.build_graph("metriseg", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 100
    TopologicalSorter(imports).prepare()
