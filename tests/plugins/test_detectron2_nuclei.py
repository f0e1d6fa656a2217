"""Nuclei in Detectron2's catalogue, and the configs that learn to find them."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from PIL import Image

from metriseg.configuration import config_path
from metriseg_detectron2.datasets import register_nuclei
from metriseg_detectron2.env import setup_environment
from metriseg_detectron2.train_net import Trainer, read_config

DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "nuclei").is_dir()),
    reason="needs the images in $METRISEG_DATA/nuclei",
)
#: Number 2 lies apart in two pieces; there is no 3.
NUMBERS = np.array([[1, 1, 0, 2], [1, 1, 0, 0], [0, 0, 0, 2], [4, 0, 0, 0]], np.uint16)


@pytest.fixture
def register(tmp_path):
    """Register under a name of the test's own, for the length of the test."""
    names = set()

    def under(name, split="val", **more):
        names.add(name)
        return register_nuclei(split, tmp_path / "work", name=name, **more)

    yield under
    for name in names & set(DatasetCatalog):
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


@pytest.fixture
def source(tmp_path):
    """A folder of two images: numbers beyond 8 bits are numbers too."""
    for name, numbers in (("a.png", NUMBERS), ("b.png", np.where(NUMBERS == 1, 700, 0))):
        for kind, pixels in (("images", 20 * NUMBERS.astype(np.uint8)), ("instances", numbers)):
            (tmp_path / "source" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(pixels.dtype if kind == "images" else np.uint16)).save(
                tmp_path / "source" / kind / name
            )
    return tmp_path / "source"


def mapped(record):
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[],
        image_format="RGB",
        use_instance_mask=True,
        instance_mask_format="bitmask",
    )
    return mapper(record)


def test_what_detectron2s_own_mapper_reads_are_the_nuclei(register, source):
    first, second = DatasetCatalog.get(register("nuclei_read", source=source))
    assert [first["image_id"], second["image_id"]] == [0, 1]
    read = mapped(first)
    expected = torch.from_numpy(20 * NUMBERS.astype(np.int64)).expand(3, 4, 4)
    assert torch.equal(read["image"].long(), expected)
    assert torch.equal(read["sem_seg"], torch.from_numpy((NUMBERS > 0).astype(np.int64)))
    objects = read["instances"]
    masks = torch.from_numpy(np.stack([k == NUMBERS for k in (1, 2, 4)]))
    assert torch.equal(objects.gt_masks.tensor, masks)
    assert objects.gt_boxes.tensor.tolist() == [[0, 0, 2, 2], [3, 0, 4, 3], [0, 3, 1, 4]]
    assert objects.gt_classes.tolist() == [0, 0, 0]
    (only,) = mapped(second)["instances"].gt_masks.tensor
    assert torch.equal(only, masks[0])


def test_the_catalogue_names_what_there_is(register, source):
    metadata = MetadataCatalog.get(register("nuclei_named", source=source))
    assert metadata.thing_classes == ["nucleus"]
    assert metadata.stuff_classes == ["background", "nucleus"]
    assert metadata.ignore_label == 255
    assert metadata.evaluator_type == "coco"


def test_detectron2s_own_scripts_find_every_split():
    setup_environment()
    names = {f"metriseg_nuclei_{split}" for split in ("train", "val", "test")}
    assert names <= set(DatasetCatalog)


def test_nothing_is_read_before_it_is_asked_for(register, source, monkeypatch, tmp_path):
    """Without the variable, without the folder, without the images, and without their instances."""
    monkeypatch.delenv("METRISEG_DATA", raising=False)
    name = register("nuclei_asked", split="test")
    with pytest.raises(FileNotFoundError, match="environment variable METRISEG_DATA"):
        DatasetCatalog.get(name)
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no images .*nuclei.test.images: source must be"):
        DatasetCatalog.get(name)
    assert not (tmp_path / "work").exists()
    (tmp_path / "nuclei").mkdir()
    source.rename(tmp_path / "nuclei" / "test")
    assert len(DatasetCatalog.get(name)) == 2
    (tmp_path / "nuclei" / "test" / "instances" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no instances .*b\.png"):
        DatasetCatalog.get(name)


def test_a_name_stands_for_one_data_set(register, source):
    assert register("nuclei_once", source=source) == register("nuclei_once", source=source)
    with pytest.raises(ValueError, match=r"name must be new for nuclei in .*METRISEG_DATA"):
        register("nuclei_once")


def test_an_unknown_split_is_refused():
    with pytest.raises(
        ValueError, match="split must be one of 'train', 'val', 'test', got 'trian'"
    ):
        register_nuclei("trian")


@needs_data
@pytest.mark.parametrize(
    ("config", "tasks"),
    [
        ("nuclei_mask-rcnn_dice", {"bbox", "segm", "partition", "mask"}),
        ("nuclei_embedding", {"sem_seg", "partition"}),
    ],
)
@pytest.mark.training
def test_the_config_trains_on_nuclei(config, tasks, register, tmp_path, monkeypatch):
    """A step on two of the real images, and figures of these, smaller."""
    monkeypatch.chdir(tmp_path)
    folder = Path(str(DATA)) / "nuclei" / "val"
    for kind in ("images", "instances"):
        (tmp_path / "few" / kind).mkdir(parents=True)
        for picture in sorted((folder / kind).iterdir())[:2]:
            (tmp_path / "few" / kind / picture.name).write_bytes(picture.read_bytes())
    name = register(f"few_{config}", source=tmp_path / "few")
    few = ["DATASETS.TRAIN", f"('{name}',)", "DATASETS.TEST", f"('{name}',)"]
    path = str(config_path(f"detectron2/{config}.yaml"))
    few += ["SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "()", "INPUT.MIN_SIZE_TEST", "96"]
    trainer = Trainer(read_config(path, few))
    trainer.train()
    scalars = trainer.storage.latest()
    assert 0 < scalars["total_loss"][0] < math.inf
    logged = {name.split("/")[0] for name in scalars if "/" in name}
    assert logged - {"fast_rcnn", "mask_rcnn", "roi_head", "rpn"} == tasks
