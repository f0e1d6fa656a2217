"""Which loss suits which head, and with which weight: measured.

python -m metriseg_detectron2.which_loss [--output PAGE.md] [--losses NAME …] [--iterations N]

Every loss is asked whether it fits Detectron2's heads. In the shipped configs of a Mask R-CNN and
of a semantic network it then gets the ``LOSS_WEIGHT`` at which its gradient is as long as that of
the stock loss, in a network that the stock loss has trained, and trains this network further.
"""

from __future__ import annotations

import argparse
import copy
import functools
import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_train_loader
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import SemSegEvaluator
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from metriseg.catalogue import CATALOGUE
from metriseg.configuration import config_path
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.convention import Seen
from metriseg_detectron2.datasets import register_digits, register_shapes
from metriseg_detectron2.evaluator import GivenBoxes, MaskIoUEvaluator
from metriseg_detectron2.loss_modules import LossModules
from metriseg_detectron2.losses import UNSUPPORTED
from metriseg_detectron2.train_net import read_config

#: Losses as a config has them.
CANDIDATES: list[dict[str, Any]] = [
    {"NAME": name} for name in CATALOGUE if name not in {*UNSUPPORTED, "CompoundLoss"}
]

#: What the heads show a loss; those of :data:`TRIALS` by the same words.
SIGHTS = {
    "mask head": Seen.of_regions("loss_mask", 10),
    "points of masks": Seen.of_regions("loss_mask_point", 10, points=True),
    "semantic head": Seen.of_classes("loss_sem_seg", 6),
    "points of maps": Seen.of_classes("loss_sem_seg_point", 6, points=True),
}

#: How many batches the gradients are measured on.
BATCHES = 4


class _Given(DefaultTrainer):
    """Masks are judged on the true boxes."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> MaskIoUEvaluator:
        return MaskIoUEvaluator(dataset_name)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> dict[str, Any]:
        return super().test(cfg, GivenBoxes(model, cfg.DATASETS.TEST), evaluators)


class _Semantic(DefaultTrainer):
    """Maps are judged by the mean IoU of the classes."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> SemSegEvaluator:
        return SemSegEvaluator(dataset_name, distributed=False)


