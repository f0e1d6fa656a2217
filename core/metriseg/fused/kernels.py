"""The kernels. A program sees some pixels of one image, with all of their classes."""

from __future__ import annotations

import triton
import triton.language as tl

#: The least probability that is raised to a power below 0.
SMALL = tl.constexpr(1e-30)


@triton.jit
def _power(p, q: tl.constexpr):
    """p^q for p >= 0; a power below 0 of at least SMALL."""
    if q == 0.0:
        return tl.full(p.shape, 1.0, p.dtype)
    if q == 0.5:
        return tl.sqrt(p)
    if q == 1.0:
        return p
    if q == 1.5:
        return tl.sqrt(p) * p
    if q == 2.0:
        return p * p
    base = tl.maximum(p, SMALL) if q < 0.0 else p
    return tl.exp2(tl.log2(base) * q)


@triton.jit
def _derivative(p, q: tl.constexpr, factor):
    """q p^(q-1) times a number a class."""
    return _power(p, q - 1.0) * (q * factor)[:, None]


@triton.jit
def _seen(
    z_ptr,
    w_ptr,
    image,
    pixel,
    pixels,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    WEIGHTED: tl.constexpr,
):
    """Logits (ROWS, BLOCK), 0 where they don't count, and what the pixels weigh (BLOCK,)."""
    label = tl.arange(0, ROWS)
    inside = pixel < pixels
    if WEIGHTED:
        mass = tl.load(w_ptr + image * pixels + pixel, mask=inside, other=0.0)
        counts = inside & (mass > 0)
    else:
        mass = tl.where(inside, 1.0, 0.0)
        counts = inside
    place = (image * CLASSES + label)[:, None] * pixels + pixel[None, :]
    mask = (label < CLASSES)[:, None] & counts[None, :]
    return tl.load(z_ptr + place, mask=mask, other=0.0), mass


@triton.jit
def _softmax(z, CLASSES: tl.constexpr, ROWS: tl.constexpr):
    """p, the largest logit of every pixel, and ln sum exp of what all are beyond it."""
    label = tl.arange(0, ROWS)
    z = tl.where((label < CLASSES)[:, None], z, float("-inf"))
    largest = tl.max(z, 0)
    e = tl.exp(z - largest[None, :])
    total = tl.sum(e, 0)
    return e / total[None, :], largest, tl.log(total)


@triton.jit
def _sigmoid(z):
    """p and 1 - p, each with its digits."""
    # exp of what is below 0 doesn't overflow
    e = tl.exp(-tl.abs(z))
    large, small = 1.0 / (1.0 + e), e / (1.0 + e)
    return tl.where(z > 0, large, small), tl.where(z > 0, small, large)


