import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate
from scipy.sparse import csgraph
from scipy.special import entr, expit

from evaluation.statistics import NotIdentified, bradley_terry
from evaluation.statistics.sampling import (
    _answer_information,
    _expected_weight,
    _posterior,
    information_gain,
    next_pairs,
)

steady = settings(deadline=None)  # a busy machine is no failure


@st.composite
def any_wins(draw, least=2, most=6):
    """Random wins, connected or not, none perhaps."""
    n = draw(st.integers(least, most))
    wins = draw(arrays(np.float64, (n, n), elements=st.integers(0, 9).map(float)))
    np.fill_diagonal(wins, 0)
    return wins


def seeded(seed=0):
    return np.random.default_rng(seed)


def entropy(p):
    return entr(p) + entr(1 - p)


def under_normal(function, mean, variance):
    def weighted(x):
        d = mean + variance**0.5 * x
        return function(expit(d)) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    return integrate.quad(weighted, -12, 12, epsabs=1e-13, limit=500)[0]


@pytest.mark.parametrize("mean", [0.0, 0.7, 3.0, -8.0])
@pytest.mark.parametrize("variance", [1e-6, 0.1, 1.0, 4.0, 8.0])
def test_the_quadrature_agrees_with_adaptive_integration(mean, variance):
    expected = entropy(under_normal(lambda p: p, mean, variance))
    expected -= under_normal(entropy, mean, variance)
    m, v = np.array([mean]), np.array([variance])
    # 24 nodes: 2e-4 nats off at a variance of 8, that of a pair before any judgment.
    assert _answer_information(m, v) == pytest.approx(expected, abs=3e-4)
    expected = under_normal(lambda p: p * (1 - p), mean, variance)
    assert _expected_weight(m, v) == pytest.approx(expected, abs=3e-4)


def test_a_gain_is_how_far_answers_move_the_posterior_as_sampled_by_importance():
    wins = np.array([[0, 4, 1], [2, 0, 3], [0, 1, 0.0]])
    scores, covariance = _posterior(wins, 2.0, None)
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(3))
    draws = scores + seeded().normal(size=(200_000, 3)) @ root.T
    p = expit(draws[:, 0] - draws[:, 2])
    # Kullback and Leibler's divergence of the posterior after each answer, from the one before.
    told = [
        np.mean(chance / chance.mean() * np.log(chance / chance.mean())) for chance in (p, 1 - p)
    ]
    expected = p.mean() * told[0] + (1 - p.mean()) * told[1]
    # 200,000 draws: a standard error of about 0.3 %.
    assert information_gain(wins)[0, 2] == pytest.approx(expected, rel=0.015)


@steady
@given(any_wins())
def test_gains_are_symmetric_and_between_0_and_one_bit(wins):
    gains = information_gain(wins)
    np.testing.assert_array_equal(gains, gains.T)
    assert np.all((gains >= 0) & (gains <= np.log(2)))
    assert not np.any(np.diag(gains))


@steady
@given(any_wins(), st.randoms(use_true_random=False))
def test_relabelling_conditions_permutes_gains(wins, random):
    order = list(range(len(wins)))
    random.shuffle(order)
    np.testing.assert_allclose(
        information_gain(wins[np.ix_(order, order)]),
        information_gain(wins)[np.ix_(order, order)],
        atol=1e-9,
    )


@steady
@given(any_wins())
def test_turning_all_judgments_round_leaves_gains(wins):
    np.testing.assert_allclose(information_gain(wins.T), information_gain(wins), atol=1e-9)


@steady
@given(any_wins())
def test_pending_questions_lower_the_gain_of_their_pair_and_raise_none(wins):
    pending = np.zeros(wins.shape, dtype=np.int64)
    pending[0, 1] = 3
    before, after = information_gain(wins), information_gain(wins, pending=pending)
    assert after[0, 1] < before[0, 1]
    assert np.all(after <= before + 1e-9)
    np.testing.assert_allclose(information_gain(wins, pending=pending.T), after)


@pytest.mark.parametrize("times", [1, 5, 25])
def test_more_judgments_of_a_pair_lower_its_gain(times):
    wins = np.array([[0, 1, 2], [1, 0, 1], [1, 2, 0.0]])
    more = wins.copy()
    more[0, 1] += times
    more[1, 0] += times
    assert information_gain(more)[0, 1] < information_gain(wins)[0, 1]


