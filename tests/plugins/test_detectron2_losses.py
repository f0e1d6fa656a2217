"""The losses in Detectron2's words: constructors, YAML, LazyConfig, pickle."""

import copy
import inspect
import pickle
import re
import sys
import textwrap
from typing import Unpack

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
import yaml
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

import metriseg
import metriseg_detectron2 as plugin
from metriseg.losses.schedules import LinearSchedule
from metriseg.options import LossOptions
from metriseg_detectron2 import losses
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.convention import Seen

NAMES = sorted(metriseg.CATALOGUE.keys() - losses.UNSUPPORTED.keys())


def build(name, **arguments):
    if name == "CompoundLoss":
        arguments = {"terms": [plugin.DiceLoss(), plugin.CrossEntropyLoss()], **arguments}
    return getattr(plugin, name)(**arguments)


@pytest.fixture
def cfg():
    cfg = get_cfg()
    plugin.add_metriseg_config(cfg)
    return cfg


def test_every_loss_of_the_catalogue_is_offered_or_explained():
    offered = {name for name, _ in plugin.LOSS_REGISTRY}
    assert offered | plugin.UNSUPPORTED.keys() == metriseg.CATALOGUE.keys()
    assert not offered & plugin.UNSUPPORTED.keys()


def test_an_unsupported_loss_says_why(monkeypatch):
    monkeypatch.setitem(losses.UNSUPPORTED, "LovaszLoss", "it needs a sorted head")
    for place in (plugin, losses):
        with pytest.raises(NotImplementedError, match="it needs a sorted head"):
            _ = place.LovaszLoss
    with pytest.raises(ValueError, match=r"LOSSES\[0\]\.NAME: LovaszLoss .* a sorted head"):
        build_losses([{"NAME": "LovaszLoss"}])
    with pytest.raises(AttributeError, match=r"has no attribute 'NoLoss'$"):
        _ = plugin.NoLoss


