"""Maps, weights and objects in MMSegmentation's pipelines: loaded, computed, packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmseg")

from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import TRANSFORMS
from mmseg.utils import stack_batch

from metriseg_mmseg import losses
from metriseg_mmseg.carried import MAP_KEYS, PIXEL_WEIGHT, carrying
from metriseg_mmseg.distance_map import DistanceMap, SkeletonMap
from metriseg_mmseg.map_files import LoadDistanceMap, LoadInstanceMap, LoadPixelWeight
from metriseg_mmseg.metrics import PartitionMetric
from metriseg_mmseg.transforms import InstancesToLabels, PackInstanceInputs, PackSegInputs

HEIGHT, WIDTH = 12, 16
#: Transform's arguments, and the loss that would compute the same.
CASES = [
    ({"map": "signed_distance"}, losses.BoundaryLoss()),
    ({"map": "signed_distance", "spacing": [2.0, 0.5]}, losses.BoundaryLoss(spacing=[2.0, 0.5])),
    ({"map": "region"}, losses.RegionWiseLoss()),
    ({"map": "region", "kind": "boundary"}, losses.RegionWiseLoss(map="boundary")),
    ({"map": "penalty"}, losses.DistanceMapCrossEntropyLoss()),
    ({"map": "penalty", "kind": "raw"}, losses.DistanceMapCrossEntropyLoss(map="raw")),
    ({"map": "target_distance"}, losses.HausdorffDistanceTransformLoss()),
    ({"map": "skeleton"}, losses.SkeletonRecallLoss()),
    ({"map": "skeleton", "tube": 0}, losses.SkeletonRecallLoss(tube=0)),
]


@pytest.fixture(autouse=True)
def _in_mmseg() -> Any:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def labels(classes: int = 3, seed: int = 0) -> np.ndarray:
    """Blocks of classes, of which the last but one is absent; two rows and a pixel don't count."""
    random = np.random.default_rng(seed)
    small = random.choice([c for c in range(classes) if c != classes - 2 or classes < 3], (4, 4))
    found = np.kron(small, np.ones((3, 4), int)).astype(np.uint8)
    found[:2] = 255
    found[7, 7] = 255
    return found


def packed(label: np.ndarray, *transforms: Any, **more: Any) -> Any:
    results = {"img": np.zeros((*label.shape, 3), np.uint8), "gt_seg_map": label, **more}
    for one in (*transforms, PackSegInputs()):
        results = one(results)
    return results["data_samples"]


def value_and_slope(loss: Any, logits: torch.Tensor, samples: list[Any]) -> tuple[Any, Any]:
    logits = logits.clone().requires_grad_()
    target = torch.stack([sample.gt_sem_seg.data for sample in samples]).squeeze(1)
    with carrying(samples):
        value = loss(logits, target)
    (slope,) = torch.autograd.grad(value, logits)
    return value.detach(), slope


@pytest.mark.parametrize(("words", "loss"), CASES)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_map_is_what_the_loss_would_compute(
    words: dict[str, Any], loss: Any, classes: int, weighted: bool
) -> None:
    """Bit for bit, value and gradient, with ignored pixels, pixels of weight 0, and padding."""
    if words["map"] == "skeleton":
        made = SkeletonMap(classes, **{k: v for k, v in words.items() if k != "map"})
    else:
        made = DistanceMap(num_classes=classes, **words)
    pairs = []
    for seed in range(2):
        label = labels(max(classes, 2), seed)
        more: dict[str, Any] = {}
        if weighted:
            weight = np.random.default_rng(seed).random(label.shape).astype(np.float32)
            more[PIXEL_WEIGHT] = np.where(weight < 0.3, np.float32(0), weight)
        pairs.append((packed(label, made, **more), packed(label, **more)))
    images = [torch.zeros(3, HEIGHT, WIDTH)] * 2
    with_map, without = (
        stack_batch(images, list(given), size=(HEIGHT + 4, WIDTH + 1))[1]
        for given in zip(*pairs, strict=True)
    )
    key = MAP_KEYS[words["map"]]
    assert key in with_map[0]
    assert key not in without[0]
    random = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(2, classes, HEIGHT + 4, WIDTH + 1, generator=random)
    found, wanted = (value_and_slope(loss, logits, given) for given in (with_map, without))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    assert wanted[1].abs().sum() > 0


