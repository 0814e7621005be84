"""How well detectors and segmenters do on what codecs leave, beside the uncompressed photographs.

docs/downstream.md says what the numbers mean. Database-free: the caller passes models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from codecs_registry.models import stratum_name
from codecs_registry.pictures import identify
from evaluation.downstream.answers import (
    AnswerStore,
    Question,
    ask_all,
    class_map_from_bytes,
    class_map_to_bytes,
    detections_from_bytes,
    detections_to_bytes,
    instances_from_bytes,
    instances_to_bytes,
    read,
)
from evaluation.downstream.document import FORMAT
from evaluation.downstream.matching import Kind, matches
from evaluation.statistics.average_precision import (
    THRESHOLDS,
    ClassMatches,
    average_precision,
    mean_iou,
)
from evaluation.statistics.comparisons import FloatArray, IntArray
from evaluation.statistics.resampling import (
    FEWEST_RESAMPLED,
    MOST_CLUSTERS,
    dealt,
    drawn_times,
    percentile_estimate,
)
from perceptual.downstream.coco import BadAnnotations, LabelledSet, Photograph
from perceptual.downstream.instances import from_boxes
from perceptual.downstream.models import (
    BadModel,
    Detections,
    Detector,
    Instances,
    InstanceSegmenter,
    Pixels,
    Segmenter,
)
from perceptual.pairs import file_digest

N_BOOT = 2000
AT = {"ap": list(range(len(THRESHOLDS))), "ap50": [0], "ap75": [5]}
"""Which of THRESHOLDS a measure is the mean over."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it is done, and how much there is to do."""


@dataclass(frozen=True)
class How:
    """confidence : of intervals.   seed, n_boot : of the bootstraps."""

    confidence: float = 0.95
    seed: int = 0
    n_boot: int = N_BOOT


@dataclass(frozen=True)
class Machines:
    """Who looks at the pictures. Of instances: a model of its own, else boxes and classes together
    where both are there."""

    detector: Detector | None = None
    segmenter: Segmenter | None = None
    instances: InstanceSegmenter | None = None

    def check(self, labelled: LabelledSet) -> None:
        """Raises BadModel where a model knows other classes than the labels."""
        n = len(labelled.categories)
        for model in (self.detector, self.instances):
            if model and model.n_classes not in (None, n):
                raise BadModel(
                    f"{model.name} tells {model.n_classes} classes apart; the annotation file has "
                    f"{n} categories, and the first class must be the first of them, and so on"
                )
        if self.segmenter and not labelled.indexes(self.segmenter.classes):
            raise BadModel(
                f"{self.segmenter.name} knows none of the categories of the annotation file"
            )

    @cached_property
    def questions(self) -> dict[str, Question]:
        asked: dict[str, Question] = {}
        if model := self.detector:
            asked["boxes"] = Question(
                model, model.detect, detections_to_bytes, detections_from_bytes
            )
        if segmenter := self.segmenter:
            asked["classes"] = Question(
                segmenter, segmenter.class_map, class_map_to_bytes, class_map_from_bytes
            )
        if instances := self.instances:
            asked["instances"] = Question(
                instances, instances.instances, instances_to_bytes, instances_from_bytes
            )
        return asked


@dataclass(frozen=True)
class _Condition:
    """The photographs as they are, or as one codec leaves them at one rate: files by their digests,
    in the order of the photographs."""

    digests: list[str]
    files: list[Path]


@dataclass(frozen=True)
class _Samples:
    """times : (b, groups) how often each sample has each group.   group : (images,) of each image
    its group. One and the same for all conditions, so that differences are paired."""

    times: FloatArray
    group: IntArray

    @property
    def n_groups(self) -> int:
        return self.times.shape[1]


@dataclass(frozen=True)
class _Measured:
    """value : of all images.   samples : (b,) of each bootstrap sample."""

    value: float
    samples: FloatArray

    def minus(self, other: _Measured) -> _Measured:
        return _Measured(self.value - other.value, self.samples - other.samples)


