"""The losses in MMSegmentation's own segmentors, heads and samplers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metriseg

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from metriseg.configuration import config_path
from metriseg_mmseg.losses import UNSUPPORTED

OFFERED = sorted(metriseg.CATALOGUE.keys() - UNSUPPORTED.keys())
CLASSES = 4
SIDE = 8


def config(name: str, **words: Any) -> dict[str, Any]:
    if name == "CompoundLoss":
        words.setdefault("terms", [config("DiceLoss"), config("CrossEntropyLoss")])
    return {"type": f"metriseg_mmseg.{name}", **words}


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def samples(classes: int = CLASSES) -> list[SegDataSample]:
    """Two label maps, the first row of each ignored."""
    random = torch.Generator().manual_seed(1)
    found = []
    for _ in range(2):
        labels = torch.randint(classes, (1, SIDE, SIDE), generator=random)
        labels[:, 0] = 255
        edges = torch.randint(2, (1, SIDE, SIDE), generator=random)
        found.append(
            SegDataSample(gt_sem_seg=PixelData(data=labels), gt_edge_map=PixelData(data=edges))
        )
    return found


def labels_of(data_samples: list[SegDataSample]) -> Tensor:
    return torch.cat([sample.gt_sem_seg.data for sample in data_samples])


def features() -> tuple[Tensor]:
    return (torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)),)


def head(loss_decode: Any, **words: Any) -> nn.Module:
    torch.manual_seed(3)
    return MODELS.build(
        {
            "type": "FCNHead",
            "in_channels": 3,
            "channels": 5,
            "num_convs": 1,
            "num_classes": CLASSES,
            "dropout_ratio": 0,
            "loss_decode": loss_decode,
            **words,
        }
    )


def segmentor(loss_decode: Any, **words: Any) -> nn.Module:
    """The shipped config's model, made thin."""
    cfg = Config.fromfile(config_path("mmseg/mnist_unet_power-jaccard.py"))
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.merge(
        {"in_channels": 4, "channels": 4, "num_classes": CLASSES, "loss_decode": None}
    )
    cfg.model.decode_head.loss_decode = loss_decode
    cfg.model.update(words)
    torch.manual_seed(4)
    return MODELS.build(cfg.model)


def gradient(model: nn.Module, losses: dict[str, Tensor]) -> Tensor:
    """Of MMEngine's total, against the weights of the last convolution."""
    total, _ = segmentor(config("DiceLoss")).parse_losses(losses)
    model.zero_grad()
    total.backward()
    return model.conv_seg.weight.grad.clone()


@pytest.mark.parametrize("name", OFFERED)
def test_two_losses_of_one_name_add_up(name: str) -> None:
    """The head adds the second in place to the first; backward gives the sum of both gradients."""
    twice = head([config(name, loss_name="loss_x"), config(name, loss_name="loss_x")])
    once = head(config(name, loss_name="loss_x"))
    both = twice.loss(features(), samples(), {})
    one = once.loss(features(), samples(), {})
    torch.testing.assert_close(both["loss_x"], 2 * one["loss_x"])
    torch.testing.assert_close(gradient(twice, both), 2 * gradient(once, one))


@pytest.mark.parametrize("name", OFFERED)
def test_one_output_channel(name: str) -> None:
    """A binary head has two classes and one channel, whose logit it passes on.

    A loss that sees thick errors alone, or none on so small an image, may have no gradient.
    """
    if metriseg.CATALOGUE[name].min_classes > 1:
        return
    binary = head(config(name), num_classes=2, out_channels=1, threshold=0.5)
    losses = binary.loss(features(), samples(2), {})
    losses.pop("acc_seg")
    (value,) = losses.values()
    value.backward()
    assert torch.isfinite(value)
    slope = binary.conv_seg.weight.grad
    assert torch.isfinite(slope).all()
    assert slope.abs().sum() > 0 or metriseg.CATALOGUE[name].spatial


def test_other_ignored_label() -> None:
    """The head's label counts, not the default."""
    data = samples()
    first = head(config("DiceLoss")).loss(features(), data, {})["loss_dice"]
    for sample in data:
        sample.gt_sem_seg.data[:, 0] = 7
    second = head(config("DiceLoss"), ignore_index=7).loss(features(), data, {})["loss_dice"]
    assert torch.equal(first, second)


