"""Losses of masks, called as MMDetection's heads call them.

The real heads are in ``test_mmseg_zoo.py``; here their calls are repeated without them.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as nnf

import metriseg

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from metriseg_mmseg import MaskLoss, losses

MASKS, HEIGHT, WIDTH = 4, 12, 13
OFFERED = sorted(metriseg.CATALOGUE.keys() - losses.UNSUPPORTED.keys())
FIT = [
    name
    for name in OFFERED
    if metriseg.CATALOGUE[name].min_classes == 1 and not metriseg.CATALOGUE[name].features
]
EVERY_PIXEL = (
    "CrossEntropyLoss",
    "FocalLoss",
    "GeneralizedCrossEntropyLoss",
    "MimeLoss",
    "PolyCrossEntropyLoss",
    "PolyFocalLoss",
    "SymmetricCrossEntropyLoss",
    "TopKLoss",
)


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def config(name: str, **words: Any) -> dict[str, Any]:
    if name == "CompoundLoss":
        words.setdefault("terms", [config("DiceLoss"), config("CrossEntropyLoss")])
    return {"type": f"metriseg_mmseg.{name}", **words}


def build(name: str, **words: Any) -> MaskLoss:
    """By the registry, as a head does it."""
    return MODELS.build({"type": "metriseg_mmseg.MaskLoss", "loss": config(name), **words})


def masks(kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Logits and masks ``(K, H, W)``, the third mask empty."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(MASKS, HEIGHT, WIDTH, generator=random, dtype=torch.float64)
    target = (torch.rand(MASKS, HEIGHT, WIDTH, generator=random) > 0.6).long()
    target[2] = 0
    return logits.to(kind), target


def alone(name: str, logits: Tensor, target: Tensor) -> Tensor:
    """The same loss of one mask after the other, each a batch of one image and one channel."""
    each = {"per_image": True, "classes": "all"}
    loss = build(name).loss if name == "CompoundLoss" else None
    if loss is None:
        words = losses.__dict__[name].__signature__.parameters
        loss = MODELS.build(config(name, **{w: v for w, v in each.items() if w in words}))
    return torch.stack(
        [
            loss(z[None, None], t[None], ignore_index=None)
            for z, t in zip(logits, target, strict=True)
        ]
    )


# ---------------------------------------------------------------------- every loss


@pytest.mark.parametrize("name", FIT)
def test_every_mask_counts_for_itself(name: str) -> None:
    """The sum of the masks' own values over the head's factor; their mean without one."""
    logits, target = masks()
    values = alone(name, logits, target)
    loss = build(name, loss_weight=5.0)
    torch.testing.assert_close(loss(logits, target, avg_factor=7.0), 5 * values.sum() / 7)
    torch.testing.assert_close(loss(logits, target), 5 * values.mean())
    torch.testing.assert_close(loss(logits, target, reduction_override="sum"), 5 * values.sum())
    torch.testing.assert_close(loss(logits, target, reduction_override="none"), 5 * values)


@pytest.mark.parametrize("name", sorted(set(OFFERED) - set(FIT)))
def test_losses_that_a_mask_has_nothing_for(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} (needs \d classes|looks at embeddings)"):
        build(name)


@pytest.mark.parametrize("name", FIT)
def test_points_of_each_mask(name: str) -> None:
    """``(K, P)``: what looks at neighbours is refused, all else sees no difference."""
    logits, target = masks()
    loss = build(name)
    if metriseg.CATALOGUE[name].spatial:
        with pytest.raises(ValueError, match=rf"holds points, and {name} looks at the neighbours"):
            loss(logits.flatten(1), target.flatten(1))
    else:
        found = loss(logits.flatten(1), target.flatten(1), avg_factor=3)
        torch.testing.assert_close(found, loss(logits, target, avg_factor=3))


@pytest.mark.parametrize("name", FIT)
def test_points_of_all_masks_in_one_row(name: str) -> None:
    """``(M,)``: for losses with a value a pixel."""
    logits, target = masks()
    loss = build(name)
    row = logits.flatten(), target.flatten()
    if name not in EVERY_PIXEL:
        with pytest.raises(ValueError, match=r"neighbours|no value a point.*loss_dice"):
            loss(*row)
        return
    values = loss(*row, reduction_override="none")
    assert values.shape == row[0].shape
    torch.testing.assert_close(loss(*row, avg_factor=9), values.sum() / 9)
    torch.testing.assert_close(loss(*row), values.mean())


@pytest.mark.parametrize("name", FIT)
@pytest.mark.parametrize("shape", [(0, 5, 6), (0, 7), (0,), (3, 0)])
def test_nothing_to_compare(name: str, shape: tuple[int, ...]) -> None:
    """Zero, connected to the logits."""
    loss = build(name)
    if metriseg.CATALOGUE[name].spatial and len(shape) < 3:
        return
    if name not in EVERY_PIXEL and len(shape) == 1:
        return
    logits = torch.zeros(shape, requires_grad=True)
    value = loss(logits, torch.zeros(shape), avg_factor=1)
    value.backward()
    assert value == 0
    assert logits.grad.shape == shape
    each = loss(logits, torch.zeros(shape), reduction_override="none")
    assert each.shape == shape[:1]


@pytest.mark.parametrize("name", FIT)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, kind: torch.dtype) -> None:
    logits, target = masks(kind)
    value = build(name)(logits.requires_grad_(), target, avg_factor=torch.tensor([4.0]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", FIT)
def test_targets_between_pixels(name: str) -> None:
    """Interpolated, they may be soft, and by a rounding above 1; who needs labels rounds them."""
    logits, target = masks()
    soft = (0.8 * target + 0.1).clamp(0, 1)
    soft[0, 0, 0] = 1 + 2**-20
    found = build(name)(logits, soft)
    assert torch.isfinite(found)
    if not metriseg.CATALOGUE[name].soft_targets:
        torch.testing.assert_close(found, build(name)(logits, (soft > 0.5).long()))


# ---------------------------------------------------------------------- stock formulas


def stock_dice(logits: Tensor, target: Tensor, power: int) -> Tensor:
    """MMDetection's of every mask: ``naive_dice`` at power 1 with eps 1, else at power 2."""
    p, t = logits.sigmoid().flatten(1), target.flatten(1).to(logits)
    common = 2 * (p * t).sum(1)
    if power == 1:
        return 1 - (common + 1) / (p.sum(1) + t.sum(1) + 1)
    return 1 - common / ((p * p).sum(1) + (t * t).sum(1) + 2 * 1e-3)


