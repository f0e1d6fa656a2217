"""The keys that metriseg adds to Detectron2's YAML config, and the losses that they describe."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from detectron2.config import CfgNode
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)

from metriseg import SegmentationLoss, UnknownArgumentError
from metriseg_detectron2.convention import Detectron2Convention
from metriseg_detectron2.losses import HOW_TO_REGISTER, LOSS_REGISTRY, UNSUPPORTED
from metriseg_detectron2.projects import refuse_without_project
from metriseg_detectron2.yaml_messages import in_yaml, typed_words

__all__ = ["add_metriseg_config", "check_metriseg_config", "strip_metriseg_config"]

#: The lists of losses that a node may have: of masks or maps, and of points sampled from them.
KEYS = ("LOSSES", "POINT_LOSSES")


class Head(NamedTuple):
    """A head of ours: the stock head whose place it takes, and the lists that it reads."""

    stock: str
    keys: tuple[str, ...] = ("LOSSES",)


#: The nodes of MODEL with losses -> our heads for them.
HEADS: dict[str, dict[str, Head]] = {
    "ROI_MASK_HEAD": {
        "MetrisegMaskRCNNConvUpsampleHead": Head("MaskRCNNConvUpsampleHead"),
        "MetrisegPointRendMaskHead": Head("PointRendMaskHead", KEYS),
        "MetrisegImplicitPointRendMaskHead": Head("ImplicitPointRendMaskHead", ("POINT_LOSSES",)),
    },
    "SEM_SEG_HEAD": {
        "MetrisegSemSegFPNHead": Head("SemSegFPNHead"),
        "MetrisegEmbeddingSemSegFPNHead": Head("SemSegFPNHead"),
        "MetrisegDeepLabV3Head": Head("DeepLabV3Head"),
        "MetrisegDeepLabV3PlusHead": Head("DeepLabV3PlusHead"),
        "MetrisegPanopticDeepLabSemSegHead": Head("PanopticDeepLabSemSegHead"),
        "MetrisegPointRendSemSegHead": Head("PointRendSemSegHead", ("POINT_LOSSES",)),
    },
}

#: What else of ours a config may name -> the stock name.
OTHERS = {
    "MetrisegEmbeddingSegmentor": "SemanticSegmentor",
    "MetrisegPointRendROIHeads": "PointRendROIHeads",
}

#: Detectron2's architectures and ours -> the nodes that they build. Others may build any.
ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "GeneralizedRCNN": ("ROI_MASK_HEAD",),
    "PanopticFPN": ("ROI_MASK_HEAD", "SEM_SEG_HEAD"),
    "SemanticSegmentor": ("SEM_SEG_HEAD",),
    "PanopticDeepLab": ("SEM_SEG_HEAD",),
    "MetrisegEmbeddingSegmentor": ("SEM_SEG_HEAD",),
    "RetinaNet": (),
    "DenseDetector": (),
    "ProposalNetwork": (),
    "TensorMask": (),
}


class _LikeAnyNode(type):
    """The type of a type that equals CfgNode: a merge asks of two nodes whether their types do."""

    def __eq__(cls, other: object) -> bool:
        return other is CfgNode or other is cls

    def __hash__(cls) -> int:
        return hash(CfgNode)


class _CheckedModel(CfgNode, metaclass=_LikeAnyNode):
    """``MODEL`` of a config: it is checked as a model is built, whoever builds it.

    ``build_model`` asks it for META_ARCHITECTURE, and nothing else that Detectron2 calls would let
    us see that a stock head is about to ignore a list of losses.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "META_ARCHITECTURE":
            _check_model(self)
        return super().__getattr__(name)

    # nodes that a merge makes within it are plain ones

    @classmethod
    def _decode_cfg_value(cls, value: Any) -> Any:
        return CfgNode._decode_cfg_value(value)

    @classmethod
    def _create_config_tree_from_dict(cls, dic: Any, key_list: Any) -> Any:
        return CfgNode._create_config_tree_from_dict(dic, key_list)


