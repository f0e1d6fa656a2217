"""The networks of the experiments and demonstrations."""

from metriseg.models.segnet import SegNet
from metriseg.models.unet import UNet

__all__ = ["SegNet", "UNet"]
