import csv
import pickle

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from evaluation.statistics import NotIdentified, bradley_terry
from evaluation.statistics.choice_models import BRADLEY_TERRY
from evaluation.statistics.likelihood import Likelihood, Outcomes
from tests.real_data import real_data

steady = settings(deadline=None)  # a busy machine is no failure

# Citations between statistics journals, 1987-88 (Stigler 1994, as given by Turner and Firth 2012,
# "Bradley-Terry Models in R", Journal of Statistical Software 48(9)): CITATIONS[i][j] = times
# journal j cited journal i, a win of i.
JOURNALS = ["Biometrika", "Comm Statist", "JASA", "JRSS-B"]
CITATIONS = [[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]]


@st.composite
def connected_wins(draw, most=20):
    """Random wins in which each condition has beaten the next, and the last the first."""
    n = draw(st.integers(2, 6))
    wins = draw(arrays(np.float64, (n, n), elements=st.integers(0, most).map(float)))
    np.fill_diagonal(wins, 0)
    wins[np.arange(n), np.roll(np.arange(n), -1)] += 1
    return wins


def likelihood(wins, prior_sd=None):
    return Likelihood(Outcomes.of_wins(np.asarray(wins, float)), BRADLEY_TERRY, prior_sd=prior_sd)


def simulated_wins(scores, per_pair, rng):
    n = len(scores)
    wins = np.zeros((n, n))
    i, j = np.triu_indices(n, 1)
    wins[i, j] = rng.binomial(per_pair, expit(scores[i] - scores[j]))
    wins[j, i] = per_pair - wins[i, j]
    return wins


def test_journals_score_as_published():
    scale = bradley_terry(np.array(CITATIONS))
    against_biometrika = scale.scores - scale.scores[0]
    # Turner and Firth (2012), Biometrika = 0, printed to five digits.
    np.testing.assert_allclose(against_biometrika, [0, -2.94907, -0.47957, 0.26895], atol=5e-6)


def test_standard_errors_of_journals_are_as_published():
    c = bradley_terry(np.array(CITATIONS)).covariance
    errors = np.sqrt(c.diagonal() + c[0, 0] - 2 * c[0])
    # Turner and Firth (2012), of the differences from Biometrika, printed to five digits.
    np.testing.assert_allclose(errors, [0, 0.10255, 0.06059, 0.07083], atol=5e-6)


def published(name):
    path = real_data(f"judgments/published/{name}")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_citations_file_holds_the_counts_used_here():
    rows = published("citations.csv")
    counts = {(row["cited"], row["citing"]): int(row["count"]) for row in rows}
    assert counts == {
        (a, b): CITATIONS[i][j]
        for i, a in enumerate(JOURNALS)
        for j, b in enumerate(JOURNALS)
        if i != j
    }


def test_baseball_teams_score_as_published():
    rows = published("baseball.csv")
    teams = sorted({row["home.team"] for row in rows})
    wins = np.zeros((len(teams), len(teams)))
    for row in rows:
        home, away = teams.index(row["home.team"]), teams.index(row["away.team"])
        wins[home, away] += int(row["home.wins"])
        wins[away, home] += int(row["away.wins"])
    scores = bradley_terry(wins).scores
    # Agresti (2002), "Categorical Data Analysis", as fitted by Turner and Firth (2012).
    expected = {"Baltimore": 0, "Boston": 1.1077, "Cleveland": 0.6839, "Detroit": 1.4364}
    expected |= {"Milwaukee": 1.5814, "New York": 1.2476, "Toronto": 1.2945}
    found = dict(zip(teams, scores - scores[teams.index("Baltimore")], strict=True))
    assert found == pytest.approx(expected, abs=5e-5)  # printed to four digits


@pytest.mark.parametrize("seed", range(5))
def test_choix_finds_the_same_scores(seed):
    rng = np.random.default_rng(seed)
    wins = simulated_wins(rng.normal(0, 1, 6), 30, rng) + 1 - np.eye(6)
    pairs = [(i, j) for i in range(6) for j in range(6) for _ in range(int(wins[i, j]))]
    expected = choix.ilsr_pairwise(6, pairs, tol=1e-12)
    # Two iterations that both stop well below this.
    np.testing.assert_allclose(bradley_terry(wins).scores, expected - expected.mean(), atol=1e-6)


