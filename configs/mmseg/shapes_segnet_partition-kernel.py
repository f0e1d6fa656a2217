# ruff: noqa: C408  (MMEngine's configs are written with dict)
# Classes by cross-entropy, and objects by the partition metric: of each pixel the head predicts six
# classes and an embedding of six dimensions, and a Gaussian kernel says which pixels of the
# foreground belong together. Nothing is clustered while it trains.
_base_ = "shapes_segnet_cross-entropy.py"
model = dict(
    type="metriseg_mmseg.EmbeddingEncoderDecoder",
    decode_head=dict(
        type="metriseg_mmseg.EmbeddingFCNHead",
        embedding_channels=6,
        loss_decode=[
            dict(type="metriseg_mmseg.CrossEntropyLoss"),
            dict(
                type="metriseg_mmseg.PartitionLoss",
                segments=dict(type="KernelSegments"),
                include_background=False,
            ),
        ],
    ),
)
# touching objects of one class are two: the objects are scored, not the components of classes
val_evaluator = [
    dict(type="IoUMetric", iou_metrics=["mIoU"]),
    dict(type="metriseg_mmseg.PartitionMetric", segments="instances"),
]
test_evaluator = val_evaluator
