"""How far annotators answer alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.comparisons import Comparisons, FloatArray, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified

FEWEST_CONTENTS = 5  # of five there are 126 different samples
DRAWS_AT_ONCE = 4_000_000  # bounds the memory of a bootstrap, to about 100 MB


def task_votes(comparisons: Comparisons) -> tuple[IntArray, NDArray[np.str_]]:
    """Count the votes of each task, for human_ceiling.

    A task is a source image, a stratum and an unordered pair of conditions; tasks of several
    strata stay apart. An annotator who judged a task more than once counts with the first
    judgment (of the least row), since repeats are not another rater. Ties are left out: they
    choose no side.

    Returns votes (m, 2), for the condition that comes first in comparisons.conditions and for the
    other, and contents (m,), the source image of each task. No rows give m = 0.
    """
    c = comparisons
    first, second = np.minimum(c.a, c.b), np.maximum(c.a, c.b)
    keys = np.stack([c.content, c.stratum, first, second, c.annotator], axis=1)
    _, rows = np.unique(keys, axis=0, return_index=True)
    rows = rows[c.outcome[rows] != 0.5]
    tasks, task = np.unique(keys[rows, :4], axis=0, return_inverse=True)
    for_first = np.where(c.a[rows] == first[rows], c.outcome[rows], 1.0 - c.outcome[rows])
    votes = np.zeros((len(tasks), 2), dtype=np.int64)
    np.add.at(votes, (task, np.where(for_first == 1.0, 0, 1)), c.weight[rows])
    return votes, np.array(c.contents, dtype=np.str_)[tasks[:, 0]]


def human_ceiling(
    votes: ArrayLike,
    contents: ArrayLike,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """The 2AFC score that a human reaches against other humans, in [0, 1].

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

    The interval is the percentile bootstrap over source images (Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap", ch. 13), since tasks on one image are not independent; with
    few images it is too narrow. It does not cover the choice of annotators.

    Returns an Estimate whose n is the number of tasks used; if these show fewer than
    FEWEST_CONTENTS source images, it has no interval, and the reason says so: of two images a
    bootstrap has three different samples, and its interval may have no width at all. Nor has it
    one where all images agree alike (unanimous votes). Raises NotIdentified if no task has two
    votes, and ValueError if the arrays do not fit.
    """
    counts, labels = _check(np.asarray(votes), np.asarray(contents))
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    if n_boot < 1:
        raise ValueError(f"expected at least one bootstrap sample, found {n_boot}")
    used = counts.sum(axis=1) >= 2
    if not used.any():
        raise NotIdentified("no task has votes of two annotators")
    agreement = _agreement_of_pairs(counts[used])
    _, content = np.unique(labels[used], return_inverse=True)
    value, n, method = float(agreement.mean()), int(used.sum()), "percentile bootstrap over images"
    if (n_contents := int(content.max()) + 1) < FEWEST_CONTENTS:
        reason = (
            f"an interval over source images needs {FEWEST_CONTENTS} of them, and there "
            f"{'is' if n_contents == 1 else 'are'} {n_contents}"
        )
        return Estimate(value, None, None, n, method, reason=reason)
    sums = np.bincount(content, weights=agreement).astype(np.float64)
    sizes = np.bincount(content).astype(np.int64)
    if np.ptp(sums / sizes) == 0:
        reason = "all source images agree alike, so a bootstrap over them has nothing to vary"
        return Estimate(value, None, None, n, method, reason=reason)
    means = _resampled_means(sums, sizes, n_boot, rng)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high), n, method)


def _check(votes: NDArray[Any], contents: NDArray[Any]) -> tuple[IntArray, NDArray[Any]]:
    if votes.ndim != 2 or votes.shape[1] != 2:
        raise ValueError(f"votes: expected shape (m, 2), found {votes.shape}")
    if contents.shape != (len(votes),):
        raise ValueError(f"contents: expected shape ({len(votes)},), found {contents.shape}")
    if votes.dtype.kind not in "iu" or np.any(votes < 0):
        raise ValueError("votes: expected whole numbers >= 0")
    return votes.astype(np.int64), contents


def _agreement_of_pairs(votes: IntArray) -> FloatArray:
    """(m,) share of agreeing pairs of raters in each task (m, 2) of at least two votes."""
    n = votes.sum(axis=1)
    return np.asarray((votes * (votes - 1)).sum(axis=1) / (n * (n - 1)))


def _resampled_means(
    sums: FloatArray, sizes: IntArray, n_boot: int, rng: np.random.Generator
) -> FloatArray:
    """(n_boot,) means over tasks when clusters, of these sums and sizes, are drawn with return."""
    n_clusters = len(sums)
    at_once = max(1, DRAWS_AT_ONCE // n_clusters)
    means = []
    for start in range(0, n_boot, at_once):
        shape = (min(at_once, n_boot - start), n_clusters)
        drawn = rng.integers(n_clusters, size=shape)
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)
