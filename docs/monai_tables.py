"""The tables of ``docs/monai.md``, written from MONAI's losses and ours: ``make tables``."""

from __future__ import annotations

import enum
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import monai.losses
import torch
from torch import Tensor

import metriseg_monai
from page_tables import with_table

PAGE = Path(__file__).with_name("monai.md")

#: MONAI's segmentation losses -> ours; a sentence where there is none of ours to name.
COUNTERPARTS = {
    "DiceLoss": "DiceLoss",
    "MaskedDiceLoss": "MaskedDiceLoss",
    "DiceCELoss": "DiceCELoss",
    "DiceFocalLoss": "DiceFocalLoss",
    "GeneralizedDiceLoss": "GeneralizedDiceLoss",
    "GeneralizedDiceFocalLoss": "GeneralizedDiceFocalLoss",
    "GeneralizedWassersteinDiceLoss": "GeneralizedWassersteinDiceLoss",
    "TverskyLoss": "TverskyLoss",
    "FocalLoss": "FocalLoss",
    "HausdorffDTLoss": "HausdorffDTLoss",
    "LogHausdorffDTLoss": "LogHausdorffDTLoss",
    "BoundaryLoss": "BoundaryLoss",
    "AsymmetricUnifiedFocalLoss": "AsymmetricUnifiedFocalLoss",
    "DeepSupervisionLoss": "DeepSupervisionLoss",
    "MaskedLoss": "the third argument `mask` of every loss",
    "MCCLoss": "MCCLoss",
    "SoftclDiceLoss": "`CenterlineDiceLoss`, an index a class; MONAI's, also as a term",
    "SoftDiceclDiceLoss": "`DiceCenterlineDiceLoss`, likewise; MONAI's, also as a term",
    "NACLLoss": "`NeighborAwareCalibrationLoss`; MONAI's has no channel in its target: no term",
}
#: MONAI's losses of something else than segments.
OTHER_TASKS = {
    *("AUCMLoss", "BarlowTwinsLoss", "BendingEnergyLoss", "BoxGIoULoss", "ContrastiveLoss"),
    *("DiffusionLoss", "GlobalMutualInformationLoss", "JukeboxLoss", "MultiScaleLoss"),
    *("LocalNormalizedCrossCorrelationLoss", "PatchAdversarialLoss", "PerceptualLoss"),
    *("SSIMLoss", "SURELoss"),
}
#: Defaults that say the same in other words: MONAI's and ours.
SAME_DEFAULTS = {("use_softmax", "False", "None"), ("dist_matrix", "required", "None")}


class Difference(NamedTuple):
    """What is asked of both sides, and why the answers differ."""

    case: str
    ask: Callable[[Any], Tensor]
    reason: str


def words(loss: type) -> dict[str, str]:
    """The words of a constructor and their defaults, as text."""
    return {
        name: "required" if word.default is inspect.Parameter.empty else _plain(word.default)
        for name, word in inspect.signature(loss).parameters.items()
    }


def _plain(default: Any) -> str:
    """As text; of an enumeration the word that stands for it, of 2 and 2.0 the same."""
    default = default.value if isinstance(default, enum.Enum) else default
    whole = isinstance(default, int) and not isinstance(default, bool)
    return repr(float(default) if whole else default)


def segmentation_losses() -> set[str]:
    """What MONAI offers for segmentation: all but those of other tasks.

    Raises:
        ValueError: for a loss that neither table knows.
    """
    offered = {
        name
        for name, value in vars(monai.losses).items()
        if inspect.isclass(value) and name.endswith("Loss")
    }
    unknown = offered - OTHER_TASKS - set(COUNTERPARTS)
    if unknown:
        raise ValueError(f"MONAI has losses that the page doesn't know: {sorted(unknown)}")
    return offered - OTHER_TASKS


def same(name: str) -> str:
    """A row: MONAI's class, ours, the words that both have, and those that ours has beside."""
    ours = COUNTERPARTS[name]
    if not hasattr(metriseg_monai, ours):
        return f"| `{name}` | {ours} | | |"
    theirs, own = words(getattr(monai.losses, name)), words(getattr(metriseg_monai, ours))
    other = [
        word
        for word, default in theirs.items()
        if own.get(word) != default and (word, default, own.get(word)) not in SAME_DEFAULTS
    ]
    if other:
        raise ValueError(f"{name}: {other} are refused, or have other defaults")
    beside = ", ".join(f"`{word}`" for word in own if word not in theirs)
    return f"| `{name}` | `{ours}` | all {len(theirs)} | {beside} |"


