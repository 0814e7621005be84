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
import scipy

from evaluation.statistics.annotator_model import AnnotatorScale, refitted
from evaluation.statistics.batch import bradley_terry_batch
from evaluation.statistics.choice_models import BRADLEY_TERRY
from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import (
    NotConverged,
    NotIdentified,
    expanded_tail,
    t_quantile,
)
from evaluation.statistics.likelihood import Likelihood, Outcomes
from evaluation.statistics.resampling import FEWEST_RESAMPLED, MOST_UNDEFINED
from evaluation.statistics.scaling import Parameter, Scale, fit_scale

Cluster = Literal["annotator", "content"]
BOTH: tuple[Cluster, Cluster] = ("annotator", "content")
FEWEST_CLUSTERS = 2
MOST_GROUPS = 60
"""Refits of a jackknife over one kind of clusters."""
_NO_VARIANCE = 1e-9
"""Share of the variance of independent judgments that no longer counts as any."""
_AT_ONCE = 4_000_000  # numbers in an array of resamples: bounds memory


def robust(comparisons: Comparisons, scale: Scale, *, over: Collection[Cluster] = BOTH) -> Scale:
    """The scale with a covariance that holds where judgments within clusters are dependent.

    comparisons : those that the scale was fitted to.
    over : what annotators' judgments share, what those of a source image share, or both.

    One way it is the sandwich H^-1 (sum over clusters of u u') H^-1 G / (G - 1), where H is the
    information and u the sum of a cluster's derivatives of the log-likelihood (K.-Y. Liang and
    S. L. Zeger 1986, "Longitudinal data analysis using generalized linear models", Biometrika 73,
    13-22); two ways it is that over annotators, plus that over source images, less that over their
    intersections (A. C. Cameron, J. B. Gelbach and D. L. Miller 2011, "Robust inference with
    multiway clustering", Journal of Business and Economic Statistics 29, 238-249). The result is
    not let fall, in any direction, below that over the intersections alone: what a subtraction
    leaves may be next to nothing by chance, and of many differences between independent judgments
    one was then found significant too often. Intervals take Student's t with one degree of freedom
    less than there are clusters, of the fewer kind.

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
    the sum of the squares of the scores' deviations from their mean. Which clusters are grouped
    depends on their order, and with it a standard error by a few percent (B. Efron and R. J.
    Tibshirani 1993, "An Introduction to the Bootstrap", section 11.5; groups: P. S. Kott 2001,
    "The delete-a-group jackknife", Journal of Official Statistics 17, 521-526). Over both, it is
    the sum of the two less that of independent judgments. The sandwich, by comparison, came out
    a sixth too narrow.

    Raises NotIdentified also if the judgments left determine no scale.
    """
    _require_clusters(comparisons, over)
    squares, fewest = np.zeros_like(scale.covariance), math.inf
    for kind in over:
        group = _groups(_cluster(comparisons, kind)[0], comparisons.weight)
        g = int(group.max()) + 1
        left = np.array([_left_out(comparisons, scale, kind, group, k) for k in range(g)])
        deviations = left - left.mean(axis=0)
        squares, fewest = squares + (g - 1) / g * deviations.T @ deviations, min(fewest, g)
    if len(over) == 2:
        squares = at_least(squares - scale.covariance, scale.covariance)
    return replace(
        scale,
        covariance=_required(squares, scale.covariance),
        degrees_of_freedom=fewest - 1.0,
    )


def _left_out(
    comparisons: Comparisons, scale: AnnotatorScale, kind: Cluster, group: IntArray, k: int
) -> FloatArray:
    try:
        return refitted(comparisons, scale, group != k)
    except NotIdentified as error:
        name = {"annotator": "annotator", "content": "source image"}[kind]
        codes, labels = _cluster(comparisons, kind)
        which = labels[codes[np.argmax(group == k)]]
        raise NotIdentified(f"without {name} {which}: {error.template}", *error.groups) from error


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
    derivatives: scipy.sparse.csr_array,
    bread: FloatArray,
    over: Collection[Cluster],
) -> FloatArray:
    """(p, p) robust covariance of p parameters, from the derivatives (m, p) of each judgment's
    log-likelihood and the inverse of the information (p, p)."""
    _require_clusters(comparisons, over)
    squares = sum(_meat(_cluster(comparisons, kind)[0], derivatives) for kind in over)
    if len(over) == 1:
        return _required(bread @ squares @ bread, bread)
    picture, pictures = _cluster(comparisons, "content")
    both = comparisons.annotator * len(pictures) + picture
    independent = bread @ _meat(both, derivatives) @ bread
    return _required(at_least(bread @ squares @ bread - independent, independent), bread)


