"""Train the Mask R-CNN of a shipped config, and show what it learnt.

``python -m metriseg_detectron2.demo`` trains ``mnist_mask-rcnn_power-jaccard.yaml`` on digits, and
with ``--data nuclei`` ``nuclei_mask-rcnn_dice.yaml``, cut short, on the images of nuclei in
``$METRISEG_DATA/nuclei``. It prints the IoU of the masks on the true boxes before and after, of
nuclei COCO's average precision of what is found too, and writes a picture.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import metriseg_detectron2
from metriseg.configuration import config_path
from metriseg.data.digits import PALETTE, load_digits
from metriseg.viz import COLORS, save_comparison


class Demo(NamedTuple):
    """What is trained.

    Attributes:
        config: that is shipped.
        split: of the data set, that is measured and drawn.
        picture: of the predictions.
        palette: of the masks' numbers in it; 0 is the background.
        overrides: ``KEY, VALUE, …`` of the config.
        iterations: in place of the config's; None for these.
        has_precision: whether average precision is measured too.
        by_class: whether masks are coloured by their class, or each by its number.
    """

    config: str
    split: str
    picture: Path
    palette: Sequence[tuple[int, int, int]]
    overrides: tuple[Any, ...] = ()
    iterations: int | None = None
    has_precision: bool = False
    by_class: bool = False


DEMOS = {
    "digits": Demo(
        "detectron2/mnist_mask-rcnn_power-jaccard.yaml",
        "test",
        Path("demo") / "detectron2_mnist_mask-rcnn_power-jaccard.png",
        PALETTE,
        by_class=True,
    ),
    "nuclei": Demo(
        "detectron2/nuclei_mask-rcnn_dice.yaml",
        "val",
        Path("demo") / "detectron2_nuclei.png",
        ((0, 0, 0), *COLORS),
        overrides=("OUTPUT_DIR", "work_dirs/detectron2_nuclei_demo"),
        iterations=250,
        has_precision=True,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 where the mean IoU rose."""
    options = _options(arguments)
    if find_spec("detectron2") is None:
        print(metriseg_detectron2.INSTALLATION, file=sys.stderr)
        return 1
    # only now: these import Detectron2
    from detectron2.utils.env import seed_all_rng

    from metriseg_detectron2.datasets import register_data_sets
    from metriseg_detectron2.solver import shortened
    from metriseg_detectron2.train_net import Trainer, read_config

    demo: Demo = DEMOS[options.data]
    # so small a network: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    register_data_sets()
    dataset = f"metriseg_{options.data}_{demo.split}"
    iterations = options.iterations or demo.iterations
    schedule = [] if iterations is None else shortened(iterations)
    overrides = ["DATASETS.TEST", (), *demo.overrides, *schedule, *options.overrides]
    cfg = read_config(str(config_path(demo.config)), overrides)
    seed_all_rng(cfg.SEED)
    try:
        loader = Trainer.build_test_loader(cfg, dataset)
        trainer = Trainer(cfg)
    except FileNotFoundError as error:
        print(f"--data {options.data}: {error}", file=sys.stderr)
        return 1
    print(f"data: {_source(options.data, loader)}; masks on the given boxes", flush=True)
    before = measure(trainer.model, loader, dataset, has_precision=demo.has_precision)
    trainer.train()
    after = measure(trainer.model, loader, dataset, has_precision=demo.has_precision)
    title = f"mask IoU on the given boxes: {before['mean IoU']:.3f} to {after['mean IoU']:.3f}"
    draw(trainer.model, loader, dataset, demo, title=title)

    for name, digits in (("mean IoU", 3), ("mask AP", 1)):
        if name in after:
            print(f"{name} before training: {before[name]:.{digits}f}")
            print(f"{name} after training:  {after[name]:.{digits}f}")
    print(f"image, truth and prediction: {demo.picture}")
    return 0 if after["mean IoU"] > before["mean IoU"] else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m metriseg_detectron2.demo",
        description="Detectron2's trainer learns to segment digits, or nuclei of cells.",
    )
    parser.add_argument(
        "--data",
        choices=tuple(DEMOS),
        default="digits",
        help="digits, or microscopic images in the folder nuclei of $METRISEG_DATA"
        " (default %(default)s)",
    )
    parser.add_argument("--iterations", type=int, help="in place of the demo's")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="of the config, as INPUT.MIN_SIZE_TEST 96"
    )
    options = parser.parse_args(arguments)
    if options.iterations is not None and options.iterations < 1:
        parser.error(f"--iterations must be at least 1, got {options.iterations}")
    return options


def _source(data: str, loader: Any) -> str:
    if data == "digits":
        return f"{load_digits('test').source}, pasted on a canvas"
    return f"{len(loader.dataset)} images of nuclei"


def measure(
    model: Any, loader: Any, dataset: str, *, has_precision: bool = False
) -> dict[str, float]:
    """The mean IoU of masks on the true boxes, and the average precision of what is found."""
    from detectron2.evaluation import inference_on_dataset

    from metriseg_detectron2.evaluation import coco_evaluator
    from metriseg_detectron2.evaluator import masks_on_true_boxes

    measured = {"mean IoU": masks_on_true_boxes(model, loader, dataset)["mask"]["mIoU"]}
    if has_precision:
        # COCO's tools print
        with (
            contextlib.redirect_stdout(io.StringIO()),
            tempfile.TemporaryDirectory() as folder,
        ):
            evaluator = coco_evaluator(dataset, folder, ("bbox", "segm"))
            found = inference_on_dataset(model, loader, evaluator)
        measured["mask AP"] = found["segm"]["AP"]
    return measured


def draw(model: Any, loader: Any, dataset: str, demo: Demo, *, title: str, rows: int = 4) -> None:
    """A picture of the first images of a data set."""
    from detectron2.data import DatasetCatalog
    from detectron2.data.detection_utils import read_image

    from metriseg_detectron2.evaluator import GivenBoxes, true_instances

    records = DatasetCatalog.get(dataset)[:rows]
    with torch.no_grad():
        inputs = [loader.dataset[number] for number in range(len(records))]
        outputs = GivenBoxes(model, [dataset]).eval()(inputs)
    truths = [true_instances(record) for record in records]
    colors = len(demo.palette) - 1
    # on given boxes the predicted masks come in the order of the true ones
    numbers = [
        t.gt_classes.numpy() if demo.by_class else np.arange(len(t)) % colors for t in truths
    ]
    save_comparison(
        demo.picture,
        [read_image(record["file_name"], format="RGB") for record in records],
        [label_map(t.gt_masks.tensor.numpy(), n) for t, n in zip(truths, numbers, strict=True)],
        [
            label_map(o["instances"].pred_masks.numpy(), n)
            for o, n in zip(outputs, numbers, strict=True)
        ],
        demo.palette,
        title=title,
    )


def label_map(masks: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """0 for background, k + 1 where a mask of number k is."""
    return (masks * (numbers[:, None, None] + 1)).max(0, initial=0)


if __name__ == "__main__":
    sys.exit(main())
