"""Whose answers look careless: each flag with its number, its threshold and its source.

A flag is a reason to look, or to compute results without someone beside those with everybody; no
judgment is deleted. Gold questions count for gold_correct and for times, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from evaluation.statistics.by_annotator import (
    for_first,
    share_of,
    sums_of,
    totals_of,
    with_all_labels,
)
from evaluation.statistics.comparisons import BoolArray, Comparisons, FloatArray, IntArray
from evaluation.statistics.leave_one_out import standardised_likelihood
from evaluation.statistics.multiplicity import holm_adjusted
from evaluation.statistics.ratings import question_codes
from evaluation.statistics.repeats import repeat_counts
from evaluation.statistics.triads import circular_triads

FEWEST_ANNOTATORS = 5  # of fewer, quartiles and a typical annotator say little

SOURCES = {
    "gold_correct": (
        "trap questions, as in the crowd tests of JPEG AIC-3; exact binomial test; the threshold "
        "is ours"
    ),
    "side_bias": (
        "exact binomial (sign) test (Dixon and Mood 1946, JASA 41, 557-566), adjusted by Holm "
        "(1979); the threshold is ours"
    ),
    "too_fast": "the thresholds are ours; no standard gives one for comparisons",
    "correlation_with_others": (
        "screening by correlation with the mean of the others, as ITU-T P.913 does for ratings "
        "(below 0.75); the threshold for comparisons is ours, relative to the crowd"
    ),
    "likelihood": (
        "Perez-Ortiz and Mantiuk 2017, A practical guide and software for analysing pairwise "
        "comparison experiments, arXiv:1712.03686; standardised by us"
    ),
    "circular_triads": (
        "Kendall and Babington Smith 1940, On the method of paired comparisons, Biometrika 31, "
        "324-345; the threshold is ours, relative to the crowd"
    ),
    "repeat_agreement": "exact binomial test; the threshold is ours, relative to the crowd",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of screen().

    alpha : error probability of each rule's test. It is per annotator for gold_correct, and by
        Holm's adjustment for all annotators together where one is compared with chance or crowd.
    fewest : answers (triads, repeats) below which only gold questions flag.
    gold_correct : share of right answers that one must be shown to be below.
    side_bias : least |share of left - 1/2| among decided answers.
    fast_ms, fast_of_median : an answer is too fast below the larger of this many milliseconds and
        this share of the crowd's median (the median of the annotators' medians).
    too_fast : share of answers that must be too fast.
    likelihood : interquartile ranges below the lower quartile of all annotators.

    Correlation, circular triads and repeats are flagged when more than half-way from the crowd's
    value to that of random answers (for repeats without ties 1/2; for triads 1/4; for
    correlation 0), and significantly worse than the crowd.
    """

    alpha: float = 0.05
    fewest: int = 10
    gold_correct: float = 0.7
    side_bias: float = 0.15
    fast_ms: float = 500.0
    fast_of_median: float = 0.25
    too_fast: float = 0.5
    likelihood: float = 1.5

    def __post_init__(self) -> None:
        for name in ("alpha", "gold_correct", "too_fast"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number between 0 and 1")
        for name in ("fewest", "side_bias", "fast_ms", "fast_of_median", "likelihood"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a number >= 0")


@dataclass(frozen=True, slots=True)
class Measure:
    """A number and how many answers (triads, pairs of repeats) it rests on.

    value : None where it cannot be had; reason then says why.
    """

    value: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """rule, named as the field of AnnotatorReport that it looks at; its value, over n answers, and
    the threshold that this crossed; why, as a sentence; the source of the rule."""

    rule: str
    value: float
    threshold: float
    n: int
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class AnnotatorReport:
    """What is known of one annotator's care. Weights count as so many answers, unless said.

    n : judgments, gold questions included.
    gold_correct : share of gold questions answered right, in [0, 1].
    side_bias : share of left among decided answers, less 1/2: in [-1/2, 1/2], positive for left.
    too_fast : share of timed answers that were too fast (see Rules), in [0, 1].
    median_response_ms : of timed rows, whatever their weight.
    agreement_with_others : share of decided answers that are the majority's of all others on the
        same question, where others have a majority, in [0, 1].
    correlation_with_others : of the answer (1, 0 for a tie, -1) with the mean answer of all others
        to the same question, in [-1, 1].
    likelihood : how many interquartile ranges the likelihood of the answers, given the scale of
        the others, lies below the lower quartile of all annotators; 0 above it.
    circular_triads : share of circular ones among triads judged in full, in [0, 1]; 1/4 by chance.
    repeat_agreement : share of pairs of repeats answered alike, in [0, 1]; rows, whatever their
        weight.
    """

    annotator: str
    n: int
    gold_correct: Measure
    side_bias: Measure
    too_fast: Measure
    median_response_ms: Measure
    agreement_with_others: Measure
    correlation_with_others: Measure
    likelihood: Measure
    circular_triads: Measure
    repeat_agreement: Measure
    flags: tuple[Flag, ...]


def screen(comparisons: Comparisons, rules: Rules | None = None) -> list[AnnotatorReport]:
    """Report on every annotator, in the order of comparisons.annotators, flagged or not.

    A question is a source image, a stratum and an unordered pair of conditions; strata are never
    mixed, except in counts and in sums over questions. A value that cannot be had (no gold
    questions, times, repeats; nobody else; ties alone) is None with its reason. Rules that compare
    with the crowd need FEWEST_ANNOTATORS with a value. Each rule's formula and source stand at its
    function and in SOURCES.
    """
    rules = rules or Rules()
    c = with_all_labels(comparisons, comparisons.weight > 0)
    ordinary = with_all_labels(c, np.isnan(c.expected))
    columns = {
        "gold_correct": _gold_correct(c, rules),
        "side_bias": _side_bias(ordinary, rules),
        "too_fast": _too_fast(c, rules),
        "median_response_ms": _Column(*_medians(c), "no response times"),
        "agreement_with_others": _agreement(ordinary),
        "correlation_with_others": _correlation(ordinary, rules),
        "likelihood": _likelihood(ordinary, rules),
        "circular_triads": _circular(ordinary, rules),
        "repeat_agreement": _repeats(ordinary, rules),
    }
    judgments = totals_of(c, c.weight)
    return [
        AnnotatorReport(
            annotator,
            int(judgments[i]),
            **{name: column.measure(i) for name, column in columns.items()},
            flags=tuple(
                column.flag(name, i)
                for name, column in columns.items()
                if column.flagged is not None and column.flagged[i]
            ),
        )
        for i, annotator in enumerate(c.annotators)
    ]


def excluded(reports: Sequence[AnnotatorReport], *, fewest_flags: int = 2) -> tuple[str, ...]:
    """The annotators to leave out of results "without the flagged".

    Those who failed gold questions, whose right answers do not depend on anybody's opinion, or who
    have at least fewest_flags flags: one other flag alone may be a sincere and unusual eye.
    """
    return tuple(
        report.annotator
        for report in reports
        if len(report.flags) >= fewest_flags
        or any(flag.rule == "gold_correct" for flag in report.flags)
    )


def without(comparisons: Comparisons, annotators: Sequence[str]) -> Comparisons:
    """The judgments of all other annotators; the table given stays as it is."""
    out = np.isin(np.array(comparisons.annotators, dtype=np.str_), list(annotators))
    return comparisons.where(~out[comparisons.annotator])


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """One number of all k annotators, and whom it flags.

    value : (k,) NaN where it cannot be had, for `reason`.
    threshold : that `flagged` crossed; `why` may name {value}, {n} and {threshold}.
    """

    value: FloatArray
    n: IntArray
    reason: str
    flagged: BoolArray | None = None
    threshold: float = 0.0
    why: str = ""

    def measure(self, i: int) -> Measure:
        if np.isnan(self.value[i]):
            return Measure(None, int(self.n[i]), self.reason)
        return Measure(float(self.value[i]), int(self.n[i]))

    def flag(self, rule: str, i: int) -> Flag:
        value, n = float(self.value[i]), int(self.n[i])
        why = self.why.format(value=value, n=n, threshold=self.threshold)
        return Flag(rule, value, self.threshold, n, why, SOURCES[rule])


def _gold_correct(c: Comparisons, rules: Rules) -> _Column:
    """P(as few right or fewer), if the share of right answers were the threshold, <= alpha."""
    gold = with_all_labels(c, ~np.isnan(c.expected))
    n = totals_of(gold, gold.weight)
    right = totals_of(gold, gold.weight * (gold.outcome == gold.expected))
    p = scipy.special.bdtr(right.astype(np.float64), n, rules.gold_correct)
    return _Column(
        share_of(right, n),
        n,
        "no gold questions",
        (n > 0) & (p <= rules.alpha),
        rules.gold_correct,
        "{value:.0%} of {n} gold questions right: fewer than chance allows one who gets "
        "{threshold:.0%} right",
    )


def _side_bias(c: Comparisons, rules: Rules) -> _Column:
    """Sides are shuffled, so a careful annotator chooses each in half of the decided answers."""
    n = totals_of(c, c.weight * (c.outcome != 0.5))
    left = totals_of(c, c.weight * (c.outcome == 1.0))
    bias = share_of(left, n) - 0.5
    fewer = np.minimum(left, n - left).astype(np.float64)
    p = np.minimum(1.0, 2.0 * scipy.special.bdtr(fewer, n, 0.5))
    large = (n >= rules.fewest) & (np.abs(bias) >= rules.side_bias)
    return _Column(
        bias,
        n,
        "no decided answers",
        large & _significant(p, n >= rules.fewest, rules),
        rules.side_bias,
        "the share of left among {n} decided answers is {value:+.2f} from one half; "
        "{threshold:.2f} either way is allowed",
    )


def _too_fast(c: Comparisons, rules: Rules) -> _Column:
    medians, _ = _medians(c)
    crowd = float(np.median(medians[~np.isnan(medians)])) if not np.isnan(medians).all() else 0.0
    limit = max(rules.fast_ms, rules.fast_of_median * crowd)
    n = totals_of(c, c.weight * ~np.isnan(c.response_ms))
    share = share_of(totals_of(c, c.weight * (c.response_ms < limit)), n)
    return _Column(
        share,
        n,
        "no response times",
        (n >= rules.fewest) & (share >= rules.too_fast),
        rules.too_fast,
        f"{{value:.0%}} of {{n}} answers took less than {limit:.0f} ms; {{threshold:.0%}} is "
        "allowed",
    )


def _agreement(c: Comparisons) -> _Column:
    answer = for_first(c)
    others, _ = _mean_of_others(c)
    used = c.weight * (answer * np.nan_to_num(others) != 0)
    n = totals_of(c, used)
    share = share_of(totals_of(c, used * (answer == np.sign(others))), n)
    return _Column(share, n, "no decided answers where others have a majority")


def _correlation(c: Comparisons, rules: Rules) -> _Column:
    """sum(x y) / sqrt(sum(x^2) sum(y^2)), x the mean answer of the others: Pearson's correlation
    when each question is entered both ways round, so that it does not depend on which condition
    comes first. Fisher's transform, atanh(r), has a variance of about 1 / (n - 2)."""
    answer = for_first(c)
    others, heard = _mean_of_others(c)
    w = c.weight * heard
    x = np.where(heard, others, 0.0)
    n = totals_of(c, w)
    xx, xy, yy = (sums_of(c, w * v) for v in (x * x, x * answer, answer * answer))
    known = (xx > 0) & (yy > 0)
    r = np.full(len(n), np.nan)
    r[known] = np.clip(xy[known] / np.sqrt(xx[known] * yy[known]), -1.0, 1.0)
    tested = known & (n >= max(rules.fewest, 3))
    reason = "no decided answers to questions that others decided"
    if tested.sum() < FEWEST_ANNOTATORS:
        return _Column(r, n, reason)
    crowd = float(np.median(r[tested]))
    z = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)) - np.arctanh(np.clip(crowd, -1, 1 - 1e-9))
    p = scipy.special.ndtr(np.where(tested, z, 0.0) * np.sqrt(np.maximum(n - 2, 1)))
    threshold = crowd / 2
    return _Column(
        r,
        n,
        reason,
        tested & (r < threshold) & _significant(p, tested, rules),
        threshold,
        f"answers correlate {{value:.2f}} with those of the others over {{n}}, where the median "
        f"is {crowd:.2f}; below {{threshold:.2f}} they are nearer to random ones",
    )


