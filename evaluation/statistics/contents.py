"""A scale that knows that codecs do better on some source images than on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from evaluation.statistics.comparisons import Comparisons, FloatArray
from evaluation.statistics.connection import require_connection
from evaluation.statistics.estimate import (
    Estimate,
    NotConverged,
    NotIdentified,
    normal_quantile,
    t_quantile,
)

_STEPS = 100
_NO_FIT = 1e12  # a loss that no fit has, and that searches can reckon with
_PRECISION = 1e-4  # of log sd
_SETTLED = 1e-10  # squared standard errors; fits of one study from elsewhere then agree
_LEAST_SD, _MOST_SD = 1e-2, 8.0  # log-odds; below the least, images are all alike


@dataclass(frozen=True, slots=True, eq=False)
class ContentScale:
    """Scores of n conditions over all source images, and on each of c.

    scores : (n,) float64 in log-odds, mean 0; those of an average source image.
    covariance : (n, n) of scores, source images being a sample; rows sum to 0.
    content_scores : (c, n) of each source image, drawn towards scores the more, the less is known.
    content_errors : (c, n) their standard errors.
    variation : standard deviation between source images of a condition's score, with its interval;
        n counts source images.
    log_likelihood : marginal and restricted, by Laplace's approximation.
    """

    scores: FloatArray
    covariance: FloatArray
    content_scores: FloatArray
    content_errors: FloatArray
    variation: Estimate
    log_likelihood: float

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Bounds low (n,) and high (n,) of scores, by Student's t with c - 1 degrees of freedom."""
        half = t_quantile(confidence, self.variation.n - 1) * np.sqrt(np.diag(self.covariance))
        return self.scores - half, self.scores + half


def content_scale(comparisons: Comparisons, *, confidence: float = 0.95) -> ContentScale:
    """Fit log-odds(i is closer than j on content c) = v[c, i] - v[c, j], v[c] ~ N(scores, sd^2).

    A tie is half a win for each side; sd is one for all conditions. Scores maximise the likelihood
    with v integrated out by Laplace's approximation (N. E. Breslow and D. G. Clayton 1993,
    "Approximate inference in generalized linear mixed models", JASA 88, 9-25, eq. 4), and sd the
    restricted one, with scores integrated out too. The approximation is poor where an image has
    but a handful of judgments. The interval of sd is where the restricted likelihood,
    twice its logarithm, has fallen by the quantile of chi-squared with one degree of freedom; it
    starts at 0 where images may as well be alike.

    Beside the pooled scale: that one answers for the very images that were judged, this one for
    images like them.

    Raises NotIdentified if there are fewer than two source images, or if the wins over all of them
    determine no scale; ValueError if there are several strata.
    """
    comparisons.require_one_stratum()
    n, c = len(comparisons.conditions), len(comparisons.pictures)
    if n < 2:
        raise NotIdentified(f"a scale needs at least two conditions, and there are {n}")
    if c < 2:
        raise NotIdentified(
            "how far source images vary needs two of them, and there "
            f"{'is' if c == 1 else 'are'} {c}"
        )
    require_connection(comparisons.win_matrix())
    model = _Model(_wins_by_content(comparisons))

    @cache  # so that the search sees one value at one place, wherever it comes from
    def loss(log_sd: float) -> float:
        # Where scores of single images run apart without end, the spread is too large to be true.
        try:
            value = -model.fit(float(np.exp(log_sd))).log_likelihood
        except (NotConverged, np.linalg.LinAlgError):
            value = _NO_FIT
        if not value < _NO_FIT:
            model.start_over()
            return _NO_FIT
        return value

    best, low, high = _profile(loss, normal_quantile(confidence) ** 2 / 2)
    fit = model.fit(float(np.exp(best)))
    method, reason = "profile of the restricted likelihood", None
    if high is None:
        low, reason = None, "single images' answers are too few, or too unanimous, to bound it"
    sd = fit.sd if fit.sd > 1.001 * _LEAST_SD else 0.0
    return ContentScale(
        scores=model.basis @ fit.mean,
        covariance=model.basis @ fit.covariance @ model.basis.T,
        content_scores=fit.each @ model.basis.T,
        content_errors=np.sqrt(
            np.maximum(np.sum((model.basis @ fit.each_covariance) * model.basis, axis=2), 0.0)
        ),
        variation=Estimate(sd, low, high, c, method, reason),
        log_likelihood=fit.log_likelihood,
    )


