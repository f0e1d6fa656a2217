"""Losses in which every true object counts alike, large or small."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.distances import nearest_pixel
from metriseg.extraction.objects import true_objects
from metriseg.losses.base import OverlapLoss, RegionLoss
from metriseg.losses.combination import CombinedLoss
from metriseg.losses.region import DiceLoss
from metriseg.options import ClassesOption, LossOptions, PerImageOption, RegionOptions
from metriseg.reduction import nothing_of
from metriseg.statistics import RegionStatistics, short_of_one

__all__ = ["BlobLoss", "ConnectedComponentLoss"]

#: Words of a region loss that say which sums there are: here they are those of objects.
_OF_GROUPS = ("classes", "per_image", "batch", "sync")


class ObjectOptions(PerImageOption, LossOptions, total=False):
    """What losses of objects take."""


class ConnectedComponentOptions(ClassesOption, ObjectOptions, total=False):
    """What those take in which a class without objects may cost something."""


class _Rows(NamedTuple):
    """A row for every class of an image that is looked at.

    Attributes:
        place: ``(R,)`` twice, its image and its class.
        inside: ``(R, P)`` int64, the object that a pixel is in, -1 for none.
        background: ``(R, P)`` bool, the valid pixels in no object.
        number: how many numbers the objects have.
    """

    place: tuple[Tensor, Tensor]
    inside: Tensor
    background: Tensor
    number: int


class _ObjectLoss(OverlapLoss):
    """A region loss of every true object, averaged over objects.

    The objects of a class are the connected components of its pixels, or what
    ``maps={"instances": …}`` ``(N, *S)`` says: pixels of the class with one number are an object, a
    negative number is an object that isn't known, a crowd, and its pixels don't count. The value of
    a class in an image is the mean over its objects; then the mean is taken over classes, then over
    images.

    Args:
        loss: a loss of region statistics, such as :class:`~metriseg.TverskyLoss`, of which the
            formula and what it smooths are taken; None for :class:`~metriseg.DiceLoss`. How logits
            are read, what classes weigh and how values are reduced is said here, not there.
        connectivity: in how many axes neighbours in a component may differ: in 2-D 1 is four
            neighbours and 2 is eight.
        per_image: the mean over the objects of an image, then over images, or over all objects of
            the batch.
        include_background: whether class 0 has objects; a single channel is foreground and always
            has.

    Raises:
        ValueError: for soft labels, for a ``loss`` that isn't one of region statistics, or that is
            told what is to be said here.
    """

    map_names: ClassVar[tuple[str, ...]] = ("instances",)
    lone_channel_is_foreground: ClassVar[bool] = True
    defaults: ClassVar[RegionOptions] = {"include_background": False}

    def __init__(
        self,
        loss: RegionLoss | None = None,
        connectivity: int = 1,
        **options: Unpack[ObjectOptions],
    ) -> None:
        super().__init__(**options)
        self.connectivity = validation.whole_number("connectivity", connectivity, low=1)
        self.loss = self._checked(loss)

    def _checked(self, loss: RegionLoss | None) -> RegionLoss:
        if loss is None:
            return DiceLoss()
        if not isinstance(loss, RegionLoss) or isinstance(loss, CombinedLoss):
            raise ValueError(
                "loss must be a loss of metriseg that is made of region statistics alone, such as"
                f" DiceLoss or TverskyLoss, got {type(loss).__name__}"
            )
        known = inspect.signature(type(loss)).parameters
        here = {*inspect.signature(type(self)).parameters, *_OF_GROUPS}
        said = [
            word
            for word, value in loss.arguments().items()
            if word in here and repr(value) != repr(known[word].default)
        ]
        if said:
            raise ValueError(
                f"loss: {type(loss).__name__} must not say {', '.join(map(repr, said))} within"
                f" {type(self).__name__}, which has words of its own for how logits are read, what"
                " counts and how values are reduced"
            )
        return loss

    @abc.abstractmethod
    def wanted(self, batch: Batch, present: Tensor) -> Tensor:
        """``(N, C)`` bool: the classes of images that have a value; ``present`` have objects."""

    @abc.abstractmethod
    def around(self, rows: _Rows, space: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, int]:
        """The parts of the background, and which objects are compared on which of them.

        Returns:
            The part that every pixel is in, ``(R, P)``, -1 for none; the row of every number that
            an object may have, -1 for those of nobody, and the part of each; and how many parts
            there are.
        """

    # objects are found on the host: torch.compile goes on around it
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        if batch.logits.is_meta:
            raise ValueError("logits must hold numbers, of which objects are found, got meta")
        images, classes, *space = batch.logits.shape
        batch = batch.of_known_instances()
        if not batch.has_labels:
            validation.hard_target(batch.target, exclusive=False, valid=batch.valid)
        rows = self._rows(batch)
        parts, row_of, part_of, number = self.around(rows, space)
        chosen = (row_of >= 0).nonzero()[:, 0]
        place = rows.place
        weight = None if batch.weight is None else batch.weight.flatten(1)[place[0]]
        s = F.object_statistics(
            batch.probabilities.flatten(2)[place],
            rows.inside,
            parts,
            (chosen, part_of[chosen]),
            (len(row_of), number),
            weight=weight,
            moments=self.loss.moments | self.loss.overlap_moments,
            complements=self._complements(batch, place),
        )
        image, label = (index[row_of[chosen]] for index in place)
        cell = (image * classes + label) if self.per_image else label
        groups = images if self.per_image else min(images, 1)
        values = self.loss.from_statistics(s)[:, 0]
        sums = values.new_zeros(groups * classes).index_add(0, cell, values)
        counts = sums.detach().new_zeros(len(sums)).index_add(0, cell, torch.ones_like(values))
        means = (sums / counts.clamp(min=1)).view(groups, classes)
        return means + nothing_of(batch.logits), (counts > 0).view(groups, classes)

    def _rows(self, batch: Batch) -> _Rows:
        factors = self.class_factors(batch)
        masks = batch.masks.flatten(2)
        valid = masks.new_ones(masks[:, 0].shape) if batch.valid is None else batch.valid.flatten(1)
        masks = masks & valid.unsqueeze(1)
        wanted = self.wanted(batch, masks.any(2))
        image, label = (wanted if factors is None else wanted & (factors > 0)).nonzero().unbind(1)
        own, number = true_objects(batch, self.connectivity)
        own = own[image, label if own.shape[1] > 1 else torch.zeros_like(label)]
        mine = masks[image, label]
        return _Rows((image, label), torch.where(mine, own, -1), valid[image] & ~mine, number)

    def _complements(self, batch: Batch, place: tuple[Tensor, Tensor]) -> Tensor | None:
        """1 - p, where the loss wants its digits."""
        if not self.loss.needs_errors:
            return None
        left = short_of_one(batch.masked_logits, None, batch.probabilities, batch.activation)
        return left.flatten(2)[place]


def _row_of(rows: _Rows) -> Tensor:
    """The row of each number of an object, -1 for numbers of nobody."""
    row = torch.arange(len(rows.inside), device=rows.inside.device).unsqueeze(1)
    place = torch.where(rows.inside < 0, rows.number, rows.inside)
    found = row.new_full((rows.number + 1,), -1)
    return found.scatter(0, place.flatten(), row.expand_as(place).flatten())[:-1]


class BlobLoss(_ObjectLoss):
    r"""Blob loss: a region loss of every true object, as if it were the only one of its class.

    .. math:: \ell = \frac1K \sum_k \ell_{region}\bigl(p,\, [u \in O_k]\bigr)
              \text{ over } \Omega \setminus \textstyle\bigcup_{j \ne k} O_j

    with the K objects :math:`O_k` of a class in an image: the pixels of its other objects are left
    out, all others count. A small object costs as much as a large one, so that none is missed. A
    class without objects in an image leaves the mean, and what is predicted there costs nothing;
    the authors add the loss to one of the whole image, which is weighted twice as much
    (:class:`~metriseg.CompoundLoss`). Values lie where those of the region loss do, 0 at a perfect
    hard prediction if it is 0 there.

    Source: Kofler et al. 2022, "blob loss: instance imbalance aware loss functions for semantic
    segmentation", arXiv:2205.08209.

    >>> import torch
    >>> loss = BlobLoss(activation="identity")
    >>> p, target = torch.tensor([[[1., 1., 0., 0.]]]), torch.tensor([[1, 1, 0, 1]])
    >>> loss(p, target)                              # one object is found, the other isn't
    tensor(0.5000)
    >>> from metriseg import CompoundLoss, DiceLoss
    >>> whole = DiceLoss(activation="identity")      # 1 - 2 2 / (2 + 3)
    >>> CompoundLoss([whole, loss], weights=[2.0, 1.0])(p, target)
    tensor(0.9000)
    """

    def wanted(self, batch: Batch, present: Tensor) -> Tensor:
        return present

    def around(self, rows: _Rows, space: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, int]:
        row_of = _row_of(rows)
        row = torch.arange(len(rows.inside), device=row_of.device).unsqueeze(1)
        return torch.where(rows.background, row, -1), row_of, row_of, len(rows.inside)


class ConnectedComponentLoss(_ObjectLoss):
    r"""Connected-component loss: a region loss in the neighbourhood of every true object.

    .. math:: \ell = \frac1K \sum_k \ell_{region}\bigl(p,\, [u \in O_k]\bigr)
              \text{ over } V_k = \{u : O_k \text{ is the nearest object}\}

    with the K objects of a class in an image, and their Voronoi regions :math:`V_k`, which share
    the image out: each object answers for what is predicted near it. With the Dice loss at hard
    predictions it is 1 - CC-Dice. A pixel as near to several objects is that of the object whose
    nearest pixel comes first in the order of pixels. Where a class has no object in an image, its
    only region is the whole image, with an empty truth: any prediction of it is wrong. Values lie
    where those of the region loss do, 0 at a perfect hard prediction if it is 0 there.

    Args:
        spacing: the size of a pixel along every axis, each > 0; None for all ones.
        classes: "all", or "present" to leave a class without objects out of the mean over the
            classes of an image.

    Source: Jaus et al. 2024, "Every component counts: rethinking the measure of success for medical
    semantic segmentation in multi-instance segmentation tasks", arXiv:2410.18684.

    >>> import torch
    >>> loss = ConnectedComponentLoss(activation="identity")
    >>> p, target = torch.tensor([[[1., 1., 1., 0., 0.]]]), torch.tensor([[1, 0, 0, 0, 1]])
    >>> loss(p, target)                              # (1 - 2 / (3 + 1) + 1) / 2
    tensor(0.7500)
    """

    def __init__(
        self,
        loss: RegionLoss | None = None,
        connectivity: int = 1,
        spacing: Sequence[float] | None = None,
        **options: Unpack[ConnectedComponentOptions],
    ) -> None:
        super().__init__(loss, connectivity, **options)  # type: ignore[misc]
        self.spacing = validation.spacing(spacing)

    def wanted(self, batch: Batch, present: Tensor) -> Tensor:
        if self.classes_among(batch.num_classes) == "present":
            return present
        if batch.valid is None:
            return torch.ones_like(present)
        return batch.valid.flatten(1).any(1, keepdim=True).expand_as(present)

    def around(self, rows: _Rows, space: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, int]:
        masks = rows.inside >= 0
        nearest = nearest_pixel(masks.view(-1, 1, *space), self.spacing).view_as(rows.inside)
        row = torch.arange(len(masks), device=masks.device)
        empty = ~masks.any(1)
        # what has no object is compared with an object of no pixel, one more for each row
        region = torch.where(
            empty.unsqueeze(1), rows.number + row.unsqueeze(1), rows.inside.gather(1, nearest)
        )
        row_of = torch.cat([_row_of(rows), torch.where(empty, row, -1)])
        own = torch.arange(len(row_of), device=masks.device)
        return torch.where(rows.background, region, -1), row_of, own, len(row_of)
