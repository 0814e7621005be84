import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit

from evaluation.statistics import Comparisons, NotIdentified, bradley_terry
from evaluation.statistics.clusters import robust
from evaluation.statistics.estimate import Estimate
from evaluation.statistics.multiplicity import holm_adjusted
from evaluation.statistics.planning import (
    PlanRow,
    Prior,
    _median,
    _rejected,
    _scales,
    _widest,
    annotator_hours,
    judgments_for_power,
    judgments_for_width,
    plan,
)
from evaluation.statistics.scaling import fit_scale
from evaluation.statistics.simulated import (
    answer,
    design_of,
    first_asked,
    population_shares,
    simulate_study,
)

steady = settings(deadline=None)  # a busy machine is no failure
ALIKE = {"annotator_sd": 0.0, "content_sd": 0.0}


def comparisons_of(design, chosen, n):
    """One simulated study, built by the door that files are read through."""
    names = [f"codec {k}" for k in range(n)]
    return Comparisons.from_columns(
        [f"annotator {k}" for k in design.annotator],
        [f"content {k}" for k in design.content],
        ["all"] * len(design.a),
        [names[k] for k in design.a],
        [names[k] for k in design.b],
        ["left" if won else "right" for won in chosen],
    )


# The simulated study


@steady
@given(
    st.integers(2, 5), st.integers(1, 7), st.integers(1, 9), st.data(), st.integers(0, 2**32 - 1)
)
def test_every_pair_is_judged_on_every_image_and_nobody_meets_a_task_twice(
    n, n_contents, n_annotators, data, seed
):
    per_task = data.draw(st.integers(1, n_annotators))
    c = simulate_study(
        np.zeros(n),
        n_annotators=n_annotators,
        n_contents=n_contents,
        judgments_per_task=per_task,
        rng=np.random.default_rng(seed),
    )
    pair = np.minimum(c.a, c.b) * n + np.maximum(c.a, c.b)
    _, times = np.unique(np.stack([pair, c.content]), axis=1, return_counts=True)
    assert len(times) == n * (n - 1) // 2 * n_contents
    assert np.all(times == per_task)
    _, times = np.unique(np.stack([pair, c.content, c.annotator]), axis=1, return_counts=True)
    assert np.all(times == 1)
    # Each round gives nobody more than one judgment above another.
    load = np.bincount(c.annotator, minlength=n_annotators)
    assert np.ptp(load) <= per_task


def test_simulated_shares_are_those_of_the_population():
    scores = np.array([0.8, 0.0, -0.5])
    model = {"annotator_sd": 0.7, "content_sd": 0.5, "side_bias": 0.4, "lapse": 0.1}
    c = simulate_study(
        scores,
        n_annotators=1000,
        n_contents=1000,
        judgments_per_task=50,
        rng=np.random.default_rng(1),
        **model,
    )
    wins = c.win_matrix()
    shares = population_shares(scores, **model)
    # 1000 annotators' deviations of 0.7 move a share by about 0.006 (one standard error).
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose((wins / np.maximum(wins + wins.T, 1))[off], shares[off], atol=0.02)
    # The left side is chosen more often, by the bias as the model has it, diluted by the rest.
    assert 0.54 < c.outcome.mean() < expit(0.4)


def test_population_shares_are_the_integral_over_deviations():
    shares = population_shares(
        np.array([1.0, -0.5]), annotator_sd=0.6, content_sd=0.8, side_bias=0.3, lapse=0.2
    )
    sd = np.sqrt(2 * (0.6**2 + 0.8**2))

    def answer(d):
        return 0.1 + 0.8 * (expit(1.5 + d + 0.3) + expit(1.5 + d - 0.3)) / 2

    # Independent: scipy's adaptive quadrature.
    expected, _ = integrate.quad(lambda d: answer(d) * stats.norm.pdf(d, 0, sd), -12, 12)
    assert shares[0, 1] == pytest.approx(expected, abs=1e-7)
    assert shares[1, 0] == pytest.approx(1 - expected, abs=1e-7)


def test_without_deviations_a_scale_finds_the_true_scores_again():
    scores = np.array([0.9, 0.2, -1.1])
    np.testing.assert_allclose(bradley_terry(population_shares(scores)).scores, scores, atol=1e-7)


