"""Labelled photographs in COCO's format (T.-Y. Lin et al., "Microsoft COCO: Common Objects in
Context", ECCV 2014), and what machines found in them as its evaluation takes it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from perceptual.downstream.masks import decoded
from perceptual.downstream.models import Detections, Instances, IntArray, Pixels

# Where PASCAL VOC calls a class otherwise than COCO; annotation files have one name or the other.
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


class BadAnnotations(ValueError):
    """The file holds no labels that can be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Photograph:
    """number : of the annotation file.   file : where it lies."""

    number: int
    file: Path
    width: int
    height: int


@dataclass(frozen=True)
class LabelledSet:
    """The photographs of an annotation file, by number, and its labels.

    categories : (number, name), by number: a detector's class i is the i-th.
    digest : SHA-256 of the annotation file.
    """

    photographs: tuple[Photograph, ...]
    categories: tuple[tuple[int, str], ...]
    annotations: tuple[dict[str, Any], ...]
    digest: str

    @cached_property
    def labels(self) -> COCO:
        """As pycocotools wants them."""
        return _indexed(self, self.annotations)

    @property
    def numbers(self) -> list[int]:
        """Of the categories, in order."""
        return [number for number, _ in self.categories]

    def indexes(self, classes: Sequence[str]) -> dict[int, int]:
        """Index of a segmenter's class, by that of the category of the same name: of those that
        both know."""
        by_name = {name: i for i, name in enumerate(classes)}
        by_name |= {COCO_NAMES[name]: i for name, i in by_name.items() if name in COCO_NAMES}
        return {i: by_name[name] for i, (_, name) in enumerate(self.categories) if name in by_name}

    def class_map(self, photograph: Photograph, classes: Sequence[str]) -> Pixels:
        """(H, W), uint8: the class of each pixel by the labels, of those that a segmenter knows,
        0 elsewhere. Where labels overlap, the smaller thing is in front; crowds are behind all."""
        index = {self.numbers[i]: of_map for i, of_map in self.indexes(classes).items()}
        whole = np.zeros((photograph.height, photograph.width), dtype=np.uint8)
        of_photograph = self.labels.imgToAnns[photograph.number]
        for each in sorted(of_photograph, key=lambda each: (-each["iscrowd"], -each["area"])):
            if each["category_id"] in index:
                whole[decoded(self.labels.annToRLE(each))] = index[each["category_id"]]
        return whole

    def results(self, answers: Mapping[int, Detections | Instances], numbers: IntArray) -> COCO:
        """What was found on each photograph, by its number, as pycocotools wants it.

        numbers : (classes,) the category of each class of the answers.
        """
        found: list[dict[str, Any]] = []
        for number, answer in answers.items():
            places: Iterable[dict[str, Any]]
            if isinstance(answer, Detections):
                places = map(_of_box, answer.boxes.tolist())
            else:
                places = ({"segmentation": mask} for mask in answer.masks)
            for place, score, of_class in zip(
                places, answer.scores.tolist(), answer.classes.tolist(), strict=True
            ):
                row = {"image_id": number, "category_id": int(numbers[of_class]), "score": score}
                found.append({**row, **place, "iscrowd": 0})
        return _indexed(self, found)


