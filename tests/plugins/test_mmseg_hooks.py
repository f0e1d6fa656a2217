"""Looking at a training: names in the log, pictures of losses, the loss on validation images."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from metriseg.configuration import config_path
from metriseg_mmseg import hooks, losses
from metriseg_mmseg.carried import carrying
from metriseg_mmseg.hooks import LossHook, LossVisualizationHook
from metriseg_mmseg.loss_metric import LossMetric
from metriseg_mmseg.pictures import LossPicture, render

DICE = {"type": "metriseg_mmseg.DiceLoss"}
CROSS_ENTROPY = {"type": "metriseg_mmseg.CrossEntropyLoss"}
COMPOUND = {"type": "metriseg_mmseg.CompoundLoss", "terms": [DICE, CROSS_ENTROPY]}


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def digits(work_dir: Path, loss: Any = COMPOUND, iterations: int = 2) -> Config:
    """The shipped config, made thin, with an auxiliary head of the same loss at a tenth."""
    cfg = Config.fromfile(config_path("mmseg/mnist_unet_power-jaccard.py"))
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.merge({"in_channels": 4, "channels": 4, "loss_decode": None})
    cfg.model.decode_head.loss_decode = loss
    auxiliary = {**cfg.model.decode_head, "in_channels": 8, "in_index": 1, "channels": 8}
    cfg.model.auxiliary_head = {**auxiliary, "loss_decode": {**loss, "loss_weight": 0.1}}
    cfg.train_dataloader.update(batch_size=4)
    cfg.val_dataloader.update(batch_size=3)
    cfg.train_dataloader.dataset.indices = cfg.val_dataloader.dataset.indices = 8
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(work_dir)
    return cfg


def logged(work_dir: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(work_dir.glob("*/vis_data/scalars.json"))
        for line in file.read_text().splitlines()
    ]


def sample(logits: Any, truth: Any, **fields: Any) -> SegDataSample:
    """Of logits ``(C, H, W)`` and labels ``(H, W)``."""
    made = SegDataSample(gt_sem_seg=PixelData(data=torch.as_tensor(truth)[None]))
    made.seg_logits = PixelData(data=torch.as_tensor(logits))
    made.set_data({key: PixelData(data=value) for key, value in fields.items()})
    return made


def evaluate(*samples: SegDataSample, **config: Any) -> dict[str, float]:
    """By MMEngine's evaluator, as its loops do it."""
    evaluator = Evaluator([{"type": "metriseg_mmseg.LossMetric", "loss": DICE, **config}])
    for one in samples:
        evaluator.process(data_samples=[one], data_batch=None)
    found: dict[str, float] = evaluator.evaluate(len(samples))
    return found


def pair(seed: int, classes: int = 3, size: tuple[int, int] = (6, 5)) -> tuple[Any, Any]:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(classes, *size, generator=random)
    return logits, torch.randint(max(classes, 2), size, generator=random)


@pytest.mark.parametrize("loss", [DICE, COMPOUND, {**CROSS_ENTROPY, "loss_weight": 0.5}])
def test_the_mean_of_a_loss_over_images(loss: dict[str, Any]) -> None:
    """Of different sizes, each a batch of its own; one without a pixel that counts is left out."""
    pairs = [pair(0), pair(1, size=(3, 9))]
    pairs[0][1][:2] = 255
    built = MODELS.build(loss)
    wanted = sum(built(z[None], y[None]).item() for z, y in pairs) / 2
    nothing = sample(pair(2)[0], torch.full((6, 5), 255))
    found = evaluate(*(sample(*one) for one in pairs), nothing, loss=loss)
    assert found == {f"loss/{built.loss_name.removeprefix('loss_')}": pytest.approx(wanted)}


def test_nothing_to_compute_is_undefined() -> None:
    (value,) = evaluate(sample(pair(2)[0], torch.full((6, 5), 255))).values()
    assert math.isnan(value)


