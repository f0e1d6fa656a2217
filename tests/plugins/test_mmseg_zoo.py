"""The configs that MMSegmentation ships, with their loss changed by the lines of our page.

A test writes a config that inherits from the shipped file and holds those lines. What is shrunk
afterwards is what a processor can't do quickly: images, crops, batches, iterations, and weights
from the network. The data set is the config's own class and pipeline over a few random images.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmseg")

import mmseg
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, set_random_seed
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from PIL import Image

ZOO = Path(mmseg.__file__).parent / ".mim" / "configs"
SIDE = 64
CITYSCAPES = 19

PSPNET = "pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py"
UNET = "unet/unet-s5-d16_fcn_4xb4-40k_hrf-256x256.py"
UNET_OF_TWO = "unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_hrf-256x256.py"
DEEPLAB = "deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py"
SEGFORMER = "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
UPERNET = "upernet/upernet_r18_4xb2-40k_cityscapes-512x1024.py"
STDC = "stdc/stdc1_4xb12-80k_cityscapes-512x1024.py"
BISENET = "bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py"
PIDNET = "pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py"
SEGNEXT = "segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py"
KNET = "knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py"
DANET = "danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
ENCNET = "encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
POINTREND = "point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py"
DDRNET = "ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py"

MASK2FORMER = "mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py"
MASKFORMER = "maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def found(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


OPERATORS, DETECTION = importable("mmcv.ops"), found("mmdet")
NO_OPERATORS = "mmcv.ops can't be imported: MMCV is without its compiled operators"
needs_operators = pytest.mark.skipif(not OPERATORS, reason=NO_OPERATORS)
needs_detection = pytest.mark.skipif(
    not (OPERATORS and DETECTION),
    reason=NO_OPERATORS if DETECTION else "MMDetection (onedl-mmdetection) isn't installed",
)

#: MMCV's compiled module, in which every operator can be imported and none be called. The heads
#: here use what is plain PyTorch in mmcv.ops: sampling of points, attention on the processor.
STAND_IN = """
import importlib.machinery, sys, types

def operator(name):
    def missing(*args, **kwargs):
        raise NotImplementedError(f"mmcv._ext.{name} isn't compiled")
    if name.startswith("__"):
        raise AttributeError(name)
    return missing

module = types.ModuleType("mmcv._ext")
module.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
module.__getattr__ = operator
sys.modules["mmcv._ext"] = module

import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""

DICE_AND_CE = """\
loss_decode=dict(
            _delete_=True,
            type="metriseg_mmseg.CompoundLoss",
            terms=[
                dict(type="metriseg_mmseg.DiceLoss"),
                dict(type="metriseg_mmseg.CrossEntropyLoss"),
            ],
        )"""