def test_distances_by_hand() -> None:
    """One row 0 0 1 1: outside, the distance to the class; inside, minus that out, plus 1."""
    sample = packed(np.array([[0, 0, 1, 1]], np.uint8), DistanceMap("signed_distance", 2))
    found = sample.gt_signed_distance_map.data
    assert found.tolist() == [[[-1, 0, 1, 2]], [[2, 1, 0, -1]]]
    assert found.dtype == torch.float32
    penalty = packed(np.array([[0, 0, 1, 1]], np.uint8), DistanceMap("penalty", 2, kind="raw"))
    assert penalty.gt_penalty_map.data.shape == (1, 1, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"map": "distance"}, "map must be one of 'signed_distance'"),
        ({"map": "region", "kind": "raw"}, "kind must be one of None, 'rectified', 'boundary'"),
        ({"map": "signed_distance", "kind": "raw"}, "kind must be"),
        ({"map": "region", "num_classes": 0}, "num_classes must be a whole number >= 1"),
        ({"map": "region", "spacing": [0, 1]}, "spacing"),
    ],
)
def test_arguments_of_a_map(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistanceMap(**{"num_classes": 3, **words})


def test_labels_that_have_no_map() -> None:
    made = DistanceMap("region", num_classes=2)
    with pytest.raises(ValueError, match=r"target must hold.*2"):
        made({"gt_seg_map": np.full((2, 2), 2, np.uint8)})
    with pytest.raises(ValueError, match=r"must be labels \(H, W\).*got none: .*LoadAnnotations"):
        made({})
    with pytest.raises(ValueError, match=r"got shape \(2, 2, 3\)"):
        made({"gt_seg_map": np.zeros((2, 2, 3), np.uint8)})


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "RandomFlip", "prob": 1.0},
        {"type": "RandomCrop", "crop_size": (8, 8)},
        {"type": "Resize", "scale": (32, 24)},
        {"type": "RandomRotate", "prob": 1.0, "degree": (90, 90)},
        {"type": "RandomCutOut", "prob": 1.0, "n_holes": 1, "cutout_shape": (4, 4),
         "seg_fill_in": 1},
    ],
)  # fmt: skip
def test_labels_may_not_change_behind_a_map(changes: dict[str, Any]) -> None:
    """The cut-out changes them in place."""
    np.random.seed(0)
    results = {
        "img": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "img_shape": (HEIGHT, WIDTH),
        "gt_seg_map": labels(),
        "seg_fields": ["gt_seg_map"],
    }
    made = {"type": "metriseg_mmseg.DistanceMap", "map": "region", "num_classes": 3}
    pack = {"type": "metriseg_mmseg.PackSegInputs"}
    Compose([changes, made, pack])({**results, "gt_seg_map": labels()})
    with pytest.raises(ValueError, match="gt_region_map: the labels have changed since"):
        Compose([made, changes, pack])(results)


def save(root: Path, name: str, values: np.ndarray) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)


