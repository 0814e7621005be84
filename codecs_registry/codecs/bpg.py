"""BPG (HEVC intra in Bellard's container) by x265 through PyAV, its quantiser made continuous."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

import av
import numpy as np

from codecs_registry.codecs import bpg_container
from codecs_registry.codecs.base import (
    CodecError,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_setting,
)
from codecs_registry.codecs.checks import check_size, failure
from codecs_registry.codecs.colour import Matrix, Plane, Planes, from_ycbcr, to_ycbcr
from codecs_registry.codecs.frames import frame_of, packet_of, planes_of

_MAX_SIDE = 16384  # of larger squares, FFmpeg's decoder refuses to make pictures
_PRESET = "slower"
_PARAMETERS: dict[str, Setting] = {
    # The least squared error, as bpgenc has it with either of its encoders.
    "psy-rd": 0,
    "psy-rdoq": 0,
    # A continuous quantiser: see BpgX265.
    "qcomp": 1,
    "aq-mode": 2,
    "aq-strength": 0.3,
    # Flags whose value BPG fixes, of tools that a single picture does not use.
    "rect": 1,
    "amp": 1,
    # One thread; and then no wavefronts, which cost up to 2 % at low rates.
    "pools": "none",
    "frame-threads": 1,
    "wpp": 0,
    "keyint": 1,
    "hash": 0,
    "info": 0,
}
_MATRICES: dict[int, Matrix] = {
    bpg_container.BT601: "BT.601",
    bpg_container.BT709: "BT.709",
    bpg_container.BT2020: "BT.2020",
}


class BpgX265:
    """BPG as bpgenc makes it by default (4:2:0, 8 bits, BT.601, full range), but by x265.

    bpgenc's default encoder is another, jctvc, derived from HEVC's reference software: at equal
    rate x265's pictures are a tenth to a quarter of a dB worse, and take far less time.

    Its setting is HEVC's quantiser QP, in fractions. Files of whole QPs lie 7 % to 15 % apart, and
    x265 drops the fraction when there is but one frame, unless

    - qcomp=1 makes the frame's QP the constant rate factor itself, unrounded, and
    - adaptive quantisation, weak as it is here, spreads the QPs of blocks by about one, so that
      the fraction decides how many of them are rounded up. It costs 0.3 % to 0.5 % of rate at
      equal PSNR (and gains as much at equal SSIM).

    Preset slower makes the files of veryslow; slow costs 0.4 % of rate and saves a fifth of the
    time, placebo gains 0.1 % and takes a third more. (Measured on Kodak, x265 4.2.)
    """

    name = "bpg-x265"
    label = "BPG (x265)"
    extension = ".bpg"
    knob = Knob(
        low=1,
        high=51,
        rises=False,
        curve=(
            (46.57, 0.0436),
            (43.85, 0.0671),
            (41.09, 0.104),
            (38.35, 0.156),
            (35.33, 0.241),
            (31.98, 0.372),
            (28.26, 0.574),
            (23.87, 0.909),
            (18.72, 1.48),
            (12.87, 2.44),
            (6.447, 3.99),
        ),
    )
    memory_per_pixel = 20

    def version(self) -> str:
        return f"{_x265()} (PyAV {av.__version__})"

    def unavailable(self) -> str:
        return _lacking()

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {
            "encoder": "x265",
            "preset": _PRESET,
            "crf": float(setting),
            **_PARAMETERS,
            "min-cu-size": "8, or more for narrow pictures",
            "subsampling": "4:2:0",
            "depth": 8,
            "matrix": "BT.601",
            "range": "full",
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=_MAX_SIDE)
        height, width = pixels.shape[:2]
        block = _smallest_block(width, height)
        padded = np.pad(pixels, ((0, -height % block), (0, -width % block), (0, 0)), mode="edge")
        planes = to_ycbcr(padded, subsampling="4:2:0")
        stream = _encode(planes, {"crf": float(setting), "min-cu-size": block, **_PARAMETERS})
        try:
            return bpg_container.mux(stream, width=width, height=height)
        except bpg_container.BpgError as error:
            raise EncodeFailed(f"x265 made what BPG cannot hold: {error}") from error

    def decode(self, bitstream: bytes) -> Pixels:
        """Reads bpgenc's files too, of all formats but alpha, animations, RGB and YCgCo."""
        try:
            header, stream = bpg_container.demux(bitstream)
        except bpg_container.BpgError as error:
            raise DecodeFailed(
                f"this is not a {self.label} file that can be read: {error}"
            ) from error
        if header.colour_space not in _MATRICES:
            raise DecodeFailed("BPG files in RGB or YCgCo are not supported, only those in Y'CbCr")
        planes = _decode(stream)
        if len(planes) == 1:
            grey = np.full_like(planes[0], 1 << (header.bit_depth - 1))
            planes = [planes[0], grey, grey]
        return from_ycbcr(
            (planes[0], planes[1], planes[2]),
            width=header.width,
            height=header.height,
            depth=header.bit_depth,
            full_range=not header.limited_range,
            matrix=_MATRICES[header.colour_space],
        )


