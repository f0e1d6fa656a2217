"""Maps and pixel weights of data samples reach the losses of MMSegmentation's own heads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("mmseg")

from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import stack_batch

from metriseg_mmseg.carried import (
    DENSE_MAPS,
    MAP_KEYS,
    PIXEL_WEIGHT,
    Carried,
    carrying,
    carrying_nothing,
)
from metriseg_mmseg.segmentors import CarryingMixin, EncoderDecoder

CLASSES, SIDE = 3, 8
#: Map -> a loss that reads it.
LOSSES = {
    "signed_distance": "BoundaryLoss",
    "region": "RegionWiseLoss",
    "penalty": "DistanceMapCrossEntropyLoss",
    "target_distance": "HausdorffDistanceTransformLoss",
    "skeleton": "SkeletonRecallLoss",
    "instances": "PartitionLoss",
}
SEGMENTS = {"type": "KernelSegments", "frequencies": 8, "bandwidth": 1.0, "seed": 0}


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def config(name: str, **words: Any) -> dict[str, Any]:
    if name == "PartitionLoss":
        words["segments"] = SEGMENTS
    return {"type": f"metriseg_mmseg.{name}", **words}


def head(loss_decode: Any, **words: Any) -> dict[str, Any]:
    return {
        "type": "FCNHead",
        "in_channels": 4,
        "in_index": 0,
        "channels": 4,
        "num_convs": 1,
        "num_classes": CLASSES,
        "dropout_ratio": 0,
        "align_corners": False,
        "loss_decode": loss_decode,
        **words,
    }


def segmentor(loss_decode: Any, kind: str = "metriseg_mmseg.EncoderDecoder", **words: Any) -> Any:
    torch.manual_seed(0)
    return MODELS.build(
        {
            "type": kind,
            "backbone": {"type": "metriseg_mmseg.SegNet", "width": 4, "depth": 1},
            "decode_head": head(loss_decode),
            **words,
        }
    ).eval()


def images(number: int = 2) -> Tensor:
    return torch.randn(number, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def samples(*keys: str, number: int = 2, size: tuple[int, int] = (SIDE, SIDE)) -> list[Any]:
    """Labels with an ignored row, and arbitrary maps, which no loss would compute itself."""
    random = torch.Generator().manual_seed(2)
    found = []
    for _ in range(number):
        labels = torch.randint(CLASSES, (1, *size), generator=random)
        labels[:, 0] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        maps = {name: torch.rand(CLASSES, *size, generator=random) for name in DENSE_MAPS}
        maps["penalty"] = torch.rand(1, *size, generator=random)
        maps["instances"] = torch.randint(4, (1, *size), generator=random)
        fields = {MAP_KEYS[name]: values for name, values in maps.items()}
        fields[PIXEL_WEIGHT] = torch.rand(1, *size, generator=random)
        sample.set_data({key: PixelData(data=fields[key]) for key in keys})
        found.append(sample)
    return found


def stacked(given: list[Any], key: str) -> Tensor:
    return torch.stack([sample.get(key).data for sample in given])


def labels_of(given: list[Any]) -> Tensor:
    return stacked(given, "gt_sem_seg").squeeze(1)


def expected(model: Any, given: list[Any], *names: str, weight: Tensor | None = None) -> Tensor:
    """The loss of the decode head, with maps as an argument."""
    maps = {name: stacked(given, MAP_KEYS[name]) for name in names}
    maps = {name: m if name in DENSE_MAPS else m.squeeze(1) for name, m in maps.items()}
    logits = model.decode_head(model.extract_feat(images()))
    return model.decode_head.loss_decode(logits, labels_of(given), weight=weight, maps=maps)


@pytest.mark.parametrize("name", LOSSES)
def test_a_map_reaches_the_losses_of_every_head(name: str) -> None:
    """The decode head's, an auxiliary one's in a list, and a compound's terms; value, gradient."""
    loss = config(LOSSES[name])
    compound = config("CompoundLoss", terms=[config("DiceLoss"), loss])
    model = segmentor(
        loss, auxiliary_head=[head([loss, {"type": "CrossEntropyLoss"}]), head(compound)]
    )
    model.auxiliary_head[0].load_state_dict(model.decode_head.state_dict())
    model.auxiliary_head[1].load_state_dict(model.decode_head.state_dict())
    given = samples(MAP_KEYS[name])
    found = model.loss(images(), given)
    key = model.decode_head.loss_decode.loss_name
    wanted = expected(model, given, name)
    torch.testing.assert_close(found[f"decode.{key}"], wanted)
    torch.testing.assert_close(found[f"aux_0.{key}"], wanted)
    dice = model.auxiliary_head[1].loss_decode.terms[0]
    logits = model.decode_head(model.extract_feat(images()))
    both = dice(logits, labels_of(given)) + wanted
    torch.testing.assert_close(found["aux_1.loss_compound"], both)
    assert not torch.isclose(wanted, expected(model, given))
    slopes = [
        torch.autograd.grad(value, model.decode_head.conv_seg.weight, retain_graph=True)[0]
        for value in (found[f"decode.{key}"], wanted)
    ]
    torch.testing.assert_close(*slopes)


