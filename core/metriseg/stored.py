"""Arrays that stay in their files, and are read part by part."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class StoredArray:
    """An array in a file, or in several: of whatever library reads it, in one form.

    Nothing is read before a part is asked for; ``np.asarray`` asks for all of it.

    Args:
        shape: of the array.
        dtype: of its numbers.
        chunks: of the parts that are read at once, a length an axis.
        read: gives the part of some slices, one an axis, of known ends and steps of 1.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        chunks: Sequence[int],
        read: Callable[[tuple[slice, ...]], Any],
    ) -> None:
        self.shape = tuple(map(operator.index, shape))
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.chunks = tuple(
            max(1, min(length, step)) for length, step in zip(self.shape, chunks, strict=True)
        )
        self._read = read

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """A part: slices of step 1, or numbers, whose axes are gone; other axes are whole."""
        keys = key if isinstance(key, tuple) else (key,)
        place = keys.index(...) if ... in keys else len(keys)
        before, after = keys[:place], keys[place + 1 :]
        rest = self.ndim - len(before) - len(after)
        if rest < 0:
            raise IndexError(f"a part has at most {self.ndim} axes, got {key!r}")
        whole = (*before, *[slice(None)] * rest, *after)
        taken = [_slice(one, length) for one, length in zip(whole, self.shape, strict=True)]
        part = np.asarray(self._read(tuple(taken)))
        gone = tuple(axis for axis, one in enumerate(whole) if not isinstance(one, slice))
        return part.squeeze(gone) if gone else part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array in a file must be read to be an array in memory")
        return self[...].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"StoredArray({self.shape}, {self.dtype}, chunks of {self.chunks})"

    def squeezed(self) -> StoredArray:
        """Without the axes of length 1."""
        kept = [axis for axis, length in enumerate(self.shape) if length != 1]

        def read(part: tuple[slice, ...]) -> NDArray[Any]:
            whole = [slice(0, 1)] * self.ndim
            for axis, one in zip(kept, part, strict=True):
                whole[axis] = one
            found = np.asarray(self._read(tuple(whole)))
            return found.reshape([found.shape[axis] for axis in kept])

        return StoredArray(
            [self.shape[axis] for axis in kept],
            self.dtype,
            [self.chunks[axis] for axis in kept],
            read,
        )


def _slice(key: Any, length: int) -> slice:
    """What a slice or a number takes of an axis."""
    if isinstance(key, slice):
        start, stop, step = key.indices(length)
        if step != 1:
            raise IndexError(f"a part is of slices of step 1, got {key}")
        return slice(start, max(start, stop))
    index = operator.index(key)
    if not -length <= index < length:
        raise IndexError(f"a part is of places within {length}, got {index}")
    return slice(index % length, index % length + 1)


def squeezed(array: Any) -> Any:
    """The array, in memory or not, without the axes of length 1."""
    if isinstance(array, np.ndarray):
        return array.squeeze()
    if not isinstance(array, StoredArray):
        array = StoredArray(array.shape, array.dtype, array.chunks, array.__getitem__)
    return array.squeezed()
