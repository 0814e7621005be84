"""How often conditions were preferred, with intervals and tests that need no model.

All of this takes judgments as independent. Where few annotators or few source images give many
judgments each, intervals are too narrow and p values too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import special

from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified


@dataclass(frozen=True, slots=True)
class WinShare:
    """How often a condition won among the n judgments it took part in (a tie is half a win).

    share, low, high in [0, 1]; all None, with a reason, where n is 0.
    """

    condition: str
    share: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PairPreference:
    """How often a was preferred to b.

    n : judgments of the pair; `ties` of them were ties.
    a_preferred, low, high : share in [0, 1], a tie being half a vote for each, with its interval.
    p, p_adjusted : exact two-sided binomial p value of "neither is preferred", and Holm's
        adjustment of it. Both, like the share, are None, with a reason, where n is 0.
    """

    a: str
    b: str
    n: int
    ties: int
    a_preferred: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    reason: str | None = None


def wilson_interval(k: float, n: int, confidence: float = 0.95) -> Estimate:
    """Share k / n with Wilson's score interval.

    k : wins, 0 <= k <= n. Half-integers come from ties, each half a win, and enter the formula
        as they are. A score that can be 1/2 varies less than the yes-or-no answer that the
        formula supposes, so with ties the interval is wider than it need be, never narrower.
    n : judgments, ties included.

    Returns an Estimate in [0, 1]; its n counts judgments. Raises NotIdentified if n is 0, and
    ValueError if k, n or confidence are out of range.

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    JASA 22, 209-212: the bounds are the two p that solve (k/n - p)^2 = z^2 p (1 - p) / n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, found k = {k}, n = {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    if n == 0:
        raise NotIdentified("there are no judgments")
    z2 = float(special.ndtri((1 + confidence) / 2)) ** 2
    share = k / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # At k = 0 and k = n one bound is exact, and rounding must not move it.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Estimate(value=share, low=low, high=high, n=n, method="Wilson score")


def binomial_p(wins: int, losses: int) -> float:
    """Exact two-sided p value of "a win is as likely as a loss"; 1 where there are neither.

    Ties are left out beforehand, as in the sign test (Dixon and Mood 1946, "The statistical sign
    test", JASA 41, 557-566). At probability 1/2 the binomial is symmetric, so the two-sided value
    is twice the smaller tail.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"expected counts, found {wins} wins and {losses} losses")
    return min(1.0, 2.0 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))


def holm_adjusted(p: FloatArray) -> FloatArray:
    """Adjust (m,) p values so that rejecting those <= alpha keeps the family-wise error <= alpha.

    S. Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 65-70: the i-th smallest of m is multiplied by m - i + 1; adjusted
    values then never fall below those of smaller p, and are at most 1. Order is kept; none give
    none.
    """
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def win_shares(comparisons: Comparisons, *, confidence: float = 0.95) -> list[WinShare]:
    """Each condition's share of wins, in the order of comparisons.conditions.

    The share depends on whom a condition met: with unequal opponents, compare scales instead.
    Raises ValueError if there are several strata (see Comparisons.win_matrix).
    """
    wins = comparisons.win_matrix()
    won = wins.sum(axis=1)
    judged = _counts(won + wins.sum(axis=0))
    return [
        _win_share(condition, float(k), int(n), confidence)
        for condition, k, n in zip(comparisons.conditions, won, judged, strict=True)
    ]


def pairwise_table(comparisons: Comparisons, *, confidence: float = 0.95) -> list[PairPreference]:
    """Every unordered pair of conditions, in the order of comparisons.conditions.

    Pairs never compared are listed with n = 0 and no values; Holm's adjustment is over the pairs
    that were compared. Share and interval count a tie as half a vote for each; the test leaves
    ties out, so a pair with nothing but ties has share 1/2 and p = 1.
    Raises ValueError if there are several strata (see Comparisons.win_matrix).
    """
    wins = comparisons.win_matrix()
    ties = comparisons.tie_matrix()
    judged = _counts(wins + wins.T)
    decided = _counts(wins - ties / 2)
    pairs = list(combinations(range(len(wins)), 2))
    compared = [(i, j) for i, j in pairs if judged[i, j] > 0]
    p = [binomial_p(int(decided[i, j]), int(decided[j, i])) for i, j in compared]
    p_adjusted = holm_adjusted(np.array(p, dtype=np.float64)).tolist()
    tests = dict(zip(compared, zip(p, p_adjusted, strict=True), strict=True))

    def row(i: int, j: int) -> PairPreference:
        a, b = comparisons.conditions[i], comparisons.conditions[j]
        if (i, j) not in tests:
            return PairPreference(a, b, 0, 0, None, None, None, None, None, "never compared")
        share = wilson_interval(float(wins[i, j]), int(judged[i, j]), confidence)
        return PairPreference(
            a, b, share.n, int(ties[i, j]), share.value, share.low, share.high, *tests[i, j]
        )

    return [row(i, j) for i, j in pairs]


def _win_share(condition: str, k: float, n: int, confidence: float) -> WinShare:
    if n == 0:
        return WinShare(condition, None, None, None, 0, "never compared")
    share = wilson_interval(k, n, confidence)
    return WinShare(condition, share.value, share.low, share.high, n)


def _counts(sums: FloatArray) -> IntArray:
    """Sums of whole weights, whose halves have cancelled, as whole numbers."""
    return np.rint(sums).astype(np.int64)