def test_choix_finds_the_same_scores_under_a_prior():
    wins = np.array([[0, 5, 3], [0, 0, 2], [0, 1, 0]])
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(wins[i, j])]
    expected = choix.opt_pairwise(3, pairs, alpha=0.3, method="Newton-CG", tol=1e-12)
    # choix takes 0.3 times the sum of squares off: a normal prior of variance 1 / 0.6.
    scores = bradley_terry(wins, prior_sd=0.6**-0.5).scores
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_three_wins_to_one_are_log_3_apart():
    scale = bradley_terry(np.array([[0, 3], [1, 0]]))
    assert scale.scores == pytest.approx([np.log(3) / 2, -np.log(3) / 2])
    # The variance of a log-odds is 1/3 + 1/1; each score is half the difference.
    assert scale.covariance == pytest.approx(np.array([[1, -1], [-1, 1]]) / 3)
    assert scale.log_likelihood == pytest.approx(3 * np.log(0.75) + np.log(0.25))


@steady
@given(connected_wins())
def test_scores_have_mean_zero_and_expected_wins_equal_wins(wins):
    scale = bradley_terry(wins)
    assert abs(scale.scores.mean()) < 1e-12
    p = expit(scale.scores[:, None] - scale.scores)
    np.testing.assert_allclose(((wins + wins.T) * p).sum(1), wins.sum(1), atol=1e-7)


@steady
@given(connected_wins(), st.randoms(use_true_random=False))
def test_renaming_conditions_renames_scores_and_nothing_else(wins, random):
    order = list(range(len(wins)))
    random.shuffle(order)
    scale, renamed = bradley_terry(wins), bradley_terry(wins[np.ix_(order, order)])
    np.testing.assert_allclose(renamed.scores, scale.scores[order], atol=1e-7)
    expected = scale.covariance[np.ix_(order, order)]
    np.testing.assert_allclose(renamed.covariance, expected, rtol=1e-6, atol=1e-7)


@steady
@given(connected_wins())
def test_twice_the_judgments_halve_the_covariance(wins):
    once, twice = bradley_terry(wins), bradley_terry(2 * wins)
    np.testing.assert_allclose(twice.scores, once.scores, atol=1e-7)
    np.testing.assert_allclose(2 * twice.covariance, once.covariance, rtol=1e-6, atol=1e-7)


@steady
@given(connected_wins())
def test_swapping_wins_and_losses_turns_the_scale_round(wins):
    forth, back = bradley_terry(wins), bradley_terry(wins.T)
    np.testing.assert_allclose(back.scores, -forth.scores, atol=1e-7)


