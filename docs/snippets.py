"""How a loss is chosen in the config of each framework."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from metriseg.catalogue import Entry
from metriseg.losses import SegmentationLoss

#: What stands where an argument can't be written down, such as a network.
OPEN = "…"
WIDTH = 92

Values = dict[str, Any]


def mmsegmentation(entry: Entry) -> str:
    """A decode head's part of a Python config."""
    loss = {**_mmseg_values(entry.build()), "loss_weight": 1.0}
    return f"model = {_python({'decode_head': {'loss_decode': loss}}, '')}"


def monai(entry: Entry) -> str:
    """The loss in a bundle's JSON config."""
    return _json({"loss": _monai_values(entry.build())})


def detectron2(entry: Entry) -> str:
    """A head's part of a YAML config: the mask head's, where the loss has a meaning there."""
    loss = entry.build()
    in_mask_head = entry.min_classes == 1 and "sigmoid" in loss.activations
    node, head = (
        ("ROI_MASK_HEAD", "MetrisegMaskRCNNConvUpsampleHead")
        if in_mask_head
        else ("SEM_SEG_HEAD", "MetrisegSemSegFPNHead")
    )
    values = _detectron2_values(loss, None if in_mask_head else _raw_activation(loss))
    lines = ["MODEL:", f"  {node}:", f"    NAME: {head}", "    LOSSES:"]
    written = "\n".join([*lines, f"      - {_flow({**values, 'LOSS_WEIGHT': 1.0})}"])
    if max(map(len, written.splitlines())) <= WIDTH:
        return written
    rows = [f"{key}: {_flow(value)}" for key, value in {**values, "LOSS_WEIGHT": 1.0}.items()]
    return "\n".join([*lines, f"      - {rows[0]}", *(f"        {row}" for row in rows[1:])])


def _given(loss: SegmentationLoss) -> Values:
    """The arguments that an example must name, or that differ from their defaults."""
    parameters = inspect.signature(type(loss)).parameters
    return {
        name: value
        for name, value in loss.arguments().items()
        if parameters[name].default is inspect.Parameter.empty
        or repr(value) != repr(parameters[name].default)
    }


def _raw_activation(loss: SegmentationLoss) -> str:
    """What makes probabilities of logits of several classes."""
    return loss.activations[0] if "softmax" not in loss.activations else "softmax"


def _has_activation(loss: SegmentationLoss) -> bool:
    return "activation" in inspect.signature(type(loss)).parameters


def _mmseg_values(loss: SegmentationLoss) -> Values:
    values: Values = {"type": f"metriseg_mmseg.{type(loss).__name__}"}
    values |= {name: _value(value, _mmseg_values) for name, value in _given(loss).items()}
    if _has_activation(loss) and _raw_activation(loss) != "softmax":
        values["activation"] = _raw_activation(loss)
    return values


def _monai_values(loss: SegmentationLoss, *, within: bool = False) -> Values:
    """The words of a loss; one within another leaves how the input is read to that one."""

    def nested(name: str) -> Any:
        return functools.partial(_monai_values, within=name == "loss")

    values: Values = {"_target_": f"metriseg_monai.{type(loss).__name__}"}
    values |= {
        name: _value(value, nested(name))
        for name, value in _given(loss).items()
        if name != "activation"
    }
    if _has_activation(loss) and not within:
        if _raw_activation(loss) != "identity":
            values[_raw_activation(loss)] = True
        values["to_onehot_y"] = True
    return values


def _detectron2_values(loss: SegmentationLoss, activation: str | None) -> Values:
    def nested(term: SegmentationLoss) -> Values:
        return _detectron2_values(term, activation)

    values: Values = {"NAME": type(loss).__name__}
    values |= {name.upper(): _value(value, nested) for name, value in _given(loss).items()}
    if _has_activation(loss) and activation not in (None, "softmax"):
        values["ACTIVATION"] = activation
    return values


def _value(value: Any, of_loss: Any) -> Any:
    """A value as config files have it."""
    if isinstance(value, SegmentationLoss):
        return of_loss(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _value(item, of_loss) for key, item in value.items()}
    if isinstance(value, Sequence) or type(value).__name__ == "ModuleList":
        return [_value(item, of_loss) for item in value]
    return OPEN


def _python(value: Any, margin: str) -> str:
    """``dict(key=…)`` as configs write it, in a line where it fits."""
    short = _python_line(value)
    nested = isinstance(value, dict) and any(isinstance(item, dict) for item in value.values())
    fits = len(margin) + len(short) <= WIDTH - 20 or not isinstance(value, (dict, list))
    if fits and not nested:
        return short
    inner = margin + "    "
    if isinstance(value, list):
        rows = [f"{inner}{_python(item, inner)},\n" for item in value]
        return f"[\n{''.join(rows)}{margin}]"
    rows = [f"{inner}{key}={_python(item, inner)},\n" for key, item in value.items()]
    return f"dict(\n{''.join(rows)}{margin})"


def _python_line(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={_python_line(item)}' for key, item in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(_python_line, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _json(value: Any, margin: str = "") -> str:
    """Indented JSON, whose lists of numbers stay in a line."""
    inner = margin + "  "
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(key)}: {_json(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{margin}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        rows = [inner + _json(item, inner) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{margin}]"
    return json.dumps(value, ensure_ascii=False)


def _flow(value: Any) -> str:
    """YAML in a line: ``{NAME: TverskyLoss, FN_WEIGHT: 0.7}``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # YAML reads 1e-5 as text
    return value if isinstance(value, str) else json.dumps(value)