#: name -> (the shipped file, the user's lines, what the log then calls the losses).
TRAINED = {
    "U-Net, one output channel": (
        UNET,
        """
model = dict(
    decode_head=dict(
        num_classes=2,
        out_channels=1,
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.DiceLoss"),
    ),
    auxiliary_head=dict(
        num_classes=2,
        out_channels=1,
        loss_decode=dict(
            _delete_=True, type="metriseg_mmseg.CrossEntropyLoss", loss_weight=0.4
        ),
    ),
)
""",
        {"decode.loss_dice", "aux.loss_ce"},
    ),
    "PSPNet, class weights": (
        PSPNET,
        """
class_weight = [1.0] * 10 + [2.0] * 9
model = dict(
    decode_head=dict(
        loss_decode=dict(
            _delete_=True, type="metriseg_mmseg.CrossEntropyLoss", class_weight=class_weight
        ),
    ),
)
""",
        {"decode.loss_ce", "aux.loss_ce"},
    ),
    "DeepLabV3+, a list and a compound": (
        DEEPLAB,
        f"""
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="metriseg_mmseg.TverskyLoss", fn_weight=0.7),
            dict(type="metriseg_mmseg.FocalLoss", loss_weight=0.5),
        ],
    ),
    auxiliary_head=dict({DICE_AND_CE}),
)
""",
        {"decode.loss_tversky", "decode.loss_focal", "aux.loss_compound"},
    ),
    "SegFormer, a compound": (
        SEGFORMER,
        f"model = dict(decode_head=dict({DICE_AND_CE}))\n",
        {"decode.loss_compound"},
    ),
    "STDC, mined pixels": (
        STDC,
        """
model = dict(
    decode_head=dict(
        sampler=dict(type="OHEMPixelSampler", thresh=0.7, min_kept=100),
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.DiceCELoss"),
    ),
)
""",
        {"decode.loss_dice_ce", "aux_0.loss_ce", "aux_2.loss_dice"},
    ),
    "PIDNet, three of its four losses": (
        PIDNET,
        """
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="metriseg_mmseg.CrossEntropyLoss", loss_weight=0.4),
            dict(type="metriseg_mmseg.DiceLoss"),
            dict(type="BoundaryLoss", loss_weight=20.0),
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
        ],
    ),
)
""",
        {"decode.loss_sem_p", "decode.loss_sem_i", "decode.loss_bd", "decode.loss_sem_bd"},
    ),
    "UPerNet": (
        UPERNET,
        """
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.LovaszSoftmaxLoss"),
    ),
)
""",
        {"decode.loss_lovasz_softmax", "aux.loss_ce"},
    ),
    "SegNeXt": (
        SEGNEXT,
        """
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
            dict(type="metriseg_mmseg.JaccardLoss", loss_weight=0.5),
        ],
    ),
)
""",
        {"decode.loss_ce", "decode.loss_jaccard"},
    ),
    "K-Net": (
        KNET,
        """
model = dict(
    decode_head=dict(
        kernel_generate_head=dict(
            loss_decode=dict(_delete_=True, type="metriseg_mmseg.DiceCELoss"),
        ),
    ),
)
""",
        {f"decode.loss_dice_ce.s{stage}" for stage in range(4)} | {"aux.loss_ce"},
    ),
}

#: The same for those that are built and give one loss.
BUILT = {
    "U-Net with the stock Dice": (
        UNET_OF_TWO,
        """
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
            dict(type="metriseg_mmseg.PowerJaccardLoss", loss_weight=3.0),
        ],
    ),
)
""",
        {"decode.loss_ce", "decode.loss_power_jaccard", "aux.loss_ce"},
    ),
    "BiSeNetV2": (
        BISENET,
        """
sampler = dict(type="OHEMPixelSampler", thresh=0.7, min_kept=100)
model = dict(
    decode_head=dict(
        sampler=sampler,
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.FocalLoss"),
    ),
)
""",
        {"decode.loss_focal", "aux_0.loss_ce", "aux_3.loss_ce"},
    ),
    "DANet": (
        DANET,
        """
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.TverskyLoss", fn_weight=0.7),
    ),
)
""",
        {f"decode.{way}.loss_tversky" for way in ("pam_cam", "pam", "cam")} | {"aux.loss_ce"},
    ),
    "EncNet, the presence of classes too": (
        ENCNET,
        """
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.DiceLoss"),
        loss_se_decode=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.FocalLoss"),
            loss_weight=0.2,
        ),
    ),
)
""",
        {"decode.loss_dice", "decode.loss_se", "aux.loss_ce"},
    ),
    "DDRNet": (
        DDRNET,
        """
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="metriseg_mmseg.TopKLoss", percent=20.0),
            dict(type="metriseg_mmseg.DiceLoss", loss_weight=0.4),
        ],
    ),
)
""",
        {"decode.loss_context", "decode.loss_spatial"},
    ),
}


