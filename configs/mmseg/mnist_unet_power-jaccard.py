# ruff: noqa: C408  (MMEngine's configs are written with dict)
# A small U-Net learns to segment handwritten digits (ten digits and the background) with the
# power Jaccard loss. The line `loss_decode` chooses the loss. From the command line:
#   --cfg-options model.decode_head.loss_decode._delete_=True \
#                 model.decode_head.loss_decode.type=metriseg_mmseg.DiceLoss
default_scope = "mmseg"
num_classes = 11
crop_size = (28, 28)
max_iters = 900
norm_cfg = dict(type="BN", requires_grad=True)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[33.3],
        std=[78.6],
        size=crop_size,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type="UNet",
        in_channels=1,
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
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="metriseg_mmseg.PowerJaccardLoss", power=1.5),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

pipeline = [dict(type="LoadImageFromNDArray"), dict(type="PackSegInputs")]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="metriseg_mmseg.DigitsDataset", split="train", pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="metriseg_mmseg.DigitsDataset", split="val", pipeline=pipeline, test_mode=True
    ),
)
test_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="metriseg_mmseg.DigitsDataset", split="test", pipeline=pipeline, test_mode=True
    ),
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.003))
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=1e-4, begin=0, end=max_iters, by_epoch=False)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=300)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=300, max_keep_ckpts=1),
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
