"""Losses in which every object counts alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import BlobLoss, ConnectedComponentLoss
from metriseg.distances import nearest_pixel
from metriseg.losses import SegmentationLoss
from reference import object_losses, oracle
from reference.batches import IGNORE, random_labels, random_logits, random_weight

BOTH = pytest.mark.parametrize("kind", [BlobLoss, ConnectedComponentLoss])

#: Region losses, and what they make of the pixels of an object's domain.
REGIONS = {
    "DiceLoss": (metriseg.DiceLoss(), object_losses.dice),
    "TverskyLoss": (metriseg.TverskyLoss(fn_weight=0.9), object_losses.tversky(0.3, 0.9)),
    "PowerDiceLoss": (metriseg.PowerDiceLoss(power=2.0), object_losses.squares),
    # its statistics keep the digits of errors
    "FocalTverskyLoss": (
        metriseg.FocalTverskyLoss(fp_weight=0.3, fn_weight=0.7, gamma=1.0),
        object_losses.tversky(0.3, 0.7),
    ),
    # of one class the volumes cancel
    "GeneralizedDiceLoss": (
        metriseg.GeneralizedDiceLoss(smooth=0.0),
        lambda domain: object_losses.dice(domain, 0.0),
    ),
}


def expected(
    kind: type[SegmentationLoss],
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    activation: str = "softmax",
    **words: Any,
) -> float:
    """The oracle's value for labels, or dense targets, of two spatial dimensions."""
    shape = tuple(logits.shape)
    flat = logits.numpy().reshape(*shape[:2], -1)
    p = {"softmax": oracle.softmax, "sigmoid": oracle.sigmoid}.get(activation, lambda z: z)(flat)
    w = np.ones((shape[0], *shape[2:])) if weight is None else weight.numpy().copy()
    if target.shape == logits.shape:
        t = target.double().numpy()
    else:
        t = oracle.one_hot(target.numpy().reshape(shape[0], -1), shape[1], IGNORE).reshape(shape)
        w[target.numpy() == IGNORE] = 0
    return object_losses.ORACLES[kind.__name__](
        p.reshape(shape), t, w, z=flat, exclusive=activation == "softmax", **words
    )


@BOTH
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("name", REGIONS)
def test_any_region_loss(kind: type[SegmentationLoss], name: str, activation: str) -> None:
    """The formula of the loss within, on the pixels of every object's domain."""
    loss, region = REGIONS[name]
    logits, target = random_logits(3, images=3), random_labels(3, images=3, ignore=0.2)
    logits = logits.softmax(1) if activation == "identity" else logits
    weight = random_weight(images=3)
    value = kind(loss, activation=activation, ignore_index=IGNORE)(logits, target, weight=weight)
    whole = expected(kind, logits, target, weight=weight, activation=activation, region=region)
    assert value.item() == pytest.approx(whole, abs=1e-10)


@BOTH
@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("per_image", [True, False])
def test_groups(kind: type[SegmentationLoss], per_image: bool, connectivity: int) -> None:
    """Per image the mean of means, in the batch the mean over all objects of a class."""
    logits, target = random_logits(3, images=3), random_labels(3, images=3)
    words = {"connectivity": connectivity, "per_image": per_image}
    value = kind(**words)(logits, target)
    assert value.item() == pytest.approx(expected(kind, logits, target, **words), abs=1e-10)


@BOTH
def test_questions_may_overlap(kind: type[SegmentationLoss]) -> None:
    """Under a sigmoid every channel has objects of its own, one on another."""
    logits = random_logits(3)
    target = (torch.rand(logits.shape, generator=torch.Generator().manual_seed(5)) < 0.4).double()
    assert bool((target.sum(1) > 1).any())
    value = kind(activation="sigmoid", include_background=True)(logits, target)
    whole = expected(kind, logits, target, activation="sigmoid", include_background=True)
    assert value.item() == pytest.approx(whole, abs=1e-10)


@BOTH
@pytest.mark.parametrize("dense", [False, True])
def test_objects_that_the_loader_names(kind: type[SegmentationLoss], dense: bool) -> None:
    """A number is an object wherever its pixels are; a negative one hides what is there."""
    logits, target = random_logits(3), random_labels(3)
    named = torch.randint(-1, 3, target.shape, generator=torch.Generator().manual_seed(6))
    weight = (named >= 0).double()
    given = torch.nn.functional.one_hot(target, 3).movedim(-1, 1) if dense else target
    value = kind()(logits, given, maps={"instances": named})
    whole = expected(kind, logits, target, weight=weight, named=named.numpy())
    assert value.item() == pytest.approx(whole, abs=1e-10)


@BOTH
def test_a_small_object_counts_as_much_as_a_large_one(kind: type[SegmentationLoss]) -> None:
    """Of two objects one is found and one is missed: one half, whichever is the large one."""
    target = torch.tensor([[0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0]])
    large = torch.tensor([[[0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]]]).double()
    small = torch.tensor([[[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]]]).double()
    loss = kind(metriseg.DiceLoss(smooth=0.0), activation="identity")
    assert loss(large, target).item() == 0.5
    assert loss(small, target).item() == 0.5


