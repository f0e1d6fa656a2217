"""Statistics summed over the ranks of torch.distributed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import metriseg
from reference.ranks import run_two_ranks

PROGRAM = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import metriseg

rank, store, empty_rank = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "empty"
torch.manual_seed(0)
images = torch.randn(4, 2, 6, 5, dtype=torch.float64)
target = torch.randint(3, (4, 6, 5))
if empty_rank:
    target[2:] = 255
network = torch.nn.Conv2d(2, 3, 1).double()
whole = torch.nn.Conv2d(2, 3, 1).double()
whole.load_state_dict(network.state_dict())

def make(sync):
    return metriseg.CompoundLoss([
        metriseg.DiceLoss(per_image=False, ignore_index=255, sync=sync),
        metriseg.PowerJaccardLoss(ignore_index=255, sync=sync),
    ], [1.0, 0.5])

expected = make(False)(whole(images), target)
expected.backward()

dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mine = slice(0, 2) if rank == 0 else slice(2, 4)
model = DistributedDataParallel(network)
value = make(True)(model(images[mine]), target[mine])
value.backward()
torch.testing.assert_close(value, expected)
for parameter, other in zip(network.parameters(), whole.parameters(), strict=True):
    torch.testing.assert_close(parameter.grad, other.grad)
dist.destroy_process_group()
"""


@pytest.mark.parametrize("second_rank", ["full", "empty"])
def test_two_ranks_equal_one_process(tmp_path: Path, second_rank: str) -> None:
    """Value and DDP gradient of two half batches are those of the whole batch in one process.

    Also when every pixel of the second rank is ignored: it must still enter the collective.
    """
    store = tmp_path / "store"
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(store), second_rank],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)


ALONE = """
import inspect
from torch.nn.parallel import DistributedDataParallel
import metriseg
from metriseg.catalogue import CATALOGUE

torch.manual_seed(0)
images = torch.randn(4, 2, 6, 5, dtype=torch.float64)
target = torch.randint(3, (4, 6, 5))
hidden = target.clone()
hidden[2:] = 255
mine = slice(0, 2) if rank == 0 else slice(2, 4)

def synchronised(loss, **more):
    return loss(per_image=False, ignore_index=255, **more)

def compound(sync):
    return metriseg.CompoundLoss(
        [
            synchronised(metriseg.DiceLoss, sync=sync),
            metriseg.PartitionLoss(ignore_index=255),
            metriseg.CrossEntropyLoss(ignore_index=255),
        ],
        [1.0, 2.0, 0.5],
    )

made = {
    entry.name: (synchronised(entry.loss), synchronised(entry.loss, sync=True))
    for entry in CATALOGUE.values()
    if "sync" in inspect.signature(entry.loss).parameters
}
assert len(made) >= 15, list(made)
partition = metriseg.PartitionLoss(ignore_index=255)
made |= {"PartitionLoss": (partition, partition), "CompoundLoss": (compound(False), compound(True))}

def network():
    torch.manual_seed(1)
    return torch.nn.Conv2d(2, 3, 1).double()

def answer(model, loss, images, target):
    model.zero_grad()
    value = loss(model(images), target)
    value.backward()
    return value.detach(), [parameter.grad.clone() for parameter in model.parameters()]

whole = {name: answer(network(), one, images, target) for name, (one, _) in made.items()}
rest = answer(network(), partition, images[:2], hidden[:2])
"""
TOGETHER = """
model = DistributedDataParallel(network())
for name, (_, split) in made.items():
    value, slopes = answer(model, split, images[mine], target[mine])
    dist.all_reduce(value)
    torch.testing.assert_close(value / 2, whole[name][0], msg=lambda text: f"{name}: {text}")
    for ours, theirs in zip(slopes, whole[name][1], strict=True):
        torch.testing.assert_close(ours, theirs, msg=lambda text: f"{name}: {text}")

value, slopes = answer(model, partition, images[mine], hidden[mine])
assert (value.item() == 0.0) == (rank == 1)
for ours, theirs in zip(slopes, rest[1], strict=True):
    torch.testing.assert_close(ours, theirs / 2)
"""


def test_every_loss_on_two_ranks(tmp_path: Path) -> None:
    """The mean over two ranks, of half the images each, is the value of all images in one process.

    Losses with ``sync=True`` have the statistics of the whole batch on either rank. What is a mean
    over pixels or images, as :class:`~metriseg.PartitionLoss`, each rank has of its own, and the
    mean of two means of as many is that of all; so are the gradients, of which DDP takes the mean.
    A rank without a pixel that counts has 0 and a gradient of 0, and half of the other's is left.
    """
    run_two_ranks(ALONE, TOGETHER, tmp_path)


def test_without_a_process_group_sync_changes_nothing() -> None:
    logits, target = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    alone = metriseg.DiceLoss(per_image=False)
    assert torch.equal(
        metriseg.DiceLoss(per_image=False, sync=True)(logits, target), alone(logits, target)
    )
