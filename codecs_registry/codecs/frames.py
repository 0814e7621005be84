"""Planes of samples to PyAV's frames and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from codecs_registry.codecs.colour import Plane


def packet_of(stream: bytes) -> Packet[Stream]:
    """A packet with the zero bytes behind it that libavcodec's decoders count on.

    They read past a packet's end. A packet made of bytes lends them where they lie, so that what
    else is in memory would decide whether a file that was cut short is refused.
    """
    packet = Packet(len(stream))
    packet.update(stream)
    return packet


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
