"""What is particular to the active boundary loss."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import functional as F
from reference import active_boundary as naive
from reference.batches import IGNORE, random_labels, random_logits

RECORD = next(
    record
    for record in json.loads(
        (Path(__file__).parents[1] / "reference" / "examples.json").read_text()
    )
    if record["id"] == "abl"
)


def corner(shape: tuple[int, int, int]) -> torch.Tensor:
    """Three regions, wide enough that pixels stand away from their boundaries."""
    labels = torch.zeros(shape, dtype=torch.int64)
    labels[..., shape[2] // 2 :] = 1
    labels[:, 3 * shape[1] // 4 :] = 2
    return labels


def recorded(name: str) -> torch.Tensor:
    return torch.tensor(RECORD["maps"][name], dtype=torch.float64)


def test_the_steps_of_the_record() -> None:
    """KL map, boundaries and distances, each by itself."""
    log_p = torch.tensor(RECORD["logits"], dtype=torch.float64)[None].log_softmax(1)
    labels = torch.tensor(RECORD["target"])[None]
    torch.testing.assert_close(F.divergence(log_p)[0], recorded("kl"))
    predicted = F.predicted_boundary(log_p, share=0.2)
    assert torch.equal(predicted[0], recorded("pred_boundary") > 0)
    assert torch.equal(F.label_changes(labels)[0], recorded("gt_boundary") > 0)
    torch.testing.assert_close(F.boundary_distance(labels)[0], recorded("distance"))
    # (0, 2) and (1, 2) go left, all others down: they stand on the boundary, or tie with it
    direction = F.nearest_direction(F.boundary_distance(labels))
    assert direction[0].tolist() == [[0, 0, 2], [1, 1, 2]]


def test_the_first_of_several_directions() -> None:
    """Down, up, left, right, up-right, down-right, up-left, down-left; to stay comes last."""
    order = [(1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1)]
    for one, other in itertools.combinations(range(8), 2):
        distance = torch.full((1, 3, 3), 5.0)
        for k in (one, other):
            distance[0, 1 + order[k][0], 1 + order[k][1]] = 2.0
        assert F.nearest_direction(distance)[0, 1, 1] == one
    assert F.nearest_direction(torch.ones(1, 3, 3))[0, 1, 1] == 0
    alone = torch.ones(1, 3, 3)
    alone[0, 1, 1] = 0.5
    assert F.nearest_direction(alone)[0, 1, 1] == 8


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.37, 0.5, 1.0])
@pytest.mark.parametrize("ignore", [0.0, 0.3])
@pytest.mark.parametrize("scale", [1e-3, 0.3, 2.0, 500.0])
def test_the_threshold_is_that_of_the_loop(share: float, ignore: float, scale: float) -> None:
    """Grown by a fifth until few enough pixels pass: found at once, with the same outcome."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(3, 3, 13, 11, generator=generator, dtype=torch.float64) * scale
    valid = torch.rand(3, 13, 11, generator=generator) >= ignore
    log_p = logits.log_softmax(1)
    found = F.predicted_boundary(log_p, share, valid)
    for n in range(3):
        counted = valid[n].numpy()
        core = naive.core(naive.change(log_p[n].numpy(), counted), counted, share)
        assert np.array_equal(found[n].numpy(), naive.grown(core, counted))


def test_an_uncertain_image_has_no_boundary() -> None:
    """Alike everywhere: nothing exceeds the first threshold, and the loss is 0, connected."""
    logits = torch.zeros(2, 3, 8, 8, requires_grad=True)
    value = metriseg.ActiveBoundaryLoss()(logits, random_labels(3)[:, :1, :1].expand(2, 8, 8))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_truth_without_boundary_costs_nothing() -> None:
    logits = random_logits(4)
    loss = metriseg.ActiveBoundaryLoss(boundary_share=0.3)
    assert loss(logits, torch.ones(2, 5, 4, dtype=torch.int64)).item() == 0.0


def test_each_image_has_a_threshold_of_its_own() -> None:
    """A batch's predicted boundaries are those of its images, one by one."""
    log_p = torch.cat([random_logits(4, scale=0.1), random_logits(4, seed=9, scale=9.0)])
    log_p = log_p.log_softmax(1)
    together = F.predicted_boundary(log_p, 0.1)
    alone = [F.predicted_boundary(log_p[n : n + 1], 0.1) for n in range(4)]
    assert torch.equal(together, torch.cat(alone))


