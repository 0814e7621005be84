import re
from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control, norm
from statsmodels.stats.multitest import multipletests

from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.multiplicity import (
    all_pairs,
    benjamini_hochberg_adjusted,
    best_with_probability,
    compact_letters,
    holm_adjusted,
)
from evaluation.statistics.scaling import bradley_terry

steady = settings(deadline=None)  # a busy machine is no failure

WINS = np.array([[0, 14, 20, 9], [6, 0, 13, 11], [4, 9, 0, 8], [3, 5, 7, 0]], dtype=float)

p_values = arrays(float, st.integers(0, 30), elements=st.floats(0, 1))
adjustments = pytest.mark.parametrize("adjusted", [holm_adjusted, benjamini_hochberg_adjusted])


@settings(steady, max_examples=10)  # statsmodels takes a tenth of a second each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_agree_with_statsmodels(p):
    expected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm_adjusted(np.array(p)), expected, atol=1e-15)
    expected = multipletests(p, method="fdr_bh")[1]
    np.testing.assert_allclose(benjamini_hochberg_adjusted(np.array(p)), expected, atol=1e-15)


@steady
@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 1)))
def test_benjamini_and_hochbergs_adjustment_agrees_with_scipy(p):
    expected = false_discovery_control(p, method="bh")
    np.testing.assert_allclose(benjamini_hochberg_adjusted(p), expected, atol=1e-15)


def test_of_benjamini_and_hochbergs_fifteen_hypotheses_four_are_rejected_and_by_holm_three():
    # Benjamini and Hochberg (1995), section 4.1, 0.05: four by theirs, three by Bonferroni's, and
    # by Holm's the same three, as 0.0095 * 12 > 0.05.
    p = "1 4 19 95 201 278 298 344 459 3240 4262 5719 6528 7590 10000"
    p = np.array(p.split(), dtype=float) / 10_000
    assert np.sum(benjamini_hochberg_adjusted(p) <= 0.05) == 4
    assert np.sum(holm_adjusted(p) <= 0.05) == 3


@adjustments
@steady
@given(p=p_values, random=st.randoms(use_true_random=False))
def test_adjusted_p_values_stay_with_their_tests_whatever_the_order(adjusted, p, random):
    order = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(adjusted(p[order]), adjusted(p)[order])


@steady
@given(p_values)
def test_controlling_the_family_wise_error_costs_more_than_controlling_false_discoveries(p):
    rounding = 1e-15
    assert np.all(p <= benjamini_hochberg_adjusted(p) + rounding)
    assert np.all(benjamini_hochberg_adjusted(p) <= holm_adjusted(p) + rounding)
    assert np.all(holm_adjusted(p) <= 1)


@adjustments
@pytest.mark.parametrize("bad", [[0.1, np.nan], [-0.1], [1.1], [[0.1]]])
def test_what_is_no_p_value_is_not_adjusted(adjusted, bad):
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjusted(np.array(bad))


