"""Bytes that a loss moves, forward and backward, counted operator by operator.

    .venv/bin/python tests/benchmarks/traffic.py [--page docs/cost.md]

A loss of pixels is bound by memory: what it costs on a GPU is what it reads and writes. Every
operator that PyTorch launches counts the bytes of the tensors that it is given and of those that
it makes, in multiples of the logits; a view moves nothing, an expanded axis is read once, and
indexed operators (gather, scatter) touch as many elements as they have indices, of a smaller
tensor all of it once. The figures are the same on every machine. Passes over tiles, which stay in
the caches of a CPU, are counted as the one pass that they are on a GPU.

``peak`` is the most that is alive at once beyond the inputs, the gradient included.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import metriseg
from metriseg import statistics

#: The shape of the table: logits of 19 classes.
SHAPE = (2, 19, 256, 256)
#: Other shapes, which the test holds too; streets on the meta device.
SHAPES = {
    "streets": (4, 19, 512, 1024),
    "many classes": (2, 150, 512, 512),
    "volume": (2, 4, 128, 128, 128),
    "masks": (512, 1, 28, 28),
}
IGNORED = 255

#: Operators that index one tensor by another: which argument is indexed, which holds the indices,
#: and whether the first is written.
INDEXED = {
    "gather": (0, 2, False),
    "index_select": (0, 2, False),
    "embedding": (0, 1, False),
    "scatter": (0, 2, True),
    "scatter_": (0, 2, True),
    "scatter_add": (0, 2, True),
    "scatter_add_": (0, 2, True),
    "index_add": (0, 2, True),
    "index_add_": (0, 2, True),
}
#: Operators that write what they make and read nothing.
FILLS = {"zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones",
         "new_full", "zero_", "fill_", "arange"}  # fmt: skip
#: Operators that touch no memory.
EMPTY = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class Traffic(NamedTuple):
    """What was counted: bytes, operators, and the most bytes alive beyond the inputs."""

    moved: int
    operators: int
    peak: int
    by_operator: Mapping[str, int]


class TrafficCounter(TorchDispatchMode):
    """Counts what runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: Counter[str] = Counter()
        self.operators = 0
        self.alive, self.peak = 0, 0
        self._storages: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        made = [one for one in tree_leaves(out) if isinstance(one, Tensor)]
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        self._keep(made, given)
        # what is only written, an operator names by keyword
        places = {one.name for one in func._schema.arguments if one.kwarg_only and one.alias_info}
        read = {name: one for name, one in (kwargs or {}).items() if name not in places}
        given = [one for one in tree_leaves((args, read)) if isinstance(one, Tensor)]
        if is_view(func) or name in EMPTY:
            return out
        self.operators += 1
        self.moved[name] += moved_by(name, args, given, made)
        return out

    def _keep(self, made: list[Tensor], given: list[Tensor]) -> None:
        """Follow the storages that are new."""
        known = {one.untyped_storage()._cdata for one in given}
        for one in made:
            storage = one.untyped_storage()
            key = storage._cdata
            if key in known or key in self._storages:
                continue
            size = one.untyped_storage().nbytes()
            self._storages[key] = size
            self.alive += size
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.alive -= self._storages.pop(key, 0)

    @property
    def found(self) -> Traffic:
        return Traffic(sum(self.moved.values()), self.operators, self.peak, dict(self.moved))


def is_view(func: Any) -> bool:
    """Whether all that an operator gives back is memory that it was given, and not written."""
    returns = func._schema.returns
    return bool(returns) and all(
        one.alias_info is not None and not one.alias_info.is_write for one in returns
    )


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor; an axis that is only expanded is there once."""
    number = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        number *= length if stride else 1
    return number * tensor.element_size()


def moved_by(name: str, args: Any, given: list[Tensor], made: list[Tensor]) -> int:
    """Bytes that one operator reads and writes."""
    if name in FILLS:
        return sum(size_of(one) for one in made)
    if name == "copy_":
        return size_of(args[0]) + size_of(args[1])
    if name in INDEXED:
        place, indices, written = INDEXED[name]
        table, index = args[place], args[indices]
        touched = min(index.numel(), table.numel()) * table.element_size()
        others = [one for one in given if one is not table and one is not index]
        total = size_of(index) + touched + sum(size_of(one) for one in others)
        if not written:
            return total + sum(size_of(one) for one in made)
        whole = 0 if name.endswith("_") else 2 * size_of(table)
        # what is added to is read and written
        return total + (touched if "add" in name else 0) + whole
    return sum(size_of(one) for one in given) + sum(size_of(one) for one in made)


@contextlib.contextmanager
def whole_passes() -> Iterator[None]:
    """Tiles of a CPU as large as those of a GPU."""
    with mock.patch.object(statistics, "CACHED_VALUES", statistics.TILE_VALUES):
        yield


def measure(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Traffic:
    """Forward and backward of one step, after one that isn't counted."""
    logits = logits.detach().requires_grad_()
    with whole_passes():
        loss(logits, target).backward()
        logits.grad = None
        with TrafficCounter() as counter:
            loss(logits, target).backward()
    return counter.found


def inputs(
    shape: tuple[int, ...], *, ignored: float = 0.0, device: str = "cpu", dtype: Any = torch.float32
) -> tuple[Tensor, Tensor]:
    """Random logits, and labels of which a share is ignored."""
    generator = torch.Generator().manual_seed(0)
    images, classes, *space = shape
    if device == "meta":
        return (
            torch.empty(shape, device="meta", dtype=dtype),
            torch.empty((images, *space), device="meta", dtype=torch.long),
        )
    logits = torch.randn(shape, generator=generator).to(dtype)
    labels = torch.randint(max(classes, 2), (images, *space), generator=generator)
    if ignored:
        labels[torch.rand(labels.shape, generator=generator) < ignored] = IGNORED
    return logits, labels


