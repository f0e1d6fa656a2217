"""Weighted sums of losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import SegmentationLoss
from metriseg.losses.schedules import schedule
from metriseg.options import Overlap, Reduction
from metriseg.reduction import connected, nothing_of, total_of
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = ["CompoundLoss"]


class CompoundLoss(SegmentationLoss):
    r"""A weighted sum of losses over one prediction.

    .. math:: \ell = \sum_k w_k\, \ell_k

    The region statistics that the terms need are united and computed in one pass. Each term has its
    own activation (softmax Dice beside a sigmoid focal loss, say) and reduces by its own rule;
    about ``ignore_index`` the terms must agree.
    A term of weight zero is not computed. At a perfect prediction the value is the weighted sum of
    the terms' values there.

    Args:
        terms: losses, one or more; they may be compound themselves.
        weights: for each term a number >= 0, a schedule (:mod:`metriseg.losses.schedules`), or a
            mapping such as ``{"schedule": "linear", "start": 1.0, "end": 0.1, "steps": 90}``; None
            for all ones. Schedules are read at :attr:`step`, which the training loop sets.

    Raises:
        ValueError: for terms that are no losses, disagree about the ignored label or whether they
            take probabilities or raw scores, or reduce to different shapes; for weights that don't
            fit the terms.

    Source: Azad et al. 2023, "Loss functions in the era of semantic segmentation",
    arXiv:2312.05391, section on compound losses.

    >>> import torch
    >>> from metriseg import CrossEntropyLoss, DiceLoss
    >>> loss = CompoundLoss([DiceLoss(), CrossEntropyLoss()], weights=[1.0, 0.5])
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))   # 1/2 + (ln 2)/2
    tensor(0.8466)
    """

    def __init__(self, terms: Sequence[SegmentationLoss], weights: Any = None) -> None:
        terms = self._checked_terms(terms)
        first = terms[0]
        super().__init__()
        self.activation, self.ignore_index = first.activation, first.ignore_index
        self.label_sets = first.label_sets
        self.terms = nn.ModuleList(terms)
        if not (weights is None or _is_list(weights)):
            raise ValueError(f"weights must be a list, one for each term, or None, got {weights!r}")
        self.weights = [1.0] * len(terms) if weights is None else list(weights)
        if len(self.weights) != len(terms):
            raise ValueError(
                f"weights must have a number for each of the {len(terms)} terms,"
                f" got {len(self.weights)}"
            )
        self._schedules = [schedule(weight) for weight in self.weights]
        #: Where the training stands, for weights that are schedules.
        self.step = 0

    @staticmethod
    def _checked_terms(terms: Sequence[SegmentationLoss]) -> list[SegmentationLoss]:
        if not _is_list(terms):
            raise ValueError(f"terms must be a list of losses, got {terms!r}")
        terms = list(terms)
        if not terms:
            raise ValueError("terms must have at least one loss")
        for term in terms:
            if not isinstance(term, SegmentationLoss):
                raise ValueError(
                    f"terms must be losses of metriseg, got {type(term).__name__}: {term!r}"
                )
        ignored = [term.ignore_index for term in terms]
        if any(label != ignored[0] for label in ignored):
            raise ValueError(f"terms must agree about ignore_index, got {ignored}")
        sets = [term.label_sets for term in terms]
        if any(one != sets[0] for one in sets):
            raise ValueError(
                "terms must agree about label_sets, and a loss without that word can't stand beside"
                f" one with them, got {sets}"
            )
        given = {term.name: term.activation for term in terms}
        if len({activation == "identity" for activation in given.values()}) > 1:
            raise ValueError(
                "terms must agree whether they take probabilities (activation='identity') or raw"
                f" scores, got {given}"
            )
        return terms

    def possible_activations(self) -> tuple[Activation, ...]:
        """Those of any term: each has its own."""
        of_terms = [term.possible_activations() for term in self._terms()]
        return tuple(dict.fromkeys(word for words in of_terms for word in words))

    def activation_of(self, term: SegmentationLoss, given: Activation) -> Activation:
        """What makes a term's probabilities: its own activation, unless the caller decides.

        Where a framework leaves the term's open, what is given, or all that the term can have.

        Raises:
            ValueError: for an activation under which the term has no meaning.
        """
        own: Activation | None = term.activation
        if own is None:
            return term.fitting_activation(given)
        if self.activation is None or given == self.activation:
            return own
        possible = term.possible_activations()
        if given not in possible:
            words = " or ".join(map(repr, possible))
            raise ValueError(
                f"activation must be {words} for the term {term.name!r}, got {given!r}"
            )
        return given

    @property
    def moments(self) -> frozenset[float]:
        return _union(self._terms())[0]

    @property
    def overlap_moments(self) -> frozenset[float]:
        return _union(self._terms())[1]

    def wants_label_logs(self, batch: Batch) -> bool:
        return any(
            term.wants_label_logs(batch)
            for term in self._terms()
            if self.activation_of(term, batch.activation) == batch.activation
        )

    @property
    def needs_errors(self) -> bool:  # type: ignore[override]
        return any(term.needs_errors for term in self._terms())

    @property
    def term_names(self) -> list[str]:
        """The terms' names; one that recurs is numbered."""
        names: list[str] = []
        for term in self._terms():
            seen = sum(name == term.name or name.startswith(f"{term.name}_") for name in names)
            names.append(f"{term.name}_{seen + 1}" if term.name in names else term.name)
        return names

    def current_step(self) -> int:
        """The step at which schedules are read."""
        return self.step

    def term_values(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> dict[str, Tensor]:
        """The weighted value of every term, by name; those of weight zero are zero."""
        step = self.current_step()
        weights = [
            validation.number(f"weights: what {name}'s gives at step {step}", weight(step), low=0.0)
            for name, weight in zip(self.term_names, self._schedules, strict=True)
        ]
        active = [term for term, weight in zip(self._terms(), weights, strict=True) if weight]
        alike: dict[tuple[Activation, Overlap], list[SegmentationLoss]] = {}
        for term in active:
            activation = self.activation_of(term, batch.activation)
            alike.setdefault((activation, term.overlap), []).append(term)
        batches = {activation: batch.under(activation) for activation, _ in alike}
        known = {} if statistics is None else {(batch.activation, self.overlap): statistics}
        for (activation, overlap), terms in alike.items():
            moments, overlaps = _union(terms)
            if moments and (activation, overlap) not in known:
                known[activation, overlap] = region_statistics(
                    batches[activation],
                    moments,
                    overlap_moments=overlaps,
                    label_logs=any(
                        term.wants_label_logs(batches[activation])
                        for term in active
                        if self.activation_of(term, batch.activation) == activation
                    ),
                    errors=any(term.needs_errors for term in terms),
                    overlap=overlap,
                )
        values = {}
        for name, term, weight in zip(self.term_names, self._terms(), weights, strict=True):
            if weight:
                activation = self.activation_of(term, batch.activation)
                values[name] = weight * term.value(
                    batches[activation],
                    reduction=reduction,
                    statistics=known.get((activation, term.overlap)),
                )
            else:
                nothing = batch.logits.new_zeros(()) if active else nothing_of(batch.logits)
                values[name] = connected(nothing, term)
        return values

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        values = self.term_values(batch, reduction=reduction, statistics=statistics)
        self.report(values)
        return self.added(values, batch)

    def added(self, values: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The sum of the terms' weighted values."""
        shapes = {name: tuple(v.shape) for name, v in values.items() if v.ndim}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"reduction: the terms can't be added, their shapes are {shapes}")
        return total_of(values.values(), batch.logits)

    def report(self, values: Mapping[str, Tensor]) -> None:
        """Called with the terms' weighted values; a framework's class writes them to its log."""

    def evaluate(self, batch: Batch) -> Tensor:
        return self.value(batch, reduction="none")

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return self.value(batch, reduction=reduction, statistics=statistics)

    def _terms(self) -> list[SegmentationLoss]:
        return list(self.terms)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return f"weights={self.weights!r}"


def _is_list(value: object) -> bool:
    try:
        iter(value)  # type: ignore[call-overload]
    except TypeError:
        return False
    return not isinstance(value, (str, bytes, Mapping))


def _union(terms: Sequence[SegmentationLoss]) -> tuple[frozenset[float], frozenset[float]]:
    """The moments of all terms, and those of their overlaps."""
    moments = frozenset({q for term in terms for q in term.moments})
    return moments, frozenset({q for term in terms for q in term.overlap_moments})