def answer(ask: Callable[[Any], Tensor], losses: Any) -> str:
    """A number, or that there is none."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            value = ask(losses)
        except (ValueError, TypeError):
            return "refused"
        except (AssertionError, RuntimeError, IndexError) as error:
            return type(error).__name__
    number = f"{value.item():.3f}"
    return f"{number}, warned of" if any("gnored" in str(w.message) for w in warned) else number


def _sample(classes: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(2, classes, 7, 6, generator=random)
    return logits, torch.randint(0, classes, (2, 1, 7, 6), generator=random).float()


def _halves(value: float) -> Tensor:
    """A mask (1, 1, 4, 4) of ones, and of a value in its right half."""
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 2:] = value
    return mask


LOGITS, INDICES = _sample()
COMMON = {"softmax": True, "to_onehot_y": True}
ONES = torch.ones(1, 1, 4, 4)
PERFECT = torch.cat([-99 * ONES, 99 * ONES], 1)
DENSE = torch.cat([0 * ONES, ONES], 1)


def _with_hidden(hidden: Tensor, logit: float) -> tuple[Tensor, Tensor]:
    """The sample, labels 255 in some voxels and a number in their logits."""
    logits = torch.where(hidden, logit, LOGITS)
    return logits, torch.where(hidden, 255.0, INDICES)


def _gradient(loss: Any) -> Tensor:
    """The sum of a gradient's absolute values, of half-precision logits of a large image."""
    input = torch.zeros(1, 2, 512, 512, dtype=torch.float16, requires_grad=True)
    loss(input, torch.ones(1, 1, 512, 512, dtype=torch.float16)).backward()
    assert input.grad is not None
    return input.grad.float().abs().sum()


SOFT = LOGITS.flip(0).softmax(1)
FIRST_ROWS = torch.arange(7).view(1, 1, 7, 1).expand(2, 1, 7, 6) < 3
FIRST_IMAGE = torch.arange(2).view(2, 1, 1, 1).expand(2, 1, 7, 6) < 1

