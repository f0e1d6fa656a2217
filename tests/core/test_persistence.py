"""Persistence diagrams of images, and the losses that compare them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import TopologicalLoss, TopologyAwareFocalLoss
from metriseg import functional as F
from metriseg.losses import SegmentationLoss
from reference import cubical
from reference.batches import random_labels, random_logits

BOTH = pytest.mark.parametrize("kind", [TopologicalLoss, TopologyAwareFocalLoss])

RING = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0] * 5])


def shown(*rows: list[float]) -> torch.Tensor:
    """Probabilities ``(1, 1, *S)``."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


@pytest.mark.parametrize("shape", [(15,), (6, 7), (4, 5, 4)])
def test_diagrams_are_those_of_the_definition(shape: tuple[int, ...]) -> None:
    """Every point, of every dimension, as the reduced boundary matrix has it."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values[(1,) * len(shape)] = 0.0  # in volumes the only void
    found = F.persistence_diagram(values)
    expected = cubical.diagram(values.numpy())
    assert all(map(len, expected))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(sorted(ours.tolist()), sorted(theirs))


def test_pixels_of_birth_and_death() -> None:
    """A ring whose summit is its corner, which closes at its lowest pixel and fills at its middle.

    Of the component there is a birth alone.
    """
    ring = RING.double() * 0.8
    ring[1, 1], ring[1, 2], ring[2, 2] = 0.9, 0.6, 0.2
    components, holes = F.persistence_pairs(ring.numpy())
    assert components.tolist() == [[1 * 5 + 1, -1]]
    assert holes.tolist() == [[1 * 5 + 2, 2 * 5 + 2]]


def test_neighbours_are_diagonal_too() -> None:
    """Two pixels at a corner are one component, and a diamond of four has no way out."""
    corners, diamond = np.eye(2), np.array([[0, 1.0, 0], [1, 0, 1], [0, 1, 0]])
    assert [len(pairs) for pairs in F.persistence_pairs(corners)] == [1, 0]
    assert [len(pairs) for pairs in F.persistence_pairs(diamond)] == [1, 1]


def test_a_hole_is_closed() -> None:
    """Truth: a disc. Predicted: a ring of 0.8 around 0.2, on nothing.

    The component stands at (0.8, 0) and is taken to (1, 0), 0.2² = 0.04; the hole at (0.8, 0.2)
    has none to be matched with and goes to the diagonal, 0.6² / 2 = 0.18.
    """
    p = (RING * 0.8).double()
    p[2, 2] = 0.2
    target = RING.clone()
    target[2, 2] = 1
    loss = TopologicalLoss(activation="identity")
    leaf = p[None, None].requires_grad_()
    value = loss(leaf, target[None])
    assert value.item() == pytest.approx(0.22)
    (slope,) = torch.autograd.grad(value, leaf)
    # the middle is raised by the hole's death, -0.6, and nothing outside the ring moves
    assert slope[0, 0, 2, 2].item() == pytest.approx(-0.6)
    assert (slope[0, 0][RING == 0] != 0).sum() == 1
    components = TopologicalLoss(dimensions=[0], activation="identity")
    assert components(p[None, None], target[None]).item() == pytest.approx(0.04)


def test_a_ring_is_opened_up() -> None:
    """Truth: a ring. Predicted: its hole is nearly filled, (0.8, 0.7).

    To (1, 0) it would be 0.04 + 0.49 = 0.53, less than to leave both, 0.005 + 0.5: no gain, so that
    both are left; at (0.8, 0.3) it is 0.13 against 0.625.
    """
    loss = TopologicalLoss(dimensions=[1], activation="identity")
    for middle, expected in ((0.7, 0.505), (0.3, 0.13)):
        p = (RING * 0.8).double()
        p[2, 2] = middle
        assert loss(p[None, None], RING[None]).item() == pytest.approx(expected)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_the_matching_is_the_best(order: float) -> None:
    """Against the assignment of all points, whatever their number."""
    random = np.random.default_rng(2)
    for number in range(5):
        for points in (0, 1, 4, 7):
            diagram = np.sort(random.random((points, 2)), 1)[:, ::-1].copy()
            found = F.diagram_cost(torch.from_numpy(diagram).view(-1, 2), number, order)
            best = cubical.matching_cost([tuple(x) for x in diagram], [(1.0, 0.0)] * number, order)
            assert found.item() == pytest.approx(best)


@BOTH
def test_where_features_stand_does_not_matter(kind: type[SegmentationLoss]) -> None:
    """A hard prediction with as many features as the truth costs nothing, but for the pixels."""
    target = torch.zeros(1, 6, 8, dtype=torch.int64)
    target[0, :3, :3] = 1 - (torch.arange(9).view(3, 3) == 4).long()
    moved = target.roll(3, 2)[:, None].double()
    words = {} if kind is TopologicalLoss else {"topology_weight": 1.0}
    value = kind(activation="identity", **words)(moved, target)
    focal = metriseg.FocalLoss(activation="identity")(moved, target)
    assert value.item() == pytest.approx(0.0 if kind is TopologicalLoss else focal.item())
    # one more component: its point (1, 0) goes to the diagonal
    moved[0, 0, 5, 0] = 1
    more = kind(activation="identity", **words)(moved, target)
    focal = metriseg.FocalLoss(activation="identity")(moved, target)
    extra = 0.5 if kind is TopologicalLoss else focal.item() + 0.5**0.5
    assert more.item() == pytest.approx(extra)


def test_voids() -> None:
    """A hollow cube has a component and a void, no tunnel."""
    cube = np.ones((3, 3, 3))
    cube[1, 1, 1] = 0
    assert [len(pairs) for pairs in F.persistence_pairs(cube)] == [1, 0, 1]
    p = torch.from_numpy(cube)[None, None]
    full = torch.ones(1, 3, 3, 3, dtype=torch.int64)
    words = {"activation": "identity"}
    assert TopologicalLoss(**words)(p, full).item() == 0.5
    assert TopologicalLoss(dimensions=[0, 1], **words)(p, full).item() == 0.0


def test_short_lives_may_be_left_alone() -> None:
    """Of the summits 0.9, 0.5 and 0.15 between valleys of 0.1 only the first two are moved."""
    p = shown(0.9, 0.1, 0.5, 0.1, 0.15)
    target = torch.tensor([[1, 0, 0, 0, 0]])
    loss = TopologicalLoss(min_persistence=0.1, activation="identity")
    assert loss(p, target).item() == pytest.approx(0.01 + 0.4**2 / 2)
    everything = TopologicalLoss(activation="identity")
    assert everything(p, target).item() == pytest.approx(0.01 + 0.4**2 / 2 + 0.05**2 / 2)


def test_no_diagram_of_weight_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is the focal loss, and needs no package."""
    monkeypatch.setitem(sys.modules, "gudhi", None)
    logits, target = random_logits(3), random_labels(3)
    value = TopologyAwareFocalLoss(topology_weight=0.0, gamma=1.0)(logits, target)
    torch.testing.assert_close(value, metriseg.FocalLoss(gamma=1.0)(logits, target))


