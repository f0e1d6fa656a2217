"""The partition metric in MMEngine's evaluators, loops and ranks."""

from __future__ import annotations

import math
import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import metriseg_mmseg
from metriseg.configuration import config_path
from metriseg.partitions import DEFAULT_SCORES, SCORES, mean_scores, partition_scores
from reference.ranks import run_two_ranks

PAGE = Path(__file__).parents[2] / "docs" / "mmsegmentation.md"
CONFIG = config_path("mmseg/mnist_unet_power-jaccard.py")


def sample(truth: Any, prediction: Any) -> SegDataSample:
    made = SegDataSample()
    made.gt_sem_seg = PixelData(data=torch.as_tensor(np.asarray(truth))[None])
    made.pred_sem_seg = PixelData(data=torch.as_tensor(np.asarray(prediction))[None])
    return made


def evaluate(*samples: SegDataSample, **config: Any) -> dict[str, float]:
    """By MMEngine's evaluator, as its loops do it."""
    evaluator = Evaluator([{"type": "metriseg_mmseg.PartitionMetric", **config}])
    for one in samples:
        evaluator.process(data_samples=[one], data_batch=None)
    found: dict[str, float] = evaluator.evaluate(len(samples))
    return found


def test_the_mean_over_images() -> None:
    """Split ln 2 in one image, nothing in the next, no pixel that counts in the last: ln 2 / 2."""
    found = evaluate(
        sample([[1, 1, 1, 1]], [[1, 1, 0, 0]]),
        sample([[1, 1, 255, 0]], [[2, 2, 2, 1]]),
        sample([[255, 255]], [[0, 1]]),
    )
    assert list(found) == [f"partition/{name}" for name in DEFAULT_SCORES]
    assert found["partition/split"] == pytest.approx(math.log(2) / 2)
    assert found["partition/merge"] == 0


def test_nothing_to_compare_is_undefined() -> None:
    assert all(map(math.isnan, evaluate(sample([[255]], [[0]])).values()))


def test_the_config_decides() -> None:
    """Names, segments, the ignored label and the prefix; float zeros and ones of a binary head."""
    truth, prediction = [[0, 1, 0, 7]], np.array([[0.0, 0.0, 0.0, 1.0]])
    found = evaluate(
        sample(truth, prediction),
        metrics=["merge"],
        segments="labels",
        ignore_index=7,
        prefix="objects",
    )
    assert found == {"objects/merge": pytest.approx(math.log(3) - 2 / 3 * math.log(2))}
    (alone,) = evaluate(sample(truth, prediction), metrics="rand_index", ignore_index=None)
    assert alone == "partition/rand_index"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_what_is_left_out_in_any_type(dtype: torch.dtype) -> None:
    """Loaders pack bytes, which hold no -1: the ignored pixel was object 255.

    Instances 255, 255 and the ignored pixel against 1, 2 and 2: of the two that count one object is
    split, ln 2. Of classes, 255 is no label -1, and a wall of 0 parts what has the same class.
    """
    one = sample([[1, 1, 9]], [[1, 1, 1]])
    for name, numbers in (("gt_instance_map", [255, 255, 255]), ("pred_instance_map", [1, 2, 2])):
        setattr(one, name, PixelData(data=torch.tensor([[numbers]]).to(dtype)))
    one.gt_sem_seg.data = one.gt_sem_seg.data.to(dtype)
    found = evaluate(one, segments="instances", ignore_index=9, metrics=["split", "merge"])
    assert found == {"partition/split": pytest.approx(math.log(2)), "partition/merge": 0}
    top = torch.iinfo(dtype).max
    classes = sample(torch.tensor([[top, 0, top]]).to(dtype), torch.tensor([[1, 1, 2]]).to(dtype))
    assert evaluate(classes, ignore_index=0, metrics="split") == {"partition/split": 0}
    whole = evaluate(classes, ignore_index=None, metrics="merge")
    assert evaluate(classes, ignore_index=-1, metrics="merge") == whole