def _likelihood(c: Comparisons, rules: Rules) -> _Column:
    """(Q1 - z) / IQR below the lower quartile, quartiles as Matlab's (Hazen's), as pwcmp does.

    pwcmp takes the log-likelihood itself, since there all observers answer the same questions.
    Here it is first standardised (see _standardised_likelihood), so that having answered many or
    hard questions is no reproach.
    """
    z, n = standardised_likelihood(c)
    known = ~np.isnan(z)
    distance = np.full(len(z), np.nan)
    reason = "no decided answers of which the others' scale says anything"
    if known.sum() < FEWEST_ANNOTATORS:
        return _Column(distance, n, f"fewer than {FEWEST_ANNOTATORS} annotators to compare with")
    lower, upper = np.quantile(z[known], [0.25, 0.75], method="hazen")
    if upper == lower:
        return _Column(distance, n, "the middle half of the annotators are all alike")
    distance[known] = np.maximum(0.0, (lower - z[known]) / (upper - lower))
    return _Column(
        distance,
        n,
        reason,
        known & (n >= rules.fewest) & (distance > rules.likelihood),
        rules.likelihood,
        "{n} answers are unlikely given the scale of the others: {value:.1f} interquartile ranges "
        "below the lower quartile; {threshold:.1f} are allowed",
    )


