"""What counts as bad input, and the errors that say so.

Checks of shapes and types cost nothing and always run. Checks of *values* (label range,
probabilities in [0, 1], weights not negative) read the data: they run on the CPU, and on an
accelerator, where they would wait for the device, only under :func:`debug`.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor

from metriseg.arguments import UnknownArgumentError as UnknownArgumentError
from metriseg.arguments import flag as flag
from metriseg.arguments import label as label
from metriseg.arguments import nearest as nearest
from metriseg.arguments import number as number
from metriseg.arguments import odd_number as odd_number
from metriseg.arguments import one_of as one_of
from metriseg.arguments import optional as optional
from metriseg.arguments import refuse_unknown as refuse_unknown
from metriseg.arguments import refuse_words as refuse_words
from metriseg.arguments import whole_number as whole_number

__all__ = ["UnknownArgumentError", "debug"]

#: What the probabilities of a pixel, each rounded to bfloat16, may sum to beside 1.
HALF_ROUNDING = 1e-2

_DEBUG: ContextVar[bool] = ContextVar("metriseg_debug", default=False)


@contextlib.contextmanager
def debug(enabled: bool = True) -> Iterator[None]:
    """Check the values of inputs on accelerators too, at the price of a synchronisation a call.

    >>> import metriseg
    >>> with metriseg.debug():
    ...     pass
    """
    token = _DEBUG.set(enabled)
    try:
        yield
    finally:
        _DEBUG.reset(token)


def values_are_checked(tensor: Tensor) -> bool:
    """Whether reading the values of ``tensor`` is allowed here."""
    if torch.compiler.is_compiling() or tensor.numel() == 0:
        return False
    return tensor.device.type == "cpu" or (_DEBUG.get() and tensor.device.type != "meta")


def smoothing(value: float | tuple[float, float]) -> tuple[float, float]:
    """``smooth`` as the pair (added to the numerator, added to the denominator)."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(
            f"smooth must be one number or a pair (numerator, denominator), got {value!r}"
        )
    return number("smooth", pair[0], low=0.0), number("smooth", pair[1], low=0.0)


def index_smoothing(value: float | tuple[float, float]) -> tuple[float, float]:
    """``smooth`` that leaves an index at most 1, for losses that take a power or quotient of it."""
    upper, lower = smoothing(value)
    if upper > lower:
        raise ValueError(
            f"smooth must not add more to the numerator than to the denominator here, got {value!r}"
        )
    return upper, lower


def distance_matrix(value: object, name: str = "distances") -> Tensor | None:
    """Distances between classes as a float64 matrix of maximum 1, or None."""
    if value is None:
        return None
    matrix = _constants(
        value, f"{name} must be a matrix of numbers, a row and a column for every class"
    ).cpu()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(
            f"{name} must be a square matrix, a row and a column for each of two classes or more,"
            f" got shape {tuple(matrix.shape)}"
        )
    if not bool(torch.isfinite(matrix).all()) or bool((matrix < 0).any()):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    if bool((matrix.diagonal() != 0).any()):
        raise ValueError(f"{name} must be 0 on the diagonal, got {value!r}")
    if not torch.allclose(matrix, matrix.T, rtol=1e-6, atol=0):
        raise ValueError(f"{name} must be symmetric, got {value!r}")
    largest = matrix.max()
    if not bool(largest > 0):
        raise ValueError(f"{name} must have a number above zero, got {value!r}")
    return matrix / largest


def class_weights(value: object, name: str = "class_weight") -> Tensor | None:
    """Weights of classes as a float tensor of one dimension, or None."""
    if value is None:
        return None
    weight = _constants(value, f"{name} must be a list or tensor of numbers, one a class")
    if weight.ndim != 1 or weight.numel() == 0:
        raise ValueError(
            f"{name} must have one dimension and a number for every class,"
            f" got shape {tuple(weight.shape)}"
        )
    if not bool(torch.isfinite(weight).all()) or bool((weight < 0).any()):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    if not bool((weight > 0).any()):
        raise ValueError(f"{name} must have a number above zero, got {value!r}")
    return weight


