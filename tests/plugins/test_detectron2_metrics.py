"""The partition evaluator on what Detectron2's models give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.config import LazyCall, instantiate
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.modeling import build_model
from detectron2.structures import Instances
from PIL import Image
from pycocotools import mask as rle

from metriseg.configuration import config_path
from metriseg.partitions import DEFAULT_SCORES, partition_scores
from metriseg_detectron2 import PartitionEvaluator
from metriseg_detectron2.train_net import Trainer, read_config
from reference.ranks import run_two_ranks

SIDE = 64
NAME = "partition_evaluator_test"
#: Rows of 8: two instances that overlap by two pixels, the smaller being 2 2 2; 9 is a crowd.
ROW = [1, 1, 1, 2, 2, 2, 0, 9]


def enlarged(row: list[int]) -> np.ndarray:
    return np.kron(np.array([row]), np.ones((SIDE, SIDE // 8), np.int64))


def annotation(mask: np.ndarray, category: int, *, crowd: bool = False) -> dict[str, Any]:
    columns = np.flatnonzero(mask.any(0))
    return {
        "bbox": [float(columns[0]), 0.0, float(columns[-1] + 1), float(SIDE)],
        "bbox_mode": 0,
        "category_id": category,
        "iscrowd": int(crowd),
        "segmentation": rle.encode(np.asfortranarray(mask.astype(np.uint8))),
    }


@pytest.fixture
def record(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """An image with all three kinds of truth, in Detectron2's catalogue."""
    labels = enlarged(ROW)
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "image.png")
    classes = np.where(labels == 9, 255, labels > 0).astype(np.uint8)
    Image.fromarray(classes).save(tmp_path / "classes.png")
    # segments 300 (red 44, green 1), 65537 (red 1, blue 1) and 5; the background is void
    coded = np.zeros((SIDE, SIDE, 3), np.uint8)
    coded[labels == 1], coded[labels == 2], coded[labels == 9] = (44, 1, 0), (1, 0, 1), (5, 0, 0)
    Image.fromarray(coded).save(tmp_path / "segments.png")
    made = {
        "file_name": str(tmp_path / "image.png"),
        "image_id": 1,
        "height": SIDE,
        "width": SIDE,
        "sem_seg_file_name": str(tmp_path / "classes.png"),
        "pan_seg_file_name": str(tmp_path / "segments.png"),
        "segments_info": [
            {"id": 300, "category_id": 0, "iscrowd": 0},
            {"id": 65537, "category_id": 1, "iscrowd": 0},
            {"id": 5, "category_id": 1, "iscrowd": 1},
        ],
        "annotations": [
            annotation(labels == 2, 1),
            annotation(np.isin(enlarged([1, 1, 1, 1, 1, 0, 0, 0]), [1]), 0),
            annotation(np.isin(labels, [2, 9]), 1, crowd=True),
        ],
    }
    DatasetCatalog.register(NAME, lambda: [made])
    MetadataCatalog.get(NAME).set(ignore_label=255)
    yield made
    DatasetCatalog.remove(NAME)
    MetadataCatalog.pop(NAME, None)


def evaluated(record: dict[str, Any], output: dict[str, Any], **options: Any) -> dict[str, float]:
    evaluator = PartitionEvaluator(NAME, **options)
    evaluator.process([{"file_name": record["file_name"]}], [output])
    results = evaluator.evaluate()
    assert results is not None
    return results["partition"]


def logits(labels: np.ndarray, classes: int = 3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), classes).movedim(-1, 0).float()


def test_semantic(record: dict[str, Any]) -> None:
    """Truth 111111 0 void; predicted 11 0 111 0 with any class on void.

    Of seven columns the six of one segment break in 2, 1 and 3:
    split = -(2 ln 2/6 + ln 1/6 + 3 ln 3/6)/7.
    """
    output = {"sem_seg": logits(enlarged([1, 1, 0, 1, 1, 1, 0, 2]))}
    found = evaluated(record, output)
    expected = -(2 * math.log(2 / 6) + math.log(1 / 6) + 3 * math.log(3 / 6)) / 7
    assert found["split"] == pytest.approx(expected)
    assert found["merge"] == 0
    assert list(found) == list(DEFAULT_SCORES)
    two = evaluated(record, output, metrics=["merge", "rand_index"], ignore_label=0)
    assert list(two) == ["merge", "rand_index"]


