"""Losses of matched masks, in a small criterion with the interface of Mask2Former's."""

import copy
import sys

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.utils.events import EventStorage
from torch.nn import functional as nnf

import metriseg
import metriseg_detectron2 as plugin

IMAGES, QUERIES, CATEGORIES, LAYERS = 2, 6, 4, 3
POINTS = {"num_points": 40, "oversample_ratio": 3.0, "importance_sample_ratio": 0.75}
FIT = sorted(
    name
    for name in metriseg.CATALOGUE.keys() - plugin.UNSUPPORTED.keys() - {"CompoundLoss"}
    if metriseg.CATALOGUE[name].min_classes == 1
)
SPATIAL = [name for name in FIT if metriseg.CATALOGUE[name].spatial]


class SetCriterion(torch.nn.Module):
    """What the adapter meets: its words, the calls of ``loss_masks`` and the keys of all layers."""

    def __init__(
        self,
        num_classes,
        matcher,
        weight_dict,
        eos_coef,
        losses,
        num_points,
        oversample_ratio,
        importance_sample_ratio,
    ):
        super().__init__()
        self.num_classes, self.matcher, self.eos_coef = num_classes, matcher, eos_coef
        self.weight_dict, self.losses = weight_dict, losses
        self.num_points, self.oversample_ratio = num_points, oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio

    def loss_labels(self, outputs, targets, indices, num_masks):
        return {"loss_ce": outputs["pred_logits"].logsumexp(-1).mean()}

    def loss_masks(self, outputs, targets, indices, num_masks):
        return {name: outputs["pred_masks"].mean() for name in ("loss_mask", "loss_dice")}

    def forward(self, outputs, targets):
        num_masks = max(sum(len(target["labels"]) for target in targets), 1)
        values = {}
        layers = {"": outputs} | {f"_{i}": one for i, one in enumerate(outputs["aux_outputs"])}
        for ending, layer in layers.items():
            indices = self.matcher(layer, targets)
            for loss in self.losses:
                ask = {"labels": self.loss_labels, "masks": self.loss_masks}[loss]
                found = ask(layer, targets, indices, num_masks)
                values |= {f"{key}{ending}": value for key, value in found.items()}
        return values


class WholeMaskCriterion(SetCriterion):
    """As MaskFormer's, that knows nothing of points."""

    def __init__(self, num_classes, matcher, weight_dict, eos_coef, losses):
        super().__init__(num_classes, matcher, weight_dict, eos_coef, losses, 0, 0, 0)
        del self.num_points, self.oversample_ratio, self.importance_sample_ratio


class Ours(plugin.MaskCriterionMixin, SetCriterion):
    pass


class OursWhole(plugin.MaskCriterionMixin, WholeMaskCriterion):
    pass


def last_first(outputs, targets):
    """Query Q - 1 gets the first mask of each image, Q - 2 the second."""
    counts = [len(target["labels"]) for target in targets]
    return [(QUERIES - 1 - torch.arange(n), torch.arange(n)) for n in counts]


def weights(layers=LAYERS):
    """As Mask2Former fills them."""
    base = {"loss_ce": 2.0, "loss_mask": 5.0, "loss_dice": 3.0}
    copies = {f"{k}_{i}": value for i in range(layers - 1) for k, value in base.items()}
    return {**base, **copies}


def words(**changed):
    return {
        "num_classes": CATEGORIES,
        "matcher": last_first,
        "weight_dict": weights(),
        "eos_coef": 0.1,
        "losses": ["labels", "masks"],
        **POINTS,
        **changed,
    }


def criterion(*losses, points=True, **changed):
    return Ours(**words(**changed), mask_losses=losses, points=points)


def predicted(height=12, width=10):
    """The logits of every layer, the last first."""
    layers = [
        {
            "pred_logits": torch.randn(IMAGES, QUERIES, CATEGORIES + 1),
            "pred_masks": (2 * torch.randn(IMAGES, QUERIES, height, width)).requires_grad_(),
        }
        for _ in range(LAYERS)
    ]
    return {**layers[0], "aux_outputs": layers[1:]}


