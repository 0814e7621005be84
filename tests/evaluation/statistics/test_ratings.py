import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import Comparisons
from evaluation.statistics.ratings import matrix_counts, nominal_answers, rating_counts

steady = settings(deadline=None)  # a busy machine is no failure


def rng(seed=7):
    return np.random.default_rng(seed)


@steady
@given(st.integers(1, 300), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_rows_and_matrices_of_any_type_are_counted_alike(raters, units, seed):
    ratings = rng(seed).integers(-1, 3, size=(raters, units))
    rater, unit = np.nonzero(ratings >= 0)
    expected = [[np.sum(column == v) for v in range(3)] for column in ratings.T]
    assert matrix_counts(ratings.astype(np.int8), 3).tolist() == expected
    assert matrix_counts(np.where(ratings < 0, np.nan, ratings), 3).tolist() == expected
    found = rating_counts(rater, unit, ratings[rater, unit], n_values=3)
    assert found.tolist() == expected[: len(found)]


def test_many_raters_of_one_mind_are_all_counted():
    assert matrix_counts(np.ones((1000, 2), np.int8), 2).tolist() == [[0, 1000]] * 2


@pytest.mark.parametrize("far", [1, 10**6])  # numbers without gaps, and with very large ones
def test_a_rater_who_rated_a_unit_twice_is_refused(far):
    with pytest.raises(ValueError, match="gave two values"):
        rating_counts([0, far, far], [0, far, far], [1, 0, 1])
    assert rating_counts([0, far, far], [0, 3, 0], [1, 0, 1]).sum() == 3


def test_no_ratings_are_no_counts():
    assert rating_counts([], [], []).shape == (0, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([0], [0, 1], [0]), "unit: expected 1 rows"),
        (([0], [0], [-1]), "value: expected whole"),
        (([0], [0], [0.5]), "value: expected whole"),
        (([0], [0], [3]), "value: expected numbers below 3"),
    ],
)
def test_what_are_no_ratings_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        rating_counts(*rows, n_values=3)


def test_a_matrix_with_values_out_of_range_is_refused():
    with pytest.raises(ValueError, match="below 2"):
        matrix_counts(np.array([[0, 2]]), 2)
    with pytest.raises(ValueError, match="raters, units"):
        matrix_counts(np.zeros(3), 2)


def test_answers_are_counted_for_a_question_whichever_side_was_left():
    counts, contents = nominal_answers(
        Comparisons.from_rows(
            [
                ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
                ("bob", "kodim01", "0.23", "webp", "jpeg", "left"),
                ("eve", "kodim01", "0.23", "webp", "jpeg", "tie"),
                ("eve", "kodim01", "0.23", "webp", "jpeg", "left"),  # a repeat is no other rater
                ("ann", "kodim02", "0.23", "jpeg", "webp", "right"),
            ]
        )
    )
    assert counts.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert contents.tolist() == ["kodim01", "kodim02"]


def test_no_judgments_are_no_answers():
    counts, contents = nominal_answers(Comparisons.from_rows([]))
    assert (counts.shape, contents.shape) == ((0, 3), (0,))
