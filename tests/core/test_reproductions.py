"""What the pages say was measured is what the results say."""

from __future__ import annotations

import pytest
import reproductions

from tests.core.test_which_loss import results_of

RESULTS = reproductions.results()


@pytest.mark.parametrize("page", reproductions.PAGES, ids=lambda page: page.name)
def test_pages_are_as_the_command_writes_them(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert reproductions.written(text, RESULTS) == text, "make reproductions"


def test_every_result_is_on_a_page() -> None:
    shown = {
        name
        for page in reproductions.PAGES
        for name, _ in reproductions.places(page.read_text(encoding="utf-8"))
    }
    assert shown == set(RESULTS)


def test_a_table_replaces_what_stands_there() -> None:
    found = {"streets": results_of({"ce": [0.25, 0.75], "dice": [0.5]})}
    text = "Before.\n\n<!-- streets: losses -->\nold\n\n<!-- end -->\nAfter.\n"
    once = reproductions.written(text, found)
    assert "old" not in once
    assert "| ce | default | 0.50 ± 0.35 | 1 |" in once
    assert once.startswith("Before.\n\n<!-- streets: losses -->\n\n|")
    assert once.endswith("|\n\n<!-- end -->\nAfter.\n")
    assert reproductions.written(once, found) == once


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("streams: losses", "streams has no results in reproductions: there are streets"),
        ("streets: looses", "streets has no table 'looses': there are losses, differences"),
    ],
)
def test_unknown_places_are_refused(place: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reproductions.written(
            f"<!-- {place} -->\n<!-- end -->\n", {"streets": results_of({"ce": [0.5]})}
        )