@pytest.mark.parametrize("name", NAMES)
def test_the_constructor_has_the_core_words_but_ignore_index(name):
    words = inspect.signature(getattr(plugin, name)).parameters
    core = inspect.signature(getattr(metriseg, name)).parameters
    assert words.keys() == core.keys() - {"ignore_index"} | {"loss_weight"}
    assert words.keys() == getattr(plugin, name).hints().keys() - {"return", "ignore_index"}
    assert "Detectron2" in getattr(plugin, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_pickle_and_deepcopy(name):
    loss = build(name, loss_weight=0.5)
    logits, target = torch.randn(1, 3, 8, 7), torch.randint(3, (1, 8, 7))
    for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert type(again) is type(loss)
        torch.testing.assert_close(again(logits, target), loss(logits, target))


@pytest.mark.parametrize("name", NAMES)
def test_outside_a_head_it_is_the_core_loss_times_its_weight(name):
    logits, target = torch.randn(2, 3, 8, 7), torch.randint(3, (2, 8, 7))
    target[:, 0] = 9
    core = (
        metriseg.CompoundLoss(
            [metriseg.DiceLoss(ignore_index=9), metriseg.CrossEntropyLoss(ignore_index=9)]
        )
        if name == "CompoundLoss"
        else getattr(metriseg, name)(ignore_index=9)
    )
    value = build(name, loss_weight=0.25)(logits, target, ignore_index=9)
    torch.testing.assert_close(value, 0.25 * core(logits, target))
    learnt = {own for own, _ in build(name).named_parameters()}
    assert build(name).state_dict().keys() == learnt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": 1.0}, "loss_weight.*class_weight"),
        ({"ignore_index": 255}, "IGNORE_VALUE"),
        ({"los_weight": 1.0}, "did you mean 'loss_weight'"),
        ({"loss_weight": -1.0}, "loss_weight"),
        ({"smooth": -1.0}, "smooth"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plugin.DiceLoss(**arguments)


def test_terms_must_be_losses_of_this_plugin():
    with pytest.raises(ValueError, match=r"terms must be losses of metriseg_detectron2"):
        plugin.CompoundLoss([metriseg.DiceLoss()])


def test_yaml_builds_what_the_constructor_builds():
    """Text that is a number is one (YAML reads 1e-5 as text), also in lists and in schedules."""
    text = """
        - {NAME: TverskyLoss, FN_WEIGHT: 6e-1, SMOOTH: [1e-5, 1]}
        - NAME: CompoundLoss
          TERMS:
            - {NAME: DiceLoss, CLASS_WEIGHT: [1, 2e0], CLASSES: present}
            - {NAME: CompoundLoss, TERMS: [{NAME: FocalLoss, ALPHA: 25e-2}]}
          WEIGHTS: [5e-1, {SCHEDULE: linear, START: 1e0, END: 0, STEPS: 9}]
    """
    tversky, compound = build_losses(yaml.safe_load(text))
    assert tversky.fn_weight == 0.6
    assert tversky.smooth_pair == (1e-5, 1.0)
    dice, inner = compound.terms
    assert dice.class_weight.tolist() == [1.0, 2.0]
    assert dice.classes == "present"
    assert inner.terms[0].alpha == 0.25
    assert compound.weights[0] == 0.5
    assert compound._schedules[1] == LinearSchedule(1.0, 0, steps=9)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"NAME": "DiceLoss"}, r"^LOSSES must be a list"),
        (["DiceLoss"], r"LOSSES\[0\] must be a mapping with NAME.*got 'DiceLoss'"),
        ([{"SMOOTH": 1.0}], r"LOSSES\[0\] must be a mapping with NAME"),
        ([{"NAME": "DiceLos"}], r"LOSSES\[0\]\.NAME: .*did you mean 'DiceLoss'"),
        ([{"NAME": "DiceLoss"}, {"NAME": "Unknown"}], r"LOSSES\[1\]\.NAME: .*TverskyLoss"),
        ([{"NAME": "TverskyLoss", "FN_WIEGHT": 1}], "did you mean 'FN_WEIGHT'"),
        ([{"NAME": "TverskyLoss", "fn_weight": 1}], "did you mean 'FN_WEIGHT'"),
        ([{"NAME": "TverskyLoss", "ALPHA": 1}], "'FP_WEIGHT'"),
        ([{"NAME": "DiceLoss", "WEIGHT": 1}], "'LOSS_WEIGHT'.*'CLASS_WEIGHT'"),
        ([{"NAME": "DiceLoss", "IGNORE_INDEX": 1}], "IGNORE_VALUE"),
        ([{"NAME": "PowerJaccardLoss", "POWER": 3}], r"LOSSES\[0\]: POWER .*\[1, 2\], got 3"),
        ([{"NAME": "DiceLoss", "SMOOTH": "much"}], r"LOSSES\[0\]: SMOOTH"),
        ([{"NAME": "CompoundLoss"}], "'TERMS'"),
        (
            [{"NAME": "CompoundLoss", "TERMS": [{"NAME": "DiceLoss", "SMOTH": 1}]}],
            r"LOSSES\[0\]\.TERMS\[0\]: DiceLoss .*'SMOOTH'",
        ),
    ],
)
def test_a_bad_config_is_explained(entries, message):
    with pytest.raises(ValueError, match=message):
        build_losses(entries)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        # a word at the beginning
        ({"NAME": "TverskyLoss", "FN_WEIGHT": -1}, "FN_WEIGHT must be a finite number in [0, inf]"),
        ({"NAME": "MimeLoss", "A": 0}, "A must be a finite number in (0, inf], got 0"),
        ({"NAME": "DiceLoss", "PER_IMAGE": "no"}, "PER_IMAGE must be True or False, got 'no'"),
        (
            {"NAME": "CenterLoss", "DIMENSIONS": 3},
            "NUM_CLASSES and DIMENSIONS belong together: give both for centres that are kept,"
            " neither for those of the batch, got None and 3",
        ),
        # what is allowed and what was given
        (
            {"NAME": "FocalLoss", "REDUCTION": "gamma"},
            "REDUCTION must be one of 'mean', 'sum', 'none', got 'gamma'",
        ),
        (
            {"NAME": "DiceLoss", "CLASSES": "smooth"},
            "CLASSES must be one of 'all', 'present', got 'smooth'",
        ),
        # running text
        (
            {"NAME": "GeneralizedWassersteinDiceLoss", "DISTANCES": [[0]]},
            "DISTANCES must be a square matrix, a row and a column for each of two classes or"
            " more, got shape (1, 1)",
        ),
        ({"NAME": "CompoundLoss", "TERMS": []}, "TERMS must have at least one loss"),
        # a word and its value
        (
            {"NAME": "DiceLoss", "SYNC": True},
            "SYNC: True sums statistics over ranks: it needs PER_IMAGE: False",
        ),
        (
            {"NAME": "CrossEntropyLoss", "BALANCE": "image", "POS_WEIGHT": 2.0},
            "BALANCE: 'image' weighs positives itself: leave out LABEL_SMOOTHING and POS_WEIGHT",
        ),
        (
            {
                "NAME": "CompoundLoss",
                "TERMS": [{"NAME": "DiceLoss", "ACTIVATION": "identity"}, {"NAME": "FocalLoss"}],
            },
            "TERMS must agree whether they take probabilities (ACTIVATION: 'identity') or raw"
            " scores, got {'dice': 'identity', 'focal': None}",
        ),
        ({"NAME": "CompoundLoss"}, "CompoundLoss: missing a required argument: 'TERMS'"),
        # mappings within
        (
            {"NAME": "PartitionLoss", "SEGMENTS": {"BANDWIDTH": 1.0}},
            "SEGMENTS must be a Segments, its name, or a mapping with its name as 'TYPE', got"
            " {'BANDWIDTH': 1.0}",
        ),
        (
            {"NAME": "PartitionLoss", "SEGMENTS": {"TYPE": "KernelSegments", "BANDWIDTH": -1}},
            "BANDWIDTH must be a finite number in (0, inf], got -1",
        ),
        (
            {"NAME": "PartitionLoss", "SEGMENTS": {"TYPE": "KernelSegments", "BANDWITH": 1}},
            "KernelSegments has no key 'BANDWITH': did you mean 'BANDWIDTH'? (it takes"
            " FREQUENCIES, BANDWIDTH, SEED, SAMPLES, PIXELS_PER_UNIT)",
        ),
        (
            {"NAME": "PartitionLoss", "SEGMENTS": {"TYPE": "SlotSegments", "NUM": 1}},
            "SlotSegments has no key 'NUM' (it takes none)",
        ),
        (
            {"NAME": "CompoundLoss", "TERMS": [{"NAME": "DiceLoss"}], "WEIGHTS": [{"SCHEDULE": 1}]},
            "WEIGHTS: SCHEDULE must be one of 'constant', 'linear', 'cosine', 'step', got 1",
        ),
        (
            {
                "NAME": "CompoundLoss",
                "TERMS": [{"NAME": "DiceLoss"}],
                "WEIGHTS": [{"SCHEDULE": "linear", "START": 1}],
            },
            "arguments: 'END' and 'STEPS'",
        ),
        # hints
        (
            {"NAME": "TverskyLoss", "ALPHA": 1},
            "TverskyLoss has no key 'ALPHA': say 'FP_WEIGHT' for the price of false positives and"
            " 'FN_WEIGHT' for that of false negatives (in the original paper alpha is FP_WEIGHT;",
        ),
        (
            {"NAME": "UnifiedFocalLoss", "WEIGHT": 1},
            "say 'FOCAL_SHARE' for the share of the focal part (in the authors' code the weight is"
            " that of the Tversky part, 1 - FOCAL_SHARE)",
        ),
        ({"NAME": "DiceLoss", "FOO": 1}, "(only SMOOTH, OVERLAP, CLASSES, PER_IMAGE, SYNC,"),
    ],
)
def test_messages_speak_yaml(entry, message):
    """Words are the keys that stand in the file; values and sentences keep their case."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        build_losses([entry])
    assert str(caught.value).startswith("LOSSES[0]")
    assert "IGNORE_INDEX" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_refused_by_its_key(name):
    """A mapping is nothing that any word takes, but for those that are built of one."""
    for word in inspect.signature(getattr(plugin, name)).parameters:
        if word not in ("terms", "weights", "loss"):
            entry = {"NAME": name, word.upper(): {"X": 1}}
            if name == "CompoundLoss":
                entry["TERMS"] = [{"NAME": "DiceLoss"}]
            with pytest.raises(ValueError, match=rf"^LOSSES\[0\]: .*\b{word.upper()}\b"):
                build_losses([entry])


def test_losses_start_empty_and_are_declared_once(cfg):
    assert cfg.MODEL.ROI_MASK_HEAD.LOSSES == cfg.MODEL.SEM_SEG_HEAD.LOSSES == []
    cfg.MODEL.ROI_MASK_HEAD.LOSSES = [{"NAME": "DiceLoss"}]
    plugin.add_metriseg_config(cfg)
    assert cfg.MODEL.ROI_MASK_HEAD.LOSSES == [{"NAME": "DiceLoss"}]


def test_yaml_files_merge_override_and_round_trip(cfg, tmp_path):
    """A list replaces that of _BASE_ as a whole, and so does one on the command line."""
    (tmp_path / "base.yaml").write_text(
        "MODEL: {ROI_MASK_HEAD: {LOSSES: [{NAME: DiceLoss, SMOOTH: 1e-3}, {NAME: FocalLoss}]}}"
    )
    (tmp_path / "child.yaml").write_text(
        textwrap.dedent("""
            _BASE_: base.yaml
            MODEL: {SEM_SEG_HEAD: {LOSSES: [{NAME: TverskyLoss, FN_WEIGHT: 0.6}]}}
        """)
    )
    cfg.merge_from_file(str(tmp_path / "child.yaml"))
    inherited = build_losses(cfg.MODEL.ROI_MASK_HEAD.LOSSES)
    assert [type(loss) for loss in inherited] == [plugin.DiceLoss, plugin.FocalLoss]
    assert inherited[0].smooth_pair == (1e-3, 1e-3)

    (tmp_path / "dump.yaml").write_text(cfg.dump())
    again = get_cfg()
    plugin.add_metriseg_config(again)
    again.merge_from_file(str(tmp_path / "dump.yaml"))
    for head in ("ROI_MASK_HEAD", "SEM_SEG_HEAD"):
        assert again.MODEL[head].LOSSES == cfg.MODEL[head].LOSSES != []

    cfg.merge_from_list(["MODEL.ROI_MASK_HEAD.LOSSES", "[{'NAME': 'JaccardLoss'}]"])
    assert [type(x) for x in build_losses(cfg.MODEL.ROI_MASK_HEAD.LOSSES)] == [plugin.JaccardLoss]
    with pytest.raises(ValueError, match="LOSSES"):
        cfg.merge_from_list(["MODEL.ROI_MASK_HEAD.LOSSES", "DiceLoss"])


def test_stripped_configs_load_in_a_stock_config(cfg):
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MetrisegMaskRCNNConvUpsampleHead"
    cfg.MODEL.ROI_MASK_HEAD.LOSSES = [{"NAME": "DiceLoss"}]
    cfg.MODEL.SEM_SEG_HEAD.NAME = "MetrisegSemSegFPNHead"
    cfg.freeze()
    stripped = plugin.strip_metriseg_config(cfg)
    assert stripped.is_frozen()
    assert stripped == get_cfg()
    assert cfg.MODEL.ROI_MASK_HEAD.LOSSES == [{"NAME": "DiceLoss"}]


def test_losses_beside_a_stock_head_are_refused(cfg):
    plugin.check_metriseg_config(cfg)
    cfg.MODEL.SEM_SEG_HEAD.LOSSES = [{"NAME": "DiceLoss"}]
    with pytest.raises(ValueError, match=r"SEM_SEG_HEAD\.NAME: SemSegFPNHead .* MetrisegSemSeg"):
        plugin.check_metriseg_config(cfg)
    cfg.MODEL.SEM_SEG_HEAD.NAME = "MetrisegSemSegFPNHead"
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    plugin.check_metriseg_config(cfg)


def test_lazy_configs_save_load_and_override(tmp_path):
    path = str(tmp_path / "lazy.yaml")
    terms = [L(plugin.TverskyLoss)(fn_weight=0.6), L(plugin.FocalLoss)()]
    cfg = OmegaConf.create(flags={"allow_objects": True})
    cfg.loss = L(plugin.CompoundLoss)(terms=terms, weights=[1.0, 0.5])
    LazyConfig.save(cfg, path)
    again = LazyConfig.load(path)
    assert again.loss.terms[0]["_target_"] == "metriseg_detectron2.TverskyLoss"
    LazyConfig.apply_overrides(again, ["loss.terms.0.fn_weight=0.9", "loss.loss_weight=2"])
    loss = instantiate(again.loss)
    assert type(loss) is plugin.CompoundLoss
    assert (loss.terms[0].fn_weight, loss.weights, loss.loss_weight) == (0.9, [1.0, 0.5], 2.0)


@pytest.fixture
def _registry_restored(monkeypatch):
    monkeypatch.setattr(plugin.LOSS_REGISTRY, "_obj_map", dict(plugin.LOSS_REGISTRY))


@pytest.mark.usefixtures("_registry_restored")
def test_a_loss_of_the_table_may_be_changed():
    @plugin.register_loss
    class GentleDiceLoss(plugin.DiceLoss):
        """Dice at half its weight."""

    (loss,) = build_losses([{"NAME": "GentleDiceLoss", "SMOOTH": "1e-1"}])
    assert type(loss) is GentleDiceLoss
    assert loss.smooth == 0.1


def test_terms_keep_their_own_reduction() -> None:
    """A sum over 20 pixels plus a mean over them: 21 times the mean."""
    logits, target = torch.zeros(1, 3, 4, 5), torch.zeros(1, 4, 5, dtype=torch.int64)
    mean = plugin.CrossEntropyLoss()
    both = plugin.CompoundLoss([plugin.CrossEntropyLoss(reduction="sum"), mean])
    torch.testing.assert_close(both(logits, target), 21 * mean(logits, target))


class Miss(metriseg.PixelLoss):
    """(1 - p)^power of the truth: a loss of one's own, of the core's family."""

    def __init__(self, power=2.0, *, scale: float = 1.0, **options: Unpack[LossOptions]):
        super().__init__(**options)
        self.power, self.scale = power, scale

    def evaluate(self, batch):
        return self.at_target(
            lambda t: self.scale * ((1 - batch.probabilities) ** self.power * t).sum(1), batch
        )


@pytest.mark.usefixtures("_registry_restored")
def test_a_loss_of_ones_own_is_bound(monkeypatch):
    """With Detectron2's words beside its own, numbers written as text, and pickled by its name."""
    bound = plugin.register_loss(Miss)
    monkeypatch.setattr(sys.modules[__name__], "Miss", bound)
    (loss,) = build_losses(
        [
            {
                "NAME": "Miss",
                "POWER": "1e0",
                "SCALE": "5e-1",
                "ACTIVATION": "sigmoid",
                "LOSS_WEIGHT": 3,
            }
        ]
    )
    assert (type(loss), loss.power, loss.scale) == (bound, 1.0, 0.5)
    assert type(pickle.loads(pickle.dumps(loss))) is bound
    logits = torch.zeros(1, 1, 2, 2)
    assert loss(logits, torch.ones(1, 2, 2).long()).item() == pytest.approx(3 * 0.5 * 0.5)
    with pytest.raises(ValueError, match=r"Miss has no key 'POWR': did you mean 'POWER'"):
        build_losses([{"NAME": "Miss", "POWR": 1}])


