"""``python -m metriseg_monai.demo``: MONAI trains the bundle of digits, then shows the result."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow
from monai.data import decollate_batch
from monai.engines import Evaluator

from metriseg.configuration import config_path
from metriseg.data.digits import PALETTE, load_digits
from metriseg.viz import save_comparison

BUNDLE = "monai/mnist_unet_power-jaccard"
PICTURE = Path("demo") / "monai_mnist_unet_power-jaccard.png"
ROWS = 5


def main() -> int:
    """Train, report the mean IoU before and after, and draw; 1 when it didn't rise."""
    bundle = config_path(BUNDLE)
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        workflow_type="train",
        bundle_root=str(bundle),
    )
    workflow.initialize()
    print(f"images: {load_digits('train').source}", flush=True)
    before = mean_iou(workflow.evaluator)
    workflow.run()
    workflow.finalize()
    after = mean_iou(workflow.evaluator)
    print(f"mean IoU before training: {before:.3f}")
    print(f"mean IoU after training:  {after:.3f}")
    print(f"picture: {draw(workflow)}")
    return 0 if after > before else 1


def mean_iou(evaluator: Evaluator) -> float:
    """Over the eleven classes of the validation images, by the bundle's own evaluator."""
    evaluator.run()
    return float(evaluator.state.metrics["val_mean_iou"])


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


if __name__ == "__main__":
    sys.exit(main())
