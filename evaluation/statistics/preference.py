"""How often conditions were preferred, with intervals and tests that need no model.

All of this takes judgments as independent. Where few annotators or few source images give many
judgments each, intervals are too narrow and p values too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import scipy

from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified, normal_quantile
from evaluation.statistics.multiplicity import benjamini_hochberg_adjusted, holm_adjusted
from evaluation.statistics.rankings import Rankings


@dataclass(frozen=True, slots=True)
class Share:
    """How often a condition won among the n judgments it took part in (a tie is half a win), or
    came first among the n rankings that ranked it.

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
    p, p_adjusted, p_adjusted_bh : exact two-sided binomial p value of "neither is preferred", and
        its adjustments by Holm and by Benjamini and Hochberg. All, like the share, are None, with
        a reason, where n is 0.
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
    p_adjusted_bh: float | None
    reason: str | None = None


def wilson_interval(k: float, n: int, confidence: float = 0.95) -> Estimate:
    """Share k / n with Wilson's score interval.

    k : wins, 0 <= k <= n. Fractions come from ties, such as half a win each, and enter the
        formula as they are. A score that can be 1/2 varies less than the yes-or-no answer that
        the formula supposes, so with ties the interval is wider than it need be, never narrower.
    n : judgments, ties included.

    Returns an Estimate in [0, 1]; its n counts judgments. Raises NotIdentified if n is 0, and
    ValueError if k, n or confidence are out of range.

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    JASA 22, 209-212: the bounds are the two p that solve (k/n - p)^2 = z^2 p (1 - p) / n.
    """
    _check_share(k, n, confidence)
    z2 = normal_quantile(confidence) ** 2
    share = k / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # At k = 0 and k = n one bound is exact, and rounding must not move it.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Estimate(value=share, low=low, high=high, n=n, method="Wilson score")


def clopper_pearson_interval(k: float, n: int, confidence: float = 0.95) -> Estimate:
    """Share k / n with the exact interval, which holds the truth at least as often as it says.

    k : wins, 0 <= k <= n. Fractions come from ties, such as half a win each: the lower bound is
        then that of the whole number below, the upper that of the one above, which is the wider
        interval. That it then still holds the truth often enough is not proven, but was found for
        half wins in every case tried (all shares and ties on a grid, n up to 40).
    n : judgments, ties included.

    Returns an Estimate in [0, 1]; its n counts judgments. Mostly wider than Wilson's, it
    holds the truth more often than it says for most shares. Raises as wilson_interval does.

    C. J. Clopper and E. S. Pearson (1934), "The use of confidence or fiducial limits illustrated
    in the case of the binomial", Biometrika 26, 404-413: at the lower bound, k or more wins have
    probability (1 - confidence) / 2, at the upper, k or fewer. Both are quantiles of a beta
    distribution.
    """
    _check_share(k, n, confidence)
    below, above = math.floor(k), math.ceil(k)
    tail = (1 - confidence) / 2
    low = 0.0 if below == 0 else float(scipy.special.betaincinv(below, n - below + 1, tail))
    high = 1.0 if above == n else float(scipy.special.betainccinv(above + 1, n - above, tail))
    return Estimate(value=k / n, low=low, high=high, n=n, method="Clopper-Pearson exact")


INTERVALS = {"score": wilson_interval, "exact": clopper_pearson_interval}