@dataclass(frozen=True)
class Trial:
    """A head in a network that learns within a minute.

    Attributes:
        config: of a YAML file that is shipped.
        node: of the config's MODEL.
        key: of the stock loss.
        head: finds it in the model.
        trainer: Detectron2's, with an evaluator.
        score: of what the evaluator gives, in [0, 1].
        overrides: of the config.
    """

    config: str
    node: str
    key: str
    head: Callable[[nn.Module], nn.Module]
    trainer: type[DefaultTrainer]
    score: Callable[[dict[str, Any]], float]
    overrides: tuple[Any, ...] = ()

    def read(self, losses: list[dict[str, Any]], iterations: int) -> CfgNode:
        """The config with these losses; an empty list is the stock loss."""
        given = [
            f"MODEL.{self.node}.LOSSES",
            losses,
            "SOLVER.MAX_ITER",
            iterations,
            "SOLVER.STEPS",
            (iterations * 5 // 6,),
            *self.overrides,
        ]
        return read_config(str(config_path(self.config)), given)


def data(name: str) -> tuple[Any, ...]:
    """What a config says to use a data set of :func:`register_trials`."""
    splits = {"TRAIN": "train", "TEST": "val"}
    return tuple(
        part
        for key, split in splits.items()
        for part in (f"DATASETS.{key}", (f"metriseg_trial_{name}_{split}",))
    )


TRIALS = {
    "mask head": Trial(
        "detectron2/mnist_mask-rcnn_power-jaccard.yaml",
        "ROI_MASK_HEAD",
        "loss_mask",
        lambda model: model.roi_heads.mask_head,
        _Given,
        lambda found: found["mask"]["mIoU"],
        data("digits"),
    ),
    "semantic head": Trial(
        "detectron2/shapes_semantic-fpn_dice.yaml",
        "SEM_SEG_HEAD",
        "loss_sem_seg",
        lambda model: model.sem_seg_head,
        _Semantic,
        lambda found: found["sem_seg"]["mIoU"] / 100,
        (
            *data("shapes"),
            "SOLVER.IMS_PER_BATCH",
            4,
            "INPUT.MIN_SIZE_TRAIN",
            (64,),
            "INPUT.MIN_SIZE_TEST",
            64,
        ),
    ),
}


class Measured(NamedTuple):
    """A loss in a head: its value at the start, the weight that it got, and where it led."""

    start: float
    weight: float
    score: float


class Bench:
    """A trial with what all losses in it share: the stock loss's training.

    Args:
        trial: the head.
        iterations: of every training; that of the stock loss, from which all go on, has twice as
            many.
    """

    def __init__(self, trial: Trial, iterations: int) -> None:
        self.trial, self.iterations = trial, iterations
        self.weights: Mapping[str, Tensor] | None = None
        self.common_score, self.weights = self.trained([], 2 * iterations)
        self.stock_score, _ = self.trained([], iterations)
        self.stock_start, _ = self.seen([], None)
        _, self.stock_length = self.seen([], self.weights)

    def measure(self, loss: dict[str, Any]) -> Measured:
        """Weigh and train one loss."""
        start, _ = self.seen([loss], None)
        _, length = self.seen([loss], self.weights)
        weight = rounded(self.stock_length / length) if length > 0 else 1.0
        return Measured(
            start, weight, self.trained([{**loss, "LOSS_WEIGHT": weight}], self.iterations)[0]
        )

    def seen(
        self, losses: list[dict[str, Any]], weights: Mapping[str, Tensor] | None
    ) -> tuple[float, float]:
        """The mean value of the losses over some batches, and of the length of their gradient.

        The gradient is that of the weights which make the logits, in an untrained network or in one
        with the given weights.
        """
        cfg = self.trial.read(losses, 1)
        seed_all_rng(cfg.SEED)
        model = build_model(cfg).train()
        if weights is not None:
            # what a loss learns isn't there
            model.load_state_dict(weights, strict=False)
        predictor: Tensor = self.trial.head(model).predictor.weight
        values, lengths = [], []
        batches = iter(build_detection_train_loader(cfg))
        for _ in range(BATCHES):
            with EventStorage():
                value = model(next(batches))[self.trial.key]
            (gradient,) = torch.autograd.grad(value, predictor)
            values.append(value.item())
            lengths.append(gradient.norm().item())
        return sum(values) / BATCHES, sum(lengths) / BATCHES

    def trained(
        self, losses: list[dict[str, Any]], iterations: int
    ) -> tuple[float, Mapping[str, Tensor]]:
        """The score after a training from the common weights, NaN where it failed, and its weights.

        What a loss learns isn't among the common weights.
        """
        cfg = self.trial.read(losses, iterations)
        with tempfile.TemporaryDirectory() as folder:
            cfg.defrost()
            cfg.OUTPUT_DIR, cfg.TEST.EVAL_PERIOD = folder, 0
            cfg.freeze()
            seed_all_rng(cfg.SEED)
            trainer = self.trial.trainer(cfg)
            if self.weights is not None:
                trainer.model.load_state_dict(self.weights, strict=False)
            try:
                trainer.train()
            except FloatingPointError:
                return math.nan, {}
            return self.trial.score(trainer._last_eval_results), trainer.model.state_dict()


def refusal(loss: dict[str, Any], seen: Seen) -> str:
    """Why a loss doesn't fit; empty where it does."""
    try:
        LossModules(build_losses([loss]), seen)
    except ValueError as error:
        reason = str(error).rsplit(": ", 1)[-1]
        return reason.removeprefix(f"{loss['NAME']} ").partition(", got")[0]
    return ""


def rounded(weight: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten, by ratio."""
    exponent = math.floor(math.log10(weight))
    candidates = [digit * 10.0**exponent for digit in (1, 2, 5, 10)]
    return float(f"{min(candidates, key=lambda one: abs(math.log(one / weight))):.0e}")


def rows(losses: Iterable[dict[str, Any]], iterations: int) -> Iterator[str]:
    """The lines of the page's table, a loss each."""
    benches = {place: Bench(trial, iterations) for place, trial in TRIALS.items()}
    columns = "".join(f" | {place}: start | `LOSS_WEIGHT` | IoU" for place in benches)
    yield f"| loss{columns} | points |"
    yield f"| --- {'| ---: ' * 3 * len(benches)}| --- |"
    common = "".join(f" |  |  | {bench.common_score:.3f}" for bench in benches.values())
    yield f"| what all go on from{common} |  |"
    stock = "".join(f" | {b.stock_start:.3g} | 1 | {b.stock_score:.3f}" for b in benches.values())
    yield f"| stock loss{stock} | yes |"
    for loss in losses:
        cells = [f"`{loss['NAME']}`"]
        for place, bench in benches.items():
            reason = refusal(loss, SIGHTS[place])
            cells += [reason, "", ""] if reason else cells_of(bench.measure(loss))
        cells.append(among_points(loss))
        yield f"| {' | '.join(cells)} |"


def among_points(loss: dict[str, Any]) -> str:
    """Whether sampled points are enough for a loss, in a mask head and in a semantic one."""
    fits = [not refusal(loss, seen) for seen in SIGHTS.values() if seen.points]
    return {(True, True): "yes", (False, False): "no"}.get(tuple(fits), "of classes")


def cells_of(found: Measured) -> list[str]:
    score = "diverged" if math.isnan(found.score) else f"{found.score:.3f}"
    return [f"{found.start:.3g}", f"{found.weight:g}", score]


def register_trials(folder: Path) -> None:
    """The data sets of the trials, small, and drawn once."""
    sources = {
        "metriseg_trial_digits_train": register_digits("train", folder),
        "metriseg_trial_digits_val": register_digits("val", folder),
        "metriseg_trial_shapes_train": register_shapes(
            "train", folder / "shapes", name="metriseg_trial_drawn_train", length=300
        ),
        "metriseg_trial_shapes_val": register_shapes(
            "val", folder / "shapes", name="metriseg_trial_drawn_val", length=40
        ),
    }
    for name, source in sources.items():
        records = DatasetCatalog.get(source)
        DatasetCatalog.register(name, functools.partial(copy.deepcopy, records))
        found = MetadataCatalog.get(source).as_dict()
        MetadataCatalog.get(name).set(**{k: v for k, v in found.items() if k != "name"})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, help="a page whose table is replaced")
    parser.add_argument("--losses", nargs="*", help="names; all that fit by default")
    parser.add_argument("--iterations", type=int, default=100)
    given = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    # so small networks: on a busy machine threads wait for each other longer than they save
    torch.set_num_threads(1)
    chosen = [loss for loss in CANDIDATES if not given.losses or loss["NAME"] in given.losses]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        register_trials(Path(folder))
        for line in rows(chosen, given.iterations):
            print(line, flush=True)
            found.append(line)
    if given.output:
        page = given.output.read_text(encoding="utf-8")
        start = page.index("| loss | ")
        end = page.index("\n\n", start)
        given.output.write_text(page[:start] + "\n".join(found) + page[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
