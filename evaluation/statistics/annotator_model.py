"""A scale on which careless annotators are weighed down: each has a reliability and a side bias.

Nobody is thrown out. Someone who guesses has reliability 0 and moves no score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, Comparisons, FloatArray, IntArray
from evaluation.statistics.connection import require_connection
from evaluation.statistics.estimate import (
    NotConverged,
    NotIdentified,
    normal_quantile,
    t_quantile,
)

MAX_STEPS = 500
MAX_HALVINGS = 40
LONGEST_STEP = 2.0  # log-odds, or units of reliability
NO_DIFFERENCE = 1e-6  # log-odds between the best and the worst condition
WIDEST_SCALE = 40.0  # log-odds; chances of 1e-17 are no finding of an experiment
LEAST_VARIANCE, MOST_VARIANCE = 1e-4, 100.0  # of annotators; at the least they count as alike


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatorScale:
    """Scores of n conditions, and what the answers of each of k annotators have to do with them.

    scores : (n,) float64, mean 0, in log-odds of an annotator of reliability 1.
    covariance : (n, n) float64 of the scores, whatever the annotators' parameters (these are
        estimated along, and their uncertainty is in it); its rows sum to 0.
    reliability : (k,) float64, mean 1, in the order of comparisons.annotators; what differences
        of scores are multiplied by. 1 is the average annotator; 0 one who guesses; less than 0
        one who answers the opposite of the question.
    reliability_error : (k,) float64; standard deviations, given the data. Near reliability_spread
        where someone's answers tell next to nothing; the reliability is then near 1.
    side_bias : (k,) float64, in log-odds of choosing the left of two equal conditions; 0 for all
        if it was not estimated.
    side_bias_error : (k,) float64; as reliability_error.
    reliability_spread, side_bias_spread : standard deviations among annotators; 0 where the data
        show no differences.
    log_likelihood : of the judgments, in nats, at these values (without any prior).
    iterations : steps taken.
    degrees_of_freedom : of Student's t that the scores' intervals take; see clusters.py.
    """

    scores: FloatArray
    covariance: FloatArray
    reliability: FloatArray
    reliability_error: FloatArray
    side_bias: FloatArray
    side_bias_error: FloatArray
    reliability_spread: float
    side_bias_spread: float
    log_likelihood: float
    iterations: int
    degrees_of_freedom: float = math.inf

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wald bounds low (n,) and high (n,) of each score against the mean of all."""
        error = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        half = t_quantile(confidence, self.degrees_of_freedom) * error
        return self.scores - half, self.scores + half

    def reliability_interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Bounds low (k,) and high (k,) of each annotator's reliability."""
        half = normal_quantile(confidence) * self.reliability_error
        return self.reliability - half, self.reliability + half

    def side_bias_interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Bounds low (k,) and high (k,) of each annotator's side bias."""
        half = normal_quantile(confidence) * self.side_bias_error
        return self.side_bias - half, self.side_bias + half