@triton.jit
def sums_kernel(
    z_ptr,
    t_ptr,
    w_ptr,
    sums_ptr,
    logs_ptr,
    pixels,
    programs,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    STEPS: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFT: tl.constexpr,
    WEIGHTED: tl.constexpr,
    OVERLAP: tl.constexpr,
    PREDICTED: tl.constexpr,
    TARGET: tl.constexpr,
    ERRORS: tl.constexpr,
    LOGS: tl.constexpr,
):
    """The sums of a program's pixels, (programs, sums, CLASSES) of every image.

    One after the other: overlaps, predictions, targets, and with ERRORS what is missed, claimed and
    rejected. With LOGS, ln p at every pixel's label.
    """
    program, image = tl.program_id(0), tl.program_id(1).to(tl.int64)
    label = tl.arange(0, ROWS)
    count: tl.constexpr = len(OVERLAP) + len(PREDICTED) + len(TARGET) + 3 * ERRORS
    place = sums_ptr + (image * programs + program) * count * CLASSES + label
    real = label < CLASSES
    for step in range(STEPS):
        pixel = (program * STEPS + step) * BLOCK + tl.arange(0, BLOCK).to(tl.int64)
        inside = pixel < pixels
        z, mass = _seen(z_ptr, w_ptr, image, pixel, pixels, CLASSES, ROWS, WEIGHTED)
        if SOFTMAX:
            p, largest, log_total = _softmax(z, CLASSES, ROWS)
            left = 1.0 - p
        else:
            p, left = _sigmoid(z)
        if SOFT:
            at = (image * CLASSES + label)[:, None] * pixels + pixel[None, :]
            t = tl.load(t_ptr + at, mask=real[:, None] & inside[None, :], other=0.0)
            # what isn't counted may hold anything
            t = tl.where(mass[None, :] > 0, t, 0.0)
        else:
            name = tl.load(t_ptr + image * pixels + pixel, mask=inside, other=0)
            t = tl.where(label[:, None] == name[None, :], 1.0, 0.0)
        weighted = t * mass[None, :]
        if LOGS:
            own = tl.sum(tl.where(t > 0, z, 0.0), 0)
            at_label = (own - largest) - log_total
            tl.store(logs_ptr + image * pixels + pixel, at_label, mask=inside)
        row = 0
        for k in tl.static_range(len(OVERLAP)):
            one = tl.sum(_power(p, OVERLAP[k]) * weighted, 1)
            _add(place + row * CLASSES, one, real, step)
            row += 1
        for k in tl.static_range(len(PREDICTED)):
            one = tl.sum(_power(p, PREDICTED[k]) * mass[None, :], 1)
            _add(place + row * CLASSES, one, real, step)
            row += 1
        for k in tl.static_range(len(TARGET)):
            one = tl.sum(_power(t, TARGET[k]) * mass[None, :], 1)
            _add(place + row * CLASSES, one, real, step)
            row += 1
        if ERRORS:
            others = tl.where(t > 0, 0.0, p)
            if SOFTMAX:
                # 1 - p of the label, with its digits where p rounds to 1
                short = tl.sum(others, 0)[None, :] * weighted
            else:
                short = left * weighted
            rejected = left * (1.0 - t)
            _add(place + row * CLASSES, tl.sum(short, 1), real, step)
            claimed = tl.sum(others * mass[None, :], 1)
            _add(place + (row + 1) * CLASSES, claimed, real, step)
            _add(place + (row + 2) * CLASSES, tl.sum(rejected * mass[None, :], 1), real, step)


@triton.jit
def _add(place, values, real, step):
    """To a program's own sums, which its first step begins."""
    before = tl.load(place, mask=real & (step > 0), other=0.0)
    tl.store(place, before + values, mask=real)


@triton.jit
def gradient_kernel(
    z_ptr,
    t_ptr,
    w_ptr,
    overlap_ptr,
    predicted_ptr,
    logs_ptr,
    out_ptr,
    pixels,
    images,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFT: tl.constexpr,
    WEIGHTED: tl.constexpr,
    OVERLAP: tl.constexpr,
    PREDICTED: tl.constexpr,
    LOGS: tl.constexpr,
):
    """The gradient against the logits from those against the sums, (powers, images, CLASSES)."""
    image = tl.program_id(1).to(tl.int64)
    label = tl.arange(0, ROWS)
    real = label < CLASSES
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK).to(tl.int64)
    inside = pixel < pixels
    z, mass = _seen(z_ptr, w_ptr, image, pixel, pixels, CLASSES, ROWS, WEIGHTED)
    if SOFTMAX:
        p, _largest, _log_total = _softmax(z, CLASSES, ROWS)
    else:
        p, left = _sigmoid(z)
    at = (image * CLASSES + label)[:, None] * pixels + pixel[None, :]
    if SOFT:
        t = tl.load(t_ptr + at, mask=real[:, None] & inside[None, :], other=0.0)
        t = tl.where(mass[None, :] > 0, t, 0.0)
    else:
        name = tl.load(t_ptr + image * pixels + pixel, mask=inside, other=0)
        t = tl.where(label[:, None] == name[None, :], 1.0, 0.0)
    slope = tl.zeros((ROWS, BLOCK), tl.float32)
    for k in tl.static_range(len(PREDICTED)):
        factor = tl.load(
            predicted_ptr + (k * images + image) * CLASSES + label, mask=real, other=0.0
        )
        slope += _derivative(p, PREDICTED[k], factor)
    for k in tl.static_range(len(OVERLAP)):
        factor = tl.load(overlap_ptr + (k * images + image) * CLASSES + label, mask=real, other=0.0)
        slope += t * _derivative(p, OVERLAP[k], factor)
    slope = p * slope * mass[None, :]
    if SOFTMAX:
        found = slope - p * tl.sum(slope, 0)[None, :]
    else:
        found = slope * left
    if LOGS:
        factor = tl.load(logs_ptr + image * pixels + pixel, mask=inside, other=0.0)
        factor = tl.where(mass > 0, factor, 0.0)
        found += factor[None, :] * (t - p)
    tl.store(out_ptr + at, found, mask=real[:, None] & inside[None, :])
