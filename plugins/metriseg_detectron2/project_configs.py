"""Configs of Detectron2's own projects: DeepLab, PointRend and Panoptic-DeepLab."""

from __future__ import annotations

import ast
import importlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from metriseg_detectron2.config import add_metriseg_config
from metriseg_detectron2.projects import PROJECTS

#: What the names of our heads have before those of the stock heads.
_OURS = "Metriseg"


class _Keys(NamedTuple):
    """What is known of a project before it is imported.

    Attributes:
        declare: the name of its function that adds its keys to a config.
        words: names that its configs use and only importing it makes known.
    """

    declare: str
    words: frozenset[str]


_KEYS = {
    "deeplab": _Keys(
        "add_deeplab_config",
        frozenset(
            {"DeepLabV3Head", "DeepLabV3PlusHead", "build_resnet_deeplab_backbone", "WarmupPolyLR"}
        ),
    ),
    "point_rend": _Keys(
        "add_pointrend_config",
        frozenset(
            {
                *("PointRendMaskHead", "ImplicitPointRendMaskHead", "PointRendSemSegHead"),
                *("StandardPointHead", "ImplicitPointHead", "PointRendROIHeads"),
            }
        ),
    ),
    "panoptic_deeplab": _Keys(
        "add_panoptic_deeplab_config",
        frozenset({"PanopticDeepLab", "PanopticDeepLabSemSegHead", "PanopticDeepLabInsEmbedHead"}),
    ),
}


def add_project_configs(cfg: CfgNode, config_file: str, overrides: Sequence[str] = ()) -> list[str]:
    """Declare the keys of the projects that a config is written for, and register their modules.

    A project is chosen where the file, those that it is based on, or the overrides name one of its
    modules (ours that take the place of one count too) or have a key that it alone declares. What
    none of them knows stays unknown.

    Args:
        cfg: to be changed; it need not have the keys of metriseg yet.
        config_file: YAML.
        overrides: ``KEY VALUE`` pairs.

    Returns:
        The projects' names.

    Raises:
        ImportError: for a project that is named and can't be imported, with what it needs.
    """
    written = _written(config_file, overrides)
    words = {value.removeprefix(_OURS) for value in written.values() if isinstance(value, str)}
    chosen = []
    for name, project in _KEYS.items():
        if named := sorted(words & project.words):
            try:
                _declare(cfg, name)
            except ImportError as error:
                raise ImportError(f"{named[0]} is {_needs(name, error)}") from error
            chosen.append(name)
    for name in _KEYS:
        unknown = _unknown(cfg, written)
        if not unknown or name in chosen:
            continue
        declared = cfg.clone()
        try:
            _declare(declared, name)
        except ImportError as error:
            logging.getLogger(__name__).warning(
                "unknown keys %s: they may be %s", ", ".join(unknown), _needs(name, error)
            )
            continue
        if _unknown(declared, unknown) != unknown:
            _declare(cfg, name)
            chosen.append(name)
    return chosen


def check_project_config(cfg: CfgNode) -> None:
    """Refuse what a project's module would only complain of in its first iteration.

    Raises:
        ValueError: for masks as polygons beside PointRend's mask heads.
    """
    head = cfg.MODEL.ROI_MASK_HEAD.NAME
    if cfg.MODEL.MASK_ON and "PointRend" in head and cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ValueError(
            f"INPUT.MASK_FORMAT must be 'bitmask' with MODEL.ROI_MASK_HEAD.NAME: {head}, got"
            f" {cfg.INPUT.MASK_FORMAT!r}"
        )


def _declare(cfg: CfgNode, name: str) -> None:
    module = importlib.import_module(f"detectron2.projects.{name}")
    getattr(module, _KEYS[name].declare)(cfg)


def _needs(name: str, error: ImportError) -> str:
    project, missing = PROJECTS[name], error.name or str(error)
    how = f": {project.install}" if missing == project.needs else ""
    return f"of Detectron2's project {name}, which needs {missing}{how}"


def _written(config_file: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Key -> value, of what a file, its bases and the overrides say."""
    written = dict(_leaves(CfgNode.load_yaml_with_base(config_file, allow_unsafe=True)))
    for key, value in zip(overrides[::2], overrides[1::2], strict=False):
        written[key] = _evaluated(value)
    return written


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _evaluated(value: Any) -> Any:
    """As the command line reads it: a quoted word is the word."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _unknown(cfg: CfgNode, keys: Iterable[str]) -> list[str]:
    """Those of the keys that neither a config has nor metriseg adds to it."""
    declared = cfg.clone()
    add_metriseg_config(declared)
    return [key for key in keys if not _knows(declared, key)]


def _knows(cfg: CfgNode, key: str) -> bool:
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
