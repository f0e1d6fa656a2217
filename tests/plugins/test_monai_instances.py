"""Instances from a semantic network of MONAI, by config alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")
pytest.importorskip("ignite")

import numpy as np
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.losses import DeepSupervisionLoss
from monai.losses import DiceLoss as StockDice
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, Orientationd, Resized, Spacingd
from monai.utils import convert_to_dst_type

import metriseg
import metriseg_monai as m
from metriseg.extraction import KernelSegments

CLASSES, DIMENSIONS = 2, 3
KERNEL = {"type": "KernelSegments", "frequencies": 16, "seed": 0}
COMMON = {"softmax": True, "to_onehot_y": True}


def prediction(dimensions: int = 2) -> Tensor:
    shape = (2, CLASSES + DIMENSIONS, *(6, 5, 4)[:dimensions])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def truth(dimensions: int = 2) -> Tensor:
    """``(B, 2, *S)`` floats, as loaders deliver them: classes, then objects that touch."""
    classes = torch.zeros(2, 1, *(6, 5, 4)[:dimensions])
    classes[:, :, 2:] = 1
    objects = classes.clone()
    objects[:, :, 4:] = 9
    return torch.cat([classes, objects], 1)


def partition(**words: Any) -> m.PartitionLoss:
    return m.PartitionLoss(KERNEL, include_background=False, **{**COMMON, **words})


def of_the_core(z: Tensor, y: Tensor, *, instances: bool = True) -> Tensor:
    maps = {"instances": y[:, 1].long()} if instances else None
    return metriseg.PartitionLoss(KERNEL, include_background=False)(
        z[:, :CLASSES], y[:, 0].long(), features=z[:, CLASSES:], maps=maps
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_the_loss_sees_embedding_and_instances(dimensions: int, kind: Any) -> None:
    """Without instances the objects, of one class and touching, are one true segment."""
    z, y = prediction(dimensions), truth(dimensions)
    loss = m.SplitChannels(partition(), CLASSES)
    torch.testing.assert_close(loss(kind(z), kind(y)), of_the_core(z, y))
    alone = loss(kind(z), kind(y[:, :1]))
    torch.testing.assert_close(alone, of_the_core(z, y, instances=False))
    assert alone != loss(kind(z), kind(y))
    assert type(alone) is Tensor


def test_one_hot_classes_and_instances() -> None:
    z, y = prediction(), truth()
    one_hot = torch.cat([1 - y[:, :1], y], 1)
    loss = m.SplitChannels(partition(to_onehot_y=False), CLASSES)
    torch.testing.assert_close(loss(z, one_hot), of_the_core(z, y))


def test_a_compound_and_a_stock_loss() -> None:
    z, y = prediction(), truth()
    compound = m.CompoundLoss([partition(), m.CrossEntropyLoss(**COMMON)], weights=[3.0, 1.0])
    cross_entropy = m.CrossEntropyLoss(**COMMON)(z[:, :CLASSES], y[:, :1])
    torch.testing.assert_close(
        m.SplitChannels(compound, CLASSES)(z, y), 3 * of_the_core(z, y) + cross_entropy
    )
    stock = StockDice(softmax=True, to_onehot_y=True)
    torch.testing.assert_close(
        m.SplitChannels(stock, CLASSES)(z, y), stock(z[:, :CLASSES], y[:, :1])
    )


def test_deep_supervision() -> None:
    """Half the size has half the weight; the target's channels are resized together."""
    z, y = prediction(), truth()
    loss = m.SplitChannels(partition(), CLASSES)
    deep = DeepSupervisionLoss(loss, weights=[1.0, 0.5])
    small = torch.nn.functional.interpolate(y, (3, 5), mode="nearest-exact")
    lower = z[:, :, :3]
    torch.testing.assert_close(deep([z, lower], y), loss(z, y) + 0.5 * loss(lower, small))


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        (prediction()[:, :2], truth(), "more channels than the 2 of the classes, got 2"),
        (prediction(), truth()[:, 0], "target must have 1 channels, or 2"),
        (prediction(), truth().repeat(1, 2, 1, 1), "target must have 1 channels, or 2"),
    ],
)
def test_what_does_not_fit(z: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.SplitChannels(partition(), CLASSES)(z, y)


@pytest.mark.parametrize(
    "segments",
    [
        {"type": "KernelSegments", "bandwidth": 2},
        {"_target_": "metriseg.extraction.KernelSegments", "bandwidth": 2},
    ],
)
def test_a_bundle_names_the_segments(segments: dict[str, Any]) -> None:
    config = {"loss": {"_target_": "metriseg_monai.PartitionLoss", "segments": segments, **COMMON}}
    loss = ConfigParser(config).get_parsed_content("loss")
    assert repr(loss.extractor) == repr(KernelSegments(bandwidth=2))


@pytest.mark.parametrize(
    ("segments", "message"),
    [({"type": "KernelSegment"}, "KernelSegments"), ({"type": "KernelSegments", "r": 3}, "'r'")],
)
def test_unknown_words_are_refused(segments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.PartitionLoss(segments, **COMMON)


@pytest.mark.parametrize("classes", [1, 2])
def test_grouping(classes: int) -> None:
    """Two objects of one class whose embeddings are 5 apart, and background."""
    foreground = torch.zeros(8, 8, dtype=torch.bool)
    foreground[2:] = True
    embedding = torch.zeros(DIMENSIONS, 8, 8)
    embedding[0, :, 4:] = 5
    logits = torch.where(foreground, 3.0, -3.0)[None]
    if classes == 2:
        logits = torch.cat([-logits, logits])
    pred = MetaTensor(torch.cat([logits, embedding]), meta={"filename_or_obj": "a"})
    grouped = m.GroupEmbeddingd("pred", classes)({"pred": pred, "other": 1})
    assert torch.equal(grouped["pred"].as_tensor(), logits)
    expected = torch.where(foreground, 1 + (embedding[0] > 0).long(), 0)
    assert torch.equal(grouped["pred_instances"].as_tensor(), expected[None])
    assert grouped["pred_instances"].meta["filename_or_obj"] == "a"
    assert grouped["other"] == 1
    with pytest.raises(ValueError, match="pred must have more channels"):
        m.GroupEmbeddingd("pred", 9)({"pred": pred})


# ---------------------------------------------------------------------- places

SIDES, UNITS = (4, 12, 10), (2.0, 6.0, 4.0)


def blocks(dimensions: int) -> Tensor:
    """``(*S)``: touching blocks, numbered from 1 in the order of their first voxels; 0 beside."""
    numbers = 1 + torch.arange(3**dimensions).reshape([3] * dimensions)
    for axis, side in enumerate(SIDES[-dimensions:]):
        numbers = numbers.repeat_interleave(side, axis)
    return torch.nn.functional.pad(numbers, (4, 0))


def colours(labels: Tensor) -> Tensor:
    """``(1 + axes, *S)``: 9 on objects and -9 beside, and the way to an object's centre in units.

    The image itself is what a network of one voxel's view would predict.
    """
    units = torch.tensor(UNITS[-labels.ndim :])
    ways = torch.zeros(labels.ndim, *labels.shape)
    for number in labels[labels > 0].unique():
        here = torch.nonzero(labels == number).float()
        ways[:, labels == number] = ((here.mean(0) - here) / units).T
    return torch.cat([(labels > 0)[None] * 18.0 - 9, ways])


def placed(dimensions: int, *, times: float = 1.0) -> m.GroupEmbeddingd:
    """Groups what was predicted at a size that is so many times the network's."""
    units = [times * unit for unit in UNITS[-dimensions:]]
    return m.GroupEmbeddingd("pred", 1, pixels_per_unit=units)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mode", ["constant", "gaussian"])
def test_windows_agree_about_places(dimensions: int, mode: str) -> None:
    """Windows cut objects, and average what they say of the same voxel: ways, from its place."""
    truth = blocks(dimensions)
    windows = SlidingWindowInferer((7, 17, 13)[-dimensions:], 2, overlap=0.4, mode=mode)
    pred = windows(colours(truth)[None], torch.nn.Identity())[0]
    found = placed(dimensions)({"pred": MetaTensor(pred)})
    assert torch.equal(found["pred_instances"].as_tensor(), truth[None])


def test_one_number_is_one_for_each_axis() -> None:
    truth = blocks(2)
    pred = colours(truth)
    pred[1:] *= torch.tensor(UNITS[-2:])[:, None, None] / 5
    found = m.GroupEmbeddingd("pred", 1, pixels_per_unit=5)({"pred": pred})
    assert torch.equal(found["pred_instances"], truth[None])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("times", [0.5, 2, 3])
def test_places_at_another_size(dimensions: int, times: float) -> None:
    """A unit has as many more voxels; the instances differ at borders at the most."""
    truth = blocks(dimensions)
    size = [int(times * side) for side in truth.shape]
    mode = ["bilinear", "trilinear"][dimensions - 2]
    pred = Resized("pred", size, mode=mode)({"pred": colours(truth)})
    found = placed(dimensions, times=times)(pred)["pred_instances"].as_tensor()[0]
    wanted = Resized("truth", size, mode="nearest-exact")({"truth": truth[None].float()})["truth"]
    pool = getattr(torch.nn.functional, f"max_pool{dimensions}d")
    inside = (pool(wanted, 3, 1, 1) == -pool(-wanted, 3, 1, 1))[0].as_tensor()
    assert torch.equal(found.unique(), truth.unique())
    assert torch.equal(found[inside], wanted[0].as_tensor()[inside].long())


def test_instances_are_turned_back_and_not_ways() -> None:
    """A network that saw the volume mirrored, with two axes swapped, and twice as fine.

    Axes point to the left, forward and up, with voxels of 1 mm; the network saw them forward, to
    the right and up, with voxels of half a mm.
    """
    truth = blocks(3)
    volume = MetaTensor(truth[..., None].float(), affine=np.diag([-1.0, 1.0, 1.0, 1.0]))
    before = Compose(
        [
            EnsureChannelFirstd("image", channel_dim=-1),
            Orientationd("image", axcodes="ARS", labels=None),
            Spacingd("image", pixdim=(0.5, 0.5, 0.5), mode="nearest"),
        ]
    )
    item = before({"image": volume})
    seen = item["image"].as_tensor()[0].long()
    assert seen.shape[0] > truth.shape[1] > truth.shape[0]
    item["pred"] = convert_to_dst_type(colours(seen), item["image"])[0]
    item = placed(3)(item)
    item = Invertd(
        ["pred", "pred_instances"], before, orig_keys="image", nearest_interp=[False, True]
    )(item)
    found = item["pred_instances"].as_tensor()[0].long()
    assert found.shape == truth.shape
    pairs = torch.stack([found, truth]).flatten(1).unique(dim=1)
    assert pairs.shape[1] == len(truth.unique())
    assert torch.equal(found == 0, truth == 0)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (-1, "pixels_per_unit must be a finite number"),
        ([], "pixels_per_unit must hold a number for each axis"),
        ([1, 2, 3], "pixels_per_unit must be one number or one for each of 2 axes"),
        (2, "at least 2 channels, the offsets along each axis, with pixels_per_unit, got 1"),
    ],
)
def test_units_that_do_not_fit(units: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.GroupEmbeddingd("pred", 1, pixels_per_unit=units)({"pred": torch.zeros(2, 8, 8)})


NAME = "normalized_partition_distance"
SETTINGS = {"size": [32, 32], "shapes": ["circle"], "number": [2, 3], "radius": [5.0, 8.0]}
CONFIG: dict[str, Any] = {
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "AddCoordinateChannelsd", "keys": "image", "spatial_dims": [0, 1]},
            {
                "_target_": "ConcatItemsd",
                "keys": ["label", "instances"],
                "name": "label",
            },
        ],
    },
    "loader": {
        "_target_": "DataLoader",
        "dataset": {
            "_target_": "CacheDataset",
            "data": {
                "_target_": "metriseg_monai.datasets.Shapes",
                "length": 32,
                "settings": SETTINGS,
            },
            "transform": "@preprocessing",
            "progress": False,
        },
        "batch_size": 8,
        "shuffle": True,
    },
    "network": {
        "_target_": "UNet",
        "spatial_dims": 2,
        "in_channels": 5,
        "out_channels": 8,
        "channels": [8, 16, 32],
        "strides": [2, 2],
        "norm": ["group", {"num_groups": 4}],
    },
    "loss": {
        "_target_": "metriseg_monai.SplitChannels",
        "num_classes": 2,
        "loss": {
            "_target_": "metriseg_monai.CompoundLoss",
            "terms": [
                {
                    "_target_": "metriseg_monai.PartitionLoss",
                    "segments": {"type": "KernelSegments"},
                    "include_background": False,
                    **COMMON,
                },
                {"_target_": "metriseg_monai.CrossEntropyLoss", **COMMON},
            ],
            "weights": [3.0, 1.0],
        },
    },
    "trainer": {
        "_target_": "SupervisedTrainer",
        "device": "cpu",
        "max_epochs": 15,
        "train_data_loader": "@loader",
        "network": "@network",
        "optimizer": {
            "_target_": "torch.optim.Adam",
            "params": "$@network.parameters()",
            "lr": 0.01,
        },
        "loss_function": "@loss",
        "train_handlers": [
            {"_target_": "metriseg_monai.handlers.CompoundLossHandler", "loss": "@loss"}
        ],
    },
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "cpu",
        "val_data_loader": "@loader",
        "network": "@network",
        "postprocessing": {
            "_target_": "metriseg_monai.GroupEmbeddingd",
            "keys": "pred",
            "num_classes": 2,
        },
        "key_val_metric": {
            "val_partition": {
                "_target_": "metriseg_monai.handlers.PartitionMetricHandler",
                "metric_names": NAME,
                "segments": "labels",
                "output_transform": "$lambda items: ([i['pred_instances'] for i in items],"
                " [i['label'][1:] for i in items])",
            }
        },
    },
}


@pytest.mark.training
def test_a_trainer_of_monai_trains_it() -> None:
    """Both terms fall, and the instances are nearer to the truth than one of the background."""
    torch.manual_seed(0)
    parser = ConfigParser(CONFIG)
    trainer = parser.get_parsed_content("trainer")
    evaluator = parser.get_parsed_content("evaluator")
    seen: list[dict[str, float]] = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: seen.append(dict(engine.state.metrics))
    )
    evaluator.run()
    before = evaluator.state.metrics["val_partition"]
    trainer.run()
    evaluator.run()
    after = evaluator.state.metrics["val_partition"]
    assert isinstance(trainer.loss_function, m.SplitChannels)
    for term in ("loss_partition", "loss_cross_entropy"):
        values = [metrics[term] for metrics in seen]
        assert torch.tensor(values).isfinite().all()
        assert values[-1] < 0.7 * values[0], values
    assert after < 0.5 * before, (before, after)