def test_a_stock_segmentor_carries_nothing() -> None:
    model = segmentor(config("BoundaryLoss"), kind="EncoderDecoder")
    given = samples("gt_signed_distance_map")
    found = model.loss(images(), given)["decode.loss_boundary"]
    torch.testing.assert_close(found, expected(model, given))


def test_a_cascade_carries_for_every_stage() -> None:
    loss = config("BoundaryLoss")
    ocr = {**head(loss), "type": "OCRHead", "ocr_channels": 4, "norm_cfg": {"type": "BN"}}
    ocr.pop("num_convs")
    model = segmentor(
        loss,
        kind="metriseg_mmseg.CascadeEncoderDecoder",
        num_stages=2,
        decode_head=[head(loss), ocr],
    )
    given = samples("gt_signed_distance_map")
    found, bare = model.loss(images(), given), model.loss(images(), samples())
    for stage in ("decode_0", "decode_1"):
        assert not torch.isclose(found[f"{stage}.loss_boundary"], bare[f"{stage}.loss_boundary"])


@pytest.mark.parametrize("sampled", [False, True])
def test_a_pixel_weight_multiplies_the_heads(sampled: bool) -> None:
    """A sampler's zeros and ones, or none."""
    model = segmentor(config("CrossEntropyLoss"))
    given = samples(PIXEL_WEIGHT)
    weight = stacked(given, PIXEL_WEIGHT).squeeze(1)
    if sampled:
        sampler = {"type": "OHEMPixelSampler", "thresh": 0.3, "min_kept": 5}
        model = segmentor(None, decode_head=head(config("CrossEntropyLoss"), sampler=sampler))
        logits = model.decode_head(model.extract_feat(images()))
        chosen = model.decode_head.sampler.sample(logits, labels_of(given).unsqueeze(1))
        assert 0 < chosen.sum() < chosen.numel()
        weight = weight * chosen
    found = model.loss(images(), given)["decode.loss_ce"]
    torch.testing.assert_close(found, expected(model, given, weight=weight))


def test_stock_losses_see_no_weight() -> None:
    stock = {"type": "CrossEntropyLoss"}
    model = segmentor(stock)
    found = model.loss(images(), samples(PIXEL_WEIGHT))
    assert torch.equal(found["decode.loss_ce"], model.loss(images(), samples())["decode.loss_ce"])


@pytest.mark.parametrize("name", LOSSES)
def test_padding_does_not_count(name: str) -> None:
    """6 x 7 pixels that the preprocessor pads to 8 x 8 have the loss of the rest alone."""
    keys = (MAP_KEYS[name], PIXEL_WEIGHT)
    given = samples(*keys, size=(6, 7))
    model = segmentor(config(LOSSES[name]))
    logits = torch.randn(2, CLASSES, SIDE, SIDE)
    weight = stacked(given, PIXEL_WEIGHT).squeeze(1)
    values = stacked(given, MAP_KEYS[name])
    wanted = model.decode_head.loss_decode(
        logits[..., :6, :7],
        labels_of(given),
        weight=weight,
        maps={name: values if name in DENSE_MAPS else values.squeeze(1)},
    )
    _, padded = stack_batch([torch.zeros(3, 6, 7)] * 2, given, size=(SIDE, SIDE))
    assert padded[0].gt_sem_seg.shape == (SIDE, SIDE)
    with carrying(padded):
        found = model.decode_head.loss_by_feat(logits, padded)
    torch.testing.assert_close(found[model.decode_head.loss_decode.loss_name], wanted)


def test_samples_without_labels_are_padded_too() -> None:
    """By what the preprocessor has noted, or not at all."""
    given = samples("gt_penalty_map", size=(6, 7))
    for sample in given:
        del sample.gt_sem_seg
    assert Carried(given).stacked("gt_penalty_map").shape == (2, 1, 6, 7)
    for sample in given:
        sample.set_metainfo({"padding_size": (0, 1, 0, 2)})
    assert Carried(given).stacked("gt_penalty_map").shape == (2, 1, 8, 8)
    assert Carried(given).stacked("gt_penalty_map")[..., 7].sum() == 0


