"""Labelled photographs: what is read of them, and files that are none."""

import json

import numpy as np
import pytest

from perceptual.downstream.coco import BadAnnotations, read_labels
from perceptual.downstream.deeplab import VOC_CLASSES
from tests.downstream_models import a_label, write_labelled


@pytest.fixture
def file(tmp_path):
    return write_labelled(tmp_path / "photographs")


def changed(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_categories_are_classes_by_the_order_of_their_numbers(file):
    found = read_labels(file, file.with_suffix(""))
    assert found.numbers == [3, 7]
    assert found.indexes(VOC_CLASSES) == {0: 8, 1: 15}
    assert [each.number for each in found.photographs] == [10, 11, 12]


@pytest.mark.parametrize("name", ["tv", "tvmonitor"])
def test_a_class_is_known_by_coco_s_name_and_by_voc_s(file, name):
    changed(file, lambda document: document["categories"][0].update(name=name))
    assert read_labels(file, file.with_suffix("")).indexes(VOC_CLASSES) == {0: 20, 1: 15}


def test_of_labels_that_overlap_the_smaller_is_in_front_and_crowds_are_behind(file):
    def add(document):
        crowd = a_label(90, 10, 3, [0, 0, 12, 12]) | {"iscrowd": 1}
        document["annotations"] += [crowd, a_label(91, 10, 7, [0, 0, 30, 30])]

    changed(file, add)
    found = read_labels(file, file.with_suffix(""))
    drawn = found.class_map(found.photographs[0], VOC_CLASSES)
    assert drawn.shape == (48, 64)
    assert drawn[10, 10] == 8, "the cat of 16 x 16"
    assert drawn[2, 2] == 15, "the person of 30 x 30, before a crowd of cats"
    assert drawn[40, 10] == 0
    assert np.count_nonzero(drawn == 8) == 16 * 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("categories"), "expected COCO's lists"),
        (lambda d: d["images"].clear(), "holds no images"),
        (lambda d: d["images"][0].pop("width"), "'width' is missing"),
        (lambda d: d["images"][0].update(file_name="gone.jpg"), r"image 10: there is no .*gone"),
        (lambda d: d["images"][0].update(file_name="../x.jpg"), "leads out of the folder"),
        (lambda d: d["images"].append(d["images"][0]), "two images have one id"),
        (lambda d: d["annotations"][0].update(image_id=99), "of no image that it lists"),
        (lambda d: d["annotations"][0].update(category_id=99), "of no category that it lists"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2]), "a bbox has 4 numbers, not 2"),
        (lambda d: d["annotations"][0].update(segmentation=[]), "annotation 0: .* run lengths"),
        (lambda d: d["annotations"][0].update(segmentation=[[1, 2]]), "three corners"),
        (lambda d: d["annotations"][0].update(segmentation={"size": 3}), "three corners"),
        (
            lambda d: d["annotations"][0].update(segmentation={"size": [9, 9], "counts": [81]}),
            "of another size",
        ),
        (lambda d: d["annotations"][0].update(bbox=3), r"labels|photographs"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_wrong(file, change, said):
    changed(file, change)
    with pytest.raises(BadAnnotations, match=said):
        read_labels(file, file.with_suffix(""))


def test_a_file_that_is_no_json_or_is_not_there_says_so(tmp_path):
    with pytest.raises(BadAnnotations, match="cannot be read"):
        read_labels(tmp_path / "none.json", tmp_path)
    (tmp_path / "none.json").write_text("{")
    with pytest.raises(BadAnnotations, match="is no JSON"):
        read_labels(tmp_path / "none.json", tmp_path)
