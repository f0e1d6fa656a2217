"""A mask with classes: which of them are annotated, and where."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as nnf

pytest.importorskip("monai")

from monai.data import MetaTensor

import metriseg
import metriseg_monai as m

NAMES = ("DiceLoss", "JaccardLoss", "CrossEntropyLoss", "TopKLoss", "MimeLoss")


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    labels = torch.randint(4, (2, 1, 6, 5), generator=generator)
    mask = (torch.rand(2, 4, 6, 5, generator=generator) > 0.3).float()
    mask[0, 1] = 0.0
    return logits, labels, mask


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_core(name: str, softmax: bool) -> None:
    """Class indices, one-hot targets and metadata; voxels that are ignored besides."""
    logits, labels, mask = batch()
    words = {"softmax": True} if softmax else {"sigmoid": True}
    core = getattr(metriseg, name)(activation="softmax" if softmax else "sigmoid")
    loss = getattr(m, name)(to_onehot_y=True, **words)
    expected = core(logits, labels[:, 0], weight=mask)
    torch.testing.assert_close(loss(logits, MetaTensor(labels.float()), MetaTensor(mask)), expected)
    one_hot = nnf.one_hot(labels[:, 0], 4).movedim(-1, 1).float()
    dense = getattr(m, name)(**words)
    torch.testing.assert_close(dense(logits, one_hot, mask), expected)
    whole = mask[:, :, 0, 0]
    torch.testing.assert_close(
        loss(logits, labels, whole), core(logits, labels[:, 0], weight=whole)
    )
    ignoring = getattr(m, name)(to_onehot_y=True, ignore_index=2, **words)
    without = mask * (labels != 2)
    torch.testing.assert_close(
        ignoring(logits, labels, mask), core(logits, labels[:, 0], weight=without)
    )


def test_probabilities() -> None:
    """What isn't annotated of a network that ends in probabilities may hold anything."""
    logits, labels, mask = batch()
    hidden = (mask == 0).all(1, keepdim=True)
    hidden[1, :, 0] = True
    mask = torch.where(hidden, 0.0, mask)
    p = torch.where(hidden, math.nan, logits.softmax(1))
    found = m.DiceLoss(to_onehot_y=True)(p, labels, mask)
    expected = m.DiceLoss(softmax=True, to_onehot_y=True)(logits, labels, mask)
    torch.testing.assert_close(found, expected)


def test_within_other_losses() -> None:
    """In sums, at several resolutions and at points."""
    logits, labels, mask = batch()
    words = {"softmax": True, "to_onehot_y": True}
    compound = m.CompoundLoss([m.DiceLoss(**words), m.CrossEntropyLoss(**words)])
    apart = sum(term(logits, labels, mask) for term in compound.terms)
    torch.testing.assert_close(compound(logits, labels, mask), apart)
    deep = m.DeepSupervisionLoss(compound, weights=[1.0])
    torch.testing.assert_close(deep([logits], labels, mask), apart)
    assert torch.isfinite(m.PointLoss(compound, 9)(logits, labels, mask))


def test_what_is_refused() -> None:
    logits, labels, mask = batch()
    with pytest.raises(ValueError, match=r"mask must have shape .* of classes"):
        m.DiceLoss(softmax=True, to_onehot_y=True)(logits, labels, mask[:, :3])
    with pytest.raises(ValueError, match="BoundaryLoss has no meaning without"):
        m.BoundaryLoss(softmax=True, to_onehot_y=True)(logits, labels, mask)
