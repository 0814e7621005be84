"""YOLOX (Z. Ge, S. Liu, F. Wang, Z. Li and J. Sun, "YOLOX: Exceeding YOLO Series in 2021",
arXiv:2107.08430) as its own export writes it to ONNX: boxes are decoded here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perceptual.downstream.geometry import letterboxed, suppressed
from perceptual.downstream.models import (
    BadModel,
    Detections,
    FloatArray,
    IntArray,
    Pixels,
    digest_of,
    onnx_input,
    onnx_session,
    outputs_in_words,
)

STRIDES = (8, 16, 32)
FILL = 114.0
# As YOLOX's own evaluation on COCO has them.
LEAST_SCORE = 0.01
MOST_IOU = 0.65
MOST = 300
"""Kept of a picture; COCO's measure looks at 100 of each class."""


class Yolox:
    """A detector from a file: input (1, 3, S, T), BGR of 0 to 255, the picture at its top left;
    output (1, n, 5 + classes): centre, log size, and scores in [0, 1], of each cell of the grids
    of strides 8, 16 and 32."""

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        self.name = file.name
        self.digest = digest_of(file, "yolox 1", score=LEAST_SCORE, iou=MOST_IOU, most=MOST)
        self._session = onnx_session(file, threads)
        self._input, self._height, self._width = onnx_input(self._session, file, default=416)
        self._cells, self._strides = grid(self._height, self._width)
        outputs = self._session.get_outputs()
        expected = f"(1, {len(self._cells)}, 5 + classes)"
        shape = outputs[0].shape if len(outputs) == 1 else []
        if len(shape) != 3 or shape[1] != len(self._cells) or not _is_above(shape[2], 5):
            raise BadModel(
                f"{file} is no YOLOX detector: expected one output {expected}, found "
                f"{outputs_in_words(outputs)}. Export it by YOLOX's tools/export_onnx.py, without "
                "--decode_in_inference"
            )
        self.n_classes = shape[2] - 5

    def detect(self, pixels: Pixels) -> Detections:
        whole, place = letterboxed(pixels, height=self._height, width=self._width, fill=FILL)
        planes = np.ascontiguousarray(whole[None, :, :, ::-1].transpose(0, 3, 1, 2))
        [answer] = self._session.run(None, {self._input: planes})
        boxes, scores, classes = decoded(answer[0], self._cells, self._strides)
        boxes = place.to_picture(boxes, width=pixels.shape[1], height=pixels.shape[0])
        kept = suppressed(boxes, scores, classes, most_iou=MOST_IOU, most=MOST)
        return Detections(boxes[kept], scores[kept], classes[kept])


def _is_above(side: object, least: int) -> bool:
    return isinstance(side, int) and side > least


def grid(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """(n, 2) column and row of each cell, in the output's order, and (n,) its stride in pixels."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.meshgrid(
            np.arange(height // stride), np.arange(width // stride), indexing="ij"
        )
        cells.append(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64))
        strides.append(np.full(rows.size, float(stride)))
    return np.concatenate(cells), np.concatenate(strides)


def decoded(
    answer: NDArray[np.float32], cells: FloatArray, strides: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Boxes (m, 4) in the input's pixels, scores and classes (m,) of the cells of an answer (n, 5 +
    classes) that see something: whose best class times objectness is LEAST_SCORE or more."""
    of_class = answer[:, 5:]
    classes = of_class.argmax(axis=1)
    scores = (answer[:, 4] * of_class.max(axis=1)).astype(np.float64)
    seen = scores >= LEAST_SCORE
    centre = (answer[seen, :2] + cells[seen]) * strides[seen, None]
    half = np.exp(answer[seen, 2:4].astype(np.float64)) * strides[seen, None] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return boxes, scores[seen], classes[seen].astype(np.int64)