def fit_annotators(
    comparisons: Comparisons, *, side_bias: bool = True, prior_sd: float | None = None
) -> AnnotatorScale:
    """Score conditions so that annotator k chooses a, on the left, over b with log-odds

        reliability[k] * (scores[a] - scores[b]) + side_bias[k].

    side_bias : whether annotators may favour a side; else all their biases are 0.
    prior_sd : as in fit_scale.

    Reliabilities differ among annotators as from a normal distribution, and so do side biases,
    about 0. How widely is found from the data, so that annotators who answered little are drawn
    towards the others, and a crowd all alike gives the scores of bradley_terry. The likelihood
    does not change when scores are multiplied and reliabilities divided by one number, so their
    mean is set to 1: that is the unit of the scale. Ties count as half a choice of either side.

    The sources: reliabilities of annotators in Bradley-Terry's model, X. Chen, P. N. Bennett,
    K. Collins-Thompson and E. Horvitz (2013), "Pairwise ranking aggregation in a crowdsourced
    setting", WSDM, whose annotators are reversed with some probability, where these multiply the
    log-odds; bias and inconsistency of annotators, Z. Li, S. Ling, J. Wang, L. Li and P. Le
    Callet (2020), "A simple model for subject behavior in subjective experiments", Human Vision
    and Electronic Imaging. The likelihood, annotators integrated out by Laplace's method
    (N. E. Breslow and D. G. Clayton 1993, "Approximate inference in generalized linear mixed
    models", JASA 88, 9-25), is maximised by Fisher's scoring; variances follow D. J. C. MacKay
    (1992), "Bayesian interpolation", Neural Computation 4, 415-447.

    Memory grows with annotators times conditions. Standard errors take the variances as known; with
    few annotators they are too small.

    Raises NotIdentified with fewer than two conditions or annotators or no judgments; without a
    prior, where comparisons are not connected (connection.require_connection) or where only
    annotators found unreliable hold the scores together; and if no questions are shared that
    would tell annotators apart: of one annotator, a reliable one on a narrow scale looks like an
    unreliable one on a wide scale. So it does if annotators contradict each other so much that
    their mean reliability is about 0. Raises NotConverged, and ValueError as fit_scale does.
    """
    if prior_sd is not None and not (np.isfinite(prior_sd) and prior_sd > 0):
        raise ValueError(f"prior_sd: expected a finite number > 0, found {prior_sd}")
    wins = comparisons.win_matrix()
    if len(wins) < 2:
        raise NotIdentified(f"a scale needs at least two conditions, and there are {len(wins)}")
    if not np.any(wins):
        raise NotIdentified("there are no comparisons")
    if prior_sd is None:
        require_connection(wins)
    fit = _Fit(_Cells.of(comparisons), 1 + side_bias, 0.0 if prior_sd is None else prior_sd**-2)
    fit.require_overlap()
    iterations = fit.maximise()
    if np.ptp(fit.scores) < NO_DIFFERENCE:
        raise NotIdentified("no condition is better than another, so reliability has no effect")
    n_annotators, error = len(fit.annotators), np.sqrt(fit.variances_given_data)
    spread = np.where(fit.variances > LEAST_VARIANCE, np.sqrt(fit.variances), 0.0)
    nothing = np.zeros(n_annotators)
    return AnnotatorScale(
        scores=fit.scores,
        covariance=fit.covariance,
        reliability=fit.annotators[:, 0],
        reliability_error=error[:, 0],
        side_bias=fit.annotators[:, 1] if side_bias else nothing,
        side_bias_error=error[:, 1] if side_bias else nothing,
        reliability_spread=float(spread[0]),
        side_bias_spread=float(spread[1]) if side_bias else 0.0,
        log_likelihood=fit.log_likelihood(fit.scores, fit.annotators),
        iterations=iterations,
    )