def true(*counts, sizes=((24, 20), (24, 20))):
    """Rectangles."""
    targets = []
    for count, (height, width) in zip(counts, sizes, strict=True):
        masks = torch.zeros(count, height, width, dtype=torch.bool)
        for position, mask in enumerate(masks):
            mask[2 + position : height - 5, position : width // 2 + position] = True
        targets.append({"labels": torch.randint(CATEGORIES, (count,)), "masks": masks})
    return targets


def pairs(outputs, targets):
    """Every matched mask by itself: its logits, truth (as floats) and category."""
    indices = last_first(outputs, targets)
    return [
        (outputs["pred_masks"][i, q], targets[i]["masks"][m].float(), targets[i]["labels"][m])
        for i, (queries, masks) in enumerate(indices)
        for q, m in zip(queries, masks, strict=True)
    ]


def dice(logits, target):
    """Mask2Former's of one mask."""
    p = logits.sigmoid()
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


def entropy(logits, target):
    """Mask2Former's of one mask."""
    return nnf.binary_cross_entropy_with_logits(logits, target)


def focal(logits, target):
    """MaskFormer's of one mask: gamma 2, alpha 1/4."""
    values = nnf.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = (logits.sigmoid() - target).abs()
    return ((0.25 * target + 0.75 * (1 - target)) * miss**2 * values).mean()


def sampled(outputs, targets):
    """What PointRend's sampler gives, called as Mask2Former does, mask sizes being equal."""
    from detectron2.projects.point_rend.point_features import (
        get_uncertain_point_coords_with_randomness,
        point_sample,
    )

    found = pairs(outputs, targets)
    logits, masks = (torch.stack([pair[i] for pair in found]).unsqueeze(1) for i in (0, 1))
    places = get_uncertain_point_coords_with_randomness(
        logits.detach(), lambda z: -z.abs(), *POINTS.values()
    )
    at_places = (point_sample(x, places, align_corners=False)[:, 0] for x in (logits, masks))
    return list(zip(*at_places, strict=True))


def same(ours, expected, outputs):
    """Value and gradient."""
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
    slopes = [
        torch.autograd.grad(value, outputs["pred_masks"], retain_graph=True)[0]
        for value in (ours, expected)
    ]
    assert slopes[0].any()
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# --------------------------------------------------------------------------- values


def test_points_are_those_of_mask2former_and_so_are_its_losses():
    """The sum over the 5 matched masks over the criterion's 5; two losses, one seed."""
    outputs, targets = predicted(), true(2, 3)
    ours = criterion(plugin.CrossEntropyLoss(), plugin.DiceLoss(smooth=1.0))
    torch.manual_seed(3)
    values = ours(outputs, targets)
    torch.manual_seed(3)
    for ending, layer in (("", outputs), ("_0", outputs["aux_outputs"][0])):
        points = sampled(layer, targets)
        for name, stock in (("cross_entropy", entropy), ("dice", dice)):
            expected = sum(stock(*point) for point in points) / 5
            same(values[f"loss_mask_{name}{ending}"], expected, layer)


def test_whole_masks_are_those_of_maskformer_and_so_are_its_losses():
    """At the size of the targets, twice that of the prediction."""
    outputs, targets = predicted(), true(2, 3)
    losses = [plugin.FocalLoss(alpha=0.25), plugin.DiceLoss()]
    ours = OursWhole(
        CATEGORIES, last_first, weights(), 0.1, ["masks"], mask_losses=losses, points=False
    )
    values = ours(outputs, targets)
    enlarged = [
        (nnf.interpolate(z[None, None], scale_factor=2, mode="bilinear")[0, 0], t)
        for z, t, _ in pairs(outputs, targets)
    ]
    for name, stock in (("focal", focal), ("dice", dice)):
        same(values[f"loss_mask_{name}"], sum(stock(*one) for one in enlarged) / 5, outputs)


@pytest.mark.parametrize("name", FIT)
def test_a_loss_of_whole_masks_is_the_core_loss_of_one_channel(name):
    """Times 4 masks over the criterion's number, smoothing 1.0 as in a mask head."""
    outputs, targets = predicted(24, 20), true(2, 2)
    ours = criterion(getattr(plugin, name)(loss_weight=2.0), points=False)
    value = ours.loss_masks(outputs, targets, last_first(outputs, targets), 10.0)["loss_mask"]
    core = getattr(metriseg, name)
    words = core.__signature__.parameters
    smoothed = {"smooth": 1.0} if "smooth" in words else {}
    smoothed |= {"loss": metriseg.DiceLoss(smooth=1.0)} if "loss" in words else {}
    logits, masks, _ = zip(*pairs(outputs, targets), strict=True)
    expected = core(activation="sigmoid", **smoothed)(
        torch.stack(logits).unsqueeze(1), torch.stack(masks).long()
    )
    torch.testing.assert_close(value, 2 * expected * 4 / 10)


@pytest.mark.parametrize("name", FIT)
def test_points_have_no_neighbours(name):
    build = getattr(plugin, name)
    if name in SPATIAL:
        compound = plugin.CompoundLoss([plugin.DiceLoss(), build()])
        for loss in (build(), compound):
            with pytest.raises(ValueError, match=rf"{name} looks at the neigh.*points=False"):
                criterion(loss)
        return
    outputs = predicted()
    value = criterion(build())(outputs, true(2, 3))["loss_mask"]
    assert torch.autograd.grad(value, outputs["pred_masks"])[0].isfinite().all()


def test_soft_labels_are_rounded_for_whom_they_have_no_meaning():
    """And for no other beside it: alone, with the same points, either says the same."""
    outputs, targets = predicted(), true(2, 3)
    losses = [plugin.CrossEntropyLoss, plugin.LovaszHingeLoss]
    torch.manual_seed(3)
    both = criterion(*(loss() for loss in losses))(outputs, targets)
    torch.manual_seed(3)
    points = sampled(outputs, targets)
    logits, soft = (torch.stack(part) for part in zip(*points, strict=True))
    assert ((soft > 0) & (soft < 1)).any()
    hinge = metriseg.LovaszHingeLoss(activation="sigmoid")(logits[:, None], (soft > 0.5).long())
    torch.testing.assert_close(both["loss_mask_lovasz_hinge"], hinge)
    expected = nnf.binary_cross_entropy_with_logits(logits, soft)
    torch.testing.assert_close(both["loss_mask_cross_entropy"], expected)


# --------------------------------------------------------------------------- padding, weights


SIZES = ((24, 20), (16, 14))


def test_padding_of_whole_masks_does_not_count():
    """Each mask at its own size; a prediction of the padded size needs no enlarging."""
    outputs, targets = predicted(24, 20), true(2, 3, sizes=SIZES)
    losses = [plugin.CrossEntropyLoss(), plugin.DiceLoss(), plugin.LovaszHingeLoss()]
    values = criterion(*losses, points=False)(outputs, targets)
    own = [(z[: t.shape[0], : t.shape[1]], t) for z, t, _ in pairs(outputs, targets)]
    same(values["loss_mask_dice"], sum(dice(*one) for one in own) / 5, outputs)
    pixels = sum(t.numel() for _, t in own)
    summed = sum(entropy(*one) * one[1].numel() for one in own)
    same(values["loss_mask_cross_entropy"], summed / pixels, outputs)
    values["loss_mask_lovasz_hinge"].backward()
    assert not outputs["pred_masks"].grad[1, :, 16:].any()
    assert outputs["pred_masks"].grad[1, :, :16].any()


def test_points_in_the_padding_do_not_count():
    """Whatever is predicted there: the points are drawn from places alone, without importance."""
    outputs, targets = predicted(24, 20), true(2, 3, sizes=SIZES)
    changed = copy.deepcopy(outputs)
    with torch.no_grad():
        changed["pred_masks"][1, :, 18:] = 9.0
    losses = [plugin.CrossEntropyLoss(), plugin.DiceLoss(), plugin.LovaszHingeLoss()]
    ours = criterion(*losses, importance_sample_ratio=0.0)
    values = []
    for one in (outputs, changed):
        torch.manual_seed(3)
        found = ours.loss_masks(one, targets, last_first(one, targets), 5)
        values.append(found)
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("sizes", [SIZES, ((24, 20), (24, 20))])
def test_class_weights_weigh_masks(points, sizes):
    """A category of weight 0 isn't there: the mean is that of the others."""
    outputs, targets = predicted(24, 20), true(2, 3, sizes=sizes)
    targets[0]["labels"], targets[1]["labels"] = torch.tensor([0, 1]), torch.tensor([1, 3, 0])
    indices = last_first(outputs, targets)
    others = [
        (queries[target["labels"] != 1], masks[target["labels"] != 1])
        for (queries, masks), target in zip(indices, targets, strict=True)
    ]
    build = [plugin.CrossEntropyLoss, plugin.DiceLoss, plugin.PowerJaccardLoss]
    weighted = criterion(*(b(class_weight=[1, 0, 1, 1]) for b in build), points=points)
    plain = criterion(*(b() for b in build), points=points)
    if points:
        weighted._sampled = plain._sampled = at_fixed_places
    torch.testing.assert_close(
        weighted.loss_masks(outputs, targets, indices, 5),
        plain.loss_masks(outputs, targets, others, 3),
    )


def at_fixed_places(masks):
    """Every third pixel as points, the same of all masks."""
    points = [None if values is None else values.flatten(-2)[..., ::3] for values in masks[:3]]
    return type(masks)(*points, masks.categories)


def test_class_weights_are_a_weighted_mean():
    """(3 l_0 + 1 l_1) / 4, of two masks with the categories 0 and 1, times 2 over the number."""
    outputs, targets = predicted(24, 20), true(1, 1)
    targets[0]["labels"], targets[1]["labels"] = torch.tensor([0]), torch.tensor([1])
    ours = criterion(plugin.DiceLoss(class_weight=[3.0, 1.0, 1.0, 1.0]), points=False)
    value = ours.loss_masks(outputs, targets, last_first(outputs, targets), 2)["loss_mask"]
    first, second = (dice(z, t) for z, t, _ in pairs(outputs, targets))
    same(value, (3 * first + second) / 4, outputs)


@pytest.mark.parametrize("points", [True, False])
def test_no_matched_mask_costs_exactly_nothing(points):
    """0, with a zero gradient for the prediction and for what a loss learns: DDP waits for both."""
    outputs = predicted()
    ours = criterion(plugin.RobustTLoss(), plugin.DiceLoss(), points=points)
    values = ours(outputs, true(0, 0))
    ours_alone = {key: value for key, value in values.items() if "mask" in key}
    assert len(ours_alone) == 2 * LAYERS
    assert all(value.item() == 0 for value in ours_alone.values())
    sum(ours_alone.values()).backward()
    for layer in (outputs, *outputs["aux_outputs"]):
        assert layer["pred_masks"].grad is not None
        assert not layer["pred_masks"].grad.any()
    (learnt,) = ours.parameters()
    assert learnt.grad.item() == 0


def test_half_precision_predictions():
    """bfloat16 logits give the loss of the same numbers in float32."""
    outputs, targets = predicted(), true(2, 3)
    half = {"pred_masks": outputs["pred_masks"].detach().bfloat16()}
    full = {"pred_masks": half["pred_masks"].float()}
    ours = criterion(plugin.DiceLoss())
    values = []
    for one in (half, full):
        torch.manual_seed(3)
        values.append(ours.loss_masks(one, targets, last_first(one, targets), 5)["loss_mask"])
    assert values[0].dtype == torch.float32
    torch.testing.assert_close(*values)


# --------------------------------------------------------------------------- weights of keys


def kept(values, weight_dict):
    """What a model makes of a criterion's result."""
    return {key: value * weight_dict[key] for key, value in values.items() if key in weight_dict}


def test_models_keep_every_loss():
    """With the weight of loss_mask; the stock keys keep theirs."""
    ours = criterion(plugin.DiceLoss(), plugin.FocalLoss())
    values = ours(predicted(), true(2, 3))
    assert kept(values, ours.weight_dict).keys() == values.keys()
    assert {key: ours.weight_dict[key] for key in weights()} == weights()
    endings = ["", "_0", "_1"]
    assert [ours.weight_dict[f"loss_mask_focal{ending}"] for ending in endings] == [5.0] * 3
    one = criterion(plugin.DiceLoss())
    assert one.weight_dict == weights()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # layers with weights of their own
        (
            {"loss_ce": 1, "loss_mask": 5, "loss_mask_0": 2, "loss_mask_1": 1},
            {"": 5, "_0": 2, "_1": 1},
        ),
        # no weights for layers before the last: DEEP_SUPERVISION False
        ({"loss_ce": 1, "loss_mask": 5}, {"": 5}),
        # no stock mask loss
        ({"loss_ce": 1, "loss_ce_0": 1, "loss_ce_1": 1}, {"": 1, "_0": 1, "_1": 1}),
        # the user's own word
        (
            {"loss_mask": 5, "loss_mask_0": 5, "loss_mask_1": 5, "loss_mask_dice": 7},
            {"": 7, "_0": 7, "_1": 7},
        ),
        ({}, {"": 1}),
    ],
)
def test_what_our_keys_weigh(given, expected):
    ours = criterion(plugin.DiceLoss(), plugin.FocalLoss(), weight_dict=dict(given))
    found = {
        key.removeprefix("loss_mask_dice"): value
        for key, value in ours.weight_dict.items()
        if key.startswith("loss_mask_dice")
    }
    assert found == expected
    values = kept(ours(predicted(), true(2, 3)), ours.weight_dict)
    assert {key for key in values if "dice" in key} == {f"loss_mask_dice{e}" for e in expected}


