"""Which pairs to ask next, so that few judgments make a precise scale.

pairs = next_pairs(comparisons.win_matrix(), 20, rng=np.random.default_rng(1))
"""

from __future__ import annotations

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, FloatArray, IntArray
from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.scaling import bradley_terry

PRIOR_SD = 2.0  # log-odds: two conditions of the prior differ by 2.8 log-odds, one sd
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_TIED = 1e-9
"""Relative difference below which gains differ by rounding only."""


def information_gain(
    wins: FloatArray, *, prior_sd: float = PRIOR_SD, pending: IntArray | None = None
) -> FloatArray:
    """What one more answer to each pair is expected to tell about the scores, in nats.

    wins : (n, n) array; wins[i, j] = times i was judged closer than j; a tie adds 1/2 to each
        side; the diagonal is 0. There may be none at all.
    prior_sd : standard deviation, in log-odds, of the normal prior on each score. With it, pairs
        that were never compared, and conditions that never lost, have a gain as all others do.
    pending : (n, n) counts of questions now out with annotators, read as pending + pending.T.
        Their answers are not known, but the information to be expected of them is.

    Returns (n, n) float64, symmetric, from 0 to log 2; 0 on the diagonal. It is the mutual
    information between the answer and the scores, H(E p) - E H(p), where p = 1 / (1 + exp(-d)),
    H is the entropy of a yes-or-no answer, and the difference d is normal under Laplace's
    approximation to the posterior of a Bradley-Terry scale.

    Raises NotIdentified if there are fewer than two conditions, and ValueError for arrays that do
    not fit.

    D. V. Lindley (1956), "On a measure of the information provided by an experiment", Annals of
    Mathematical Statistics 27, 986-1005. J. Li, R. Mantiuk, J. Wang, S. Ling and P. Le Callet
    (2018), "Hybrid-MST: a hybrid active sampling strategy for pairwise preference aggregation",
    Advances in Neural Information Processing Systems 31, 3475-3485, use it for Bradley-Terry
    scales, with Gauss-Hermite quadrature, as here.

    >>> information_gain(np.array([[0.0, 9.0], [1.0, 0.0]])).round(3)
    array([[0.   , 0.046],
           [0.046, 0.   ]])
    """
    scores, covariance = _posterior(wins, prior_sd, pending)
    n = len(scores)
    i, j = np.triu_indices(n, 1)
    gains = np.zeros((n, n))
    gains[i, j] = _answer_information(scores[i] - scores[j], _variance(covariance, i, j))
    return gains + gains.T


