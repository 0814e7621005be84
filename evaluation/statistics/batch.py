"""Bradley-Terry scales of many sets of judgments at once, as bootstraps and simulations need."""

from __future__ import annotations

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, FloatArray
from evaluation.statistics.estimate import NotConverged, NotIdentified
from evaluation.statistics.scaling import bradley_terry

_AT_ONCE = 4_000_000  # numbers in an array of one step: bounds memory to about 200 MB
_STEPS = 25
_LONGEST_STEP = 4.0


def bradley_terry_batch(
    wins: FloatArray, *, start: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Fit B scales of the same n conditions by maximum likelihood, as scaling.bradley_terry.

    wins : (B, n, n); wins[b, i, j] = times i was judged closer than j, a tie being half a win for
        each; n >= 2. Counts need not be whole.
    start : (n,) scores near those that are sought, such as those of the data resampled.

    Returns scores (B, n), each of mean 0, and covariance (B, n, n). Both are NaN for the sets of
    judgments that determine no scale (see connection.require_connection).
    """
    b, n, _ = wins.shape
    scores, covariance = np.empty((b, n)), np.empty((b, n, n))
    at_once = max(1, _AT_ONCE // (n * n))
    for first in range(0, b, at_once):
        part = slice(first, first + at_once)
        scores[part], covariance[part] = _fit(
            wins[part], np.zeros(n) if start is None else start - start.mean()
        )
    return scores, covariance


def identified(wins: FloatArray) -> BoolArray:
    """(B,) whether each of wins (B, n, n) leads from every condition to every other."""
    n = wins.shape[1]
    reach = (wins > 0) | np.eye(n, dtype=bool)
    length = 1
    while length < n - 1 and not reach.all():
        reach = np.matmul(reach.astype(np.float32), reach.astype(np.float32)) > 0
        length *= 2
    return np.asarray(reach.all(axis=(1, 2)))


def _fit(wins: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    b, n, _ = wins.shape
    i, j = np.triu_indices(n, 1)
    left = wins[:, i, j]
    total = left + wins[:, j, i]
    known = np.flatnonzero(identified(wins))
    scores, covariance = np.full((b, n), np.nan), np.full((b, n, n), np.nan)
    scores[known] = start
    going = known
    by_score = np.zeros((len(i), n))
    by_score[np.arange(len(i)), i] = 1.0
    by_score[np.arange(len(i)), j] = -1.0
    for _ in range(_STEPS):
        if not len(going):
            break
        here = scores[going]
        p = scipy.special.expit(here[:, i] - here[:, j])
        gradient = (left[going] - total[going] * p) @ by_score
        information = _information(total[going] * p * (1 - p), n)
        # Gradients sum to 0, so a multiple of the all-ones matrix changes no step.
        trace = np.trace(information, axis1=1, axis2=2)[:, None, None]
        inverse = np.linalg.inv(information + trace / n**2)
        step = np.matmul(inverse, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        scores[going] = here + step * np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
        # Newton's error is of the order of the square of the step just made.
        settled = np.sum(step * gradient, axis=1) < 1e-12
        covariance[going[settled]] = _centred(inverse[settled])
        going = going[~settled]
    for each in going:  # lopsided: Newton's plain steps went astray
        try:
            scale = bradley_terry(wins[each])
            scores[each], covariance[each] = scale.scores, scale.covariance
        except (NotIdentified, NotConverged):
            scores[each], covariance[each] = np.nan, np.nan
    return scores - scores.mean(axis=1, keepdims=True), covariance


def _information(weight: FloatArray, n: int) -> FloatArray:
    """(B, n, n) Fisher's information of weights (B, m) of the pairs i < j."""
    i, j = np.triu_indices(n, 1)
    information = np.zeros((len(weight), n, n))
    information[:, i, j] = information[:, j, i] = -weight
    information[:, np.arange(n), np.arange(n)] = -information.sum(axis=2)
    return information


def _centred(inverse: FloatArray) -> FloatArray:
    centred = inverse - inverse.mean(axis=1, keepdims=True)
    return np.asarray(centred - centred.mean(axis=2, keepdims=True))
