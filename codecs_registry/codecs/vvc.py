"""VVC intra (ITU-T H.266) by vvenc, as an FFmpeg carries it, its quantiser made continuous."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np

from codecs_registry.codecs.base import (
    CodecError,
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_setting,
)
from codecs_registry.codecs.checks import check_size
from codecs_registry.codecs.colour import Planes, from_ycbcr, to_ycbcr
from codecs_registry.codecs.frames import packet_of, planes_of

# One thread takes 1 s to 2 s for 768 x 512 pixels. Preset faster takes a third of that, for files
# that are about 10 % larger at equal PSNR; medium takes four times as long, for 3 %.
_PRESET = "fast"
_DEPTH = 10  # the only one that FFmpeg gives to vvenc
_LEAST_SIDE = 64  # vvenc's is 16; but FFmpeg takes no more than 8 bits a pixel, headers and all
_BLOCK = 8  # sides are coded in multiples of it
_LAMBDA_STEP = 0.55
_PARAMETERS: dict[str, Setting] = {
    "Threads": 0,  # none beside its own, for a pool's busy waiting can go on for ever
    "VideoFullRange": 1,
    # 18 bytes of the file that serve streams of many pictures.
    "AccessUnitDelimiter": 0,
    "HrdParametersPresent": 0,
}
_REMEDY = (
    "pip install imageio-ffmpeg brings one; or name another in the environment variable "
    "IMAGEIO_FFMPEG_EXE"
)


class Vvc:
    """A VVC key picture as a bare byte stream: 4:2:0, 10 bits, full range, BT.601, with vvenc's
    perceptual adaptation of the quantiser (QPA), which is its default.

    Its setting is VVC's quantiser QP, in fractions. Files of whole QPs lie 10 % to 20 % apart.
    Between two, vvenc's Lagrangian factor lambda changes, which weighs bits against error in each
    of its decisions: by 2^(0.55 x) at x QPs from the whole one, about as far as makes the halves
    of two QPs meet. At equal size PSNR stays within 0.04 dB of what whole QPs give.

    VVC crops to even sides only (conformance window). So an odd side is coded as the even one above
    it, and told by zero bytes after the stream, which decoders pass over (H.266, Annex B: trailing
    zeros): one for an odd width, two for an odd height.
    """

    name = "vvc"
    label = "VVC"
    extension = ".266"
    knob = Knob(
        low=16.0,  # below, noise takes more than the 8 bits a pixel that FFmpeg has room for
        high=63.0,
        rises=False,
        curve=(
            (47.86, 0.0521),
            (45.12, 0.0779),
            (42.31, 0.118),
            (39.26, 0.187),
            (36.21, 0.287),
            (32.92, 0.437),
            (29.22, 0.674),
            (25.03, 1.08),
            (20.3, 1.76),
            (16.0, 2.56),
        ),
    )
    memory_per_pixel = 50

    def version(self) -> str:
        vvenc, ffmpeg, _ = _probe()
        return f"vvenc {vvenc} (FFmpeg {ffmpeg}, imageio-ffmpeg {version('imageio-ffmpeg')})"

    def unavailable(self) -> str:
        return _probe()[2]

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        quantiser = math.floor(setting + 0.5)
        return {
            "preset": _PRESET,
            "qp": quantiser,
            "LambdaModifierI": round(2 ** (_LAMBDA_STEP * (setting - quantiser)), 4),
            "qpa": 1,
            **_PARAMETERS,
            "subsampling": "4:2:0",
            "depth": _DEPTH,
            "range": "full",
            "matrix": "BT.601",
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        chosen = self.settings(setting)
        check_size(pixels, label=self.label, max_side=16384)  # of larger squares FFmpeg makes none
        height, width = pixels.shape[:2]
        below, right = (
            max(-(-side // _BLOCK) * _BLOCK, _LEAST_SIDE) - side for side in (height, width)
        )
        padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        planes = to_ycbcr(padded, subsampling="4:2:0", depth=_DEPTH)
        window = {"ConfWinRight": right // 2 * 2, "ConfWinBottom": below // 2 * 2}
        return _encode(planes, chosen, window) + bytes(width % 2 + 2 * (height % 2))

    def decode(self, bitstream: bytes) -> Pixels:
        stream = bitstream.rstrip(b"\0")
        zeros = len(bitstream) - len(stream)
        if not stream or zeros > 3:
            raise DecodeFailed(f"this is not a {self.label} file that can be read")
        luma, cb, cr = _decode(stream)
        height, width = luma.shape[0] - zeros // 2, luma.shape[1] - zeros % 2
        return from_ycbcr((luma, cb, cr), width=width, height=height, depth=_DEPTH)


def _encode(planes: Planes, chosen: dict[str, Setting], window: dict[str, int]) -> bytes:
    raw = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    height, width = planes[0].shape
    stream, _ = _run(_arguments(width, height, chosen, window), raw, seconds=120 + len(raw) / 1e4)
    return stream


def _arguments(
    width: int, height: int, chosen: dict[str, Setting], window: dict[str, int]
) -> list[str]:
    """FFmpeg's arguments, but for those of its messages and its output."""
    colour = {
        "color_range": "pc",
        "colorspace": "smpte170m",
        "color_primaries": "bt709",
        "color_trc": "iec61966-2-1",
    }
    parameters = {key: chosen[key] for key in ("LambdaModifierI", *_PARAMETERS)} | window
    given = {
        "f": "rawvideo",
        "pix_fmt": "yuv420p10le",
        "video_size": f"{width}x{height}",
        "framerate": 1,
        "color_range": "pc",  # or FFmpeg takes it for limited, and converts it
        "i": "pipe:0",
    }
    made = {
        "c:v": "libvvenc",
        **{key: chosen[key] for key in ("preset", "qp", "qpa")},
        **colour,
        "vvenc-params": ":".join(f"{key}={value}" for key, value in parameters.items()),
    }
    pairs = (*given.items(), *made.items())
    return [part for key, value in pairs for part in (f"-{key}", str(value))]


