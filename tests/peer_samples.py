"""What losses of other libraries and ours are asked alike."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import metriseg
import peers

#: What "differs" means: values that a rounding of the sum doesn't explain.
ALIKE = 2e-5


def sample(kind: str) -> tuple[Tensor, Tensor]:
    """Logits or probabilities, and the target, as ours take them."""
    random = torch.Generator().manual_seed(3)
    channels = {"two": 2, "volumes of two": 2, "mask": 1, "probability": 1, "signs": 1}.get(kind, 3)
    space = (4, 5, 4) if kind.startswith("volumes") else (6, 7)
    logits = torch.randn(2, channels, *space, generator=random)
    labels = torch.randint(channels, (2, *space), generator=random)
    masks = torch.randint(2, logits.shape, generator=random).float()
    if kind == "ignored":
        labels[:, 0] = 255
    if kind in ("mask", "questions", "signs"):
        return logits, masks
    if kind == "probability":
        return logits.sigmoid(), masks
    if kind in ("soft", "soft questions"):
        soft = torch.randn(logits.shape, generator=random)
        return logits, soft.softmax(1) if kind == "soft" else soft.sigmoid()
    if kind in ("two", "probabilities", "volumes") and channels > 1:
        logits = logits if kind == "volumes" else logits.softmax(1)
    if kind == "volumes of probabilities":
        logits = logits.softmax(1)
    if kind == "square":
        found, there = torch.full((2, 1, 9, 9), 0.1), torch.zeros(2, 1, 9, 9)
        found[..., 1:7, 1:7], there[..., 4:8, 4:8] = 0.8, 1.0
        return found, there
    if kind == "log-probabilities":
        logits = logits.log_softmax(1)
    return logits, labels


class _Names(dict[str, Any]):
    """What the package has, found when it is asked for."""

    def __missing__(self, name: str) -> Any:
        if name not in metriseg.__all__:
            raise KeyError(name)
        return getattr(metriseg, name)


def ours(row: peers.Row) -> nn.Module:
    """Our construction of a row."""
    built = eval(row.here, {}, _Names())
    assert isinstance(built, nn.Module)
    return built


def words(loss: Callable[..., Any]) -> set[str]:
    """The words of a constructor or a function."""
    return {
        name
        for name, word in inspect.signature(loss).parameters.items()
        if word.kind not in (word.VAR_POSITIONAL, word.VAR_KEYWORD)
    }


def theirs(peer: peers.Peer, row: peers.Row, losses: dict[str, Any]) -> Callable[..., Any]:
    """A loss of another library, told what its row says and what its sample needs."""
    found = losses[row.name]
    space = {**losses, "torch": torch, "np": np}
    told = {name: eval(text, space) for name, text in row.options.items()}
    said = ast.parse(f"f({peer.said.get(row.sample or '', '')})", mode="eval").body
    assert isinstance(said, ast.Call)
    for word in said.keywords:
        if word.arg in words(found) and word.arg not in told:
            told[word.arg] = ast.literal_eval(word.value)
    if inspect.isclass(found):
        return found(**told)
    return lambda *given: found(*given, **told)


def answers(
    row: peers.Row, loss: Callable[..., Any], call: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Theirs and ours, of the row's sample."""
    assert row.sample is not None
    logits, target = sample(row.sample)
    found = call(loss, row, logits.clone(), target.clone())
    return found.detach().squeeze(), ours(row)(logits, target).detach().squeeze()


def alike(found: Tensor, own: Tensor) -> bool:
    if found.shape != own.shape:
        return False
    return torch.allclose(found.double(), own.double(), rtol=ALIKE, atol=1e-7)


# ---------------------------------------------------------------------- how each is called


def call_monai(loss: Callable[..., Any], row: peers.Row, logits: Tensor, target: Tensor) -> Tensor:
    labels = target if target.is_floating_point() else target.unsqueeze(1).float()
    return loss(logits, target if row.name == "NACLLoss" else labels)


def call_mmseg(loss: Callable[..., Any], row: peers.Row, logits: Tensor, target: Tensor) -> Tensor:
    given = inspect.signature(loss.forward).parameters
    ignored = {"ignore_index": 255} if {"ignore_index", "kwargs"} & set(given) else {}
    if target.is_floating_point():
        target = target[:, 0].long()
    return loss(logits, target, **ignored)


def call_plain(loss: Callable[..., Any], row: peers.Row, logits: Tensor, target: Tensor) -> Tensor:
    return loss(logits, 2 * target - 1 if row.sample == "signs" else target)


def losses_of(library: str) -> dict[str, Any]:
    """By name, what an installed library has for its rows."""
    if library == "monai":
        found = dict(vars(importlib.import_module("monai.losses")))
    elif library == "segmentation_models_pytorch":
        found = dict(vars(importlib.import_module("segmentation_models_pytorch.losses")))
    elif library == "mmseg":
        found = dict(vars(importlib.import_module("mmseg.models.losses")))
        found |= {"KLDivLoss": importlib.import_module("mmseg.models.losses.kldiv_loss").KLDivLoss}
    elif library == "detectron2":
        found = dict(vars(importlib.import_module("fvcore.nn")))
        found |= vars(importlib.import_module("detectron2.projects.deeplab.loss"))
    elif library == "torchvision":
        found = dict(vars(importlib.import_module("torchvision.ops")))
    else:
        found = dict(vars(nn))
    return {name: value for name, value in found.items() if re.match(r"[A-Za-z]", name)}


