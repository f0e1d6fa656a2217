"""Drawn shapes in Detectron2's catalogue: its own mapper reads objects and classes."""

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog

from metriseg.data.shapes import CLASSES, ShapesDataset
from metriseg_detectron2.datasets import SHAPES, register_shapes
from metriseg_detectron2.env import setup_environment

SETTINGS = {"size": (32, 40)}


@pytest.fixture
def register(tmp_path):
    """Register under a name of the test's own, for the length of the test."""
    names = set()

    def under(name, split="val", **more):
        names.add(name)
        arguments = {"length": 3, "settings": SETTINGS, **more}
        return register_shapes(split, tmp_path, name=name, **arguments)

    yield under
    for name in names & set(DatasetCatalog):
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


def mapped(record):
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[],
        image_format="RGB",
        use_instance_mask=True,
        instance_mask_format="bitmask",
    )
    return mapper(record)


def test_what_detectron2s_own_mapper_reads_are_the_shapes(register):
    """A pixel of an object has its class; boxes hold just the masks; of 8-bit images, half a level.

    The seed of validation is 1.
    """
    records = DatasetCatalog.get(register("shapes_read"))
    assert [record["image_id"] for record in records] == [0, 1, 2]
    for record, sample in zip(records, ShapesDataset(3, seed=1, **SETTINGS), strict=True):
        read = mapped(record)
        torch.testing.assert_close(read["image"] / 255, sample.image, rtol=0, atol=0.501 / 255)
        assert torch.equal(read["sem_seg"], sample.classes)
        objects = read["instances"]
        assert len(objects) == sample.instances.max()
        for k, mask in enumerate(objects.gt_masks.tensor, start=1):
            assert torch.equal(mask, sample.instances == k)
            (label,) = sample.classes[mask].unique()
            assert objects.gt_classes[k - 1] == label - 1
            rows, columns = np.nonzero(mask.numpy())
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert objects.gt_boxes.tensor[k - 1].tolist() == box


def test_grey_shapes(register):
    name = register("shapes_grey", settings={**SETTINGS, "channels": 1, "color": 1.0, "noise": 0.0})
    image = mapped(DatasetCatalog.get(name)[0])["image"]
    assert image.shape == (3, 32, 40)
    assert image.unique().tolist() == [0, 255]


def test_the_catalogue_names_categories_and_classes(register):
    metadata = MetadataCatalog.get(register("shapes_named"))
    assert metadata.stuff_classes == list(CLASSES)
    assert metadata.thing_classes == list(CLASSES[1:])


def test_a_name_stands_for_one_data_set(register):
    """Asked for again it is the same one; other settings under it would be lost."""
    assert register("shapes_once") == register("shapes_once") == "shapes_once"
    with pytest.raises(ValueError, match=r"name must be new for 3 images .*'shapes_once' is 3"):
        register("shapes_once", settings={**SETTINGS, "least_gap": 2})


def test_detectron2s_own_scripts_find_every_split():
    setup_environment()
    assert {f"metriseg_shapes_{split}" for split in SHAPES} <= set(DatasetCatalog)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "trian"}, "split must be one of 'train', 'val', 'test'"),
        ({"settings": {"gap": 2}}, r"has no argument 'gap'.*least_gap"),
        ({"settings": {"noise": -1}}, "noise must be a finite number"),
        ({"settings": {"channels": 2}}, "channels must be one of 1, 3, got 2"),
    ],
)
def test_what_is_no_such_data_set_is_refused(register, arguments, words):
    with pytest.raises(ValueError, match=words):
        register("shapes_refused", **arguments)
    assert "shapes_refused" not in DatasetCatalog
