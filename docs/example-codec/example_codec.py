"""A whole codec on one page: an 8x8 DCT of each colour, one quantiser step, and zlib."""

import struct
import zlib

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from codecs_registry.codecs.base import (
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_pixels,
    check_setting,
)

_BLOCK = 8
_HEADER = struct.Struct(">4sHHf")  # magic, width, height, quantiser step


class ExampleDct:
    name = "example-dct"
    label = "Example DCT"
    extension = ".xdct"
    # The quantiser step: a larger one makes a smaller file, along nearly a line on a log scale.
    # The curve is (step, bits per pixel) of photographs, by `python -m benchmarks mean_curves`.
    knob = Knob(
        low=1,
        high=1500,
        rises=False,
        scale="log",
        curve=((1500, 0.08), (510, 0.174), (185, 0.574), (93, 1.24), (25, 4)),
    )
    memory_per_pixel = 40

    def version(self) -> str:
        return f"example-dct 1 (SciPy {scipy.__version__}, zlib {zlib.ZLIB_RUNTIME_VERSION})"

    def unavailable(self) -> str:
        return ""  # or what is missing, and how to get it

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        # A file keeps 32 bits of the step: this is the number that is used, and so recorded.
        return {"step": _stored(setting), "zlib_level": 9}

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_pixels(pixels)
        check_setting(self.knob, setting)
        step = _stored(setting)
        height, width = pixels.shape[:2]
        if max(height, width) > 0xFFFF:
            raise EncodeFailed(f"{width}x{height} is too large: a side may have 65535 pixels")
        # The edge is repeated up to whole blocks; the header keeps the true size.
        padded = np.pad(pixels, ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0)), "edge")
        blocks = _blocks(padded.astype(np.float32) - 128)
        levels = np.rint(dctn(blocks, axes=(1, 3), norm="ortho") / step)
        # All coefficients of one frequency together: long runs of zeros, which zlib likes.
        ordered = levels.astype(">i2").transpose(1, 3, 4, 0, 2)
        # The zeroth, second, ... bytes apart from the others, likewise.
        content = np.frombuffer(ordered.tobytes(), np.uint8).reshape(-1, 2).T.tobytes()
        return _HEADER.pack(b"XDCT", width, height, step) + zlib.compress(content, 9)

    def decode(self, bitstream: bytes) -> Pixels:
        try:
            magic, width, height, step = _HEADER.unpack_from(bitstream)
            if magic != b"XDCT" or not (width and height and 0 < step < np.inf):
                raise DecodeFailed("this is no file of the example codec")
            rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
            size = 2 * rows * columns * _BLOCK * _BLOCK * 3
            # Never trust a file's size: a small one may unfold to gigabytes.
            content = zlib.decompressobj().decompress(bitstream[_HEADER.size :], size)
            halves = np.frombuffer(content, np.uint8).reshape(2, -1).T
            ordered = np.frombuffer(halves.tobytes(), ">i2")
            ordered = ordered.reshape(_BLOCK, _BLOCK, 3, rows, columns)
        except (struct.error, zlib.error, ValueError) as error:
            raise DecodeFailed(f"this file of the example codec is broken: {error}") from None
        blocks = idctn(
            ordered.transpose(3, 0, 4, 1, 2) * np.float32(step), axes=(1, 3), norm="ortho"
        )
        padded = np.clip(np.rint(blocks + 128), 0, 255).astype(np.uint8)
        padded = padded.reshape(rows * _BLOCK, columns * _BLOCK, 3)
        return np.ascontiguousarray(padded[:height, :width])


def _stored(step: float) -> float:
    return float(np.float32(step))


def _blocks(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) as (H / 8, 8, W / 8, 8, 3), without copying."""
    height, width, colours = picture.shape
    return picture.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK, colours)
