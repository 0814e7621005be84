"""How well a metric goes with people: SciPy's correlations of pairs taken both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.statistics import NotIdentified
from evaluation.statistics.metric_agreement import CORRELATIONS, MEASURES, metric_agreement

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def agreement(difference, share, contents=None, **how):
    contents = np.arange(len(share)) if contents is None else contents
    rng = lambda: np.random.default_rng(1)  # noqa: E731
    return metric_agreement(difference, share, contents, **{"n_boot": 200, "rng": rng, **how})


def study(m: int = 80, images: int = 10, *, seed: int = 0):
    """Differences, shares of five votes, and source images, with many ties of both."""
    rng = np.random.default_rng(seed)
    d = np.round(rng.normal(size=m), 1)
    share = rng.binomial(5, 1 / (1 + np.exp(-2 * d))) / 5
    return d, share, rng.integers(0, images, m)


@pytest.mark.parametrize("name", CORRELATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_scipys_of_pairs_taken_both_ways(name, seed):
    d, share, contents = study(seed=seed)
    y = np.round(share - 0.5, 12)
    expected = SCIPY[name](np.r_[d, -d], np.r_[y, -y]).statistic
    assert agreement(d, share, contents)[name].value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_each_resample_is_scipys_of_the_images_that_were_drawn(name):
    # Two of the ten images drawn, as often as the generator says: one resample, by hand.
    d, share, contents = study()
    y = np.round(share - 0.5, 12)
    drawn = np.random.default_rng(1).integers(10, size=(1, 10), dtype=np.uint16)[0]
    rows = np.concatenate([np.flatnonzero(contents == image) for image in drawn])
    expected = SCIPY[name](np.r_[d[rows], -d[rows]], np.r_[y[rows], -y[rows]]).statistic
    found = agreement(d, share, contents, n_boot=1)[name]
    assert found.low == pytest.approx(expected, abs=1e-9)
    assert found.high == pytest.approx(expected, abs=1e-9)


def test_the_2afc_score_is_that_of_a_worked_example():
    # Right with 3 of 4 people, wrong with 1 of 4, undecided: (0.75 + 0.25 + 0.5) / 3.
    assert agreement([1.0, -2.0, 0.0], [0.75, 0.75, 1.0])["two_afc"].value == pytest.approx(0.5)
    assert agreement([1.0, 2.0], [0.75, 1.0])["two_afc"].value == pytest.approx(0.875)


def test_two_pairs_have_a_2afc_score_and_no_correlation():
    assert set(agreement([1.0, 2.0], [0.75, 1.0])) == {"two_afc"}


@given(st.integers(0, 10_000), st.integers(0, 59))
def test_which_of_two_comes_first_changes_nothing(seed, at):
    d, share, contents = study(60, seed=seed)
    turned = d.copy(), share.copy()
    turned[0][at], turned[1][at] = -d[at], 1 - share[at]
    one, other = (agreement(*each, contents, n_boot=5) for each in ((d, share), turned))
    for name in MEASURES:
        assert one[name].value == pytest.approx(other[name].value, abs=1e-9)


def test_perfect_and_opposite_metrics_are_at_the_ends():
    d = np.arange(1.0, 11.0)
    up = agreement(d, 0.5 + d / 20)
    down = agreement(-d, 0.5 + d / 20)
    for name in CORRELATIONS:
        assert up[name].value == pytest.approx(1)
        assert down[name].value == pytest.approx(-1)


def test_intervals_hold_a_correlation_that_is_known():
    # Shares that are the differences plus noise of the same spread: correlation 1 / sqrt(2).
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        d = rng.normal(size=200) * 0.02
        share = 0.5 + d + rng.normal(size=200) * 0.02
        found = agreement(d, share, np.arange(200) // 5)["pearson"]
        held += found.low < 2**-0.5 < found.high
    assert held >= 34  # of 40 at 95 %: fewer have a chance of 0.3 %


def test_few_source_images_give_a_value_without_an_interval_and_a_reason():
    d, share, contents = study(images=4)
    for estimate in agreement(d, share, contents).values():
        assert estimate.low is estimate.high is None
        assert estimate.reason == "an interval over source images needs 8 of them, and there are 4"


@pytest.mark.parametrize(
    ("difference", "share", "reason"),
    [
        ([], [], "no pair"),
        ([0.0, 0.0], [1.0, 0.5], "the metric tells no pair apart"),
        ([1.0, 2.0], [0.5, 0.5], "people are evenly divided on every pair"),
    ],
)
def test_what_cannot_be_had_has_its_reason(difference, share, reason):
    with pytest.raises(NotIdentified, match=reason):
        agreement(difference, share)
