import csv
from collections import Counter
from dataclasses import replace
from itertools import combinations

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, linprog, minimize

from evaluation.statistics import NotConverged, NotIdentified, bradley_terry
from evaluation.statistics.plackett_luce import plackett_luce
from evaluation.statistics.rankings import Rankings
from tests.real_data import real_data

steady = settings(deadline=None, max_examples=30)  # a busy machine is no failure

# Preferences between chocolate puddings: i, j, preferred i, preferred j, tied. R. R. Davidson
# (1970), "On extending the Bradley-Terry model to accommodate ties in paired comparison
# experiments", JASA 65, 317-328, example 2, as in the R package PlackettLuce.
PUDDINGS = [
    (1, 2, 19, 22, 16), (1, 3, 16, 19, 12), (2, 3, 19, 19, 10), (1, 4, 18, 23, 13),
    (2, 4, 23, 19, 9), (3, 4, 19, 20, 15), (1, 5, 13, 19, 18), (2, 5, 16, 20, 12),
    (3, 5, 16, 15, 17), (4, 5, 17, 14, 16), (1, 6, 18, 21, 12), (2, 6, 22, 20, 12),
    (3, 6, 13, 18, 10), (4, 6, 14, 19, 18), (5, 6, 11, 21, 12),
]  # fmt: skip


def ranked(texts, weight=None):
    return Rankings.from_columns(None, None, None, texts, weight=weight)


def shared(name):
    return real_data(f"judgments/rankings/{name}")


def nascar():
    """The races of 2002 as rankings of drivers 1 to 83; the other four came last in all of
    theirs, and are left out as in Hunter (2004)."""
    with shared("nascar.csv").open(newline="") as file:
        races = [[int(float(driver)) for driver in row] for row in list(csv.reader(file))[1:]]
    return [[driver for driver in race if driver <= 83] for race in races]


def sushi():
    lines = shared("sushi.soc").read_text().splitlines()
    counted = [line.split(":") for line in lines if not line.startswith("#")]
    return [order.strip().split(",") for _, order in counted], [int(count) for count, _ in counted]


def mm(orders, n, steps):
    """Worths (n,) by Hunter's algorithm: wins over the sums of 1 / (worth of those left)."""
    worth = np.ones(n)
    wins = np.zeros(n)
    for order in orders:
        wins[order[:-1]] += 1
    for _ in range(steps):
        expected = np.zeros(n)
        for order in orders:
            left = worth[order][::-1].cumsum()[::-1]
            per_worth = (1 / left[:-1]).cumsum()
            expected[order] += np.append(per_worth, per_worth[-1])
        worth = wins / expected
        worth /= worth.sum()
    return worth


def choices(rankings):
    """Counts of (chosen, chosen from), read off one ranking after another."""
    found = Counter()
    for row, weight in zip(rankings.rank, rankings.weight, strict=True):
        for place in range(1, row.max() + 1):
            left = frozenset(np.flatnonzero(row >= place).tolist())
            chosen = frozenset(np.flatnonzero(row == place).tolist())
            if len(left) > 1 and weight:
                found[chosen, left] += int(weight)
    return found


def log_f(chosen, parameters, n, orders):
    value = sum(parameters[i] for i in chosen) / len(chosen)
    return value if len(chosen) == 1 else value + parameters[n + orders.index(len(chosen))]


def alternatives(left, orders):
    return [s for d in (1, *orders) for s in combinations(sorted(left), d)]


def tie_orders(rankings):
    return sorted({len(chosen) for chosen, _ in choices(rankings)} - {1})


def slow_log_likelihood(counted, parameters, n, orders):
    """As written by Turner et al. (2020), choice by choice and set by set."""
    total = 0.0
    for (chosen, left), times in counted.items():
        each = [log_f(s, parameters, n, orders) for s in alternatives(left, orders)]
        total += times * (log_f(chosen, parameters, n, orders) - np.logaddexp.reduce(each))
    return total


