"""How many judgments a study needs, found by simulating studies before anyone is asked."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import scipy

from evaluation.statistics.batch import bradley_terry_batch
from evaluation.statistics.clusters import BOTH, Cluster, at_least
from evaluation.statistics.comparisons import BoolArray, Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified, t_quantile
from evaluation.statistics.preference import wilson_interval
from evaluation.statistics.scaling import bradley_terry
from evaluation.statistics.simulated import Design, answer, check_model, design_of, first_asked

SECONDS_PER_JUDGMENT = 56.0
FEWEST_STUDIES = 20  # simulated; with fewer, a Monte-Carlo interval says nothing
_MONTE_CARLO_CONFIDENCE = 0.95
_AT_ONCE = 2_000_000  # judgments simulated at a time: bounds memory to about 150 MB


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What is known of n conditions' scores before the study: they are normal.

    mean : (n,) float64, in log-odds, as Scale.scores.
    covariance : (n, n) float64; all 0 if the scores are known.
    """

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def normal(cls, n: int, sd: float) -> Prior:
        """n conditions of which none is known to be better: scores of standard deviation sd."""
        return cls(np.zeros(n), sd**2 * np.eye(n))

    @classmethod
    def known(cls, scores: Sequence[float] | FloatArray) -> Prior:
        """Scores (n,) taken as true, to ask what a study would show of just these."""
        mean = np.asarray(scores, dtype=np.float64)
        return cls(mean, np.zeros((len(mean), len(mean))))

    @classmethod
    def from_pilot(cls, comparisons: Comparisons, *, prior_sd: float | None = None) -> Prior:
        """The Bradley-Terry scale of a pilot in one stratum, with all its uncertainty.

        prior_sd : of the scores before the pilot; None for maximum likelihood, which raises
            NotIdentified where the pilot determines no scale. See scaling.bradley_terry.

        The covariance takes the pilot's judgments as independent.
        """
        scale = bradley_terry(comparisons.without_gold().win_matrix(), prior_sd=prior_sd)
        return cls(scale.scores, scale.covariance)

    def draw(self, size: int, rng: np.random.Generator) -> FloatArray:
        """(size, n) possible true scores."""
        values, vectors = np.linalg.eigh(self.covariance)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(self.mean + rng.normal(size=(size, len(self.mean))) @ factor.T)