@pytest.mark.parametrize(("adjust", "method"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_differences_of_a_scale_agree_with_contrasts_of_statsmodels_logistic_regression(
    adjust, method
):
    scale = bradley_terry(WINS)
    found = all_pairs(scale.scores, scale.covariance, confidence=0.9, adjust=adjust)
    pairs = list(combinations(range(4), 2))
    # The score of condition 0 is held at 0 there, and the mean of all scores here.
    contrasts = np.array([np.eye(4)[i, 1:] - np.eye(4)[j, 1:] for i, j in pairs])
    counts = np.array([(WINS[i, j], WINS[j, i]) for i, j in pairs])
    fit = sm.GLM(counts, contrasts, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=100)
    expected = fit.t_test(contrasts)
    i, j = np.transpose(pairs)
    np.testing.assert_allclose(found.difference[i, j], expected.effect, rtol=1e-7)
    np.testing.assert_allclose(found.p[i, j], expected.pvalue, rtol=1e-6)
    bounds = np.stack([found.low[i, j], found.high[i, j]], axis=1)
    np.testing.assert_allclose(bounds, expected.conf_int(alpha=0.1), rtol=1e-6)
    adjusted = multipletests(expected.pvalue, method=method)[1]
    np.testing.assert_allclose(found.p_adjusted[i, j], adjusted, rtol=1e-6)
    np.testing.assert_array_equal(found.significant(0.05)[i, j], adjusted <= 0.05)


@st.composite
def scales(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(2, 7))
    spread = rng.normal(size=(n, n + 3))
    return rng.normal(size=n), spread @ spread.T / 20


def arrays_of(found):
    return (found.difference, found.low, found.high, found.p, found.p_adjusted)


@steady
@given(scales(), st.randoms(use_true_random=False), st.sampled_from(["holm", "bh"]))
def test_renaming_conditions_renames_differences_and_nothing_else(scale, random, adjust):
    scores, covariance = scale
    order = random.sample(range(len(scores)), len(scores))
    pairs = np.ix_(order, order)
    found = all_pairs(scores, covariance, adjust=adjust)
    renamed = all_pairs(scores[order], covariance[pairs], adjust=adjust)
    for before, after in zip(arrays_of(found), arrays_of(renamed), strict=True):
        np.testing.assert_allclose(after, before[pairs], rtol=1e-9, atol=1e-12)


@steady
@given(scales())
def test_a_difference_is_that_of_the_other_two_sides_turned_round(scale):
    found = all_pairs(*scale)
    np.testing.assert_array_equal(found.difference, -found.difference.T)
    np.testing.assert_allclose(found.low, -found.high.T, atol=1e-12)
    for p in (found.p, found.p_adjusted):
        np.testing.assert_array_equal(p, p.T)
        np.testing.assert_array_equal(np.diag(p), 1.0)
    np.testing.assert_array_equal(np.diag(found.low), 0.0)
    off = ~np.eye(len(found.p), dtype=bool)
    leaves_out_0 = (found.low > 0) | (found.high < 0)
    np.testing.assert_array_equal(leaves_out_0[off], (found.p < 0.05)[off])


@steady
@given(scales(), st.floats(-5, 5), st.floats(0, 5))
def test_a_shift_of_all_scores_known_or_not_changes_no_difference(scale, shift, variance):
    scores, covariance = scale
    found, shifted = all_pairs(*scale), all_pairs(scores + shift, covariance + variance)
    for before, after in zip(arrays_of(found), arrays_of(shifted), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-9)


@steady
@given(scales())
def test_twice_the_judgments_shrink_intervals_of_differences_by_the_root_of_two(scale):
    once, twice = all_pairs(*scale), all_pairs(scale[0], scale[1] / 2)
    width = (once.high - once.low) / np.sqrt(2)
    np.testing.assert_allclose(twice.high - twice.low, width, rtol=1e-9, atol=1e-12)


def test_a_difference_without_variance_is_not_tested_and_costs_the_others_nothing():
    covariance = np.array([[0.1, 0.1, 0], [0.1, 0.1, 0], [0, 0, 0.3]])
    found = all_pairs(np.array([1.0, 0.9, -0.5]), covariance)
    for values in (found.low, found.high, found.p, found.p_adjusted):
        assert np.isnan(values[0, 1])
        assert np.isnan(values[1, 0])
        assert np.isnan(values).sum() == 2
    assert found.reason(0, 1) == "the difference has no variance"
    assert found.reason(0, 2) is None
    assert not found.significant(0.05)[0, 1]
    assert found.difference[0, 1] == pytest.approx(0.1)
    assert found.p[0, 2] == pytest.approx(2 * norm.sf(1.5 / np.sqrt(0.4)))
    assert found.p_adjusted[0, 2] == pytest.approx(2 * found.p[0, 2])


def test_fewer_than_two_scores_have_no_difference_to_test():
    assert all_pairs(np.zeros(0), np.zeros((0, 0))).p.shape == (0, 0)
    assert all_pairs(np.zeros(1), np.ones((1, 1))).p_adjusted.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("scores", "covariance", "options", "reason"),
    [
        ([0, 1], np.eye(3), {}, r"scores \(n,\) and covariance \(n, n\)"),
        ([0, np.nan], np.eye(2), {}, "finite"),
        ([0, 1], [[1, 0.5], [0, 1]], {}, "symmetric"),
        ([0, 1], [[1, 2], [2, 1]], {}, "negative variance"),
        ([0, 1], np.eye(2), {"confidence": 95}, "confidence"),
        ([0, 1], np.eye(2), {"adjust": "tukey"}, "expected holm or bh, found 'tukey'"),
    ],
)
def test_differences_of_what_is_no_scale_are_refused(scores, covariance, options, reason):
    with pytest.raises(ValueError, match=reason):
        all_pairs(np.array(scores, dtype=float), np.array(covariance, dtype=float), **options)


def test_significance_is_asked_for_at_a_level_between_0_and_1():
    with pytest.raises(ValueError, match="alpha"):
        all_pairs(np.zeros(2), np.eye(2)).significant(5)


def matrix(n, differing):
    significant = np.zeros((n, n), dtype=bool)
    for i, j in differing:
        significant[i, j] = significant[j, i] = True
    return significant


@st.composite
def significances(draw, most=9):
    n = draw(st.integers(0, most))
    pairs = list(combinations(range(n), 2))
    return matrix(n, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])