def has_a_maximum(rankings):
    """Whether no direction, but moving all scores, leaves every choice as likely as it was."""
    n, orders = len(rankings.conditions), tie_orders(rankings)
    if n < 2:
        return False
    features = {}
    for d in (1, *orders):
        for s in combinations(range(n), d):
            features[frozenset(s)] = row = np.zeros(n + len(orders))
            row[list(s)] = 1 / d
            if d > 1:
                row[n + orders.index(d)] = 1
    margins = np.array(
        [
            features[chosen] - features[frozenset(s)]
            for chosen, left in choices(rankings)
            for s in alternatives(left, orders)
        ]
    )
    if np.linalg.matrix_rank(margins) < n + len(orders) - 1:
        return False
    found = linprog(
        -margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1)
    )
    return found.fun > -1e-7


@st.composite
def rankings_of(draw, conditions="abcd", most=12, ties=True):
    texts = []
    for _ in range(draw(st.integers(1, most))):
        order = draw(st.permutations(conditions))[: draw(st.integers(2, len(conditions)))]
        signs = draw(st.lists(st.sampled_from(">>=" if ties else ">"), min_size=9, max_size=9))
        texts.append(order[0] + "".join(s + c for s, c in zip(signs, order[1:], strict=False)))
    return ranked(texts)


def connected(rankings, conditions="abcd"):
    """With a cycle of decided pairs, and a tie of a pair beside a decision, there is a maximum."""
    pairs = list(zip(conditions, conditions[1:] + conditions[0], strict=True))
    known = [f"{a}>{b}" for a, b in pairs] + [f"{b}>{a}" for a, b in pairs] + ["a>b>c=d"]
    rows = [">".join("=".join(names) for names in places) for places in named(rankings)]
    return ranked(known + rows)


def named(rankings):
    for row in rankings.rank:
        yield [
            [rankings.conditions[i] for i in np.flatnonzero(row == place)]
            for place in range(1, row.max() + 1)
        ]


def simulated(scores, m, rng):
    """m full rankings without ties: worths plus Gumbel noise, in order (Yellott 1977)."""
    noisy = scores + rng.gumbel(size=(m, len(scores)))
    rank = np.argsort(np.argsort(-noisy, axis=1), axis=1) + 1
    zero = np.zeros(m, dtype=np.int64)
    labels = tuple(f"c{i}" for i in range(len(scores)))
    return Rankings(zero, zero, zero, rank, zero + 1, ("p",), ("x",), ("1",), labels)


def test_drivers_score_as_published():
    rankings = ranked([" > ".join(map(str, race)) for race in nascar()])
    fit = plackett_luce(rankings)
    score = dict(zip(rankings.conditions, fit.scores, strict=True))
    found = [score[driver] - score["1"] for driver in ("58", "68", "51", "15", "17", "40")]
    # P. Jones, Pruett, Martin, Marcis, Trickle and Varde against Cameron: the worked example of
    # the R package PlackettLuce (Turner et al. 2020), printed to two digits.
    np.testing.assert_allclose(found, [4.15, 3.62, 2.08, 0.03, -0.31, -0.15], atol=5.001e-3)


def test_drivers_score_as_hunters_own_algorithm_says():
    races = nascar()
    rankings = ranked([" > ".join(map(str, race)) for race in races])
    by_driver = np.array([int(name) - 1 for name in rankings.conditions])
    log_worth = np.log(mm([np.array(race) - 1 for race in races], 83, 3000))[by_driver]
    fit = plackett_luce(rankings)
    np.testing.assert_allclose(fit.scores, log_worth - log_worth.mean(), atol=1e-8)


def test_choix_scores_drivers_alike():
    races = nascar()
    rankings = ranked([" > ".join(map(str, race)) for race in races])
    by_driver = np.array([int(name) - 1 for name in rankings.conditions])
    orders = [tuple(driver - 1 for driver in race) for race in races]
    expected = choix.ilsr_rankings(83, orders, tol=1e-10)[by_driver]
    # Two iterations that both stop well below this.
    np.testing.assert_allclose(plackett_luce(rankings).scores, expected, atol=1e-6)


def test_choix_scores_5000_rankings_of_sushi_alike():
    orders, weight = sushi()
    rankings = ranked([" > ".join(order) for order in orders], weight=weight)
    index = {name: i for i, name in enumerate(rankings.conditions)}
    data = [
        tuple(index[name] for name in order)
        for order, count in zip(orders, weight, strict=True)
        for _ in range(count)
    ]
    assert len(data) == 5000
    expected = choix.ilsr_rankings(10, data, tol=1e-10)
    np.testing.assert_allclose(plackett_luce(rankings).scores, expected, atol=1e-6)


