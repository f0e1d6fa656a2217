"""The losses in MMSegmentation's registry: how they are named, built, kept and called."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import metriseg

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

import metriseg_mmseg
from metriseg_mmseg import losses

OFFERED = sorted(metriseg.CATALOGUE.keys() - losses.UNSUPPORTED.keys())
CLASSES = 4
REGION = ("DiceLoss", "JaccardLoss", "PowerJaccardLoss", "TverskyLoss")
PIXEL = ("CrossEntropyLoss", "FocalLoss", "MimeLoss", "NegativeMimeLoss")


def config(name: str, **words: Any) -> dict[str, Any]:
    if name == "CompoundLoss":
        words.setdefault("terms", [config("DiceLoss"), config("CrossEntropyLoss")])
    return {"type": f"metriseg_mmseg.{name}", **words}


def build(name: str, **words: Any) -> Any:
    return MODELS.build(config(name, **words))


def logits(channels: int = CLASSES, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 5, 6, generator=random)


def labels(classes: int = CLASSES, seed: int = 1) -> Tensor:
    """With a row of ignored pixels."""
    random = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, (2, 5, 6), generator=random)
    target[:, 0] = 255
    return target


@pytest.fixture(params=OFFERED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", metriseg.CATALOGUE)
def test_every_loss_is_offered_or_refused(name: str) -> None:
    registered = metriseg_mmseg.registry.MODELS.module_dict[name]
    assert (name in losses.UNSUPPORTED) != issubclass(registered, metriseg.SegmentationLoss)


def test_scope_alone_finds_the_loss(name: str) -> None:
    """Also while the default scope is MMSegmentation's, which has losses of the same names."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        loss = build(name)
        assert type(loss) is getattr(losses, name) is getattr(metriseg_mmseg, name)
        assert type(MODELS.build({"type": "DiceLoss"})).__module__.startswith("mmseg.")


def test_class_in_place_of_a_name() -> None:
    """As MMEngine's pure-Python configs write it."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        assert MODELS.build({"type": metriseg_mmseg.DiceLoss}).loss_name == "loss_dice"


def test_package_is_light() -> None:
    """Importing it alone pulls in no framework: MMEngine asks for the registry when it needs it."""
    code = (
        "import metriseg_mmseg, sys; sys.exit('torch' in sys.modules or 'mmengine' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unsupported_name_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """By attribute, by import, and in the traceback of MMEngine's registry."""
    monkeypatch.setitem(losses.UNSUPPORTED, "WishLoss", "it needs three wishes")
    with pytest.raises(NotImplementedError, match="WishLoss: it needs three wishes"):
        _ = metriseg_mmseg.WishLoss
    with pytest.raises(NotImplementedError, match="three wishes"):
        exec("from metriseg_mmseg import WishLoss")
    with pytest.raises(RuntimeError) as caught:
        MODELS.build({"type": "metriseg_mmseg.WishLoss"})
    assert "three wishes" in str(caught.value.__context__)


def test_name_that_nobody_has() -> None:
    with pytest.raises(AttributeError, match="NoLoss"):
        _ = metriseg_mmseg.NoLoss
    with pytest.raises(KeyError, match="NoLoss"):
        MODELS.build({"type": "metriseg_mmseg.NoLoss"})


# ---------------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CrossEntropyLoss", "loss_ce"),
        ("FocalLoss", "loss_focal"),
        ("DiceLoss", "loss_dice"),
        ("TverskyLoss", "loss_tversky"),
        ("PowerJaccardLoss", "loss_power_jaccard"),
        ("CompoundLoss", "loss_compound"),
    ],
)
def test_default_names_are_the_stock_ones(name: str, expected: str) -> None:
    assert build(name).loss_name == expected
    assert build(name, loss_name="loss_mine").loss_name == "loss_mine"


def test_signature_speaks_the_framework(name: str) -> None:
    words = inspect.signature(getattr(losses, name)).parameters
    assert {"loss_weight", "loss_name"} <= set(words)
    assert "ignore_index" not in words
    for word, default in (("classes", None), ("per_image", False)):
        assert word not in words or words[word].default == default