def add_metriseg_config(cfg: CfgNode) -> None:
    """Declare the lists of losses: ``LOSSES`` and ``POINT_LOSSES`` of the two nodes with heads.

    The nodes are ``MODEL.ROI_MASK_HEAD`` and ``MODEL.SEM_SEG_HEAD``, and the lists are empty. One
    has mappings such as ``{NAME: TverskyLoss, FN_WEIGHT: 0.7, LOSS_WEIGHT: 1.0}``, and is read by
    heads of ours; where a config names a head that knows nothing of it, no model is built from it
    (:func:`check_metriseg_config`). ``MODEL.EMBEDDING`` is what ``MetrisegEmbeddingSemSegFPNHead``
    and ``MetrisegEmbeddingSegmentor`` read.

    Args:
        cfg: Detectron2's config; what it already declares is left alone.
    """
    for node in HEADS:
        for key in KEYS:
            if key not in cfg.MODEL[node]:
                cfg.MODEL[node][key] = []
    if "EMBEDDING" not in cfg.MODEL:
        cfg.MODEL.EMBEDDING = CfgNode(
            {
                "CHANNELS": 6,
                "COORDINATES": True,
                "BANDWIDTH": 1.0,
                "BACKGROUND": 0,
                "MIN_SIZE": 10,
                "PIXELS_PER_UNIT": None,
            }
        )
    # in its place, past the node's own __setattr__, which is for keys
    object.__setattr__(cfg.MODEL, "__class__", _CheckedModel)


def strip_metriseg_config(cfg: CfgNode) -> CfgNode:
    """A copy of a config without our keys and heads, which tools without metriseg load.

    Args:
        cfg: a config to which :func:`add_metriseg_config` was applied, or not.
    """
    stripped = cfg.clone()
    stripped.defrost()
    model = stripped.MODEL
    object.__setattr__(model, "__class__", CfgNode)
    model.pop("EMBEDDING", None)
    for node, heads in HEADS.items():
        for key in KEYS:
            model[node].pop(key, None)
        if model[node].NAME in heads:
            model[node].NAME = heads[model[node].NAME].stock
    stock = OTHERS | {name: head.stock for name, head in HEADS["SEM_SEG_HEAD"].items()}
    for parent, key in (
        (model, "META_ARCHITECTURE"),
        (model.ROI_HEADS, "NAME"),
        (model.get("POINT_HEAD", {}), "COARSE_SEM_SEG_HEAD_NAME"),
    ):
        if key in parent:
            parent[key] = stock.get(parent[key], parent[key])
    if cfg.is_frozen():
        stripped.freeze()
    return stripped


def check_metriseg_config(cfg: CfgNode) -> None:
    """Refuse losses that would silently be ignored.

    A config of :func:`add_metriseg_config` is checked whenever a model is built from it.

    Raises:
        ValueError: for ``LOSSES`` or ``POINT_LOSSES`` beside a head that doesn't read them, or of a
            head that the model hasn't got.
    """
    _check_model(cfg.MODEL)


def _check_model(model: CfgNode) -> None:
    architecture = model["META_ARCHITECTURE"]
    for node in HEADS:
        for key in KEYS:
            if not model[node].get(key):
                continue
            name, named_by = model[node]["NAME"], f"MODEL.{node}.NAME"
            if key == "LOSSES" and name.endswith("PointRendSemSegHead"):
                named_by = "MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME"
                name = model.get("POINT_HEAD", {}).get("COARSE_SEM_SEG_HEAD_NAME", "SemSegFPNHead")
            if key not in _read_by(node, name):
                raise ValueError(
                    f"{named_by}: {name} ignores MODEL.{node}.{key}{_instead(node, name, key)}"
                    f" (or {key}: [] for the stock loss)"
                )
            if node not in _nodes_of(architecture):
                raise ValueError(
                    f"MODEL.{node}.{key}: META_ARCHITECTURE {architecture} builds no such head"
                )
            if node == "ROI_MASK_HEAD" and not model["MASK_ON"]:
                raise ValueError(
                    f"MODEL.{node}.{key}: no mask head is built where MODEL.MASK_ON is False"
                )
    if architecture == "MaskFormer" and model.get("MASK_FORMER", {}).get("LOSSES"):
        raise ValueError(
            "MODEL.META_ARCHITECTURE: MaskFormer ignores MODEL.MASK_FORMER.LOSSES: name an"
            " architecture whose criterion has the MaskCriterionMixin"
        )
    _check_company(model)


