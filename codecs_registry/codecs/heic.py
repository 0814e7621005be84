"""HEIC (HEVC intra in a HEIF file) by x265 through libheif, its quantiser made continuous."""

from __future__ import annotations

import io
import re
from functools import cache

import av
import pillow_heif

from codecs_registry.codecs.base import (
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_setting,
)
from codecs_registry.codecs.checks import check_size, failure
from codecs_registry.codecs.colour import from_ycbcr
from codecs_registry.codecs.frames import planes_of

_UNREADABLE = (ValueError, EOFError, SyntaxError, RuntimeError, OSError, MemoryError, IndexError)
"""What pillow-heif raises for a broken file, and PyAV for one without pictures."""
_MAX_SIDE = 16384  # libheif takes more, x265 and decoders not always
_PARAMETERS = {
    # The constant rate factor is the picture's QP itself, fractions and all: see Heic.
    "x265:qcomp": "1",
    # libheif's choice, but for pictures of fewer than 64 pixels a side, which it pads to 64.
    "x265:ctu": "64",
    # Of threads nothing depends but the time.
    "x265:pools": "1",
    "x265:frame-threads": "1",
}


class Heic:
    """HEIC as libheif makes it of still pictures (4:2:0, 8 bits, BT.601, full range), and between.

    Its setting is HEVC's quantiser QP, in fractions. libheif's quality q makes the QP
    (100 - q) / 2 - 6 log2(1.4) for even q; for odd ones x265, which drops the fraction when there
    is but one frame, makes the same file again. With qcomp=1 it keeps the fraction, and adaptive
    quantisation, on by default, has it decide how many blocks are rounded up: files at such QPs
    are those of libheif, bit for bit, and between them they grow smoothly.

    Pictures are decoded by FFmpeg, to planes: libheif itself would repeat the halved chroma
    instead of interpolating it, which costs 0.1 to 0.5 dB at low rates and up to 2.7 at high ones.
    """

    name = "heic"
    label = "HEIC"
    extension = ".heic"
    knob = Knob(
        low=1,
        high=51,
        rises=False,
        curve=(
            (45.48, 0.0518),
            (42.2, 0.0782),
            (39.22, 0.119),
            (36.11, 0.182),
            (32.88, 0.276),
            (29.45, 0.42),
            (25.7, 0.641),
            (21.38, 1.02),
            (16.57, 1.64),
            (11.57, 2.58),
            (5.98, 3.99),
        ),
    )
    memory_per_pixel = 22

    def version(self) -> str:
        info = pillow_heif.libheif_info()
        x265 = re.search(r"\(([^)]+)\)", info["HEIF"])  # 'x265 HEVC encoder (4.3+1-e9b8812)'
        number = x265[1] if x265 else "unknown version"
        return f"x265 {number}, libheif {info['libheif']} (pillow-heif {pillow_heif.__version__})"

    def unavailable(self) -> str:
        return _lacking()

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {
            "encoder": "x265",
            "x265:crf": float(setting),
            **_PARAMETERS,
            "subsampling": "4:2:0",
            "depth": 8,
            "matrix": "BT.601",
            "range": "full",
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=_MAX_SIDE)
        height, width = pixels.shape[:2]
        file = io.BytesIO()
        try:
            pillow_heif.encode(
                "RGB",
                (width, height),
                pixels.tobytes(),
                file,
                chroma="420",
                tile_size=0,
                enc_params={"x265:crf": str(float(setting)), **_PARAMETERS},
            )
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            raise EncodeFailed(
                f"{self.label} could not encode {width} x {height} pixels: {error}"
            ) from error
        return file.getvalue()

    def decode(self, bitstream: bytes) -> Pixels:
        """Reads files of one picture as this encoder writes them."""
        try:
            width, height = pillow_heif.open_heif(bitstream).size
            with av.open(io.BytesIO(bitstream), "r") as container:
                container.streams.video[0].thread_count = 1
                frame = next(container.decode(video=0))
            if frame.format.name != "yuvj420p" or frame.rotation:
                raise ValueError("it is of a kind that this encoder does not write")
            luma, cb, cr = planes_of(frame)
            return from_ycbcr((luma, cb, cr), width=width, height=height)
        except av.FFmpegError as error:
            raise DecodeFailed(
                f"the HEIC file's picture cannot be decoded: {error.strerror}"
            ) from error
        except StopIteration as error:
            raise DecodeFailed("the HEIC file holds no picture that can be decoded") from error
        except _UNREADABLE as error:
            raise DecodeFailed(f"this is not a HEIC file that can be read: {error}") from error


@cache
def _lacking() -> str:
    """'' if x265 and the decoder are there and make a picture, else what is missing."""
    if error := failure(Heic(), Heic.knob.high):
        return (
            f"this pillow-heif's x265 cannot be used ({error}). pillow-heif's wheels have it: "
            "pip install --force-reinstall --only-binary pillow-heif pillow-heif"
        )
    return ""
