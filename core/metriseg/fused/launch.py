"""When the kernels fit, and how they are called."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

from metriseg import validation

#: Values that a program holds at once, and the most classes that it can hold.
PROGRAM_VALUES, MOST_CLASSES = 2048, 1024
#: Blocks of pixels that one program sums.
STEPS = 8


_enabled = True


def enable(wanted: bool) -> None:
    """Whether the kernels are used where they fit; they are, unless told otherwise.

    Raises:
        ValueError: for anything but a bool.
    """
    global _enabled
    _enabled = bool(validation.flag("wanted", wanted))


@functools.cache
def is_there() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def fits(logits: Tensor, target: Tensor, activation: str, *, errors: bool, least: bool) -> bool:
    """Whether the kernels do what is asked: on CUDA, in single precision, from raw scores.

    Differences of soft labels, minima, and derivatives of the gradient are left to PyTorch.
    """
    soft = target.is_floating_point()
    return (
        _enabled
        and logits.device.type == "cuda"
        and logits.dtype == torch.float32
        and activation != "identity"
        and not least
        and not (soft and errors)
        and 0 < logits.shape[1] <= MOST_CLASSES
        and logits.numel() > 0
        and not torch.compiler.is_compiling()
        and is_there()
    )


def forward(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *,
    activation: str,
    overlap: tuple[float, ...],
    predicted: tuple[float, ...],
    powers: tuple[float, ...],
    errors: bool,
    logs: bool,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The sums and the logarithms at the labels.

    Args:
        logits: ``(N, C, s)``, contiguous.
        target: labels ``(N, s)`` or soft labels ``(N, C, s)``, contiguous.
        weight: ``(N, s)``, contiguous, or None.
        activation: "softmax" or "sigmoid".
        overlap: powers of p that are summed where the target is.
        predicted: powers of p that are summed everywhere.
        powers: of the target.
        errors: whether the differences are summed.
        logs: whether the logarithms are wanted.

    Returns:
        overlap, predicted and target, each ``(Q, N, C)``, the three differences, each ``(N, C)`` or
        empty, in double precision; and the logarithms ``(N, s)`` or an empty tensor.
    """
    images, classes, pixels = logits.shape
    block = _block(classes)
    programs = -(-pixels // (block * STEPS))
    # of labels all powers are the same
    summed = powers if target.is_floating_point() else powers[:1]
    count = len(overlap) + len(predicted) + len(summed) + 3 * errors
    sums = logits.new_empty(images, programs, count, classes)
    found = logits.new_empty(images, pixels if logs else 0)
    _kernels().sums_kernel[(programs, images)](
        logits,
        target,
        logits if weight is None else weight,
        sums,
        found,
        pixels,
        programs,
        STEPS=STEPS,
        TARGET=summed,
        ERRORS=errors,
        **_constants(logits, target, weight, activation, overlap, predicted, logs),
    )
    rows = sums.sum(1, dtype=torch.float64).transpose(0, 1)
    second, third = len(overlap), len(overlap) + len(predicted)
    last = third + len(summed)
    common, everywhere, targeted = rows[:second], rows[second:third], rows[third:last]
    differences = rows[last:] if errors else rows.new_zeros(3, 0, classes)
    return (common, everywhere, targeted.expand(len(powers), -1, -1), *differences), found


def backward(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad_overlap: Tensor,
    grad_predicted: Tensor,
    on_logs: Tensor | None,
    *,
    activation: str,
    overlap: tuple[float, ...],
    predicted: tuple[float, ...],
) -> Tensor:
    """The gradient ``(N, C, s)`` of what :func:`forward` gives, from that against it.

    Args:
        logits, target, weight, activation, overlap, predicted: as there.
        grad_overlap, grad_predicted: ``(Q, N, C)``.
        on_logs: ``(N, s)``, or None.
    """
    images, classes, pixels = logits.shape
    out = torch.empty_like(logits)
    _kernels().gradient_kernel[(-(-pixels // _block(classes)), images)](
        logits,
        target,
        logits if weight is None else weight,
        grad_overlap.contiguous(),
        grad_predicted.contiguous(),
        logits if on_logs is None else on_logs.contiguous(),
        out,
        pixels,
        images,
        **_constants(logits, target, weight, activation, overlap, predicted, on_logs is not None),
    )
    return out


def _constants(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    activation: str,
    overlap: tuple[float, ...],
    predicted: tuple[float, ...],
    logs: bool,
) -> dict[str, Any]:
    """What both kernels are specialised for."""
    classes = logits.shape[1]
    return {
        "CLASSES": classes,
        "ROWS": _rows(classes),
        "BLOCK": _block(classes),
        "SOFTMAX": activation == "softmax",
        "SOFT": target.is_floating_point(),
        "WEIGHTED": weight is not None,
        "OVERLAP": overlap,
        "PREDICTED": predicted,
        "LOGS": logs,
    }


def _rows(classes: int) -> int:
    """The power of two that holds them."""
    return 1 << (classes - 1).bit_length()


def _block(classes: int) -> int:
    """Pixels that a program sees at once."""
    return max(16, PROGRAM_VALUES // _rows(classes))


def _kernels() -> Any:
    """Triton is imported where it is used."""
    return importlib.import_module("metriseg.fused.kernels")