def _nodes_of(architecture: str) -> Collection[str]:
    """The nodes with heads that an architecture builds; another builds what its bases do."""
    kind = META_ARCH_REGISTRY.get(architecture) if architecture in META_ARCH_REGISTRY else None
    names = [one.__name__ for one in getattr(kind, "__mro__", ())] or [architecture]
    return next((ARCHITECTURES[name] for name in names if name in ARCHITECTURES), tuple(HEADS))


def _check_company(model: CfgNode) -> None:
    """Refuse a head of ours where the rest of the model asks for another."""
    architecture, pooler = model["META_ARCHITECTURE"], model["ROI_MASK_HEAD"]["POOLER_TYPE"]
    semantic, masks = model["SEM_SEG_HEAD"]["NAME"], model["ROI_MASK_HEAD"]["NAME"]
    if model["ROI_HEADS"]["NAME"] == "PointRendROIHeads" and masks in HEADS["ROI_MASK_HEAD"]:
        raise ValueError(
            "MODEL.ROI_HEADS.NAME: PointRendROIHeads takes Detectron2's own mask head alone: say"
            " MetrisegPointRendROIHeads"
        )
    if masks == "MetrisegMaskRCNNConvUpsampleHead" and not pooler and model["MASK_ON"]:
        raise ValueError(
            f"MODEL.ROI_MASK_HEAD.NAME: {masks} needs a POOLER_TYPE, and PointRend has none: say"
            " MetrisegPointRendMaskHead"
        )
    coarse = model.get("POINT_HEAD", {}).get("COARSE_SEM_SEG_HEAD_NAME", "")
    if semantic.endswith("PointRendSemSegHead") and coarse in HEADS["SEM_SEG_HEAD"]:
        possible = ("MetrisegSemSegFPNHead", "MetrisegDeepLabV3PlusHead")
        if coarse not in possible:
            raise ValueError(
                f"MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME: {coarse} can't be the coarse head:"
                f" say {' or '.join(possible)}"
            )
    if semantic not in HEADS["SEM_SEG_HEAD"]:
        return
    fitting = "MetrisegPanopticDeepLabSemSegHead"
    if architecture == "PanopticDeepLab" and semantic != fitting:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NAME: {semantic} is no head of PanopticDeepLab: say {fitting}"
        )
    # DeepLab's keys, and features that no feature pyramid made
    if (
        HEADS["SEM_SEG_HEAD"][semantic].stock == "SemSegFPNHead"
        and "ASPP_CHANNELS" in model["SEM_SEG_HEAD"]
        and any(name.startswith("res") for name in model["SEM_SEG_HEAD"]["IN_FEATURES"])
    ):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NAME: {semantic} would replace DeepLab's decoder: say"
            " MetrisegDeepLabV3Head or MetrisegDeepLabV3PlusHead"
        )


def _read_by(node: str, name: str) -> Sequence[str]:
    """The lists that a head reads of its node; of a head that isn't registered, none."""
    registry = ROI_MASK_HEAD_REGISTRY if node == "ROI_MASK_HEAD" else SEM_SEG_HEADS_REGISTRY
    if name not in registry:
        refuse_without_project(name)
        return ()
    keys: Sequence[str] = getattr(registry.get(name), "loss_keys", ())
    return keys


def _instead(node: str, name: str, key: str) -> str:
    """What to say in place of a head that doesn't read a list."""
    readers = {ours: head.stock for ours, head in HEADS[node].items() if key in head.keys}
    same = [ours for ours, stock in readers.items() if stock == name]
    if same:
        return f": say {same[0]}"
    return f", which is read by {', '.join(readers)}"


def built_losses(cfg: CfgNode, node: str, key: str = "LOSSES") -> list[SegmentationLoss]:
    """The losses that a head reads of its node of MODEL; none where nothing declared them."""
    return build_losses(cfg.MODEL[node].get(key, []), f"MODEL.{node}.{key}")


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
        elif word == "loss" and value is not None:
            arguments[word] = build_loss(value, f"{where}.{key}")
        else:
            value = _lower_case(value)
            arguments[word] = _numbers(value) if _takes_numbers(hints.get(word, Any)) else value
    try:
        built = loss(**arguments)
    except ValueError as error:
        message = in_yaml(str(error), {*words, *typed_words(entry)})
        raise ValueError(f"{where}: {message}") from error
    built.place = where
    return built


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
