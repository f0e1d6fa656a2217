"""Words of the stock losses: understood inside the zoo's configs, with the stock meaning."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("mmseg")

import mmseg
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmseg.registry import MODELS

import metriseg
import metriseg_mmseg
import mmseg_tables
import snippets
from metriseg.catalogue import CATALOGUE, Entry
from metriseg_mmseg.losses import UNSUPPORTED

ROOT = Path(__file__).parents[2]
ZOO = Path(mmseg.__file__).parent / ".mim" / "configs"
UNET = ZOO / "_base_" / "models" / "fcn_unet_s5-d16.py"


def build(name: str, **words: Any) -> Any:
    return MODELS.build({"type": f"metriseg_mmseg.{name}", **words})


def sample(channels: int = 4) -> tuple[Tensor, Tensor]:
    """Logits and labels, a row of them ignored."""
    random = torch.Generator().manual_seed(7)
    logits = torch.randn(2, channels, 6, 5, generator=random)
    target = torch.randint(max(channels, 2), (2, 6, 5), generator=random)
    target[:, 0] = 255
    return logits, target


# ---------------------------------------------------------------------------- inside a zoo config

if not ZOO.is_dir():
    pytest.skip("this MMSegmentation comes without its configs", allow_module_level=True)


def merged(tmp_path: Path, text: str) -> Config:
    """What MMEngine makes of a config that inherits from the zoo's U-Net and says this."""
    file = tmp_path / "changed.py"
    file.write_text(f"_base_ = [{str(UNET)!r}]\n{text}")
    return Config.fromfile(file)


def head_of(config: Config) -> Any:
    """The decode head that the config describes, small."""
    head = copy.deepcopy(config.model.decode_head)
    head.update(in_channels=4, channels=4, norm_cfg={"type": "BN"}, in_index=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS.build(head)


def losses_of(head: Any) -> list[Any]:
    several = isinstance(head.loss_decode, torch.nn.ModuleList)
    return list(head.loss_decode) if several else [head.loss_decode]


def assert_trains(head: Any) -> None:
    classes = head.out_channels
    logits, target = sample(classes)
    leaf = logits.requires_grad_()
    for loss in losses_of(head):
        value = loss(leaf, target.clamp(max=255), ignore_index=255)
        assert value.isfinite()
        value.backward()


def model_snippets(page: Path) -> list[str]:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [
        block for block in blocks if 'type="metriseg_mmseg.' in block and "loss_decode" in block
    ]


PAGE_SNIPPETS = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in (ROOT / "README.md", ROOT / "docs" / "mmsegmentation.md")
    for number, text in enumerate(model_snippets(page))
    # the segmentor of embeddings is no U-Net of the zoo, and has no losses of masks
    if "EmbeddingEncoderDecoder" not in text and "MaskLoss" not in text
]


@pytest.mark.parametrize("text", PAGE_SNIPPETS)
def test_a_snippet_of_the_pages_inside_a_zoo_config(text: str, tmp_path: Path) -> None:
    """Merged over the stock cross-entropy, built by the stock head, asked for a loss."""
    config = merged(tmp_path, re.sub(r"^_base_ = .*\n", "", text))
    assert config.model.backbone.type == "UNet"
    head = head_of(config)
    assert all(isinstance(loss, metriseg.SegmentationLoss) for loss in losses_of(head))
    if not any("Hinge" in type(loss).__name__ for loss in losses_of(head)):
        assert_trains(head)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in UNSUPPORTED])
def test_the_snippet_of_a_loss_inside_a_zoo_config(name: str, tmp_path: Path) -> None:
    """As its page prints it: it works, or the message names what to add."""
    entry: Entry = CATALOGUE[name]
    text = snippets.mmsegmentation(entry)
    if snippets.OPEN in text:
        return
    config = merged(tmp_path, text)
    if "softmax" not in entry.loss.activations:
        # of questions alone, beside the use_sigmoid=False that is inherited
        with pytest.raises(Exception, match="_delete_=True"):
            head_of(config)
        text = text.replace("loss_decode=dict(", "loss_decode=dict(_delete_=True, ")
        config = merged(tmp_path, text)
    (loss,) = losses_of(head_of(config))
    assert type(loss).__name__ == name


