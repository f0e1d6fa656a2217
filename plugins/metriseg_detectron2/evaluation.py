"""Which evaluators fit a model and a data set, and whether the data set has what they need."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    CityscapesSemSegEvaluator,
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    LVISEvaluator,
    PascalVOCDetectionEvaluator,
    SemSegEvaluator,
)
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.logger import log_first_n

from metriseg_detectron2.partition_evaluator import Kind, PartitionEvaluator
from metriseg_detectron2.projects import PROJECTS

__all__ = ["build_evaluator"]

#: Of a data set and a folder.
Build = Callable[[str, str], DatasetEvaluator]


class _Part(NamedTuple):
    """One of the evaluators that a kind of model has.

    Attributes:
        title: in messages.
        build: the evaluator.
        record: what every record of the data set must have.
        metadata: what its metadata must have.
        has_masks: whether its annotations must have masks.
        package: what must be importable.
        evaluator_type: what its metadata must say; "" for anything.
    """

    title: str
    build: Build
    record: tuple[str, ...]
    metadata: tuple[str, ...] = ()
    has_masks: bool = False
    package: str = ""
    evaluator_type: str = ""


def _partition(kind: Kind, task: str = "partition") -> _Part:
    needs = {
        "semantic": ("sem_seg_file_name",),
        "instances": ("annotations", "height", "width"),
        "instance_map": ("annotations", "height", "width"),
        "panoptic": ("pan_seg_file_name", "segments_info"),
    }
    return _Part(
        f"the partition scores of kind {kind!r}",
        lambda name, folder: PartitionEvaluator(name, kind, task=task),
        needs[kind],
        has_masks=kind.startswith("instance"),
    )


def _partitions(*kinds: Kind) -> tuple[_Part, ...]:
    """Several, each under a task of its own."""
    return tuple(_partition(kind, f"partition_{kind}") for kind in kinds)


def coco_evaluator(
    dataset_name: str, output_dir: str, tasks: Sequence[str] | None = None
) -> DatasetEvaluator:
    """COCO's average precision, by the truth as it is now.

    Detectron2 writes the truth of a data set that has no ``json_file`` to a folder and notes the
    file as the data set's own: another evaluator would then read it, whether the data set has
    changed or the folder is gone.

    Args:
        dataset_name: in Detectron2's catalogue.
        output_dir: where truth and predictions are written.
        tasks: of "bbox" and "segm"; None for what the predictions have.
    """
    metadata = MetadataCatalog.get(dataset_name)
    has_file = hasattr(metadata, "json_file")
    chosen = None if tasks is None else tuple(tasks)
    try:
        return COCOEvaluator(dataset_name, chosen, output_dir=output_dir, allow_cached_coco=False)
    finally:
        if not has_file:
            vars(metadata).pop("json_file", None)


_BOX_PRECISION = _Part(
    "COCO's average precision",
    coco_evaluator,
    ("annotations", "image_id", "height", "width"),
    ("thing_classes",),
)
_MASK_PRECISION = _BOX_PRECISION._replace(has_masks=True)
_SEMANTIC_IOU = _Part(
    "the IoU of classes",
    lambda name, folder: SemSegEvaluator(name, output_dir=folder),
    ("sem_seg_file_name",),
    ("stuff_classes", "ignore_label"),
)
_PANOPTIC_QUALITY = _Part(
    "panoptic quality",
    COCOPanopticEvaluator,
    ("image_id",),
    (
        *("panoptic_json", "panoptic_root"),
        *("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"),
    ),
    package="panopticapi",
    evaluator_type="coco_panoptic_seg",
)


class _Model(NamedTuple):
    """What a kind of model is evaluated for.

    Attributes:
        parts: its evaluators.
        class_counts: the keys of a config that say how many classes it tells apart -> the
            metadata that name them.
        is_choosy: whether a part is left out where the data set doesn't have what it needs, as
            long as there is another; else that is an error.
    """

    parts: tuple[_Part, ...]
    class_counts: Mapping[str, str]
    is_choosy: bool = False


_THINGS = {"MODEL.ROI_HEADS.NUM_CLASSES": "thing_classes"}
_CLASSES = {"MODEL.SEM_SEG_HEAD.NUM_CLASSES": "stuff_classes"}
_PANOPTIC = (
    _MASK_PRECISION,
    _SEMANTIC_IOU,
    *_partitions("instances", "semantic", "panoptic"),
    _PANOPTIC_QUALITY,
)

#: Of each meta-architecture, and what derives from it.
_MODELS = {
    "GeneralizedRCNN": _Model((_MASK_PRECISION, _partition("instances")), _THINGS),
    "DenseDetector": _Model((_BOX_PRECISION,), {"MODEL.RETINANET.NUM_CLASSES": "thing_classes"}),
    "SemanticSegmentor": _Model((_SEMANTIC_IOU, _partition("semantic")), _CLASSES),
    # which also learns from classes alone
    "MetrisegEmbeddingSegmentor": _Model(
        (_SEMANTIC_IOU, _partition("instance_map")), _CLASSES, is_choosy=True
    ),
    "PanopticFPN": _Model(_PANOPTIC, {**_THINGS, **_CLASSES}, is_choosy=True),
    # it says nothing of instances where it finds none
    "PanopticDeepLab": _Model(
        (
            _MASK_PRECISION,
            _SEMANTIC_IOU,
            *_partitions("semantic", "panoptic"),
            _PANOPTIC_QUALITY,
        ),
        _CLASSES,
        is_choosy=True,
    ),
}

#: What Detectron2's script chooses by the evaluator_type of some data sets, whatever the model.
_STOCK: dict[str, tuple[Build, ...]] = {
    "cityscapes_instance": (lambda name, folder: CityscapesInstanceEvaluator(name),),
    "cityscapes_sem_seg": (lambda name, folder: CityscapesSemSegEvaluator(name),),
    "cityscapes_panoptic_seg": (
        COCOPanopticEvaluator,
        lambda name, folder: CityscapesSemSegEvaluator(name),
        lambda name, folder: CityscapesInstanceEvaluator(name),
    ),
    "lvis": (lambda name, folder: LVISEvaluator(name, output_dir=folder),),
    "pascal_voc": (lambda name, folder: PascalVOCDetectionEvaluator(name),),
}


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluator:
    """The evaluators that fit a model and a data set, for the ``build_evaluator`` of a trainer.

    By ``MODEL.META_ARCHITECTURE``, and for what derives from one of them:

    - ``GeneralizedRCNN``: COCO's average precision of boxes and masks, and a
      :class:`PartitionEvaluator` of the detected "instances"; without masks the precision of boxes.
    - ``RetinaNet``: COCO's average precision of boxes.
    - ``SemanticSegmentor``: the IoU of classes, and a :class:`PartitionEvaluator` of "semantic".
    - ``MetrisegEmbeddingSegmentor``: the IoU of classes, and, where the data set has masks, a
      :class:`PartitionEvaluator` of "instance_map".
    - ``PanopticFPN``: of the precision, the IoU of classes, panoptic quality and a
      :class:`PartitionEvaluator` of "instances", "semantic" and "panoptic", whose tasks are
      ``partition_<kind>``, what the data set allows.
    - ``PanopticDeepLab``: the same without the :class:`PartitionEvaluator` of "instances".

    A data set whose ``evaluator_type`` is that of Cityscapes, LVIS or Pascal VOC has the evaluators
    that Detectron2's own scripts give it. What is left out, and why, is a warning in the log.

    Args:
        cfg: ``MODEL`` is read, and ``OUTPUT_DIR``.
        dataset_name: in Detectron2's catalogue; its records are read.
        output_folder: where evaluators write; None for ``inference`` in ``OUTPUT_DIR``.

    Raises:
        ValueError: for a model that nothing fits, for a data set that lacks what the evaluators
            need, with its name, and for a model of more classes than the data set names.
        ImportError: for a data set whose evaluator needs a package that is missing.
    """
    folder = output_folder or os.path.join(cfg.OUTPUT_DIR, "inference")
    stock = _STOCK.get(_evaluator_type(dataset_name))
    if stock is not None:
        return DatasetEvaluators([_built(build, dataset_name, folder) for build in stock])
    model = _model(cfg)
    records = DatasetCatalog.get(dataset_name)
    lacks = {part: _lacking(part, dataset_name, records) for part in model.parts}
    fitting = [part for part, missing in lacks.items() if not missing]
    reasons = [f"{part.title}: {'; '.join(found)}" for part, found in lacks.items() if found]
    if reasons and not (model.is_choosy and fitting):
        raise ValueError(
            f"DATASETS.TEST: the data set {dataset_name!r} lacks what a"
            f" {cfg.MODEL.META_ARCHITECTURE} is evaluated by. {'. '.join(reasons)}"
        )
    for reason in reasons:
        message = f"left out of the evaluation of {dataset_name!r}: {reason}"
        log_first_n(logging.WARNING, message, key="message", name=__name__)
    _check_class_counts(cfg, model, dataset_name)
    return DatasetEvaluators([_built(part.build, dataset_name, folder) for part in fitting])


def data_sets_of_masks(cfg: CfgNode) -> list[str]:
    """Those of ``DATASETS.TEST`` on whose boxes a model of ``GeneralizedRCNN`` predicts masks."""
    if not (cfg.MODEL.MASK_ON and "GeneralizedRCNN" in _ancestors(cfg)):
        return []
    on_boxes = _partition("instances")
    return [
        name
        for name in cfg.DATASETS.TEST
        if _evaluator_type(name) not in _STOCK
        and not _lacking(on_boxes, name, DatasetCatalog.get(name))
    ]


def _evaluator_type(name: str) -> str:
    return MetadataCatalog.get(name).get("evaluator_type", "")


def _ancestors(cfg: CfgNode) -> list[str]:
    """The names of the model's class and of those that it derives from, the nearest first."""
    found = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    return [one.__name__ for one in getattr(found, "__mro__", ())]


