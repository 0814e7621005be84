"""The perceived quality of conditions on one axis, from how often each was judged closer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.sparse import csgraph

from evaluation.statistics.comparisons import FloatArray
from evaluation.statistics.estimate import NotConverged, NotIdentified

MAX_STEPS = 200
MAX_HALVINGS = 60
LONGEST_STEP = 4.0  # log-odds


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Scores of n conditions on one axis. Only differences mean something; the mean is 0.

    scores : (n,) float64, in log-odds: at a difference d, the higher is judged closer with
        probability 1 / (1 + exp(-d)).
    covariance : (n, n) float64 of the scores, under the constraint that they sum to 0; so its
        rows sum to 0, and the variance of scores[i] - scores[j] is C[i,i] + C[j,j] - 2 C[i,j].
    log_likelihood : of the wins, in nats, at these scores (without any ridge term).
    iterations : Newton steps taken.
    """

    scores: FloatArray
    covariance: FloatArray
    log_likelihood: float
    iterations: int

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wald bounds low (n,) and high (n,) of each score against the mean of all.

        Two scores may differ clearly though their intervals overlap: their difference has the
        variance given above.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
        variance = np.maximum(np.diag(self.covariance), 0.0)
        half = special.ndtri((1 + confidence) / 2) * np.sqrt(variance)
        return self.scores - half, self.scores + half


def bradley_terry(wins: FloatArray, *, ridge: float = 0.0) -> Scale:
    """Score conditions so that P(i is closer than j) = 1 / (1 + exp(s[j] - s[i])).

    wins : (n, n) array; wins[i, j] = times i was judged closer than j; a tie adds 1/2 to each
        side; the diagonal is 0. Counts need not be whole.
    ridge : weight of ridge * sum(s**2) in the objective; 0 is plain maximum likelihood. Otherwise
        scores shrink towards 0, and are the mode, and the covariance the curvature, under a
        normal prior of variance 1 / (2 ridge); groups never compared with each other then have
        mean 0 each, which says nothing about how they compare.

    Returns the scores (n,), of mean 0, and their covariance (n, n), which takes judgments as
    independent, and ties, counted as half wins, as if they were decided (so it is rather large).

    Raises NotIdentified if there are fewer than two conditions or no comparisons, and if ridge is
    0 and wins do not lead from every condition to every other (Ford 1957): one that never lost
    would score infinity. Its groups hold indexes of conditions; explain(labels) names them.
    Raises NotConverged if Newton's method does not reach a gradient below 1e-8 (for more than a
    million comparisons, below 1e-14 of their number: rounding forbids more) and steps below 1e-8
    of a standard error, and ValueError for anything but such wins.

    R. A. Bradley and M. E. Terry (1952), "Rank analysis of incomplete block designs", Biometrika
    39, 324-345. L. R. Ford (1957), "Solution of a ranking problem from binary comparisons",
    American Mathematical Monthly 64, 28-33.

    >>> scale = bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]))
    >>> (scale.scores * 2).round(4)  # log(3 / 1), half on each side of 0
    array([ 1.0986, -1.0986])
    """
    wins = np.asarray(wins, dtype=np.float64)
    _check(wins, ridge)
    if ridge == 0:
        _require_connection(wins)
    scores, iterations = _maximise(wins, ridge)
    return Scale(
        scores=scores,
        covariance=_sum_zero_inverse(_information(wins, ridge, scores)),
        log_likelihood=_log_likelihood(wins, scores),
        iterations=iterations,
    )


def _check(wins: FloatArray, ridge: float) -> None:
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1]:
        raise ValueError(f"wins: expected a square array, found shape {wins.shape}")
    if not (np.all(np.isfinite(wins)) and np.all(wins >= 0) and not np.any(np.diag(wins))):
        raise ValueError("wins: expected finite numbers >= 0, and 0 on the diagonal")
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge: expected a finite number >= 0, found {ridge}")
    if len(wins) < 2:
        raise NotIdentified(f"a scale needs at least two conditions, and there are {len(wins)}")
    if not np.any(wins):
        raise NotIdentified("there are no comparisons")


