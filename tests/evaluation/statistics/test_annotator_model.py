from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import spearmanr

from evaluation.statistics import Comparisons, NotIdentified, bradley_terry, read_judgments
from evaluation.statistics.annotator_model import fit_annotators
from tests.real_data import real_data

steady = settings(deadline=None, max_examples=25)  # a busy machine is no failure


def table(annotator, a, b, outcome, weight=None):
    m = len(outcome)
    return Comparisons(
        annotator=np.asarray(annotator, dtype=np.int64),
        content=np.zeros(m, dtype=np.int64),
        stratum=np.zeros(m, dtype=np.int64),
        a=np.asarray(a, dtype=np.int64),
        b=np.asarray(b, dtype=np.int64),
        outcome=np.asarray(outcome, dtype=np.float64),
        weight=np.ones(m, dtype=np.int64) if weight is None else np.asarray(weight),
        response_ms=np.full(m, np.nan),
        expected=np.full(m, np.nan),
        annotators=tuple(f"person {k:04}" for k in range(max(annotator, default=-1) + 1)),
        contents=("picture",),
        strata=("0.23",),
        conditions=tuple(f"codec {i:03}" for i in range(max([*a, *b], default=-1) + 1)),
    )


def crowd(scores, reliability, side_bias, each, rng, ties=0.0):
    """What annotators of these parameters answer to `each` random questions."""
    n, k = len(scores), len(reliability)
    annotator = np.repeat(np.arange(k), each)
    a = rng.integers(n, size=k * each)
    b = (a + rng.integers(1, n, size=k * each)) % n
    log_odds = reliability[annotator] * (scores[a] - scores[b]) + side_bias[annotator]
    outcome = (rng.random(k * each) < expit(log_odds)).astype(float)
    outcome[rng.random(k * each) < ties] = 0.5
    return table(annotator, a, b, outcome)


def mixed_crowd(seed, k=8, n=4, each=60, ties=0.2):
    rng = np.random.default_rng(seed)
    reliability, side_bias = rng.normal(1.2, 0.5, k), rng.normal(0, 0.5, k)
    return crowd(np.linspace(-1, 1, n), reliability, side_bias, each, rng, ties)


def test_reliabilities_side_biases_and_scores_are_recovered():
    rng = np.random.default_rng(1)
    scores = np.linspace(-1.5, 1.5, 8)
    reliability, side_bias = rng.normal(1, 0.5, 60), rng.normal(0, 0.4, 60)
    fit = fit_annotators(crowd(scores, reliability, side_bias, 400, rng))
    unit = reliability.mean()
    assert fit.reliability.mean() == pytest.approx(1)
    # About twice the standard errors, of 24,000 judgments and of 400 each.
    np.testing.assert_allclose(fit.scores, scores * unit, atol=0.08)
    assert np.sqrt(np.mean((fit.reliability - reliability / unit) ** 2)) < 0.15
    assert np.sqrt(np.mean((fit.side_bias - side_bias) ** 2)) < 0.15
    assert fit.reliability_spread == pytest.approx(0.5, abs=0.12)
    assert fit.side_bias_spread == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_with_half_of_a_crowd_careless_scores_are_nearer_the_truth_than_bradley_terrys(seed):
    rng = np.random.default_rng(seed)
    scores = np.linspace(-1.0, 1.0, 6)
    reliability = np.where(np.arange(60) % 2, 2.0, 0.0)
    comparisons = crowd(scores, reliability, np.zeros(60), 60, rng)
    fit, plain = fit_annotators(comparisons), bradley_terry(comparisons.win_matrix())
    assert np.sum((fit.scores - scores) ** 2) < np.sum((plain.scores - scores) ** 2) / 3
    assert fit.reliability[reliability == 2].min() > fit.reliability[reliability == 0].max() - 0.2
    # Those who guess move no score: their answers turned round change next to nothing.
    careless = reliability[comparisons.annotator] == 0
    turned = replace(
        comparisons, outcome=np.where(careless, 1 - comparisons.outcome, comparisons.outcome)
    )
    np.testing.assert_allclose(fit_annotators(turned).scores, fit.scores, atol=0.15)