def test_before_any_judgment_all_pairs_tell_as_much():
    gains = information_gain(np.zeros((4, 4)))
    pairs = gains[np.triu_indices(4, 1)]
    np.testing.assert_allclose(pairs, pairs[0], rtol=1e-12)


def test_an_obvious_pair_tells_less_than_an_open_one():
    wins = np.array([[0, 9, 9, 9], [0, 0, 5, 9], [0, 5, 0, 9], [0, 0, 0, 0.0]])
    gains = information_gain(wins)
    assert gains[0, 3] < gains[1, 2]
    for doubt in (0.0, 5.0, 20.0):
        pairs = next_pairs(wins, 6, rng=seeded(), doubt=doubt)
        assert [0, 3] not in pairs.tolist()


def test_the_first_pair_is_the_one_that_narrows_intervals_most():
    # The slow way: every pair's expected information added to the posterior's precision.
    rng = seeded(3)
    wins = rng.integers(0, 6, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    scale = bradley_terry(wins, prior_sd=2.0)
    precision = np.linalg.pinv(scale.covariance)
    errors = {}
    for i in range(5):
        for j in range(i + 1, 5):
            u = np.eye(5)[i] - np.eye(5)[j]
            mean, variance = u @ scale.scores, u @ scale.covariance @ u
            weight = under_normal(lambda p: p * (1 - p), mean, variance)
            after = np.linalg.pinv(precision + weight * np.outer(u, u))
            errors[i, j] = np.sqrt(np.diag(after)).mean()
    assert tuple(next_pairs(wins, 1, rng=rng, doubt=0.0)[0]) == min(errors, key=errors.get)


def test_with_more_doubt_pairs_whose_order_is_open_come_more_often():
    wins = np.array([[0, 6, 8, 9], [4, 0, 7, 8], [2, 3, 0, 5], [1, 2, 5, 0.0]])
    apart = []
    scale = bradley_terry(wins, prior_sd=2.0)
    for doubt in (0.0, 5.0, 50.0):
        i, j = next_pairs(wins, 40, rng=seeded(), doubt=doubt).T
        apart.append(np.mean(np.abs(scale.scores[i] - scale.scores[j])))
    assert apart[0] > apart[1] > apart[2]


@steady
@given(any_wins(), st.integers(0, 12), st.floats(0, 100))
def test_pairs_are_of_two_conditions_in_order_and_as_many_as_asked_for(wins, size, doubt):
    pairs = next_pairs(wins, size, rng=seeded(), doubt=doubt)
    assert pairs.shape == (size, 2)
    assert pairs.dtype == np.int64
    assert np.all((pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1]) & (pairs[:, 1] < len(wins)))


@steady
@given(any_wins(), st.data())
def test_a_batch_connects_all_that_allowed_pairs_can_connect(wins, data):
    n = len(wins)
    allowed = data.draw(arrays(bool, (n, n)))
    allowed[0, 1] = True
    pairs = next_pairs(wins, n - 1, rng=seeded(), allowed=allowed)
    assert np.all((allowed | allowed.T)[tuple(pairs.T)])
    after = wins.copy()
    np.add.at(after, tuple(pairs.T), 1)
    off_diagonal = ~np.eye(n, dtype=bool)
    possible = (wins > 0) | (allowed & off_diagonal)

    def parts(graph):
        return csgraph.connected_components(graph, directed=False)[0]

    assert parts(after > 0) == parts(possible)


def test_the_first_pairs_of_a_fresh_study_are_a_spanning_tree():
    i, j = next_pairs(np.zeros((12, 12)), 11, rng=seeded()).T
    graph = np.zeros((12, 12))
    graph[i, j] = 1
    assert graph.sum() == 11
    assert csgraph.connected_components(graph, directed=False)[0] == 1


