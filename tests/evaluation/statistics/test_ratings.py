from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import Comparisons, InvalidComparisons
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


def test_a_row_is_one_rater_whatever_its_weight():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("bob", "kodim01", "0.23", "jpeg", "webp", "right"),
        ("eve", "kodim01", "0.23", "jpeg", "webp", "tie"),
    ]
    once = nominal_answers(Comparisons.from_rows(rows))
    weighted = nominal_answers(Comparisons.from_rows(rows, weight=[5, 1, 3]))
    assert weighted[0].tolist() == once[0].tolist() == [[1, 1, 1]]
    assert weighted[1].tolist() == once[1].tolist()


def test_a_row_of_weight_zero_is_no_answer_and_the_next_of_its_annotator_counts():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("ann", "kodim01", "0.23", "jpeg", "webp", "right"),
        ("bob", "kodim02", "0.23", "jpeg", "webp", "left"),
    ]
    comparisons = Comparisons.from_rows(rows, weight=[0, 1, 0])
    assert (comparisons.annotators, comparisons.contents) == (("ann",), ("kodim01",))
    counts, contents = nominal_answers(comparisons)
    assert (counts.tolist(), contents.tolist()) == ([[0, 0, 1]], ["kodim01"])


@pytest.mark.parametrize("weight", [0, -1])
def test_a_table_with_a_row_that_is_no_judgment_is_refused(weight):
    table = Comparisons.from_rows([("ann", "kodim01", "0.23", "jpeg", "webp", "left")])
    with pytest.raises(InvalidComparisons, match="weight: expected whole numbers from 1 on"):
        replace(table, weight=np.array([weight]))


def test_no_judgments_are_no_answers():
    counts, contents = nominal_answers(Comparisons.from_rows([]))
    assert (counts.shape, contents.shape) == ((0, 3), (0,))


def test_parts_of_a_picture_are_questions_of_their_own_and_one_source_image():
    c = Comparisons.from_rows(
        [
            ("ann", "pond@0,0", "1", "avif", "jpeg", "left"),
            ("ann", "pond@8,16", "1", "jpeg", "avif", "left"),
            ("bob", "a@b", "1", "avif", "jpeg", "left"),  # a name that only looks like it
        ]
    )
    counts, contents = nominal_answers(c)
    assert sorted(zip(contents.tolist(), counts.tolist(), strict=True)) == [
        ("a@b", [1, 0, 0]),
        ("pond", [0, 0, 1]),
        ("pond", [1, 0, 0]),
    ]