def test_annotators_all_alike_give_the_scores_and_errors_of_bradley_terry():
    rng = np.random.default_rng(3)
    comparisons = crowd(np.linspace(-1, 1, 6), np.ones(40), np.zeros(40), 50, rng)
    # Each answers the same, so that nothing at all suggests a difference.
    one = comparisons.where(comparisons.annotator < 4)
    rows = np.tile(np.arange(len(one.outcome)), 20)
    person = np.repeat(np.arange(20), len(one.outcome))
    same = table(person, one.a[rows], one.b[rows], one.outcome[rows])
    fit, plain = fit_annotators(same, side_bias=False), bradley_terry(same.win_matrix())
    assert fit.reliability_spread == 0
    # Annotators count as alike at a spread of 0.01.
    np.testing.assert_allclose(fit.reliability, 1, atol=1e-3)
    np.testing.assert_allclose(fit.scores, plain.scores, atol=1e-3)
    np.testing.assert_allclose(fit.covariance, plain.covariance, rtol=0.01, atol=1e-5)
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=0.01)


def test_intervals_of_95_percent_hold_scores_and_reliabilities_in_about_95_percent():
    rng = np.random.default_rng(4)
    scores, ratio, covered, told, plain = np.linspace(-1.2, 1.2, 6), [], [], [], []
    for _ in range(60):
        reliability, side_bias = rng.normal(1, 0.7, 80), rng.normal(0, 0.4, 80)
        comparisons = crowd(scores, reliability, side_bias, 20, rng)
        unit = reliability.mean()
        fit = fit_annotators(comparisons)
        low, high = fit.interval()
        covered.append((low <= scores * unit) & (scores * unit <= high))
        low, high = fit.reliability_interval()
        told.append((low <= reliability / unit) & (reliability / unit <= high))
        ratio.append(fit.scores @ scores / (unit * scores @ scores))
        low, high = bradley_terry(comparisons.win_matrix()).interval()
        plain.append((low <= scores * unit) & (scores * unit <= high))
    # A score's coverage in 60 runs has a standard error of 2.8 points; six together, about 1.5.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.045)
    assert np.mean(told) == pytest.approx(0.95, abs=0.03)
    # Were annotators not integrated out, scores would be a tenth too wide.
    assert np.mean(ratio) == pytest.approx(1, abs=0.03)
    assert np.mean(plain) < 0.75


@pytest.mark.parametrize("prior_sd", [None, 1.5])
def test_a_slow_search_of_the_written_likelihood_finds_the_same(prior_sd):
    comparisons = mixed_crowd(2)
    fit = fit_annotators(comparisons, prior_sd=prior_sd)
    c, k, n = comparisons, comparisons.n_annotators, len(comparisons.conditions)
    sds = np.array([fit.reliability_spread, fit.side_bias_spread])
    assert sds.min() > 0.1  # or there would be little to find

    def unpacked(x):
        scores = np.append(x[: n - 1], -np.sum(x[: n - 1]))
        reliability = np.append(x[n - 1 : n + k - 2], k - np.sum(x[n - 1 : n + k - 2]))
        return scores, reliability, x[n + k - 2 :]

    def loss(x):
        scores, reliability, bias = unpacked(x)
        value = 0.0 if prior_sd is None else -np.sum(scores**2) / (2 * prior_sd**2)
        for person in range(k):
            mine = c.annotator == person
            d = scores[c.a[mine]] - scores[c.b[mine]]
            log_odds, y = reliability[person] * d + bias[person], c.outcome[mine]
            value += np.sum(y * log_expit(log_odds) + (1 - y) * log_expit(-log_odds))
            away = np.array([reliability[person] - 1, bias[person]]) / sds
            value -= away @ away / 2
            rows = np.stack([d, np.ones_like(d)]) * np.sqrt(expit(log_odds) * expit(-log_odds))
            value -= np.log(np.linalg.det(rows @ rows.T + np.diag(sds**-2))) / 2
        return -value

    start = np.concatenate([np.zeros(n - 1), np.ones(k - 1), np.zeros(k)])
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-5, "maxiter": 2000})
    scores, reliability, bias = unpacked(found.x)
    # Its slopes are differences, good to about 1e-5.
    np.testing.assert_allclose(fit.scores, scores, atol=1e-4)
    np.testing.assert_allclose(fit.reliability, reliability, atol=1e-4)
    np.testing.assert_allclose(fit.side_bias, bias, atol=1e-4)


