"""Boxes and letterboxes, held against pycocotools and against themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from perceptual.downstream.geometry import iou, letterboxed, suppressed

corners = st.tuples(
    *(st.integers(0, 30) for _ in range(2)), *(st.integers(0, 30) for _ in range(2))
)
some_boxes = st.lists(corners, min_size=1, max_size=12).map(
    lambda found: np.array([[x, y, x + w, y + h] for x, y, w, h in found], dtype=np.float64)
)


@given(some_boxes, some_boxes)
def test_overlap_is_that_of_pycocotools(a, b):
    theirs = mask.iou(*(np.hstack([x[:, :2], x[:, 2:] - x[:, :2]]) for x in (a, b)), [0] * len(b))
    is_area = np.prod(a[:, 2:] - a[:, :2], axis=1)[:, None] + np.prod(b[:, 2:] - b[:, :2], axis=1)
    assert iou(a, b)[is_area > 0] == pytest.approx(theirs[is_area > 0])
    assert not iou(a, b)[is_area == 0].any()


@given(some_boxes, st.floats(0.1, 0.9), st.integers(0, 1000))
def test_what_stays_overlaps_nothing_surer_of_its_class_and_what_goes_does(boxes, most, seed):
    rng = np.random.default_rng(seed)
    scores, classes = rng.integers(1, 4, len(boxes)) / 4, rng.integers(2, size=len(boxes))
    kept = suppressed(boxes, scores, classes, most_iou=most, most=100).tolist()
    assert (np.diff(scores[kept]) <= 0).all()
    overlap = iou(boxes, boxes) > most
    alike = classes[:, None] == classes
    for place, i in enumerate(kept):
        assert not (overlap & alike)[i, kept[:place]].any()
    for i in set(range(len(boxes))) - set(kept):
        surer = [j for j in kept if scores[j] >= scores[i]]
        assert (overlap & alike)[i, surer].any()


@given(
    st.integers(16, 90), st.integers(16, 90), st.booleans(), st.floats(0, 0.5), st.floats(0.5, 1)
)
def test_a_box_of_the_input_lies_where_it_did_in_the_picture(height, width, centred, low, high):
    pixels = np.full((height, width, 3), 200, dtype=np.uint8)
    whole, place = letterboxed(pixels, height=48, width=64, fill=7, centred=centred)
    assert whole.shape == (48, 64, 3)
    rows, columns = np.nonzero(whole[..., 0] == 200)
    assert (rows.min(), columns.min()) == (place.top, place.left)
    assert np.ptp(rows) + 1 == place.height
    assert np.ptp(columns) + 1 == place.width
    assert (whole == 7).sum() + (whole == 200).sum() == whole.size
    box = np.array([[low * width, low * height, high * width, high * height]])
    there = box * np.array([place.scale_x, place.scale_y] * 2)
    there += np.array([place.left, place.top] * 2)
    assert place.to_picture(there, width=width, height=height) == pytest.approx(box)
