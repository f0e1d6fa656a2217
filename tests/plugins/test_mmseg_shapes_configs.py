"""The configs of the experiment with shapes train with MMSegmentation's runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner
from mmseg.registry import METRICS, MODELS
from mmseg.utils import register_all_modules

from metriseg import models
from metriseg.configuration import config_path
from metriseg_mmseg.segment_metric import SegmentMetric

#: Config -> its loss in the log.
LOSSES = {
    "cross-entropy": "loss_ce",
    "dice": "loss_dice",
    "partition-conv1x1": "loss_partition",
    "partition-gumbel": "loss_partition",
    "partition-soft": "loss_partition",
    "partition-kernel": "loss_partition",
}
SIDE = 32


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


def small(name: str, work_dir: Path) -> Config:
    """Two iterations of a narrow network on small images."""
    cfg = Config.fromfile(config_path(f"mmseg/shapes_segnet_{name}.py"))
    cfg.model.backbone.update(width=4)
    cfg.model.decode_head.update(in_channels=4, channels=4)
    cfg.model.data_preprocessor.size = (SIDE, SIDE)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.batch_size = 2
        loader.dataset.length = 4
        loader.dataset.settings.size = (SIDE, SIDE)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = cfg.visualizer.name = work_dir.name
    return cfg


@pytest.mark.training
@pytest.mark.parametrize("name", LOSSES)
def test_config_trains_and_scores(name: str, tmp_path: Path) -> None:
    """Every weight that has a gradient moves, and the partition of fresh images is scored."""
    runner = Runner.from_cfg(small(name, tmp_path))
    head = runner.model.decode_head
    before = head.conv_seg.weight.detach().clone()
    seen: list[Any] = []
    stock = head.loss_by_feat
    head.loss_by_feat = lambda *given: seen.append(stock(*given)) or seen[-1]
    runner.train()
    assert runner.iter == 2
    assert not torch.equal(head.conv_seg.weight, before)
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    assert all(LOSSES[name] in losses for losses in seen)
    assert 0 < float(runner.message_hub.get_scalar(f"train/decode.{LOSSES[name]}").current()) < 10
    score = runner.message_hub.get_scalar("val/partition/normalized_partition_distance")
    assert 0 <= score.current() <= 1


def test_the_configs_differ_in_the_head_and_the_scores_alone() -> None:
    """Same data, network, steps and rate for all methods."""
    base = Config.fromfile(config_path("mmseg/shapes_segnet_cross-entropy.py")).to_dict()
    for name in LOSSES:
        other = Config.fromfile(config_path(f"mmseg/shapes_segnet_{name}.py")).to_dict()
        differing = {key for key in other if other[key] != base.get(key)}
        assert differing <= {"model", "val_evaluator", "test_evaluator", "segments"}
        parts = {key for key in base["model"] if other["model"][key] != base["model"][key]}
        assert parts <= ({"decode_head", "type"} if name == "partition-kernel" else {"decode_head"})


def test_kernel_config_asks_for_classes_and_an_embedding() -> None:
    head = Config.fromfile(config_path("mmseg/shapes_segnet_partition-kernel.py")).model.decode_head
    assert head.type == "metriseg_mmseg.EmbeddingFCNHead"
    assert (head.num_classes, head.embedding_channels) == (6, 6)
    for loss in head.loss_decode:
        MODELS.build(loss)


def test_backbone_is_the_network_without_its_last_convolution() -> None:
    """With the same weights, that convolution of the features is the network's output."""
    network = models.SegNet(3, 5, width=4).eval()
    backbone = MODELS.build({"type": "metriseg_mmseg.SegNet", "width": 4}).eval()
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("classifier")}
    backbone.network.load_state_dict(state)
    images = torch.rand(2, 3, SIDE, 40)
    (features,) = backbone(images)
    assert features.shape == (2, 4, SIDE, 40)
    torch.testing.assert_close(network.classifier(features), network(images))


def head(**more: Any) -> Any:
    loss = {"type": "metriseg_mmseg.PartitionLoss", "segments": {"type": "KNNSegments"}}
    words = {"in_channels": 4, "channels": 4, "num_convs": 0, "concat_input": False}
    return MODELS.build(
        {"type": "metriseg_mmseg.SegmentHead", "loss_decode": loss, **words, **more}
    )


def test_segment_head_starts_from_numbers_that_differ() -> None:
    """Kaiming's deviation is sqrt(2 / 4) = 0.71 for four channels, the stock head's 0.01."""
    built = head()
    built.init_weights()
    assert 0.2 < float(built.conv_seg.weight.detach().square().mean().sqrt()) < 1.5


def test_segment_head_refuses_losses_that_know_no_objects() -> None:
    with pytest.raises(ValueError, match=r"losses of metriseg_mmseg .* got CrossEntropyLoss"):
        head(loss_decode={"type": "CrossEntropyLoss", "use_sigmoid": True})


def sample(values: torch.Tensor, instances: torch.Tensor) -> dict[str, Any]:
    return {
        "seg_logits": {"data": values.sigmoid().unsqueeze(0)},
        "gt_instance_map": {"data": instances.unsqueeze(0)},
    }


def test_metric_scores_the_segments_of_the_channel() -> None:
    """Two of four objects that touch have one value.

    The image of 4 x 4 pixels has four columns, each an object. Values 0, 1, 2, 2 join the last two:
    2 * 4 * 4 = 32 ordered pairs of 16² = 256. In those 8 pixels it isn't told which of two objects
    they are: merge is 8 / 16 of ln 2. The means with a perfect image are half of that.
    """
    instances = torch.arange(4).expand(4, 4)
    metric: BaseMetric = METRICS.build(
        {
            "type": "metriseg_mmseg.SegmentMetric",
            "extractor": {"type": "KNNSegments", "k": 4},
            "metrics": ["normalized_partition_distance", "merge"],
        }
    )
    metric.process(None, [sample(torch.tensor([0.0, 1.0, 2.0, 2.0]).expand(4, 4), instances)])
    metric.process(None, [sample(instances.float(), instances)])
    joined, perfect = metric.results
    assert joined["normalized_partition_distance"] == pytest.approx(32 / 256)
    assert joined["merge"] == pytest.approx(0.5 * 0.6931472)
    assert perfect == {"normalized_partition_distance": 0.0, "merge": 0.0}
    assert metric.evaluate(2)["partition/merge"] == pytest.approx(0.25 * 0.6931472)


def test_metric_asks_for_the_objects() -> None:
    with pytest.raises(ValueError, match="must hold gt_instance_map"):
        SegmentMetric().process(None, [{"seg_logits": {"data": torch.rand(1, 4, 4)}}])
    with pytest.raises(ValueError, match="no background, got object_f1"):
        SegmentMetric(metrics=["split", "object_f1"])
