"""Configs that ship with Detectron2 move over: another loss by the documented lines."""

import importlib
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import build_detection_train_loader as train_loader
from detectron2.engine import DefaultTrainer
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    RetinaNet,
    build_model,
)
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.utils.events import EventStorage
from PIL import Image

import metriseg_detectron2 as plugin
from metriseg.configuration import config_path
from metriseg_detectron2.config import HEADS
from metriseg_detectron2.datasets import register_shapes
from metriseg_detectron2.projects import PROJECTS
from metriseg_detectron2.train_net import read_config

PROJECTS_FOLDER = Path.home() / ".cache/metriseg/detectron2/projects"

pytestmark = pytest.mark.training

MASK = """
  ROI_MASK_HEAD:
    NAME: MetrisegMaskRCNNConvUpsampleHead
    LOSSES: [{NAME: DiceLoss}, {NAME: CrossEntropyLoss, LOSS_WEIGHT: 0.5}]
"""
SEMANTIC = """
  SEM_SEG_HEAD:
    NAME: Metriseg%s
    LOSSES: [{NAME: DiceLoss, CLASSES: present}, {NAME: FocalLoss}]
"""
OF_MASKS = {"loss_mask_dice", "loss_mask_cross_entropy"}
OF_CLASSES = {"loss_sem_seg_dice", "loss_sem_seg_focal"}

#: name -> the project whose keys it needs, the config, the documented lines, the losses logged.
ZOO = {
    "FPN": ("", "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", MASK, OF_MASKS),
    "C4": ("", "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml", MASK, OF_MASKS),
    "DC5": ("", "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x.yaml", MASK, OF_MASKS),
    "cascade": ("", "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", MASK, OF_MASKS),
    "class-agnostic": ("", "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml", MASK, OF_MASKS),
    "panoptic": (
        "",
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml",
        MASK + SEMANTIC % "SemSegFPNHead",
        OF_MASKS | OF_CLASSES,
    ),
    "semantic": ("", "Misc/semantic_R_50_FPN_1x.yaml", SEMANTIC % "SemSegFPNHead", OF_CLASSES),
    "DeepLabV3": (
        "deeplab",
        "DeepLab/configs/Cityscapes-SemanticSegmentation/"
        "deeplab_v3_R_103_os16_mg124_poly_90k_bs16.yaml",
        SEMANTIC % "DeepLabV3Head",
        OF_CLASSES,
    ),
    "DeepLabV3+": (
        "deeplab",
        "DeepLab/configs/Cityscapes-SemanticSegmentation/"
        "deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16.yaml",
        SEMANTIC % "DeepLabV3PlusHead",
        OF_CLASSES,
    ),
    "Panoptic-DeepLab": (
        "panoptic_deeplab",
        "Panoptic-DeepLab/configs/Cityscapes-PanopticSegmentation/"
        "panoptic_deeplab_R_52_os16_mg124_poly_90k_bs32_crop_512_1024.yaml",
        SEMANTIC % "PanopticDeepLabSemSegHead",
        OF_CLASSES,
    ),
    "PointRend": (
        "point_rend",
        "PointRend/configs/InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml",
        """
  ROI_HEADS:
    NAME: MetrisegPointRendROIHeads
  ROI_MASK_HEAD:
    NAME: MetrisegPointRendMaskHead
    LOSSES: [{NAME: BoundaryDoULoss}]
    POINT_LOSSES: [{NAME: DiceLoss}, {NAME: CrossEntropyLoss}]
""",
        {"loss_mask", "loss_mask_point_dice", "loss_mask_point_cross_entropy"},
    ),
    "implicit PointRend": (
        "point_rend",
        "PointRend/configs/InstanceSegmentation/implicit_pointrend_R_50_FPN_1x_coco.yaml",
        """
  ROI_MASK_HEAD:
    NAME: MetrisegImplicitPointRendMaskHead
    POINT_LOSSES: [{NAME: LovaszHingeLoss}]
""",
        {"loss_mask_point", "loss_l2"},
    ),
    "semantic PointRend": (
        "point_rend",
        "PointRend/configs/SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml",
        """
  SEM_SEG_HEAD:
    NAME: MetrisegPointRendSemSegHead
    LOSSES: [{NAME: DiceLoss, CLASSES: present}]
    POINT_LOSSES: [{NAME: LovaszSoftmaxLoss}]
  POINT_HEAD:
    COARSE_SEM_SEG_HEAD_NAME: MetrisegSemSegFPNHead
""",
        {"loss_sem_seg", "loss_sem_seg_point"},
    ),
}

