"""Detectron2's heads with losses of ours: against the stock heads, the core, and TorchScript."""

import copy
import inspect
import math

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.export.torchscript_patch import freeze_training_mode, patch_instances
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_loss
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

import metriseg
import metriseg_detectron2 as plugin
from metriseg.configuration import config_path
from metriseg_detectron2.convention import Seen
from metriseg_detectron2.loss_modules import LossModules
from metriseg_detectron2.train_net import read_config

SIMPLE = sorted(metriseg.CATALOGUE.keys() - plugin.UNSUPPORTED.keys() - {"CompoundLoss"})
CATEGORIES = 4
SIDE = 14  # of the predicted masks: twice the pooled features'
IMAGE = 64


def mask_head(*losses, cls=plugin.MetrisegMaskRCNNConvUpsampleHead, **arguments):
    given = {"num_classes": CATEGORIES, "conv_dims": [8, 8], **arguments}
    if cls is plugin.MetrisegMaskRCNNConvUpsampleHead:
        given.setdefault("losses", losses)
    return cls(input_shape=ShapeSpec(channels=8, height=7, width=7), **given)


def semantic_head(*losses, cls=plugin.MetrisegSemSegFPNHead, **arguments):
    given = {"num_classes": 5, "conv_dims": 8, "common_stride": 4, "ignore_value": 255, **arguments}
    if cls is plugin.MetrisegSemSegFPNHead:
        given["losses"] = losses
    shapes = {"p2": ShapeSpec(channels=8, stride=4), "p3": ShapeSpec(channels=8, stride=8)}
    return cls(input_shape=shapes, **given)


