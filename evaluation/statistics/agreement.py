"""How far annotators answer alike, beyond what chance alone would bring about.

Three coefficients of the answers to many units, from counts of the values that each was given
(see ratings.py); all are 1 where raters of a unit always agree, and 0 where they agree as often
as chance would have it. They differ in what they take for chance. The other ways to say how far
people agree are ceiling.py, concordance.py (rankings) and repeats.py (a person with oneself).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.ceiling import human_ceiling, leave_one_out_score, task_votes
from evaluation.statistics.comparisons import FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.resampling import bootstrap_estimate, sums_by_cluster

__all__ = [
    "fleiss_kappa",
    "gwet_ac1",
    "human_ceiling",
    "krippendorff_alpha",
    "leave_one_out_score",
    "task_votes",
]

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(
    counts: ArrayLike,
    *,
    level: Level = "nominal",
    symmetric: bool = False,
    contents: ArrayLike | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """Krippendorff's alpha, 1 - observed / expected disagreement; at most 1, below 0 possible.

    counts : (u, v) whole numbers; how many raters gave each unit each value, each rater at most
        once: see rating_counts and nominal_answers. Units with fewer than two say nothing.
    level : how far values c and k are apart. "nominal": all alike. "ordinal": by how many of the
        ratings lie between them. "interval": by their numbers, 0 to v - 1.
    symmetric : values 0, 1, 2, ... are, read backwards, the same answers named from the other
        side, as in nominal_answers, where it is a matter of spelling which condition comes first.
        The expectation by chance then treats both sides alike, and renaming conditions changes
        nothing. Without it, conditions that come first and are always preferred count as raters
        who always say "first", which is taken for chance.
    contents : (u,) labels; the source image of each unit, since units of one image are not
        independent; default each unit its own.

    K. Krippendorff (2011), "Computing Krippendorff's alpha-reliability", Annenberg School for
    Communication Departmental Papers 43, with its canonical form: o[c, k] adds up, over units of
    m ratings, the pairs of ratings c, k divided by m - 1.

    The interval is the percentile bootstrap over source images, or units (see resampling.py).
    Hayes and Krippendorff (2007, "Answering the call for a standard reliability measure for coding
    data", Communication Methods and Measures 1, 77-89) draw single pairs of ratings instead, as if
    the pairs of a unit were independent; that interval covers poorly, and this one well, in Zapf,
    Castell, Morawietz and Karch (2016, "Measuring inter-rater reliability for nominal data: which
    coefficients and confidence intervals are appropriate?", BMC Medical Research Methodology 16,
    93). It does not cover the choice of raters.

    Returns an Estimate whose n is the number of units used. Raises NotIdentified if no unit has
    two ratings or all their ratings are the same value, and ValueError if the arrays do not fit.
    """
    if level not in get_args(Level):
        raise ValueError(f"level: expected one of {', '.join(get_args(Level))}, found {level!r}")
    units, labels = _checked(counts, contents)
    rated = units.sum(axis=1) >= 2
    units, labels = units[rated], None if labels is None else labels[rated]
    _require_variation(units, symmetric)
    v = units.shape[1]
    c, k = np.triu_indices(v, 1)

    def alpha(sums: FloatArray) -> FloatArray:
        total, coincidences = sums[:, :v], sums[:, v:]
        place = np.cumsum(total, axis=1) - total / 2 if level == "ordinal" else np.arange(v)[None]
        distance = np.ones((1, 1)) if level == "nominal" else (place[:, c] - place[:, k]) ** 2
        observed = (coincidences * distance).sum(axis=1)
        expected = (total[:, c] * total[:, k] * distance).sum(axis=1)
        return np.asarray(1 - (total.sum(axis=1) - 1) * observed / expected)

    def parts(counts: FloatArray) -> FloatArray:
        pairs = counts[:, c] * counts[:, k] / (counts.sum(axis=1, keepdims=True) - 1)
        return np.concatenate([counts, pairs], axis=1)

    return _estimate(
        _either_way(parts, units, symmetric), labels, alpha, len(units), confidence, n_boot, rng
    )


def fleiss_kappa(
    counts: ArrayLike,
    *,
    symmetric: bool = False,
    contents: ArrayLike | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """Fleiss' kappa, (observed - chance) / (1 - chance) agreement; at most 1, below 0 possible.

    Arguments, interval and what is raised are those of krippendorff_alpha. Chance is two raters
    who draw from the shares p of values in all ratings: sum(p^2).

    J. L. Fleiss (1971), "Measuring nominal scale agreement among many raters", Psychological
    Bulletin 76, 378-382, for equally many raters a unit. For unequal numbers, as K. L. Gwet (2014,
    "Handbook of Inter-Rater Reliability", 4th ed.): observed agreement is the mean over units with
    at least two ratings, and the shares are the mean over all units with any rating of the shares
    within each; every unit counts once.

    Returns an Estimate whose n is the number of units with at least two ratings.
    """

    def chance(shares: FloatArray, q: int) -> FloatArray:
        return np.asarray((shares**2).sum(axis=1))

    return _kappa(counts, chance, symmetric, contents, confidence, n_boot, rng)


def gwet_ac1(
    counts: ArrayLike,
    *,
    symmetric: bool = False,
    contents: ArrayLike | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """Gwet's AC1, (observed - chance) / (1 - chance) agreement; at most 1, below 0 possible.

    As fleiss_kappa, with another chance, sum(p (1 - p)) / (q - 1) of q values: it stays high where
    raters agree on one value almost always, where kappa falls to 0. Values that nobody gave to any
    unit are not counted in q.

    K. L. Gwet (2008), "Computing inter-rater reliability and its variance in the presence of high
    agreement", British Journal of Mathematical and Statistical Psychology 61, 29-48. Its variance
    linearises over units; the bootstrap here does the same and keeps source images together.
    """

    def chance(shares: FloatArray, q: int) -> FloatArray:
        return np.asarray((shares * (1 - shares)).sum(axis=1) / (q - 1))

    return _kappa(counts, chance, symmetric, contents, confidence, n_boot, rng)


def _kappa(
    counts: ArrayLike,
    chance: Callable[[FloatArray, int], FloatArray],
    symmetric: bool,
    contents: ArrayLike | None,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Estimate:
    units, labels = _checked(counts, contents)
    _require_variation(units[units.sum(axis=1) >= 2], symmetric)
    q = _values_used(units, symmetric)

    def kappa(sums: FloatArray) -> FloatArray:
        observed = sums[:, 0] / sums[:, 1]
        shares = sums[:, 2:]
        by_chance = chance(shares / shares.sum(axis=1, keepdims=True), q)
        # With chance at 1 there is nothing to divide by, whatever rounding leaves.
        return np.where(by_chance < 1 - 1e-12, (observed - by_chance) / (1 - by_chance), np.nan)

    def parts(counts: FloatArray) -> FloatArray:
        r = counts.sum(axis=1)
        pairs = np.maximum(r * (r - 1), 1.0)
        agreeing = (counts * (counts - 1)).sum(axis=1) / pairs
        shares = counts / np.maximum(r, 1.0)[:, None]
        return np.column_stack([agreeing, r >= 2, shares])

    n = int(np.count_nonzero(units.sum(axis=1) >= 2))
    return _estimate(
        _either_way(parts, units, symmetric), labels, kappa, n, confidence, n_boot, rng
    )


def _checked(counts: ArrayLike, contents: ArrayLike | None) -> tuple[IntArray, NDArray[Any] | None]:
    units = np.asarray(counts)
    if units.ndim != 2:
        raise ValueError(f"counts: expected shape (units, values), found {units.shape}")
    if units.dtype.kind not in "iu" or np.any(units < 0):
        raise ValueError("counts: expected whole numbers >= 0")
    labels = None if contents is None else np.asarray(contents)
    if labels is not None and labels.shape != (len(units),):
        raise ValueError(f"contents: expected shape ({len(units)},), found {labels.shape}")
    return units.astype(np.int64, copy=False), labels


def _require_variation(units: IntArray, symmetric: bool) -> None:
    """units : (u, v) counts of the units with at least two ratings."""
    if not len(units):
        raise NotIdentified("no unit was rated by two annotators")
    if _values_used(units, symmetric) < 2:
        raise NotIdentified(
            "all ratings are one and the same value, so nothing tells agreement from chance"
        )


def _values_used(units: IntArray, symmetric: bool) -> int:
    used = np.asarray(units.any(axis=0))
    return int(np.count_nonzero(used | used[::-1] if symmetric else used))


def _either_way(
    parts: Callable[[FloatArray], FloatArray], units: IntArray, symmetric: bool
) -> FloatArray:
    """(u, s) what each unit adds to the sums; if symmetric, its mean over both readings."""
    counts = units.astype(np.float64)
    return (parts(counts) + parts(counts[:, ::-1])) / 2 if symmetric else parts(counts)


def _estimate(
    parts: FloatArray,
    labels: NDArray[Any] | None,
    statistic: Callable[[FloatArray], FloatArray],
    n: int,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Estimate:
    return bootstrap_estimate(
        sums_by_cluster(parts, labels),
        statistic,
        n=n,
        clusters="units" if labels is None else "source images",
        confidence=confidence,
        n_boot=n_boot,
        rng=rng,
    )
