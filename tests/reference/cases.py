"""Small random cases of every loss, all drawn from one source of chance.

The source is a :class:`random.Random`: Hypothesis has one that it shrinks, ``make fuzz`` seeds one
for every case.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from metriseg import losses
from metriseg.catalogue import Entry
from reference.batches import IGNORE

#: Hyper-parameters under which a loss sees something in a few pixels, one set drawn a case;
#: those that name an activation are for it alone.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "CrossEntropyLoss": (
        {},
        {"normalize": "weights"},
        {"balance": "image", "activation": "sigmoid"},
        {"label_smoothing": 0.2},
        {"pos_weight": 3.0, "activation": "sigmoid"},
    ),
    "DiceCELoss": ({}, {"label_smoothing": 0.2}, {"pos_weight": 0.5, "activation": "sigmoid"}),
    "FocalLoss": ({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 4.0, "alpha": 0.25}),
    "TopKLoss": (
        {"percent": 30.0},
        {"percent": 75.0},
        {"threshold": 0.5},
        {"percent": 10.0, "min_kept": 3},
    ),
    "DistanceMapCrossEntropyLoss": ({}, {"map": "raw"}),
    "MimeLoss": ({}, {"a": 0.5, "b": 2.0}),
    "PowerJaccardLoss": ({}, {"power": 1.0}, {"power": 2.0}),
    "PowerDiceLoss": ({}, {"power": 1.2}, {"power": 2.0}),
    "TverskyLoss": ({}, {"fp_weight": 0.9, "fn_weight": 0.1}),
    "FocalTverskyLoss": ({}, {"gamma": 1.0}, {"gamma": 3.0}),
    "SensitivitySpecificityLoss": ({}, {"sensitivity_weight": 0.5}),
    "GeneralizedDiceLoss": ({}, {"weighting": "simple"}, {"weighting": "uniform"}),
    "PenaltyGeneralizedDiceLoss": ({}, {"penalty": 0.0}, {"weighting": "uniform"}),
    "GeneralizedWassersteinDiceLoss": ({}, {"weighting": "GDL"}, {"background": 1}),
    "RegionMutualInformationLoss": (
        {"radius": 2, "downsample": None},
        {"radius": 1, "downsample": None, "bce_weight": 0.0},
        {"radius": 1, "downsample": 2},
    ),
    "RobustTLoss": ({}, {"log_degrees": -2.0}),
    "JaccardMetricLoss": ({}, {"form": "product"}),
    "RegionWiseLoss": ({}, {"map": "boundary"}),
    "BoundaryDoULoss": ({}, {"alpha": 0.5}),
    "ActiveContourLoss": ({}, {"fp_weight": 0.3, "eps": 1e-4}),
    "ConditionalBoundaryLoss": ({}, {"window": 3, "boundary_width": 1}),
    "HausdorffDistanceTransformLoss": ({}, {"alpha": 0.5}),
    "HausdorffErosionLoss": ({"erosions": 2}, {"erosions": 2, "threshold": "linear"}),
    "HausdorffConvolutionLoss": ({"radii": (1,)}, {"radii": (1.5, 2)}),
    "ActiveBoundaryLoss": ({}, {"label_smoothing": 0.0}),
    "CenterlineDiceLoss": ({}, {"iterations": 1}),
    "DiceCenterlineDiceLoss": ({}, {"alpha": 0.2, "iterations": 0}),
    "CenterlineBoundaryDiceLoss": ({}, {"iterations": 1}),
    "SkeletonRecallLoss": ({}, {"tube": 0}, {"tube": 1}),
    "GeneralizedCrossEntropyLoss": ({}, {"q": 1.0}, {"q": 0.2}, {"truncation": 0.4}),
    "SymmetricCrossEntropyLoss": ({}, {"alpha": 1.0, "beta": 0.1, "log_zero": -9.0}),
    "PolyCrossEntropyLoss": ({}, {"epsilon": -1.0}, {"epsilon": 4.0}),
    "PolyFocalLoss": ({}, {"gamma": 0.5}, {"epsilon": -0.5, "alpha": 0.25}),
    "NeighborAwareCalibrationLoss": ({}, {"window": 5}, {"norm": "l2", "penalty_weight": 1.0}),
    "AverageCalibrationLoss": ({}, {"binning": "hard"}, {"bins": 4}),
    # without smoothing, powers that leave single precision would be all that an absent class has
    "DicePlusPlusLoss": ({}, {"gamma": 1.0}, {"gamma": 3.5, "smooth": 1e-5}),
    "NoiseRobustDiceLoss": ({}, {"gamma": 1.0}, {"gamma": 2.0}),
    # where nearly everything is predicted, true negatives round to a millionth of the pixels
    "MatthewsCorrelationLoss": ({"smooth": 0.1}, {"smooth": 2.0}),
    "DiceSemimetricLoss": ({}, {"form": "product"}),
    "TverskySemimetricLoss": ({}, {"form": "product"}, {"fp_weight": 0.9, "fn_weight": 0.1}),
    "LogHausdorffDistanceTransformLoss": ({}, {"alpha": 0.5}),
    "GeneralizedDiceFocalLoss": ({}, {"weighting": "simple"}, {"gamma": 1.0, "alpha": 0.25}),
    "DiceFocalLoss": ({}, {"gamma": 1.0, "alpha": 0.25}),
    "ComboLoss": ({}, {"beta": 0.8, "activation": "sigmoid"}),
    "ExponentialLogarithmicLoss": ({}, {"gamma_dice": 1.0, "gamma_ce": 2.0}),
    "UnifiedFocalLoss": ({}, {"form": "symmetric"}, {"gamma": 0.95}, {"delta": 0.2}),
    "TripletLoss": ({}, {"mining": "hard"}, {"mining": "all", "normalize": False}),
    "BlobLoss": ({}, {"loss": losses.TverskyLoss()}),
    "ConnectedComponentLoss": ({}, {"loss": losses.PowerDiceLoss(smooth=0.1)}),
    "BoundaryTripletLoss": ({"boundary_width": 1}, {"mining": "hard", "boundary_width": 1}),
    "PartitionLoss": (
        {},
        {"segments": "SlotSegments"},
        {"density": "segment"},
        {"form": "frobenius", "density": "root"},
        {"weighting": "union"},
        {"weighting": "sum", "segments": "SlotSegments", "density": "root"},
    ),
}
#: The largest sides of a case, by the number of its spatial dimensions.
SIDES = {1: 14, 2: 6, 3: 4}


@dataclass(frozen=True)
class Case:
    """One call of a loss: what it was built of, and what it was given."""

    entry: Entry
    arguments: dict[str, Any]
    logits: Tensor
    target: Tensor
    weight: Tensor | None = None

    def changed(self, **fields: Any) -> Case:
        return replace(self, **fields)

    def with_arguments(self, **arguments: Any) -> Case:
        """The same call of a loss built otherwise; words that it doesn't have are left out."""
        return replace(self, arguments=self.arguments | taken(self.entry, **arguments))

    @property
    def ignored(self) -> Tensor:
        """``(N, *S)``: the pixels that don't count."""
        nowhere = self.target.new_zeros(self.logits[:, 0].shape, dtype=torch.bool)
        ignored = nowhere if self.weight is None else self.weight == 0
        return ignored if self.target.is_floating_point() else ignored | (self.target == IGNORE)

    def loss(self) -> losses.SegmentationLoss:
        if self.entry.loss is not losses.CompoundLoss:
            return self.entry.build(**self.arguments)
        terms = [
            term(
                **{
                    k: v
                    for k, v in self.arguments.items()
                    if k in inspect.signature(term).parameters
                }
            )
            for term in (losses.DiceLoss, losses.CrossEntropyLoss)
        ]
        return losses.CompoundLoss(terms, weights=[1.0, 0.5])

    def run(self, view: Callable[[Tensor], Tensor] = lambda z: z) -> tuple[Tensor, Tensor]:
        """The value for ``view`` of the logits, and its gradient against the logits themselves.

        Of unreduced values, their sum.
        """
        leaf = self.logits.detach().clone().requires_grad_()
        value = self.loss()(view(leaf), self.target, weight=self.weight).sum()
        value.backward()
        return value.detach(), leaf.grad

    def __str__(self) -> str:
        return (
            f"{self.entry.name}({', '.join(f'{k}={v!r}' for k, v in self.arguments.items())}) of"
            f" logits {tuple(self.logits.shape)} {self.logits.dtype}, target"
            f" {tuple(self.target.shape)} {self.target.dtype},"
            f" {'no weight' if self.weight is None else 'weight'}"
        )


