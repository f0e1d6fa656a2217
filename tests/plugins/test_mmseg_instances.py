"""Instances from a semantic segmentor of MMSegmentation, by config alone."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import metriseg
from metriseg.configuration import config_path
from metriseg.extraction import KernelSegments
from metriseg.partitions import partition_scores
from metriseg_mmseg import EmbeddingEncoderDecoder, EmbeddingFCNHead
from metriseg_mmseg.metrics import PartitionMetric

SIDE, CLASSES, DIMENSIONS = 16, 3, 4
KERNEL = {"type": "KernelSegments", "frequencies": 16, "bandwidth": 1.0, "seed": 0}
PARTITION = {
    "type": "metriseg_mmseg.PartitionLoss",
    "segments": KERNEL,
    "include_background": False,
}
NAME = "normalized_partition_distance"
CROSS_ENTROPY = {"type": "metriseg_mmseg.CrossEntropyLoss"}


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def head(loss_decode: Any, **words: Any) -> EmbeddingFCNHead:
    torch.manual_seed(3)
    return MODELS.build(
        {
            "type": "metriseg_mmseg.EmbeddingFCNHead",
            "in_channels": 3,
            "channels": 5,
            "num_convs": 1,
            "num_classes": CLASSES,
            "dropout_ratio": 0,
            "embedding_channels": DIMENSIONS,
            "loss_decode": loss_decode,
            **words,
        }
    )


def inputs() -> tuple[Tensor]:
    return (torch.randn(2, 3, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(2)),)


def samples(*, instances: bool = True, side: int = SIDE) -> list[SegDataSample]:
    """Two images of two classes; the right half of each has two objects of class 1."""
    found = []
    for _ in range(2):
        classes = torch.zeros(1, SIDE, SIDE, dtype=torch.int64)
        classes[..., SIDE // 2 :] = 1
        numbers = torch.zeros_like(classes)
        numbers[:, :5, SIDE // 2 :], numbers[:, 5:, SIDE // 2 :] = 300, 7
        classes[:, side:], classes[:, :, side:] = 255, 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=classes))
        if instances:
            sample.gt_instance_map = PixelData(data=numbers[:, :side, :side])
        found.append(sample)
    return found


def expected(made: EmbeddingFCNHead, given: list[SegDataSample], maps: Any) -> Tensor:
    """The loss of the core, for the head's embedding at the size of the labels."""
    both = torch.nn.functional.interpolate(made(inputs()), (SIDE, SIDE), mode="bilinear")
    labels = torch.cat([sample.gt_sem_seg.data for sample in given])
    loss = metriseg.PartitionLoss(KERNEL, include_background=False, ignore_index=255)
    return loss(both[:, :CLASSES], labels, features=both[:, CLASSES:], maps=maps)


@pytest.mark.parametrize("instances", [True, False])
def test_the_loss_sees_embedding_and_instances(instances: bool) -> None:
    """Without instances the objects, of one class and touching, are one true segment."""
    made, given = head([PARTITION, CROSS_ENTROPY]), samples(instances=instances)
    values = made.loss(inputs(), given, {})
    maps = None
    if instances:
        maps = {"instances": torch.cat([sample.gt_instance_map.data for sample in given])}
    torch.testing.assert_close(values["loss_partition"], expected(made, given, maps))
    assert values.keys() == {"loss_partition", "loss_ce", "acc_seg"}
    (values["loss_partition"] + values["loss_ce"]).backward()
    for parameter in made.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert (made.embedding.layers[-1].weight.grad != 0).any()


def test_padding_is_ignored() -> None:
    """A map of 12 x 12 beside labels that were padded to 16 x 16: the rest doesn't count."""
    made, given = head(PARTITION), samples(side=12)
    numbers = torch.cat([sample.gt_instance_map.data for sample in given])
    maps = {"instances": torch.nn.functional.pad(numbers, (0, 4, 0, 4), value=99)}
    value = made.loss(inputs(), given, {})["loss_partition"]
    torch.testing.assert_close(value, expected(made, given, maps))


def test_instances_in_some_samples_only() -> None:
    given = [samples()[0], samples(instances=False)[1]]
    with pytest.raises(ValueError, match="in all data samples or in none, got it in 1 of 2"):
        head(PARTITION).loss(inputs(), given, {})


