"""What can be answered, and how it is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.kinds import KINDS, InvalidAnswer

PAIR, RANKING = KINDS["2afc"], KINDS["ranking"]


@pytest.mark.parametrize(("answer", "ranks"), [("left", [1, 2]), ("right", [2, 1])])
def test_a_side_is_stored_as_ranks_and_read_again(answer, ranks):
    assert PAIR.ranks(answer, 2, allows_ties=False) == ranks
    assert PAIR.answer(ranks) == answer


def test_no_difference_is_an_answer_only_where_it_is_allowed():
    assert PAIR.ranks("tie", 2, allows_ties=True) == [1, 1]
    assert PAIR.answer([1, 1]) == "tie"
    with pytest.raises(InvalidAnswer, match=r"left, right$"):
        PAIR.ranks("tie", 2, allows_ties=False)


@given(st.permutations(range(1, 6)))
def test_any_order_is_a_ranking(order):
    assert RANKING.ranks(list(order), 5, allows_ties=False) == list(order)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([1, 2], "a list of 3 ranks"),
        ([1, 2, 3, 4], "a list of 3 ranks"),
        ("1,2,3", "a list of 3 ranks"),
        (None, "a list of 3 ranks"),
        ([1.0, 2, 3], "a list of 3 ranks"),
        ([True, 2, 3], "a list of 3 ranks"),
        ([0, 1, 2], "from 1 on without gaps"),
        ([1, 3, 3], "from 1 on without gaps"),
        ([1, 1, 2], "a rank of its own"),
    ],
)
def test_what_is_no_order_of_three_is_refused_with_the_reason(answer, reason):
    with pytest.raises(InvalidAnswer, match=reason):
        RANKING.ranks(answer, 3, allows_ties=False)


def test_ranks_may_be_shared_where_ties_are_allowed():
    assert RANKING.ranks([1, 1, 2], 3, allows_ties=True) == [1, 1, 2]


def test_a_pair_is_asked_of_each_two_and_a_ranking_of_all_at_once():
    assert PAIR.questions(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert RANKING.questions(["a", "b", "c"]) == [("a", "b", "c")]
    assert RANKING.positions(3) == ("1", "2", "3")
