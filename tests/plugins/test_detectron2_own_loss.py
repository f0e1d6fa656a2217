"""The page's loss of one's own trains, by its name in YAML."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

from metriseg.configuration import config_path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/detectron2.md"
YAML = config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")
SCRIPT = Path.home() / ".cache/metriseg/detectron2/tools/train_net.py"


def snippet():
    """The module that the page shows."""
    blocks = re.findall(r"```py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if "@register_loss" in block)
    return block


def test_a_loss_takes_few_lines():
    assert len(snippet().splitlines()) <= 16


def test_a_region_without_foreground_leaves_a_gradient(tmp_path):
    """A square root at 0 would end the training at the first empty mask."""
    (tmp_path / "my_losses.py").write_text(
        f"{snippet()}\n"
        "import torch\n"
        "logits = torch.zeros(2, 1, 4, 4, requires_grad=True)\n"
        "target = torch.zeros(2, 1, 4, 4)\n"
        "target[1, :, :2] = 1\n"
        "Ochiai(activation='sigmoid')(logits, target).backward()\n"
        "assert logits.grad.isfinite().all() and logits.grad.any()\n",
        encoding="utf-8",
    )
    finished = subprocess.run(
        [sys.executable, "my_losses.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]


@pytest.mark.training
@pytest.mark.parametrize(
    "script",
    [pytest.param(["-m", "metriseg_detectron2.train_net"], marks=pytest.mark.slow), [SCRIPT]],
)
def test_a_loss_of_ones_own_trains(script, tmp_path):
    """Under our script and under Detectron2's untouched one, with the module as environment."""
    if not (script[0] == "-m" or script[0].is_file()):
        pytest.skip(f"Detectron2's {SCRIPT.name} is not in its wheel: put a checkout in {SCRIPT}")
    (tmp_path / "my_losses.py").write_text(snippet(), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    short = ["SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2, "TEST.EVAL_PERIOD", 0]
    losses = "[{'NAME': 'Ochiai', 'SMOOTH': '1e-1', 'LOSS_WEIGHT': 2.0}]"
    command = [*script, "--config-file", YAML, *short, "MODEL.ROI_MASK_HEAD.LOSSES", losses]
    finished = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "DETECTRON2_ENV_MODULE": "my_losses"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-4000:]
    (metrics,) = tmp_path.glob("**/metrics.json")
    lines = map(json.loads, metrics.read_text().splitlines())
    # 2 (1 - index), the index between 0 and 1
    (value,) = {line["loss_mask"] for line in lines if "loss_mask" in line}
    assert 0 < value < 2