def test_what_is_inherited_is_heard(tmp_path: Path) -> None:
    """loss_weight 1.0 and use_sigmoid=False of the base; the terms of a sum take them too."""
    text = 'model = dict(decode_head=dict(loss_decode=dict(type="metriseg_mmseg.{}", {})))'
    terms = 'terms=[dict(type="metriseg_mmseg.DiceLoss"), dict(type="metriseg_mmseg.FocalLoss")]'
    compound = head_of(merged(tmp_path, text.format("CompoundLoss", terms))).loss_decode
    logits, target = sample(2)
    expected = build("DiceLoss")(logits, target) + build("FocalLoss")(logits, target)
    torch.testing.assert_close(compound(logits, target), expected)
    questions = build(
        "CompoundLoss",
        use_sigmoid=True,
        terms=[
            {"type": "metriseg_mmseg.DiceLoss"},
            {"type": "metriseg_mmseg.FocalLoss", "activation": "softmax"},
        ],
    )
    expected = build("DiceLoss", use_sigmoid=True)(logits, target) + build("FocalLoss")(
        logits, target
    )
    torch.testing.assert_close(questions(logits, target), expected)
    text = text.format("DiceLoss", "class_weights=[1, 2]")
    with pytest.raises(Exception, match=r"no argument 'class_weights'.*_delete_=True"):
        head_of(merged(tmp_path, text))


# ------------------------------------------------------------------------------ one output channel


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - UNSUPPORTED.keys() - {"CompoundLoss"}))
def test_a_batch_without_foreground_is_not_free(name: str) -> None:
    """A false alarm everywhere costs more than silence, and has a gradient that says so.

    Told to average the classes that are there, a loss of overlaps has none.
    """
    entry = CATALOGUE[name]
    if entry.min_classes > 1 or "sigmoid" not in entry.loss.activations or "Triplet" in name:
        return
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    loud = torch.full((1, 1, 8, 8), 2.0, requires_grad=True)
    loss = build(name)
    value = loss(loud, target)
    value.backward()
    if name in NO_PRICE_OF_A_FALSE_ALARM:
        return
    assert value.item() > loss(-loud.detach(), target).item(), name
    assert loud.grad.sum() > 0
    if "classes" in loss.arguments() and entry.level != "compound":
        assert build(name, classes="present")(loud, target) == 0


#: What they measure is not there: no boundary, no object, no second class, no skeleton (what is
#: everywhere has none); or the noise-robust Dice loss of an absent class, which falls as p rises.
NO_PRICE_OF_A_FALSE_ALARM = (
    *("LogHausdorffDistanceTransformLoss", "NoiseRobustDiceLoss"),
    *("BoundaryLoss", "BoundaryDoULoss", "HausdorffDistanceTransformLoss", "RegionWiseLoss"),
    *("CenterLoss", "GeneralizedDiceLoss", "PenaltyGeneralizedDiceLoss", "PartitionLoss"),
    *("DistanceMapCrossEntropyLoss", "InverseFormLoss", "BlobLoss"),
    *("CenterlineDiceLoss", "CenterlineBoundaryDiceLoss", "SkeletonRecallLoss"),
)


def test_foreground_and_background_are_weighed() -> None:
    """As a stock head of two channels weighs them; one number is that of positives."""
    logits, target = sample(1)
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    for pair in ([1.0, 4.0], [0.5, 0.25]):
        stock = MODELS.build({"type": "mmseg.CrossEntropyLoss", "class_weight": pair})
        ours = build("CrossEntropyLoss", class_weight=pair)
        torch.testing.assert_close(ours(logits, target), stock(two, target, ignore_index=255))
    asked = build("CrossEntropyLoss", pos_weight=3.0)
    torch.testing.assert_close(
        asked(logits, target), build("CrossEntropyLoss", class_weight=[3.0])(logits, target)
    )


# ----------------------------------------------------------------------- what the values mean


def test_the_page_says_what_both_sides_say() -> None:
    """Every stock loss has a row, and each value is asked for anew."""
    page = mmseg_tables.PAGE.read_text(encoding="utf-8")
    assert mmseg_tables.written(page) == page, "make tables"


def test_a_stock_loss_that_the_page_does_not_know_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class NewLoss(torch.nn.Module):
        """What a later MMSegmentation may have."""

    monkeypatch.setattr(mmseg.models.losses, "NewLoss", NewLoss, raising=False)
    with pytest.raises(ValueError, match=r"losses that the page doesn't know.*NewLoss"):
        mmseg_tables.table()
    monkeypatch.undo()
    move = mmseg_tables.MOVES[1]
    with pytest.raises(ValueError, match="with the reason 'none'"):
        mmseg_tables.row(move._replace(reason="none"))


def test_class_weights_as_in_the_stock_loss() -> None:
    """Weights 1 and 5, met 12 and 4 times at ln 2 a pixel: the mean is ln 2, not 2 ln 2."""
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[0, 0] = 1
    words = {"class_weight": [1.0, 5.0]}
    stock = MODELS.build({"type": "mmseg.CrossEntropyLoss", **words})
    logits = torch.zeros(1, 2, 4, 4)
    assert build("CrossEntropyLoss", **words)(logits, target) == pytest.approx(0.693147)
    assert stock(logits, target) == pytest.approx(0.693147)