def _constants(value: object, wanted: str) -> Tensor:
    """A copy in float64 of real numbers that nothing is to be learnt of."""
    try:
        given = torch.as_tensor(value)
        if given.is_complex() or given.dtype == torch.bool or given.device.type == "meta":
            raise TypeError
        exact = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{wanted}, got {value!r}") from None
    if given.requires_grad:
        raise ValueError(f"{wanted}, without a gradient: none would be computed, got {value!r}")
    return exact.clone()


def logits_shape(logits: Tensor) -> None:
    if not isinstance(logits, Tensor):
        raise ValueError(f"logits must be a torch.Tensor, got {type(logits).__name__}")
    if logits.ndim < 3:
        raise ValueError(
            "logits must have shape (N, C, *S) with at least one spatial dimension,"
            f" got {tuple(logits.shape)}"
        )
    if logits.shape[1] < 1:
        raise ValueError(f"logits must have at least one class channel, got {tuple(logits.shape)}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, got {logits.dtype}")


def activation_fits(activation: str, num_classes: int) -> None:
    one_of("activation", activation, ("softmax", "sigmoid", "identity"))
    if num_classes == 1 and activation == "softmax":
        raise ValueError(
            "activation='softmax' over one class is constant: use activation='sigmoid' for"
            " logits with one channel"
        )


def same_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(f"{name} is on {tensor.device}, but the logits are on {logits.device}")


def pixel_weight(weight: Tensor, logits: Tensor, name: str = "weight") -> None:
    expected = (logits.shape[0], *logits.shape[2:])
    if not isinstance(weight, Tensor) or tuple(weight.shape) != expected:
        came = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"{name} must be a tensor of shape (N, *S) = {expected}, got {came}")
    _weight_values(weight, logits, name)


def of_pixels_or_classes(weight: Tensor, logits: Tensor, name: str = "weight") -> Tensor:
    """A weight ``(N, *S)``, or of classes, ``(N, C)`` or ``(N, C, *S)``, then ``(N, C, *S)``."""
    whole, dense = tuple(logits.shape[:2]), tuple(logits.shape)
    pixels = (whole[0], *dense[2:])
    came = tuple(weight.shape) if isinstance(weight, Tensor) else ()
    if came == pixels or came not in (whole, dense):
        if came != pixels and came:
            raise ValueError(
                f"{name} must be a tensor of shape (N, *S) = {pixels}, or of classes, (N, C, *S) ="
                f" {dense} or (N, C) = {whole}, got {came}"
            )
        pixel_weight(weight, logits, name)
        return weight
    _weight_values(weight, logits, name)
    return weight.reshape(*whole, *came[2:] or (1,) * len(dense[2:])).expand(dense)


def _weight_values(weight: Tensor, logits: Tensor, name: str) -> None:
    same_device(name, weight, logits)
    real(name, weight)
    if weight.requires_grad:
        raise ValueError(f"{name} must not require a gradient: none would be computed for it")
    if values_are_checked(weight):
        # some types know no comparison
        seen = weight.to(logits.dtype)
        low, high = torch.aminmax(seen)
        if not bool((low >= 0) & (high < math.inf)):
            raise ValueError(f"{name} must be finite and not negative")
        if not bool(seen.sum() < math.inf):
            raise ValueError(f"{name} must have a finite sum, got one beyond {seen.dtype}")


#: The names of maps that any loss reads.
KNOWN_MAPS: set[str] = set()


def map_names(maps: object) -> None:
    """A map that no loss reads would be lost without a word."""
    for name in maps if isinstance(maps, Mapping) else ():
        if name not in KNOWN_MAPS:
            known = sorted(KNOWN_MAPS)
            raise ValueError(
                f"maps: no loss reads a map {name!r}{nearest(str(name), known)} (they read"
                f" {', '.join(known)})"
            )


