"""Hooks of MMEngine that show what losses do in a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from numpy.typing import NDArray
from torch import Tensor, nn

from metriseg import validation
from metriseg_mmseg.carried import carrying
from metriseg_mmseg.convention import MMSegConvention
from metriseg_mmseg.loss_metric import raw_logits
from metriseg_mmseg.pictures import LossPicture, matplotlib_figure, render
from metriseg_mmseg.registry import HOOKS, MODELS

__all__ = ["LossHook", "LossVisualizationHook"]

#: A segmentor's attribute -> what MMSegmentation calls its losses in the log.
HEADS = {"decode_head": "decode", "auxiliary_head": "aux"}


@HOOKS.register_module()
class LossHook(Hook):
    """Names in the log the terms and weights of losses by their heads.

    ``custom_hooks=[dict(type='metriseg_mmseg.LossHook')]``

    A term of a compound loss then stands beside its loss, as ``decode.loss_compound_dice``,
    ``aux.loss_compound_dice`` or, with several auxiliary heads, ``aux_0.loss_compound_dice``, and
    what a schedule gives as ``decode.loss_dice_weight``. It sets the ``log_prefix`` of every loss
    of metriseg in the model, and nothing else.
    """

    def before_train(self, runner: Any) -> None:
        """Before the first iteration, also of a training that is resumed."""
        model = unwrapped(runner.model)
        for name, module in model.named_modules():
            if isinstance(module, MMSegConvention):
                module.log_prefix = log_prefix(model, name)


@HOOKS.register_module()
class LossVisualizationHook(Hook):
    """Draws what a loss does to an image: where it pushes the logits, and how hard.

    The picture has the image, truth, prediction, the numbers of objects where there are any, and of
    the gradient of the loss against the logits, times the number of pixels that count, two maps:
    the push toward the truth, minus the derivative by the logit of the true class, below 0 where
    the loss pushes away from it; and the strength, the sum of the absolute values over all classes.
    MMEngine's visualizer writes it beside its other pictures, in
    ``<work_dir>/<time>/vis_data/vis_image``, as ``loss_train_<iteration>.png`` and
    ``loss_val_<batch>_<iteration>.png``. Only the first process draws.

    The first image of a batch is drawn. In training the network is run again on it alone, in "eval"
    mode and without a trace in the training: its numbers are those without the hook. In validation
    the prediction is there already. What the data samples carry for losses is read as in training.

    Args:
        loss: of metriseg_mmseg, or its config; None for what the (last) decode head trains with.
        interval: draws every so many training iterations; 0 for none.
        val_interval: draws in validation every so many batches, the first included; 0 for none.
        channel_order: of the pipeline's images: "bgr", as ``LoadImageFromFile`` has them, or "rgb".

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
        ValueError: for an argument outside its domain; when it draws, without ``loss`` for a head
            that has no ``loss_decode``.
    """

    priority = "LOW"

    def __init__(
        self,
        loss: Any = None,
        interval: int = 1000,
        val_interval: int = 50,
        channel_order: Literal["bgr", "rgb"] = "bgr",
    ) -> None:
        matplotlib_figure()
        built = MODELS.build(loss) if isinstance(loss, Mapping) else loss
        if built is not None and not isinstance(built, nn.Module):
            raise ValueError(f"loss must be a loss, its config, or None, got {built!r}")
        self.loss = built
        self.interval = validation.whole_number("interval", interval, low=0)
        self.val_interval = validation.whole_number("val_interval", val_interval, low=0)
        validation.one_of("channel_order", channel_order, ("bgr", "rgb"))
        self.channel_order = channel_order

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw an image of the batch that has just been trained with."""
        if not (self.interval and self.every_n_train_iters(runner, self.interval)):
            return
        if is_main_process():
            model, step = unwrapped(runner.model), runner.iter + 1
            with torch.no_grad(), evaluating(model):
                truth = data_batch["data_samples"][0]
                found = _predicted(model, data_batch["inputs"][0], truth)
                self._draw(runner, "loss_train", step, data_batch["inputs"][0], truth, found)

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw an image of the batch that has just been predicted."""
        if self.val_interval and batch_idx % self.val_interval == 0 and is_main_process():
            name, (found, *_) = f"loss_val_{batch_idx}", outputs
            self._draw(runner, name, runner.iter, data_batch["inputs"][0], found, found)

    def _draw(
        self, runner: Any, name: str, step: int, image: Tensor, truth: Any, found: Any
    ) -> None:
        losses, ignored = self._losses(unwrapped(runner.model))
        logits = raw_logits(found.seg_logits.data).unsqueeze(0)
        truth = truth.to(logits.device)
        labels = truth.gt_sem_seg.data
        value, slope = _slope(losses, logits, labels, ignored, truth)
        push, strength = _pushes(slope[0], labels[0], ignored)
        about = runner.visualizer.dataset_meta or {}
        picture = LossPicture(
            image=_shown(image, self.channel_order),
            truth=_array(labels[0]),
            prediction=_array(found.pred_sem_seg.data[0].long()),
            push=push,
            strength=strength,
            instances=tuple(
                _array(sample.get(key).data[0]) if key in sample else None
                for sample, key in ((truth, "gt_instance_map"), (found, "pred_instance_map"))
            ),
            title=f"{' + '.join(_name(loss) for loss in losses)}: {value:.4g}",
        )
        drawn = render(picture, about.get("palette"), about.get("classes"))
        runner.visualizer.add_image(name, drawn, step)

    def _losses(self, model: Any) -> tuple[list[nn.Module], int | None]:
        """What is drawn, and the label that doesn't count."""
        head = model.decode_head
        # a cascade has several, of which the last predicts
        head = head[-1] if isinstance(head, nn.ModuleList) else head
        if self.loss is None and not hasattr(head, "loss_decode"):
            raise ValueError(
                f"loss must be given to LossVisualizationHook: {type(head).__name__} has no"
                " loss_decode"
            )
        losses = head.loss_decode if self.loss is None else self.loss.eval()
        several = isinstance(losses, nn.ModuleList)
        return list(losses) if several else [losses], getattr(head, "ignore_index", 255)