#: What makes the networks small, and the data ours.
SMALL = """
VERSION: 2
MODEL:
  DEVICE: cpu
  WEIGHTS: ""
  BACKBONE: {FREEZE_AT: 0}
  RESNETS: {DEPTH: 50, NORM: BN, STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16, WIDTH_PER_GROUP: 4}
  FPN: {OUT_CHANNELS: 16}
  RPN: {BATCH_SIZE_PER_IMAGE: 16, POST_NMS_TOPK_TRAIN: 16}
  ROI_HEADS: {NUM_CLASSES: 5, BATCH_SIZE_PER_IMAGE: 8}
  ROI_BOX_HEAD: {FC_DIM: 16}
  ROI_MASK_HEAD: {CONV_DIM: 16, NUM_CONV: 1}
  SEM_SEG_HEAD: {NUM_CLASSES: 6, CONVS_DIM: 16, NORM: BN, IGNORE_VALUE: 255}
DATASETS: {TRAIN: [metriseg_zoo], TEST: []}
DATALOADER: {NUM_WORKERS: 0}
INPUT:
  {MASK_FORMAT: bitmask, MIN_SIZE_TRAIN: [64], MAX_SIZE_TRAIN: 64, CROP: {SIZE: [64, 64]}}
SOLVER: {IMS_PER_BATCH: 2, MAX_ITER: 3, BASE_LR: 0.0001, CHECKPOINT_PERIOD: 1}
"""
SMALL_PROJECTS = {
    "deeplab": {"MODEL": {"SEM_SEG_HEAD": {"ASPP_CHANNELS": 16, "PROJECT_CHANNELS": [8]}}},
    "panoptic_deeplab": {
        "MODEL": {
            "SEM_SEG_HEAD": {
                "ASPP_CHANNELS": 16,
                "PROJECT_CHANNELS": [8, 8],
                "HEAD_CHANNELS": 8,
            },
            "INS_EMBED_HEAD": {
                "ASPP_CHANNELS": 16,
                "PROJECT_CHANNELS": [8, 8],
                "HEAD_CHANNELS": 8,
                "CONVS_DIM": 8,
                "NORM": "BN",
            },
        }
    },
    "point_rend": {
        "MODEL": {"POINT_HEAD": {"FC_DIM": 16, "TRAIN_NUM_POINTS": 49}, "ROI_MASK_HEAD": {}}
    },
}


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """Shapes with categories, a map of classes, and panoptic segments in COCO's coding."""
    folder = tmp_path_factory.mktemp("shapes")
    shapes = register_shapes(
        "train", folder, name="metriseg_zoo_shapes", length=6, settings={"size": (64, 64)}
    )

    def records():
        found = []
        for record in DatasetCatalog.get(shapes):
            classes = np.array(Image.open(record["sem_seg_file_name"]))
            # segment 1 + k of class k: the shapes of a class are one segment, but for background
            path = Path(record["sem_seg_file_name"]).with_name(f"{record['image_id']}_pan.png")
            coded = np.stack([classes + 1, 0 * classes, 0 * classes], axis=-1)
            Image.fromarray(coded.astype(np.uint8)).save(path)
            segments = [
                {"id": int(k) + 1, "category_id": int(k), "iscrowd": 0, "isthing": k > 0}
                for k in np.unique(classes)
            ]
            found.append({**record, "pan_seg_file_name": str(path), "segments_info": segments})
        return found

    DatasetCatalog.register("metriseg_zoo", records)
    things = {k: k for k in range(1, 6)}
    MetadataCatalog.get("metriseg_zoo").set(
        thing_classes=["a", "b", "c", "d", "e"],
        stuff_classes=["background", "a", "b", "c", "d", "e"],
        thing_dataset_id_to_contiguous_id=things,
        ignore_label=255,
        label_divisor=1000,
    )
    yield
    for name in ("metriseg_zoo", "metriseg_zoo_shapes"):
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def project_config(project):
    """The function that declares a project's keys; and our heads for the project are there."""
    if (
        project == "panoptic_deeplab"
        and "panopticapi" not in sys.modules
        and importlib.util.find_spec("panopticapi") is None
    ):
        # the project's mapper imports it for this one function, and it is on no registry
        stand_in = types.ModuleType("panopticapi.utils")
        stand_in.rgb2id = lambda color: color.astype(np.int32) @ np.array([1, 256, 65536])
        sys.modules["panopticapi"] = types.ModuleType("panopticapi")
        sys.modules["panopticapi.utils"] = stand_in
    module = importlib.import_module(f"detectron2.projects.{project}")
    importlib.import_module(f"metriseg_detectron2.{project}")
    names = {"deeplab": "deeplab", "point_rend": "pointrend"}
    return getattr(module, f"add_{names.get(project, project)}_config")