def each_letter(held):
    return re.findall(r"[a-zA-Z]\d*", held)


def holders(letters):
    """{letter: the indexes that hold it}, letters in the order of first holders."""
    sets = {}
    for i, held in enumerate(letters):
        for letter in each_letter(held):
            sets.setdefault(letter, set()).add(i)
    return sets


def homogeneous_groups(significant):
    """Every largest set without a significant pair, by trying all sets of conditions."""
    n = len(significant)
    free = [
        set(group)
        for size in range(n, 0, -1)
        for group in combinations(range(n), size)
        if not significant[np.ix_(group, group)].any()
    ]
    return [group for group in free if not any(group < other for other in free)]


def test_letters_are_those_of_published_examples():
    # The R package multcompView (Graves, Piepho and Selzer), first example of multcompLetters:
    # of A, B and C only B and C differ; letters "ab", "a", "b".
    assert compact_letters(matrix(3, [(1, 2)]), [0, 1, 2]) == ["ab", "a", "b"]
    # The R package TukeyC (Faria, Jelihovschi and Allaman), vignette, data CRD1: tr-2, tr-3, tr-1
    # and tr-4, from the largest mean, with these p values, have letters a, a, a and b.
    p = np.ones((4, 4))
    p[np.triu_indices(4, 1)] = [0.386, 0.150, 0.000, 0.932, 0.004, 0.015]
    assert compact_letters(np.minimum(p, p.T) < 0.05, range(4)) == ["a", "a", "a", "b"]


@steady
@given(significances(), st.randoms(use_true_random=False))
def test_two_conditions_share_a_letter_just_where_they_do_not_differ(significant, random):
    n = len(significant)
    letters = compact_letters(significant, random.sample(range(n), n))
    held = [set(each_letter(text)) for text in letters]
    for i in range(n):
        assert held[i]
        for j in range(n):
            assert bool(held[i] & held[j]) == (not significant[i, j])


@steady
@given(significances())
def test_each_letter_goes_to_all_it_can_and_none_can_be_spared(significant):
    sets = list(holders(compact_letters(significant, range(len(significant)))).values())
    groups = homogeneous_groups(significant)
    assert all(group in groups for group in sets)
    for spared in sets:
        rest = [group for group in sets if group is not spared]
        # i and j may be the same: each condition needs a letter of its own.
        assert not all(any({i, j} <= group for group in rest) for i in spared for j in spared)


def test_up_to_five_conditions_have_the_fewest_letters_there_can_be():
    for n in range(1, 6):
        pairs = list(combinations(range(n), 2))
        for chosen in range(2 ** len(pairs)):
            differing = [pair for bit, pair in enumerate(pairs) if chosen >> bit & 1]
            significant = matrix(n, differing)
            shown = {pair for pair in pairs if pair not in differing} | {(i, i) for i in range(n)}
            groups = [
                {(i, j) for i, j in shown if {i, j} <= group}
                for group in homogeneous_groups(significant)
            ]
            fewest = next(
                size
                for size in range(1, 11)
                if any(set().union(*some) == shown for some in combinations(groups, size))
            )
            assert len(holders(compact_letters(significant, range(n)))) == fewest


