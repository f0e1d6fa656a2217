"""Arrays as they come, of NumPy or of torch, in host memory: free of torch until it is there."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Of int64.
LARGEST = 2**63 - 1
#: What labels may be, once they count: from 0 to 2^64 - 1.
Labels: TypeAlias = NDArray[np.int64 | np.uint64]

#: Numbers that are compared one after the other, and not looked up.
_FEW = 8

#: What torch has in common with NumPy; its other floating-point types widen to float32.
_SHARED = ("torch.float16", "torch.float32", "torch.float64")


def is_tensor(values: Any) -> bool:
    """Whether this is a tensor of torch; told without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def host(name: str, values: Any) -> NDArray[Any]:
    """As a NumPy array; without a copy where it has one in host memory.

    Raises:
        ValueError: for what is no array, and for masked arrays that hide something: a plain array
            would show it.
    """
    if is_tensor(values):
        return _of_tensor(name, values)
    if type(values).__module__.startswith("dask.array"):
        values = values.compute()
    hidden = _hidden(values)
    if hidden:
        raise ValueError(
            f"{name} must hold a value at every pixel, got a masked array that hides {hidden:,}:"
            " fill them, by its filled(value); what shall not count, with a label to ignore"
        )
    try:
        return np.asarray(values)
    except Exception as error:  # what calls itself an array may fail in any way when it is read
        raise ValueError(
            f"{name} must be an array, got {type(values).__name__}: {error or type(error).__name__}"
        ) from error


def integer_array(name: str, labels: Any) -> NDArray[Any]:
    """As a NumPy array of integers, or Booleans; it may be empty.

    Raises:
        ValueError: as :func:`host`, and for another type.
    """
    array = host(name, labels)
    if array.dtype.kind in "fO" and isinstance(labels, (list, tuple)):
        array = _whole_numbers(labels, array)
    if array.dtype.kind not in "biu":
        came = str(labels.dtype if is_tensor(labels) else array.dtype).removeprefix("torch.")
        raise ValueError(f"{name} must hold integer labels, got dtype {came}")
    return array


def as_labels(numbers: NDArray[Any]) -> Labels:
    """Integers in one form, whatever held them: int64, or uint64 where one is above 2^63 - 1."""
    if is_large(numbers.dtype) and numbers.size and int(numbers.max()) > LARGEST:
        return numbers.astype(np.uint64, copy=False)
    return numbers.astype(np.int64, copy=False)


def is_large(dtype: np.dtype[Any]) -> bool:
    """Whether a type holds labels above 2^63 - 1, in any byte order."""
    return dtype.kind == "u" and dtype.itemsize == 8


def of_one_type(parts: Sequence[Labels]) -> list[Labels]:
    """The same numbers, none negative where another array has one above 2^63 - 1."""
    if len({part.dtype for part in parts}) == 1:
        return list(parts)
    # int64 and uint64 together would be float64
    return [part.astype(np.uint64, copy=False) for part in parts]


def is_among(labels: NDArray[Any], names: Collection[int]) -> NDArray[np.bool_]:
    """Which labels are one of these numbers, of which their type need not hold all."""
    if labels.dtype.kind == "b":
        labels = labels.view(np.uint8)
    limits = np.iinfo(labels.dtype)
    held = [name for name in names if limits.min <= name <= limits.max]
    found = np.zeros(labels.shape, np.bool_)
    for name in held[:_FEW]:
        found |= labels == labels.dtype.type(name)
    if len(held) > _FEW:
        found |= np.isin(labels, np.array(held[_FEW:], labels.dtype))
    return found


def place_in(known: Labels, wanted: Labels) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each number stands in an ascending list, and whether it is there at all."""
    held = None
    if known.dtype != wanted.dtype:
        # of two types only what both hold can be equal
        held = wanted <= LARGEST if is_large(wanted.dtype) else wanted >= 0
        wanted = np.where(held, wanted, wanted.dtype.type(0)).astype(known.dtype)
    place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    there = known[place] == wanted
    return place, there if held is None else there & held


def _whole_numbers(given: Any, read: NDArray[Any]) -> NDArray[Any]:
    """Lists of integers that NumPy reads as something else, as one is above 2^63 - 1."""
    numbers = np.array(given, dtype=object)
    whole = all(
        isinstance(one, (int, np.integer)) and 0 <= one <= 2 * LARGEST + 1 for one in numbers.flat
    )
    return numbers.astype(np.uint64) if whole and numbers.size else read


def _of_tensor(name: str, tensor: Any) -> NDArray[Any]:
    try:
        plain = tensor.detach()
        if plain.is_floating_point() and str(plain.dtype) not in _SHARED:
            plain = plain.float()
        array: NDArray[Any] = plain.cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"{name} must be a tensor of numbers that can be read, got one of {tensor.dtype},"
            f" {str(tensor.layout).removeprefix('torch.')}, on {tensor.device}: {error}"
        ) from error
    return array


def _hidden(values: Any) -> int:
    """How many values masked arrays hide, also within lists."""
    if isinstance(values, np.ma.MaskedArray):
        return int(np.count_nonzero(np.ma.getmaskarray(values)))
    if isinstance(values, (list, tuple)):
        nested = (one for one in values if isinstance(one, (list, tuple, np.ma.MaskedArray)))
        return sum(map(_hidden, nested))
    return 0
