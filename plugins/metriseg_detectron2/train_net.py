"""Train a YAML config with Detectron2's own trainer, and evaluate what the model is.

python -m metriseg_detectron2.train_net --config-file configs/detectron2/….yaml [KEY VALUE …]
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.data import build_detection_train_loader
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import (
    DatasetEvaluator,
    inference_context,
    print_csv_format,
    verify_results,
)
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn

from metriseg_detectron2 import segmentor  # noqa: F401  # registers the heads
from metriseg_detectron2.config import add_metriseg_config, check_metriseg_config
from metriseg_detectron2.datasets import register_data_sets
from metriseg_detectron2.evaluation import build_evaluator, data_sets_of_masks
from metriseg_detectron2.evaluator import GivenBoxes, MaskIoUEvaluator, masks_on_true_boxes
from metriseg_detectron2.loaders import build_train_mapper
from metriseg_detectron2.project_configs import add_project_configs, check_project_config
from metriseg_detectron2.solver import build_lr_scheduler, build_optimizer


class Trainer(DefaultTrainer):
    """Detectron2's trainer with the evaluators, optimizer, schedule and mapper that fit a config.

    A Mask R-CNN is also told the true boxes: ``{"mask": {"mIoU": …}}`` is how good the masks in
    them are.
    """

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None
    ) -> DatasetEvaluator:
        return build_evaluator(cfg, dataset_name, output_folder)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        return build_detection_train_loader(cfg, mapper=build_train_mapper(cfg))

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> dict[str, Any]:
        results = super().test(cfg, model, evaluators)
        if evaluators is not None:
            return results
        for name in data_sets_of_masks(cfg):
            found = masks_on_true_boxes(model, cls.build_test_loader(cfg, name), name)
            if comm.is_main_process():
                logging.getLogger(__name__).info("masks of %s on the true boxes:", name)
                print_csv_format(found)
            (results if len(cfg.DATASETS.TEST) == 1 else results[name]).update(found)
        return results

    @classmethod
    def rehearse(cls, cfg: CfgNode, model: nn.Module) -> None:
        """Show the evaluators one image: what would fail after the training fails before it.

        Raises:
            RuntimeError: where they can't make anything of it, naming the data set.
        """
        for name in cfg.DATASETS.TEST:
            evaluators = [(model, cls.build_evaluator(cfg, name))]
            if name in data_sets_of_masks(cfg):
                evaluators.append((GivenBoxes(model, [name]), MaskIoUEvaluator(name)))
            for given, evaluator in evaluators:
                evaluator.reset()
                try:
                    with inference_context(given), torch.no_grad():
                        # a rank may have no image
                        for batch in itertools.islice(cls.build_test_loader(cfg, name), 1):
                            evaluator.process(batch, given(batch))
                except Exception as error:  # whatever it is, it would come after the training
                    raise RuntimeError(
                        f"DATASETS.TEST: the evaluation of {name!r} fails at its first image,"
                        f" by {error!r}; with DATASETS.TEST: () nothing is evaluated"
                    ) from error


def read_config(config_file: str, overrides: Sequence[str] = ()) -> CfgNode:
    """A frozen config from a YAML file and ``KEY VALUE`` pairs.

    The keys of Detectron2's projects DeepLab, PointRend and Panoptic-DeepLab are declared where the
    config is one of theirs.

    Raises:
        ValueError: for losses that the named head would ignore, and for masks in a format that it
            can't use.
        ImportError: for a project that needs a package which is missing.
    """
    cfg = get_cfg()
    add_project_configs(cfg, config_file, overrides)
    add_metriseg_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(list(overrides))
    check_metriseg_config(cfg)
    check_project_config(cfg)
    cfg.freeze()
    return cfg


def main(args: argparse.Namespace) -> Any:
    """Train, or with ``--eval-only`` evaluate; the results, where there are some."""
    register_data_sets()
    cfg = read_config(args.config_file, args.opts)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="metriseg_detectron2")
    for name in cfg.DATASETS.TEST:
        Trainer.build_evaluator(cfg, name)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        checkpointer = DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = Trainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    Trainer.rehearse(cfg, trainer.model)
    return trainer.train()


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
