"""Train the Mask R-CNN of the shipped config on digits, and show what it learnt.

python -m metriseg_detectron2.demo
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metriseg_detectron2
from metriseg.configuration import config_path
from metriseg.data.digits import PALETTE, load_digits
from metriseg.viz import save_comparison

CONFIG = "detectron2/mnist_mask-rcnn_power-jaccard.yaml"
PICTURE = Path("demo") / "detectron2_mnist_mask-rcnn_power-jaccard.png"


def main() -> int:
    """Exit status 0 where the mean IoU rose."""
    if find_spec("detectron2") is None:
        print(metriseg_detectron2.INSTALLATION, file=sys.stderr)
        return 1
    # only now: these import Detectron2
    from detectron2.utils.env import seed_all_rng

    from metriseg_detectron2.datasets import register_digits
    from metriseg_detectron2.evaluator import masks_on_true_boxes
    from metriseg_detectron2.train_net import Trainer, read_config

    # so small a network: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    register_digits("train")
    dataset = register_digits("test")
    cfg = read_config(str(config_path(CONFIG)), ["DATASETS.TEST", ()])
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    loader = Trainer.build_test_loader(cfg, dataset)
    before = masks_on_true_boxes(trainer.model, loader, dataset)["mask"]["mIoU"]
    trainer.train()
    after = masks_on_true_boxes(trainer.model, loader, dataset)["mask"]["mIoU"]
    draw(trainer.model, dataset, title=f"mask IoU on the given boxes: {before:.3f} to {after:.3f}")

    print(f"data: {load_digits('test').source}, pasted on a canvas; masks on the given boxes")
    print(f"mean IoU before training: {before:.3f}")
    print(f"mean IoU after training:  {after:.3f}")
    print(f"image, truth and prediction: {PICTURE}")
    return 0 if after > before else 1


def draw(model: Any, dataset: str, *, title: str, rows: int = 4) -> None:
    """A picture of the first scenes of a data set."""
    from detectron2.data import DatasetCatalog, DatasetMapper
    from detectron2.data.detection_utils import read_image

    from metriseg_detectron2.evaluator import GivenBoxes, true_instances

    records = DatasetCatalog.get(dataset)[:rows]
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format="BGR")
    with torch.no_grad():
        outputs = GivenBoxes(model, [dataset]).eval()([mapper(record) for record in records])
    truths = [true_instances(record) for record in records]
    save_comparison(
        PICTURE,
        [read_image(record["file_name"], format="RGB") for record in records],
        [label_map(t.gt_masks.tensor.numpy(), t.gt_classes.numpy()) for t in truths],
        [
            label_map(o["instances"].pred_masks.numpy(), o["instances"].pred_classes.numpy())
            for o in outputs
        ],
        PALETTE,
        title=title,
    )


def label_map(masks: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """0 for background, k + 1 where a mask of class k is."""
    return (masks * (classes[:, None, None] + 1)).max(0)


if __name__ == "__main__":
    sys.exit(main())