def proposals(*counts):
    """An image a count: boxes, categories, and masks that fill half of their boxes."""
    found = []
    for count in counts:
        corner = torch.rand(count, 2) * 20
        boxes = torch.cat([corner, corner + 12 + torch.rand(count, 2) * 30], 1)
        masks = torch.zeros(count, IMAGE, IMAGE, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[y0:y1, x0 : (x0 + x1) // 2] = True
        found.append(
            Instances(
                (IMAGE, IMAGE),
                proposal_boxes=Boxes(boxes),
                gt_classes=torch.randint(CATEGORIES, (count,)),
                gt_masks=BitMasks(masks),
            )
        )
    return found


def regions(logits, instances):
    """What the losses must see, written as a loop over proposals: logits and masks (R, 1, M, M)."""
    masks = torch.cat(
        [i.gt_masks.crop_and_resize(i.proposal_boxes.tensor, SIDE) for i in instances if len(i)]
    )
    categories = torch.cat([i.gt_classes for i in instances])
    if logits.shape[1] == 1:
        return logits, masks.unsqueeze(1), categories
    picked = [logits[r, c] for r, c in enumerate(categories.tolist())]
    return torch.stack(picked).unsqueeze(1), masks.unsqueeze(1), categories


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("channels", [CATEGORIES, 1])
def test_cross_entropy_in_the_mask_head_is_the_stock_loss(channels):
    """Both are the mean over all pixels of all regions of -t ln p - (1 - t) ln(1 - p)."""
    instances = proposals(3, 0, 4)
    logits = torch.randn(7, channels, SIDE, SIDE, requires_grad=True)
    head = mask_head(plugin.CrossEntropyLoss(), num_classes=channels)
    with EventStorage() as ours:
        value = head.mask_losses(logits, instances)
    with EventStorage() as stock:
        expected = mask_rcnn_loss(logits, instances)
    assert list(value) == ["loss_mask"]
    torch.testing.assert_close(value["loss_mask"], expected, rtol=1e-6, atol=0)
    gradients = [torch.autograd.grad(v, logits)[0] for v in (value["loss_mask"], expected)]
    torch.testing.assert_close(*gradients)
    assert ours.latest().keys() == stock.latest().keys() >= {"mask_rcnn/accuracy"}
    for name, (logged, _) in stock.latest().items():
        assert ours.latest()[name][0] == pytest.approx(logged, abs=1e-6)


def test_cross_entropy_starts_at_ln_2():
    """At logits 0 every probability is 1/2, so every pixel costs -ln(1/2)."""
    head = mask_head(plugin.CrossEntropyLoss())
    value = head.mask_losses(torch.zeros(5, CATEGORIES, SIDE, SIDE), proposals(5))
    assert value["loss_mask"].item() == pytest.approx(math.log(2))


def test_polygon_masks_are_understood():
    """A square of 20 of the 40 pixels' width fills the left half of its box: at logits +-20 on the
    two halves cross-entropy is ln(1 + e^-20), nearly 0."""
    square = [10.0, 10.0, 30.0, 10.0, 30.0, 50.0, 10.0, 50.0]
    instance = Instances(
        (IMAGE, IMAGE),
        proposal_boxes=Boxes(torch.tensor([[10.0, 10.0, 50.0, 50.0]])),
        gt_classes=torch.tensor([2]),
        gt_masks=PolygonMasks([[square]]),
    )
    logits = torch.full((1, CATEGORIES, SIDE, SIDE), -20.0)
    logits[:, 2, :, : SIDE // 2] = 20
    value = mask_head(plugin.CrossEntropyLoss()).mask_losses(logits, [instance])["loss_mask"]
    assert value.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_mask_loss_is_the_core_loss_of_the_regions(name):
    """A region is an image with one class, its smoothing 1.0: the core's loss says the rest."""
    core = getattr(metriseg, name)
    if metriseg.CATALOGUE[name].min_classes > 1:
        with pytest.raises(ValueError, match=r"loss_mask: .*(\d classes or more|over one class)"):
            mask_head(getattr(plugin, name)())
        return
    words = inspect.signature(core).parameters
    smoothed = {"smooth": 1.0} if "smooth" in words else {}
    smoothed |= {"loss": metriseg.DiceLoss(smooth=1.0)} if "loss" in words else {}
    instances, logits = proposals(3, 2), torch.randn(5, CATEGORIES, SIDE, SIDE)
    picked, masks, _ = regions(logits, instances)
    expected = core(activation="sigmoid", **smoothed)(picked, masks)
    head = mask_head(getattr(plugin, name)(loss_weight=0.5), loss_weight=3.0)
    torch.testing.assert_close(head.mask_losses(logits, instances)["loss_mask"], 1.5 * expected)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_semantic_loss_is_the_core_loss_of_the_image(name):
    """Logits are enlarged to the size of the labels; pixels labelled 255 don't count."""
    head = semantic_head(getattr(plugin, name)(loss_weight=0.5), loss_weight=3.0)
    predictions, target = torch.randn(2, 5, 4, 4), torch.randint(5, (2, 16, 16))
    target[:, :3] = 255
    enlarged = torch.nn.functional.interpolate(predictions, scale_factor=4, mode="bilinear")
    expected = getattr(metriseg, name)(ignore_index=255)(enlarged, target)
    value = head.losses(predictions, target)["loss_sem_seg"]
    torch.testing.assert_close(value, 1.5 * expected)


def test_what_the_user_says_wins_over_the_head():
    instances, logits = proposals(3), torch.rand(3, CATEGORIES, SIDE, SIDE)
    picked, masks, _ = regions(logits, instances)
    head = mask_head(plugin.DiceLoss(smooth=0.25, activation="identity"))
    expected = metriseg.DiceLoss(smooth=0.25, activation="identity")(picked, masks)
    torch.testing.assert_close(head.mask_losses(logits, instances)["loss_mask"], expected)


def test_several_losses_have_a_key_each():
    losses = [plugin.DiceLoss(), plugin.FocalLoss(), plugin.DiceLoss(smooth=0.0)]
    values = mask_head(*losses).mask_losses(torch.randn(2, CATEGORIES, SIDE, SIDE), proposals(2))
    assert list(values) == ["loss_mask_dice", "loss_mask_focal", "loss_mask_dice_2"]


def test_a_compound_has_one_key_and_logs_its_terms():
    """The scalars are the weighted terms, so they add up to the loss; none is in the result."""
    compound = plugin.CompoundLoss(
        [plugin.DiceLoss(loss_weight=2.0), plugin.CrossEntropyLoss()], [1.0, 0.5], loss_weight=3.0
    )
    with EventStorage() as storage:
        values = mask_head(compound).mask_losses(
            torch.randn(3, CATEGORIES, SIDE, SIDE), proposals(3)
        )
        logged = storage.latest()
    assert list(values) == ["loss_mask"]
    terms = [logged[f"loss_mask/{name}"][0] for name in ("dice", "cross_entropy")]
    assert sum(terms) == pytest.approx(values["loss_mask"].item())
    assert not torch.is_tensor(terms[0])


def test_a_schedule_follows_the_storage():
    """From 1 to 0 in 10 iterations: at iteration 4 the weight is 0.6; without a storage, step 0."""
    weight = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 10}
    head = mask_head(plugin.CompoundLoss([plugin.DiceLoss()], [weight]))
    logits, instances = torch.randn(3, CATEGORIES, SIDE, SIDE), proposals(3)
    whole = head.mask_losses(logits, instances)["loss_mask"]
    with EventStorage(start_iter=4):
        later = head.mask_losses(logits, instances)["loss_mask"]
    torch.testing.assert_close(later, 0.6 * whole)


LOSSES_OF_MASKS = [
    plugin.CrossEntropyLoss,
    plugin.PowerJaccardLoss,
    plugin.TverskyLoss,
    lambda: plugin.CompoundLoss([plugin.DiceLoss(), plugin.FocalLoss()]),
]


@pytest.mark.parametrize("build", LOSSES_OF_MASKS)
@pytest.mark.parametrize("counts", [(0,), (0, 0)])
def test_no_foreground_costs_exactly_nothing(build, counts):
    """0, with a zero gradient for every weight of the head: DDP waits for all of them."""
    head = mask_head(build()).train()
    loss = head(torch.randn(0, 8, 7, 7), proposals(*counts))["loss_mask"]
    assert loss.item() == 0
    loss.backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_no_foreground_reaches_what_a_loss_learns():
    class Learnt(plugin.DiceLoss):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

    head = mask_head(Learnt())
    head.mask_losses(torch.randn(0, CATEGORIES, SIDE, SIDE), proposals(0))["loss_mask"].backward()
    assert head.loss_modules[0].scale.grad.item() == 0
    assert "loss_modules.0.scale" in head.state_dict()


def test_class_weights_weigh_regions():
    """Region r counts as much as its category: sum_r w_r l_r / sum_r w_r."""
    weights = torch.tensor([1.0, 0.0, 3.0, 0.5])
    instances, logits = proposals(4, 5), torch.randn(9, CATEGORIES, SIDE, SIDE)
    picked, masks, categories = regions(logits, instances)
    w = weights[categories]
    dice = metriseg.DiceLoss(activation="sigmoid", smooth=1.0, reduction="none")(picked, masks)
    entropy = metriseg.CrossEntropyLoss(activation="sigmoid", reduction="none")(picked, masks)
    expected = {
        "loss_mask_dice": (w * dice[:, 0]).sum() / w.sum(),
        "loss_mask_cross_entropy": (w * entropy.mean((1, 2))).sum() / w.sum(),
    }
    head = mask_head(
        plugin.DiceLoss(class_weight=weights.tolist()),
        plugin.CrossEntropyLoss(class_weight=weights.tolist()),
    )
    torch.testing.assert_close(head.mask_losses(logits, instances), expected)
    terms = [plugin.DiceLoss(class_weight=weights), plugin.CrossEntropyLoss(class_weight=weights)]
    compound = mask_head(plugin.CompoundLoss(terms)).mask_losses(logits, instances)
    torch.testing.assert_close(compound["loss_mask"], sum(expected.values()))


@pytest.mark.parametrize("classes", ["all", "present"])
def test_equal_class_weights_change_nothing(classes):
    """Also where a mask is empty, and "present" leaves it out of the mean."""
    instances, logits = proposals(3), torch.randn(3, CATEGORIES, SIDE, SIDE)
    instances[0].gt_masks.tensor[1] = False
    plain, weighted = (
        mask_head(plugin.JaccardLoss(classes=classes, class_weight=w)).mask_losses(
            logits, instances
        )
        for w in (None, [2.0] * CATEGORIES)
    )
    torch.testing.assert_close(weighted, plain)


WEIGHABLE = [
    name
    for name in SIMPLE
    if metriseg.CATALOGUE[name].min_classes == 1
    and "class_weight" in inspect.signature(getattr(metriseg, name)).parameters
    and metriseg.CATALOGUE[name].level != "compound"
]


@pytest.mark.parametrize("name", WEIGHABLE)
def test_a_category_of_weight_zero_is_not_there(name):
    """The value is that of the other regions, whatever the loss."""
    instances, logits = proposals(4), torch.randn(4, CATEGORIES, SIDE, SIDE)
    instances[0].gt_classes = torch.tensor([0, 1, 2, 1])
    others = [instances[0][torch.tensor([True, False, True, False])]]
    expected = mask_head(getattr(plugin, name)()).mask_losses(logits[[0, 2]], others)
    head = mask_head(getattr(plugin, name)(class_weight=[1.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(head.mask_losses(logits, instances), expected)


@pytest.mark.parametrize("name", ["DiceLoss", "CrossEntropyLoss", "LovaszHingeLoss"])
def test_class_weights_know_the_category_of_class_agnostic_masks(name):
    """One channel for all categories: the same regions, and the same weights."""
    weights, instances = [0.5, 1.0, 2.0, 4.0], proposals(3, 2)
    one = torch.randn(5, 1, SIDE, SIDE)
    specific = mask_head(getattr(plugin, name)(class_weight=weights))
    agnostic = mask_head(
        getattr(plugin, name)(class_weight=weights), num_classes=1, num_categories=CATEGORIES
    )
    expected = specific.mask_losses(one.expand(-1, CATEGORIES, -1, -1), instances)["loss_mask"]
    value = agnostic.mask_losses(one, instances)["loss_mask"]
    torch.testing.assert_close(value, expected)


def test_class_agnostic_masks_do_not_tell_the_number_of_categories():
    with pytest.raises(ValueError, match="say num_categories"):
        mask_head(plugin.DiceLoss(class_weight=[1.0, 2.0, 1.0, 1.0]), num_classes=1)
    few = shipped_config(
        "MODEL.ROI_MASK_HEAD.LOSSES", "[{'NAME': 'DiceLoss', 'CLASS_WEIGHT': [1, 2]}]"
    )
    with pytest.raises(ValueError, match=r"ROI_MASK_HEAD.LOSSES\[0\]: .* CLASS_WEIGHT must .* 10"):
        build_model(few)
    weights = "[{'NAME': 'DiceLoss', 'CLASS_WEIGHT': [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]}]"
    cfg = shipped_config("MODEL.ROI_MASK_HEAD.LOSSES", weights)
    assert cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK
    (loss,) = build_model(cfg).roi_heads.mask_head.loss_modules
    assert loss.category_weight.tolist() == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_class_weights_repeat_regions_in_batch_statistics():
    """With sums over all regions, a category of weight 2 is there twice."""
    instances, logits = proposals(3), torch.randn(3, CATEGORIES, SIDE, SIDE)
    instances[0].gt_classes = torch.tensor([0, 1, 1])
    picked, masks, _ = regions(logits, instances)
    repeated = [0, 1, 1, 2, 2]
    core = metriseg.PowerJaccardLoss(activation="sigmoid", smooth=1.0)
    head = mask_head(plugin.PowerJaccardLoss(class_weight=[1.0, 2.0, 1.0, 1.0]))
    value = head.mask_losses(logits, instances)["loss_mask"]
    torch.testing.assert_close(value, core(picked[repeated], masks[repeated]))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: plugin.DiceLoss(class_weight=[1.0, 2.0]), "4 categories, got 2"),
        (lambda: plugin.DiceLoss(activation="softmax"), "activation='sigmoid'"),
        (lambda: plugin.DiceLoss(include_background=False), "include_background"),
        (lambda: plugin.DiceLoss(reduction="none"), "reduction"),
        (lambda: plugin.DiceCELoss(class_weight=[1.0] * CATEGORIES), "a CompoundLoss of its terms"),
        (
            lambda: plugin.CompoundLoss([plugin.NegativeMimeLoss()]),
            "needs logits with 3 classes",
        ),
        (lambda: metriseg.DiceLoss(), r"losses\[0\] must be a loss of metriseg_detectron2"),
    ],
)
def test_a_head_refuses_what_does_not_fit_when_it_is_built(loss, message):
    with pytest.raises(ValueError, match=message):
        mask_head(loss())


@pytest.mark.parametrize("losses", [[], [plugin.DiceLoss]])
def test_pictures_come_every_vis_period(losses):
    head = mask_head(*(loss() for loss in losses), vis_period=5)
    logits, instances = torch.randn(2, CATEGORIES, SIDE, SIDE), proposals(2)
    for iteration, pictures in ((3, 0), (5, 2)):
        with EventStorage(start_iter=iteration) as storage:
            head.mask_losses(logits, instances)
            assert len(storage._vis_data) == pictures
    assert storage._vis_data[0][1].shape == (3, SIDE, 2 * SIDE)


def test_no_losses_is_the_stock_mask_loss():
    logits, instances = torch.randn(4, CATEGORIES, SIDE, SIDE), proposals(4)
    with EventStorage():
        value = mask_head(loss_weight=2.0).mask_losses(logits, instances)
        assert value == {"loss_mask": 2 * mask_rcnn_loss(logits, instances)}


def test_half_precision_logits():
    """bfloat16 logits under autocast give the loss of the same numbers in float32."""
    logits, instances = torch.randn(3, CATEGORIES, SIDE, SIDE).bfloat16(), proposals(3)
    head = mask_head(plugin.DiceLoss())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = head.mask_losses(logits, instances)["loss_mask"]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, head.mask_losses(logits.float(), instances)["loss_mask"])


def test_a_stock_mask_head_loads_strictly_and_predicts_the_same():
    stock = mask_head(cls=MaskRCNNConvUpsampleHead).eval()
    head = mask_head(plugin.CrossEntropyLoss(class_weight=[1.0] * CATEGORIES)).eval()
    head.load_state_dict(stock.state_dict(), strict=True)
    features = torch.randn(3, 8, 7, 7)
    torch.testing.assert_close(head.layers(features), stock.layers(features))


def test_losses_move_with_the_head_but_are_no_layers():
    head = mask_head(plugin.DiceLoss(class_weight=[1.0] * CATEGORIES)).double()
    assert head.loss_modules[0].category_weight.dtype == torch.float64
    assert head.loss_modules[0] in list(head.modules())
    assert head.loss_modules not in list(head)
    assert head.layers(torch.randn(2, 8, 7, 7).double()).shape == (2, CATEGORIES, SIDE, SIDE)


def test_the_mask_head_scripts():
    """The scripted head gives the eager head's masks."""
    head = mask_head(plugin.DiceLoss(), plugin.FocalLoss()).eval()
    features = torch.randn(5, 8, 7, 7)
    detected = [
        Instances((IMAGE, IMAGE), pred_classes=torch.randint(CATEGORIES, (count,)))
        for count in (2, 3)
    ]
    eager = head(features, copy.deepcopy(detected))
    fields = {"pred_classes": torch.Tensor, "pred_masks": torch.Tensor}
    with freeze_training_mode(head), patch_instances(fields) as scripted_instances:
        scripted = torch.jit.script(head)
        found = scripted(features, [scripted_instances.from_instances(d) for d in detected])
    for one, other in zip(eager, found, strict=True):
        torch.testing.assert_close(one.pred_masks, other.pred_masks)


def test_cross_entropy_in_the_semantic_head_is_the_stock_loss():
    """Both are the mean over labelled pixels of -ln p of the label; 255 is ignored."""
    ours = semantic_head(plugin.CrossEntropyLoss(), loss_weight=0.5)
    stock = semantic_head(cls=SemSegFPNHead, loss_weight=0.5)
    stock.load_state_dict(ours.state_dict(), strict=True)
    features = {"p2": torch.randn(2, 8, 8, 8), "p3": torch.randn(2, 8, 4, 4)}
    labels = torch.randint(5, (2, 32, 32))
    labels[torch.rand(2, 32, 32) < 0.3] = 255
    _, value = ours(features, labels)
    _, expected = stock(features, labels)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    for head, losses in ((ours, value), (stock, expected)):
        losses["loss_sem_seg"].backward()
        assert head.predictor.weight.grad.any()
    torch.testing.assert_close(ours.predictor.weight.grad, stock.predictor.weight.grad)


def test_a_semantic_loss_is_the_core_loss():
    """Of logits at full size, with softmax and smoothing 1e-5."""
    labels = torch.randint(5, (2, 32, 32))
    labels[:, :4] = 255
    coarse = torch.randn(2, 5, 8, 8)
    logits = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    weights = [1.0, 2.0, 0.0, 1.0, 1.0]
    values = semantic_head(
        plugin.TverskyLoss(fn_weight=0.6, class_weight=weights),
        plugin.NegativeMimeLoss(loss_weight=2.0),
    ).losses(coarse, labels)
    tversky = metriseg.TverskyLoss(fn_weight=0.6, class_weight=weights, ignore_index=255)
    mime = metriseg.NegativeMimeLoss(ignore_index=255)
    expected = {
        "loss_sem_seg_tversky": tversky(logits, labels),
        "loss_sem_seg_negative_mime": 2 * mime(logits, labels),
    }
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("ignored", [255, -1])
def test_everything_ignored_costs_exactly_nothing(ignored):
    coarse = torch.randn(1, 5, 4, 4, requires_grad=True)
    head = semantic_head(plugin.DiceLoss(), plugin.CrossEntropyLoss(), ignore_value=ignored)
    values = head.losses(coarse, torch.full((1, 16, 16), ignored))
    assert [value.item() for value in values.values()] == [0, 0]
    sum(values.values()).backward()
    assert not coarse.grad.any()


def test_no_losses_is_the_stock_semantic_loss():
    ours, stock = semantic_head(), semantic_head(cls=SemSegFPNHead)
    coarse, labels = torch.randn(1, 5, 4, 4), torch.randint(5, (1, 16, 16))
    assert ours.losses(coarse, labels) == stock.losses(coarse, labels)


def test_lazy_heads():
    """LazyConfig hands over its own containers, also nested ones."""
    call = L(plugin.MetrisegMaskRCNNConvUpsampleHead)(
        input_shape=ShapeSpec(channels=8, height=7, width=7),
        num_classes=CATEGORIES,
        conv_dims=[8, 8],
        losses=[
            L(plugin.CompoundLoss)(
                terms=[
                    L(plugin.DiceLoss)(smooth=[0.5, 1.0], class_weight=[1, 1, 1, 2]),
                    L(plugin.FocalLoss)(gamma=1.0),
                ],
                weights=[1.0, {"schedule": "constant", "weight": 2.0}],
            )
        ],
    )
    values = instantiate(call).mask_losses(torch.randn(2, CATEGORIES, SIDE, SIDE), proposals(2))
    assert values["loss_mask"].isfinite()


def shipped_config(*overrides):
    return read_config(str(config_path("detectron2/mnist_mask-rcnn_power-jaccard.yaml")), overrides)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("GeneralizedRCNN", {"loss_mask"}),
        ("PanopticFPN", {"loss_mask", "loss_sem_seg_dice", "loss_sem_seg_focal"}),
    ],
)
def test_a_whole_model_has_the_stock_keys_and_trains_a_step(architecture, expected):
    """Weights of the stock model load strictly, and every loss is there."""
    semantic = (
        "MODEL.SEM_SEG_HEAD.NAME",
        "MetrisegSemSegFPNHead",
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
        "3",
        "MODEL.SEM_SEG_HEAD.LOSSES",
        "[{'NAME': 'DiceLoss'}, {'NAME': 'FocalLoss', 'LOSS_WEIGHT': 0.5}]",
    )
    cfg = shipped_config(
        "MODEL.META_ARCHITECTURE",
        architecture,
        *(semantic if architecture == "PanopticFPN" else ()),
    )
    model = build_model(cfg)
    stock = build_model(plugin.strip_metriseg_config(cfg))
    assert type(stock.roi_heads.mask_head) is MaskRCNNConvUpsampleHead
    model.load_state_dict(stock.state_dict(), strict=True)
    (instances,) = proposals(2)
    inputs = {
        "image": torch.rand(3, IMAGE, IMAGE) * 255,
        "instances": Instances(
            (IMAGE, IMAGE),
            gt_boxes=instances.proposal_boxes,
            gt_classes=instances.gt_classes,
            gt_masks=instances.gt_masks,
        ),
        "sem_seg": torch.randint(3, (IMAGE, IMAGE)),
    }
    with EventStorage():
        losses = model.train()([inputs])
    assert expected <= losses.keys()
    sum(losses.values()).backward()
    assert model.roi_heads.mask_head.predictor.weight.grad.any()


