"""What a loss keeps when its input is changed: a few cases of each relation and loss.

The relations, with the losses about which they say nothing and why, are in
``tests/reference/relations.py``; ``make fuzz`` tries thousands of cases of each.
"""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metriseg.catalogue import CATALOGUE, Entry
from reference import relations
from reference.cases import NotApplicableError
from reference.relations import RELATIONS, Relation

#: Cases of each relation and loss: the same ones every time.
EXAMPLES = 3


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: r.__name__)
def test_relation(entry: Entry, relation: Relation) -> None:
    """Each relation derives in its docstring why both sides are equal."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        # a case is small as it is, and made of seeds: there is nothing to shrink
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(rng=st.randoms(use_true_random=False))
    def holds(rng: Random) -> None:
        with contextlib.suppress(NotApplicableError):
            relation(entry, rng)

    holds()


TABLES = [
    *(relations.FIRST_CLASS_IS_SPECIAL, relations.ALL_CLASSES_ALIKE, relations.NOT_TRANSPOSED),
    *(relations.NOT_FLIPPED, relations.FLIPPED_ARGUMENTS, relations.GRADIENT_CHOOSES),
    *(relations.NO_EXTRA_AXIS, relations.EXTRA_AXIS_ARGUMENTS, relations.NOT_SEPARATE),
    *(relations.NOT_SCALED, relations.SCALED_ARGUMENTS, relations.ROUNDED_CHOICES),
    relations.SCALES,
]


def test_reasons_are_of_losses_that_exist() -> None:
    """A loss that is renamed takes its exclusions along, else a relation would pass unseen."""
    assert {name for table in TABLES for name in table} <= set(CATALOGUE)


def test_no_loss_is_left_out_of_most_relations() -> None:
    """Every loss keeps at least half of the relations: a table that grows says less and less."""
    silent = dict.fromkeys(CATALOGUE, 0)
    for relation in RELATIONS:
        for entry in CATALOGUE.values():
            try:
                relation(entry, Random(0))
            except NotApplicableError as reason:
                assert str(reason)  # noqa: PT017
                silent[entry.name] += 1
            except Exception:  # test_relation tells of it
                continue
    assert max(silent.values()) <= len(RELATIONS) // 2, silent
