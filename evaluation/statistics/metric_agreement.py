"""How well the differences that a metric sees between two reconstructions go with those that
people see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.comparisons import FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.resampling import bootstrap_estimate

CORRELATIONS = ("pearson", "spearman", "kendall")
TWO_AFC = "two_afc"
MEASURES = (*CORRELATIONS, TWO_AFC)
FEWEST_PAIRS = 3  # each enters both ways, so that one alone is a line
_BLOCK = 256  # resamples, or pairs, at a time: bounds memory


def metric_agreement(
    difference: ArrayLike,
    share: ArrayLike,
    contents: ArrayLike,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: Callable[[], np.random.Generator],
) -> dict[str, Estimate]:
    """Correlations of a metric with people over m pairs of reconstructions, and its 2AFC score.

    difference : (m,) how much closer to the original the metric finds the first of each pair.
    share : (m,) in [0, 1], of the people who found the first one closer; a tie is half of each.
    contents : (m,) labels; the source image of each pair.

    "pearson": the product-moment correlation of both (K. Pearson 1895); "spearman": the same of
    their ranks, mean ranks for ties (C. Spearman 1904, "The proof and measurement of association
    between two things", American Journal of Psychology 15, 72-101); "kendall": tau-b (M. G. Kendall
    1945, "The treatment of ties in ranking problems", Biometrika 33, 239-251). Which of two comes
    first is spelling, so that each pair enters both ways, as (d, s) and as (-d, 1 - s); the result
    is that of scipy.stats on these 2 m points. "two_afc": the mean of s where d > 0, of 1 - s where
    d < 0 and of 1/2 where d = 0 (R. Zhang, P. Isola, A. A. Efros, E. Shechtman and O. Wang 2018,
    "The unreasonable effectiveness of deep features as a perceptual metric", CVPR), in [0, 1].

    Each pair counts once, however many people judged it. A share of few votes is noisy, which
    draws correlations towards 0; compare metrics on the same pairs only. Intervals draw source
    images with return (see resampling.py), each resample being ranked anew.

    Returns an Estimate for each of MEASURES whose n is m. Raises NotIdentified if there are no
    pairs, the metric tells none apart, or people are evenly divided on all; ValueError if the
    arrays do not fit.
    """
    d, s = np.asarray(difference, np.float64), np.asarray(share, np.float64)
    labels = np.asarray(contents)
    if not d.shape == s.shape == labels.shape or d.ndim != 1:
        raise ValueError(f"expected three equal lengths, found {d.shape, s.shape, labels.shape}")
    if not len(d):
        raise NotIdentified("no pair of reconstructions has both answers and values of the metric")
    if not d.any():
        raise NotIdentified("the metric tells no pair apart")
    # Rounded, so that 0.6 - 0.5 and 0.5 - 0.4 are as far from even as each other.
    y = np.round(s - 0.5, 12)
    if not y.any():
        raise NotIdentified("people are evenly divided on every pair")
    names, cluster = np.unique(labels, return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    d, y, cluster = d[order], y[order], cluster[order]
    measures = {
        "pearson": _pearson(d, y, cluster, len(names)),
        "spearman": _spearman(d, y, cluster, len(names)),
        "kendall": _kendall(d, y, cluster, len(names)),
        TWO_AFC: _two_afc(d, y, cluster, len(names)),
    }
    return {
        name: bootstrap_estimate(
            # How often each source image was drawn is all that these values are functions of.
            np.eye(len(names)),
            measures[name],
            n=len(d),
            clusters="source images",
            confidence=confidence,
            n_boot=n_boot,
            rng=rng(),
        )
        for name in MEASURES
        if name == TWO_AFC or len(d) >= FEWEST_PAIRS
    }


Statistic = Callable[[FloatArray], FloatArray]
"""Of weights (b, g), how often each source image was drawn: values (b,)."""


def _pearson(d: FloatArray, y: FloatArray, cluster: IntArray, g: int) -> Statistic:
    # Taken both ways, both have mean 0.
    dy, dd, yy = (np.bincount(cluster, each, g) for each in (d * y, d * d, y * y))
    return lambda w: (w @ dy) / np.sqrt((w @ dd) * (w @ yy))


def _two_afc(d: FloatArray, y: FloatArray, cluster: IntArray, g: int) -> Statistic:
    credit = np.bincount(cluster, 0.5 + np.sign(d) * y, g)
    n = np.bincount(cluster, minlength=g)
    return lambda w: (w @ credit) / (w @ n)


def _spearman(d: FloatArray, y: FloatArray, cluster: IntArray, g: int) -> Statistic:
    """Ranks, less their mean, are half the signs of all differences, added up; taken both ways,
    a point meets each other one and its mirror image."""
    start = np.searchsorted(cluster, np.arange(g))

    def ranks(values: FloatArray) -> FloatArray:
        """(m, g) what each source image adds to each point's rank."""
        return np.concatenate(
            [np.add.reduceat(sum(_signs(part, values)), start, axis=1) for part in _parts(values)]
        )

    of_d, of_y = ranks(d).T, ranks(y).T

    def statistic(weights: FloatArray) -> FloatArray:
        found = []
        for w in _parts(weights):
            rank_d, rank_y, times = w @ of_d, w @ of_y, w[:, cluster]
            cross, squares_d, squares_y = (
                np.sum(times * each, axis=1) for each in (rank_d * rank_y, rank_d**2, rank_y**2)
            )
            found.append(cross / np.sqrt(squares_d * squares_y))
        return np.concatenate(found)

    return statistic


def _kendall(d: FloatArray, y: FloatArray, cluster: IntArray, g: int) -> Statistic:
    """Over pairs of points: the product of signs, by the source images of both; and for tau-b's
    denominator, how many differ in d, and how many in y."""
    start = np.searchsorted(cluster, np.arange(g))
    rows: list[FloatArray] = []
    for part_d, part_y in zip(_parts(d), _parts(y), strict=True):
        same_d, mirrored_d = _signs(part_d, d)
        same_y, mirrored_y = _signs(part_y, y)
        sums = (
            same_d * same_y + mirrored_d * mirrored_y,
            np.abs(same_d) + np.abs(mirrored_d),
            np.abs(same_y) + np.abs(mirrored_y),
        )
        rows.append(np.stack([np.add.reduceat(each, start, axis=1) for each in sums]))
    by_point = np.concatenate(rows, axis=1)
    concordant, in_d, in_y = np.add.reduceat(by_point, start, axis=1)

    def statistic(w: FloatArray) -> FloatArray:
        total, total_d, total_y = (
            np.sum((w @ each) * w, axis=1) for each in (concordant, in_d, in_y)
        )
        return np.asarray(total / np.sqrt(total_d * total_y))

    return statistic


def _signs(part: FloatArray, values: FloatArray) -> tuple[NDArray[np.float64], ...]:
    """(p, m) signs of how far points of a part lie above all, and above all mirrored."""
    return np.sign(part[:, None] - values), np.sign(part[:, None] + values)


def _parts(values: FloatArray) -> list[FloatArray]:
    return [values[at : at + _BLOCK] for at in range(0, len(values), _BLOCK)]
