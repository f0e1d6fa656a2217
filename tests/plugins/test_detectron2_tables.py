"""What the page says of Detectron2's losses beside ours is asked anew."""

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")
pytest.importorskip("cv2", reason="Detectron2's PointRend imports OpenCV")

import torch

import detectron2_tables


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
