"""The human ceiling: the 2AFC score that a human reaches against other humans, in two forms.

Against a random other annotator it does not depend on how many judged a task. Against the
majority of the others it grows with their number, and is what one metric scored on majority
votes has to be held against.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.ratings import FIRST, SECOND, nominal_answers
from evaluation.statistics.resampling import bootstrap_estimate, sums_by_cluster


def task_votes(comparisons: Comparisons) -> tuple[IntArray, NDArray[np.str_]]:
    """Count the votes of each task, for human_ceiling and leave_one_out_score.

    A task is a source image, a stratum and an unordered pair of conditions; tasks of several
    strata stay apart. An annotator who judged a task more than once counts with the first
    judgment (of the least row), since repeats are not another rater. Ties are left out: they
    choose no side.

    Returns votes (m, 2), for the condition that comes first in comparisons.conditions and for the
    other, and contents (m,), the source image of each task. No rows give m = 0.
    """
    counts, contents = nominal_answers(comparisons)
    votes = counts[:, [FIRST, SECOND]]
    decided = votes.any(axis=1)
    return votes[decided], contents[decided]


def human_ceiling(
    votes: ArrayLike,
    contents: ArrayLike,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """The 2AFC score of a human against a random other annotator, in [0, 1].

    votes : (m, 2) whole numbers; how many different annotators chose each side of each task. Ties
        are not votes and must have been left out: the ceiling is then the agreement of two
        raters who both choose a side.
    contents : (m,) labels; the source image of each task.
    n_boot : number of bootstrap samples.

    Where a fraction p prefers one side, a rater agrees with another with probability
    p^2 + (1-p)^2. Putting in the observed share p = k/n is biased upwards (one vote would give
    100 %), so each task gives the share of agreeing pairs among its pairs of raters,

        [k (k - 1) + (n - k) (n - k - 1)] / [n (n - 1)],

    the U-statistic of "two raters agree" (Hoeffding 1948, "A class of statistics with
    asymptotically normal distribution", Annals of Mathematical Statistics 19, 293-325), which is
    unbiased for any n >= 2 and is the observed agreement per item of Fleiss' kappa (Fleiss 1971,
    "Measuring nominal scale agreement among many raters", Psychological Bulletin 76, 378-382,
    eq. 2). Tasks with fewer than two votes say nothing and are left out; the others count once
    each, however many votes they have.

    The interval is the percentile bootstrap over source images (see resampling.py), since tasks
    on one image are not independent. It does not cover the choice of annotators.

    Returns an Estimate whose n is the number of tasks used; with fewer than eight source images,
    or where all agree alike (unanimous votes), it has no interval, and the reason says so. Raises
    NotIdentified if no task has two votes, and ValueError if the arrays do not fit.
    """
    counts, labels = _of_two_or_more(votes, contents)
    n = counts.sum(axis=1)
    agreement = (counts * (counts - 1)).sum(axis=1) / (n * (n - 1))
    return _mean_over_tasks(agreement, labels, confidence, n_boot, rng)


def leave_one_out_score(
    votes: ArrayLike,
    contents: ArrayLike,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """The 2AFC score of a human against the majority of the other annotators, in [0, 1].

    Arguments, the tasks used, their equal weight, the interval and what is raised are those of
    human_ceiling.

    Each vote of a task is held against the others of that task: it scores 1 if most others chose
    the same side, 0 if most chose the other, and 1/2 where they are split evenly. A task gives the
    mean over its votes; a vote for a side with k of n votes thus scores 1 if k - 1 > n - k. With
    two votes a task this is human_ceiling; with more it grows towards max(p, 1 - p), the score of
    one who always takes the side that most people prefer, so compare it only between tasks of
    equally many votes.
    """
    counts, labels = _of_two_or_more(votes, contents)
    ahead = counts - 1 - counts[:, ::-1]
    score = (counts * (1 + np.sign(ahead)) / 2).sum(axis=1) / counts.sum(axis=1)
    return _mean_over_tasks(score, labels, confidence, n_boot, rng)


def _of_two_or_more(votes: ArrayLike, contents: ArrayLike) -> tuple[IntArray, NDArray[np.str_]]:
    """The tasks with at least two votes: counts (m, 2) and labels (m,)."""
    counts, labels = np.asarray(votes), np.asarray(contents)
    if counts.ndim != 2 or counts.shape[1] != 2:
        raise ValueError(f"votes: expected shape (m, 2), found {counts.shape}")
    if labels.shape != (len(counts),):
        raise ValueError(f"contents: expected shape ({len(counts)},), found {labels.shape}")
    if counts.dtype.kind not in "iu" or np.any(counts < 0):
        raise ValueError("votes: expected whole numbers >= 0")
    used = counts.sum(axis=1) >= 2
    if not used.any():
        raise NotIdentified("no task has votes of two annotators")
    return counts[used].astype(np.int64), labels[used]


def _mean_over_tasks(
    score: FloatArray,
    contents: NDArray[np.str_],
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Estimate:
    parts = np.stack([score, np.ones_like(score)], axis=1)
    return bootstrap_estimate(
        sums_by_cluster(parts, contents),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=len(score),
        clusters="source images",
        confidence=confidence,
        n_boot=n_boot,
        rng=rng,
    )
