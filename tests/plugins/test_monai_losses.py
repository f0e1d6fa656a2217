"""The losses in MONAI's words: their values, what they take, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")

from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.losses import DiceLoss as MonaiDiceLoss

import metriseg
import metriseg_monai
from metriseg.catalogue import CATALOGUE
from metriseg_monai import losses
from metriseg_monai.counterparts import SkeletonConvention

COMMON = {"softmax": True, "to_onehot_y": True}
NAMES = [name for name in CATALOGUE if name not in losses.UNSUPPORTED]


def common(name: str) -> dict[str, Any]:
    """The words of ``COMMON`` with sigmoid for losses that have no softmax."""
    if name in CATALOGUE and "softmax" not in CATALOGUE[name].loss.activations:
        return {"sigmoid": True, "to_onehot_y": True}
    return COMMON


def config(name: str, **words: Any) -> dict[str, Any]:
    """A loss as a bundle has it; the words of a compound loss are those of its terms."""
    if name != "CompoundLoss":
        return {"_target_": f"metriseg_monai.{name}", **common(name), **words}
    return {
        "_target_": "metriseg_monai.CompoundLoss",
        "terms": [config("DiceLoss", **words), config("CrossEntropyLoss", **words)],
        "weights": [1.0, {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}],
    }


#: The same losses of the core.
CORE: dict[str, metriseg.SegmentationLoss] = {
    name: getattr(metriseg, name)() for name in NAMES if name != "CompoundLoss"
}
CORE["CompoundLoss"] = metriseg.CompoundLoss([metriseg.DiceLoss(), metriseg.CrossEntropyLoss()])
# MONAI's defaults
CORE["TverskyLoss"] = metriseg.TverskyLoss(0.5, 0.5)
_thin = (n for n in NAMES if issubclass(getattr(metriseg_monai, n), SkeletonConvention))
for _name in ("BoundaryLoss", *_thin):
    CORE[_name] = getattr(metriseg, _name)(include_background=True)
CORE["DiceFocalLoss"] = metriseg.CompoundLoss(
    [metriseg.DiceLoss(), metriseg.FocalLoss(activation="sigmoid")]
)
CORE["GeneralizedDiceFocalLoss"] = metriseg.CompoundLoss(
    [metriseg.GeneralizedDiceLoss(smooth=0), metriseg.FocalLoss(activation="sigmoid")]
)
CORE["GeneralizedDiceLoss"] = metriseg.GeneralizedDiceLoss(smooth=0)
CORE["MatthewsCorrelationLoss"] = metriseg.MatthewsCorrelationLoss(smooth=0)
#: Those that smooth other sums than the core.
SMOOTHED_OTHERWISE = (
    "GeneralizedDiceLoss",
    "GeneralizedDiceFocalLoss",
    "MatthewsCorrelationLoss",
)
EVERY_LOSS = pytest.mark.parametrize("name", NAMES)


def build(name: str, **words: Any) -> Any:
    return parse(config(name, **words))


def parse(loss: dict[str, Any]) -> Any:
    return ConfigParser({"loss": loss}).get_parsed_content("loss")


def sample(*spatial: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits (2, C, *S), and class indices (2, 1, *S) as floats, as MONAI's loaders give them."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, *spatial, generator=random)
    return logits, torch.randint(0, classes, (2, 1, *spatial), generator=random).float()


def one_hot(target: Tensor, classes: int = 4) -> Tensor:
    return torch.nn.functional.one_hot(target[:, 0].long(), classes).movedim(-1, 1)


@EVERY_LOSS
@pytest.mark.parametrize("spatial", [(6, 5), (4, 3, 5)], ids=["2d", "3d"])
def test_a_loss_from_a_config_is_the_loss_of_the_core(name: str, spatial: tuple[int, ...]) -> None:
    """Both give the same number for the same question.

    But for MONAI's focal loss, a mean over channels too, and losses that smooth other sums.
    What comes in has metadata and float labels; what goes out is a plain scalar with a gradient.
    """
    if len(spatial) not in CATALOGUE[name].spatial_dimensions:
        return
    logits, target = sample(*spatial)
    input = MetaTensor(logits).requires_grad_()
    sharp = {"smooth_nr": 0, "smooth_dr": 0} if name in SMOOTHED_OTHERWISE else {}
    value = build(name, **sharp)(input, MetaTensor(target))
    assert type(value) is Tensor
    assert value.ndim == 0
    leaf = logits.clone().requires_grad_()
    expected = CORE[name](leaf, target[:, 0].long()) / (4 if name == "FocalLoss" else 1)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(input.grad.as_subclass(Tensor), leaf.grad)


@EVERY_LOSS
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float16, torch.bool])
def test_labels_and_one_hot_targets_of_any_dtype(name: str, dtype: torch.dtype) -> None:
    """Class indices and their one-hot form ask the same question (a bool knows two classes)."""
    logits, target = sample(6, 5)
    if dtype == torch.bool:
        target = (target > 1).float()
    loss = build(name)
    expected = loss(logits, target)
    torch.testing.assert_close(loss(logits, target.to(dtype)), expected)
    loss = build(name, to_onehot_y=False)
    torch.testing.assert_close(loss(logits, one_hot(target).to(dtype)), expected)


@EVERY_LOSS
def test_a_masked_half_is_as_if_it_were_not_there(name: str) -> None:
    """The loss of the left half alone, whatever stands in the right half: NaN, or a label 77.

    Sums over voxels and their number know only voxels of weight above zero, so this holds for
    every loss; MONAI's masked Dice would count the masked voxels as background. Where neighbours
    matter the border of the image does too, so there it is the masked loss of unspoilt values.
    """
    logits, target = sample(6, 8)
    loss = build(name)
    half = torch.zeros(2, 1, 6, 8)
    half[..., :4] = 1
    if CATALOGUE[name].spatial:
        expected = loss(logits, target, half)
    else:
        expected = loss(logits[..., :4], target[..., :4])
    spoilt, labels = logits.clone(), target.clone()
    spoilt[..., 4:], labels[..., 4:] = torch.nan, 77
    for shaped in (half, half[:1], half[:, 0], half.bool(), MetaTensor(half)):
        input = spoilt.clone().requires_grad_()
        value = loss(input, labels, shaped)
        torch.testing.assert_close(value, expected)
        value.backward()
        assert not input.grad[..., 4:].any()
        assert input.grad.isfinite().all()


@EVERY_LOSS
def test_an_ignored_label_is_as_if_it_were_not_there(name: str) -> None:
    """As with a mask; labels are floats, and 255 may also come as uint8."""
    logits, target = sample(6, 8)
    loss = build(name, ignore_index=255)
    half = torch.zeros(2, 1, 6, 8)
    half[..., :4] = 1
    expected = build(name)(logits, target, half)
    spoilt, labels = logits.clone(), target.clone()
    spoilt[..., 4:], labels[..., 4:] = torch.nan, 255
    torch.testing.assert_close(loss(spoilt, labels), expected)
    torch.testing.assert_close(loss(spoilt, labels.to(torch.uint8)), expected)


@EVERY_LOSS
def test_nothing_valid_costs_nothing(name: str) -> None:
    """No voxel counts: exactly 0, with a gradient that is exactly 0, also from NaN logits."""
    _, target = sample(6, 5)
    input = torch.full((2, 4, 6, 5), torch.nan, requires_grad=True)
    value = build(name)(input, target, torch.zeros(2, 1, 6, 5))
    value.backward()
    assert value.item() == 0
    assert not input.grad.any()


@EVERY_LOSS
def test_copies_and_configs_hold(name: str, tmp_path: Path) -> None:
    """Deep copy, pickle and an exported config give the same loss; a checkpoint has nothing of it.

    But what it learns: the weights of a bundle load as they do with MONAI's own losses.
    """
    logits, target = sample(6, 5)
    loss = build(name)
    path = str(tmp_path / "loss.json")
    ConfigParser.export_config_file({"loss": config(name)}, path)
    reloaded = parse(ConfigParser.load_config_file(path)["loss"])
    rebuilt = type(loss)(**loss.arguments())
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), reloaded, rebuilt):
        torch.testing.assert_close(other(logits, target), loss(logits, target))
    assert set(loss.state_dict()) == {learnt for learnt, _ in loss.named_parameters()}
    assert type(loss).__module__ == "metriseg_monai.losses"


@pytest.mark.parametrize(
    ("name", "words", "shape"),
    [
        ("DiceLoss", {}, (2, 4, 1, 1)),
        ("DiceLoss", {"batch": True}, (4, 1, 1)),
        ("DiceLoss", {"include_background": False}, (2, 3, 1, 1)),
        ("PowerJaccardLoss", {}, (4, 1, 1)),
        ("PowerJaccardLoss", {"batch": False}, (2, 4, 1, 1)),
        ("CrossEntropyLoss", {}, (2, 1, 6, 5)),
    ],
)
def test_unreduced_values_broadcast(name: str, words: dict[str, Any], shape: Any) -> None:
    """Shapes that multiply (B, C, H, W); the mean over them is the reduced value."""
    logits, target = sample(6, 5)
    values = build(name, **words, reduction="none")(logits, target)
    assert tuple(values.shape) == shape
    torch.testing.assert_close(values.mean(), build(name, **words)(logits, target))


def test_weights_of_classes() -> None:
    """C numbers; C - 1 without the background; one number, equal for all.

    As in MONAI they multiply, and the means divide by the number of classes, or of voxels: one
    weight 3 triples both. Without the background the weights (w, 1, 2, 3) and (1, 2, 3) both give
    (l1 + 2 l2 + 3 l3) / 3.
    """
    logits, target = sample(6, 5)

    def value(name: str, **words: Any) -> Tensor:
        return build(name, **words)(logits, target)

    rows = value("DiceLoss", reduction="none", batch=True).flatten()
    foreground = value("DiceLoss", weight=[1, 2, 3], include_background=False, batch=True)
    torch.testing.assert_close(foreground, (rows[1] + 2 * rows[2] + 3 * rows[3]) / 3)
    torch.testing.assert_close(
        value("DiceLoss", weight=[9, 1, 2, 3], include_background=False, batch=True), foreground
    )
    torch.testing.assert_close(value("DiceLoss", weight=3), 3 * value("DiceLoss"))
    torch.testing.assert_close(
        value("CrossEntropyLoss", weight=torch.tensor(3)), 3 * value("CrossEntropyLoss")
    )


def test_one_channel() -> None:
    """Labels 0 and 1 are the target itself; a third label can be ignored.

    At logit 0, p is 1/2 everywhere and the binary cross-entropy is ln 2 whatever the label.
    """
    target = torch.tensor([[[0.0, 1.0, 1.0]]])
    for words in ({}, {"to_onehot_y": True}):
        loss = metriseg_monai.CrossEntropyLoss(sigmoid=True, **words)
        assert loss(torch.zeros(1, 1, 3), target).item() == pytest.approx(0.6931, abs=1e-4)
    loss = metriseg_monai.DiceLoss(sigmoid=True, ignore_index=2, smooth_nr=0, smooth_dr=0)
    # p = 1/2 on labels 0, 1 and an ignored 2: 1 - 2 (1/2) / (1 + 1)
    assert loss(torch.zeros(1, 1, 3), torch.tensor([[[0.0, 1.0, 2.0]]])).item() == 0.5


def test_an_activation_of_ones_own() -> None:
    """``other_act`` that is a softmax gives what softmax=True gives, behind a mask too."""
    logits, target = sample(6, 5)
    mask = torch.ones(2, 1, 6, 5)
    mask[..., 3:] = 0
    logits[..., 3:] = torch.nan
    own = metriseg_monai.DiceLoss(other_act=torch.nn.Softmax(dim=1), to_onehot_y=True)
    input = logits.clone().requires_grad_()
    value = own(input, target, mask)
    torch.testing.assert_close(value, build("DiceLoss")(logits, target, mask))
    value.backward()
    assert input.grad.isfinite().all()


def test_probabilities_as_they_are() -> None:
    """Without an activation the input is what a softmax made of the logits; half precision too."""
    logits, target = sample(6, 5)
    loss = metriseg_monai.JaccardLoss(to_onehot_y=True)
    expected = build("JaccardLoss")(logits, target)
    torch.testing.assert_close(loss(logits.softmax(1), target), expected)
    torch.testing.assert_close(loss(logits.softmax(1).half(), target), expected, atol=1e-3, rtol=0)


def test_focal_understands_use_softmax() -> None:
    """``use_softmax`` true is softmax and false is sigmoid, as in MONAI's focal loss."""
    logits, target = sample(6, 5)
    for use_softmax, word in ((True, "softmax"), (False, "sigmoid")):
        foreign = metriseg_monai.FocalLoss(use_softmax=use_softmax, to_onehot_y=True)
        own = metriseg_monai.FocalLoss(**{word: True}, to_onehot_y=True)
        torch.testing.assert_close(foreign(logits, target), own(logits, target))
    with pytest.raises(ValueError, match="use_softmax=False contradicts softmax=True"):
        metriseg_monai.FocalLoss(use_softmax=False, softmax=True)


