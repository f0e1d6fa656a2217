"""Optimizers and schedules of Detectron2, for models whose losses learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from detectron2 import solver as stock
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from metriseg import SegmentationLoss, validation

__all__ = ["ClippedSGD", "build_optimizer"]


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Detectron2's optimizer of a config, but what losses learn has no weight decay.

    It would pull towards zero what has no reason to be small: ``RobustTLoss`` learns the logarithm
    of a number. All else is as in ``detectron2.solver.build_optimizer``. ``OPTIMIZER: ADAM``, which
    Panoptic-DeepLab adds to ``SOLVER``, gives that project's optimizer.

    Args:
        cfg: ``SOLVER`` is read.
        model: its losses are the modules that are a ``metriseg.SegmentationLoss``.
    """
    adam = cfg.SOLVER.get("OPTIMIZER", "SGD") == "ADAM"
    optimizer = _adam(cfg, model) if adam else stock.build_optimizer(cfg, model)
    learnt = [
        parameter
        for loss in model.modules()
        if isinstance(loss, SegmentationLoss)
        for parameter in loss.parameters(recurse=False)
    ]
    _without_weight_decay(optimizer, learnt)
    return optimizer


def shortened(iterations: int) -> list[Any]:
    """``KEY, VALUE, …`` of a config's schedule of so many iterations, with two steps at its end."""
    steps = {iterations * 4 // 5, iterations * 19 // 20} - {0}
    return [
        *("SOLVER.MAX_ITER", iterations, "SOLVER.STEPS", tuple(sorted(steps))),
        *("SOLVER.WARMUP_ITERS", min(50, iterations // 4)),
    ]


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
    """Detectron2's schedule of a config, or ``WarmupPolyLR`` of its project DeepLab."""
    if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupPolyLR":
        from detectron2.projects import deeplab

        return deeplab.build_lr_scheduler(cfg, optimizer)
    return stock.build_lr_scheduler(cfg, optimizer)


class ClippedSGD(torch.optim.SGD):
    """SGD that first shortens the gradient of every parameter to a norm.

    For a LazyConfig: what ``SOLVER.CLIP_GRADIENTS`` of ``CLIP_TYPE: norm`` is in YAML.

    Args:
        params: as of ``torch.optim.SGD``.
        clip_norm: > 0, the most that the norm of a parameter's gradient may be.
        arguments: those of ``torch.optim.SGD``.

    Raises:
        ValueError: for a ``clip_norm`` that isn't above 0.
    """

    def __init__(self, params: Iterable[Any], *, clip_norm: float = 1.0, **arguments: Any) -> None:
        super().__init__(params, **arguments)
        self.clip_norm = validation.number("clip_norm", clip_norm, low=0.0, open_low=True)

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                nn.utils.clip_grad_norm_(parameter, self.clip_norm)
        return super().step(closure)


def _adam(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    groups = stock.get_default_optimizer_params(
        model,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
    )
    return maybe_add_gradient_clipping(cfg, torch.optim.Adam)(groups, cfg.SOLVER.BASE_LR)


def _without_weight_decay(optimizer: torch.optim.Optimizer, spared: list[nn.Parameter]) -> None:
    """Move parameters of an optimizer that hasn't stepped yet into groups that don't decay."""
    chosen = {id(parameter) for parameter in spared}
    for group in list(optimizer.param_groups):
        moved = [parameter for parameter in group["params"] if id(parameter) in chosen]
        if moved and group["weight_decay"] != 0:
            group["params"] = [one for one in group["params"] if id(one) not in chosen]
            optimizer.add_param_group({**group, "params": moved, "weight_decay": 0.0})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
