"""Voxel weights and maps in channels of the target, for a trainer that passes two tensors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("monai")
pytest.importorskip("ignite")

from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedTrainer, default_prepare_batch
from monai.losses import DeepSupervisionLoss
from monai.losses import DiceLoss as StockDice
from monai.transforms import Compose, ConcatItemsd

import metriseg
import metriseg_monai as m
from metriseg_monai import channels
from metriseg_monai.handlers import CompoundLossHandler

CLASSES = 3
COMMON = {"softmax": True, "to_onehot_y": True}
SIZE = (6, 5, 4)


def tensors(*, seed: int = 0) -> dict[str, Tensor]:
    """A prediction, labels as floats, weights with zeros, maps and objects, of two images."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (2, 1, *SIZE), generator=random).float()
    weight = torch.rand(2, 1, *SIZE, generator=random)
    return {
        "input": torch.randn(2, CLASSES, *SIZE, generator=random),
        "label": labels,
        "mask": torch.where(weight < 0.2, 0.0, weight),
        "signed_distance": torch.randn(2, CLASSES, *SIZE, generator=random),
        "region": torch.randn(2, CLASSES, *SIZE, generator=random),
        "target_distance": torch.rand(2, CLASSES, *SIZE, generator=random),
        "skeleton": (torch.rand(2, CLASSES, *SIZE, generator=random) > 0.5).float(),
        "penalty": torch.rand(2, 1, *SIZE, generator=random),
        "instances": torch.randint(0, 5, (2, 1, *SIZE), generator=random).float(),
    }


def joined(given: dict[str, Tensor], *names: str) -> Tensor:
    return torch.cat([given["label"], *(given[name] for name in names)], 1)


def both(loss: nn.Module, z: Tensor, *given: Any, **more: Any) -> tuple[Tensor, Tensor]:
    """Value and gradient."""
    z = z.clone().requires_grad_()
    value = loss(z, *given, **more)
    return value.detach(), torch.autograd.grad(value, z)[0]


READERS = {
    "signed_distance": lambda: m.BoundaryLoss(**COMMON),
    "region": lambda: m.RegionWiseLoss(**COMMON),
    "target_distance": lambda: m.HausdorffDistanceTransformLoss(**COMMON),
    "penalty": lambda: m.DistanceMapCrossEntropyLoss(**COMMON),
    "skeleton": lambda: m.SkeletonRecallLoss(**COMMON),
    "instances": lambda: m.PartitionLoss("ClassSegments", **COMMON),
}


def test_every_map_has_a_reader_here() -> None:
    """A new map of the core is in these tests, and known to have one channel or one a class."""
    losses = [entry.loss for entry in metriseg.CATALOGUE.values()]
    assert set(READERS) == {name for loss in losses for name in loss.map_names}
    assert set(channels.PER_VOXEL) < set(READERS)


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
@pytest.mark.parametrize("name", READERS)
def test_a_map_reaches_the_loss(name: str, kind: Any) -> None:
    given = tensors()
    loss, values = READERS[name](), given[name]
    wrapped = m.TargetChannels(loss, {name: values.shape[1]})
    direct = values[:, 0] if name in channels.PER_VOXEL else values
    direct = direct.long() if name == "instances" else direct
    expected = both(loss, given["input"], given["label"], maps={name: direct})
    found = both(wrapped, kind(given["input"]), kind(joined(given, name)))
    torch.testing.assert_close(tuple(map(torch.as_tensor, found)), expected, rtol=0, atol=0)
    assert type(wrapped(kind(given["input"]), kind(joined(given, name)))) is Tensor
    assert not torch.equal(expected[0], loss(given["input"], given["label"]))


def test_a_mask_is_the_third_argument() -> None:
    given = tensors()
    for loss in (m.DiceLoss(**COMMON), m.CrossEntropyLoss(**COMMON)):
        expected = both(loss, given["input"], given["label"], given["mask"])
        wrapped = m.TargetChannels(loss, {"mask": 1})
        found = both(wrapped, given["input"], joined(given, "mask"))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert not torch.equal(found[0], loss(given["input"], given["label"]))


