"""MMSegmentation's own runner learns to segment digits with a loss of metriseg.

``python -m metriseg_mmseg.demo`` trains ``configs/mmseg/mnist_unet_power-jaccard.py``, prints the
mean IoU on the test images before and after, and writes a picture.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from metriseg.configuration import config_path
from metriseg.viz import save_comparison

CONFIG = "mmseg/mnist_unet_power-jaccard.py"
SHOWN = 6


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and draw; 1 where the mean IoU did not rise."""
    options = _options(arguments)
    # so small a network: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    config = Config.fromfile(config_path(CONFIG))
    config.work_dir = str(options.work_dir)
    if options.iterations is not None:
        config.train_cfg.max_iters = options.iterations
    runner = Runner.from_cfg(config)
    before = _mean_iou(runner)
    runner.train()
    after = _mean_iou(runner)
    picture = _draw(runner, options.picture, f"power Jaccard loss: mean IoU {after:.3f}")
    print(f"images: {runner.test_dataloader.dataset.source}")
    print(f"mean IoU before training: {before:.3f}")
    print(f"mean IoU after training:  {after:.3f}")
    if after <= before:
        print("the mean IoU did not rise", file=sys.stderr)
        return 1
    print(f"image, truth and prediction: {picture}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m metriseg_mmseg.demo", description=__doc__)
    parser.add_argument("--iterations", type=int, help="in place of the config's")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/mmseg_demo"))
    parser.add_argument("--picture", type=Path, default=Path("demo/mmseg.png"))
    return parser.parse_args(arguments)


def _mean_iou(runner: Runner) -> float:
    """On the test images, as a fraction (MMSegmentation's metric is in percent)."""
    return runner.test()["mIoU"] / 100


def _draw(runner: Runner, path: Path, title: str) -> Path:
    batch = next(iter(runner.test_dataloader))
    samples = runner.model.test_step(batch)[:SHOWN]
    dataset = runner.test_dataloader.dataset
    return save_comparison(
        path,
        [image[0].numpy() for image in batch["inputs"][:SHOWN]],
        [sample.gt_sem_seg.data[0].cpu().numpy() for sample in samples],
        [sample.pred_sem_seg.data[0].cpu().numpy() for sample in samples],
        dataset.metainfo["palette"],
        title=title,
    )


if __name__ == "__main__":
    sys.exit(main())
