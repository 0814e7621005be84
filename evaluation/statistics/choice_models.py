"""What people choose between two conditions, given how far apart these are: one class a model.

Each model gives the log-probabilities of the three outcomes, the left one chosen, a tie, the
right one chosen, and their derivatives, as functions of the difference d (left minus right, plus
any side effect) and, for models of ties, of a tie parameter t. All are concave in (d, t), so a
likelihood has one maximum at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
import scipy

from evaluation.statistics.comparisons import FloatArray

JND = NormalDist().inv_cdf(0.75)
"""Standard deviations of the difference at which 75 % prefer the better: one JND."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Log-probabilities at m differences, and their first and second derivatives.

    Outcomes, on the first axis: left chosen, tie, right chosen. Where a model has no tie
    parameter, a tie counts as half a choice of each side, and the derivatives by t are 0.

    log_p, d, t, dd, dt, tt : (3, ...) float64; derivatives by the letters that name them.
    """

    log_p: FloatArray
    d: FloatArray
    t: FloatArray
    dd: FloatArray
    dt: FloatArray
    tt: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The log-likelihood of counted outcomes, and its derivatives, for each of m questions.

    value : the log-likelihood of all of them.
    d, t, dd, dt, tt : (m,) float64; derivatives by the letters that name them.
    """

    value: float
    d: FloatArray
    t: FloatArray
    dd: FloatArray
    dt: FloatArray
    tt: FloatArray


