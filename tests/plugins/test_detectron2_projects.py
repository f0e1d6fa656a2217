"""Configs of Detectron2's projects: ``train_net`` declares their keys and trains as they do."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.engine import default_argument_parser
from detectron2.model_zoo import get_config_file
from PIL import Image

from metriseg_detectron2.datasets import register_shapes
from metriseg_detectron2.loaders import build_train_mapper
from metriseg_detectron2.train_net import main, read_config

SIDE = 64
HAS_OPENCV = importlib.util.find_spec("cv2") is not None
HAS_PANOPTICAPI = importlib.util.find_spec("panopticapi") is not None
CHECKOUT = Path.home() / ".cache/metriseg/detectron2/projects"

DEEPLAB = f"""
_BASE_: {get_config_file("Base-RCNN-DilatedC5.yaml")}
MODEL:
  META_ARCHITECTURE: SemanticSegmentor
  DEVICE: cpu
  WEIGHTS: ""
  BACKBONE: {{NAME: build_resnet_deeplab_backbone, FREEZE_AT: 0}}
  RESNETS:
    NORM: BN
    DEPTH: 50
    RES2_OUT_CHANNELS: 8
    WIDTH_PER_GROUP: 8
    STEM_OUT_CHANNELS: 8
    OUT_FEATURES: [res2, res5]
  SEM_SEG_HEAD:
    NAME: DeepLabV3PlusHead
    IN_FEATURES: [res2, res5]
    PROJECT_FEATURES: [res2]
    PROJECT_CHANNELS: [4]
    ASPP_CHANNELS: 8
    ASPP_DILATIONS: [1, 2, 3]
    CONVS_DIM: 8
    NORM: BN
    NUM_CLASSES: 6
INPUT:
  MIN_SIZE_TRAIN: [{2 * SIDE}]
  MIN_SIZE_TEST: {SIDE}
  CROP: {{ENABLED: True, TYPE: absolute, SIZE: [{SIDE}, {SIDE}], SINGLE_CATEGORY_MAX_AREA: 0.9}}
SOLVER: {{LR_SCHEDULER_NAME: WarmupPolyLR, WARMUP_ITERS: 0, BASE_LR: 0.01, MAX_ITER: 2}}
"""
POINT_REND = f"""
_BASE_: {get_config_file("Base-RCNN-FPN.yaml")}
MODEL:
  MASK_ON: True
  DEVICE: cpu
  WEIGHTS: ""
  BACKBONE: {{FREEZE_AT: 0}}
  RESNETS: {{DEPTH: 18, RES2_OUT_CHANNELS: 64, NORM: BN}}
  FPN: {{OUT_CHANNELS: 16}}
  RPN: {{POST_NMS_TOPK_TRAIN: 20, POST_NMS_TOPK_TEST: 20}}
  ROI_HEADS: {{NUM_CLASSES: 5, BATCH_SIZE_PER_IMAGE: 8}}
  ROI_BOX_HEAD: {{FC_DIM: 16, TRAIN_ON_PRED_BOXES: True}}
  ROI_MASK_HEAD:
    NAME: PointRendMaskHead
    POOLER_TYPE: ""
    CONV_DIM: 16
    FC_DIM: 16
    IN_FEATURES: [p2]
    POINT_HEAD_ON: True
  POINT_HEAD: {{NUM_CLASSES: 5, FC_DIM: 16, IN_FEATURES: [p2], SUBDIVISION_STEPS: 2}}
INPUT: {{MASK_FORMAT: bitmask, MIN_SIZE_TRAIN: [{SIDE}], MIN_SIZE_TEST: {SIDE}}}
SOLVER: {{MAX_ITER: 2}}
TEST: {{DETECTIONS_PER_IMAGE: 5}}
"""


@pytest.fixture
def written(tmp_path):
    """A config file of a text."""

    def write(text):
        (tmp_path / "config.yaml").write_text(text)
        return str(tmp_path / "config.yaml")

    return write


@pytest.fixture
def shapes(tmp_path):
    settings = {"size": (SIDE, SIDE), "number": (2, 3), "radius": (8.0, 14.0)}
    name = register_shapes("val", tmp_path, name="projects", length=2, settings=settings)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.pop(name, None)


@pytest.mark.training
@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        (DEEPLAB, {"sem_seg", "partition"}),
        pytest.param(
            POINT_REND,
            {"bbox", "segm", "partition", "mask"},
            marks=pytest.mark.skipif(not HAS_OPENCV, reason="PointRend needs OpenCV"),
        ),
    ],
)
def test_a_projects_config_trains(text, tasks, written, shapes, tmp_path, monkeypatch):
    """And ends with figures. DeepLab's rate in iteration 1 of 2 is 0.01 (1 - 1/2)^0.9."""
    monkeypatch.chdir(tmp_path)
    words = ["DATASETS.TRAIN", f"('{shapes}',)", "DATASETS.TEST", f"('{shapes}',)"]
    words += ["OUTPUT_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", "0"]
    words += ["SOLVER.IMS_PER_BATCH", "2", "SOLVER.STEPS", "()", "SEED", "0"]
    main(default_argument_parser().parse_args(["--config-file", written(text), *words]))
    lines = (tmp_path / "metrics.json").read_text().splitlines()
    scalars = {key: value for line in lines for key, value in json.loads(line).items()}
    assert {key.split("/")[0] for key in scalars if "/" in key} >= tasks
    if text == DEEPLAB:
        assert scalars["lr"] == pytest.approx(0.01 * 0.5**0.9)


