from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import binomtest, norm
from statsmodels.stats.multitest import multipletests

from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.leave_one_out import PRIOR_SD, _scores, standardised_likelihood
from evaluation.statistics.reading import read_judgments
from evaluation.statistics.screening import SOURCES, Rules, excluded, screen, without
from evaluation.statistics.triads import circular_triads, coefficient_of_consistence
from tests.real_data import real_data

steady = settings(deadline=None)  # a busy machine is no failure
MEASURES = (*SOURCES, "median_response_ms", "agreement_with_others")
SIDE = {1.0: "left", 0.5: "tie", 0.0: "right"}


def table(rows):
    """Rows of (annotator, content, stratum, left, right, outcome), and perhaps (ms, expected)."""
    columns = list(zip(*rows, strict=True))
    more = {}
    if len(columns) > 6:
        more["response_ms"] = columns[6]
        more["expected"] = [SIDE.get(answer, "") for answer in columns[7]]
    return Comparisons.from_columns(*columns[:5], [SIDE[y] for y in columns[5]], **more)


def crowd(rng, kinds, *, spread=2.0, contents=10, conditions=6, judgments=150, repeats=15, gold=20):
    """Simulated annotators, of one kind each, who answer other questions each.

    The conditions are spread evenly over 1.2 * spread in log-odds, and moved by image by normal
    effects of standard deviation spread / 3, so that nobody's answers fit one scale.
    """
    truth = rng.normal(0, spread / 3, (contents, conditions))
    truth += np.linspace(-0.6, 0.6, conditions) * spread
    questions = np.array(list(product(range(contents), *[range(conditions)] * 2)))
    questions = questions[questions[:, 1] < questions[:, 2]]
    rows = []
    for k, kind in enumerate(kinds):
        asked = questions[rng.permutation(len(questions))[: judgments - repeats]]
        asked = np.concatenate([asked, asked[:repeats]])
        swap = rng.random(len(asked)) < 0.5
        asked[swap, 1:] = asked[swap, :0:-1]
        d = truth[asked[:, 0], asked[:, 1]] - truth[asked[:, 0], asked[:, 2]]
        good = rng.random(gold) < 0.5
        # A careful annotator is right in 95 % of gold questions.
        p = expit(np.concatenate([d, np.where(good, 1, -1) * np.log(19)]))
        p = {"random": 0.5 + 0 * p, "reversed": 1 - p, "sided": 0.2 * p + 0.8}.get(kind, p)
        chosen = rng.random(len(p)) < p
        ms = rng.lognormal(np.log(500 if kind == "fast" else 4000), 0.4, len(p))
        for t, (left, time) in enumerate(zip(chosen, ms, strict=True)):
            name = f"a{k:02d} {kind}"
            if t < len(asked):
                i, a, b = asked[t]
                rows.append((name, f"i{i}", "0.23", f"c{a}", f"c{b}", float(left), time, None))
            else:
                right = float(good[t - len(asked)])
                sides = ("original", "worst") if right else ("worst", "original")
                rows.append((name, "i0", "0.23", *sides, float(left), time, right))
    return table(rows)


@st.composite
def judgments(draw):
    """A few annotators, images, strata and conditions, with ties, repeats, gold and times."""
    row = st.tuples(
        st.sampled_from("ABCDEFG"),
        st.sampled_from("xy"),
        st.sampled_from(["0.23", "0.37"]),
        st.permutations("pqrs"),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([300.0, 2000.0, 9000.0, np.nan]),
        st.sampled_from([None, None, None, 0.0, 1.0]),
    )
    drawn = draw(st.lists(row, min_size=1, max_size=80))
    return table([(*r[:3], r[3][0], r[3][1], *r[4:]) for r in drawn])


def flags(report):
    return {flag.rule for flag in report.flags}


def values(reports):
    return np.array(
        [[np.nan if (v := getattr(r, m).value) is None else v for m in MEASURES] for r in reports]
    )


# --- whom the rules find --------------------------------------------------------------------------