Width = Literal["width", "share_width", "score_width"]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What a study of one size would show, in one stratum.

    judgments_per_pair, n_judgments : of each pair of conditions, and of all of them together.
    annotator_hours : the time that all annotators together need.
    width : median width, in log-odds, of the interval of the difference of two scores.
    share_width : the same interval as the share, in [0, 1], that prefers the higher.
    score_width : median width, in log-odds, of the widest interval of one condition's score, as a
        scale shows them; narrower than that of a difference.
    power : share of studies that find the two different.
    undetermined : share of studies that determine no scale, as where a condition never lost. They
        count as infinitely wide, and as finding nothing.
    reason : why the widths are None: half or more of the studies determine no scale.

    The estimates' low and high are their Monte-Carlo errors, as 95 % intervals; n counts studies.
    """

    judgments_per_pair: int
    n_judgments: int
    annotator_hours: float
    width: Estimate | None
    share_width: Estimate | None
    score_width: Estimate | None
    power: Estimate
    undetermined: float
    reason: str | None = None


def annotator_hours(n_judgments: int) -> float:
    """The time that n judgments take, at SECONDS_PER_JUDGMENT each."""
    return n_judgments * SECONDS_PER_JUDGMENT / 3600


def plan(
    prior: Prior,
    judgments_per_pair: Sequence[int],
    *,
    n_contents: int,
    n_annotators: int,
    annotator_sd: float,
    content_sd: float,
    side_bias: float = 0.0,
    lapse: float = 0.0,
    pair: tuple[int, int] | None = None,
    over: Collection[Cluster] = BOTH,
    holm: bool = False,
    alpha: float = 0.05,
    confidence: float = 0.95,
    n_studies: int = 200,
    rng: np.random.Generator,
) -> list[PlanRow]:
    """Foretell the width of intervals and the power of tests for studies of several sizes.

    prior : of the n conditions' true scores; each simulated study draws its own, so that what is
        not known before the study is not taken as known.
    judgments_per_pair : the sizes, in one stratum.
    n_contents, n_annotators : of the study, at any size; source images take turns.
    annotator_sd, content_sd, side_bias, lapse : how annotators answer, see simulate_study. The
        first two have no default, since the answer hangs on them.
    pair : the conditions i and j whose difference is meant; None for the two whose true scores
        differ most, in each simulated study.
    over : the clusters that intervals and tests allow for, as in clusters.robust; () for Wald's,
        which suffice only if annotator_sd and content_sd are 0.
    holm : whether the test is adjusted over all pairs (Holm 1979, see multiplicity).
    alpha, confidence : of the test and of the interval.

    The test is Wald's, of the difference of the scores that bradley_terry finds; a difference in
    the wrong direction counts, and is rare where power is of use. Over a prior, the power is an
    expected one (A. O'Hagan, J. W. Stevens and M. J. Campbell 2005, "Assurance in clinical trial
    design", Pharmaceutical Statistics 4, 187-201). A larger study continues a smaller one, so
    rows differ by less than their Monte-Carlo errors suggest.

    Returns a row for each size, in ascending order. The interval of a median is that of order
    statistics (H. A. David and H. N. Nagaraja 2003, "Order Statistics", 3rd edition, section 7.1),
    that of a power Wilson's. Raises ValueError if an argument is out of range, or there are too
    few annotators for nobody to judge a task twice, and NotIdentified if there are fewer than two
    conditions, or fewer than two annotators or source images where `over` names them.
    """
    sizes = sorted({int(size) for size in judgments_per_pair})
    n = len(prior.mean)
    check_model(annotator_sd, content_sd, lapse)
    _check_plan(sizes, n, pair, alpha, confidence, n_studies)
    design = design_of(n, sizes[-1], n_contents, n_annotators, rng)
    i, j = np.triu_indices(n, 1)
    found: list[list[FloatArray]] = [[] for _ in sizes]
    at_once = max(1, _AT_ONCE // len(design.a))
    for first in range(0, n_studies, at_once):
        truth = prior.draw(min(at_once, n_studies - first), rng)
        chosen = answer(design, truth.T, annotator_sd, content_sd, side_bias, lapse, rng)
        if pair is None:
            target = np.abs(truth[:, i] - truth[:, j]).argmax(axis=1)
        else:
            target = np.full(len(truth), np.flatnonzero((i == min(pair)) & (j == max(pair)))[0])
        for row, size in enumerate(sizes):
            asked = first_asked(design, size * len(i))
            scores, covariance, df = _scales(asked, chosen[: len(asked.a)], n, over)
            difference = scores[:, i] - scores[:, j]
            variance = covariance[:, i, i] + covariance[:, j, j] - 2 * covariance[:, i, j]
            error = np.sqrt(np.maximum(variance, 0.0))
            t = np.abs(difference) / np.where(error > 0, error, np.nan)
            p: FloatArray = np.asarray(2 * scipy.special.stdtr(df, -t), dtype=np.float64)
            half = t_quantile(confidence, df) * error
            share_width = scipy.special.expit(difference + half) - scipy.special.expit(
                difference - half
            )
            each = np.array([2 * half, share_width, _rejected(p, alpha, holm=holm)])
            of_target = each[:, np.arange(len(truth)), target]
            found[row].append(np.vstack([of_target, _widest(scores, covariance, df, confidence)]))
    return [
        _row(size, size * len(i), *np.concatenate(parts, axis=1))
        for size, parts in zip(sizes, found, strict=True)
    ]


def judgments_for_width(rows: Sequence[PlanRow], width: float, *, of: Width = "width") -> Estimate:
    """The fewest judgments per pair whose interval is at most this wide.

    rows : a plan.
    width : in log-odds; of a share_width, in [0, 1].
    of : which of a row's widths is meant.

    Between the plan's sizes, the width is interpolated as a power of the size, after rows that
    the Monte-Carlo error put out of order were averaged (isotonic regression). Returns a whole
    number of judgments, with the bounds that the rows' Monte-Carlo errors give, both None if one
    is beyond the plan; n counts simulated studies. The plan's smallest size, if that suffices:
    fewer might. Raises NotIdentified if the plan does not reach the width.
    """
    if not width > 0:
        raise ValueError(f"expected a width above 0, found {width}")
    curve = [(row, getattr(row, of)) for row in rows]
    known = [(row, estimate) for row, estimate in curve if estimate is not None]
    return _fewest(
        [row for row, _ in known],
        [_mirrored(estimate) for _, estimate in known],
        -math.log(width),
        f"a width of {width:g}",
    )


def judgments_for_power(rows: Sequence[PlanRow], power: float) -> Estimate:
    """The fewest judgments per pair that find the difference with this probability, in (0, 1).

    As judgments_for_width; between the plan's sizes, power is linear in the logarithm of size.
    """
    if not 0 < power < 1:
        raise ValueError(f"expected a power between 0 and 1, found {power}")
    return _fewest(rows, [row.power for row in rows], power, f"a power of {power:g}")


def _check_plan(
    sizes: Sequence[int],
    n: int,
    pair: tuple[int, int] | None,
    alpha: float,
    confidence: float,
    n_studies: int,
) -> None:
    if not sizes or sizes[0] < 1:
        raise ValueError(f"expected sizes of at least one judgment a pair, found {sizes}")
    if not (0 < alpha < 1 and 0 < confidence < 1):
        raise ValueError(f"expected alpha and confidence in (0, 1), found {alpha}, {confidence}")
    if n_studies < FEWEST_STUDIES:
        raise ValueError(f"expected at least {FEWEST_STUDIES} simulated studies, found {n_studies}")
    if pair is not None and (pair[0] == pair[1] or not all(0 <= c < n for c in pair)):
        raise ValueError(f"expected two of the {n} conditions as pair, found {pair}")


def _scales(
    design: Design, chosen: BoolArray, n: int, over: Collection[Cluster]
) -> tuple[FloatArray, FloatArray, float]:
    """Scores (S, n) of S studies, their covariance (S, n, n), and its degrees of freedom.

    What bradley_terry and clusters.robust find in each. NaN where there is no scale.
    """
    q = len(design.a)
    each = np.arange(q)
    won = np.where(chosen, 1.0, 0.0)
    of_pair = _sums(design.a * n + design.b, each, np.ones(q), n * n)
    left_won, left_lost = of_pair @ won, of_pair @ (1.0 - won)
    wins = left_won.T.reshape(-1, n, n) + left_lost.T.reshape(-1, n, n).swapaxes(1, 2)
    scores, bread = bradley_terry_batch(wins)
    if not over:
        return scores, bread, math.inf
    surprise = won - scipy.special.expit(scores.T[design.a] - scores.T[design.b])
    codes = {"annotator": design.annotator, "content": design.content}
    meat, fewest = np.zeros_like(bread), q
    for kind in over:
        part, n_clusters = _meat(codes[kind], design, surprise, n)
        if n_clusters < 2:
            raise NotIdentified(f"intervals over {kind}s need two of them, and there is one")
        meat, fewest = meat + part, min(fewest, n_clusters)
    robust = bread @ meat @ bread
    if len(over) == 2:
        both = design.annotator * (int(design.content.max()) + 1) + design.content
        independent = bread @ _meat(both, design, surprise, n)[0] @ bread
        determined = ~np.isnan(scores[:, 0])
        robust[determined] = at_least(
            robust[determined] - independent[determined], independent[determined]
        )
    return scores, robust, float(fewest - 1)


def _meat(
    cluster: IntArray, design: Design, surprise: FloatArray, n: int
) -> tuple[FloatArray, int]:
    """(S, n, n) sum over clusters of u u', times G / (G - 1), and the number G of clusters."""
    labels, code = np.unique(cluster, return_inverse=True)
    g, q = len(labels), len(code)
    rows = np.concatenate([code * n + design.a, code * n + design.b])
    sign = np.repeat([1.0, -1.0], q)
    sums = _sums(rows, np.tile(np.arange(q), 2), sign, g * n) @ surprise
    u: FloatArray = sums.reshape(g, n, -1).transpose(2, 0, 1)
    return np.matmul(u.swapaxes(1, 2), u) * (g / max(g - 1, 1)), g


def _sums(
    rows: IntArray, columns: IntArray, values: FloatArray, n_rows: int
) -> scipy.sparse.csr_array:
    """The matrix that adds up judgments, of all simulated studies at once."""
    return scipy.sparse.csr_array((values, (rows, columns)), shape=(n_rows, int(columns.max()) + 1))


def _rejected(p: FloatArray, alpha: float, *, holm: bool) -> BoolArray:
    """(S, m) which of m p values are significant; those of a study without a scale are not."""
    if not holm:
        return p <= alpha  # False for NaN
    order = np.argsort(p, axis=1)
    kept = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1) <= alpha
    rejected = np.empty(p.shape, dtype=np.bool_)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(kept, axis=1), axis=1)
    return rejected


