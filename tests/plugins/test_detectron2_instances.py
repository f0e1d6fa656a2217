"""Instances from a semantic network of Detectron2, by config alone."""

from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import inference_on_dataset
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_model
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

import metriseg
import metriseg_detectron2 as plugin
from metriseg.models import UNet
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.datasets import register_shapes
from metriseg_detectron2.segmentor import painted_instances

SIDE, CLASSES, DIMENSIONS = 32, 2, 4
KERNEL = {"TYPE": "KernelSegments", "FREQUENCIES": 16, "SEED": 0}
PARTITION = {"NAME": "PartitionLoss", "SEGMENTS": KERNEL, "INCLUDE_BACKGROUND": False}
LOSSES = [PARTITION, {"NAME": "CrossEntropyLoss"}]
NAME = "normalized_partition_distance"


@BACKBONE_REGISTRY.register()
class SmallUNet(Backbone):
    """Features at the images' size."""

    def __init__(self, cfg=None, input_shape=None):
        super().__init__()
        self.network = UNet(3, 16, width=8, depth=2)

    def forward(self, images):
        return {"p0": self.network(images)}

    def output_shape(self):
        return {"p0": ShapeSpec(channels=16, stride=1)}

    @property
    def size_divisibility(self):
        return 8


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def config(*overrides):
    cfg = get_cfg()
    plugin.add_metriseg_config(cfg)
    model = cfg.MODEL
    model.DEVICE, model.META_ARCHITECTURE, model.MASK_ON = "cpu", "MetrisegEmbeddingSegmentor", True
    model.BACKBONE.NAME, model.WEIGHTS = "SmallUNet", ""
    model.PIXEL_MEAN, model.PIXEL_STD = [127.5] * 3, [127.5] * 3
    head = model.SEM_SEG_HEAD
    head.NAME, head.IN_FEATURES = "MetrisegEmbeddingSemSegFPNHead", ["p0"]
    head.NUM_CLASSES, head.CONVS_DIM, head.COMMON_STRIDE, head.NORM = CLASSES, 16, 1, ""
    head.LOSSES = LOSSES
    model.EMBEDDING.CHANNELS = DIMENSIONS
    cfg.merge_from_list(list(overrides))
    return cfg


def square(*corners, side=SIDE):
    masks = torch.zeros(len(corners), side, side, dtype=torch.bool)
    for mask, (low, high) in zip(masks, corners, strict=True):
        mask[low:high, low:high] = True
    return Instances(
        (side, side), gt_masks=BitMasks(masks), gt_boxes=Boxes(torch.zeros(len(corners), 4))
    )


def inputs(side=SIDE - 2):
    """Two images; on each two squares of class 1 that touch at a corner's edge."""
    found = []
    for _ in range(2):
        instances = square((2, 12), (10, 20), side=side)
        classes = (painted_instances(instances) > 0).long()
        image = torch.randint(256, (3, side, side)).float()
        found.append({"image": image, "sem_seg": classes, "instances": instances})
    return found


def test_the_smallest_instance_is_on_top():
    """10 x 10, 4 x 4 and 6 x 6: numbered 1, 3 and 2, whatever their order."""
    painted = painted_instances(square((0, 10), (4, 8), (3, 9)))
    assert [painted[k, k].item() for k in (0, 3, 5, 11)] == [1, 2, 3, 0]
    polygon = [0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0]
    of_polygons = Instances((SIDE, SIDE), gt_masks=PolygonMasks([[polygon]]))
    assert torch.equal(painted_instances(of_polygons), painted_instances(square((0, 10))))
    assert torch.equal(painted_instances(square()), torch.zeros(SIDE, SIDE, dtype=torch.int64))


