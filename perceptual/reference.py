"""The two full-reference metrics that every codec paper reports: PSNR and MS-SSIM.

Both take a reference and a distorted picture, (H, W, 3) uint8 sRGB each, and work through them in
bands of rows, so that two pictures of 8192 x 8192 pixels need some 300 MB beyond themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Plane: TypeAlias = NDArray[np.float64]
"""(H, W) array, float64, of luma from 0 to 255."""

PEAK = 255.0
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, the finest first (Wang, Simoncelli and Bovik 2003, section 3.2)."""
K1, K2 = 0.01, 0.03
RADIUS, SIGMA = 5, 1.5
SMALLEST_SIDE = 2 * RADIUS * 2 ** (len(WEIGHTS) - 1) + 1
"""161: below, the window does not fit into the coarsest scale."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float64)  # Rec. ITU-R BT.601-7, section 2.5.1
_BAND_PIXELS = 2**17


def _gaussian() -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    window /= window.sum()
    return window


_WINDOW = _gaussian()


def psnr(reference: Pixels, distorted: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, of the red, green and blue samples together:

        PSNR = 10 log10(255^2 / MSE),    MSE = mean of (reference - distorted)^2 over all 3 H W

    reference, distorted : (H, W, 3) arrays, uint8, sRGB as it is stored.

    Returns infinity where the two are equal. Raises ValueError if their shapes or types differ.
    """
    _check(reference, distorted)
    squares = 0
    for rows in _bands(reference, overlap=0):
        error = reference[rows].astype(np.int32) - distorted[rows]
        squares += int(np.square(error, out=error).sum(dtype=np.int64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(PEAK**2 * reference.size / squares)


def ms_ssim(reference: Pixels, distorted: Pixels) -> float | None:
    """Multi-scale structural similarity, from 0 to 1 (equal pictures).

    Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multi-scale structural similarity for image quality
    assessment", Asilomar 2003, equation 7, with the weights of its section 3.2:

        MS-SSIM = l_5^w_5 * (cs_1^w_1 * ... * cs_5^w_5)

    on luma (Y' of BT.601, full range, not rounded); l and cs are means over the places where the
    11 x 11 Gaussian window (sigma 1.5) lies wholly inside. Each scale is the one before, averaged
    over 2 x 2 pixels; an odd last row or column is averaged with itself, as in the authors' own
    program. A mean below zero, as of a negative, counts as zero.

    reference, distorted : (H, W, 3) arrays, uint8, sRGB as it is stored.

    Returns None where a side is under SMALLEST_SIDE. Raises ValueError if the two are of other
    shapes or types.
    """
    _check(reference, distorted)
    if min(reference.shape[:2]) < SMALLEST_SIDE:
        return None
    x: Pixels | Plane = reference
    y: Pixels | Plane = distorted
    result = 1.0
    for weight in WEIGHTS[:-1]:
        _, contrast = similarity(x, y)
        result *= math.pow(max(contrast, 0.0), weight)
        x, y = _halved(x), _halved(y)
    ssim, _ = similarity(x, y)
    return min(result * math.pow(max(ssim, 0.0), WEIGHTS[-1]), 1.0)


def similarity(x: Pixels | Plane, y: Pixels | Plane) -> tuple[float, float]:
    """SSIM at one scale, and its part without luminance: the means of l * cs and of cs.

    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE Trans. Image Processing 13 (2004), equations 6, 13.

    x, y : both (H, W, 3) uint8 or both (H, W) luma; no side under 11.
    """
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    ssim = contrast = 0.0
    count = 0
    for rows in _bands(x, overlap=2 * RADIUS):
        a, b = _luma(x[rows]), _luma(y[rows])
        mean_a, mean_b = _filtered(a), _filtered(b)
        means, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        covariance = _filtered(a * b) - means
        variances = _filtered(a**2 + b**2) - squares
        cs = (2 * covariance + c2) / (variances + c2)
        luminance = (2 * means + c1) / (squares + c1)
        contrast += float(cs.sum())
        ssim += float((luminance * cs).sum())
        count += cs.size
    return ssim / count, contrast / count


def _check(reference: Pixels, distorted: Pixels) -> None:
    for picture in (reference, distorted):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"a picture must be (height, width, 3) uint8, not {picture.shape} {picture.dtype}"
            )
    if reference.shape != distorted.shape:
        raise ValueError(f"the pictures differ in shape: {reference.shape}, {distorted.shape}")
    if reference.size == 0:
        raise ValueError("the pictures have no pixels")


def _bands(picture: Pixels | Plane, *, overlap: int) -> Iterator[slice]:
    """Slices of an even number of rows and `overlap` more, that together cover the picture."""
    height, width = picture.shape[:2]
    step = max(_BAND_PIXELS // width, 64) // 2 * 2
    for start in range(0, max(height - overlap, 1), step):
        yield slice(start, min(start + step + overlap, height))


def _luma(rows: Pixels | Plane) -> Plane:
    if rows.ndim == 2:
        return rows.astype(np.float64, copy=False)
    red, green, blue = (rows[..., i] * _LUMA[i] for i in range(3))
    luma: Plane = red + green + blue
    return luma


def _filtered(plane: Plane) -> Plane:
    """Under the Gaussian window, where that lies wholly inside: RADIUS pixels less on each side."""
    return _filtered_down(_filtered_down(plane).T).T


def _filtered_down(plane: Plane) -> Plane:
    # Row by row with its mirror image: several times faster than a filter that goes down columns.
    size = len(plane) - 2 * RADIUS
    total: Plane = plane[RADIUS : RADIUS + size] * _WINDOW[RADIUS]
    for i in range(RADIUS):
        far = 2 * RADIUS - i
        total += (plane[i : i + size] + plane[far : far + size]) * _WINDOW[i]
    return total


def _halved(picture: Pixels | Plane) -> Plane:
    height, width = picture.shape[:2]
    half = np.empty(((height + 1) // 2, (width + 1) // 2), np.float64)
    for rows in _bands(picture, overlap=0):
        plane = _luma(picture[rows])
        odd = [(0, side % 2) for side in plane.shape]
        if any(after for _, after in odd):
            plane = np.pad(plane, odd, mode="edge")
        means = (plane[::2, ::2] + plane[::2, 1::2] + plane[1::2, ::2] + plane[1::2, 1::2]) / 4
        half[rows.start // 2 : rows.start // 2 + len(means)] = means
    return half
