import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evaluation.statistics import NotIdentified
from evaluation.statistics.concordance import kendall_w

steady = settings(deadline=None)  # a busy machine is no failure


def rng(seed=7):
    return np.random.default_rng(seed)


# Siegel (1956), "Nonparametric Statistics for the Behavioral Sciences", 229-238: three rankings of
# ten entities with ties, given by mean ranks; W = 0.828.
TIED = [
    [1, 4.5, 2, 4.5, 3, 7.5, 6, 9, 7.5, 10],
    [2.5, 1, 2.5, 4.5, 4.5, 8, 9, 6.5, 10, 6.5],
    [2, 1, 4.5, 4.5, 4.5, 4.5, 8, 8, 8, 10],
]


def concordance(rank, content=None, annotator=None, **options):
    """Of one content, and every ranking by another annotator, unless they are given."""
    content = np.zeros(len(rank), int) if content is None else content
    annotator = np.arange(len(rank)) if annotator is None else annotator
    return kendall_w(np.array(rank), content, annotator, rng=rng(), **{"n_boot": 200, **options})


def test_concordance_of_tied_rankings_is_as_published():
    estimate = concordance(stats.rankdata(TIED, method="dense", axis=1))
    assert estimate.value == pytest.approx(0.828, abs=5e-4)
    assert estimate.n == 3
    assert estimate.reason == "an interval over source images needs 8 of them, and there is 1"


@pytest.mark.parametrize("seed", range(5))
def test_friedmans_chi_square_is_m_times_n_less_one_times_w(seed):
    m, n = 6, 5
    rank = stats.rankdata(rng(seed).integers(0, 4, size=(m, n)), method="dense", axis=1)
    chi_square = stats.friedmanchisquare(*rank.T).statistic
    assert concordance(rank).value == pytest.approx(chi_square / (m * (n - 1)))


@steady
@given(arrays(np.int64, (4, 5), elements=st.integers(1, 5)), st.permutations(range(5)))
def test_renaming_conditions_and_reversing_all_orders_changes_no_concordance(scores, order):
    assume(np.ptp(scores, axis=1).any())
    rank = stats.rankdata(scores, method="dense", axis=1)
    value = concordance(rank).value
    assert 0 <= value <= 1 + 1e-12
    assert concordance(rank[:, order]).value == pytest.approx(value, abs=1e-12)
    assert concordance(rank.max() + 1 - rank).value == pytest.approx(value, abs=1e-12)


def test_without_ties_w_tells_the_mean_rank_correlation_of_two_judges():
    rank = np.array([rng(s).permutation(7) + 1 for s in range(5)])
    pairs = [stats.spearmanr(rank[i], rank[j])[0] for i in range(5) for j in range(i)]
    # Kendall and Babington Smith (1939): mean rho = (m W - 1) / (m - 1).
    assert (5 * concordance(rank).value - 1) / 4 == pytest.approx(np.mean(pairs))


