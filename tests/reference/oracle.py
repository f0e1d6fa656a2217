"""Every loss as plain loops over images, classes and pixels, in float64.

Nothing here is shared with the library. Arrays: probabilities ``p`` and one-hot or soft target
``t`` are ``(N, C, S)`` with the pixels in one axis, the weight ``w`` is ``(N, S)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    p = np.zeros_like(logits)
    for n in range(logits.shape[0]):
        for u in range(logits.shape[2]):
            top = max(logits[n, :, u])
            powers = [math.exp(z - top) for z in logits[n, :, u]]
            p[n, :, u] = [e / sum(powers) for e in powers]
    return p


def sigmoid(logits: Array) -> Array:
    return np.array([1 / (1 + math.exp(-z)) for z in logits.ravel()]).reshape(logits.shape)


def one_hot(labels: NDArray[np.int64], classes: int, ignore_index: int | None = None) -> Array:
    """``(N, S)`` labels to ``(N, C, S)``; all zero where ignored. One class: the label itself."""
    t = np.zeros((labels.shape[0], classes, labels.shape[1]))
    for n in range(labels.shape[0]):
        for u in range(labels.shape[1]):
            label = labels[n, u]
            if label == ignore_index:
                continue
            if classes == 1:
                t[n, 0, u] = label
            else:
                t[n, label, u] = 1.0
    return t


def class_factors(
    classes: int, class_weight: list[float] | None, include_background: bool
) -> list[float]:
    factors = [1.0] * classes if class_weight is None else list(class_weight)
    if not include_background:
        factors[0] = 0.0
    return factors


def pixel_loss(
    term: Callable[[Array, Array, float | None], float],
    p: Array,
    t: Array,
    w: Array,
    *,
    reduction: str = "mean",
    mass: Callable[[Array], float] | None = None,
) -> float | Array:
    """Loop over pixels; ``term`` maps (p, t) of a pixel to its value."""
    values = np.zeros(w.shape)
    total = 0.0
    for n in range(w.shape[0]):
        for u in range(w.shape[1]):
            if w[n, u] == 0:
                continue
            values[n, u] = w[n, u] * term(p[n, :, u], t[n, :, u])
            total += w[n, u] * (1.0 if mass is None else mass(t[n, :, u]))
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / total) if total > 0 else 0.0


def cross_entropy(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    normalize: str = "pixels",
    balance: str | None = None,
    label_smoothing: float = 0.0,
    pos_weight: float | list[float] | None = None,
    reduction: str = "mean",
) -> float | Array:
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    included = classes - (not include_background)
    if balance == "image":
        return _balanced_cross_entropy(p, t, w, factors, included, reduction)
    answers = classes if exclusive else 2
    prices = pos_weight if isinstance(pos_weight, list) else [pos_weight or 1.0] * classes

    def cost(share: float, probability: float) -> float:
        return -share * math.log(probability) if share > 0 else 0.0

    def term(p_u: Array, t_u: Array) -> float:
        value = 0.0
        for c in range(classes):
            smoothed = (1 - label_smoothing) * t_u[c] + label_smoothing / answers
            value += factors[c] * prices[c] * cost(smoothed, p_u[c])
            if not exclusive:
                value += factors[c] * cost(1 - smoothed, 1 - p_u[c])
        return value if exclusive else value / included

    def met(t_u: Array) -> float:
        if normalize == "pixels":
            return 1.0
        if exclusive:
            return float(sum(f * x for f, x in zip(factors, t_u, strict=True)))
        return sum(factors) / included

    return pixel_loss(term, p, t, w, reduction=reduction, mass=met)


def _balanced_cross_entropy(
    p: Array, t: Array, w: Array, factors: list[float], included: int, reduction: str
) -> float | Array:
    """Questions alone: positives weigh the share of negatives in their image and class."""
    values = np.zeros(w.shape)
    for n in range(w.shape[0]):
        if sum(w[n]) == 0:
            continue
        for c in range(p.shape[1]):
            beta = 1 - sum(w[n] * t[n, c]) / sum(w[n])
            for u in range(w.shape[1]):
                if w[n, u] == 0:
                    continue
                x, q = t[n, c, u], p[n, c, u]
                cost = -beta * x * math.log(q) - (1 - beta) * (1 - x) * math.log(1 - q)
                values[n, u] += w[n, u] * factors[c] * cost / included
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / w.sum()) if w.sum() > 0 else 0.0


def top_k(
    p: Array,
    t: Array,
    w: Array,
    *,
    percent: float = 10.0,
    threshold: float | None = None,
    min_kept: int | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    """Walk down the sorted cross-entropies until the budget is spent."""
    exists = (w > 0).astype(float)

    def cost(**policy) -> Array:
        return cross_entropy(p, t, exists, exclusive=exclusive, reduction="none", **policy)

    values = cost(class_weight=class_weight, include_background=include_background)
    kept = np.zeros(w.shape)
    if threshold is not None:
        entropy = cost(include_background=exclusive or include_background)
        left = float(min_kept or 0)
        pixels = zip(*np.nonzero(exists), strict=True)
        for n, u in sorted(pixels, key=lambda place: -entropy[place]):
            below = math.exp(-entropy[n, u]) < threshold
            kept[n, u] = w[n, u] if below else min(left, w[n, u])
            left = max(left - kept[n, u], 0.0)
    else:
        left = float(max(1, min_kept or 0, math.floor(round(percent * w.sum() / 100, 9))))
        pixels = zip(*np.nonzero(exists), strict=True)
        for n, u in sorted(pixels, key=lambda place: -values[place]):
            kept[n, u] = min(left, w[n, u])
            left -= kept[n, u]
    if reduction == "none":
        return values * kept
    total = float((values * kept).sum())
    if reduction == "sum":
        return total
    return total / float(kept.sum()) if kept.sum() > 0 else 0.0


def focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    gamma: float = 2.0,
    alpha: float | list[float] | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    included = classes - (not include_background)

    def shares(c: int) -> tuple[float, float]:
        """What a positive and a negative of a class weigh."""
        if alpha is None:
            return 1.0, 1.0
        if isinstance(alpha, list):
            return alpha[c], 1.0
        return (1 - alpha if exclusive and c == 0 else alpha), 1 - alpha

    def exclusive_term(p_u: Array, t_u: Array) -> float:
        value = 0.0
        for c in range(classes):
            if t_u[c] == 0:
                continue
            balance, _ = shares(c)
            fade = (1 - p_u[c]) ** gamma if gamma else 1.0
            value -= factors[c] * balance * t_u[c] * fade * math.log(p_u[c])
        return value

    def question_term(p_u: Array, t_u: Array) -> float:
        value = 0.0
        for c in range(classes):
            yes, no = shares(c)
            q = 1 - p_u[c]
            on_yes = (q**gamma if gamma else 1.0) * math.log(p_u[c]) if t_u[c] > 0 else 0.0
            on_no = (p_u[c] ** gamma if gamma else 1.0) * math.log(q) if t_u[c] < 1 else 0.0
            value -= factors[c] * (yes * t_u[c] * on_yes + no * (1 - t_u[c]) * on_no)
        return value / included

    term = exclusive_term if exclusive else question_term
    return pixel_loss(term, p, t, w, reduction=reduction)


def mime(
    p: Array,
    t: Array,
    w: Array,
    *,
    a: float = 1.9,
    b: float = 0.1,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)

    def term(p_u: Array, t_u: Array) -> float:
        omega = [-a * x + b * (1 - x) for x in t_u]
        return sum(f * o * q for f, o, q in zip(factors, omega, p_u, strict=True))

    return pixel_loss(term, p, t, w, reduction=reduction)


def negative_mime(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)

    def term(p_u: Array, t_u: Array) -> float:
        return -sum(f * x * q for f, x, q in zip(factors, t_u, p_u, strict=True))

    return pixel_loss(term, p, t, w, reduction=reduction)


def table_loss(
    value: Callable[[Array, Array, Array], float],
    p: Array,
    t: Array,
    w: Array,
    *,
    classes: str = "all",
    per_image: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    """Loop over groups and classes; ``value`` maps (p, t, w) of a class in a group to its loss."""
    images, channels = p.shape[:2]
    factors = class_factors(channels, class_weight, include_background)
    groups = [[n] for n in range(images)] if per_image else [list(range(images))]
    table = np.zeros((len(groups), channels))
    means = []
    for g, members in enumerate(groups):
        total, mass = 0.0, 0.0
        weights = np.concatenate([w[n] for n in members])
        for c in range(channels):
            p_c = np.concatenate([p[n, c] for n in members])
            t_c = np.concatenate([t[n, c] for n in members])
            present = sum(weights * t_c) > 0
            if sum(weights) == 0 or (classes == "present" and not present):
                continue
            loss = value(p_c, t_c, weights)
            table[g, c] = factors[c] * loss
            total += factors[c] * loss
            mass += factors[c]
        if mass > 0:
            means.append(total / mass)
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(means)) if means else 0.0


def _region_loss(
    index: Callable[[Array, Array, Array], tuple[float, float]],
    p: Array,
    t: Array,
    w: Array,
    *,
    smooth: float | tuple[float, float] = 1e-5,
    **policy,
) -> float | Array:
    """``index`` gives numerator and denominator of 1 - loss."""
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        numerator, denominator = index(p_c, t_c, weights)
        empty = denominator + lower == 0
        return 0.0 if empty else 1 - (numerator + upper) / (denominator + lower)

    return table_loss(value, p, t, w, **policy)


def _sum(w: Array, values: Array) -> float:
    return float(sum(a * b for a, b in zip(w, values, strict=True) if a > 0))


def both(p: Array, t: Array, overlap: str) -> Array:
    """What prediction and truth have in common at every pixel."""
    if overlap == "product":
        return p * t
    return np.array([x if x < y else y for x, y in zip(p, t, strict=True)])


def dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float | Array:
    return _region_loss(
        lambda p, t, w: (2 * _sum(w, both(p, t, overlap)), _sum(w, p) + _sum(w, t)),
        p,
        t,
        w,
        **policy,
    )


def jaccard(
    p: Array,
    t: Array,
    w: Array,
    *,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float | Array:
    def index(p: Array, t: Array, w: Array) -> tuple[float, float]:
        common = _sum(w, both(p, t, overlap))
        return common, _sum(w, p) + _sum(w, t) - common

    return _region_loss(index, p, t, w, **policy)


def power_jaccard(
    p: Array,
    t: Array,
    w: Array,
    *,
    power: float = 1.5,
    per_image: bool = False,
    exclusive: bool = True,
    **policy,
) -> float | Array:
    return _region_loss(
        lambda p, t, w: (
            _sum(w, p * t),
            _sum(w, t**power) + _sum(w, p**power) - _sum(w, p * t),
        ),
        p,
        t,
        w,
        per_image=per_image,
        **policy,
    )


def tversky(
    p: Array,
    t: Array,
    w: Array,
    *,
    fp_weight: float = 0.3,
    fn_weight: float = 0.7,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float | Array:
    def index(p: Array, t: Array, w: Array) -> tuple[float, float]:
        common = both(p, t, overlap)
        hits = _sum(w, common)
        return hits, hits + fp_weight * _sum(w, p - common) + fn_weight * _sum(w, t - common)

    return _region_loss(index, p, t, w, **policy)


def log_cosh_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    smooth: float | tuple[float, float] = 1.0,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        mass = _sum(weights, p_c) + _sum(weights, t_c) + lower
        hits = _sum(weights, both(p_c, t_c, overlap))
        loss = 1 - (2 * hits + upper) / mass if mass else 0.0
        return math.log(math.cosh(loss))

    return table_loss(value, p, t, w, **policy)


def power_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    power: float = 1.5,
    per_image: bool = False,
    exclusive: bool = True,
    **policy,
) -> float | Array:
    return _region_loss(
        lambda p, t, w: (2 * _sum(w, p * t), _sum(w, t**power) + _sum(w, p**power)),
        p,
        t,
        w,
        per_image=per_image,
        **policy,
    )


def focal_tversky(
    p: Array,
    t: Array,
    w: Array,
    *,
    fp_weight: float = 0.3,
    fn_weight: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float | tuple[float, float] = 1e-5,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        common = both(p_c, t_c, overlap)
        hits = _sum(weights, common)
        false_positive = _sum(weights, p_c - common)
        false_negative = _sum(weights, t_c - common)
        errors = fp_weight * false_positive + fn_weight * false_negative
        mass = hits + errors + lower
        return ((errors + lower - upper) / mass) ** (1 / gamma) if mass else 0.0

    return table_loss(value, p, t, w, **policy)


def sensitivity_specificity(
    p: Array,
    t: Array,
    w: Array,
    *,
    sensitivity_weight: float = 0.05,
    exclusive: bool = True,
    **policy,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        inside, outside = _sum(weights, t_c), _sum(weights, 1 - t_c)
        missed = _sum(weights, t_c * (1 - p_c) ** 2) / inside if inside else 0.0
        claimed = _sum(weights, (1 - t_c) * p_c**2) / outside if outside else 0.0
        return sensitivity_weight * missed + (1 - sensitivity_weight) * claimed

    return table_loss(value, p, t, w, **policy)


def column_loss(
    value: Callable[[Array, Array, Array], float | None],
    p: Array,
    t: Array,
    w: Array,
    *,
    per_image: bool = True,
    reduction: str = "mean",
) -> float | Array:
    """One value a group: ``value`` maps (p, t, w), pixels in the last axis, to a loss or None."""
    images = p.shape[0]
    groups = [[n] for n in range(images)] if per_image else [list(range(images))]
    found = [
        value(*(np.concatenate([array[n] for n in members], -1) for array in (p, t, w)))
        for members in groups
    ]
    if reduction == "none":
        return np.array([[0.0 if x is None else x] for x in found])
    counted = [x for x in found if x is not None]
    if reduction == "sum":
        return float(sum(counted))
    return float(np.mean(counted)) if counted else 0.0


def generalized_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    weighting: str = "square",
    penalty: float = 0.0,
    smooth: float | tuple[float, float] = 1e-5,
    overlap: str = "product",
    class_weight: list[float] | None = None,
    include_background: bool = True,
    exclusive: bool = True,
    **policy,
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    factors = class_factors(p.shape[1], class_weight, include_background)
    included = [c for c, factor in enumerate(factors) if factor > 0]
    inverse = {
        "square": lambda y: math.inf if y == 0 else 1 / y**2,
        "simple": lambda y: math.inf if y == 0 else 1 / y,
        "uniform": lambda y: 1.0,
    }[weighting]

    def value(p_g: Array, t_g: Array, weights: Array) -> float | None:
        if sum(weights) == 0:
            return None
        by_volume = {c: inverse(_sum(weights, t_g[c])) for c in included}
        finite = [v for v in by_volume.values() if v < math.inf]
        if not finite:
            return 0.0
        numerator, denominator = upper, lower
        for c in included:
            v = by_volume[c] if by_volume[c] < math.inf else max(finite)
            v *= factors[c] / max(finite)
            numerator += 2 * v * _sum(weights, both(p_g[c], t_g[c], overlap))
            denominator += v * (_sum(weights, p_g[c]) + _sum(weights, t_g[c]))
        index = numerator / denominator if denominator else 1.0
        return 1 - index / (1 + penalty * (1 - index))

    return column_loss(value, p, t, w, **policy)


def penalty_generalized_dice(
    p: Array, t: Array, w: Array, *, penalty: float = 2.5, **policy
) -> float | Array:
    return generalized_dice(p, t, w, penalty=penalty, **policy)


def generalized_wasserstein_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    distances: list[list[float]] | None = None,
    background: int = 0,
    weighting: str = "default",
    smooth: float | tuple[float, float] = 1e-5,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    exclusive: bool = True,
    **policy,
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    if distances is None:
        distances = [[float(i != j) for j in range(classes)] for i in range(classes)]
    top = max(max(row) for row in distances)
    matrix = [[d / top for d in row] for row in distances]

    def value(p_g: Array, t_g: Array, weights: Array) -> float | None:
        hits, errors, mass, counted = 0.0, 0.0, 0.0, False
        for u in range(len(weights)):
            if weights[u] == 0:
                continue
            label = max(range(classes), key=lambda c: t_g[c, u])
            share = weights[u] * factors[label]
            counted = counted or share > 0
            moved = sum(matrix[label][c] * p_g[c, u] for c in range(classes))
            if weighting == "GDL":
                a = 1 / (_sum(weights, t_g[label]) + 1)
                hits += share * a * (1 - moved)
                mass += share * a * (2 - moved)
            else:
                reach = matrix[label][background]
                hits += share * reach * (reach - moved)
                errors += share * moved
        if not counted:
            return None
        denominator = lower + (mass if weighting == "GDL" else 2 * hits + errors)
        return 1 - (2 * hits + upper) / denominator if denominator else 0.0

    return column_loss(value, p, t, w, **policy)


def dice_and_half_cross_entropy(p: Array, t: Array, w: Array, **policy) -> float | Array:
    """The catalogue's example of a compound loss: Dice + 0.5 cross-entropy."""
    return dice(p, t, w, **policy) + 0.5 * cross_entropy(p, t, w, **policy)


#: Name in the catalogue -> its oracle.
ORACLES: dict[str, Callable[..., float | Array]] = {
    "CrossEntropyLoss": cross_entropy,
    "FocalLoss": focal,
    "TopKLoss": top_k,
    "MimeLoss": mime,
    "NegativeMimeLoss": negative_mime,
    "DiceLoss": dice,
    "JaccardLoss": jaccard,
    "PowerJaccardLoss": power_jaccard,
    "TverskyLoss": tversky,
    "LogCoshDiceLoss": log_cosh_dice,
    "PowerDiceLoss": power_dice,
    "FocalTverskyLoss": focal_tversky,
    "SensitivitySpecificityLoss": sensitivity_specificity,
    "GeneralizedDiceLoss": generalized_dice,
    "PenaltyGeneralizedDiceLoss": penalty_generalized_dice,
    "GeneralizedWassersteinDiceLoss": generalized_wasserstein_dice,
    "CompoundLoss": dice_and_half_cross_entropy,
}
