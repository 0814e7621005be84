"""JPEG (ITU-T T.81) by MozJPEG, which libvips carries."""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import EncodeFailed, Knob, Pixels, Setting, check_setting
from codecs_registry.codecs.checks import check_size

_OPTIONS: dict[str, bool | int] = {
    "quant_table": 3,  # MozJPEG's default, by N. Robidoux
    "trellis_quant": True,
    "overshoot_deringing": True,
    "optimize_scans": True,
    "interlace": True,
    "optimize_coding": True,
}


class MozJpeg:
    """Progressive JPEG, 4:2:0, with trellis quantisation and scans made for each image.

    Its setting is MozJPEG's quality, whole because libvips takes no other: steps of 1 % to 4 % of a
    file's size from 0.4 bpp on, but of 7 % to 12 % at quality 10, where busy pictures have 0.23
    bpp. Of 96 cells of Kodak (24 pictures, 0.23 to 1.0 bpp) 90 % can be met within 2 %. Below
    quality 3 nothing changes any more. MozJPEG's own cjpeg takes fractions.
    """

    name = "mozjpeg"
    label = "MozJPEG"
    extension = ".jpg"
    knob = Knob(
        low=3,
        high=100,
        integer=True,
        curve=(
            (3.0, 0.059),
            (6.0, 0.0954),
            (8.0, 0.122),
            (14.0, 0.201),
            (22.0, 0.299),
            (37.0, 0.452),
            (62.0, 0.698),
            (79.0, 1.04),
            (89.0, 1.54),
            (95.0, 2.35),
            (98.0, 3.64),
        ),
    )
    memory_per_pixel = 16

    def version(self) -> str:
        return (
            f"MozJPEG {_mozjpeg() or 'unknown version'} "
            f"(pyvips-binary {version('pyvips-binary')}, pyvips {version('pyvips')})"
        )

    def unavailable(self) -> str:
        try:
            import pyvips  # noqa: F401
        except (ImportError, OSError) as error:
            return f"pyvips does not load ({error}): pip install 'pyvips[binary]'"
        if not _mozjpeg():
            return "no libvips with MozJPEG is here. A wheel has it: pip install 'pyvips[binary]'"
        return pillow.missing("jpg", "JPEG")

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {"quality": int(setting), "subsampling": "4:2:0", **_OPTIONS}

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=65500)  # libjpeg's JPEG_MAX_DIMENSION
        return _save(pixels, Q=int(setting), **_OPTIONS)

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="JPEG", label=self.label)


def _save(pixels: Pixels, **options: bool | int) -> bytes:
    vips, started_in = _vips()
    if started_in != os.getpid():
        raise EncodeFailed(
            "libvips does not go on in a forked process once it encoded in the one that forked: "
            "start processes by 'spawn', or encode nothing before"
        )
    height, width = pixels.shape[:2]
    try:
        image = vips.Image.new_from_memory(pixels.reshape(-1).data, width, height, 3, "uchar")
        bitstream: bytes = image.jpegsave_buffer(subsample_mode="on", keep="none", **options)
    except (vips.Error, MemoryError) as error:
        raise EncodeFailed(
            f"MozJPEG could not encode {width} x {height} pixels: {error}"
        ) from error
    return bitstream


@cache
def _vips() -> tuple[Any, int]:
    """pyvips, and the process in which libvips' threads will run: a fork leaves them behind."""
    import pyvips

    logging.getLogger("pyvips").setLevel(logging.WARNING)  # or it tells of every encode
    pyvips.cache_set_max(0)  # or libvips keeps the pictures that it saw last
    pyvips.concurrency_set(1)
    return pyvips, os.getpid()


@cache
def _mozjpeg() -> str:
    """The version of the MozJPEG inside the wheel's libvips, as it stands there; '' if none does.

    No function tells it, and an encode that shows it would start threads that no fork survives.
    """
    try:
        libraries = [file for file in files("pyvips-binary") or () if "libvips" in file.name]
    except PackageNotFoundError:
        return ""
    for library in libraries:
        path = Path(str(library.locate()))
        found = path.is_file() and re.search(rb"mozjpeg version ([0-9.]+)", path.read_bytes())
        if found:
            return found[1].decode()
    return ""
