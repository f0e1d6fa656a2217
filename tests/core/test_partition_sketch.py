"""Sketches of partitions estimate the partition distance without bias."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from metriseg.partitions import contingency_table, partition_distance, partition_sketch
from metriseg.partitions import sketch as module
from reference import partitions as reference
from reference import search

#: One for each way in which partitions of four pixels differ.
PAIRS = [
    ([0, 0, 0, 0], [0, 1, 2, 3]),
    ([0, 0, 1, 1], [0, 1, 0, 1]),
    ([0, 0, 0, 1], [0, 1, 1, 1]),
    ([0, 0, 1, 2], [0, 0, 1, 1]),
]


def signs_of(pixels: int, seed: int, projection: int) -> list[np.ndarray]:
    """s and t of one projection, -1 or 1 a pixel."""
    word, bit = divmod(projection, 64)
    found = []
    for stream in (2 * word, 2 * word + 1):
        octets = np.concatenate(list(module.pixel_signs(pixels, seed, stream)))
        found.append(2 * ((octets[:, bit // 8] >> (bit % 8)) & 1).astype(int) - 1)
    return found


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_moments_by_enumeration(x: list[int], y: list[int]) -> None:
    """Over all 256 signs of four pixels the mean is rho, and the variance that of the formula."""
    estimates = search.estimates(x, y)
    assert np.mean(estimates) == pytest.approx(reference.mirkin(x, y), rel=1e-12)
    assert np.var(estimates) == pytest.approx(search.variance(x, y), rel=1e-12)


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_moments_by_drawing(x: list[int], y: list[int]) -> None:
    """65,536 projections: the mean within 5 of its standard deviations, the variance within 5 %."""
    dim = 1 << 16
    values = dim * (partition_sketch(x, dim, seed=3) - partition_sketch(y, dim, seed=3)) ** 2
    deviation = np.sqrt(search.variance(x, y) / dim)
    assert abs(values.mean() - reference.mirkin(x, y)) <= 5 * deviation
    assert values.var() == pytest.approx(search.variance(x, y), rel=0.05)


def test_mean_over_seeds() -> None:
    """Of 400 sketches of 64: within 5 standard deviations, which is 5 % here."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 4, (2, 30))
    rho = reference.mirkin(x, y)
    found = [
        np.sum((partition_sketch(x, 64, seed=s) - partition_sketch(y, 64, seed=s)) ** 2)
        for s in range(400)
    ]
    deviation = np.sqrt(search.variance(x, y) / 64)
    assert np.mean(found) == pytest.approx(rho, abs=5 * deviation / 20)
    assert np.std(found) == pytest.approx(deviation, rel=0.25)


def test_projections_are_those_of_plain_loops() -> None:
    labels = np.random.default_rng(1).integers(0, 5, (3, 7))
    found = partition_sketch(labels, 130, seed=9)
    for projection in (0, 1, 8, 63, 64, 127, 129):
        s, t = signs_of(21, 9, projection)
        expected = search.projection(labels.ravel(), s, t) / np.sqrt(130)
        assert found[projection] == pytest.approx(expected, rel=1e-12)


def test_blocks_long_runs_and_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, however many pixels are read and however many bits summed at once."""
    draw = np.random.default_rng(2)
    labels = np.repeat(draw.integers(0, 9, 40), draw.integers(1, 900, 40))
    whole = partition_sketch(labels, 100, seed=5)
    for projection in (0, 99):
        s, t = (signs[:, None] for signs in signs_of(len(labels), 5, projection))
        sums = [[part[labels == k].sum() for part in (s, t)] for k in range(9)]
        expected = sum(int(a) * int(b) for a, b in sums) / 10
        assert whole[projection] == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(module, "PIXELS", 128)
    np.testing.assert_array_equal(partition_sketch(labels, 100, seed=5), whole)
    monkeypatch.setattr(module, "REGIONS", 3)
    np.testing.assert_array_equal(partition_sketch(labels, 100, seed=5), whole)


def test_signs_are_independent() -> None:
    """Of 2,000 pixels and 4 projections: correlations below 5 / sqrt(2000)."""
    rows = [signs_of(2000, 0, projection) for projection in (0, 1, 64, 65)]
    signs = np.array(list(itertools.chain.from_iterable(rows)), float)
    correlation = signs @ signs.T / 2000
    assert np.abs(correlation - np.eye(8)).max() < 5 / np.sqrt(2000)


def test_longer_sketches_begin_as_shorter_ones() -> None:
    labels = np.random.default_rng(3).integers(0, 4, 50)
    short, long = partition_sketch(labels, 10), partition_sketch(labels, 200)
    np.testing.assert_allclose(short * np.sqrt(10), long[:10] * np.sqrt(200), rtol=1e-12)


def test_names_of_labels_and_kinds_of_arrays() -> None:
    labels = np.random.default_rng(4).integers(0, 4, (5, 6))
    expected = partition_sketch(labels, 70)
    for same in (labels * 2**60 + 1, 3 - labels, labels.tolist(), torch.from_numpy(labels)):
        np.testing.assert_allclose(partition_sketch(same, 70), expected, rtol=1e-12)
    assert np.any(partition_sketch(labels, 70, seed=1) != expected)
    assert np.any(partition_sketch(labels.T, 70) != expected)


def test_nearest_of_sketches_is_nearest() -> None:
    """Clusters far apart: the nearest vector is the nearest partition."""
    draw = np.random.default_rng(6)
    centres = [np.searchsorted(np.sort(draw.integers(0, 300, 6)), np.arange(300)) for _ in range(6)]
    copies = []
    for centre in centres:
        copy = centre.copy()
        copy[draw.integers(0, 300, 6)] = 9
        copies.append(copy)
    vectors = np.stack([partition_sketch(centre, 2048) for centre in centres])
    for number, copy in enumerate(copies):
        guess = int(((vectors - partition_sketch(copy, 2048)) ** 2).sum(1).argmin())
        exact = [partition_distance(contingency_table(copy, centre)) for centre in centres]
        assert guess == int(np.argmin(exact)) == number


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: partition_sketch([0, 1], 0), "dim must be a whole number >= 1, got 0"),
        (lambda: partition_sketch([0, 1], 2.5), "dim must be a whole number"),
        (lambda: partition_sketch([0, 1], 4, seed=-1), "seed must be a whole number >= 0"),
        (lambda: partition_sketch([0, 1], 4, seed=2**64), "seed must be in"),
        (lambda: partition_sketch([0.0, 1.0], 4), "labels must hold integer labels"),
        (lambda: partition_sketch([0, -1], 4), "labels must hold labels that are not negative"),
        (lambda: partition_sketch(np.zeros((0, 3), int), 4), "labels must hold at least one pixel"),
    ],
)
def test_errors(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