def _profile(
    loss: Callable[[float], float], fall: float
) -> tuple[float, float | None, float | None]:
    """The log sd of least loss, and the bounds of sd within which the loss rises by no more than
    fall: 0 below if it never does, None above.

    Raises NotIdentified if the loss falls as far as it can be computed.
    """
    grid = np.linspace(np.log(_LEAST_SD), np.log(_MOST_SD), 13)
    losses = np.array([loss(float(x)) for x in grid])
    fails = losses >= _NO_FIT
    known = int(np.argmax(fails)) if fails.any() else len(losses)
    at = int(np.argmin(losses[:known])) if known else 0
    if at >= known - 1:
        raise NotIdentified(
            "single images' answers are too few, or too unanimous, to tell how far images differ"
        )
    best = float(grid[0])
    if at > 0:
        bounds = (float(grid[at - 1]), float(grid[at + 1]))
        found = scipy.optimize.minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"xatol": _PRECISION}
        )
        best = float(found.x)
    level = loss(best) + fall

    def crossing(inner: float, outer: float) -> float:
        found = scipy.optimize.brentq(lambda x: loss(x) - level, inner, outer, xtol=_PRECISION)
        return float(np.exp(found))

    low = 0.0 if losses[0] <= level else crossing(float(grid[0]), best)
    above = [k for k in range(at + 1, known) if losses[k] > level]
    return best, low, crossing(best, float(grid[above[0]])) if above else None


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """All in the n - 1 coordinates of vectors that sum to 0."""

    sd: float
    mean: FloatArray
    covariance: FloatArray
    each: FloatArray
    each_covariance: FloatArray
    log_likelihood: float


class _Model:
    def __init__(self, wins: FloatArray) -> None:
        n = wins.shape[1]
        i, j = np.triu_indices(n, 1)
        self.left = wins[:, i, j]
        self.total = self.left + wins[:, j, i]
        self.basis = scipy.linalg.helmert(n).T
        self.design = self.basis[i] - self.basis[j]
        self.start_over()

    def start_over(self) -> None:
        self.mean = np.zeros(self.basis.shape[1])
        self.each = np.zeros((len(self.total), self.basis.shape[1]))

    def fit(self, sd: float) -> _Fit:
        """The scores that maximise the marginal likelihood given sd, from the last ones found."""
        precision = sd**-2
        for _ in range(_STEPS):
            p, inverse = self._find_each(precision)
            drawn = precision * inverse
            schur = precision * (np.eye(len(self.mean)) - drawn).sum(axis=0)
            # The joint likelihood's derivative by scores, and that of Laplace's determinant,
            # log|A| with A = X'WX + precision, through v: its derivative by v is sum h w' x,
            # where h = x' inverse(A) x, and v moves by `drawn` with scores.
            uphill = precision * (self.each - self.mean).sum(axis=0)
            leverage = np.sum((self.design @ inverse) * self.design, axis=2)
            slope = self.total * p * (1 - p) * (1 - 2 * p) * leverage
            uphill = uphill - np.einsum("ckl,cl->k", drawn, slope @ self.design) / 2
            step = np.linalg.solve(schur, uphill)
            self.mean = self.mean + step
            if float(step @ schur @ step) < _SETTLED:
                break
        else:
            raise NotConverged(f"scores did not settle in {_STEPS} steps")
        covariance = np.asarray(np.linalg.inv(schur), np.float64)
        _, shrinkage = np.linalg.slogdet(drawn)
        _, information = np.linalg.slogdet(schur)
        value = self._value(self.each, precision)
        return _Fit(
            sd=sd,
            mean=self.mean,
            covariance=covariance,
            each=self.each,
            each_covariance=inverse + drawn @ covariance @ drawn.transpose(0, 2, 1),
            log_likelihood=value + float(shrinkage.sum()) / 2 - float(information) / 2,
        )

    def _find_each(self, precision: float) -> tuple[FloatArray, FloatArray]:
        """Put `each` to the mode of v given the scores, by Newton's method on all source images
        together; returns P(left) (c, m) and the inverse of minus the second derivative there."""
        value = self._value(self.each, precision)
        for _ in range(_STEPS):
            p = scipy.special.expit(self.each @ self.design.T)
            weight = self.total * p * (1 - p)
            information = (self.design.T * weight[:, None, :]) @ self.design
            inverse = np.linalg.inv(information + precision * np.eye(len(self.mean)))
            uphill = (self.left - self.total * p) @ self.design
            uphill = uphill - precision * (self.each - self.mean)
            step = np.einsum("ckl,cl->ck", inverse, uphill)
            if float(np.sum(step * uphill)) < 1e-12:
                return p, np.asarray(inverse, np.float64)
            size = 1.0
            while (raised := self._value(self.each + size * step, precision)) < value - 1e-12 * abs(
                value
            ):
                size /= 2
            self.each, value = self.each + size * step, raised
        raise NotConverged(f"scores of source images did not settle in {_STEPS} steps")

    def _value(self, each: FloatArray, precision: float) -> float:
        d = each @ self.design.T
        likelihood = self.left * scipy.special.log_expit(d)
        likelihood += (self.total - self.left) * scipy.special.log_expit(-d)
        return float(likelihood.sum() - precision * np.sum((each - self.mean) ** 2) / 2)


def _wins_by_content(comparisons: Comparisons) -> FloatArray:
    """(c, n, n) wins on each source image, as Comparisons.win_matrix."""
    k, n, c = comparisons, len(comparisons.conditions), len(comparisons.pictures)
    picture = k.picture
    cells = np.concatenate([(picture * n + k.a) * n + k.b, (picture * n + k.b) * n + k.a])
    values = np.concatenate([k.outcome * k.weight, (1 - k.outcome) * k.weight])
    return np.asarray(np.bincount(cells, values, c * n * n).reshape(c, n, n))
