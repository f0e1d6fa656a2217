"""The keys that metriseg adds to Detectron2's YAML config, and the losses that they describe."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from detectron2.config import CfgNode

from metriseg import SegmentationLoss, UnknownArgumentError
from metriseg_detectron2.convention import Detectron2Convention
from metriseg_detectron2.losses import HOW_TO_REGISTER, LOSS_REGISTRY, UNSUPPORTED
from metriseg_detectron2.yaml_messages import in_yaml, typed_words

__all__ = ["add_metriseg_config", "check_metriseg_config", "strip_metriseg_config"]

#: The nodes of MODEL that have losses -> our head for it, and the stock head whose place it takes.
HEADS = {
    "ROI_MASK_HEAD": ("MetrisegMaskRCNNConvUpsampleHead", "MaskRCNNConvUpsampleHead"),
    "SEM_SEG_HEAD": ("MetrisegSemSegFPNHead", "SemSegFPNHead"),
}

#: Our head and meta-architecture of embeddings -> the stock ones whose place they take.
EMBEDDING_HEAD = ("MetrisegEmbeddingSemSegFPNHead", "SemSegFPNHead")
EMBEDDING_ARCHITECTURE = ("MetrisegEmbeddingSegmentor", "SemanticSegmentor")


def add_metriseg_config(cfg: CfgNode) -> None:
    """Declare ``MODEL.ROI_MASK_HEAD.LOSSES`` and ``MODEL.SEM_SEG_HEAD.LOSSES``, empty lists.

    A list has mappings such as ``{NAME: TverskyLoss, FN_WEIGHT: 0.7, LOSS_WEIGHT: 1.0}``. It is
    read by the heads ``MetrisegMaskRCNNConvUpsampleHead`` and ``MetrisegSemSegFPNHead``; a stock
    head knows nothing of it (:func:`check_metriseg_config`). ``MODEL.EMBEDDING`` is what
    ``MetrisegEmbeddingSemSegFPNHead`` and ``MetrisegEmbeddingSegmentor`` read.

    Args:
        cfg: Detectron2's config; what it already declares is left alone.
    """
    for node in HEADS:
        if "LOSSES" not in cfg.MODEL[node]:
            cfg.MODEL[node].LOSSES = []
    if "EMBEDDING" not in cfg.MODEL:
        cfg.MODEL.EMBEDDING = CfgNode(
            {"CHANNELS": 6, "COORDINATES": True, "BANDWIDTH": 1.0, "BACKGROUND": 0, "MIN_SIZE": 10}
        )


def strip_metriseg_config(cfg: CfgNode) -> CfgNode:
    """A copy of a config without our keys and heads, which tools without metriseg load.

    Args:
        cfg: a config to which :func:`add_metriseg_config` was applied, or not.
    """
    stripped = cfg.clone()
    stripped.defrost()
    for node, (ours, stock) in HEADS.items():
        head = stripped.MODEL[node]
        head.pop("LOSSES", None)
        if ours == head.NAME:
            head.NAME = stock
    stripped.MODEL.pop("EMBEDDING", None)
    if EMBEDDING_HEAD[0] == stripped.MODEL.SEM_SEG_HEAD.NAME:
        stripped.MODEL.SEM_SEG_HEAD.NAME = EMBEDDING_HEAD[1]
    if EMBEDDING_ARCHITECTURE[0] == stripped.MODEL.META_ARCHITECTURE:
        stripped.MODEL.META_ARCHITECTURE = EMBEDDING_ARCHITECTURE[1]
    if cfg.is_frozen():
        stripped.freeze()
    return stripped


def check_metriseg_config(cfg: CfgNode) -> None:
    """Refuse losses that would silently be ignored.

    Raises:
        ValueError: for ``LOSSES`` beside the NAME of a stock head.
    """
    for node, (ours, stock) in HEADS.items():
        head = cfg.MODEL[node]
        if head.get("LOSSES") and stock == head.NAME:
            raise ValueError(f"MODEL.{node}.NAME: {stock} ignores the LOSSES beside it: say {ours}")


def build_losses(entries: Sequence[Any], where: str = "LOSSES") -> list[SegmentationLoss]:
    """The losses that a config's list describes.

    Args:
        entries: mappings with NAME and the loss's arguments in upper case.
        where: the list's place in the config, for messages.

    Raises:
        ValueError: for anything else, naming the place, the word and the nearest valid one.
    """
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"{where} must be a list of mappings with NAME, got {entries!r}")
    return [build_loss(entry, f"{where}[{i}]") for i, entry in enumerate(entries)]


def build_loss(entry: Any, where: str) -> SegmentationLoss:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("NAME"), str):
        raise ValueError(
            f"{where} must be a mapping with NAME, such as {{NAME: DiceLoss, LOSS_WEIGHT: 1.0}},"
            f" got {entry!r}"
        )
    loss = _find_loss(entry["NAME"], where)
    words, hints = _words(loss), loss.hints()
    arguments = {}
    for key, value in entry.items():
        if key == "NAME":
            continue
        word = _word(loss, key, words, where)
        if word == "terms":
            arguments[word] = build_losses(value, f"{where}.{key}")
        else:
            value = _lower_case(value)
            arguments[word] = _numbers(value) if _takes_numbers(hints.get(word, Any)) else value
    try:
        return loss(**arguments)
    except ValueError as error:
        message = in_yaml(str(error), {*words, *typed_words(entry)})
        raise ValueError(f"{where}: {message}") from error


def _find_loss(name: str, where: str) -> type[SegmentationLoss]:
    if name in LOSS_REGISTRY:
        loss = LOSS_REGISTRY.get(name)
        if not (isinstance(loss, type) and issubclass(loss, Detectron2Convention)):
            raise ValueError(
                f"{where}.NAME: {name} is registered, but not bound for Detectron2: it must be"
                f" {HOW_TO_REGISTER}"
            )
        return loss
    if name in UNSUPPORTED:
        raise ValueError(f"{where}.NAME: {name} is not offered in Detectron2: {UNSUPPORTED[name]}")
    names = [known for known, _ in LOSS_REGISTRY]
    raise ValueError(f"{where}.NAME: there is no loss {name!r}{_nearest(name, names)}")


def _words(loss: type[SegmentationLoss]) -> list[str]:
    """The constructor's words, with all that it passes on."""
    found = inspect.signature(loss).parameters.values()
    own = [word.name for word in found if word.kind is not inspect.Parameter.VAR_KEYWORD]
    passed_on = [] if len(own) == len(found) else loss.hints()
    return list(dict.fromkeys([*own, *passed_on]))


def _word(loss: type[SegmentationLoss], key: Any, words: Sequence[str], where: str) -> str:
    """The constructor's word for a key; the config's keys are upper case."""
    keys = {word.upper(): word for word in words}
    if key in keys:
        return keys[key]
    hint = loss.synonyms.get(str(key).lower())
    explanation = f": {in_yaml(hint, words)}" if hint else _nearest(str(key).upper(), list(keys))
    raise UnknownArgumentError(f"{where}: {loss.__name__} has no key {key!r}{explanation}")


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f": did you mean '{near[0]}'?" if near else f" (only {', '.join(known)})"


def _lower_case(value: Any) -> Any:
    """Keys within a value are words of the core too: ``SEGMENTS: {TYPE: KernelSegments}``."""
    if isinstance(value, Mapping):
        return {
            key.lower() if isinstance(key, str) else key: _lower_case(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_lower_case(item) for item in value]
    return value


def _takes_numbers(hint: Any) -> bool:
    parts = get_args(hint)
    return any(map(_takes_numbers, parts)) if parts else hint in (float, Any)


def _numbers(value: Any) -> Any:
    """YAML reads ``1e-5`` as text (``1.0e-5`` not): text that is a number becomes one."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    return value