def zoo_file(project, path):
    if not project:
        return model_zoo.get_config_file(path)
    found = PROJECTS_FOLDER / path
    if not found.is_file():
        pytest.skip(f"Detectron2's projects are not in its wheel: a checkout in {PROJECTS_FOLDER}")
    return str(found)


def config(name, folder):
    """What a user writes: a config on top of the zoo's, with the documented lines."""
    project, path, lines, _ = ZOO[name]
    file = folder / "mine.yaml"
    file.write_text(f'_BASE_: "{zoo_file(project, path)}"\nMODEL:{lines}VERSION: 2\n')
    cfg = get_cfg()
    if project:
        project_config(project)(cfg)
    plugin.add_metriseg_config(cfg)
    cfg.merge_from_file(str(file))
    small = folder / "small.yaml"
    small.write_text(SMALL)
    cfg.merge_from_file(str(small))
    if project:
        cfg.merge_from_other_cfg(type(cfg)(SMALL_PROJECTS[project]))
    if project == "point_rend":
        cfg.MODEL.POINT_HEAD.NUM_CLASSES = 6 if name.startswith("semantic") else 5
    if name == "panoptic":
        cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED = False
    cfg.OUTPUT_DIR = str(folder / "out")
    (folder / "out").mkdir(exist_ok=True)
    return cfg


class Trainer(DefaultTrainer):
    """Detectron2's, with the mapper that Panoptic-DeepLab has."""

    @classmethod
    def build_train_loader(cls, cfg):
        if cfg.MODEL.META_ARCHITECTURE != "PanopticDeepLab":
            return super().build_train_loader(cfg)
        project = sys.modules["detectron2.projects.panoptic_deeplab"]
        generator = project.target_generator.PanopticDeepLabTargetGenerator(
            ignore_label=255, thing_ids=[1, 2, 3, 4, 5], small_instance_area=64
        )
        mapper = project.PanopticDeeplabDatasetMapper(
            augmentations=[], image_format="RGB", panoptic_target_generator=generator
        )
        return train_loader(cfg, mapper=mapper)

    @classmethod
    def build_lr_scheduler(cls, cfg, optimizer):
        if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupPolyLR":
            project = importlib.import_module("detectron2.projects.deeplab")
            return project.build_lr_scheduler(cfg, optimizer)
        return super().build_lr_scheduler(cfg, optimizer)


def losses(trainer):
    return {key: v for key, (v, _) in trainer.storage.latest().items() if key.startswith("loss_")}