@pytest.mark.parametrize("instances", [True, False])
def test_the_losses_see_embedding_and_instances(instances):
    """Images of 30 x 30 are padded to 32 x 32, which doesn't count."""
    model, given = build_model(config()), inputs()
    if not instances:
        given = [{k: v for k, v in one.items() if k != "instances"} for one in given]
    values = model(given)
    images = torch.stack([(one["image"] - 127.5) / 127.5 for one in given])
    padded = torch.nn.functional.pad(images, (0, 2, 0, 2))
    both = model.sem_seg_head.layers(model.backbone(padded))[..., :30, :30]
    maps = {"instances": torch.stack([painted_instances(i["instances"]) for i in inputs()])}
    kernel = {key.lower(): value for key, value in KERNEL.items()}
    expected = metriseg.PartitionLoss(kernel, include_background=False)(
        both[:, :CLASSES],
        torch.stack([one["sem_seg"] for one in given]),
        features=both[:, CLASSES:],
        maps=maps if instances else None,
    )
    assert values.keys() == {"loss_sem_seg_partition", "loss_sem_seg_cross_entropy"}
    torch.testing.assert_close(values["loss_sem_seg_partition"], expected)
    sum(values.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_outputs_have_the_asked_size():
    model = build_model(config()).eval()
    with torch.no_grad():
        (found, _) = model([{**one, "height": 60, "width": 45} for one in inputs()])
        stock = model.sem_seg_head(model.backbone(torch.zeros(1, 3, SIDE, SIDE)))
    assert found["sem_seg"].shape == (CLASSES, 60, 45)
    assert found["instance_map"].shape == (60, 45)
    assert torch.equal(found["instance_map"] > 0, found["sem_seg"].argmax(0) != 0)
    assert stock[0].shape == (1, CLASSES, SIDE, SIDE)


def test_yaml_round_trip(tmp_path):
    """Dumped and read again, with a nested key from the command line."""
    losses = str([{**PARTITION, "SEGMENTS": {"TYPE": "KernelSegments", "BANDWIDTH": 2}}])
    cfg = config("MODEL.SEM_SEG_HEAD.LOSSES", losses, "MODEL.EMBEDDING.BANDWIDTH", 2.0)
    (tmp_path / "dumped.yaml").write_text(cfg.dump())
    again = get_cfg()
    plugin.add_metriseg_config(again)
    again.merge_from_file(tmp_path / "dumped.yaml")
    assert again.MODEL.SEM_SEG_HEAD == cfg.MODEL.SEM_SEG_HEAD
    assert again.MODEL.EMBEDDING == cfg.MODEL.EMBEDDING
    model = build_model(again)
    assert model.bandwidth == model.sem_seg_head.loss_modules[0].extractor.bandwidth == 2.0


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ({"TYPE": "KernelSegment"}, r"LOSSES\[0\].*did you mean 'KernelSegments'"),
        ({"TYPE": "KernelSegments", "FREQUENCY": 3}, r"LOSSES\[0\].*FREQUENCIES"),
    ],
)
def test_unknown_words_are_refused(segments, message):
    with pytest.raises(ValueError, match=message):
        build_losses([{"NAME": "PartitionLoss", "SEGMENTS": segments}])


def test_lazy_config(tmp_path):
    """The same model, from a file that was saved and loaded; extractors by name or by class."""
    segments = [{"type": "KernelSegments"}, L(metriseg.extraction.KernelSegments)(frequencies=8)]
    call = L(plugin.MetrisegEmbeddingSegmentor)(
        backbone=L(SmallUNet)(),
        sem_seg_head=L(plugin.MetrisegEmbeddingSemSegFPNHead)(
            input_shape={"p0": L(ShapeSpec)(channels=16, stride=1)},
            num_classes=CLASSES,
            conv_dims=16,
            common_stride=1,
            losses=[L(plugin.PartitionLoss)(segments=one) for one in segments],
        ),
        pixel_mean=[127.5] * 3,
        pixel_std=[127.5] * 3,
        bandwidth=1.5,
    )
    del call["backbone"]
    LazyConfig.save(OmegaConf.create({"model": call}), str(tmp_path / "saved.yaml"))
    loaded = LazyConfig.load(str(tmp_path / "saved.yaml")).model
    loaded.backbone = L(SmallUNet)()
    model = instantiate(loaded)
    with EventStorage():
        values = model(inputs())
    assert values.keys() == {"loss_sem_seg_partition", "loss_sem_seg_partition_2"}
    assert model.bandwidth == 1.5
    assert [loss.extractor.frequencies for loss in model.sem_seg_head.loss_modules] == [64, 8]


def test_a_stock_tool_loads_the_stripped_config():
    stripped = plugin.strip_metriseg_config(config())
    stock = get_cfg()
    stock.merge_from_other_cfg(stripped)
    assert "EMBEDDING" not in stripped.MODEL
    assert stock.MODEL.SEM_SEG_HEAD.NAME == "SemSegFPNHead"
    assert stock.MODEL.META_ARCHITECTURE == "SemanticSegmentor"


