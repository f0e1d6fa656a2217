"""MMSegmentation's own runner learns to segment digits, or streets, with a loss of metriseg.

``python -m metriseg_mmseg.demo`` trains ``configs/mmseg/mnist_unet_power-jaccard.py``, and with
``--data camvid`` ``configs/mmseg/camvid_unet_boundary.py`` on the streets in
``$METRISEG_DATA/camvid``, cut short. It prints the mean IoU on the test images before and after,
and writes a picture.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from numpy.typing import NDArray

from metriseg.configuration import config_path
from metriseg.viz import save_comparison

SHOWN = 6


class Demo(NamedTuple):
    """What is trained.

    Attributes:
        config: that is shipped.
        loss: in words, for the picture.
        work_dir: where the runner writes.
        picture: of the predictions.
        iterations: in place of the config's; None for these.
        source: of the images, in words; empty where the data set says it.
    """

    config: str
    loss: str
    work_dir: Path
    picture: Path
    iterations: int | None = None
    source: str = ""


DEMOS = {
    "digits": Demo(
        "mmseg/mnist_unet_power-jaccard.py",
        "power Jaccard loss",
        Path("work_dirs/mmseg_demo"),
        Path("demo/mmseg.png"),
    ),
    "camvid": Demo(
        "mmseg/camvid_unet_boundary.py",
        "Dice, cross-entropy and boundary loss",
        Path("work_dirs/mmseg_camvid_demo"),
        Path("demo/mmseg_camvid.png"),
        iterations=600,
        source="the streets of CamVid",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and draw; 1 where the mean IoU did not rise."""
    options = _options(arguments)
    demo = DEMOS[options.data]
    # so small a network: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    config = Config.fromfile(config_path(demo.config))
    root = config.test_dataloader.dataset.get("data_root")
    if root is not None and not Path(root).is_dir():
        print(
            f"--data {options.data}: METRISEG_DATA must name the folder that it lies in",
            file=sys.stderr,
        )
        return 1
    config.work_dir = str(options.work_dir or demo.work_dir)
    iterations = options.iterations or demo.iterations
    if iterations is not None:
        _shorten(config, iterations)
    runner = Runner.from_cfg(config)
    before = _mean_iou(runner)
    runner.train()
    after = _mean_iou(runner)
    picture = _draw(runner, options.picture or demo.picture, f"{demo.loss}: mean IoU {after:.3f}")
    print(f"images: {demo.source or runner.test_dataloader.dataset.source}")
    print(f"mean IoU before training: {before:.3f}")
    print(f"mean IoU after training:  {after:.3f}")
    if after <= before:
        print("the mean IoU did not rise", file=sys.stderr)
        return 1
    print(f"image, truth and prediction: {picture}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m metriseg_mmseg.demo", description=__doc__)
    parser.add_argument(
        "--data", choices=tuple(DEMOS), default="digits", help="default %(default)s"
    )
    parser.add_argument("--iterations", type=int, help="in place of the demo's")
    parser.add_argument("--work-dir", type=Path, help="of the runner")
    parser.add_argument("--picture", type=Path, help="that is written")
    return parser.parse_args(arguments)


def _shorten(config: Config, iterations: int) -> None:
    """Fewer iterations, and what runs along them."""
    whole = config.train_cfg.max_iters
    config.train_cfg.max_iters = iterations
    for one in config.param_scheduler:
        if one.get("end") == whole:
            one.end = iterations
    for head in ("decode_head", "auxiliary_head"):
        loss = config.model.get(head, {}).get("loss_decode", {})
        for weight in loss.get("weights", ()):
            if isinstance(weight, dict) and weight.get("steps") == whole:
                weight.steps = iterations


def _mean_iou(runner: Runner) -> float:
    """On the test images, as a fraction (MMSegmentation's metric is in percent)."""
    return runner.test()["mIoU"] / 100


def _draw(runner: Runner, path: Path, title: str) -> Path:
    """Images from the first to the last, evenly."""
    dataset = runner.test_dataloader.dataset
    chosen = np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int).tolist()
    batch = pseudo_collate([dataset[number] for number in chosen])
    samples = runner.model.test_step(batch)
    palette = [tuple(color) for color in dataset.metainfo["palette"]]
    # what has no label is black
    palette += [(0, 0, 0)] * (256 - len(palette))
    return save_comparison(
        path,
        [_shown(image) for image in batch["inputs"]],
        [sample.gt_sem_seg.data[0].cpu().numpy() for sample in samples],
        [sample.pred_sem_seg.data[0].cpu().numpy() for sample in samples],
        palette,
        title=title,
    )


def _shown(image: torch.Tensor) -> NDArray[np.uint8]:
    """``(H, W)`` grey or ``(H, W, 3)`` RGB of what the pipeline packs, ``(C, H, W)`` BGR."""
    shown: NDArray[np.uint8] = image.numpy()
    return shown[0] if len(shown) == 1 else shown[::-1].transpose(1, 2, 0)


if __name__ == "__main__":
    sys.exit(main())
