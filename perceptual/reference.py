"""Full-reference distances between a picture and its reconstruction, in NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TAPS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_TAPS /= _TAPS.sum()


def psnr(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB over all samples of (H, W, 3) arrays; inf if equal."""
    error = reference.astype(np.int32) - distorted
    mean = float(np.mean(error * error, dtype=np.float64))
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


def ms_ssim(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float | None:
    """Multi-scale SSIM of BT.601 luma (Wang, Simoncelli and Bovik 2003); None below 161 a side."""
    if min(reference.shape[:2]) < 161:
        return None
    x, y = (np.asarray(each @ _LUMA, np.float64) for each in (reference, distorted))
    value = 1.0
    for scale, weight in enumerate(_WEIGHTS):
        similarity, contrast = _ssim(x, y)
        last = scale == len(_WEIGHTS) - 1
        value *= max(similarity if last else contrast, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return value


def _ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _blur(x), _blur(y)
    vx, vy, cov = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    contrast = (2 * cov + c2) / (vx + vy + c2)
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return float(np.mean(luminance * contrast)), float(np.mean(contrast))


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred = correlate1d(correlate1d(x, _TAPS, axis=0), _TAPS, axis=1)
    return np.asarray(blurred[5:-5, 5:-5])


def _halve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return x[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