def test_mask_and_maps_in_the_order_of_the_names() -> None:
    """Terms of a compound each take what they read."""
    given = tensors()
    loss = m.CompoundLoss([m.BoundaryLoss(**COMMON), m.DistanceMapCrossEntropyLoss(**COMMON)])
    names = ("penalty", "mask", "signed_distance")
    wrapped = m.TargetChannels(loss, {name: given[name].shape[1] for name in names})
    maps = {"penalty": given["penalty"][:, 0], "signed_distance": given["signed_distance"]}
    expected = both(loss, given["input"], given["label"], given["mask"], maps=maps)
    torch.testing.assert_close(both(wrapped, given["input"], joined(given, *names)), expected)
    torch.testing.assert_close(
        wrapped(given["input"], joined(given, "penalty", "mask", "signed_distance")),
        m.TargetChannels(loss, {"mask": 1, "penalty": 1, "signed_distance": 3})(
            given["input"], joined(given, "mask", "penalty", "signed_distance")
        ),
    )


def test_one_hot_labels_and_a_lone_channel() -> None:
    given = tensors()
    one_hot = torch.nn.functional.one_hot(given["label"][:, 0].long(), CLASSES).movedim(-1, 1)
    target = torch.cat([one_hot, given["mask"]], 1)
    loss = m.DiceLoss(softmax=True)
    torch.testing.assert_close(
        m.TargetChannels(loss, {"mask": 1})(given["input"], target),
        loss(given["input"], one_hot, given["mask"]),
    )
    lone, foreground = given["input"][:, :1], (given["label"] > 0).float()
    loss = m.BoundaryLoss(sigmoid=True)
    signed = given["signed_distance"][:, :1]
    torch.testing.assert_close(
        m.TargetChannels(loss, {"signed_distance": 1})(lone, torch.cat([foreground, signed], 1)),
        loss(lone, foreground, maps={"signed_distance": signed}),
    )


def test_what_is_masked_may_hold_anything() -> None:
    given = tensors()
    names = ("mask", "signed_distance")
    wrapped = m.TargetChannels(m.BoundaryLoss(**COMMON), {"mask": 1, "signed_distance": 3})
    expected = both(wrapped, given["input"], joined(given, *names))
    nothing = given["mask"] == 0
    assert nothing.any()
    given["signed_distance"] = torch.where(nothing, torch.nan, given["signed_distance"])
    torch.testing.assert_close(both(wrapped, given["input"], joined(given, *names)), expected)


def test_deep_supervision() -> None:
    """Half the size has half the weight; each channel is resized, and keeps its unit."""
    given = tensors()
    loss = m.TargetChannels(m.BoundaryLoss(**COMMON), {"mask": 1, "signed_distance": 3})
    target = joined(given, "mask", "signed_distance")
    small = torch.nn.functional.interpolate(target, (3, 3, 2), mode="nearest-exact")
    lower = given["input"][:, :, :3, :3, :2]
    deep = DeepSupervisionLoss(loss, weights=[1.0, 0.5])
    expected = loss(given["input"], target) + 0.5 * loss(lower, small)
    torch.testing.assert_close(deep([given["input"], lower], MetaTensor(target)), expected)


def test_inside_split_channels() -> None:
    """The prediction brings an embedding, the target objects and weights."""
    given, embedding = tensors(), torch.randn(2, 2, *SIZE)
    kernel = {"type": "KernelSegments", "frequencies": 16, "seed": 0}
    loss = m.PartitionLoss(kernel, include_background=False, **COMMON)
    inner = m.TargetChannels(loss, {"instances": 1, "mask": 1})
    outer = m.SplitChannels(inner, CLASSES)
    z = torch.cat([given["input"], embedding], 1)
    expected = loss(
        given["input"],
        given["label"],
        given["mask"],
        maps={"instances": given["instances"][:, 0].long()},
        features=embedding,
    )
    torch.testing.assert_close(outer(z, joined(given, "instances", "mask")), expected)
    small = torch.nn.functional.interpolate
    target = joined(given, "instances", "mask")
    deep = DeepSupervisionLoss(outer, weights=[1.0, 0.5])
    half = (3, 3, 2)
    torch.testing.assert_close(
        deep([z, z[:, :, :3, :3, :2]], target),
        expected + 0.5 * outer(z[:, :, :3, :3, :2], small(target, half, mode="nearest-exact")),
    )
    alone = m.SplitChannels(m.TargetChannels(loss, {"instances": 1}), CLASSES)
    torch.testing.assert_close(alone(z, joined(given, "instances"), given["mask"]), expected)
    with pytest.raises(ValueError, match="SplitChannels and DeepSupervisionLoss go around"):
        m.TargetChannels(m.SplitChannels(loss, CLASSES), {"mask": 1})