def test_planted_annotators_are_flagged_for_what_is_wrong_with_them():
    kinds = ["careful"] * 26 + ["random", "reversed", "sided", "fast"]
    found = {kind: Counter() for kind in kinds}
    left_out = Counter()
    for seed in range(3):
        reports = screen(crowd(np.random.default_rng(seed), kinds))
        for report, kind in zip(reports, kinds, strict=True):
            found[kind].update(flags(report))
            left_out[kind] += report.annotator in excluded(reports)
    assert found["random"]["correlation_with_others"] == found["random"]["likelihood"] == 3
    assert found["random"]["gold_correct"] >= 1  # 20 questions seldom tell 50 % from 70 %
    assert found["reversed"]["gold_correct"] == found["reversed"]["correlation_with_others"] == 3
    assert found["reversed"]["likelihood"] == 3
    assert found["reversed"]["circular_triads"] == 0  # consistent, only the wrong way round
    assert found["sided"]["side_bias"] == found["sided"]["likelihood"] == 3
    assert found["fast"] == {"too_fast": 3}
    # Answers as good as everybody's are kept, however fast they came.
    assert left_out == {"random": 3, "reversed": 3, "sided": 3, "fast": 0, "careful": 0}


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_careful_annotators_are_hardly_ever_flagged(spread):
    reports = []
    for seed in range(8):
        reports += screen(crowd(np.random.default_rng(100 + seed), ["careful"] * 25, spread=spread))
    counts = Counter(rule for report in reports for rule in flags(report))
    # 200 annotators. The likelihood rule is not adjusted for their number: of normal values it
    # flags 0.35 %, of quartiles of 25 values somewhat more.
    assert counts["likelihood"] <= 6
    assert sum(counts.values()) - counts["likelihood"] <= 3
    assert len(excluded(reports)) <= 2


def test_random_annotators_are_circular_and_repeat_themselves_by_chance():
    kinds = ["careful"] * 20 + ["random"] * 3
    data = crowd(np.random.default_rng(5), kinds, spread=5.0, repeats=60, judgments=210)
    reports = screen(data)
    for report in reports[20:]:
        assert {"circular_triads", "repeat_agreement"} <= flags(report)
        # Of about 200 triads 1/4 with a standard error of 3 points; of 60 repeats 1/2, of 6.5.
        assert report.circular_triads.value == pytest.approx(0.25, abs=0.12)
        assert report.repeat_agreement.value == pytest.approx(0.5, abs=0.2)


def test_a_real_crowd_answers_traps_worse_where_other_rules_flag():
    path = real_data("judgments/jpeg_ai_ptc/JPEG_AIC_SDR_PTC_JPEG_AI_responses_2025.02.28_v1.csv")
    reports = screen(read_judgments(path, format="aic3").comparisons)
    assert len(reports) == 73

    def right(chosen):
        n = sum(report.gold_correct.n for report in chosen)
        return sum(report.gold_correct.value * report.gold_correct.n for report in chosen) / n

    # Traps enter no other rule, so this is independent evidence.
    suspect = [r for r in reports if flags(r) - {"gold_correct"}]
    rest = [r for r in reports if not flags(r) - {"gold_correct"}]
    assert 20 <= len(suspect) <= 32
    assert right(suspect) < 0.55
    assert right(rest) > 0.8


# --- each number, by another way ------------------------------------------------------------------


def test_scipy_finds_the_same_gold_failures():
    for n, right in product(range(1, 21), range(21)):
        if right > n:
            continue
        rows = [("A", "x", "1", "p", "q", float(t < right), 900.0, 1.0) for t in range(n)]
        report = screen(table(rows))[0]
        p = binomtest(right, n, 0.7, alternative="less").pvalue
        assert report.gold_correct.value == right / n
        assert ("gold_correct" in flags(report)) == (p <= 0.05)


def test_scipy_and_statsmodels_find_the_same_side_bias():
    lefts = [5, 10, 12, 15, 16, 17, 18, 19, 20]
    rows = [
        (f"{left:02d}", "x", "1", "p", "q", float(t < left))
        for left in lefts
        for t in range(20)
    ]  # fmt: skip
    rows += [("05", "x", "1", "p", "q", 0.5)] * 7  # ties choose no side
    p = [binomtest(left, 20).pvalue for left in lefts]
    significant, *_ = multipletests(p, 0.05, "holm")
    reports = screen(table(rows))
    assert [r.side_bias.value for r in reports] == pytest.approx(
        [left / 20 - 0.5 for left in lefts]
    )
    assert [r.side_bias.n for r in reports] == [20] * len(lefts)
    assert [("side_bias" in flags(r)) for r in reports] == significant.tolist()


def slow_mean_of_others(rows, mine):
    question = {frozenset(mine[3:5]), *mine[1:3]}
    answers = [
        (2 * row[5] - 1) * (1 if row[3] == mine[3] else -1)
        for row in rows
        if row[0] != mine[0] and {frozenset(row[3:5]), *row[1:3]} == question
    ]
    return np.mean(answers) if answers else None