def _circular(c: Comparisons, rules: Rules) -> _Column:
    circular, triads = circular_triads(c)
    share, crowd = share_of(circular, triads), _pooled(circular, triads)
    # Kendall and Babington Smith's variance is the binomial's; away from chance it is somewhat
    # larger, since one slip may close several circles. docs/screening.md tells the false flags.
    p = np.asarray(scipy.special.bdtrc(circular - 1.0, triads, crowd), dtype=np.float64)
    threshold = (crowd + 0.25) / 2
    return _Column(
        share,
        triads,
        "no three conditions were all compared with each other",
        (share > threshold) & _significant(p, _against_crowd(triads, rules), rules),
        threshold,
        f"{{value:.0%}} of {{n}} triads are circular, where the crowd's are {crowd:.0%}; above "
        "{threshold:.0%} they are nearer to the 25% of random answers",
    )


def _repeats(c: Comparisons, rules: Rules) -> _Column:
    """Random answers with the crowd's share t of ties are alike with probability
    t^2 + (1 - t)^2 / 2."""
    pairs, alike = repeat_counts(c)
    share, crowd = share_of(alike, pairs), _pooled(alike, pairs)
    p = np.asarray(scipy.special.bdtr(alike.astype(np.float64), pairs, crowd), dtype=np.float64)
    ties = float(np.mean(c.outcome == 0.5)) if len(c.outcome) else 0.0
    chance = ties**2 + (1 - ties) ** 2 / 2
    threshold = (crowd + chance) / 2
    return _Column(
        share,
        pairs,
        "never asked the same twice",
        (share < threshold) & _significant(p, _against_crowd(pairs, rules), rules),
        threshold,
        f"{{value:.0%}} of {{n}} repeats answered alike, where the crowd's are {crowd:.0%}; below "
        f"{{threshold:.0%}} they are nearer to the {chance:.0%} of random answers",
    )


