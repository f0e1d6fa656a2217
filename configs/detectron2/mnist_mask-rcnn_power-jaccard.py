"""The Mask R-CNN of mnist_mask-rcnn_power-jaccard.yaml as a LazyConfig.

It trains under Detectron2's own tools/lazyconfig_train_net.py. Another loss is one line: losses.
"""

from detectron2.config import LazyCall as L
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.layers import ShapeSpec
from detectron2.model_zoo import get_config
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import OmegaConf

from metriseg_detectron2 import (
    ClippedSGD,
    MaskIoUEvaluator,
    MetrisegMaskRCNNConvUpsampleHead,
    PowerJaccardLoss,
)
from metriseg_detectron2.datasets import register_digits

model = get_config("common/models/mask_rcnn_fpn.py").model
model.roi_heads.mask_head = L(MetrisegMaskRCNNConvUpsampleHead)(
    input_shape=ShapeSpec(channels=64, width=14, height=14),
    num_classes=1,  # one channel for all categories
    conv_dims=[64, 64, 64],
    losses=[L(PowerJaccardLoss)(power=1.5)],
)

model.pixel_mean = [33.0, 33.0, 33.0]
model.pixel_std = [79.0, 79.0, 79.0]
model.backbone.bottom_up.stem.norm = "BN"
model.backbone.bottom_up.stages.update(depth=18, norm="BN")
del model.backbone.bottom_up.stages.stride_in_1x1  # only bottleneck blocks have it
model.backbone.out_channels = 64
model.proposal_generator.head.in_channels = 64
model.proposal_generator.anchor_generator.sizes = [[16], [32], [64], [96], [128]]
model.proposal_generator.update(
    batch_size_per_image=64, pre_nms_topk=(200, 200), post_nms_topk=(100, 50)
)
model.roi_heads.update(num_classes=10, batch_size_per_image=32)
model.roi_heads.box_head.update(
    input_shape=ShapeSpec(channels=64, height=7, width=7), fc_dims=[128]
)
model.roi_heads.box_predictor.input_shape = ShapeSpec(channels=128)
for pooler in (model.roi_heads.box_pooler, model.roi_heads.mask_pooler):
    pooler.sampling_ratio = 2

dataloader = OmegaConf.create()
dataloader.train = L(build_detection_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names=L(register_digits)(split="train")),
    mapper=L(DatasetMapper)(
        is_train=True,
        augmentations=[],
        image_format="BGR",
        use_instance_mask=True,
        instance_mask_format="bitmask",
    ),
    total_batch_size=2,
    num_workers=0,
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names=L(register_digits)(split="val")),
    mapper=L(DatasetMapper)(is_train=False, augmentations=[], image_format="BGR"),
    num_workers=0,
)
# of what is detected: on boxes that are not given it rises much later than the masks improve
dataloader.evaluator = L(MaskIoUEvaluator)(dataset_name="${..test.dataset.names}")

train = get_config("common/train.py").train
train.update(
    output_dir="./work_dirs/detectron2_mnist_mask-rcnn_power-jaccard_lazy",
    max_iter=240,
    eval_period=240,
    device="cpu",
    seed=0,
)
optimizer = get_config("common/optim.py").SGD
# two images a batch: without it a single bad batch may end the training, on some processors
optimizer._target_ = ClippedSGD
optimizer.update(lr=0.005, clip_norm=1.0)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1], milestones=[200, 240]),
    warmup_factor=0.001,
    warmup_length=20 / 240,
)
