"""Arrays as they come, of NumPy or of torch, in host memory: free of torch until it is there."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 2**63 - 1

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
    if array.dtype.kind not in "biu":
        came = str(labels.dtype if is_tensor(labels) else array.dtype).removeprefix("torch.")
        raise ValueError(f"{name} must hold integer labels, got dtype {came}")
    return array


def signed(name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    """As int64, which must hold them."""
    if labels.dtype == np.uint64 and labels.size and int(labels.max()) > LARGEST:
        raise ValueError(f"{name} must hold labels up to 2^63 - 1, got {int(labels.max())}")
    return labels.astype(np.int64)


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
