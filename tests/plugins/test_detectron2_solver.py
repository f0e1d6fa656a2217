"""The optimizer of a config is Detectron2's, but what a loss learns doesn't decay."""

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2 import solver as stock
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, get_cfg, instantiate
from omegaconf import OmegaConf
from torch import nn

import metriseg_detectron2 as plugin
from metriseg_detectron2.convention import Seen
from metriseg_detectron2.loss_modules import LossModules
from metriseg_detectron2.solver import build_lr_scheduler

#: Settings of SOLVER that reach the optimizer.
SETTINGS = {
    "defaults": {},
    "decay": {"WEIGHT_DECAY": 0.1, "WEIGHT_DECAY_NORM": 0.2},
    "of biases": {"WEIGHT_DECAY": 0.1, "WEIGHT_DECAY_BIAS": 0.3, "BIAS_LR_FACTOR": 2.0},
    "no decay": {"WEIGHT_DECAY": 0.0},
    "momentum": {"BASE_LR": 0.5, "MOMENTUM": 0.5, "NESTEROV": True},
}
CLIPS = {
    "none": {},
    "norm": {"ENABLED": True, "CLIP_TYPE": "norm", "CLIP_VALUE": 0.01},
    "value": {"ENABLED": True, "CLIP_TYPE": "value", "CLIP_VALUE": 0.001},
}


class Network(nn.Module):
    """A convolution, a norm, and losses as a head has them."""

    def __init__(self, *losses):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        self.loss_modules = LossModules(losses, Seen.of_classes("loss_sem_seg", 3))

    def step(self, optimizer):
        """One step of the optimizer; the parameters after it, by name."""
        generator = torch.Generator().manual_seed(0)
        logits = self.layers(torch.randn(2, 2, 8, 8, generator=generator))
        target = torch.randint(3, (2, 6, 6), generator=generator)
        values = self.loss_modules(logits, target) if len(self.loss_modules) else {}
        (sum(values.values()) + logits.square().mean()).backward()
        optimizer.step()
        return {name: value.detach().clone() for name, value in self.named_parameters()}


def config(settings, clip):
    cfg = get_cfg()
    for key, value in settings.items():
        cfg.SOLVER[key] = value
    for key, value in clip.items():
        cfg.SOLVER.CLIP_GRADIENTS[key] = value
    return cfg


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_all_else_is_detectron2s(settings, clip):
    """Group for group where no loss learns; and a step moves all but the loss alike where one does.

    A learnt parameter p of gradient g, clipped or not, moves by -lr g, without lr decay p.
    """
    cfg = config(SETTINGS[settings], CLIPS[clip])
    ours, theirs = (
        build(cfg, Network(plugin.DiceLoss()))
        for build in (plugin.build_optimizer, stock.build_optimizer)
    )
    assert type(ours).__name__ == type(theirs).__name__
    assert len(ours.param_groups) == len(theirs.param_groups)
    for one, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert [p.tolist() for p in one["params"]] == [p.tolist() for p in other["params"]]
        assert {k: v for k, v in one.items() if k != "params"} == {
            k: v for k, v in other.items() if k != "params"
        }

    nets = [Network(plugin.RobustTLoss()) for _ in range(3)]
    without = config({**SETTINGS[settings], "WEIGHT_DECAY": 0.0}, CLIPS[clip])
    moved, decayed, expected = (
        net.step(build(given, net))
        for net, build, given in zip(
            nets,
            (plugin.build_optimizer, stock.build_optimizer, stock.build_optimizer),
            (cfg, cfg, without),
            strict=True,
        )
    )
    for name, value in moved.items():
        same = expected if "log_degrees_of_freedom" in name else decayed
        torch.testing.assert_close(value, same[name])
    (name,) = (name for name in moved if "log_degrees_of_freedom" in name)
    assert (moved[name] != decayed[name]).item() == (cfg.SOLVER.WEIGHT_DECAY != 0)


def test_a_loss_within_a_compound_is_spared_too():
    net = Network(plugin.CompoundLoss([plugin.RobustTLoss(), plugin.DiceLoss()]))
    optimizer = plugin.build_optimizer(config({"WEIGHT_DECAY": 0.1}, {}), net)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in net.named_parameters():
        expected = 0.0 if "loss_modules" in name or name.startswith("layers.1") else 0.1
        assert decays.pop(id(parameter)) == expected, name
    assert not decays


@pytest.mark.parametrize(("clip", "name"), [("none", "Adam"), ("norm", "AdamWithGradientClip")])
def test_panoptic_deeplabs_key_gives_adam(clip, name):
    """Weights decay, the norm and the loss don't; the first step of a weight is its rate."""
    cfg = config({"WEIGHT_DECAY": 0.1, "BASE_LR": 0.25, "OPTIMIZER": "ADAM"}, CLIPS[clip])
    net = Network(plugin.RobustTLoss())
    before = net.layers[1].weight.detach().clone()
    optimizer = plugin.build_optimizer(cfg, net)
    assert type(optimizer).__name__ == name
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays.pop(id(net.layers[0].weight)) == decays.pop(id(net.layers[0].bias)) == 0.1
    assert set(decays.values()) == {0.0}
    moved = net.step(optimizer)["layers.1.weight"]
    torch.testing.assert_close((moved - before).abs(), torch.full((3,), 0.25), rtol=1e-3, atol=0)


def test_the_schedule_reaches_every_group():
    cfg = config({"WEIGHT_DECAY": 0.1, "WARMUP_ITERS": 0, "MAX_ITER": 10, "STEPS": (1,)}, {})
    optimizer = plugin.build_optimizer(cfg, Network(plugin.RobustTLoss()))
    schedule = build_lr_scheduler(cfg, optimizer)
    optimizer.step()
    schedule.step()
    rates = {group["lr"] for group in optimizer.param_groups}
    assert len(optimizer.param_groups) == 3
    assert list(rates) == [pytest.approx(cfg.SOLVER.BASE_LR * cfg.SOLVER.GAMMA)]


def test_clipped_sgd_in_a_lazy_config_is_the_clipping_of_yaml(tmp_path):
    """From a file that was saved and loaded, as Detectron2's script builds it."""
    cfg = config({"MOMENTUM": 0.5, "WEIGHT_DECAY": 0.1}, CLIPS["norm"])
    lazy = L(plugin.ClippedSGD)(
        params=L(stock.get_default_optimizer_params)(weight_decay_norm=0.0),
        lr=cfg.SOLVER.BASE_LR,
        momentum=0.5,
        weight_decay=0.1,
        clip_norm=0.01,
    )
    LazyConfig.save(OmegaConf.create({"optimizer": lazy}), str(tmp_path / "saved.yaml"))
    loaded = LazyConfig.load(str(tmp_path / "saved.yaml")).optimizer
    one, other = Network(), Network()
    loaded.params.model = one
    moved, expected = one.step(instantiate(loaded)), other.step(stock.build_optimizer(cfg, other))
    assert (moved["layers.0.weight"] != Network().layers[0].weight).any()
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("norm", [0.0, -1.0, "much"])
def test_a_norm_that_clips_nothing_sensibly_is_refused(norm):
    with pytest.raises(ValueError, match="clip_norm must be a"):
        plugin.ClippedSGD([nn.Parameter(torch.zeros(1))], lr=0.1, clip_norm=norm)
