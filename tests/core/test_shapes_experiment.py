"""The experiment with shapes: its methods, its measures, and a run in miniature."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from metriseg.experiments.shapes import command, comparison, figures, main
from metriseg.experiments.shapes.methods import (
    BASELINES,
    METHODS,
    Images,
    class_components,
    draw_images,
    grouped_embedding,
    knn_segments,
    without_specks,
)
from metriseg.extraction import KNNSegments

TINY = comparison.Settings(steps=3, batch=2, images=4, fresh=3, width=1, side=40)


@pytest.fixture(scope="module")
def results() -> comparison.Results:
    return comparison.run(["cross-entropy", "gumbel", "soft", "kernel"], TINY, [0, 1])


def perfect_output(name: str, truth: Images) -> torch.Tensor:
    """What a network that knows all would answer."""
    method = METHODS[name]
    if method.knn is not None:
        return truth.instances.unsqueeze(1).float()
    labels = truth.classes if method.channels == 6 else truth.foreground
    logits = 20.0 * torch.nn.functional.one_hot(labels, min(method.channels, 6)).movedim(-1, 1)
    if name == "kernel":
        # far apart in the first dimension of the embedding, by 10 bandwidths
        far = torch.zeros(len(labels), 6, *labels.shape[1:])
        far[:, 0] = 10 * truth.instances
        logits = torch.cat([logits[:, :2], far], 1)
    return logits


@pytest.mark.parametrize("name", METHODS)
def test_method_is_content_with_a_perfect_output(name: str) -> None:
    """Shapes two pixels apart are their components, so every method finds all of them.

    Its loss is 0 but for cross-entropy's exp(-20), Dice's smoothing, and the kernel's two draws of
    64 features each, which err by some thousandths.
    """
    truth = draw_images(3, 5, side=60, least_gap=2)
    output = perfect_output(name, truth)
    method = METHODS[name]
    assert output.shape[1] == method.channels
    measured = comparison.measure(method.segments(output), truth.instances.numpy())
    assert list(measured.values()) == [0, 0, 0, 0]
    torch.manual_seed(0)
    assert abs(float(method.loss(output, truth))) < (0.02 if name == "kernel" else 1e-4)


def test_published_methods_differ_in_the_estimator_alone() -> None:
    published = {name: method.knn for name, method in METHODS.items() if method.knn is not None}
    assert {name: knn.estimator for name, knn in published.items()} == {
        name: name for name in ("conv1x1", "gumbel", "soft")
    }
    assert set(METHODS) == {*published, *BASELINES, "kernel"}


def test_touching_shapes_of_one_class_are_one_component_but_two_embeddings() -> None:
    """Two halves of a foreground: components can't tell them apart, an embedding can."""
    logits = torch.zeros(1, 8, 6, 8)
    logits[:, 1, 1:5, 1:7] = 9.0
    logits[:, 2, :, 4:] = 10.0
    assert class_components(logits[:, :2]).max() == 2
    assert len(np.unique(class_components(logits[:, :2]))) == 2
    assert len(np.unique(grouped_embedding(logits))) == 3


def test_largest_segment_of_one_channel_is_the_background() -> None:
    output = torch.zeros(1, 1, 5, 5)
    output[..., 1:3, 1:3] = 1.0
    labels = knn_segments(output, KNNSegments(k=2))[0]
    assert ((labels > 0) == (output[0, 0].numpy() > 0)).all()


def test_specks_go_to_what_is_nearest() -> None:
    """A speck of 2 pixels at the edge of an object of 12: it is nearer to the object."""
    labels = np.zeros((8, 8), np.int64)
    labels[2:6, 1:4] = 1
    expected = labels.copy()
    labels[3:5, 3] = 2
    labels[0, 7] = 3
    assert (without_specks(labels, least=5) == expected).all()
    assert comparison.count_objects(labels, least=1) == 3
    assert comparison.count_objects(labels, least=3) == 1
    one = np.arange(4).reshape(2, 2)
    assert (without_specks(one) == one).all()


def test_measures_of_everything_in_one_segment() -> None:
    """A map of two halves, 32 of 64 pixels each, taken as one segment.

    Half of the pairs are wrongly joined; the entropy of the truth, ln 2, is what is missing; one
    of one object isn't found.
    """
    truth = np.zeros((1, 8, 8), np.int64)
    truth[:, 4:] = 1
    measured = comparison.measure(np.zeros_like(truth), truth)
    assert measured["partition distance"] == pytest.approx(0.5)
    assert measured["VI (nats)"] == pytest.approx(math.log(2))
    assert measured[comparison.COUNT] == 1


def test_trainings_have_the_same_images_and_begin_alike(results: comparison.Results) -> None:
    """One seed, one network: outputs before training are those of a network made anew."""
    for name, trained in results.trained.items():
        network = comparison.new_network(METHODS[name], TINY, seed=0)
        before = comparison.outputs(network, results.shown.images)
        assert torch.equal(trained.looks[0], before)
        after = comparison.outputs(trained.network, results.shown.images)
        assert torch.equal(trained.looks[TINY.steps], after)
        assert not torch.equal(before, after)


