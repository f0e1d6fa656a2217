"""Skeletons of masks, soft and hard, and how far prediction and truth hold each other's.

Probabilities and masks are ``(N, C, *S)`` of one to three spatial dimensions, 0 where a pixel
doesn't count; ``weight`` is ``(N, *S)``, None for all ones. Sums are ``(N, C)``, over the pixels of
a class in an image.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from metriseg.distances import distance_transform
from metriseg.functional.region import ratio, shortfall
from metriseg.neighbours import MAX_POOL, largest_along

__all__ = [
    "CenterlineSums",
    "centerline_boundary_sums",
    "centerline_dice_index",
    "centerline_sums",
    "missed_skeleton",
    "skeleton_miss_rate",
    "soft_skeleton",
    "tubed_skeleton",
]


def soft_skeleton(values: Tensor, iterations: int) -> Tensor:
    r"""What an opening takes away, of the values and of each of their erosions.

    .. math:: s_0 = [x_0 - o(x_0)]_+, \quad s_k = s_{k-1} + [x_k - o(x_k)]_+ (1 - s_{k-1}), \quad
              x_k = e(x_{k-1}),\; o(x) = d(e(x))

    with the erosion e, the least value of a pixel and its neighbours along the axes, and the
    dilation d, the largest of all neighbours, the diagonal ones too; beyond the image is nothing.
    The skeleton lies in [0, 1] as the values do, and that of a mask is one. What is more than about
    ``2 iterations + 2`` pixels wide has none in its middle.

    Shit et al. 2021, arXiv:2003.07311.

    >>> import torch
    >>> bar = torch.tensor([[[0., 1., 1., 1., 0.]]])
    >>> soft_skeleton(bar, 0), soft_skeleton(bar, 1)
    (tensor([[[0., 0., 0., 0., 0.]]]), tensor([[[0., 0., 1., 0., 0.]]]))
    """
    eroded = _eroded(values)
    skeleton = torch.relu(values - _dilated(eroded))
    for _ in range(iterations):
        values, eroded = eroded, _eroded(eroded)
        ridge = torch.relu(values - _dilated(eroded))
        skeleton = skeleton + ridge * (1 - skeleton)
    return skeleton


class CenterlineSums(NamedTuple):
    """What two ratios are made of, each entry ``(G, C)``.

    Attributes:
        predicted_inside: the predicted skeleton's mass within the truth.
        predicted: what that is compared with.
        true_inside: the true skeleton's mass within the prediction.
        true: what that is compared with.
    """

    predicted_inside: Tensor
    predicted: Tensor
    true_inside: Tensor
    true: Tensor

    def pooled(self) -> CenterlineSums:
        """Of all images together."""
        return CenterlineSums(*(entry.sum(0, keepdim=True) for entry in self))


def centerline_sums(
    probabilities: Tensor, target: Tensor, iterations: int, weight: Tensor | None = None
) -> CenterlineSums:
    """sum S(p) t, sum S(p), sum S(t) p and sum S(t) with the soft skeleton S."""
    predicted, true = soft_skeleton(probabilities, iterations), soft_skeleton(target, iterations)
    return CenterlineSums(
        _sum(predicted * target, weight),
        _sum(predicted, weight),
        _sum(true * probabilities, weight),
        _sum(true, weight),
    )


def centerline_dice_index(s: CenterlineSums, smooth: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """The harmonic mean of topology precision and sensitivity; each is 1 of an empty skeleton.

    ``smooth`` is added to numerator and denominator of both. Where both are 0, so is their mean.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> centerline_dice_index(CenterlineSums(one, 2 * one, one, one))   # of 1/2 and 1
    tensor([[0.6667]])
    """
    precision = ratio(s.predicted_inside, s.predicted, smooth)
    sensitivity = ratio(s.true_inside, s.true, smooth)
    both = precision + sensitivity
    return 2 * precision * sensitivity / torch.where(both > 0, both, 1.0)


def centerline_boundary_sums(
    probabilities: Tensor,
    found: Tensor,
    masks: Tensor,
    iterations: int,
    weight: Tensor | None = None,
    spacing: Sequence[float] | None = None,
) -> CenterlineSums:
    """Those of skeletons that weigh less the thicker their object, of masks that weigh more inside.

    Every pixel of a mask, ``found`` and the true ``masks``, has the distance d to the outside; R is
    that of the pixels of its skeleton, S(p) > 1/2 or S(t), and both are divided by the largest R of
    the class in the image. A skeleton's pixel weighs 1 / R^(D-1) in D dimensions. What is inside is
    that times min(d, 1) of the other mask, at a predicted pixel times p; what it is compared with
    is that times R of the other skeleton or, beside it, of the own one.

    Shi et al. 2024, arXiv:2407.01517.
    """
    dtype = probabilities.dtype
    true = soft_skeleton(masks.to(dtype), iterations)
    predicted = soft_skeleton(probabilities, iterations)
    true_depth, true_radius = _depths(masks, true > 0.5, dtype, spacing)
    depth, radius = _depths(found, predicted.detach() > 0.5, dtype, spacing)
    true, predicted = true * _inverse(true_radius), predicted * _inverse(radius)
    depth, radius = depth * probabilities, radius * probabilities
    return CenterlineSums(
        _sum(predicted * true_depth, weight),
        _sum(predicted * torch.where(true_radius > 0, true_radius, radius), weight),
        _sum(true * depth, weight),
        _sum(true * torch.where(radius > 0, radius, true_radius), weight),
    )


def missed_skeleton(
    probabilities: Tensor, skeleton: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """sum (1 - p) y and sum y, of a skeleton y in [0, 1]."""
    return _sum((1 - probabilities) * skeleton, weight), _sum(skeleton, weight)


def skeleton_miss_rate(
    missed: Tensor, skeleton: Tensor, smooth: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """One minus the recall of a skeleton, of its mass that is missed and all of its mass.

    ``smooth`` is added to numerator and denominator of the recall; of an empty skeleton it is 1.

    Kirchhoff et al. 2024, arXiv:2404.03010.

    >>> import torch
    >>> skeleton_miss_rate(torch.tensor(1.0), torch.tensor(4.0))
    tensor(0.2500)
    """
    return shortfall(missed, skeleton, smooth)


def tubed_skeleton(masks: Tensor, tube: int = 2) -> Tensor:
    """The skeleton of every mask, and what of the mask is within ``tube`` steps along the axes.

    It is made on the host, by scikit-image's ``skeletonize``: in 2-D a thinning after Zhang & Suen
    1984 (doi:10.1145/357994.358023), in 3-D that of Lee et al. 1994 (doi:10.1006/cgip.1994.1042).

    Args:
        masks: ``(N, C, *S)`` bool, of two or three spatial dimensions.
        tube: steps, >= 0.

    Raises:
        ImportError: without scikit-image (``pip install 'metriseg[skeleton]'``).

    >>> import torch
    >>> cross = torch.tensor([[[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]]) > 0
    >>> tubed_skeleton(cross, tube=0).sum(), tubed_skeleton(cross, tube=1).sum()
    (tensor(1), tensor(5))
    """
    found: Tensor = _tubed_skeletons(masks, tube)
    return found


@torch.library.custom_op(
    "metriseg::tubed_skeletons", mutates_args=(), schema="(Tensor masks, int tube) -> Tensor"
)
def _tubed_skeletons(masks: Tensor, tube: int) -> Tensor:
    planes = masks.detach().cpu().numpy()
    result = np.zeros(planes.shape, dtype=bool)
    for index in np.ndindex(*planes.shape[:2]):
        plane = planes[index]
        if plane.any():
            (box,) = ndimage.find_objects(plane.astype(np.int8))
            result[index][box] = _tubed_skeleton(plane[box], tube)
    return torch.from_numpy(result).to(masks.device)


@_tubed_skeletons.register_fake
def _(masks: Tensor, tube: int) -> Tensor:
    return torch.empty_like(masks)


def _tubed_skeleton(plane: NDArray[np.bool_], tube: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = _skeletonize()(plane).astype(bool)
    if tube == 0:
        return found
    grown: NDArray[np.bool_] = ndimage.binary_dilation(found, iterations=tube)
    return grown & plane


@functools.cache
def _skeletonize() -> Any:
    try:
        from skimage.morphology import skeletonize
    except ImportError:
        raise ImportError(
            "the skeleton of the truth needs scikit-image: pip install 'metriseg[skeleton]', or"
            " maps={'skeleton': ...} from a loader that has it"
        ) from None
    return skeletonize


def _eroded(values: Tensor) -> Tensor:
    """The least value of a pixel and its neighbours along the axes."""
    negative = -values
    along = [largest_along(negative, axis, 1) for axis in range(values.ndim - 2)]
    return -functools.reduce(torch.maximum, along)


def _dilated(values: Tensor) -> Tensor:
    """The largest value of a pixel and all its neighbours."""
    largest: Tensor = MAX_POOL[values.ndim - 2](values, 3, stride=1, padding=1)
    return largest


def _depths(
    masks: Tensor, skeleton: Tensor, dtype: torch.dtype, spacing: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Distances to the outside, and of them those of the skeleton, as shares of its largest.

    No distance is above 1. Without a skeleton the smallest spacing stands for the largest.
    """
    distances = distance_transform(masks, spacing, dtype=dtype)
    radius = torch.where(skeleton & masks, distances, 0.0)
    largest = radius.amax(tuple(range(2, masks.ndim)), keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0 if spacing is None else min(spacing))
    return torch.minimum(distances, largest) / largest, radius / largest


def _inverse(radius: Tensor) -> Tensor:
    """1 / R^(D-1) in D dimensions, 0 where there is no radius."""
    some = radius > 0
    return torch.where(some, torch.where(some, radius, 1.0) ** (3 - radius.ndim), 0.0)


def _sum(values: Tensor, weight: Tensor | None) -> Tensor:
    weighted = values if weight is None else values * weight.unsqueeze(1)
    return weighted.flatten(2).sum(2)
