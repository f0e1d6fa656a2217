"""Train a YAML config with Detectron2's own trainer.

python -m metriseg_detectron2.train_net --config-file configs/detectron2/….yaml [KEY VALUE …]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import DatasetEvaluators
from torch import nn

from metriseg_detectron2 import segmentor  # noqa: F401  # registers the heads
from metriseg_detectron2.config import add_metriseg_config, check_metriseg_config
from metriseg_detectron2.datasets import SCENES, register_digits, register_shapes
from metriseg_detectron2.evaluator import GivenBoxes, MaskIoUEvaluator
from metriseg_detectron2.partition_evaluator import PartitionEvaluator


class Trainer(DefaultTrainer):
    """Detectron2's trainer; it evaluates masks on the true boxes, one by one and as a partition."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluators:
        return DatasetEvaluators(
            [MaskIoUEvaluator(dataset_name), PartitionEvaluator(dataset_name, "instances")]
        )

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> dict[str, Any]:
        return super().test(cfg, GivenBoxes(model, cfg.DATASETS.TEST), evaluators)


def read_config(config_file: str, overrides: Sequence[str] = ()) -> CfgNode:
    """A frozen config from a YAML file and ``KEY VALUE`` pairs.

    Raises:
        ValueError: for losses that the named head would ignore.
    """
    cfg = get_cfg()
    add_metriseg_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(list(overrides))
    check_metriseg_config(cfg)
    cfg.freeze()
    return cfg


def main(args: argparse.Namespace) -> None:
    for split in SCENES:
        register_digits(split)
        register_shapes(split)
    cfg = read_config(args.config_file, args.opts)
    default_setup(cfg, args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    if args.eval_only:
        trainer.test(cfg, trainer.model)
    else:
        trainer.train()


if __name__ == "__main__":
    arguments = default_argument_parser().parse_args()
    launch(
        main,
        arguments.num_gpus,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        args=(arguments,),
    )
