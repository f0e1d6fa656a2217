"""The page of what other libraries call it: complete, as written, and true of PyTorch's kin."""

from __future__ import annotations

import pytest
import torch

import peer_samples
import peers

ROWS = [
    pytest.param(row, id=f"{library}: {row.theirs}")
    for library, peer in peers.PEERS.items()
    for row in peer.rows
]
#: Libraries that need no framework -> the module that must be there.
LIBRARIES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "segmentation_models_pytorch": "segmentation_models_pytorch",
}


@pytest.mark.parametrize("row", ROWS)
def test_ours_builds(row: peers.Row) -> None:
    """Where there is none, a reason stands there; where there is a sample, ours says a number."""
    if not row.here:
        assert row.why
        return
    loss = peer_samples.ours(row)
    if row.sample:
        assert torch.isfinite(loss(*peer_samples.sample(row.sample))).all()


def test_no_row_is_there_twice() -> None:
    for peer in peers.PEERS.values():
        rows = [(row.theirs, row.sample, row.note) for row in peer.rows]
        assert len(set(rows)) == len(rows)


def test_the_page_is_what_the_command_writes() -> None:
    page = peers.PAGE.read_text(encoding="utf-8")
    assert peers.written(page) == page, "make tables"
    for peer in peers.PEERS.values():
        assert f"\n## {peer.title}\n" in page


def test_no_cell_is_empty() -> None:
    for peer in peers.PEERS.values():
        for line in peers.table(peer).splitlines():
            cells = line.strip("| ").split(" | ")
            assert len(cells) == 3, line
            assert all(cell.strip() for cell in cells), line


def test_a_row_without_loss_or_reason_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^NewLoss\(\) has neither"):
        peers.line(peers.Row("NewLoss()"))


def test_a_new_loss_or_option_is_found() -> None:
    peer = peers.PEERS["torch"]
    assert peer_samples.unexplained(peer, {"NewLoss": {"power"}}) == {"NewLoss", "NewLoss(power=)"}
    assert peer_samples.unexplained(peer, {"BCELoss": {"power"}}) == {"BCELoss(power=)"}
    assert peer_samples.unexplained(peer, {"BCELoss": {"weight", "reduction"}}) == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_loss_and_option_has_a_row(library: str) -> None:
    """And every row a loss."""
    pytest.importorskip(LIBRARIES[library], reason=f"{library} is not installed")
    found = peer_samples.offered(library)
    assert peer_samples.unexplained(peers.PEERS[library], found) == set()
    assert peer_samples.stale(peers.PEERS[library], found) == set()


@pytest.mark.parametrize(("library", "row"), peer_samples.asked(*LIBRARIES))
def test_values_are_equal_or_differ_for_a_reason(library: str, row: peers.Row) -> None:
    pytest.importorskip(LIBRARIES[library], reason=f"{library} is not installed")
    peer_samples.check(library, row)


def test_what_every_loss_has_in_common() -> None:
    pytest.importorskip("segmentation_models_pytorch", reason="it is not installed")
    peer_samples.check_shared("segmentation_models_pytorch", least=8)
