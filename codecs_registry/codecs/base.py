"""What a codec is: the protocol that every codec module fulfils, its errors and its knob.

A codec turns pixels into a bitstream that stands alone and back. It knows nothing of target bit
rates: `codecs_registry.rate` turns its one knob until a file has the size that is wanted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) array, uint8, C-contiguous: full-range 8-bit sRGB, red first."""

Setting: TypeAlias = str | int | float | bool


class CodecError(Exception):
    """Anything that went wrong with a codec; the message is written for people.

    CodecError
    ├── UnknownCodec        no codec has this name
    ├── CodecUnavailable    it is known, but cannot be used on this machine
    ├── EncodeFailed        these pixels cannot be encoded at this setting
    └── DecodeFailed        this bitstream cannot be decoded
    """


class UnknownCodec(CodecError):
    pass


class CodecUnavailable(CodecError):
    pass


class EncodeFailed(CodecError):
    pass


class DecodeFailed(CodecError):
    pass


@dataclass(frozen=True)
class Knob:
    """The one number that a codec's file size depends on.

    low, high : the range of settings, both ends allowed.
    integer : True if only whole numbers mean anything.
    rises : True if a larger setting makes a larger file.
    scale : the transform of the setting in which log(bpp) is close to a straight line. 'log' needs
        low > 0, 'cbrt' (cube root) low >= 0.
    curve : (setting, bpp) of an ordinary photograph, in either order: the mean of log(bpp) over
        many, at a handful of settings. The search starts where it meets a target, and takes the
        picture at hand for the same curve, moved (`python -m benchmarks.mean_curves` measures it).
        Without it, the search starts at a third and two thirds of the scale.
    asks_for_rate : True if the setting asks the codec for a bit rate, so that all pictures have
        nearly the same curve.

    Raises ValueError if the range is empty or does not suit the scale, or if the curve leaves the
    range or turns back.
    """

    low: float
    high: float
    integer: bool = False
    rises: bool = True
    scale: Literal["linear", "log", "cbrt"] = "linear"
    curve: tuple[tuple[float, float], ...] = ()
    asks_for_rate: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a knob's low must be below its high, not {self.low}, {self.high}")
        if (self.scale == "log" and self.low <= 0) or (self.scale == "cbrt" and self.low < 0):
            raise ValueError(f"a knob on a {self.scale} scale cannot start at {self.low}")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"a whole-number knob cannot run from {self.low} to {self.high}")
        for setting, bpp in self.curve:
            check_setting(self, setting)
            if not 0 < bpp < math.inf:
                raise ValueError(f"a rate curve's bpp must be above 0, not {bpp}")
        if len(self.curve) == 1:
            raise ValueError("a rate curve has two points or more")
        if any(
            not (start[0] < end[0] and start[1] < end[1]) for start, end in pairwise(self._points)
        ):
            raise ValueError("a rate curve must rise, or fall, with the setting throughout")

    def position(self, setting: float) -> float:
        """Where a setting lies on a line along which files grow.

        With a curve, the line is log(bpp) of an ordinary photograph, between the curve's points
        and beyond its ends a straight line over the scale; else it is the scale itself, turned if
        the knob falls.
        """
        along = self.along(setting)
        return along if not self.curve else _through(self._points, along)

    def setting(self, position: float) -> float:
        """The setting at a position: within the range, whole if the knob is."""
        # The ends exactly: there and back, the transforms may miss them by a rounding.
        first, last = (self.low, self.high) if self.rises else (self.high, self.low)
        if position <= self.position(first):
            return float(first)
        if position >= self.position(last):
            return float(last)
        if self.curve:
            position = _through([(bpp, along) for along, bpp in self._points], position)
        if not self.rises:
            position = -position
        match self.scale:
            case "log":
                setting = math.exp(position)
            case "cbrt":
                setting = position**3
            case "linear":
                setting = position
        setting = min(max(setting, self.low), self.high)
        return float(round(setting)) if self.integer else setting

    def along(self, setting: float) -> float:
        """Where a setting lies on the scale, turned if the knob falls."""
        match self.scale:
            case "log":
                along = math.log(setting)
            case "cbrt":
                along = math.cbrt(setting)
            case "linear":
                along = float(setting)
        return along if self.rises else -along

    @property
    def _points(self) -> list[tuple[float, float]]:
        return sorted((self.along(setting), math.log(bpp)) for setting, bpp in self.curve)


def _through(points: list[tuple[float, float]], x: float) -> float:
    """The straight lines through the points, the outermost two going on for ever, at x."""
    at = min(max(bisect_left(points, (x,)), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[at - 1], points[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@runtime_checkable
class Codec(Protocol):
    """A classical or learned codec. Instances are shared by threads, and so hold no state."""

    name: str
    """Identifier in files, database and addresses, e.g. 'jpeg2000'; also its entry point's name."""
    label: str
    """The name that people read, e.g. 'JPEG 2000'."""
    extension: str
    """Of its bitstream files, with the dot, e.g. '.jp2'."""
    knob: Knob
    memory_per_pixel: int
    """Bytes at the peak of an encode for each pixel of a large picture: how many encodes fit into
    the memory of a machine is judged by it (`python -m benchmarks.encode_memory` measures it)."""

    def version(self) -> str:
        """The library with its version, e.g. 'libjpeg-turbo 3.2.0 (Pillow 13.0.0)'."""

    def unavailable(self) -> str:
        """'' if it can be used on this machine, else why it cannot and how to get it."""

    def settings(self, setting: float) -> dict[str, Setting]:
        """All that is needed to repeat an encode at this setting with this version."""

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The pixels as a whole bitstream file; the same pixels and setting give the same bytes.

        Raises ValueError if these are not Pixels or the setting is out of the knob's range,
        EncodeFailed if the format or the library refuses them.
        """

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels (H, W, 3) of a bitstream file, from nothing but its bytes.

        Raises DecodeFailed if it is broken or of another format.
        """


def check_pixels(pixels: Pixels) -> None:
    """Raise ValueError, saying what is wrong, unless this is a C-contiguous uint8 (H, W, 3)."""
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"pixels must be a NumPy array, not {type(pixels).__name__}")
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 (0 to 255), not {pixels.dtype}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"pixels must be of shape (height, width, 3), not {pixels.shape}")
    if not pixels.flags.c_contiguous:
        raise ValueError("pixels must be C-contiguous: use numpy.ascontiguousarray")


def check_setting(knob: Knob, setting: float) -> None:
    """Raise ValueError unless the setting is one that the knob has."""
    if not knob.low <= setting <= knob.high:
        raise ValueError(f"setting {setting:g} is not between {knob.low:g} and {knob.high:g}")
    if knob.integer and not float(setting).is_integer():
        raise ValueError(f"setting {setting:g} is not a whole number")
