import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.multiplicity import benjamini_hochberg_adjusted, holm_adjusted
from evaluation.statistics.preference import (
    PairPreference,
    binomial_p,
    clopper_pearson_interval,
    first_choice_shares,
    pairwise_table,
    wilson_interval,
    win_shares,
)
from evaluation.statistics.rankings import Rankings
from tests.real_data import real_data

steady = settings(deadline=None)  # a busy machine is no failure


def judged(left: str, right: str, chosen: str, times: int = 1) -> list[tuple[str, ...]]:
    return [("ann", "kodim01", "0.23", left, right, chosen)] * times


def test_wilson_of_81_in_263_is_newcombes_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, method 3: 0.2553, 0.3662.
    share = wilson_interval(81, 263)
    assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    share = wilson_interval(0, 20)
    assert (share.low, share.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


@steady
@given(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, 2 * n), st.just(n))),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_wilson_agrees_with_statsmodels_also_at_half_wins(half_wins_of, confidence):
    half_wins, n = half_wins_of
    share = wilson_interval(half_wins / 2, n, confidence)
    expected = proportion_confint(half_wins / 2, n, alpha=1 - confidence, method="wilson")
    assert (share.low, share.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= share.low <= share.value <= share.high <= 1


@steady
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_of_losses_mirrors_wilson_of_wins(wins_of):
    k, n = wins_of
    won, lost = wilson_interval(k, n), wilson_interval(n - k, n)
    assert (won.low, won.high) == pytest.approx((1 - lost.high, 1 - lost.low), abs=1e-12)


@pytest.mark.parametrize("interval", [wilson_interval, clopper_pearson_interval])
def test_a_share_without_judgments_has_no_value(interval):
    with pytest.raises(NotIdentified, match="no judgments"):
        interval(0, 0)


@pytest.mark.parametrize("interval", [wilson_interval, clopper_pearson_interval])
@pytest.mark.parametrize("bad", [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)])
def test_what_is_no_share_has_no_interval(interval, bad):
    with pytest.raises(ValueError, match="expected"):
        interval(*bad)


def test_the_exact_interval_of_81_in_263_is_newcombes_published_one():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, method 5: 0.2527, 0.3676.
    share = clopper_pearson_interval(81, 263)
    assert (share.low, share.high) == pytest.approx((0.2527, 0.3676), abs=5e-5)