def test_spreads_are_those_expected_of_annotators_given_the_data():
    fit = fit_annotators(mixed_crowd(6, k=30))
    # The stationary point of expectation-maximisation, which the faster steps must share.
    expected = np.sum((fit.reliability - 1) ** 2 + fit.reliability_error**2) / (30 - 1)
    assert fit.reliability_spread**2 == pytest.approx(expected, rel=1e-5)
    expected = np.mean(fit.side_bias**2 + fit.side_bias_error**2)
    assert fit.side_bias_spread**2 == pytest.approx(expected, rel=1e-5)


@steady
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_renaming_annotators_and_conditions_renames_results_and_nothing_else(seed, random):
    c = mixed_crowd(seed)
    people, codecs = list(range(8)), list(range(4))
    random.shuffle(people)
    random.shuffle(codecs)
    renamed = replace(
        c,
        annotator=np.argsort(people)[c.annotator],
        a=np.argsort(codecs)[c.a],
        b=np.argsort(codecs)[c.b],
    )
    fit, again = fit_annotators(c, prior_sd=3), fit_annotators(renamed, prior_sd=3)
    np.testing.assert_allclose(again.scores, fit.scores[codecs], atol=1e-5)
    np.testing.assert_allclose(again.covariance, fit.covariance[np.ix_(codecs, codecs)], atol=1e-5)
    np.testing.assert_allclose(again.reliability, fit.reliability[people], atol=1e-5)
    np.testing.assert_allclose(again.side_bias, fit.side_bias[people], atol=1e-5)


@steady
@given(st.integers(0, 1000))
def test_swapping_sides_turns_side_biases_round_and_changes_nothing_else(seed):
    c = mixed_crowd(seed)
    swapped = replace(c, a=c.b, b=c.a, outcome=1 - c.outcome)
    fit, again = fit_annotators(c, prior_sd=3), fit_annotators(swapped, prior_sd=3)
    np.testing.assert_allclose(again.side_bias, -fit.side_bias, atol=1e-5)
    np.testing.assert_allclose(again.scores, fit.scores, atol=1e-5)
    np.testing.assert_allclose(again.reliability, fit.reliability, atol=1e-5)
    np.testing.assert_allclose(again.covariance, fit.covariance, atol=1e-5)


@steady
@given(st.integers(0, 1000))
def test_turning_every_answer_round_turns_the_scale_round(seed):
    c = mixed_crowd(seed)
    fit = fit_annotators(c, prior_sd=3)
    again = fit_annotators(replace(c, outcome=1 - c.outcome), prior_sd=3)
    np.testing.assert_allclose(again.scores, -fit.scores, atol=1e-5)
    np.testing.assert_allclose(again.reliability, fit.reliability, atol=1e-5)


@steady
@given(st.integers(0, 1000))
def test_scores_and_reliabilities_sum_as_they_must(seed):
    fit = fit_annotators(mixed_crowd(seed), prior_sd=3)
    assert abs(fit.scores.sum()) < 1e-10
    assert fit.reliability.mean() == pytest.approx(1)
    np.testing.assert_allclose(fit.covariance.sum(axis=1), 0, atol=1e-10)
    assert np.all(np.linalg.eigvalsh(fit.covariance) > -1e-10)


def test_a_weight_stands_for_that_many_judgments():
    c = mixed_crowd(7)
    weight = 1 + np.arange(len(c.outcome)) % 3
    rows = np.repeat(np.arange(len(c.outcome)), weight)
    one, other = fit_annotators(replace(c, weight=weight)), fit_annotators(c.where(rows))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    np.testing.assert_allclose(one.reliability, other.reliability, atol=1e-6)


def test_who_answers_the_opposite_and_who_always_chooses_left_are_told():
    rng = np.random.default_rng(8)
    reliability, side_bias = np.ones(20), np.zeros(20)
    reliability[3], side_bias[5] = -1.0, 2.5
    fit = fit_annotators(crowd(np.linspace(-1.5, 1.5, 5), reliability, side_bias, 150, rng))
    _, high = fit.reliability_interval()
    assert np.flatnonzero(high < 0).tolist() == [3]
    low, _ = fit.side_bias_interval()
    assert np.argmax(fit.side_bias) == 5
    assert low[5] > 0.8


