"""What comes in wrongly is refused by the name of the argument, whatever the loss."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import validation
from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import random_labels, random_logits

LOGITS, TARGET = random_logits(4), random_labels(4)
OTHERS = {"sync": {"per_image": False}}


def defaults(entry: Entry, kind: type) -> list[str]:
    """The arguments whose default is a number, or a bool."""
    return [
        name
        for name, word in inspect.signature(entry.loss).parameters.items()
        if type(word.default) in ((bool,) if kind is bool else (int, float))
    ]


def raw_activation(entry: Entry) -> str:
    return next(word for word in entry.loss.activations if word != "identity")


# ---------------------------------------------------------------------- constructors


def test_bools_are_no_numbers(entry: Entry) -> None:
    """True is 1 to Python, and a slip to whoever wrote it: DiceCELoss(False, False) was 0.

    Nor is what wants a gradient: it would get none.
    """
    for name in defaults(entry, float):
        learnt = torch.ones((), requires_grad=True)
        for value in (True, False, np.bool_(True), torch.tensor(True), learnt):
            with pytest.raises(ValueError, match=rf"^{name} must be "):
                entry.loss(**{name: value})


def test_words_are_no_flags(entry: Entry) -> None:
    """The word "False" is true; so are all numbers but 0."""
    for name in defaults(entry, bool):
        for value in ("False", "no", 0, 1, None, 2.0, [], torch.tensor(True)):
            with pytest.raises(ValueError, match=f"^{name} must be True or False, got "):
                entry.loss(**{name: value, **OTHERS.get(name, {})})
        entry.loss(**{name: np.bool_(True), **OTHERS.get(name, {})})


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 1j, None, "a", [1], {}, 10**400])
def test_numbers_are_finite_and_real(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^smooth must be "):
        metriseg.DiceLoss(smooth=value)


def test_numbers_may_be_written_as_text() -> None:
    """YAML reads 1e-5 as text."""
    assert metriseg.DiceLoss(smooth="1e-5").smooth_pair == (1e-5, 1e-5)


@pytest.mark.parametrize("value", [True, 1.5, "255", 2**64, 2**70])
def test_ignored_labels_are_labels(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^ignore_index must be "):
        metriseg.DiceLoss(ignore_index=value)


@pytest.mark.parametrize(
    "value",
    [
        [1, float("inf"), 1],
        [1, float("nan"), 1],
        [1, 1j, 1],
        torch.tensor([1, 1j, 1]),
        [True, False, True],
        torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
        [-1, 1, 1],
        [0, 0, 0],
        [[1, 2, 3]],
        [],
        "abc",
        3,
        {1: 2},
        10**400,
    ],
    ids=repr,
)
def test_class_weights_are_numbers(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^class_weight must "):
        metriseg.DiceLoss(class_weight=value)


@pytest.mark.parametrize("word", [None, 1, True, np.array([1, 2]), ["mean"], "Mean", torch.ones(2)])
def test_words_are_words(word: Any) -> None:
    """An array compared with a word gives an array: no truth value, no message."""
    with pytest.raises(ValueError, match=r"^reduction must be one of 'mean', 'sum', 'none', got "):
        metriseg.DiceLoss(reduction=word)


def test_enumerations_of_words_are_words() -> None:
    class Words(enum.StrEnum):
        SUM = "sum"

    loss = metriseg.DiceLoss(reduction=Words.SUM)
    assert torch.equal(loss(LOGITS, TARGET), metriseg.DiceLoss(reduction="sum")(LOGITS, TARGET))


def test_one_is_not_true() -> None:
    with pytest.raises(ValueError, match="choice must be one of True, None, got 1"):
        validation.one_of("choice", 1, (True, None))


def test_what_is_learnt_stands_where_the_logits_are() -> None:
    with pytest.raises(ValueError, match="what the loss learns is on meta, but the logits are on"):
        metriseg.RobustTLoss().to("meta")(LOGITS, TARGET)


@pytest.mark.parametrize(
    "terms", [None, 3, np.array(1), torch.ones(()), "DiceLoss", {"dice": metriseg.DiceLoss()}]
)
def test_terms_are_a_list(terms: Any) -> None:
    with pytest.raises(ValueError, match=r"^terms must be a list of losses, got "):
        metriseg.CompoundLoss(terms)


@pytest.mark.parametrize("weights", [3, np.array(1), torch.ones(()), "a", {"dice": 1.0}, 0.5])
def test_weights_are_a_list(weights: Any) -> None:
    with pytest.raises(ValueError, match=r"^weights must be a list, one for each term, or None"):
        metriseg.CompoundLoss([metriseg.DiceLoss()], weights)


@pytest.mark.parametrize("gives", [-1, float("nan"), float("inf"), None, "a", True])
def test_schedules_give_weights(gives: Any) -> None:
    loss = metriseg.CompoundLoss([metriseg.DiceLoss()], [lambda step: gives])
    with pytest.raises(ValueError, match=r"^weights: what dice's gives at step 0 must be "):
        loss(LOGITS, TARGET)


# ---------------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", [1]),
        ("features", 3.0),
        ("features", torch.zeros(2, 3, 5, 4, dtype=torch.complex64)),
        ("maps", [1]),
        ("maps", torch.zeros(2, 5, 4)),
        ("weight", [1]),
        ("weight", torch.ones(2, 5, 4, dtype=torch.complex64)),
        ("weight", torch.full((2, 5, 4), float("inf"))),
        ("weight", torch.full((2, 5, 4), float("nan"))),
        ("weight", -torch.ones(2, 5, 4)),
    ],
)
def test_what_comes_with_the_logits_has_a_name(entry: Entry, name: str, value: Any) -> None:
    loss = entry.build(activation=raw_activation(entry))
    with pytest.raises(ValueError, match=f"^{name} must be "):
        loss(LOGITS, TARGET, **{name: value})


def test_maps_are_tensors_of_numbers() -> None:
    for value in ([1], torch.zeros(LOGITS.shape, dtype=torch.complex64)):
        with pytest.raises(ValueError, match=r"^maps\['signed_distance'\] must be "):
            metriseg.BoundaryLoss()(LOGITS, TARGET, maps={"signed_distance": value})


def test_a_map_that_no_loss_reads_is_refused() -> None:
    """Not that of another loss: a loader may make maps for several terms."""
    given = torch.zeros(LOGITS.shape)
    with pytest.raises(ValueError, match=r"^maps: no loss reads a map 'sdm' \(they read .*signed"):
        metriseg.BoundaryLoss()(LOGITS, TARGET, maps={"sdm": given})
    with pytest.raises(ValueError, match=r"'signed_distances': did you mean 'signed_distance'"):
        metriseg.BoundaryLoss()(LOGITS, TARGET, maps={"signed_distances": given})
    both = {"signed_distance": given, "penalty": given[:, 0]}
    assert torch.isfinite(metriseg.BoundaryLoss()(LOGITS, TARGET, maps=both))


def test_a_loss_may_declare_a_map() -> None:
    class MappedLoss(metriseg.PixelLoss):
        map_names = ("height",)

        def evaluate(self, batch: metriseg.Batch) -> torch.Tensor:
            height = batch.loaded("height", dense=False)
            assert height is not None
            return height

    assert MappedLoss()(LOGITS, TARGET, maps={"height": torch.full((2, 5, 4), 3.0)}).item() == 3


@pytest.mark.parametrize(
    "name", [n for n, e in CATALOGUE.items() if "sigmoid" not in e.loss.activations]
)
def test_no_advice_that_is_then_refused(name: str) -> None:
    """One channel under softmax: "choose sigmoid" is no advice where sigmoid has no meaning."""
    space = (4,) * max(CATALOGUE[name].spatial_dimensions[:1])
    with pytest.raises(ValueError, match="needs logits with 2 classes or more, got 1") as caught:
        CATALOGUE[name].build()(torch.zeros(1, 1, *space), torch.zeros(1, *space).long())
    assert "sigmoid" not in str(caught.value)


@pytest.mark.parametrize("name", ["FocalLoss", "CrossEntropyLoss", "DiceCELoss"])
def test_the_first_probabilities_are_looked_at_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an accelerator values are not read, but for the first of each device: raw scores there
    would be taken for probabilities (8.13 in place of 1.09), for the whole of a training."""
    checked = []
    original = validation.values_are_checked

    def as_if_on_an_accelerator(tensor: torch.Tensor) -> bool:
        checked.append(validation._DEBUG.get())
        return original(tensor) and validation._DEBUG.get()

    monkeypatch.setattr(validation, "values_are_checked", as_if_on_an_accelerator)
    loss = getattr(metriseg, name)(activation="identity")
    with pytest.raises(ValueError, match="logits must lie in"):
        loss(LOGITS, TARGET)
    loss = getattr(metriseg, name)(activation="identity")
    loss(LOGITS.softmax(1), TARGET)
    assert any(checked)
    checked.clear()
    loss(LOGITS.softmax(1), TARGET)
    assert checked
    assert not any(checked)


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.float8_e4m3fn, torch.float8_e5m2),
    ],
)
def test_weights_of_every_type(dtype: torch.dtype) -> None:
    """Zeros and ones are exact in all of them, so the value is that of the same bools."""
    kept = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0)) < 0.7
    loss = metriseg.DiceCELoss()
    expected = loss(LOGITS, TARGET, weight=kept.double())
    assert torch.equal(loss(LOGITS, TARGET, weight=kept.to(dtype)), expected)