def test_a_loss_belongs_to_one_head():
    """In a second one it would change in the first."""
    loss = plugin.DiceLoss()
    semantic_head(loss)
    with pytest.raises(ValueError, match="loss of another head already"):
        mask_head(loss)


def test_a_single_loss_is_no_list():
    with pytest.raises(ValueError, match="losses must be a list"):
        mask_head(losses={"NAME": "DiceLoss"})


def test_points_are_rounded_for_whom_they_must_be():
    """Among the terms of a compound loss as well: each sees what it would see alone."""
    logits, labels = torch.randn(4, 1, 30), torch.rand(4, 1, 30)
    seen = Seen.of_regions("loss_mask_point", CATEGORIES, points=True)
    maps = {"category": torch.zeros(4, dtype=torch.int64)}

    def terms():
        return [plugin.CrossEntropyLoss(), plugin.LovaszHingeLoss()]

    alone = LossModules(terms(), seen)(logits, labels, maps=maps)
    together = LossModules([plugin.CompoundLoss(terms())], seen)(logits, labels, maps=maps)
    torch.testing.assert_close(together["loss_mask_point"], sum(alone.values()))
    hinge = LossModules([plugin.LovaszHingeLoss()], seen)
    of_hard = hinge(logits, (labels > 0.5).float(), maps=maps)["loss_mask_point"]
    torch.testing.assert_close(alone["loss_mask_point_lovasz_hinge"], of_hard)
