"""The shipped configs train: under Detectron2's untouched scripts, under ours, and in the demo."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch

from metriseg.configuration import config_path

YAML = config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")
CHECKOUT = Path.home() / ".cache/metriseg/detectron2"

pytestmark = pytest.mark.training


def script(name):
    path = CHECKOUT / "tools" / name
    if not path.is_file():
        pytest.skip(f"Detectron2's {name} is not in its wheel: put a checkout in {CHECKOUT}")
    return path


def run(folder, *command, **environment):
    """Run in a folder of its own; what was logged of the last iterations."""
    finished = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-4000:]
    return finished.stdout


def logged(folder):
    """All scalars that a training wrote."""
    (metrics,) = Path(folder).glob("**/metrics.json")
    found = {}
    for line in metrics.read_text().splitlines():
        found.update(json.loads(line))
    return found


SHORT = ["SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2, "TEST.EVAL_PERIOD", 0]


def test_our_script_trains_and_one_line_changes_the_loss(tmp_path):
    """Dice and focal instead of power Jaccard, from the command line: a key each in the log."""
    losses = "[{'NAME': 'DiceLoss'}, {'NAME': 'FocalLoss', 'LOSS_WEIGHT': 2.0}]"
    quick = ["INPUT.MIN_SIZE_TEST", 64, "TEST.DETECTIONS_PER_IMAGE", 5]
    overrides = [*SHORT, *quick, "MODEL.ROI_MASK_HEAD.LOSSES", losses]
    module = ["-m", "metriseg_detectron2.train_net", "--config-file", YAML]
    run(tmp_path, *module, *overrides)
    scalars = logged(tmp_path)
    assert 0 < scalars["loss_mask_dice"] < 1
    assert "loss_mask" not in scalars
    assert 0 <= scalars["mask/mIoU"] <= 1
    assert "mask_rcnn/accuracy" in scalars


@pytest.mark.slow
def test_what_a_loss_learns_is_trained_and_saved(tmp_path):
    """The degrees of freedom of the Robust T loss start at e^1, and the solver moves them."""
    overrides = [*SHORT, "MODEL.ROI_MASK_HEAD.LOSSES", "[{'NAME': 'RobustTLoss'}]"]
    run(tmp_path, "-m", "metriseg_detectron2.train_net", "--config-file", YAML, *overrides)
    (path,) = tmp_path.glob("**/model_final.pth")
    weights = torch.load(path, weights_only=False)["model"]
    (learnt,) = (value for key, value in weights.items() if ".loss_modules." in key)
    assert learnt.isfinite()
    assert learnt != 1.0


@pytest.mark.slow
def test_losses_beside_those_of_pixels_train(tmp_path):
    """Of objects, one with a loss of its own within, and of topology; each has its key."""
    losses = (
        "[{'NAME': 'BlobLoss', 'LOSS': {'NAME': 'TverskyLoss', 'FN_WEIGHT': 0.9}},"
        " {'NAME': 'ConnectedComponentLoss'}, {'NAME': 'TopologicalLoss', 'LOSS_WEIGHT': 0.01},"
        " {'NAME': 'TopologyAwareFocalLoss'}]"
    )
    overrides = [*SHORT, "MODEL.ROI_MASK_HEAD.LOSSES", losses]
    run(tmp_path, "-m", "metriseg_detectron2.train_net", "--config-file", YAML, *overrides)
    scalars = logged(tmp_path)
    for name in ("blob", "connected_component", "topological", "topology_aware_focal"):
        assert scalars[f"loss_mask_{name}"] > 0


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("train_net.py", []),
        # this one writes no log before its eighth iteration
        pytest.param(
            "plain_train_net.py",
            ["SOLVER.MAX_ITER", 8, "DATASETS.TEST", "()"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_detectron2s_script_trains_our_yaml(name, overrides, tmp_path):
    """Its environment module is all that it is told; the evaluation is Detectron2's own."""
    variable = {"DETECTRON2_ENV_MODULE": "metriseg_detectron2.env"}
    run(tmp_path, script(name), "--config-file", YAML, *SHORT, *overrides, **variable)
    scalars = logged(tmp_path)
    assert 0 < scalars["loss_mask"] < 1
    assert scalars["total_loss"] > scalars["loss_mask"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist_mask-rcnn_power-jaccard", "nuclei_mask-rcnn_dice"])
def test_detectron2s_lazy_script_trains_our_config(name, tmp_path, request):
    """And what it dumps of the config, at its end, builds the same model with the same weights."""
    if name.startswith("nuclei"):
        request.getfixturevalue("few_nuclei")
    lazy, config = script("lazyconfig_train_net.py"), config_path(f"detectron2/{name}.py")
    short = ["train.max_iter=2", "train.eval_period=2", "dataloader.train.total_batch_size=2"]
    run(tmp_path, lazy, "--config-file", config, *short)
    assert 0 < logged(tmp_path)["total_loss"] < math.inf
    (output,) = tmp_path.glob("work_dirs/*/config.yaml")
    weights = f"train.init_checkpoint={output.with_name('model_final.pth')}"
    printed = run(tmp_path, lazy, "--config-file", output, "--eval-only", weights)
    assert "mIoU" in printed


def test_without_detectron2_the_demo_says_how_to_get_it(tmp_path):
    """A finder that hides Detectron2 stands in for a machine without it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find_spec = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'detectron2' else find_spec(name, *a)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-m", "metriseg_detectron2.demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "pip install --no-build-isolation" in finished.stderr
    assert "Traceback" not in finished.stderr