def test_the_config_decides_about_the_metric() -> None:
    """The ignored label, the name and the prefix; soft ends of uint8 labels."""
    logits, truth = pair(3)
    wanted = losses.DiceLoss()(logits[None], truth[None], ignore_index=1).item()
    named = {**DICE, "loss_name": "loss_own"}
    found = evaluate(sample(logits, truth.byte()), loss=named, ignore_index=1, prefix="val")
    assert found == {"val/own": pytest.approx(wanted)}
    whole = losses.DiceLoss()(logits[None], truth[None], ignore_index=None).item()
    assert evaluate(sample(logits, truth), ignore_index=None) == {"loss/dice": pytest.approx(whole)}


@pytest.mark.parametrize("loss", [DICE, COMPOUND, {"type": "metriseg_mmseg.FocalLoss"}])
def test_one_channel_is_a_logit_again(loss: dict[str, Any]) -> None:
    """MMSegmentation keeps its sigmoid, and a prediction of floats."""
    logits, truth = pair(4, classes=1)
    kept = sample(logits.sigmoid(), truth, pred_sem_seg=(logits > 0).float())
    wanted = MODELS.build(loss)(logits[None], truth[None]).item()
    (value,) = evaluate(kept, loss=loss).values()
    assert value == pytest.approx(wanted, rel=1e-5)
    certain = sample(torch.ones(1, 6, 5), torch.zeros(6, 5, dtype=torch.int64))
    (value,) = evaluate(certain, loss=CROSS_ENTROPY).values()
    assert value == pytest.approx(-math.log(1e-7), rel=0.02)


