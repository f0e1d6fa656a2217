"""The table of ``docs/detectron2.md``, asked of both sides: ``make tables``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from detectron2.projects.deeplab.loss import DeepLabCE
from detectron2.projects.point_rend.point_head import roi_mask_point_loss
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import SegmentationLoss
from metriseg_detectron2 import (
    MaskCriterionMixin,
    MetrisegMaskRCNNConvUpsampleHead,
    MetrisegSemSegFPNHead,
)
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.convention import Seen
from page_tables import with_table

PAGE = Path(__file__).with_name("detectron2.md")
HEAD = (
    "| in Detectron2 and around it | here | stock | ours | |",
    "| --- | --- | --- | --- | --- |",
)
#: What "differs" means: values that a rounding of the sum doesn't explain.
ALIKE = 1e-5

IGNORED = 255


class Case(NamedTuple):
    """The same asked of both sides, and why the answers differ if they do.

    Attributes:
        case: what is asked, as text.
        here: ours, as an entry of ``LOSSES``.
        stock: their answer.
        ours: the answer of ours.
        reason: empty where both are equal.
    """

    case: str
    here: dict[str, Any]
    stock: Callable[[], Tensor]
    ours: Callable[[SegmentationLoss], Tensor]
    reason: str = ""


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


# --------------------------------------------------------------------------- Mask R-CNN


def mask_head(count: int, *losses: SegmentationLoss) -> Tensor:
    """``loss_mask`` of regions; without losses the stock head's."""
    words = {"input_shape": ShapeSpec(channels=4, height=7, width=7), "num_classes": 3}
    words["conv_dims"] = [4, 4]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        stock = MaskRCNNConvUpsampleHead(**words)
    # at its first weights every probability is 1/2
    stock.predictor.weight.data *= 1e4
    head = MetrisegMaskRCNNConvUpsampleHead(**words, losses=losses) if losses else stock
    head.load_state_dict(stock.state_dict())
    features = torch.randn(count, 4, 7, 7, generator=_random())
    with EventStorage():
        return head.train()(features, regions(count))["loss_mask"]


def regions(count: int) -> list[Instances]:
    """Foreground proposals of one image, with a mask each."""
    masks = torch.zeros(count, 40, 40, dtype=torch.bool)
    for position, mask in enumerate(masks):
        mask[5 + position : 25, 10 : 20 + 3 * position] = True
    boxes = torch.tensor([[5.0, 5.0, 35.0, 30.0]]).expand(count, 4)
    return [
        Instances(
            (40, 40),
            proposal_boxes=Boxes(boxes),
            gt_classes=torch.arange(count) % 3,
            gt_masks=BitMasks(masks),
        )
    ]


# --------------------------------------------------------------------------- semantic


def labels(ignored: float) -> Tensor:
    """Of five classes, a share of the pixels ignored."""
    found = torch.randint(5, (2, 16, 16), generator=_random())
    found[:, : round(16 * ignored)] = IGNORED
    return found


LOGITS = 2 * torch.randn(2, 5, 16, 16, generator=_random())
COARSE = 2 * torch.randn(2, 5, 4, 4, generator=_random())
BEYOND = torch.full((2, 16, 16), 7)
CLASS_WEIGHT = [0.5, 1.0, 2.0, 4.0, 1.0]


def semantic_head(target: Tensor, *losses: SegmentationLoss) -> Tensor:
    """``loss_sem_seg`` of coarse logits; without losses the stock head's."""
    words = {"num_classes": 5, "conv_dims": 4, "common_stride": 4, "ignore_value": IGNORED}
    words["input_shape"] = {"p2": ShapeSpec(channels=4, stride=4)}
    head = MetrisegSemSegFPNHead(**words, losses=losses) if losses else SemSegFPNHead(**words)
    return head.losses(COARSE, target)["loss_sem_seg"]


def deeplab(target: Tensor, **words: Any) -> Tensor:
    """Of the loss that DeepLab's heads have, and Panoptic-DeepLab's."""
    return DeepLabCE(ignore_label=IGNORED, **words)(LOGITS, target)