@pytest.mark.parametrize("name", ZOO)
def test_a_config_of_the_zoo_trains_with_other_losses(name, tmp_path):
    """State-dict keys are the stock model's; two iterations, a checkpoint, and it goes on."""
    cfg = config(name, tmp_path)
    stock = build_model(plugin.strip_metriseg_config(cfg))
    trainer = Trainer(cfg)
    assert trainer.model.state_dict().keys() == stock.state_dict().keys()
    trainer.model.load_state_dict(stock.state_dict(), strict=True)
    trainer.max_iter = 2  # cut off
    trainer.train()
    found = losses(trainer)
    assert ZOO[name][3] <= found.keys()
    assert all(np.isfinite(value) for value in found.values())
    again = Trainer(cfg)
    again.resume_or_load(resume=True)
    assert again.start_iter == 2
    for key, value in trainer.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[key], value, rtol=0, atol=0)
    again.train()
    assert losses(again).keys() == found.keys()


def test_the_shipped_semantic_config_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    register_shapes("val")
    few = ["SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.STEPS", ()]
    sets = ["DATASETS.TRAIN", ("metriseg_shapes_val",), "DATASETS.TEST", ()]
    trainer = Trainer(
        read_config(str(config_path("detectron2/shapes_semantic-fpn_dice.yaml")), few + sets)
    )
    trainer.train()
    assert losses(trainer).keys() == {"loss_sem_seg_dice", "loss_sem_seg_cross_entropy"}


@pytest.mark.parametrize("name", ZOO)
def test_without_losses_a_head_of_ours_is_the_stock_one(name, tmp_path):
    """Empty lists give the losses that the stock model logs, value for value."""
    cfg = config(name, tmp_path)
    for node in HEADS:
        cfg.MODEL[node].LOSSES = cfg.MODEL[node].POINT_LOSSES = []
    stock_cfg = plugin.strip_metriseg_config(cfg)
    ours, stock = build_model(cfg), build_model(stock_cfg)
    ours.load_state_dict(stock.state_dict(), strict=True)
    batch = next(iter(Trainer.build_train_loader(cfg)))
    found = []
    for model in (ours, stock):
        torch.manual_seed(1)
        with EventStorage():
            found.append({key: value.item() for key, value in model.train()(batch).items()})
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("name", ZOO)
def test_beside_the_stock_head_losses_are_refused(name, tmp_path):
    """Whoever builds the model, from a frozen config or not; the message names our head."""
    cfg = config(name, tmp_path)
    for node, heads in HEADS.items():
        ours = cfg.MODEL[node].NAME
        if ours not in heads:
            continue
        for key in heads[ours].keys:
            if not cfg.MODEL[node][key]:
                continue
            wrong = cfg.clone()
            for other in set(heads[ours].keys) - {key}:
                wrong.MODEL[node][other] = []
            wrong.MODEL[node].NAME = heads[ours].stock
            with pytest.raises(ValueError, match=f"{heads[ours].stock} ignores.*{key}: say {ours}"):
                build_model(wrong)
            wrong.freeze()
            with pytest.raises(ValueError, match=ours):
                build_model(wrong)


def test_of_a_coarse_head_too(tmp_path):
    cfg = config("semantic PointRend", tmp_path)
    cfg.MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME = "SemSegFPNHead"
    with pytest.raises(ValueError, match=r"COARSE_SEM_SEG_HEAD_NAME: SemSegFPNHead ignores"):
        build_model(cfg)


def test_a_stripped_config_names_stock_modules_alone(tmp_path):
    """The coarse head and PointRend's regions too."""
    for name in ("semantic PointRend", "PointRend"):
        assert "Metriseg" in (cfg := config(name, tmp_path)).dump()
        assert "Metriseg" not in plugin.strip_metriseg_config(cfg).dump()