def test_docstring_speaks_the_framework(name: str) -> None:
    text = getattr(losses, name).__doc__
    for word in ("In MMSegmentation", "loss_weight", "loss_name", "reduction_override"):
        assert word in text
    assert getattr(metriseg, name).__doc__.splitlines()[0] in text


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("DiceLoss", {"loss_name": "dice"}, "loss_name.*'dice'"),
        ("DiceLoss", {"loss_name": 3}, "loss_name"),
        ("DiceLoss", {"loss_weight": -1.0}, "loss_weight"),
        ("DiceLoss", {"loss_weight": "heavy"}, "loss_weight"),
        ("DiceLoss", {"use_sigmoid": True, "activation": "softmax"}, "use_sigmoid=True contra"),
        ("DiceLoss", {"use_sigmoid": False, "activation": "identity"}, "use_sigmoid=False contra"),
        ("DiceLoss", {"use_sigmoid": "yes"}, "use_sigmoid"),
        ("DiceLoss", {"activation": "relu"}, "activation"),
        ("DiceLoss", {"class_weight": "weights.npy"}, "class_weight: the file weights.npy"),
        ("DiceLoss", {"ignore_index": 255}, "ignore_index.*the head"),
        ("DiceLoss", {"naive_dice": False}, "naive_dice.*PowerDiceLoss.*_delete_=True"),
        ("DiceLoss", {"eps": 1e-3}, "eps.*'smooth'"),
        ("DiceLoss", {"activate": False}, "activate.*identity"),
        ("CrossEntropyLoss", {"avg_non_ignore": False}, "avg_non_ignore.*not ignored"),
        ("TopKLoss", {"thres": 0.9}, "thres.*'threshold'"),
        ("LovaszSoftmaxLoss", {"loss_type": "binary"}, "loss_type.*LovaszHingeLoss"),
        ("LovaszHingeLoss", {"use_sigmoid": False}, "use_sigmoid=False.*_delete_=True"),
        ("RegionMutualInformationLoss", {"use_sigmoid": False}, "use_sigmoid=False.*_delete_=True"),
        ("CompoundLoss", {"class_weight": [1.0, 2.0]}, "class_weight.*_delete_=True"),
        ("CompoundLoss", {"terms": [{"type": "DiceLoss"}]}, "say type='metriseg_mmseg.DiceLoss'"),
        (
            "DiceLoss",
            {"loss_weight": {"schedule": "linear"}},
            "the schedule 'linear' is incomplete",
        ),
        (
            "DiceLoss",
            {"loss_weight": {"schedule": "constant", "value": 1.0, "by_epoch": 3}},
            "by_epoch must be True or False",
        ),
        ("CrossEntropyLoss", {"use_mask": True}, "use_mask"),
        ("TverskyLoss", {"alpha": 0.3}, "alpha.*'fp_weight'"),
        ("TverskyLoss", {"fpweight": 0.3}, "did you mean 'fp_weight'"),
        ("PowerJaccardLoss", {"power": 3.0}, "power"),
        ("CompoundLoss", {"terms": {"type": "metriseg_mmseg.DiceLoss"}}, "terms"),
        ("CompoundLoss", {"terms": [{"type": "mmseg.DiceLoss"}]}, "terms.*DiceLoss"),
        ("CompoundLoss", {"weights": [1.0]}, "weights"),
        ("CompoundLoss", {"use_sigmoid": "yes"}, "use_sigmoid"),
    ],
)
def test_bad_words(name: str, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **words)


# ---------------------------------------------------------------------- keeping