DIFFERENCES = [
    Difference(
        "`DiceLoss` of float16 logits, all 0, of 512 x 512 voxels: its gradient",
        lambda m: _gradient(m.DiceLoss(**COMMON)),
        "sums of half precision end at 65504; ours are in single precision",
    ),
    Difference(
        "`FocalLoss(ignore_index=255)` of four classes, no voxel ignored",
        lambda m: m.FocalLoss(to_onehot_y=True, ignore_index=255)(LOGITS, INDICES),
        "MONAI divides by the voxels alone as soon as some may be ignored; without `ignore_index`"
        " both are the same",
    ),
    Difference(
        "`DiceLoss(ignore_index=255)`, NaN in the logits of ignored voxels",
        lambda m: m.DiceLoss(**COMMON, ignore_index=255)(*_with_hidden(FIRST_ROWS, torch.nan)),
        "what is ignored may hold anything",
    ),
    Difference(
        "`DiceLoss(ignore_index=255)`, one of two images wholly ignored",
        lambda m: m.DiceLoss(**COMMON, ignore_index=255)(*_with_hidden(FIRST_IMAGE, 0.0)),
        "an image without a voxel leaves the mean; MONAI counts it as perfect",
    ),
    Difference(
        "`MaskedDiceLoss(to_onehot_y=True)`, a perfect prediction, half of it masked",
        lambda m: m.MaskedDiceLoss(**COMMON)(PERFECT, ONES, _halves(0.0)),
        "MONAI multiplies class indices by the mask, which makes masked voxels background",
    ),
    Difference(
        "`MaskedDiceLoss`, a mask of 1 and 1/2, all p = 1/2",
        lambda m: m.MaskedDiceLoss(softmax=True)(0 * PERFECT, DENSE, _halves(0.5)),
        "a weight counts once; MONAI multiplies prediction and target both",
    ),
    Difference(
        "`FocalLoss(use_softmax=True, include_background=False)`",
        lambda m: m.FocalLoss(to_onehot_y=True, use_softmax=True, include_background=False)(
            LOGITS, INDICES
        ),
        "probabilities are of all classes; MONAI takes the softmax without the background's scores,"
        " which then learn nothing",
    ),
    Difference(
        "the same with `alpha=0.3`",
        lambda m: m.FocalLoss(
            to_onehot_y=True, use_softmax=True, include_background=False, alpha=0.3
        )(LOGITS, INDICES),
        "there is no background to weigh: leave `alpha` out, or give a number for every class",
    ),
    Difference(
        "`FocalLoss()` of soft labels",
        lambda m: m.FocalLoss()(LOGITS, SOFT),
        "ours is what hard labels drawn from them cost in the mean; MONAI's fades with another"
        " power. With `gamma=0` both are the same",
    ),
    Difference(
        "`AsymmetricUnifiedFocalLoss(ignore_index=255)`",
        lambda m: m.AsymmetricUnifiedFocalLoss(to_onehot_y=True, ignore_index=255)(
            LOGITS[:, :2].softmax(1), torch.where(FIRST_ROWS, 255.0, INDICES.clamp(max=1))
        ),
        "the focal part is a mean over voxels that count; MONAI's counts the ignored ones as zeros",
    ),
    Difference(
        "`DiceLoss(softmax=True)` of one channel",
        lambda m: m.DiceLoss(softmax=True)(LOGITS[:, :1], (INDICES > 1).float()),
        "a softmax over one channel is constant: say `sigmoid=True`",
    ),
    Difference(
        "`DiceLoss()` of raw scores",
        lambda m: m.DiceLoss(to_onehot_y=True)(LOGITS, INDICES),
        "without an activation the input must lie in [0, 1]",
    ),
    Difference(
        "`DiceLoss(other_act=torch.tanh)`",
        lambda m: m.DiceLoss(to_onehot_y=True, other_act=torch.tanh)(LOGITS, INDICES),
        "`other_act` must make probabilities",
    ),
    Difference(
        "`DiceCELoss()` and `DiceFocalLoss()` without an activation",
        lambda m: m.DiceCELoss(to_onehot_y=True)(LOGITS, INDICES),
        "Dice would be of the input itself, the other part of raw scores",
    ),
    Difference(
        "`DiceCELoss(label_smoothing=0.2)` of one channel",
        lambda m: m.DiceCELoss(sigmoid=True, label_smoothing=0.2)(
            LOGITS[:, :1], (INDICES > 1).float()
        ),
        "MONAI ignores it there: leave it out",
    ),
    Difference(
        "`AsymmetricUnifiedFocalLoss()` of raw scores",
        lambda m: m.AsymmetricUnifiedFocalLoss(to_onehot_y=True)(
            LOGITS[:, :2], (INDICES > 1).float()
        ),
        "MONAI clamps them to [0, 1]: say `softmax=True` or `sigmoid=True`",
    ),
    Difference(
        "`GeneralizedDiceLoss(include_background=False, smooth_nr=0)`, no class there",
        lambda m: m.GeneralizedDiceLoss(**COMMON, include_background=False, smooth_nr=0)(
            LOGITS, 0 * INDICES
        ),
        "an image with none of the classes costs 0; MONAI's has no weights there, whatever is"
        " predicted",
    ),
    Difference(
        "`GeneralizedWassersteinDiceLoss`, two classes 1/2 from the background and 1 apart",
        lambda m: m.GeneralizedWassersteinDiceLoss(
            torch.tensor([[0, 0.5, 0.5], [0.5, 0, 1], [0.5, 1, 0]])
        )(LOGITS[:, :3], INDICES.clamp(max=2)),
        "the paper's true positives know the distance to the background; where it is the largest"
        " both are the same",
    ),
    Difference(
        "a target of another shape",
        lambda m: m.DiceLoss(softmax=True)(LOGITS, INDICES[..., :3]),
        "always a ValueError, that names both shapes",
    ),
]

SAME_HEAD = ("| MONAI's | here | its words | more words here |", "| --- | --- | --- | --- |")
DIFFERENCE_HEAD = ("| case | MONAI | here | why |", "| --- | --- | --- | --- |")


def same_table() -> str:
    known = segmentation_losses()
    return "\n".join((*SAME_HEAD, *(same(name) for name in COUNTERPARTS if name in known)))


def difference_table() -> str:
    """Both sides asked anew.

    Raises:
        ValueError: where they agree.
    """
    rows = []
    for case, ask, reason in DIFFERENCES:
        theirs, ours = answer(ask, monai.losses), answer(ask, metriseg_monai)
        if theirs == ours:
            raise ValueError(f"{case}: both sides answer {ours}")
        rows.append(f"| {case} | {theirs} | {ours} | {reason} |")
    return "\n".join((*DIFFERENCE_HEAD, *rows))


def written(text: str) -> str:
    """The page with its tables as they should be."""
    for head, table in ((SAME_HEAD, same_table()), (DIFFERENCE_HEAD, difference_table())):
        text = with_table("page", text, head, table)
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(
        f"{PAGE.name}: {len(COUNTERPARTS)} losses, {len(DIFFERENCES)} deliberate differences\n"
    )