REFUSED_WORDS = [
    ("DiceLoss", {"sigmoid": True, "softmax": True}, "sigmoid, softmax and other_act exclude"),
    ("DiceLoss", {"softmax": "yes"}, "softmax must be True or False"),
    ("DiceLoss", {"to_onehot_y": 3}, "to_onehot_y must be True or False"),
    ("DiceLoss", {"batch": "all"}, "batch must be True or False"),
    ("DiceLoss", {"reduction": "median"}, "reduction must be one of"),
    ("DiceLoss", {"smooth_nr": -1}, "smooth_nr must be"),
    ("DiceLoss", {"smooth_dr": "x"}, "smooth_dr must be"),
    ("DiceLoss", {"sync": True}, "needs batch=True"),
    ("DiceLoss", {"weight": [1, -1]}, "weight must be finite and not negative"),
    ("DiceLoss", {"weight": -1}, "weight must be finite and not negative"),
    ("DiceLoss", {"weight": "even"}, "weight must be a list or tensor"),
    ("TverskyLoss", {"jaccard": True}, "'jaccard': that is a loss of its own: JaccardLoss"),
    ("TverskyLoss", {"squared_pred": True}, "'squared_pred': PowerDiceLoss"),
    ("DiceLoss", {"smooth": 1.0}, "'smooth': say 'smooth_nr' and 'smooth_dr'"),
    ("DiceLoss", {"per_image": True}, "'per_image': say 'batch'"),
    ("DiceLoss", {"activation": "softmax"}, "'activation': say softmax=True"),
    ("DiceLoss", {"use_softmax": True}, "'use_softmax': say softmax=True"),
    ("DiceLoss", {"include_backround": True}, "did you mean 'include_background'"),
    ("TverskyLoss", {"fp_weight": 0.3}, "'fp_weight': say 'alpha'"),
    ("TverskyLoss", {"alpha": -1}, "alpha must be"),
    ("GeneralizedDiceLoss", {"weighting": "simple"}, "'weighting': say 'w_type'"),
    ("GeneralizedDiceLoss", {"w_type": "cube"}, "w_type must be one of"),
    ("GeneralizedWassersteinDiceLoss", {"distances": None}, "'distances': say 'dist_matrix'"),
    ("GeneralizedWassersteinDiceLoss", {"dist_matrix": [[0, 1], [2, 0]]}, "dist_matrix must be"),
    ("GeneralizedWassersteinDiceLoss", {"weighting_mode": "gdl"}, "weighting_mode must be one"),
    ("GeneralizedWassersteinDiceLoss", {"sigmoid": True}, "needs softmax=True"),
    ("UnifiedFocalLoss", {"focal_share": 0.3}, "'focal_share': say 'weight'"),
    ("UnifiedFocalLoss", {"weight": [1, 2]}, "weight must be a number in"),
    ("AsymmetricUnifiedFocalLoss", {"num_classes": 3}, "num_classes must be 2"),
    ("AsymmetricUnifiedFocalLoss", {"reduction": "max"}, "reduction must be one of"),
    ("DiceCELoss", {}, "DiceCELoss needs softmax=True, sigmoid=True or other_act"),
    ("DiceFocalLoss", {}, "DiceFocalLoss needs softmax=True, sigmoid=True or other_act"),
    ("DiceCELoss", {"softmax": True, "normalize": "pixels"}, "'normalize': as in MONAI"),
    ("DiceCELoss", {"softmax": True, "pos_weight": 2}, "'pos_weight': say 'weight'"),
    ("GeneralizedDiceFocalLoss", {}, "GeneralizedDiceFocalLoss needs softmax=True"),
    ("GeneralizedDiceFocalLoss", {"sigmoid": True, "lambda_gdl": -1}, "lambda_gdl must be"),
    ("GeneralizedDiceFocalLoss", {"lamda": 1}, "did you mean 'lambda_gdl'"),
    ("HausdorffDTLoss", {"batch": "yes"}, "batch must be True or False"),
    ("DiceLoss", {"overlap": "minimum"}, "'overlap': say soft_label=True"),
    ("DiceLoss", {"soft_label": 1}, "soft_label must be True or False"),
    ("LovaszSoftmaxLoss", {"soft_label": True}, "'soft_label': soft targets need no flag"),
    (
        "FocalLoss",
        {"use_softmax": True, "alpha": 0.3, "include_background": False},
        "alpha of exclusive classes weighs the background",
    ),
    ("FocalLoss", {"use_softmax": True, "other_act": torch.sigmoid}, "contradicts other_act"),
    ("CompoundLoss", {"terms": [torch.nn.MSELoss()]}, "terms must have a loss of metriseg_monai"),
    ("PowerJaccardLoss", {"power": 3}, "power must be"),
    ("FocalLoss", {"gamma": -1}, "gamma must be"),
    ("FocalLoss", {"use_softmax": "yes"}, "use_softmax must be True or False"),
    ("CompoundLoss", {"terms": []}, "terms must have at least one"),
    ("CompoundLoss", {"terms": 3}, "terms must be a list"),
    ("CompoundLoss", {"terms": [metriseg.DiceLoss()]}, "terms must be losses of metriseg_monai"),
    ("CompoundLoss", {"terms": [], "softmax": True}, "no argument 'softmax'"),
]