def test_what_is_carried_counts_in_validation() -> None:
    """A map and a weight; an image of weight 0 everywhere has no loss."""
    logits, truth = pair(5)
    maps, weight = torch.rand(3, 6, 5), torch.rand(1, 6, 5)
    boundary = {"type": "metriseg_mmseg.BoundaryLoss"}
    fields = {"gt_signed_distance_map": maps, "gt_pixel_weight": weight}
    wanted = losses.BoundaryLoss()(
        logits[None], truth[None], weight=weight, maps={"signed_distance": maps[None]}
    ).item()
    none = sample(logits, truth, gt_pixel_weight=torch.zeros(1, 6, 5))
    found = evaluate(sample(logits, truth, **fields), none, loss=boundary)
    assert found == {"loss/boundary": pytest.approx(wanted)}


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            {"type": "DiceLoss"},
            "loss must be a loss of metriseg_mmseg, or its config, got DiceLoss",
        ),
        ({**CROSS_ENTROPY, "reduction": "none"}, "loss must have reduction='mean' or 'sum'"),
        (None, "loss must be a loss of metriseg_mmseg.* got NoneType"),
    ],
)
def test_losses_that_are_no_metric(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossMetric(loss)


def test_samples_that_have_no_loss() -> None:
    logits, truth = pair(6)
    message = r"seg_logits must have the size of gt_sem_seg, \(6, 4\), got \(6, 5\): .*LoadAnnot"
    with pytest.raises(ValueError, match=message):
        evaluate(sample(logits, truth[:, :4]))
    lone = sample(logits, truth)
    del lone.seg_logits
    with pytest.raises(ValueError, match="must hold seg_logits for LossMetric, got gt_sem_seg"):
        evaluate(lone)


def test_prefixes_are_mmsegmentations(tmp_path: Path) -> None:
    """Of a decode head, one auxiliary or several, a cascade; nested compounds too."""
    nested = {**COMPOUND, "terms": [{**COMPOUND, "loss_name": "loss_inner"}, DICE]}
    cfg = digits(tmp_path).model
    heads = [{**cfg.auxiliary_head}, {**cfg.auxiliary_head, "loss_decode": [nested, DICE]}]
    model = nn.Module()
    model.decode_head = MODELS.build(cfg.decode_head)
    model.auxiliary_head = nn.ModuleList(MODELS.build(one) for one in heads)
    outer = nn.Module()
    outer.student, outer.loss = model, MODELS.build(COMPOUND)

    def run(model: nn.Module) -> None:
        LossHook().before_train(type("Runner", (), {"model": model}))

    run(model)
    assert model.decode_head.loss_decode.log_prefix == "decode."
    assert model.auxiliary_head[0].loss_decode.log_prefix == "aux_0."
    in_list = model.auxiliary_head[1].loss_decode[0]
    assert in_list.log_prefix == in_list.terms[0].log_prefix == "aux_1."
    run(outer)
    assert model.decode_head.loss_decode.log_prefix == "student.decode."
    assert outer.loss.log_prefix == ""
    model.decode_head, model.auxiliary_head = model.auxiliary_head, model.decode_head
    run(model)
    assert model.decode_head[0].loss_decode.log_prefix == "decode_0."
    assert model.auxiliary_head.loss_decode.log_prefix == "aux."


@pytest.mark.training
def test_terms_of_two_heads_stand_apart(tmp_path: Path) -> None:
    """Every head's terms add up to its own loss, the auxiliary's a tenth of the other's size.

    So do the weights that schedules give.
    """
    ramp = {"schedule": "linear", "start": 1.0, "end": 2.0, "steps": 1}
    cfg = digits(tmp_path, {**COMPOUND, "loss_weight": ramp})
    cfg.custom_hooks = [{"type": "metriseg_mmseg.LossHook"}]
    Runner.from_cfg(cfg).train()
    lines = [line for line in logged(tmp_path) if "loss" in line]
    assert len(lines) == 2
    for line in lines:
        for head in ("decode", "aux"):
            terms = [line[f"{head}.loss_compound_{name}"] for name in ("dice", "cross_entropy")]
            assert sum(terms) == pytest.approx(line[f"{head}.loss_compound"])
        assert line["decode.loss_compound_weight"] == line["step"]
        assert line["aux.loss_compound"] < 0.2 * line["decode.loss_compound"]
        assert line["loss"] == pytest.approx(
            line["aux.loss_compound"] + line["decode.loss_compound"]
        )
        assert not any(key.startswith("loss_compound") for key in line)


@pytest.mark.training
def test_pictures_and_losses_of_a_training(tmp_path: Path) -> None:
    """Drawn when they are due, and of no influence: the weights are those without the hook."""
    weights, lines = [], []
    for drawn in (True, False):
        work_dir = tmp_path / str(drawn)
        cfg = digits(work_dir, iterations=4)
        # an eval-mode layer in a network that trains stays so
        cfg.model.backbone.norm_eval = True
        cfg.model.decode_head.dropout_ratio = 0.1
        cfg.val_evaluator = [
            {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
            {"type": "metriseg_mmseg.LossMetric", "loss": DICE},
            {"type": "metriseg_mmseg.LossMetric", "loss": CROSS_ENTROPY},
        ]
        cfg.default_hooks.checkpoint.save_best = "loss/dice"
        words = {"interval": 2, "val_interval": 2, "channel_order": "rgb"}
        hook = {"type": "metriseg_mmseg.LossVisualizationHook", **words}
        cfg.custom_hooks = [hook] if drawn else []
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict())
        lines.append(logged(work_dir))
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key
    pictures = {path.name for path in (tmp_path / "True").glob("*/vis_data/vis_image/*.png")}
    assert pictures == {
        "loss_train_2.png", "loss_train_4.png", "loss_val_0_4.png", "loss_val_2_4.png",
    }  # fmt: skip
    for path in (tmp_path / "True").glob("*/vis_data/vis_image/*.png"):
        assert np.asarray(Image.open(path)).std() > 20
    (scores,) = ([line for line in run if "loss/dice" in line] for run in lines[:1])
    assert len(scores) == 1
    assert 0 < scores[0]["loss/dice"] < 1
    assert scores[0]["loss/ce"] > 0
    # MMEngine takes the smallest of what is called a loss
    assert list((tmp_path / "True").glob("best_loss_dice_iter_4.pth"))
    terms = [[line for line in run if "loss" in line] for run in lines]
    for one, other in zip(*terms, strict=True):
        assert one["loss_compound_dice"] == other["loss_compound_dice"]


@pytest.mark.parametrize("classes", [1, 2])
def test_pushes_by_hand(classes: int) -> None:
    """Cross-entropy of zeros: every pixel is pushed to its truth by 1 - 1/2, whatever their number.

    Over two classes the strength is twice that, over one logit the same; ignored pixels have none.
    """
    labels = torch.tensor([[[0, 1, 255, 1]]])
    loss, logits = losses.CrossEntropyLoss(), torch.zeros(1, classes, 1, 4)
    given = SegDataSample(gt_sem_seg=PixelData(data=labels))
    value, slope = hooks._slope([loss], logits, labels, 255, given)
    assert value == pytest.approx(math.log(2))
    push, strength = hooks._pushes(slope[0], labels[0], 255)
    np.testing.assert_allclose(push, [[0.5, 0.5, np.nan, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(strength, classes * push, rtol=1e-6)


def test_what_is_carried_is_drawn_too() -> None:
    """The gradient of the boundary loss against one logit is the map's, not the labels'."""
    labels, maps = torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[4.0, 3.0, 2.0, 1.0]]])
    given = SegDataSample(gt_sem_seg=PixelData(data=labels))
    given.set_data({"gt_signed_distance_map": PixelData(data=maps)})
    loss = losses.BoundaryLoss()
    _, slope = hooks._slope([loss], torch.zeros(1, 1, 1, 4), labels, 255, given)
    torch.testing.assert_close(slope[0], maps / 4 / 4)
    with carrying([given]):
        assert loss(torch.zeros(1, 1, 1, 4), labels).item() == pytest.approx(10 / 8)


def test_a_padded_training_image_is_drawn_in_its_own_size(tmp_path: Path) -> None:
    """Flipped in the pipeline and padded by the preprocessor; the prediction is not flipped back.

    The network sees the padded image: without the padding, its output is that of the training.
    """
    cfg = digits(tmp_path)
    cfg.model.data_preprocessor.size = (32, 32)
    model = MODELS.build(cfg.model).eval()
    image = torch.randint(0, 255, (1, 28, 24), dtype=torch.uint8)
    given = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 28, 24, dtype=torch.int64)))
    given.set_metainfo({"ori_shape": (9, 9), "flip": True, "flip_direction": "horizontal"})
    with torch.no_grad():
        found = hooks._predicted(model, image, given)
        batch = {"inputs": [image], "data_samples": [given.clone()]}
        inputs = model.data_preprocessor(batch, True)["inputs"]
        wanted = model(inputs)[0, :, :28, :24]
    torch.testing.assert_close(found.seg_logits.data, wanted, atol=1e-5, rtol=1e-4)
    assert given.gt_sem_seg.shape == (28, 24)
    assert given.ori_shape == (9, 9)