@pytest.mark.parametrize("keep", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_copies_are_the_same_loss(name: str, keep: Any) -> None:
    loss = MODELS.build(Config(config(name, loss_weight=2.0, loss_name="loss_kept")))
    kept = keep(loss)
    assert type(kept) is type(loss)
    assert (kept.loss_weight, kept.loss_name) == (2.0, "loss_kept")
    assert torch.equal(kept(logits(), labels()), loss(logits(), labels()))


@pytest.mark.parametrize("suffix", ["py", "json", "yaml"])
def test_config_survives_dump_and_reload(name: str, suffix: str, tmp_path: Path) -> None:
    weighted = "class_weight" in inspect.signature(getattr(metriseg, name)).parameters
    words = {"class_weight": [1.0, 2.0, 0.5, 3.0]} if weighted else {}
    written = Config({"loss_decode": config(name, loss_weight=0.3, **words)})
    written.dump(tmp_path / f"config.{suffix}")
    read = Config.fromfile(tmp_path / f"config.{suffix}")
    first, second = MODELS.build(written.loss_decode), MODELS.build(read.loss_decode)
    assert torch.equal(first(logits(), labels()), second(logits(), labels()))


def test_arguments_build_the_same_loss(name: str) -> None:
    loss = build(name, loss_weight=0.5)
    again = type(loss)(**loss.arguments())
    assert torch.equal(loss(logits(), labels()), again(logits(), labels()))


# ---------------------------------------------------------------------- calling


def test_value_is_that_of_the_core(name: str) -> None:
    """The core's loss with batch statistics over present classes, times ``loss_weight``."""
    common: dict[str, Any] = {"ignore_index": 255}
    region = {**common, "per_image": False, "classes": "present"}
    if name == "CompoundLoss":
        terms = [metriseg.DiceLoss(**region), metriseg.CrossEntropyLoss(**common)]
        same = metriseg.CompoundLoss(terms)
    else:
        core = getattr(metriseg, name)
        words = inspect.signature(core).parameters
        same = core(**{word: value for word, value in region.items() if word in words})
    found = build(name, loss_weight=2.0)(logits(), labels())
    torch.testing.assert_close(found, 2 * same(logits(), labels()), rtol=0, atol=0)


def test_loss_weight_is_an_attribute_that_may_change(name: str) -> None:
    """Schedulers of others set it: thrice the weight is thrice the value."""
    loss = build(name)
    once = loss(logits(), labels())
    loss.loss_weight = 3.0
    torch.testing.assert_close(loss(logits(), labels()), 3 * once)


def test_everything_ignored(name: str) -> None:
    """Exactly 0 with a zero gradient, with many channels and with one."""
    for channels in (CLASSES, 1):
        if channels < metriseg.CATALOGUE[name].min_classes:
            continue
        pred = logits(channels).requires_grad_()
        value = build(name)(pred, torch.full((2, 5, 6), 255))
        value.backward()
        assert value.item() == 0
        assert torch.equal(pred.grad, torch.zeros_like(pred))


def test_positional_call(name: str) -> None:
    """PIDHead gives prediction and labels and nothing else: 255 is ignored all the same."""
    pred = logits()
    moved = torch.where((labels() == 255).unsqueeze(1), pred + torch.randn_like(pred), pred)
    assert torch.equal(build(name)(pred, labels()), build(name)(moved, labels()))


def test_points(name: str) -> None:
    """PointHead has a list of points where others have an image; region sums don't care."""
    if 1 not in metriseg.CATALOGUE[name].spatial_dimensions or metriseg.CATALOGUE[name].spatial:
        return
    loss = build(name)
    points = loss(logits().flatten(2), labels().flatten(1), ignore_index=255)
    torch.testing.assert_close(points, loss(logits(), labels()))


def test_no_ignored_label() -> None:
    """With ``ignore_index=None`` every label counts, so 255 is a bad one."""
    loss = build("DiceLoss")
    with pytest.raises(ValueError, match=r"target must hold labels in 0 … 3"):
        loss(logits(), labels(), ignore_index=None)
    target = labels() % 3
    torch.testing.assert_close(
        loss(logits(), target, ignore_index=None), loss(logits(), target, ignore_index=255)
    )


def test_soft_labels(name: str) -> None:
    """One-hot floats are the labels themselves; the head's 255 has nothing to say about them."""
    target = labels() % CLASSES
    onehot = torch.nn.functional.one_hot(target, CLASSES).movedim(-1, 1).float()
    torch.testing.assert_close(build(name)(logits(), onehot), build(name)(logits(), target))


def test_soft_labels_of_one_channel() -> None:
    target = (labels() % 2).float()
    loss = build("DiceLoss")
    hard = loss(logits(1), target.long())
    torch.testing.assert_close(loss(logits(1), target), hard)
    torch.testing.assert_close(loss(logits(1), target.unsqueeze(1)), hard)


def test_activation_follows_the_channels() -> None:
    """One channel: sigmoid. More: softmax, unless ``use_sigmoid`` says otherwise."""
    one, many = logits(1), logits()
    target = labels() % 2
    core = metriseg.CrossEntropyLoss
    ce = build("CrossEntropyLoss")
    torch.testing.assert_close(ce(one, target), core(activation="sigmoid")(one, target))
    torch.testing.assert_close(ce(many, target), core()(many, target))
    separate = build("CrossEntropyLoss", use_sigmoid=True)
    torch.testing.assert_close(separate(many, target), core(activation="sigmoid")(many, target))
    exclusive = build("CrossEntropyLoss", use_sigmoid=False)
    torch.testing.assert_close(exclusive(many, target), core()(many, target))
    with pytest.raises(ValueError, match="activation='softmax' over one class"):
        exclusive(one, target)


def test_probabilities() -> None:
    found = build("DiceLoss", activation="identity")(logits().softmax(1), labels())
    torch.testing.assert_close(found, build("DiceLoss")(logits(), labels()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    """The value of the same numbers in float32, with a gradient in the logits' own type."""
    pred = logits().to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = build(name)(pred, labels())
    value.backward()
    assert value.dtype == torch.float32
    assert pred.grad.dtype == dtype
    assert torch.equal(value, build(name)(pred.detach().float(), labels()))


@pytest.mark.parametrize("name", PIXEL)
def test_values_a_pixel(name: str) -> None:
    """(N, H, W), 0 where ignored; their sum over the number of valid pixels is the mean."""
    loss = build(name, loss_weight=0.5)
    values = loss(logits(), labels(), reduction_override="none")
    valid = labels() != 255
    assert values.shape == labels().shape
    assert not values[~valid].any()
    torch.testing.assert_close(values.sum() / valid.sum(), loss(logits(), labels()))


@pytest.mark.parametrize("name", [*REGION, "CompoundLoss"])
def test_regions_have_no_value_a_pixel(name: str) -> None:
    with pytest.raises(ValueError, match=r"reduction='none'.*\w+Loss has none"):
        build(name)(logits(), labels(), reduction_override="none")


def test_own_reduction_of_a_region_loss() -> None:
    loss = build("DiceLoss", reduction="none")
    with pytest.raises(ValueError, match="DiceLoss has none"):
        loss(logits(), labels())
    assert loss(logits(), labels(), reduction_override="mean").ndim == 0


def test_avg_factor() -> None:
    """50 valid pixels of ln 4 each at equal logits, over 25: 2 ln 4; 0 over 0 is 0."""
    loss = build("CrossEntropyLoss")
    equal = torch.zeros(2, CLASSES, 5, 6)
    valid = int((labels() != 255).sum())
    value = loss(equal, labels(), avg_factor=valid / 2)
    assert value.item() == pytest.approx(2 * math.log(4))
    tensor = torch.tensor(valid / 2)
    assert loss(equal, labels(), None, tensor).item() == pytest.approx(2 * math.log(4))
    assert loss(equal, torch.full((2, 5, 6), 255), avg_factor=0).item() == 0


def test_avg_factor_belongs_to_the_mean() -> None:
    """As in MMSegmentation: refused with "sum", of no effect with "none"."""
    loss = build("CrossEntropyLoss")
    with pytest.raises(ValueError, match="avg_factor"):
        loss(logits(), labels(), avg_factor=4, reduction_override="sum")
    plain = loss(logits(), labels(), reduction_override="none")
    averaged = loss(logits(), labels(), avg_factor=4, reduction_override="none")
    assert torch.equal(plain, averaged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pred": torch.zeros(2, 4)}, "logits"),
        ({"pred": torch.zeros(2, 4, 5, 6, dtype=torch.int64)}, "logits"),
        ({"pred": [1.0]}, "logits"),
        ({"target": torch.zeros(2, 5, 7, dtype=torch.int64)}, "target"),
        ({"target": torch.zeros(2, 5, 6)}, "target"),
        ({"target": torch.full((2, 5, 6), 4)}, "target must hold labels in 0 … 3"),
        ({"target": None}, "target"),
        ({"weight": torch.ones(2, 5)}, "weight"),
        ({"weight": -torch.ones(2, 5, 6)}, "weight"),
        ({"reduction_override": "median"}, "reduction_override"),
    ],
)
def test_bad_input(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name)(**{"pred": logits(), "target": labels(), **arguments})


def test_class_weight_of_the_wrong_length() -> None:
    loss = build("CrossEntropyLoss", class_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="class_weight must have a number for each of the 4"):
        loss(logits(), labels())


# ---------------------------------------------------------------------- faults of the built-ins


def perfect(target: Tensor, classes: int = CLASSES) -> Tensor:
    own = torch.nn.functional.one_hot(target.clamp(max=classes - 1), classes).movedim(-1, 1)
    return own.float() * 80 - 40


@pytest.mark.parametrize("name", [*REGION, "CrossEntropyLoss", "FocalLoss"])
def test_ignored_pixels_cost_nothing(name: str) -> None:
    """Half of the pixels at 255 and the rest right: 0 (the stock Dice loss gives 0.333)."""
    target = labels() % CLASSES
    pred = perfect(target)
    target[:, :, :3] = 255
    assert build(name)(pred, target).item() == pytest.approx(0, abs=1e-5)


def test_dice_averages_classes() -> None:
    """Class 0 (99 pixels) right, class 1 (one pixel) missed: classes cost 1/199 and 1.

    Dice of class 0 is 2 * 99 / (100 + 99) and of class 1 zero; a Dice loss of the flattened
    classes would say 0.01.
    """
    target = torch.zeros(1, 10, 10, dtype=torch.int64)
    pred = perfect(target, 2)
    target[0, 0, 0] = 1
    assert build("DiceLoss")(pred, target).item() == pytest.approx((1 / 199 + 1) / 2, abs=1e-4)


def test_cross_entropy_averages_valid_pixels() -> None:
    """ln 4 at equal logits, however many pixels are ignored."""
    value = build("CrossEntropyLoss")(torch.zeros(2, CLASSES, 5, 6), labels())
    assert value.item() == pytest.approx(math.log(4))


def test_class_weight_beside_ignored_pixels() -> None:
    """Weights 1 and 2 met once each at ln 2 a pixel: ln 2, or (1 + 2) / 2 ln 2 of the pixels."""
    target = torch.tensor([[[0, 1], [255, 255]]])
    loss = build("CrossEntropyLoss", class_weight=[1.0, 2.0])
    assert loss(torch.zeros(1, 2, 2, 2), target).item() == pytest.approx(math.log(2))
    loss = build("CrossEntropyLoss", class_weight=[1.0, 2.0], normalize="pixels")
    assert loss(torch.zeros(1, 2, 2, 2), target).item() == pytest.approx(1.5 * math.log(2))


def test_focal_loss_on_the_cpu() -> None:
    """(1 - 1/2)^2 ln 2 at equal logits of two classes."""
    value = build("FocalLoss")(torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 1], [1, 255]]]))
    assert value.item() == pytest.approx(math.log(2) / 4)