def evaluate(
    labelled: LabelledSet,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    machines: Machines,
    store: AnswerStore,
    *,
    how: How | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """What `evaluate_downstream --json` prints but for `provenance`; scores in percent.

    rows, folder : of folder_encoding.encode_into_folder, of the labelled photographs.

    Raises BadModel, BadAnnotations (a photograph of another size than its labels say) and
    UnreadablePicture. A run that was stopped goes on where it was: answers are kept as they come.
    """
    how = how or How()
    machines.check(labelled)
    plain, conditions = _conditions(labelled, rows, folder)
    pictures = {
        digest: file
        for each in (plain, *conditions.values())
        for digest, file in zip(each.digests, each.files, strict=True)
    }
    ask_all(
        machines.questions.values(),
        pictures,
        store,
        progress=lambda done, total: progress("answers", done, total),
    )
    scorer = _Scorer(labelled, machines, store, _samples(len(labelled.photographs), how))
    of_plain = scorer.measured(plain)
    progress("conditions", 1, len(conditions) + 1)
    strata: dict[str, dict[str, Any]] = {}
    for i, ((stratum, codec), condition) in enumerate(conditions.items()):
        found = scorer.measured(condition)
        progress("conditions", i + 2, len(conditions) + 1)
        of_codec = [row for row in rows if (row["codec"], _name(row)) == (codec, stratum)]
        measures = {
            name: _told(each, scorer.n_images, how)
            | {
                f"difference{bound}": value
                for bound, value in _bounds(each.minus(of_plain[name]), scorer.n_images, how)
            }
            for name, each in found.items()
        }
        strata.setdefault(stratum, {"codecs": []})["codecs"].append(
            {
                "codec": codec,
                "version": of_codec[0]["version"],
                "actual_bpp": float(np.mean([row["actual_bpp"] for row in of_codec])),
                "n_off_target": sum(
                    abs(row["actual_bpp"] / row["target_bpp"] - 1) > 0.02 for row in of_codec
                ),
                "measures": measures,
            }
        )
    return {
        "format": FORMAT,
        "n_images": scorer.n_images,
        "n_labels": sum(not each["iscrowd"] for each in labelled.annotations),
        "classes": scorer.n_classes,
        "measures": list(of_plain),
        "uncompressed": {
            name: _told(each, scorer.n_images, how) for name, each in of_plain.items()
        },
        "strata": strata,
        "confidence": how.confidence,
        "seed": how.seed,
        "n_boot": how.n_boot,
    }


def _name(row: Mapping[str, Any]) -> str:
    return stratum_name(Decimal(str(row["target_bpp"])))


def _conditions(
    labelled: LabelledSet, rows: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[_Condition, dict[tuple[str, str], _Condition]]:
    """The photographs as they are, and by (stratum, codec), in this order."""
    digest = {each.file: file_digest(each.file) for each in labelled.photographs}
    identity = {each.file: _identity(each) for each in labelled.photographs}
    files = [each.file for each in labelled.photographs]
    plain = _Condition([digest[file] for file in files], files)
    made = {
        (row["target_bpp"], row["codec"], row["source"], row["sha256"]): folder / row["decoded"]
        for row in rows
    }
    found = {}
    for target, codec in sorted({(row["target_bpp"], row["codec"]) for row in rows}):
        decoded = [made[target, codec, file.name, identity[file]] for file in files]
        stratum = stratum_name(Decimal(str(target)))
        found[stratum, codec] = _Condition([file_digest(file) for file in decoded], decoded)
    return plain, found


def _identity(photograph: Photograph) -> str:
    pixels = read(photograph.file)
    height, width = pixels.shape[:2]
    if (width, height) != (photograph.width, photograph.height):
        raise BadAnnotations(
            f"{photograph.file} has {width} x {height} pixels; its labels are of "
            f"{photograph.width} x {photograph.height}"
        )
    return identify(pixels)


def _samples(n_images: int, how: How) -> _Samples:
    rng = np.random.default_rng(how.seed)
    group = np.arange(n_images) if n_images <= MOST_CLUSTERS else dealt(n_images, rng)
    n_groups = min(n_images, MOST_CLUSTERS)
    if n_images < FEWEST_RESAMPLED:
        return _Samples(np.empty((0, n_groups)), group)
    return _Samples(drawn_times(n_groups, how.n_boot, rng), group)


class _Scorer:
    """Measures conditions on one labelled set, by one draw of samples."""

    def __init__(
        self, labelled: LabelledSet, machines: Machines, store: AnswerStore, samples: _Samples
    ) -> None:
        self.labelled, self.machines, self.store = labelled, machines, store
        self.samples = samples
        self.n_images = len(labelled.photographs)
        segmenter = machines.segmenter
        self.shared = labelled.indexes(segmenter.classes) if segmenter else {}
        self._maps = (
            [labelled.class_map(each, segmenter.classes) for each in labelled.photographs]
            if segmenter
            else []
        )

    @property
    def has_masks(self) -> bool:
        """Whether masks are told: by a model of their own, or by boxes and classes together."""
        machines = self.machines
        return bool(machines.instances or (machines.detector and machines.segmenter))

    @property
    def n_classes(self) -> dict[str, int]:
        """How many categories each kind of measure is over: at most, since those without a label
        enter no mean."""
        every, both = len(self.labelled.categories), len(self.shared)
        counts = {}
        if self.machines.detector:
            counts["box"] = every
        if self.has_masks:
            counts["mask"] = every if self.machines.instances else both
        if self.machines.segmenter:
            counts["iou"] = both
        return counts

    def measured(self, condition: _Condition) -> dict[str, _Measured]:
        """Each measure's value and samples, in percent."""
        asked = {
            name: question.answers(condition.digests, self.store)
            for name, question in self.machines.questions.items()
        }
        found: dict[str, _Measured] = {}
        numbers = np.array(self.labelled.numbers)
        if "boxes" in asked:
            found |= self._precision("box", "bbox", asked["boxes"], numbers, self.labelled.numbers)
        if "instances" in asked:
            found |= self._of_model(asked["instances"], numbers)
        elif "boxes" in asked and "classes" in asked:
            masks = [
                from_boxes(boxes, classes, self.shared)
                for boxes, classes in zip(asked["boxes"], asked["classes"], strict=True)
            ]
            shared = [self.labelled.numbers[i] for i in self.shared]
            found |= self._precision("mask", "segm", masks, numbers, shared)
        if "classes" in asked:
            found["mean_iou"] = self._mean_iou(asked["classes"])
        return found

    def _of_model(self, answers: list[Instances], numbers: IntArray) -> dict[str, _Measured]:
        assert self.machines.instances  # noqa: S101
        if self.machines.instances.n_classes is None:  # they are numbers of categories
            most = max((each.classes.max() for each in answers if len(each.classes)), default=0)
            numbers = np.arange(most + 1)
        return self._precision("mask", "segm", answers, numbers, self.labelled.numbers)

    def _precision(
        self,
        prefix: str,
        kind: Kind,
        answers: Sequence[Detections | Instances],
        numbers: IntArray,
        categories: Sequence[int],
    ) -> dict[str, _Measured]:
        by_image = {
            each.number: answer
            for each, answer in zip(self.labelled.photographs, answers, strict=True)
        }
        results = self.labelled.results(by_image, numbers)
        found = matches(self.labelled.labels, results, kind, categories=categories)
        whole, drawn = self._of_samples(found)
        return {
            f"{prefix}_{name}": _Measured(
                100 * float(whole[0, at].mean()), 100 * drawn[:, at].mean(axis=1)
            )
            for name, at in AT.items()
        }

    def _of_samples(self, found: list[ClassMatches]) -> tuple[FloatArray, FloatArray]:
        whole = average_precision(found, np.ones((1, self.n_images)))
        grouped = [each.grouped(self.samples.group, self.samples.n_groups) for each in found]
        return whole, average_precision(grouped, self.samples.times)

    def _mean_iou(self, maps: Sequence[Pixels]) -> _Measured:
        indexes = list(self.shared.values())
        counts = np.zeros((3, self.samples.n_groups, len(indexes)))
        for group, truth, found in zip(self.samples.group, self._maps, maps, strict=True):
            for column, index in enumerate(indexes):
                a, b = truth == index, found == index
                counts[:, group, column] += [each.sum() for each in (a & b, a | b, a)]
        whole = mean_iou(*counts, np.ones((1, self.samples.n_groups)))
        return _Measured(100 * float(whole[0]), 100 * mean_iou(*counts, self.samples.times))


def _told(found: _Measured, n: int, how: How) -> dict[str, Any]:
    estimate = _estimate(found, n, how)
    return {
        "value": None if np.isnan(estimate.value) else estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "reason": "no image has a label of these classes"
        if np.isnan(estimate.value)
        else estimate.reason,
    }


def _bounds(found: _Measured, n: int, how: How) -> Iterator[tuple[str, float | None]]:
    estimate = _estimate(found, n, how)
    yield "", None if np.isnan(estimate.value) else estimate.value
    yield "_low", estimate.low
    yield "_high", estimate.high


def _estimate(found: _Measured, n: int, how: How):
    return percentile_estimate(
        found.value,
        found.samples,
        n=n,
        n_clusters=n,
        clusters="images",
        confidence=how.confidence,
    )
