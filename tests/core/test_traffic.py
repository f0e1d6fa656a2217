"""Bytes that losses move: exact, and the same on every machine."""

from __future__ import annotations

import pytest
import torch
from benchmarks import traffic
from torch import Tensor

import metriseg
from metriseg.catalogue import Entry

#: The most that each may move, in multiples of the logits of the table's shape; a float32 number
#: of a pixel is 1/19 of them.
MOST = {
    "CrossEntropyLoss": 7.2,
    "FocalLoss": 8.8,
    "TopKLoss": 9.9,
    "MimeLoss": 7.6,
    "DiceLoss": 8.6,
    "JaccardLoss": 8.6,
    "TverskyLoss": 8.6,
    "GeneralizedDiceLoss": 8.6,
    "PowerJaccardLoss": 16.6,
    "BoundaryDoULoss": 13.3,
    "DiceCELoss": 12.1,
    "ComboLoss": 12.3,
    "UnifiedFocalLoss": 18.8,
    "CompoundLoss of Dice, focal, power Jaccard": 26.8,
    "LovaszSoftmaxLoss": 49.6,
    "RegionMutualInformationLoss": 60.1,
}
#: Of the losses whose only whole tensors are a softmax and its gradient.
PIXEL_LOSSES = ("CrossEntropyLoss", "FocalLoss", "TopKLoss", "MimeLoss")


def in_logits(found: traffic.Traffic, logits: Tensor) -> float:
    return found.moved / traffic.size_of(logits)


def test_every_loss_of_the_table_has_a_bound() -> None:
    assert set(MOST) == set(traffic.OURS)


@pytest.mark.parametrize("name", traffic.OURS)
def test_no_loss_moves_more(name: str) -> None:
    logits, labels = traffic.inputs((2, 19, 64, 64))
    assert in_logits(traffic.measure(traffic.OURS[name](), logits, labels), logits) <= MOST[name]


@pytest.mark.parametrize("name", traffic.OURS)
def test_ignored_pixels_and_class_weights_do_not_double_it(name: str) -> None:
    """Half as much again for a mean over classes or pixels; sorting gathers masses, too."""
    logits, labels = traffic.inputs((2, 19, 64, 64), ignored=0.05)
    loss = traffic.OURS[name]()
    for part in loss.modules():
        part.ignore_index = traffic.IGNORED
    plain = traffic.measure(traffic.OURS[name](), *traffic.inputs((2, 19, 64, 64)))
    assert traffic.measure(loss, logits, labels).moved < 1.8 * plain.moved


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "DiceLoss", "DiceCELoss"])
@pytest.mark.parametrize("shape", traffic.SHAPES.values(), ids=traffic.SHAPES)
def test_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    """On the meta device, where there is nothing but shapes: on every size the same passes.

    What has no classes (labels, and a number or two a pixel) weighs more with fewer of them.
    """
    if shape[1] == 1:
        pytest.skip("a single class has a sigmoid, and no labels to gather at")
    loss = traffic.OURS[name]()
    large = in_logits(
        traffic.measure(loss, *traffic.inputs(shape, device="meta")),
        torch.empty(shape, device="meta"),
    )
    # parts of large images, two more: their gradient is copied to its place
    passes, of_pixels = {"CrossEntropyLoss": (6, 25), "DiceLoss": (11, 32), "DiceCELoss": (13, 60)}[
        name
    ]
    assert large <= passes + of_pixels / shape[1]


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_pixel_losses_keep_nothing_but_the_gradient(name: str) -> None:
    logits, labels = traffic.inputs((2, 19, 64, 64))
    found = traffic.measure(traffic.OURS[name](), logits, labels)
    assert found.peak <= 1.15 * traffic.size_of(logits) + 64 * 1024


def test_tiles_of_a_cpu_keep_the_peak_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the gradient, what a tile needs."""
    monkeypatch.setattr(metriseg.statistics, "CACHED_VALUES", 1 << 14)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    logits, labels = traffic.inputs((2, 19, 128, 128))
    leaf = logits.requires_grad_()
    for loss in (metriseg.DiceLoss(), metriseg.DiceCELoss(), metriseg.PowerJaccardLoss()):
        loss(leaf, labels).backward()
        leaf.grad = None
        with traffic.TrafficCounter() as counter:
            loss(leaf, labels).backward()
        leaf.grad = None
        assert counter.found.peak <= 1.15 * traffic.size_of(logits)


# ---------------------------------------------------------------------- the counter


def test_what_operators_move() -> None:
    x = torch.ones(4, 6)  # 96 bytes
    labels = torch.zeros(4, 1, dtype=torch.long)  # 32 bytes

    def moved(action: object) -> int:
        with traffic.TrafficCounter() as counter:
            action()
        return counter.found.moved

    assert moved(lambda: x + x) == 3 * 96
    assert moved(lambda: x.exp()) == 2 * 96
    assert moved(lambda: x.add_(1)) == 2 * 96
    assert moved(lambda: x.view(24).unsqueeze(0).expand(3, 24)) == 0
    assert moved(lambda: x * torch.ones(4, 1).expand(4, 6)) == 16 + 2 * 96 + 16
    assert moved(lambda: torch.zeros(4, 6)) == 96
    assert moved(lambda: torch.empty(4, 6)) == 0
    assert moved(lambda: torch.softmax(x, 1, out=torch.empty(4, 6))) == 2 * 96
    assert moved(lambda: x.gather(1, labels)) == 32 + 4 * 4 + 4 * 4
    assert moved(lambda: x.scatter_(1, labels, x[:, :1])) == 32 + 16 + 16
    assert moved(lambda: x.scatter_add_(1, labels, x[:, :1])) == 32 + 16 + 2 * 16
    assert moved(lambda: x.sum(1)) == 96 + 16


def test_the_peak_is_what_lives_at_once() -> None:
    x = torch.ones(1000)
    with traffic.TrafficCounter() as counter:
        y = x + 1
        del y
        z = (x + 1) * 2
    assert z.numel() == 1000
    assert counter.found.peak == 2 * 4000


# ---------------------------------------------------------------------- no host


@pytest.mark.parametrize("ignored", [False, True], ids=["all-count", "some-ignored"])
def test_nothing_waits_for_the_host(entry: Entry, ignored: bool) -> None:
    """On the meta device no value can be read, so nothing that depends on one runs."""
    dimensions = 2 if 2 in entry.spatial_dimensions else min(entry.spatial_dimensions)
    shape = (2, 4, *(16,) * dimensions)
    loss = entry.build(ignore_index=255 if ignored else None).to("meta")
    logits = torch.empty(shape, device="meta", requires_grad=True)
    labels = torch.empty((2, *shape[2:]), device="meta", dtype=torch.long)
    if entry.graph_break:
        # the catalogue says what it needs the host for
        with pytest.raises(ValueError, match="logits must hold numbers"):
            loss(logits, labels)
        return
    value = loss(logits, labels)
    assert value.device.type == "meta"
    value.backward()
    assert logits.grad.shape == logits.shape
