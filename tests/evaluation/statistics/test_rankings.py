from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import InvalidComparisons
from evaluation.statistics.rankings import Rankings

steady = settings(deadline=None)  # a busy machine is no failure

ROWS = [
    ("ann", "kodim01", "0.5", "avif > webp = jpeg > jpeg2000"),
    ("bob", "kodim02", "0.25", "webp>avif"),
    ("ann", "kodim02", "0.5", " jpeg = avif "),
]


@st.composite
def ranking_rows(draw, most=8):
    """Rows (annotator, content, stratum, ranking) of full and partial rankings with ties."""
    rows = []
    for _ in range(draw(st.integers(1, most))):
        order = draw(st.permutations("abcde"))[: draw(st.integers(2, 5))]
        signs = draw(st.lists(st.sampled_from([" > ", " = "]), min_size=4, max_size=4))
        ranking = order[0] + "".join(s + c for s, c in zip(signs, order[1:], strict=False))
        labels = [draw(st.sampled_from(names)) for names in (["p", "q"], ["x", "y"], ["1", "2"])]
        rows.append((*labels, ranking))
    return rows


def test_a_ranking_gives_each_condition_its_place_and_0_to_those_it_leaves_out():
    rankings = Rankings.from_rows(ROWS)
    assert rankings.conditions == ("avif", "jpeg", "jpeg2000", "webp")
    assert rankings.rank.tolist() == [[1, 2, 3, 2], [2, 0, 0, 1], [1, 1, 0, 0]]
    assert rankings.rank.dtype == np.int64
    assert rankings.weight.tolist() == [1, 1, 1]


def test_labels_are_sorted_and_strata_by_number():
    rankings = Rankings.from_rows([("bob", "x", "10", "a > b"), ("ann", "x", "9", "a > b")])
    assert rankings.annotators == ("ann", "bob")
    assert rankings.annotator.tolist() == [1, 0]
    assert rankings.strata == ("9", "10")
    assert rankings.n_annotators == 2


def test_rankings_without_annotators_contents_and_strata_stand_under_one_label():
    rankings = Rankings.from_columns(None, None, None, ["a > b", "b > a"], weight=[3, 2])
    assert rankings.annotators == rankings.contents == rankings.strata == ("all",)
    assert rankings.weight.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        ("avif", "row 2, column ranking: expected at least two conditions, found 'avif'"),
        ("", "row 2, column ranking: expected a condition on each side of > and =, found ''"),
        ("a > > b", "expected a condition on each side of > and =, found 'a > > b'"),
        ("a > b =", "expected a condition on each side of > and =, found 'a > b ='"),
        ("a > b = a ", "row 2, column ranking: expected each condition once, found 'a' twice"),
    ],
)
def test_what_is_no_ranking_is_refused_with_its_row(ranking, message):
    rows = [("ann", "x", "1", "a > b"), ("ann", "x", "1", ranking)]
    with pytest.raises(InvalidComparisons) as refused:
        Rankings.from_rows(rows)
    assert message in str(refused.value)


def test_an_empty_label_and_a_short_row_are_refused_with_their_row():
    with pytest.raises(InvalidComparisons, match="row 1, column annotator: expected a value"):
        Rankings.from_rows([(" ", "x", "1", "a > b")])
    with pytest.raises(InvalidComparisons, match="row 2: expected the 4 values annotator, cont"):
        Rankings.from_rows([("ann", "x", "1", "a > b"), ("ann", "x", "1")])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(InvalidComparisons, match="content: expected 2 rows, found 1"):
        Rankings.from_columns(["p", "p"], ["x"], ["1", "1"], ["a > b", "b > a"])


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        ([[1, 3, 0]], "places 1, 2, 3, ... without gaps"),
        ([[2, 3, 4]], "places 1, 2, 3, ... without gaps"),
        ([[1, 2, -1]], "places 1, 2, 3, ... without gaps"),
        ([[1, 0, 0]], "at least two conditions"),
        ([[1, 2]], "shape (1, 3)"),
        ([[1.0, 2.0, 3.0]], "whole numbers"),
    ],
)
def test_places_that_are_not_1_2_3_are_refused(rank, message):
    zero = np.zeros(1, dtype=np.int64)
    with pytest.raises(InvalidComparisons) as refused:
        Rankings(zero, zero, zero, np.array(rank), zero + 1, ("p",), ("x",), ("1",), tuple("abc"))
    assert message in str(refused.value)