def test_another_size_is_an_error() -> None:
    """Neither a map that is larger, nor one that is smaller for another reason than padding."""
    model = segmentor(config("CompoundLoss", terms=[config("BoundaryLoss")]))
    for size, padding in (((10, 9), None), ((6, 6), (0, 1, 0, 1))):
        given = samples()
        for sample, other in zip(given, samples("gt_signed_distance_map", size=size), strict=True):
            sample.gt_signed_distance_map = other.gt_signed_distance_map
            if padding:
                sample.set_metainfo({"padding_size": padding})
        came = (7, 7) if padding else size
        message = (
            r"gt_signed_distance_map, which BoundaryLoss reads, must have the size of the logits,"
            rf" \(8, 8\), got \({came[0]}, {came[1]}\)"
        )
        with pytest.raises(ValueError, match=message):
            model.loss(images(), given)


def test_what_is_no_image_has_no_map() -> None:
    """Another number of them is found out; who knows better says that nothing is carried."""
    loss = segmentor(config("BoundaryLoss")).decode_head.loss_decode
    logits, labels = torch.randn(3, CLASSES, SIDE, SIDE), labels_of(samples(number=3))
    message = "BoundaryLoss reads, must be that of the 3 images of the logits, got it of 2"
    with carrying(samples("gt_signed_distance_map")):
        with pytest.raises(ValueError, match=message):
            loss(logits, labels)
        with carrying_nothing():
            found = loss(logits, labels)
        with pytest.raises(ValueError, match=message):
            loss(logits, labels)
    assert torch.equal(found, loss(logits, labels))


def test_a_loss_of_masks_has_no_map() -> None:
    """As many masks as images, of their size, by chance."""
    loss = MODELS.build({"type": "metriseg_mmseg.MaskLoss", "loss": config("CrossEntropyLoss")})
    logits, masks = torch.randn(2, SIDE, SIDE), torch.randint(2, (2, SIDE, SIDE))
    with carrying(samples(PIXEL_WEIGHT)):
        found = loss(logits, masks)
    assert torch.equal(found, loss(logits, masks))


def test_all_samples_or_none() -> None:
    given = [*samples("gt_region_map", number=1), *samples(number=1)]
    message = "gt_region_map must stand in all data samples or in none, got it in 1 of 2"
    with pytest.raises(ValueError, match=message):
        segmentor(config("RegionWiseLoss")).loss(images(), given)
    # who doesn't read it doesn't mind
    segmentor(config("DiceLoss")).loss(images(), given)


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("gt_penalty_map", torch.zeros(2, SIDE, SIDE), "gt_penalty_map must have one channel"),
        ("gt_pixel_weight", -torch.ones(1, SIDE, SIDE), "weight must be finite and not negative"),
        ("gt_instance_map", torch.zeros(1, SIDE, SIDE), "must hold integers"),
        ("gt_region_map", torch.zeros(2, SIDE, SIDE), r"maps\['region'\] must have shape"),
    ],
)
def test_what_is_no_map(key: str, values: Tensor, message: str) -> None:
    given = samples()
    for sample in given:
        sample.set_data({key: PixelData(data=values)})
    name = {key: name for name, key in MAP_KEYS.items()}.get(key, "penalty")
    with pytest.raises(ValueError, match=message):
        segmentor(config(LOSSES[name])).loss(images(), given)


def test_maps_as_an_argument_win() -> None:
    loss = segmentor(config("BoundaryLoss")).decode_head.loss_decode
    given, other = samples("gt_signed_distance_map"), torch.rand(2, CLASSES, SIDE, SIDE)
    logits, labels = torch.randn(2, CLASSES, SIDE, SIDE), labels_of(samples())
    with carrying(given):
        found = loss(logits, labels, maps={"signed_distance": other})
    assert torch.equal(found, loss(logits, labels, maps={"signed_distance": other}))


def test_nothing_is_left_behind() -> None:
    """Not after an error either; one model in another has its own samples, then the outer again."""
    loss = segmentor(config("BoundaryLoss")).decode_head.loss_decode
    logits, given = torch.randn(2, CLASSES, SIDE, SIDE), samples("gt_signed_distance_map")
    labels = labels_of(given)
    bare = loss(logits, labels)
    with pytest.raises(ValueError, match="none, got it in 1 of 2"):
        segmentor(config("BoundaryLoss")).loss(images(), [given[0], *samples(number=1)])
    assert torch.equal(loss(logits, labels), bare)
    with carrying(given):
        outer = loss(logits, labels)
        segmentor(config("BoundaryLoss")).loss(images(), samples())
        assert torch.equal(loss(logits, labels), outer)
    assert not torch.isclose(outer, bare)
    assert torch.equal(loss(logits, labels), bare)


