"""The configs of ``docs/trouble.md`` build what they name, in every framework."""

import json
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "trouble.md").read_text(encoding="utf-8")


def code(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_kind_of_config_is_there():
    assert [len(code(language)) > 1 for language in ("python", "json", "yaml")] == [True] * 3


@pytest.mark.parametrize("text", [text for text in code("python") if "loss_decode" in text])
def test_mmsegmentation_builds(text):
    pytest.importorskip("mmseg", reason="mmseg is not installed")
    from mmengine.registry import MODELS

    import metriseg_mmseg

    names = {}
    exec(text, names)
    configs = names["loss_decode"]
    for config in configs if isinstance(configs, list) else [configs]:
        name = config["type"].rpartition(".")[2]
        assert isinstance(MODELS.build(config), getattr(metriseg_mmseg, name))


@pytest.mark.parametrize("text", code("json"))
def test_monai_builds(text):
    pytest.importorskip("monai", reason="monai is not installed")
    from monai.bundle import ConfigParser

    import metriseg_monai

    config = json.loads(text)
    name = config["loss"]["_target_"].rpartition(".")[2]
    built = ConfigParser(config).get_parsed_content("loss")
    assert isinstance(built, getattr(metriseg_monai, name))


@pytest.mark.parametrize("text", code("yaml"))
def test_detectron2_builds(text):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    from metriseg_detectron2.config import build_losses

    config = yaml.safe_load(text)
    ((_, head),) = config["MODEL"].items()
    built = [type(loss).__name__ for loss in build_losses(head["LOSSES"])]
    assert built == [loss["NAME"] for loss in head["LOSSES"]]


@pytest.mark.parametrize("name", re.findall(r'"(metriseg_(?:mmseg|monai)\.\w+)"', PAGE))
def test_names_of_the_page_exist(name):
    """Also those in tables."""
    module, _, name = name.partition(".")
    package = pytest.importorskip(module, reason=f"{module} needs its framework")
    assert hasattr(package, name)
