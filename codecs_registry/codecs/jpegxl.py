"""JPEG XL (ISO/IEC 18181-1), its lossy VarDCT mode, by libjxl."""

from __future__ import annotations

import numpy as np

from codecs_registry.codecs.base import (
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_pixels,
    check_setting,
)

# libjxl's default is 7. On photographs 6 makes files of the same size at the same PSNR and SSIM
# (Bjontegaard rates -0.2 % and 0.0 % on six), but 7 looks for repeated patches and holds the whole
# picture for that: 57 bytes of memory a pixel instead of 19.
_EFFORT = 6
_FARTHEST = 19.9


class JpegXl:
    """Lossy JPEG XL in XYB colour at full chroma resolution, as a bare codestream.

    Its setting is libjxl's distance, a float: about 1 is meant to be visually lossless. Along it
    files jump by a few percent, either way. libjxl's own range goes on to 25, but from 20 on it
    codes at half size, at another distance (ParamsPostInit in its lib/jxl/enc_frame.cc): there
    files grow by up to a third at once, and at 25 no more of 41 photographs came down to 0.23 bpp
    (37) than at 19.9 (38).
    """

    name = "jpegxl"
    label = "JPEG XL"
    extension = ".jxl"
    knob = Knob(
        low=0.05,
        high=_FARTHEST,
        rises=False,
        scale="log",
        curve=(
            (13.87, 0.178),
            (9.491, 0.255),
            (6.271, 0.365),
            (4.076, 0.522),
            (2.731, 0.721),
            (1.818, 1.01),
            (1.159, 1.42),
            (0.6888, 2.04),
            (0.3925, 2.97),
            (0.2128, 4.2),
        ),
    )
    memory_per_pixel = 22

    def version(self) -> str:
        import imagecodecs

        return f"{imagecodecs.jpegxl_version()} (imagecodecs {imagecodecs.__version__})"

    def unavailable(self) -> str:
        try:
            from imagecodecs import JPEGXL
        except ImportError as error:
            return f"imagecodecs does not load ({error}): pip install imagecodecs"
        if JPEGXL.available:
            return ""
        return (
            f"imagecodecs was built here without {self.label}. Its wheels have it: "
            "pip install --force-reinstall --only-binary imagecodecs imagecodecs"
        )

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {
            "distance": setting,
            "effort": _EFFORT,
            "resampling": 1,
            "colour": "XYB",
            "threads": 1,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_pixels(pixels)
        from imagecodecs import jpegxl_encode

        try:
            return bytes(
                jpegxl_encode(
                    pixels,
                    distance=setting,
                    effort=_EFFORT,
                    lossless=False,
                    usecontainer=False,
                    numthreads=1,
                )
            )
        except (RuntimeError, ValueError, MemoryError) as error:
            height, width = pixels.shape[:2]
            raise EncodeFailed(
                f"{self.label} could not encode {width} x {height} pixels: {error}"
            ) from error

    def decode(self, bitstream: bytes) -> Pixels:
        from imagecodecs import jpegxl_decode

        try:
            pixels: Pixels = jpegxl_decode(bitstream, numthreads=1)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise DecodeFailed(
                f"this is not a {self.label} file that can be read: {error}"
            ) from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise DecodeFailed(f"this {self.label} file is no picture of three 8-bit channels")
        return pixels