@pytest.mark.parametrize("words", [{}, {"class_weight": [0.5, 1.0, 2.0, 4.0]}])
def test_a_sampler_weighs_as_in_the_stock_loss(words: dict[str, Any]) -> None:
    """The mean divides by all pixels that aren't ignored, in a sum of losses too."""
    logits, target = sample()
    weight = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)).round()
    # beside class weights the stock loss fails under avg_non_ignore, which they bring anyway
    average = {} if words else {"avg_non_ignore": True}
    stock = MODELS.build({"type": "mmseg.CrossEntropyLoss", **average, **words})
    expected = stock(logits, target, weight=weight, ignore_index=255)
    ours = build("CrossEntropyLoss", **words)
    torch.testing.assert_close(ours(logits, target, weight=weight), expected)
    both = build("CompoundLoss", terms=[ours, build("DiceLoss")])
    torch.testing.assert_close(
        both(logits, target, weight=weight),
        expected + build("DiceLoss")(logits, target, weight=weight),
    )


def test_hard_pixels_of_the_bilateral_and_pid_networks() -> None:
    """At least 40 pixels, at most those whose truth has a probability below 0.2."""
    logits, target = sample()
    for threshold, least in ((0.2, 5), (0.05, 20), (0.9, 10)):
        stock = MODELS.build(
            {"type": "mmseg.OhemCrossEntropy", "thres": threshold, "min_kept": least}
        )
        ours = build("TopKLoss", threshold=threshold, min_kept=least)
        torch.testing.assert_close(ours(logits, target), stock(logits, target))


# ------------------------------------------------------------------------------------- the log


@pytest.fixture
def log() -> MessageHub:
    """What MMEngine logs of one training."""
    known = MessageHub._instance_dict.copy()
    hub = MessageHub.get_instance("test-words")
    hub.update_info("iter", 0)
    yield hub
    MessageHub._instance_dict.clear()
    MessageHub._instance_dict.update(known)


def last(log: MessageHub, name: str) -> float:
    return float(log.get_scalar(name).current())


def test_two_compound_losses_log_apart(log: MessageHub) -> None:
    """Of a decode head and of an auxiliary head: 1.0 and 0.1 stay 1.0 and 0.1."""
    logits, target = sample()
    terms = [{"type": "metriseg_mmseg.CrossEntropyLoss"}]
    first, second = (
        build("CompoundLoss", terms=terms, loss_weight=weight) for weight in (1.0, 0.1)
    )
    for _ in range(2):
        values = [loss(logits, target).item() for loss in (first, second)]
    assert last(log, "train/loss_compound_cross_entropy") == pytest.approx(values[0])
    assert last(log, "train/loss_compound_2_cross_entropy") == pytest.approx(values[1])
    assert log.get_scalar("train/loss_compound_cross_entropy").mean() == pytest.approx(values[0])
    named = build("CompoundLoss", terms=terms)
    named.log_prefix = "aux."
    value = named(logits, target).item()
    assert last(log, "train/aux.loss_compound_cross_entropy") == pytest.approx(value)


def test_weights_move_by_iteration_and_by_epoch(log: MessageHub) -> None:
    """Of a plain loss, and of a term; the log shows them."""
    logits, target = sample()
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
    plain = build("DiceLoss", loss_weight={**ramp, "by_epoch": True})
    both = build(
        "CompoundLoss",
        terms=[{"type": "metriseg_mmseg.DiceLoss"}, {"type": "metriseg_mmseg.CrossEntropyLoss"}],
        weights=[{**ramp, "by_epoch": True}, ramp],
    )
    dice, entropy = build("DiceLoss")(logits, target), build("CrossEntropyLoss")(logits, target)
    for iteration, epoch in ((0, 0), (8, 2), (100, 5)):
        log.update_info("iter", iteration)
        log.update_info("epoch", epoch)
        torch.testing.assert_close(plain(logits, target), epoch / 10 * dice)
        share = min(iteration / 10, 1.0)
        torch.testing.assert_close(both(logits, target), epoch / 10 * dice + share * entropy)
        assert last(log, "train/loss_dice_weight") == pytest.approx(epoch / 10)
        assert last(log, "train/loss_compound_cross_entropy_weight") == pytest.approx(share)
    for loss in (plain, both):
        again = type(loss)(**loss.arguments())
        torch.testing.assert_close(again(logits, target), loss(logits, target))
        torch.testing.assert_close(copy.deepcopy(loss)(logits, target), loss(logits, target))


def test_a_refusal_names_its_reason_last() -> None:
    """MMEngine's message ends in it, whatever it puts before."""
    with pytest.raises(Exception, match="bins of distance") as caught:
        build("BoundaryAwareLoss")
    assert "bins of distance" in str(caught.value)
    assert metriseg_mmseg.losses.UNSUPPORTED
