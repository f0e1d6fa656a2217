"""The digits in Detectron2's format, and the IoU of masks."""

import shutil

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.datasets import convert_to_coco_json
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from pycocotools import mask as rle

from metriseg.configuration import config_path
from metriseg.data.digits import load_digits, scenes
from metriseg_detectron2 import GivenBoxes, MaskIoUEvaluator
from metriseg_detectron2.datasets import SCENES, register_digits
from metriseg_detectron2.evaluation import coco_evaluator
from metriseg_detectron2.train_net import read_config

SIDE = 8


def square(x0, y0, x1, y1):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


@pytest.fixture
def two_squares():
    """A data set of one image with two squares, and a crowd that doesn't count."""
    boxes = [(0, 0, 4, 4), (4, 4, 8, 8), (0, 4, 4, 8)]
    record = {
        "file_name": "one.png",
        "image_id": 1,
        "height": SIDE,
        "width": SIDE,
        "annotations": [
            {
                "bbox": list(map(float, box)),
                "bbox_mode": 0,
                "category_id": i,
                "iscrowd": int(i == 2),
                "segmentation": rle.encode(np.asfortranarray(square(*box))),
            }
            for i, box in enumerate(boxes)
        ],
    }
    DatasetCatalog.register("two_squares", lambda: [record])
    yield "two_squares"
    DatasetCatalog.remove("two_squares")
    MetadataCatalog.pop("two_squares", None)


def predicted(*masks):
    stacked = np.stack(masks) if masks else np.zeros((0, SIDE, SIDE))
    return [{"instances": Instances((SIDE, SIDE), pred_masks=torch.tensor(stacked).bool())}]


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([square(0, 0, 4, 4), square(4, 4, 8, 8)], 1.0),
        # half of the first: 8 of 16; of the second 4 of 16 + 12; the worse candidates don't count
        ([square(0, 0, 2, 4), square(6, 6, 8, 8), square(0, 0, 1, 4)], (0.5 + 0.25) / 2),
        # a mask that reaches into the crowd below it is as wrong there as on the background
        ([square(0, 0, 4, 8), square(4, 4, 8, 8)], (0.5 + 1) / 2),
        ([], 0.0),
    ],
)
def test_the_best_mask_of_each_true_instance_counts(two_squares, masks, expected):
    evaluator = MaskIoUEvaluator(two_squares)
    evaluator.reset()
    evaluator.process([{"file_name": "one.png"}], predicted(*masks))
    assert evaluator.evaluate() == {"mask": {"mIoU": pytest.approx(expected)}}
    evaluator.reset()
    assert evaluator.evaluate() == {"mask": {"mIoU": 0.0}}


def mask_precision(name, folder, *masks):
    """COCO's AP of certain masks of the categories 0, 1 …"""
    evaluator = coco_evaluator(name, str(folder), ["segm"])
    evaluator.reset()
    (output,) = predicted(*masks)
    output["instances"].pred_boxes = Boxes(torch.zeros(len(masks), 4))
    output["instances"].scores = torch.ones(len(masks))
    output["instances"].pred_classes = torch.arange(len(masks))
    evaluator.process([{"file_name": "one.png", "image_id": 1}], [output])
    return evaluator.evaluate()["segm"]["AP"]


def test_average_precision_is_by_the_truth_as_it_is(two_squares, tmp_path):
    """Where the folder of the first evaluator is gone; and where an object is another.

    Of two categories one mask is right, and then none.
    """
    metadata = MetadataCatalog.get(two_squares).set(thing_classes=["a", "b", "c"])
    masks = (square(0, 0, 4, 4), square(0, 0, 2, 2))
    assert mask_precision(two_squares, tmp_path / "first", *masks) == pytest.approx(50)
    shutil.rmtree(tmp_path / "first")
    assert mask_precision(two_squares, tmp_path / "other", *masks) == pytest.approx(50)
    DatasetCatalog.get(two_squares)[0]["annotations"][0].update(
        bbox=[5.0, 0.0, 8.0, 2.0], segmentation=rle.encode(np.asfortranarray(square(5, 0, 8, 2)))
    )
    assert mask_precision(two_squares, tmp_path / "other", *masks) == pytest.approx(0)
    assert not hasattr(metadata, "json_file")