def _widest(scores: FloatArray, covariance: FloatArray, df: float, confidence: float) -> FloatArray:
    """(S,) how wide the widest interval of a score is; NaN where there is no scale."""
    variance = np.diagonal(covariance, axis1=1, axis2=2).max(axis=1)
    width: FloatArray = 2 * t_quantile(confidence, df) * np.sqrt(np.maximum(variance, 0.0))
    return np.where((width > 0) & ~np.isnan(scores[:, 0]), width, np.nan)


def _row(
    per_pair: int,
    n_judgments: int,
    widths: FloatArray,
    shares: FloatArray,
    found: FloatArray,
    score_widths: FloatArray,
) -> PlanRow:
    undetermined = np.isnan(widths)
    power = wilson_interval(float(found.sum()), len(found), _MONTE_CARLO_CONFIDENCE)
    width, share_width = _median(widths), _median(shares)
    return PlanRow(
        judgments_per_pair=per_pair,
        n_judgments=n_judgments,
        annotator_hours=annotator_hours(n_judgments),
        width=width,
        share_width=share_width,
        score_width=_median(score_widths),
        power=replace(power, method="Wilson score over simulated studies"),
        undetermined=float(undetermined.mean()),
        reason=None if width else "half or more of the simulated studies determine no scale",
    )