def test_without_side_biases_none_are_reported():
    fit = fit_annotators(mixed_crowd(10), side_bias=False)
    assert fit.side_bias_spread == 0
    assert not fit.side_bias.any()
    assert not fit.side_bias_error.any()


LOOP = [(0, 1, 1), (1, 2, 1), (2, 0, 1)]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "at least two conditions, and there are 0"),
        ([(0, *row) for row in LOOP], "at least two annotators"),
        # Each has a pair of his own: a wider distance may be a more reliable annotator.
        (
            [(0, 0, 1, 1), (0, 1, 0, 1), (1, 1, 2, 1), (1, 2, 1, 1)],
            "the annotators' reliability cannot be told from the scores",
        ),
        # Whether the first is better, or everyone prefers the left.
        (
            [(k, 0, 1, y) for k in range(4) for y in (0, 1)],
            "cannot be told from the scores",
        ),
        ([(k, 0, 1, 1) for k in range(3)], "codec 000 never lost to codec 001"),
        (
            [(k, *pair, y) for k in range(3) for pair in ((0, 1), (2, 3)) for y in (0, 1)],
            "2 groups were never compared with each other",
        ),
    ],
)
def test_what_the_judgments_do_not_determine_is_refused_with_a_reason(rows, reason):
    comparisons = table(*(list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4)
    with pytest.raises(NotIdentified) as refused:
        fit_annotators(comparisons)
    assert reason in refused.value.explain(comparisons.conditions)


def test_a_scale_that_only_a_careless_annotator_holds_together_needs_a_prior():
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    rows = [(k, a, b, float(a < b)) for k in range(10) for a, b in pairs for _ in range(20)]
    rows += [(10, a, b, y) for a, b in pairs for y in (0.0, 1.0) for _ in range(10)]
    comparisons = table(*zip(*rows, strict=True))
    with pytest.raises(NotIdentified, match="only annotators found unreliable"):
        fit_annotators(comparisons, side_bias=False)
    fit = fit_annotators(comparisons, side_bias=False, prior_sd=2)
    assert np.all(np.diff(fit.scores) < 0)
    assert fit.reliability[10] == pytest.approx(0, abs=0.1)


def test_two_annotators_who_contradict_each_other_have_no_scale():
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    for_first = [(a, b, y) for a, b in pairs for y in (1.0, 1.0, 1.0, 0.0)]
    for_first = [(a, b, y if a < b else 1 - y) for a, b, y in for_first]
    rows = [(0, *row) for row in for_first] + [(1, a, b, 1 - y) for a, b, y in for_first]
    rows += [(0, 0, 1, 1.0)]
    with pytest.raises(NotIdentified, match="do not tell a mean reliability"):
        fit_annotators(table(*zip(*rows, strict=True)))


def test_strata_are_not_mixed_and_a_prior_must_be_wide():
    c = mixed_crowd(11)
    two = replace(c, stratum=np.arange(len(c.outcome)) % 2, strata=("0.23", "0.37"))
    with pytest.raises(ValueError, match="2 strata"):
        fit_annotators(two)
    with pytest.raises(ValueError, match="prior_sd"):
        fit_annotators(c, prior_sd=0.0)
    with pytest.raises(ValueError, match="confidence"):
        fit_annotators(c).reliability_interval(95)


def test_in_a_real_crowd_those_found_reliable_are_those_who_answer_traps_right():
    path = real_data("judgments/jpeg_ai_ptc/JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv")
    everything = read_judgments(path, format="aic3").comparisons
    gold = everything.where(~np.isnan(everything.expected))
    asked = np.bincount(gold.annotator)
    right = np.bincount(gold.annotator, gold.outcome == gold.expected) / asked
    ordinary = everything.without_gold()
    assert ordinary.annotators == gold.annotators
    fit = fit_annotators(ordinary, prior_sd=2)
    assert spearmanr(fit.reliability, right).statistic > 0.7
    _, high = fit.reliability_interval()
    # Those who may as well be guessing answered about half of the traps right, as guessers do.
    assert right[high < 0.3].mean() == pytest.approx(0.5, abs=0.1)