@pytest.mark.parametrize("scores", [[0.9, 0.2, 0.1], [0.1, 0.2, 0.9], None])
def test_instances(record: dict[str, Any], scores: list[float] | None) -> None:
    """The masks overlap in columns 3 and 4; there the better score wins, or the smaller mask.

    Truth 111 222 0 crowd. Where the first mask wins, the prediction is 11111 2 0: the six columns
    of the true ones have split (2 ln(3/2) + ln 3)/7 and merge (3 ln(5/3) + 2 ln(5/2))/7. On the
    crowd, which the third mask covers, nothing counts.
    """
    masks = torch.tensor(
        np.stack(
            [
                enlarged([1, 1, 1, 1, 1, 0, 0, 0]),
                enlarged([0, 0, 0, 1, 1, 1, 0, 0]),
                enlarged([0, 0, 0, 0, 0, 0, 0, 1]),
            ]
        )
    ).bool()
    instances = Instances((SIDE, SIDE), pred_masks=masks)
    if scores is not None:
        instances.scores = torch.tensor(scores)
    found = evaluated(record, {"instances": instances}, kind="instances")
    wrong = scores is not None and scores[0] > scores[1]
    split = (2 * math.log(3 / 2) + math.log(3)) / 7 if wrong else 0.0
    merge = (3 * math.log(5 / 3) + 2 * math.log(5 / 2)) / 7 if wrong else 0.0
    assert found["split"] == pytest.approx(split)
    assert found["merge"] == pytest.approx(merge)


def test_no_instances_at_all(record: dict[str, Any]) -> None:
    """Nothing is found, or nothing is there and that is found."""
    none = Instances(
        (SIDE, SIDE), pred_masks=torch.zeros(0, SIDE, SIDE).bool(), scores=torch.zeros(0)
    )
    found = evaluated(record, {"instances": none}, kind="instances")
    assert found["split"] == 0
    assert found["merge"] == pytest.approx((6 * math.log(7 / 3) + math.log(7)) / 7)
    record["annotations"] = []
    assert set(evaluated(record, {"instances": none}, kind="instances").values()) == {0.0}