#: Ours, by what the table calls them.
OURS: dict[str, Callable[[], Any]] = {
    "CrossEntropyLoss": metriseg.CrossEntropyLoss,
    "FocalLoss": metriseg.FocalLoss,
    "TopKLoss": metriseg.TopKLoss,
    "MimeLoss": metriseg.MimeLoss,
    "DiceLoss": metriseg.DiceLoss,
    "JaccardLoss": metriseg.JaccardLoss,
    "TverskyLoss": metriseg.TverskyLoss,
    "GeneralizedDiceLoss": metriseg.GeneralizedDiceLoss,
    "PowerJaccardLoss": metriseg.PowerJaccardLoss,
    "BoundaryDoULoss": metriseg.BoundaryDoULoss,
    "DiceCELoss": metriseg.DiceCELoss,
    "ComboLoss": metriseg.ComboLoss,
    "UnifiedFocalLoss": metriseg.UnifiedFocalLoss,
    "CompoundLoss of Dice, focal, power Jaccard": lambda: metriseg.CompoundLoss(
        [metriseg.DiceLoss(), metriseg.FocalLoss(), metriseg.PowerJaccardLoss()]
    ),
    "LovaszSoftmaxLoss": metriseg.LovaszSoftmaxLoss,
    "RegionMutualInformationLoss": metriseg.RegionMutualInformationLoss,
}


def peers() -> dict[str, dict[str, Callable[[Tensor, Tensor], Tensor]]]:
    """By our names, the same losses of others that are installed."""
    import torch.nn.functional as nnf
    from monai import losses as monai

    def channel(loss: Any) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda logits, target: loss(logits, target.unsqueeze(1))

    words = {"softmax": True, "to_onehot_y": True}
    found: dict[str, dict[str, Any]] = {
        "CrossEntropyLoss": {"torch": nnf.cross_entropy},
        "FocalLoss": {"MONAI": channel(monai.FocalLoss(use_softmax=True, to_onehot_y=True))},
        "DiceLoss": {"MONAI": channel(monai.DiceLoss(**words))},
        "JaccardLoss": {"MONAI": channel(monai.DiceLoss(jaccard=True, **words))},
        "TverskyLoss": {"MONAI": channel(monai.TverskyLoss(**words))},
        "GeneralizedDiceLoss": {"MONAI": channel(monai.GeneralizedDiceLoss(**words))},
        "DiceCELoss": {"MONAI": channel(monai.DiceCELoss(**words))},
    }
    with contextlib.suppress(ImportError):
        from mmseg.models import losses as mmseg

        found["DiceLoss"]["MMSegmentation"] = mmseg.DiceLoss()
        found["CrossEntropyLoss"]["MMSegmentation"] = mmseg.CrossEntropyLoss()
        found.setdefault("LovaszSoftmaxLoss", {})["MMSegmentation"] = mmseg.LovaszLoss(
            reduction="none", per_image=False
        )
    with contextlib.suppress(ImportError):
        import segmentation_models_pytorch as smp

        found["DiceLoss"]["SMP"] = smp.losses.DiceLoss("multiclass")
        found["TverskyLoss"]["SMP"] = smp.losses.TverskyLoss("multiclass")
        found["FocalLoss"]["SMP"] = smp.losses.FocalLoss("multiclass")
        found.setdefault("LovaszSoftmaxLoss", {})["SMP"] = smp.losses.LovaszLoss("multiclass")
    with contextlib.suppress(ImportError):
        import kornia.losses as kornia

        found["DiceLoss"]["kornia"] = kornia.dice_loss
        found["TverskyLoss"]["kornia"] = lambda x, t: kornia.tversky_loss(x, t, 0.3, 0.7)
        found["FocalLoss"]["kornia"] = lambda x, t: kornia.focal_loss(
            x, t, alpha=None, gamma=2.0, reduction="mean"
        )
        found.setdefault("LovaszSoftmaxLoss", {})["kornia"] = kornia.lovasz_softmax_loss
    return found


HEAD = (
    "| loss | ours | operators | peak | with ignored pixels | others |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
)


def table() -> str:
    """Markdown, in multiples of the logits' bytes."""
    others = peers()
    logits, labels = inputs(SHAPE)
    size = size_of(logits)
    holed = inputs(SHAPE, ignored=0.05)[1]
    rows = list(HEAD)
    for name, make in OURS.items():
        found = measure(make(), logits, labels)
        loss = make()
        for part in loss.modules():
            part.ignore_index = IGNORED
        ignoring = measure(loss, logits, holed)
        beside = ", ".join(
            f"{who} {measure(other, logits, labels).moved / size:.1f}"
            for who, other in others.get(name, {}).items()
        )
        rows.append(
            f"| `{name}` | {found.moved / size:.1f} | {found.operators} | {found.peak / size:.2f}"
            f" | {ignoring.moved / size:.1f} | {beside} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", type=Path, help="a page whose table is replaced")
    parser.add_argument("--operators", metavar="LOSS", help="what each operator of one moves")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.operators:
        logits, labels = inputs(SHAPE)
        found = measure(OURS[given.operators](), logits, labels)
        for name, moved in sorted(found.by_operator.items(), key=lambda one: -one[1]):
            print(f"{name:28} {moved / size_of(logits):6.2f}")
        return
    text = table()
    print(text)
    if given.page is not None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
        from page_tables import with_table

        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(with_table(given.page.name, page, HEAD, text), encoding="utf-8")


if __name__ == "__main__":
    main()
