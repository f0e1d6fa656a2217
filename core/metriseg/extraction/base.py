"""What every way from a prediction to a partition offers."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from torch import Tensor

from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.functional.partition import (
    Form,
    SparseAssignment,
    Weighting,
    soft_partition_distance,
    weighted_soft_partition_distance,
)

__all__ = ["AssignedSegments", "Segments"]


class Segments(abc.ABC):
    """A way from a network's output to a partition, and to its distance from the true one.

    A subclass says in :meth:`distance` how far the predicted partition is from the true one, with
    a gradient, and in :meth:`label_map` which partition that is, without one.
    """

    #: The activations of the logits under which it has a meaning.
    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "sigmoid", "identity")

    #: The form of the distance with which it learns best.
    form: ClassVar[Form] = "frobenius"

    def __new__(cls, *args: Any, **kwargs: Any) -> Segments:
        validation.refuse_unknown(cls, kwargs)
        return super().__new__(cls)

    @abc.abstractmethod
    def distance(
        self,
        batch: Batch,
        truth: Tensor,
        density: Tensor | None,
        form: Form = "frobenius",
        weighting: Weighting | None = None,
    ) -> Tensor:
        """``(B,)``: distances in [0, 1] of an image's predicted partition from the true one.

        Args:
            batch: the prediction; what ``target`` it has doesn't matter here.
            truth: ``(B, *S)`` int64, the true segment of each pixel, numbered from 0 an image.
            density: ``(B, *S)`` measure of each pixel, >= 0; None counts them.
            form: "frobenius" or "paper", see
                :func:`~metriseg.functional.soft_partition_distance`.
            weighting: None, "union" or "sum", see
                :func:`~metriseg.functional.weighted_soft_partition_distance`.
        """

    @abc.abstractmethod
    def label_map(self, batch: Batch) -> Tensor:
        """``(B, *S)`` int64: the predicted segments, numbered from 0 an image."""

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({settings})"


def check_finite(batch: Batch, *, features: bool = True) -> None:
    """Raise, where values are checked, for a prediction in which no segments can be seen.

    Args:
        batch: the prediction.
        features: whether they are looked at, where there are some.
    """
    values = batch.embedding if features else batch.masked_logits
    name = "features" if features and batch.features is not None else "logits"
    if validation.values_are_checked(values) and not bool(torch.isfinite(values).all()):
        raise ValueError(
            f"{name} must be finite where segments are looked for, got NaN or infinity"
        )


class AssignedSegments(Segments):
    """Segments that a soft assignment describes: a subclass makes it in :meth:`assign`."""

    @abc.abstractmethod
    def assign(self, batch: Batch) -> Tensor | SparseAssignment:
        """``(B, N, m)`` shares, or a sparse assignment, of the image's N pixels in a row."""

    def distance(
        self,
        batch: Batch,
        truth: Tensor,
        density: Tensor | None,
        form: Form = "frobenius",
        weighting: Weighting | None = None,
    ) -> Tensor:
        if weighting is not None and form != "paper" and self.form == "paper":
            # the shares of a straight-through assignment are no soft segments of their own
            raise ValueError(
                f"form must be 'paper' with {type(self).__name__} and a weighting, got {form!r}"
            )
        p, labels = self.assign(batch), truth.flatten(1)
        measure = None if density is None else density.flatten(1)
        if weighting is None:
            return soft_partition_distance(p, labels, density=measure, form=form)
        return weighted_soft_partition_distance(
            p, labels, weighting=weighting, density=measure, form=form
        )

    def label_map(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            check_finite(batch, features=False)
            p = self.assign(batch)
            labels: Tensor
            if isinstance(p, SparseAssignment):
                best = p.value.argmax(-1, keepdim=True)
                labels = p.candidates.gather(-1, best).squeeze(-1) if p.own is None else p.own
            else:
                labels = p.argmax(-1)
        return labels.view(len(labels), *batch.logits.shape[2:])
