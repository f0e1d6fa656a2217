"""The page of what others call it is complete and true of the three frameworks."""

import pytest

import peer_samples
import peers

LIBRARIES = ("monai", "mmseg", "detectron2")


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_loss_and_option_has_a_row(library):
    """And every row a loss."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    found = peer_samples.offered(library)
    assert peer_samples.unexplained(peers.PEERS[library], found) == set()
    assert peer_samples.stale(peers.PEERS[library], found) == set()


@pytest.mark.parametrize(("library", "row"), peer_samples.asked(*LIBRARIES))
def test_values_are_equal_or_differ_for_a_reason(library, row):
    pytest.importorskip(library, reason=f"{library} is not installed")
    peer_samples.check(library, row)


def test_what_every_loss_of_monai_has_in_common():
    pytest.importorskip("monai", reason="monai is not installed")
    peer_samples.check_shared("monai", least=50)
