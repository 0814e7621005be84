import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.resampling import MOST_CLUSTERS, bootstrap_estimate


def rng(seed=7):
    return np.random.default_rng(seed)


def test_dealing_many_clusters_into_groups_leaves_the_interval_as_it_is():
    x = rng().normal(1, 1, size=20 * MOST_CLUSTERS)
    estimate = bootstrap_estimate(
        np.stack([x, np.ones_like(x)], axis=1),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=len(x),
        clusters="units",
        confidence=0.95,
        n_boot=8000,
        rng=rng(),
    )
    # Expanded percentiles of so many groups are those of Student's t with one degree less.
    low, high = stats.t.interval(0.95, MOST_CLUSTERS - 1, x.mean(), x.std() / np.sqrt(len(x)))
    # Groups add an error of 3 %, samples one of 1.5 %; three of both.
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.1)
    assert estimate.value == pytest.approx(x.mean())


def ratio(parts, *, confidence=0.95, n_boot=500):
    return bootstrap_estimate(
        np.array(parts, dtype=float),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=len(parts),
        clusters="annotators",
        confidence=confidence,
        n_boot=n_boot,
        rng=rng(),
    )


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("g", [8, 10, 40])
def test_bounds_are_quantiles_of_the_samples_at_the_expanded_tail(g, confidence):
    parts = rng(g).uniform(1, 2, size=(g, 2))
    drawn = parts[rng().integers(g, size=(500, g), dtype=np.uint16)].sum(axis=1)
    values = drawn[:, 0] / drawn[:, 1]
    # Hesterberg (2015): as far out of a normal as sqrt(g / (g - 1)) times the quantile of t.
    tail = stats.norm.sf(np.sqrt(g / (g - 1)) * stats.t.ppf((1 + confidence) / 2, g - 1))
    estimate = ratio(parts, confidence=confidence)
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(values, [tail, 1 - tail]))
    plain = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    assert estimate.low < plain[0] < plain[1] < estimate.high


def test_the_interval_of_a_mean_of_few_normal_values_is_that_of_students_t():
    x = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    estimate = ratio(np.stack([x, np.ones_like(x)], axis=1), n_boot=20_000)
    t = stats.t.interval(0.95, 9, x.mean(), stats.sem(x))
    # Quantiles at 0.0086 of 20000 samples have an error of 1 %; the mean of ten drawn values has
    # lighter tails than a normal. Plain percentiles are narrower by 18 %.
    assert (estimate.low, estimate.high) == pytest.approx(t, rel=0.06)


def test_eight_clusters_have_an_interval_and_seven_have_not():
    parts = rng().uniform(1, 2, size=(8, 2))
    estimate = ratio(parts)
    assert estimate.low < estimate.value < estimate.high
    estimate = ratio(parts[:7])
    assert (estimate.low, estimate.high) == (None, None)
    assert estimate.reason == "an interval over annotators needs 8 of them, and there are 7"


def test_a_value_that_many_samples_leave_undetermined_has_no_interval_and_says_why():
    estimate = ratio([[1, 2], *[[0, 0]] * 7])  # (7/8)^8 = 34 % of samples
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert estimate.reason == "too many samples of the annotators leave the value undetermined"


def test_a_few_samples_without_a_value_are_left_out():
    estimate = ratio([[0, 1], [1, 1], [1, 2], *[[0, 0]] * 5])  # (5/8)^8 = 2 % of samples
    assert 0 <= estimate.low < estimate.value < estimate.high <= 1


def test_the_same_seed_gives_the_same_interval():
    parts = rng().uniform(1, 2, size=(3 * MOST_CLUSTERS, 2))
    assert ratio(parts) == ratio(parts)