def test_auxiliary_head() -> None:
    """Both heads' losses are named after their heads and summed, the auxiliary one at 0.4."""
    auxiliary = {
        "type": "FCNHead",
        "in_channels": 8,
        "in_index": 1,
        "channels": 4,
        "num_convs": 1,
        "dropout_ratio": 0,
        "num_classes": CLASSES,
        "loss_decode": config("CrossEntropyLoss", loss_weight=0.4),
    }
    model = segmentor(config("PowerJaccardLoss"), auxiliary_head=auxiliary)
    images = torch.randn(2, 1, SIDE, SIDE)
    total, log = model.parse_losses(model.loss(images, samples()))
    torch.testing.assert_close(total, log["decode.loss_power_jaccard"] + log["aux.loss_ce"])
    model.auxiliary_head.loss_decode.loss_weight = 1.0
    whole = model.auxiliary_head.loss(model.extract_feat(images), samples(), {})
    torch.testing.assert_close(log["aux.loss_ce"], 0.4 * whole["loss_ce"])


def test_hard_pixels_are_mined_by_a_pixel_loss() -> None:
    """Of 112 valid pixels the sampler keeps the 2 x 10 worst: the mean is over all 112."""
    mining = head(config("CrossEntropyLoss"), sampler={"type": "OHEMPixelSampler", "min_kept": 10})
    logits, target = mining(features()), labels_of(samples())
    values = mining.loss_decode(logits, target, reduction_override="none")
    expected = values[target != 255].topk(20).values.sum() / 112
    torch.testing.assert_close(mining.loss(features(), samples(), {})["loss_ce"], expected)
    stock = head(
        {"type": "mmseg.CrossEntropyLoss", "avg_non_ignore": True},
        sampler={"type": "OHEMPixelSampler", "min_kept": 10},
    )
    stock.load_state_dict(mining.state_dict())
    torch.testing.assert_close(stock.loss(features(), samples(), {})["loss_ce"], expected)


def test_hard_pixels_can_not_be_mined_by_a_region_loss() -> None:
    mining = head(config("DiceLoss"), sampler={"type": "OHEMPixelSampler", "min_kept": 10})
    with pytest.raises(ValueError, match=r"reduction='none'.*DiceLoss.*OHEMPixelSampler"):
        mining.loss(features(), samples(), {})


def test_region_loss_over_confident_pixels() -> None:
    """With a threshold the sampler asks no loss; its weights choose the pixels of a region."""
    mining = head(
        config("DiceLoss"), sampler={"type": "OHEMPixelSampler", "thresh": 0.25, "min_kept": 2}
    )
    logits, target = mining(features()), labels_of(samples())
    weight = mining.sampler.sample(logits, target.unsqueeze(1))
    assert 0 < weight.sum() < 112
    expected = mining.loss_decode(logits, target, weight=weight)
    torch.testing.assert_close(mining.loss(features(), samples(), {})["loss_dice"], expected)


def test_pid_head() -> None:
    """Four losses, called by position, without weights, one of them over one channel of edges."""
    torch.manual_seed(5)
    pid = MODELS.build(
        {
            "type": "PIDHead",
            "in_channels": 8,
            "channels": 8,
            "num_classes": CLASSES,
            "norm_cfg": {"type": "BN"},
            "act_cfg": {"type": "ReLU"},
            "loss_decode": [
                config("CrossEntropyLoss", loss_weight=0.4),
                config("DiceLoss"),
                config("FocalLoss"),
                config("TverskyLoss"),
            ],
        }
    )
    logits = [torch.randn(2, c, SIDE, SIDE, requires_grad=True) for c in (CLASSES, CLASSES, 1)]
    losses = pid.loss_by_feat(tuple(logits), samples())
    total = sum(value for key, value in losses.items() if "loss" in key)
    total.backward()
    assert all(z.grad.abs().sum() > 0 for z in logits)


@pytest.mark.parametrize("name", OFFERED)
def test_checkpoints_load_strictly(name: str) -> None:
    """The loss adds to a checkpoint what it learns, no class weights: zoo weights fit."""
    weighted = "class_weight" in inspect.signature(getattr(metriseg, name)).parameters
    words = {"class_weight": [1.0, 2.0, 1.0, 1.0]} if weighted else {}
    stock = segmentor({"type": "CrossEntropyLoss"})
    ours = segmentor(config(name, **words))
    learnt = {
        f"decode_head.loss_decode.{own}": value
        for own, value in ours.decode_head.loss_decode.named_parameters()
    }
    assert ours.state_dict().keys() == stock.state_dict().keys() | learnt.keys()
    ours.load_state_dict({**stock.state_dict(), **learnt}, strict=True)