def test_a_compound_hands_both_on() -> None:
    """Its sum is that of two losses, and a stock loss beside it sees classes alone."""
    compound = {"type": "metriseg_mmseg.CompoundLoss", "terms": [PARTITION, CROSS_ENTROPY]}
    stock = {"type": "CrossEntropyLoss", "loss_name": "loss_stock"}
    one = head([compound, stock]).loss(inputs(), samples(), {})
    two = head([PARTITION, CROSS_ENTROPY]).loss(inputs(), samples(), {})
    torch.testing.assert_close(one["loss_compound"], two["loss_partition"] + two["loss_ce"])
    torch.testing.assert_close(one["loss_stock"], two["loss_ce"])


def test_a_stock_segmentor_is_given_the_classes() -> None:
    made = head(PARTITION).eval()
    metas = [{"img_shape": (SIDE, SIDE)}] * 2
    assert made.predict(inputs(), metas, {}).shape == (2, CLASSES, SIDE, SIDE)


def shapes_config(work_dir: Path, iterations: int, **model: Any) -> Config:
    """The shipped U-Net, with the changes that the documentation shows, on drawn shapes."""
    cfg = Config.fromfile(config_path("mmseg/mnist_unet_power-jaccard.py"))
    size = (32, 32)
    cfg.model.update(type="metriseg_mmseg.EmbeddingEncoderDecoder", **model)
    cfg.model.data_preprocessor.update(
        mean=[127.5] * 3, std=[127.5] * 3, size=size, type="SegDataPreProcessor"
    )
    cfg.model.backbone.update(in_channels=3, base_channels=8)
    cfg.model.decode_head.update(
        type="metriseg_mmseg.EmbeddingFCNHead", in_channels=8, channels=8, num_classes=6
    )
    cfg.model.decode_head.pop("loss_decode")
    cfg.model.decode_head.loss_decode = [
        {**PARTITION, "segments": {"type": "KernelSegments"}, "loss_weight": 3.0},
        CROSS_ENTROPY,
    ]
    pipeline = [
        {"type": "LoadImageFromNDArray"},
        {"type": "metriseg_mmseg.PackInstanceInputs"},
    ]
    for loader, length in ((cfg.train_dataloader, 64), (cfg.val_dataloader, 8)):
        loader.batch_size = 8
        loader.pop("dataset")
        settings = {
            "size": list(size),
            "shapes": ["circle"],
            "number": [2, 3],
            "radius": [5.0, 8.0],
            "seed": 1,
        }
        loader.dataset = {
            "type": "metriseg_mmseg.ShapesDataset",
            "length": length,
            "settings": settings,
            "pipeline": pipeline,
        }
    cfg.test_dataloader = cfg.val_dataloader
    # in a list: MMEngine takes a lone dict with "metrics" for a whole evaluator
    cfg.val_evaluator = [
        {"type": "metriseg_mmseg.PartitionMetric", "metrics": NAME, "segments": "instances"}
    ]
    cfg.test_evaluator = cfg.val_evaluator
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.optim_wrapper.optimizer.lr = 0.01
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(work_dir)
    return cfg


def test_the_config_survives_dump_and_reload(tmp_path: Path) -> None:
    """The extractor is a dict within the loss's dict; what is built has its settings."""
    cfg = shapes_config(tmp_path, 1, bandwidth=2.0)
    cfg.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py")
    assert again.model == cfg.model
    model = MODELS.build(again.model)
    assert isinstance(model, EmbeddingEncoderDecoder)
    assert model.bandwidth == 2.0
    assert repr(model.decode_head.loss_decode[0].extractor) == repr(KernelSegments())


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ({"type": "KernelSegment"}, "did you mean 'KernelSegments'"),
        ({"type": "KernelSegments", "frequency": 3}, "frequencies"),
        ({"frequencies": 3}, "a mapping with its name as 'type'"),
    ],
)
def test_unknown_words_are_refused(segments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build({**PARTITION, "segments": segments})


def test_a_head_without_an_embedding_is_refused(tmp_path: Path) -> None:
    cfg = shapes_config(tmp_path, 1)
    cfg.model.decode_head.type = "FCNHead"
    cfg.model.decode_head.loss_decode = CROSS_ENTROPY
    with pytest.raises(ValueError, match=r"decode_head must predict an embedding.* got FCNHead"):
        MODELS.build(cfg.model)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_flips_and_sizes_are_undone_for_instances_too(
    mode: str, binary: bool, tmp_path: Path
) -> None:
    """Data samples in the size of the original, instances only where there is foreground."""
    test_cfg = {"mode": mode, "crop_size": (24, 24), "stride": (8, 8)}
    cfg = shapes_config(tmp_path, 1, test_cfg=test_cfg)
    if binary:
        cfg.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.5)
    model = MODELS.build(cfg.model).eval()
    metas = {"ori_shape": (40, 30), "img_shape": (32, 32), "pad_shape": (32, 32)}
    given = [SegDataSample(metainfo={**metas, "flip": True, "flip_direction": "horizontal"})]
    with torch.no_grad():
        (found,) = model.predict(torch.randn(1, 3, 32, 32), given)
    channels = 1 if binary else 6
    assert found.seg_logits.data.shape == (channels, 40, 30)
    instances, classes = found.pred_instance_map.data, found.pred_sem_seg.data
    assert instances.shape == classes.shape == (1, 40, 30)
    assert instances.dtype == torch.int64
    assert torch.equal(instances > 0, classes != 0)


