"""Maps that the loader makes are those that the losses would make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")

from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import MapTransform

import metriseg_monai as m

CLASSES, IGNORED = 3, 9
MAKERS = {
    "signed_distance": (m.SignedDistanceMapd, m.BoundaryLoss, {}),
    "region": (m.RegionMapd, m.RegionWiseLoss, {}),
    "region of boundary": (m.RegionMapd, m.RegionWiseLoss, {"map": "boundary"}),
    "penalty": (m.DistancePenaltyMapd, m.DistanceMapCrossEntropyLoss, {}),
    "raw penalty": (m.DistancePenaltyMapd, m.DistanceMapCrossEntropyLoss, {"map": "raw"}),
    "target_distance": (m.TargetDistanceMapd, m.HausdorffDistanceTransformLoss, {}),
    "skeleton": (m.SkeletonMapd, m.SkeletonRecallLoss, {"tube": 0}),
}
#: Maps that the size of a voxel doesn't change.
UNMEASURED = ("skeleton",)
SIZES = {2: (7, 6), 3: (6, 5, 4)}
STEPS = {2: [0.5, 2.0], 3: [0.5, 2.0, 1.5]}


def labels(dimensions: int, classes: int = CLASSES) -> Tensor:
    """``(1, *S)`` floats, in blobs that touch, as loaders deliver them."""
    rough = torch.rand(SIZES[dimensions], generator=torch.Generator().manual_seed(5))
    return (rough * classes).floor()[None]


def prediction(dimensions: int, channels: int = CLASSES) -> Tensor:
    random = torch.Generator().manual_seed(6)
    return torch.randn(1, channels, *SIZES[dimensions], generator=random)


def made_by(maker: MapTransform, label: Any, **more: Any) -> tuple[str, Any]:
    """The new entry of an item, and its name without the label's."""
    item = {"label": label, **more}
    made = maker(item)
    (key,) = set(made) - set(item)
    assert key.startswith("label_")
    return key.removeprefix("label_"), made[key]