def objects() -> np.ndarray:
    """A number for every block of 3 x 4 pixels, from 1000 on; 0 in the first column."""
    found = np.kron(np.arange(1000, 1016).reshape(4, 4), np.ones((3, 4), int))
    found[:, :4] = 0
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One image, ``train/images/a.png``, its labels, and what belongs to them."""
    random = np.random.default_rng(0)
    save(tmp_path, "train/images/a.png", random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    save(tmp_path, "train/labels/a.png", labels())
    save(tmp_path, "train/instances/a.png", objects().astype(np.uint16))
    save(tmp_path, "train/weights/a.npy", labels().astype(np.float64) / 3)
    distances = np.stack([labels() == c for c in range(3)]).astype(np.float64)
    save(tmp_path, "train/signed_distance/a.npy", distances)
    return tmp_path


def dataset(
    root: Path, *pipeline: dict[str, Any], labels: str = "labels", **words: Any
) -> BaseSegDataset:
    load = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    return BaseSegDataset(
        data_root=str(root),
        data_prefix={"img_path": "train/images", "seg_map_path": f"train/{labels}"},
        img_suffix=".png",
        metainfo={"classes": ("a", "b", "c")},
        pipeline=[*load[: 2 if labels == "labels" else 1], *pipeline],
        **words,
    )


LOADERS = [
    {"type": "metriseg_mmseg.LoadInstanceMap"},
    {"type": "metriseg_mmseg.LoadPixelWeight", "scale": 3.0},
    {"type": "metriseg_mmseg.LoadDistanceMap", "map": "signed_distance"},
]
PACK = {"type": "metriseg_mmseg.PackSegInputs"}


def test_what_is_loaded_is_packed(root: Path) -> None:
    """As it stands in the files, in the shapes that losses want."""
    sample = dataset(root, *LOADERS, PACK)[0]["data_samples"]
    truth = torch.from_numpy(labels().astype(np.int64))
    assert torch.equal(sample.gt_sem_seg.data[0], truth)
    assert torch.equal(sample.gt_instance_map.data[0], torch.from_numpy(objects()))
    assert sample.gt_instance_map.data.dtype == torch.int64
    torch.testing.assert_close(sample.gt_pixel_weight.data[0], truth.float())
    assert sample.gt_signed_distance_map.data.shape == (3, HEIGHT, WIDTH)
    for c in range(3):
        assert torch.equal(sample.gt_signed_distance_map.data[c] > 0, truth == c)


def test_transforms_take_them_along(root: Path) -> None:
    """Flipped and cropped, in whatever way, they still lie on their labels."""
    changes = [
        {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"},
        {"type": "RandomFlip", "prob": 0.5, "direction": "vertical"},
        {"type": "RandomCrop", "crop_size": (7, 9)},
    ]
    data = dataset(root, *LOADERS, *changes, PACK)
    seen = set()
    for _ in range(20):
        sample = data[0]["data_samples"]
        truth = sample.gt_sem_seg.data
        assert truth.shape == sample.gt_instance_map.data.shape == (1, 7, 9)
        seen.add(tuple(sample.gt_instance_map.data.flatten().tolist()))
        torch.testing.assert_close(sample.gt_pixel_weight.data, truth.float())
        for c in range(3):
            assert torch.equal(sample.gt_signed_distance_map.data[c] > 0, truth[0] == c)
        for number in sample.gt_instance_map.data.unique():
            block = truth[(sample.gt_instance_map.data == number) & (truth != 255)]
            assert number == 0 or len(block.unique()) <= 1
    assert len(seen) > 3


def test_sizes_and_rotations(root: Path) -> None:
    """By the nearest pixel: no number and no weight that wasn't there."""
    resize = {"type": "Resize", "scale": (24, 18)}
    rotate = {"type": "RandomRotate", "prob": 1.0, "degree": 30, "seg_pad_val": 255}
    sample = dataset(root, *LOADERS[:2], resize, rotate, PACK)[0]["data_samples"]
    known = {0, 255, *range(1000, 1016)}
    assert set(sample.gt_instance_map.data.unique().tolist()) <= known
    assert sample.gt_instance_map.data.shape == sample.gt_sem_seg.data.shape == (1, 18, 24)
    torch.testing.assert_close(sample.gt_pixel_weight.data, sample.gt_sem_seg.data.float())


def test_loaded_distances_must_not_be_resized(root: Path) -> None:
    resize = {"type": "Resize", "scale": (24, 18)}
    with pytest.raises(ValueError, match=r"gt_signed_distance_map: distances must not be resized"):
        dataset(root, LOADERS[2], resize, PACK)[0]
    same = {"type": "Resize", "scale": (WIDTH, HEIGHT)}
    assert "gt_signed_distance_map" in dataset(root, LOADERS[2], same, PACK)[0]["data_samples"]