def _run(
    arguments: list[str], raw: bytes, *, seconds: float, loglevel: str = "error"
) -> tuple[bytes, str]:
    """The stream that FFmpeg makes of raw planes, and what it says meanwhile.

    The stream goes through a file: vvenc writes its warnings to standard output.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="closer-vvc-") as folder:
            made = Path(folder) / "made.266"
            command = [_ffmpeg(), "-hide_banner", "-loglevel", loglevel, *arguments]
            run = subprocess.run(
                [*command, "-f", "vvc", str(made)],
                input=raw,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
            said = run.stderr.decode(errors="replace")
            if run.returncode == 0:
                return made.read_bytes(), said
    except subprocess.TimeoutExpired:
        said = f"it took longer than {seconds:.0f} s"
    except OSError as error:
        said = str(error)
    raise EncodeFailed(f"vvenc could not encode this picture: {said.strip()[-500:]}")


def _decode(stream: bytes) -> Planes:
    context = av.CodecContext.create("vvc", "r")
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    try:
        frames = [*context.decode(packet_of(stream)), *context.decode(None)]
    except (av.FFmpegError, MemoryError) as error:
        raise DecodeFailed(f"this is not a VVC file that can be read: {error}") from error
    if len(frames) != 1 or frames[0].is_corrupt or frames[0].format.name != "yuv420p10le":
        raise DecodeFailed("this VVC file does not hold one whole picture in 4:2:0 with 10 bits")
    luma, cb, cr = planes_of(frames[0])
    return luma, cb, cr


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise CodecUnavailable(f"no FFmpeg is here. {_REMEDY}") from error


@cache
def _probe() -> tuple[str, str, str]:
    """Versions of vvenc and of FFmpeg, and why they cannot be used here, '' if they can."""
    unknown = "unknown version"
    codec = Vvc()
    grey = np.full((_LEAST_SIDE, _LEAST_SIDE, 3), 128, np.uint8)
    planes = to_ycbcr(grey, subsampling="4:2:0", depth=_DEPTH)
    arguments = _arguments(_LEAST_SIDE, _LEAST_SIDE, codec.settings(codec.knob.high), {})
    raw = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    try:
        stream, said = _run(arguments, raw, seconds=60, loglevel="info")
        _decode(stream)
    except CodecUnavailable as error:
        return unknown, unknown, str(error)
    except (CodecError, ValueError) as error:  # PyAV's UnknownCodecError is a ValueError
        reason = f"the FFmpeg that is here ({_ffmpeg()}) has no vvenc that can be used: {error}"
        return unknown, unknown, f"{reason}. {_REMEDY}"
    import imageio_ffmpeg

    found = re.search(r"libvvenc version: (\S+)", said)
    return found[1] if found else unknown, imageio_ffmpeg.get_ffmpeg_version(), ""