def test_a_head_without_an_embedding_is_refused():
    with pytest.raises(ValueError, match=r"sem_seg_head must be .* got MetrisegSemSegFPNHead"):
        build_model(config("MODEL.SEM_SEG_HEAD.NAME", "MetrisegSemSegFPNHead"))


@pytest.mark.training
def test_detectron2s_trainer_trains_it(tmp_path):
    """Losses fall, and the instances are nearer to the truth than an untrained network's."""
    settings = {"size": (SIDE, SIDE), "shapes": ["circle"], "number": (2, 3), "radius": (5.0, 8.0)}
    name = register_shapes("train", tmp_path, name="instances_test", length=32, settings=settings)
    cfg = config("DATASETS.TRAIN", (name,), "DATASETS.TEST", (), "OUTPUT_DIR", str(tmp_path))
    partition = {**PARTITION, "SEGMENTS": {"TYPE": "KernelSegments"}, "LOSS_WEIGHT": 3.0}
    cfg.MODEL.SEM_SEG_HEAD.LOSSES = [partition, LOSSES[1]]
    cfg.INPUT.MASK_FORMAT, cfg.INPUT.RANDOM_FLIP = "bitmask", "none"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (SIDE,), SIDE
    cfg.DATALOADER.NUM_WORKERS, cfg.SEED = 0, 0
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = 8, 0.1
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.STEPS = 60, 5, ()
    try:
        trainer = DefaultTrainer(cfg)
        loader = build_detection_test_loader(cfg, name)

        def distance():
            evaluator = plugin.PartitionEvaluator(name, "instance_map", metrics=NAME)
            return inference_on_dataset(trainer.model, loader, evaluator)["partition"][NAME]

        before = distance()
        trainer.model.train()
        trainer.train()
        after = distance()
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    for key in ("loss_sem_seg_partition", "loss_sem_seg_cross_entropy"):
        values = [value for value, _ in trainer.storage.history(key).values()]
        assert len(values) == 60
        assert torch.tensor(values).isfinite().all()
        assert sum(values[-10:]) < 0.7 * sum(values[:10]), values
    assert Path(tmp_path / "model_final.pth").is_file()

    assert after < 0.5 * before, (before, after)


def test_crowds_do_not_count_among_instances():
    """Whatever is predicted on two crowd blobs costs nothing, and no other loss forgets them."""
    given = inputs(side=SIDE)
    crowds = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    crowds[24:28, 2:8] = crowds[24:28, 20:28] = True
    for one in given:
        one["sem_seg"][crowds] = 1
        one["crowds"] = crowds
    model = build_model(config())
    logits = torch.nn.functional.one_hot(torch.stack([i["sem_seg"] for i in given])).movedim(3, 1)
    truth = torch.stack([painted_instances(i["instances"], crowds) for i in given])
    assert (truth[:, crowds] == -1).all()
    loss = model.sem_seg_head.loss_modules[0]

    def cost(apart):
        names = torch.where(truth < 0, 7, truth)
        if apart:
            names = torch.where((truth < 0) & (torch.arange(SIDE) > 14), 8, names)
        features = 50.0 * torch.nn.functional.one_hot(names, 9).movedim(3, 1).float()
        maps = {"instances": truth}
        return loss(20.0 * logits.float(), logits.argmax(1), maps=maps, features=features).item()

    # an estimate of nothing, with this many frequencies
    assert cost(apart=True) == pytest.approx(0, abs=2e-2)
    assert cost(apart=False) == pytest.approx(cost(apart=True), abs=1e-6)
    with_crowds = {key: value.item() for key, value in model(given).items()}
    without = [{k: v for k, v in one.items() if k != "crowds"} for one in given]
    ignorant = {key: value.item() for key, value in model(without).items()}
    (partition, cross_entropy) = with_crowds
    assert with_crowds[cross_entropy] == ignorant[cross_entropy]
    assert with_crowds[partition] != ignorant[partition]


def test_in_a_batch_each_image_has_the_instances_that_it_can_have():
    """Of the second, without annotations, the components of its classes."""
    model, given = build_model(config()), inputs(side=SIDE)
    del given[1]["instances"]
    truth = model._true_instances(given)
    assert torch.equal(truth[0], painted_instances(given[0]["instances"]))
    components = metriseg.components.connected_components(given[1]["sem_seg"])
    assert torch.equal(truth[1], torch.from_numpy(components))
    assert len(truth[1].unique()) == 2  # the two squares touch
    given[0]["instances"].remove("gt_masks")
    assert model._true_instances(given) is None


