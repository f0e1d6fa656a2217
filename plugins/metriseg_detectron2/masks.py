"""Mask losses compared on nuclei: one network a seed, which goes on with each loss.

python -m metriseg reproduce masks [--full]

The Mask R-CNN of ``configs/detectron2/nuclei_mask-rcnn_dice.yaml`` is first trained with
Detectron2's own mask loss, once a seed. Every loss then trains a copy of it on, the stock one too.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import read_image
from detectron2.evaluation import inference_on_dataset
from detectron2.utils.env import seed_all_rng
from torch import Tensor, nn

from metriseg.configuration import config_path
from metriseg.experiments import which_loss
from metriseg.experiments.tables import progress
from metriseg.experiments.which_loss import Candidate, Plan, Score, Shown
from metriseg.viz import COLORS
from metriseg_detectron2.datasets import register_nuclei
from metriseg_detectron2.evaluation import coco_evaluator
from metriseg_detectron2.evaluator import GivenBoxes, MaskIoUEvaluator, true_instances
from metriseg_detectron2.solver import shortened
from metriseg_detectron2.train_net import Trainer, read_config

CONFIG = "detectron2/nuclei_mask-rcnn_dice.yaml"
WEIGHTS = "network.pth"
#: Iterations of the network that all losses go on from.
START = 400


def _weighed(names: Sequence[str], weights: Sequence[float], **more: Any) -> dict[str, Any]:
    """Settings: the sum of losses with one of several weights."""
    return {
        f"weight {weight:g}": [{"NAME": name, "LOSS_WEIGHT": weight, **more} for name in names]
        for weight in weights
    }


CANDIDATES = (
    # of weight 1 it is the cross-entropy, by Detectron2's own function
    Candidate(
        "stock",
        "stock",
        {"weight 1": [], "weight 2": _weighed(["CrossEntropyLoss"], [2])["weight 2"]},
    ),
    Candidate("dice", "Dice", _weighed(["DiceLoss"], (1, 0.5))),
    Candidate(
        "dice_ce", "Dice + cross-entropy", _weighed(["DiceLoss", "CrossEntropyLoss"], (1, 0.5))
    ),
    Candidate("focal", "focal", _weighed(["FocalLoss"], (1, 4))),
    Candidate(
        "tversky",
        "Tversky",
        {
            f"FP {fp:g}, FN {fn:g}": [{"NAME": "TverskyLoss", "FP_WEIGHT": fp, "FN_WEIGHT": fn}]
            for fp, fn in ((0.3, 0.7), (0.7, 0.3))
        },
    ),
    Candidate("lovasz", "Lovász hinge", _weighed(["LovaszHingeLoss"], (1, 0.2))),
    Candidate(
        "power_jaccard_1.5",
        "power Jaccard 1.5",
        _weighed(["PowerJaccardLoss"], (1, 0.5), POWER=1.5),
    ),
    Candidate(
        "power_jaccard_2", "power Jaccard 2", _weighed(["PowerJaccardLoss"], (1, 0.5), POWER=2.0)
    ),
    Candidate("jaccard_metric", "Jaccard metric", _weighed(["JaccardMetricLoss"], (1, 0.5))),
    Candidate("boundary_dou", "boundary DoU", _weighed(["BoundaryDoULoss"], (1, 0.5))),
    Candidate(
        "boundary_ce",
        "boundary + cross-entropy",
        {
            f"boundary {weight:g}": [
                {"NAME": "CrossEntropyLoss"},
                {"NAME": "BoundaryLoss", "LOSS_WEIGHT": weight},
            ]
            for weight in (0.1, 0.5)
        },
    ),
)


class _Quiet(Trainer):
    """It leaves no files, and evaluates nothing."""

    def build_writers(self) -> list[Any]:
        return []

    def build_hooks(self) -> list[Any]:
        from detectron2.engine import hooks

        return [
            one for one in super().build_hooks() if not isinstance(one, hooks.PeriodicCheckpointer)
        ]


class Masks:
    """A Mask R-CNN on nuclei: see :class:`~metriseg.experiments.which_loss.Bench`.

    Args:
        start: iterations with the stock mask loss, which all losses go on from.
        overrides: ``KEY, VALUE, …`` of the config.
    """

    name = "masks"
    columns: Mapping[str, int] = {
        "mask IoU": 3,
        "mask AP": 1,
        "mask AP50": 1,
        "mask AP75": 1,
        "box AP": 1,
    }
    candidates: Sequence[Candidate] = CANDIDATES
    short = Plan(
        steps=200,
        seeds=1,
        losses=("stock", "dice", "dice_ce", "power_jaccard_2", "lovasz"),
        search=False,
    )
    full = Plan(steps=200, seeds=3, losses=None, search=True)
    palette: Sequence[Sequence[int]] = ((0, 0, 0), *COLORS)

    def __init__(self, start: int = START, overrides: Sequence[Any] = ()) -> None:
        self.start, self.overrides = start, list(overrides)
        self.title = (
            "a Mask R-CNN (ResNet-18 with a feature pyramid) on images of nuclei: after"
            f" {start} iterations with the stock mask loss, once a seed, it goes on with each"
        )
        self.settings: Mapping[str, Any] = {
            "config": CONFIG,
            "start": start,
            "overrides": [str(one) for one in overrides],
        }

    def prepare(self, *, seed: int, folder: Path) -> None:
        """Train the network that all losses go on from, unless it is there."""
        with _quiet():
            self._common(seed, folder)

    def train(self, loss: Any, *, seed: int, steps: int, folder: Path) -> None:
        """Go on from the network that all losses share, trained where it isn't there."""
        with _quiet():
            common = self._common(seed, folder.parents[2])
            cfg = self._config(steps, "MODEL.ROI_MASK_HEAD.LOSSES", loss)
            seed_all_rng(seed)
            trainer = _Quiet(cfg)
            trainer.model.load_state_dict(common)
            trainer.train()
            _save(trainer.model, folder / WEIGHTS)

    def _common(self, seed: int, folder: Path) -> dict[str, Tensor]:
        path = folder / f"start{self.start}_seed{seed}.pth"
        if not path.is_file():
            progress(
                f"the network of seed {seed} that all losses go on from: {self.start} iterations"
            )
            seed_all_rng(seed)
            trainer = _Quiet(self._config(self.start, "MODEL.ROI_MASK_HEAD.LOSSES", []))
            trainer.train()
            _save(trainer.model, path)
        found: dict[str, Tensor] = torch.load(path, weights_only=True)
        return found

    def _config(self, steps: int, *overrides: Any) -> CfgNode:
        register_nuclei("train")
        given = ["DATASETS.TEST", (), *shortened(steps)]
        return read_config(str(config_path(CONFIG)), [*given, *self.overrides, *overrides])

    def score(self, folder: Path, data: Path | None) -> Score:
        """The first score is of masks on the true boxes, the others are of what is found."""
        name = _register(data)
        with _quiet(), tempfile.TemporaryDirectory() as draft:
            cfg, model = self._trained(folder)
            loader = Trainer.build_test_loader(cfg, name)
            evaluator = coco_evaluator(name, draft, ("bbox", "segm"))
            found = inference_on_dataset(model, loader, evaluator)
            told = GivenBoxes(model, [name]).eval()
            together, alone = MaskIoUEvaluator(name), MaskIoUEvaluator(name)
            images = []
            with torch.no_grad():
                for batch in loader:
                    outputs = told(batch)
                    alone.reset()
                    for one in (together, alone):
                        one.process(batch, outputs)
                    images.append(_mean_iou(alone))
        masks = {f"mask {key}": found["segm"][key] for key in ("AP", "AP50", "AP75")}
        values = {"mask IoU": _mean_iou(together), **masks, "box AP": found["bbox"]["AP"]}
        return Score(values, {}, images)

    def show(self, folder: Path, data: Path | None, images: Sequence[int]) -> list[Shown]:
        """Nuclei in colours of their numbers, the predicted ones on the true boxes."""
        name = _register(data)
        records = DatasetCatalog.get(name)
        shown = []
        with _quiet(), torch.no_grad():
            cfg, model = self._trained(folder)
            loader = Trainer.build_test_loader(cfg, name)
            told = GivenBoxes(model, [name]).eval()
            for number in images:
                record = records[number]
                (found,) = told([loader.dataset[number]])
                masks = found["instances"].pred_masks.cpu()
                truth = true_instances(record).gt_masks.tensor
                image = read_image(record["file_name"], format="RGB")
                shown.append(Shown(image, self._numbered(truth), self._numbered(masks)))
        return shown

    def _trained(self, folder: Path) -> tuple[CfgNode, nn.Module]:
        cfg = self._config(1, "MODEL.ROI_MASK_HEAD.LOSSES", [])
        model = Trainer.build_model(cfg).eval()
        model.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        return cfg, model

    def _numbered(self, masks: Tensor) -> np.ndarray:
        """Of (n, H, W) bool the map of their numbers, from 1 and round the palette."""
        labels = np.zeros(masks.shape[1:], np.int64)
        for number, mask in enumerate(masks.numpy()):
            labels[mask] = number % (len(self.palette) - 1) + 1
        return labels


def _mean_iou(evaluator: MaskIoUEvaluator) -> float:
    found = evaluator.evaluate() or {}
    return found["mask"]["mIoU"]


def _register(data: Path | None) -> str:
    """The data set's name: val, or a folder laid out like it."""
    if data is None:
        return register_nuclei("val")
    place = str(data.resolve())
    return register_nuclei(
        "test", name=f"metriseg_nuclei_{data.name}_{zlib.crc32(place.encode()):08x}", source=place
    )


def _save(model: nn.Module, path: Path) -> None:
    """The weights, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    torch.save(model.state_dict(), draft)
    os.replace(draft, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of Detectron2 and what COCO's tools print."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the losses: ``python -m metriseg reproduce masks``."""
    # so small a network: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    which_loss.main(Masks(), "Mask losses compared on nuclei by Detectron2's trainer.", arguments)


if __name__ == "__main__":
    main()