def real(name: str, tensor: Tensor) -> None:
    """A tensor that holds numbers, none of them complex."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if tensor.is_complex():
        raise ValueError(f"{name} must be real, got {tensor.dtype}")


def rows_sum_to_one(name: str, owner: object, tensor: Tensor, valid: Tensor | None) -> None:
    """Probabilities ``(N, C, *S)`` of exclusive classes, up to the rounding of half precision."""
    if not values_are_checked(tensor):
        return
    off = (tensor.detach().sum(1) - 1).abs()
    worst = float((off if valid is None else torch.where(valid, off, 0.0)).max())
    if not worst <= HALF_ROUNDING:
        raise ValueError(
            f"{name} must be probabilities of exclusive classes that sum to 1 at every pixel, for"
            f" {type(owner).__name__}: a sum is off by {worst:g}"
        )


def labels(target: Tensor, valid: Tensor | None, num_labels: int) -> None:
    """The labels of all valid pixels lie in ``0 … num_labels - 1``."""
    if not values_are_checked(target):
        return
    seen = target if valid is None else torch.where(valid, target, 0)
    low, high = (int(v) for v in torch.aminmax(seen))
    if low < 0 or high >= num_labels:
        raise ValueError(
            f"target must hold labels in 0 … {num_labels - 1} (or ignore_index), got values"
            f" from {low} to {high}"
        )


def hard_target(target: Tensor, *, exclusive: bool, valid: Tensor | None = None) -> None:
    """Dense targets ``(N, C, *S)`` are 0 or 1, and, if exclusive, one class a valid pixel."""
    if not values_are_checked(target):
        return
    if not bool(((target == 0) | (target == 1)).all()):
        raise ValueError("target must hold labels or be one-hot here: soft labels have no meaning")
    if not exclusive or target.shape[1] == 1:
        return
    one = target.sum(1) == 1
    if not bool((one if valid is None else one | ~valid).all()):
        raise ValueError("target must give every pixel one class here, got none or several")


def enough_classes(owner: object, num_classes: int, least: int) -> None:
    if num_classes < least:
        raise ValueError(
            f"{type(owner).__name__} needs logits with {least} classes or more, got {num_classes}"
        )


def spatial_dimensions(owner: object, logits: Tensor, allowed: Collection[int]) -> None:
    found = logits.ndim - 2
    if found not in allowed:
        words = " or ".join(f"{d}-D" for d in sorted(allowed))
        raise ValueError(f"{type(owner).__name__} is for {words} images, got {found}-D logits")


def spacing(value: Sequence[float] | None) -> tuple[float, ...] | None:
    """The size of a pixel along every spatial axis, each above zero; None for all ones."""
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(
            f"spacing must be a sequence of numbers, one a spatial axis, or None, got {value!r}"
        )
    return tuple(number("spacing", step, low=0.0, open_low=True) for step in value)


def tiles(value: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns into which an image is cut, each >= 1."""
    try:
        rows, columns = (operator.index(number) for number in value)
    except (TypeError, ValueError):
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise ValueError(f"tiles must be two whole numbers >= 1, rows and columns, got {value!r}")
    return rows, columns


def unit_interval(name: str, tensor: Tensor, valid: Tensor | None, hint: str = "") -> None:
    """All valid values lie in [0, 1], up to rounding."""
    if not values_are_checked(tensor):
        return
    if valid is not None and valid.ndim < tensor.ndim:
        valid = valid.unsqueeze(1)
    seen = tensor if valid is None else torch.where(valid, tensor, 0)
    low, high = (float(v) for v in torch.aminmax(seen.detach()))
    slack = 16 * torch.finfo(tensor.dtype).eps
    if not (low >= -slack and high <= 1 + slack):
        raise ValueError(f"{name} must lie in [0, 1], got values from {low:g} to {high:g}{hint}")
