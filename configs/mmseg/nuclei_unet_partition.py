# ruff: noqa: C408  (MMEngine's configs are written with dict)
# A small U-Net finds the nuclei of cells in fluorescence images on a CPU: beside the two classes it
# predicts, by the partition metric as a loss, how far and which way each pixel moves to those of
# its nucleus. The images are $METRISEG_DATA/nuclei/{train,val}/{images,instances}, PNG. Instances
# are numbered from 1, and 0 is the background; the labels of the classes are made of them.
default_scope = "mmseg"
num_classes = 2
crop_size = (128, 128)
max_iters = 800
rate = 0.003
# about half as wide as a small nucleus is
pixels_per_unit = 8
norm_cfg = dict(type="BN", requires_grad=True)

model = dict(
    type="metriseg_mmseg.EmbeddingEncoderDecoder",
    pixels_per_unit=pixels_per_unit,
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[13.0] * 3,
        std=[20.0] * 3,
        size=crop_size,
        pad_val=0,
        seg_pad_val=255,
        # what the U-Net halves three times
        test_cfg=dict(size_divisor=8),
    ),
    backbone=dict(
        type="UNet",
        in_channels=3,
        base_channels=16,
        num_stages=4,
        strides=(1, 1, 1, 1),
        enc_num_convs=(1, 2, 2, 2),
        dec_num_convs=(1, 1, 1),
        downsamples=(True, True, True),
        enc_dilations=(1, 1, 1, 1),
        dec_dilations=(1, 1, 1),
        norm_cfg=norm_cfg,
        act_cfg=dict(type="ReLU"),
        upsample_cfg=dict(type="InterpConv"),
    ),
    decode_head=dict(
        type="metriseg_mmseg.EmbeddingFCNHead",
        in_channels=16,
        in_index=3,
        channels=16,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        # an offset along each axis, from a pixel's own place
        embedding_channels=2,
        coordinates=False,
        loss_decode=[
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
            dict(
                type="metriseg_mmseg.PartitionLoss",
                segments=dict(type="KernelSegments", samples=800, pixels_per_unit=pixels_per_unit),
                weighting="union",
                include_background=False,
                loss_weight=0.5,
            ),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="metriseg_mmseg.LoadInstanceMap"),
    dict(type="metriseg_mmseg.InstancesToLabels"),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.95),
    dict(type="RandomFlip", prob=0.75, direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PhotoMetricDistortion", brightness_delta=4),
    dict(type="metriseg_mmseg.PackInstanceInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="metriseg_mmseg.LoadInstanceMap"),
    dict(type="metriseg_mmseg.InstancesToLabels"),
    dict(type="metriseg_mmseg.PackInstanceInputs"),
]
metainfo = dict(classes=("background", "nucleus"), palette=[[0, 0, 0], [230, 159, 0]])
data_root = "{{$METRISEG_DATA:data}}/nuclei"
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path="train/images", seg_map_path="train/instances"),
        img_suffix=".png",
        pipeline=train_pipeline,
    ),
)
# images of several sizes, so one at a time
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path="val/images", seg_map_path="val/instances"),
        img_suffix=".png",
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type="IoUMetric", iou_metrics=["mIoU"]),
    dict(type="metriseg_mmseg.PartitionMetric", segments="instances"),
]
test_evaluator = val_evaluator

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=rate))
param_scheduler = [
    dict(type="OneCycleLR", eta_max=rate, total_steps=max_iters, pct_start=0.15, by_epoch=False)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters // 4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=max_iters // 4,
        max_keep_ckpts=1,
        save_best="partition/variation_of_information",
        rule="less",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
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
