"""Where results come from: shares by picture and category, and the questions of most agreement."""

import pytest

from evaluation.statistics import Comparisons, wilson_interval
from evaluation.statistics.breakdown import category_shares, extreme_questions, image_shares
from evaluation.statistics.options import Options
from evaluation.statistics.preference import win_shares

HOW = Options(n_boot=100)


def judged(*answers: tuple[str, str, int, int], ties: int = 0) -> Comparisons:
    """Of (content, pair such as 'ab', votes for a, votes for b)."""
    rows = [
        (f"who-{k}", content, "0.5", pair[0], pair[1], "left" if k < left else "right")
        for content, pair, left, right in answers
        for k in range(left + right)
    ]
    rows += [(f"tied-{k}", answers[0][0], "0.5", *answers[0][1], "tie") for k in range(ties)]
    return Comparisons.from_rows(rows)


def test_shares_of_an_image_are_those_of_its_judgments_alone():
    table = judged(("sea", "ab", 3, 1), ("sky", "ab", 0, 4), ("sky", "bc", 2, 0))
    sea, sky = image_shares(table, confidence=0.95)
    assert (sea["image"], sea["n_judgments"], sky["n_judgments"]) == ("sea", 4, 6)
    a, b, c = sea["win_share"]
    wilson = wilson_interval(3, 4)
    assert (a["share"], a["low"], a["high"], a["n"]) == (0.75, wilson.low, wilson.high, 4)
    assert b["share"] == 0.25
    assert (c["share"], c["reason"]) == (None, "never compared")
    alone = win_shares(table.where(table.content == 1))
    assert [each["share"] for each in sky["win_share"]] == [each.share for each in alone]


def test_parts_of_a_picture_count_with_it():
    [sea] = image_shares(judged(("sea@0,0", "ab", 1, 0), ("sea@64,0", "ab", 1, 1)), confidence=0.95)
    assert (sea["image"], sea["n_judgments"]) == ("sea", 3)
    assert sea["win_share"][0]["share"] == pytest.approx(2 / 3)


def test_shares_from_rankings_have_no_interval_and_a_reason():
    [sea] = image_shares(judged(("sea", "ab", 3, 1)), confidence=0.95, from_rankings=True)
    assert sea["win_share"][0]["low"] is None
    assert sea["win_share"][0]["reason"] == "pairs of one ranking are not independent"


def test_shares_of_a_category_are_those_of_its_images_together():
    table = judged(("sea", "ab", 3, 1), ("sky", "ab", 0, 4), ("cat", "ab", 4, 0))
    outside, animals, empty = category_shares(
        table, {"outside": ["sea", "sky"], "animals": ["cat"], "plants": ["oak"]}, HOW
    )
    assert outside["win_share"][0]["share"] == pytest.approx(3 / 8)
    assert (outside["n_images"], outside["n_judgments"]) == (2, 8)
    assert outside["win_share"][0]["reason"].endswith("needs 8 of them, and there are 2")
    assert animals["win_share"][0]["share"] == 1
    assert (empty["n_images"], empty["win_share"][0]["reason"]) == (0, "never compared")


def test_a_category_of_many_images_has_an_interval_over_them():
    answers = [(f"photo-{k}", "ab", 2 if k % 2 else 1, 1) for k in range(12)]
    names = [content for content, *_ in answers]
    [share, _] = category_shares(judged(*answers), {"all": names}, HOW)[0]["win_share"]
    assert share["share"] == pytest.approx(18 / 30)
    assert share["low"] < 18 / 30 < share["high"]
    assert share["reason"] is None


def test_questions_are_put_in_the_order_of_a_worked_example():
    found = extreme_questions(
        judged(
            ("two of two", "ab", 2, 0),
            ("ten of ten", "ab", 10, 0),
            ("none of ten", "ab", 0, 10),
            ("half of four", "ab", 2, 2),
            ("half of eight", "ab", 4, 4),
            ("two of three", "ab", 2, 1),
            ("one of one", "ab", 1, 0),
        ),
        confidence=0.95,
    )
    assert found["n_questions"] == 6
    assert [each["content"] for each in found["most_agreed"]] == [
        "none of ten",
        "ten of ten",
        "two of two",
    ]
    assert [each["content"] for each in found["least_agreed"]] == [
        "half of eight",
        "half of four",
        "two of three",
    ]
    # Of three votes, one of the three pairs is alike.
    last = found["least_agreed"][-1]
    assert (last["votes_a"], last["votes_b"], last["n"]) == (2, 1, 3)
    assert last["agreement"] == pytest.approx(1 / 3)
    wilson = wilson_interval(2, 3)
    assert (last["low"], last["high"]) == (wilson.low, wilson.high)


def test_no_picture_stands_twice_in_a_list():
    found = extreme_questions(
        judged(("sea", "ab", 9, 0), ("sea", "ac", 8, 0), ("sky", "ab", 3, 0)), confidence=0.95
    )
    assert [(each["content"], each["b"]) for each in found["most_agreed"]] == [
        ("sea", "b"),
        ("sky", "b"),
    ]


def test_a_tie_is_an_answer_of_its_own():
    [only] = extreme_questions(judged(("sea", "ab", 2, 0), ties=2), confidence=0.95)["most_agreed"]
    assert (only["votes_a"], only["votes_b"], only["ties"], only["n"]) == (2, 0, 2, 4)
    assert only["a_preferred"] == 0.75
    assert only["agreement"] == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("answers", "most", "least"),
    [
        ([("sea", "ab", 1, 0)], "no question has answers of two annotators", "no question has"),
        ([("sea", "ab", 3, 0), ("sky", "ab", 0, 3)], None, "all other answers are unanimous"),
        ([("sea", "ab", 2, 2)], "answers are even on every question", None),
    ],
)
def test_an_empty_list_has_its_reason(answers, most, least):
    found = extreme_questions(judged(*answers), confidence=0.95)
    for kind, reason in (("most_agreed", most), ("least_agreed", least)):
        if reason is None:
            assert found[kind]
            assert found[f"{kind}_reason"] is None
        else:
            assert found[kind] == []
            assert found[f"{kind}_reason"].startswith(reason)
