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
    low, high = stats.norm.interval(0.95, x.mean(), x.std() / np.sqrt(len(x)))
    # Groups add an error of 3 %, samples one of 1.5 %; three of both.
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.1)
    assert estimate.value == pytest.approx(x.mean())


def ratio(parts):
    return bootstrap_estimate(
        np.array(parts, dtype=float),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=len(parts),
        clusters="annotators",
        confidence=0.95,
        n_boot=500,
        rng=rng(),
    )


def test_a_value_that_many_samples_leave_undetermined_has_no_interval_and_says_why():
    estimate = ratio([[1, 2], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert estimate.reason == "too many samples of the annotators leave the value undetermined"


def test_a_few_samples_without_a_value_are_left_out():
    estimate = ratio([[0, 1], [1, 1], [1, 2], [1, 1], [0, 0], [0, 0]])
    assert 0 <= estimate.low < estimate.value < estimate.high <= 1


def test_the_same_seed_gives_the_same_interval():
    parts = rng().uniform(1, 2, size=(3 * MOST_CLUSTERS, 2))
    assert ratio(parts) == ratio(parts)
