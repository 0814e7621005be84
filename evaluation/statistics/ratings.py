"""Answers in categories, counted by unit: what the coefficients of agreement start from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.comparisons import Comparisons, IntArray, picture_of

FIRST, TIE, SECOND = 0, 1, 2  # a tie lies between, so that answers are ordered too
ROWS_AT_ONCE = 100  # a block of a dense matrix that stays in the cache; at most 255, for uint8


def rating_counts(
    rater: ArrayLike, unit: ArrayLike, value: ArrayLike, *, n_values: int | None = None
) -> IntArray:
    """(u, v) int64; how many raters gave each unit each value, from m ratings, one a row.

    rater, unit, value : (m,) whole numbers >= 0. Missing ratings are rows that are not there.
    n_values : v; default one more than the largest value.

    Raises ValueError if the arrays do not fit, and if a rater rated a unit twice, which would
    count as two raters: keep one of the two.
    """
    columns = [np.asarray(column) for column in (rater, unit, value)]
    for name, column in zip(("rater", "unit", "value"), columns, strict=True):
        if column.shape != (len(columns[0]),):
            raise ValueError(f"{name}: expected {len(columns[0])} rows, found {column.shape}")
        if column.size and (column.dtype.kind not in "iu" or column.min() < 0):
            raise ValueError(f"{name}: expected whole numbers >= 0")
    raters, units, values = (column.astype(np.int64, copy=False) for column in columns)
    u = int(units.max(initial=-1)) + 1
    found = int(values.max(initial=-1)) + 1
    v = found if n_values is None else n_values
    if found > v:
        raise ValueError(f"value: expected numbers below {v}, found {found - 1}")
    if _repeats(raters * u + units, (int(raters.max(initial=-1)) + 1) * u):
        raise ValueError("unit: expected each once from a rater, found a rater who gave two values")
    return np.bincount(units * v + values, minlength=u * v).reshape(u, v)


def matrix_counts(ratings: ArrayLike, n_values: int) -> IntArray:
    """(u, n_values) int64; the same from a dense matrix of ratings.

    ratings : (raters, units) numbers; 0 to n_values - 1; missing ratings are NaN or negative.
        One byte each (int8) is counted fastest.

    Raises ValueError for any other number.
    """
    matrix = np.asarray(ratings)
    if matrix.ndim != 2:
        raise ValueError(f"ratings: expected shape (raters, units), found {matrix.shape}")
    counts = np.zeros((n_values, matrix.shape[1]), dtype=np.int64)
    known = 0
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        block = matrix[start : start + ROWS_AT_ONCE]
        for v in range(n_values):
            equal = (block == v).view(np.uint8)
            counts[v] += np.add.reduce(equal, axis=0, dtype=np.uint8)
        known += int(np.count_nonzero(block >= 0))
    if known != counts.sum():
        raise ValueError(f"ratings: expected whole numbers below {n_values}, NaN or negative ones")
    return np.ascontiguousarray(counts.T)


def nominal_answers(comparisons: Comparisons) -> tuple[IntArray, NDArray[np.str_]]:
    """Count the answers to each question: how many chose the one side, a tie, and the other.

    A unit is a content, a stratum and an unordered pair of conditions. An annotator who
    judged one more than once counts with the first judgment (of the least row), since repeats
    are not another rater, and neither are the judgments of a row of weight above 1. Gold questions
    count as all others: see without_gold().

    Returns counts (u, 3) int64, for the condition that comes first in comparisons.conditions
    (FIRST), TIE, and the other condition (SECOND); and contents (u,), the source image of each
    unit. No rows give u = 0.
    """
    c = comparisons
    unit, content = question_codes(c)
    raters = max(c.n_annotators, 1)
    _, rows = np.unique(unit * raters + c.annotator, return_index=True)
    chose_first = np.where(c.a < c.b, c.outcome, 1.0 - c.outcome)[rows]
    value = np.rint(SECOND * (1.0 - chose_first)).astype(np.int64)
    u = len(content)
    counts = np.bincount(unit[rows] * 3 + value, minlength=u * 3)
    contents = np.array([picture_of(each) for each in c.contents], dtype=np.str_)[content]
    return counts.astype(np.int64).reshape(u, 3), contents


def question_codes(comparisons: Comparisons) -> tuple[IntArray, IntArray]:
    """The question (m,) that each row asks: source image, stratum, unordered pair; sides apart.

    Returns codes (m,) from 0 to u - 1, and the code of each question's source image (u,).
    """
    c = comparisons
    n = max(len(c.conditions), 1)
    strata = max(len(c.strata), 1)
    first, second = np.minimum(c.a, c.b), np.maximum(c.a, c.b)
    key = ((c.content * strata + c.stratum) * n + first) * n + second
    found, code = np.unique(key, return_inverse=True)
    return code.astype(np.int64, copy=False), found // (strata * n * n)


def question_conditions(comparisons: Comparisons) -> IntArray:
    """(2, u) the conditions of each question (see question_codes), the one that comes first in
    comparisons.conditions first."""
    c = comparisons
    code, content = question_codes(c)
    ends = np.zeros((2, len(content)), dtype=np.int64)
    ends[0, code], ends[1, code] = np.minimum(c.a, c.b), np.maximum(c.a, c.b)
    return ends


def _repeats(keys: IntArray, size: int) -> bool:
    """Whether a number below size occurs twice in keys."""
    if size > 100 * len(keys) + 1_000_000:  # a table of all would be much larger than the keys
        return len(np.unique(keys)) < len(keys)
    seen = np.zeros(size, dtype=np.bool_)
    seen[keys] = True
    return int(np.count_nonzero(seen)) < len(keys)