@steady
@given(connected_wins())
def test_the_covariance_is_the_pseudo_inverse_of_fishers_information(wins):
    scale = bradley_terry(wins)
    _, information = likelihood(wins).derivatives(scale.scores)
    expected = np.linalg.pinv(information, hermitian=True)
    np.testing.assert_allclose(scale.covariance, expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(scale.covariance.sum(axis=1), 0, atol=1e-8 * expected.max())


def test_intervals_of_95_percent_cover_the_truth_in_about_95_percent():
    rng = np.random.default_rng(20)
    truth = np.array([-1.0, -0.4, 0.0, 0.5, 0.9])
    covered = []
    for _ in range(600):
        low, high = bradley_terry(simulated_wins(truth, 40, rng)).interval()
        covered.append((low <= truth) & (truth <= high))
    # 600 runs: one score's coverage has a standard error of 0.9 points; the five together less.
    # Three of these, and half a point since Wald's interval is only exact for many judgments.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.032)


def test_an_interval_narrows_with_less_confidence():
    scale = bradley_terry(np.array(CITATIONS))
    low, high = scale.interval(0.95)
    narrow_low, narrow_high = scale.interval(0.5)
    assert np.all((low < narrow_low) & (narrow_low < scale.scores))
    np.testing.assert_allclose(high - scale.scores, 1.959964 * np.sqrt(scale.covariance.diagonal()))
    assert np.all(narrow_high < high)
    with pytest.raises(ValueError, match="confidence"):
        scale.interval(95)


@pytest.mark.parametrize(
    ("wins", "reason"),
    [
        (np.zeros((0, 0)), "a scale needs at least two conditions, and there are 0"),
        (np.zeros((1, 1)), "a scale needs at least two conditions, and there are 1"),
        (np.zeros((3, 3)), "there are no comparisons"),
        ([[0, 7], [0, 0]], "jpeg never lost to webp"),
        ([[0, 2, 0], [1, 0, 0], [4, 1, 0]], "avif never lost to jpeg and webp"),
        ([[0, 2, 3], [1, 0, 0], [0, 0, 0]], "avif never won against jpeg and webp"),
        (
            [[0, 2, 0], [1, 0, 0], [0, 0, 0]],
            "2 groups were never compared with each other: jpeg and webp / avif",
        ),
        (
            [[0, 2, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]],
            "jpeg and webp never lost to avif and bpg",
        ),
    ],
)
def test_a_scale_that_wins_do_not_determine_is_refused_with_the_codecs_named(wins, reason):
    with pytest.raises(NotIdentified) as refused:
        bradley_terry(np.array(wins, dtype=float))
    labels = ["jpeg", "webp", "avif", "bpg"]
    assert refused.value.explain(labels).removesuffix(": the distance is infinite") == reason


def test_a_refusal_names_indexes_where_there_are_no_labels_and_survives_a_task_queue():
    with pytest.raises(NotIdentified) as refused:
        bradley_terry(np.array([[0, 2, 0], [1, 0, 0], [4, 1, 0]]))
    assert refused.value.groups == ((2,), (0, 1))
    copy = pickle.loads(pickle.dumps(refused.value))  # noqa: S301
    assert str(copy).startswith("condition 2 never lost to conditions 0 and 1")


@steady
@given(st.integers(2, 6).flatmap(lambda n: arrays(bool, (n, n))))
def test_maximum_likelihood_is_refused_just_where_some_condition_cannot_be_reached(beaten):
    wins = beaten & ~np.eye(len(beaten), dtype=bool)
    reach = np.linalg.matrix_power(wins + np.eye(len(wins)), len(wins)) > 0
    if reach.all():
        assert np.isfinite(bradley_terry(wins.astype(float)).scores).all()
    else:
        with pytest.raises(NotIdentified):
            bradley_terry(wins.astype(float))


def test_a_prior_scores_a_unanimous_pair():
    wins = np.array([[0, 7], [0, 0]])
    scores = [bradley_terry(wins, prior_sd=sd).scores for sd in (8.0, 2.0, 0.5)]
    assert scores[0][0] > scores[1][0] > scores[2][0] > 0


def test_one_loss_in_a_million_is_found_and_not_stopped_short_of():
    scale = bradley_terry(np.array([[0, 1e6], [1, 0]]))
    assert scale.scores[0] - scale.scores[1] == pytest.approx(np.log(1e6), abs=1e-6)


def test_a_chain_closed_by_one_surprising_win_is_as_long_as_that_win_is_surprising():
    wins = np.diag(np.full(7, 1e4), k=1)
    wins[7, 0] = 1e-4
    # Each condition's surprising losses balance: 1e4 / (1 + exp(d)) = 1e-4 for each step d.
    steps = -np.diff(bradley_terry(wins).scores)
    np.testing.assert_allclose(steps, np.log(1e8 - 1), atol=1e-6)


@pytest.mark.parametrize(
    "wins",
    [  # Newton's full steps from 0 overshoot here, and never come back.
        "0 0 0 0 1; 0 0 1e2 1e3 1; 1e5 0 0 10 0; 0 0.01 0 0 0; 0 0 0 10 0",
        # Here they lead to where the information is singular.
        "0 0 0 0 .5 0; 4.5 0 0 6.5 0 0; 0 10246.5 0 0 138094 0;"
        "0 0 1848.5 0 0 4.5; 5 1 0 0 0 0; 54 0 573.5 6677 0 0",
    ],
)
def test_lopsided_wins_are_fitted_too(wins):
    wins = np.array([row.split() for row in wins.split(";")], dtype=float)
    scores = bradley_terry(wins).scores
    gradient, _ = likelihood(wins).derivatives(scores)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)


@pytest.mark.parametrize(
    "wins",
    [np.zeros((2, 3)), np.zeros(4), [[0, -1], [1, 0]], [[0, np.nan], [1, 0]], [[1, 1], [1, 0]]],
)
def test_what_is_no_win_matrix_is_refused(wins):
    with pytest.raises(ValueError, match="wins"):
        bradley_terry(np.array(wins, dtype=float))


@pytest.mark.parametrize("prior_sd", [-1.0, 0.0, np.inf])
def test_a_prior_without_a_width_is_refused(prior_sd):
    with pytest.raises(ValueError, match="prior_sd"):
        bradley_terry(np.array(CITATIONS), prior_sd=prior_sd)
