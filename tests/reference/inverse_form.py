"""The inverse-transformation distance of edges, as plain loops in float64.

Only the file of weights is the library's: the layers are written out below.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDE = 32


def edges(p: Array, w: Array, exclusive: bool) -> Array:
    """(C, H, W) to (H, W): the largest step to the right and lower neighbour."""
    classes, height, width = p.shape
    e = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for v in ((y + 1, x), (y, x + 1)):
                if v[0] >= height or v[1] >= width or w[y, x] == 0 or w[v] == 0:
                    continue
                steps = [abs(p[c, y, x] - p[c, v[0], v[1]]) for c in range(classes)]
                e[y, x] = max(e[y, x], sum(steps) / 2 if exclusive else max(steps))
    return e


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    return max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)


def mean_over_box(values: Array, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    """The mean of a map, constant within each pixel, over a box with real corners."""
    total = 0.0
    for y in range(math.floor(rows[0]), min(math.ceil(rows[1]), values.shape[0])):
        for x in range(math.floor(columns[0]), min(math.ceil(columns[1]), values.shape[1])):
            area = overlap(rows, (y, y + 1)) * overlap(columns, (x, x + 1))
            total += area * values[y, x]
    return total / ((rows[1] - rows[0]) * (columns[1] - columns[0]))


def tile(e: Array, row: int, column: int, tiles: tuple[int, int], side: int) -> Array:
    """One tile, resampled: means of cells, times the cells' extent in pixels if above 1."""
    tall, wide = e.shape[0] / tiles[0] / side, e.shape[1] / tiles[1] / side
    result = np.zeros((side, side))
    for i in range(side):
        for j in range(side):
            y, x = row * side + i, column * side + j
            box = (y * tall, (y + 1) * tall), (x * wide, (x + 1) * wide)
            result[i, j] = mean_over_box(e, *box)
    return result * math.sqrt(max(tall, 1.0) * max(wide, 1.0))


@functools.cache
def shipped_weights() -> dict[str, Array]:
    package = importlib.util.find_spec("metriseg").submodule_search_locations[0]
    with np.load(Path(package) / "models" / "inverse_form.npz") as arrays:
        return {
            name: arrays[name].astype(np.float64) for name in arrays.files if name != "settings"
        }


def gelu(values: Array) -> Array:
    flat = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in values.ravel()]
    return np.array(flat).reshape(values.shape)


def convolved(x: Array, kernel: Array, bias: Array) -> Array:
    """3 x 3, stride 2, a margin of one zero: (B, H, W) to (A, H / 2, W / 2)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(bias), x.shape[1] // 2, x.shape[2] // 2))
    for i in range(result.shape[1]):
        for j in range(result.shape[2]):
            window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            result[:, i, j] = np.einsum("abyx,byx->a", kernel, window) + bias
    return result


def layers(a: Array, b: Array) -> Array:
    weights = shipped_weights()
    x = np.stack([a / (1 + a), b / (1 + b)])
    for k in range(3):
        name = f"convolutions.{k}"
        x = gelu(convolved(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    x = gelu(weights["hidden.weight"].reshape(64, -1) @ x.ravel() + weights["hidden.bias"])
    return weights["coefficients.weight"].reshape(6, 64) @ x + weights["coefficients.bias"]


def affine_map(a: Array, b: Array) -> Array:
    """(2, 3), from predicted and true edges."""
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return identity + ((layers(a, b) - layers(b, a)) / 2).reshape(2, 3)


def inverse_form(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array | None = None,
    exclusive: bool = True,
    inputs: str = "regions",
    tiles: tuple[int, int] = (1, 1),
    network: Callable[[Array, Array], Array] = affine_map,
    side: int = SIDE,
    reduction: str = "mean",
) -> float | Array:
    images, height, width = w.shape
    table = np.zeros((images, 1))
    counted = []
    for n in range(images):
        if inputs == "edges":
            predicted, true = (np.where(w[n] > 0, m[n, 0], 0.0) for m in (p, t))
        else:
            predicted, true = (edges(m[n], w[n], exclusive) for m in (p, t))
        total, mass = 0.0, 0.0
        for row in range(tiles[0]):
            for column in range(tiles[1]):
                theta = network(*(tile(e, row, column, tiles, side) for e in (predicted, true)))
                distance = math.sqrt(sum((theta - np.eye(2, 3)).ravel() ** 2))
                rows = row * height / tiles[0], (row + 1) * height / tiles[0]
                columns = column * width / tiles[1], (column + 1) * width / tiles[1]
                share = mean_over_box(w[n], rows, columns)
                total, mass = total + share * distance, mass + share
        if mass > 0:
            table[n, 0] = total / mass
            counted.append(table[n, 0])
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(counted)) if counted else 0.0


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {"InverseFormLoss": inverse_form}