def at_least(covariance: FloatArray, least: FloatArray) -> FloatArray:
    """The covariances (..., p, p), in no direction less than the least ones (..., p, p)."""
    root, inverse_root = _power(least, 0.5), _power(least, -0.5)
    values, vectors = np.linalg.eigh(inverse_root @ covariance @ inverse_root)
    raised = (vectors * np.maximum(values, 1.0)[..., None, :]) @ vectors.swapaxes(-1, -2)
    return np.asarray(root @ raised @ root)


def _required(covariance: FloatArray, usual: FloatArray) -> FloatArray:
    """Raise NotIdentified if a parameter has next to no variance, compared with the usual one."""
    if np.any(np.diag(covariance) <= _NO_VARIANCE * np.diag(usual)):
        raise NotIdentified("there are too few clusters to tell how far they vary")
    return covariance


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
        """Percentile bounds low (n,) and high (n,), expanded where clusters are few.

        Over one kind of clusters see expanded_tail; over both, draws have the corrected variance
        already, and only Student's t is allowed for.

        Raises NotIdentified if there are fewer than FEWEST_RESAMPLED clusters, if more than
        MOST_UNDEFINED of the resamples determine no scale, or if those that do are all alike.
        """
        if self.n_clusters < FEWEST_RESAMPLED:
            raise NotIdentified(
                f"percentiles of a bootstrap need {FEWEST_RESAMPLED} clusters of a kind, and there "
                f"are {self.n_clusters}"
            )
        if self.n_failed > MOST_UNDEFINED * len(self.draws):
            raise NotIdentified(
                f"{self.n_failed} of {len(self.draws)} resamples determine no scale: there are too "
                "few judgments for a bootstrap"
            )
        if np.any(np.nanstd(self.draws, axis=0) < 1e-9):
            raise NotIdentified("all clusters answered alike, so resamples have nothing to vary")
        if len(self.over) == 1:
            tail = expanded_tail(confidence, self.n_clusters)
        else:
            tail = float(scipy.special.ndtr(-t_quantile(confidence, self.n_clusters - 1)))
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
    if scale.prior_sd is not None:
        raise ValueError("a bootstrap is for scales without a prior")
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
    clusters = [_cluster(comparisons, kind) for kind in over]
    kinds = [(codes, len(labels)) for codes, labels in clusters]
    # A unit is a cluster, or where annotators cross source images, what one said of another.
    codes = kinds[0][0] if len(kinds) == 1 else kinds[0][0] * kinds[1][1] + kinds[1][0]
    units, unit = np.unique(codes, return_inverse=True)
    table = scipy.sparse.csr_array((values, (cells, unit[rows])), shape=(n_cells, len(units)))
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
    for kind in over:
        count = len(_cluster(comparisons, kind)[1])
        if count < FEWEST_CLUSTERS:
            name = {"annotator": "annotators", "content": "source images"}[kind]
            raise NotIdentified(
                f"how far judgments of different {name} vary needs {FEWEST_CLUSTERS} of them, "
                f"and there {'is' if count == 1 else 'are'} {count}"
            )


def _fewest(comparisons: Comparisons, over: Collection[Cluster]) -> int:
    return min(len(_cluster(comparisons, kind)[1]) for kind in over)


def _cluster(comparisons: Comparisons, kind: Cluster) -> tuple[IntArray, tuple[str, ...]]:
    """The cluster (m,) of each judgment, and what they are called."""
    if kind == "annotator":
        return comparisons.annotator, comparisons.annotators
    return comparisons.picture, comparisons.pictures


def _between(found: FloatArray, wanted: FloatArray) -> FloatArray:
    """The symmetric (n, n) matrix that turns deviates of covariance found into ones of wanted."""
    root, inverse_root = _power(found, 0.5), _power(found, -0.5)
    return inverse_root @ _power(root @ wanted @ root, 0.5) @ inverse_root


def _power(matrix: FloatArray, exponent: float) -> FloatArray:
    """Of symmetric (..., n, n) without negative eigenvalues, among the directions they reach."""
    values, vectors = np.linalg.eigh(matrix)
    largest = np.maximum(values[..., -1:], 1e-300)
    reached = values > 1e-12 * largest
    powers = np.where(reached, np.where(reached, values, 1.0) ** exponent, 0.0)
    return np.asarray((vectors * powers[..., None, :]) @ vectors.swapaxes(-1, -2))


def _derivatives(comparisons: Comparisons, scale: Scale) -> scipy.sparse.csr_array:
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
    return scipy.sparse.csr_array((np.concatenate(values), index), shape=(m, p))


def _meat(cluster: IntArray, derivatives: scipy.sparse.csr_array) -> FloatArray:
    """(p, p) sum over clusters of the square of their derivatives, times G / (G - 1)."""
    labels, cluster = np.unique(cluster, return_inverse=True)
    g, m = len(labels), len(cluster)
    members = scipy.sparse.csr_array((np.ones(m), (cluster, np.arange(m))), shape=(g, m))
    sums = (members @ derivatives).toarray()
    return np.asarray(sums.T @ sums * (g / max(g - 1, 1)))
