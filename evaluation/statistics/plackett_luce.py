"""Scores of conditions from full and partial rankings, with ties: the Plackett-Luce model.

A ranking is a series of choices, of the closest among those that are left. Each choice is a
conditional logit of the sets that could have shared the place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy

from evaluation.statistics.comparisons import BoolArray, FloatArray, IntArray
from evaluation.statistics.connection import require_connection
from evaluation.statistics.estimate import NotConverged, NotIdentified, normal_quantile
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.scaling import Parameter

MAX_STEPS = 200
MAX_HALVINGS = 60
LONGEST_STEP = 4.0  # log-worth
NO_INFORMATION = 1e-10  # share of that in the direction with most
MOST_ALTERNATIVES = 5_000_000  # bounds memory, to about 2 GB, where there are ties


@dataclass(frozen=True, slots=True, eq=False)
class PlackettLuce:
    """Scores of n conditions on one axis. Only differences mean something; the mean is 0.

    scores : (n,) float64, log-worths: of a set without ties, condition i is judged closest with
        probability exp(scores[i]) / sum(exp(scores)) over the set; of two, as in Bradley-Terry.
    covariance : (n, n) float64 of the scores, under the constraint that they sum to 0; so its
        rows sum to 0, and the variance of scores[i] - scores[j] is C[i,i] + C[j,j] - 2 C[i,j].
    log_likelihood : of the rankings, in nats, at these scores (without any prior).
    iterations : Newton steps taken.
    ties : log delta_d of each number d >= 2 of conditions that shared a place, by d; empty
        without ties. Of two conditions of equal worth a share delta_2 / (2 + delta_2) ties.
    prior_sd : standard deviation of the normal prior on each score; None for none.
    """

    scores: FloatArray
    covariance: FloatArray
    log_likelihood: float
    iterations: int
    ties: dict[int, Parameter]
    prior_sd: float | None = None

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wald bounds low (n,) and high (n,) of each score against the mean of all."""
        variance = np.maximum(np.diag(self.covariance), 0.0)
        half = normal_quantile(confidence) * np.sqrt(variance)
        return self.scores - half, self.scores + half


def plackett_luce(rankings: Rankings, *, prior_sd: float | None = None) -> PlackettLuce:
    """Score conditions by maximum likelihood of rankings of one stratum.

    prior_sd : with it, scores are the mode, and the covariance the curvature, under independent
        normal priors of mean 0 and this standard deviation on the scores. Groups never compared
        with each other then have mean 0 each, which says nothing about how they compare.

    The probability of a ranking is the product over its places of f(C) / sum f(S), where C holds
    the place, S runs over the sets that could have (of conditions ranked there or below, of each
    number that occurs), and f(S) = delta_d * geometric mean of the worths in S, of size d, with
    delta_1 = 1 (Turner, van Etten, Firth and Kosmidis 2020, "Modelling rankings in R: the
    PlackettLuce package", Computational Statistics 35, 1027-1057). Without ties this is the
    model of R. L. Plackett (1975), "The analysis of permutations", Applied Statistics 24,
    193-202; for pairs it is Davidson's (1970), "On extending the Bradley-Terry model to
    accommodate ties in paired comparison experiments", JASA 65, 317-328. Conditions that a
    ranking leaves out were not among its choices: a list of the best three of ten says nothing
    about the seven here. Its time grows with the different sets chosen from, and, with ties,
    exponentially in the largest number that shared a place.

    Takes rankings as independent. Raises NotIdentified if there are fewer than two conditions or
    no rankings; without a prior, where no finite scores are likeliest, which without ties is just
    where they fail connection.require_connection (D. R. Hunter 2004, "MM algorithms for
    generalized Bradley-Terry models", Annals of Statistics 32, 384-406, assumption 1); and where
    ties are so frequent that a tie parameter is infinite. Its groups hold indexes of conditions;
    explain(rankings.conditions) names them. Raises NotConverged if Newton's method does not
    settle or ties would need more than MOST_ALTERNATIVES sets, and ValueError if prior_sd is not
    above 0 or there are several strata.

    >>> ranking = ["avif > webp", "avif > webp", "avif > webp", "webp > avif"]
    >>> rankings = Rankings.from_columns(None, None, None, ranking)
    >>> (plackett_luce(rankings).scores * 2).round(4)  # log(3 / 1), half on each side of 0
    array([ 1.0986, -1.0986])
    """
    if prior_sd is not None and not (np.isfinite(prior_sd) and prior_sd > 0):
        raise ValueError(f"prior_sd: expected a finite number > 0, found {prior_sd}")
    rankings.require_one_stratum()
    n = len(rankings.conditions)
    if n < 2:
        raise NotIdentified(f"a scale needs at least two conditions, and there are {n}")
    if not np.any(rankings.weight):
        raise NotIdentified("there are no rankings")
    choices = _Choices.of(rankings)
    if prior_sd is None:
        require_connection(choices.wins)
    likelihood = _Likelihood(choices, prior_sd)
    try:
        parameters, iterations = likelihood.maximise()
    except NotConverged:
        likelihood.require_overlap()
        raise
    if choices.orders and likelihood.is_flat(parameters):
        likelihood.require_overlap()
    covariance = likelihood.covariance(parameters)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return PlackettLuce(
        scores=parameters[:n] - parameters[:n].mean(),
        covariance=covariance[:n, :n],
        log_likelihood=likelihood.log_likelihood(parameters),
        iterations=iterations,
        ties={
            d: Parameter(float(parameters[n + i]), float(errors[n + i]))
            for i, d in enumerate(choices.orders)
        },
        prior_sd=prior_sd,
    )


