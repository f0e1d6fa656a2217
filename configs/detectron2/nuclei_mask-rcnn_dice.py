"""The Mask R-CNN of nuclei_mask-rcnn_dice.yaml as a LazyConfig.

It trains under Detectron2's own tools/lazyconfig_train_net.py, on the images in
$METRISEG_DATA/nuclei/{train,val}/{images,instances}. Another loss is one line: losses.
"""

from detectron2.config import LazyCall as L
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.model_zoo import get_config
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import OmegaConf

from metriseg_detectron2 import (
    ClippedSGD,
    CrossEntropyLoss,
    DiceLoss,
    MaskIoUEvaluator,
    MetrisegMaskRCNNConvUpsampleHead,
)
from metriseg_detectron2.datasets import register_nuclei
from metriseg_detectron2.evaluation import coco_evaluator

model = get_config("common/models/mask_rcnn_fpn.py").model
model.roi_heads.mask_head = L(MetrisegMaskRCNNConvUpsampleHead)(
    input_shape=ShapeSpec(channels=64, width=14, height=14),
    num_classes="${..num_classes}",
    conv_dims=[64, 64, 64],
    # nuclei almost fill their boxes: alone the Dice loss soon takes every pixel, and learns no more
    losses=[L(DiceLoss)(), L(CrossEntropyLoss)()],
)

model.pixel_mean = [13.0, 13.0, 13.0]
model.pixel_std = [20.0, 20.0, 20.0]
model.backbone.bottom_up.stem.norm = "GN"
model.backbone.bottom_up.stages.update(depth=18, norm="GN")
del model.backbone.bottom_up.stages.stride_in_1x1  # only bottleneck blocks have it
model.backbone.update(out_channels=64, norm="GN")
model.proposal_generator.head.update(in_channels=64, num_anchors=4)
model.proposal_generator.anchor_generator.update(
    sizes=[[16, 32], [48, 64], [96, 128]], aspect_ratios=[0.7, 1.4], strides=[4, 8, 16]
)
model.proposal_generator.update(
    in_features=["p2", "p3", "p4"],
    batch_size_per_image=128,
    pre_nms_topk=(500, 500),
    post_nms_topk=(200, 300),
)
model.roi_heads.update(
    num_classes=1,
    batch_size_per_image=64,
    box_in_features=["p2", "p3", "p4"],
    mask_in_features=["p2", "p3", "p4"],
)
model.roi_heads.box_head.update(
    input_shape=ShapeSpec(channels=64, height=7, width=7), fc_dims=[128]
)
model.roi_heads.box_predictor.update(input_shape=ShapeSpec(channels=128), test_topk_per_image=200)
for pooler in (model.roi_heads.box_pooler, model.roi_heads.mask_pooler):
    pooler.update(scales=(1 / 4, 1 / 8, 1 / 16), sampling_ratio=2)

dataloader = OmegaConf.create()
dataloader.train = L(build_detection_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names=L(register_nuclei)(split="train")),
    mapper=L(DatasetMapper)(
        is_train=True,
        # small nuclei are ten pixels wide: crops at one and a half times their size
        augmentations=[
            L(T.RandomCrop)(crop_type="absolute", crop_size=[128, 128]),
            L(T.ResizeShortestEdge)(short_edge_length=[192], max_size=1333, sample_style="choice"),
            L(T.RandomFlip)(horizontal=True),
        ],
        image_format="BGR",
        use_instance_mask=True,
        instance_mask_format="bitmask",
        recompute_boxes=True,
    ),
    total_batch_size=2,
    num_workers=0,
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(
        names=L(register_nuclei)(split="val"), filter_empty=False
    ),
    mapper=L(DatasetMapper)(
        is_train=False,
        augmentations=[L(T.ResizeShortestEdge)(short_edge_length=384, max_size=1333)],
        image_format="BGR",
    ),
    num_workers=0,
)
# both of what is detected
dataloader.evaluator = [
    L(MaskIoUEvaluator)(dataset_name="${...test.dataset.names}"),
    L(coco_evaluator)(
        dataset_name="${...test.dataset.names}",
        output_dir="${train.output_dir}",
        tasks=["bbox", "segm"],
    ),
]

train = get_config("common/train.py").train
train.update(
    output_dir="./work_dirs/detectron2_nuclei_mask-rcnn_dice_lazy",
    max_iter=500,
    eval_period=500,
    device="cpu",
    seed=0,
)
optimizer = get_config("common/optim.py").SGD
# two images a batch: without it a single bad batch may end the training, on some processors
optimizer._target_ = ClippedSGD
optimizer.update(lr=0.02, clip_norm=1.0)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[400, 470, 500]),
    warmup_factor=0.001,
    warmup_length=50 / 500,
)