@BOTH
def test_without_the_package(kind: type[SegmentationLoss], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is built, and says at its first use what is missing."""
    monkeypatch.setitem(sys.modules, "gudhi", None)
    loss = kind()
    with pytest.raises(ImportError, match=r"need gudhi: pip install 'metriseg\[topology\]'"):
        loss(random_logits(3), random_labels(3))


@BOTH
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"dimensions": "01"}, "dimensions must be a list of whole numbers"),
        ({"dimensions": [-1]}, "dimensions must be"),
        ({"dimensions": []}, "dimensions must name one dimension or more, each once"),
        ({"dimensions": [0, 0]}, "dimensions must name one dimension or more, each once"),
        ({"min_persistence": 2.0}, "min_persistence must be"),
    ],
)
def test_bad_words(kind: type[SegmentationLoss], words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**words)


@BOTH
def test_bad_calls(kind: type[SegmentationLoss]) -> None:
    with pytest.raises(ValueError, match=r"dimensions must be in 0 … 1 for 2-D images, got \[2\]"):
        kind(dimensions=[2])(random_logits(3), random_labels(3))


def test_bad_weights() -> None:
    for words in ({"order": 0.5}, {"topology_weight": -1.0}, {"gamma": -1.0}):
        (word,) = words
        with pytest.raises(ValueError, match=f"{word} must be"):
            TopologyAwareFocalLoss(**words)