def stock_focal(logits: Tensor, target: Tensor) -> Tensor:
    """MMDetection's of every pixel, gamma 2 and alpha 1/4."""
    t = target.to(logits)
    p = logits.sigmoid()
    miss = (1 - p) * t + p * (1 - t)
    share = 0.25 * t + 0.75 * (1 - t)
    entropy = nnf.binary_cross_entropy_with_logits(logits, t, reduction="none")
    return entropy * share * miss**2


def same(first: Tensor, second: Tensor, logits: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-9)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (first, second)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "power"),
    [
        (config("DiceLoss", smooth=1.0), 1),
        (config("PowerDiceLoss", power=2.0, smooth=(0.0, 2e-3)), 2),
    ],
)
def test_stock_dice(loss: dict[str, Any], power: int) -> None:
    """``loss_dice``: the masks' values summed, over the number of masks in all images."""
    logits, target = masks()
    logits.requires_grad_()
    ours = MaskLoss(loss, loss_weight=5.0)(logits, target, avg_factor=6)
    same(ours, 5 * stock_dice(logits, target, power).sum() / 6, logits)


def test_stock_focal_with_labels() -> None:
    """MaskFormer's ``loss_mask``: a column of logits, and labels that are 0 inside of a mask."""
    logits, target = masks()
    logits.requires_grad_()
    loss = MaskLoss(config("FocalLoss", gamma=2.0, alpha=0.25), loss_weight=20.0)
    factor = 6 * HEIGHT * WIDTH
    ours = loss(logits.reshape(-1, 1), 1 - target.reshape(-1), avg_factor=factor)
    same(ours, 20 * stock_focal(logits, target).sum() / factor, logits)


def test_stock_cross_entropy_of_points() -> None:
    """Mask2Former's ``loss_mask``: a row of logits, and targets between 0 and 1."""
    logits, target = masks()
    logits.requires_grad_()
    soft = 0.9 * target + 0.05
    ours = build("CrossEntropyLoss")(logits.flatten(), soft.flatten(), avg_factor=1000)
    stock = nnf.binary_cross_entropy_with_logits(logits, soft.to(logits), reduction="sum") / 1000
    same(ours, stock, logits)


