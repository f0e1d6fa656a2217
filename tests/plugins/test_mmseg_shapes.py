"""Drawn shapes in MMSegmentation: classes and objects go through its pipelines and its runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules

from metriseg.configuration import config_path
from metriseg.data import shapes
from metriseg_mmseg.datasets import ShapesDataset

SETTINGS = {"size": (32, 40), "seed": 3}
LOAD = {"type": "LoadImageFromNDArray"}
PACK = {"type": "metriseg_mmseg.PackInstanceInputs"}


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


def built(*pipeline: dict[str, Any], **more: Any) -> ShapesDataset:
    """As a config builds it: from words alone."""
    config = {"type": "metriseg_mmseg.ShapesDataset", "length": 6, "settings": SETTINGS}
    return DATASETS.build({**config, "pipeline": list(pipeline), **more})


def test_items_are_the_shapes() -> None:
    """Images as uint8 with channels last, half a grey level off at the most."""
    dataset, drawn = built(LOAD), shapes.ShapesDataset(6, **SETTINGS)
    assert len(dataset) == 6
    assert dataset.metainfo["classes"] == shapes.CLASSES
    assert len(dataset.metainfo["palette"]) == 6
    for sample, (image, classes, instances) in zip(dataset, drawn, strict=True):
        assert sample["img"].dtype == np.uint8
        back = torch.from_numpy(sample["img"]).permute(2, 0, 1) / 255
        torch.testing.assert_close(back, image, rtol=0, atol=0.501 / 255)
        assert (sample["gt_seg_map"] == classes.numpy()).all()
        assert (sample["gt_instance_map"] == instances.numpy()).all()


def test_indices_choose_images() -> None:
    chosen, every = built(LOAD, indices=[4, 1]), built(LOAD)
    assert len(chosen) == 2
    for sample, number in zip(chosen, (4, 1), strict=True):
        assert (sample["img"] == every[number]["img"]).all()


def test_objects_are_packed_beside_classes() -> None:
    sample = built(LOAD, PACK)[2]
    _, classes, instances = shapes.ShapesDataset(6, **SETTINGS)[2]
    assert torch.equal(sample["data_samples"].gt_sem_seg.data, classes[None])
    assert torch.equal(sample["data_samples"].gt_instance_map.data, instances[None])
    assert sample["inputs"].shape == (3, 32, 40)


def test_packing_without_objects_is_the_stock_packing() -> None:
    digits = {"type": "metriseg_mmseg.DigitsDataset", "split": "val", "indices": 1}
    dataset = DATASETS.build({**digits, "pipeline": [LOAD, PACK]})
    assert "gt_instance_map" not in dataset[0]["data_samples"]


def test_transforms_move_objects_with_classes() -> None:
    """A flip, a crop and a change of scale; what is an object is no background still."""
    sample = built(
        LOAD,
        {"type": "RandomFlip", "prob": 1.0},
        {"type": "RandomCrop", "crop_size": (24, 32)},
        {"type": "Resize", "scale": (64, 48), "keep_ratio": False},
        PACK,
    )[0]["data_samples"]
    assert sample.gt_instance_map.data.shape == sample.gt_sem_seg.data.shape == (1, 48, 64)
    assert torch.equal(sample.gt_instance_map.data > 0, sample.gt_sem_seg.data > 0)


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has no argument 'gap'.*least_gap"):
        ShapesDataset(3, settings={"gap": 2})
    with pytest.raises(ValueError, match="least_gap must be a whole number >= 0"):
        ShapesDataset(3, settings={"least_gap": -2})


@pytest.mark.training
def test_a_network_trains_on_shapes_and_the_head_sees_objects(tmp_path: Path) -> None:
    """The config of the digits with other data; the preprocessor keeps the objects."""
    cfg = Config.fromfile(config_path("mmseg/mnist_unet_power-jaccard.py"))
    cfg.model.backbone.update(base_channels=4, in_channels=3)
    cfg.model.decode_head.update(in_channels=4, channels=4, num_classes=6)
    cfg.model.data_preprocessor.update(mean=[60.0] * 3, std=[90.0] * 3, size=(32, 40))
    data = {"type": "metriseg_mmseg.ShapesDataset", "length": 8, "settings": SETTINGS}
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.dataset = {**data, "pipeline": [LOAD, PACK]}
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg[name] = None
    cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 2}
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    seen: list[Any] = []
    head = runner.model.decode_head
    stock = head.loss_by_feat
    head.loss_by_feat = lambda logits, samples: seen.extend(samples) or stock(logits, samples)
    runner.train()
    assert runner.iter == 2
    assert len(seen) == 4
    for sample in seen:
        objects = sample.gt_instance_map.data
        assert objects.shape == (1, 32, 40)
        assert torch.equal(objects > 0, sample.gt_sem_seg.data > 0)
