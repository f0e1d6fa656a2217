# ruff: noqa: C408  (MMEngine's configs are written with dict)
# A SegNet learns the five shapes, which may touch, and the background with cross-entropy. The
# other configs shapes_segnet_*.py begin with this one and change the loss; those of the partition
# metric ask which pixels belong together, and not what they are.
default_scope = "mmseg"
num_classes = 6
crop_size = (100, 100)
width = 16
max_iters = 1500
rate = 0.002

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[0.0] * 3,
        std=[255.0] * 3,
        size=crop_size,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type="metriseg_mmseg.SegNet", in_channels=3, width=width),
    decode_head=dict(
        type="FCNHead",
        in_channels=width,
        in_index=0,
        channels=width,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=num_classes,
        align_corners=False,
        loss_decode=dict(type="metriseg_mmseg.CrossEntropyLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

pipeline = [
    dict(type="LoadImageFromNDArray"),
    dict(type="metriseg_mmseg.PackInstanceInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="metriseg_mmseg.ShapesDataset", length=1000, settings=dict(seed=0), pipeline=pipeline
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="metriseg_mmseg.ShapesDataset",
        length=100,
        settings=dict(seed=1000000),
        pipeline=pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
# the components of the true classes: touching objects of one class are one segment
val_evaluator = [
    dict(type="IoUMetric", iou_metrics=["mIoU"]),
    dict(type="metriseg_mmseg.PartitionMetric"),
]
test_evaluator = val_evaluator

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=rate))
param_scheduler = [
    dict(type="OneCycleLR", eta_max=rate, total_steps=max_iters, pct_start=0.15, by_epoch=False)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=500, max_keep_ckpts=1),
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
