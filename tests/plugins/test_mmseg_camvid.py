"""The config on streets trains with MMSegmentation's runner, with maps, objects and weights."""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from metriseg.configuration import config_path
from metriseg.losses import boundary
from metriseg_mmseg.segmentors import EncoderDecoder

CONFIG = config_path("mmseg/camvid_unet_boundary.py")
DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "camvid").is_dir()),
    reason="needs the streets in $METRISEG_DATA/camvid",
)
CROP = (48, 64)
TERMS = ("dice", "cross_entropy", "boundary")


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Four images for training and two for validation, with objects and weights beside them."""
    root = tmp_path / "camvid"
    for split, number in (("train", 4), ("val", 2)):
        source = Path(str(DATA)) / "camvid" / split
        for kind in ("images", "labels", "instances", "weights"):
            (root / split / kind).mkdir(parents=True)
        for image in sorted((source / "images").iterdir())[::40][:number]:
            label = source / "labels" / f"{image.stem}.png"
            shutil.copy(image, root / split / "images")
            shutil.copy(label, root / split / "labels")
            classes = np.asarray(Image.open(label))
            numbers = components(classes).astype(np.uint16)
            Image.fromarray(numbers).save(root / split / "instances" / label.name)
            # in hundredths: people and bicycles count fourfold
            weight = np.where(np.isin(classes, (9, 10)), 200, 50).astype(np.uint8)
            Image.fromarray(weight).save(root / split / "weights" / label.name)
    return root


def components(classes: np.ndarray) -> np.ndarray:
    """The connected components of every class, numbered from 1; 0 where nothing is labelled."""
    found, number = np.zeros(classes.shape, int), 0
    for one in np.unique(classes[classes != 255]):
        parts, count = ndimage.label(classes == one)
        found = np.where(parts > 0, parts + number, found)
        number += count
    return found


def small(work_dir: Path, iterations: int = 2, root: Path | None = None) -> Config:
    """A narrow network on small crops."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.update(in_channels=4, channels=4)
    cfg.model.auxiliary_head.update(in_channels=8, channels=4)
    cfg.model.data_preprocessor.size = CROP
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.indices = 4
        if root is not None:
            loader.dataset.data_root = str(root)
    cfg.train_dataloader.dataset.pipeline[2].crop_size = CROP
    cfg.train_cfg.update(max_iters=iterations, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    # MMEngine keeps one object of each name for the life of the process.
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(work_dir)
    return cfg


def scalars(work_dir: Path, key: str = "loss") -> list[dict[str, Any]]:
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if key in line]


