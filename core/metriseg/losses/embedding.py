"""Losses over the embeddings of pixels: the features given, or the logits."""

from __future__ import annotations

import abc
from typing import Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.functional import Mining
from metriseg.losses.base import PixelLoss, SegmentationLoss
from metriseg.options import LossOptions, Reduction
from metriseg.reduction import mean, reduce_pixels
from metriseg.statistics import RegionStatistics

__all__ = ["BoundaryTripletLoss", "CenterLoss", "TripletLoss"]


def num_labels(batch: Batch) -> int:
    """How many labels there can be: one channel has two."""
    return max(batch.num_classes, 2)


class _TripletLoss(SegmentationLoss):
    """Triplets among some of a batch's pixels, which a subclass chooses among.

    Args:
        margin: m >= 0.
        mining: "semihard" for every positive with the closest negative beyond it (the farthest
            negative where none is), "hard" for an anchor's farthest positive with its closest
            negative, "all" for all triplets.
        samples: how many pixels of a batch are looked at, >= 2; distances take memory of its
            square.
        normalize: whether embeddings are brought to length 1 first; they need two numbers then.
        activation: "softmax", "sigmoid" or "identity", what the logits are; it changes nothing.
        class_weight: C numbers >= 0, of the anchor's class; the mean divides by their sum.
        include_background: False leaves out anchors of class 0.
        reduction: "mean", "sum" or "none", then ``(N, *S)`` with the sum of each anchor's triplets.

    Raises:
        ValueError: for soft labels.
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: Mining = "semihard",
        samples: int = 512,
        normalize: bool = True,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.margin = validation.number("margin", margin, low=0.0)
        validation.one_of("mining", mining, ("semihard", "hard", "all"))
        self.mining = mining
        self.samples = validation.whole_number("samples", samples, low=2)
        self.normalize = validation.flag("normalize", normalize)

    def evaluate(self, batch: Batch) -> Tensor:
        """``(N, *S)``: the sum of each anchor's triplets."""
        return self._triplets(batch)[0]

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        sums, numbers = self._triplets(batch)
        factors = self.pixel_factors(batch)
        return reduce_pixels(sums, factors, reduction, (numbers * factors).sum())

    def _triplets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """``(N, *S)`` twice: sums and numbers of each anchor's triplets."""
        if self.normalize and batch.features is None:
            # of length 1, a number is its sign: it has no slope
            validation.enough_classes(self, batch.num_classes, 2)
        labels = batch.labels
        valid = torch.ones_like(labels, dtype=torch.bool) if batch.valid is None else batch.valid
        chosen = F.evenly_spaced_by_class(
            labels.flatten(),
            self.candidates(labels, valid).flatten(),
            num_labels(batch),
            self.samples,
        )
        return F.triplets_of_pixels(
            batch.embedding, labels, chosen, self.margin, self.mining, normalize=self.normalize
        )

    @abc.abstractmethod
    def candidates(self, labels: Tensor, valid: Tensor) -> Tensor:
        """``(N, *S)`` bool: the valid pixels that may be looked at."""


class TripletLoss(_TripletLoss):
    r"""Triplet loss: a pixel is closer to those of its class than to others, by a margin.

    .. math:: \ell_{apn} = \max(\|x_a - x_p\|^2 - \|x_a - x_n\|^2 + m,\ 0)

    averaged over the triplets of an anchor a, a positive p of its class and a negative n of
    another, which may stand in other images. Values lie in :math:`[0, \infty)`; a perfect
    prediction has 0 if it sets the classes' embeddings more than the margin apart. Embeddings are
    the ``features`` given to the call, or the logits.

    A batch has too many triplets to look at: of every class the same number of pixels is taken,
    evenly spaced in the order of images and pixels, without chance. A pixel's weight, and that of
    its class, is its share in the mean as an anchor.

    Source: Schroff et al. 2015, "FaceNet: a unified embedding for face recognition and
    clustering", arXiv:1503.03832.

    >>> import torch
    >>> loss = TripletLoss(margin=3.5, normalize=False, activation="sigmoid")
    >>> x = torch.tensor([[[0., 1., 2.]]])   # 1 - 4 + 3.5 = 0.5 and 1 - 1 + 3.5
    >>> loss(x, torch.tensor([[0, 0, 1]]))
    tensor(2.)
    """

    def candidates(self, labels: Tensor, valid: Tensor) -> Tensor:
        return valid


