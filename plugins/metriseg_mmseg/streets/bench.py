"""MMSegmentation's trainer on streets, as the comparison wants it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, load_checkpoint
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules
from numpy.typing import NDArray
from PIL import Image

from metriseg.configuration import config_path
from metriseg.experiments.which_loss import Plan, Score, Shown
from metriseg_mmseg.registry import MODELS
from metriseg_mmseg.streets import training
from metriseg_mmseg.streets.candidates import CANDIDATES, Facts, Setting

IGNORED = 255
SELDOM = ("generalized-dice", "mutual-information", "active-boundary")


class Streets:
    """The scenes of CamVid, eleven classes, 240 x 180 pixels."""

    name = "streets"
    title = (
        "MMSegmentation's runner trains a U-Net on the streets of CamVid (367 images, eleven"
        " classes); val, 101 images"
    )
    columns: Mapping[str, int] = {
        "mean IoU (%)": 1,
        "boundary F-score (%)": 1,
        "pixel accuracy (%)": 1,
    }
    candidates = CANDIDATES
    short = Plan(
        steps=600,
        seeds=1,
        losses=("ce", "weighted-ce", "dice-ce", "lovasz-ce", "power-jaccard-1.5", "boundary"),
        search=False,
    )
    # what is left out is slow, or near another: --loss has it
    full = Plan(
        steps=800,
        seeds=3,
        losses=tuple(one.key for one in CANDIDATES if one.key not in SELDOM),
        search=True,
    )

    def __init__(self) -> None:
        register_all_modules()
        training.quiet_logger()
        config = Config.fromfile(config_path(training.CONFIG))
        self.train_labels = Path(config.data_root, "train", "labels")
        self.classes: Sequence[str] = config.metainfo.classes
        self.palette: Sequence[Sequence[int]] = config.metainfo.palette
        self.settings: Mapping[str, Any] = {
            "config": training.CONFIG,
            "channels": training.CHANNELS,
            "stages": training.STAGES,
            "crop": list(training.CROP),
            "batch": training.BATCH,
            "learning rate": training.LEARNING_RATE,
        }

    def prepare(self, *, seed: int, folder: Path) -> None:
        """Nothing: every training starts from its seed."""

    def train(self, loss: Setting, *, seed: int, steps: int, folder: Path) -> None:
        """Train with a loss of the candidates."""
        weight = median_frequency_weights(self.train_labels, len(self.classes))
        training.train(loss(Facts(steps, weight)), seed=seed, steps=steps, folder=folder)

    @torch.no_grad()
    def score(self, folder: Path, data: Path | None) -> Score:
        """By MMSegmentation's IoUMetric and :class:`metriseg_mmseg.BoundaryFScore`."""
        training.quiet_logger()
        config = training.scoring_config(data)
        model = _network(config, folder)
        loader = Runner.build_dataloader(config.test_dataloader)
        evaluator = Evaluator(
            [
                {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
                {"type": "metriseg_mmseg.BoundaryFScore"},
            ]
        )
        evaluator.dataset_meta = loader.dataset.metainfo
        for batch in loader:
            evaluator.process(data_samples=model.test_step(batch), data_batch=batch)
        # of every image and class: pixels in both, and in either
        both, either = (
            np.array([one[k].numpy() for one in evaluator.metrics[0].results], dtype=np.float64)
            for k in (0, 1)
        )
        found = evaluator.evaluate(len(loader.dataset))
        names = ("mIoU", "boundary/f_score", "aAcc")
        scale = (1.0, 100.0, 1.0)
        values = [factor * float(found[name]) for name, factor in zip(names, scale, strict=True)]
        return Score(
            dict(zip(self.columns, values, strict=True)),
            dict(
                zip(self.classes, (100 * _ratio(both.sum(0), either.sum(0))).tolist(), strict=True)
            ),
            [float(100 * np.nanmean(one)) for one in _ratio(both, either)],
        )

    @torch.no_grad()
    def show(self, folder: Path, data: Path | None, images: Sequence[int]) -> list[Shown]:
        """Some images with what the network finds there."""
        config = training.scoring_config(data, list(images))
        model = _network(config, folder)
        dataset = DATASETS.build(config.test_dataloader.dataset)
        shown = []
        for number in range(len(dataset)):
            one = dataset[number]
            (found,) = model.test_step(pseudo_collate([one]))
            shown.append(
                Shown(
                    one["inputs"].numpy()[::-1].transpose(1, 2, 0),
                    found.gt_sem_seg.data[0].cpu().numpy(),
                    found.pred_sem_seg.data[0].cpu().numpy(),
                )
            )
        return shown


@functools.cache
def median_frequency_weights(folder: Path, num_classes: int) -> tuple[float, ...]:
    """The median of the classes' frequencies over that of each.

    A class's frequency is its share of the pixels of the images that it is in; a class that is in
    none weighs 1.

    Source: Eigen & Fergus 2015, "Predicting depth, surface normals and semantic labels with a
    common multi-scale convolutional architecture", arXiv:1411.4734.

    Args:
        folder: of the labels.
        num_classes: of them.
    """
    pixels, around = np.zeros(num_classes), np.zeros(num_classes)
    for path in sorted(folder.glob("*.png")):
        labels = np.asarray(Image.open(path))
        counts = np.bincount(labels[labels != IGNORED], minlength=num_classes)
        pixels += counts
        around += np.where(counts > 0, counts.sum(), 0)
    frequency = np.divide(pixels, around, out=np.full(num_classes, np.nan), where=around > 0)
    return tuple(np.nan_to_num(np.nanmedian(frequency) / frequency, nan=1.0).tolist())


def _network(config: Config, folder: Path) -> torch.nn.Module:
    model = MODELS.build(config.model)
    load_checkpoint(model, str(folder / training.NETWORK), map_location="cpu", logger="silent")
    return model.to(get_device()).eval()


def _ratio(both: NDArray[np.float64], either: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where there is nothing."""
    return np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)
