"""``python -m metriseg reproduce brains``: losses compared on MRI volumes by MONAI.

The bundle of the hippocampus is trained with each loss by MONAI's own ``ConfigWorkflow``, and
measured by MONAI's own metrics.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow
from torch.utils.data import Subset

from metriseg.configuration import config_path
from metriseg.experiments.which_loss import Candidate, Plan, Score, Shown
from metriseg.experiments.which_loss import main as compare
from metriseg_monai.datasets import volumes

BUNDLE = "monai/hippocampus_unet_dice-ce"
CLASSES = ("anterior", "posterior")
#: Background, anterior, posterior.
PALETTE = ((24, 24, 32), (230, 159, 0), (86, 180, 233))
#: What the results depend on, of the bundle's config.
RECORDED = ("batch_size", "learning_rate", "padded_size", "patch_size", "limit")
#: The columns, by the names that the bundle's metrics have.
METRICS = {
    "val_mean_dice": ("mean Dice", 3),
    "val_hausdorff_95": ("Hausdorff distance, 95 %, mm", 2),
    "val_surface_distance": ("surface distance, mm", 2),
    "val_calibration_error": ("calibration error", 4),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the bundle with every loss, and print the tables."""
    # MONAI says a workflow each that it has no logging.conf, and a volume each of its deprecations
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="monai")
    compare(Hippocampus(), __doc__.split(":", 1)[1].strip(), arguments)


# ---------------------------------------------------------------------- the losses


def _loss(name: str, **words: Any) -> dict[str, Any]:
    """As a config has it, of the bundle's logits and labels."""
    return {"_target_": f"metriseg_monai.{name}", "softmax": True, "to_onehot_y": True, **words}


def _region(name: str, **words: Any) -> dict[str, Any]:
    """The same of the foreground's classes alone, as the bundle's own loss."""
    return _loss(name, include_background=False, **words)


def _with_map(name: str, map_name: str, weight: Any) -> dict[str, Any]:
    """A loss by distances beside Dice and cross-entropy; its maps come from the loader."""
    terms = [_region("DiceCELoss"), _region(name)]
    compound = {
        "_target_": "metriseg_monai.CompoundLoss",
        "terms": terms,
        "weights": [1.0, weight],
    }
    return {
        "_target_": "metriseg_monai.TargetChannels",
        "channels": {map_name: 1 + len(CLASSES)},
        "loss": compound,
    }


def _growing(end: float) -> dict[str, Any]:
    """A weight from 0 in the first epoch to ``end`` after the last."""
    return {"schedule": "linear", "start": 0.0, "end": end, "steps": "@max_epochs"}


def _with_cross_entropy(loss: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_target_": "metriseg_monai.CompoundLoss",
        "terms": [dict(loss), _loss("CrossEntropyLoss")],
        "weights": [1.0, 1.0],
    }


