"""Percentile intervals by drawing clusters with return, for values that are functions of sums.

Judgments on one source image, or by one annotator, are not independent; whole clusters are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from evaluation.statistics.comparisons import FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, expanded_tail, normal_quantile

FEWEST_RESAMPLED = 8  # percentiles of a bootstrap of fewer are those of a handful of samples
MOST_CLUSTERS = 500
MOST_UNDEFINED = 0.05  # share of samples that may determine no value


def bootstrap_estimate(
    sums: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    n: int,
    clusters: str,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Estimate:
    """A function of sums over independent clusters, with its percentile bootstrap interval.

    sums : (g, s) float64; what each of g clusters adds to the s sums.
    statistic : turns (b, s) sums into (b,) values; NaN where they determine none.
    n : how many units the value rests on. clusters : what the clusters are, in the plural.

    Each of n_boot samples draws g clusters with return (Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap", ch. 13); percentiles are expanded (see expanded_tail). More
    than MOST_CLUSTERS are first dealt at random into so many groups of nearly equal number, which
    are then drawn: that leaves the variance unbiased and adds to the half-width of the interval a
    noise of about 3 %, as much as 2000 samples have.

    There is no interval, and a reason, with fewer than FEWEST_RESAMPLED clusters, where all
    samples give one value, and where more than one sample in twenty gives none; those that give
    none are otherwise left out. Raises ValueError if confidence or n_boot are out of range.
    """
    normal_quantile(confidence)
    if n_boot < 1:
        raise ValueError(f"expected at least one bootstrap sample, found {n_boot}")
    value = float(statistic(sums.sum(axis=0)[None])[0])
    # A sample may have no variation or no pairs, 0 / 0; its NaN is dealt with afterwards.
    with np.errstate(divide="ignore", invalid="ignore"):
        enough = len(sums) >= FEWEST_RESAMPLED
        values = statistic(_drawn_sums(sums, n_boot, rng)) if enough else np.empty(0)
    return percentile_estimate(
        value, values, n=n, n_clusters=len(sums), clusters=clusters, confidence=confidence
    )


def percentile_estimate(
    value: float,
    values: FloatArray,
    *,
    n: int,
    n_clusters: int,
    clusters: str,
    confidence: float,
) -> Estimate:
    """A value with the interval that its bootstrap samples (b,) give it: see bootstrap_estimate.

    For statistics that are no functions of sums; `drawn_times` draws their samples.
    """
    method = f"percentile bootstrap over {clusters}"
    if n_clusters < FEWEST_RESAMPLED:
        reason = (
            f"an interval over {clusters} needs {FEWEST_RESAMPLED} of them, and there "
            f"{'is' if n_clusters == 1 else 'are'} {n_clusters}"
        )
        return Estimate(value, None, None, n, method, reason)
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(values):
        reason = f"too many samples of the {clusters} leave the value undetermined"
        return Estimate(value, None, None, n, method, reason)
    if len(values) > 1 and np.ptp(defined) < 1e-12:  # rounding apart
        reason = f"all {clusters} agree alike, so a bootstrap over them has nothing to vary"
        return Estimate(value, None, None, n, method, reason)
    tail = expanded_tail(confidence, min(n_clusters, MOST_CLUSTERS))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n, method)


def sums_by_cluster(parts: FloatArray, cluster: ArrayLike | None) -> FloatArray:
    """(g, s) sums of the parts (u, s) of units that share a label of cluster (u,), by label.

    None takes each unit as a cluster of its own. Raises ValueError if the lengths differ.
    """
    if cluster is None:
        return parts
    labels = np.asarray(cluster)
    if labels.shape != (len(parts),):
        raise ValueError(f"cluster: expected shape ({len(parts)},), found {labels.shape}")
    found, code = np.unique(labels, return_inverse=True)
    return _sums_by_code(parts, code, len(found))


def _sums_by_code(parts: FloatArray, code: IntArray, g: int) -> FloatArray:
    columns = [np.bincount(code, weights=column, minlength=g) for column in parts.T]
    return np.stack(columns, axis=1)


def _drawn_sums(sums: FloatArray, n_boot: int, rng: np.random.Generator) -> FloatArray:
    """(n_boot, s) sums over as many clusters as there are, drawn with return."""
    if len(sums) > MOST_CLUSTERS:
        group = dealt(len(sums), rng)
        sums = _sums_by_code(sums, group, MOST_CLUSTERS)
    return drawn_times(len(sums), n_boot, rng) @ sums


def dealt(g: int, rng: np.random.Generator) -> IntArray:
    """(g,) index of the group that each of g clusters is dealt into, MOST_CLUSTERS at most."""
    return rng.permutation(g) % MOST_CLUSTERS


def drawn_times(g: int, n_boot: int, rng: np.random.Generator) -> FloatArray:
    """(n_boot, g) how often each of g clusters is among g that are drawn with return."""
    drawn = rng.integers(g, size=(n_boot, g), dtype=np.uint16)
    times = np.empty((n_boot, g))
    for sample, clusters in zip(times, drawn, strict=True):  # one bincount over all is slower
        sample[:] = np.bincount(clusters, minlength=g)
    return times