def test_pixel_weights_multiply_what_pixels_cost():
    """Of a quarter 0: the mean cross-entropy of the others, times 3/4; pairs as without them."""
    model, given = build_model(config()), inputs(side=SIDE)
    ignoring = [dict(one) for one in given]
    for one, other in zip(given, ignoring, strict=True):
        one["sem_seg_weights"] = torch.ones(SIDE, SIDE)
        one["sem_seg_weights"][:8] = 0
        other["sem_seg"] = other["sem_seg"].clone()
        other["sem_seg"][:8] = model.sem_seg_head.ignore_value
    found, expected = ({key: v.item() for key, v in model(b).items()} for b in (given, ignoring))
    expected["loss_sem_seg_cross_entropy"] *= 0.75
    assert found == pytest.approx(expected, rel=1e-5)
    del given[1]["sem_seg_weights"]
    with pytest.raises(ValueError, match="batched_inputs must all have 'sem_seg_weights'"):
        model(given)


def test_an_image_of_crowds_alone_has_no_instance():
    """Detectron2 makes no masks of an empty list; the rest of the image is background."""
    model, given = build_model(config()), inputs(side=SIDE)
    crowds = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    crowds[:4] = True
    given[0]["instances"] = Instances((SIDE, SIDE), gt_classes=torch.zeros(0).long())
    given[0]["crowds"] = crowds
    truth = model._true_instances(given)
    assert torch.equal(truth[0], -crowds.long())
    assert torch.equal(truth[1], painted_instances(given[1]["instances"]))
    del given[0]["instances"], given[1]["instances"]
    truth = model._true_instances(given)
    assert (truth[0][crowds] == -1).all()
    assert (truth[0][~crowds] >= 0).all()


def test_an_image_costs_the_same_whatever_its_neighbour_has():
    """Components are found as the loss finds them: here two squares that touch at a corner."""
    loss = {**PARTITION, "CONNECTIVITY": 2}
    model, given = build_model(config("MODEL.SEM_SEG_HEAD.LOSSES", [loss])), inputs(side=SIDE)
    classes = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    classes[4:8, 4:8] = classes[8:12, 8:12] = 1
    given[0]["sem_seg"] = classes
    del given[0]["instances"]
    first = model._true_instances(given)[0]
    assert first[5, 5] == first[10, 10] != first[0, 0]


PLACED = {
    **PARTITION,
    "SEGMENTS": {"TYPE": "KernelSegments", "PIXELS_PER_UNIT": 4, "SAMPLES": 200},
    "WEIGHTING": "union",
}
PLACES = (
    "MODEL.SEM_SEG_HEAD.LOSSES",
    [PLACED, {"NAME": "CrossEntropyLoss"}],
    "MODEL.EMBEDDING.PIXELS_PER_UNIT",
    4.0,
    "MODEL.EMBEDDING.COORDINATES",
    False,
)


def test_places_are_those_of_the_networks_pixels():
    """Offsets that lead to the middle of two squares; the outputs twice and half as large agree."""
    model = build_model(config(*PLACES)).eval()
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    middles = torch.where(columns < SIDE // 2, SIDE // 4, 3 * SIDE // 4)
    both = torch.zeros(CLASSES + DIMENSIONS, SIDE, SIDE)
    both[1] = 9.0  # all is foreground
    both[CLASSES], both[CLASSES + 1] = (SIDE / 2 - rows) / 4, (middles - columns) / 4
    for height, width in ((SIDE, SIDE), (2 * SIDE, SIDE), (SIDE // 2, 2 * SIDE)):
        output = model._output(both, (SIDE, SIDE), {"height": height, "width": width})
        found = output["instance_map"]
        assert found.unique().tolist() == [1, 2]
        middle = width // 2
        # but for the column that was interpolated
        assert (found[:, : middle - 2] == found[0, 0]).all()
        assert (found[:, middle + 2 :] == found[0, -1]).all()


def test_places_train_and_must_be_those_of_the_loss():
    model = build_model(config(*PLACES))
    values = model(inputs())
    sum(values.values()).backward()
    assert model.sem_seg_head.embedding.state_dict().keys()
    assert any(weight.grad.any() for weight in model.sem_seg_head.embedding.parameters())
    for wrong in (None, 5.0):
        with pytest.raises(ValueError, match=r"pixels_per_unit must be that of the loss's Kernel"):
            build_model(config(*PLACES, "MODEL.EMBEDDING.PIXELS_PER_UNIT", wrong))