#: Built too, but by heads that want MMCV's operators.
POINTS = {
    "PointRend": (
        POINTREND,
        """
point_loss = [
    dict(type="metriseg_mmseg.CrossEntropyLoss"),
    dict(type="metriseg_mmseg.DiceLoss"),
]
model = dict(
    decode_head=[
        dict(
            type="FPNHead",
            in_channels=[256, 256, 256, 256],
            in_index=[0, 1, 2, 3],
            feature_strides=[4, 8, 16, 32],
            channels=128,
            dropout_ratio=-1,
            num_classes=19,
            loss_decode=dict(type="metriseg_mmseg.FocalLoss"),
        ),
        dict(
            type="PointHead",
            in_channels=[256],
            in_index=[0],
            channels=256,
            num_fcs=3,
            coarse_pred_each_layer=True,
            dropout_ratio=-1,
            num_classes=19,
            loss_decode=point_loss,
        ),
    ],
)
""",
        {"decode_0.loss_focal", "decode_1.pointloss_ce", "decode_1.pointloss_dice"},
    ),
}

#: And those that want MMDetection beside them: the user's lines, and the stock loss's words in
#: ours, with which every value is the stock one.
MASKS = {
    "Mask2Former": (
        MASK2FORMER,
        """
model = dict(
    decode_head=dict(
        loss_mask=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.FocalLoss", gamma=2.0),
            loss_weight=20.0,
        ),
        loss_dice=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.TverskyLoss", fn_weight=0.7),
            loss_weight=5.0,
        ),
    ),
)
""",
        """
model = dict(
    decode_head=dict(
        loss_mask=dict(
            type="metriseg_mmseg.MaskLoss", loss=dict(type="metriseg_mmseg.CrossEntropyLoss")
        ),
        loss_dice=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.DiceLoss", smooth=1.0),
            loss_weight=5.0,
        ),
    ),
)
""",
    ),
    "MaskFormer": (
        MASKFORMER,
        """
model = dict(
    decode_head=dict(
        loss_mask=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.CrossEntropyLoss"),
            loss_weight=5.0,
        ),
        loss_dice=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(
                type="metriseg_mmseg.CompoundLoss",
                terms=[
                    dict(type="metriseg_mmseg.DiceLoss"),
                    dict(type="metriseg_mmseg.HausdorffErosionLoss"),
                ],
                weights=[1.0, 0.1],
            ),
        ),
    ),
)
""",
        """
model = dict(
    decode_head=dict(
        loss_mask=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.FocalLoss", gamma=2.0, alpha=0.25),
            loss_weight=20.0,
        ),
        loss_dice=dict(
            _delete_=True,
            type="metriseg_mmseg.MaskLoss",
            loss=dict(type="metriseg_mmseg.DiceLoss", smooth=1.0),
            loss_weight=1.0,
        ),
    ),
)
""",
    ),
}


PIDNET_LOSSES = """
weights = {{{{_base_.class_weight}}}}
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="CrossEntropyLoss", class_weight=weights, loss_weight=0.4),
            dict({mined}, min_kept=3000, class_weight=weights),
            dict(type="BoundaryLoss", loss_weight=20.0),
            dict({mined}, min_kept=3000, class_weight=weights),
        ],
    ),
)
"""

#: name -> (the shipped file, a user's lines, the same with our loss): every value is the same.
ALIKE = {
    "PSPNet, only the type": (
        PSPNET,
        "model = dict(decode_head=dict(loss_decode=dict(avg_non_ignore=True)))\n",
        """
model = dict(
    decode_head=dict(
        loss_decode=dict(type="metriseg_mmseg.CrossEntropyLoss", avg_non_ignore=True),
    ),
)
""",
    ),
    "STDC, mined pixels": (
        STDC,
        """
model = dict(
    decode_head=dict(
        sampler=dict(min_kept=100), loss_decode=dict(avg_non_ignore=True)
    ),
)
""",
        """
model = dict(
    decode_head=dict(
        sampler=dict(min_kept=100),
        loss_decode=dict(_delete_=True, type="metriseg_mmseg.CrossEntropyLoss"),
    ),
)
""",
    ),
    "PIDNet, mined cross-entropy": (
        PIDNET,
        PIDNET_LOSSES.format(mined='type="OhemCrossEntropy", thres=0.9'),
        PIDNET_LOSSES.format(mined='type="metriseg_mmseg.TopKLoss", threshold=0.9'),
    ),
}


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