@pytest.mark.parametrize("name", REGION)
def test_pixel_weights_count(name: str) -> None:
    """Wrong pixels of weight 0 don't exist; those of weight 1 do."""
    target = labels() % CLASSES
    pred = perfect(target)
    pred[:, :, 1] = -pred[:, :, 1]
    weight = torch.ones(2, 5, 6)
    wrong = build(name)(pred, target, weight=weight)
    weight[:, 1] = 0
    assert build(name)(pred, target, weight=weight).item() == pytest.approx(0, abs=1e-5)
    assert wrong.item() > 0.1


@pytest.mark.parametrize("name", [*REGION, "CrossEntropyLoss", "FocalLoss", "MimeLoss"])
def test_one_channel_learns_the_right_way(name: str) -> None:
    """Descent raises the logit where the truth is 1 and lowers it where it is 0."""
    pred = logits(1).requires_grad_()
    target = labels(2)
    build(name)(pred, target).backward()
    slope = pred.grad[:, 0]
    assert (slope[target == 1] < 0).all()
    assert (slope[target == 0] > 0).all()
    assert not slope[target == 255].any()


def test_modules_are_where_they_say() -> None:
    for name in OFFERED:
        found = getattr(losses, name)
        assert getattr(importlib.import_module(found.__module__), found.__qualname__) is found