CALLS = {
    "monai": call_monai,
    "segmentation_models_pytorch": call_plain,
    "mmseg": call_mmseg,
    "detectron2": call_plain,
    "torchvision": call_plain,
    "torch": call_plain,
}


# ---------------------------------------------------------------------- what a library has


def offered(library: str) -> dict[str, set[str]]:
    """Every loss of an installed library, and its options: of a function what has a default."""
    found = losses_of(library)
    if library == "monai":
        return {
            value.__name__: words(value)
            for value in found.values()
            if inspect.isclass(value) and value.__name__.endswith("Loss")
        }
    if library == "segmentation_models_pytorch":
        module = importlib.import_module("segmentation_models_pytorch.losses")
        return {name: words(found[name]) for name in module.__all__ if callable(found[name])}
    if library == "mmseg":
        names = (*importlib.import_module("mmseg.models.losses").__all__, "KLDivLoss")
        return {name: options(found[name]) for name in names}
    if library == "torch":
        names = importlib.import_module("torch.nn.modules.loss").__all__
        return {name: words(found[name]) for name in names}
    named = {
        name: options(value)
        for name, value in found.items()
        if callable(value) and ("loss" in name.lower() or name == "DeepLabCE")
    }
    package = {"torchvision": "torchvision.models.detection"}.get(library, library)
    return {name: set() for name in written_in(package)} | named


def written_in(package: str) -> set[str]:
    """What is called a loss in a package's files, and its classes with a method ``losses``."""
    (folder,) = importlib.import_module(package).__path__
    found = set()
    for path in Path(folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            if re.search("loss|criterion", node.name, re.IGNORECASE) or "losses" in methods:
                found.add(node.name)
    return found


def options(loss: Callable[..., Any]) -> set[str]:
    """Of a class all words of its constructor; of a function those with a default."""
    if inspect.isclass(loss):
        return words(loss)
    if not inspect.isfunction(loss):  # scripted: of the function beside it
        return set()
    given = inspect.signature(loss).parameters
    return {name for name in words(loss) if given[name].default is not inspect.Parameter.empty}


def unexplained(peer: peers.Peer, losses: dict[str, set[str]]) -> set[str]:
    """Losses without a row, and options that no row of the loss and none of every loss has."""
    elsewhere = {name for names in peer.elsewhere.values() for name in names} | set(peer.functions)
    said = {option for row in peer.rows if row.every for option in row.options}
    missing = set()
    for name, has in losses.items():
        rows = [row for row in peer.rows if row.name == name]
        if name in elsewhere:
            continue
        if not rows:
            missing.add(name)
        for option in has - said - {option for row in rows for option in row.options}:
            missing.add(f"{name}({option}=)")
    return missing


def stale(peer: peers.Peer, losses: dict[str, set[str]]) -> set[str]:
    """Names of rows that the library doesn't have, or no longer."""
    named = {row.name for row in peer.rows} | set(peer.functions)
    return (named | {name for names in peer.elsewhere.values() for name in names}) - set(losses)


# ---------------------------------------------------------------------- the tests of a library


def asked(*libraries: str) -> list[Any]:
    """The rows of libraries that can be asked, as parameters of a test."""
    return [
        pytest.param(library, row, id=f"{library}: {row.theirs}")
        for library in libraries
        for row in peers.PEERS[library].rows
        if row.here and row.sample
    ]


def check(library: str, row: peers.Row) -> None:
    """Values are equal where the row has no reason, and differ where it has one."""
    loss = theirs(peers.PEERS[library], row, losses_of(library))
    found, own = answers(row, loss, CALLS[library])
    assert alike(found, own) != bool(row.why), (found, own)


def _words_of(call: str) -> dict[str, str]:
    """Of a call by its text, the words and their values."""
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    return {word.arg or "": ast.unparse(word.value) for word in parsed.keywords}


def _told(call: str, words: dict[str, str]) -> str:
    """A call with these words, in place of those of the name that it has."""
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    kept = [word for word in parsed.keywords if word.arg not in words]
    new = [ast.keyword(name, ast.parse(text, mode="eval").body) for name, text in words.items()]
    parsed.keywords = [*kept, *new]
    return ast.unparse(parsed)


def shared(library: str) -> list[peers.Row]:
    """What "every loss with these words" says, of every other loss without a row of its own."""
    peer, found = peers.PEERS[library], []
    first = {
        row.name: row
        for row in reversed(peer.rows)
        if row.here and row.sample and not row.why and not row.here.startswith("CompoundLoss")
    }
    for every in peer.rows:
        own = first.get(every.name)
        if not (every.every and every.sample and own) or every.here.startswith("CompoundLoss"):
            continue
        said = {
            name: text
            for name, text in _words_of(every.here).items()
            if _words_of(own.here).get(name) != text
        }
        for name, has in offered(library).items():
            base = first.get(name)
            if base is None or name == every.name or not set(every.options) <= has:
                continue
            explained = {option for row in peer.rows if row.name == name for option in row.options}
            if set(every.options) & explained or base.sample not in ("classes", every.sample):
                continue
            theirs_too = _told(base.theirs, every.options)
            found.append(peers.Row(theirs_too, _told(base.here, said), sample=every.sample))
    return found


def check_shared(library: str, least: int) -> None:
    """Values of all of them, which are so many at least."""
    rows = shared(library)
    assert len(rows) >= least, len(rows)
    for row in rows:
        loss = theirs(peers.PEERS[library], row, losses_of(library))
        found, own = answers(row, loss, CALLS[library])
        assert alike(found, own), (row, found, own)