@dataclass(frozen=True, eq=False)
class _Choices:
    """Rankings taken apart into choices: all that the likelihood needs to know.

    sets : (k, n) bool; the different sets chosen from, of two conditions or more, small first.
    times : (k,) float64; how often each.
    chosen : (n,) float64; how often each condition was chosen, 1 / d of a time where d tied.
    orders, tied : the numbers d >= 2 of conditions that tied, and how often each.
    wins : (n, n) float64; > 0 where i was chosen while j was among the rest, or tied with it.
    """

    sets: BoolArray
    times: FloatArray
    chosen: FloatArray
    orders: list[int]
    tied: FloatArray
    wins: FloatArray

    @classmethod
    def of(cls, rankings: Rankings) -> _Choices:
        counted = rankings.weight > 0
        rank, weight = rankings.rank[counted], rankings.weight[counted].astype(np.float64)
        n = rank.shape[1]
        chosen, sizes, wins = np.zeros(n), np.zeros(n + 1), np.zeros((n, n))
        sets, times = [], []
        for place in range(1, int(rank.max()) + 1):
            left = rank >= place
            undecided = np.count_nonzero(left, axis=1) >= 2
            if not undecided.any():
                break
            rank, weight, left = rank[undecided], weight[undecided], left[undecided]
            here = rank == place
            size = np.count_nonzero(here, axis=1)
            sizes += np.bincount(size, weight, n + 1)
            chosen += (weight / size) @ here
            wins += here.T.astype(np.float64) @ left
            found, count = _different(left, weight)
            sets.append(found)
            times.append(count)
        np.fill_diagonal(wins, 0.0)
        different, count = _different(np.concatenate(sets), np.concatenate(times))
        by_size = np.argsort(np.count_nonzero(different, axis=1), kind="stable")
        orders = (2 + np.flatnonzero(sizes[2:])).tolist()
        return cls(different[by_size], count[by_size], chosen, orders, sizes[orders], wins)

    def alternatives(self) -> tuple[scipy.sparse.csr_array, IntArray]:
        """What could have been chosen: features (e, p), and how many (k,) of them each set has.

        The features of an alternative of d conditions are 1 / d for each of them, and 1 for the
        parameter of ties of d; so features @ parameters is log f.
        """
        n = self.sets.shape[1]
        sizes = np.count_nonzero(self.sets, axis=1)
        per_set = np.sum([_binomial(sizes, d) for d in (1, *self.orders)], axis=0)
        if self.orders and per_set.sum() > MOST_ALTERNATIVES:
            raise NotConverged(
                f"ties of up to {self.orders[-1]} conditions could have been {per_set.sum():,.0f} "
                f"sets in these rankings, more than {MOST_ALTERNATIVES:,}: break the largest ties"
            )
        count = per_set.astype(np.int64)
        first = np.cumsum(count) - count
        rows, columns, values = [], [], []
        for size in np.unique(sizes):
            at = np.flatnonzero(sizes == size)
            members = np.nonzero(self.sets[at])[1].reshape(len(at), size)
            row = first[at]
            for i, d in enumerate(d for d in (1, *self.orders) if d <= size):
                subsets = np.array(list(combinations(range(size), d)))
                each = row[:, None] + np.arange(len(subsets))
                rows.append(np.repeat(each, d))
                columns.append(members[:, subsets].ravel())
                values.append(np.full(each.size * d, 1.0 / d))
                if d > 1:
                    rows.append(each.ravel())
                    columns.append(np.full(each.size, n + i - 1))
                    values.append(np.ones(each.size))
                row = row + len(subsets)
        where = np.concatenate(rows), np.concatenate(columns)
        shape = int(count.sum()), n + len(self.orders)
        return scipy.sparse.csr_array((np.concatenate(values), where), shape=shape), count


