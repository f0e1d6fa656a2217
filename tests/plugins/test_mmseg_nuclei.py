"""The config on nuclei trains with MMSegmentation's runner, of the numbers of objects alone."""

from __future__ import annotations

import math
import os
import uuid
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from metriseg.configuration import config_path
from metriseg_mmseg.heads import EmbeddingEncoderDecoder

CONFIG = config_path("mmseg/nuclei_unet_partition.py")
DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "nuclei").is_dir()),
    reason="needs the images in $METRISEG_DATA/nuclei",
)
CROP = (64, 64)


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


def test_the_config_survives_dump_and_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where the nuclei are; training and inference have the same unit of places."""
    monkeypatch.setenv("METRISEG_DATA", "/somewhere")
    cfg = Config.fromfile(CONFIG)
    for loader, split in ((cfg.train_dataloader, "train"), (cfg.val_dataloader, "val")):
        assert loader.dataset.data_root == "/somewhere/nuclei"
        assert loader.dataset.data_prefix.img_path == f"{split}/images"
    cfg.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py")
    assert again.model == cfg.model
    assert again.train_dataloader == cfg.train_dataloader
    model = MODELS.build(again.model)
    assert isinstance(model, EmbeddingEncoderDecoder)
    cross_entropy, partition = model.decode_head.loss_decode
    assert (cross_entropy.loss_name, partition.loss_name) == ("loss_ce", "loss_partition")
    assert model.pixels_per_unit == (partition.segments.pixels_per_unit,) * 2
    assert model.decode_head.embedding.dimensions == 2
    assert not model.decode_head.embedding.coordinates


@needs_data
@pytest.mark.training
def test_the_config_trains_and_finds_instances(tmp_path: Path) -> None:
    """Two steps of a narrow network, then two images, one of a size that the network must pad."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.update(in_channels=4, channels=4)
    cfg.model.data_preprocessor.size = cfg.train_pipeline[3].crop_size = CROP
    cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline
    pictures = sorted((Path(str(DATA)) / "nuclei/val/images").iterdir())
    sizes = [Image.open(picture).size[::-1] for picture in pictures]
    (odd, *_) = (i for i, size in enumerate(sizes) if size[0] % 8 and size[1] % 8)
    cfg.train_dataloader.update(batch_size=2)
    cfg.train_dataloader.dataset.indices = 4
    cfg.val_dataloader.dataset.indices = [0, odd]
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    # MMEngine keeps one object of each name for the life of the process.
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    branch = runner.model.decode_head.embedding.layers[-1]
    before = branch.weight.detach().clone()
    runner.train()
    assert not torch.equal(branch.weight, before)
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    hub = runner.message_hub
    for loss in ("ce", "partition"):
        assert 0 < float(hub.get_scalar(f"train/decode.loss_{loss}").current()) < 10
    assert 0 <= hub.get_scalar("val/mIoU").current() <= 100
    assert 0 <= hub.get_scalar("val/partition/normalized_partition_distance").current() <= 1
    assert math.isfinite(hub.get_scalar("val/partition/variation_of_information").current())
    assert list(tmp_path.glob("best_partition_variation_of_information_iter_2.pth"))
    for batch, size in zip(runner.val_dataloader, (sizes[0], sizes[odd]), strict=True):
        (sample,) = runner.model.val_step(batch)
        found, truth = sample.pred_instance_map.data, sample.gt_instance_map.data
        assert found.shape == truth.shape == sample.pred_sem_seg.data.shape == (1, *size)
        assert found.dtype == torch.int64
        assert torch.equal(found > 0, sample.pred_sem_seg.data > 0)
        assert torch.equal(truth > 0, sample.gt_sem_seg.data > 0)