@pytest.mark.usefixtures("_registry_restored")
def test_a_compound_of_ones_own_logs_its_terms():
    @plugin.register_loss
    class Both(metriseg.CompoundLoss):
        """Two terms."""

    terms = [{"NAME": "DiceLoss"}, {"NAME": "CrossEntropyLoss"}]
    (loss,) = build_losses([{"NAME": "Both", "TERMS": terms}])
    loss.settle(Seen.of_regions("loss_mask", 1), "loss_mask")
    with EventStorage() as storage:
        loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2).long())
    assert storage.latest().keys() == {"loss_mask/dice", "loss_mask/cross_entropy"}


@pytest.mark.usefixtures("_registry_restored")
def test_what_is_no_loss_for_detectron2_says_how_it_becomes_one():
    """Whether it is registered past the decorator, or offered to it."""
    plugin.LOSS_REGISTRY.register(torch.nn.BCELoss)
    plugin.LOSS_REGISTRY.register(Miss)
    for name in ("BCELoss", "Miss"):
        with pytest.raises(ValueError, match=rf"{name} is regis.*SegmentationLoss.*@metriseg_det"):
            build_losses([{"NAME": name}])
    with pytest.raises(ValueError, match=r"loss must be a subclass of metriseg.*got <class"):
        plugin.register_loss(torch.nn.BCELoss)
    with pytest.raises(ValueError, match="there is a loss 'DiceLoss' already"):
        plugin.register_loss(metriseg.DiceLoss)