def test_labels_of_instances(root: Path) -> None:
    """1 on every object; transforms take them along with the objects."""
    changes = [
        {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"},
        {"type": "RandomCrop", "crop_size": (7, 9)},
        {"type": "Resize", "scale": (18, 14)},
    ]
    made = [LOADERS[0], {"type": "metriseg_mmseg.InstancesToLabels"}]
    whole = dataset(root, *made, PACK, labels="instances")[0]["data_samples"]
    assert torch.equal(whole.gt_sem_seg.data[0], torch.from_numpy((objects() > 0).astype(int)))
    data = dataset(root, *made, *changes, PACK, labels="instances")
    for _ in range(5):
        sample = data[0]["data_samples"]
        assert sample.gt_sem_seg.data.shape == (1, 14, 18)
        assert torch.equal(sample.gt_sem_seg.data, (sample.gt_instance_map.data > 0).long())


def test_labels_of_instances_are_the_only_ones() -> None:
    """The results that it is given stay as they are, and what it can't use is named."""
    given = {"gt_instance_map": np.array([[0, 256, 3]], np.uint16), "seg_fields": ["a"]}
    found = InstancesToLabels()(given)
    assert found["gt_seg_map"].tolist() == [[0, 1, 1]]
    assert found["gt_seg_map"].dtype == np.uint8
    assert found["seg_fields"] == ["a", "gt_seg_map"]
    assert given["seg_fields"] == ["a"]
    assert "gt_seg_map" not in given
    unknown = InstancesToLabels()({"gt_instance_map": np.array([[0, -1, 3]], np.int64)})
    assert unknown["gt_seg_map"].tolist() == [[0, 255, 1]]
    with pytest.raises(ValueError, match="gt_seg_map, and the results have it already"):
        InstancesToLabels()(found)
    with pytest.raises(ValueError, match=r"of gt_instance_map, .* behind .*LoadInstanceMap"):
        InstancesToLabels()({"gt_seg_map": np.zeros((1, 3), np.uint8)})


def test_labels_without_their_zero(root: Path) -> None:
    """``reduce_zero_label`` takes 0 to 255 and 1 to 0; a map is of the labels as they then are."""
    made = {"type": "metriseg_mmseg.DistanceMap", "map": "signed_distance", "num_classes": 2}
    sample = dataset(root, LOADERS[0], made, PACK, reduce_zero_label=True)[0]["data_samples"]
    shifted = np.where(np.isin(labels(), (0, 255)), 255, labels() - 1)
    assert torch.equal(sample.gt_sem_seg.data[0], torch.from_numpy(shifted.astype(np.int64)))
    wanted = packed(shifted, DistanceMap("signed_distance", 2)).gt_signed_distance_map.data
    assert torch.equal(sample.gt_signed_distance_map.data, wanted)
    assert torch.equal(sample.gt_instance_map.data[0], torch.from_numpy(objects()))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a.png", objects().astype(np.uint16)),
        ("a.png", (objects() % 251).astype(np.uint8)),
        ("a.tif", objects().astype(np.uint16)),
        ("a.tiff", objects().astype(np.int32) * 1000),
        ("a.npy", objects()),
        ("a.npy", objects() * 1_000_000),
    ],
)
def test_formats_of_object_numbers(name: str, values: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path, f"objects/{name}", values)
    load = LoadInstanceMap("objects", suffix=Path(name).suffix)
    label = str(tmp_path / "labels" / "a.png")
    found = load({"seg_map_path": label, "gt_seg_map": labels(), "seg_fields": ["gt_seg_map"]})
    assert found["seg_fields"] == ["gt_seg_map", "gt_instance_map"]
    assert found["gt_instance_map"].dtype in (np.uint16, np.int32)
    assert (found["gt_instance_map"] == values).all()


def test_weights_of_a_picture(tmp_path: Path) -> None:
    """In hundredths."""
    save(tmp_path, "weights/a.png", np.full((2, 3), 250, np.uint8))
    load = LoadPixelWeight(suffix=".png", scale=0.01)
    found = load({"seg_map_path": str(tmp_path / "labels/a.png"), "img_shape": (2, 3)})
    np.testing.assert_allclose(found[PIXEL_WEIGHT], 2.5, rtol=1e-6)
    assert found[PIXEL_WEIGHT].dtype == np.float32


def test_places() -> None:
    """The folder of the label, or one above it; the end of its name."""
    assert LoadInstanceMap().path("x/train/labels/a.png") == "x/train/instances/a.png"
    assert LoadInstanceMap(None, "_i.npy").path("x/a.b.png") == "x/a.b_i.npy"
    assert LoadDistanceMap("region").path("labels/a.png") == "region/a.npy"
    assert LoadInstanceMap().path("s3://b/labels/a.png") == "s3://b/instances/a.png"
    with pytest.raises(ValueError, match=r"label_folder: 'a.png' lies in no folder$"):
        LoadInstanceMap().path("a.png")
    deep = LoadPixelWeight(
        "weights", "_w.npy", label_folder="gtFine", label_suffix="_labelTrainIds.png"
    )
    given = "/gtFine/data/gtFine/train/ulm/ulm_0_labelTrainIds.png"
    assert deep.path(given) == "/gtFine/data/weights/train/ulm/ulm_0_w.npy"
    with pytest.raises(ValueError, match=r"label_suffix: .* doesn't end in '_labelTrainIds.png'"):
        deep.path("gtFine/a.png")
    with pytest.raises(ValueError, match=r"label_folder: .* lies in no folder 'gtFine'"):
        deep.path("x/a_labelTrainIds.png")