def test_a_data_sets_own_annotations_stay_its_truth(two_squares, tmp_path):
    masks = (square(0, 0, 4, 4), square(4, 4, 8, 8))
    metadata = MetadataCatalog.get(two_squares).set(thing_classes=["a", "b", "c"])
    own = tmp_path / "own.json"
    convert_to_coco_json(two_squares, str(own))
    metadata.json_file = str(own)
    DatasetCatalog.get(two_squares)[0]["annotations"].clear()
    assert mask_precision(two_squares, tmp_path / "folder", *masks) == pytest.approx(100)
    assert metadata.json_file == str(own)


@pytest.fixture
def model():
    torch.manual_seed(0)
    path = config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")
    return build_model(read_config(str(path), ["MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"]))


def test_masks_are_predicted_on_the_given_boxes(two_squares, model):
    """In the pixels of a network's input eight times as large, and back."""
    wrapped = GivenBoxes(model.eval(), [two_squares])
    assert not wrapped.training
    one = {
        "file_name": "one.png",
        "image": torch.rand(3, 8 * SIDE, 8 * SIDE),
        "height": SIDE,
        "width": SIDE,
    }
    with torch.no_grad():
        (output,) = wrapped([one])
    found = output["instances"]
    boxes = Boxes(torch.tensor([[0.0, 0, 4, 4], [4, 4, 8, 8]]))
    torch.testing.assert_close(found.pred_boxes.tensor, boxes.tensor)
    assert found.pred_classes.tolist() == [0, 1]
    assert found.pred_masks.shape == (2, SIDE, SIDE)
    assert not found.pred_masks[0, 5:, 5:].any()


def test_an_image_without_objects_has_no_masks(two_squares, model):
    """It neither fails nor counts."""
    (record,) = DatasetCatalog.get(two_squares)
    record["annotations"] = [one for one in record["annotations"] if one["iscrowd"]]
    one = {"file_name": "one.png", "image": torch.rand(3, 64, 64), "height": SIDE, "width": SIDE}
    with torch.no_grad():
        outputs = GivenBoxes(model.eval(), [two_squares])([one])
    assert len(outputs[0]["instances"]) == 0
    evaluator = MaskIoUEvaluator(two_squares)
    evaluator.process([one], outputs)
    assert evaluator.evaluate() == {"mask": {"mIoU": 0.0}}


def test_given_boxes_are_for_mask_rcnn(two_squares):
    with pytest.raises(ValueError, match="model must be a GeneralizedRCNN, got Linear"):
        GivenBoxes(torch.nn.Linear(1, 1), [two_squares])


def test_digits_read_by_detectron2s_own_mapper_are_the_scenes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = register_digits("val")
    assert register_digits("val") == name == "metriseg_digits_val"
    records = DatasetCatalog.get(name)
    assert len(records) == SCENES["val"]
    scene = next(scenes(load_digits("val"), 1, seed=1))
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[],
        image_format="RGB",
        use_instance_mask=True,
        instance_mask_format="bitmask",
    )
    read = mapper(records[0])
    np.testing.assert_array_equal(read["image"].numpy(), np.stack([scene.image] * 3))
    np.testing.assert_array_equal(read["instances"].gt_masks.tensor.numpy(), scene.masks)
    np.testing.assert_array_equal(read["instances"].gt_boxes.tensor.numpy(), scene.boxes)
    np.testing.assert_array_equal(read["instances"].gt_classes.numpy(), scene.labels)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of 'train', 'val', 'test'"):
        register_digits("trian")
