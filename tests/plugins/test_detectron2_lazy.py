"""The shipped LazyConfigs: the same as the YAML beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetMapper
from detectron2.evaluation import inference_on_dataset
from detectron2.utils.events import EventStorage
from PIL import Image
from pycocotools import mask as rle

from metriseg.configuration import config_path
from metriseg_detectron2.solver import build_lr_scheduler, build_optimizer
from metriseg_detectron2.train_net import Trainer, read_config

#: Configs, and the sides of an image: the digits' LazyConfig doesn't resize.
PAIRS = {"mnist_mask-rcnn_power-jaccard": (128, 128), "nuclei_mask-rcnn_dice": (150, 170)}


@pytest.fixture(params=PAIRS)
def pair(request):
    """A config as YAML and as a LazyConfig."""
    path = config_path(f"detectron2/{request.param}.yaml")
    return read_config(str(path)), LazyConfig.load(str(path.with_suffix(".py")))


def record(folder, height, width):
    """An image of noise with objects a block, in Detectron2's format."""
    pixels = np.random.default_rng(0).integers(0, 60, (height, width), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    annotations = []
    for top in range(5, height - 30, 30):
        for left in range(5, width - 30, 30):
            mask = np.zeros((height, width), np.uint8)
            mask[top : top + 20, left : left + 14] = 1
            annotations.append(
                {
                    "bbox": [float(left), float(top), left + 14.0, top + 20.0],
                    "bbox_mode": 0,
                    "category_id": 0,
                    "segmentation": rle.encode(np.asfortranarray(mask)),
                }
            )
    return {
        "file_name": str(folder / "image.png"),
        "image_id": 0,
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def lazy_sizes(lazy):
    return next(size for name, size in PAIRS.items() if name in lazy.train.output_dir)


def test_the_models_are_the_same(pair, tmp_path):
    """With the same weights the same losses, and the same detections."""
    cfg, lazy = pair
    torch.manual_seed(0)
    models = [Trainer.build_model(cfg), instantiate(lazy.model)]
    models[1].load_state_dict(models[0].state_dict())
    # of so small an image no detection tells these
    before, lazy_before = (one.proposal_generator.pre_nms_topk for one in models)
    assert before == lazy_before
    one = DatasetMapper(cfg, is_train=True)(record(tmp_path, *lazy_sizes(lazy)))
    losses, found = [], []
    for model in models:
        torch.manual_seed(0)
        with torch.no_grad(), EventStorage():
            losses.append(model.train()([one]))
        with torch.no_grad():
            (output,) = model.eval()([one])
        found.append(output["instances"].get_fields())
    assert losses[0] == losses[1]
    assert any(name.startswith("loss_mask") for name in losses[0])
    assert len(found[0]["scores"]) > 0
    assert torch.equal(found[0]["scores"], found[1]["scores"])
    assert torch.equal(found[0]["pred_masks"], found[1]["pred_masks"])


@pytest.mark.parametrize("is_train", [True, False])
def test_the_images_are_the_same(pair, is_train, tmp_path):
    """After the same random draws."""
    cfg, lazy = pair
    loader = lazy.dataloader.train if is_train else lazy.dataloader.test
    given = record(tmp_path, *lazy_sizes(lazy))
    inputs = []
    for mapper in (DatasetMapper(cfg, is_train), instantiate(loader.mapper)):
        np.random.seed(0)
        inputs.append([mapper(given) for _ in range(3)])
    for ours, other in zip(*inputs, strict=True):
        assert torch.equal(ours["image"], other["image"])
        if is_train:
            for name in ("gt_boxes", "gt_masks"):
                first, second = (one["instances"].get(name).tensor for one in (ours, other))
                assert torch.equal(first, second)
    assert lazy.dataloader.train.total_batch_size == cfg.SOLVER.IMS_PER_BATCH
    dataset = instantiate(loader.dataset.names)
    assert dataset == (cfg.DATASETS.TRAIN if is_train else cfg.DATASETS.TEST)[0]


def test_the_solvers_are_the_same(pair):
    """Every group's settings, and the rate of every iteration."""
    cfg, lazy = pair
    model = Trainer.build_model(cfg)
    lazy.optimizer.params.model = model
    optimizers = [build_optimizer(cfg, model), instantiate(lazy.optimizer)]
    settings = [
        {
            (group["lr"], group["momentum"], group["weight_decay"]): len(group["params"])
            for group in optimizer.param_groups
        }
        for optimizer in optimizers
    ]
    assert settings[0] == settings[1]
    assert optimizers[1].clip_norm == cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE
    assert lazy.train.max_iter == cfg.SOLVER.MAX_ITER
    schedule, multiplier = build_lr_scheduler(cfg, optimizers[0]), instantiate(lazy.lr_multiplier)
    for iteration in range(cfg.SOLVER.MAX_ITER):
        expected = cfg.SOLVER.BASE_LR * multiplier(iteration / lazy.train.max_iter)
        assert schedule.get_last_lr()[0] == pytest.approx(expected), iteration
        optimizers[0].step()
        schedule.step()


@pytest.mark.training
def test_the_lazy_config_trains_on_nuclei(few_nuclei):
    """Two steps on real images, smaller, and the figures of its evaluators."""
    lazy = LazyConfig.load(str(config_path("detectron2/nuclei_mask-rcnn_dice.py")))
    lazy.dataloader.test.mapper.augmentations[0].short_edge_length = 96
    model = instantiate(lazy.model)
    lazy.optimizer.params.model = model
    optimizer = instantiate(lazy.optimizer)
    with EventStorage():
        for batch, _ in zip(instantiate(lazy.dataloader.train), range(2), strict=False):
            losses = model(batch)
            assert {"loss_mask_dice", "loss_mask_cross_entropy"} <= set(losses)
            loss = sum(losses.values())
            assert 0 < loss < math.inf
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    loader, evaluator = (instantiate(lazy.dataloader[name]) for name in ("test", "evaluator"))
    found = inference_on_dataset(model, loader, evaluator)
    assert set(found) == {"mask", "bbox", "segm"}