def bad(transform: Any, root: Path, values: np.ndarray, name: str) -> None:
    save(root, f"train/{transform.folder}/{name}", values)
    transform({"seg_map_path": str(root / "train/labels/a.png"), "gt_seg_map": labels()})


def test_files_that_do_not_fit(root: Path) -> None:
    """Every message has the path, the key and what is wanted."""
    whole = np.zeros((HEIGHT, WIDTH))
    with pytest.raises(ValueError, match=r"a\.npy: gt_instance_map must hold integers, got float"):
        bad(LoadInstanceMap(suffix=".npy"), root, whole, "a.npy")
    with pytest.raises(ValueError, match=r"numbers from 0 to 2\^31 - 1, got -1 … -1"):
        bad(LoadInstanceMap(suffix=".npy"), root, whole.astype(int) - 1, "a.npy")
    with pytest.raises(ValueError, match=r"must have shape \(H, W\), got \(12, 16, 3\)"):
        bad(LoadInstanceMap(), root, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "a.png")
    with pytest.raises(
        ValueError, match=r"must have the size of the labels, \(12, 16\), got \(12, 15\)"
    ):
        bad(LoadInstanceMap(), root, np.zeros((HEIGHT, WIDTH - 1), np.uint8), "a.png")
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="gt_pixel_weight must be finite and not negative"):
            bad(LoadPixelWeight(), root, whole + wrong, "a.npy")
    with pytest.raises(ValueError, match=r"must have shape \(C, H, W\), got \(12, 16\)"):
        bad(LoadDistanceMap("region"), root, whole, "a.npy")
    with pytest.raises(ValueError, match=r"gt_penalty_map must have shape \(H, W\)"):
        bad(LoadDistanceMap("penalty"), root, whole[None], "a.npy")
    (root / "train/instances/a.txt").write_text("no picture")
    given = {"seg_map_path": str(root / "train/labels/a.png"), "gt_seg_map": labels()}
    with pytest.raises(ValueError, match=r"a\.txt: is neither \.npy nor a picture"):
        LoadInstanceMap(suffix=".txt")(given)


def test_files_that_are_missing(root: Path) -> None:
    given = {"seg_map_path": str(root / "train/labels/b.png"), "gt_seg_map": labels()}
    with pytest.raises(FileNotFoundError, match=r"LoadInstanceMap: no file .*b\.png.*labels"):
        LoadInstanceMap()(given)
    with pytest.raises(ValueError, match="LoadPixelWeight finds its file by the label's"):
        LoadPixelWeight()({})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"folder": "a/b"}, "folder must be the name of a folder, or None, got 'a/b'"),
        ({"folder": ""}, "folder must be"),
        ({"label_folder": "a/b"}, "label_folder must be"),
        ({"suffix": None}, "suffix must be the end of a file's name, got None"),
        ({"scale": 0}, "scale"),
    ],
)
def test_arguments_of_loaders(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadPixelWeight(**words)


def test_names_in_the_registry() -> None:
    """The old name packs all of them too; the error of a metric that lacks objects says it."""
    built = TRANSFORMS.build({"type": "metriseg_mmseg.PackInstanceInputs"})
    assert isinstance(built, PackInstanceInputs)
    assert isinstance(built, PackSegInputs)
    assert "DistanceMap(map='region'" in repr(DistanceMap("region", 2))
    assert "suffix='.png'" in repr(LoadInstanceMap())
    sample = packed(labels()).to_dict()
    with pytest.raises(ValueError, match=r"gt_instance_map.*metriseg_mmseg\.PackInstanceInputs"):
        PartitionMetric(segments="instances").process(None, [sample])