def test_point_rends_regions_must_be_ours(tmp_path):
    cfg = config("PointRend", tmp_path)
    cfg.MODEL.ROI_HEADS.NAME = "PointRendROIHeads"
    with pytest.raises(ValueError, match="say MetrisegPointRendROIHeads"):
        build_model(cfg)


def test_point_losses_need_points(tmp_path):
    cfg = config("PointRend", tmp_path)
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = False
    with pytest.raises(ValueError, match="say POINT_HEAD_ON: True"):
        build_model(cfg)


@pytest.mark.parametrize("name", ["PointRend", "implicit PointRend", "semantic PointRend"])
def test_points_have_no_neighbours(name, tmp_path):
    cfg = config(name, tmp_path)
    node = "SEM_SEG_HEAD" if name.startswith("semantic") else "ROI_MASK_HEAD"
    for loss in ("BoundaryLoss", "ActiveContourLoss", "PartitionLoss", "HausdorffErosionLoss"):
        terms = [{"NAME": "CrossEntropyLoss"}, {"NAME": loss}]
        for given in ({"NAME": loss}, {"NAME": "CompoundLoss", "TERMS": terms}):
            cfg.MODEL[node].POINT_LOSSES = [given]
            with pytest.raises(ValueError, match=f"{loss} looks at the neighbours"):
                build_model(cfg)


@pytest.mark.parametrize(
    ("name", "node", "wrong", "message"),
    [
        ("PointRend", "ROI_MASK_HEAD", "MetrisegMaskRCNNConvUpsampleHead", "PointRendMaskHead"),
        ("DeepLabV3+", "SEM_SEG_HEAD", "MetrisegSemSegFPNHead", "MetrisegDeepLabV3PlusHead"),
        ("Panoptic-DeepLab", "SEM_SEG_HEAD", "MetrisegSemSegFPNHead", "PanopticDeepLabSemSeg"),
        ("Panoptic-DeepLab", "SEM_SEG_HEAD", "MetrisegDeepLabV3PlusHead", "PanopticDeepLabSemSeg"),
    ],
)
def test_another_head_of_ours_does_not_take_a_projects_place(name, node, wrong, message, tmp_path):
    """It failed deep inside, or trained another network in silence."""
    cfg = config(name, tmp_path)
    cfg.MODEL[node].NAME = wrong
    cfg.MODEL[node].POINT_LOSSES = []
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    with pytest.raises(ValueError, match=rf"MODEL.{node}.NAME: {wrong} .*{message}"):
        build_model(cfg)


def test_losses_of_a_head_that_is_not_built_are_refused(tmp_path):
    cfg = config("semantic", tmp_path)
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    with pytest.raises(ValueError, match=r"SEM_SEG_HEAD.LOSSES: .*GeneralizedRCNN builds no such"):
        build_model(cfg)
    cfg = config("FPN", tmp_path)
    cfg.MODEL.MASK_ON = False
    with pytest.raises(ValueError, match=r"ROI_MASK_HEAD.LOSSES: .*MASK_ON is False"):
        build_model(cfg)
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    with pytest.raises(ValueError, match="RetinaNet builds no such head"):
        build_model(cfg)


def test_what_the_heads_read_is_what_the_checks_say():
    add_deeplab_config(get_cfg())
    project_config("panoptic_deeplab")
    registries = {"ROI_MASK_HEAD": ROI_MASK_HEAD_REGISTRY, "SEM_SEG_HEAD": SEM_SEG_HEADS_REGISTRY}
    for node, heads in HEADS.items():
        for ours, head in heads.items():
            kind = registries[node].get(ours)
            assert kind.loss_keys == head.keys
            assert issubclass(kind, registries[node].get(head.stock))
    declared = {head for project in PROJECTS.values() for head in project.heads}
    assert {name for name in declared if not name.endswith("ROIHeads")} < {
        name for heads in HEADS.values() for name in heads
    }


