"""RGB to Y'CbCr planes and back, for codecs that take planes: exact but for one rounding.

Matrices: ITU-T T.871 (JFIF), clause 7, whose constants are those of ITU-R BT.601; BT.709 and
BT.2020 for files of others. Ranges and depths: ITU-T H.273, clause 8.3.
Halved chroma is sited in the centre of its 2 x 2 pixels, as T.871 has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from codecs_registry.codecs.base import Pixels, check_pixels

Plane: TypeAlias = NDArray[np.uint8 | np.uint16]
Planes: TypeAlias = tuple[Plane, Plane, Plane]
"""Y', Cb and Cr, each (rows, columns): uint8 at 8 bits, uint16 above."""
Subsampling: TypeAlias = Literal["4:2:0", "4:4:4"]
Matrix: TypeAlias = Literal["BT.601", "BT.709", "BT.2020"]

_Floats: TypeAlias = NDArray[np.float32]

_KR_KB: dict[Matrix, tuple[float, float]] = {
    "BT.601": (0.299, 0.114),
    "BT.709": (0.2126, 0.0722),
    "BT.2020": (0.2627, 0.0593),
}
_BAND = 1 << 18
"""Pixels that are worked on at once: few enough for the cache, and for pictures of any size."""


def to_ycbcr(
    pixels: Pixels,
    *,
    subsampling: Subsampling,
    depth: int = 8,
    full_range: bool = True,
    matrix: Matrix = "BT.601",
) -> Planes:
    """The planes of a picture: Y' (H, W), Cb and Cr (H, W) or, at 4:2:0, (ceil(H/2), ceil(W/2)).

    A halved chroma sample is the mean of its 2 x 2 pixels, the last row and column repeated where
    there is no second one.

    depth : bits per sample, 8 to 16.
    full_range : Y' from 0 to 2^depth - 1, else from 16 to 235 (times 2^(depth - 8)).

    Raises ValueError if these are not Pixels or the depth is another.
    """
    check_pixels(pixels)
    height, width = pixels.shape[:2]
    kr, kb = _KR_KB[matrix]
    halved = subsampling == "4:2:0"
    offset, luma_scale, chroma_scale = _range(depth, full_range)
    small = (-(-height // 2), -(-width // 2)) if halved else (height, width)
    luma, cb, cr = (np.empty(shape, _dtype(depth)) for shape in ((height, width), small, small))

    for top, bottom in _bands(height, width):
        band = pixels[top:bottom]
        _store(_luma(band, kr, kb) * luma_scale + offset, luma[top:bottom], depth)
        # Both steps are linear, so that the mean of chroma is the chroma of the mean.
        means = _quartered(band) if halved else band
        mean_luma = _luma(means, kr, kb)
        rows = slice(top // 2, top // 2 + len(means)) if halved else slice(top, bottom)
        for plane, channel, k in ((cb, 2, kb), (cr, 0, kr)):
            difference = means[..., channel] - mean_luma
            scaled = difference * (chroma_scale / (2 - 2 * k)) + (1 << (depth - 1))
            _store(scaled, plane[rows], depth)
    return luma, cb, cr


def from_ycbcr(
    planes: Planes,
    *,
    width: int,
    height: int,
    depth: int = 8,
    full_range: bool = True,
    matrix: Matrix = "BT.601",
) -> Pixels:
    """The picture of such planes, (height, width, 3); chroma may be halved either way, or not.

    Planes may be larger, as decoders pad them: what is right of or below the picture is left out.
    Halved chroma is interpolated by the triangle filter (3/4 of the nearer sample, 1/4 of the
    farther, each way; libjpeg's "fancy upsampling"), the samples at the edges repeated.

    Raises ValueError if the planes are too small or do not suit each other, or for another depth.
    """
    kr, kb = _KR_KB[matrix]
    kg = 1 - kr - kb
    luma, cb, cr = planes
    halves = tuple(_is_halved(luma.shape[axis], cb.shape[axis]) for axis in (0, 1))
    if cb.shape != cr.shape or min(width, height) < 1:
        raise ValueError("Cb and Cr must have one size, the picture one of at least 1 x 1")
    if luma.shape[0] < height or luma.shape[1] < width:
        raise ValueError(f"a plane of shape {luma.shape} does not hold {width} x {height} pixels")
    cb, cr = (
        plane[: -(-height // (1 + halves[0])), : -(-width // (1 + halves[1]))] for plane in (cb, cr)
    )
    offset, luma_scale, chroma_scale = _range(depth, full_range)
    pixels = np.empty((height, width, 3), np.uint8)

    for top, bottom in _bands(height, width):
        grey = luma[top:bottom, :width].astype(np.float32)
        grey -= offset
        grey *= 1 / luma_scale
        blue, red = (
            (_chroma(plane, top, bottom, width, halves) - (1 << (depth - 1))) * (1 / chroma_scale)
            for plane in (cb, cr)
        )
        band = pixels[top:bottom]
        _store(grey + red * (2 - 2 * kr), band[..., 0], 8)
        _store(grey + blue * (2 - 2 * kb), band[..., 2], 8)
        grey -= blue * ((2 - 2 * kb) * kb / kg)
        grey -= red * ((2 - 2 * kr) * kr / kg)
        _store(grey, band[..., 1], 8)
    return pixels


def _range(depth: int, full_range: bool) -> tuple[int, float, float]:
    """Y' of black, and how many levels of Y' and of chroma one of the 255 levels of RGB makes."""
    if not 8 <= depth <= 16:
        raise ValueError(f"a depth is of 8 to 16 bits, not {depth}")
    if full_range:
        scale = ((1 << depth) - 1) / 255
        return 0, scale, scale
    step = 1 << (depth - 8)
    return 16 * step, 219 * step / 255, 224 * step / 255


def _dtype(depth: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if depth == 8 else np.uint16


def _bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """(top, bottom) of bands of an even number of rows, from the first to the last."""
    rows = max(2, _BAND // width // 2 * 2)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _luma(band: NDArray[np.uint8] | _Floats, kr: float, kb: float) -> _Floats:
    # One channel at a time, never as a matrix product: its rounding depends on the machine.
    luma = band[..., 0] * np.float32(kr)
    luma += band[..., 1] * np.float32(1 - kr - kb)
    luma += band[..., 2] * np.float32(kb)
    return luma


def _quartered(band: NDArray[np.uint8]) -> _Floats:
    """Means of 2 x 2 pixels, the last row and column repeated where their number is odd."""
    height, width = band.shape[:2]
    if height % 2 or width % 2:
        band = np.pad(band, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    pairs = np.add(band[::2], band[1::2], dtype=np.uint16)
    return (pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)


def _is_halved(luma: int, chroma: int) -> bool:
    if chroma not in (luma, -(-luma // 2)):
        raise ValueError(f"{chroma} samples of chroma do not suit {luma} of luma")
    return chroma != luma


def _chroma(plane: Plane, top: int, bottom: int, width: int, halves: tuple[bool, ...]) -> _Floats:
    """The chroma of the rows from top to bottom, at the picture's full size."""
    rows, columns = halves
    if rows:
        around = np.arange(top // 2 - 1, -(-bottom // 2) + 1).clip(0, len(plane) - 1)
        band = _doubled(plane[around].astype(np.float32))[2 : 2 + bottom - top]
    else:
        band = plane[top:bottom].astype(np.float32)
    return _doubled(band.T).T[:, :width] if columns else band


def _doubled(plane: _Floats) -> _Floats:
    """Twice as many rows, by the triangle filter."""
    doubled = np.empty((2 * len(plane), plane.shape[1]), np.float32)
    near, far = plane * np.float32(0.75), plane * np.float32(0.25)
    doubled[::2] = near
    doubled[1::2] = near
    doubled[2::2] += far[:-1]
    doubled[0] += far[0]
    doubled[1:-1:2] += far[1:]
    doubled[-1] += far[-1]
    return doubled


def _store(levels: _Floats, target: Plane, depth: int) -> None:
    """Round and clip into the target; the levels are changed."""
    np.rint(levels, out=levels)
    np.clip(levels, 0, (1 << depth) - 1, out=levels)
    target[...] = levels