def test_concordance_is_the_mean_over_contents_and_over_sets_of_conditions():
    same, opposite = [[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [3, 2, 1]]
    assert concordance(same + opposite, ["x", "x", "y", "y"]).value == pytest.approx(0.5)
    # Of one content, three conditions were ranked alike by two, two others by two oppositely, and
    # one judge is alone with another set.
    rank = [[1, 2, 3, 0], [1, 2, 3, 0], [1, 0, 0, 2], [2, 0, 0, 1], [0, 1, 2, 3]]
    estimate = concordance(rank)
    assert (estimate.value, estimate.n) == (pytest.approx(0.5), 4)


def test_of_several_rankings_by_one_annotator_the_first_counts():
    rank = np.array([[1, 2, 3, 4], [2, 1, 4, 3], [4, 1, 2, 2], [4, 3, 2, 1]])
    repeated = concordance(rank, annotator=["ann", "bob", "ann", "bob"])
    assert repeated == concordance(rank[:2])
    assert repeated.n == 2
    # Squared deviations of rank sums 3, 3, 7, 7 are 16; W = 16 / (m^2 (n^3 - n) / 12) = 16 / 20.
    assert repeated.value == pytest.approx(0.8)


def test_one_annotator_who_ranks_again_is_one_judge():
    with pytest.raises(NotIdentified, match="no two annotators ranked the same"):
        concordance([[1, 2, 3], [1, 2, 3]], annotator=["ann", "ann"])


def test_who_repeats_one_ranking_often_moves_no_concordance():
    rank = np.array([[1, 2, 3, 4], [2, 1, 4, 3], [4, 1, 2, 2]])
    again = np.concatenate([rank, np.repeat(rank[:1], 9, axis=0)])
    assert concordance(again, annotator=[0, 1, 2] + [0] * 9) == concordance(rank)


def test_one_annotator_is_a_judge_of_every_content_and_of_every_set_of_conditions():
    both = ["ann", "bob"] * 2
    contents = concordance([[1, 2], [1, 2], [1, 2], [2, 1]], ["x", "x", "y", "y"], both)
    sets = concordance([[1, 2, 0], [1, 2, 0], [0, 1, 2], [0, 2, 1]], annotator=both)
    for estimate in (contents, sets):
        assert (estimate.value, estimate.n) == (pytest.approx(0.5), 4)


def test_concordance_over_many_contents_has_an_interval_around_it():
    source = rng(2)
    rank = np.array([stats.rankdata(np.arange(5) + source.normal(0, 2, 5)) for _ in range(120)])
    estimate = concordance(rank.astype(int), np.repeat(np.arange(20), 6), np.tile(range(6), 20))
    assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(
    ("rank", "content", "reason"),
    [
        (np.zeros((0, 3), int), [], "no two annotators ranked the same"),
        (np.zeros((0, 3)), [], "no two annotators ranked the same"),
        (np.zeros((0, 0), int), [], "no two annotators ranked the same"),
        ([[1, 2, 3]], ["x"], "no two annotators ranked the same"),
        ([[1, 2, 3], [1, 2, 3]], ["x", "y"], "no two annotators ranked the same"),
        ([[1, 2, 0], [1, 0, 2]], ["x", "x"], "no two annotators ranked the same"),
        ([[1, 1, 1], [1, 1, 1]], ["x", "x"], "tied all conditions"),
    ],
)
def test_concordance_that_rankings_do_not_determine_is_refused(rank, content, reason):
    with pytest.raises(NotIdentified, match=reason):
        concordance(rank, content)


@pytest.mark.parametrize(
    ("rank", "content", "annotator", "message"),
    [
        ([1, 2], ["x", "x"], None, "rank: expected shape"),
        ([[1, 1.5]], ["x"], None, "rank: expected whole"),
        ([[1, -1]], ["x"], None, "rank: expected whole"),
        ([[1, 2]], ["x", "y"], None, "content: expected shape"),
        ([[1, 2]], ["x"], ["ann", "bob"], "annotator: expected shape"),
    ],
)
def test_what_are_no_rankings_is_refused(rank, content, annotator, message):
    with pytest.raises(ValueError, match=message):
        concordance(rank, content, annotator)


def test_parts_of_a_picture_are_ranked_apart_and_drawn_together():
    rank = np.tile([[1, 2, 3], [2, 1, 3], [1, 2, 3], [1, 2, 3]], (5, 1))
    content = np.repeat(np.arange(10), 2)
    annotator = np.tile([0, 1], 10)
    how = {"n_boot": 50}
    apart = kendall_w(rank, content, annotator, rng=np.random.default_rng(0), **how)
    together = kendall_w(
        rank, content, annotator, picture=content // 2, rng=np.random.default_rng(0), **how
    )
    assert together.value == apart.value
    assert apart.low is not None
    assert together.low is None  # five pictures are too few
