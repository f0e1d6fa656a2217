"""The migration table of ``docs/mmsegmentation.md``, asked of both sides: ``make tables``."""

from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import mmseg.models.losses
import torch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from torch import Tensor, nn

from page_tables import with_table

register_all_modules(init_default_scope=True)

PAGE = Path(__file__).with_name("mmsegmentation.md")
HEAD = (
    "| stock | here | stock's | ours | ours / stock's | |",
    "| --- | --- | --- | --- | --- | --- |",
)
#: Stock losses of something else than classes of pixels.
OTHER_TASKS = {"Accuracy", "KLDivLoss", "SiLogLoss"}
#: What "differs" means: values that a rounding of the sum doesn't explain.
ALIKE = 1e-5


class Move(NamedTuple):
    """A stock loss and ours, each as a config has it, and why their values differ if they do."""

    stock: dict[str, Any]
    here: dict[str, Any] | None
    reason: str
    channels: int = 4


MOVES = [
    Move(
        {"type": "CrossEntropyLoss"},
        {"type": "CrossEntropyLoss"},
        "the stock mean counts ignored pixels, as zeros: multiply its `loss_weight` by the share of"
        " pixels that count",
    ),
    Move(
        {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        "",
    ),
    Move(
        {"type": "CrossEntropyLoss", "class_weight": [0.5, 1.0, 2.0, 4.0]},
        {"type": "CrossEntropyLoss", "class_weight": [0.5, 1.0, 2.0, 4.0]},
        "",
    ),
    Move(
        {"type": "CrossEntropyLoss", "use_sigmoid": True, "avg_non_ignore": True},
        {"type": "CrossEntropyLoss", "use_sigmoid": True},
        "",
    ),
    Move(
        {
            "type": "CrossEntropyLoss",
            "use_sigmoid": True,
            "avg_non_ignore": True,
            "class_weight": [3.0],
        },
        {"type": "CrossEntropyLoss", "class_weight": [3.0]},
        "",
        channels=1,
    ),
    Move(
        {"type": "OhemCrossEntropy", "thres": 0.2, "min_kept": 20},
        {"type": "TopKLoss", "threshold": 0.2, "min_kept": 20},
        "",
    ),
    Move(
        {"type": "DiceLoss", "use_sigmoid": False},
        {"type": "PowerDiceLoss", "power": 2.0, "smooth": 1e-3, "per_image": True},
        "the stock loss takes all classes of an image as one vector, and ignored pixels as a class"
        " of their own (`ignore_index` is the number of a channel there)",
    ),
    Move(
        {"type": "DiceLoss", "use_sigmoid": False, "naive_dice": True, "eps": 1e-5},
        {"type": "DiceLoss", "naive_dice": True, "per_image": True},
        "the same",
    ),
    Move(
        {"type": "DiceLoss", "naive_dice": True, "ignore_index": None, "eps": 1e-5},
        {"type": "DiceLoss", "naive_dice": True, "per_image": True},
        "the stock loss of one channel learns the background, and takes ignored pixels for"
        " foreground",
        channels=1,
    ),
    Move(
        {"type": "FocalLoss", "gamma": 2.0, "alpha": 0.25},
        {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25},
        "the stock loss fails without a GPU; there it asks the same questions, and its mean counts"
        " ignored pixels",
    ),
    Move(
        {"type": "FocalLoss", "gamma": 2.0, "alpha": 0.25},
        {"type": "FocalLoss", "gamma": 2.0, "alpha": 0.25},
        "the same",
        channels=1,
    ),
    Move(
        {"type": "LovaszLoss", "reduction": "none"},
        {"type": "LovaszSoftmaxLoss"},
        "",
    ),
    Move(
        {"type": "LovaszLoss", "per_image": True, "classes": "all"},
        {"type": "LovaszSoftmaxLoss", "per_image": True, "classes": "all"},
        "",
    ),
    Move(
        {"type": "LovaszLoss", "loss_type": "binary", "per_image": True},
        {"type": "LovaszHingeLoss", "per_image": True},
        "",
        channels=1,
    ),
    Move(
        {"type": "TverskyLoss"},
        {"type": "TverskyLoss", "smooth": 1.0, "per_image": True, "classes": "all"},
        "",
    ),
    Move(
        {"type": "TverskyLoss", "alpha": 0.4, "beta": 0.6},
        {
            "type": "TverskyLoss",
            "fp_weight": 0.4,
            "fn_weight": 0.6,
            "smooth": 1.0,
            "per_image": True,
            "classes": "all",
        },
        "",
    ),
    Move(
        {"type": "HuasdorffDisstanceLoss"},
        {"type": "HausdorffDistanceTransformLoss"},
        "the stock loss compares every class with the number of the label; at a perfect prediction"
        " of these labels it is not 0",
    ),
    Move(
        {"type": "BoundaryLoss"},
        None,
        "that of PIDNet's edges, one channel of its head: keep it. Ours of this name prices"
        " probabilities by their distance from the boundary",
    ),
]


def sample(move: Move) -> tuple[Tensor, Tensor]:
    """Logits and labels, a row of them ignored."""
    random = torch.Generator().manual_seed(2)
    logits = torch.randn(2, move.channels, 6, 7, generator=random)
    target = torch.randint(max(move.channels, 2), (2, 6, 7), generator=random)
    target[:, 0] = 255
    return logits, target


def value(loss: dict[str, Any], move: Move) -> float | None:
    """What a loss says of the sample; None where it fails."""
    logits, target = sample(move)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built: nn.Module = MODELS.build(loss)
        # what a head passes on, as far as the loss takes it
        words = inspect.signature(built.forward).parameters
        ignored = {} if move.stock["type"] == "OhemCrossEntropy" else {"ignore_index": 255}
        takes = "ignore_index" in words or "kwargs" in words
        try:
            return float(built(logits, target, **(ignored if takes else {})))
        except (IndexError, RuntimeError, TypeError, AssertionError, ValueError):
            return None


def row(move: Move) -> str:
    """A row: both configs, both values, and the reason.

    Raises:
        ValueError: for values that differ without a reason, or have one and don't differ.
    """
    theirs = value({**move.stock, "type": f"mmseg.{move.stock['type']}"}, move)
    if move.here is None:
        return f"| `{_written(move.stock)}` | none | | | | {move.reason} |"
    ours = value({**move.here, "type": f"metriseg_mmseg.{move.here['type']}"}, move)
    if ours is None:
        raise ValueError(f"{move.here} fails")
    differs = theirs is None or abs(theirs - ours) > ALIKE * abs(ours)
    if differs != bool(move.reason):
        raise ValueError(f"{move.stock}: {theirs} and {ours}, with the reason {move.reason!r}")
    shown, ratio = ("fails", "") if theirs is None else (f"{theirs:.3f}", f"{ours / theirs:.3f}")
    one = ", one channel" if move.channels == 1 else ""
    return (
        f"| `{_written(move.stock)}`{one} | `{_written(move.here)}` | {shown} | {ours:.3f} |"
        f" {ratio} | {move.reason or 'equal'} |"
    )


def _written(loss: dict[str, Any]) -> str:
    words = ", ".join(f"{name}={word!r}" for name, word in loss.items() if name != "type")
    return f"{loss['type']}({words})"


def table() -> str:
    """A row a move; every stock loss of MMSegmentation has one.

    Raises:
        ValueError: for a stock loss without a row.
    """
    offered = {
        name
        for name, value in vars(mmseg.models.losses).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    unknown = offered - {move.stock["type"] for move in MOVES} - OTHER_TASKS
    if unknown:
        raise ValueError(f"MMSegmentation has losses that the page doesn't know: {unknown}")
    return "\n".join((*HEAD, *map(row, MOVES)))


def written(text: str) -> str:
    """The page with its table as it should be."""
    return with_table("page", text, HEAD, table())


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(MOVES)} moves\n")