def test_a_picture_of_objects() -> None:
    """A third row with their numbers; where only one is known, or sizes differ, too."""
    random = np.random.default_rng(0)
    label = random.integers(0, 3, (6, 8))
    push = np.where(label == 2, np.nan, random.normal(size=(6, 8)))
    parts: dict[str, Any] = {
        "image": random.integers(0, 255, (6, 8)),
        "truth": label,
        "prediction": label,
        "push": push,
        "strength": np.abs(push),
    }
    bare = render(LossPicture(**parts))
    assert bare.dtype == np.uint8
    assert bare.shape[2] == 3
    for pair_of_maps in ((label, label), (label, None), (None, label), (label, label[:3])):
        more = render(LossPicture(**parts, instances=pair_of_maps), classes=("a", "b", "c"))
        assert more.shape[0] > 1.3 * bare.shape[0]
    empty = {**parts, "push": np.full((6, 8), np.nan), "strength": np.full((6, 8), np.nan)}
    assert render(LossPicture(**empty)).shape[2] == 3


def test_a_head_without_losses_wants_one() -> None:
    """Heads of masks compute theirs in their own way."""
    model = nn.Module()
    model.decode_head = nn.ModuleList([nn.Identity(), nn.Conv2d(1, 1, 1)])
    with pytest.raises(ValueError, match=r"loss must be given .* Conv2d has no loss_decode"):
        LossVisualizationHook()._losses(model)
    (found,), ignored = LossVisualizationHook(DICE)._losses(model)
    assert (type(found), ignored) == (losses.DiceLoss, 255)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"interval": -1}, "interval must be a whole number >= 0"),
        ({"val_interval": 1.5}, "val_interval must be"),
        ({"channel_order": "grb"}, "channel_order must be one of 'bgr', 'rgb'"),
        ({"loss": "dice"}, "loss must be a loss, its config, or None, got 'dice'"),
    ],
)
def test_arguments_of_the_pictures(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossVisualizationHook(**words)