@pytest.mark.parametrize("losses", [[plugin.DiceLoss], [plugin.DiceLoss, plugin.FocalLoss]])
def test_weights_that_come_after_the_constructor(losses):
    """Another weight_dict, and copies for the layers alone: nothing of ours is dropped."""
    ours = criterion(*(loss() for loss in losses), weight_dict={"loss_ce": 1.0})
    ours.weight_dict.update({f"loss_ce_{i}": 1.0 for i in range(LAYERS - 1)})
    values = ours(predicted(), true(2, 3))
    assert kept(values, ours.weight_dict).keys() == values.keys()
    ours.weight_dict = weights()
    values = ours(predicted(), true(2, 3))
    assert kept(values, ours.weight_dict).keys() == values.keys()


# --------------------------------------------------------------------------- as a module


def test_no_losses_is_the_stock_criterion():
    outputs, targets = predicted(), true(2, 3)
    ours, stock = criterion(), SetCriterion(**words())
    assert ours(outputs, targets) == stock(outputs, targets)
    assert ours.weight_dict == weights()


def test_losses_are_parts_of_the_criterion():
    ours = criterion(plugin.RobustTLoss(), plugin.DiceLoss(class_weight=[1.0] * CATEGORIES))
    assert list(ours.state_dict()) == ["loss_modules.0.log_degrees_of_freedom"]
    assert ours.double().loss_modules[1].category_weight.dtype == torch.float64
    ours.float()
    again = copy.deepcopy(ours)
    outputs, targets = predicted(), true(2, 3)
    values = []
    for one in (ours, again):
        torch.manual_seed(3)
        values.append(one(outputs, targets))
    torch.testing.assert_close(*values)