def test_weights_whose_sum_is_no_number() -> None:
    """40 weights of 1e38 sum to 4e39, beyond float32 (3.4e38) and well within float64."""
    weight = torch.full((2, 5, 4), 1e38)
    with pytest.raises(ValueError, match=r"^weight must have a finite sum"):
        metriseg.CrossEntropyLoss()(LOGITS.float(), TARGET, weight=weight)
    found = metriseg.CrossEntropyLoss()(LOGITS, TARGET, weight=weight)
    torch.testing.assert_close(found, metriseg.CrossEntropyLoss()(LOGITS, TARGET))


@pytest.mark.parametrize(
    "name", [n for n, e in CATALOGUE.items() if "sigmoid" not in e.loss.activations]
)
def test_exclusive_classes_sum_to_one(name: str) -> None:
    """A loss of exclusive classes alone: what isn't a distribution isn't a prediction of one.

    The generalized Wasserstein Dice loss of such rows was -19.4. bfloat16 rounds to 1/256, so rows
    of a network in half precision are taken.
    """
    loss = CATALOGUE[name].build(activation="identity")
    p = LOGITS.softmax(1)
    with pytest.raises(ValueError, match=f"sum to 1 at every pixel, for {name}: a sum is off by 1"):
        loss(torch.full_like(p, 0.5), TARGET)
    assert torch.isfinite(loss(p.bfloat16().float(), TARGET))
    weight = torch.ones(2, 5, 4)
    weight[0, 0, 0] = 0
    p[0, :, 0, 0] = 1.0
    assert torch.isfinite(loss(p, TARGET, weight=weight))