def test_chocolate_puddings_score_as_davidson_published():
    texts, weight = [], []
    for i, j, for_i, for_j, tied in PUDDINGS:
        texts += [f"{i} > {j}", f"{j} > {i}", f"{i} = {j}"]
        weight += [for_i, for_j, tied]
    fit = plackett_luce(ranked(texts, weight=weight))
    worth = np.exp(fit.scores) / np.exp(fit.scores).sum()
    # Turner et al.'s vignette, which stops after as many steps as Davidson did: at four digits
    # this is no longer seen.
    published = [0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855]
    np.testing.assert_allclose(worth, published, atol=1e-4)
    assert np.exp(fit.ties[2].value) == pytest.approx(0.7468147, abs=1e-4)
    assert fit.ties[2].standard_error == pytest.approx(0.082499, abs=1e-5)
    # There, against the mean of all.
    errors = np.sqrt(fit.covariance.diagonal())
    published = [0.121949, 0.121818, 0.126823, 0.122003, 0.127054, 0.126594]
    np.testing.assert_allclose(errors, published, atol=1e-5)
    assert -2 * fit.log_likelihood == pytest.approx(1619.4, abs=0.05)


def test_three_conditions_score_as_in_the_r_packages_vignette():
    fit = plackett_luce(ranked(["A > B", "C > A", "B > A", "B > C"]))
    c = fit.covariance
    np.testing.assert_allclose(fit.scores - fit.scores[0], [0, 0.8392, 0.4196], atol=5e-5)
    errors = np.sqrt(c.diagonal() + c[0, 0] - 2 * c[0])
    np.testing.assert_allclose(errors, [0, 1.3596, 1.5973], atol=5e-5)
    assert -2 * fit.log_likelihood == pytest.approx(5.1356, abs=5e-5)


@pytest.mark.parametrize("prior_sd", [None, 0.8])
@pytest.mark.parametrize("seed", range(2))
def test_ties_are_fitted_as_a_general_optimiser_fits_the_written_likelihood(seed, prior_sd):
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(40):
        order = rng.permutation(list("abcde"))[: rng.integers(2, 6)]
        signs = rng.choice([" > ", " > ", " = "], size=len(order) - 1)
        texts.append(order[0] + "".join(s + c for s, c in zip(signs, order[1:], strict=True)))
    rankings = ranked(texts, weight=rng.integers(0, 4, size=40))
    n, orders, counted = 5, tie_orders(rankings), choices(rankings)
    precision = 0.0 if prior_sd is None else prior_sd**-2

    def cost(free):
        # Scores of mean 0 by leaving the last one to the others.
        scores = np.append(free[: n - 1], -free[: n - 1].sum())
        parameters = np.concatenate([scores, free[n - 1 :]])
        return precision * scores @ scores / 2 - slow_log_likelihood(counted, parameters, n, orders)

    best = minimize(cost, np.zeros(n - 1 + len(orders)), method="BFGS", options={"gtol": 1e-3})
    fit = plackett_luce(rankings, prior_sd=prior_sd)
    assert list(fit.ties) == orders
    assert max(orders) >= 3
    found = np.concatenate([fit.scores[: n - 1], [tie.value for tie in fit.ties.values()]])
    # Differences of the slow likelihood err by 1e-6 or so; BFGS stops where they drown its slope.
    np.testing.assert_allclose(found, best.x, atol=1e-4)
    assert cost(found) <= best.fun + 1e-9
    np.testing.assert_allclose(approx_fprime(found, cost, 1e-6), 0, atol=1e-3)
    step = 1e-4 * np.eye(len(found))
    curvature = [
        [(cost(found + a + b) - cost(found + a - b) - cost(found - a + b) + cost(found - a - b))
         for b in step] for a in step
    ]  # fmt: skip
    expected = np.linalg.inv(np.array(curvature) / 4e-8)
    np.testing.assert_allclose(fit.covariance[:4, :4], expected[:4, :4], rtol=1e-3, atol=1e-5)
    errors = [tie.standard_error for tie in fit.ties.values()]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(expected)[4:]), rtol=1e-3)
    parameters = np.concatenate([fit.scores, found[n - 1 :]])
    likeliest = slow_log_likelihood(counted, parameters, n, orders)
    assert fit.log_likelihood == pytest.approx(likeliest, abs=1e-9)


