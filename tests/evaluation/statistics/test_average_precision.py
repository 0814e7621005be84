"""Average precision of samples of images, held against pycocotools on sets that repeat images."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.downstream.matching import matches
from evaluation.statistics.average_precision import average_precision, mean_iou

CATEGORIES = [2, 5]
SIZE = {"width": 100, "height": 100}

places = st.tuples(*(st.integers(0, 3) for _ in range(2)), *(st.integers(1, 3) for _ in range(2)))
things = st.tuples(st.sampled_from(CATEGORIES), places)
labels = st.lists(st.tuples(things, st.integers(0, 9).map(lambda n: int(n == 0))), max_size=4)
finds = st.lists(st.tuples(things, st.integers(1, 5).map(lambda n: n / 5)), max_size=6)


def as_coco(images: dict[int, list[dict]]) -> COCO:
    made = COCO()
    rows = [row | {"image_id": image} for image, of in images.items() for row in of]
    made.dataset = {
        "images": [{"id": image, **SIZE} for image in images],
        "categories": [{"id": each} for each in CATEGORIES],
        "annotations": [row | {"id": i} for i, row in enumerate(rows, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        made.createIndex()
    return made


def a_row(thing, **others) -> dict:
    category, (left, top, width, height) = thing
    box = [10 * left, 10 * top, 10 * width, 10 * height]
    area = box[2] * box[3]
    return {"category_id": category, "bbox": box, "area": area, "iscrowd": 0, **others}


def by_pycocotools(labelled: COCO, found: COCO) -> tuple[np.ndarray, float]:
    """At each threshold, and the mean that it calls AP."""
    measure = COCOeval(labelled, found, "bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    of_all = measure.eval["precision"][:, :, :, 0, 2]  # any area, 100 detections
    of_each = [each[each > -1].mean() if (each > -1).any() else np.nan for each in of_all]
    return np.array(of_each), measure.stats[0]


@given(st.lists(st.tuples(labels, finds, st.integers(0, 3)), min_size=1, max_size=5))
def test_it_is_pycocotools_of_a_set_that_holds_each_image_so_many_times(images):
    truth = [[a_row(thing, iscrowd=crowd) for thing, crowd in each] for each, *_ in images]
    seen = [[a_row(thing, score=score) for thing, score in each] for _, each, _ in images]
    times = np.array([[count for *_, count in images], [1] * len(images)], dtype=np.float64)
    found = matches(
        as_coco(dict(enumerate(truth))),
        as_coco(dict(enumerate(seen))),
        "bbox",
        categories=CATEGORIES,
    )
    ours = average_precision(found, times)
    for counts, got in zip(times.astype(int), ours, strict=True):
        if not counts.any():
            assert np.isnan(got).all()
            continue
        repeated = np.repeat(np.arange(len(images)), counts)
        theirs, mean = by_pycocotools(
            as_coco({i: truth[image] for i, image in enumerate(repeated)}),
            as_coco({i: seen[image] for i, image in enumerate(repeated)}),
        )
        assert got == pytest.approx(theirs, nan_ok=True, abs=1e-9)
        assert mean == pytest.approx(-1 if np.isnan(got).any() else got.mean(), abs=1e-9)


@given(st.lists(st.tuples(labels, finds), min_size=2, max_size=6), st.integers(0, 5))
def test_images_dealt_into_groups_count_as_often_as_their_group(images, seed):
    found = matches(
        as_coco({i: [a_row(thing) for thing, _ in each] for i, (each, _) in enumerate(images)}),
        as_coco(
            {i: [a_row(t, score=score) for t, score in each] for i, (_, each) in enumerate(images)}
        ),
        "bbox",
        categories=CATEGORIES,
    )
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=len(images))
    times = rng.integers(3, size=(4, 2)).astype(float)
    grouped = [each.grouped(group, 2) for each in found]
    assert average_precision(grouped, times) == pytest.approx(
        average_precision(found, times[:, group]), nan_ok=True
    )


def test_mean_iou_sums_pixels_over_images_and_leaves_out_classes_without_labels():
    shared = np.array([[10.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    united = np.array([[20.0, 0.0, 7.0], [20.0, 4.0, 0.0]])
    labelled = np.array([[15.0, 0.0, 0.0], [10.0, 4.0, 0.0]])
    times = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    assert mean_iou(shared, united, labelled, times) == pytest.approx(
        [(10 / 40 + 1) / 2, 0.5, np.nan], nan_ok=True
    )
