"""The partition metric under MONAI's contract: batches, evaluators, bundles, ranks."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")

from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from monai.transforms import AsDiscreted
from torch import Tensor, nn

from metriseg.partitions import DEFAULT_SCORES, mean_scores, partition_scores
from metriseg_monai import PartitionMetric
from metriseg_monai.handlers import PartitionMetricHandler
from reference.ranks import run_two_ranks

PAGE = Path(__file__).parents[2] / "docs" / "monai.md"
CLASSES = 3


def one_hot(labels: Tensor, classes: int = CLASSES) -> Tensor:
    """``(B, C, *S)`` float of labels ``(B, *S)``; zeros where a label is no class."""
    return torch.stack([labels == k for k in range(classes)], 1).float()


def images(count: int, *shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predicted and true labels ``(B, *S)``; every third image is all void."""
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randint(CLASSES, (count, *shape), generator=generator)
    truth = torch.randint(2, (count, *shape), generator=generator)
    truth[2::3] = 255
    return prediction, truth


def each(prediction: Tensor, truth: Tensor, **options: Any) -> list[dict[str, float]]:
    return [partition_scores(t, p, **options) for t, p in zip(truth, prediction, strict=True)]


def test_a_column_a_score() -> None:
    """Rows of images in order, undefined ones NaN; the mean is over the others."""
    prediction, truth = images(4, 6, 5)
    metric = PartitionMetric(ignore_index=255)
    rows = torch.cat(
        [
            metric(prediction[:3, None], truth[:3, None]),
            metric(prediction[3:, None], truth[3:, None]),
        ]
    )
    assert metric.metric_names == DEFAULT_SCORES
    expected = each(prediction, truth, ignore_index=255)
    torch.testing.assert_close(
        rows, torch.tensor([list(one.values()) for one in expected]), equal_nan=True
    )
    assert rows[2].isnan().all()
    means = torch.tensor(list(mean_scores(expected).values()))
    torch.testing.assert_close(metric.aggregate(), means)
    torch.testing.assert_close(metric.aggregate("none"), rows, equal_nan=True)
    torch.testing.assert_close(metric.aggregate("sum_batch"), 3 * means)
    metric.reset()
    with pytest.raises(ValueError, match="nothing to aggregate"):
        metric.aggregate()


@pytest.mark.parametrize("form", ["labels", "float", "one_hot", "mixed", "list", "meta"])
def test_the_forms_of_monai(form: str) -> None:
    """All say the same: also 3-D, and void that one-hot labels leave without a channel."""
    prediction, truth = images(2, 4, 3, 3)
    truth[0, :2] = 255
    expected = PartitionMetric(ignore_index=255)(prediction[:, None], truth[:, None])
    given: dict[str, tuple[Any, Any]] = {
        "labels": (prediction[:, None].byte(), truth[:, None].byte()),
        "float": (prediction[:, None].float(), truth[:, None].float()),
        "one_hot": (one_hot(prediction), one_hot(truth)),
        "mixed": (one_hot(prediction), truth[:, None]),
        "list": (list(one_hot(prediction)), list(one_hot(truth))),
        "meta": (MetaTensor(one_hot(prediction)), MetaTensor(truth[:, None].float())),
    }
    found = PartitionMetric(ignore_index=255)(*given[form])
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_no_channel_is_a_class_of_its_own() -> None:
    """Sigmoid channels without one for the background: 0 of no class is not class 0."""
    labels = torch.tensor([[[0, 1, 2, 2]]])
    metric = PartitionMetric("merge")
    assert metric(one_hot(labels.squeeze(1), 2), labels).item() == 0


def test_an_ignored_channel() -> None:
    """Class 0 is left out of truth 0122 and prediction 0112: H(2 | 1) = 2/3 ln 2 remains."""
    truth, prediction = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 1, 2, 2]])
    metric = PartitionMetric("split", ignore_index=0)
    found = metric(one_hot(prediction), one_hot(truth))
    assert found.item() == pytest.approx(2 / 3 * math.log(2))