def test_a_seed_makes_the_same_study_again():
    def study(seed):
        return simulate_study(
            np.array([0.5, -0.5, 0.0]),
            n_annotators=5,
            n_contents=4,
            judgments_per_task=3,
            annotator_sd=0.5,
            rng=np.random.default_rng(seed),
        )

    np.testing.assert_array_equal(study(4).outcome, study(4).outcome)
    np.testing.assert_array_equal(study(4).annotator, study(4).annotator)
    assert np.any(study(4).outcome != study(5).outcome)


# The scales of many simulated studies


@pytest.mark.parametrize("size", [10, 16])
@pytest.mark.parametrize("over", [("annotator", "content"), ("content",), ("annotator",), ()])
def test_simulated_studies_get_the_scores_and_covariances_of_real_ones(size, over):
    rng = np.random.default_rng(8)
    n, n_studies = 4, 5
    whole = design_of(n, 16, 5, 9, rng)
    scores = rng.normal(0, 0.5, (n, n_studies))
    answers = answer(whole, scores, 0.5, 0.5, 0.1, 0.05, rng)
    design = first_asked(whole, size * 6)
    fitted, covariance, df = _scales(design, answers[: len(design.a)], n, over)
    for s in range(n_studies):
        # Independent: one study at a time, through the functions that analyse real data.
        comparisons = comparisons_of(design, answers[: len(design.a), s], n)
        scale = fit_scale(comparisons)
        if over:
            scale = robust(comparisons, scale, over=over)
        np.testing.assert_allclose(fitted[s], scale.scores, atol=1e-6)
        np.testing.assert_allclose(covariance[s], scale.covariance, atol=1e-6)
        assert df == scale.degrees_of_freedom


@steady
@given(
    st.lists(st.floats(0, 0.1), min_size=1, max_size=8),
    st.sampled_from([0.01, 0.05, 0.1]),
)
def test_holms_test_of_many_studies_is_that_of_one(p, alpha):
    each = np.array(p)
    expected = holm_adjusted(each) <= alpha
    np.testing.assert_array_equal(_rejected(each[None], alpha, holm=True)[0], expected)


# The plan


def test_an_interval_narrows_with_the_square_root_of_the_number_of_judgments():
    rows = plan(
        Prior.known([0.4, 0.0, -0.4]),
        [50, 200, 800],
        n_contents=100,
        n_annotators=40,
        over=(),
        rng=np.random.default_rng(0),
        **ALIKE,
    )
    width = [row.width.value for row in rows]
    # A median of 200 intervals, whose widths differ by 2 % or so at 200 judgments a pair.
    assert width[0] / width[1] == pytest.approx(2, rel=0.02)
    assert width[1] / width[2] == pytest.approx(2, rel=0.01)
    # With codecs alike, the information of a pair is a quarter of its judgments; a third codec
    # adds half as much again to what the pair itself tells.
    (row,) = plan(
        Prior.known([0.0, 0.0, 0.0]),
        [400],
        n_contents=100,
        n_annotators=40,
        over=(),
        rng=np.random.default_rng(0),
        **ALIKE,
    )
    assert row.width.value == pytest.approx(2 * 1.959964 / np.sqrt(1.5 * 100), rel=0.01)
    assert row.share_width.value == pytest.approx(row.width.value / 4, rel=0.01)
    # Scores add up to 0: of n alike, the variance of a difference is 2 / (1 - 1/n) that of one. The
    # widest of three is a little wider.
    assert row.score_width.value == pytest.approx(row.width.value / np.sqrt(3), rel=0.02)
    assert row.score_width.value > row.width.value / np.sqrt(3)


def test_the_width_of_a_score_is_that_of_the_widest_on_a_scale_of_real_judgments():
    rng = np.random.default_rng(3)
    n, n_studies = 4, 3
    design = design_of(n, 16, 5, 9, rng)
    answers = answer(design, rng.normal(0, 0.5, (n, n_studies)), 0.5, 0.5, 0.1, 0.05, rng)
    found = _widest(*_scales(design, answers, n, ("annotator", "content")), 0.95)
    for s in range(n_studies):
        comparisons = comparisons_of(design, answers[:, s], n)
        scale = robust(comparisons, fit_scale(comparisons), over=("annotator", "content"))
        low, high = scale.interval(0.95)
        assert found[s] == pytest.approx(np.max(high - low), abs=1e-6)


