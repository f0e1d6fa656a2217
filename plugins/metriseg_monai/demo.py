"""``python -m metriseg_monai.demo``: MONAI trains a bundle, then shows the result.

The data are digits, or with ``--data hippocampus`` the MRI volumes in ``$METRISEG_DATA``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.data import decollate_batch
from monai.engines import Evaluator

from metriseg.configuration import config_path
from metriseg.data.digits import PALETTE, load_digits
from metriseg.viz import save_comparison
from metriseg_monai import brains
from metriseg_monai.datasets import hippocampus

BUNDLE = "monai/mnist_unet_power-jaccard"
PICTURE = Path("demo") / "monai_mnist_unet_power-jaccard.png"
HIPPOCAMPUS_PICTURE = Path("demo") / "monai_hippocampus.png"
ROWS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, report the score before and after, and draw; 1 when it didn't rise."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg_monai.demo", description="MONAI trains a bundle of metriseg."
    )
    parser.add_argument(
        "--data",
        choices=("digits", "hippocampus"),
        default="digits",
        help="digits, or MRI volumes in the folder hippocampus of $METRISEG_DATA"
        " (default %(default)s)",
    )
    if parser.parse_args(arguments).data == "digits":
        print(f"images: {load_digits('train').source}", flush=True)
        return run(_workflow(BUNDLE), "mean IoU", mean_iou, draw)
    try:
        train, val = hippocampus("train"), hippocampus("val")
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"volumes: {len(train)} to learn, {len(val)} to measure", flush=True)
    workflow = _workflow(brains.BUNDLE, num_threads=torch.get_num_threads())
    return run(workflow, "mean Dice", mean_dice, draw_slices)


def run(
    workflow: ConfigWorkflow,
    words: str,
    measure: Callable[[Evaluator], float],
    drawn: Callable[[ConfigWorkflow], Path],
) -> int:
    """Train a bundle; 0 when its score rose."""
    workflow.initialize()
    before = measure(workflow.evaluator)
    workflow.run()
    workflow.finalize()
    after = measure(workflow.evaluator)
    print(f"{words} before training: {before:.3f}")
    print(f"{words} after training:  {after:.3f}")
    print(f"picture: {drawn(workflow)}")
    return 0 if after > before else 1


def mean_iou(evaluator: Evaluator) -> float:
    """Over the eleven classes of the validation images, by the bundle's own evaluator."""
    evaluator.run()
    return float(evaluator.state.metrics["val_mean_iou"])


def mean_dice(evaluator: Evaluator) -> float:
    """Over both parts of the hippocampus in the validation volumes, by the bundle's evaluator."""
    evaluator.run()
    return float(evaluator.state.metrics["val_mean_dice"])


def draw(workflow: ConfigWorkflow) -> Path:
    """Some validation images with truth and prediction."""
    batch = next(iter(workflow.parser.get_parsed_content("validate#dataloader")))
    network = workflow.network_def.eval()
    with torch.no_grad():
        batch["pred"] = network(batch["image"].to(workflow.device)).argmax(1, keepdim=True)
    chosen = decollate_batch(batch)[:ROWS]
    return save_comparison(
        PICTURE,
        [(255 * item["image"][0]).byte().numpy() for item in chosen],
        [item["label"][0].long().numpy() for item in chosen],
        [item["pred"][0].cpu().numpy() for item in chosen],
        PALETTE,
        title="MONAI, U-Net, power Jaccard loss",
    )


def draw_slices(workflow: ConfigWorkflow) -> Path:
    """Slices of some validation volumes, as the bundle's evaluator leaves them."""
    evaluator = workflow.evaluator
    items: list[dict[str, Any]] = []
    with evaluator.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: items.extend(engine.state.output)
    ):
        evaluator.run()
    return save_comparison(
        HIPPOCAMPUS_PICTURE,
        *zip(*(brains.middle_slice(item) for item in items[:ROWS]), strict=True),
        brains.PALETTE,
        title="MONAI, 3-D U-Net, Dice and cross-entropy",
    )


def _workflow(name: str, **changes: Any) -> ConfigWorkflow:
    bundle = config_path(name)
    return ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        workflow_type="train",
        bundle_root=str(bundle),
        **changes,
    )


if __name__ == "__main__":
    sys.exit(main())