def refitted(comparisons: Comparisons, scale: AnnotatorScale, rows: BoolArray) -> FloatArray:
    """The scores (n,) from some of the judgments, their annotators' mean reliability being 1.

    rows : (m,) those to use. The spreads among annotators stay as all judgments gave them, and
        the fit stops about a hundredth of a standard error from the maximum.

    Raises NotIdentified if they determine no scale.
    """
    c = comparisons
    used, annotator = np.unique(c.annotator[rows], return_inverse=True)
    part = replace(
        c.where(rows),
        annotator=annotator,
        annotators=tuple(c.annotators[k] for k in used),
        a=c.a[rows],
        b=c.b[rows],
        conditions=c.conditions,
    )
    require_connection(part.win_matrix())
    fit = _Fit(_Cells.of(part), 2 if scale.side_bias_spread > 0 else 1, 0.0)
    spreads = np.array([scale.reliability_spread, scale.side_bias_spread])[: len(fit.centre)]
    fit.variances = np.maximum(spreads**2, LEAST_VARIANCE)
    unit = float(scale.reliability[used].mean())
    parameters = np.stack([scale.reliability / unit, scale.side_bias], axis=1)
    fit.annotators, fit.scores = parameters[used][:, : len(fit.centre)], scale.scores * unit
    fit.settle()
    return fit.scores


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Judgments counted by annotator, condition on the left and condition on the right.

    annotator, a, b : (m,) int64. wins, losses : (m,) float64 of a; ties are half of each.
    """

    annotator: IntArray
    a: IntArray
    b: IntArray
    wins: FloatArray
    losses: FloatArray
    n_annotators: int
    n: int

    @classmethod
    def of(cls, c: Comparisons) -> _Cells:
        n, judged = len(c.conditions), c.weight > 0
        key = ((c.annotator * n + c.a) * n + c.b)[judged]
        cell, at = np.unique(key, return_inverse=True)
        wins, losses = (
            np.bincount(at, (c.weight * share)[judged]).astype(np.float64)
            for share in (c.outcome, 1.0 - c.outcome)
        )
        return cls(cell // n**2, cell // n % n, cell % n, wins, losses, c.n_annotators, n)


class _Fit:
    """The penalised likelihood of scores (n,) and annotators (k, q), and where it is highest.

    It is the log-likelihood plus the logs of the normal densities, less half the log-determinant of
    each annotator's information: Laplace's integral over annotators' parameters. Without that,
    scores came out a tenth too wide at 20 judgments each, since parameters also fit noise.

    annotators[:, 0] are reliabilities, and annotators[:, 1], if q is 2, side biases. `variances`
    (q,) are those among annotators. The sum of the reliabilities is kept at k.
    """

    def __init__(self, cells: _Cells, q: int, score_precision: float) -> None:
        self.cells = cells
        self.score_precision = score_precision
        self.centre = np.array([1.0, 0.0])[:q]
        self.variances = np.array([0.3, 0.1])[:q]
        self.scores = np.zeros(cells.n)
        self.annotators = np.tile(self.centre, (cells.n_annotators, 1))
        self.covariance = np.zeros((cells.n, cells.n))
        self.variances_given_data = np.zeros_like(self.annotators)

    def log_likelihood(self, scores: FloatArray, annotators: FloatArray) -> float:
        eta = self._log_odds(scores, annotators)
        c = self.cells
        return float(
            c.wins @ scipy.special.log_expit(eta) + c.losses @ scipy.special.log_expit(-eta)
        )

    def maximise(self) -> int:
        """Move to the maximum; returns the number of steps. Raises NotConverged."""
        stride = np.ones_like(self.variances)
        last = np.zeros_like(self.variances)
        for iteration in range(MAX_STEPS):
            by_scores, by_annotators, slope = self._step()
            longest = max(np.max(np.abs(by_scores)), np.max(np.abs(by_annotators)))
            shorter = min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
            self._climb(shorter * by_scores, shorter * by_annotators, shorter * slope)
            if np.ptp(self.scores) > WIDEST_SCALE:
                raise NotIdentified(
                    "only annotators found unreliable hold the scores together, which would "
                    "grow without end: give a prior"
                )
            change = self._variances_change()
            if self.variances[0] == MOST_VARIANCE and change[0] > 0 and slope < 1e-3:
                raise NotIdentified(
                    "the annotators' answers do not tell a mean reliability to measure scores by"
                )
            # Steps in log-variance are lengthened while they go one way, and cut when they turn:
            # towards a variance of 0 there would be hundreds.
            one_way = change * last > 0
            stride = np.where(one_way, np.minimum(2 * stride, 64.0), np.minimum(stride / 4, 1.0))
            stride = np.maximum(stride, 0.0625)
            moved = self.variances * np.exp(stride * change)
            moved = np.clip(moved, LEAST_VARIANCE, MOST_VARIANCE)
            if slope < 1e-12 and np.allclose(moved, self.variances, rtol=1e-6, atol=0.0):
                return iteration
            self.variances, last = moved, change
        raise NotConverged(f"annotators did not settle in {MAX_STEPS} steps")

    def settle(self) -> None:
        """Move to the maximum at these variances, until a step raises the likelihood by less than
        a ten-thousandth, which scores a hundredth of a standard error away would."""
        value = self._value(self.scores, self.annotators)
        for _ in range(MAX_STEPS):
            by_scores, by_annotators, slope = self._step()
            longest = max(np.max(np.abs(by_scores)), np.max(np.abs(by_annotators)))
            shorter = min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
            self._climb(shorter * by_scores, shorter * by_annotators, shorter * slope)
            last, value = value, self._value(self.scores, self.annotators)
            if value - last < 1e-4:
                return
        raise NotConverged(f"annotators did not settle in {MAX_STEPS} steps")

    def require_overlap(self) -> None:
        """Raise NotIdentified unless annotators would be told apart by exact log-odds.

        If scores and side biases could take up whatever reliabilities do, nothing is left of the
        information on reliabilities when these are eliminated; likewise of that on side biases.
        """
        c = self.cells
        if c.n_annotators < 2:
            raise NotIdentified(
                "reliability needs at least two annotators: that of one cannot be told from the "
                "spread of the scale"
            )
        heights = np.sin(1.0 + np.arange(c.n))  # any without a pattern
        ones = np.ones_like(c.wins)
        by_annotator = np.stack([heights[c.a] - heights[c.b], ones], axis=1)
        ss, su, uu = self._blocks(ones, ones, by_annotator[:, : len(self.centre)])
        for name, kept in zip(("reliability", "side bias"), range(len(self.centre)), strict=False):
            told = uu[:, kept, kept].sum()
            others = [i for i in range(len(self.centre)) if i != kept]
            inverse = np.linalg.pinv(uu[:, others][:, :, others], hermitian=True)
            carried = np.einsum("nki,kij->nkj", su[:, :, others], inverse)
            scores = ss - np.einsum("nki,mki->nm", carried, su[:, :, others], optimize=True)
            cross = su[:, :, kept] - np.einsum("nki,ki->nk", carried, uu[:, others, kept])
            rest = uu[:, kept, kept] - np.einsum(
                "ki,kij,kj->k", uu[:, others, kept], inverse, uu[:, others, kept]
            )
            pseudo = np.linalg.pinv(scores, rcond=1e-10, hermitian=True)
            left = rest.sum() - np.sum(cross * (pseudo @ cross))
            if left <= 1e-8 * told:
                raise NotIdentified(
                    f"the annotators' {name} cannot be told from the scores: too few of their "
                    "questions are shared"
                )

    def _log_odds(self, scores: FloatArray, annotators: FloatArray) -> FloatArray:
        c = self.cells
        eta = annotators[c.annotator, 0] * (scores[c.a] - scores[c.b])
        if annotators.shape[1] == 2:
            eta = eta + annotators[c.annotator, 1]
        return np.asarray(eta)

    def _value(self, scores: FloatArray, annotators: FloatArray) -> float:
        away = (annotators - self.centre) ** 2 / self.variances
        by_annotator, p, not_p = self._at(scores, annotators)
        weight = (self.cells.wins + self.cells.losses) * p * not_p
        information = self._annotator_information(weight, by_annotator)
        _, log_det = np.linalg.slogdet(information + np.diag(1 / self.variances))
        penalty = self.score_precision * (scores @ scores) + away.sum() + log_det.sum()
        return self.log_likelihood(scores, annotators) - float(penalty) / 2

    def _at(
        self, scores: FloatArray, annotators: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(m, q) derivatives of the log-odds by annotators, and (m,) P(a) and P(b)."""
        c, eta = self.cells, self._log_odds(scores, annotators)
        difference = scores[c.a] - scores[c.b]
        by_annotator = np.stack([difference, np.ones_like(eta)], axis=1)[:, : len(self.centre)]
        return by_annotator, scipy.special.expit(eta), scipy.special.expit(-eta)

    def _blocks(
        self, weight: FloatArray, slope: FloatArray, by_annotator: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Fisher's information: (n, n) of scores, (n, k, q) across, (k, q, q) of annotators.

        weight : (m,) information on each cell's log-odds, whose derivatives are slope (m,) by
            scores[a], minus that by scores[b], and by_annotator (m, q) by its annotator's.
        """
        c, k, q = self.cells, self.cells.n_annotators, by_annotator.shape[1]
        between = np.bincount(c.a * c.n + c.b, weight * slope**2, c.n**2).reshape(c.n, c.n)
        between = between + between.T
        across = np.empty((c.n, k, q))
        for i in range(q):
            each = weight * slope * by_annotator[:, i]
            at_a = np.bincount(c.a * k + c.annotator, each, c.n * k)
            at_b = np.bincount(c.b * k + c.annotator, each, c.n * k)
            across[:, :, i] = (at_a - at_b).reshape(c.n, k)
        scores = np.asarray(np.diag(between.sum(axis=1)) - between, dtype=np.float64)
        return scores, across, self._annotator_information(weight, by_annotator)

    def _annotator_information(self, weight: FloatArray, by_annotator: FloatArray) -> FloatArray:
        c, k, q = self.cells, self.cells.n_annotators, by_annotator.shape[1]
        information = np.empty((k, q, q))
        for i in range(q):
            for j in range(q):
                products = weight * by_annotator[:, i] * by_annotator[:, j]
                information[:, i, j] = np.bincount(c.annotator, products, k)
        return information

    def _step(self) -> tuple[FloatArray, FloatArray, float]:
        """Fisher's step of scores (n,) and annotators (k, q), and the slope along it.

        Annotators are eliminated, so that only a matrix (n, n) is inverted. Leaves behind the
        covariance of the scores and the variances of annotators' parameters.
        """
        c, q = self.cells, len(self.centre)
        by_annotator, p, not_p = self._at(self.scores, self.annotators)
        weight, slope = (c.wins + c.losses) * p * not_p, self.annotators[c.annotator, 0]
        ss, su, uu = self._blocks(weight, slope, by_annotator)
        ss[np.arange(c.n), np.arange(c.n)] += self.score_precision
        uu[:, np.arange(q), np.arange(q)] += 1 / self.variances
        inverse = _inverse(uu)

        # The determinant's derivatives: `doubt` (m,) is the variance of the log-odds that comes
        # of the annotator's parameters.
        covaried = np.einsum("mij,mj->mi", inverse[c.annotator], by_annotator)
        doubt = np.sum(covaried * by_annotator, axis=1)
        surprise = c.wins * not_p - c.losses * p - weight * (not_p - p) * doubt / 2
        pull = surprise * slope - weight * covaried[:, 0]
        at_a, at_b = (np.bincount(at, pull, c.n) for at in (c.a, c.b))
        at_scores = at_a.astype(np.float64) - at_b - self.score_precision * self.scores
        at_annotators = (self.centre - self.annotators) / self.variances
        for i in range(q):
            at_annotators[:, i] += np.bincount(
                c.annotator, surprise * by_annotator[:, i], c.n_annotators
            )

        # The inverse among steps that leave the sum of reliabilities as it is: `fixed` (k, q)
        # is what a change of that sum alone would do to annotators.
        fixed = inverse[:, 0] / np.sqrt(inverse[:, 0, 0].sum())
        carried = np.einsum("nki,kij->nkj", su, inverse)
        carried -= np.einsum("nki,ki->n", su, fixed)[:, None, None] * fixed
        flat = (c.n, c.n_annotators * q)
        information = ss - carried.reshape(flat) @ su.reshape(flat).T
        self.covariance = _sum_zero_inverse(information)
        by_scores = self.covariance @ (at_scores - carried.reshape(flat) @ at_annotators.ravel())
        left = at_annotators - np.einsum("nki,n->ki", su, by_scores)
        by_annotators = np.einsum("kij,kj->ki", inverse, left) - fixed * np.sum(fixed * left)
        of_scores = (self.covariance @ carried.reshape(flat)).reshape(carried.shape)
        self.variances_given_data = np.maximum(
            np.einsum("kii->ki", inverse) - fixed**2 + np.sum(carried * of_scores, axis=0), 0.0
        )
        slope_along = at_scores @ by_scores + np.sum(at_annotators * by_annotators)
        return by_scores, by_annotators, float(slope_along)

    def _climb(self, by_scores: FloatArray, by_annotators: FloatArray, slope: float) -> None:
        value = self._value(self.scores, self.annotators)
        share = 1.0
        for _ in range(MAX_HALVINGS):
            scores = self.scores + share * by_scores
            annotators = self.annotators + share * by_annotators
            raised = self._value(scores, annotators)
            if raised >= value + 1e-4 * share * slope - 1e-12 * abs(value):
                break
            share /= 2
        self.scores, self.annotators = scores - scores.mean(), annotators

    def _variances_change(self) -> FloatArray:
        """(q,) what MacKay's rule (1992) adds to the logarithms of the variances: a
        variance is the sum of squares over the number of parameters that the data determine."""
        free = np.full(len(self.centre), len(self.annotators))
        free[0] -= 1  # reliabilities have a given sum
        determined = free - self.variances_given_data.sum(axis=0) / self.variances
        squares = np.sum((self.annotators - self.centre) ** 2, axis=0)
        wanted = np.maximum(squares, 1e-300) / np.maximum(determined, 1e-9 * free)
        return np.asarray(np.clip(np.log(wanted / self.variances), -4.0, 4.0))


def _inverse(information: FloatArray) -> FloatArray:
    """Of (..., n, n). Raises NotConverged where steps led to no information at all."""
    try:
        return np.asarray(np.linalg.inv(information), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise NotConverged(f"annotators did not settle: {error}") from error


def _sum_zero_inverse(information: FloatArray) -> FloatArray:
    """(n, n) inverse among scores that sum to 0: what acts on their sum alone is added, then
    taken off."""
    n = len(information)
    inverse = _inverse(information + np.trace(information) / n**2)
    inverse = inverse - inverse.mean(axis=0)
    inverse = inverse - inverse.mean(axis=1, keepdims=True)
    return np.asarray((inverse + inverse.T) / 2)
