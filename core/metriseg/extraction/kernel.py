"""Segments of an embedding by a Gaussian kernel, without ever forming them."""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import Batch
from metriseg.extraction.base import Segments, check_finite
from metriseg.extraction.grouping import group_embedding
from metriseg.functional.partition import (
    Form,
    gaussian_frequencies,
    kernel_partition_distance,
)

__all__ = ["KernelSegments"]


class KernelSegments(Segments):
    r"""Two pixels belong together by a Gaussian kernel of their embeddings.

    .. math:: K_{uv} = \exp\left(-\frac{\|f_u - f_v\|^2}{2 \sigma^2}\right)

    The network predicts an embedding f a pixel (``features``, or the logits where none are given);
    the distance of K from the true co-membership is estimated by random Fourier features, two
    independent draws a step: see :func:`~metriseg.functional.kernel_partition_distance`. No
    segment is extracted, so nothing needs a straight-through estimator; it takes 2-D and 3-D alike.
    Only the Frobenius form exists.

    Args:
        frequencies: R of each draw, >= 1; the estimate's deviation falls as 1/sqrt(R).
        bandwidth: sigma > 0: the larger, the farther apart segments must be.
        seed: None draws anew at every call, from PyTorch's generator; a number always draws the
            same.

    Raises:
        ValueError: for an argument outside its domain, and for another form.
    """

    def __init__(
        self, frequencies: int = 64, bandwidth: float = 1.0, seed: int | None = None
    ) -> None:
        self.frequencies = validation.whole_number("frequencies", frequencies, low=1)
        self.bandwidth = validation.number("bandwidth", bandwidth, low=0.0, open_low=True)
        self.seed = validation.label("seed", seed)

    def distance(
        self, batch: Batch, truth: Tensor, density: Tensor | None, form: Form = "frobenius"
    ) -> Tensor:
        if form != "frobenius":
            raise ValueError(f"form must be 'frobenius' with KernelSegments, got {form!r}")
        vectors = batch.embedding.flatten(2).transpose(1, 2)
        return kernel_partition_distance(
            vectors,
            truth.flatten(1),
            self._draw(vectors),
            density=None if density is None else density.flatten(1),
        )

    def _draw(self, vectors: Tensor) -> Tensor:
        generator = None
        if self.seed is not None:
            generator = torch.Generator(vectors.device).manual_seed(self.seed)
        return gaussian_frequencies(
            vectors.shape[-1],
            self.frequencies,
            bandwidth=self.bandwidth,
            generator=generator,
            like=vectors,
        )

    def label_map(self, batch: Batch) -> Tensor:
        """By :func:`group_embedding`; with ``weight``, pixels that don't count are segment 0."""
        check_finite(batch)
        return group_embedding(batch.embedding, foreground=batch.valid, bandwidth=self.bandwidth)
