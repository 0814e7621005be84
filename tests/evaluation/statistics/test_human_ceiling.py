import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from evaluation.statistics import Comparisons, NotIdentified, human_ceiling, task_votes
from evaluation.statistics.agreement import leave_one_out_score

steady = settings(deadline=None)  # a busy machine is no failure


def rng():
    return np.random.default_rng(7)


def ceiling(votes, contents=None, **options):
    contents = range(len(votes)) if contents is None else contents
    return human_ceiling(np.array(votes), list(contents), rng=rng(), **options)


def against_majority(votes, contents=None, **options):
    contents = range(len(votes)) if contents is None else contents
    return leave_one_out_score(np.array(votes), list(contents), rng=rng(), **options)


def test_two_who_agree_and_two_who_differ_make_one_half():
    estimate = ceiling([[2, 0], [1, 1]])
    assert (estimate.value, estimate.n) == (0.5, 2)


def test_three_against_one_agree_in_three_of_six_pairs():
    assert ceiling([[3, 1], [1, 3]]).value == 0.5


@steady
@given(st.integers(2, 15), st.integers(0, 100).map(lambda percent: percent / 100))
def test_the_ceiling_is_unbiased_for_any_number_of_votes(n, p):
    k = np.arange(n + 1)
    each = [ceiling([[i, n - i]], n_boot=1).value for i in k]
    assert np.dot(binom.pmf(k, n, p), each) == pytest.approx(p**2 + (1 - p) ** 2, abs=1e-9)


def test_each_vote_is_held_against_the_majority_of_the_others():
    # Of three against one, three meet two to one on their side, and one meets three.
    assert against_majority([[3, 1]]).value == 3 / 4
    # Of three against two, three meet two to two, which is half right, and two meet three to one.
    assert against_majority([[3, 2]]).value == 3 / 5 / 2
    assert against_majority([[2, 2]]).value == 0


@steady
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_the_score_against_the_majority_is_what_leaving_out_vote_by_vote_finds(votes):
    tasks = []
    for first, second in votes:
        each = [1] * first + [-1] * second
        if len(each) >= 2:
            tasks.append(np.mean([(1 + np.sign(sum(each) - vote) * vote) / 2 for vote in each]))
    if tasks:
        assert against_majority(votes).value == pytest.approx(np.mean(tasks), abs=1e-12)
    else:
        with pytest.raises(NotIdentified, match="no task has votes of two annotators"):
            against_majority(votes)


def test_with_two_votes_a_task_the_majority_is_a_random_other_annotator():
    votes = rng().multinomial(2, [0.7, 0.3], size=50)
    assert against_majority(votes) == ceiling(votes)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 60])
def test_the_score_against_the_majority_grows_from_the_ceiling_to_the_share_of_the_larger_side(n):
    p, k = 0.7, np.arange(n + 1)
    each = [against_majority([[i, n - i]], n_boot=1).value for i in k]
    expected = np.dot(binom.pmf(k, n, p), each)
    # Of n - 1 others, the odds of a majority for either side, and half of an even split.
    majority = binom.sf((n - 1) / 2, n - 1, p) + binom.pmf((n - 1) / 2, n - 1, p) / 2
    assert expected == pytest.approx(p * majority + (1 - p) * (1 - majority), abs=1e-9)
    assert p**2 + (1 - p) ** 2 - 1e-9 <= expected <= p + 1e-9


def test_every_task_counts_once_however_many_judged_it():
    assert ceiling([[100, 0], [1, 1]]).value == 0.5


def test_tasks_with_one_vote_or_none_say_nothing():
    assert ceiling([[2, 0], [1, 0], [0, 0], [1, 1]]) == ceiling([[2, 0], [1, 1]])


def test_swapping_sides_and_reordering_tasks_changes_no_value():
    votes = np.array([[3, 1], [2, 2], [0, 5], [4, 3]])
    assert ceiling(votes[:, ::-1]) == ceiling(votes)
    assert ceiling(votes[::-1]).value == pytest.approx(ceiling(votes).value)


def test_without_two_annotators_on_a_task_there_is_no_ceiling():
    for votes in ([[1, 0], [0, 1]], np.zeros((0, 2), int)):
        with pytest.raises(NotIdentified, match="no task has votes of two annotators"):
            ceiling(votes)


def test_few_source_images_give_a_ceiling_without_an_interval_and_say_why():
    estimate = ceiling([[2, 0], [1, 1], [1, 0]], ["kodim01", "kodim01", "kodim02"])
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.5, None, None, 2)
    assert estimate.reason == "an interval over source images needs 8 of them, and there is 1"
    assert ceiling([[2, 0], [1, 1], [1, 2], [0, 3]]).reason.endswith("and there are 4")
    assert ceiling([[2, 0]] * 3 + [[1, 1]] * 4).reason.endswith("and there are 7")


def test_unanimous_annotators_have_a_ceiling_of_one_and_no_interval():
    estimate = ceiling([[4, 0], [0, 3], [2, 0], [3, 0]] * 2)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)
    assert "agree alike" in estimate.reason


def test_the_same_seed_gives_the_same_interval():
    votes = rng().integers(0, 5, size=(40, 2)) + 1
    assert ceiling(votes) == ceiling(votes)


