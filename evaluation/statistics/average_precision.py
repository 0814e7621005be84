"""Average precision as COCO takes it, for samples of images: for bootstraps over images.

What was matched on an image does not depend on the other images, so it is found once; samples then
only count each image so many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.comparisons import FloatArray, IntArray

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of intersection over union, at which something counts as found."""
RECALLS = np.linspace(0.0, 1.0, 101)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassMatches:
    """What was found of one class, and what there was.

    scores : (n,) of detections, ordered by image, in one image the surest first.
    image : (n,) index of each one's image.
    matched, ignored : (t, n) whether it met a label at each threshold; whether it counts neither
        for nor against (it met a crowd).
    positives : (images,) labels on each image, crowds apart.
    """

    scores: FloatArray
    image: IntArray
    matched: BoolArray
    ignored: BoolArray
    positives: IntArray

    def grouped(self, group: IntArray, n_groups: int) -> ClassMatches:
        """The same with images dealt into groups, whose index group (images,) gives."""
        positives = np.bincount(group, weights=self.positives, minlength=n_groups)
        return replace(self, image=group[self.image], positives=positives.astype(np.int64))


def average_precision(classes: Sequence[ClassMatches], times: FloatArray) -> FloatArray:
    """(b, t) average precision in [0, 1] at each threshold, of b samples of images.

    times : (b, images); how often each image is in each sample.

    The mean, over the classes of which a sample has labels, of the mean over 101 recalls of the
    largest precision that is had at that recall or more (Lin et al. 2014; pycocotools'
    `COCOeval.accumulate`, of a set that holds each image so many times). NaN where a sample has no
    labels. Detections of one score are taken in the order of their images.
    """
    total = np.zeros((len(times), len(THRESHOLDS)))
    n = np.zeros(len(times))
    for each in classes:
        has_labels = times @ each.positives > 0
        if has_labels.any():
            total[has_labels] += _of_class(each, times[has_labels])
            n += has_labels
    return np.divide(total, n[:, None], out=np.full_like(total, np.nan), where=n[:, None] > 0)


def _of_class(each: ClassMatches, times: FloatArray) -> FloatArray:
    """(b, t), of samples that have labels of the class."""
    order = np.argsort(-each.scores, kind="stable")
    image = each.image[order]
    positives = times @ each.positives
    found = np.zeros((len(times), len(each.matched)))
    for t, (matched, ignored) in enumerate(
        zip(each.matched[:, order], each.ignored[:, order], strict=True)
    ):
        true = np.flatnonzero(matched & ~ignored)
        if len(true):
            counted = np.flatnonzero(~ignored)
            seen = times @ _before(image[counted], np.searchsorted(counted, true), times.shape[1])
            met = np.cumsum(times[:, image[true]], axis=1)
            found[:, t] = _interpolated(met, seen, positives)
    return found


def _before(image: IntArray, ends: IntArray, n_images: int) -> FloatArray:
    """(images, k): how many of the detections up to each of k places are of each image."""
    part = np.searchsorted(ends, np.arange(len(image)))  # the first place that counts it
    k = len(ends)
    is_counted = part < k
    counts = np.bincount(image[is_counted] * k + part[is_counted], minlength=n_images * k).reshape(
        n_images, k
    )
    return np.cumsum(counts, axis=1).astype(np.float64)


def _interpolated(met: FloatArray, seen: FloatArray, positives: FloatArray) -> FloatArray:
    """(b,) mean precision over RECALLS.

    met, seen : (b, k) labels met, and detections counted, up to each true detection.

    Precision falls between one true detection and the next, so that the largest at some recall or
    more is had at a true detection.
    """
    precision = met / (seen + np.spacing(1))
    largest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, met / positives[:, None], side="right")
    # An image that a sample lacks meets nothing, and reaches no further recall.
    share = np.diff(reached, axis=1, prepend=0)
    mean: FloatArray = (largest * share).sum(axis=1) / len(RECALLS)
    return mean


def mean_iou(
    shared: FloatArray, united: FloatArray, labelled: FloatArray, times: FloatArray
) -> FloatArray:
    """(b,) mean over classes of intersection over union in [0, 1], of b samples of images.

    shared, united, labelled : (images, classes) pixels that are of the class by both maps, by
        either, and by the labels.
    times : (b, images); how often each image is in each sample.

    Pixels are summed over a sample's images first (M. Everingham et al. 2015, "The PASCAL Visual
    Object Classes Challenge: A Retrospective", IJCV 111). A class of which a sample has no labels
    is left out of its mean, as average precision leaves it out; NaN where that leaves none.
    """
    is_there = times @ labelled > 0
    both, either = times @ shared, times @ united
    ratios = np.divide(both, either, out=np.zeros_like(both), where=is_there)
    n = is_there.sum(axis=1)
    mean: FloatArray = np.divide(
        ratios.sum(axis=1), n, out=np.full(len(times), np.nan), where=n > 0
    )
    return mean
