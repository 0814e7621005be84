"""Sums over each annotator's judgments, annotators keeping their codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.statistics.comparisons import BoolArray, Comparisons, FloatArray, IntArray


def for_first(c: Comparisons) -> FloatArray:
    """(m,) 1 where the condition that comes first in c.conditions was chosen, -1, or 0: a tie."""
    return np.asarray(np.where(c.a < c.b, 2 * c.outcome - 1, 1 - 2 * c.outcome))


def share_of(hits: IntArray, n: IntArray) -> FloatArray:
    """(k,) hits / n; NaN where n is 0."""
    return np.asarray(np.where(n > 0, hits / np.maximum(n, 1), np.nan))


def sums_of(c: Comparisons, values: FloatArray | IntArray) -> FloatArray:
    """(k,) sums of values (m,) by annotator."""
    return np.bincount(c.annotator, values, c.n_annotators).astype(np.float64)


def totals_of(c: Comparisons, counts: FloatArray | IntArray) -> IntArray:
    return np.rint(sums_of(c, counts)).astype(np.int64)


def with_all_labels(c: Comparisons, rows: BoolArray | IntArray) -> Comparisons:
    """As c.where(rows), but with all labels, so that annotators keep their codes."""
    return replace(
        c,
        annotator=c.annotator[rows],
        content=c.content[rows],
        stratum=c.stratum[rows],
        a=c.a[rows],
        b=c.b[rows],
        outcome=c.outcome[rows],
        weight=c.weight[rows],
        response_ms=c.response_ms[rows],
        expected=c.expected[rows],
    )
