r"""What an image says of its pixels: measures that make a kernel, and features of regions.

``*_bins`` give planes for ``contingency_table(…, weight=…)``: soft bins, the low-rank form of a
kernel on pairs of pixels, for :class:`~metriseg.partitions.KernelWeight`. ``*_features`` give
planes for ``contingency_table(…, features=…)``, for :class:`~metriseg.partitions.FeatureWeight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import host

__all__ = [
    "color_bins",
    "color_features",
    "intensity_bins",
    "intensity_features",
    "texture_bins",
    "texture_features",
]

#: a* and b* of every sRGB colour lie within -this … this.
_CHROMA = 110.0
#: Greatest value of the local standard deviation, and of the gradient energy, of an intensity.
_GREATEST_DEVIATION = 0.5
_GREATEST_GRADIENT = 1 / np.sqrt(2 * np.pi)


def intensity_bins(
    image: Any,
    bins: int = 8,
    *,
    base: float = 1.0,
    value_range: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    r"""Soft bins of brightness: pairs of pixels of like brightness weigh more.

    .. math:: m(u, v) = \sum_r f_r(u)\,f_r(v) = b + \sum_{r=0}^{n-1} h_r(u)\,h_r(v), \qquad
        h_r(u) = \max\bigl(0, 1 - |(n - 1)\,I(u) - r|\bigr)

    with the brightness I in 0 … 1. The bins h are hats that add up to 1 at every pixel. The first
    plane is the constant :math:`\sqrt b`, so m is above 0 for all pairs: in b … b + 1.

    Args:
        image: ``(*S)`` of any dimension, of one channel.
        bins: n, at least 1.
        base: b, above 0: what a pair without any likeness weighs.
        value_range: the values of black and white; beyond them the brightness is theirs. By
            default the whole range of an unsigned or Boolean type, and 0 … 1 for floats.

    Returns:
        ``(bins + 1, *S)``, not negative: the ``weight`` of a table.

    Raises:
        ValueError: for numbers that are not finite or out of range, types that need a
            ``value_range``, or arguments outside their domain.

    >>> intensity_bins(np.array([0, 51, 255], np.uint8), bins=2)
    array([[1. , 1. , 1. ],
           [1. , 0.8, 0. ],
           [0. , 0.2, 1. ]], dtype=float32)
    """
    return _planes(_intensity(image, value_range)[None], bins, base)


def color_bins(image: Any, bins: int = 8, *, base: float = 1.0) -> NDArray[np.float32]:
    r"""Soft bins of colour: pairs of pixels of like colour weigh more.

    .. math:: m(u, v) = \sum_r f_r(u)\,f_r(v)
        = b + \frac13 \sum_{c \in L^*, a^*, b^*} \sum_{r=0}^{n-1} h_{cr}(u)\,h_{cr}(v)

    with the hats of :func:`intensity_bins` along each axis of CIE L*a*b*. The first plane is the
    constant :math:`\sqrt b`, so m is above 0 for all pairs: in b … b + 1.

    Args:
        image: ``(H, W, 3)`` sRGB, uint8 or floats in 0 … 1.
        bins: n of each axis, at least 1.
        base: b, above 0: what a pair without any likeness weighs.

    Returns:
        ``(3 * bins + 1, H, W)``, not negative: the ``weight`` of a table.

    Raises:
        ValueError: for an image of another shape, type or range, or arguments outside their
            domain.

    >>> color_bins(np.zeros((4, 5, 3), np.uint8), bins=2).shape
    (7, 4, 5)
    """
    lab = _lab(image)
    lab[0] /= 100
    lab[1:] = (lab[1:] + _CHROMA) / (2 * _CHROMA)
    return _planes(lab, bins, base)


def texture_bins(
    image: Any,
    bins: int = 8,
    *,
    scales: Sequence[float] = (1.0, 2.0, 4.0),
    base: float = 1.0,
    value_range: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    r"""Soft bins of texture: pairs of pixels of like texture weigh more.

    .. math:: m(u, v) = \sum_r f_r(u)\,f_r(v)
        = b + \frac1F \sum_{c=1}^F \sum_{r=0}^{n-1} h_{cr}(u)\,h_{cr}(v)

    with the hats of :func:`intensity_bins` along the root of each of the F
    :func:`texture_features` over its greatest value: most texture is weak. The first plane is the
    constant :math:`\sqrt b`, so m is above 0 for all pairs: in b … b + 1.

    Args:
        image: ``(*S)`` of any dimension, of one channel.
        bins: n of each feature, at least 1.
        scales: standard deviations of the Gaussian windows, in pixels.
        base: b, above 0: what a pair without any likeness weighs.
        value_range: as in :func:`intensity_bins`.

    Returns:
        ``(2 * len(scales) * bins + 1, *S)``, not negative: the ``weight`` of a table.

    Raises:
        ValueError: as :func:`texture_features`, and for arguments outside their domain.

    >>> texture_bins(np.zeros((4, 5), np.uint8), bins=2, scales=[1.0]).shape
    (5, 4, 5)
    """
    features = _texture(image, scales, value_range)
    greatest = np.resize([_GREATEST_DEVIATION, _GREATEST_GRADIENT], len(features))
    shape = (-1,) + (1,) * (features.ndim - 1)
    return _planes(np.sqrt(features / greatest.reshape(shape)), bins, base)


def intensity_features(
    image: Any, *, value_range: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Brightness of every pixel, in 0 … 1.

    Args:
        image: ``(*S)`` of any dimension, of one channel.
        value_range: as in :func:`intensity_bins`.

    Returns:
        ``(1, *S)``: the ``features`` of a table.

    Raises:
        ValueError: as :func:`intensity_bins`.

    >>> intensity_features(np.array([0, 51, 255], np.uint8))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    return _intensity(image, value_range)[None].astype(np.float32)


def color_features(image: Any) -> NDArray[np.float32]:
    r"""Colour of every pixel in CIE L*a*b*, where distances are those that are seen.

    .. math:: L^* = 116\,g(Y) - 16, \quad a^* = 500\,(g(X) - g(Y)), \quad b^* = 200\,(g(Y) - g(Z))

    with g the cube root, linear near 0, and X, Y, Z over those of the white D65 (2°). Two regions'
    mean colours are then at the colour difference ΔE of 1976, of which about 2 is just seen.

    Args:
        image: ``(H, W, 3)`` sRGB, uint8 or floats in 0 … 1.

    Returns:
        ``(3, H, W)``: the ``features`` of a table; L* in 0 … 100.

    Raises:
        ValueError: for an image of another shape, type or range.

    Reference: CIE 15, Colorimetry; IEC 61966-2-1, sRGB.

    >>> color_features(np.full((1, 1, 3), 255, np.uint8)).round(1).ravel().tolist()[0]
    100.0
    """
    return _lab(image).astype(np.float32)


def texture_features(
    image: Any,
    *,
    scales: Sequence[float] = (1.0, 2.0, 4.0),
    value_range: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    r"""Local texture at every pixel: how much the brightness varies, and how steeply.

    At each scale s, with :math:`G_s` the Gaussian window and I the brightness in 0 … 1,

    .. math:: \sigma_s = \sqrt{G_s * I^2 - (G_s * I)^2}, \qquad
        \gamma_s = s \sqrt{G_s * \lVert \nabla (G_s * I) \rVert^2}

    The local standard deviation is at most 1/2. The gradient energy, the root of the trace of the
    structure tensor, is at most :math:`1 / \sqrt{2 \pi}`. The image is reflected at its borders.

    Args:
        image: ``(*S)`` of any dimension, of one channel.
        scales: standard deviations of the Gaussian windows, in pixels, each at least 0.5: finer
            ones see one pixel.
        value_range: as in :func:`intensity_bins`.

    Returns:
        ``(2 * len(scales), *S)``, the two of the first scale first: the ``features`` of a table.

    Raises:
        ValueError: as :func:`intensity_bins`, and for other scales.

    >>> texture_features(np.zeros((4, 5), np.uint8)).shape
    (6, 4, 5)
    """
    return _texture(image, scales, value_range).astype(np.float32)


def _planes(channels: NDArray[np.float64], bins: int, base: float) -> NDArray[np.float32]:
    """The constant plane, and the hats along every channel ``(F, *S)``, each in 0 … 1."""
    bins = arguments.whole_number("bins", bins, low=1)
    base = arguments.number("base", base, low=0.0, open_low=True)
    planes = np.empty((len(channels) * bins + 1, *channels.shape[1:]), np.float32)
    planes[0] = np.sqrt(base)
    for c, channel in enumerate(channels):
        place = np.clip(channel, 0, 1) * (bins - 1)
        for r in range(bins):
            hat = np.maximum(1 - np.abs(place - r), 0)
            planes[1 + c * bins + r] = hat / np.sqrt(len(channels))
    return planes


def _intensity(image: Any, value_range: tuple[float, float] | None) -> NDArray[np.float64]:
    array = _finite(image)
    low, high = _range(array, value_range)
    if value_range is None and array.dtype.kind == "f":
        _within_unit(array)
    return np.clip((array.astype(np.float64) - low) / (high - low), 0, 1)


def _range(array: NDArray[Any], value_range: tuple[float, float] | None) -> tuple[float, float]:
    if value_range is not None:
        ends = tuple(value_range)
        if len(ends) != 2 or not (np.isfinite(ends).all() and ends[0] < ends[1]):
            raise ValueError(
                f"value_range must be two finite numbers (low, high), low < high, got {value_range}"
            )
        return float(ends[0]), float(ends[1])
    if array.dtype.kind in "bf":
        return 0.0, 1.0
    if array.dtype.kind == "u":
        return 0.0, float(np.iinfo(array.dtype).max)
    raise ValueError(f"value_range must be given for an image of dtype {array.dtype}")


def _lab(image: Any) -> NDArray[np.float64]:
    """``(3, H, W)`` of sRGB; IEC 61966-2-1 to linear light and XYZ, CIE 15 to L*a*b*."""
    array = _finite(image)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"image must have shape (H, W, 3), got {array.shape}")
    if array.dtype.kind == "f":
        _within_unit(array)
    elif array.dtype != np.uint8:
        raise ValueError(f"image must be uint8 or floats in [0, 1], got dtype {array.dtype}")
    encoded = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    light = np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92)
    to_xyz = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = np.array([0.95047, 1.0, 1.08883])
    ratios = light @ (to_xyz / white[:, None]).T
    x, y, z = np.moveaxis(
        np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116), 2, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _texture(
    image: Any, scales: Sequence[float], value_range: tuple[float, float] | None
) -> NDArray[np.float64]:
    from scipy import ndimage

    widths = _scales(scales)
    intensity = _intensity(image, value_range)
    if intensity.ndim == 0:
        raise ValueError("image must have at least one axis, got shape ()")
    features = np.empty((2 * len(widths), *intensity.shape))
    for i, width in enumerate(widths):
        mean = ndimage.gaussian_filter(intensity, width)
        spread = ndimage.gaussian_filter(intensity**2, width) - mean**2
        features[2 * i] = np.sqrt(np.maximum(spread, 0))
        energy = np.zeros_like(intensity)
        for axis in range(intensity.ndim):
            order = [int(axis == other) for other in range(intensity.ndim)]
            energy += ndimage.gaussian_filter(intensity, width, order=order) ** 2
        features[2 * i + 1] = width * np.sqrt(ndimage.gaussian_filter(energy, width))
    return features


def _scales(scales: Sequence[float]) -> tuple[float, ...]:
    widths = tuple(scales) if np.iterable(scales) else ()
    if not widths:
        raise ValueError(f"scales must be one number or more in a sequence, got {scales!r}")
    return tuple(arguments.number("scales", width, low=0.5) for width in widths)


def _finite(image: Any) -> NDArray[Any]:
    array = host("image", image)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"image must hold real numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"image must hold at least one pixel, got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("image must be finite")
    return array


def _within_unit(array: NDArray[Any]) -> None:
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ValueError(
            "image must lie in [0, 1] when it is floating point, got values from {low:g} to"
            f" {high:g}: scale it, or for one channel give value_range"
        )