def as_rows(c):
    labels = (c.annotators, c.contents, c.strata, c.conditions, c.conditions)
    codes = (c.annotator, c.content, c.stratum, c.a, c.b)
    columns = [[names[i] for i in code] for names, code in zip(labels, codes, strict=True)]
    return list(zip(*columns, c.outcome, c.response_ms, c.expected, strict=True))


@steady
@given(judgments())
def test_correlation_is_pearsons_with_each_question_entered_both_ways_round(c):
    ordinary = [row for row in as_rows(c) if np.isnan(row[7])]
    for report in screen(c):
        mine = [row for row in ordinary if row[0] == report.annotator]
        pairs = [(slow_mean_of_others(ordinary, row), 2 * row[5] - 1) for row in mine]
        pairs = [pair for pair in pairs if pair[0] is not None]
        both = np.array([*pairs, *[(-x, -y) for x, y in pairs]]).reshape(-1, 2)
        assert report.correlation_with_others.n == len(pairs)
        if np.any(both[:, 0]) and np.any(both[:, 1]):
            expected = np.corrcoef(both.T)[0, 1]
            assert report.correlation_with_others.value == pytest.approx(expected, abs=1e-9)
        else:
            assert report.correlation_with_others.value is None
        decided = [(x, y) for x, y in pairs if x * y != 0]
        assert report.agreement_with_others.n == len(decided)
        if decided:
            share = np.mean([np.sign(x) == y for x, y in decided])
            assert report.agreement_with_others.value == pytest.approx(share)


@steady
@given(judgments())
def test_times_are_those_of_a_plain_count(c):
    rows = as_rows(c)
    times = {name: [r[6] for r in rows if r[0] == name and r[6] > 0] for name in c.annotators}
    medians = [np.median(each) for each in times.values() if each]
    for report in screen(c):
        if each := times[report.annotator]:
            assert report.median_response_ms.value == np.median(each)
            limit = max(500, np.median(medians) / 4)
            assert report.too_fast.value == np.mean(np.array(each) < limit)
        else:
            assert report.median_response_ms.reason == report.too_fast.reason == "no response times"


def slow_scores(rows, conditions):
    """Scores that maximise the likelihood written out, under the prior, by scipy's BFGS."""
    i = [conditions.index(row[3]) for row in rows]
    j = [conditions.index(row[4]) for row in rows]
    y = np.array([row[5] for row in rows])

    def loss(s):
        d = s[i] - s[j]
        return -np.sum(y * log_expit(d) + (1 - y) * log_expit(-d)) + s @ s / (2 * PRIOR_SD**2)

    return minimize(loss, np.zeros(len(conditions)), tol=1e-10).x


def slow_likelihood(c, name):
    """(log-likelihood, its expectation, its variance) of decided answers given the others."""
    total = np.zeros(3)
    rows = [row for row in as_rows(c) if np.isnan(row[7])]
    for setting in {row[1:3] for row in rows}:
        others = [row for row in rows if row[0] != name and row[1:3] == setting]
        mine = [row for row in rows if row[0] == name and row[1:3] == setting and row[5] != 0.5]
        scores = dict(zip(c.conditions, slow_scores(others, c.conditions), strict=True))
        for row in mine:
            q = expit(scores[row[3]] - scores[row[4]])
            surprise = np.log(q if row[5] else 1 - q)
            mean = q * np.log(q) + (1 - q) * np.log(1 - q)
            variance = q * np.log(q) ** 2 + (1 - q) * np.log(1 - q) ** 2 - mean**2
            total += surprise, mean, variance
    return total


def test_likelihood_given_the_others_is_that_of_a_plain_program():
    data = crowd(np.random.default_rng(3), ["careful"] * 7, contents=3, judgments=40, gold=0)
    data = replace(data, outcome=np.where(np.arange(len(data.a)) % 9 == 0, 0.5, data.outcome))
    z, n = standardised_likelihood(data)
    decided = np.bincount(data.annotator, data.outcome != 0.5)
    np.testing.assert_array_equal(n, decided)
    for k, name in enumerate(data.annotators):
        found, mean, variance = slow_likelihood(data, name)
        # BFGS stops at gradients of about 1e-5.
        assert z[k] == pytest.approx((found - mean) / np.sqrt(variance), abs=1e-3)


