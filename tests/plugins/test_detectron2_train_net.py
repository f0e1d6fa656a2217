"""``train_net`` on models of Detectron2's zoo: they train, end with figures and resume.

The zoo's YAML comes from the installed wheel; only sizes, data sets and heads are overridden.
"""

import json
import logging
import math

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_argument_parser
from detectron2.model_zoo import get_config_file
from PIL import Image

from metriseg_detectron2 import build_evaluator
from metriseg_detectron2.datasets import register_shapes
from metriseg_detectron2.train_net import Trainer, main, read_config

pytestmark = pytest.mark.training

SIDE = 64
#: Any model of the zoo, small enough for a processor, on shapes of five categories.
SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.RESNETS.DEPTH": 18,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
    "MODEL.RESNETS.NORM": "BN",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 20,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
    "MODEL.ROI_HEADS.NUM_CLASSES": 5,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 1,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 6,
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": 16,
    "MODEL.SEM_SEG_HEAD.NORM": "BN",
    "INPUT.MASK_FORMAT": "bitmask",
    "INPUT.MIN_SIZE_TRAIN": f"({SIDE},)",
    "INPUT.MIN_SIZE_TEST": SIDE,
    "TEST.DETECTIONS_PER_IMAGE": 5,
    "DATALOADER.NUM_WORKERS": 0,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.STEPS": "()",
    "SEED": 0,
}
MASK_HEAD = {
    "MODEL.ROI_MASK_HEAD.NAME": "MetrisegMaskRCNNConvUpsampleHead",
    "MODEL.ROI_MASK_HEAD.LOSSES": "[{'NAME': 'DiceLoss'}]",
}
SEMANTIC_HEAD = {
    "MODEL.SEM_SEG_HEAD.NAME": "MetrisegSemSegFPNHead",
    "MODEL.SEM_SEG_HEAD.LOSSES": "[{'NAME': 'TverskyLoss'}]",
}
EMBEDDING = {
    "MODEL.META_ARCHITECTURE": "MetrisegEmbeddingSegmentor",
    "MODEL.MASK_ON": True,
    "MODEL.SEM_SEG_HEAD.NAME": "MetrisegEmbeddingSemSegFPNHead",
    "MODEL.SEM_SEG_HEAD.LOSSES": "[{'NAME': 'PartitionLoss', 'SEGMENTS': {'TYPE': 'KernelSegments'}"
    ", 'INCLUDE_BACKGROUND': False}, {'NAME': 'CrossEntropyLoss'}]",
}
MASK_RCNN = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
SEMANTIC_FPN = "Misc/semantic_R_50_FPN_1x.yaml"
PANOPTIC_FPN = "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml"
RETINANET = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
#: The zoo's file, our heads, and the tasks of the results.
CASES = {
    "Mask R-CNN": (MASK_RCNN, MASK_HEAD, {"bbox", "segm", "partition", "mask"}),
    "semantic FPN": (SEMANTIC_FPN, SEMANTIC_HEAD, {"sem_seg", "partition"}),
    "panoptic FPN": (
        PANOPTIC_FPN,
        {**MASK_HEAD, **SEMANTIC_HEAD},
        {"bbox", "segm", "sem_seg", "partition_instances", "partition_semantic", "mask"},
    ),
    "embedding": (SEMANTIC_FPN, EMBEDDING, {"sem_seg", "partition"}),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Data sets of four images to train on, and three to test on."""
    folder = tmp_path_factory.mktemp("shapes")
    settings = {"size": (SIDE, SIDE), "number": (2, 3), "radius": (8.0, 14.0)}
    names = [
        register_shapes(split, folder, name=f"train_net_{split}", length=n, settings=settings)
        for split, n in (("train", 4), ("val", 3))
    ]
    yield names
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


def overridden(shapes, folder, *more):
    """``KEY VALUE`` pairs, the later ones in place of the earlier."""
    train, test = shapes
    sets = {"DATASETS.TRAIN": f"('{train}',)", "DATASETS.TEST": f"('{test}',)"}
    pairs = {**SMALL, **sets, "OUTPUT_DIR": str(folder)}
    for mapping in more:
        pairs |= mapping
    return [str(word) for pair in pairs.items() for word in pair]


def run(file, options, overrides):
    command = ["--config-file", get_config_file(file), *options, *overrides]
    return main(default_argument_parser().parse_args(command))


def logged(folder):
    """What was written last of every scalar, and the iterations of all lines."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    scalars = {}
    for line in lines:
        scalars.update(line)
    return scalars, [line["iteration"] for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_it_trains_resumes_and_is_scored(case, shapes, tmp_path, monkeypatch):
    """Evaluated again from its last checkpoint it has the figures that training ended with."""
    monkeypatch.chdir(tmp_path)
    file, heads, tasks = CASES[case]
    run(file, [], overridden(shapes, tmp_path, heads))
    # the losses of iteration 1, and the figures after it
    assert logged(tmp_path)[1] == [1, 2]
    run(file, ["--resume"], overridden(shapes, tmp_path, heads, {"SOLVER.MAX_ITER": 3}))
    scalars, iterations = logged(tmp_path)
    assert iterations == [1, 2, 2, 3]

    final = {"MODEL.WEIGHTS": str(tmp_path / "model_final.pth"), "OUTPUT_DIR": tmp_path / "again"}
    results = run(file, ["--eval-only"], overridden(shapes, tmp_path, heads, final))
    assert set(results) == tasks
    for task in tasks:
        for key, value in results[task].items():
            assert scalars[f"{task}/{key}"] == pytest.approx(value, nan_ok=True)
            assert task in ("bbox", "segm") or math.isfinite(value), (task, key)


def evaluated(file, shapes, folder, *more):
    cfg = read_config(get_config_file(file), overridden(shapes, folder, *more))
    return cfg, build_evaluator(cfg, shapes[1])


def test_a_model_without_masks_has_the_precision_of_boxes(shapes, tmp_path):
    count = {"MODEL.RETINANET.NUM_CLASSES": 5}
    for file, more in ((RETINANET, count), (MASK_RCNN, {"MODEL.MASK_ON": False})):
        cfg, _ = evaluated(file, shapes, tmp_path, more)
        assert set(Trainer.test(cfg, Trainer.build_model(cfg))) == {"bbox"}


@pytest.fixture
def other(shapes, tmp_path):
    """A data set of the same records under another name, which a test may spoil."""
    names = []

    def register(change, **metadata):
        records = [change(dict(record)) for record in DatasetCatalog.get(shapes[1])]
        names.append(f"train_net_other_{len(names)}")
        DatasetCatalog.register(names[-1], lambda: records)
        MetadataCatalog.get(names[-1]).set(**metadata)
        return shapes[0], names[-1]

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


def without(*keys):
    return lambda record: {key: value for key, value in record.items() if key not in keys}


def boxes_alone(record):
    bare = [without("segmentation")(one) for one in record["annotations"]]
    return {**record, "annotations": bare}


THINGS = {"thing_classes": list("abcde")}
CLASSES = {"stuff_classes": list("-abcde"), "ignore_label": 255}


@pytest.mark.parametrize(
    ("file", "more", "change", "metadata", "words"),
    [
        (MASK_RCNN, {}, without("annotations"), THINGS, "no annotations in the record of"),
        (MASK_RCNN, {}, without(), CLASSES, "no thing_classes in its metadata"),
        (MASK_RCNN, {}, boxes_alone, THINGS, "no segmentation in the annotations of"),
        (SEMANTIC_FPN, {}, without("sem_seg_file_name"), CLASSES, "no sem_seg_file_name in the re"),
        (SEMANTIC_FPN, {}, without(), {"stuff_classes": ["-"]}, "no ignore_label in its metadata"),
        (
            PANOPTIC_FPN,
            {},
            without("annotations", "sem_seg_file_name"),
            {**THINGS, **CLASSES},
            "average precision: no annotations.* IoU of classes: no sem_seg_file_name",
        ),
        (
            SEMANTIC_FPN,
            {"MODEL.SEM_SEG_HEAD.NUM_CLASSES": 54},
            without(),
            CLASSES,
            "MODEL.SEM_SEG_HEAD.NUM_CLASSES must be at most 6, the number of stuff_classes of"
            " 'train_net_other_0' in DATASETS.TEST, got 54",
        ),
        (
            "COCO-Detection/rpn_R_50_FPN_1x.yaml",
            {},
            without(),
            THINGS,
            "META_ARCHITECTURE: no evaluator is known for ProposalNetwork, only for GeneralizedR",
        ),
    ],
)
def test_what_is_missing_is_said_by_its_name(
    file, more, change, metadata, words, other, tmp_path, monkeypatch
):
    """Before anything is trained: there is no checkpoint."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        run(file, [], overridden(other(change, **metadata), tmp_path, more))
    assert not list(tmp_path.glob("**/*.pth"))


@pytest.mark.parametrize(
    ("file", "more", "tasks"),
    [
        (PANOPTIC_FPN, {}, {"sem_seg", "partition_semantic"}),
        (SEMANTIC_FPN, EMBEDDING, {"sem_seg"}),
    ],
)
def test_a_model_of_two_kinds_is_evaluated_for_what_there_is(file, more, tasks, other, tmp_path):
    """Without objects: the classes alone. What is left out, and why, is in the log, once."""
    logger, handler = logging.getLogger("metriseg_detectron2.evaluation"), logging.Handler()
    said = []
    # a handler of its own: whether the logger hands on to others, other tests decide
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    try:
        names = other(without("annotations"), evaluator_type="coco", **THINGS, **CLASSES)
        cfg, _ = evaluated(file, names, tmp_path, more)
        results = Trainer.test(cfg, Trainer.build_model(cfg))
    finally:
        logger.removeHandler(handler)
    assert set(results) == tasks
    start = f"left out of the evaluation of {names[1]!r}: "
    assert all(message.startswith(start) for message in said)
    assert sum("instance" in message and "no annotations in" in message for message in said) == 1
    reason = "panoptic quality: its evaluator_type is 'coco', not 'coco_panoptic_seg'"
    assert sum(reason in message for message in said) == (file == PANOPTIC_FPN)


def test_what_would_fail_after_the_training_fails_before_it(other, tmp_path, monkeypatch):
    """A label of 200 in a map of six classes: the evaluator can't count it."""
    monkeypatch.chdir(tmp_path)
    wrong = tmp_path / "wrong.png"
    Image.fromarray(np.full((SIDE, SIDE), 200, np.uint8)).save(wrong)
    names = other(lambda record: {**record, "sem_seg_file_name": str(wrong)}, **CLASSES)
    with pytest.raises(RuntimeError, match="evaluation of 'train_net_other_0' fails at its first"):
        run(SEMANTIC_FPN, [], overridden(names, tmp_path))
    assert not list(tmp_path.glob("**/*.pth"))


def test_pascal_has_detectron2s_own_evaluator(other, tmp_path):
    metadata = {"dirname": str(tmp_path), "split": "val", "year": 2012}
    names = other(without(), evaluator_type="pascal_voc", **THINGS, **metadata)
    _, evaluator = evaluated(MASK_RCNN, names, tmp_path)
    (only,) = evaluator._evaluators
    assert type(only).__name__ == "PascalVOCDetectionEvaluator"


def test_several_data_sets_have_figures_each(shapes, other, tmp_path):
    """The IoU of masks on given boxes goes to the figures of its data set."""
    _, second = other(without(), **THINGS)
    both = {"DATASETS.TEST": f"('{shapes[1]}', '{second}')"}
    cfg, _ = evaluated(MASK_RCNN, shapes, tmp_path, both)
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert list(results) == [shapes[1], second]
    assert results[second]["mask"] == pytest.approx(results[shapes[1]]["mask"])
    assert set(results[second]) == {"bbox", "segm", "partition", "mask"}


def test_without_test_data_nothing_is_evaluated(shapes, tmp_path):
    overrides = overridden(shapes, tmp_path, {"DATASETS.TEST": "()"})
    cfg = read_config(get_config_file(MASK_RCNN), overrides)
    assert Trainer.test(cfg, Trainer.build_model(cfg)) == {}