def fine(target: Tensor) -> Callable[[SegmentationLoss], Tensor]:
    return lambda loss: loss(LOGITS, target, ignore_index=IGNORED)


# --------------------------------------------------------------------------- points and masks

POINTS = 2 * torch.randn(4, 1, 30, generator=_random())
#: Between 0 and 1, as interpolation leaves them.
POINT_LABELS = torch.rand(4, 30, generator=_random())

MASKS = 2 * torch.randn(4, 12, 10, generator=_random())
TRUTH = (torch.rand(4, 12, 10, generator=_random()) > 0.6).float()
TRUTH[3] = 0
#: The size of the second of two images, the first being as large as the masks.
SMALL = (7, 8)


def point_loss() -> Tensor:
    with EventStorage():
        return roi_mask_point_loss(POINTS, regions(4), POINT_LABELS)


def of_points(loss: SegmentationLoss) -> Tensor:
    loss.settle(Seen.of_regions("loss_mask_point", 3, points=True), "loss_mask_point")
    return loss(POINTS, POINT_LABELS.unsqueeze(1))


class SetCriterion(nn.Module):
    """As much of Mask2Former's as is asked here."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes, self.weight_dict = 3, {}


class Criterion(MaskCriterionMixin, SetCriterion):
    """With losses of ours."""


def of_masks(small: bool) -> Callable[[SegmentationLoss], Tensor]:
    """Two masks of an image and two of another, which may be smaller."""

    def ours(loss: SegmentationLoss) -> Tensor:
        criterion = Criterion(mask_losses=[loss], points=False)
        height, width = SMALL if small else TRUTH.shape[1:]
        truth = (TRUTH[:2], TRUTH[2:, :height, :width])
        targets = [{"masks": masks, "labels": torch.zeros(2).long()} for masks in truth]
        indices = [(torch.arange(2), torch.arange(2))] * 2
        outputs = {"pred_masks": MASKS.view(2, 2, 12, 10)}
        return criterion.loss_masks(outputs, targets, indices, 4.0)["loss_mask"]

    return ours


def padded() -> Tensor:
    """The truth of :func:`of_masks` with a small image, as both repositories pad it."""
    target = TRUTH.clone()
    target[2:, SMALL[0] :] = 0
    target[2:, :, SMALL[1] :] = 0
    return target


def dice(target: Tensor) -> Tensor:
    """``dice_loss`` of Mask2Former and MaskFormer, by its formula."""
    p, t = MASKS.sigmoid().flatten(1), target.flatten(1)
    return (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


CASES = [
    Case(
        "`mask_rcnn_loss`",
        {"NAME": "CrossEntropyLoss"},
        lambda: mask_head(4),
        lambda loss: mask_head(4, loss),
    ),
    Case(
        "`mask_rcnn_loss`, no foreground region",
        {"NAME": "CrossEntropyLoss"},
        lambda: mask_head(0),
        lambda loss: mask_head(0, loss),
    ),
    Case(
        "PointRend's `roi_mask_point_loss`, labels between 0 and 1",
        {"NAME": "CrossEntropyLoss"},
        point_loss,
        of_points,
    ),
    Case(
        "`SemSegFPNHead`, a quarter of the pixels ignored",
        {"NAME": "CrossEntropyLoss"},
        lambda: semantic_head(labels(0.25)),
        lambda loss: semantic_head(labels(0.25), loss),
    ),
    Case(
        "`SemSegFPNHead`, all pixels ignored",
        {"NAME": "CrossEntropyLoss"},
        lambda: semantic_head(labels(1.0)),
        lambda loss: semantic_head(labels(1.0), loss),
        "a batch without a pixel that counts costs 0, with a gradient of 0; theirs ends the"
        " training",
    ),
    Case(
        "`SemSegFPNHead`, labels beyond the classes",
        {"NAME": "CrossEntropyLoss"},
        lambda: semantic_head(BEYOND),
        lambda loss: semantic_head(BEYOND, loss),
        "the message names the labels, and those that are allowed (on a GPU under"
        " `metriseg.debug()`)",
    ),
    Case(
        "DeepLab's `hard_pixel_mining`",
        {"NAME": "TopKLoss", "PERCENT": 20},
        lambda: deeplab(labels(0.0), top_k_percent_pixels=0.2),
        fine(labels(0.0)),
    ),
    Case(
        "DeepLab's `hard_pixel_mining`, three quarters of the pixels ignored",
        {"NAME": "TopKLoss", "PERCENT": 20},
        lambda: deeplab(labels(0.75), top_k_percent_pixels=0.2),
        fine(labels(0.75)),
        "20 % of the pixels that count; theirs is 20 % of all, of which the ignored ones cost 0",
    ),
    Case(
        "`DeepLabCE(weight=…)`",
        {"NAME": "CrossEntropyLoss", "CLASS_WEIGHT": CLASS_WEIGHT},
        lambda: deeplab(labels(0.0), weight=torch.tensor(CLASS_WEIGHT)),
        fine(labels(0.0)),
    ),
    Case(
        "`DeepLabCE(weight=…)`, a quarter of the pixels ignored",
        {"NAME": "CrossEntropyLoss", "CLASS_WEIGHT": CLASS_WEIGHT},
        lambda: deeplab(labels(0.25), weight=torch.tensor(CLASS_WEIGHT)),
        fine(labels(0.25)),
        "the mean is over the pixels that count; theirs counts the ignored ones as zeros",
    ),
    Case(
        "Mask2Former's `sigmoid_ce_loss`",
        {"NAME": "CrossEntropyLoss"},
        lambda: nnf.binary_cross_entropy_with_logits(MASKS, TRUTH),
        of_masks(small=False),
    ),
    Case(
        "MaskFormer's `sigmoid_focal_loss`, which is fvcore's",
        {"NAME": "FocalLoss", "GAMMA": 2.0, "ALPHA": 0.25},
        lambda: sigmoid_focal_loss(MASKS, TRUTH, alpha=0.25, gamma=2.0, reduction="mean"),
        of_masks(small=False),
    ),
    Case(
        "`dice_loss` of both",
        {"NAME": "DiceLoss"},
        lambda: dice(TRUTH),
        of_masks(small=False),
    ),
    Case(
        "`dice_loss`, a mask of four empty",
        {"NAME": "DiceLoss", "SMOOTH": 1e-5},
        lambda: dice(TRUTH),
        of_masks(small=False),
        "without `SMOOTH` it is theirs, 1.0, wherever a loss sees masks; a semantic head leaves the"
        " core's 1e-5",
    ),
    Case(
        "`dice_loss`, one of two images smaller",
        {"NAME": "DiceLoss"},
        lambda: dice(padded()),
        of_masks(small=True),
        "what lies beyond an image's masks doesn't count; theirs counts it as background",
    ),
]


def answer(ask: Callable[[], Tensor]) -> Tensor | str:
    """A number, or the name of what was raised."""
    try:
        return ask().detach()
    except (ValueError, IndexError, RuntimeError) as error:
        return type(error).__name__


def row(case: Case) -> str:
    """A row: both answers, and the reason.

    Raises:
        ValueError: for answers that differ without a reason, or have one and don't differ.
    """
    theirs = answer(case.stock)
    ours = answer(lambda: case.ours(build_losses([case.here])[0]))
    if isinstance(theirs, Tensor) and isinstance(ours, Tensor):
        differs = not torch.allclose(theirs, ours, rtol=ALIKE, atol=0.0)
    else:
        differs = theirs != ours
    if differs != bool(case.reason):
        raise ValueError(f"{case.case}: {theirs} and {ours}, with the reason {case.reason!r}")
    loss = ", ".join(f"{word}: {value}" for word, value in case.here.items())
    shown = " | ".join(map(_shown, (theirs, ours)))
    return f"| {case.case} | `{{{loss}}}` | {shown} | {case.reason or 'equal'} |"


def _shown(answer: Tensor | str) -> str:
    if isinstance(answer, str):
        return f"`{answer}`"
    return "NaN" if answer.isnan() else f"{answer.item():.3f}"


def table() -> str:
    """A row a case."""
    return "\n".join((*HEAD, *map(row, CASES)))


def written(text: str) -> str:
    """The page with its table as it should be."""
    return with_table("page", text, HEAD, table())


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(CASES)} cases\n")
