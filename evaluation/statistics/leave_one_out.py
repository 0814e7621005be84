"""How likely each annotator's answers are, given the scale of all others."""

from __future__ import annotations

import numpy as np
import scipy

from evaluation.statistics.by_annotator import sums_of, totals_of, with_all_labels
from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import NotConverged

PRIOR_SD = 2.0  # log-odds: weak beside a few answers, and keeps unanimous ones finite
_AT_ONCE = 2_000_000  # numbers in an array of one step: bounds memory to about 100 MB
_STEPS = 100


def standardised_likelihood(c: Comparisons) -> tuple[FloatArray, IntArray]:
    """How likely each annotator's decided answers are, given the scale of all others.

    For each source image and stratum the others' answers give Bradley-Terry scores, the mode
    under a normal prior of mean 0 and PRIOR_SD (a tie is half a win for each). An answer of which
    they say that the left is chosen with probability q has log-likelihood log q or log(1 - q);
    less its expectation this is (y - q) logit(q), with y = 1 for left and 0 for right, and its
    variance is q (1 - q) logit(q)^2. Returned is the sum over an annotator's answers, divided by
    the square root of the summed variances: near 0 or above for one who answers as the others,
    NaN where they say nothing. Ties are left out: the model has no probability for them.

    Returns z (k,), and the number of answers (k,) of which the others' scale says anything.
    """
    k, n = c.n_annotators, max(len(c.conditions), 1)
    group = c.content * max(len(c.strata), 1) + c.stratum
    entry = group * max(k, 1) + c.annotator
    order = np.argsort(entry, kind="stable")
    c, group, entry = with_all_labels(c, order), group[order], entry[order]
    # Conditions are numbered anew within each group, which may show few of them.
    shown = np.unique(np.concatenate([group * n + c.a, group * n + c.b]))
    start = np.searchsorted(shown, group * n)
    a = np.searchsorted(shown, group * n + c.a) - start
    b = np.searchsorted(shown, group * n + c.b) - start
    s = int(max(a.max(initial=0), b.max(initial=0))) + 1
    entries, first_row = np.unique(entry, return_index=True)
    first_row = np.append(first_row, len(entry))
    d = np.zeros(len(entry))
    at_once = max(1, _AT_ONCE // (s * s))
    for e in range(0, len(entries), at_once):
        own_rows = slice(first_row[e], first_row[min(e + at_once, len(entries))])
        groups, of_entry = np.unique(entries[e : e + at_once] // max(k, 1), return_inverse=True)
        rows = slice(*np.searchsorted(group, [groups[0], groups[-1] + 1]))
        of_row = np.searchsorted(groups, group[rows])
        mine = np.searchsorted(entries[e : e + at_once], entry[own_rows])
        crowd = _wins(c, rows, of_row, len(groups), a, b, s)
        own = _wins(c, own_rows, mine, len(of_entry), a, b, s)
        scores = _scores(crowd[of_entry] - own)
        d[own_rows] = scores[mine, a[own_rows]] - scores[mine, b[own_rows]]
    decided = c.weight * (c.outcome != 0.5)
    q = scipy.special.expit(d)
    excess = sums_of(c, decided * (c.outcome - q) * d)
    variance = sums_of(c, decided * q * (1 - q) * d * d)
    z = np.full(k, np.nan)
    known = variance > 0
    z[known] = excess[known] / np.sqrt(variance[known])
    return z, totals_of(c, decided * (d != 0))


def _wins(
    c: Comparisons, rows: slice, of: IntArray, size: int, a: IntArray, b: IntArray, s: int
) -> FloatArray:
    """(size, s, s) wins of local conditions a over b among rows, summed by what each is `of`."""
    left = c.weight[rows] * c.outcome[rows]
    forth = (of * s + a[rows]) * s + b[rows]
    back = (of * s + b[rows]) * s + a[rows]
    sums = np.bincount(forth, left, size * s * s)
    sums += np.bincount(back, c.weight[rows] - left, size * s * s)
    return np.asarray(sums, dtype=np.float64).reshape(size, s, s)


def _scores(wins: FloatArray) -> FloatArray:
    """(B, s) modes of Bradley-Terry scores for wins (B, s, s) under the prior.

    Newton's method, each step shortened by log(1 + r) / r, where r is the largest change of a
    difference: the logistic likelihood being generalised self-concordant, it then never fails to
    rise (Sun and Tran-Dinh 2019, "Generalized self-concordant functions: a recipe for Newton-type
    methods", Mathematical Programming 178, 145-213).
    """
    size, s, _ = wins.shape
    total = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    scores = np.zeros((size, s))
    going = np.flatnonzero(total.any(axis=(1, 2)))
    diagonal = np.arange(s)
    for _ in range(_STEPS):
        if not len(going):
            return scores
        here, among = scores[going], total[going]
        p = scipy.special.expit(here[:, :, None] - here[:, None, :])
        expected = among * p
        gradient = won[going] - expected.sum(axis=2) - here / PRIOR_SD**2
        information = expected * (p - 1)
        information[:, diagonal, diagonal] -= information.sum(axis=2) - PRIOR_SD**-2
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        r = np.ptp(step, axis=1, keepdims=True)
        scores[going] = here + step * np.where(r > 0, np.log1p(r) / np.maximum(r, 1e-300), 1.0)
        # Newton's error is of the order of the square of the step just made.
        going = going[r[:, 0] > 1e-5]
    raise NotConverged(f"scores did not settle in {_STEPS} steps")