# ---------------------------------------------------------------------- configs


def inherited(base: str, lines: str, folder: Path) -> Config:
    """The config that a user writes: one that inherits from a shipped file and holds lines."""
    file = folder / "user_config.py"
    file.write_text(f"_base_ = [{str(ZOO / base)!r}]\n{lines}")
    return Config.fromfile(file)


def everywhere(node: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply a change to every dict in a config."""
    if isinstance(node, dict):
        change(node)
        for value in list(node.values()):
            everywhere(value, change)
    elif isinstance(node, (list, tuple)):
        for value in node:
            everywhere(value, change)


def without_weights_and_ranks(node: dict[str, Any]) -> None:
    """Nothing from the network, and normalisation within one process."""
    if isinstance(node.get("init_cfg"), dict) and node["init_cfg"].get("type") == "Pretrained":
        node["init_cfg"] = None
    if node.get("pretrained"):
        node["pretrained"] = None
    if node.get("type") == "SyncBN":
        node["type"] = "BN"


def smaller_images(node: dict[str, Any]) -> None:
    """Crops of the test's side out of images of nearly that size."""
    for word, value in (
        ("crop_size", (SIDE, SIDE)),
        ("scale", (SIDE + 16, SIDE + 16)),
        ("scales", [SIDE + 8, SIDE + 16]),
    ):
        if word in node:
            node[word] = value


def shrunk(cfg: Config, folder: Path, iterations: int = 2) -> Config:
    """What must be small: images, batches, iterations; and no weights from the network."""
    cfg.model.data_preprocessor.size = (SIDE, SIDE)
    everywhere(cfg.model, without_weights_and_ranks)
    data = cfg.train_dataloader.dataset
    data = data.dataset if "dataset" in data else data
    everywhere(data.pipeline, smaller_images)
    data.data_root = str(folder / "data")
    data.data_prefix = ConfigDict(img_path="images", seg_map_path="labels")
    data.img_suffix = data.seg_map_suffix = ".png"
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for stage in ("val", "test"):
        for word in ("dataloader", "cfg", "evaluator"):
            cfg[f"{stage}_{word}"] = None
    cfg.train_cfg = ConfigDict(type="IterBasedTrainLoop", max_iters=iterations)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = iterations
    cfg.default_hooks.checkpoint.pop("save_best", None)
    cfg.log_processor.window_size = 1
    cfg.env_cfg.cudnn_benchmark = False
    cfg.randomness = {"seed": 0}
    # MMEngine keeps one object of each name for the life of the process.
    cfg.experiment_name = cfg.visualizer.name = f"zoo-{uuid.uuid4()}"
    cfg.work_dir = str(folder / "work")
    return cfg


def write_images(cfg: Config, folder: Path, count: int = 4) -> None:
    """Random images, and labels in blocks of which one is ignored."""
    random = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    binary = cfg.train_dataloader.dataset.get("dataset", {}).get("type") == "HRFDataset"
    for k in range(count):
        image = random.integers(256, size=(SIDE + 16, SIDE + 16, 3), dtype=np.uint8)
        blocks = random.integers(2 if binary else CITYSCAPES, size=(5, 5), dtype=np.uint8)
        blocks[0, 0] = 255
        labels = np.kron(blocks, np.ones((16, 16), dtype=np.uint8))
        Image.fromarray(image).save(folder / "data" / "images" / f"{k}.png")
        Image.fromarray(labels).save(folder / "data" / "labels" / f"{k}.png")


def ready(base: str, lines: str, folder: Path, iterations: int = 2) -> Config:
    cfg = shrunk(inherited(base, lines, folder), folder, iterations)
    write_images(cfg, folder)
    return cfg


def reloaded(cfg: Config, folder: Path) -> Config:
    cfg.dump(folder / "dumped.py")
    return Config.fromfile(folder / "dumped.py")


def one_loss(cfg: Config) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A model and what it says of one batch of its data, gradients taken."""
    set_random_seed(0)
    model = MODELS.build(cfg.model).train()
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    batch = model.data_preprocessor(batch, training=True)
    losses = model(**batch, mode="loss")
    total, log = model.parse_losses(losses)
    total.backward()
    return model, log


def scalars(folder: Path) -> list[dict[str, Any]]:
    """What MMEngine has logged of every training iteration, over all runs."""
    files = sorted((folder / "work").glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def summed(log: dict[str, Any]) -> set[str]:
    """The keys that MMEngine adds up: those of losses in a head."""
    return {key for key in log if "loss" in key and "." in key}


# ---------------------------------------------------------------------- tests


#: Those that every run of the tests trains; `make test-slow` trains the others.
QUICK = ("PSPNet, class weights", "SegFormer, a compound", "PIDNet, three of its four losses")


@pytest.mark.training
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in TRAINED],
)
def test_shipped_config_trains(case: str, tmp_path: Path) -> None:
    """Two iterations with the runner, dumped and resumed; the log has the names, finite."""
    base, lines, names = TRAINED[case]
    cfg = ready(base, lines, tmp_path)
    runner = Runner.from_cfg(cfg)
    before = {name: value.detach().clone() for name, value in runner.model.named_parameters()}
    runner.train()
    log = scalars(tmp_path)
    assert len(log) == 2
    for line in log:
        assert names <= summed(line)
        assert all(math.isfinite(line[name]) for name in summed(line))
        assert line["loss"] == pytest.approx(sum(line[name] for name in summed(line)), rel=1e-4)
    after = dict(runner.model.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    moved = [name for name in after if not torch.equal(after[name], before[name])]
    assert any(name.startswith("backbone") for name in moved)
    assert any("head" in name for name in moved)
    # from the checkpoint of the second iteration, with the dumped config, to the third
    again = reloaded(cfg, tmp_path)
    again.train_cfg.max_iters = 3
    again.resume = True
    again.experiment_name = again.visualizer.name = f"zoo-{uuid.uuid4()}"
    Runner.from_cfg(again).train()
    log = scalars(tmp_path)
    assert [line["step"] for line in log] == [1, 2, 3]
    assert all(names <= summed(line) for line in log)


@pytest.mark.parametrize("case", BUILT)
def test_shipped_config_gives_a_loss(case: str, tmp_path: Path) -> None:
    """Built from the dumped config, with the names in the log, finite values and gradients."""
    check_one_loss(*BUILT[case], tmp_path)


def check_one_loss(base: str, lines: str, names: set[str], folder: Path) -> None:
    model, log = one_loss(reloaded(ready(base, lines, folder), folder))
    assert names <= summed(log)
    assert all(torch.isfinite(log[name]) for name in summed(log))
    slopes = [p.grad for p in model.parameters() if p.grad is not None]
    assert slopes
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert sum(slope.abs().sum() for slope in slopes) > 0


@pytest.mark.parametrize("case", ALIKE)
def test_shipped_config_changes_nothing_but_the_type(case: str, tmp_path: Path) -> None:
    """With the stock loss's words ours has its value: a user's curves go on where they were."""
    base, *both = ALIKE[case]
    logs = []
    for name, lines in zip(("stock", "ours"), both, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        _, log = one_loss(ready(base, lines, folder))
        logs.append({key: float(log[key].detach()) for key in summed(log)})
    assert logs[1] == pytest.approx(logs[0], rel=1e-4)


@needs_operators
@pytest.mark.parametrize("case", POINTS)
def test_points_need_operators(case: str, tmp_path: Path) -> None:
    """A head over sampled points calls its losses with ``(N, C, P)`` and without weights."""
    check_one_loss(*POINTS[case], tmp_path)


def thin(cfg: Config) -> Config:
    """A narrower backbone and fewer layers in a config of masks."""
    cfg.model.backbone.depth = 18
    head = cfg.model.decode_head
    head.in_channels = [64, 128, 256, 512]
    head.transformer_decoder.num_layers = 2
    if "num_points" in head.train_cfg:
        head.train_cfg.num_points = 128
        head.pixel_decoder.encoder.num_layers = 1
    return cfg


@needs_detection
@pytest.mark.parametrize("case", MASKS)
def test_heads_of_masks_need_operators_and_train(case: str, tmp_path: Path) -> None:
    """Two iterations with the runner; every layer of the decoder has its own losses."""
    base, lines, _ = MASKS[case]
    cfg = thin(ready(base, lines, tmp_path))
    runner = Runner.from_cfg(cfg)
    before = {name: value.detach().clone() for name, value in runner.model.named_parameters()}
    runner.train()
    log = scalars(tmp_path)
    assert len(log) == 2
    kinds = ("loss_cls", "loss_mask", "loss_dice")
    for line in log:
        assert {f"decode.{layer}{kind}" for layer in ("", "d0.") for kind in kinds} <= summed(line)
        assert all(math.isfinite(line[name]) for name in summed(line))
        assert min(line[f"decode.{kind}"] for kind in kinds) > 0
    after = dict(runner.model.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(after[n], before[n]) for n in after if n.startswith("decode_head"))
    rebuilt = MODELS.build(reloaded(cfg, tmp_path).model)
    rebuilt.load_state_dict(runner.model.state_dict(), strict=True)


@needs_detection
@pytest.mark.parametrize("case", MASKS)
def test_heads_of_masks_need_operators_and_agree(case: str, tmp_path: Path) -> None:
    """With the stock losses' words every value and gradient of the real head is the stock one.

    The second image is ignored as a whole: it has no mask.
    """
    base, _, lines = MASKS[case]
    logs, slopes = [], []
    for name, own in (("stock", ""), ("ours", lines)):
        folder = tmp_path / name
        folder.mkdir()
        cfg = thin(ready(base, own, folder))
        everywhere(cfg.model, without_dropout)
        set_random_seed(1)
        model = MODELS.build(cfg.model).train()
        batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
        batch["data_samples"][1].gt_sem_seg.data.fill_(255)
        set_random_seed(2)
        images = torch.rand(2, 3, SIDE, SIDE)
        total, log = model.parse_losses(model(images, batch["data_samples"], mode="loss"))
        total.backward()
        logs.append({key: float(value.detach()) for key, value in log.items()})
        slopes.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    stock, ours = logs
    assert ours == pytest.approx(stock, rel=1e-5)
    assert slopes[0].keys() == slopes[1].keys()
    for name, slope in slopes[0].items():
        torch.testing.assert_close(slopes[1][name], slope, rtol=1e-3, atol=1e-5)


def without_dropout(node: dict[str, Any]) -> None:
    for word in ("attn_drop", "proj_drop", "ffn_drop", "dropout"):
        if word in node:
            node[word] = 0.0


@pytest.mark.training
@pytest.mark.skipif(OPERATORS, reason="MMCV has its operators: the tests above ran")
def test_heads_that_need_operators_with_a_stand_in() -> None:
    """The tests that were skipped above, in a process in which mmcv.ops can be imported."""
    finished = subprocess.run(
        [sys.executable, "-c", STAND_IN, "-k", "need_operators", "-p", "no:cacheprovider",
         __file__],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    ran = len(POINTS) + 2 * len(MASKS) * DETECTION
    assert f"{ran} passed" in finished.stdout