@pytest.mark.parametrize(
    ("ours", "top"),
    [({"NAME": "CrossEntropyLoss"}, 1.0), ({"NAME": "TopKLoss", "PERCENT": 20}, 0.2)],
)
def test_pixel_weights_of_the_loader_mean_what_they_mean_there(ours, top, tmp_path):
    """Panoptic-DeepLab multiplies what a pixel costs before it mines, and each pixel is one."""
    cfg = config("Panoptic-DeepLab", tmp_path)
    cfg.MODEL.SEM_SEG_HEAD.LOSSES = [ours]
    head = build_model(cfg).sem_seg_head
    stock = importlib.import_module("detectron2.projects.deeplab.loss").DeepLabCE(
        ignore_label=255, top_k_percent_pixels=top
    )
    logits, labels = torch.randn(1, 6, 5, 5), torch.randint(6, (1, 20, 20))
    for weights in (None, torch.randint(1, 4, (1, 20, 20)).float(), torch.full((1, 20, 20), 3.0)):
        value = head.losses(logits, labels, weights=weights)["loss_sem_seg"]
        torch.testing.assert_close(value, stock(head.enlarged(logits), labels, weights))


def test_other_ways_past_the_check(tmp_path):
    """A name that PointRend translates, an architecture of one's own, MaskFormer's node."""
    cfg = config("PointRend", tmp_path)
    cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendROIHeads", "CoarseMaskHead"
    with pytest.raises(ValueError, match=r"CoarseMaskHead ignores MODEL\.ROI_MASK_HEAD.LOSSES"):
        build_model(cfg)
    cfg = config("FPN", tmp_path)
    cfg.MODEL.META_ARCHITECTURE = _OwnRetina.__name__
    with pytest.raises(ValueError, match="_OwnRetina builds no such head"):
        build_model(cfg)
    cfg = get_cfg()
    plugin.add_metriseg_config(cfg)
    cfg.MODEL.MASK_FORMER = type(cfg)({"LOSSES": [{"NAME": "DiceLoss"}]})
    cfg.MODEL.META_ARCHITECTURE = "MaskFormer"
    with pytest.raises(ValueError, match=r"MaskFormer ignores MODEL\.MASK_FORMER.LOSSES"):
        build_model(cfg)


@META_ARCH_REGISTRY.register()
class _OwnRetina(RetinaNet):
    """A detector without masks."""


def test_the_checked_node_keeps_its_ways_to_itself():
    """What is merged into it is a plain node, and so is the node itself once it is stripped."""
    cfg = get_cfg()
    plugin.add_metriseg_config(cfg)
    cfg.MODEL.set_new_allowed(True)
    cfg.merge_from_other_cfg(type(cfg)({"MODEL": {"MINE": {"DEPTH": 2}}}))
    assert type(cfg.MODEL.MINE) is type(cfg)
    assert type(pickle.loads(pickle.dumps(plugin.strip_metriseg_config(cfg))).MODEL) is type(cfg)


@pytest.mark.parametrize(
    "coarse", ["MetrisegEmbeddingSemSegFPNHead", "MetrisegPointRendSemSegHead"]
)
def test_not_every_head_is_a_coarse_head(coarse, tmp_path):
    cfg = config("semantic PointRend", tmp_path)
    cfg.MODEL.SEM_SEG_HEAD.LOSSES = []
    cfg.MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME = coarse
    with pytest.raises(ValueError, match=f"{coarse} can't be the coarse head: say MetrisegSem"):
        build_model(cfg)


@pytest.mark.parametrize(
    ("zoo", "place"),
    [
        ("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py", "roi_heads.mask_head"),
        ("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.py", "roi_heads.mask_head"),
        ("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.py", "roi_heads.mask_head"),
        ("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.py", "sem_seg_head"),
    ],
)
def test_a_lazy_config_of_the_zoo_gets_losses_in_a_line(zoo, place):
    """All else stays as it was, what refers to other places too."""
    model = model_zoo.get_config(zoo).model
    *parents, last = place.split(".")
    owner = model
    for parent in parents:
        owner = owner[parent]
    stock = owner[last]
    owner[last] = plugin.with_losses(stock, [L(plugin.TverskyLoss)(fn_weight=0.7)])
    head = instantiate(owner[last])
    assert [type(loss) for loss in head.loss_modules] == [plugin.TverskyLoss]
    assert head.loss_modules[0].fn_weight == 0.7
    assert head.state_dict().keys() == instantiate(stock).state_dict().keys()
    assert head.predictor.out_channels == instantiate(stock).predictor.out_channels
    owner[last] = plugin.with_losses(owner[last], [])
    assert len(instantiate(owner[last]).loss_modules) == 0