@pytest.mark.parametrize(
    ("name", "declares", "leaves_out"),
    [
        ("DeepLab", "SOLVER.POLY_LR_POWER", "MODEL.POINT_HEAD"),
        ("PointRend", "MODEL.POINT_HEAD", "SOLVER.POLY_LR_POWER"),
    ],
)
def test_every_config_of_a_project_is_read(name, declares, leaves_out):
    """With the keys of its project, and no others."""
    if name == "PointRend" and not HAS_OPENCV:
        pytest.skip("PointRend needs OpenCV")
    files = sorted((CHECKOUT / name / "configs").rglob("*.yaml"))
    if not files:
        pytest.skip(f"projects are not in Detectron2's wheel: put a checkout in {CHECKOUT.parent}")
    for file in files:
        cfg = read_config(str(file))
        assert has(cfg, declares), file
        assert not has(cfg, leaves_out), file


def has(cfg, key):
    for word in key.split("."):
        if word not in cfg:
            return False
        cfg = cfg[word]
    return True


@pytest.mark.skipif(HAS_PANOPTICAPI, reason="panopticapi is installed")
def test_a_missing_package_is_named(written):
    text = f"""
_BASE_: {get_config_file("Base-RCNN-DilatedC5.yaml")}
MODEL: {{META_ARCHITECTURE: PanopticDeepLab}}
"""
    message = "PanopticDeepLab is of Detectron2's project panoptic_deeplab, which needs panopticapi"
    with pytest.raises(ImportError, match=message):
        read_config(written(text))


@pytest.mark.parametrize(
    ("text", "overrides", "known"),
    [
        # a key alone, of a file or of the command line, and a head of ours in place of one
        ("INPUT: {CROP: {SINGLE_CATEGORY_MAX_AREA: 0.5}}", [], "SOLVER.POLY_LR_POWER"),
        ("VERSION: 2", ["MODEL.RESNETS.RES4_DILATION", "2"], "MODEL.RESNETS.STEM_TYPE"),
        (
            "VERSION: 2",
            ["MODEL.SEM_SEG_HEAD.NAME", "'MetrisegDeepLabV3PlusHead'"],
            "MODEL.SEM_SEG_HEAD.LOSS_TYPE",
        ),
    ],
)
def test_one_word_of_a_project_is_enough(text, overrides, known, written):
    cfg = read_config(written(text), overrides)
    assert has(cfg, known)
    assert not has(get_cfg(), known)


def test_without_such_words_no_key_is_added(written):
    plain = read_config(written(f"_BASE_: {get_config_file('Base-RCNN-FPN.yaml')}"))
    added = {"SOLVER.POLY_LR_POWER", "SOLVER.OPTIMIZER", "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA"}
    assert not any(has(plain, key) for key in added)


def test_a_key_that_no_project_knows_stays_an_error(written):
    with pytest.raises(KeyError, match=r"Non-existent config key: SOLVER\.POLY_POWER"):
        read_config(written("SOLVER: {POLY_POWER: 0.9}\nVERSION: 2"))


@pytest.mark.skipif(not HAS_OPENCV, reason="PointRend needs OpenCV")
def test_polygons_are_refused_for_point_rend(written):
    with pytest.raises(ValueError, match=r"MASK_FORMAT must be 'bitmask' with .*PointRendMask"):
        read_config(written(POINT_REND), ["INPUT.MASK_FORMAT", "polygon"])


def test_a_class_has_no_more_of_a_crop_than_it_may(written, tmp_path):
    """Half of an image is class 1, at the right: crops of a quarter lie across the border.

    Flipped by the config's word, as Detectron2's own mapper does.
    """
    left = np.zeros((SIDE, SIDE), np.uint8)
    left[:, SIDE // 2 :] = 1
    Image.fromarray(left).save(tmp_path / "map.png")
    Image.fromarray(np.stack([255 * left] * 3, 2)).save(tmp_path / "image.png")
    record = {
        "file_name": str(tmp_path / "image.png"),
        "sem_seg_file_name": str(tmp_path / "map.png"),
        "height": SIDE,
        "width": SIDE,
    }
    size = f"[{SIDE}, {SIDE}]"
    overrides = ["INPUT.CROP.SIZE", size, "INPUT.RANDOM_FLIP", "none"]
    mapper = build_train_mapper(read_config(written(DEEPLAB), overrides))
    np.random.seed(0)
    for _ in range(20):
        mapped = mapper(record)
        assert mapped["sem_seg"].shape == (SIDE, SIDE)
        share = (mapped["sem_seg"] == 1).float().mean()
        assert 0.1 <= share <= 0.9
        assert torch.equal(mapped["sem_seg"][:, 0], torch.zeros(SIDE, dtype=torch.int64))
    kinds = [type(one) for one in mapper.augmentations.augs]
    assert kinds == [T.ResizeShortestEdge, T.RandomCrop_CategoryAreaConstraint]


def test_other_models_have_detectron2s_mapper(written):
    semantic = f"_BASE_: {get_config_file('Misc/semantic_R_50_FPN_1x.yaml')}"
    assert build_train_mapper(read_config(written(semantic))) is None
    instances = f"_BASE_: {get_config_file('Base-RCNN-FPN.yaml')}"
    assert build_train_mapper(read_config(written(instances))) is None