def test_weights_that_count_nothing_are_refused():
    with pytest.raises(InvalidComparisons, match="weight: expected no negative number"):
        Rankings.from_rows(ROWS, weight=[1, -1, 1])
    with pytest.raises(InvalidComparisons, match="weight: expected whole numbers"):
        Rankings.from_rows(ROWS, weight=[0.5, 1, 1])
    with pytest.raises(InvalidComparisons, match="weight: expected 3 whole numbers"):
        Rankings.from_rows(ROWS, weight=[1, 1])


def test_there_may_be_no_rankings():
    rankings = Rankings.from_rows([])
    assert rankings.rank.shape == (0, 0)
    assert len(rankings.pooled().comparisons().outcome) == 0


def test_a_stratum_has_only_the_labels_that_occur_in_it():
    rankings = Rankings.from_rows(ROWS, weight=[1, 2, 3])
    quarter = rankings.in_stratum("0.25")
    assert quarter.conditions == ("avif", "webp")
    assert (quarter.annotators, quarter.contents) == (("bob",), ("kodim02",))
    assert quarter.rank.tolist() == [[2, 1]]
    assert quarter.weight.tolist() == [2]
    with pytest.raises(ValueError, match=r"no stratum '1'; there are 0\.25, 0\.5"):
        rankings.in_stratum("1")


def test_strata_are_mixed_only_knowingly():
    rankings = Rankings.from_rows(ROWS)
    with pytest.raises(ValueError, match="2 strata"):
        rankings.require_one_stratum()
    rankings.pooled().require_one_stratum()
    assert rankings.pooled().strata == ("all",)


def test_a_ranking_says_how_each_pair_of_its_conditions_compares():
    rankings = Rankings.from_rows(ROWS, weight=[1, 1, 4])
    pairs = rankings.in_stratum("0.5").comparisons()
    named = [
        (pairs.conditions[a], pairs.conditions[b], outcome, weight)
        for a, b, outcome, weight in zip(pairs.a, pairs.b, pairs.outcome, pairs.weight, strict=True)
    ]
    assert named == [
        ("avif", "jpeg", 1.0, 1),
        ("avif", "jpeg2000", 1.0, 1),
        ("avif", "webp", 1.0, 1),
        ("jpeg", "jpeg2000", 1.0, 1),
        ("jpeg", "webp", 0.5, 1),
        ("jpeg2000", "webp", 0.0, 1),
        ("avif", "jpeg", 0.5, 4),
    ]
    assert [pairs.contents[c] for c in pairs.content] == ["kodim01"] * 6 + ["kodim02"]


@steady
@given(ranking_rows())
def test_pairs_are_those_read_off_one_ranking_after_another(rows):
    rankings = Rankings.from_rows(rows)
    pairs = rankings.comparisons()
    found = [
        (pairs.annotators[p], pairs.contents[c], pairs.strata[s], conditions[a], conditions[b], o)
        for conditions in [pairs.conditions]
        for p, c, s, a, b, o in zip(
            pairs.annotator, pairs.content, pairs.stratum, pairs.a, pairs.b, pairs.outcome,
            strict=True,
        )
    ]  # fmt: skip
    expected = []
    for annotator, content, stratum, ranking in rows:
        place = {
            condition: i
            for i, tied in enumerate(ranking.split(" > "))
            for condition in tied.split(" = ")
        }
        expected += [
            (annotator, content, stratum, a, b, 0.5 + 0.5 * np.sign(place[b] - place[a]))
            for a, b in combinations(sorted(place), 2)
        ]
    assert found == expected


@steady
@given(ranking_rows())
def test_taking_rows_is_as_if_the_others_had_never_been(rows):
    kept = Rankings.from_rows(rows).where(np.arange(len(rows)) % 2 == 0)
    expected = Rankings.from_rows(rows[::2])
    assert kept.rank.tolist() == expected.rank.tolist()
    for name in ("annotators", "contents", "strata", "conditions"):
        assert getattr(kept, name) == getattr(expected, name)
    for name in ("annotator", "content", "stratum"):
        assert getattr(kept, name).tolist() == getattr(expected, name).tolist()