# ---------------------------------------------------------------------- a loss within a loss


@pytest.mark.parametrize("outer", ["BlobLoss", "ConnectedComponentLoss"])
def test_region_loss_of_objects(outer: str, tmp_path: Path) -> None:
    """It is built of its config, here within a compound, and survives a dump."""
    within = config("TverskyLoss", fn_weight=0.9)
    whole = config("CompoundLoss", terms=[config("DiceLoss"), config(outer, loss=within)])
    path = tmp_path / "config.py"
    Config({"model": {"loss_decode": {**whole, "weights": [2.0, 1.0]}}}).dump(path)
    loss = MODELS.build(Config.fromfile(path).model.loss_decode)
    core = getattr(metriseg, outer)(
        metriseg.TverskyLoss(fn_weight=0.9),
        per_image=False,
        ignore_index=255,
        **({"classes": "present"} if outer == "ConnectedComponentLoss" else {}),
    )
    z, target = logits(), labels()
    expected = 2 * build("DiceLoss")(z, target) + core(z, target)
    torch.testing.assert_close(loss(z, target), expected)


def test_region_loss_of_objects_has_few_words() -> None:
    with pytest.raises(ValueError, match="loss: type='DiceLoss' is the stock loss of that name"):
        build("BlobLoss", loss={"type": "DiceLoss"})
    for words in ({"loss_weight": 2.0}, {"use_sigmoid": True}, {"per_image": True}):
        (word,) = words
        with pytest.raises(ValueError, match=f"DiceLoss must not say '{word}' within BlobLoss"):
            build("BlobLoss", loss=config("DiceLoss", **words))
