"""One loss instance in many hands: threads, and processes that are forked or spawned."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import torch

from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import IGNORE
from reference.workers import Answer, answer, answers_elsewhere, batch

BATCHES = 8


def assert_equal(found: list[Answer], expected: list[Answer]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_four_threads_share_a_loss(entry: Entry) -> None:
    """A loss changes nothing of itself in ``forward``: at once or in turn, the same bits.

    (A gradient of its own parameters would add up; those that learn are called without.)
    """
    loss = entry.build(ignore_index=IGNORE).requires_grad_(False)
    batches = [batch(entry, seed) for seed in range(BATCHES)]
    in_turn = [answer(loss, *one) for one in batches]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(lambda one: answer(loss, *one), batches * 2))
    assert_equal(at_once, in_turn * 2)


@pytest.mark.parametrize(("start", "number"), [("fork", 2), ("spawn", 1)])
def test_workers(start: str, number: int) -> None:
    """All losses, pickled into a worker process that is forked or spawned, give the same numbers.

    The numbers come back as lists: tensors would pass by a shared file.
    """
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system can't {start}")
    losses = {name: entry.build(ignore_index=IGNORE) for name, entry in CATALOGUE.items()}
    expected = {name: answer(loss, *batch(CATALOGUE[name], 0)) for name, loss in losses.items()}
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(number, mp_context=context) as workers:
        jobs = [workers.submit(answers_elsewhere, pickle.dumps(losses)) for _ in range(number)]
        found = [job.result(timeout=300) for job in jobs]
    for answers in found:
        assert [name for name, *_ in answers] == list(CATALOGUE)
        for name, value, slope, same_again in answers:
            assert same_again, name
            # in one thread, sums may be taken in another order
            torch.testing.assert_close(torch.tensor(value).double(), expected[name][0].double())
            torch.testing.assert_close(
                torch.tensor(slope, dtype=torch.float64), expected[name][1].flatten()
            )