@pytest.mark.parametrize("kind", ["instances", "instance_map"])
@pytest.mark.parametrize("crowds", [[[6], [7]], [[6, 7]]], ids=["two", "one"])
def test_no_crowd_counts_however_many_there_are(
    record: dict[str, Any], crowds: list[list[int]], kind: str
) -> None:
    """Truth 111 222 and crowds; predicted 111 222, and on the crowds what one likes."""
    del record["sem_seg_file_name"]
    record["annotations"] = [
        *(annotation(enlarged(ROW) == k, 0) for k in (1, 2)),
        *(annotation(np.isin(enlarged(list(range(8))), columns), 0, crowd=True)
          for columns in crowds),
    ]  # fmt: skip
    for six, seven in ((0, 0), (3, 3), (3, 4), (2, 1)):
        found = evaluated(record, segments([1, 1, 1, 2, 2, 2, six, seven], kind), kind=kind)
        assert set(found.values()) == {0.0}
    wrong = evaluated(record, segments([1, 1, 1, 1, 1, 1, 0, 0], kind), kind=kind)
    assert wrong["merge"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("kind", ["instances", "instance_map"])
def test_what_the_classes_ignore_counts_in_no_instance(record: dict[str, Any], kind: str) -> None:
    """Truth 111 222 00, of which the classes leave out the columns 2, 3 and 7.

    Predicted 11 44 22 0 3: without those it is right. Where nothing says so, all count.
    """
    record["annotations"] = [annotation(enlarged(ROW) == k, 0) for k in (1, 2)]
    classes = enlarged([1, 1, 255, 255, 1, 1, 0, 255]).astype(np.uint8)
    Image.fromarray(classes).save(record["sem_seg_file_name"])
    output = segments([1, 1, 4, 4, 2, 2, 0, 3], kind)
    assert set(evaluated(record, output, kind=kind).values()) == {0.0}
    assert evaluated(record, output, kind=kind, ignore_label=7)["split"] > 0
    del record["sem_seg_file_name"]
    assert evaluated(record, output, kind=kind)["split"] > 0


def segments(row: list[int], kind: str) -> dict[str, Any]:
    """What a model of the kind gives for a map of instances."""
    numbers = torch.tensor(enlarged(row))
    if kind == "instance_map":
        return {"instance_map": numbers}
    masks = torch.stack([numbers == k for k in sorted({*row} - {0})])
    return {"instances": Instances((SIDE, SIDE), pred_masks=masks, scores=torch.ones(len(masks)))}


def test_panoptic(record: dict[str, Any]) -> None:
    """Void and crowd don't count; the right segments under other numbers, -1 among them."""
    for row, merge in (
        ([7, 7, 7, 4, 4, 4, 0, 0], 0.0),
        ([-1, -1, -1, 1000, 1000, 1000, 5, 6], 0.0),
        ([4, 4, 4, 4, 4, 4, 0, 0], math.log(2)),
    ):
        numbers = torch.tensor(enlarged(row), dtype=torch.int32)
        found = evaluated(record, {"panoptic_seg": (numbers, None)}, kind="panoptic")
        assert found["split"] == 0
        assert found["merge"] == pytest.approx(merge)


def test_predicted_void_is_no_object(record: dict[str, Any]) -> None:
    """One of two segments is void (0 beside segments_info, else -1): TP 1, FN 1, F1 2/3."""
    for row, segments in (
        ([0, 0, 0, 4, 4, 4, 0, 0], []),
        ([-1, -1, -1, 0, 0, 0, -1, -1], None),
    ):
        numbers = torch.tensor(enlarged(row), dtype=torch.int32)
        output = {"panoptic_seg": (numbers, segments)}
        found = evaluated(record, output, kind="panoptic", metrics=["object_f1", "object_ap"])
        assert found == pytest.approx({"object_f1": 2 / 3, "object_ap": 1 / 2})


def test_reset_and_nothing_to_compare(record: dict[str, Any]) -> None:
    evaluator = PartitionEvaluator(NAME, task="stuff")
    evaluator.process([record], [{"sem_seg": logits(enlarged(ROW) % 9)}])
    evaluator.reset()
    results = evaluator.evaluate()
    assert results is not None
    assert list(results) == ["stuff"]
    assert all(map(math.isnan, results["stuff"].values()))


def test_what_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="kind must be one of 'semantic', 'instances', 'panopti"):
        PartitionEvaluator(NAME, "instance")
    with pytest.raises(ValueError, match="did you mean 'split'"):
        PartitionEvaluator(NAME, metrics="splitt")
    with pytest.raises(ValueError, match="ignore_label is of the other kinds, got it with 'panop"):
        PartitionEvaluator(NAME, "panoptic", ignore_label=255)
    del record["sem_seg_file_name"]
    with pytest.raises(ValueError, match="kind 'semantic' needs sem_seg_file_name in every record"):
        PartitionEvaluator(NAME)