def test_pairs_now_out_with_annotators_count_as_connections_and_are_not_asked_again():
    pending = np.zeros((4, 4), dtype=np.int64)
    pending[0, 1] = pending[2, 1] = 1
    [pair] = next_pairs(np.zeros((4, 4)), 1, rng=seeded(), pending=pending)
    assert pair[1] == 3
    pending[:] = np.triu(np.ones((4, 4)), 1)
    pending[0, 1] = 9
    asked = next_pairs(np.zeros((4, 4)), 4, rng=seeded(), pending=pending).tolist()
    assert [0, 1] not in asked


def test_a_batch_does_not_ask_the_same_while_other_pairs_tell_as_much():
    pairs = next_pairs(np.ones((7, 7)) - np.eye(7), 21, rng=seeded())
    assert len({tuple(pair) for pair in pairs}) == 21


def test_a_pair_comes_twice_where_it_is_the_only_one_in_question():
    assert next_pairs(np.zeros((2, 2)), 3, rng=seeded()).tolist() == [[0, 1]] * 3


def test_the_same_generator_gives_the_same_pairs_and_others_break_ties_otherwise():
    wins = np.zeros((9, 9))
    first = next_pairs(wins, 8, rng=seeded(1))
    np.testing.assert_array_equal(first, next_pairs(wins, 8, rng=seeded(1)))
    assert not np.array_equal(first, next_pairs(wins, 8, rng=seeded(2)))


def test_a_condition_that_never_lost_is_asked_about_too():
    wins = np.array([[0, 50, 50], [0, 0, 5], [0, 5, 0.0]])
    assert np.all(information_gain(wins)[0, 1:] > 0)
    assert next_pairs(wins, 2, rng=seeded()).shape == (2, 2)


def test_a_million_judgments_leave_gains_that_are_numbers():
    gains = information_gain(1e6 * (np.ones((3, 3)) - np.eye(3)))
    assert np.all(np.isfinite(gains))
    assert gains.max() < 1e-6
    assert next_pairs(1e12 * (np.ones((3, 3)) - np.eye(3)), 2, rng=seeded()).shape == (2, 2)


def test_simulated_scales_are_put_in_order_with_fewer_judgments_than_by_all_pairs_in_turn():
    n, rounds = 10, 30
    truth = np.linspace(-2, 2, n)
    i, j = np.triu_indices(n, 1)

    def wrongly_ordered(active, seed):
        rng = seeded(seed)
        wins = np.zeros((n, n))
        for _ in range(rounds):
            if active:
                a, b = next_pairs(wins, n - 1, rng=rng).T
            else:
                asked = (wins + wins.T)[i, j]
                pick = np.lexsort((rng.random(len(i)), asked))[: n - 1]
                a, b = i[pick], j[pick]
            won = rng.random(n - 1) < expit(truth[a] - truth[b])
            np.add.at(wins, (np.where(won, a, b), np.where(won, b, a)), 1)
        scores = bradley_terry(wins, prior_sd=2.0).scores
        return np.sum(scores[i] > scores[j])

    active, in_turn = (sum(wrongly_ordered(k, seed) for seed in range(15)) for k in (True, False))
    assert active < 0.85 * in_turn


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_conditions_are_no_pair(n):
    with pytest.raises(NotIdentified, match=f"a pair needs two conditions, and there are {n}"):
        next_pairs(np.zeros((n, n)), 1, rng=seeded())
    with pytest.raises(NotIdentified):
        information_gain(np.zeros((n, n)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wins": np.zeros((2, 3))}, "square wins"),
        ({"wins": -np.ones((3, 3))}, "wins"),
        ({"size": -1}, "size and doubt"),
        ({"doubt": -0.1}, "size and doubt"),
        ({"doubt": np.inf}, "size and doubt"),
        ({"prior_sd": 0.0}, "prior_sd"),
        ({"pending": np.ones((3, 3), dtype=np.int64)}, "pending"),
        ({"pending": np.zeros((2, 2), dtype=np.int64)}, "pending"),
        ({"allowed": np.ones((2, 2), dtype=bool)}, "allowed"),
        ({"allowed": np.eye(3, dtype=bool)}, "allowed"),
    ],
)
def test_what_does_not_fit_is_refused(change, reason):
    arguments = {"wins": np.zeros((3, 3)), "size": 1} | change
    with pytest.raises(ValueError, match=reason):
        next_pairs(**arguments, rng=seeded())
