"""Planes of samples to PyAV's frames and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from av.video.frame import VideoFrame

from codecs_registry.codecs.colour import Plane


def frame_of(planes: Iterable[Plane], *, pixel_format: str) -> VideoFrame:
    """A frame of Y', Cb and Cr, each (rows, columns), of a planar format, e.g. 'yuv420p10le'."""
    luma, *chroma = planes
    height, width = luma.shape
    frame = VideoFrame(width, height, pixel_format)
    for target, plane in zip(planes_of(frame), (luma, *chroma), strict=True):
        target[...] = plane
    return frame


def planes_of(frame: VideoFrame) -> list[Plane]:
    """The planes of a frame of a planar format, one (grey) or three (Y', Cb, Cr), without copying.

    Each is (rows, columns), uint8 for 8 bits a sample, uint16 above.
    """
    dtype = np.dtype("u1" if frame.format.components[0].bits == 8 else "<u2")
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]  # type: ignore[call-overload]
        for plane in frame.planes
    ]