def test_ties_of_a_number_that_never_occurred_are_left_out():
    fit = plackett_luce(ranked(["a = b = c", "a > b > c", "c > b > a", "b > a > c"]))
    assert list(fit.ties) == [3]


@steady
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_two_conditions_are_davidsons_closed_form(wins, losses, ties):
    fit = plackett_luce(ranked(["a > b", "b > a", "a = b"], weight=[wins, losses, ties]))
    assert fit.scores[0] - fit.scores[1] == pytest.approx(np.log(wins / losses), abs=1e-8)
    assert fit.ties[2].value == pytest.approx(np.log(ties / np.sqrt(wins * losses)), abs=1e-8)
    variance = fit.covariance[0, 0] + fit.covariance[1, 1] - 2 * fit.covariance[0, 1]
    assert variance == pytest.approx(1 / wins + 1 / losses)


@steady
@given(rankings_of(ties=False, most=20))
def test_rankings_of_pairs_without_ties_score_as_bradley_terry(rankings):
    pairs = [
        f"{a}>{b}" for places in named(rankings) for (a,), (b,) in combinations(places[:2], 2)
    ] + ["a>b", "b>c", "c>d", "d>a"]
    rankings = ranked(pairs)
    fit, expected = plackett_luce(rankings), bradley_terry(rankings.comparisons().win_matrix())
    np.testing.assert_allclose(fit.scores, expected.scores, atol=1e-7)
    np.testing.assert_allclose(fit.covariance, expected.covariance, rtol=1e-6, atol=1e-8)
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood)
    assert fit.ties == {}


@steady
@given(rankings_of(), st.permutations(range(4)))
def test_renaming_conditions_renames_scores_and_nothing_else(rankings, order):
    rankings = connected(rankings)
    renamed = replace(rankings, rank=rankings.rank[:, order])
    fit, other = plackett_luce(rankings), plackett_luce(renamed)
    np.testing.assert_allclose(other.scores, fit.scores[order], atol=1e-7)
    expected = fit.covariance[np.ix_(order, order)]
    np.testing.assert_allclose(other.covariance, expected, rtol=1e-6, atol=1e-8)
    assert [t.value for t in other.ties.values()] == pytest.approx(
        [t.value for t in fit.ties.values()], abs=1e-7
    )


@steady
@given(rankings_of())
def test_twice_the_rankings_halve_the_covariance(rankings):
    rankings = connected(rankings)
    once = plackett_luce(rankings)
    twice = plackett_luce(rankings.where(np.tile(np.arange(len(rankings.rank)), 2)))
    weighted = plackett_luce(replace(rankings, weight=2 * rankings.weight))
    for fit in (twice, weighted):
        np.testing.assert_allclose(fit.scores, once.scores, atol=1e-7)
        np.testing.assert_allclose(2 * fit.covariance, once.covariance, rtol=1e-6, atol=1e-8)
        assert fit.log_likelihood == pytest.approx(2 * once.log_likelihood)
        for d, tie in once.ties.items():
            assert fit.ties[d].standard_error == pytest.approx(tie.standard_error / np.sqrt(2))


@steady
@given(rankings_of())
def test_scores_have_mean_zero_and_covariances_sum_to_zero(rankings):
    fit = plackett_luce(connected(rankings))
    assert abs(fit.scores.mean()) < 1e-12
    np.testing.assert_allclose(fit.covariance.sum(axis=1), 0, atol=1e-10 * fit.covariance.max())
    assert np.linalg.eigvalsh(fit.covariance)[1] > 0


@settings(deadline=None, max_examples=60)
@given(rankings_of("abc", most=5))
def test_maximum_likelihood_is_refused_just_where_some_parameter_would_be_infinite(rankings):
    if has_a_maximum(rankings):
        fit = plackett_luce(rankings)
        assert np.isfinite(fit.scores).all()
    else:
        with pytest.raises(NotIdentified):
            plackett_luce(rankings)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], "a scale needs at least two conditions, and there are 0"),
        (["avif > jpeg"], "avif never lost to jpeg"),
        (["avif > jpeg > webp", "jpeg > avif"], "webp never won against avif and jpeg"),
        (
            ["avif > jpeg", "jpeg > avif", "bpg > webp", "webp > bpg"],
            "2 groups were never compared with each other: avif and jpeg / bpg and webp",
        ),
        (["avif = jpeg", "jpeg = avif"], "there are so many ties that their parameter is infinite"),
        (
            ["avif = jpeg", "avif > jpeg"],
            "with so many ties nothing bounds the distance from avif to jpeg",
        ),
        (  # Here rounding brings Newton's method to rest on its way to infinity.
            ["c > b > a", "b > c", "b > c", "b > c > a", "b = a = c", "b > c > a"],
            "with so many ties nothing bounds the distance from b and c to a",
        ),
    ],
)
def test_a_scale_that_rankings_do_not_determine_is_refused_with_the_codecs_named(texts, reason):
    rankings = ranked(texts)
    with pytest.raises(NotIdentified) as refused:
        plackett_luce(rankings)
    found = refused.value.explain(rankings.conditions)
    assert found.removesuffix(": the distance is infinite") == reason