def _smallest_block(width: int, height: int) -> int:
    """The side of the smallest coding blocks, of which BPG has the coded picture be a multiple.

    x265 wants a side of 16 pixels, and of 32 from HEVC's level 5 on, which long pictures need.
    """
    least = 16 if max(width, height) <= 4096 else 32
    return 8 if min(width, height) > least - 8 else least


def _encode(planes: Planes, parameters: dict[str, Setting]) -> bytes:
    """An HEVC byte stream of one picture, 4:2:0 and 8 bits, by x265 with these parameters."""
    height, width = planes[0].shape
    frame = frame_of(planes, pixel_format="yuv420p")
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.thread_count = 1
    context.options = {
        "preset": _PRESET,
        "x265-params": ":".join(f"{key}={value}" for key, value in parameters.items())
        + ":log-level=none:repeat-headers=1",
    }
    try:
        packets = [*context.encode(frame), *context.encode(None)]
    except av.FFmpegError as error:  # running out of memory is one
        raise EncodeFailed(
            f"x265 could not encode {width} x {height} pixels: {error.strerror}"
        ) from error
    return b"".join(bytes(packet) for packet in packets)


def _decode(stream: bytes) -> list[Plane]:
    """The planes of an HEVC byte stream of one picture. Raises DecodeFailed if it is broken."""
    context = av.CodecContext.create("hevc", "r")
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    try:
        frames = [*context.decode(packet_of(stream)), *context.decode(None)]
    except av.FFmpegError as error:
        raise DecodeFailed(
            f"the BPG file's HEVC stream cannot be decoded: {error.strerror}"
        ) from error
    if len(frames) != 1 or frames[0].is_corrupt:
        raise DecodeFailed("the BPG file's HEVC stream is broken")
    return planes_of(frames[0])


@cache
def _x265() -> str:
    """'x265 4.2+1-e444744', from the message that x265 leaves in a stream."""
    grey = np.full((16, 16), 128, np.uint8)
    try:
        stream = _encode((grey, grey[:8, :8], grey[:8, :8]), {"info": 1})
    except (CodecError, ValueError):
        return "x265 unknown version"
    found = re.search(rb"x265 \(build \d+\) - (\S+?):", stream)
    return f"x265 {found[1].decode('ascii', 'replace')}" if found else "x265 unknown version"


@cache
def _lacking() -> str:
    """'' if x265 and the decoder are there and make a picture, else what is missing."""
    if error := failure(BpgX265(), BpgX265.knob.high):
        return (
            f"this PyAV's x265 cannot be used ({error}). PyAV's wheels have it: "
            "pip install --force-reinstall --only-binary av av"
        )
    return ""