@pytest.mark.parametrize(
    ("loss", "given", "message"),
    [
        (StockDice(), {"mask": 1}, "loss must be a loss of metriseg_monai, got DiceLoss"),
        (m.DiceLoss(**COMMON), {}, "channels must map the names"),
        (m.DiceLoss(**COMMON), ["mask"], "channels must map the names"),
        (m.DiceLoss(**COMMON), {"masks": 1}, "no 'masks': did you mean 'mask'"),
        (m.BoundaryLoss(**COMMON), {"signed_distances": 3}, "did you mean 'signed_distance'"),
        (m.BoundaryLoss(**COMMON), {"region": 3}, "no map 'region' .it reads signed_distance"),
        (m.DiceLoss(**COMMON), {"penalty": 1}, "no map 'penalty' .it reads none"),
        (m.DiceLoss(**COMMON), {"mask": 0}, r"channels\['mask'\] must be a whole number >= 1"),
        (m.DistanceMapCrossEntropyLoss(**COMMON), {"penalty": 3}, r"channels\['penalty'\] must be"),
    ],
)
def test_what_can_not_be_built(loss: nn.Module, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.TargetChannels(loss, given)


def test_what_does_not_fit() -> None:
    given = tensors()
    z, target = given["input"], joined(given, "signed_distance")
    loss = m.TargetChannels(m.BoundaryLoss(**COMMON), {"signed_distance": 3})
    layout = r"target must have 4 channels \(1 labels \+ 3 signed_distance\), got shape"
    for wrong in (target[:, :3], given["label"], target[:, 0], torch.cat([target, target], 1)):
        with pytest.raises(ValueError, match=layout):
            loss(z, wrong)
    short = m.TargetChannels(m.BoundaryLoss(**COMMON), {"signed_distance": 2})
    with pytest.raises(ValueError, match=r"maps\['signed_distance'\] must have shape"):
        short(z, target[:, :3])
    masked = m.TargetChannels(m.DiceLoss(**COMMON), {"mask": 1})
    with pytest.raises(ValueError, match="mask: the target has a channel 'mask' already"):
        masked(z, joined(given, "mask"), given["mask"])
    given["instances"] += 0.5
    objects = m.TargetChannels(READERS["instances"](), {"instances": 1})
    with pytest.raises(ValueError, match="'instances' must hold whole numbers"):
        objects(z, joined(given, "instances"))
    with pytest.raises(ValueError, match="input must have shape"):
        masked(z[0, 0, 0], target)


def test_it_is_configured_copied_and_pickled() -> None:
    config = {
        "_target_": "metriseg_monai.TargetChannels",
        "channels": {"signed_distance": 3},
        "loss": {"_target_": "metriseg_monai.BoundaryLoss", **COMMON},
    }
    loss = ConfigParser({"loss": config}).get_parsed_content("loss")
    given = tensors()
    target = joined(given, "signed_distance")
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert copied(given["input"], target) == loss(given["input"], target)
    assert "channels={'signed_distance': 3}" in repr(loss)


# ---------------------------------------------------------------------- the trainer's side


def batch() -> dict[str, Tensor]:
    given = tensors()
    return {
        "image": given["input"],
        "label": given["label"].to(torch.uint8),
        "label_mask": given["mask"],
        "label_signed_distance": given["signed_distance"],
        "name": ["a", "b"],
    }


def test_the_batch_is_joined() -> None:
    """Whatever the dtypes; where it goes and how is MONAI's to say."""
    prepare = m.PrepareBatch(["label", "label_signed_distance", "label_mask"])
    made = batch()
    image, target = prepare(made, "cpu", True)
    assert image is made["image"]
    expected = torch.cat([made["label"], made["label_signed_distance"], made["label_mask"]], 1)
    assert torch.equal(target, expected)
    assert target.dtype == torch.float32
    image, target = prepare(made, device="meta", non_blocking=False)
    assert image.device.type == target.device.type == "meta"
    assert prepare(made, dtype=torch.float64)[1].dtype == torch.float64


@pytest.mark.parametrize("given", [batch(), {"image": torch.ones(1)}, torch.ones(2), [1, 2]])
def test_labels_alone_are_the_default(given: Any) -> None:
    """Also of a batch without a label, or that is no dictionary."""
    for prepare in (m.PrepareBatch(), m.PrepareBatch(["label"]), m.PrepareBatch("label")):
        try:
            expected = default_prepare_batch(given, "cpu")
        except AttributeError as problem:
            with pytest.raises(AttributeError, match=str(problem)):
                prepare(given, "cpu")
        else:
            found = prepare(given, "cpu")
            assert all(a is b for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("keys", "given", "message"),
    [
        ([], batch(), "keys must name an entry"),
        (["label", "label_region"], batch(), "the batch has no 'label_region', only image, label,"),
        (["label", "weight"], [1, 2], "the batch must be a dictionary, got list"),
        (
            ["label", "label_mask"],
            {**batch(), "label_mask": torch.ones(2, 1, 3, 3, 3)},
            "keys: the entries must differ in their channels alone",
        ),
    ],
)
def test_batches_that_can_not_be_joined(keys: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.PrepareBatch(keys)(given)


def test_the_keys_of_a_loss() -> None:
    """As the transforms write them; also of a loss within others."""
    inner = m.TargetChannels(m.BoundaryLoss(**COMMON), {"signed_distance": 3, "mask": 1})
    expected = ["label", "label_signed_distance", "label_mask"]
    assert m.target_keys(DeepSupervisionLoss(inner)) == expected
    assert m.target_keys(m.DiceLoss(**COMMON)) == ["label"]
    assert m.target_keys(StockDice(), "seg") == ["seg"]
    with pytest.raises(ValueError, match=r"loss must be a torch\.nn\.Module, got str"):
        m.target_keys("dice")


@pytest.mark.training
@pytest.mark.parametrize("joined_by", ["ConcatItemsd", "PrepareBatch"])
def test_a_trainer_of_monai_uses_the_maps_of_the_loader(joined_by: str) -> None:
    """Without a learning rate, its loss is that of the same tensors without the wrapper.

    ``CompoundLossHandler`` finds the compound in the wrapper and counts its iterations.
    """
    torch.manual_seed(0)
    compound = m.CompoundLoss(
        [m.DiceLoss(**COMMON), m.BoundaryLoss(**COMMON)],
        weights=[1.0, {"schedule": "linear", "start": 0.5, "end": 1.0, "steps": 1}],
    )
    loss = m.TargetChannels(compound, {"signed_distance": CLASSES})
    keys = m.target_keys(loss)
    maps = m.SignedDistanceMapd("label", CLASSES, spacing=(1.0, 2.0, 1.0))
    transform = Compose([maps])
    if joined_by == "ConcatItemsd":
        transform = Compose([maps, ConcatItemsd(keys, "label")])
        keys = ["label"]
    given = tensors()
    items = [{"image": given["mask"][i], "label": given["label"][i]} for i in range(2)]
    network = nn.Conv3d(1, CLASSES, 3, padding=1)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=DataLoader(Dataset(items, transform), batch_size=2),
        prepare_batch=m.PrepareBatch(keys),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=loss,
        train_handlers=[CompoundLossHandler(loss)],
    )
    trainer.run()
    image = torch.stack([item["image"] for item in items])
    label = torch.stack([item["label"] for item in items])
    with torch.no_grad():
        output = network(image)
        boundary = m.BoundaryLoss(spacing=(1.0, 2.0, 1.0), **COMMON)(output, label)
        dice = m.DiceLoss(**COMMON)(output, label)
    assert compound.step == 1
    assert trainer.state.output[0]["loss"] == pytest.approx(float(dice + boundary), abs=1e-6)
    assert trainer.state.metrics["loss_boundary"] == pytest.approx(float(boundary), abs=1e-6)