CANDIDATES: tuple[Candidate, ...] = (
    Candidate("cross_entropy", "cross-entropy", {"plain": _loss("CrossEntropyLoss")}),
    Candidate(
        "weighted_cross_entropy",
        "weighted cross-entropy",
        {
            "foreground 4": _loss("CrossEntropyLoss", weight=[1.0, 4.0, 4.0]),
            "foreground 16": _loss("CrossEntropyLoss", weight=[1.0, 16.0, 16.0]),
        },
    ),
    Candidate(
        "focal",
        "focal",
        {f"gamma {gamma:g}": _loss("FocalLoss", gamma=gamma) for gamma in (2.0, 1.0)},
    ),
    Candidate(
        "top_k",
        "top-k cross-entropy",
        {f"{part:g} %": _loss("TopKLoss", percent=part) for part in (10.0, 30.0)},
    ),
    Candidate(
        "mime",
        "mime",
        {
            "a 1.9, b 0.1": _loss("MimeLoss"),
            "the same, with cross-entropy": _with_cross_entropy(_loss("MimeLoss")),
        },
    ),
    Candidate(
        "dice",
        "Dice",
        {"a volume each": _region("DiceLoss"), "of the batch": _region("DiceLoss", batch=True)},
    ),
    Candidate(
        "generalized_dice",
        "generalized Dice",
        {
            "by square sizes": _region("GeneralizedDiceLoss"),
            "by sizes": _region("GeneralizedDiceLoss", w_type="simple"),
        },
    ),
    Candidate(
        "tversky",
        "Tversky",
        {
            f"fp {false:g}, fn {missed:g}": _region("TverskyLoss", alpha=false, beta=missed)
            for false, missed in ((0.3, 0.7), (0.7, 0.3))
        },
    ),
    Candidate("jaccard", "Jaccard", {"plain": _region("JaccardLoss", batch=True)}),
    Candidate(
        "power_jaccard_1.5",
        "power Jaccard, 1.5",
        {"plain": _region("PowerJaccardLoss", power=1.5)},
    ),
    Candidate(
        "power_jaccard_2", "power Jaccard, 2", {"plain": _region("PowerJaccardLoss", power=2.0)}
    ),
    Candidate(
        "lovasz",
        "Lovász softmax",
        {
            "alone": _region("LovaszSoftmaxLoss"),
            "with cross-entropy": _with_cross_entropy(_region("LovaszSoftmaxLoss")),
        },
    ),
    Candidate(
        "dice_ce",
        "Dice and cross-entropy",
        {
            "1 : 1": _region("DiceCELoss"),
            "1 : 3": _region("DiceCELoss", lambda_ce=3.0),
        },
    ),
    Candidate(
        "unified_focal",
        "unified focal",
        {f"gamma {gamma:g}": _region("UnifiedFocalLoss", gamma=gamma) for gamma in (0.5, 0.2)},
    ),
    Candidate(
        "boundary",
        "boundary, with Dice and cross-entropy",
        {
            f"weight 0 to {end:g}": _with_map("BoundaryLoss", "signed_distance", _growing(end))
            for end in (1.0, 0.1)
        },
    ),
    Candidate(
        "hausdorff",
        "Hausdorff, with Dice and cross-entropy",
        {
            f"weight {weight:g}": _with_map(
                "HausdorffDistanceTransformLoss", "target_distance", weight
            )
            for weight in (0.1, 0.01)
        },
    ),
)


# ---------------------------------------------------------------------- the trainer