def test_a_stock_criterion_becomes_ours():
    """With its matcher and weights; losses as a config file describes them."""
    stock = SetCriterion(**words())
    entries = [{"NAME": "TverskyLoss", "FN_WEIGHT": 0.7}, {"NAME": "CrossEntropyLoss"}]
    ours = Ours.from_stock(stock, mask_losses=entries, points=False)
    assert ours.matcher is last_first
    assert ours.weight_dict is stock.weight_dict
    assert ours.loss_modules[0].fn_weight == 0.7
    assert {"loss_mask_tversky", "loss_mask_tversky_1"} <= ours.weight_dict.keys()


def test_lazy_criteria():
    """LazyConfig hands over its own containers."""
    call = L(Ours)(**words(), mask_losses=[L(plugin.DiceLoss)(), L(plugin.FocalLoss)()])
    ours = instantiate(call)
    values = ours(predicted(), true(2, 3))
    assert kept(values, ours.weight_dict).keys() == values.keys()


def test_a_compound_logs_its_terms_of_the_last_layer_alone():
    """One number an iteration, as in a model without auxiliary outputs; schedules know it."""
    weight = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 10}
    terms = [plugin.DiceLoss(), plugin.CrossEntropyLoss()]
    ours = criterion(plugin.CompoundLoss(terms, [weight, 1.0]))
    outputs, targets = predicted(), true(2, 3)
    with EventStorage(start_iter=10) as storage:
        values = ours(outputs, targets)
        assert len(storage.history("loss_mask/dice").values()) == 1
        (logged,) = storage.history("loss_mask/cross_entropy").values()
    assert logged[0] == pytest.approx(values["loss_mask"].item(), rel=1e-6)
    assert storage.latest()["loss_mask/dice"][0] == 0


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: criterion(plugin.DiceLoss(), plugin.DiceLoss()), "2 losses are called dice.*Comp"),
        (lambda: criterion(plugin.FocalLoss(reduction="sum")), "FocalLoss must have reduction='me"),
        (lambda: criterion(plugin.DiceLoss(), losses=["labels"]), "losses must have 'masks'"),
        (lambda: criterion(plugin.DiceLoss(class_weight=[1, 2])), "4 categories, got 2"),
        (lambda: criterion(plugin.NegativeMimeLoss(), points=False), "3 classes"),
        (lambda: criterion(metriseg.DiceLoss()), r"losses\[0\] must be a loss of metriseg_det"),
        (lambda: criterion(torch.nn.BCELoss()), r"losses\[0\] must be a loss of metriseg_det"),
        (lambda: criterion(plugin.DiceLoss(), {"NAME": "DiceLos"}), r"mask_losses\[1\]\.NAME"),
        (
            lambda: OursWhole(
                CATEGORIES, last_first, {}, 0.1, ["masks"], mask_losses=[plugin.DiceLoss()]
            ),
            "OursWhole has none: say points=False",
        ),
    ],
)
def test_what_can_not_be_is_refused_when_the_criterion_is_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_without_opencv_points_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2.projects.point_rend", None)
    with pytest.raises(ImportError, match=r"opencv-python-headless.*points=False"):
        criterion(plugin.DiceLoss())
    assert len(criterion(plugin.DiceLoss(), points=False).loss_modules) == 1
