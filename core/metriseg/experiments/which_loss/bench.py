"""What a comparison of losses needs of a framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Candidate(NamedTuple):
    """A loss, and what of it is tried.

    Attributes:
        key: its name in the results and on the command line.
        words: its name in the tables.
        settings: by what the tables call them, the loss as the framework's config has it. The
            first is what a run without a search takes.
    """

    key: str
    words: str
    settings: Mapping[str, Any]


class Plan(NamedTuple):
    """How much is trained.

    Attributes:
        steps: of each training, in the units of the framework's trainer.
        seeds: trainings of each loss.
        losses: keys of the candidates; None for all.
        search: whether every setting of a loss is tried, with the first seed, and the best goes on.
    """

    steps: int
    seeds: int
    losses: Sequence[str] | None
    search: bool


class Score(NamedTuple):
    """What a trained network scores on some images.

    Attributes:
        values: by the names of :attr:`Bench.columns`.
        classes: the first of the columns, a class each; empty where there is one class only.
        images: the first of the columns, an image each (a volume each), or what comes nearest.
    """

    values: Mapping[str, float]
    classes: Mapping[str, float]
    images: Sequence[float]


class Shown(NamedTuple):
    """An image, its truth and a prediction: ``(H, W)`` or ``(H, W, 3)`` uint8, two label maps."""

    image: NDArray[np.uint8]
    truth: NDArray[np.integer[Any]]
    prediction: NDArray[np.integer[Any]]


class Bench(Protocol):
    """A framework's trainer on one set of real images.

    Attributes:
        name: of the experiment, as ``reproduce`` has it.
        title: what is trained on what, a line.
        columns: the scores, and their digits behind the point; greater is better in the first.
        candidates: the losses; the first is what others are compared with.
        short, full: how much is trained in a quarter of an hour, and for the record.
        palette: colours of the labels in a picture, ``(K, 3)`` in 0 … 255.
        settings: all else that the results depend on, in JSON's types.
    """

    name: str
    title: str
    columns: Mapping[str, int]
    candidates: Sequence[Candidate]
    short: Plan
    full: Plan
    palette: Sequence[Sequence[int]]
    settings: Mapping[str, Any]

    def prepare(self, *, seed: int, folder: Path) -> None:
        """Make what the trainings with a seed share, before their time is taken.

        It is called before each of them, so that it finds what is there already.

        Args:
            seed: of the trainings.
            folder: for it; the networks are left in ``<loss>/<setting>/<seed>`` below.

        Raises:
            FloatingPointError: where a training diverges.
        """

    def train(self, loss: Any, *, seed: int, steps: int, folder: Path) -> None:
        """Train a network with a loss, and leave it in a folder.

        Raises:
            FloatingPointError: where the training diverges.
        """

    def score(self, folder: Path, data: Path | None) -> Score:
        """Of the network in a folder, on val or on a folder laid out like it."""

    def show(self, folder: Path, data: Path | None, images: Sequence[int]) -> list[Shown]:
        """Some of those images, by their numbers."""
