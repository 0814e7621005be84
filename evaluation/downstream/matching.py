"""Which detections meet which labels: pycocotools' matching, kept image by image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.statistics.average_precision import THRESHOLDS, ClassMatches

Kind = Literal["bbox", "segm"]
MOST_DETECTIONS = 100
"""Of a class on an image: COCO's limit."""


def matches(
    labels: COCO, found: COCO, kind: Kind, *, categories: Sequence[int]
) -> list[ClassMatches]:
    """What was found of each category, and what there was. Images are in the order of numbers."""
    measure = COCOeval(labels, found, kind)
    images = sorted(labels.imgs)
    measure.params.imgIds = images
    measure.params.catIds = list(categories)
    measure.params.iouThrs = THRESHOLDS
    measure.params.maxDets = [MOST_DETECTIONS]
    # Sizes are not told apart: a quarter of the work.
    measure.params.areaRng, measure.params.areaRngLbl = [[0, 1e10]], ["all"]
    with redirect_stdout(io.StringIO()):  # it tells each step
        measure.evaluate()
    n = len(images)
    return [
        _of_class(measure.evalImgs[start : start + n]) for start in range(0, n * len(categories), n)
    ]


def _of_class(images: Sequence[dict | None]) -> ClassMatches:
    """images : what pycocotools says of each image; None where there is neither label nor find."""
    found = [(i, each) for i, each in enumerate(images) if each is not None]
    positives = np.zeros(len(images), dtype=np.int64)
    for i, each in found:
        positives[i] = np.count_nonzero(np.asarray(each["gtIgnore"]) == 0)
    none = np.zeros((len(THRESHOLDS), 0))
    return ClassMatches(
        scores=np.concatenate([np.zeros(0), *(each["dtScores"] for _, each in found)]),
        image=np.concatenate(
            [
                np.zeros(0, dtype=np.int64),
                *(np.full(len(each["dtScores"]), i) for i, each in found),
            ]
        ),
        matched=np.concatenate([none, *(each["dtMatches"] for _, each in found)], axis=1) > 0,
        ignored=np.concatenate([none, *(each["dtIgnore"] for _, each in found)], axis=1) > 0,
        positives=positives,
    )