def test_threads_do_not_share() -> None:
    """Two models train at once, on samples with and without maps; both wait within their loss."""
    meeting, found = threading.Barrier(2, timeout=60), {}

    class Waiting(EncoderDecoder):
        def extract_feat(self, inputs: Tensor) -> Any:
            meeting.wait()
            return super().extract_feat(inputs)

    def train(keys: tuple[str, ...]) -> None:
        found[keys] = models[keys].loss(images(), samples(*keys))["decode.loss_boundary"]

    models = {keys: segmentor(config("BoundaryLoss")) for keys in ((), ("gt_signed_distance_map",))}
    alone = {}
    for keys, model in models.items():
        alone[keys] = model.loss(images(), samples(*keys))["decode.loss_boundary"]
        model.__class__ = Waiting
    threads = [threading.Thread(target=train, args=(keys,)) for keys in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in alone.items()}


def test_an_unread_map_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("metriseg_mmseg.segmentors.print_log", lambda text, *_: told.append(text))
    keys = ("gt_region_map", "gt_signed_distance_map", "gt_instance_map", PIXEL_WEIGHT)
    model = segmentor(config("BoundaryLoss"))
    for _ in range(2):
        model.loss(images(), samples(*keys))
    assert told == ["no loss in the model reads gt_region_map"]
    segmentor({"type": "CrossEntropyLoss"}).loss(images(), samples(PIXEL_WEIGHT))
    assert told[1:] == [f"no loss in the model reads {PIXEL_WEIGHT}"]


def test_the_mixin_makes_any_segmentor_carry() -> None:
    class Inner(nn.Module):
        def loss(self, inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
            return {"loss": self.criterion(inputs, labels_of(data_samples))}

    class Own(CarryingMixin, Inner):
        pass

    model, given = Own(), samples("gt_signed_distance_map")
    model.criterion = segmentor(config("BoundaryLoss")).decode_head.loss_decode
    logits = torch.randn(2, CLASSES, SIDE, SIDE)
    maps = {"signed_distance": stacked(given, "gt_signed_distance_map")}
    wanted = model.criterion(logits, labels_of(given), maps=maps)
    assert torch.equal(model.loss(logits, given)["loss"], wanted)


def test_a_compiled_loss_sees_them_too() -> None:
    """And sees them no more afterwards: what is carried is a guard of the graph."""
    loss = segmentor(config("BoundaryLoss")).decode_head.loss_decode
    compiled = torch.compile(loss, backend="eager")
    given, logits = samples("gt_signed_distance_map"), torch.randn(2, CLASSES, SIDE, SIDE)
    labels = labels_of(given)
    with carrying(given):
        torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))
    torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))


def test_a_head_with_an_embedding_reads_all() -> None:
    """Within a stock segmentor as well."""
    words = {"type": "metriseg_mmseg.EmbeddingFCNHead", "embedding_channels": 2}
    for kind in ("EncoderDecoder", "metriseg_mmseg.EmbeddingEncoderDecoder"):
        model = segmentor(None, kind=kind, decode_head=head(config("BoundaryLoss"), **words))
        given = samples("gt_signed_distance_map", PIXEL_WEIGHT)
        logits = model.decode_head(model.extract_feat(images()))[:, :CLASSES]
        wanted = model.decode_head.loss_decode(
            logits,
            labels_of(given),
            weight=stacked(given, PIXEL_WEIGHT).squeeze(1),
            maps={"signed_distance": stacked(given, "gt_signed_distance_map")},
        )
        torch.testing.assert_close(model.loss(images(), given)["decode.loss_boundary"], wanted)


def test_the_head_of_segments_pads_and_weighs() -> None:
    """Of a map of 6 x 7 in labels of 8 x 8, and pixel weights."""
    words = {"type": "metriseg_mmseg.SegmentHead"}
    loss = {"type": "metriseg_mmseg.PartitionLoss", "segments": SEGMENTS}
    cfg = head(loss, **words)
    cfg.pop("num_classes")
    model = segmentor(None, decode_head=cfg)
    _, given = stack_batch(
        [torch.zeros(3, 6, 7)] * 2,
        samples("gt_instance_map", PIXEL_WEIGHT, size=(6, 7)),
        size=(SIDE, SIDE),
    )
    found = model.loss(images(), given)["decode.loss_partition"]
    logits = model.decode_head(model.extract_feat(images()))
    labels = labels_of(given)[:, :6, :7]
    wanted = model.decode_head.loss_decode(
        logits[..., :6, :7],
        torch.where(labels == 255, 255, (labels > 0).long()),
        weight=stacked(given, PIXEL_WEIGHT).squeeze(1),
        maps={"instances": stacked(given, "gt_instance_map").squeeze(1)},
    )
    torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match=r"must hold gt_instance_map.*PackInstanceInputs"):
        model.loss(images(), samples())
