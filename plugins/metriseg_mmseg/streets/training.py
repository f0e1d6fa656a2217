"""A training: the shipped config of streets, with one loss and a network for one core."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from metriseg.configuration import config_path
from metriseg_mmseg.registry import MODELS

CONFIG = "mmseg/camvid_unet_boundary.py"
NETWORK = "network.pth"
CHANNELS = 16
#: Of the U-Net, which sees the image at half its size.
STAGES = 4
CROP = (144, 192)
BATCH = 4
LEARNING_RATE = 0.005

#: What a loss would compute of the labels in every step, and the pipeline does once.
PIPELINE_MAPS = ("signed_distance", "target_distance")


class StopWhereDiverged(Hook):
    """Ends a training whose loss is no number."""

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        value = torch.as_tensor(outputs["loss"]).item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {runner.iter + 1}")

    def after_train(self, runner: Any) -> None:
        if not all(one.isfinite().all() for one in runner.model.parameters()):
            raise FloatingPointError("the network holds numbers that aren't finite")


def train(loss: Mapping[str, Any], *, seed: int, steps: int, folder: Path) -> None:
    """Train by MMEngine's runner, and leave the network and the log in a folder."""
    runner = Runner.from_cfg(training_config(loss, seed=seed, steps=steps, folder=folder))
    for handler in runner.logger.handlers:
        if hasattr(handler, "baseFilename"):
            handler.setLevel("INFO")
    runner.logger.setLevel("INFO")
    runner.register_hook(StopWhereDiverged())
    runner.train()


def training_config(loss: Mapping[str, Any], *, seed: int, steps: int, folder: Path) -> Config:
    """Of one loss in place of the shipped ones."""
    config = Config.fromfile(config_path(CONFIG))
    _use_network(config)
    config.model.decode_head.loss_decode = ConfigDict(loss)
    loader = config.train_dataloader
    loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    pipeline = [one for one in loader.dataset.pipeline if not one.type.endswith("DistanceMap")]
    for name in _maps(loss):
        made = {
            "type": "metriseg_mmseg.DistanceMap",
            "map": name,
            "num_classes": config.num_classes,
        }
        pipeline.insert(-1, ConfigDict(made))
    for transform in pipeline:
        if transform.type == "RandomCrop":
            transform.crop_size = CROP
    loader.dataset.pipeline = pipeline
    for part in ("dataloader", "evaluator", "cfg"):
        for stage in ("val", "test"):
            config[f"{stage}_{part}"] = None
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": steps}
    config.optim_wrapper.optimizer.lr = LEARNING_RATE
    config.param_scheduler[0].end = steps
    config.default_hooks.checkpoint = {
        "type": "CheckpointHook",
        "by_epoch": False,
        "interval": -1,
        "save_optimizer": False,
        "save_param_scheduler": False,
        "filename_tmpl": NETWORK,
    }
    config.custom_hooks = [{"type": "metriseg_mmseg.LossHook"}]
    config.randomness = {"seed": seed}
    config.log_level = "ERROR"
    config.work_dir = str(folder)
    # MMEngine keeps one object of each name for the life of the process
    config.experiment_name = config.visualizer.name = f"streets-{uuid.uuid4()}"
    return config


def scoring_config(folder: Path | None, indices: list[int] | None = None) -> Config:
    """The network without losses of its own, and val, or a folder that is laid out like it."""
    config = Config.fromfile(config_path(CONFIG))
    _use_network(config)
    config.model.decode_head.loss_decode = {"type": "metriseg_mmseg.CrossEntropyLoss"}
    loader = config.test_dataloader
    loader.update(batch_size=1, num_workers=0, persistent_workers=False)
    loader.dataset.indices = indices
    if folder is not None:
        loader.dataset.update(
            data_root=str(folder), data_prefix={"img_path": "images", "seg_map_path": "labels"}
        )
    images = Path(loader.dataset.data_root, loader.dataset.data_prefix.img_path)
    loader.dataset.img_suffix = image_suffix(images)
    return config


def image_suffix(folder: Path) -> str:
    """Of the images in a folder.

    Raises:
        ValueError: for a folder without images.
    """
    found = sorted({one.suffix for one in folder.iterdir() if one.is_file()})
    known = [one for one in found if one.lower() in {".jpg", ".jpeg", ".png"}]
    if not known:
        raise ValueError(
            f"{folder} must hold images (.jpg, .png), got {', '.join(found) or 'none'}"
        )
    return known[0]


def quiet_logger() -> None:
    """Tables that MMSegmentation's metrics log aren't printed."""
    if not MMLogger.check_instance_created("streets"):
        MMLogger.get_instance("streets", log_level="ERROR")


def _use_network(config: Config) -> None:
    """A U-Net of the image at half its size, for one core, without an auxiliary head."""
    torch.set_num_threads(1)
    config.model.pop("auxiliary_head")
    config.model.backbone.update(
        base_channels=CHANNELS,
        num_stages=STAGES,
        strides=(2,) + (1,) * (STAGES - 1),
        enc_num_convs=(1,) + (2,) * (STAGES - 1),
        dec_num_convs=(1,) * (STAGES - 1),
        downsamples=(True,) * (STAGES - 1),
        enc_dilations=(1,) * STAGES,
        dec_dilations=(1,) * (STAGES - 1),
    )
    head = {"in_channels": CHANNELS, "channels": CHANNELS, "in_index": STAGES - 1}
    config.model.decode_head.update(head)
    config.model.data_preprocessor.update(size=CROP, test_cfg={"size_divisor": 2**STAGES})


def _maps(loss: Mapping[str, Any]) -> list[str]:
    """Those that a loss reads, and the pipeline computes."""
    modules = MODELS.build(dict(loss)).modules()
    read = {name for one in modules for name in getattr(one, "map_names", ())}
    return [name for name in PIPELINE_MAPS if name in read]
