"""Every loss of the catalogue stands in every manifest, or is refused there with a reason."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from metriseg.catalogue import CATALOGUE

PLUGINS = {
    "metriseg_mmseg": "mmseg",
    "metriseg_monai": "monai",
    "metriseg_detectron2": "detectron2",
}
SOURCES = Path(__file__).parents[2] / "plugins"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_manifest_is_written_out(plugin: str) -> None:
    """Read as text, so that it holds also where the framework is not installed."""
    tree = ast.parse((SOURCES / plugin / "losses.py").read_text())
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.endswith("Loss")
    }
    (unsupported,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.target.id == "UNSUPPORTED"
    )
    assert assigned | set(unsupported) == set(CATALOGUE)
    assert not assigned & set(unsupported)
    assert all(unsupported.values())


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_manifest_binds_the_core(plugin: str) -> None:
    """Each is a real class of its own: the core's loss, found under the plugin's name."""
    framework = PLUGINS[plugin]
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    losses = importlib.import_module(f"{plugin}.losses")
    for name, entry in CATALOGUE.items():
        if name in losses.UNSUPPORTED:
            continue
        bound = getattr(losses, name)
        assert issubclass(bound, entry.loss)
        assert bound.__module__ == losses.__name__
        assert getattr(importlib.import_module(plugin), name) is bound
        first_line = inspect.cleandoc(entry.loss.__doc__).splitlines()[0]
        assert bound.__doc__.startswith(first_line)
        assert bound.__doc__ != entry.loss.__doc__


@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_unsupported_loss_names_the_reason(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    framework = PLUGINS[plugin]
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    losses = importlib.import_module(f"{plugin}.losses")
    monkeypatch.setitem(losses.UNSUPPORTED, "ImpossibleLoss", "it needs what isn't there")
    with pytest.raises(NotImplementedError, match="it needs what isn't there"):
        losses.ImpossibleLoss  # noqa: B018