def binomial_p(wins: int, losses: int) -> float:
    """Exact two-sided p value of "a win is as likely as a loss"; 1 where there are neither.

    Ties are left out beforehand, as in the sign test (Dixon and Mood 1946, "The statistical sign
    test", JASA 41, 557-566). At probability 1/2 the binomial is symmetric, so the two-sided value
    is twice the smaller tail.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"expected counts, found {wins} wins and {losses} losses")
    return min(1.0, 2.0 * float(scipy.special.bdtr(min(wins, losses), wins + losses, 0.5)))


def win_shares(comparisons: Comparisons, *, confidence: float = 0.95) -> list[Share]:
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


def pairwise_table(
    comparisons: Comparisons,
    *,
    confidence: float = 0.95,
    interval: Literal["score", "exact"] = "score",
) -> list[PairPreference]:
    """Every unordered pair of conditions, in the order of comparisons.conditions.

    interval : "score" for Wilson's, which covers about its confidence on average; "exact" for
        Clopper and Pearson's, which never covers less.

    Pairs never compared are listed with n = 0 and no values; p values are adjusted over the pairs
    that were compared. Share and interval count a tie as half a vote for each; the test leaves
    ties out, so a pair with nothing but ties has share 1/2 and p = 1.
    Raises ValueError if there are several strata (see Comparisons.win_matrix).
    """
    if interval not in INTERVALS:
        raise ValueError(f"interval: expected {' or '.join(INTERVALS)}, found {interval!r}")
    wins = comparisons.win_matrix()
    ties = comparisons.tie_matrix()
    judged = _counts(wins + wins.T)
    decided = _counts(wins - ties / 2)
    pairs = list(combinations(range(len(wins)), 2))
    compared = [(i, j) for i, j in pairs if judged[i, j] > 0]
    p = np.array([binomial_p(int(decided[i, j]), int(decided[j, i])) for i, j in compared])
    adjusted = np.stack([p, holm_adjusted(p), benjamini_hochberg_adjusted(p)], axis=1)
    tests = dict(zip(compared, adjusted.tolist(), strict=True))

    def row(i: int, j: int) -> PairPreference:
        a, b = comparisons.conditions[i], comparisons.conditions[j]
        if (i, j) not in tests:
            return PairPreference(a, b, 0, 0, None, None, None, None, None, None, "never compared")
        share = INTERVALS[interval](float(wins[i, j]), int(judged[i, j]), confidence)
        return PairPreference(
            a, b, share.n, int(ties[i, j]), share.value, share.low, share.high, *tests[i, j]
        )

    return [row(i, j) for i, j in pairs]


def first_choice_shares(rankings: Rankings, *, confidence: float = 0.95) -> list[Share]:
    """Each condition's share of first places, in the order of rankings.conditions.

    Conditions tied for the first place of a ranking share it evenly, so that k tied get 1 / k
    each. A ranking says nothing of conditions that it leaves out: the share is among the rankings
    that rank the condition, so shares sum to 1 where every ranking ranks all, and otherwise
    depend, like win shares, on whom each condition met. Intervals are Wilson's over rankings;
    shared first places are fractions of a win (see wilson_interval). Conditions never ranked are
    listed with n = 0 and no values. Raises ValueError if there are several strata.
    """
    rankings.require_one_stratum()
    first = rankings.rank == 1
    # Every ranking has a first place.
    won = (rankings.weight / first.sum(axis=1)) @ first
    ranked = rankings.weight @ (rankings.rank > 0)

    def row(condition: str, k: float, n: int) -> Share:
        if n == 0:
            return Share(condition, None, None, None, 0, "never ranked")
        share = wilson_interval(k, n, confidence)
        return Share(condition, share.value, share.low, share.high, n)

    return [
        row(condition, float(k), int(n))
        for condition, k, n in zip(rankings.conditions, won, ranked, strict=True)
    ]


def _check_share(k: float, n: int, confidence: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, found k = {k}, n = {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    if n == 0:
        raise NotIdentified("there are no judgments")


def _win_share(condition: str, k: float, n: int, confidence: float) -> Share:
    if n == 0:
        return Share(condition, None, None, None, 0, "never compared")
    share = wilson_interval(k, n, confidence)
    return Share(condition, share.value, share.low, share.high, n)


def _counts(sums: FloatArray) -> IntArray:
    """Sums of whole weights, whose halves have cancelled, as whole numbers."""
    return np.rint(sums).astype(np.int64)