def test_many_tasks_on_few_images_widen_the_interval():
    votes = np.repeat([[4, 0], [2, 2], [3, 1], [0, 4]] * 2, 25, axis=0)
    alone = ceiling(votes)
    clustered = ceiling(votes, np.repeat(range(8), 25))
    assert clustered.value == pytest.approx(alone.value)
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_intervals_of_95_percent_cover_the_ceiling_in_about_95_percent():
    source = np.random.default_rng(11)
    images, tasks_each, annotators = 60, 3, 5
    # Preferences of an image are alike (its own beta), so tasks are not independent; the mean of
    # p^2 + (1-p)^2 over p ~ Beta(1, 1) + no noise is 2/3.
    covered = []
    for _ in range(400):
        p = np.repeat(source.uniform(size=images), tasks_each)
        k = source.binomial(annotators, p)
        estimate = human_ceiling(
            np.stack([k, annotators - k], axis=1),
            np.repeat(np.arange(images), tasks_each),
            n_boot=500,
            rng=source,
        )
        covered.append(estimate.low <= 2 / 3 <= estimate.high)
    # 400 runs have a standard error of 1.1 points; three of these. Expanded percentiles leave
    # nothing to allow for with 60 clusters.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.033)


def test_ten_source_images_are_enough_for_intervals_to_cover_where_plain_percentiles_fall_short():
    source = np.random.default_rng(13)
    images, tasks_each, annotators = 10, 3, 5
    covered, covered_by_plain = [], []
    for _ in range(600):
        k = source.binomial(annotators, np.repeat(source.uniform(size=images), tasks_each))
        votes = np.stack([k, annotators - k], axis=1)
        contents = np.repeat(np.arange(images), tasks_each)
        estimate = human_ceiling(votes, contents, n_boot=1000, rng=source)
        covered.append(estimate.low <= 2 / 3 <= estimate.high)  # as above
        pairs = (votes * (votes - 1)).sum(axis=1) / (annotators * (annotators - 1))
        each = pairs.reshape(images, tasks_each).mean(axis=1)
        drawn = each[source.integers(images, size=(1000, images))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered_by_plain.append(low <= 2 / 3 <= high)
    # 600 runs have a standard error of 0.9 points; three of these.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.027)
    # Plain percentiles are 1.96 sqrt(9/10) standard errors wide where t asks for 2.26: 90.4 %. On
    # the same studies the two differ by 4 points, with a standard error of 0.8.
    assert np.mean(covered_by_plain) < np.mean(covered) - 0.016


@pytest.mark.parametrize(
    ("votes", "contents", "message"),
    [
        ([[1, 2, 3]], ["x"], "votes: expected shape"),
        ([[1, 2]], ["x", "y"], "contents: expected shape"),
        ([[-1, 2]], ["x"], "votes: expected whole numbers"),
        ([[1.5, 2]], ["x"], "votes: expected whole numbers"),
    ],
)
def test_what_are_no_votes_is_refused(votes, contents, message):
    with pytest.raises(ValueError, match=message):
        ceiling(votes, contents)


def test_a_confidence_in_percent_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        ceiling([[2, 0]], confidence=95)


def test_votes_are_counted_for_a_task_whichever_side_was_left():
    votes, contents = task_votes(
        Comparisons.from_rows(
            [
                ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
                ("bob", "kodim01", "0.23", "webp", "jpeg", "right"),
                ("eve", "kodim01", "0.23", "webp", "jpeg", "left"),
                ("ann", "kodim01", "0.37", "jpeg", "webp", "left"),
                ("ann", "kodim02", "0.23", "jpeg", "avif", "right"),
            ]
        )
    )
    assert dict(zip(contents.tolist(), votes.tolist(), strict=False))["kodim02"] == [1, 0]
    assert sorted(votes.tolist()) == [[1, 0], [1, 0], [2, 1]]


def test_a_repeat_is_no_second_rater_and_a_tie_no_vote():
    votes, contents = task_votes(
        Comparisons.from_rows(
            [
                ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
                ("ann", "kodim01", "0.23", "webp", "jpeg", "left"),
                ("bob", "kodim01", "0.23", "webp", "jpeg", "tie"),
            ]
        )
    )
    assert (votes.tolist(), contents.tolist()) == ([[1, 0]], ["kodim01"])


def test_a_weight_makes_no_further_raters():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("bob", "kodim01", "0.23", "jpeg", "webp", "right"),
        ("ann", "kodim02", "0.23", "jpeg", "webp", "left"),
    ]
    votes, contents = task_votes(Comparisons.from_rows(rows, weight=[7, 1, 4]))
    assert (votes.tolist(), contents.tolist()) == ([[1, 1], [1, 0]], ["kodim01", "kodim02"])
    # Seven against one would agree in 3/4 of their pairs, and four of one mind always.
    assert (ceiling(votes, contents).value, ceiling(votes, contents).n) == (0, 1)


def test_one_annotator_asked_many_times_has_no_ceiling():
    rows = [("ann", f"kodim{i}", "0.23", "jpeg", "webp", "left") for i in range(9)]
    with pytest.raises(NotIdentified, match="no task has votes of two annotators"):
        ceiling(*task_votes(Comparisons.from_rows(rows, weight=[5] * 9)))


def test_a_row_of_weight_zero_is_no_vote():
    rows = [
        ("ann", "kodim01", "0.23", "jpeg", "webp", "left"),
        ("bob", "kodim01", "0.23", "jpeg", "webp", "right"),
    ]
    votes, _ = task_votes(Comparisons.from_rows(rows, weight=[1, 0]))
    assert votes.tolist() == [[1, 0]]


def test_no_judgments_are_no_votes():
    votes, contents = task_votes(Comparisons.from_rows([]))
    assert (votes.shape, contents.shape) == ((0, 2), (0,))