def test_where_all_answer_the_same_questions_the_likelihood_rule_is_pwcmps():
    # Two images, all 15 pairs, twice each: pwcmp's design, for which it takes L itself.
    kinds = ["careful"] * 24 + ["reversed", "random"]
    data = crowd(np.random.default_rng(8), kinds, contents=2, judgments=60, repeats=30, gold=0)
    reports = screen(data)
    likelihood = np.array([slow_likelihood(data, name)[0] for name in data.annotators])
    lower, upper = np.quantile(likelihood, [0.25, 0.75], method="hazen")
    pwcmp = np.maximum(0, (lower - likelihood) / (upper - lower))
    ours = np.array([report.likelihood.value for report in reports])
    assert np.corrcoef(ours, pwcmp)[0, 1] > 0.99
    assert [r.annotator for r in reports if "likelihood" in flags(r)] == [
        name for name, distance in zip(data.annotators, pwcmp, strict=True) if distance > 1.5
    ]


def test_lopsided_wins_are_scored_too():
    rng = np.random.default_rng(2)
    wins = 10.0 ** rng.integers(-2, 6, (50, 6, 6)) * (rng.random((50, 6, 6)) < 0.4)
    wins[:, range(6), range(6)] = 0
    scores = _scores(wins)
    d = scores[:, :, None] - scores[:, None, :]
    # At the mode surprising wins balance surprising losses and the prior.
    surprise = wins * expit(-d) - wins.transpose(0, 2, 1) * expit(d)
    np.testing.assert_allclose(surprise.sum(axis=2), scores / PRIOR_SD**2, atol=1e-6)


def holm_flagged(p):
    return multipletests(p, 0.05, "holm")[0].tolist()


def test_rules_relative_to_the_crowd_flag_whom_scipy_and_statsmodels_find():
    kinds = ["careful"] * 14 + ["random"] * 4 + ["reversed", "sided"]
    caught = Counter()
    for seed in range(3):
        data = crowd(np.random.default_rng(seed), kinds, spread=3.0, repeats=40)
        data = replace(data, outcome=np.where(np.arange(len(data.a)) % 11 == 0, 0.5, data.outcome))
        reports = screen(data)
        limits = {}

        r = [report.correlation_with_others.value for report in reports]
        n = [report.correlation_with_others.n for report in reports]
        p = norm.cdf((np.arctanh(r) - np.arctanh(np.median(r))) * np.sqrt(np.array(n) - 2))
        limits["correlation_with_others"] = np.median(r) / 2
        low = np.array(r) < np.median(r) / 2
        expected = (low & holm_flagged(p)).tolist()
        assert [("correlation_with_others" in flags(x)) for x in reports] == expected

        triads = [report.circular_triads.n for report in reports]
        circular = [
            round(report.circular_triads.value * report.circular_triads.n) for report in reports
        ]
        share = sum(circular) / sum(triads)
        p = [
            binomtest(*each, share, "greater").pvalue for each in zip(circular, triads, strict=True)
        ]
        limits["circular_triads"] = (share + 0.25) / 2
        high = [d / m > (share + 0.25) / 2 for d, m in zip(circular, triads, strict=True)]
        expected = (np.array(high) & holm_flagged(p)).tolist()
        assert [("circular_triads" in flags(x)) for x in reports] == expected

        pairs = [report.repeat_agreement.n for report in reports]
        alike = [
            round(report.repeat_agreement.value * report.repeat_agreement.n) for report in reports
        ]
        share = sum(alike) / sum(pairs)
        ties = np.mean(data.without_gold().outcome == 0.5)
        limits["repeat_agreement"] = threshold = (share + ties**2 + (1 - ties) ** 2 / 2) / 2
        p = [binomtest(*each, share, "less").pvalue for each in zip(alike, pairs, strict=True)]
        low = [k / m < threshold for k, m in zip(alike, pairs, strict=True)]
        expected = (np.array(low) & holm_flagged(p)).tolist()
        assert [("repeat_agreement" in flags(x)) for x in reports] == expected
        for flag in (flag for report in reports for flag in report.flags):
            caught[flag.rule] += 1
            if flag.rule in limits:
                assert flag.threshold == pytest.approx(limits[flag.rule])
    assert min(caught[rule] for rule in ("correlation_with_others", "circular_triads")) > 6
    assert caught["repeat_agreement"] > 0


def matlab_quantile(x, p):
    """Matlab's quantile: the i-th of n sorted values is that of (i - 1/2) / n, linear between."""
    return np.interp(p, (np.arange(len(x)) + 0.5) / len(x), np.sort(x))