def _of_box(box: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom = box
    sides = right - left, bottom - top
    return {"bbox": [left, top, *sides], "area": sides[0] * sides[1]}


def _indexed(labelled: LabelledSet, annotations: Sequence[dict[str, Any]]) -> COCO:
    made = COCO()
    made.dataset = {
        "images": [
            {"id": each.number, "width": each.width, "height": each.height}
            for each in labelled.photographs
        ],
        "categories": [{"id": number, "name": name} for number, name in labelled.categories],
        # Copies, since pycocotools writes into them; numbered from 1, since its matching takes a
        # label of number 0 for none. Areas are told apart nowhere here.
        "annotations": [
            {"area": 0.0, **each, "id": i} for i, each in enumerate(annotations, start=1)
        ],
    }
    with redirect_stdout(io.StringIO()):  # it tells each step
        made.createIndex()
    return made


def read_labels(file: Path, folder: Path) -> LabelledSet:
    """An annotation file (`instances_....json`) whose photographs lie in a folder.

    Raises BadAnnotations if it is no such file, or if a photograph is not there.
    """
    try:
        content = file.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise BadAnnotations(f"{file} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadAnnotations(f"{file} is no JSON: {error}") from None
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(x), list) for x in lists):
        raise BadAnnotations(f"{file}: expected COCO's lists {', '.join(lists)}")
    try:
        photographs = sorted(
            (_photograph(each, folder) for each in document["images"]), key=lambda each: each.number
        )
        categories = sorted((int(each["id"]), str(each["name"])) for each in document["categories"])
        annotations = [_annotation(each) for each in document["annotations"]]
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise BadAnnotations(f"{file}: {what}") from None
    _check(file, photographs, categories, annotations)
    return LabelledSet(
        tuple(photographs),
        tuple(categories),
        tuple(annotations),
        hashlib.sha256(content).hexdigest(),
    )


def _photograph(found: Mapping[str, Any], folder: Path) -> Photograph:
    name = str(found["file_name"])
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"image {found['id']}: its file {name!r} leads out of the folder")
    file = folder / name
    if not file.is_file():
        raise ValueError(f"image {found['id']}: there is no {file}")
    width, height = int(found["width"]), int(found["height"])
    return Photograph(int(found["id"]), file, width, height)


def _annotation(found: Mapping[str, Any]) -> dict[str, Any]:
    box = [float(side) for side in found["bbox"]]
    if len(box) != 4:
        raise ValueError(f"annotation {found['id']}: a bbox has 4 numbers, not {len(box)}")
    if not _is_segmentation(found["segmentation"]):
        raise ValueError(
            f"annotation {found['id']}: its segmentation is neither polygons of three corners or "
            "more nor run lengths"
        )
    return {
        "id": int(found["id"]),
        "image_id": int(found["image_id"]),
        "category_id": int(found["category_id"]),
        "iscrowd": int(found.get("iscrowd", 0)),
        "bbox": box,
        "area": float(found["area"]),
        "segmentation": found["segmentation"],
    }


def _is_segmentation(found: object) -> bool:
    if isinstance(found, dict):
        return isinstance(found.get("counts"), list | str) and len(found.get("size", ())) == 2
    return (
        isinstance(found, list)
        and len(found) > 0
        and all(isinstance(each, list) and len(each) >= 6 for each in found)
    )


def _check(
    file: Path,
    photographs: Sequence[Photograph],
    categories: Sequence[tuple[int, str]],
    annotations: Sequence[Mapping[str, Any]],
) -> None:
    for what, found in (
        ("images", photographs), ("categories", categories), ("annotations", annotations)
    ):  # fmt: skip
        if not found:
            raise BadAnnotations(f"{file} holds no {what}")
    numbers = {each.number for each in photographs}
    if len(numbers) < len(photographs):
        raise BadAnnotations(f"{file}: two images have one id")
    if len({each.file for each in photographs}) < len(photographs):
        raise BadAnnotations(f"{file}: two images have one file_name")
    sizes = {each.number: (each.height, each.width) for each in photographs}
    known = {number for number, _ in categories}
    if len(known) < len(categories):
        raise BadAnnotations(f"{file}: two categories have one id")
    for each in annotations:
        if each["image_id"] not in numbers:
            raise BadAnnotations(f"{file}: annotation {each['id']} is of no image that it lists")
        if each["category_id"] not in known:
            raise BadAnnotations(f"{file}: annotation {each['id']} is of no category that it lists")
        drawn = each["segmentation"]
        # Others than the picture's would not be found out before the end, or never.
        if isinstance(drawn, dict) and tuple(drawn["size"]) != sizes[each["image_id"]]:
            raise BadAnnotations(f"{file}: annotation {each['id']} has run lengths of another size")