def _median(values: FloatArray) -> Estimate | None:
    """The median, NaN being infinite, with its interval; None if it is infinite."""
    n = len(values)
    ordered = np.sort(values)  # NaN last
    value = float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    if math.isnan(value):
        return None
    method = "order statistics of simulated studies"
    below = int(scipy.special.bdtrik((1 - _MONTE_CARLO_CONFIDENCE) / 2, n, 0.5))
    low, high = float(ordered[below]), float(ordered[n - 1 - below])
    if math.isnan(high):
        return Estimate(value, None, None, n, method, "too many studies determine no scale")
    return Estimate(value, low, high, n, method)


def _mirrored(width: Estimate) -> Estimate:
    """Widths turned into something that rises, and does so linearly in the logarithm of size."""
    low = None if width.high is None else -math.log(width.high)
    high = None if width.low is None else -math.log(width.low)
    return replace(width, value=-math.log(width.value), low=low, high=high)


def _fewest(
    rows: Sequence[PlanRow], curve: Sequence[Estimate], target: float, what: str
) -> Estimate:
    """Where a curve that rises with the size of a study first reaches the target."""
    sizes = np.array([row.judgments_per_pair for row in rows], dtype=np.float64)
    value = _reached(sizes, [e.value for e in curve], target)
    if value is None:
        within = f" with {int(sizes[-1])} judgments a pair" if len(sizes) else ""
        raise NotIdentified(f"the plan does not reach {what}{within}")
    # The curve's upper bounds reach the target first.
    low = _reached(sizes, [e.value if e.high is None else e.high for e in curve], target)
    high = _reached(sizes, [-math.inf if e.low is None else e.low for e in curve], target)
    method, n = "interpolation between simulated sizes", curve[0].n
    if low is None or high is None:
        reason = f"the Monte-Carlo error of the largest size leaves {what} open"
        return Estimate(value, None, None, n, method, reason)
    return Estimate(value, low, high, n, method)


def _reached(sizes: FloatArray, curve: Sequence[float], target: float) -> float | None:
    known = np.isfinite(curve)
    sizes, values = sizes[known], np.array(curve)[known]
    if not len(values):
        return None
    rising = scipy.optimize.isotonic_regression(values).x
    if rising[0] >= target:
        return float(sizes[0])
    for (size, value), (next_size, next_value) in pairwise(zip(sizes, rising, strict=True)):
        if next_value >= target:
            share = (target - value) / (next_value - value)
            log_size = math.log(size) + share * math.log(next_size / size)
            return float(math.ceil(math.exp(log_size) - 1e-9))
    return None