def test_a_width_does_not_fall_below_what_few_images_allow():
    rows = plan(
        Prior.known([0.0, 0.0]),
        [40, 400, 4000],
        n_contents=8,
        n_annotators=500,
        annotator_sd=0.0,
        content_sd=0.8,
        rng=np.random.default_rng(0),
    )
    # However many judgments, the share is known from 8 images. Its variance among images is
    # integrated by scipy; a variance estimated from 8 has a median below its mean.
    sd = 0.8 * np.sqrt(2)
    variance, _ = integrate.quad(lambda d: (expit(d) - 0.5) ** 2 * stats.norm.pdf(d, 0, sd), -9, 9)
    error = np.sqrt(variance * stats.chi2.median(7) / 7 / 8) / 0.25  # in log-odds
    assert rows[-1].width.value == pytest.approx(2 * stats.t.ppf(0.975, 7) * error, rel=0.1)
    assert rows[0].width.value < 1.6 * rows[-1].width.value


def test_the_power_for_two_codecs_is_the_exact_binomial_one():
    d, n = 0.28, 400
    (row,) = plan(
        Prior.known([d / 2, -d / 2]),
        [n],
        n_contents=20,
        n_annotators=30,
        over=(),
        n_studies=20_000,
        rng=np.random.default_rng(3),
        **ALIKE,
    )
    # Independent: the probability of all counts that Wald's test of the log-odds rejects.
    k = np.arange(1, n)
    rejects = np.abs(np.log(k / (n - k))) * np.sqrt(k * (n - k) / n) > stats.norm.ppf(0.975)
    expected = stats.binom.pmf(k[rejects], n, expit(d)).sum()
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert row.power.value == pytest.approx(expected, abs=4 * error)
    assert row.power.low < row.power.value < row.power.high
    # The exact binomial test, whose size is below 0.05, rejects a little less often.
    exact = 2 * stats.binom.cdf(np.minimum(k, n - k), n, 0.5) <= 0.05
    assert row.power.value == pytest.approx(stats.binom.pmf(k[exact], n, expit(d)).sum(), abs=0.04)


def test_without_a_true_difference_power_is_alpha():
    (row,) = plan(
        Prior.known(np.zeros(4)),
        [100],
        n_contents=20,
        n_annotators=20,
        pair=(2, 1),
        over=(),
        n_studies=4000,
        rng=np.random.default_rng(5),
        **ALIKE,
    )
    # Four Monte-Carlo errors of 4000 studies are 0.014.
    assert row.power.value == pytest.approx(0.05, abs=0.014)


def test_where_annotators_and_images_differ_only_the_clustered_test_keeps_alpha():
    def false_alarms(over):
        (row,) = plan(
            Prior.known(np.zeros(3)),
            [120],
            n_contents=40,
            n_annotators=40,
            annotator_sd=0.5,
            content_sd=0.5,
            over=over,
            n_studies=1500,
            rng=np.random.default_rng(6),
        )
        return row.power.value

    # Three Monte-Carlo errors are 0.017; a sandwich of 40 clusters is a little short.
    assert false_alarms(("annotator", "content")) == pytest.approx(0.05, abs=0.025)
    assert false_alarms(()) > 0.10


def test_holms_adjustment_costs_power():
    def power(holm):
        (row,) = plan(
            Prior.known([0.5, 0.0, 0.1, -0.1]),
            [40],
            n_contents=20,
            n_annotators=20,
            pair=(0, 1),
            holm=holm,
            over=(),
            n_studies=1000,
            rng=np.random.default_rng(7),
            **ALIKE,
        )
        return row.power.value

    assert power(holm=True) < power(holm=False) - 0.05


def pilot():
    return simulate_study(
        np.array([0.6, 0.1, -0.7]),
        n_annotators=6,
        n_contents=5,
        judgments_per_task=4,
        rng=np.random.default_rng(2),
    )


