"""MONAI's deep supervision, with what its own can't take."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as nnf

pytest.importorskip("monai")

from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.losses import DeepSupervisionLoss as Stock
from monai.networks.nets import SegResNetDS

import metriseg_monai as m

SIZES = [(32, 16), (16, 8), (8, 4), (4, 2), (2, 1), (1, 1)]


def outputs(levels: int = 3, classes: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, classes, *size, generator=generator) for size in SIZES[:levels]]


def indices(classes: int = 3) -> torch.Tensor:
    return torch.randint(classes, (2, 1, *SIZES[0]), generator=torch.Generator().manual_seed(1))


LOSSES = [
    m.DiceLoss(softmax=True, to_onehot_y=True),
    m.DiceCELoss(softmax=True, to_onehot_y=True),
    m.FocalLoss(to_onehot_y=True, use_softmax=True),
]


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"weight_mode": "same"},
        {"weight_mode": "two"},
        {"weights": [0.7, 0.2, 0.1, 1.0, 1.0, 1.0, 3.0]},
    ],
)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("levels", [1, 3, 6])
def test_equals_the_stock_loss(loss: torch.nn.Module, words: dict, levels: int) -> None:
    """Every mode, down to the floor of 1/16 at the sixth level."""
    target = indices()
    found = m.DeepSupervisionLoss(loss, **words)(outputs(levels), target)
    torch.testing.assert_close(found, Stock(loss, **words)(outputs(levels), target.float()))
    one_hot = nnf.one_hot(target[:, 0], 3).movedim(-1, 1)
    plain = m.DiceLoss(softmax=True)
    torch.testing.assert_close(
        m.DeepSupervisionLoss(plain, **words)(outputs(levels), one_hot),
        Stock(plain, **words)(outputs(levels), one_hot.float()),
    )


def test_a_lone_tensor_and_metadata() -> None:
    loss, (output, *_), target = LOSSES[0], outputs(), indices()
    deep = m.DeepSupervisionLoss(loss, weights=[0.5, 0.5, 0.5])
    assert torch.equal(deep(output, target), loss(output, target))
    found = deep([MetaTensor(one) for one in outputs()], MetaTensor(target.float()))
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, deep(outputs(), target))


def test_masks_and_lists() -> None:
    """A mask by its nearest voxels; a list of targets, as of nnU-Net's loader."""
    loss, levels, target = LOSSES[0], outputs(), indices()
    mask = (torch.rand(2, 1, *SIZES[0], generator=torch.Generator().manual_seed(2)) > 0.3).float()
    deep = m.DeepSupervisionLoss(loss, weight_mode="same")
    masks = [nnf.interpolate(mask, one.shape[2:], mode="nearest-exact") for one in levels]
    targets = [
        nnf.interpolate(target.float(), one.shape[2:], mode="nearest-exact") for one in levels
    ]
    expected = sum(loss(*one) for one in zip(levels, targets, masks, strict=True))
    torch.testing.assert_close(deep(levels, target, mask), expected)
    torch.testing.assert_close(deep(levels, targets, masks), expected)
    torch.testing.assert_close(deep(levels, target, mask[:, 0]), expected)


def test_means_of_areas() -> None:
    """Of one-hot targets become the shares of each class."""
    loss = m.CrossEntropyLoss(softmax=True)
    one_hot = nnf.one_hot(indices()[:, 0], 3).movedim(-1, 1).float()
    levels = outputs()
    expected = sum(
        loss(level, nnf.interpolate(one_hot, level.shape[2:], mode="area")) for level in levels
    )
    deep = m.DeepSupervisionLoss(loss, "same", interp_mode="area")
    torch.testing.assert_close(deep(levels, one_hot), expected)
    whole = deep(levels, one_hot, torch.ones(1, 1, *SIZES[0]))
    torch.testing.assert_close(whole, expected)
    with pytest.raises(ValueError, match="class indices have no mean"):
        m.DeepSupervisionLoss(LOSSES[0], interp_mode="area")(levels, indices())


def test_around_channels_of_the_target() -> None:
    """What stands in channels behind the labels goes along with them."""
    inner = m.TargetChannels(m.CrossEntropyLoss(softmax=True, to_onehot_y=True), {"mask": 1})
    mask = (torch.rand(2, 1, *SIZES[0], generator=torch.Generator().manual_seed(2)) > 0.3).float()
    joined = torch.cat([indices().float(), mask], 1)
    torch.testing.assert_close(
        m.DeepSupervisionLoss(inner)(outputs(), joined), Stock(inner)(outputs(), joined)
    )


def test_from_a_config_with_a_network() -> None:
    """SegResNetDS gives the list; the dictionary is all that is written."""
    config = {
        "loss": {
            "_target_": "metriseg_monai.DeepSupervisionLoss",
            "loss": {
                "_target_": "metriseg_monai.DiceCELoss",
                "softmax": True,
                "to_onehot_y": True,
            },
            "weight_mode": "two",
        }
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    torch.manual_seed(0)
    network = SegResNetDS(
        spatial_dims=2,
        init_filters=8,
        in_channels=1,
        out_channels=3,
        blocks_down=(1, 1, 1),
        dsdepth=2,
    )
    levels = network(torch.rand(2, 1, 32, 16))
    assert len(levels) == 2
    loss(levels, indices()).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_what_is_refused() -> None:
    levels, target = outputs(), indices()
    with pytest.raises(ValueError, match="loss must be a loss of metriseg_monai"):
        m.DeepSupervisionLoss(torch.nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="weight_mode must be one of"):
        m.DeepSupervisionLoss(LOSSES[0], weight_mode="halving")
    with pytest.raises(ValueError, match="weights must have a number for each of the 3 levels"):
        m.DeepSupervisionLoss(LOSSES[0], weights=[1.0])(levels, target)
    with pytest.raises(ValueError, match="target must have shape"):
        m.DeepSupervisionLoss(LOSSES[0])(levels, target[:, 0])