def test_rankings_of_no_weight_are_no_rankings():
    rankings = ranked(["a > b", "b > a"], weight=[0, 0])
    with pytest.raises(NotIdentified, match="there are no rankings"):
        plackett_luce(rankings)
    counted = plackett_luce(ranked(["a > b", "b > a", "a = b"], weight=[2, 1, 0]))
    assert counted.ties == {}


def test_a_prior_scores_what_rankings_alone_do_not():
    rankings = ranked(["a > b > c"] * 4 + ["d > e", "e > d"])
    narrow, wide = (plackett_luce(rankings, prior_sd=sd) for sd in (0.5, 2.0))
    assert wide.scores[0] > narrow.scores[0] > 0 > narrow.scores[2] > wide.scores[2]
    # Groups never compared have mean 0 each.
    np.testing.assert_allclose([wide.scores[:3].mean(), wide.scores[3:].mean()], 0, atol=1e-9)
    with pytest.raises(NotIdentified, match="so many ties that their parameter is infinite"):
        plackett_luce(ranked(["a = b"]), prior_sd=1.0)
    for unfit in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="prior_sd"):
            plackett_luce(rankings, prior_sd=unfit)


def test_strata_are_not_mixed():
    rankings = Rankings.from_columns(None, None, ["1", "2"], ["a > b", "b > a"])
    with pytest.raises(ValueError, match="2 strata"):
        plackett_luce(rankings)
    assert plackett_luce(rankings.pooled()).scores == pytest.approx([0, 0])


def test_ties_of_more_conditions_than_can_be_summed_over_are_refused():
    names = [f"c{i:02}" for i in range(40)]
    rankings = ranked([" = ".join(names[:10]) + " > " + " > ".join(names[10:])])
    with pytest.raises(NotConverged, match="ties of up to 10 conditions could have been"):
        plackett_luce(rankings, prior_sd=1.0)


def test_a_large_tie_among_many_conditions_costs_nothing_where_few_were_shown():
    rng = np.random.default_rng(0)
    texts = [" > ".join(f"c{i:02}" for i in rng.permutation(40)[:4]) for _ in range(400)]
    fit = plackett_luce(ranked([*texts, "c01 = c02 = c03 = c04"]))
    assert list(fit.ties) == [4]


def test_one_loss_in_a_million_is_found_and_not_stopped_short_of():
    fit = plackett_luce(ranked(["a > b", "b > a"], weight=[10**6, 1]))
    assert fit.scores[0] - fit.scores[1] == pytest.approx(np.log(1e6), abs=1e-6)


def test_intervals_of_95_percent_cover_the_truth_in_about_95_percent():
    rng = np.random.default_rng(5)
    truth = np.array([-1.0, -0.4, 0.0, 0.5, 0.9])
    covered = []
    for _ in range(250):
        low, high = plackett_luce(simulated(truth, 60, rng)).interval()
        covered.append((low <= truth) & (truth <= high))
    # 250 runs: one score's coverage has a standard error of 1.4 points; the five together less.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_an_interval_narrows_with_less_confidence():
    fit = plackett_luce(simulated(np.zeros(4), 50, np.random.default_rng(1)))
    low, high = fit.interval()
    np.testing.assert_allclose(high - fit.scores, 1.959964 * np.sqrt(fit.covariance.diagonal()))
    narrow_low, narrow_high = fit.interval(0.5)
    assert np.all((low < narrow_low) & (narrow_low < fit.scores) & (narrow_high < high))
    with pytest.raises(ValueError, match="confidence"):
        fit.interval(95)
