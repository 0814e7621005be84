"""How far annotators agree with themselves when asked the same again."""

from __future__ import annotations

import numpy as np

from evaluation.statistics.comparisons import Comparisons, IntArray
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.ratings import question_codes
from evaluation.statistics.resampling import bootstrap_estimate


def repeat_counts(comparisons: Comparisons) -> tuple[IntArray, IntArray]:
    """Pairs of judgments in which each annotator answered the same question twice.

    The same question is one source image, stratum and unordered pair of conditions; which side a
    condition was on does not matter. Answers are alike if both chose one condition or both were
    ties. A question asked r times makes r (r - 1) / 2 pairs. A row is one judgment, whatever its
    weight. Gold questions count as all others: see without_gold().

    Returns pairs (k,) and those answered alike (k,), int64, in the order of
    comparisons.annotators; 0 for who was never asked again.
    """
    c = comparisons
    k = c.n_annotators
    question, _ = question_codes(c)
    chose_first = np.where(c.a < c.b, c.outcome, 1.0 - c.outcome)
    answer = np.rint(2 * chose_first).astype(np.int64)
    asked = question * max(k, 1) + c.annotator

    def pairs_of(keys: IntArray, per_question: int) -> IntArray:
        found, times = np.unique(keys, return_counts=True)
        annotator = found // per_question % max(k, 1)
        pairs = np.bincount(annotator, weights=times * (times - 1) // 2, minlength=k)
        return np.rint(pairs).astype(np.int64)

    return pairs_of(asked, 1), pairs_of(asked * 3 + answer, 3)


def repeat_agreement(
    comparisons: Comparisons,
    *,
    confidence: float = 0.95,
    n_boot: int = 2000,
    rng: np.random.Generator,
) -> Estimate:
    """The share of repeated questions that their annotator answered alike, in [0, 1].

    Pairs of judgments are those of repeat_counts, all annotators' together, so one who was asked
    again more often counts more. One who always guesses, without ties, reaches 1/2.

    The interval is the percentile bootstrap over the annotators with repeats (see resampling.py).
    Returns an Estimate whose n is the number of pairs. Raises NotIdentified if nobody was asked
    the same twice.
    """
    pairs, alike = repeat_counts(comparisons)
    asked_again = pairs > 0
    if not asked_again.any():
        raise NotIdentified("no annotator was asked the same question twice")
    return bootstrap_estimate(
        np.column_stack([alike, pairs])[asked_again].astype(np.float64),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=int(pairs.sum()),
        clusters="annotators",
        confidence=confidence,
        n_boot=n_boot,
        rng=rng,
    )
