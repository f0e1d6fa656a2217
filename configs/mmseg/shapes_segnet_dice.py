# ruff: noqa: C408  (MMEngine's configs are written with dict)
# As shapes_segnet_cross-entropy.py, with the Dice loss.
_base_ = "shapes_segnet_cross-entropy.py"
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type="metriseg_mmseg.DiceLoss")))