# ---------------------------------------------------------------------- a loss within a loss


@pytest.mark.parametrize("outer", ["BlobLoss", "ConnectedComponentLoss"])
def test_a_region_loss_of_objects(outer):
    """From YAML and from a lazy config; two steps of a semantic head's loss move the scores."""
    yaml = [{"NAME": outer, "LOSS": {"NAME": "TverskyLoss", "FN_WEIGHT": 0.9}}]
    lazy = L(getattr(plugin, outer))(loss=L(plugin.TverskyLoss)(fn_weight=0.9))
    core = getattr(metriseg, outer)(metriseg.TverskyLoss(fn_weight=0.9), ignore_index=255)
    target = torch.tensor([[[1, 1, 0, 2], [0, 0, 0, 255], [1, 0, 2, 2]]])
    for loss in (*build_losses(yaml), instantiate(lazy)):
        scores = torch.zeros(1, 3, 3, 4, requires_grad=True)
        values = []
        for _ in range(2):
            value = loss(scores, target, ignore_index=255)
            torch.testing.assert_close(value, core(scores, target))
            values.append(value.item())
            (slope,) = torch.autograd.grad(value, scores)
            scores = (scores - slope).detach().requires_grad_()
        assert values[1] < values[0]


def test_a_region_loss_of_objects_is_smoothed_by_the_head():
    """As a region loss of its own would be, unless it says how."""
    mask = Seen.of_regions("loss_mask", None)
    for within, smooth in (
        (None, 1.0),
        (plugin.DiceLoss(), 1.0),
        (plugin.DiceLoss(smooth=0.5), 0.5),
    ):
        loss = plugin.BlobLoss(loss=within)
        loss.settle(mask, "loss_mask")
        assert loss.loss.smooth_pair == (smooth, smooth)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"LOSS": "DiceLoss"}, r"^LOSSES\[0\]\.LOSS must be a mapping with NAME"),
        ({"LOSS": {"NAME": "FocalLoss"}}, r"^LOSSES\[0\]: LOSS must be .* got FocalLoss"),
        (
            {"LOSS": {"NAME": "DiceLoss", "LOSS_WEIGHT": 2.0}},
            r"^LOSSES\[0\]: LOSS: DiceLoss must not say 'LOSS_WEIGHT' within BlobLoss",
        ),
    ],
)
def test_a_region_loss_of_objects_has_few_words(entry, message):
    with pytest.raises(ValueError, match=message):
        build_losses([{"NAME": "BlobLoss", **entry}])