def test_it_is_found_by_its_name_alone() -> None:
    built = METRICS.build({"type": "metriseg_mmseg.PartitionMetric"})
    assert type(built) is metriseg_mmseg.PartitionMetric
    with pytest.raises(ValueError, match="did you mean 'rand_index'"):
        METRICS.build({"type": "metriseg_mmseg.PartitionMetric", "metrics": "rand_indx"})


def test_the_snippet_of_the_page() -> None:
    """It is built, and the name that chooses the checkpoint is one of the results."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "PartitionMetric" in code or "partition/" in code:
            exec(code, names)
    scores = METRICS.build(names["val_evaluator"][1]).scores.names
    checkpoint = names["default_hooks"]["checkpoint"]
    assert checkpoint["save_best"] in [f"partition/{name}" for name in scores]
    assert all(SCORES[name].better == "lower" for name in scores)


def test_a_sample_without_truth_is_refused() -> None:
    unlabelled = sample([[1]], [[1]])
    del unlabelled.gt_sem_seg
    with pytest.raises(ValueError, match="data_samples must hold gt_sem_seg"):
        evaluate(unlabelled)


@pytest.mark.training
def test_the_runner_validates_with_it(tmp_path: Path) -> None:
    """Beside the stock metric, and the best checkpoint is chosen by it; values as by hand."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.in_channels = cfg.model.decode_head.channels = 4
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.indices = 8
    cfg.val_dataloader.batch_size = 4
    cfg.val_dataloader.dataset.indices = 6
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.val_evaluator = [
        {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
        {"type": "metriseg_mmseg.PartitionMetric"},
    ]
    cfg.default_hooks.checkpoint.update(save_best="partition/adapted_rand_error", rule="less")
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert list(tmp_path.glob("best_partition_adapted_rand_error_iter_2.pth"))
    (log,) = tmp_path.glob("*/*.log")
    assert "partition/variation_of_information: " in log.read_text()

    found = runner.val()
    expected = []
    for batch in runner.val_dataloader:
        for one in runner.model.val_step(batch):
            maps = one.gt_sem_seg.data[0], one.pred_sem_seg.data[0]
            expected.append(partition_scores(*maps, ignore_index=255))
    assert len(expected) == 6
    for name, value in mean_scores(expected).items():
        assert found[f"partition/{name}"] == pytest.approx(value)
    assert "mIoU" in found


ALONE = """
from mmengine.evaluator import Evaluator
from metriseg.partitions import mean_scores, partition_scores

generator = torch.Generator().manual_seed(0)
truth = torch.randint(2, (5, 1, 6, 5), generator=generator)
prediction = torch.randint(3, (5, 1, 6, 5), generator=generator)
truth[3] = 255
expected = mean_scores(
    partition_scores(t, p, ignore_index=255) for t, p in zip(truth, prediction)
)
assert expected["split"] > 0

def evaluate(indices, device):
    metric = dict(type="metriseg_mmseg.PartitionMetric", collect_device=device)
    evaluator = Evaluator([metric])
    for i in indices:
        one = dict(gt_sem_seg=dict(data=truth[i]), pred_sem_seg=dict(data=prediction[i]))
        evaluator.process(data_samples=[one], data_batch=None)
    return evaluator.evaluate(len(truth))
"""

TOGETHER = """
from mmengine.dataset import DefaultSampler
padded = list(DefaultSampler(range(5), shuffle=False))
assert len(padded) == 3
unpadded = list(DefaultSampler(range(5), shuffle=False, round_up=False))
assert len(unpadded) == 3 - rank
for indices in (padded, unpadded):
    for device in ("cpu", "gpu"):
        found = evaluate(indices, device)
        for name, value in expected.items():
            assert abs(found[f"partition/{name}"] - value) < 1e-12, (name, found)
"""


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """Five images, for which MMEngine's sampler gives one rank the first again; or doesn't.

    Gathered over files, and over the group, which with gloo is on the CPU as well.
    """
    run_two_ranks(ALONE, TOGETHER, tmp_path)