def test_a_pilots_plan_is_the_same_for_the_same_seed():
    def rows(seed):
        return plan(
            Prior.from_pilot(pilot()),
            [20, 40],
            n_contents=20,
            n_annotators=20,
            annotator_sd=0.3,
            content_sd=0.3,
            n_studies=50,
            rng=np.random.default_rng(seed),
        )

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_true_scores_are_drawn_with_the_uncertainty_of_the_pilot():
    prior, scale = Prior.from_pilot(pilot()), bradley_terry(pilot().win_matrix())
    drawn = prior.draw(20_000, np.random.default_rng(0))
    # Four standard errors of 20,000 draws, of scores of standard deviation 0.3 or less.
    np.testing.assert_allclose(drawn.mean(axis=0), scale.scores, atol=0.009)
    np.testing.assert_allclose(np.cov(drawn.T), scale.covariance, atol=0.004)


def test_a_pilot_that_determines_no_scale_is_refused_unless_there_is_a_prior():
    unanimous = Comparisons.from_rows([("ann", "kodim01", "0.23", "avif", "jpeg", "left")] * 4)
    with pytest.raises(NotIdentified, match="never lost"):
        Prior.from_pilot(unanimous)
    prior = Prior.from_pilot(unanimous, prior_sd=1.0)
    assert prior.mean[0] > prior.mean[1]
    assert np.all(np.diag(prior.covariance) < 1.0)


def test_large_plans_are_simulated_in_parts(monkeypatch):
    monkeypatch.setattr("evaluation.statistics.planning._AT_ONCE", 3 * 20 * 7)
    (row,) = plan(
        Prior.normal(3, 1.0),
        [20],
        n_contents=10,
        n_annotators=20,
        n_studies=45,
        rng=np.random.default_rng(0),
        **ALIKE,
    )
    assert row.power.n == row.width.n == 45


def test_a_study_too_small_for_a_scale_has_no_width_and_finds_nothing():
    (row,) = plan(
        Prior.known([2.0, 0.0, -2.0]),
        [1],
        n_contents=3,
        n_annotators=3,
        over=(),
        n_studies=30,
        rng=np.random.default_rng(0),
        **ALIKE,
    )
    assert row.width is None
    assert row.share_width is None
    assert row.reason == "half or more of the simulated studies determine no scale"
    assert row.undetermined > 0.5
    assert row.power.value == 0


def test_a_row_tells_its_judgments_and_hours():
    (row,) = plan(
        Prior.normal(6, 1.0),
        [60],
        n_contents=20,
        n_annotators=10,
        n_studies=20,
        rng=np.random.default_rng(0),
        **ALIKE,
    )
    assert row.n_judgments == 15 * 60
    assert row.annotator_hours == pytest.approx(14.0)  # 900 judgments of 56 s
    assert annotator_hours(0) == 0


def test_the_interval_of_a_median_is_that_of_tables():
    # David and Nagaraja (2003), section 7.1: of 20 values, the 6th and the 15th.
    median = _median(np.random.default_rng(0).permutation(np.arange(1.0, 21.0)))
    assert (median.value, median.low, median.high) == (10.5, 6.0, 15.0)
    censored = _median(np.array([1.0] * 12 + [np.nan] * 8))
    assert censored.value == 1.0
    assert censored.low is None
    assert censored.reason == "too many studies determine no scale"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"judgments_per_pair": []}, "sizes"),
        ({"judgments_per_pair": [0, 5]}, "sizes"),
        ({"judgments_per_pair": [50]}, "need 13 annotators who judge no task twice"),
        ({"pair": (1, 1)}, "two of the 3 conditions"),
        ({"pair": (0, 3)}, "two of the 3 conditions"),
        ({"alpha": 0.0}, "alpha"),
        ({"confidence": 95}, "confidence"),
        ({"n_studies": 3}, "at least 20 simulated studies"),
        ({"content_sd": -1.0}, "standard deviations"),
        ({"lapse": 1.5}, "lapse"),
        ({"n_contents": 0}, "0 source images"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change, reason):
    asked = {
        "judgments_per_pair": [10],
        "n_contents": 4,
        "n_annotators": 10,
        "rng": np.random.default_rng(0),
        **ALIKE,
    }
    with pytest.raises(ValueError, match=reason):
        plan(Prior.normal(3, 1.0), **(asked | change))