def test_reductions() -> None:
    """Undefined stays undefined: MONAI's own reduction would make 0 of it, which is perfect."""
    void = torch.full((2, 1, 3), 255)
    metric = PartitionMetric("split", ignore_index=255, get_not_nans=True, reduction="mean")
    metric(torch.zeros(2, 1, 3), void)
    value, count = metric.aggregate()
    assert value.isnan()
    assert count == 0
    metric(torch.tensor([[[1, 2, 2]]]), torch.tensor([[[1, 1, 1]]]))
    value, count = metric.aggregate("mean_batch")
    assert value.tolist() == pytest.approx([math.log(3) - 2 / 3 * math.log(2)])
    assert count == 1
    with pytest.raises(ValueError, match="would mix scores"):
        PartitionMetric().aggregate("mean")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric_names": "splitt"}, "did you mean 'split'"),
        ({"reduction": "mean"}, "reduction must be one of 'none', 'mean_batch', 'sum_batch'"),
        ({"segments": "instances"}, "segments must be one of"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartitionMetric(**options)


@pytest.mark.parametrize(
    ("y_pred", "y", "message"),
    [
        (torch.randn(1, 3, 4, 4), torch.zeros(1, 1, 4, 4), r"AsDiscreted\(argmax=True\)"),
        (torch.ones(1, 3, 4, 4), torch.zeros(1, 1, 4, 4), "y_pred must give every voxel at most"),
        (torch.zeros(1, 4), torch.zeros(1, 4), r"y_pred must have shape \(B, C, \*S\)"),
        (torch.zeros(1, 1, 4), torch.zeros(1, 1, 5), "prediction must have the shape of truth"),
        (torch.zeros(2, 1, 4), torch.zeros(1, 1, 4), "y must have the batch of y_pred, 2, got 1"),
        (torch.zeros(2, 1, 4), None, "y must be the true labels"),
    ],
)
def test_bad_tensors(y_pred: Tensor, y: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartitionMetric()(y_pred, y)


class Given(nn.Module):
    """A network whose logits are its input."""

    def forward(self, image: Tensor) -> Tensor:
        return image


@pytest.mark.parametrize("names", ["split", ["split", "adapted_rand_error"]])
def test_an_evaluator_of_a_bundle(names: str | list[str]) -> None:
    """The handler by its ``_target_`` in MONAI's evaluator, its first score the key metric."""
    prediction, truth = images(5, 6, 5)
    items = [
        {"image": p, "label": t}
        for p, t in zip(one_hot(prediction), truth[:, None].float(), strict=True)
    ]
    parser = ConfigParser(
        {
            "handler": {
                "_target_": "metriseg_monai.handlers.PartitionMetricHandler",
                "metric_names": names,
                "ignore_index": 255,
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        }
    )
    handler = parser.get_parsed_content("handler")
    assert isinstance(handler, PartitionMetricHandler)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=Given(),
        postprocessing=AsDiscreted(keys="pred", argmax=True),
        key_val_metric={"partition": handler},
        metric_cmp_fn=lambda now, best: now < best,
        additional_metrics={
            "whole": PartitionMetricHandler(
                segments="labels",
                output_transform=from_engine(["pred", "label"]),
                save_details=False,
            )
        },
    )
    for _ in range(2):
        evaluator.run()
    expected = mean_scores(each(prediction, truth, ignore_index=255))
    found = evaluator.state.metrics
    assert found["partition"] == pytest.approx(expected["split"], rel=1e-5)
    assert evaluator.state.best_metric == found["partition"]
    several = {name for name in found if name.startswith("partition_")}
    if names == "split":
        assert not several
    else:
        assert several == {"partition_split", "partition_adapted_rand_error"}
        assert found["partition_adapted_rand_error"] == pytest.approx(
            expected["adapted_rand_error"], rel=1e-5
        )
    assert "whole" in found
    assert set(evaluator.state.metric_details) == {"partition"}
    assert evaluator.state.metric_details["partition"].shape == (5, len(several) or 1)


def test_the_snippet_of_the_page() -> None:
    (code,) = re.findall(r"```json\n([^`]*PartitionMetric.*?)```", PAGE.read_text(), re.DOTALL)
    parser = ConfigParser({"imports": ["$import monai"], **json.loads(code)})
    (handler,) = parser.get_parsed_content("partition_metrics").values()
    assert isinstance(handler, PartitionMetricHandler)
    assert handler.metric_names == ("variation_of_information", "split", "merge")


def test_the_handler_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="reduction must be 'mean_batch' or 'sum_batch'"):
        PartitionMetricHandler(reduction="none")


ALONE = """
from metriseg_monai import PartitionMetric

generator = torch.Generator().manual_seed(0)
prediction = torch.randint(3, (5, 1, 6, 5), generator=generator)
truth = torch.randint(2, (5, 1, 6, 5), generator=generator)
truth[3] = 255
whole = PartitionMetric(ignore_index=255, get_not_nans=True)
rows = whole(prediction, truth)
expected, counts = whole.aggregate()
"""

TOGETHER = """
for share in (4, 5):
    metric = PartitionMetric(ignore_index=255, get_not_nans=True)
    mine = slice(0, share) if rank == 0 else slice(share, 5)
    if len(truth[mine]):
        metric(prediction[mine], truth[mine])
    found, found_counts = metric.aggregate()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_counts, counts)
    torch.testing.assert_close(metric.get_buffer(), rows, equal_nan=True)
    metric.reset()
"""


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """Of five images four and one, then all and none, which MONAI's own metrics wait for."""
    run_two_ranks(ALONE, TOGETHER, tmp_path)
