"""Weights of classes in MMSegmentation: a channel a class in ``gt_pixel_weight``."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("mmseg")

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import metriseg
import metriseg_mmseg
from metriseg_mmseg.carried import carrying


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    labels = torch.randint(4, (2, 6, 5), generator=generator)
    labels[:, 0] = 255
    weight = (torch.rand(2, 4, 6, 5, generator=generator) > 0.3).float()
    weight[0, 1] = 0.0
    return logits, labels, weight


def samples(weight: torch.Tensor) -> list[SegDataSample]:
    found = []
    for one in weight:
        sample = SegDataSample()
        sample.set_data({"gt_pixel_weight": PixelData(data=one)})
        found.append(sample)
    return found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DiceLoss", {"per_image": False, "classes": "present"}),
        ("CrossEntropyLoss", {"normalize": "weights"}),
        ("FocalLoss", {}),
    ],
)
@pytest.mark.parametrize("use_sigmoid", [True, False])
def test_equals_the_core(name: str, words: dict, use_sigmoid: bool) -> None:
    """Given by the head's caller, or carried from the pipeline beside a sampler's weight."""
    logits, labels, weight = batch()
    activation = "sigmoid" if use_sigmoid else "softmax"
    core = getattr(metriseg, name)(activation=activation, ignore_index=255, **words)
    loss = getattr(metriseg_mmseg, name)(use_sigmoid=use_sigmoid)
    expected = core(logits, labels, weight=weight)
    torch.testing.assert_close(loss(logits, labels, weight, ignore_index=255), expected)
    whole = weight[:, :, 0, 0]
    torch.testing.assert_close(
        loss(logits, labels, whole, ignore_index=255), core(logits, labels, weight=whole)
    )
    with carrying(samples(weight)):
        torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)
        sampled = (torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(3)) > 0.5).float()
        both = core(logits, labels, weight=weight * sampled.unsqueeze(1))
        torch.testing.assert_close(loss(logits, labels, sampled, ignore_index=255), both)


def test_another_number_of_channels_is_refused() -> None:
    logits, labels, weight = batch()
    loss = metriseg_mmseg.DiceLoss()
    with (
        carrying(samples(weight[:, :3])),
        pytest.raises(ValueError, match="gt_pixel_weight must have one channel, or one a class"),
    ):
        loss(logits, labels, ignore_index=255)
