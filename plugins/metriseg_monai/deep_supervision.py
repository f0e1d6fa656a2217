"""Losses of several resolutions in MONAI's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

import metriseg as core
from metriseg import validation
from metriseg.losses.deep_supervision import averaged, nearest
from metriseg_monai import inputs
from metriseg_monai.channels import TargetChannels
from metriseg_monai.convention import MonaiConvention
from metriseg_monai.instances import SplitChannels

__all__ = ["DeepSupervisionLoss"]

#: The least weight of a level under ``weight_mode="exp"``.
LEAST = 0.0625


class DeepSupervisionLoss(core.DeepSupervisionLoss):
    r"""Deep supervision: the weighted sum of one loss over outputs of several resolutions.

    .. math:: \ell = \sum_k w_k\, \ell\bigl(z_k, y_k\bigr)

    with the outputs :math:`z_k` of a network, the largest first, and the target :math:`y_k` in
    their size: by its nearest voxels, as MONAI's loss of this name, which it equals. Beyond that
    one it takes targets of any dtype without a one-hot tensor, a ``mask``, maps, a list of targets
    (as nnU-Net's loader makes them), and does not compute a level of weight zero. A lone tensor in
    place of the list is the plain loss. At a perfect prediction the value is the weighted sum of
    those of the loss.

    Args:
        loss: of this package; :class:`metriseg_monai.TargetChannels` and
            :class:`metriseg_monai.SplitChannels` around one too.
        weight_mode: "exp" for 1, 1/2, 1/4, … but no less than 1/16, "same" for all 1, "two" for 1
            and then 1/2 for every other. The weights are not divided by their sum.
        weights: in place of ``weight_mode``, a list of numbers >= 0; those beyond the number of
            levels are left aside.
        interp_mode: "nearest-exact", or "area" for one-hot or soft targets averaged over the area
            of the larger voxel, which makes soft labels of one-hot ones.

    Raises:
        ValueError: for another loss, unknown words, weights for fewer levels than there are, a
            level larger than the one before, class indices that were to be averaged, and maps that
            have no meaning in another size.

    Source: Lee et al. 2015, "Deeply-supervised nets", arXiv:1409.5185.

    >>> import torch
    >>> from metriseg_monai import CrossEntropyLoss
    >>> loss = DeepSupervisionLoss(CrossEntropyLoss(softmax=True, to_onehot_y=True))
    >>> right = torch.tensor([[[99., 99., 0., 0.], [0., 0., 99., 99.]]])
    >>> print(f"{loss([right, torch.zeros(1, 2, 2)], torch.tensor([[[0, 0, 1, 1]]])):.4f}")
    0.3466
    """

    inner = (MonaiConvention, TargetChannels, SplitChannels)
    inner_words = "a loss of metriseg_monai"

    def __init__(
        self,
        loss: nn.Module,
        weight_mode: Literal["same", "exp", "two"] = "exp",
        weights: Sequence[float] | None = None,
        interp_mode: Literal["nearest-exact", "area"] = "nearest-exact",
    ) -> None:
        validation.one_of("weight_mode", weight_mode, ("same", "exp", "two"))
        validation.one_of("interp_mode", interp_mode, ("nearest-exact", "area"))
        words = {"same": "equal", "exp": "halving", "two": "half"}
        super().__init__(
            loss,
            words[weight_mode] if weights is None else weights,
            normalize=False,
            soft_labels="area" if interp_mode == "area" else "nearest",
        )
        self.weight_mode = weight_mode
        self.interp_mode = interp_mode

    def forward(
        self,
        input: Tensor | Sequence[Tensor],
        target: Tensor | Sequence[Tensor],
        mask: Tensor | Sequence[Tensor] | None = None,
        *,
        maps: Mapping[str, Tensor | Sequence[Tensor]] | None = None,
    ) -> Tensor:
        """The loss as a trainer of MONAI asks for it.

        Args:
            input: a list of ``(B, C, *S_k)``, or one tensor.
            target: ``(B, C, *S)`` or class indices ``(B, 1, *S)``, or a list, one a level.
            mask: as of the loss, or a list, one a level.
            maps: as of the loss, or for each name a list, one a level.

        Raises:
            ValueError: as of the loss, and see the class.
        """
        return self.summed(input, target, mask, maps, None)

    def shares(self, levels: int) -> list[float]:
        if not isinstance(self.weights, str):
            if len(self.weights) < levels:
                raise ValueError(
                    f"weights must have a number for each of the {levels} levels,"
                    f" got {len(self.weights)}"
                )
            return self.weights[:levels]
        floor = LEAST if self.weights == "halving" else 0.0
        return [max(share, floor) for share in super().shares(levels)]

    def called(self, input: Any, target: Any, mask: Any, maps: Any, features: Any) -> Tensor:
        # what brings its maps in the target takes none
        value: Tensor = self.loss(input, target, mask, **({"maps": maps} if maps else {}))
        return value

    def in_size(
        self, target: Tensor, mask: Tensor | None, level: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        size = tuple(level.shape[2:])
        target = inputs.plain("target", target)
        mask = None if mask is None else inputs.plain("mask", mask)
        if target.ndim != level.ndim:
            raise ValueError(
                f"target must have shape (B, C, *S) with {len(size)} spatial dimensions as input,"
                f" got {tuple(target.shape)}"
            )
        if self.soft_labels == "nearest" or tuple(target.shape[2:]) == size:
            return nearest(target, size), None if mask is None else nearest(mask, size)
        if target.shape[1] != level.shape[1]:
            raise ValueError(
                f"interp_mode='area' is for targets of the shape of input, with"
                f" {level.shape[1]} channels: class indices have no mean, got {target.shape[1]}"
            )
        if mask is not None:
            mask = mask.reshape(-1, *mask.shape[-len(size) :])
            mask = mask.expand(len(target), *mask.shape[1:])
        return averaged(target, mask, size)
