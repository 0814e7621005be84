"""Masks of things: put together from boxes and a class map, or from an ONNX file of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from perceptual.downstream.geometry import Letterbox, letterboxed, suppressed
from perceptual.downstream.masks import encoded
from perceptual.downstream.models import (
    BadModel,
    Detections,
    FloatArray,
    Instances,
    InstanceSegmenter,
    Pixels,
    digest_of,
    onnx_input,
    onnx_session,
    outputs_in_words,
)

# As Ultralytics' own evaluation on COCO has them.
FILL = 114.0
LEAST_SCORE = 0.001
MOST_IOU = 0.7
MOST = 300
MOST_CANDIDATES = 3000
COEFFICIENTS = 32

EXPECTED = (
    "expected YOLO-seg's two outputs (1, 4 + classes + 32, n) and (1, 32, h, w), as Ultralytics "
    "exports them, or Mask R-CNN's four (n, 4) boxes, (n,) labels, (n,) scores and (n, 1, H, W) "
    "masks, as torchvision exports them"
)


def from_boxes(detections: Detections, class_map: Pixels, indexes: Mapping[int, int]) -> Instances:
    """A mask for each box: those pixels in it that the class map (H, W) gives the box's class.

    indexes : index of a class in the map, by that of the detector; boxes of other classes are left
        out, as are those without a pixel of their class.
    """
    masks, kept = [], []
    height, width = class_map.shape
    for i, (box, of_class) in enumerate(
        zip(detections.boxes, detections.classes.tolist(), strict=True)
    ):
        if of_class not in indexes:
            continue
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int)
        inside = np.zeros((height, width), dtype=np.bool_)
        part = slice(max(top, 0), bottom), slice(max(left, 0), right)
        inside[part] = class_map[part] == indexes[of_class]
        if inside.any():
            masks.append(encoded(inside))
            kept.append(i)
    return Instances(masks, detections.scores[kept], detections.classes[kept])


def open_instances(file: Path, *, threads: int = 1) -> InstanceSegmenter:
    """An instance segmenter from an ONNX file, of the kind that its outputs tell. Raises BadModel,
    which says what outputs were expected."""
    session = onnx_session(file, threads)
    match len(session.get_outputs()):
        case 2:
            return YoloSeg(file, threads=threads)
        case 4:
            return MaskRcnn(file, threads=threads)
    raise BadModel(
        f"{file} is no instance segmenter: {EXPECTED}; found "
        f"{outputs_in_words(session.get_outputs())}"
    )


class YoloSeg:
    """YOLO-seg as Ultralytics exports it: input (1, 3, S, T), RGB of 0 to 1, the picture between
    margins; outputs (1, 4 + classes + 32, n): centre, size, scores in [0, 1], coefficients; and
    (1, 32, h, w): prototypes, of which the coefficients make masks (D. Bolya et al., "YOLACT",
    ICCV 2019)."""

    n_classes: int | None

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        self.name = file.name
        self.digest = digest_of(file, "yolo-seg 1", score=LEAST_SCORE, iou=MOST_IOU, most=MOST)
        self._session = onnx_session(file, threads)
        self._input, self._height, self._width = onnx_input(self._session, file, default=640)
        outputs = self._session.get_outputs()
        # In whichever order they come: prototypes have four dimensions.
        self._is_swapped = len(outputs[0].shape) == 4
        found, prototypes = reversed(outputs) if self._is_swapped else outputs
        channels = found.shape[1] if len(found.shape) == 3 else None
        if (
            not isinstance(channels, int)
            or channels <= 4 + COEFFICIENTS
            or len(prototypes.shape) != 4
            or prototypes.shape[1] != COEFFICIENTS
        ):
            raise BadModel(f"{file}: {EXPECTED}; found {outputs_in_words(outputs)}")
        self.n_classes = channels - 4 - COEFFICIENTS

    def instances(self, pixels: Pixels) -> Instances:
        whole, place = letterboxed(
            pixels, height=self._height, width=self._width, fill=FILL, centred=True
        )
        planes = np.ascontiguousarray(whole[None].transpose(0, 3, 1, 2)) / np.float32(255)
        outputs = self._session.run(None, {self._input: planes})
        found, prototypes = reversed(outputs) if self._is_swapped else outputs
        rows = found[0].T.astype(np.float64)
        of_class = rows[:, 4:-COEFFICIENTS]
        scores = of_class.max(axis=1)
        surest = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
        surest = surest[scores[surest] >= LEAST_SCORE]
        rows, scores, classes = rows[surest], scores[surest], of_class[surest].argmax(axis=1)
        boxes = np.concatenate(
            [rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1
        )
        kept = suppressed(boxes, scores, classes, most_iou=MOST_IOU, most=MOST)
        masks = self._masks(rows[kept, -COEFFICIENTS:], boxes[kept], prototypes[0], place, pixels)
        return Instances([encoded(mask) for mask in masks], scores[kept], classes[kept])

    def _masks(
        self,
        coefficients: FloatArray,
        boxes: FloatArray,
        prototypes: NDArray[np.float32],
        place: Letterbox,
        pixels: Pixels,
    ) -> NDArray[np.bool_]:
        """(n, H, W) of the picture: where the coefficients' sum of prototypes is above 0, inside
        the box."""
        height, width = pixels.shape[:2]
        sums = np.einsum("nc,chw->nhw", coefficients.astype(np.float32), prototypes)
        masks = np.zeros((len(sums), height, width), dtype=np.bool_)
        corners = place.to_picture(boxes, width=width, height=height)
        for mask, each, box in zip(masks, sums, corners, strict=True):
            left, top = np.floor(box[:2]).astype(int)
            right, bottom = np.ceil(box[2:]).astype(int)
            mask[top:bottom, left:right] = self._in_picture(each, place, height, width)[
                top:bottom, left:right
            ]
        return masks

    def _in_picture(
        self, plane: NDArray[np.float32], place: Letterbox, height: int, width: int
    ) -> NDArray[np.bool_]:
        """A plane (h, w) of the whole input, its margins cut off, at the picture's size: > 0."""
        tensor = torch.from_numpy(plane)[None, None]
        whole = _bilinear(tensor, self._height, self._width)
        inner = whole[
            ..., place.top : place.top + place.height, place.left : place.left + place.width
        ]
        above: NDArray[np.bool_] = (_bilinear(inner, height, width)[0, 0] > 0).numpy()
        return above


