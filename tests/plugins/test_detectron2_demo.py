"""The demo on nuclei: figures before and after, a picture, and what it says without the images."""

from __future__ import annotations

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

from metriseg_detectron2 import demo

#: Small images, few boxes.
TINY = [
    *("INPUT.CROP.SIZE", "[64, 64]", "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "96"),
    *("TEST.DETECTIONS_PER_IMAGE", "10", "MODEL.RPN.POST_NMS_TOPK_TEST", "20"),
]


@pytest.mark.training
def test_the_demo_learns_nuclei(few_nuclei, capsys):
    """Two iterations on three images."""
    status = demo.main(["--data", "nuclei", "--iterations", "2", *TINY])
    lines = capsys.readouterr().out.splitlines()
    assert "data: 2 images of nuclei; masks on the given boxes" in lines
    found = {key.strip(): value.strip() for key, _, value in (li.partition(":") for li in lines)}
    before, after = (float(found[f"mean IoU {when} training"]) for when in ("before", "after"))
    assert 0 <= min(before, after) <= max(before, after) < 1
    assert status == int(after <= before)
    for when in ("before", "after"):
        assert 0 <= float(found[f"mask AP {when} training"]) <= 100
    assert found["image, truth and prediction"] == "demo/detectron2_nuclei.png"
    picture = few_nuclei / "demo" / "detectron2_nuclei.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.training
def test_the_demo_learns_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    demo.main(["--iterations", "2"])
    printed = capsys.readouterr().out
    assert "pasted on a canvas" in printed
    assert "mask AP" not in printed
    assert len(list((tmp_path / "demo").glob("*.png"))) == 1


@pytest.mark.parametrize("is_set", [False, True])
def test_without_the_images_it_says_what_it_needs(is_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("METRISEG_DATA", raising=False)
    if is_set:
        monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    assert demo.main(["--data", "nuclei"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--data nuclei: ")
    assert "METRISEG_DATA" in line


def test_iterations_are_checked(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--iterations", "0"])
    assert "--iterations must be at least 1, got 0" in capsys.readouterr().err