class ChoiceModel(Protocol):
    name: str
    unit: str
    """Of a scale's scores."""
    tie_parameter: str
    """What t is; '' if the model has none."""
    tie_start: float

    def terms(self, d: FloatArray, t: float | FloatArray) -> Terms:
        """The terms at differences d and tie parameter t, arrays that broadcast together."""

    def sums(self, counts: FloatArray, d: FloatArray, t: float) -> Sums:
        """The terms at differences d (m,), weighed by counts (3, m) of the outcomes."""

    def recession(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """For each outcome, the (by d, by t) whose sums must not be negative if its probability
        is not to vanish when (d, t) goes on for ever in one direction."""


class BradleyTerry:
    """P(left) = 1 / (1 + exp(-d)).

    R. A. Bradley and M. E. Terry (1952), "Rank analysis of incomplete block designs: I",
    Biometrika 39, 324-345.
    """

    name = "Bradley-Terry"
    unit = "log-odds"
    tie_parameter = ""
    tie_start = 0.0

    def terms(self, d: FloatArray, t: float | FloatArray) -> Terms:
        left, right = scipy.special.log_expit(d), scipy.special.log_expit(-d)
        p = scipy.special.expit(d)
        curvature = -p * scipy.special.expit(-d)
        return _halved_ties((left, right), (scipy.special.expit(-d), -p), (curvature, curvature))

    def sums(self, counts: FloatArray, d: FloatArray, t: float) -> Sums:
        # The same as for other models, with a tenth of the work: one exponential, one logarithm.
        left, right = counts[0] + counts[1] / 2, counts[2] + counts[1] / 2
        odds = np.exp(-np.abs(d))  # of the less likely side
        likely, unlikely = 1 / (1 + odds), odds / (1 + odds)
        p, q = np.where(d > 0, likely, unlikely), np.where(d > 0, unlikely, likely)
        nothing = np.broadcast_to(0.0, d.shape)
        return Sums(
            value=float(
                left @ np.minimum(d, 0)
                + right @ np.minimum(-d, 0)
                - (left + right) @ np.log1p(odds)
            ),
            # Surprising wins less surprising losses, which does not cancel large numbers.
            d=left * q - right * p,
            t=nothing,
            dd=-(left + right) * p * q,
            dt=nothing,
            tt=nothing,
        )

    def recession(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        return _SIDES


class Thurstone:
    """P(left) = Phi(JND d): Thurstone's Case V, in units of just noticeable differences.

    L. L. Thurstone (1927), "A law of comparative judgment", Psychological Review 34, 273-286;
    F. Mosteller (1951), "Remarks on the method of paired comparisons: I", Psychometrika 16, 3-9.
    The unit, in which a difference of 1 is preferred by 75 %, is that of M. Perez-Ortiz and
    R. K. Mantiuk (2017), "A practical guide and software for analysing pairwise comparison
    experiments", arXiv 1712.03686.
    """

    name = "Thurstone Case V"
    unit = "JND"
    tie_parameter = ""
    tie_start = 0.0

    def terms(self, d: FloatArray, t: float | FloatArray) -> Terms:
        x = JND * d
        left, right = scipy.special.log_ndtr(x), scipy.special.log_ndtr(-x)
        # phi / Phi, which far out on the left is finite though both are 0.
        log_phi = -(x**2) / 2 - np.log(2 * np.pi) / 2
        up, down = np.exp(log_phi - left), np.exp(log_phi - right)
        return _halved_ties(
            (left, right),
            (JND * up, -JND * down),
            (-(JND**2) * up * (x + up), -(JND**2) * down * (down - x)),
        )

    def sums(self, counts: FloatArray, d: FloatArray, t: float) -> Sums:
        return _summed(self.terms(d, t), counts)

    def recession(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        return _SIDES


class Davidson:
    """P(left) : P(tie) : P(right) = exp(d/2) : exp(t) : exp(-d/2).

    R. R. Davidson (1970), "On extending the Bradley-Terry model to accommodate ties in paired
    comparison experiments", JASA 65, 317-328, whose nu is exp(t).
    """

    name = "Davidson"
    unit = "log-odds"
    tie_parameter = "log nu"
    tie_start = -1.0

    def terms(self, d: FloatArray, t: float | FloatArray) -> Terms:
        d, t = np.broadcast_arrays(d, t)
        weights = np.stack([d / 2, t, -d / 2])
        log_p = weights - scipy.special.logsumexp(weights, axis=0)
        left, tie, right = np.exp(log_p)
        by_d, by_t = np.array([0.5, 0.0, -0.5]), np.array([0.0, 1.0, 0.0])
        shape = (3,) + (1,) * d.ndim
        mean = (left - right) / 2
        # The family is exponential: second derivatives are minus the covariances.
        same = np.ones(shape)
        return Terms(
            log_p=log_p,
            d=by_d.reshape(shape) - mean,
            t=by_t.reshape(shape) - tie,
            dd=-((left + right) / 4 - mean**2) * same,
            dt=mean * tie * same,
            tt=-tie * (1 - tie) * same,
        )

    def sums(self, counts: FloatArray, d: FloatArray, t: float) -> Sums:
        return _summed(self.terms(d, t), counts)

    def recession(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        return (
            ((0.5, -1.0), (1.0, 0.0)),
            ((0.5, 1.0), (-0.5, 1.0)),
            ((-0.5, -1.0), (-1.0, 0.0)),
        )


class RaoKupper:
    """P(left) = 1 / (1 + exp(t - d)), P(right) = 1 / (1 + exp(t + d)), t > 0.

    P. V. Rao and L. L. Kupper (1967), "Ties in paired-comparison experiments: a generalization of
    the Bradley-Terry model", JASA 62, 194-204, whose theta is exp(t): differences below the
    threshold t may go unnoticed.
    """

    name = "Rao-Kupper"
    unit = "log-odds"
    tie_parameter = "log theta"
    tie_start = 0.5

    def terms(self, d: FloatArray, t: float | FloatArray) -> Terms:
        d, t = np.broadcast_arrays(d, t)
        with np.errstate(divide="ignore", invalid="ignore"):  # t <= 0 has likelihood 0
            # P(tie) = (theta^2 - 1) P(left) P(right)
            log_ties = np.where(t > 0, 2 * t + np.log(-np.expm1(-2 * t)), -np.inf)
            ties_t, ties_tt = -2 / np.expm1(-2 * t), -1 / np.sinh(t) ** 2
        left, right = scipy.special.log_expit(d - t), scipy.special.log_expit(-d - t)
        not_left, not_right = scipy.special.expit(t - d), scipy.special.expit(t + d)
        left_2, right_2 = -not_left * (1 - not_left), -not_right * (1 - not_right)
        return Terms(
            log_p=np.stack([left, log_ties + left + right, right]),
            d=np.stack([not_left, not_left - not_right, -not_right]),
            t=np.stack([-not_left, ties_t - not_left - not_right, -not_right]),
            dd=np.stack([left_2, left_2 + right_2, right_2]),
            dt=np.stack([-left_2, right_2 - left_2, right_2]),
            tt=np.stack([left_2, ties_tt + left_2 + right_2, right_2]),
        )

    def sums(self, counts: FloatArray, d: FloatArray, t: float) -> Sums:
        return _summed(self.terms(d, t), counts)

    def recession(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        return (((1.0, -1.0),), ((1.0, 1.0), (-1.0, 1.0)), ((-1.0, -1.0),))


_SIDES = (((1.0, 0.0),), ((1.0, 0.0), (-1.0, 0.0)), ((-1.0, 0.0),))

BRADLEY_TERRY = BradleyTerry()
THURSTONE = Thurstone()
DAVIDSON = Davidson()
RAO_KUPPER = RaoKupper()


def _summed(terms: Terms, counts: FloatArray) -> Sums:
    # An outcome that did not occur has no part in it, though its probability be 0.
    occurred = counts > 0
    return Sums(
        float(np.sum(counts * np.where(occurred, terms.log_p, 0.0))),
        *(
            np.sum(counts * np.where(occurred, each, 0.0), axis=0)
            for each in (terms.d, terms.t, terms.dd, terms.dt, terms.tt)
        ),
    )


def _halved_ties(
    log_p: tuple[FloatArray, FloatArray],
    d: tuple[FloatArray, FloatArray],
    dd: tuple[FloatArray, FloatArray],
) -> Terms:
    """The terms of a model without ties, where each is half a choice of either side."""
    first, second, third = (
        np.stack([left, (left + right) / 2, right]) for left, right in (log_p, d, dd)
    )
    nothing = np.broadcast_to(0.0, first.shape)
    return Terms(first, second, nothing, third, nothing, nothing)
