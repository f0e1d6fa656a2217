"""Losses of points in MONAI."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as nnf

pytest.importorskip("monai")

from monai.bundle import ConfigParser
from monai.data import MetaTensor

import metriseg
import metriseg_monai as m


def test_from_a_config() -> None:
    """Volumes, class indices as floats, metadata; in a compound loss and deep supervision too."""
    config = {
        "loss": {
            "_target_": "metriseg_monai.DeepSupervisionLoss",
            "loss": {
                "_target_": "metriseg_monai.PointLoss",
                "num_points": 40,
                "loss": {
                    "_target_": "metriseg_monai.DiceCELoss",
                    "softmax": True,
                    "to_onehot_y": True,
                },
            },
        }
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    levels = [torch.randn(2, 3, 8, 8, 8, requires_grad=True), torch.randn(2, 3, 4, 4, 4)]
    target = MetaTensor(torch.randint(3, (2, 1, 8, 8, 8)).float())
    value = loss(levels, target, torch.ones(1, 1, 8, 8, 8))
    value.backward()
    assert type(value) is torch.Tensor
    assert levels[0].grad.abs().sum() > 0


def test_equals_the_core() -> None:
    """From the same random numbers, with a mask that holds NaN out."""
    z = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (2, 6, 5), generator=torch.Generator().manual_seed(1))
    mask = (torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(2)) > 0.4).float()
    z = torch.where(mask.unsqueeze(1) > 0, z, math.nan)
    torch.manual_seed(3)
    expected = metriseg.PointLoss(metriseg.DiceLoss(), 30)(z, labels, weight=mask)
    loss = m.PointLoss(m.DiceLoss(softmax=True, to_onehot_y=True), 30)
    for given in (mask, mask.unsqueeze(1)):
        torch.manual_seed(3)
        torch.testing.assert_close(loss(z, labels.unsqueeze(1).float(), given), expected)


def test_one_hot_targets_are_interpolated() -> None:
    """They become soft between pixels, for a loss that takes that; a Lovász loss gets labels."""
    z = torch.zeros(1, 2, 4, 4)
    one_hot = nnf.one_hot(torch.eye(4, dtype=torch.int64)[None], 2).movedim(-1, 1).float()
    dice = m.PointLoss(m.CrossEntropyLoss(softmax=True), 50)(z, one_hot)
    assert dice.item() == pytest.approx(math.log(2), abs=1e-6)
    assert torch.isfinite(m.PointLoss(m.LovaszSoftmaxLoss(softmax=True), 50)(z, one_hot))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="BoundaryLoss looks at the neighbours"):
        m.PointLoss(m.BoundaryLoss(softmax=True), 10)
    with pytest.raises(ValueError, match="loss must be a loss of metriseg_monai"):
        m.PointLoss(metriseg.DiceLoss(), 10)
