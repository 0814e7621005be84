"""AVIF (an AV1 key frame in a HEIF file) by SVT-AV1, through PyAV."""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import (
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_setting,
)
from codecs_registry.codecs.checks import check_size, failure
from codecs_registry.codecs.colour import to_ycbcr
from codecs_registry.codecs.frames import frame_of

# At equal PSNR, files of Kodak pictures are 1 % to 4 % smaller than libaom's at speed 6 (both with
# tune=iq), made in half the time. Preset 6 makes them 8 % larger, in half the time again; 4 makes
# them 3 % smaller, in twice the time, and SVT-AV1 does not support it for pictures beyond 8k.
_PRESET = 5
_LEAST_SIDE = 4  # SVT-AV1's own limits
_MAX_SIDE = 8704
_BIASES = (0, 3)
_MORE_BIASES = (0, 2, 4, 6, 8)
_JUMPS = (59.75, 55.5, 50.25, 40.0, 25.75)
"""The last crf before tune=iq goes over to the next level of quantisation matrices."""


def _ladder() -> tuple[tuple[float, int], ...]:
    """(crf, ac-bias) in the order in which files grow.

    A quarter of crf is one of AV1's 256 quantisers, about 1.6 % of a file, but 5 % to 8 % where
    tune=iq goes over to flatter quantisation matrices. Between two, ac-bias, which makes SVT-AV1's
    decisions keep more texture, adds 1 % at 3 and 2.6 % at 8 (on four photographs, and a percent
    more or less on each), at the PSNR that a quantiser of that size would give but for 0.02 dB.
    """
    return tuple(
        (quarters / 4, bias)
        for quarters in range(4 * 63, 3, -1)
        for bias in (_MORE_BIASES if quarters / 4 in _JUMPS else _BIASES)
    )


_LADDER = _ladder()


class AvifSvt:
    """AVIF, 4:2:0, 8 bits, full range, coded by SVT-AV1 as a still picture with its tune=iq.

    Its setting counts the rungs of a ladder of SVT-AV1's crf and ac-bias. A rung's file is usually
    larger than the last one's, but may be a percent smaller.
    """

    name = "avif-svt"
    label = "AVIF (SVT-AV1)"
    extension = ".avif"
    knob = Knob(
        low=0,
        high=len(_LADDER) - 1,
        integer=True,
        curve=(
            (0.0, 0.0571),
            (31.0, 0.0847),
            (72.0, 0.128),
            (116.0, 0.196),
            (164.0, 0.299),
            (215.0, 0.46),
            (275.0, 0.699),
            (349.0, 1.03),
            (430.0, 1.6),
            (482.0, 2.52),
            (510.0, 3.83),
        ),
    )
    memory_per_pixel = 26

    def version(self) -> str:
        return f"SVT-AV1 {_svt_av1()} (PyAV {av.__version__})"

    def unavailable(self) -> str:
        return pillow.missing("avif", "AVIF") or _lacking()

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        crf, bias = _LADDER[int(setting)]
        return {
            "preset": _PRESET,
            "avif": 1,
            "tune": 3,  # iq
            "crf": crf,
            "ac-bias": bias,
            "lp": 1,
            "subsampling": "4:2:0",
            "range": "full",
            "matrix": "BT.601",
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        chosen = self.settings(setting)
        check_size(pixels, label=self.label, max_side=_MAX_SIDE)
        height, width = pixels.shape[:2]
        below, right = max(_LEAST_SIDE - height, 0), max(_LEAST_SIDE - width, 0)
        if not below and not right:
            return _encode(pixels, chosen)
        padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        return _cropped(_encode(padded, chosen), width, height)

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="AVIF", label=self.label)


def _encode(pixels: Pixels, chosen: dict[str, Setting]) -> bytes:
    os.environ.setdefault("SVT_LOG", "1")  # errors only, or it writes its settings to stderr
    height, width = pixels.shape[:2]
    frame = frame_of(to_ycbcr(pixels, subsampling="4:2:0"), pixel_format="yuv420p")
    parameters = ("crf", "avif", "tune", "ac-bias", "lp")
    options = {
        "preset": str(chosen["preset"]),
        "svtav1-params": ":".join(f"{key}={chosen[key]}" for key in parameters),
    }
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="avif") as container:
            stream = container.add_stream("libsvtav1", rate=1, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            # Untagged, full-range planes are taken for limited ones.
            context = stream.codec_context
            context.color_range = ColorRange.JPEG
            context.colorspace = 6  # BT.601 in H.273; PyAV's names are swscale's numbers
            context.color_primaries = ColorPrimaries.BT709
            context.color_trc = ColorTrc.IEC61966_2_1
            context.open()
            _take_turns()
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    except (av.FFmpegError, MemoryError) as error:
        raise EncodeFailed(
            f"SVT-AV1 could not encode {width} x {height} pixels: {error}"
        ) from error
    return file.getvalue()


def _take_turns() -> None:
    """Make SVT-AV1's threads ordinary ones.

    Started as root, it gives them real-time priority, and nothing else runs on the machine.
    """
    if hasattr(os, "sched_setscheduler") and Path("/proc/self/task").is_dir():
        for task in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread of another encode that has ended
                if os.sched_getscheduler(int(task.name)) == os.SCHED_FIFO:
                    os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))


def _cropped(file: bytes, width: int, height: int) -> bytes:
    """The file, of a picture with sides of at least 4 pixels, cut to one with smaller sides.

    An AV1 frame is coded in blocks of 8 x 8 pixels that reach over its edges (section 5.9.9 of its
    specification), so that only the size itself changes: in the sequence header (5.5.1, as a still
    picture has it) and in the 'ispe' property of the HEIF file.
    """
    written = bytearray(file)
    extents = file.index(b"ispe") + 8
    written[extents : extents + 8] = width.to_bytes(4) + height.to_bytes(4)
    header = file.index(b"mdat") + 4 + 2  # after the header and the size of the first unit
    bits = int.from_bytes(file[header : header + 8])
    # Profile 3 bits, two flags, level 5, then the lengths of both fields less one, 4 bits each.
    lengths = (bits >> 50 & 15) + 1, (bits >> 46 & 15) + 1
    at = 46
    for length, side in zip(lengths, (width, height), strict=True):
        at -= length
        bits = bits & ~((1 << length) - 1 << at) | (side - 1) << at
    written[header : header + 8] = bits.to_bytes(8)
    return bytes(written)


@cache
def _svt_av1() -> str:
    """'4.1.0', from the name of the library in PyAV's wheel; no function tells it."""
    try:
        names = [file.name for file in files("av") or ()]
    except PackageNotFoundError:
        names = []
    found = (re.search(r"SvtAv1Enc.*?\.(\d+\.\d+\.\d+)", name) for name in names)
    return next((match[1] for match in found if match), "unknown version")


@cache
def _lacking() -> str:
    """'' if SVT-AV1 is there and knows the options of the ladder, else what is missing."""
    if error := failure(AvifSvt(), AvifSvt.knob.low):
        return (
            f"this PyAV's SVT-AV1 cannot be used ({error}). It must be 4.1 or newer, as in the "
            "wheels of PyAV 18: pip install --upgrade --only-binary av av"
        )
    return ""