def test_weights_of_masks_and_points() -> None:
    logits, target = masks()
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5])
    loss = build("DiceLoss")
    values = loss(logits, target, reduction_override="none")
    torch.testing.assert_close(
        loss(logits, target, weight, avg_factor=2), (values @ weight.double()) / 2
    )
    points = torch.rand(target.numel())
    row = build("CrossEntropyLoss")
    values = row(logits.flatten(), target.flatten(), reduction_override="none")
    found = row(logits.flatten(), target.flatten(), points, reduction_override="sum")
    torch.testing.assert_close(found, values @ points.double())
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
        loss(logits, target, weight[:2])


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"loss": config("DiceLoss"), "naive_dice": True}, "'naive_dice'.*_delete_=True"),
        ({"loss": config("DiceLoss"), "eps": 1.0}, "'eps'.*_delete_=True"),
        ({"loss": config("DiceLoss"), "use_sigmoid": False}, "'use_sigmoid'.*_delete_=True"),
        ({"loss": config("FocalLoss"), "gamma": 2.0}, "'gamma'.*_delete_=True"),
        ({"loss": config("DiceLoss"), "loss_weight": -1.0}, "loss_weight"),
        ({"loss": config("DiceLoss"), "reduction": "all"}, "reduction"),
        ({"loss": config("DiceLoss", per_image=False)}, "DiceLoss must have per_image=True"),
        ({"loss": config("DiceLoss", classes="present")}, "DiceLoss must have classes='all'"),
        ({"loss": config("FocalLoss", reduction="sum")}, "FocalLoss must have reduction='mean'"),
        ({"loss": {"type": "mmseg.DiceLoss"}}, r"loss must be a loss of metriseg.*metriseg_mmseg"),
        ({"loss": "DiceLoss"}, "loss must be a loss of metriseg"),
        ({"loss": losses.DiceLoss()}, "DiceLoss must have per_image=True"),
        (
            {"loss": config("CompoundLoss", terms=[config("DiceLoss"), config("TripletLoss")])},
            "TripletLoss needs 2 classes",
        ),
    ],
)
def test_bad_words(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build({"type": "metriseg_mmseg.MaskLoss", **words})


def test_bad_calls() -> None:
    logits, target = masks()
    loss = build("DiceLoss")
    with pytest.raises(ValueError, match=r"avg_factor.*reduction='sum'"):
        loss(logits, target, avg_factor=2, reduction_override="sum")
    with pytest.raises(ValueError, match="reduction_override"):
        loss(logits, target, reduction_override="max")
    with pytest.raises(ValueError, match="pred and target must have one shape"):
        loss(logits, target[:2])
    with pytest.raises(ValueError, match="pred and target must have one shape"):
        loss(logits.flatten(1), target[:, 0, 0])


def test_ready_losses_and_those_in_a_compound() -> None:
    """A term that looks at neighbours decides for the sum."""
    logits, target = masks()
    dice = losses.DiceLoss(per_image=True, classes="all")
    assert torch.equal(MaskLoss(dice)(logits, target), build("DiceLoss")(logits, target))
    terms = [config("DiceLoss"), config("HausdorffErosionLoss")]
    both = MaskLoss(config("CompoundLoss", terms=terms))
    parts = [MaskLoss(term)(logits, target) for term in terms]
    torch.testing.assert_close(both(logits, target), sum(parts))
    with pytest.raises(ValueError, match="HausdorffErosionLoss looks at the neighbours"):
        both(logits.flatten(1), target.flatten(1))


@pytest.mark.parametrize("keep", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_copies_are_the_same_loss(keep: Any) -> None:
    loss = build("TverskyLoss", loss_weight=3.0)
    assert torch.equal(keep(loss)(*masks()), loss(*masks()))
    assert "loss_weight=3.0" in repr(loss)


def test_config_over_a_stock_loss(tmp_path: Path) -> None:
    """What a stock dict leaves behind and says nothing new is understood, its weight too."""
    (tmp_path / "base.py").write_text(
        "head = dict(loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True,"
        " reduction='mean', loss_weight=5.0))\n"
    )
    (tmp_path / "mine.py").write_text(
        "_base_ = ['base.py']\n"
        "head = dict(loss_mask=dict(type='metriseg_mmseg.MaskLoss',"
        " loss=dict(type='metriseg_mmseg.FocalLoss')))\n"
    )
    cfg = Config.fromfile(tmp_path / "mine.py")
    cfg.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py")
    loss = MODELS.build(again.head.loss_mask)
    torch.testing.assert_close(loss(*masks()), 5 * build("FocalLoss")(*masks()))


# ---------------------------------------------------------------------- other heads


def presence_head(loss: dict[str, Any]) -> torch.nn.Module:
    torch.manual_seed(3)
    return MODELS.build(
        {
            "type": "EncHead",
            "in_channels": [4, 8],
            "in_index": (0, 1),
            "channels": 8,
            "num_codes": 4,
            "num_classes": 5,
            "dropout_ratio": 0,
            "norm_cfg": {"type": "BN"},
            "loss_decode": config("DiceLoss"),
            "loss_se_decode": loss,
        }
    )


def presence_loss(loss: dict[str, Any]) -> Tensor:
    random = torch.Generator().manual_seed(4)
    features = [
        torch.randn(2, 4, 8, 8, generator=random),
        torch.randn(2, 8, 4, 4, generator=random),
    ]
    labels = torch.randint(4, (2, 1, 8, 8), generator=random)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    return presence_head(loss).loss(features, samples, {})["loss_se"]


def test_presence_of_classes() -> None:
    """EncHead's ``loss_se_decode`` gets ``(N, C)``: each image is N's mask with C points."""
    stock = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 0.2}
    ours = {
        "type": "metriseg_mmseg.MaskLoss",
        "loss": config("CrossEntropyLoss"),
        "loss_weight": 0.2,
    }
    torch.testing.assert_close(presence_loss(ours), presence_loss(stock))


def test_presence_of_classes_is_no_map() -> None:
    with pytest.raises(ValueError, match="at least one spatial dimension"):
        presence_loss(config("FocalLoss"))


@pytest.mark.parametrize("name", ["BoundaryLoss", "HausdorffErosionLoss"])
def test_points_have_no_neighbours(name: str) -> None:
    """PointHead calls ``loss_decode`` with ``(N, C, P)``, P sampled points in any order."""
    with pytest.raises(ValueError, match="neighbours"):
        MODELS.build(config(name))(torch.randn(2, 3, 9), torch.randint(3, (2, 9)))