# ---------------------------------------------------------------------- nothing to look at


@pytest.mark.parametrize("images", [0, 2])
@pytest.mark.parametrize("space", [(0,), (0, 4), (3, 0), (0, 0), (2, 0, 3), (0, 4, 4)])
def test_without_a_pixel_the_value_is_zero(
    entry: Entry, images: int, space: tuple[int, ...]
) -> None:
    """Exactly 0 with a zero gradient, and unreduced a value for every image or none."""
    if len(space) not in entry.spatial_dimensions:
        return
    activation = raw_activation(entry)
    loss = entry.build(activation=activation)
    logits = torch.zeros(images, 4, *space, requires_grad=True)
    target = torch.zeros(images, *space, dtype=torch.int64)
    for reduction in ("mean", "sum"):
        value = loss.compute(
            logits, target, activation=activation, ignore_index=None, reduction=reduction
        )
        assert value.item() == 0
        value.backward()
        assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("build", [metriseg.DiceLoss, metriseg.BoundaryLoss, metriseg.RobustTLoss])
def test_without_a_pixel_there_may_be_a_table(build: Callable[..., torch.nn.Module]) -> None:
    logits, target = torch.zeros(2, 4, 0), torch.zeros(2, 0, dtype=torch.int64)
    found = build(reduction="none")(logits, target)
    shapes = {"DiceLoss": (2, 4), "BoundaryLoss": (2, 0), "RobustTLoss": (2, 1)}
    assert found.shape == shapes[build.__name__]
    assert not found.any()


def test_no_image_and_hard_triplets() -> None:
    loss = metriseg.TripletLoss(mining="hard")
    assert loss(torch.zeros(0, 3, 5, 4), torch.zeros(0, 5, 4, dtype=torch.int64)).item() == 0