class Hippocampus:
    """The bundle of the hippocampus, trained and measured by MONAI's machinery.

    A class that a network doesn't find at all in a volume has no surface there: its distances are
    the diagonal of the volume then. The calibration error is MONAI's: of each class's
    probabilities, expected over twenty bins, a mean over the classes of the foreground and over
    volumes.

    Args:
        overrides: of the bundle's config, by the names that MONAI's command has.
    """

    name = "brains"
    title = "a small 3-D U-Net on MRI volumes of the hippocampus, trained by MONAI"
    columns: Mapping[str, int] = dict(METRICS.values())
    candidates: Sequence[Candidate] = CANDIDATES
    short = Plan(
        steps=10,
        seeds=1,
        losses=(
            "cross_entropy",
            "dice",
            "tversky",
            "power_jaccard_1.5",
            "dice_ce",
            "boundary",
        ),
        search=False,
    )
    full = Plan(steps=10, seeds=3, losses=None, search=True)
    palette = PALETTE

    def __init__(self, **overrides: Any) -> None:
        self.overrides = overrides
        config = ConfigParser.load_config_file(config_path(BUNDLE) / "configs" / "train.json")
        words = {name: config[name] for name in RECORDED} | overrides
        self.settings: Mapping[str, Any] = {"bundle": BUNDLE, **words}
        self._train_data: tuple[Sequence[str], Any] | None = None
        self._scored_data: dict[Path | None, Any] = {}

    def prepare(self, *, seed: int, folder: Path) -> None:
        """Nothing: every training starts from its seed."""

    def train(self, loss: Any, *, seed: int, steps: int, folder: Path) -> None:
        """Epochs of the bundle, and its checkpoint ``last.pt``.

        Args:
            loss: as the bundle's config has it.
            seed: of MONAI's ``set_determinism``.
            steps: how many epochs.
            folder: for the checkpoint.

        Raises:
            FloatingPointError: when the loss or the network is no longer finite.
        """
        workflow = self._workflow(
            loss=loss,
            seed=seed,
            max_epochs=steps,
            output_dir=str(folder),
        )
        parser = workflow.parser
        parser["train#handlers"] = [
            {**one, "save_interval": 0} if one["_target_"] == "CheckpointSaver" else one
            for one in parser["train#handlers"]
            if one["_target_"] not in ("StatsHandler", "ValidationHandler")
        ]
        keys = parser.get_parsed_content("target_keys")
        if self._train_data is not None and self._train_data[0] == keys:
            parser["train#dataset"] = self._train_data[1]
        workflow.initialize()
        self._train_data = keys, parser.get_parsed_content("train#dataset")
        workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED, _check_loss)
        try:
            workflow.run()
        except RuntimeError as error:  # MONAI's, of any error in what a config runs
            if isinstance(error.__cause__, FloatingPointError):
                raise error.__cause__ from None
            raise
        if not all(one.isfinite().all() for one in workflow.network_def.parameters()):
            raise FloatingPointError("the network has weights that are not finite")

    def score(self, folder: Path, data: Path | None) -> Score:
        """What the bundle's evaluator measures."""
        engine, _ = self.evaluated(folder, data)
        shapes = [one["image"].shape[1:] for one in self._scored_data[data]]
        diagonals = torch.tensor([[math.dist(shape, (0,) * len(shape))] for shape in shapes])
        found = {
            metric: engine.state.metric_details[metric].cpu().as_subclass(torch.Tensor)
            for metric in METRICS
        }
        # the 95th percentile of infinite distances is NaN, which would leave the mean
        not_found = found["val_surface_distance"].isinf()
        for metric in ("val_hausdorff_95", "val_surface_distance"):
            found[metric] = torch.where(not_found, diagonals.to(found[metric]), found[metric])
        dice = found["val_mean_dice"]
        return Score(
            {METRICS[name][0]: float(each.nanmean()) for name, each in found.items()},
            dict(zip(CLASSES, dice.nanmean(0).tolist(), strict=True)),
            dice.nanmean(1).tolist(),
        )

    def show(self, folder: Path, data: Path | None, images: Sequence[int]) -> list[Shown]:
        """Of each volume the axial slice with most of the truth."""
        _, items = self.evaluated(folder, data, images)
        return [middle_slice(item) for item in items]

    def evaluated(
        self, folder: Path, data: Path | None, images: Sequence[int] | None = None
    ) -> tuple[Engine, list[dict[str, Any]]]:
        """The bundle's evaluator after its run, and its output.

        Args:
            folder: of the checkpoint.
            data: of the volumes; None for the bundle's own.
            images: numbers of those to be measured, whose output is kept; None for all.
        """
        workflow = self._workflow(output_dir=str(folder))
        parser = workflow.parser
        parser["validate#handlers"] = []
        if data not in self._scored_data:
            if data is not None:
                parser["validate#dataset#data"] = volumes(data)
            self._scored_data[data] = parser.get_parsed_content("validate#dataset")
        dataset = self._scored_data[data]
        parser["validate#dataset"] = dataset if images is None else Subset(dataset, images)
        evaluator = parser.get_parsed_content("validate#evaluator")
        checkpoint = torch.load(folder / "last.pt", weights_only=True)
        evaluator.network.load_state_dict(checkpoint["network"])
        items: list[dict[str, Any]] = []
        if images is not None:
            evaluator.add_event_handler(
                Events.ITERATION_COMPLETED, lambda engine: items.extend(engine.state.output)
            )
        evaluator.run()
        return evaluator, items

    def _workflow(self, **changes: Any) -> ConfigWorkflow:
        bundle = config_path(BUNDLE)
        return ConfigWorkflow(
            config_file=str(bundle / "configs" / "train.json"),
            meta_file=str(bundle / "configs" / "metadata.json"),
            workflow_type="train",
            bundle_root=str(bundle),
            logging_file=False,
            num_threads=torch.get_num_threads(),
            **self.overrides,
            **changes,
        )


def middle_slice(item: Mapping[str, Any]) -> Shown:
    """Of a volume in an evaluator's output; right is right, and the front is above."""
    truth, prediction = (
        item[key].cpu().as_subclass(torch.Tensor).argmax(0).numpy() for key in ("label", "pred")
    )
    image = item["image"][0].cpu().as_subclass(torch.Tensor).numpy()
    level = int((truth > 0).sum((0, 1)).argmax())
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image[..., level] - low) / max(high - low, 1e-6), 0, 1)
    # from RAS to rows from front to back
    shown = [np.flip(one.T, 0) for one in (grey, truth[..., level], prediction[..., level])]
    return Shown((255 * shown[0]).astype(np.uint8), shown[1], shown[2])


def _check_loss(engine: Engine) -> None:
    """MONAI's trainers leave the loss of the iteration in their output."""
    for one in engine.state.output:
        if not math.isfinite(one["loss"]):
            raise FloatingPointError(f"the loss is {one['loss']} in step {engine.state.iteration}")
