"""Judgments counted, and the likelihood of scores and other parameters given them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from evaluation.statistics.choice_models import ChoiceModel, Sums
from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.connection import require_connection
from evaluation.statistics.estimate import NotConverged, NotIdentified

MAX_STEPS = 200
MAX_HALVINGS = 60
LONGEST_STEP = 4.0  # in the scale's unit
_AT_ONCE = 1 << 16  # judgments
_SINGULAR = 1e-10
"""Share of the largest eigenvalue of the information that no longer counts as any."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Judgments counted: all that a scale without annotators and source images needs to know.

    i, j : (m,) int64; the conditions of each kind of question, i on the left.
    counts : (3, m) float64 >= 0; how often i was chosen, tied with j, and j was chosen.
    n : number of conditions.
    sided : whether i was on the left in all of them; else a row holds both orders.
    """

    i: IntArray
    j: IntArray
    counts: FloatArray
    n: int
    sided: bool

    @classmethod
    def of(cls, comparisons: Comparisons, *, sided: bool = False) -> Outcomes:
        """Count the judgments of one stratum; sided keeps (left, right) and (right, left) apart.

        Raises ValueError if there are several strata (see Comparisons.win_matrix).
        """
        comparisons.require_one_stratum()
        n, m = len(comparisons.conditions), len(comparisons.outcome)
        cells = np.zeros(3 * n * n)
        for start in range(0, m, _AT_ONCE):  # what fits into a processor's cache is counted faster
            part = slice(start, start + _AT_ONCE)
            a, b = comparisons.a[part], comparisons.b[part]
            kind = np.rint(2.0 - 2.0 * comparisons.outcome[part]).astype(np.int64)
            if not sided:
                kind = np.where(a < b, kind, 2 - kind)
                a, b = np.minimum(a, b), np.maximum(a, b)
            weight = comparisons.weight[part]
            # Counting ones is twice as fast as adding weights up.
            weights = None if weight.strides == (0,) and weight[0] == 1 else weight
            cells += np.bincount((kind * n + a) * n + b, weights=weights, minlength=3 * n * n)
        return cls.of_counts(cells.reshape(3, n, n), sided=sided)

    @classmethod
    def of_wins(cls, wins: FloatArray) -> Outcomes:
        """Count from wins (n, n), as in bradley_terry."""
        counts = np.stack([np.triu(wins, 1), np.zeros_like(wins), np.triu(wins.T, 1)])
        return cls.of_counts(counts, sided=False)

    @classmethod
    def of_counts(cls, counts: FloatArray, *, sided: bool) -> Outcomes:
        """From counts (3, n, n) of the outcomes, [i, j] showing i on the left."""
        i, j = np.nonzero(counts.any(axis=0))
        return cls(i, j, counts[:, i, j], counts.shape[1], sided)

    @cached_property
    def wins(self) -> FloatArray:
        """(n, n) as in Comparisons.win_matrix: a tie adds 1/2 to each side."""
        wins = np.zeros((self.n, self.n))
        np.add.at(wins, (self.i, self.j), self.counts[0] + self.counts[1] / 2)
        np.add.at(wins, (self.j, self.i), self.counts[2] + self.counts[1] / 2)
        return wins


class Likelihood:
    """Log-likelihood, plus log-prior, of the p parameters: n scores, side effect, tie parameter.

    It is concave in all of them together.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        model: ChoiceModel,
        *,
        side_effect: bool = False,
        prior_sd: float | None = None,
    ) -> None:
        if side_effect and not outcomes.sided:
            raise ValueError("a side effect needs outcomes counted by side (sided=True)")
        if prior_sd is not None and not (np.isfinite(prior_sd) and prior_sd > 0):
            raise ValueError(f"prior_sd: expected a finite number > 0, found {prior_sd}")
        self.outcomes = outcomes
        self.model = model
        self.prior_sd = prior_sd
        self.at_side = outcomes.n if side_effect else None
        self.at_tie = outcomes.n + side_effect if model.tie_parameter else None
        self.p = outcomes.n + side_effect + bool(model.tie_parameter)

    def start(self) -> FloatArray:
        parameters = np.zeros(self.p)
        if self.at_tie is not None:
            parameters[self.at_tie] = self.model.tie_start
        return parameters

    def free(self, fixed: int | None = None) -> FloatArray:
        """(p, q) orthonormal directions in which parameters may move: those that leave the sum of
        the scores, and if asked that of one condition, as they are."""
        n = self.outcomes.n
        if fixed is None:
            scores = scipy.linalg.helmert(n).T
        else:
            scores = np.insert(scipy.linalg.helmert(n - 1).T, fixed, 0.0, axis=0)
        return scipy.linalg.block_diag(scores, np.eye(self.p - n))

    def require_maximum(self) -> None:
        """Raise NotIdentified unless just one point is likeliest."""
        n, counts = self.outcomes.n, self.outcomes.counts
        if n < 2:
            raise NotIdentified(f"a scale needs at least two conditions, and there are {n}")
        if not np.any(counts):
            raise NotIdentified("there are no comparisons")
        if self.at_tie is not None and not np.any(counts[1]):
            raise NotIdentified(f"{self.model.name} needs ties, and there are none")
        if self.prior_sd is None:
            require_connection(self.outcomes.wins)
        if self.p > n:
            self._require_rank()
            self._require_overlap()

    def value(self, parameters: FloatArray) -> float:
        return self.log_likelihood(parameters) - self._penalty(parameters)

    def log_likelihood(self, parameters: FloatArray) -> float:
        return self._sums(parameters).value

    def derivatives(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The gradient (p,) and the information (p, p), which is minus the second derivative."""
        return self._assembled(self._sums(parameters), parameters)

    def maximise(
        self, parameters: FloatArray, free: FloatArray | None = None
    ) -> tuple[FloatArray, int]:
        """Newton's method along free (p, q), halving steps that do not raise the value enough.

        free : default, all that tells: without a prior, the last condition stays where it is,
            since only differences of scores count.

        Returns the parameters and the number of steps. Raises NotConverged.
        """
        total = float(self.outcomes.counts.sum())
        tolerance = max(1e-8 * min(1.0, total), 1e-14 * total)
        here = self._sums(parameters)
        value = here.value - self._penalty(parameters)
        for iteration in range(MAX_STEPS):
            gradient, information = self._assembled(here, parameters)
            step, uphill = self._newton_step(gradient, information, free)
            # A condition that almost never lost has a small gradient long before its score
            # settles. The slope along a Newton step is its square, measured in standard errors.
            slope = float(gradient @ step)
            if uphill < tolerance and slope < 1e-16:
                return parameters, iteration
            # A longer step would leave the region in which the curvature here says anything.
            shorter = min(1.0, LONGEST_STEP / float(np.max(np.abs(step))))
            step, slope = shorter * step, shorter * slope
            rounding = 1e-12 * abs(value)
            for _ in range(MAX_HALVINGS):
                there = self._sums(parameters + step)
                raised = there.value - self._penalty(parameters + step)
                if raised >= value + 1e-4 * slope - rounding:
                    break
                step, slope = step / 2, slope / 2
            parameters, here, value = parameters + step, there, raised
        raise NotConverged(f"scores did not settle in {MAX_STEPS} steps")

    def _newton_step(
        self, gradient: FloatArray, information: FloatArray, free: FloatArray | None
    ) -> tuple[FloatArray, float]:
        """The step (p,), and the steepest slope among the directions that are free."""
        try:
            if free is not None:
                uphill = free.T @ gradient
                step = free @ scipy.linalg.solve(
                    free.T @ information @ free, uphill, assume_a="pos"
                )
            else:
                moving = np.arange(self.p)
                if self.prior_sd is None:
                    moving = np.delete(moving, self.outcomes.n - 1)
                uphill, step = gradient[moving], np.zeros(self.p)
                among = information[np.ix_(moving, moving)]
                step[moving] = scipy.linalg.solve(among, uphill, assume_a="pos")
        except scipy.linalg.LinAlgError as error:
            raise NotConverged(f"the information matrix became singular: {error}") from error
        return step, float(np.max(np.abs(uphill), initial=0.0))

    def covariance(self, parameters: FloatArray) -> FloatArray:
        """(p, p) inverse of the information, scores being measured from their mean."""
        n = self.outcomes.n
        _, information = self.derivatives(parameters)
        # The sum of the scores is fixed by adding what acts on nothing else, then taken off.
        information[:n, :n] += np.trace(information[:n, :n]) / n**2
        covariance = np.linalg.inv(information)
        covariance[:n] -= covariance[:n].mean(axis=0)
        covariance[:, :n] -= covariance[:, :n].mean(axis=1, keepdims=True)
        return np.asarray((covariance + covariance.T) / 2)

    def _sums(self, parameters: FloatArray) -> Sums:
        d = parameters[self.outcomes.i] - parameters[self.outcomes.j]
        if self.at_side is not None:
            d = d + parameters[self.at_side]
        t = 0.0 if self.at_tie is None else float(parameters[self.at_tie])
        return self.model.sums(self.outcomes.counts, d, t)

    def _penalty(self, parameters: FloatArray) -> float:
        if self.prior_sd is None:
            return 0.0
        scores = parameters[: self.outcomes.n] / self.prior_sd
        return float(scores @ scores) / 2

    def _assembled(self, sums: Sums, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivatives by (d, t) as derivatives by the parameters, the prior's added."""
        n, i, j, dd = self.outcomes.n, self.outcomes.i, self.outcomes.j, -sums.dd
        gradient, information = np.zeros(self.p), np.zeros((self.p, self.p))
        gradient[:n] = _spread(i, j, sums.d, n)
        between = np.bincount(i * n + j, weights=dd, minlength=n * n).reshape(n, n)
        between = between + between.T
        information[:n, :n] = np.diag(between.sum(axis=1)) - between
        if self.at_side is not None:
            gradient[self.at_side] = sums.d.sum()
            information[:n, self.at_side] = information[self.at_side, :n] = _spread(i, j, dd, n)
            information[self.at_side, self.at_side] = dd.sum()
        if self.at_tie is not None:
            gradient[self.at_tie] = sums.t.sum()
            by_both = _spread(i, j, -sums.dt, n)
            information[:n, self.at_tie] = information[self.at_tie, :n] = by_both
            information[self.at_tie, self.at_tie] = -sums.tt.sum()
            if self.at_side is not None:
                information[self.at_side, self.at_tie] = -sums.dt.sum()
                information[self.at_tie, self.at_side] = -sums.dt.sum()
        if self.prior_sd is not None:
            precision = self.prior_sd**-2
            gradient[:n] -= precision * parameters[:n]
            information[np.arange(n), np.arange(n)] += precision
        return gradient, information

    def _require_rank(self) -> None:
        free = self.free()
        _, information = self.derivatives(self.start())
        values = np.linalg.eigvalsh(free.T @ information @ free)
        if values[0] <= _SINGULAR * values[-1]:
            raise NotIdentified("a side effect cannot be told apart from the scores")

    def _require_overlap(self) -> None:
        """Raise NotIdentified if parameters can go on for ever in some direction without making
        anything that was observed less likely (A. Albert and J. A. Anderson 1984, "On the
        existence of maximum likelihood estimates in logistic regression models", Biometrika 71,
        1-10), found by linear programming."""
        by_d = np.zeros((len(self.outcomes.i), self.p))
        rows = np.arange(len(by_d))
        by_d[rows, self.outcomes.i] = 1.0
        by_d[rows, self.outcomes.j] = -1.0
        if self.at_side is not None:
            by_d[:, self.at_side] = 1.0
        by_t = np.zeros(self.p)
        if self.at_tie is not None:
            by_t[self.at_tie] = 1.0
        conditions = [
            d * by_d[occurred] + t * by_t
            for occurred, half_spaces in zip(
                self.outcomes.counts > 0, self.model.recession(), strict=True
            )
            for d, t in half_spaces
        ]
        constraints = np.concatenate(conditions)
        # Under a prior only the other parameters can go on for ever.
        bounds = [(-1, 1) if self.prior_sd is None else (0, 0)] * self.outcomes.n
        bounds += [(-1, 1)] * (self.p - self.outcomes.n)
        found = scipy.optimize.linprog(
            -constraints.sum(axis=0),
            A_ub=-constraints,
            b_ub=np.zeros(len(constraints)),
            bounds=bounds,
        )
        if found.fun is None or -found.fun > 1e-7:
            raise NotIdentified(
                f"{self.model.name} has no likeliest parameters here: they could grow without "
                "end, and would fit the answers ever better"
            )


def _spread(i: IntArray, j: IntArray, values: FloatArray, n: int) -> FloatArray:
    """(n,) sums of values, added at i and taken off at j."""
    return np.asarray(np.bincount(i, values, n) - np.bincount(j, values, n))