# ---------------------------------------------------------------------- places

TALL, WIDE, UNITS = 12, 10, [6.0, 4.0]


@MODELS.register_module()
class Untouched(nn.Module):
    """A backbone whose features are the image."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (image,)


def tiles(rows: int = 4, columns: int = 4) -> Tensor:
    """``(H, W)``: touching rectangles, numbered from 1 row by row, right of a background."""
    numbers = 1 + torch.arange(rows * columns).reshape(rows, columns)
    whole = numbers.repeat_interleave(TALL, 0).repeat_interleave(WIDE, 1)
    return nn.functional.pad(whole, (4, 0))


def picture(labels: Tensor) -> Tensor:
    """``(1, 3, H, W)``: 1 on objects and -1 beside, and the way to an object's centre in units."""
    foreground = labels > 0
    ways = torch.zeros(2, *labels.shape)
    for number in labels[foreground].unique():
        here = torch.nonzero(labels == number).float()
        ways[:, labels == number] = ((here.mean(0) - here) / torch.tensor(UNITS)).T
    return torch.cat([foreground[None] * 2.0 - 1, ways])[None]


def anchored(mode: str = "whole", **words: Any) -> EmbeddingEncoderDecoder:
    """What it predicts of a pixel, classes and offsets, is what the pixel's colour says."""
    cfg = Config(
        {
            "model": {
                "type": "metriseg_mmseg.EmbeddingEncoderDecoder",
                "backbone": {"type": "Untouched"},
                "decode_head": {
                    "type": "metriseg_mmseg.EmbeddingFCNHead",
                    "in_channels": 3,
                    "channels": 3,
                    "num_convs": 0,
                    "concat_input": False,
                    "num_classes": 2,
                    "embedding_channels": 2,
                    "coordinates": False,
                    "loss_decode": PARTITION,
                },
                "pixels_per_unit": UNITS,
                "test_cfg": {"mode": mode, "crop_size": (24, 24), "stride": (16, 14)},
                **words,
            }
        }
    )
    model = MODELS.build(cfg.model).eval()
    classes, layer = model.decode_head.conv_seg, nn.Conv2d(3, 2, 1)
    model.decode_head.embedding.layers = layer
    with torch.no_grad():
        for one, rows in (
            (classes, [[-9.0, 0.0, 0.0], [9.0, 0.0, 0.0]]),
            (layer, [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ):
            one.weight.copy_(torch.tensor(rows)[..., None, None])
            one.bias.zero_()
    return model


def instances_of(model: EmbeddingEncoderDecoder, image: Tensor, **metas: Any) -> Tensor:
    shape = tuple(image.shape[2:])
    sizes = {"ori_shape": shape, "img_shape": shape, "pad_shape": shape}
    with torch.no_grad():
        (found,) = model.predict(image, [SegDataSample(metainfo={**sizes, **metas})])
    return found.pred_instance_map.data[0]


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_windows_agree_about_places(mode: str) -> None:
    """Windows cut objects, and average what they say of the same pixel: ways, from its place."""
    truth = tiles()
    assert torch.equal(instances_of(anchored(mode), picture(truth)), truth)
    (found,) = anchored(mode).predict(picture(truth))
    assert torch.equal(found.pred_instance_map.data[0], truth)


@pytest.mark.parametrize("mode", ["whole", "slide"])
@pytest.mark.parametrize("size", [(144, 88), (24, 22), (60, 130)])
def test_places_at_another_size(mode: str, size: tuple[int, int]) -> None:
    """The instances of the image itself, enlarged: they differ at borders at the most."""
    truth = tiles()
    found = instances_of(anchored(mode), picture(truth), ori_shape=size)
    wanted = nn.functional.interpolate(truth[None, None].float(), size, mode="nearest-exact")
    pool = nn.MaxPool2d(5, 1, 2)
    inside = pool(wanted) == -pool(-wanted)
    assert torch.equal(found.unique(), truth.unique())
    assert torch.equal(found[inside[0, 0]], wanted[inside].long())


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_ways_are_those_of_the_image_that_the_network_saw(direction: str, axis: int) -> None:
    """Seen in a mirror, to the left is to the right. Beside it, padding at all four sides."""
    truth = tiles()
    seen = nn.functional.pad(picture(truth.flip(axis)), (3, 5, 2, 6))
    metas = {"flip": True, "flip_direction": direction, "ori_shape": tuple(truth.shape)}
    found = instances_of(anchored(), seen, img_padding_size=(3, 5, 2, 6), **metas)
    assert torch.equal(found, truth)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (0, "pixels_per_unit must be a finite number"),
        ([3.0, 2.0, 1.0], "pixels_per_unit must be one number or one for each of 2 axes"),
        ("six", "pixels_per_unit must be"),
    ],
)
def test_units_that_are_none(units: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        anchored(pixels_per_unit=units)


def test_the_units_survive_dump_and_reload(tmp_path: Path) -> None:
    """Loss and grouping have theirs; a U-Net that is not trained predicts in windows."""
    test_cfg = {"mode": "slide", "crop_size": (24, 24), "stride": (8, 8)}
    cfg = shapes_config(tmp_path, 1, pixels_per_unit=[6.0, 4.0], test_cfg=test_cfg)
    cfg.model.decode_head.update(embedding_channels=2, coordinates=False)
    segments = {"type": "KernelSegments", "pixels_per_unit": [6.0, 4.0], "samples": 50}
    cfg.model.decode_head.loss_decode[0].update(segments=segments, weighting="union")
    cfg.dump(tmp_path / "dumped.py")
    model = MODELS.build(Config.fromfile(tmp_path / "dumped.py").model)
    assert model.pixels_per_unit == (6.0, 4.0)
    assert list(model.decode_head.loss_decode[0].extractor.pixels_per_unit) == [6.0, 4.0]
    images, given = torch.randn(2, 3, SIDE, SIDE), samples()
    losses = model.loss(images, given)
    losses["decode.loss_partition"].backward()
    assert (model.decode_head.embedding.layers[-1].weight.grad != 0).any()
    assert instances_of(model.eval(), torch.randn(1, 3, 32, 32)).shape == (32, 32)


def test_an_embedding_too_narrow_for_offsets(tmp_path: Path) -> None:
    cfg = shapes_config(tmp_path, 1, pixels_per_unit=12)
    cfg.model.decode_head.embedding_channels = 1
    with pytest.raises(ValueError, match="decode_head must have embedding_channels >= 2"):
        MODELS.build(cfg.model)


def test_the_metric_compares_instances() -> None:
    """Objects 300 and 7 found as one, the background right; ignored pixels are left out."""
    truth = samples(side=12)[0]
    truth.gt_instance_map = samples()[0].gt_instance_map
    truth.pred_sem_seg = PixelData(data=truth.gt_sem_seg.data)
    found = (truth.gt_instance_map.data > 0).long()
    truth.pred_instance_map = PixelData(data=found)
    metric = PartitionMetric(NAME, segments="instances")
    metric.process(None, [truth.to_dict()])
    numbers = truth.gt_instance_map.data[0, :12, :12]
    wanted = partition_scores(numbers, found[0, :12, :12], metrics=NAME, segments="labels")
    value = wanted[NAME]
    assert value > 0
    assert metric.compute_metrics(metric.results) == {NAME: pytest.approx(value)}


@pytest.mark.training
def test_a_runner_trains_it(tmp_path: Path) -> None:
    """Loss falls, and the segments found on validation images are nearer than a single one."""
    cfg = shapes_config(tmp_path, 80)
    runner = Runner.from_cfg(cfg)
    torch.set_num_threads(1)
    before = runner.val()[f"partition/{NAME}"]
    runner.train()
    lines = [
        json.loads(line)
        for file in sorted(tmp_path.glob("*/vis_data/scalars.json"))
        for line in file.read_text().splitlines()
    ]
    partition = [line["decode.loss_partition"] for line in lines if "loss" in line]
    assert len(partition) == 80
    assert all(map(torch.isfinite, map(torch.tensor, partition)))
    assert sum(partition[-10:]) < 0.7 * sum(partition[:10]), partition
    after = [line[f"partition/{NAME}"] for line in lines if f"partition/{NAME}" in line]
    assert after[-1] < 0.5 * before, (after, before)
