"""What weights and features of pixels must be."""

from __future__ import annotations

from typing import Any


def check_planes(name: str, came: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise for weights or features that are not of these pixels."""
    fits = len(came) == len(shape) + 1 and came[1:] == shape and came[0] > 0
    if not fits and not (name == "weight" and came == shape):
        plain = f"{shape} or " if name == "weight" else ""
        count = "R" if name == "weight" else "F"
        rest = ", ".join(map(str, shape))
        raise ValueError(f"{name} must have shape {plain}({count}, {rest}), got {came}")


def check_mask(
    dtype: Any, came: tuple[int, ...], shape: tuple[int, ...], *, like: str = "x"
) -> None:
    """Raise for what doesn't say of each of these pixels whether it counts."""
    if str(dtype).removeprefix("torch.") != "bool" or came != shape:
        raise ValueError(
            f"mask must be bool of the shape of {like}, {shape}, got"
            f" {str(dtype).removeprefix('torch.')} of {tuple(came)}"
        )


def check_measure(name: str, fine: bool) -> None:
    """Raise for measures that are not ``fine``."""
    if not fine:
        raise ValueError(f"{name} must be finite and not negative")


def check_features(fine: bool) -> None:
    """Raise for features that are not ``fine``."""
    if not fine:
        raise ValueError("features must be finite")
