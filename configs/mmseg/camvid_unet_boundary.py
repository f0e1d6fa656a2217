# ruff: noqa: C408  (MMEngine's configs are written with dict)
# A small U-Net learns to segment streets (eleven classes of CamVid, 240 x 180) with Dice,
# cross-entropy and the boundary loss, whose signed distances the pipeline computes. The images are
# $METRISEG_DATA/camvid/{train,val}/{images,labels}; the labels are 0 … 10, and 255 for none.
default_scope = "mmseg"
num_classes = 11
crop_size = (144, 192)
max_iters = 4000
norm_cfg = dict(type="BN", requires_grad=True)


def compound(loss_weight):
    """The same three losses for both heads; the boundary loss comes in during the training."""
    return dict(
        type="metriseg_mmseg.CompoundLoss",
        terms=[
            dict(type="metriseg_mmseg.DiceLoss"),
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
            dict(type="metriseg_mmseg.BoundaryLoss"),
        ],
        weights=[
            1.0,
            1.0,
            dict(schedule="linear", start=0.0, end=0.1, steps=max_iters),
        ],
        loss_weight=loss_weight,
    )


model = dict(
    type="metriseg_mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[107.0, 110.0, 112.0],
        std=[78.0, 78.0, 78.0],
        bgr_to_rgb=True,
        size=crop_size,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type="UNet",
        in_channels=3,
        base_channels=16,
        num_stages=3,
        strides=(1, 1, 1),
        enc_num_convs=(1, 2, 3),
        dec_num_convs=(1, 1),
        downsamples=(True, True),
        enc_dilations=(1, 1, 2),
        dec_dilations=(1, 1),
        norm_cfg=norm_cfg,
        act_cfg=dict(type="ReLU"),
        upsample_cfg=dict(type="InterpConv"),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels=16,
        in_index=2,
        channels=16,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=compound(1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=32,
        in_index=1,
        channels=16,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=compound(0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    # behind all that changes labels
    dict(type="metriseg_mmseg.DistanceMap", map="signed_distance", num_classes=num_classes),
    dict(type="metriseg_mmseg.PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="metriseg_mmseg.PackSegInputs"),
]
metainfo = dict(
    classes=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=[
        [128, 128, 128],
        [128, 0, 0],
        [192, 192, 128],
        [128, 64, 128],
        [60, 40, 222],
        [128, 128, 0],
        [192, 128, 128],
        [64, 64, 128],
        [64, 0, 128],
        [64, 64, 0],
        [0, 128, 192],
    ],
)
data_root = "{{$METRISEG_DATA:data}}/camvid"
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path="train/images", seg_map_path="train/labels"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path="val/images", seg_map_path="val/labels"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="IoUMetric", iou_metrics=["mIoU"]),
    dict(type="metriseg_mmseg.BoundaryFScore"),
    dict(type="metriseg_mmseg.LossMetric", loss=dict(type="metriseg_mmseg.DiceLoss")),
]
test_evaluator = val_evaluator

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.003))
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=1e-4, begin=0, end=max_iters, by_epoch=False)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook", by_epoch=False, interval=500, max_keep_ckpts=1, save_best="mIoU"
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="metriseg_mmseg.LossHook"),
    dict(type="metriseg_mmseg.LossVisualizationHook", interval=500, val_interval=0),
]
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
visualizer = dict(
    type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
log_processor = dict(by_epoch=False, window_size=20)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