def test_a_lazy_head_without_a_counterpart_is_refused():
    model = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py").model
    with pytest.raises(ValueError, match=r"head must be one of .*MaskRCNN.*FastRCNNConvFCHead"):
        plugin.with_losses(model.roi_heads.box_head, [])


def test_a_lazy_head_of_ones_own_is_not_taken_for_the_stock_one():
    class SemSegFPNHead(torch.nn.Module):
        """Of the same name."""

    with pytest.raises(ValueError, match="which ignores losses"):
        plugin.with_losses(L(SemSegFPNHead)(num_classes=3), [])
    stock = model_zoo.get_config("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.py").model
    with pytest.raises(ValueError, match="losses must be a list"):
        plugin.with_losses(stock.sem_seg_head, L(plugin.DiceLoss)())


def test_crowds_are_told_to_the_segmentor():
    """Two crowd blobs, mapped with a flip: where they are now; instances keep the rest."""
    annotation = {"bbox": [0, 0, 2, 2], "bbox_mode": 0, "category_id": 0}
    square = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0]
    shifted = [x + 5 for x in square]
    record = {
        "annotations": [
            {**annotation, "iscrowd": 1, "segmentation": [square]},
            {**annotation, "iscrowd": 1, "segmentation": [shifted]},
            {
                **annotation,
                "iscrowd": 0,
                "segmentation": [[2.0, 2.0, 5.0, 2.0, 5.0, 5.0, 2.0, 5.0]],
            },
        ]
    }
    from detectron2.data.transforms import HFlipTransform, TransformList

    mapper = plugin.CrowdDatasetMapper(
        is_train=True, augmentations=[], image_format="RGB", use_instance_mask=True
    )
    assert isinstance(mapper, DatasetMapper)
    mapper._transform_annotations(record, TransformList([HFlipTransform(8)]), (8, 8))
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[0:2, 6:8] = expected[5:7, 1:3] = True
    assert torch.equal(record["crowds"], expected)
    assert len(record["instances"]) == 1


PAGE = Path(__file__).parents[2] / "docs" / "detectron2.md"
SCRIPTS = PROJECTS_FOLDER.parent

#: A quick end, on the CPU and on our data.
SHORT_LAZY = """
train.update(device="cpu", init_checkpoint="", max_iter=2, output_dir="out")
dataloader.train.update(num_workers=0, total_batch_size=2)
dataloader.train.dataset.names = "metriseg_shapes_val"
dataloader.train.mapper.update(instance_mask_format="bitmask", augmentations=[])
del dataloader.evaluator  # Detectron2's own wants COCO
model.backbone.bottom_up.stages.depth = 18
del model.backbone.bottom_up.stages.stride_in_1x1
model.backbone.bottom_up.update(freeze_at=0)
model.backbone.bottom_up.stages.norm = model.backbone.bottom_up.stem.norm = "BN"
model.roi_heads.update(num_classes=5, batch_size_per_image=8)
model.sem_seg_head.update(num_classes=6, conv_dims=16, norm="")
model.proposal_generator.update(
    pre_nms_topk=(20, 20), post_nms_topk=(10, 10), batch_size_per_image=16
)
"""