POLICIES: list[dict[str, Any]] = [
    {},
    {"max_distance": 0.5},
    {"label_smoothing": 0.0},
    {"label_smoothing": 1.0, "reduction": "none"},
    {"class_weight": [0.5, 2.0, 0.0], "reduction": "sum"},
    {"include_background": False},
]


@pytest.mark.parametrize("arguments", POLICIES)
@pytest.mark.parametrize("share", [0.02, 0.2])
@pytest.mark.parametrize("ignore", [0.0, 0.25])
def test_larger_images(share: float, ignore: float, arguments: dict[str, Any]) -> None:
    """The loops over 2 x 12 x 10 pixels, weights and ignored pixels included."""
    generator = torch.Generator().manual_seed(3)
    shape = (2, 12, 10)
    logits = torch.randn(2, 3, 12, 10, generator=generator, dtype=torch.float64) * 2
    labels = corner(shape)
    labels[torch.rand(shape, generator=generator) < ignore] = IGNORE
    weight = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    loss = metriseg.ActiveBoundaryLoss(boundary_share=share, ignore_index=IGNORE, **arguments)
    value = loss(logits, labels, weight=weight)
    p = logits.softmax(1).numpy()
    hot = torch.nn.functional.one_hot(labels % IGNORE, 3).movedim(-1, 1).double().numpy()
    expected = naive.active_boundary(
        p,
        hot,
        torch.where(labels == IGNORE, 0.0, weight).numpy(),
        z=p,
        exclusive=True,
        boundary_share=share,
        **arguments,
    )
    assert share < 0.2 or value.abs().sum() > 0
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ignore", [0.0, 0.25])
def test_gradient_with_frozen_terms(ignore: float) -> None:
    """The boundary, the neighbours and the directions held constant, finite differences agree.

    The loss's own gradient is the one of the formula with these terms frozen.
    """
    generator = torch.Generator().manual_seed(4)
    shape = (2, 8, 6)
    logits = torch.randn(2, 3, 8, 6, generator=generator, dtype=torch.float64) * 2
    labels = corner(shape)
    labels[torch.rand(shape, generator=generator) < ignore] = IGNORE
    weight = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    valid = labels != IGNORE
    share = {"boundary_share": 0.3, "label_smoothing": 0.2}
    frozen = torch.where(valid[:, None], logits, 0.0).log_softmax(1)

    def formula(z: torch.Tensor) -> torch.Tensor:
        values, moving = F.active_boundary(
            torch.where(valid[:, None], z, 0.0).log_softmax(1),
            torch.where(valid, labels, 0),
            max_distance=20.0,
            valid=valid,
            frozen=frozen,
            **share,
        )
        return (values * weight).sum() / (moving * weight).sum()

    assert torch.autograd.gradcheck(formula, logits.clone().requires_grad_())
    loss = metriseg.ActiveBoundaryLoss(**share, ignore_index=IGNORE)
    slopes = []
    for function in (formula, lambda z: loss(z, labels, weight=weight)):
        leaf = logits.clone().requires_grad_()
        function(leaf).backward()
        slopes.append(leaf.grad)
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(*slopes)


def test_steps_down_the_gradient_move_the_boundary() -> None:
    """An edge two pixels from where it should be arrives there."""
    labels = torch.zeros(1, 9, 16, dtype=torch.int64)
    labels[..., 9:] = 1
    edge = torch.where(torch.arange(16) < 6, -3.0, 3.0).expand(1, 9, 16).double()
    logits = torch.stack([-edge, edge], 1).clone().requires_grad_()
    loss = metriseg.ActiveBoundaryLoss(boundary_share=0.07)
    before = loss(logits, labels).item()
    optimizer = torch.optim.SGD([logits], lr=20.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    assert before > 0
    assert loss(logits, labels).item() < before / 2


BAD: list[tuple[dict[str, Any], str]] = [
    ({"boundary_share": 0.0}, r"boundary_share must be a finite number in \(0, 1\]"),
    ({"boundary_share": 1.5}, r"boundary_share must be a finite number in \(0, 1\]"),
    ({"max_distance": 0.0}, r"max_distance must be a finite number in \(0, inf\]"),
    ({"label_smoothing": -0.1}, r"label_smoothing must be a finite number in \[0, 1\]"),
    ({"activation": "sigmoid"}, "activation must be one of 'softmax', 'identity'"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metriseg.ActiveBoundaryLoss(**arguments)