SMALL = [
    *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 8),
    *("MODEL.SEM_SEG_HEAD.NORM", "BN", "MODEL.FPN.OUT_CHANNELS", 8),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 8, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),
]


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("SemanticSegmentor", "semantic"),
        ("GeneralizedRCNN", "instances"),
        ("PanopticFPN", "panoptic"),
    ],
)
def test_real_models(record: dict[str, Any], architecture: str, kind: Any) -> None:
    """Detectron2's own loop, a model of random weights, and the same numbers by hand."""
    torch.manual_seed(0)
    path = config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")
    words = ["MODEL.META_ARCHITECTURE", architecture, "MODEL.ROI_MASK_HEAD.LOSSES", "[]"]
    cfg = read_config(str(path), [*words, *map(str, SMALL)])
    model = build_model(cfg).eval()
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format="BGR")
    batch = [mapper(dict(record))]
    evaluator = instantiate(LazyCall(PartitionEvaluator)(dataset_name=NAME, kind=kind))
    results = inference_on_dataset(model, [batch], [evaluator])
    print_csv_format(results)
    with torch.no_grad():
        (output,) = model(batch)
    if kind == "semantic":
        maps = np.array(Image.open(record["sem_seg_file_name"])), output["sem_seg"].argmax(0)
        expected = partition_scores(*maps, ignore_index=255)
    elif kind == "panoptic":
        segments = np.where(np.isin(enlarged(ROW), [0, 9]), 0, enlarged(ROW))
        numbers = output["panoptic_seg"][0]
        expected = partition_scores(segments, numbers, segments="labels", ignore_index=0)
    else:
        painted = np.zeros((SIDE, SIDE), np.int64)
        found = output["instances"]
        assert len(found) > 0
        for k in found.scores.argsort().tolist():
            painted[found.pred_masks[k].numpy()] = k + 1
        expected = partition_scores(enlarged(ROW), painted, segments="labels", ignore_index=9)
    assert results["partition"] == pytest.approx(expected)


def test_our_trainer_reports_it_of_what_is_detected(record: dict[str, Any], tmp_path: Path) -> None:
    """Beside COCO's average precision, and the IoU of the masks on boxes that are given."""
    path = config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")
    words = ["DATASETS.TEST", f"('{NAME}',)", "OUTPUT_DIR", str(tmp_path), *map(str, SMALL)]
    cfg = read_config(str(path), [*words, "MODEL.ROI_HEADS.NUM_CLASSES", "2"])
    MetadataCatalog.get(NAME).set(thing_classes=["a", "b"])
    model = build_model(cfg)
    results = Trainer.test(cfg, model)
    assert set(results) == {"bbox", "segm", "mask", "partition"}
    with torch.no_grad():
        batch = [DatasetMapper(cfg, is_train=False)(dict(record))]
        (output,) = model.eval()(batch)
    assert results["partition"] == pytest.approx(evaluated(record, output, kind="instances"))


ALONE = """
from detectron2.data import DatasetCatalog
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from PIL import Image
from metriseg_detectron2 import PartitionEvaluator

generator = torch.Generator().manual_seed(0)
truth = torch.randint(2, (5, 6, 5), generator=generator)
truth[3] = 255
scores = torch.rand(5, 3, 6, 5, generator=generator)
records = [dict(file_name=f"{i}", sem_seg_file_name=f"{rank}_{i}.png") for i in range(5)]
for record, labels in zip(records, truth):
    Image.fromarray(labels.byte().numpy()).save(record["sem_seg_file_name"])
DatasetCatalog.register("five", lambda: records)
evaluator = PartitionEvaluator("five", ignore_label=255)

def evaluate(indices):
    evaluator.reset()
    for i in indices:
        evaluator.process([records[i]], [dict(sem_seg=scores[i])])
    return evaluator.evaluate()

expected = evaluate(range(5))
assert expected["partition"]["split"] > 0
"""

TOGETHER = """
shares = [list(InferenceSampler(5)), list(range(5)) if rank == 0 else []]
assert len(shares[0]) == 3 - rank
for share in shares:
    found = evaluate(share)
    if rank == 1:
        assert found is None
    else:
        for name, value in expected["partition"].items():
            assert abs(found["partition"][name] - value) < 1e-12, (name, found)
"""


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """Of five images three and two, as Detectron2's sampler gives them, then all and none."""
    run_two_ranks(ALONE, TOGETHER, tmp_path)