def run(folder, *command, fails=False):
    """A script of Detectron2 with our environment module: all that it wrote."""
    script = SCRIPTS / command[0]
    if not script.is_file():
        pytest.skip(f"Detectron2's {command[0]} is not in its wheel: a checkout in {SCRIPTS}")
    finished = subprocess.run(
        [sys.executable, str(script), *map(str, command[1:])],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "DETECTRON2_ENV_MODULE": "metriseg_detectron2.env",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    written = finished.stdout + finished.stderr
    assert (finished.returncode != 0) == fails, written[-4000:]
    return written


def logged(folder):
    (metrics,) = Path(folder).glob("**/metrics.json")
    return {key for line in metrics.read_text().splitlines() for key in json.loads(line)}


def section(title):
    """A section of the page, and the code in it by language."""
    text = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, flags=re.S)
    return text, dict(blocks)


@pytest.mark.slow
def test_the_lazy_lines_of_the_page_train(tmp_path):
    """As printed, on the zoo's panoptic FPN, under Detectron2's script."""
    _, code = section("In a LazyConfig")
    learnt, _ = section("What a loss learns")
    decay = re.search(r"`(optimizer\.params\.overrides=[^`]*)`", learnt).group(1)
    file = tmp_path / "mine.py"
    file.write_text(f"{code['py']}{decay}\n{SHORT_LAZY}")
    run(tmp_path, "tools/lazyconfig_train_net.py", "--config-file", file)
    expected = {"loss_mask", "loss_sem_seg_dice", "loss_sem_seg_cross_entropy"}
    assert expected <= logged(tmp_path)
    # from the command line, in place of what the file says
    words = shlex.split(code["bash"].replace("\\\n", " "))
    words = [word.replace("fn_weight:0.7", "fn_weight:0.6") for word in words]
    (tmp_path / "out").rename(tmp_path / "before")
    run(tmp_path, "tools/lazyconfig_train_net.py", "--config-file", file, *words)
    dumped = (tmp_path / "out" / "config.yaml").read_text()
    assert "fn_weight: 0.6" in dumped
    assert "fn_weight: 0.7" not in dumped


def test_detectron2s_script_refuses_losses_that_a_head_ignores(tmp_path):
    """It trained and logged the stock loss, whatever the list said."""
    written = run(
        tmp_path,
        "tools/train_net.py",
        "--config-file",
        model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"),
        *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "DATASETS.TRAIN", "('metriseg_shapes_val',)"),
        *("MODEL.ROI_MASK_HEAD.LOSSES", "[{'NAME': 'NoSuchLoss'}]"),
        fails=True,
    )
    assert "MaskRCNNConvUpsampleHead ignores MODEL.ROI_MASK_HEAD.LOSSES: say Metriseg" in written


@pytest.mark.slow
def test_a_projects_own_script_trains(tmp_path):
    """PointRend's, which declares its keys over ours."""
    project, path, lines, expected = ZOO["PointRend"]
    small = SMALL.replace("metriseg_zoo", "metriseg_shapes_val").replace("VERSION: 2\n", "")
    (tmp_path / "base.yaml").write_text(
        f'_BASE_: "{zoo_file(project, path)}"\nMODEL:{lines}VERSION: 2\n'
    )
    (tmp_path / "mine.yaml").write_text(f"_BASE_: base.yaml\n{small}OUTPUT_DIR: out\nVERSION: 2\n")
    few = ("MODEL.POINT_HEAD.NUM_CLASSES", 5, "MODEL.POINT_HEAD.FC_DIM", 16)
    script = "projects/PointRend/train_net.py"
    run(tmp_path, script, "--config-file", tmp_path / "mine.yaml", *few)
    assert expected <= logged(tmp_path)


def test_the_page_names_every_head():
    """Each with the stock head that it replaces and what it reads."""
    text, _ = section("Which head")
    cells = [
        tuple(re.findall(r"`(\w+)`", line)) for line in text.splitlines() if "`Metriseg" in line
    ]
    rows = {names[1]: (names[0], names[2:]) for names in cells if len(names) > 2}
    for heads in HEADS.values():
        for ours, head in heads.items():
            assert rows[ours] == (head.stock, head.keys)