@steady
@given(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_the_exact_interval_agrees_with_scipy(wins_of, confidence):
    k, n = wins_of
    share = clopper_pearson_interval(k, n, confidence)
    expected = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= share.low <= share.value <= share.high <= 1


@pytest.mark.parametrize("n", [1, 2, 5, 9, 14, 30])
def test_the_exact_interval_never_misses_more_often_than_it_says_also_with_ties(n):
    intervals = [clopper_pearson_interval(half / 2, n) for half in range(2 * n + 1)]
    low, high = np.array([(share.low, share.high) for share in intervals]).T
    for win in np.linspace(0, 1, 21):
        for tie in np.linspace(0, 1 - win, 11):
            sums = np.array([1.0])  # the distribution of the score, by halves
            for _ in range(n):
                sums = np.convolve(sums, [1 - win - tie, tie, win])
            truth = win + tie / 2
            # Rounding of the truth must not put it outside a bound that equals it.
            assert sums[low > truth + 1e-9].sum() <= 0.025
            assert sums[high < truth - 1e-9].sum() <= 0.025


@steady
@given(st.integers(0, 400), st.integers(0, 400))
def test_the_binomial_p_value_agrees_with_scipy(wins, losses):
    if wins + losses == 0:
        assert binomial_p(wins, losses) == 1.0
    else:
        expected = binomtest(wins, wins + losses).pvalue
        assert binomial_p(wins, losses) == pytest.approx(expected, rel=1e-9)


def test_a_condition_wins_the_share_of_judgments_that_it_took_part_in():
    c = Comparisons.from_rows(
        judged("jpeg", "webp", "left", 3)
        + judged("webp", "jpeg", "tie")
        + judged("webp", "avif", "right", 2)
    )
    shares = {row.condition: row for row in win_shares(c)}
    assert (shares["jpeg"].share, shares["jpeg"].n) == (3.5 / 4, 4)
    assert (shares["webp"].share, shares["webp"].n) == (0.5 / 6, 6)
    assert (shares["avif"].share, shares["avif"].n) == (1.0, 2)
    assert shares["avif"].low == wilson_interval(2, 2).low


def test_judgments_of_a_pair_count_alike_on_either_side():
    c = Comparisons.from_rows(judged("jpeg", "webp", "left", 9) + judged("webp", "jpeg", "left"))
    (row,) = pairwise_table(c)
    assert (row.a, row.b, row.n, row.a_preferred) == ("jpeg", "webp", 10, 0.9)
    assert row.p == pytest.approx(22 / 1024)  # 2 * (1 + 10) / 2**10
    assert row.p_adjusted == row.p


def test_ties_halve_the_share_and_leave_the_test():
    c = Comparisons.from_rows(judged("jpeg", "webp", "left", 5) + judged("jpeg", "webp", "tie", 5))
    (row,) = pairwise_table(c)
    assert (row.n, row.ties, row.a_preferred) == (10, 5, 0.75)
    assert row.p == pytest.approx(2 / 2**5)
    (row,) = pairwise_table(Comparisons.from_rows(judged("jpeg", "webp", "tie", 3)))
    assert (row.a_preferred, row.p) == (0.5, 1.0)


def test_pairs_never_compared_are_listed_and_cost_the_others_nothing():
    c = Comparisons.from_rows(
        judged("avif", "jpeg", "left", 8) + judged("jpeg", "webp", "right", 6)
    )
    rows = {(row.a, row.b): row for row in pairwise_table(c)}
    assert rows["avif", "webp"] == PairPreference(
        "avif", "webp", 0, 0, None, None, None, None, None, None, "never compared"
    )
    assert rows["avif", "jpeg"].p_adjusted == pytest.approx(2 * rows["avif", "jpeg"].p)
    assert rows["jpeg", "webp"].p_adjusted == pytest.approx(rows["jpeg", "webp"].p)


def test_p_values_of_pairs_are_adjusted_by_holm_and_by_benjamini_and_hochberg():
    rows = pairwise_table(
        Comparisons.from_rows(
            judged("avif", "jpeg", "left", 8)
            + judged("jpeg", "webp", "right", 6)
            + judged("avif", "webp", "left", 3)
            + judged("avif", "webp", "right", 2)
        )
    )
    p = np.array([row.p for row in rows])
    np.testing.assert_array_equal([row.p_adjusted for row in rows], holm_adjusted(p))
    expected = benjamini_hochberg_adjusted(p)
    np.testing.assert_array_equal([row.p_adjusted_bh for row in rows], expected)


def test_a_table_of_pairs_has_the_interval_that_one_asks_for():
    c = Comparisons.from_rows(judged("jpeg", "webp", "left", 7) + judged("jpeg", "webp", "tie"))
    (score,), (exact,) = pairwise_table(c), pairwise_table(c, interval="exact")
    assert (score.low, score.high) == (wilson_interval(7.5, 8).low, wilson_interval(7.5, 8).high)
    assert (exact.low, exact.high) == (clopper_pearson_interval(7, 8).low, 1.0)
    assert (exact.a_preferred, exact.p) == (score.a_preferred, score.p)
    with pytest.raises(ValueError, match="expected score or exact, found 'wald'"):
        pairwise_table(c, interval="wald")


def test_a_unanimous_pair_has_an_interval_that_stops_at_one():
    (row,) = pairwise_table(Comparisons.from_rows(judged("jpeg", "webp", "left", 7)))
    assert (row.a_preferred, row.high) == (1.0, 1.0)
    assert row.low == pytest.approx(0.6457, abs=5e-5)  # 1 / (1 + z**2 / 7)


def test_no_judgments_give_empty_tables_and_mixed_strata_none():
    empty = Comparisons.from_rows([])
    assert (win_shares(empty), pairwise_table(empty)) == ([], [])
    mixed = Comparisons.from_rows(
        [("ann", "x", stratum, "jpeg", "webp", "left") for stratum in ("0.23", "0.37")]
    )
    for table in (win_shares, pairwise_table):
        with pytest.raises(ValueError, match="would be mixed"):
            table(mixed)


def test_renaming_conditions_renames_the_pairs_and_nothing_else():
    rows = judged("a", "b", "left", 5) + judged("b", "c", "tie", 2) + judged("c", "a", "left", 3)
    renamed = [(*row[:3], *({"a": "z"}.get(label, label) for label in row[3:])) for row in rows]
    before = {(row.a, row.b): row for row in pairwise_table(Comparisons.from_rows(rows))}
    after = {(row.a, row.b): row for row in pairwise_table(Comparisons.from_rows(renamed))}
    assert after["b", "z"].a_preferred == 1 - before["a", "b"].a_preferred
    assert after["b", "z"].p_adjusted == before["a", "b"].p_adjusted
    assert after["b", "c"] == before["b", "c"]


def ranked(*rankings: str, weight: list[int] | None = None) -> Rankings:
    return Rankings.from_rows([("ann", "x", "0.23", text) for text in rankings], weight=weight)


def test_the_share_of_first_choices_is_that_of_rankings_that_rank_the_condition_first():
    shares = first_choice_shares(ranked("avif > webp > jpeg", "webp > avif > jpeg", "avif > webp"))
    assert [(row.condition, row.share, row.n) for row in shares] == [
        ("avif", 2 / 3, 3),
        ("jpeg", 0.0, 2),
        ("webp", 1 / 3, 3),
    ]
    expected = wilson_interval(2, 3)
    assert (shares[0].low, shares[0].high) == (expected.low, expected.high)


def test_conditions_tied_for_the_first_place_share_it_evenly():
    avif, jpeg, webp = first_choice_shares(ranked("avif = jpeg = webp", "jpeg = webp > avif"))
    assert avif.share == pytest.approx(1 / 6)
    assert jpeg.share == webp.share == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert webp.high == pytest.approx(wilson_interval(5 / 6, 2).high)


def test_a_ranking_of_two_is_a_comparison():
    rankings = ranked("avif > jpeg", "jpeg = avif", "avif > jpeg", "jpeg > webp")
    firsts, wins = first_choice_shares(rankings), win_shares(rankings.comparisons())
    for first, win in zip(firsts, wins, strict=True):
        assert (first.condition, first.share, first.n) == (win.condition, win.share, win.n)
        assert (first.low, first.high) == (win.low, win.high)


orders = st.permutations(["avif", "jpeg", "webp", "bpg"])
separators = st.lists(st.sampled_from([" > ", " = "]), min_size=3, max_size=3)
texts = st.builds(
    lambda order, between: "".join(
        part for pair in zip(order, [*between, ""], strict=True) for part in pair
    ),
    orders,
    separators,
)


@steady
@given(st.lists(texts, min_size=1, max_size=12))
def test_first_choices_of_full_rankings_sum_to_one_and_count_each_as_often_as_it_weighs(rankings):
    once = first_choice_shares(ranked(*rankings))
    assert sum(row.share for row in once) == pytest.approx(1.0)
    thrice = first_choice_shares(ranked(*rankings, weight=[3] * len(rankings)))
    repeated = first_choice_shares(ranked(*rankings * 3))
    for one, three, other in zip(once, thrice, repeated, strict=True):
        assert (three.share, three.low, three.high) == pytest.approx(
            (other.share, other.low, other.high)
        )
        assert (three.share, three.n) == (pytest.approx(one.share), 3 * one.n)
        assert three.high - three.low < one.high - one.low


def test_a_condition_that_was_never_ranked_is_listed_with_the_reason():
    rows = first_choice_shares(ranked("avif > jpeg", "avif > webp", weight=[2, 0]))
    assert [(row.condition, row.n, row.reason) for row in rows] == [
        ("avif", 2, None),
        ("jpeg", 2, None),
        ("webp", 0, "never ranked"),
    ]
    assert (rows[2].share, rows[2].low, rows[2].high) == (None, None, None)


def test_no_rankings_have_no_first_choices_and_strata_are_not_mixed():
    assert first_choice_shares(ranked()) == []
    mixed = Rankings.from_rows([("ann", "x", "0.23", "a > b"), ("ann", "x", "0.37", "b > a")])
    with pytest.raises(ValueError, match=r"2 strata .* would be mixed"):
        first_choice_shares(mixed)
    assert [row.share for row in first_choice_shares(mixed.pooled())] == [0.5, 0.5]


def test_first_choices_among_sushi_are_the_counts_of_the_published_file():
    path = real_data("judgments/rankings/sushi.soc")
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    counts, texts = zip(*(line.split(":") for line in lines), strict=True)
    rankings = ranked(
        *(text.replace(",", " > ") for text in texts), weight=[int(count) for count in counts]
    )
    shares = first_choice_shares(rankings)
    for row in shares:
        firsts = sum(
            int(count)
            for count, text in zip(counts, texts, strict=True)
            if text.split(",")[0].strip() == row.condition
        )
        assert (row.share, row.n) == (firsts / 5000, 5000)