@steady
@given(arrays(float, st.integers(1, 12), elements=st.integers(0, 30)), st.integers(0, 20))
def test_where_differences_follow_the_scores_each_letter_is_one_run_of_the_order(scores, least):
    order = np.argsort(-scores, kind="stable")
    letters = compact_letters(np.abs(scores[:, None] - scores) > least, order)
    sets = holders([letters[i] for i in order])
    assert list(sets) == sorted(sets)  # from the best
    for places in sets.values():
        assert max(places) - min(places) + 1 == len(places)
    ends = {int(np.flatnonzero(scores[order] >= top - least).max()) for top in scores}
    assert len(sets) == len(ends)


@steady
@given(significances(), st.randoms(use_true_random=False))
def test_renaming_conditions_moves_their_letters_with_them(significant, random):
    n = len(significant)
    order, names = random.sample(range(n), n), random.sample(range(n), n)
    letters = compact_letters(significant, order)
    renamed = compact_letters(significant[np.ix_(names, names)], [names.index(i) for i in order])
    assert renamed == [letters[i] for i in names]


def test_after_z_come_capitals_and_then_numbers():
    letters = compact_letters(~np.eye(54, dtype=bool), range(54))
    assert [letters[i] for i in (0, 25, 26, 51, 52, 53)] == ["a", "z", "A", "Z", "a2", "b2"]


@pytest.mark.parametrize(
    ("significant", "order", "reason"),
    [
        (np.zeros((2, 3), dtype=bool), [0, 1], "square"),
        (np.zeros((2, 2)), [0, 1], "booleans"),
        (np.eye(2, dtype=bool), [0, 1], "diagonal"),
        (np.triu(np.ones((2, 2), dtype=bool), 1), [0, 1], "symmetric"),
        (np.zeros((2, 2), dtype=bool), [0, 0], "each index from 0 to 1 once"),
        (np.zeros((2, 2), dtype=bool), [1], "each index from 0 to 1 once"),
    ],
)
def test_letters_need_a_symmetric_matrix_and_an_order_of_all_conditions(significant, order, reason):
    with pytest.raises(ValueError, match=reason):
        compact_letters(significant, order)


def test_a_condition_is_best_in_the_share_of_draws_in_which_it_scores_highest():
    draws = [[1, 0, -1], [2, 1, 0], [0, 3, 1], [1, 1, 0], [0, 0, 0], [5, 1, np.nan]]
    best = best_with_probability(np.array(draws))
    expected = np.array([2 + 1 / 2 + 1 / 3, 1 + 1 / 2 + 1 / 3, 1 / 3]) / 5
    np.testing.assert_allclose(best.probability, expected)
    assert (best.n, best.n_left_out) == (5, 1)


@steady
@given(
    arrays(float, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=st.integers(-2, 2)),
    st.randoms(use_true_random=False),
)
def test_probabilities_of_being_best_sum_to_one_and_follow_their_conditions(draws, random):
    best = best_with_probability(draws)
    assert best.probability.sum() == pytest.approx(1.0)
    order = random.sample(range(draws.shape[1]), draws.shape[1])
    renamed = best_with_probability(draws[:, order])
    np.testing.assert_allclose(renamed.probability, best.probability[order])
    shifted = best_with_probability(draws + np.arange(len(draws))[:, None])
    np.testing.assert_allclose(shifted.probability, best.probability)


def test_of_two_normal_scores_one_is_best_with_the_probability_of_a_positive_difference():
    draws = np.random.default_rng(5).normal([0.6, 0.0], [0.8, 0.6], size=(20_000, 2))
    # The difference has mean 0.6 and standard deviation 1; five standard errors of 20,000 draws.
    expected = norm.cdf(0.6)
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert best_with_probability(draws).probability[0] == pytest.approx(expected, abs=5 * error)


def test_no_condition_is_best_where_no_draw_has_all_scores():
    with pytest.raises(NotIdentified, match="none of 2 draws has a score for every condition"):
        best_with_probability(np.array([[1, np.nan], [np.nan, 1]]))
    with pytest.raises(NotIdentified, match="none of 0 draws"):
        best_with_probability(np.zeros((0, 3)))
    with pytest.raises(NotIdentified, match="no conditions"):
        best_with_probability(np.zeros((3, 0)))
    with pytest.raises(ValueError, match="shape"):
        best_with_probability(np.zeros(3))