class BoundaryTripletLoss(_TripletLoss):
    r"""Boundary triplet loss: pixels at a boundary are closer to those of their side, by a margin.

    .. math:: \ell_{apn} = \max(\|x_a - x_p\|^2 - \|x_a - x_n\|^2 + m,\ 0)

    averaged over triplets as in :class:`TripletLoss`, all of whose pixels stand at most so many
    pixels from one with another label: what is hard to tell apart is what lies along boundaries.
    Values lie in :math:`[0, \infty)`; a perfect prediction has 0 if it sets the classes' embeddings
    more than the margin apart. Where there is no boundary: 0. Embeddings are the ``features`` given
    to the call, or the logits.

    The authors draw triplets at random within an image: anchors are the boundary pixels of a class
    with the lowest probabilities, positives and negatives are sure ones on their own and on the
    other side, by distances that aren't squared with a margin of 10; they add the loss to a Dice
    loss with a weight of 0.005. Here ``mining`` says which triplets count, without chance, in the
    whole batch.

    Args:
        boundary_width: how many pixels from another label a pixel may stand, >= 1, along axes or
            diagonals.

    Source: Wen et al. 2022, "Pixel-wise triplet learning for enhancing boundary discrimination in
    medical image segmentation", doi:10.1016/j.knosys.2022.108424.

    >>> import torch
    >>> loss = BoundaryTripletLoss(
    ...     3.5, normalize=False, boundary_width=2, activation="sigmoid", mining="hard"
    ... )
    >>> x = torch.tensor([[[9., 0., 1., 2.]]])   # 1 - 4 + 3.5 = 0.5 and 1 - 1 + 3.5, without the 9
    >>> loss(x, torch.tensor([[0, 0, 0, 1]]))
    tensor(2.)
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: Mining = "semihard",
        samples: int = 512,
        normalize: bool = True,
        boundary_width: int = 2,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(margin, mining, samples, normalize, **options)
        self.boundary_width = validation.whole_number("boundary_width", boundary_width, low=1)

    def candidates(self, labels: Tensor, valid: Tensor) -> Tensor:
        return F.label_boundary(labels, valid, self.boundary_width)


class CenterLoss(PixelLoss):
    r"""Center loss: half the squared distance of every pixel to the centre of its class.

    .. math:: \ell = \tfrac12\, w_y\, \|x - c_y\|^2

    at every pixel, averaged over the valid pixels. Values lie in :math:`[0, \infty)`; a perfect
    prediction has 0 if it takes all pixels of a class to their centre. It draws a class together
    and doesn't set classes apart, so add it to a loss that does, with a small weight (the authors'
    is 0.003). Embeddings are the ``features`` given to the call, or the logits.

    Without ``num_classes`` and ``dimensions`` the centre of a class is the mean of its pixels in
    the batch. With both, centres are state, which begins at zero, is saved with the network, and
    is moved by :meth:`update` alone: call it after every step. Either way no gradient goes through
    them.

    Args:
        num_classes: how many centres there are, 2 for one channel; None for those of the batch.
        dimensions: D, the number of features; given together with ``num_classes``.
        update_rate: in [0, 1], how far :meth:`update` moves the centres.
        activation: "softmax", "sigmoid" or "identity", what the logits are; it changes nothing.

    Raises:
        ValueError: for soft labels.

    Source: Wen et al. 2016, "A discriminative feature learning approach for deep face
    recognition", doi:10.1007/978-3-319-46478-7_31.

    >>> import torch
    >>> x = torch.tensor([[[1., 3., 7.], [0., 0., 0.]]])   # centres (2, 0) and (7, 0)
    >>> CenterLoss()(x, torch.tensor([[0, 0, 1]]))
    tensor(0.3333)
    """

    centers: Tensor | None

    def __init__(
        self,
        num_classes: int | None = None,
        dimensions: int | None = None,
        update_rate: float = 0.5,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        if (num_classes is None) != (dimensions is None):
            raise ValueError(
                "num_classes and dimensions belong together: give both for centres that are kept,"
                f" neither for those of the batch, got {num_classes!r} and {dimensions!r}"
            )
        self.num_classes, self.dimensions = num_classes, dimensions
        self.update_rate = validation.number("update_rate", update_rate, low=0.0, high=1.0)
        centers = None
        if num_classes is not None and dimensions is not None:
            self.num_classes = validation.whole_number("num_classes", num_classes, low=2)
            self.dimensions = validation.whole_number("dimensions", dimensions, low=1)
            centers = torch.zeros(self.num_classes, self.dimensions)
        self.register_buffer("centers", centers)

    @torch.no_grad()
    def update(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        features: Tensor | None = None,
    ) -> None:
        """Move the centres toward the means of a batch's classes; arguments as for the call.

        Raises:
            ValueError: without centres of its own, and for arguments of the wrong shape or type.
        """
        if self.centers is None:
            raise ValueError(
                "num_classes and dimensions are None: the centres are the batch's means, there is"
                " nothing to update"
            )
        batch = Batch.from_tensors(
            logits,
            target,
            activation=self.activation,
            ignore_index=self.ignore_index,
            weight=weight,
            features=features,
        )
        values = batch.embedding
        centers = self._kept(self.centers, batch, values)
        sums, mass = self._sums(batch, values)
        self.centers.copy_(F.updated_centers(centers, sums, mass, self.update_rate))

    def evaluate(self, batch: Batch) -> Tensor:
        labels, values = batch.labels, batch.embedding
        if self.centers is None:
            sums, mass = self._sums(batch, values.detach())
            centers = mean(sums, mass.unsqueeze(1))
        else:
            centers = self._kept(self.centers, batch, values)
        costs = F.center(values, centers, labels)
        factors = self.class_factors(batch)
        if factors is None:
            return costs
        return costs * (factors if batch.num_classes == 1 else factors[labels])

    def _sums(self, batch: Batch, values: Tensor) -> tuple[Tensor, Tensor]:
        weight = values.new_ones(batch.labels.shape) if batch.weight is None else batch.weight
        return F.class_sums(values, batch.labels, weight, num_labels(batch))

    def _kept(self, centers: Tensor, batch: Batch, values: Tensor) -> Tensor:
        """The centres, for features of the shape that they are for."""
        expected, found = tuple(centers.shape), (num_labels(batch), values.shape[1])
        if expected != found:
            raise ValueError(
                f"the centres are for (num_classes, dimensions) = {expected}, got logits and"
                f" features with {found}"
            )
        return centers.to(values)