def _bilinear(planes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear")


class MaskRcnn:
    """Mask R-CNN as torchvision exports it: input (1, 3, H, W) or (3, H, W) of any size, RGB of 0
    to 1; outputs boxes (n, 4), labels (n,), scores (n,) and masks (n, 1, H, W) of 0 to 1 at the
    picture's size. Labels are COCO's category numbers."""

    n_classes: int | None = None

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        self.name = file.name
        self.digest = digest_of(file, "mask-rcnn 1")
        self._file = file
        self._session = onnx_session(file, threads)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) not in (3, 4) or shape[-3] != 3 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs)
            raise BadModel(
                f"{file}: expected one input (1, 3, H, W) or (3, H, W) of float32, found {found}"
            )
        if any(isinstance(side, int) for side in shape[-2:]):
            raise BadModel(
                f"{file}: its input {shape} takes pictures of one size alone; export it with "
                "dynamic_axes for height and width"
            )
        self._input, self._is_batch = inputs[0].name, len(shape) == 4

    def instances(self, pixels: Pixels) -> Instances:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / 255
        outputs = self._session.run(None, {self._input: planes[None] if self._is_batch else planes})
        labels, scores, masks = self._told(outputs, pixels.shape[:2])
        order = np.argsort(-scores, kind="stable")
        return Instances([encoded(masks[i, 0] > 0.5) for i in order], scores[order], labels[order])

    def _told(
        self, outputs: Sequence[NDArray[Any]], size: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.float32]]:
        """Labels, scores and masks, told apart by their shapes: an export may name them freely."""
        n = len(outputs[0])
        masks = [each for each in outputs if each.shape == (n, 1, *size)]
        labels = [each for each in outputs if each.shape == (n,) and each.dtype.kind == "i"]
        scores = [each for each in outputs if each.shape == (n,) and each.dtype.kind == "f"]
        if not (len(masks) == len(labels) == len(scores) == 1):
            raise BadModel(f"{self._file}: {EXPECTED}; found {outputs_in_words(outputs)}")
        return labels[0].astype(np.int64), scores[0].astype(np.float64), masks[0]
