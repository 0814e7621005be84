"""Boxes and resized pictures: what every detector needs before and after its network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from perceptual.downstream.models import FloatArray, IntArray, Pixels


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies in a network's input.

    scale_x, scale_y : pixels of the input for one of the picture.
    left, top : the input's margins, in its pixels.   width, height : of the picture in it.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def to_picture(self, boxes: FloatArray, *, width: int, height: int) -> FloatArray:
        """Boxes (n, 4) of the input's pixels in those of the picture, cut at its edges."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float64)
        scale = np.array([self.scale_x, self.scale_y] * 2)
        within: FloatArray = np.clip((boxes - offset) / scale, 0, np.array([width, height] * 2))
        return within


def letterboxed(
    pixels: Pixels,
    *,
    height: int,
    width: int,
    fill: float,
    centred: bool = False,
    antialias: bool = False,
) -> tuple[NDArray[np.float32], Letterbox]:
    """A picture (H, W, 3) scaled, its shape kept, into (height, width, 3) float32 of 0 to 255.

    fill : what the margins hold.   centred : between margins, not at the top left.
    antialias : bilinear over all pixels that shrink into one; else over the nearest four, as
        OpenCV's INTER_LINEAR.
    """
    of_height, of_width = pixels.shape[:2]
    ratio = min(height / of_height, width / of_width)
    # As the networks' own code has it: cut, not rounded, where the picture is at the top left.
    to = round if centred else int
    inner_height = min(height, max(1, to(of_height * ratio)))
    inner_width = min(width, max(1, to(of_width * ratio)))
    inner = resized(pixels, height=inner_height, width=inner_width, antialias=antialias)
    top = (height - inner_height) // 2 if centred else 0
    left = (width - inner_width) // 2 if centred else 0
    whole = np.full((height, width, 3), fill, dtype=np.float32)
    whole[top : top + inner_height, left : left + inner_width] = inner
    scale_x, scale_y = inner_width / of_width, inner_height / of_height
    return whole, Letterbox(scale_x, scale_y, left, top, inner_width, inner_height)


def resized(
    pixels: Pixels, *, height: int, width: int, antialias: bool = False
) -> NDArray[np.float32]:
    """Bilinear, to whole levels, as the 8-bit pictures that networks are trained on: (height,
    width, 3) float32 of 0 to 255."""
    planes = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(
        planes, size=(height, width), mode="bilinear", antialias=antialias
    )
    rounded: NDArray[np.float32] = scaled.round().clamp(0, 255)[0].permute(1, 2, 0).numpy()
    return rounded


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """(n, m) intersection over union of boxes a (n, 4) and b (m, 4): left, top, right, bottom.

    0 where both are without area.
    """
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(opposite - corner, 0, None), axis=-1)
    union = _areas(a)[:, None] + _areas(b)[None] - shared
    overlap: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas


def suppressed(
    boxes: FloatArray, scores: FloatArray, classes: IntArray, *, most_iou: float, most: int
) -> IntArray:
    """Indexes of the detections that stay, the surest first: none overlaps a surer one of its
    class by more than most_iou; at most `most` (greedy non-maximum suppression).

    boxes : (n, 4).   scores, classes : (n,). Of equal scores the first is the surer.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < most:
        surest, others = waiting[0], waiting[1:]
        kept.append(int(surest))
        overlap = iou(boxes[surest][None], boxes[others])[0]
        waiting = others[(overlap <= most_iou) | (classes[others] != classes[surest])]
    return np.array(kept, dtype=np.int64)
