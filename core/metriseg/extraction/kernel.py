"""Segments of an embedding by a Gaussian kernel, without ever forming them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import Batch
from metriseg.extraction.base import Segments, check_finite
from metriseg.extraction.grouping import group_embedding, method_for
from metriseg.extraction.places import checked_units, landing_points
from metriseg.functional.partition import (
    Form,
    Weighting,
    gaussian_frequencies,
    kernel_partition_distance,
    pairwise_kernel_partition_distance,
    weighted_kernel_partition_distance,
)

__all__ = ["KernelSegments"]


class KernelSegments(Segments):
    r"""Two pixels belong together by a Gaussian kernel of their embeddings.

    .. math:: K_{uv} = \exp\left(-\frac{\|f_u - f_v\|^2}{2 \sigma^2}\right)

    The network predicts an embedding f a pixel (``features``, or the logits where none are given);
    the distance of K from the true co-membership is estimated by random Fourier features, two
    independent draws a step: see :func:`~metriseg.functional.kernel_partition_distance`; or, with
    ``samples``, it is exact on all pairs of some pixels: see
    :func:`~metriseg.functional.pairwise_kernel_partition_distance`. A ``weighting`` of the loss
    wants samples: random features say little of segments that are small beside the image. No
    segment is extracted, so nothing needs a straight-through estimator; it takes 2-D and 3-D alike.
    Only the Frobenius form exists.

    With ``pixels_per_unit`` the embedding is anchored at a pixel's place: what is compared, and
    grouped, are :func:`~metriseg.extraction.landing_points`. A network that predicts 0 then parts
    what is more than about a unit apart, and has to learn only which way an object's middle lies.
    That is the same in a crop, a tile or an image of any size.

    Args:
        frequencies: R of each draw, >= 1; the estimate's deviation falls as 1/sqrt(R).
        bandwidth: sigma > 0: the larger, the farther apart segments must be.
        seed: None draws anew at every call, from PyTorch's generator; a number always draws the
            same.
        samples: None estimates by ``frequencies``; a number >= 2 takes all pairs of so many pixels
            of an image (or window), drawn by their measure, or of all where there are no more.
        pixels_per_unit: None compares embeddings as they are; one number > 0, or one for each axis,
            takes their first channels as offsets from a pixel's place, in units of so many pixels.

    Raises:
        ValueError: for an argument outside its domain, for another form, and for fewer channels
            than axes with ``pixels_per_unit``.
    """

    def __init__(
        self,
        frequencies: int = 64,
        bandwidth: float = 1.0,
        seed: int | None = None,
        samples: int | None = None,
        pixels_per_unit: float | Sequence[float] | None = None,
    ) -> None:
        self.frequencies = validation.whole_number("frequencies", frequencies, low=1)
        self.bandwidth = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
        self.seed = validation.label("seed", seed)
        self.samples = validation.optional(validation.whole_number, "samples", samples, low=2)
        if pixels_per_unit is not None:
            checked_units(pixels_per_unit)
        self.pixels_per_unit = pixels_per_unit

    def points(self, batch: Batch) -> Tensor:
        """``(B, D, *S)``: what is compared and grouped."""
        if self.pixels_per_unit is None:
            return batch.embedding
        return landing_points(batch.embedding, self.pixels_per_unit)

    def distance(
        self,
        batch: Batch,
        truth: Tensor,
        density: Tensor | None,
        form: Form = "frobenius",
        weighting: Weighting | None = None,
    ) -> Tensor:
        if form != "frobenius":
            raise ValueError(f"form must be 'frobenius' with KernelSegments, got {form!r}")
        vectors, labels = self.points(batch).flatten(2).transpose(1, 2), truth.flatten(1)
        measure = None if density is None else density.flatten(1)
        if self.samples is not None:
            return pairwise_kernel_partition_distance(
                vectors,
                labels,
                samples=self.samples,
                weighting=weighting,
                bandwidth=self.bandwidth,
                density=measure,
                generator=self._generator(vectors),
            )
        waves = self._draw(vectors)
        if weighting is None:
            return kernel_partition_distance(vectors, labels, waves, density=measure)
        return weighted_kernel_partition_distance(
            vectors, labels, waves, weighting=weighting, density=measure
        )

    def _generator(self, vectors: Tensor) -> torch.Generator | None:
        if self.seed is None:
            return None
        return torch.Generator(vectors.device).manual_seed(self.seed)

    def _draw(self, vectors: Tensor) -> Tensor:
        return gaussian_frequencies(
            vectors.shape[-1],
            self.frequencies,
            bandwidth=self.bandwidth,
            generator=self._generator(vectors),
            like=vectors,
        )

    def label_map(self, batch: Batch) -> Tensor:
        """By :func:`group_embedding`; with ``weight``, pixels that don't count are segment 0."""
        check_finite(batch)
        return group_embedding(
            self.points(batch),
            foreground=batch.valid,
            bandwidth=self.bandwidth,
            method=method_for(self.pixels_per_unit),
        )
