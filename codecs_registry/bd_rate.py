"""BD-rate: how many more or fewer bits one codec needs than another for the same quality.

G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", ITU-T SG16 VCEG-M33,
Austin, April 2001, with the curve through the points that JCT-VC's common test conditions settled
on: piecewise cubic Hermite interpolation (F. Bossen, JCTVC-L1100, Geneva, January 2013; kept for
VVC in JVET-T2010, October 2020), which cannot swing between them as VCEG-M33's one polynomial can.
The slopes are those of F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5 (1984), 300-304.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy

FEWEST_POINTS = 4
"""As many as VCEG-M33 and the common test conditions have."""

RatePoint = tuple[float, float]
"""Rate in bits per pixel (any unit of rate will do), and quality, rising: dB, a score."""


class NoBdRate(ValueError):
    """Why there is no BD-rate between two curves, as a sentence for people."""


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: its points in the order of rate, which is that of quality, too."""

    log_rate: np.ndarray
    """(n,) float64, natural logarithms, strictly rising."""
    quality: np.ndarray
    """(n,) float64, strictly rising."""
    log_rate_area: scipy.interpolate.PPoly
    """Antiderivative of log rate over quality."""
    quality_area: scipy.interpolate.PPoly
    """Antiderivative of quality over log rate."""

    @classmethod
    def through(cls, points: Iterable[RatePoint]) -> Curve:
        """The curve through these points, in any order.

        Points of infinite quality (nothing was lost) are left out, and those that are there twice
        count once. Raises NoBdRate if fewer than FEWEST_POINTS remain, if a rate is not positive,
        or if quality does not rise with rate.
        """
        different = set(points)
        kept = sorted(point for point in different if math.isfinite(point[1]))
        if len(kept) < FEWEST_POINTS:
            lossless = len(different) - len(kept)
            besides = f" besides {lossless} of infinite quality" if lossless else ""
            raise NoBdRate(
                f"a curve needs {FEWEST_POINTS} different points and has {len(kept)}{besides}"
            )
        rate, quality = np.array(kept, float).T
        if not (np.isfinite(rate).all() and rate[0] > 0):
            raise NoBdRate("a rate is not a positive number")
        log_rate = np.log(rate)
        if (np.diff(log_rate) <= 0).any() or (np.diff(quality) <= 0).any():
            raise NoBdRate("quality does not rise with rate everywhere")
        return cls(
            log_rate,
            quality,
            scipy.interpolate.PchipInterpolator(quality, log_rate).antiderivative(),
            scipy.interpolate.PchipInterpolator(log_rate, quality).antiderivative(),
        )


def bd_rate(anchor: Iterable[RatePoint] | Curve, test: Iterable[RatePoint] | Curve) -> float:
    """Bits that `test` needs beyond `anchor`'s for the same quality, in percent of `anchor`'s.

        BD-rate = 100 (exp(mean of (ln R_test(Q) - ln R_anchor(Q))) - 1)

    over the qualities Q that both curves reach. Negative: `test` needs fewer bits.

    Raises NoBdRate where a curve is none (Curve.through) or no quality is reached by both.
    """
    anchor, test = _curve(anchor, "anchor"), _curve(test, "test")
    low, high = _common(anchor.quality, test.quality, "quality")
    difference = _mean(test.log_rate_area, low, high) - _mean(anchor.log_rate_area, low, high)
    return 100 * math.expm1(difference)


def bd_quality(anchor: Iterable[RatePoint] | Curve, test: Iterable[RatePoint] | Curve) -> float:
    """Quality of `test` above `anchor`'s at the same rate: BD-PSNR, where quality is PSNR.

        BD-quality = mean of (Q_test(r) - Q_anchor(r)),    r = ln R

    over the rates that both curves have, in the unit of quality. Positive: `test` is better.

    Raises NoBdRate where a curve is none (Curve.through) or no rate is reached by both.
    """
    anchor, test = _curve(anchor, "anchor"), _curve(test, "test")
    low, high = _common(anchor.log_rate, test.log_rate, "rate")
    return _mean(test.quality_area, low, high) - _mean(anchor.quality_area, low, high)


def overlap(anchor: Curve, test: Curve) -> float:
    """Share, 0 to 1, of the range of qualities of both together that both reach.

    Where it is small, a BD-rate rests on the ends of the curves. (C. Herglotz et al., "The
    Bjontegaard Bible", arXiv:2304.12852, whose package `bjontegaard` warns below 0.75.)
    """
    low, high = _range(anchor.quality, test.quality)
    least = min(anchor.quality[0], test.quality[0])
    greatest = max(anchor.quality[-1], test.quality[-1])
    return max(high - low, 0.0) / float(greatest - least)


def _curve(given: Iterable[RatePoint] | Curve, name: str) -> Curve:
    if isinstance(given, Curve):
        return given
    try:
        return Curve.through(given)
    except NoBdRate as error:
        raise NoBdRate(f"{name}: {error}") from error


def _range(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    return float(max(one[0], other[0])), float(min(one[-1], other[-1]))


def _common(one: np.ndarray, other: np.ndarray, what: str) -> tuple[float, float]:
    low, high = _range(one, other)
    span = max(one[-1], other[-1]) - min(one[0], other[0])
    if high - low <= 1e-6 * span:  # a mean over less would be rounding errors
        raise NoBdRate(f"the two curves have no range of {what} in common")
    return low, high


def _mean(area: scipy.interpolate.PPoly, low: float, high: float) -> float:
    start, end = area([low, high])
    return float(end - start) / (high - low)
