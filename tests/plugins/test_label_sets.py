"""Labels of sets of classes, from the configs of the three frameworks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metriseg

NAMES = (
    *("MarginalCrossEntropyLoss", "MarginalDiceLoss", "LeafDiceLoss"),
    *("ExclusionLoss", "ExclusionCrossEntropyLoss"),
)
SETS = {4: [2, 3]}


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    target = torch.randint(6, (2, 6, 5), generator=generator)
    return logits, torch.where(target == 5, 255, target)


def core(name: str, **words: Any) -> torch.Tensor:
    return getattr(metriseg, name)(SETS, ignore_index=255, **words)(*images())


@pytest.mark.parametrize("sets", [{4: [2, 3]}, [[4, [2, 3]]]], ids=["mapping", "pairs"])
@pytest.mark.parametrize("name", NAMES)
def test_mmsegmentation(name: str, sets: Any, tmp_path: Any) -> None:
    """Through a config that is written to a file and read again."""
    pytest.importorskip("mmseg")
    from mmengine.config import Config
    from mmseg.registry import MODELS

    import metriseg_mmseg  # noqa: F401

    words = (
        {"classes": "all"} if name in ("MarginalDiceLoss", "LeafDiceLoss", "ExclusionLoss") else {}
    )
    config = Config({"loss": dict(type=f"metriseg_mmseg.{name}", label_sets=sets, **words)})
    config.dump(tmp_path / "config.py")
    loss = MODELS.build(Config.fromfile(tmp_path / "config.py").loss)
    logits, target = images()
    found = loss(logits, target, ignore_index=255)
    expected = core(name, **({"per_image": False} if words else {}))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_monai(name: str) -> None:
    """From JSON, whose keys are text; class indices as floats."""
    pytest.importorskip("monai")
    import json

    from monai.bundle import ConfigParser

    text = json.dumps(
        {
            "loss": {
                "_target_": f"metriseg_monai.{name}",
                "label_sets": SETS,
                "softmax": True,
                "to_onehot_y": True,
                "ignore_index": 255,
            }
        }
    )
    loss = ConfigParser(json.loads(text)).get_parsed_content("loss")
    logits, target = images()
    torch.testing.assert_close(loss(logits, target.unsqueeze(1).float()), core(name))


@pytest.mark.parametrize("name", NAMES)
def test_detectron2(name: str, tmp_path: Any) -> None:
    """From YAML, in the semantic head's list."""
    pytest.importorskip("detectron2")
    from detectron2.config import get_cfg

    from metriseg_detectron2.config import add_metriseg_config, built_losses
    from metriseg_detectron2.convention import Seen
    from metriseg_detectron2.loss_modules import LossModules

    (tmp_path / "config.yaml").write_text(
        "MODEL:\n  SEM_SEG_HEAD:\n    LOSSES:\n"
        f"      - {{NAME: {name}, LABEL_SETS: {{4: [2, 3]}}}}\n"
    )
    cfg = get_cfg()
    add_metriseg_config(cfg)
    cfg.merge_from_file(str(tmp_path / "config.yaml"))
    losses = LossModules(built_losses(cfg, "SEM_SEG_HEAD"), Seen.of_classes("loss_sem_seg", 4))
    logits, target = images()
    found = losses(logits, target, ignore_index=255)["loss_sem_seg"]
    torch.testing.assert_close(found, core(name))
    with pytest.raises(ValueError, match="needs logits with 2 classes or more, got 1"):
        LossModules(built_losses(cfg, "SEM_SEG_HEAD"), Seen.of_regions("loss_mask", 80))
