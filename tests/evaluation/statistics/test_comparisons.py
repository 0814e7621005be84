import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import Comparisons, InvalidComparisons

steady = settings(deadline=None)  # a busy machine is no failure
LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda label: label == label.strip() != ""
)
ROWS = st.lists(
    st.tuples(LABELS, LABELS, LABELS, LABELS, LABELS, st.sampled_from(["left", "right", "tie"]))
    .filter(lambda row: row[3] != row[4])
    .map(list),
    min_size=1,
    max_size=20,
)


def rows_of(c: Comparisons) -> list[list[str]]:
    chosen = {1.0: "left", 0.0: "right", 0.5: "tie"}
    return [
        [
            c.annotators[c.annotator[i]],
            c.contents[c.content[i]],
            c.strata[c.stratum[i]],
            c.conditions[c.a[i]],
            c.conditions[c.b[i]],
            chosen[c.outcome[i]],
        ]
        for i in range(len(c.outcome))
    ]


ROW = ["ann", "x", "1", "jpeg", "webp", "left"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["ann", "x", "1", "jpeg", "webp", "j"], "row 2, column chosen: expected left, .* 'j'"),
        (["ann", "x", "1", "jpeg", "jpeg ", "tie"], "row 2, column right: expected another"),
        (["ann", "x", " ", "jpeg", "webp", "tie"], "row 2, column stratum: expected a value"),
        (["ann", "x", "1", "", "webp", "tie"], "row 2, column left: expected a value"),
        (["ann", "x", "1", "jpeg", "", "tie"], "row 2, column right: expected a value"),
        (["ann", "x", "1", "jpeg", "webp"], "row 2: expected the 6 values"),
    ],
)
def test_a_bad_row_is_refused_with_its_number_column_and_what_was_expected(row, message):
    with pytest.raises(InvalidComparisons, match=message):
        Comparisons.from_rows([ROW, row])


@steady
@given(ROWS)
def test_a_table_holds_the_rows_it_was_made_of(rows):
    assert rows_of(Comparisons.from_rows(rows)) == rows


def test_the_right_answer_marks_a_gold_question_and_leaves_it_out_of_scales():
    c = Comparisons.from_columns(
        *zip(ROW, ROW, strict=True), response_ms=[812, np.nan], expected=["", "right"]
    )
    np.testing.assert_array_equal(c.expected, [np.nan, 0.0])
    np.testing.assert_array_equal(c.response_ms, [812, np.nan])
    assert c.without_gold().response_ms.tolist() == [812]
    with pytest.raises(InvalidComparisons, match=r"row 1, column expected: .* found 'jpeg'"):
        Comparisons.from_columns(*([value] for value in ROW), expected=["jpeg"])


def test_a_tie_is_half_a_win_for_each_side():
    c = Comparisons.from_rows(
        [
            ("ann", "x", "1", "jpeg", "webp", "left"),
            ("ann", "x", "1", "webp", "jpeg", "right"),
            ("bob", "x", "1", "jpeg", "webp", "tie"),
            ("bob", "x", "1", "webp", "avif", "right"),
        ]
    )
    assert c.conditions == ("avif", "jpeg", "webp")
    np.testing.assert_array_equal(c.win_matrix(), [[0, 0, 1], [0, 0, 2.5], [0, 0.5, 0]])
    np.testing.assert_array_equal(c.tie_matrix(), [[0, 0, 0], [0, 0, 1], [0, 1, 0]])


@steady
@given(ROWS)
def test_every_judgment_is_one_win_in_all(rows):
    assert Comparisons.from_rows(rows).pooled().win_matrix().sum() == len(rows)


def test_a_weight_stands_for_that_many_equal_judgments():
    rows = [("ann", "x", "1", "jpeg", "webp", "left"), ("ann", "x", "1", "jpeg", "webp", "tie")]
    weighted = Comparisons.from_rows(rows, weight=[3, 2])
    repeated = Comparisons.from_rows([rows[0]] * 3 + [rows[1]] * 2)
    np.testing.assert_array_equal(weighted.win_matrix(), repeated.win_matrix())
    np.testing.assert_array_equal(weighted.tie_matrix(), repeated.tie_matrix())


@pytest.mark.parametrize("weight", [[0.5], [-1], [1, 1]])
def test_a_weight_that_is_no_count_is_refused(weight):
    with pytest.raises(InvalidComparisons, match="weight"):
        Comparisons.from_rows([("ann", "x", "1", "jpeg", "webp", "left")], weight=weight)


def test_strata_are_never_mixed_silently():
    c = Comparisons.from_rows(
        [
            ("ann", "x", "1.0", "jpeg", "webp", "left"),
            ("bob", "y", "0.23", "jpeg", "avif", "left"),
        ]
    )
    with pytest.raises(ValueError, match=r"2 strata \(0\.23, 1\.0\) would be mixed"):
        c.win_matrix()
    assert c.pooled().win_matrix().sum() == 2


def test_a_stratum_knows_only_what_was_judged_in_it():
    c = Comparisons.from_rows(
        [
            ("ann", "x", "10", "jpeg", "webp", "left"),
            ("bob", "y", "9.5", "jpeg", "avif", "right"),
            ("bob", "y", "low", "jpeg", "avif", "right"),
        ]
    )
    assert c.strata == ("9.5", "10", "low")
    assert rows_of(c.in_stratum("9.5")) == [["bob", "y", "9.5", "jpeg", "avif", "right"]]
    assert c.in_stratum("9.5").conditions == ("avif", "jpeg")
    assert c.in_stratum("9.5").n_annotators == 1
    with pytest.raises(ValueError, match=r"no stratum '0\.23'; there are 9\.5, 10, low"):
        c.in_stratum("0.23")


def test_a_study_without_judgments_is_an_empty_table():
    c = Comparisons.from_rows([])
    assert c.win_matrix().shape == (0, 0)
    assert (c.n_annotators, c.strata, c.conditions) == (0, (), ())


def test_codes_that_do_not_fit_their_labels_are_refused():
    zero = np.zeros(1, np.int64)
    with pytest.raises(InvalidComparisons, match="b: expected codes from 0 to 1"):
        Comparisons(
            annotator=zero,
            content=zero,
            stratum=zero,
            a=zero,
            b=zero + 2,
            outcome=np.ones(1),
            weight=zero + 1,
            response_ms=np.full(1, np.nan),
            expected=np.full(1, np.nan),
            annotators=("ann",),
            contents=("x",),
            strata=("1",),
            conditions=("jpeg", "webp"),
        )


def test_a_million_judgments_are_counted_in_well_under_a_second():
    rng = np.random.default_rng(1)
    m, n = 1_000_000, 12
    a = rng.integers(n, size=m)
    zero = np.zeros(m, np.int64)
    c = Comparisons(
        annotator=zero,
        content=zero,
        stratum=zero,
        a=a,
        b=(a + rng.integers(1, n, size=m)) % n,
        outcome=rng.choice([0.0, 0.5, 1.0], size=m),
        weight=zero + 1,
        response_ms=np.full(m, np.nan),
        expected=np.full(m, np.nan),
        annotators=("ann",),
        contents=("x",),
        strata=("1",),
        conditions=tuple("abcdefghijkl"),
    )
    start = time.perf_counter()
    wins = c.win_matrix()
    # About 0.02 s; a loop over rows takes more than this on any machine.
    assert time.perf_counter() - start < 0.3
    assert wins.sum() == m
