"""Drawn shapes in MONAI: a config builds the data, and a trainer runs on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")

from monai.bundle import ConfigParser

from metriseg.data.shapes import ShapesDataset
from metriseg_monai.datasets import Shapes

SETTINGS = {"size": [32, 40], "seed": 3}
DATA = {"_target_": "metriseg_monai.datasets.Shapes", "length": 6, "settings": SETTINGS}


def test_items_are_the_shapes() -> None:
    items = Shapes(6, SETTINGS)
    assert len(items) == 6
    for item, drawn in zip(items, ShapesDataset(6, **SETTINGS), strict=True):
        assert torch.equal(item["image"], drawn.image)
        assert torch.equal(item["label"], drawn.classes[None])
        assert torch.equal(item["instances"], drawn.instances[None])


@pytest.mark.parametrize("kind", ["Dataset", "CacheDataset"])
def test_a_config_builds_it(kind: str) -> None:
    """With a transform that flips all three alike."""
    flip = {"_target_": "Flipd", "keys": ["image", "label", "instances"], "spatial_axis": 1}
    data: dict[str, Any] = {"_target_": kind, "data": DATA, "transform": flip}
    dataset = ConfigParser({"data": data}).get_parsed_content("data")
    assert len(dataset) == 6
    for item, drawn in zip(dataset, ShapesDataset(6, **SETTINGS), strict=True):
        for key, expected in zip(("image", "label", "instances"), drawn, strict=True):
            assert torch.equal(torch.as_tensor(item[key]).squeeze(0), expected.flip(-1))


def test_a_trainer_of_monai_runs_on_it() -> None:
    """One epoch of three batches, with a loss of ours; objects come along in every batch."""
    config = {
        "network": {
            "_target_": "UNet",
            "spatial_dims": 2,
            "in_channels": 3,
            "out_channels": 6,
            "channels": [4, 8],
            "strides": [2],
        },
        "trainer": {
            "_target_": "SupervisedTrainer",
            "device": "cpu",
            "max_epochs": 1,
            "train_data_loader": {
                "_target_": "DataLoader",
                "dataset": {"_target_": "Dataset", "data": DATA},
                "batch_size": 2,
            },
            "network": "@network",
            "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()"},
            "loss_function": {
                "_target_": "metriseg_monai.DiceLoss",
                "softmax": True,
                "to_onehot_y": True,
            },
        },
    }
    trainer = ConfigParser(config).get_parsed_content("trainer")
    trainer.run()
    assert trainer.state.iteration == 3
    assert 0 < trainer.state.output[0]["loss"] < 1
    assert [item["instances"].shape for item in trainer.state.batch] == [(1, 32, 40)] * 2


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has no argument 'gap'.*least_gap"):
        Shapes(3, {"gap": 2})
    with pytest.raises(ValueError, match="touching must be a finite number"):
        Shapes(3, {"touching": 2})
