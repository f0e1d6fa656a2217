"""The constructor of every loss, in the core and in the three frameworks, as users know it.

``python tests/plugins/test_signatures.py`` writes the snapshot anew; its difference is then a
change of the interface, to be read as one.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
from pathlib import Path

import pytest

from metriseg.catalogue import CATALOGUE

SNAPSHOT = Path(__file__).with_name("signatures.json")
#: Package -> what must be installed for it.
OWNERS = {
    "metriseg": "torch",
    "metriseg_mmseg": "mmseg",
    "metriseg_monai": "monai",
    "metriseg_detectron2": "detectron2",
}

#: What a parameter is called in the snapshot by its kind.
KINDS = {"POSITIONAL_OR_KEYWORD": "positional", "KEYWORD_ONLY": "keyword"}


def signatures(owner: str) -> dict[str, list[str]]:
    """Kind, name, annotation and default of every argument of the losses that a package offers."""
    package = importlib.import_module(owner)
    refused = getattr(importlib.import_module(f"{owner}.losses"), "UNSUPPORTED", {})
    return {
        name: [
            f"{KINDS[word.kind.name]} {word.name}: {annotation_of(word)} = {default_of(word)}"
            for word in inspect.signature(getattr(package, name)).parameters.values()
        ]
        for name in CATALOGUE
        if name not in refused
    }


def default_of(word: inspect.Parameter) -> str:
    return "required" if word.default is inspect.Parameter.empty else repr(word.default)


def annotation_of(word: inspect.Parameter) -> str:
    found = word.annotation
    return found if isinstance(found, str) else inspect.formatannotation(found)


@pytest.mark.parametrize("owner", OWNERS)
def test_signatures_are_what_they_were(owner: str) -> None:
    """Names, kinds, defaults and annotations, in their order."""
    pytest.importorskip(OWNERS[owner], reason=f"{OWNERS[owner]} is not installed")
    kept, found = json.loads(SNAPSHOT.read_text())[owner], signatures(owner)
    assert list(found) == list(kept)
    for name, parameters in kept.items():
        assert found[name] == parameters, name


if __name__ == "__main__":
    written = {owner: signatures(owner) for owner in OWNERS}
    SNAPSHOT.write_text(json.dumps(written, indent=1) + "\n")