def test_likelihood_is_counted_in_interquartile_ranges_as_matlab_has_them():
    data = crowd(np.random.default_rng(4), ["careful"] * 9 + ["reversed"], gold=0)
    z, n = standardised_likelihood(data)
    lower, upper = matlab_quantile(z, 0.25), matlab_quantile(z, 0.75)
    expected = np.maximum(0, (lower - z) / (upper - lower))
    reports = screen(data)
    np.testing.assert_allclose([r.likelihood.value for r in reports], expected, atol=1e-12)
    assert [r.likelihood.n for r in reports] == n.tolist()


def test_answers_to_questions_of_nobody_else_say_nothing_of_likelihood():
    rows = [(name, "x", "1", "p", "q", float(k > 0)) for k, name in enumerate("ABCDEF")]
    rows += [("A", "y", "1", "p", "q", 1.0)] * 5
    z, n = standardised_likelihood(table(rows))
    assert n.tolist() == [1] * 6
    assert z[0] < 0
    np.testing.assert_allclose(z[1:], z[1])


# Kendall and Babington Smith (1940), the frequencies of d = 0, 1, 2, ... circular triads among all
# 2^(n (n - 1) / 2) sets of answers.
FREQUENCIES = {3: [6, 2], 4: [24, 16, 24], 5: [120, 120, 240, 240, 280, 24]}