@pytest.mark.parametrize(("name", "words", "message"), REFUSED_WORDS)
def test_a_constructor_names_the_bad_argument(
    name: str, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(metriseg_monai, name)(**words)


def test_an_activation_must_be_callable() -> None:
    """MONAI's own losses raise TypeError here, and so do ours."""
    with pytest.raises(TypeError, match="other_act must be None or callable"):
        metriseg_monai.DiceLoss(other_act="tanh")


X, Y = sample(6, 5)
ONES = torch.ones(2, 1, 6, 5)
REFUSED_CALLS = [
    ({}, (X.numpy(), Y), "input must be a torch.Tensor, got ndarray"),
    ({}, (X[0, 0], Y), "input must have shape"),
    ({}, (X.long(), Y), "input must be floating point"),
    ({}, (X[:, :1], Y), "softmax=True over one channel is constant: say sigmoid=True"),
    ({}, (X, Y.tolist()), "target must be a torch.Tensor"),
    ({}, (X, Y[:, 0]), "target must hold class indices in shape"),
    ({}, (X, one_hot(Y)), "a one-hot target needs to_onehot_y=False"),
    ({}, (X, Y + 0.5), "target must hold class indices, got numbers that are not whole"),
    ({}, (X, Y * torch.nan), "target must hold class indices, got numbers that are not whole"),
    ({}, (X, Y + 1), "target must hold labels in 0 … 3"),
    ({"to_onehot_y": False}, (X, Y), "class indices need to_onehot_y=True"),
    ({"to_onehot_y": False}, (X, one_hot(Y)[..., :3]), "target must have the shape of input"),
    ({"to_onehot_y": False}, (X, 2.0 * one_hot(Y)), "target must lie in"),
    ({"softmax": False}, (X, Y), "input must lie in .* say softmax=True or sigmoid=True"),
    (
        {"softmax": False, "other_act": torch.tanh},
        (X, Y),
        r"other_act\(input\) must lie in .* other_act must make probabilities",
    ),
    (
        {"softmax": False, "other_act": torch.flatten},
        (X, Y),
        "other_act must keep the shape",
    ),
    ({"weight": [1, 2, 3]}, (X, Y), "weight must be one number or one for each of the 4 classes"),
    ({"include_background": False, "weight": [1, 2]}, (X, Y), "weight must be one number or one"),
    ({}, (X, Y, ONES[..., :2]), "mask must have shape"),
    ({}, (X, Y, -ONES), "mask must be finite and not negative"),
    ({}, (X, Y, 1), "mask must be a torch.Tensor"),
]


@pytest.mark.parametrize(("words", "call", "message"), REFUSED_CALLS)
def test_a_call_names_the_bad_tensor(
    words: dict[str, Any], call: tuple[Any, ...], message: str
) -> None:
    loss = metriseg_monai.DiceLoss(**{**COMMON, **words})
    with pytest.raises(ValueError, match=message):
        loss(*call)


def test_every_loss_of_the_catalogue_is_offered_or_explained() -> None:
    offered = {name for name in CATALOGUE if name in metriseg_monai.__all__}
    assert offered | set(losses.UNSUPPORTED) == set(CATALOGUE)
    assert not offered & set(losses.UNSUPPORTED)


def test_an_unsupported_loss_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python and in a config; a name that nobody knows is an AttributeError as usual."""
    monkeypatch.setitem(losses.UNSUPPORTED, "OracleLoss", "it needs the future")
    with pytest.raises(NotImplementedError, match="OracleLoss: it needs the future"):
        _ = metriseg_monai.OracleLoss
    with pytest.raises(NotImplementedError, match="it needs the future"):
        parse({"_target_": "metriseg_monai.OracleLoss"})
    with pytest.raises(AttributeError, match="NoSuchLoss"):
        _ = metriseg_monai.NoSuchLoss


# ------------------------------------------------------------------------------- a loss within


@pytest.mark.parametrize("outer", ["BlobLoss", "ConnectedComponentLoss"])
def test_a_region_loss_of_objects(outer: str) -> None:
    """Nested in a config; two steps of an optimiser lower the value."""
    config = {
        "loss": {
            "_target_": f"metriseg_monai.{outer}",
            "loss": {"_target_": "metriseg_monai.TverskyLoss", "beta": 0.9},
            "softmax": True,
            "to_onehot_y": True,
        }
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    logits, target = sample(6, 5)
    core = getattr(metriseg, outer)(metriseg.TverskyLoss(fp_weight=0.5, fn_weight=0.9))
    values = []
    for _ in range(3):
        logits = logits.detach().requires_grad_()
        value = loss(logits, target)
        torch.testing.assert_close(value, core(logits, target[:, 0].long()))
        values.append(value.item())
        logits = logits - torch.autograd.grad(value, logits)[0]
    assert values == sorted(values, reverse=True)


def test_a_region_loss_of_objects_has_few_words() -> None:
    for words in ({"softmax": True}, {"to_onehot_y": True}, {"batch": True}):
        (word,) = words
        with pytest.raises(ValueError, match=f"DiceLoss must not say '{word}' within BlobLoss"):
            metriseg_monai.BlobLoss(metriseg_monai.DiceLoss(**words), softmax=True)
    with pytest.raises(ValueError, match=r"made of region statistics alone.* got DiceLoss"):
        metriseg_monai.BlobLoss(MonaiDiceLoss(), softmax=True)
