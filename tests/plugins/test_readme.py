"""What the README shows is what the library does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import readme
from metriseg.catalogue import CATALOGUE

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def block(language: str, containing: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and containing in text]
    return found


def test_the_table_is_the_catalogue() -> None:
    """It is what ``make readme`` writes: one row a loss, in the catalogue's order."""
    assert readme.written(README) == README
    rows = re.findall(r"^\| `(\w+Loss)` \| .* \| (.*) \|$", README, re.MULTILINE)
    assert [name for name, _ in rows] == list(CATALOGUE)


def test_the_table_is_found_and_replaced() -> None:
    head = "\n".join(readme.HEAD)
    with_row = README.replace(head, f"{head}\n| `Old` | x | y |")
    assert readme.written(with_row) == README
    with pytest.raises(ValueError, match="must have one table"):
        readme.written("no table")


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[2]
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", README):
        assert (root / target).exists(), target


def test_plain_pytorch() -> None:
    names: dict[str, Any] = {}
    exec(block("python", "import metriseg"), names)
    assert torch.isfinite(names["logits"].grad).all()


def test_mmsegmentation() -> None:
    pytest.importorskip("mmseg", reason="mmseg is not installed")
    from mmengine.registry import MODELS

    names: dict[str, Any] = {}
    exec(block("python", "metriseg_mmseg"), names)
    loss = MODELS.build(names["model"]["decode_head"]["loss_decode"])
    value = loss(torch.randn(1, 2, 4, 4), torch.randint(2, (1, 4, 4)), ignore_index=255)
    assert torch.isfinite(value)


def test_monai() -> None:
    pytest.importorskip("monai", reason="monai is not installed")
    from monai.bundle import ConfigParser

    parser = ConfigParser(json.loads(block("json", "metriseg_monai")))
    loss = parser.get_parsed_content("loss")
    assert torch.isfinite(loss(torch.randn(1, 2, 4, 4), torch.randint(2, (1, 1, 4, 4))))


def test_detectron2() -> None:
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    import yaml
    from detectron2.config import CfgNode, get_cfg

    from metriseg_detectron2 import add_metriseg_config
    from metriseg_detectron2.config import build_losses

    cfg = get_cfg()
    add_metriseg_config(cfg)
    cfg.merge_from_other_cfg(CfgNode(yaml.safe_load(block("yaml", "ROI_MASK_HEAD"))))
    assert [loss.name for loss in build_losses(cfg.MODEL.ROI_MASK_HEAD.LOSSES)] == ["tversky"]
    assert len(build_losses(cfg.MODEL.SEM_SEG_HEAD.LOSSES)) == 2