def _model(cfg: CfgNode) -> _Model:
    known = next((name for name in _ancestors(cfg) if name in _MODELS), None)
    if known is None:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE: no evaluator is known for {cfg.MODEL.META_ARCHITECTURE},"
            f" only for {', '.join(_MODELS)} and what derives from them: say build_evaluator in a"
            " trainer of your own, or DATASETS.TEST: ()"
        )
    model = _MODELS[known]
    if known == "GeneralizedRCNN" and not cfg.MODEL.MASK_ON:
        return model._replace(parts=(_BOX_PRECISION,))
    return model


def _lacking(part: _Part, name: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a data set would need for a part of the evaluation, in words."""
    lacking = []
    kind = _evaluator_type(name)
    if part.evaluator_type not in ("", kind):
        lacking.append(f"its evaluator_type is {kind!r}, not {part.evaluator_type!r}")
    metadata = MetadataCatalog.get(name)
    lacking += [f"no {key} in its metadata" for key in part.metadata if not hasattr(metadata, key)]
    for key in part.record:
        missing = [record["file_name"] for record in records if key not in record]
        if missing:
            lacking.append(f"no {key} in the record of {missing[0]}")
    if part.has_masks:
        missing = [record["file_name"] for record in records if not _has_masks(record)]
        if missing:
            lacking.append(f"no segmentation in the annotations of {missing[0]}")
    if part.package and find_spec(part.package) is None:
        lacking.append(f"the package {part.package} is not installed{_HINTS[part.package]}")
    return lacking


def _has_masks(record: Mapping[str, Any]) -> bool:
    return all("segmentation" in one for one in record.get("annotations", ()))


#: How a package is installed; panopticapi is not on PyPI.
_HINTS = {
    "panopticapi": f": {PROJECTS['panoptic_deeplab'].install}",
    "lvis": ": pip install lvis",
}


def _check_class_counts(cfg: CfgNode, model: _Model, name: str) -> None:
    metadata = MetadataCatalog.get(name)
    for key, names in model.class_counts.items():
        if not hasattr(metadata, names):
            continue
        node: Any = cfg
        for word in key.split("."):
            node = node[word]
        if node > len(metadata.get(names)):
            raise ValueError(
                f"{key} must be at most {len(metadata.get(names))}, the number of {names} of"
                f" {name!r} in DATASETS.TEST, got {node}"
            )


def _built(build: Build, name: str, folder: str) -> DatasetEvaluator:
    try:
        return build(name, folder)
    except ImportError as error:
        hint = _HINTS.get(error.name or "", "")
        raise ImportError(
            f"DATASETS.TEST: the evaluator of {name!r} needs {error.name or error}{hint}",
            name=error.name,
        ) from error