def value_and_gradient(loss: Any, z: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    value = loss(z, *given)
    return value.detach(), torch.autograd.grad(value, z)[0]


def assert_same(loss: Any, z: Tensor, target: Tensor, name: str, values: Tensor) -> None:
    """The loss with the map is the loss without it; another map gives another value."""
    wrapped = m.TargetChannels(loss, {name: values.shape[0]})
    joined = torch.cat([target, values], 0)[None]
    torch.testing.assert_close(
        value_and_gradient(wrapped, z, joined), value_and_gradient(loss, z, target[None])
    )
    other = torch.cat([target, 1 - values if name in UNMEASURED else 2 * values], 0)[None]
    assert not torch.allclose(wrapped(z, other), loss(z, target[None]))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("steps", [False, True], ids=["voxels", "spacing"])
@pytest.mark.parametrize("ignored", [False, True], ids=["all", "ignored"])
@pytest.mark.parametrize("which", MAKERS)
def test_the_map_is_that_of_the_loss(
    which: str, ignored: bool, steps: bool, dimensions: int
) -> None:
    maker, loss, words = MAKERS[which]
    common = {
        **words,
        **({"spacing": STEPS[dimensions]} if steps and which not in UNMEASURED else {}),
    }
    label = labels(dimensions)
    if ignored:
        label[0, 1:3, 2:] = IGNORED
    ignore_index = IGNORED if ignored else None
    name, values = made_by(maker("label", CLASSES, ignore_index=ignore_index, **common), label)
    assert name == which.split()[-1 if which.startswith("raw") else 0]
    assert values.dtype == torch.float32
    assert tuple(values.shape) == (1 if name == "penalty" else CLASSES, *SIZES[dimensions])
    ours = loss(softmax=True, to_onehot_y=True, ignore_index=ignore_index, **common)
    assert_same(ours, prediction(dimensions), label, name, values)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("ignored", [False, True], ids=["all", "ignored"])
@pytest.mark.parametrize("which", MAKERS)
def test_one_class(which: str, ignored: bool, dimensions: int) -> None:
    maker, loss, words = MAKERS[which]
    mask = labels(dimensions, 2)
    if ignored:
        mask[0, 1:3, 2:] = IGNORED
    ignore_index = IGNORED if ignored else None
    name, values = made_by(maker("label", 1, ignore_index=ignore_index, **words), mask)
    assert tuple(values.shape) == (1, *SIZES[dimensions])
    ours = loss(sigmoid=True, ignore_index=ignore_index, **words)
    assert_same(ours, prediction(dimensions, 1), mask, name, values)


@pytest.mark.parametrize("which", MAKERS)
def test_one_hot_labels_and_other_dtypes(which: str) -> None:
    maker, _, words = MAKERS[which]
    label = labels(3)
    name, expected = made_by(maker("label", CLASSES, **words), label)
    one_hot = torch.nn.functional.one_hot(label[0].long(), CLASSES).movedim(-1, 0)
    others = [label.to(torch.uint8), label.long(), one_hot.to(torch.uint8), one_hot.float()]
    for other in others:
        assert torch.equal(made_by(maker("label", CLASSES, **words), other)[1], expected)
    array = made_by(maker("label", CLASSES, **words), label.numpy())[1]
    assert isinstance(array, np.ndarray)
    assert np.array_equal(array, expected.numpy())
    assert name in ("signed_distance", "region", "penalty", "target_distance", *UNMEASURED)


@pytest.mark.parametrize("which", MAKERS)
def test_a_mask_says_what_does_not_count(which: str) -> None:
    """As ``ignore_index`` does; the sizes of weights are of no account."""
    maker, _, words = MAKERS[which]
    label = labels(3)
    mask = torch.full_like(label, 0.5)
    mask[0, 1:3, 2:] = 0
    ignored = torch.where(mask > 0, label, IGNORED)
    _, expected = made_by(maker("label", CLASSES, ignore_index=IGNORED, **words), ignored)
    _, values = made_by(maker("label", CLASSES, mask_key="mask", **words), label, mask=mask)
    assert torch.equal(values, expected)
    assert not torch.equal(values, made_by(maker("label", CLASSES, **words), label)[1])


def test_spacing_from_the_affine() -> None:
    """Sizes 0.5, 2 and 1.5 along the axes; a rotation by axes that swap changes none of them."""
    label = labels(3)
    affine = torch.diag(torch.tensor([0.5, -2.0, 1.5, 1.0], dtype=torch.float64))
    affine = affine[[1, 0, 2, 3]]
    loaded = MetaTensor(label, affine=affine, meta={"filename_or_obj": "a.nii.gz"})
    _, expected = made_by(m.SignedDistanceMapd("label", CLASSES, spacing=STEPS[3]), label)
    _, values = made_by(m.SignedDistanceMapd("label", CLASSES, spacing="affine"), loaded)
    assert isinstance(values, MetaTensor)
    assert values.meta["filename_or_obj"] == "a.nii.gz"
    assert torch.equal(values.affine, affine)
    values.meta["filename_or_obj"] = "b.nii.gz"
    assert loaded.meta["filename_or_obj"] == "a.nii.gz"
    assert torch.equal(values.as_tensor(), expected)
    flat = MetaTensor(labels(2), affine=torch.diag(torch.tensor([0.5, 2.0, 1.0])))
    _, expected = made_by(m.SignedDistanceMapd("label", CLASSES, spacing=STEPS[2]), labels(2))
    _, values = made_by(m.SignedDistanceMapd("label", CLASSES, spacing="affine"), flat)
    assert torch.equal(values.as_tensor(), expected)


@pytest.mark.parametrize(
    ("words", "item", "message"),
    [
        ({"num_classes": 0}, {}, "num_classes must be a whole number >= 1"),
        ({"spacing": "voxels"}, {}, "spacing must be one of 'affine'"),
        ({"spacing": [1.0, 0.0]}, {}, "spacing must be a finite number"),
        ({"spacing": [1.0]}, {}, "label: spacing must have a number for each of the 2"),
        ({"spacing": "affine"}, {}, "label: spacing='affine' needs a MetaTensor"),
        ({}, {"label": torch.zeros(2, 4, 4)}, r"label: must have shape \(1, \*S\), or \(C, \*S\)"),
        ({}, {"label": torch.full((1, 4, 4), 3.0)}, "label: target must hold labels in 0 … 2"),
        ({}, {"label": torch.full((1, 4, 4), 0.5)}, "label: target must hold class indices"),
        ({"mask_key": "mask"}, {}, "label: mask_key: the item has no 'mask'"),
        ({"mask_key": "mask"}, {"mask": torch.zeros(1, 2, 2)}, "label: mask must have shape"),
    ],
)
def test_what_does_not_fit(words: dict[str, Any], item: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        m.SignedDistanceMapd("label", **{"num_classes": CLASSES, **words})(
            {"label": torch.zeros(1, 4, 4), **item}
        )


def test_missing_keys_and_several_keys() -> None:
    item = {"label": labels(2), "organ": labels(2, 2)}
    with pytest.raises(KeyError, match="lesion"):
        m.RegionMapd(["label", "lesion"], CLASSES)(item)
    made = m.RegionMapd(["label", "lesion", "organ"], CLASSES, allow_missing_keys=True)(item)
    assert set(made) == {"label", "organ", "label_region", "organ_region"}


@pytest.mark.parametrize("maker", dict.fromkeys(maker for maker, _, _ in MAKERS.values()))
def test_a_bundle_names_them(maker: type) -> None:
    config = {
        "_target_": f"metriseg_monai.{maker.__name__}",
        "keys": "label",
        "num_classes": CLASSES,
    }
    if maker is not m.SkeletonMapd:
        config["spacing"] = "affine"
    made = ConfigParser({"transform": config}).get_parsed_content("transform")
    assert type(made) is maker
    with pytest.raises(ValueError, match="map must be one of"):
        m.RegionMapd("label", CLASSES, map="normalized")
