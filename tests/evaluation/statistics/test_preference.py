import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evaluation.statistics import (
    Comparisons,
    NotIdentified,
    PairPreference,
    binomial_p,
    holm_adjusted,
    pairwise_table,
    wilson_interval,
    win_shares,
)

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


def test_wilson_without_judgments_has_no_value():
    with pytest.raises(NotIdentified, match="no judgments"):
        wilson_interval(0, 0)


@pytest.mark.parametrize("bad", [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)])
def test_wilson_refuses_what_is_no_share(bad):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(*bad)


@steady
@given(st.integers(0, 400), st.integers(0, 400))
def test_the_binomial_p_value_agrees_with_scipy(wins, losses):
    if wins + losses == 0:
        assert binomial_p(wins, losses) == 1.0
    else:
        expected = binomtest(wins, wins + losses).pvalue
        assert binomial_p(wins, losses) == pytest.approx(expected, rel=1e-9)


@settings(steady, max_examples=25)  # statsmodels takes 40 ms each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holms_adjustment_agrees_with_statsmodels(p):
    expected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm_adjusted(np.array(p)), expected, atol=1e-15)


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
        "avif", "webp", 0, 0, None, None, None, None, None, "never compared"
    )
    assert rows["avif", "jpeg"].p_adjusted == pytest.approx(2 * rows["avif", "jpeg"].p)
    assert rows["jpeg", "webp"].p_adjusted == pytest.approx(rows["jpeg", "webp"].p)


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