def next_pairs(
    wins: FloatArray,
    size: int,
    *,
    rng: np.random.Generator,
    doubt: float = 5.0,
    prior_sd: float = PRIOR_SD,
    pending: IntArray | None = None,
    allowed: BoolArray | None = None,
) -> IntArray:
    """The next pairs to ask, to be answered in any order by any number of annotators.

    wins, prior_sd, pending : as in information_gain.
    size : how many pairs. A pair may come more than once, where its second answer is still worth
        more than the first of any other.
    rng : chooses between pairs of the same worth.
    doubt : >= 0. A pair is worth what its answer is expected to take off the mean standard error
        of the scores, times 1 + doubt * (probability that the two are ordered wrongly), which is
        1/2 at most. 0 gives the narrowest intervals; much of it, 20 say, the right order soonest,
        with wider intervals of scores far apart. benchmarks/active_sampling.py measures both.
    allowed : (n, n) mask of the pairs that may be asked, in either order; None for all.

    Pairs are taken one by one, each after the information to be expected of those before it. As
    long as judgments, pending questions and pairs taken leave conditions unconnected that allowed
    pairs can connect, only pairs that do are taken: in a fresh study the first n - 1 pairs are a
    spanning tree.

    Returns (size, 2) int64, i < j in each row, in the order taken. Raises NotIdentified if there
    are fewer than two conditions, and ValueError for arrays that do not fit, for a negative size
    or doubt, and if no pair is allowed.

    The first factor is close to Bayesian A-optimality (K. Chaloner and I. Verdinelli 1995,
    "Bayesian experimental design: a review", Statistical Science 10, 273-304); in simulation it
    gave narrower intervals than the largest information_gain, and the second, which is our own,
    the right order sooner. Hybrid-MST and ASAP (A. Mikhailiuk, C. Wilmot, M. Perez-Ortiz, D. Yue
    and R. K. Mantiuk 2021, "Active sampling for pairwise comparisons via approximate message
    passing and information gain maximization", International Conference on Pattern Recognition)
    take each batch along a spanning tree, so that its pairs differ; expected information makes
    them differ by itself.
    """
    scores, covariance = _posterior(wins, prior_sd, pending)
    n = len(scores)
    if size < 0 or not (doubt >= 0 and np.isfinite(doubt)):
        raise ValueError(f"size and doubt: expected numbers >= 0, found {size} and {doubt}")
    can = np.ones((n, n), dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
    if can.shape != (n, n):
        raise ValueError(f"allowed: expected shape {(n, n)}, found {can.shape}")
    i, j = np.nonzero(np.triu(can | can.T, 1))
    if not len(i):
        raise ValueError("allowed: expected at least one pair of two conditions")
    asked = np.asarray(wins) if pending is None else np.asarray(wins) + np.asarray(pending)
    part = scipy.sparse.csgraph.connected_components(asked > 0, directed=False)[1]
    difference = scores[i] - scores[j]
    pairs = np.empty((size, 2), dtype=np.int64)
    for row in range(size):
        towards = covariance[:, i] - covariance[:, j]
        variance = _variance(covariance, i, j)
        information = _expected_weight(difference, variance)
        # Sherman and Morrison: what one answer is expected to take off the covariance.
        share = information / (1 + information * variance)
        # A standard error falls by the fall of its square, over twice itself.
        worth = share * ((0.5 / np.sqrt(np.diag(covariance))) @ towards**2)
        worth *= 1 + doubt * scipy.special.ndtr(-np.abs(difference) / np.sqrt(variance))
        joining = part[i] != part[j]
        candidates = np.flatnonzero(joining if joining.any() else np.ones(len(i), dtype=bool))
        best = worth[candidates].max()
        pick = rng.choice(candidates[worth[candidates] >= best * (1 - _TIED)])
        pairs[row] = i[pick], j[pick]
        part[part == part[j[pick]]] = part[i[pick]]
        covariance = covariance - share[pick] * np.outer(towards[:, pick], towards[:, pick])
    return pairs


def _posterior(
    wins: FloatArray, prior_sd: float, pending: IntArray | None
) -> tuple[FloatArray, FloatArray]:
    """Mode (n,) and covariance (n, n) of the scores, less their mean, after what pending tells."""
    wins = np.asarray(wins, dtype=np.float64)
    n = len(wins)
    if n < 2:
        raise NotIdentified(f"a pair needs two conditions, and there are {n}")
    if wins.any():
        scale = bradley_terry(wins, prior_sd=prior_sd)
        scores, covariance = scale.scores, scale.covariance
    elif wins.shape == (n, n) and np.isfinite(prior_sd) and prior_sd > 0:
        scores, covariance = np.zeros(n), prior_sd**2 * (np.eye(n) - 1 / n)
    else:
        raise ValueError(f"expected square wins and prior_sd > 0, found {wins.shape}, {prior_sd}")
    if pending is None:
        return scores, covariance
    out = np.asarray(pending, dtype=np.float64)
    if out.shape != (n, n) or not (np.all(out >= 0) and not np.any(np.diag(out))):
        raise ValueError(f"pending: expected counts of shape {(n, n)}, and 0 on the diagonal")
    difference = scores[:, None] - scores
    i, j = np.indices((n, n))
    weight = (out + out.T) * _expected_weight(difference, _variance(covariance, i, j))
    # The all-ones matrix stands for the mean, of which questions tell nothing.
    precision = np.linalg.inv(covariance + 1 / n) + np.diag(weight.sum(axis=1)) - weight
    return scores, np.asarray(np.linalg.inv(precision) - 1 / n)


def _variance(covariance: FloatArray, i: IntArray, j: IntArray) -> FloatArray:
    """Variance of scores[i] - scores[j]; rounding must not take it to 0."""
    own = np.diag(covariance)
    return np.maximum(own[i] + own[j] - 2 * covariance[i, j], 1e-15)


def _expected_weight(mean: FloatArray, variance: FloatArray) -> FloatArray:
    """E p (1 - p), Fisher's information of an answer, for differences (...) of this posterior."""
    d = mean[..., None] + np.sqrt(variance)[..., None] * _NODES
    return np.asarray((scipy.special.expit(d) * scipy.special.expit(-d)) @ _WEIGHTS)


def _answer_information(mean: FloatArray, variance: FloatArray) -> FloatArray:
    """H(E p) - E H(p) for differences (...) of this posterior mean and variance, in nats."""
    d = mean[..., None] + np.sqrt(variance)[..., None] * _NODES
    expected = scipy.special.expit(d) @ _WEIGHTS
    distance = np.abs(d)
    # -p log p - (1 - p) log(1 - p), written so that nothing overflows or cancels.
    entropy = np.log1p(np.exp(-distance)) + distance * scipy.special.expit(-distance)
    return np.maximum(
        scipy.special.entr(expected) + scipy.special.entr(1 - expected) - entropy @ _WEIGHTS, 0.0
    )