def log_prefix(model: nn.Module, name: str) -> str:
    """What MMSegmentation writes before the losses of the head that a module is in.

    Args:
        model: a segmentor, or what holds one.
        name: the module's, as ``model.named_modules()`` has it.
    """
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part in HEADS:
            head = HEADS[part]
            if isinstance(model.get_submodule(".".join(parts[: place + 1])), nn.ModuleList):
                head = f"{head}_{parts[place + 1]}"
            return ".".join([*parts[:place], head, ""])
    return ".".join([*parts[:-1], ""]) if len(parts) > 1 else ""


def unwrapped(model: nn.Module) -> Any:
    """A model without what distributes it."""
    return model.module if is_model_wrapper(model) else model


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in "eval" mode, afterwards every part of it in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _predicted(model: Any, image: Tensor, truth: Any) -> Any:
    """The data sample of a training image, predicted in the size of its labels."""
    size = tuple(truth.gt_sem_seg.data.shape[-2:])
    sample = truth.clone()
    sample.set_metainfo({"ori_shape": size, "flip": False, "flip_direction": None})
    # as in training, which pads images to a size that the network can take
    batch = model.data_preprocessor({"inputs": [image], "data_samples": [sample]}, True)
    (sample,) = batch["data_samples"]
    padded = tuple(batch["inputs"].shape[-2:])
    sample.set_metainfo({"img_shape": padded, "pad_shape": padded})
    return model.predict(batch["inputs"], [sample])[0]


def _slope(
    losses: Sequence[Any], logits: Tensor, labels: Tensor, ignored: int | None, truth: Any
) -> tuple[float, Tensor]:
    """The value of the losses, and their gradient against the logits."""
    with torch.enable_grad(), carrying([truth]):
        logits = logits.detach().float().requires_grad_()
        values = [loss.to(logits.device)(logits, labels, ignore_index=ignored) for loss in losses]
        total = torch.stack([value.sum() for value in values]).sum()
        (slope,) = torch.autograd.grad(total, logits)
    return total.item(), slope


def _pushes(
    slope: Tensor, labels: Tensor, ignored: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Toward the truth, and over all classes ``(H, W)``; NaN where ignored."""
    counted = torch.ones_like(labels, dtype=torch.bool) if ignored is None else labels != ignored
    known = torch.where(counted, labels, 0)
    if len(slope) > 1:
        push = -slope.gather(0, known.unsqueeze(0))[0]
    else:
        push = -slope[0] * (2 * known - 1)
    found = []
    for values in (push, slope.abs().sum(0)):
        scaled = values.double() * counted.sum()
        found.append(_array(torch.where(counted, scaled, torch.nan)))
    return found[0], found[1]


def _shown(image: Tensor, order: str) -> NDArray[Any]:
    """``(H, W)`` or RGB ``(H, W, 3)``; of images with other channels the first."""
    values = _array(image).astype(np.float64)
    if len(values) != 3:
        return values[0]
    if image.is_floating_point():
        span = values.max() - values.min()
        values = 255 * (values - values.min()) / (span or 1)
    values = values[::-1] if order == "bgr" else values
    return np.clip(values, 0, 255).transpose(1, 2, 0).astype(np.uint8)


def _name(loss: nn.Module) -> str:
    return getattr(loss, "loss_name", type(loss).__name__).removeprefix("loss_")


def _array(tensor: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = tensor.detach().cpu().numpy()
    return found
