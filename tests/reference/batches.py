"""Random predictions and truths that the generic tests share."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from metriseg.catalogue import Entry
from reference import (
    active_boundary,
    boundary,
    calibration,
    combination,
    cubical,
    embedding,
    hausdorff,
    inverse_form,
    lovasz,
    noise,
    object_losses,
    oracle,
    partial,
    partition_loss,
    semimetric,
    structure,
    thin,
)

#: Oracles of arrays (N, C, S), all pixels in one axis.
FLAT = (
    oracle.ORACLES
    | calibration.ORACLES
    | combination.ORACLES
    | noise.ORACLES
    | semimetric.ORACLES
    | partial.ORACLES
)
#: Oracles of arrays (N, C, *S), for losses that look at neighbours or at raw logits.
SPATIAL_ORACLES = (
    active_boundary.ORACLES
    | boundary.ORACLES
    | hausdorff.ORACLES
    | inverse_form.ORACLES
    | lovasz.ORACLES
    | structure.ORACLES
    | embedding.ORACLES
    | partition_loss.ORACLES
    | thin.ORACLES
    | object_losses.ORACLES
    | cubical.ORACLES
)

SPATIAL = {1: (11,), 2: (5, 4), 3: (3, 2, 3)}
IGNORE = 255


def random_logits(
    classes: int, dimensions: int = 2, images: int = 2, *, seed: int = 0, scale: float = 2.0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (images, classes, *SPATIAL[dimensions])
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale


def random_labels(
    classes: int, dimensions: int = 2, images: int = 2, *, seed: int = 1, ignore: float = 0.0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (images, *SPATIAL[dimensions])
    labels = torch.randint(max(classes, 2), shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < ignore
    return torch.where(ignored, IGNORE, labels)


def random_soft_labels(
    classes: int, dimensions: int = 2, images: int = 2, *, exclusive: bool = True, seed: int = 2
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (images, classes, *SPATIAL[dimensions])
    values = torch.rand(shape, generator=generator, dtype=torch.float64)
    return values / values.sum(1, keepdim=True) if exclusive and classes > 1 else values


def random_weight(dimensions: int = 2, images: int = 2, *, seed: int = 3) -> torch.Tensor:
    """Weights between 0.5 and 2.5, a fifth of them zero."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, *SPATIAL[dimensions])
    weight = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 + 0.5
    return torch.where(torch.rand(shape, generator=generator) < 0.2, 0.0, weight)


def accepted(entry: Entry, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that the loss's constructor has."""
    parameters = inspect.signature(entry.build).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def oracle_value(
    entry: Entry,
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    activation: str = "softmax",
    ignore_index: int | None = None,
    weight: torch.Tensor | None = None,
    **hyperparameters: Any,
) -> float | np.ndarray:
    """The value of the naive loops for what a loss of the library is given.

    Spatial oracles also get the raw logits ``z`` (what was given, whatever the activation).
    """
    images, classes = logits.shape[:2]
    z = logits.detach().double().numpy().reshape(images, classes, -1)
    if activation == "identity":
        p = z
    else:
        p = oracle.softmax(z) if activation == "softmax" else oracle.sigmoid(z)
    w = np.ones((images, z.shape[2]))
    if weight is not None:
        w = weight.double().numpy().reshape(images, -1)
    if target.is_floating_point():
        t = target.double().numpy().reshape(images, classes, -1)
    else:
        labels = target.numpy().reshape(images, -1)
        t = oracle.one_hot(labels, classes, ignore_index)
        if ignore_index is not None:
            w = np.where(labels == ignore_index, 0.0, w)
    exclusive = activation != "sigmoid" and classes > 1
    if entry.name in FLAT:
        return FLAT[entry.name](p, t, w, exclusive=exclusive, **hyperparameters)
    shape, space = tuple(logits.shape), tuple(logits.shape[2:])
    return SPATIAL_ORACLES[entry.name](
        p.reshape(shape),
        t.reshape(shape),
        w.reshape(images, *space),
        z=z.reshape(shape),
        exclusive=exclusive,
        **hyperparameters,
    )
