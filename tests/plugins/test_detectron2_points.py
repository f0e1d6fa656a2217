"""Points are laid and read as Detectron2's PointRend lays and reads them."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("detectron2")
pytest.importorskip("cv2", reason="Detectron2's PointRend imports OpenCV")

from detectron2.projects.point_rend.point_features import (
    get_uncertain_point_coords_with_randomness,
    point_sample,
)
from detectron2.projects.point_rend.semantic_seg import calculate_uncertainty

from metriseg import functional as F


@pytest.mark.parametrize("classes", [1, 5])
@pytest.mark.parametrize(("number", "tries", "share"), [(30, 3.0, 0.75), (7, 1.5, 0.4), (9, 2, 1)])
def test_the_same_points(classes: int, number: int, tries: float, share: float) -> None:
    """From the same random numbers, for masks and for classes."""
    logits = torch.randn(3, classes, 9, 13, generator=torch.Generator().manual_seed(1))
    uncertainty = calculate_uncertainty if classes > 1 else lambda z: -z.abs()
    torch.manual_seed(5)
    expected = get_uncertain_point_coords_with_randomness(logits, uncertainty, number, tries, share)
    torch.manual_seed(5)
    assert torch.equal(F.uncertain_points(logits, number, tries, share), expected)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_the_same_values(mode: str) -> None:
    values = torch.randn(3, 4, 9, 13, generator=torch.Generator().manual_seed(1))
    points = torch.rand(3, 500, 2, generator=torch.Generator().manual_seed(2))
    theirs = {"linear": "bilinear"}.get(mode, mode)
    expected = point_sample(values, points, mode=theirs, align_corners=False)
    assert torch.equal(F.sample_points(values, points, mode), expected)
