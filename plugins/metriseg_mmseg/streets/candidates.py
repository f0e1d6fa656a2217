"""The losses, as a config of MMSegmentation has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metriseg.experiments.which_loss import Candidate


class Facts(NamedTuple):
    """What a loss's config depends on.

    Attributes:
        steps: of the training, over which schedules run.
        class_weight: median frequency over frequency, a number a class.
    """

    steps: int
    class_weight: tuple[float, ...]


Config = Mapping[str, Any]
Setting = Callable[[Facts], Config]


def _loss(name: str, **words: Any) -> Config:
    return {"type": f"metriseg_mmseg.{name}Loss", **words}


def _fixed(name: str, **words: Any) -> Setting:
    """A loss that depends on nothing."""
    return lambda facts: _loss(name, **words)


def _weighted(power: float) -> Setting:
    """Cross-entropy with the classes' weights to a power."""

    def config(facts: Facts) -> Config:
        weights = [round(one**power, 4) for one in facts.class_weight]
        return _loss("CrossEntropy", class_weight=weights)

    return config


def _sum(*terms: tuple[float, Config]) -> Setting:
    """A weighted sum."""
    weights, losses = zip(*terms, strict=True)
    return lambda facts: _loss("Compound", terms=list(losses), weights=list(weights))


def _rising(weight: float, term: Config) -> Setting:
    """Dice and cross-entropy, beside which a term comes in: its weight rises from 0 to this."""

    def config(facts: Facts) -> Config:
        rise = {"schedule": "linear", "start": 0.0, "end": weight, "steps": facts.steps}
        terms = [_loss("Dice"), _loss("CrossEntropy"), term]
        return _loss("Compound", terms=terms, weights=[1.0, 1.0, rise])

    return config


_CROSS_ENTROPY = _loss("CrossEntropy")
# no class of a street is the background
_BOUNDARY = _loss("Boundary", include_background=True)
_HAUSDORFF = _loss("HausdorffDistanceTransform", include_background=True, alpha=1.0)
_MUTUAL_INFORMATION = _loss("RegionMutualInformation", bce_weight=0.0)
_ACTIVE_BOUNDARY = _loss("ActiveBoundary", boundary_share=0.1)

#: The first is what the others are compared with.
CANDIDATES: tuple[Candidate, ...] = (
    Candidate("ce", "cross-entropy", {"plain": _fixed("CrossEntropy")}),
    Candidate(
        "weighted-ce",
        "weighted cross-entropy",
        {"root of median frequency": _weighted(0.5), "median frequency": _weighted(1.0)},
    ),
    Candidate(
        "focal", "focal", {f"gamma {gamma:g}": _fixed("Focal", gamma=gamma) for gamma in (2.0, 1.0)}
    ),
    Candidate(
        "top-k",
        "top-k",
        {f"k {percent:g} %": _fixed("TopK", percent=percent) for percent in (50.0, 25.0)},
    ),
    Candidate("dice", "Dice", {"plain": _fixed("Dice")}),
    Candidate(
        "dice-ce",
        "Dice + cross-entropy",
        {
            "1 : 1": _fixed("DiceCE"),
            "3 : 1": _fixed("DiceCE", lambda_dice=3.0),
        },
    ),
    Candidate("generalized-dice", "generalized Dice", {"plain": _fixed("GeneralizedDice")}),
    Candidate(
        "tversky",
        "Tversky",
        {
            f"misses {share:g}": _fixed("Tversky", fp_weight=round(1 - share, 2), fn_weight=share)
            for share in (0.7, 0.3)
        },
    ),
    Candidate("lovasz", "Lovász softmax", {"plain": _fixed("LovaszSoftmax")}),
    Candidate(
        "lovasz-ce",
        "Lovász softmax + cross-entropy",
        {"1 : 1": _sum((1.0, _loss("LovaszSoftmax")), (1.0, _CROSS_ENTROPY))},
    ),
    Candidate(
        "power-jaccard-1.5", "power Jaccard 1.5", {"plain": _fixed("PowerJaccard", power=1.5)}
    ),
    Candidate("power-jaccard-2", "power Jaccard 2", {"plain": _fixed("PowerJaccard", power=2.0)}),
    Candidate(
        "unified-focal",
        "unified focal",
        {
            f"gamma {gamma:g}": _fixed("UnifiedFocal", form="symmetric", gamma=gamma)
            for gamma in (0.5, 0.2)
        },
    ),
    Candidate(
        "boundary",
        "boundary, beside Dice + cross-entropy",
        {f"up to {weight:g}": _rising(weight, _BOUNDARY) for weight in (0.1,)},
    ),
    Candidate(
        "hausdorff",
        "Hausdorff distance, beside Dice + cross-entropy",
        {f"up to {weight:g}": _rising(weight, _HAUSDORFF) for weight in (0.1,)},
    ),
    Candidate(
        "mutual-information",
        "region mutual information + cross-entropy",
        {
            f"{weight:g} : 1": _sum((weight, _MUTUAL_INFORMATION), (1.0, _CROSS_ENTROPY))
            for weight in (0.5, 0.1)
        },
    ),
    Candidate(
        "active-boundary",
        "active boundary, beside Lovász softmax + cross-entropy",
        {
            "1 : 1 : 1": _sum(
                (1.0, _ACTIVE_BOUNDARY), (1.0, _loss("LovaszSoftmax")), (1.0, _CROSS_ENTROPY)
            )
        },
    ),
)
