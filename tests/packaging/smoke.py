"""What somebody does who installed the wheel: run with ``-I``, far from any checkout.

The first argument is a folder for files, the others are frameworks that must be there.
"""

import importlib
import importlib.util
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

logits = torch.zeros(1, 3, 8, 8)
target = torch.arange(64).view(1, 8, 8) % 3


def installed(module):
    """Import a package, from where this interpreter's own packages are."""
    package = importlib.import_module(module)
    home = Path(package.__file__).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"{module} is that of {home}"
    return package


def core():
    metriseg = installed("metriseg")
    assert version("metriseg") == metriseg.__version__
    assert (Path(metriseg.__file__).parent / "py.typed").is_file()
    for name, entry in metriseg.CATALOGUE.items():
        if 2 in entry.spatial_dimensions:
            # the network of InverseFormLoss, too, comes with the wheel
            assert torch.isfinite(entry.build()(logits, target)), name


def config(name):
    path = importlib.import_module("metriseg.configuration").config_path(name)
    assert path.resolve().is_relative_to(Path(sys.prefix).resolve()), path
    return path


def mmseg():
    installed("metriseg_mmseg")
    from mmengine.config import Config
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    built = MODELS.build(
        Config.fromfile(config("mmseg/mnist_unet_power-jaccard.py")).model
    ).decode_head.loss_decode
    assert type(built).__module__.startswith("metriseg_mmseg"), built


def monai():
    installed("metriseg_monai")
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(config("monai/mnist_unet_power-jaccard") / "configs" / "train.json")
    network, loss = (parser.get_parsed_content(name) for name in ("network_def", "loss"))
    assert type(loss).__module__.startswith("metriseg_monai"), loss
    image = torch.zeros(2, 1, 28, 28)
    assert loss(network(image), image).isfinite()


def detectron2():
    installed("metriseg_detectron2")
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    from metriseg_detectron2 import add_metriseg_config

    cfg = get_cfg()
    add_metriseg_config(cfg)
    cfg.merge_from_file(str(config("detectron2/mnist_mask-rcnn_power-jaccard.yaml")))
    (built,) = build_model(cfg).roi_heads.mask_head.loss_modules
    assert type(built).__module__.startswith("metriseg_detectron2"), built


def command_line(folder):
    halves = np.repeat([[1, 1, 2, 2]], 4, axis=0)
    np.save(folder / "a.npy", halves)
    np.save(folder / "b.npy", halves.T)
    script = Path(sysconfig.get_path("scripts"), "metriseg")
    for command in ([sys.executable, "-I", "-m", "metriseg"], [script]):
        for arguments in (["--help"], ["compare", "a.npy", "b.npy"]):
            ran = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.strip(), arguments
            print(ran.stdout)


if __name__ == "__main__":
    folder, frameworks = Path(sys.argv[1]), sys.argv[2:]
    core()
    for framework in frameworks:
        {"mmseg": mmseg, "monai": monai, "detectron2": detectron2}[framework]()
    command_line(folder)
