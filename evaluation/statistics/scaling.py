"""The perceived quality of conditions on one axis, from how often each was judged closer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from evaluation.statistics.choice_models import BRADLEY_TERRY, ChoiceModel
from evaluation.statistics.comparisons import Comparisons, FloatArray
from evaluation.statistics.estimate import normal_quantile, t_quantile
from evaluation.statistics.likelihood import Likelihood, Outcomes


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter beside the scores. standard_error is that of maximum likelihood."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Scores of n conditions on one axis. Only differences mean something; the mean is 0.

    scores : (n,) float64, in model.unit.
    covariance : (n, n) float64 of the scores, under the constraint that they sum to 0; so its
        rows sum to 0, and the variance of scores[i] - scores[j] is C[i,i] + C[j,j] - 2 C[i,j].
    log_likelihood : of the judgments, in nats, at these scores (without any prior).
    iterations : Newton steps taken.
    model : what turns differences of scores into choices.
    side : what being on the left adds to a difference, in model.unit; None if taken to be 0.
    tie : the model's parameter of ties; None if it has none.
    prior_sd : standard deviation of the normal prior on each score; None for none.
    degrees_of_freedom : of Student's t that intervals take; infinite for the normal distribution.
    """

    scores: FloatArray
    covariance: FloatArray
    log_likelihood: float
    iterations: int
    model: ChoiceModel = BRADLEY_TERRY
    side: Parameter | None = None
    tie: Parameter | None = None
    prior_sd: float | None = None
    degrees_of_freedom: float = math.inf

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wald bounds low (n,) and high (n,) of each score against the mean of all.

        Two scores may differ clearly though their intervals overlap: their difference has the
        variance given above.
        """
        half = t_quantile(confidence, self.degrees_of_freedom) * np.sqrt(
            np.maximum(np.diag(self.covariance), 0.0)
        )
        return self.scores - half, self.scores + half

    @property
    def parameters(self) -> FloatArray:
        """(p,) the scores, then the side effect and the tie parameter where there are any."""
        more = [each.value for each in (self.side, self.tie) if each is not None]
        return np.concatenate([self.scores, more])


def fit_scale(
    judgments: Comparisons | Outcomes,
    *,
    model: ChoiceModel = BRADLEY_TERRY,
    side_effect: bool = False,
    prior_sd: float | None = None,
) -> Scale:
    """Score conditions by maximum likelihood under a model of choice.

    side_effect : whether to estimate what being on the left adds to the difference; then Outcomes
        must be sided (Davidson and Beaver 1977, "On extending the Bradley-Terry model to
        incorporate within-pair order effects", Biometrics 33, 693-702).
    prior_sd : with it, scores are the mode, and the covariance the curvature, under independent
        normal priors of mean 0 and this standard deviation on the scores. Groups never compared
        with each other then have mean 0 each, which says nothing about how they compare.

    Takes judgments as independent: for annotators and source images that give many each, see
    clusters.robust_covariance. Returns a Scale whose scores have mean 0.

    Raises NotIdentified if there are fewer than two conditions or no judgments; without a prior,
    where no finite scores are likeliest (connection.require_connection); if there are no ties for
    a tie parameter, or the side effect or tie parameter cannot be told. Its groups hold indexes
    of conditions; explain(labels) names them. Raises NotConverged if Newton's method does not
    settle, and ValueError if prior_sd is not above 0 or there are several strata.
    """
    if isinstance(judgments, Comparisons):
        judgments = Outcomes.of(judgments, sided=side_effect)
    likelihood = Likelihood(judgments, model, side_effect=side_effect, prior_sd=prior_sd)
    likelihood.require_maximum()
    parameters, iterations = likelihood.maximise(likelihood.start())
    covariance = likelihood.covariance(parameters)
    n = judgments.n
    return Scale(
        scores=parameters[:n] - parameters[:n].mean(),
        covariance=covariance[:n, :n],
        log_likelihood=likelihood.log_likelihood(parameters),
        iterations=iterations,
        model=model,
        side=_parameter(likelihood.at_side, parameters, covariance),
        tie=_parameter(likelihood.at_tie, parameters, covariance),
        prior_sd=prior_sd,
    )


def bradley_terry(wins: FloatArray, *, prior_sd: float | None = None) -> Scale:
    """Score conditions so that P(i is closer than j) = 1 / (1 + exp(s[j] - s[i])).

    wins : (n, n) array; wins[i, j] = times i was judged closer than j; a tie adds 1/2 to each
        side; the diagonal is 0. Counts need not be whole.
    prior_sd, results and errors as in fit_scale. Raises ValueError for anything but such wins.

    The covariance takes ties, counted as half wins, as if decided, so it is rather large.

    >>> scale = bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]))
    >>> (scale.scores * 2).round(4)  # log(3 / 1), half on each side of 0
    array([ 1.0986, -1.0986])
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1]:
        raise ValueError(f"wins: expected a square array, found shape {wins.shape}")
    if not (np.all(np.isfinite(wins)) and np.all(wins >= 0) and not np.any(np.diag(wins))):
        raise ValueError("wins: expected finite numbers >= 0, and 0 on the diagonal")
    return fit_scale(Outcomes.of_wins(wins), prior_sd=prior_sd)


def profile_interval(
    judgments: Comparisons | Outcomes, scale: Scale, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Profile-likelihood bounds low (n,) and high (n,) of each score against the mean of all.

    judgments : those that the scale was fitted to.

    The bounds are where twice the log-likelihood, maximised over all other parameters, has fallen
    by the quantile of chi-squared with one degree of freedom (S. S. Wilks 1938, "The large-sample
    distribution of the likelihood ratio for testing composite hypotheses", Annals of Mathematical
    Statistics 9, 60-62). Unlike Wald's they need not lie evenly about the score.
    """
    if isinstance(judgments, Comparisons):
        judgments = Outcomes.of(judgments, sided=scale.side is not None)
    likelihood = Likelihood(
        judgments, scale.model, side_effect=scale.side is not None, prior_sd=scale.prior_sd
    )
    bounds = [
        [_profile_bound(likelihood, scale, i, sign, confidence) for i in range(judgments.n)]
        for sign in (-1.0, 1.0)
    ]
    return np.array(bounds[0]), np.array(bounds[1])


def _parameter(at: int | None, parameters: FloatArray, covariance: FloatArray) -> Parameter | None:
    if at is None:
        return None
    return Parameter(float(parameters[at]), float(np.sqrt(covariance[at, at])))


def _profile_bound(
    likelihood: Likelihood, scale: Scale, i: int, sign: float, confidence: float
) -> float:
    """Where, below (sign -1) or above (1) the score of condition i, the likelihood has fallen."""
    z = normal_quantile(confidence)
    best, n = likelihood.value(scale.parameters), len(scale.scores)
    free = likelihood.free(fixed=i)
    # Along this direction score i moves by 1 and the mean of all stays.
    along = np.concatenate([np.full(n, -1.0 / (n - 1)), np.zeros(likelihood.p - n)])
    along[i] = 1.0
    parameters = scale.parameters

    def beyond(distance: float) -> float:
        nonlocal parameters
        parameters = parameters + (scale.scores[i] + sign * distance - parameters[i]) * along
        parameters, _ = likelihood.maximise(parameters, free)
        return best - likelihood.value(parameters) - z**2 / 2

    near, far = 0.0, z * float(np.sqrt(scale.covariance[i, i]))
    while beyond(far) < 0:
        near, far = far, 2 * far
    found = scipy.optimize.brentq(beyond, near, far, xtol=1e-8 * far, rtol=1e-8)
    return float(scale.scores[i] + sign * found)
