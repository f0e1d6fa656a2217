# ruff: noqa: C408  (MMEngine's configs are written with dict)
# A narrow SegFormer on the streets of camvid_unet_boundary.py. All but the loss is MMSegmentation's
# own; the loss needs nothing of the pipeline.
_base_ = "./camvid_unet_boundary.py"
num_classes = 11
crop_size = (144, 192)
max_iters = 8000
model = dict(
    type="EncoderDecoder",
    backbone=dict(
        _delete_=True,
        type="MixVisionTransformer",
        in_channels=3,
        embed_dims=16,
        num_stages=4,
        num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        patch_sizes=[7, 3, 3, 3],
        sr_ratios=[8, 4, 2, 1],
        out_indices=(0, 1, 2, 3),
        mlp_ratio=4,
        qkv_bias=True,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        _delete_=True,
        type="SegformerHead",
        in_channels=[16, 32, 64, 128],
        in_index=[0, 1, 2, 3],
        channels=64,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="metriseg_mmseg.DiceCELoss"),
    ),
    auxiliary_head=None,
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=6e-4, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=200, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters)
