"""Many tests at once: adjusted p values, all differences of a scale, and letters that show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Literal

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, FloatArray, IntArray
from evaluation.statistics.estimate import NotIdentified, t_quantile


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """Wald tests of all differences between n scores; every array is (n, n) float64.

    difference : scores[i] - scores[j], in the unit of the scores.
    low, high : its interval, in the same unit. Each holds at its own confidence, not all at once:
        an interval may leave out 0 where the adjusted p value is too large to call a difference.
    p, p_adjusted : in [0, 1], symmetric, of "the two scores are equal"; adjusted over all pairs
        that were tested.

    The diagonal holds no test: difference, low and high are 0, and both p are 1. A pair whose
    difference has no variance cannot be tested: its low, high, p and p_adjusted are NaN, and
    reason(i, j) says so.
    """

    difference: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray
    p_adjusted: FloatArray

    def significant(self, alpha: float = 0.05) -> BoolArray:
        """(n, n) symmetric; whether p_adjusted <= alpha. False where there was no test."""
        if not 0 < alpha < 1:
            raise ValueError(f"expected an alpha between 0 and 1, found {alpha}")
        return np.asarray(self.p_adjusted <= alpha)

    def reason(self, i: int, j: int) -> str | None:
        """Why scores i and j could not be tested; None if they were."""
        return "the difference has no variance" if np.isnan(self.p[i, j]) else None


@dataclass(frozen=True, slots=True, eq=False)
class BestShares:
    """How often each of n conditions scored highest.

    probability : (n,) float64 in [0, 1], of sum 1; shares of the draws that were used.
    n : draws used.
    n_left_out : draws left out because a score was NaN.
    """

    probability: FloatArray
    n: int
    n_left_out: int


def holm_adjusted(p: FloatArray) -> FloatArray:
    """Adjust (m,) p values so that rejecting those <= alpha keeps the family-wise error <= alpha.

    S. Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 65-70: the i-th smallest of m is multiplied by m - i + 1; adjusted
    values then never fall below those of smaller p, and are at most 1. Holds however the tests
    depend on each other. Order is kept; none give none. Raises ValueError if p is not in [0, 1].
    """
    order = _ascending(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg_adjusted(p: FloatArray) -> FloatArray:
    """Adjust (m,) p values so that of those <= alpha, an expected share <= alpha is false.

    Y. Benjamini and Y. Hochberg (1995), "Controlling the false discovery rate: a practical and
    powerful approach to multiple testing", Journal of the Royal Statistical Society B 57,
    289-300: the i-th smallest of m is multiplied by m / i; adjusted values then never exceed
    those of larger p. Proven for independent tests and some positively dependent ones (Benjamini
    and Yekutieli 2001, "The control of the false discovery rate in multiple testing under
    dependency", Annals of Statistics 29, 1165-1188); tests of all pairs share conditions and are
    neither. Order is kept; none give none. Raises ValueError if p is not in [0, 1].
    """
    order = _ascending(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    # The largest is multiplied by m / m, so none exceeds 1.
    adjusted[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return adjusted


ADJUSTMENTS = {"holm": holm_adjusted, "bh": benjamini_hochberg_adjusted}


def all_pairs(
    scores: FloatArray,
    covariance: FloatArray,
    *,
    confidence: float = 0.95,
    adjust: Literal["holm", "bh"] = "holm",
    degrees_of_freedom: float = math.inf,
) -> AllPairs:
    """Test every difference between scores.

    scores : (n,) array on one axis, such as Scale.scores.
    covariance : (n, n) symmetric array; of the scores, or of the scores against their mean:
        differences have the same variance.
    adjust : "holm" for the family-wise error, "bh" for the false discovery rate.
    degrees_of_freedom : as Scale.degrees_of_freedom; of Student's t instead of the normal.

    The difference divided by its standard error, the root of C[i,i] + C[j,j] - 2 C[i,j], is taken
    as standard normal (Wald 1943, "Tests of statistical hypotheses concerning several parameters
    when the number of observations is large", Transactions of the American Mathematical Society
    54, 426-482), which it nears with many judgments. Fewer than two scores have no pair, and none
    is tested. Raises ValueError if the arrays do not fit or are not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    covariance = np.asarray(covariance, dtype=np.float64)
    if adjust not in ADJUSTMENTS:
        raise ValueError(f"adjust: expected {' or '.join(ADJUSTMENTS)}, found {adjust!r}")
    error = _standard_errors(scores, covariance)
    difference = scores[:, None] - scores
    half = t_quantile(confidence, degrees_of_freedom) * error
    t = np.abs(difference) / np.where(error > 0, error, 1.0)
    p: FloatArray = np.where(np.isnan(error), np.nan, 2 * _beyond(t, degrees_of_freedom))
    i, j = np.nonzero(np.triu(~np.isnan(p), k=1))
    p_adjusted = p.copy()
    p_adjusted[i, j] = p_adjusted[j, i] = ADJUSTMENTS[adjust](p[i, j])
    return AllPairs(difference, difference - half, difference + half, p, p_adjusted)


def _beyond(t: FloatArray, degrees_of_freedom: float) -> FloatArray:
    """P(T > t) of Student's T, or of a standard normal one."""
    if math.isinf(degrees_of_freedom):
        return np.asarray(scipy.special.ndtr(-t), dtype=np.float64)
    return np.asarray(scipy.special.stdtr(degrees_of_freedom, -t), dtype=np.float64)


def compact_letters(significant: BoolArray, order: Sequence[int] | IntArray) -> list[str]:
    """Letters of n conditions: two share one if and only if they do not differ significantly.

    significant : (n, n) symmetric array, False on the diagonal; see AllPairs.significant.
    order : (n,) indexes of all conditions from the best; "a" then goes to the best, and letters
        follow in that order. After z come A to Z, then a2, b2 and so on.

    Returns n strings in the order of the conditions' indexes; none give none. Sharing a letter
    means that no difference was shown, not that there is none.

    Insert and absorb (Piepho 2004, "An algorithm for a letter-based representation of
    all-pairwise comparisons", Journal of Computational and Graphical Statistics 13, 456-466). Of
    the letters that it leaves, those that say nothing which others do not say are dropped, from
    the rarest. None can then be spared; that no other choice of letters is shorter is usual, and
    not promised: finding the fewest is NP-hard (Gramm, Guo, Hüffner, Niedermeier, Piepho and
    Schmid 2007, "Algorithms for compact letter displays: comparison and evaluation",
    Computational Statistics & Data Analysis 52, 725-736). Time grows with the number of letters,
    which is at most about n where differences follow the scores, and can be exponential in n
    for a matrix made to that end.

    >>> compact_letters(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool), [2, 1, 0])
    ['b', 'ab', 'a']
    """
    significant = np.asarray(significant)
    n = len(significant)
    if significant.shape != (n, n) or significant.dtype != np.bool_:
        raise ValueError("significant: expected a square array of booleans")
    if np.any(significant != significant.T) or np.any(np.diag(significant)):
        raise ValueError("significant: expected a symmetric array, False on the diagonal")
    if sorted(int(i) for i in order) != list(range(n)):
        raise ValueError(f"order: expected each index from 0 to {n - 1} once")
    from_best = np.asarray(order, dtype=np.int64)
    groups = _needed(_homogeneous(significant[np.ix_(from_best, from_best)]))
    groups = np.array(sorted(groups.tolist(), reverse=True), dtype=bool)
    letters = [""] * n
    for i, held in zip(from_best.tolist(), groups.T, strict=True):
        letters[i] = "".join(_letter(g) for g in np.flatnonzero(held).tolist())
    return letters


def best_with_probability(draws: FloatArray) -> BestShares:
    """The share of bootstrap draws in which each condition scores highest.

    draws : (B, n) array; scores of the n conditions in each of B draws. Where several score
        highest, they share the draw evenly. Draws with NaN, whose scale was not identified, are
        left out and counted: with many of them the rest says little.

    A share of the bootstrap distribution, read as a probability as far as that distribution can
    stand for a posterior (Efron and Tibshirani 1998, "The problem of regions", Annals of
    Statistics 26, 1687-1718). Raises NotIdentified if there are no conditions or no draw without
    NaN, and ValueError for another shape.
    """
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim != 2:
        raise ValueError(f"draws: expected shape (B, n), found {draws.shape}")
    if draws.shape[1] == 0:
        raise NotIdentified("there are no conditions")
    used = draws[~np.isnan(draws).any(axis=1)]
    if len(used) == 0:
        raise NotIdentified(f"none of {len(draws)} draws has a score for every condition")
    highest = used == used.max(axis=1, keepdims=True)
    share = (highest / highest.sum(axis=1, keepdims=True)).mean(axis=0)
    return BestShares(np.asarray(share), n=len(used), n_left_out=len(draws) - len(used))


def _ascending(p: FloatArray) -> IntArray:
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p: expected a list of numbers from 0 to 1")
    return np.argsort(p, kind="stable").astype(np.int64)


def _standard_errors(scores: FloatArray, covariance: FloatArray) -> FloatArray:
    """(n, n) of the differences; NaN where there is no variance, 0 on the diagonal."""
    n = len(scores)
    if scores.shape != (n,) or covariance.shape != (n, n):
        raise ValueError(
            f"expected scores (n,) and covariance (n, n), found {scores.shape}, {covariance.shape}"
        )
    if not (np.all(np.isfinite(scores)) and np.all(np.isfinite(covariance))):
        raise ValueError("scores and covariance: expected finite numbers")
    own = np.diag(covariance)
    size = np.abs(own)[:, None] + np.abs(own)
    if np.any(np.abs(covariance - covariance.T) > 1e-9 * size):
        raise ValueError("covariance: expected a symmetric array")
    variance = own[:, None] + own - covariance - covariance.T
    if np.any(variance < -1e-9 * size):
        raise ValueError("covariance: a difference would have a negative variance")
    # Subtraction leaves rounding of this size where the variance is 0.
    none = variance <= 8 * np.finfo(np.float64).eps * size
    error = np.sqrt(np.where(none, np.nan, variance))
    np.fill_diagonal(error, 0.0)
    return np.asarray(error)


def _homogeneous(significant: BoolArray) -> BoolArray:
    """(g, n) every largest group without a significant difference; groups[g, i]: i is in it."""
    groups = np.ones((1, len(significant)), dtype=bool)
    for i, differs in enumerate(significant):
        # Insert: a group that holds i and some that differ from it becomes one without i and one
        # without these; Piepho's steps for all differences of i at once.
        split = groups[:, i] & (groups & differs).any(axis=1)
        without_i = groups[split]
        without_i[:, i] = False
        groups = _absorbed(np.concatenate([groups[~split], without_i, groups[split] & ~differs]))
    return groups


def _absorbed(groups: BoolArray) -> BoolArray:
    """Without the groups that lie within another."""
    groups = np.unique(groups, axis=0)
    members = groups.astype(np.float32)  # exact below 2**24 members, and multiplied fast
    within = members @ members.T == members.sum(axis=1)[:, None]
    np.fill_diagonal(within, False)
    return np.asarray(groups[~within.any(axis=1)])


def _needed(groups: BoolArray) -> BoolArray:
    """Without the groups all of whose pairs are in others too, tried from the smallest."""
    shared = groups.T.astype(np.int64) @ groups  # how many groups hold both i and j
    keep = np.ones(len(groups), dtype=bool)
    for g in np.argsort(groups.sum(axis=1), kind="stable"):
        pairs = np.ix_(groups[g], groups[g])
        if groups[g].any() and np.all(shared[pairs] > 1):
            keep[g] = False
            shared[pairs] -= 1
    return np.asarray(groups[keep])


def _letter(g: int) -> str:
    turn, letter = divmod(g, len(ascii_letters))
    return ascii_letters[letter] + (str(turn + 1) if turn else "")