def test_results_are_reproducible(results: comparison.Results) -> None:
    again = comparison.run(["gumbel"], TINY, [0])
    assert again.rows[0].scores[0] == results.rows[1].scores[0]


def test_table_holds_the_results(results: comparison.Results) -> None:
    """Each cell is the mean over the two seeds and half of sqrt(2) times their difference."""
    text = comparison.report(results)
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [cells[0].removeprefix("| ") for cells in table] == [
        *results.trained,
        "one segment",
    ]
    names = [*comparison.SCORES.values(), comparison.COUNT]
    for cells, row in zip(table[:-1], results.rows, strict=True):
        for cell, score in zip(cells[2:], names, strict=False):
            first, second = (one[score] for one in row.scores)
            mean, deviation = map(float, cell.split(" ± "))
            assert mean == pytest.approx((first + second) / 2, abs=0.006)
            assert deviation == pytest.approx(abs(first - second) / math.sqrt(2), abs=0.006)


def rows_of(**found: tuple[float, float]) -> comparison.Results:
    """Results of one seed: partition distance and error of the count; a single segment's 0.3, 3."""
    names = (comparison.SCORES["normalized_partition_distance"], comparison.COUNT)
    rows = [
        comparison.Row(name, [dict(zip(names, values, strict=True))], 0.0)
        for name, values in {**found, "one segment": (0.3, 3.0)}.items()
    ]
    shown = Images(*[torch.empty(0)] * 3)
    return comparison.Results(rows[:-1], rows[-1], {}, shown, TINY, (0,))


def test_verdict_compares_with_the_best_baseline_and_with_nothing() -> None:
    """Dice is the nearest baseline, cross-entropy the one that counts best."""
    lines = comparison.verdict(
        rows_of(
            **{
                "cross-entropy": (0.1, 0.5),
                "dice": (0.04, 1.0),
                "kernel": (0.02, 0.5),
                "soft": (0.05, 0.25),
                "gumbel": (0.3, 2.0),
            }
        )
    )
    dice, counts = "dice, the best baseline", "cross-entropy, the best baseline"
    assert lines[:2] == [
        f"* kernel: nearer to the truth than {dice} (0.02 against 0.04);"
        f" no better at counting than {counts} (0.5 against 0.5).",
        f"* soft: no nearer to the truth than {dice} (0.05 against 0.04);"
        f" better at counting than {counts} (0.25 against 0.5).",
    ]
    assert lines[2].startswith("* gumbel: no nearer to the truth")
    assert lines[3:] == ["* gumbel: no nearer than a single segment. It has not learnt."]


def test_colors_match_the_truth() -> None:
    """A segment has the colour of the object that it covers best, a second one does not."""
    truth = np.array([[0, 1, 1, 1, 2, 2]])
    found = figures.colored(np.array([[0, 7, 7, 9, 4, 4]]), truth)[0]
    assert [tuple(color) for color in found] == [
        figures.BACKGROUND,
        figures.OBJECTS[0],
        figures.OBJECTS[0],
        figures.OTHERS[2],
        figures.OBJECTS[1],
        figures.OBJECTS[1],
    ]


def test_gradient_is_zero_where_nothing_is_wrong() -> None:
    """The last row of figure 4."""
    truth = draw_images(1, 4, side=60, least_gap=2)
    looks = {name: {0: torch.randn(1, 1, 60, 60)} for name in ("conv1x1", "gumbel", "soft")}
    _, rows = figures.gradients(truth, looks, list(looks))
    for words, panels in rows:
        slopes = [values for kind, values, _ in panels if kind == "gradient"]
        assert len(slopes) == 3
        assert all(bool(slope.any()) != (words == "a perfect output") for slope in slopes)


def test_command_writes_the_table_it_prints_and_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--steps 4 --batch 2 --images 4 --fresh 2 --width 1 --side 40 --methods dice soft"
    main([*words.split(), "--output", str(tmp_path), "--seed", "3"])
    printed = capsys.readouterr()
    assert (tmp_path / "table.md").read_text() == printed.out
    assert "soft, seed 3: step 4 of 4" in printed.err
    for number in range(1, 6):
        picture = (tmp_path / f"figure_{number}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")


def test_full_form_has_three_seeds_and_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def run(methods: list[str], settings: comparison.Settings, seeds: list[int]) -> None:
        seen.update(methods=methods, steps=settings.steps, seeds=seeds)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", run)
    with pytest.raises(KeyboardInterrupt):
        main(["--full", "--seed", "4"])
    assert seen["seeds"] == [4, 5, 6]
    assert seen["steps"] > comparison.Settings().steps
    assert seen["methods"] == list(METHODS)
