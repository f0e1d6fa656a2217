# ruff: noqa: C408  (MMEngine's configs are written with dict)
# The published experiment: the partition metric alone teaches a SegNet of one output channel, whose
# segments are found by nearest centroids; the gradient is that of a softmax
# with noise (Gumbel-softmax).
# No class is learnt: what is scored are the segments, against the objects.
_base_ = "shapes_segnet_cross-entropy.py"
segments = dict(type="KNNSegments", estimator="gumbel")
model = dict(
    decode_head=dict(
        _delete_=True,
        type="metriseg_mmseg.SegmentHead",
        in_channels={{_base_.width}},
        in_index=0,
        channels={{_base_.width}},
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        align_corners=False,
        loss_decode=dict(type="metriseg_mmseg.PartitionLoss", segments=segments),
    )
)
val_evaluator = dict(_delete_=True, type="metriseg_mmseg.SegmentMetric", extractor=segments)
test_evaluator = val_evaluator