def _require_connection(wins: FloatArray) -> None:
    """Ford's condition: in every split of the conditions, each part has beaten the other."""
    n_parts, part = csgraph.connected_components(wins > 0, directed=True, connection="weak")
    if n_parts > 1:
        groups = _members(n_parts, part)
        each = " / ".join(f"{{{g}}}" for g in range(n_parts))
        raise NotIdentified(
            f"{n_parts} groups were never compared with each other: {each}", *groups
        )
    n_parts, part = csgraph.connected_components(wins > 0, directed=True, connection="strong")
    if n_parts == 1:
        return
    unbeaten, winless = [], []
    for group in _members(n_parts, part):
        rest = [i for i in range(len(wins)) if i not in group]
        if not np.any(wins[np.ix_(rest, group)]):
            unbeaten.append((group, rest, "{0} never lost to {1}: the distance is infinite"))
        if not np.any(wins[np.ix_(group, rest)]):
            winless.append((group, rest, "{0} never won against {1}: the distance is infinite"))
    # There is always one of each; the smaller group is the more telling.
    group, rest, reason = min(unbeaten + winless, key=lambda found: len(found[0]))
    raise NotIdentified(reason, group, rest)


def _members(n_parts: int, part: NDArray[np.int32]) -> list[list[int]]:
    return [np.flatnonzero(part == p).tolist() for p in range(n_parts)]


def _log_likelihood(wins: FloatArray, scores: FloatArray) -> float:
    """Sum of wins[i, j] log P(i is closer than j), the logarithm of Bradley and Terry's (1952)."""
    return float(np.sum(wins * special.log_expit(scores[:, None] - scores)))


def _gradient(wins: FloatArray, ridge: float, scores: FloatArray) -> FloatArray:
    """(n,) derivative of log-likelihood - ridge * sum(s**2): wins minus expected wins.

    Written as surprising wins minus surprising losses, which does not cancel large numbers.
    """
    differences = scores[:, None] - scores
    surprise = wins * special.expit(-differences) - wins.T * special.expit(differences)
    return np.asarray(surprise.sum(axis=1) - 2 * ridge * scores)


def _information(wins: FloatArray, ridge: float, scores: FloatArray) -> FloatArray:
    """(n, n) minus the second derivative; without ridge, Fisher's information."""
    differences = scores[:, None] - scores
    weight = (wins + wins.T) * special.expit(differences) * special.expit(-differences)
    return np.asarray(np.diag(weight.sum(axis=1) + 2 * ridge) - weight)


def _sum_zero_inverse(information: FloatArray) -> FloatArray:
    """(n, n) inverse among vectors that sum to 0; the pseudo-inverse if rows of information do.

    A multiple of the all-ones matrix acts only outside these vectors; it makes the matrix
    invertible, and is taken off again by the centring.
    """
    n = len(information)
    inverse = np.linalg.inv(information + np.trace(information) / n**2)
    centred = inverse - inverse.mean(axis=0)
    centred = centred - centred.mean(axis=1, keepdims=True)
    return np.asarray((centred + centred.T) / 2)


def _maximise(wins: FloatArray, ridge: float) -> tuple[FloatArray, int]:
    """Newton's method on a concave objective, halving steps that do not raise it enough."""
    total = wins.sum()
    tolerance = max(1e-8 * min(1.0, total), 1e-14 * total)

    def objective(scores: FloatArray) -> float:
        return _log_likelihood(wins, scores) - ridge * float(scores @ scores)

    scores = np.zeros(len(wins))
    value = objective(scores)
    for iteration in range(MAX_STEPS):
        gradient = _gradient(wins, ridge, scores)
        try:
            step = _sum_zero_inverse(_information(wins, ridge, scores)) @ gradient
        except np.linalg.LinAlgError as error:
            raise NotConverged(f"the information matrix became singular: {error}") from error
        # A condition that almost never lost has a small gradient long before its score settles.
        # The slope along a Newton step is that step's square, measured in standard errors.
        slope = float(gradient @ step)
        if np.max(np.abs(gradient)) < tolerance and slope < 1e-16:
            return scores - scores.mean(), iteration
        # A longer step would leave the region in which the curvature here says anything.
        shorter = min(1.0, LONGEST_STEP / float(np.max(np.abs(step))))
        step, slope = shorter * step, shorter * slope
        rounding = 1e-12 * abs(value)
        for _ in range(MAX_HALVINGS):
            raised = objective(scores + step)
            if raised >= value + 1e-4 * slope - rounding:
                break
            step, slope = step / 2, slope / 2
        scores, value = scores + step, raised
    raise NotConverged(f"scores did not settle in {MAX_STEPS} steps")