def test_what_an_object_answers_for() -> None:
    """A false pixel costs every blob, and of Voronoi regions the one that it lies in.

    Objects at both ends, found, and a false pixel beside the first: for the blobs Dice
    1 - 2 / (2 + 1) each; for the regions (1 - 2 / 3 + 0) / 2.
    """
    target, p = torch.tensor([[1, 0, 0, 0, 1]]), torch.tensor([[[1.0, 1, 0, 0, 1]]])
    exact = metriseg.DiceLoss(smooth=0.0)
    assert BlobLoss(exact, activation="identity")(p, target).item() == pytest.approx(1 / 3)
    regions = ConnectedComponentLoss(exact, activation="identity")
    assert regions(p, target).item() == pytest.approx(1 / 6)


def test_no_object() -> None:
    """Blobs: nothing is compared. Regions: the whole image, in which any prediction is wrong."""
    target, p = torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 1, 5)
    target[0, 0], p[0, 0, 0], p[1, 0, 3] = 1, 1.0, 1.0
    exact = metriseg.DiceLoss(smooth=0.0)
    words = {"activation": "identity", "reduction": "none"}
    assert BlobLoss(exact, **words)(p, target).tolist() == [[0.0], [0.0]]
    assert BlobLoss(exact, activation="identity")(p, target).item() == 0.0
    assert ConnectedComponentLoss(exact, **words)(p, target).tolist() == [[0.0], [1.0]]
    assert ConnectedComponentLoss(exact, activation="identity")(p, target).item() == 0.5
    present = ConnectedComponentLoss(exact, classes="present", activation="identity")
    assert present(p, target).item() == 0.0
    # nothing predicted where nothing is: right
    assert ConnectedComponentLoss(exact, **words)(0 * p, 0 * target).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("classes", ["all", "present"])
def test_regions_follow_the_size_of_a_pixel(spacing: tuple[float, float], classes: str) -> None:
    logits, target = random_logits(4), random_labels(4)
    target[target == 2] = 0
    words = {"spacing": spacing, "classes": classes}
    value = ConnectedComponentLoss(**words)(logits, target)
    whole = expected(ConnectedComponentLoss, logits, target, **words)
    assert value.item() == pytest.approx(whole, abs=1e-10)


@pytest.mark.parametrize("shape", [(13,), (6, 7), (3, 4, 5)])
def test_nearest_pixel(shape: tuple[int, ...]) -> None:
    """Every pixel of every mask, by looking at all true ones in their order."""
    generator = torch.Generator().manual_seed(7)
    mask = torch.rand(3, 2, *shape, generator=generator) < 0.15
    mask[0, 0] = False
    found = nearest_pixel(mask)
    assert (found[0, 0] == 0).all()
    for n, c in np.ndindex(3, 2):
        places = np.argwhere(mask[n, c].numpy())
        for u in np.ndindex(shape) if len(places) else ():
            away = ((places - np.array(u)) ** 2).sum(1)
            first = places[int(away.argmin())]
            assert np.unravel_index(int(found[n, c][u]), shape) == tuple(first)


@BOTH
def test_errors_keep_their_digits(kind: type[SegmentationLoss]) -> None:
    """In single precision too: 1 - p of a certain prediction is not rounded to 0."""
    loss = kind(metriseg.FocalTverskyLoss(gamma=2.0, smooth=0.0))
    target = torch.tensor([[0, 1, 1, 0, 1]])
    own = torch.nn.functional.one_hot(target, 2).movedim(-1, 1).float() * 20
    single, double = loss(own, target), loss(own.double(), target)
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=0.0)


@BOTH
def test_many_objects_cost_no_more_than_few(kind: type[SegmentationLoss]) -> None:
    """No operator's result grows with the number of objects times that of pixels."""
    from benchmarks.traffic import TrafficCounter

    def peak(target: torch.Tensor) -> int:
        logits = torch.zeros(1, 2, 64, 64, requires_grad=True)
        with TrafficCounter() as counter:
            kind()(logits, target).backward()
        return counter.found.peak

    few, many = torch.zeros(2, 1, 64, 64, dtype=torch.int64)
    few[..., :32] = 1
    many[..., ::2, ::2] = 1
    assert peak(many) < 1.5 * peak(few)


REFUSED = [
    (metriseg.CrossEntropyLoss(), "made of region statistics alone.*got CrossEntropyLoss"),
    (metriseg.DiceCELoss(), "made of region statistics alone.*got DiceCELoss"),
    (metriseg.LovaszSoftmaxLoss(), "made of region statistics alone.*got LovaszSoftmaxLoss"),
    ("DiceLoss", "made of region statistics alone.*got str"),
    (metriseg.DiceLoss(activation="sigmoid"), "DiceLoss must not say 'activation' within"),
    (metriseg.DiceLoss(class_weight=[1, 2]), "DiceLoss must not say 'class_weight' within"),
    (metriseg.DiceLoss(per_image=False), "DiceLoss must not say 'per_image' within"),
    (metriseg.DiceLoss(classes="present"), "DiceLoss must not say 'classes' within"),
]


@BOTH
@pytest.mark.parametrize(("loss", "message"), REFUSED)
def test_what_can_not_be_within(kind: type[SegmentationLoss], loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(loss)


@BOTH
def test_bad_input(kind: type[SegmentationLoss]) -> None:
    with pytest.raises(ValueError, match=r"connectivity must be in 1 … 2, got 3"):
        kind(connectivity=3)(random_logits(2), random_labels(2))
    with pytest.raises(ValueError, match=r"maps\['instances'\] must hold integers"):
        kind()(random_logits(2), random_labels(2), maps={"instances": random_labels(2).double()})
    with pytest.raises(ValueError, match="did you mean 'connectivity'"):
        kind(conectivity=1)
