"""What the page of MONAI says about Auto3DSeg's configs and about autocast."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")

from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.losses import DeepSupervisionLoss
from monai.networks.nets import SegResNetDS

import metriseg_monai as m

COMMON = {"softmax": True, "to_onehot_y": True}
#: What the loss of a template of Auto3DSeg refers to, and its own words.
SEGRESNET = {
    "sigmoid": False,
    "loss": {
        "_target_": "metriseg_monai.DiceCELoss",
        "include_background": True,
        "squared_pred": True,
        "smooth_nr": 0,
        "smooth_dr": 1e-5,
        "softmax": "$not @sigmoid",
        "sigmoid": "$@sigmoid",
        "to_onehot_y": "$not @sigmoid",
    },
}
SWINUNETR = {
    "training": {
        "softmax": True,
        "loss": {
            "_target_": "metriseg_monai.DiceFocalLoss",
            "include_background": True,
            "to_onehot_y": "$@training#softmax",
            "softmax": "$@training#softmax",
            "sigmoid": "$not @training#softmax",
            "squared_pred": True,
            "batch": True,
            "smooth_nr": 1e-5,
            "smooth_dr": 1e-5,
        },
    }
}


def data() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 16, 16, 16, generator=random)
    return image, (image > -0.5).float() + (image > 0.5).float()


@pytest.mark.parametrize(("config", "name"), [(SEGRESNET, "loss"), (SWINUNETR, "training#loss")])
def test_a_template_of_auto3dseg_keeps_its_words(config: dict[str, Any], name: str) -> None:
    """Another ``_target_`` alone: the loss trains SegResNetDS at both of its scales."""
    torch.manual_seed(0)
    loss = DeepSupervisionLoss(ConfigParser(config).get_parsed_content(name))
    network = SegResNetDS(
        init_filters=8, blocks_down=[1, 1, 1], norm="INSTANCE", out_channels=3, dsdepth=2
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    image, label = data()
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        outputs = network(image)
        assert [one.shape[-1] for one in outputs] == [16, 8]
        values.append(loss(outputs, label))
        values[-1].backward()
        optimizer.step()
    assert values[-1] < 0.98 * values[0], values


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_of_full_precision_under_autocast(dtype: torch.dtype) -> None:
    """The network's output is of half precision, the value that of the same numbers in float32."""
    torch.manual_seed(0)
    image, label = data()
    maps = torch.stack(
        [m.SignedDistanceMapd("y", 3)({"y": one})["y_signed_distance"] for one in label]
    )
    boundary = m.TargetChannels(m.BoundaryLoss(**COMMON), {"signed_distance": 3})
    network = torch.nn.Conv3d(1, 3, 3, padding=1)
    for loss, target in (
        (m.DiceCELoss(**COMMON), label),
        (boundary, torch.cat([label, maps], 1)),
    ):
        with torch.autocast("cpu", dtype=dtype):
            output = network(image)
            value = loss(output, target)
        assert output.dtype == dtype
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(output.float(), target), rtol=0, atol=0)


def test_amp_of_a_trainer() -> None:
    """On the CPU ``amp=True`` changes nothing."""
    values = []
    for amp in (False, True):
        torch.manual_seed(0)
        image, label = data()
        network = torch.nn.Conv3d(1, 3, 3, padding=1)
        trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=2,
            train_data_loader=[{"image": image, "label": label}],
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
            loss_function=m.DiceCELoss(**COMMON),
            amp=amp,
        )
        trainer.run()
        values.append(trainer.state.output[0]["loss"])
    assert values[0] == values[1]