def taken(entry: Entry, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that the loss has (a compound: that one of its terms has)."""
    compound = entry.loss is losses.CompoundLoss
    return _having(losses.DiceLoss if compound else entry.loss, arguments)


def _having(loss: type, arguments: dict[str, Any]) -> dict[str, Any]:
    words = inspect.signature(loss).parameters
    return {name: value for name, value in arguments.items() if name in words}


def chance(rng: Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.randrange(1 << 32))


@dataclass(frozen=True)
class Wanted:
    """What a relation asks of a case; None leaves it to chance."""

    dimensions: tuple[int, ...] | None = None
    activations: tuple[str, ...] = ("softmax", "sigmoid")
    soft: bool | None = None
    ignored: bool | None = None
    weighted: bool | None = None
    images: int | None = None
    least_classes: int = 1
    least_side: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)


class NotApplicableError(Exception):
    """A relation says nothing about a loss."""


def draw(entry: Entry, rng: Random, wanted: Wanted = Wanted()) -> Case:
    """A legal case: random logits, labels, weights and options.

    Raises:
        NotApplicableError: where the loss can't have what the relation asks for.
    """
    activations = [word for word in wanted.activations if word in entry.loss.activations]
    dimensions = [
        d for d in entry.spatial_dimensions if wanted.dimensions is None or d in wanted.dimensions
    ]
    if not activations or not dimensions:
        raise NotApplicableError(f"{entry.name} has no such activation or dimensions")
    if wanted.soft and not entry.soft_targets:
        raise NotApplicableError(f"{entry.name} has no soft labels")
    activation = rng.choice(activations)
    least = max(entry.min_classes, 2 if activation == "softmax" else 1, wanted.least_classes)
    if entry.name in ("TripletLoss", "BoundaryTripletLoss"):  # one number has no direction
        least = max(least, 2)
    classes = rng.randint(least, max(least, 4))
    sides = SIDES[d := rng.choice(dimensions)]
    shape = tuple(rng.randint(wanted.least_side, sides) for _ in range(d))
    images = wanted.images or rng.randint(1, 3)
    generator = chance(rng)
    logits = torch.randn(images, classes, *shape, generator=generator, dtype=torch.float64)
    logits = logits * rng.choice([0.3, 2.0, 5.0])
    soft = entry.soft_targets and rng.random() < 0.3 if wanted.soft is None else wanted.soft
    ignored = not soft and rng.random() < 0.5 if wanted.ignored is None else wanted.ignored
    target = _target(generator, logits, activation, soft=soft, ignored=ignored and not soft)
    weighted = rng.random() < 0.5 if wanted.weighted is None else wanted.weighted
    weight = None
    if weighted:
        weight = torch.rand(images, *shape, generator=generator, dtype=torch.float64) * 2 + 0.1
        weight = torch.where(torch.rand(weight.shape, generator=generator) < 0.2, 0.0, weight)
    options = {"activation": activation, "ignore_index": IGNORE if ignored and not soft else None}
    options |= _options(entry, rng, classes, d, activation)
    options |= {k: v for k, v in wanted.arguments.items() if k in taken(entry, **wanted.arguments)}
    return Case(entry, options, logits, target, weight)


def _target(
    generator: torch.Generator, logits: Tensor, activation: str, *, soft: bool, ignored: bool
) -> Tensor:
    images, classes, *shape = logits.shape
    if soft:
        rows = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
        return rows / rows.sum(1, keepdim=True) if activation == "softmax" else rows
    labels = torch.randint(max(classes, 2), (images, *shape), generator=generator)
    hidden = torch.rand(labels.shape, generator=generator) < (0.3 if ignored else 0.0)
    return torch.where(hidden, IGNORE, labels)


def _options(
    entry: Entry, rng: Random, classes: int, dimensions: int, activation: str
) -> dict[str, Any]:
    """The options of a loss, half of them as they are."""
    drawn: dict[str, Any] = {"reduction": rng.choice(["mean", "mean", "sum"])}
    if rng.random() < 0.5:
        drawn["class_weight"] = [rng.uniform(0.2, 2.0) for _ in range(classes)]
    if rng.random() < 0.5:
        drawn["per_image"] = rng.random() < 0.5
    if rng.random() < 0.5:
        drawn["classes"] = rng.choice(["all", "present"])
    if rng.random() < 0.3:
        drawn["overlap"] = "minimum"
    if rng.random() < 0.3 and classes > 1:
        drawn["include_background"] = rng.random() < 0.5
    if rng.random() < 0.3:
        drawn["spacing"] = tuple(rng.choice([0.5, 1.0, 1.7]) for _ in range(dimensions))
    if rng.random() < 0.3:
        drawn["smooth"] = rng.choice([0.0, 1e-5, 1.0])
    variants = [
        variant
        for variant in VARIANTS.get(entry.name, ({},))
        if variant.get("activation", activation) == activation
    ]
    return taken(entry, **drawn) | rng.choice(variants)
