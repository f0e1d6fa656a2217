"""The metric for torchmetrics: its contract, its collections, its ranks."""

from __future__ import annotations

import importlib
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")

from torchmetrics import MetricCollection

from metriseg.partitions import DEFAULT_SCORES, mean_scores, partition_scores
from metriseg.partitions.torchmetrics import PartitionMetric
from reference.ranks import run_two_ranks


def images(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true labels; every third image is all void."""
    generator = torch.Generator().manual_seed(seed)
    preds = torch.randint(3, (count, 6, 5), generator=generator)
    target = torch.randint(2, (count, 6, 5), generator=generator)
    target[::3] = 255
    return preds, target


def expected(preds: torch.Tensor, target: torch.Tensor, **options: Any) -> dict[str, float]:
    every = [partition_scores(t, p, **options) for t, p in zip(target, preds, strict=True)]
    return mean_scores(every, options.get("metrics", DEFAULT_SCORES))


def numbers(values: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


@pytest.mark.parametrize("segments", ["components", "labels"])
def test_means_over_batches(segments: Any) -> None:
    """Of images, not of batches: those of unequal size change nothing; a reset forgets."""
    preds, target = images(7)
    metric = PartitionMetric(segments=segments, ignore_index=255)
    for part in (slice(0, 5), slice(5, 7)):
        metric.update(preds[part], target[part])
    wanted = expected(preds, target, segments=segments, ignore_index=255)
    assert numbers(metric.compute()) == pytest.approx(wanted, rel=1e-5)
    metric.reset()
    metric.update(preds[:1], target[:1])
    assert all(map(math.isnan, numbers(metric.compute()).values()))


def test_the_value_of_a_step() -> None:
    """Calling it gives the batch's means and adds to those of the epoch."""
    preds, target = images(6)
    metric = PartitionMetric(ignore_index=255)
    first = metric(preds[:4], target[:4])
    assert numbers(first) == pytest.approx(
        expected(preds[:4], target[:4], ignore_index=255), rel=1e-5
    )
    metric(preds[4:], target[4:])
    wanted = expected(preds, target, ignore_index=255)
    assert numbers(metric.compute()) == pytest.approx(wanted, rel=1e-5)


def test_scores_are_read_by_the_largest() -> None:
    preds, target = images(3, seed=1)
    scores = torch.nn.functional.one_hot(preds, 3).movedim(-1, 1) * 2.0 - 1
    metric = PartitionMetric("split", ignore_index=255)
    metric.update(scores, target)
    wanted = expected(preds, target, metrics="split", ignore_index=255)["split"]
    assert metric.compute()["split"].item() == pytest.approx(wanted, rel=1e-5)


def test_a_collection_keeps_different_metrics_apart() -> None:
    """All agree on the first batch, which is perfect: their states are equal then."""
    metric = MetricCollection(
        {
            "segments": PartitionMetric("split"),
            "labels": PartitionMetric("split", segments="labels"),
            "merged": PartitionMetric("merge"),
            "void": PartitionMetric("split", ignore_index=0),
        }
    )
    same = torch.tensor([[[0, 1, 1]]])
    metric.update(same, same)
    metric.update(torch.tensor([[[1, 0, 1]]]), torch.tensor([[[0, 0, 0]]]))
    found = numbers(metric.compute())
    assert found == pytest.approx(
        {
            # of the second image; by halves with the first, whose scores are 0
            "segments_split": math.log(3) / 2,
            "labels_split": (math.log(3) - 2 / 3 * math.log(2)) / 2,
            "merged_merge": 0.0,
            "void_split": 0.0,
        },
        abs=1e-6,
    )


def test_what_torchmetrics_asks() -> None:
    metric = PartitionMetric()
    assert metric.higher_is_better is False
    assert PartitionMetric("rand_index").higher_is_better is True
    assert PartitionMetric(["rand_index", "split"]).higher_is_better is None
    assert metric.is_differentiable is False
    preds, target = images(2)
    metric.update(preds, target)
    again = pickle.loads(pickle.dumps(metric))
    assert numbers(again.compute()) == numbers(metric.compute())
    assert metric.state_dict() == {}


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'split'"):
        PartitionMetric("splitt")
    with pytest.raises(ValueError, match=r"preds must have the shape of target.*got \(2, 3, 4\)"):
        PartitionMetric().update(torch.zeros(2, 3, 4).long(), torch.zeros(2, 4).long())


def test_without_torchmetrics_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "metriseg.partitions.torchmetrics"
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError, match=r"needs torchmetrics: pip install 'metriseg\[torchmetr"):
        importlib.import_module(module)


ALONE = """
from metriseg.partitions.torchmetrics import PartitionMetric

generator = torch.Generator().manual_seed(0)
preds = torch.randint(3, (7, 6, 5), generator=generator)
target = torch.randint(2, (7, 6, 5), generator=generator)
target[::3] = 255
whole = PartitionMetric(ignore_index=255)
whole.update(preds, target)
expected = whole.compute()
assert expected["split"] > 0
"""

TOGETHER = """
for share in (5, 7):
    metric = PartitionMetric(ignore_index=255)
    mine = slice(0, share) if rank == 0 else slice(share, 7)
    if len(preds[mine]):
        metric.update(preds[mine], target[mine])
    torch.testing.assert_close(metric.compute(), expected)
"""


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """Of seven images five and two, then all and none."""
    run_two_ranks(ALONE, TOGETHER, tmp_path)


def test_units_and_large_labels_are_settings() -> None:
    """A collection shares no update between metrics that differ in them."""
    states = [
        PartitionMetric("split", segments="labels", **given).settings.tolist()
        for given in (
            {},
            {"unit": "bits"},
            {"ignore_index": 0},
            {"ignore_index": 2**63 - 1},
            {"ignore_index": 2**63},
            {"ignore_index": 2**64 - 1},
        )
    ]
    assert len({tuple(one) for one in states}) == 6
    truth, found = torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 2, 1, 1]]])
    metric = PartitionMetric("split", segments="labels", unit="bits")
    metric.update(found, truth)
    # two of four pixels in halves
    assert metric.compute()["split"].item() == 0.5