@pytest.mark.parametrize(
    ("n", "change", "reason"),
    [
        (1, {}, "at least two conditions, and there are 1"),
        (3, {"n_annotators": 1}, "over annotators need two of them"),
        (3, {"n_contents": 1}, "over contents need two of them"),
    ],
)
def test_one_codec_one_annotator_or_one_image_give_no_interval(n, change, reason):
    asked = {"n_contents": 6, "n_annotators": 6} | change
    with pytest.raises(NotIdentified, match=reason):
        plan(Prior.normal(n, 1.0), [5], rng=np.random.default_rng(0), **asked, **ALIKE)


# Reading off a plan


def rows_with(sizes, widths, powers):
    def around(value, error):
        return Estimate(value, value - error, value + error, 200, "made up")

    return [
        PlanRow(
            judgments_per_pair=size,
            n_judgments=size,
            annotator_hours=annotator_hours(size),
            width=None if width is None else around(width, 0.02 * width),
            share_width=None if width is None else around(width / 4, 0.02 * width / 4),
            score_width=None if width is None else around(width / 2, 0.02 * width / 2),
            power=around(power, 0.03),
            undetermined=0.0,
        )
        for size, width, power in zip(sizes, widths, powers, strict=True)
    ]


SIZES = [10, 40, 160]
ROWS = rows_with(SIZES, [2.0, 1.0, 0.5], [0.3, 0.6, 0.95])


def test_a_width_between_two_sizes_is_reached_where_a_square_root_says():
    # 10 * (2 / 0.8)^2 = 62.5; bounds 2 % narrower and wider, so 4 % fewer and more judgments.
    fewest = judgments_for_width(ROWS, 0.8)
    assert (fewest.value, fewest.low, fewest.high, fewest.n) == (63, 61, 66, 200)
    assert judgments_for_width(ROWS, 0.2, of="share_width").value == 63
    assert judgments_for_width(ROWS, 0.4, of="score_width").value == 63
    assert judgments_for_width(ROWS, 1.0).value == 40


def test_a_power_between_two_sizes_is_interpolated_by_doublings():
    assert judgments_for_power(ROWS, 0.45).value == 20
    assert judgments_for_power(ROWS, 0.6).value == 40


def test_what_no_size_reaches_is_said_and_not_extrapolated():
    with pytest.raises(NotIdentified, match=r"a width of 0\.4 with 160 judgments"):
        judgments_for_width(ROWS, 0.4)
    with pytest.raises(NotIdentified, match=r"does not reach a power of 0\.99"):
        judgments_for_power(ROWS, 0.99)
    with pytest.raises(NotIdentified, match="does not reach a width"):
        judgments_for_width(rows_with([5], [None], [0.0]), 1.0)


def test_a_bound_beyond_the_largest_size_is_left_open_with_a_reason():
    fewest = judgments_for_power(ROWS, 0.94)
    assert fewest.value == 154  # 40 * 4^(0.34 / 0.35)
    assert fewest.low is None
    assert fewest.high is None
    assert "leaves a power of 0.94 open" in fewest.reason


def test_the_smallest_size_is_told_where_it_suffices():
    assert judgments_for_width(ROWS, 3.0).value == 10


def test_rows_out_of_order_by_chance_are_averaged():
    # Isotonic regression makes 0.62 and 0.58 into 0.6 twice.
    rows = rows_with([10, 20, 40, 80], [2, 2, 2, 2], [0.3, 0.62, 0.58, 0.9])
    assert judgments_for_power(rows, 0.6).value == 20
    assert judgments_for_power(rows, 0.61).value > 40


@steady
@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=6),
    st.floats(0.06, 0.94),
    st.floats(0.06, 0.94),
)
def test_more_power_never_takes_fewer_judgments(powers, one, other):
    rows = rows_with([10 * 2**k for k in range(len(powers))], [1.0] * len(powers), powers)
    found = []
    for power in sorted([one, other]):
        try:
            found.append(judgments_for_power(rows, power).value)
        except NotIdentified:
            found.append(np.inf)
    assert found[0] <= found[1]


@pytest.mark.parametrize("width", [0.0, -1.0, np.nan])
def test_a_width_of_nothing_is_refused(width):
    with pytest.raises(ValueError, match="width"):
        judgments_for_width(ROWS, width)


@pytest.mark.parametrize("power", [0.0, 1.0, 80.0])
def test_a_power_outside_0_and_1_is_refused(power):
    with pytest.raises(ValueError, match="power"):
        judgments_for_power(ROWS, power)
