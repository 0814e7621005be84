"""The distance of two pictures that somebody sent, by a version of the metric."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import BinaryIO

from codecs_registry.pictures import Pixels, UnreadablePicture
from codecs_registry.untrusted import read_untrusted
from evaluation.metric_models import MetricVersion
from evaluation.metric_versions import metric_of
from evaluation.reconstruction_scores import as_tensor, distance

MAX_BYTES = 20_000_000
MAX_PIXELS = 2_200_000
"""Of each picture: what a network sees of one takes up to 400 bytes a pixel, and web processes are
small. A frame of 1920 x 1080 passes."""

_one_at_a_time = threading.Lock()


class CannotMeasure(ValueError):
    """What is wrong, by which of "reference" and "distorted" it is wrong with."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}")


@dataclass(frozen=True)
class Measured:
    distance: float
    width: int
    height: int


def measure(reference: BinaryIO, distorted: BinaryIO, version: MetricVersion) -> Measured:
    """The distance of two picture files, decoded by the rule of docs/images.md.

    Raises CannotMeasure for what is no picture, is too large or too small, or differs in size, and
    metric_versions.VersionUnavailable.
    """
    x, y = _pixels("reference", reference), _pixels("distorted", distorted)
    height, width, _ = x.shape
    if y.shape != x.shape:
        raise CannotMeasure(
            "distorted",
            f"is {y.shape[1]} x {y.shape[0]} pixels, and the reference {width} x {height}",
        )
    with _one_at_a_time:
        metric = metric_of(version)
        if min(height, width) < metric.smallest_side:
            raise CannotMeasure(
                "reference",
                f"is {width} x {height} pixels; {version} takes sides of {metric.smallest_side} or "
                "more",
            )
        return Measured(distance(metric, as_tensor(x), as_tensor(y)), width, height)


def _pixels(field: str, file: BinaryIO) -> Pixels:
    try:
        return read_untrusted(file, most_pixels=MAX_PIXELS).pixels
    except UnreadablePicture as error:
        raise CannotMeasure(field, f"cannot be used: {error}") from None