@pytest.mark.parametrize("n", FREQUENCIES)
def test_circular_triads_are_as_frequent_as_published(n):
    pairs = list(combinations(range(n), 2))
    rows = [
        (f"{k:04d}", "x", "1", f"c{i}", f"c{j}", float(left))
        for k, answers in enumerate(product([0, 1], repeat=len(pairs)))
        for (i, j), left in zip(pairs, answers, strict=True)
    ]
    circular, triads = circular_triads(table(rows))
    assert np.bincount(circular).tolist() == FREQUENCIES[n]
    assert set(triads) == {n * (n - 1) * (n - 2) // 6}
    # A quarter, and a variance of 3/16 for each triad.
    assert circular.mean() == triads[0] / 4
    assert circular.var() == pytest.approx(triads[0] * 3 / 16)
    assert coefficient_of_consistence(0, n) == 1
    assert coefficient_of_consistence(len(FREQUENCIES[n]) - 1, n) == 0


@steady
@given(judgments())
def test_circular_triads_are_those_of_a_plain_count(c):
    rows = as_rows(c)
    circular, triads = circular_triads(c)
    for k, name in enumerate(c.annotators):
        expected = [0, 0]
        for setting in product(c.contents, c.strata):
            net = Counter()
            for row in rows:
                if (row[0], *row[1:3]) == (name, *setting):
                    net[row[3], row[4]] += 2 * row[5] - 1
                    net[row[4], row[3]] -= 2 * row[5] - 1
            for p, q, r in combinations(c.conditions, 3):
                signs = np.sign([net[p, q], net[q, r], net[r, p]])
                expected[1] += int(np.all(signs != 0))
                expected[0] += int(abs(signs.sum()) == 3)
        assert [circular[k], triads[k]] == expected


@pytest.mark.parametrize(("d", "n"), [(0, 2), (-1, 5), (6, 5), (3, 4)])
def test_impossible_numbers_of_circular_triads_are_refused(d, n):
    with pytest.raises(ValueError, match="expected"):
        coefficient_of_consistence(d, n)


# --- laws -----------------------------------------------------------------------------------------


@steady
@given(judgments())
def test_swapping_sides_turns_the_side_bias_and_changes_nothing_else(c):
    swapped = replace(c, a=c.b, b=c.a, outcome=1 - c.outcome, expected=1 - c.expected)
    before, after = values(screen(c)), values(screen(swapped))
    side = MEASURES.index("side_bias")
    before[:, side] *= -1
    np.testing.assert_allclose(after, before, atol=1e-9)


@steady
@given(judgments(), st.randoms(use_true_random=False))
def test_renaming_and_reordering_changes_nothing_but_the_order(c, random):
    names, conditions, rows = list("ABCDEFG"), list("pqrs"), as_rows(c)
    renamed = dict(zip(names, random.sample(names, 7), strict=True))
    moved = dict(zip(conditions, random.sample(conditions, 4), strict=True))
    new = [(renamed[r[0]], r[1], r[2], moved[r[3]], moved[r[4]], *r[5:]) for r in rows]
    random.shuffle(new)
    before = {r.annotator: r for r in screen(c)}
    after = {r.annotator: r for r in screen(table(new))}
    assert {renamed[name] for name in before} == set(after)
    for name, report in before.items():
        np.testing.assert_allclose(
            values([after[renamed[name]]]), values([report]), rtol=1e-7, atol=1e-7
        )
        assert flags(after[renamed[name]]) == flags(report)


def test_the_same_careless_answers_are_flagged_only_when_there_are_enough_of_them():
    def share_of_left(n):
        rows = [("A", "x", "1", "p", "q", float(t % 5 > 0)) for t in range(n)]
        return screen(table(rows))[0]

    few, many = share_of_left(10), share_of_left(100)
    assert few.side_bias.value == many.side_bias.value == pytest.approx(0.3)
    assert not few.flags
    assert flags(many) == {"side_bias"}


# --- what cannot be had ---------------------------------------------------------------------------


def test_one_annotator_cannot_be_compared_with_others():
    report = screen(table([("A", "x", "1", "p", "q", 1.0)] * 12))[0]
    assert report.n == 12
    assert report.correlation_with_others.value is report.agreement_with_others.value is None
    assert report.likelihood.reason == "fewer than 5 annotators to compare with"
    assert report.gold_correct.reason == "no gold questions"
    assert report.too_fast.reason == report.median_response_ms.reason == "no response times"
    assert report.circular_triads.reason == "no three conditions were all compared with each other"
    assert report.repeat_agreement.value == 1.0
    assert flags(report) == {"side_bias"}  # always the left


def test_ties_alone_have_no_side_no_majority_and_no_likelihood():
    for report in screen(table([(name, "x", "1", "p", "q", 0.5) for name in "ABCDEF" * 12])):
        assert report.side_bias.reason == "no decided answers"
        assert report.agreement_with_others.value is report.correlation_with_others.value is None
        assert report.likelihood.value is report.circular_triads.value is None
        assert report.flags == ()


def test_annotators_who_all_agree_are_not_flagged():
    rows = [(k, i, "1", *pair, 1.0) for k in "ABCDEF" for i in "xyz" for pair in ("pq", "qp")]
    rows = [(*r[:5], float(r[3] == "p")) for r in rows * 2]
    for report in screen(table(rows)):
        assert report.flags == ()
        assert report.correlation_with_others.value == pytest.approx(1)
        assert report.likelihood.reason == "the middle half of the annotators are all alike"


def test_no_judgments_give_no_reports():
    empty = Comparisons.from_rows([])
    assert screen(empty) == []
    assert excluded([]) == ()
    assert without(empty, ["A"]).annotators == ()


def test_one_who_answered_only_gold_questions_is_reported():
    report = screen(table([("A", "x", "1", "p", "q", 0.0, 800.0, 1.0)] * 4))[0]
    assert (report.n, report.gold_correct.value, report.gold_correct.n) == (4, 0.0, 4)
    assert report.side_bias.value is None
    assert flags(report) == {"gold_correct"}


# --- flags and exclusion --------------------------------------------------------------------------


def test_a_flag_tells_its_number_its_threshold_and_its_source():
    rows = [("A", "x", "1", "p", "q", float(t < 9), 900.0, 1.0) for t in range(20)]
    (flag,) = screen(table(rows))[0].flags
    assert (flag.rule, flag.value, flag.threshold, flag.n) == ("gold_correct", 0.45, 0.7, 20)
    assert flag.why.startswith("45% of 20 gold questions right")
    assert flag.source == SOURCES["gold_correct"]


def test_gold_failures_or_two_flags_exclude_and_nothing_is_deleted():
    kinds = ["careful"] * 20 + ["reversed", "random", "fast"]
    data = crowd(np.random.default_rng(1), kinds)
    before = len(data.outcome)
    out = excluded(screen(data))
    assert out == ("a20 reversed", "a21 random")
    kept = without(data, out)
    assert set(data.annotators) - set(kept.annotators) == set(out)
    assert len(data.outcome) == before
    assert excluded(screen(data), fewest_flags=1) == (*out, "a22 fast")


def test_looser_thresholds_flag_more():
    data = crowd(np.random.default_rng(1), ["careful"] * 10)
    loose = Rules(side_bias=0.0, alpha=0.9, likelihood=0.0, too_fast=0.01, fast_ms=4000.0)
    count = [sum(len(r.flags) for r in screen(data, rules)) for rules in (Rules(), loose)]
    assert count[0] == 0
    assert count[1] > 10


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"gold_correct": 70}, {"fewest": -1}])
def test_impossible_thresholds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)