def test_the_config_survives_dump_and_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where the streets are, and builds the segmentor that carries."""
    monkeypatch.setenv("METRISEG_DATA", "/somewhere")
    cfg = Config.fromfile(CONFIG)
    assert cfg.train_dataloader.dataset.data_root == "/somewhere/camvid"
    cfg.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py")
    assert again.model == cfg.model
    assert again.train_dataloader == cfg.train_dataloader
    model = MODELS.build(again.model)
    assert isinstance(model, EncoderDecoder)
    for head, weight in ((model.decode_head, 1.0), (model.auxiliary_head, 0.4)):
        assert head.loss_decode.loss_weight == weight
        assert tuple(head.loss_decode.term_names) == TERMS


@needs_data
@pytest.mark.training
def test_the_config_trains_on_the_pipelines_distances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss computes a distance itself, and the boundary loss is what it would have computed."""
    cfg = small(tmp_path)
    # the schedule gives the boundary loss its whole weight from the beginning
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.loss_decode.weights = [1.0, 1.0, 0.1]
    runner = Runner.from_cfg(cfg)
    batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    batch = runner.model.data_preprocessor(batch, True)
    assert batch["data_samples"][0].gt_signed_distance_map.shape == CROP
    stock = MODELS.build({**cfg.model, "type": "EncoderDecoder"})
    stock.load_state_dict(runner.model.state_dict())
    runner.model.train(), stock.train()
    found, computed = (m.loss(**batch) for m in (runner.model, stock))
    assert found.keys() == computed.keys()
    for key, value in computed.items():
        assert torch.equal(found[key], value), key

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the loss computes distances")

    monkeypatch.setattr(boundary, "signed_distance_map", refuse)
    with pytest.raises(AssertionError, match="computes distances"):
        stock.loss(**batch)
    before = runner.model.auxiliary_head.conv_seg.weight.detach().clone()
    runner.train()
    assert not torch.equal(runner.model.auxiliary_head.conv_seg.weight, before)
    lines = scalars(tmp_path)
    assert [line["step"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines)
    (scores,) = scalars(tmp_path, "loss/dice")
    assert 0 < scores["loss/dice"] < 1
    assert 0 <= scores["mIoU"] <= 100


@pytest.mark.slow
@needs_data
@pytest.mark.training
def test_objects_and_weights_of_files(streets: Path, tmp_path: Path) -> None:
    """They reach a stock head's losses; the training is resumed from its second iteration."""
    partition = {
        "type": "metriseg_mmseg.PartitionLoss",
        "segments": {"type": "KernelSegments", "frequencies": 8, "seed": 0},
    }
    loaders = [
        {"type": "metriseg_mmseg.LoadInstanceMap"},
        {"type": "metriseg_mmseg.LoadPixelWeight", "suffix": ".png", "scale": 0.01},
    ]
    first: dict[str, dict[str, float]] = {}
    for name, used in (("bare", []), ("objects", loaders[:1]), ("all", loaders)):
        for iterations in (2, 3) if name == "all" else (1,):
            cfg = small(tmp_path / name, iterations, streets)
            cfg.model.decode_head.loss_decode.terms.append(partition)
            cfg.model.decode_head.loss_decode.weights = [1.0, 1.0, 0.1, 1.0]
            cfg.model.auxiliary_head.loss_decode = [
                {"type": "metriseg_mmseg.CrossEntropyLoss"},
                {"type": "CrossEntropyLoss", "loss_name": "loss_stock"},
            ]
            cfg.train_dataloader.dataset.pipeline[2:2] = used
            cfg.val_dataloader.dataset.pipeline[2:2] = used
            cfg.custom_hooks[1].update(interval=2, val_interval=1)
            cfg.resume = iterations > 2
            Runner.from_cfg(cfg).train()
        first[name] = scalars(tmp_path / name)[0]
    bare, objects, everything = first["bare"], first["objects"], first["all"]
    assert objects["decode.loss_compound"] != bare["decode.loss_compound"]
    assert objects["aux.loss_ce"] == bare["aux.loss_ce"]
    assert everything["decode.loss_compound"] != objects["decode.loss_compound"]
    assert everything["aux.loss_ce"] != bare["aux.loss_ce"]
    assert everything["aux.loss_stock"] == bare["aux.loss_stock"]
    lines = scalars(tmp_path / "all")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(math.isfinite(line["loss"]) for line in lines)
    pictures = {path.name for path in (tmp_path / "all").glob("*/vis_data/vis_image/*.png")}
    assert pictures == {"loss_train_2.png", "loss_val_0_2.png", "loss_val_0_3.png"}


@needs_data
@pytest.mark.training
def test_segformer_trains_with_a_loss_in_one_line(tmp_path: Path) -> None:
    """All else is MMSegmentation's own; the evaluators are those of the config it inherits from."""
    cfg = Config.fromfile(config_path("mmseg/camvid_segformer_dice-ce.py"))
    cfg.model.data_preprocessor.size = CROP
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.indices = 4
    cfg.train_dataloader.dataset.pipeline[2].crop_size = CROP
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.logger.interval = cfg.log_processor.window_size = 1
    cfg.custom_hooks = cfg.custom_hooks[:1]
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    ours = [one for one in runner.model.modules() if type(one).__module__.startswith("metriseg")]
    assert [type(one).__name__ for one in ours] == ["DiceCELoss"]
    runner.train()
    lines = scalars(tmp_path, "decode.loss_dice_ce")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines)
    (scores,) = scalars(tmp_path, "boundary/f_score")
    assert 0 <= scores["boundary/f_score"] <= 1
