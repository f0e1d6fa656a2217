"""What the page says of Detectron2's losses beside ours is asked anew."""

import re

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")
pytest.importorskip("cv2", reason="Detectron2's PointRend imports OpenCV")

import torch

import detectron2_tables
from metriseg_detectron2.which_loss import CANDIDATES, SIGHTS, TRIALS, among_points, refusal


@pytest.mark.parametrize("case", detectron2_tables.CASES, ids=lambda case: case.case)
def test_answers_differ_where_there_is_a_reason(case):
    """And nowhere else; without a random number that a second asking would change."""
    row = detectron2_tables.row(case)
    assert row == detectron2_tables.row(case)
    assert row.endswith("| equal |") != bool(case.reason)


def test_the_page_says_what_both_sides_say():
    page = detectron2_tables.PAGE.read_text(encoding="utf-8")
    assert detectron2_tables.written(page) == page, "make tables"


def test_an_answer_that_changes_is_found():
    equal = detectron2_tables.CASES[0]
    assert not equal.reason
    for changed in (
        equal._replace(reason="none"),
        equal._replace(stock=lambda: torch.tensor(1.0)),
        equal._replace(stock=lambda: [][0]),
    ):
        with pytest.raises(ValueError, match=r"^`mask_rcnn_loss`: .*, with the reason "):
            detectron2_tables.row(changed)


def test_every_loss_is_in_the_table_of_what_suits_which_head():
    """What is measured there takes its command; whether a loss fits is asked anew."""
    page = detectron2_tables.PAGE.read_text(encoding="utf-8")
    start = page.index("| loss | mask head: start |")
    lines = page[start : page.index("\n\n", start)].splitlines()[2:]
    rows = {
        cells[0]: cells[1:] for cells in ([c.strip() for c in x[1:-1].split("|")] for x in lines)
    }
    measured = list(rows)[2:]
    names = [f"`{loss['NAME']}`" for loss in CANDIDATES]
    assert [name for name in names if name in measured] == measured
    left = page.split("Not measured yet: ")[1].partition(".\n")[0]
    assert re.findall(r"`\w+`", left) == [name for name in names if name not in measured]
    for loss in CANDIDATES:
        if f"`{loss['NAME']}`" not in measured:
            continue
        cells = rows[f"`{loss['NAME']}`"]
        for place, first in zip(TRIALS, (0, 3), strict=True):
            reason = refusal(loss, SIGHTS[place])
            assert bool(reason) == (cells[first + 1] == "")
            assert not reason or cells[first] == reason
        assert cells[-1] == among_points(loss)
