"""Intervals that know that judgments are not independent: those of one annotator, or of one
source image, have something in common.

Two ways: a covariance robust to clusters, and a bootstrap that draws whole clusters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse, special

from evaluation.statistics.annotator_model import AnnotatorScale, refitted
from evaluation.statistics.batch import bradley_terry_batch
from evaluation.statistics.choice_models import BRADLEY_TERRY
from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import NotConverged, NotIdentified, t_quantile
from evaluation.statistics.likelihood import Likelihood, Outcomes
from evaluation.statistics.scaling import Parameter, Scale, fit_scale

Cluster = Literal["annotator", "content"]
BOTH: tuple[Cluster, Cluster] = ("annotator", "content")
FEWEST_CLUSTERS = 2
MOST_GROUPS = 20
"""Refits of a jackknife over one kind of clusters."""
_NO_VARIANCE = 1e-9
"""Share of the variance of independent judgments that no longer counts as any."""
_AT_ONCE = 4_000_000  # numbers in an array of resamples: bounds memory
MOST_FAILED = 0.05
"""Share of resamples without a scale beyond which the others say nothing of all."""


def robust(comparisons: Comparisons, scale: Scale, *, over: Collection[Cluster] = BOTH) -> Scale:
    """The scale with a covariance that holds where judgments within clusters are dependent.

    comparisons : those that the scale was fitted to.
    over : what annotators' judgments share, what those of a source image share, or both.

    One way it is the sandwich H^-1 (sum over clusters of u u') H^-1 G / (G - 1), where H is the
    information and u the sum of a cluster's derivatives of the log-likelihood (K.-Y. Liang and
    S. L. Zeger 1986, "Longitudinal data analysis using generalized linear models", Biometrika 73,
    13-22); two ways it is that over annotators, plus that over source images, less that over their
    intersections (A. C. Cameron, J. B. Gelbach and D. L. Miller 2011, "Robust inference with
    multiway clustering", Journal of Business and Economic Statistics 29, 238-249, eq. 2.9), its
    negative eigenvalues put to 0. Intervals then take Student's t with one degree of freedom less
    than there are clusters, of the fewer kind (their section 2.3).

    Raises NotIdentified if there are fewer than two clusters of a kind, or so few that a score
    comes out without any variance.
    """
    if scale.prior_sd is not None:
        raise ValueError("a robust covariance is for scales without a prior")
    likelihood = Likelihood(
        Outcomes.of(comparisons, sided=scale.side is not None),
        scale.model,
        side_effect=scale.side is not None,
    )
    bread = likelihood.covariance(scale.parameters)
    covariance = _sandwich(comparisons, _derivatives(comparisons, scale), bread, over)
    n, errors = len(scale.scores), np.sqrt(np.diag(covariance))
    return replace(
        scale,
        covariance=covariance[:n, :n],
        side=scale.side and Parameter(scale.side.value, float(errors[n])),
        tie=scale.tie and Parameter(scale.tie.value, float(errors[-1])),
        degrees_of_freedom=float(_fewest(comparisons, over) - 1),
    )


def robust_annotators(
    comparisons: Comparisons, scale: AnnotatorScale, *, over: Collection[Cluster] = BOTH
) -> AnnotatorScale:
    """As robust, for a scale with reliabilities of annotators: by the jackknife, since leaving an
    annotator out changes how the others are weighed.

    The clusters of a kind, at most MOST_GROUPS of them or else in so many groups of nearly equal
    numbers of judgments, are left out one after the other: the covariance is (G - 1) / G times
    the sum of the squares of the scores' deviations from their mean (B. Efron and R. J.
    Tibshirani 1993, "An Introduction to the Bootstrap", section 11.5; groups: P. S. Kott 2001,
    "The delete-a-group jackknife", Journal of Official Statistics 17, 521-526). Over both, it is
    the sum of the two less that of independent judgments. The sandwich, by comparison, came out
    a sixth too narrow.

    Raises NotIdentified also if the judgments left determine no scale.
    """
    _require_clusters(comparisons, over)
    squares, fewest = np.zeros_like(scale.covariance), math.inf
    for kind in over:
        group = _groups(getattr(comparisons, kind), comparisons.weight)
        g = int(group.max()) + 1
        left = np.array([refitted(comparisons, scale, group != k) for k in range(g)])
        deviations = left - left.mean(axis=0)
        squares, fewest = squares + (g - 1) / g * deviations.T @ deviations, min(fewest, g)
    covariance = squares - scale.covariance if len(over) == 2 else squares
    return replace(
        scale,
        covariance=_without_negative(covariance, scale.covariance),
        degrees_of_freedom=fewest - 1.0,
    )


def _groups(cluster: IntArray, weight: IntArray) -> IntArray:
    """The group (m,) of each judgment: its cluster, or where these are many, several together."""
    labels, cluster = np.unique(cluster, return_inverse=True)
    # The largest are dealt first, to and fro, so that groups are about as large.
    order = np.argsort(-np.bincount(cluster, weight), kind="stable")
    places = np.arange(len(labels)) % (2 * MOST_GROUPS)
    group = np.empty(len(labels), dtype=np.int64)
    group[order] = np.minimum(places, 2 * MOST_GROUPS - 1 - places)
    return np.asarray(group[cluster])


def _sandwich(
    comparisons: Comparisons,
    derivatives: sparse.csr_array,
    bread: FloatArray,
    over: Collection[Cluster],
) -> FloatArray:
    """(p, p) robust covariance of p parameters, from the derivatives (m, p) of each judgment's
    log-likelihood and the inverse of the information (p, p)."""
    _require_clusters(comparisons, over)
    clusters = {"annotator": comparisons.annotator, "content": comparisons.content}
    meat = sum(_meat(clusters[kind], derivatives) for kind in over)
    if len(over) == 2:
        both = comparisons.annotator * len(comparisons.contents) + comparisons.content
        meat = meat - _meat(both, derivatives)
    return _without_negative(bread @ meat @ bread, bread)


def _without_negative(covariance: FloatArray, independent: FloatArray) -> FloatArray:
    """The covariance, its negative eigenvalues put to 0.

    Raises NotIdentified if that leaves a parameter next to no variance, compared with that of
    independent judgments.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
    if np.any(np.diag(kept) <= _NO_VARIANCE * np.diag(independent)):
        raise NotIdentified("there are too few clusters to tell how far they vary")
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """Scores of conditions in resamples of the judgments.

    draws : (B, n) float64; NaN rows where a resample determines no scale.
    scores : (n,) of the judgments themselves.
    over : the clusters that were drawn.
    n_clusters : how many there are, of the fewer kind.
    """

    draws: FloatArray
    scores: FloatArray
    over: tuple[Cluster, ...]
    n_clusters: int

    @property
    def n_failed(self) -> int:
        return int(np.isnan(self.draws[:, 0]).sum())

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Expanded percentile bounds low (n,) and high (n,).

        Percentiles are too narrow where there are few clusters, as a normal interval with the
        uncorrected variance is; so they are taken as much further out as Student's t with the
        corrected one is (T. C. Hesterberg 2015, "What teachers should know about the bootstrap",
        The American Statistician 69, 371-386, section 3.5, "expanded percentile").

        Raises NotIdentified if more than MOST_FAILED of the resamples determine no scale.
        """
        if self.n_failed > MOST_FAILED * len(self.draws):
            raise NotIdentified(
                f"{self.n_failed} of {len(self.draws)} resamples determine no scale: there are too "
                "few judgments for a bootstrap"
            )
        g = self.n_clusters
        further = t_quantile(confidence, g - 1)
        if len(self.over) == 1:  # draws over both have the corrected variance already
            further *= math.sqrt(g / (g - 1))
        tail = float(special.ndtr(-further))
        low, high = np.nanquantile(self.draws, [tail, 1 - tail], axis=0)
        return low, high

    def covariance(self) -> FloatArray:
        """(n, n) of the scores, over the resamples that determine a scale."""
        return np.atleast_2d(np.cov(self.draws[~np.isnan(self.draws[:, 0])].T))


def cluster_bootstrap(
    comparisons: Comparisons,
    *,
    over: Collection[Cluster] = BOTH,
    n_boot: int = 1000,
    rng: np.random.Generator,
    scale: Scale | None = None,
) -> Bootstrap:
    """Scores in resamples of whole annotators, whole source images, or both.

    Over both, annotators and source images are drawn independently, and a judgment counts as often
    as its annotator times as often as its image: the pigeonhole bootstrap (A. B. Owen 2007, "The
    pigeonhole bootstrap", Annals of Applied Statistics 1, 386-411). It counts what is peculiar to
    single judgments three times over, so its deviations from the scores are then turned, by the
    symmetric matrix that does it, into ones with the covariance of robust(); that is ours.

    scale : the fit to the comparisons; of a model other than Bradley-Terry it has each resample
        fitted by that model, which takes a few milliseconds each. Default: Bradley-Terry's.

    Raises NotIdentified if the comparisons determine no scale, or if there are fewer than two
    clusters of a kind.
    """
    _require_clusters(comparisons, over)
    scale = fit_scale(comparisons) if scale is None else scale
    n = len(scale.scores)
    is_plain = scale.model is BRADLEY_TERRY and scale.side is None
    cells, values, rows = _winners(comparisons) if is_plain else _outcomes(comparisons)
    n_cells = n * n if is_plain else 3 * n * n
    draws = []
    for counts in _resampled(comparisons, over, (cells, values, rows), n_cells, n_boot, rng):
        if is_plain:
            wins = counts.reshape(-1, n, n)
            draws.append(bradley_terry_batch(wins, start=scale.scores)[0])
        else:
            sides = counts.reshape(-1, 3, n, n)
            draws.append(np.array([_refitted(each, scale) for each in sides]))
    deviations = np.concatenate(draws) - scale.scores
    if len(over) == 2:
        whole = deviations[~np.isnan(deviations[:, 0])]
        found = whole.T @ whole / max(len(whole), 1)
        deviations = deviations @ _between(found, robust(comparisons, scale).covariance)
    return Bootstrap(
        draws=scale.scores + deviations,
        scores=scale.scores,
        over=tuple(over),
        n_clusters=_fewest(comparisons, over),
    )


def _winners(comparisons: Comparisons) -> tuple[IntArray, FloatArray, IntArray]:
    """Wins as cells (winner, loser) of an (n, n) array: cells, values and rows of judgments."""
    c, n = comparisons, len(comparisons.conditions)
    a, b = np.flatnonzero(c.outcome > 0), np.flatnonzero(c.outcome < 1)
    cells = np.concatenate([c.a[a] * n + c.b[a], c.b[b] * n + c.a[b]])
    values = np.concatenate([c.outcome[a], 1 - c.outcome[b]])
    rows = np.concatenate([a, b])
    return cells, values * c.weight[rows], rows


def _outcomes(comparisons: Comparisons) -> tuple[IntArray, FloatArray, IntArray]:
    """Judgments as cells of a (3, n, n) array (see Outcomes): cells, values and rows."""
    c, n = comparisons, len(comparisons.conditions)
    kind = np.rint(2.0 - 2.0 * c.outcome).astype(np.int64)
    return (kind * n + c.a) * n + c.b, c.weight.astype(np.float64), np.arange(len(kind))


def _resampled(
    comparisons: Comparisons,
    over: Collection[Cluster],
    entries: tuple[IntArray, FloatArray, IntArray],
    n_cells: int,
    n_boot: int,
    rng: np.random.Generator,
) -> Iterator[FloatArray]:
    """Sums (some of n_boot, all cells) of values when clusters are drawn with replacement."""
    cells, values, rows = entries
    kinds = [(getattr(comparisons, kind), len(getattr(comparisons, f"{kind}s"))) for kind in over]
    # A unit is a cluster, or where annotators cross source images, what one said of another.
    codes = kinds[0][0] if len(kinds) == 1 else kinds[0][0] * kinds[1][1] + kinds[1][0]
    units, unit = np.unique(codes, return_inverse=True)
    table = sparse.csr_array((values, (cells, unit[rows])), shape=(n_cells, len(units)))
    members = [units] if len(kinds) == 1 else [*np.divmod(units, kinds[1][1])]
    drawn = [
        rng.multinomial(count, np.full(count, 1 / count), size=n_boot).astype(np.float64)
        for _, count in kinds
    ]
    at_once = max(1, _AT_ONCE // max(n_cells, len(units)))
    for first in range(0, n_boot, at_once):
        times = np.ones((len(units), min(at_once, n_boot - first)))
        for each, member in zip(drawn, members, strict=True):
            times *= each[first : first + at_once].T[member]
        yield np.ascontiguousarray((table @ times).T)


def _refitted(counts: FloatArray, scale: Scale) -> FloatArray:
    """(n,) scores of counts (3, n, n) by the scale's model; NaN if they determine none."""
    outcomes = Outcomes.of_counts(counts, sided=True)
    try:
        return fit_scale(outcomes, model=scale.model, side_effect=scale.side is not None).scores
    except (NotIdentified, NotConverged):
        return np.full(len(scale.scores), np.nan)


def _require_clusters(comparisons: Comparisons, over: Collection[Cluster]) -> None:
    if not over or set(over) - set(BOTH) or len(set(over)) < len(over):
        raise ValueError(f"clusters: expected annotator, content or both, found {tuple(over)}")
    for kind, labels, name in (
        ("annotator", comparisons.annotators, "annotators"),
        ("content", comparisons.contents, "source images"),
    ):
        if kind in over and len(labels) < FEWEST_CLUSTERS:
            raise NotIdentified(
                f"how far judgments of different {name} vary needs {FEWEST_CLUSTERS} of them, "
                f"and there are {len(labels)}"
            )


def _fewest(comparisons: Comparisons, over: Collection[Cluster]) -> int:
    return min(len(getattr(comparisons, f"{kind}s")) for kind in over)


def _between(found: FloatArray, wanted: FloatArray) -> FloatArray:
    """The symmetric (n, n) matrix that turns deviates of covariance found into ones of wanted."""
    root, inverse_root = _power(found, 0.5), _power(found, -0.5)
    return inverse_root @ _power(root @ wanted @ root, 0.5) @ inverse_root


def _power(matrix: FloatArray, exponent: float) -> FloatArray:
    """Of a symmetric matrix without negative eigenvalues, among the directions that it reaches."""
    values, vectors = np.linalg.eigh(matrix)
    reached = values > 1e-12 * max(float(values[-1]), 1e-300)
    powers = np.where(reached, np.where(reached, values, 1.0) ** exponent, 0.0)
    return np.asarray((vectors * powers) @ vectors.T)


def _derivatives(comparisons: Comparisons, scale: Scale) -> sparse.csr_array:
    """(m, p) derivative of each judgment's log-likelihood by the parameters, as a sparse array."""
    c, n = comparisons, len(scale.scores)
    d = scale.scores[c.a] - scale.scores[c.b]
    if scale.side is not None:
        d = d + scale.side.value
    terms = scale.model.terms(d, 0.0 if scale.tie is None else scale.tie.value)
    m = len(c.outcome)
    kind, rows = np.rint(2.0 - 2.0 * c.outcome).astype(np.int64), np.arange(m)
    by_d, by_t = terms.d[kind, rows] * c.weight, terms.t[kind, rows] * c.weight
    columns, values = [c.a, c.b], [by_d, -by_d]
    if scale.side is not None:
        columns, values = [*columns, np.full(m, n)], [*values, by_d]
    p = len(scale.parameters)
    if scale.tie is not None:
        columns, values = [*columns, np.full(m, p - 1)], [*values, by_t]
    index = (np.tile(rows, len(columns)), np.concatenate(columns))
    return sparse.csr_array((np.concatenate(values), index), shape=(m, p))


def _meat(cluster: IntArray, derivatives: sparse.csr_array) -> FloatArray:
    """(p, p) sum over clusters of the square of their derivatives, times G / (G - 1)."""
    labels, cluster = np.unique(cluster, return_inverse=True)
    g, m = len(labels), len(cluster)
    members = sparse.csr_array((np.ones(m), (cluster, np.arange(m))), shape=(g, m))
    sums = (members @ derivatives).toarray()
    return np.asarray(sums.T @ sums * (g / max(g - 1, 1)))
