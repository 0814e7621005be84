"""MS-SSIM in which some places count more than others.

Z. Wang, E. Simoncelli and A. Bovik, "Multi-scale structural similarity for image quality
assessment", Asilomar 2003: with weights that are all 1, and a window of 11 pixels, it is theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from perceptual.reference import WEIGHTS as EXPONENTS

C1, C2 = 0.01**2, 0.03**2
DEVIATION = 1.5
LEAST = 1e-4
"""Of a scale: below 0 there is no power, and at 0 no gradient of it."""


def weighted_ms_ssim(a: Tensor, b: Tensor, weights: Tensor | None, *, window: int = 7) -> Tensor:
    """(N,): the mean over channels, at most 1.

    a, b : (N, 3, H, W) in [0, 1].   weights : (N, 1, H, W), how much places count, against each
        other; None: all alike.   window : of a Gaussian of 1.5 pixels; the coarsest scale, H / 16,
        must hold it.

    Means over places are weighted at every scale, with the weights' means there.
    """
    kernel = _gaussian(window).to(a)
    factors = []
    for scale, exponent in enumerate(EXPONENTS):
        if scale:
            a, b = _halved(a), _halved(b)
            weights = None if weights is None else _halved(weights)
        luminance, structure = _maps(a, b, kernel)
        is_last = scale == len(EXPONENTS) - 1
        of_places = luminance * structure if is_last else structure
        factors.append(_mean(of_places, weights, window).clamp_min(LEAST) ** exponent)
    return torch.stack(factors).prod(0).mean(1)


def _mean(of_places: Tensor, weights: Tensor | None, window: int) -> Tensor:
    """(N, C) of (N, C, h, w), which lack the margin of the window that the weights have."""
    if weights is None:
        return of_places.mean((2, 3))
    margin = window // 2
    inner = weights[:, :, margin : weights.shape[2] - margin, margin : weights.shape[3] - margin]
    return (of_places * inner).sum((2, 3)) / inner.sum((2, 3))


def _maps(a: Tensor, b: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Likeness of luminance, and of contrast and structure, where the window fits."""
    mean_a, mean_b, aa, bb, ab = _blurred(torch.cat([a, b, a * a, b * b, a * b]), kernel).chunk(5)
    variance_a, variance_b, covariance = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance, (2 * covariance + C2) / (variance_a + variance_b + C2)


def _blurred(x: Tensor, kernel: Tensor) -> Tensor:
    channels = x.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    rows = functional.conv2d(x, across, groups=channels)
    return functional.conv2d(rows, across.transpose(2, 3), groups=channels)


def _halved(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2, padding=[side % 2 for side in x.shape[2:]])


def _gaussian(window: int) -> Tensor:
    away = torch.arange(window) - window // 2
    values = torch.exp(-(away**2) / (2 * DEVIATION**2))
    return values / values.sum()