class _Likelihood:
    """Log-likelihood, plus log-prior, of the p parameters: n scores, then log delta by order.

    It is concave in all of them together.
    """

    def __init__(self, choices: _Choices, prior_sd: float | None) -> None:
        self.n = len(choices.chosen)
        self.orders = choices.orders
        self.precision = 0.0 if prior_sd is None else prior_sd**-2
        self.times = choices.times
        self.observed = np.concatenate([choices.chosen, choices.tied])
        self.features, self.count = choices.alternatives()
        self.first = np.cumsum(self.count) - self.count
        # Directions that leave the sum of the scores, which nothing determines, as it is.
        self.free = scipy.linalg.block_diag(
            scipy.linalg.helmert(self.n).T, np.eye(len(self.orders))
        )

    def log_likelihood(self, parameters: FloatArray) -> float:
        _, log_sums = self._logarithms(parameters)
        return float(self.observed @ parameters - self.times @ log_sums)

    def value(self, parameters: FloatArray) -> float:
        scores = parameters[: self.n]
        return self.log_likelihood(parameters) - self.precision * float(scores @ scores) / 2

    def derivatives(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The gradient (p,) and the information (p, p), which is minus the second derivative."""
        log_f, log_sums = self._logarithms(parameters)
        p = np.exp(log_f - np.repeat(log_sums, self.count))
        expected = np.repeat(self.times, self.count) * p
        gradient = self.observed - self.features.T @ expected
        # The covariance of the features of what is chosen from a set, summed over sets.
        pointers = np.append(self.first, len(p))
        means = scipy.sparse.csr_array((p, np.arange(len(p)), pointers)) @ self.features
        squares = self.features.T @ scipy.sparse.diags_array(expected) @ self.features
        information = (squares - means.T @ scipy.sparse.diags_array(self.times) @ means).toarray()
        scores = np.arange(self.n)
        gradient[scores] -= self.precision * parameters[scores]
        information[scores, scores] += self.precision
        return gradient, information

    def maximise(self) -> tuple[FloatArray, int]:
        """Newton's method, halving steps that do not raise the value enough.

        Returns the parameters and the number of steps. Raises NotConverged.
        """
        tolerance = max(1e-8 * min(1.0, total := float(self.times.sum())), 1e-14 * total)
        parameters = np.zeros(len(self.observed))
        value = self.value(parameters)
        for iteration in range(MAX_STEPS):
            gradient, information = self.derivatives(parameters)
            uphill = self.free.T @ gradient
            try:
                root = scipy.linalg.cho_factor(self.free.T @ information @ self.free)
            except scipy.linalg.LinAlgError as error:
                raise NotConverged(f"the information matrix became singular: {error}") from error
            step = self.free @ scipy.linalg.cho_solve(root, uphill)
            slope, longest = float(gradient @ step), float(np.max(np.abs(step)))
            # Towards a maximum at infinity gradient and slope vanish too, but steps stay long.
            if np.max(np.abs(uphill)) < tolerance and slope < 1e-16 and longest < 1e-6:
                return parameters, iteration
            # A longer step would leave the region in which the curvature here says anything.
            shorter = min(1.0, LONGEST_STEP / longest)
            step, slope = shorter * step, shorter * slope
            rounding = 1e-12 * abs(value)
            for _ in range(MAX_HALVINGS):
                raised = self.value(parameters + step)
                if raised >= value + 1e-4 * slope - rounding:
                    break
                step, slope = step / 2, slope / 2
            parameters, value = parameters + step, raised
        raise NotConverged(f"scores did not settle in {MAX_STEPS} steps")

    def is_flat(self, parameters: FloatArray) -> bool:
        """Whether some direction has hardly any information, as on the way to infinity, where
        rounding can make an end of it."""
        _, information = self.derivatives(parameters)
        values = np.linalg.eigvalsh(self.free.T @ information @ self.free)
        return bool(values[0] < NO_INFORMATION * values[-1])

    def covariance(self, parameters: FloatArray) -> FloatArray:
        """(p, p) inverse of the information among the directions that are free."""
        _, information = self.derivatives(parameters)
        inverse = scipy.linalg.inv(self.free.T @ information @ self.free)
        return np.asarray(self.free @ ((inverse + inverse.T) / 2) @ self.free.T)

    def require_overlap(self) -> None:
        """Raise NotIdentified if parameters can go on for ever in some direction without making
        anything that was observed less likely (A. Albert and J. A. Anderson 1984, "On the
        existence of maximum likelihood estimates in logistic regression models", Biometrika 71,
        1-10), found by linear programming: then what was chosen from a set always has the largest
        f in that direction, so the sum of f over what was chosen reaches the sum of largest f.
        """
        e, p = self.features.shape
        owner = np.repeat(np.arange(len(self.times)), self.count)
        largest = scipy.sparse.csr_array((np.ones(e), (np.arange(e), owner)))
        below = scipy.sparse.hstack([self.features, -largest])
        reaches = np.concatenate([-self.observed, self.times])
        scores = (-1, 1) if self.precision == 0 else (0, 0)  # a prior keeps them
        bounds = [scores] * self.n + [(-1, 1)] * (p - self.n) + [(None, None)] * len(self.times)
        found = scipy.optimize.linprog(
            below.sum(axis=0),
            A_ub=scipy.sparse.vstack([below, reaches[None] / self.times.sum()], format="csr"),
            b_ub=np.zeros(e + 1),
            bounds=bounds,
        )
        if found.fun is None or found.x is None or found.fun > -1e-3:
            return
        direction = found.x[: self.n]
        if np.ptp(direction) > 1e-6:
            high = direction > (direction.max() + direction.min()) / 2
            raise NotIdentified(
                "with so many ties nothing bounds the distance from {0} to {1}",
                np.flatnonzero(high).tolist(),
                np.flatnonzero(~high).tolist(),
            )
        raise NotIdentified("there are so many ties that their parameter is infinite")

    def _logarithms(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """log f of each alternative (e,), and the logarithm of their sum in each set (k,)."""
        log_f = self.features @ parameters
        largest = np.maximum.reduceat(log_f, self.first)
        sums = np.add.reduceat(np.exp(log_f - np.repeat(largest, self.count)), self.first)
        return log_f, largest + np.log(sums)


def _different(sets: BoolArray, times: FloatArray) -> tuple[BoolArray, FloatArray]:
    """The different rows of sets (m, n), and the sum of the times (m,) of each."""
    packed = np.packbits(sets, axis=1)
    order = np.lexsort(packed.T)
    changes = np.any(packed[order[1:]] != packed[order[:-1]], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], changes]))
    return sets[order[starts]], np.add.reduceat(times[order], starts)


def _binomial(sizes: IntArray, d: int) -> FloatArray:
    """How many sets of d there are in sets of these sizes."""
    table = np.array([float(math.comb(size, d)) for size in range(int(sizes.max()) + 1)])
    return np.asarray(table[sizes])