def _mean_of_others(c: Comparisons) -> tuple[FloatArray, BoolArray]:
    """(m,) the mean answer of all other annotators to each row's question, NaN where there is
    none; and (m,) whether there is one."""
    answer = c.weight * for_first(c)
    question, _ = question_codes(c)
    _, own = np.unique(question * max(c.n_annotators, 1) + c.annotator, return_inverse=True)
    count = np.bincount(question, c.weight)[question] - np.bincount(own, c.weight)[own]
    total = np.bincount(question, answer)[question] - np.bincount(own, answer)[own]
    heard = count > 0
    mean = np.full(len(answer), np.nan)
    mean[heard] = total[heard] / count[heard]
    return mean, heard


def _medians(c: Comparisons) -> tuple[FloatArray, IntArray]:
    """(k,) median response times, NaN where none is known, and how many are."""
    timed = ~np.isnan(c.response_ms)
    annotator, ms = c.annotator[timed], c.response_ms[timed]
    ms = ms[np.lexsort((ms, annotator))]
    n = np.bincount(annotator, minlength=c.n_annotators).astype(np.int64)
    known = n > 0
    start = (np.cumsum(n) - n)[known]
    medians = np.full(len(n), np.nan)
    medians[known] = (ms[start + (n[known] - 1) // 2] + ms[start + n[known] // 2]) / 2
    return medians, n


def _significant(p: FloatArray, tested: BoolArray, rules: Rules) -> BoolArray:
    """(k,) whether p, adjusted by Holm over those tested, is at most alpha."""
    significant = np.zeros(len(p), dtype=np.bool_)
    significant[tested] = holm_adjusted(p[tested]) <= rules.alpha
    return significant


def _against_crowd(n: IntArray, rules: Rules) -> BoolArray:
    """(k,) who has enough answers to be compared with the crowd, if there is one."""
    enough = n >= max(rules.fewest, 1)
    return enough if enough.sum() >= FEWEST_ANNOTATORS else np.zeros_like(enough)


def _pooled(hits: IntArray, n: IntArray) -> float:
    return float(hits.sum() / max(int(n.sum()), 1))
