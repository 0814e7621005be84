import csv

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, brentq, minimize
from scipy.special import expit, log_expit, log_ndtr, ndtri

from evaluation.statistics.choice_models import (
    BRADLEY_TERRY,
    DAVIDSON,
    RAO_KUPPER,
    THURSTONE,
)
from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.likelihood import Likelihood, Outcomes
from evaluation.statistics.scaling import fit_scale, profile_interval
from tests.real_data import real_data

steady = settings(deadline=None)  # a busy machine is no failure
MODELS = [BRADLEY_TERRY, THURSTONE, DAVIDSON, RAO_KUPPER]
WITH_TIES = [DAVIDSON, RAO_KUPPER]
NAMES = ["avif", "jpeg", "jpegxl", "webp"]
TRUTH = np.array([0.9, -0.8, 0.4, -0.5])


def judgments(m=400, *, side=0.0, ties=0.4, seed=0, n=4):
    """Random judgments of n conditions as Rao and Kupper's model has them, ties = log theta."""
    rng = np.random.default_rng(seed)
    a = rng.integers(n, size=m)
    b = (a + rng.integers(1, n, size=m)) % n
    d = TRUTH[a] - TRUTH[b] + side
    left, right = expit(d - ties), expit(-d - ties)
    drawn = rng.random(m)
    chosen = np.where(drawn < left, "left", np.where(drawn < left + right, "right", "tie"))
    rows = [
        ("ann", "photo", "0.5", NAMES[i], NAMES[j], str(c))
        for i, j, c in zip(a, b, chosen, strict=True)
    ]
    return Comparisons.from_rows(rows)


def swapped(c):
    """The same judgments, seen in a mirror."""
    return Comparisons(
        annotator=c.annotator,
        content=c.content,
        stratum=c.stratum,
        a=c.b,
        b=c.a,
        outcome=1 - c.outcome,
        weight=c.weight,
        response_ms=c.response_ms,
        expected=c.expected,
        annotators=c.annotators,
        contents=c.contents,
        strata=c.strata,
        conditions=c.conditions,
    )


def baseball():
    """Games of the American League in 1987, the home team on the left."""
    path = real_data("judgments/published/baseball.csv")
    rows, weight = [], []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for chosen, wins in (("left", "home.wins"), ("right", "away.wins")):
                rows.append(("x", "x", "1", row["home.team"], row["away.team"], chosen))
                weight.append(int(row[wins]))
    return Comparisons.from_rows(rows, weight=weight)


def test_playing_at_home_counts_as_published():
    c = baseball()
    scale = fit_scale(c, side_effect=True)
    # Agresti (2002), "Categorical Data Analysis", section 10.6: home advantage 0.302, s.e. 0.131.
    assert scale.side.value == pytest.approx(0.302, abs=5e-4)
    assert scale.side.standard_error == pytest.approx(0.131, abs=5e-4)


@pytest.mark.parametrize(
    ("model", "link"),
    [(BRADLEY_TERRY, sm.families.links.Logit()), (THURSTONE, sm.families.links.Probit())],
    ids=lambda value: getattr(value, "name", ""),
)
def test_statsmodels_finds_the_same_scores_side_effect_and_errors(model, link):
    c = judgments(side=0.3, ties=0.0)
    scale = fit_scale(c, model=model, side_effect=True)
    design = np.zeros((len(c.outcome), 5))
    design[np.arange(len(design)), c.a] += 1
    design[np.arange(len(design)), c.b] -= 1
    design[:, 4] = 1
    glm = sm.GLM(c.outcome, design[:, 1:], family=sm.families.Binomial(link)).fit(tol=1e-13)
    unit = ndtri(0.75) if model is THURSTONE else 1.0  # 1 JND is preferred by 75 %
    np.testing.assert_allclose(scale.scores[1:] - scale.scores[0], glm.params[:3] / unit, atol=1e-7)
    assert scale.side.value == pytest.approx(glm.params[3] / unit, abs=1e-7)
    assert scale.log_likelihood == pytest.approx(glm.llf)
    if model is BRADLEY_TERRY:  # with another link statsmodels takes the expected information
        v = scale.covariance
        errors = np.sqrt(np.diag(v)[1:] + v[0, 0] - 2 * v[0, 1:])
        np.testing.assert_allclose(errors, glm.bse[:3], rtol=1e-6)
        assert scale.side.standard_error == pytest.approx(glm.bse[3], rel=1e-6)


def test_davidsons_model_is_the_log_linear_one_that_statsmodels_fits():
    # Fienberg and Larntz (1976), "Log linear representation for paired and multiple comparisons
    # models", Biometrika 63, 245-254: counts are Poisson given a constant for each pair.
    c = judgments()
    scale = fit_scale(c, model=DAVIDSON)
    outcomes = Outcomes.of(c)
    rows, counts = [], []
    for pair, (i, j) in enumerate(zip(outcomes.i, outcomes.j, strict=True)):
        for outcome, half in enumerate((0.5, 0.0, -0.5)):
            row = np.zeros(4 + 1 + len(outcomes.i))
            row[i], row[j], row[4], row[5 + pair] = half, -half, outcome == 1, 1
            rows.append(row[1:])  # the first condition scores 0
            counts.append(outcomes.counts[outcome, pair])
    glm = sm.GLM(counts, np.array(rows), family=sm.families.Poisson()).fit(tol=1e-13)
    np.testing.assert_allclose(scale.scores[1:] - scale.scores[0], glm.params[:3], atol=1e-7)
    assert scale.tie.value == pytest.approx(glm.params[3], abs=1e-7)
    assert scale.tie.standard_error == pytest.approx(glm.bse[3], rel=1e-5)


def test_rao_and_kuppers_model_maximises_the_likelihood_as_they_wrote_it():
    c = judgments()

    def loss(x):
        worth, theta = np.exp(np.concatenate([[0.0], x[:3]])), np.exp(x[3])
        a, b = worth[c.a], worth[c.b]
        left, right = a / (a + theta * b), b / (theta * a + b)
        tie = (theta**2 - 1) * a * b / ((a + theta * b) * (theta * a + b))
        p = np.where(c.outcome == 1, left, np.where(c.outcome == 0, right, tie))
        return -np.log(p).sum()

    found = minimize(
        loss,
        [0, 0, 0, 0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 10_000, "maxfev": 10_000},
    )
    scale = fit_scale(c, model=RAO_KUPPER)
    np.testing.assert_allclose(scale.scores[1:] - scale.scores[0], found.x[:3], atol=1e-5)
    assert scale.tie.value == pytest.approx(found.x[3], abs=1e-5)
    assert scale.log_likelihood == pytest.approx(-found.fun)


def test_one_jnd_apart_is_preferred_by_three_in_four():
    rows = [("ann", "x", "1", "a", "b", side) for side in ["left"] * 3 + ["right"]]
    scores = fit_scale(Comparisons.from_rows(rows), model=THURSTONE).scores
    assert scores[0] - scores[1] == pytest.approx(1.0)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("side_effect", [False, True])
@pytest.mark.parametrize("prior_sd", [None, 0.8])
def test_gradient_and_information_match_finite_differences(model, side_effect, prior_sd):
    outcomes = Outcomes.of(judgments(60), sided=side_effect)
    likelihood = Likelihood(outcomes, model, side_effect=side_effect, prior_sd=prior_sd)
    rng = np.random.default_rng(3)
    x = likelihood.start() + rng.uniform(0, 0.3, likelihood.p)
    gradient, information = likelihood.derivatives(x)
    # Forward differences over h = 1e-7 err by about 1e-5 on values of this size.
    np.testing.assert_allclose(gradient, approx_fprime(x, likelihood.value, 1e-7), atol=1e-4)
    curvature = approx_fprime(x, lambda y: likelihood.derivatives(y)[0], 1e-7)
    np.testing.assert_allclose(-information, curvature, atol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@given(d=st.floats(-40, 40), t=st.floats(0.01, 5))
@steady
def test_the_three_outcomes_have_probability_1(model, d, t):
    p = np.exp(model.terms(np.array([d]), t).log_p[:, 0])
    assert (p if model.tie_parameter else p[[0, 2]]).sum() == pytest.approx(1)


@pytest.mark.parametrize("model", [BRADLEY_TERRY, THURSTONE], ids=lambda model: model.name)
@pytest.mark.parametrize("d", [-60.0, 0.0, 60.0])
def test_a_distance_that_nobody_could_miss_breaks_no_sum(model, d):
    log_p = model.terms(np.array([d]), 0.0).log_p[:, 0]
    expected = log_expit(d) if model is BRADLEY_TERRY else log_ndtr(ndtri(0.75) * d)
    assert log_p[0] == pytest.approx(float(expected))
    sums = model.sums(np.ones((3, 1)), np.array([d]), 0.0)
    assert np.isfinite([sums.value, sums.d[0], sums.dd[0]]).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_renaming_codecs_renames_their_scores(model):
    c = judgments()
    renamed = {"avif": "z", "jpeg": "y", "jpegxl": "x", "webp": "w"}
    rows = [
        ("ann", "x", "1", renamed[c.conditions[a]], renamed[c.conditions[b]], chosen)
        for a, b, chosen in zip(
            c.a, c.b, np.array(["right", "tie", "left"])[(2 * c.outcome).astype(int)], strict=True
        )
    ]
    other = fit_scale(Comparisons.from_rows(rows), model=model)
    np.testing.assert_allclose(other.scores, fit_scale(c, model=model).scores[::-1], atol=1e-7)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_all_judgments_twice_leave_scores_and_shrink_intervals_by_the_root_of_2(model):
    c = judgments()
    once = fit_scale(c, model=model)
    twice = fit_scale(c.where(np.tile(np.arange(len(c.outcome)), 2)), model=model)
    np.testing.assert_allclose(twice.scores, once.scores, atol=1e-7)
    width, narrow = (high - low for low, high in (once.interval(), twice.interval()))
    np.testing.assert_allclose(width / narrow, np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_swapping_sides_turns_the_side_effect_round_and_nothing_else(model):
    c = judgments(side=0.4)
    forth = fit_scale(c, model=model, side_effect=True)
    back = fit_scale(swapped(c), model=model, side_effect=True)
    np.testing.assert_allclose(back.scores, forth.scores, atol=1e-7)
    np.testing.assert_allclose(back.covariance, forth.covariance, atol=1e-7)
    assert back.side.value == pytest.approx(-forth.side.value, abs=1e-7)
    plain = fit_scale(c, model=model), fit_scale(swapped(c), model=model)
    np.testing.assert_allclose(plain[0].scores, plain[1].scores, atol=1e-7)


def test_a_tie_free_copy_reversed_takes_all_preference_out():
    c = judgments(ties=0.0)
    both = Comparisons.from_rows(
        [
            ("ann", "x", "1", c.conditions[a], c.conditions[b], side)
            for a, b in zip(c.a, c.b, strict=True)
            for side in ("left", "right")
        ]
    )
    for model in (BRADLEY_TERRY, THURSTONE):
        np.testing.assert_allclose(fit_scale(both, model=model).scores, 0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_scores_and_side_effect_are_found_again(model):
    c = judgments(20_000, side=0.3, ties=0.0 if model is BRADLEY_TERRY else 0.4, seed=1)
    scale = fit_scale(c, model=model, side_effect=True)
    if model in (BRADLEY_TERRY, RAO_KUPPER):  # the models that made the data
        errors = np.sqrt(np.diag(scale.covariance))
        assert np.all(np.abs(scale.scores - (TRUTH - TRUTH.mean())) < 4 * errors)
        assert abs(scale.side.value - 0.3) < 4 * scale.side.standard_error
    if model is RAO_KUPPER:
        assert abs(scale.tie.value - 0.4) < 4 * scale.tie.standard_error
    assert np.corrcoef(scale.scores, TRUTH)[0, 1] > 0.99


def test_profile_bounds_of_two_codecs_are_those_of_a_binomial():
    rows = [("ann", "x", "1", "a", "b", side) for side in ["left"] * 9 + ["right"] * 2]
    c = Comparisons.from_rows(rows)
    low, high = profile_interval(c, fit_scale(c))

    def log_likelihood(d):
        return 9 * log_expit(d) + 2 * log_expit(-d)

    best = np.log(9 / 2)
    fallen = ndtri(0.975) ** 2 / 2
    for bound, start in ((low[0], best - 9), (high[0], best + 9)):
        expected = brentq(lambda d: log_likelihood(best) - log_likelihood(d) - fallen, best, start)
        assert 2 * bound == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(low, -high[::-1], atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_profile_and_wald_bounds_agree_where_there_are_many_judgments(model):
    c = judgments(20_000)
    scale = fit_scale(c, model=model, side_effect=True)
    for profile, wald in zip(profile_interval(c, scale), scale.interval(), strict=True):
        np.testing.assert_allclose(profile, wald, atol=2e-3)


def rows(*answers):
    return Comparisons.from_rows([("ann", "x", "1", *answer) for answer in answers])


ONLY_TIES = rows(("a", "b", "tie"), ("b", "a", "tie"))
NO_TIES = rows(("a", "b", "left"), ("b", "a", "left"))
NEVER_LOST = rows(("a", "b", "left"), ("a", "b", "tie"), ("b", "a", "right"))


@pytest.mark.parametrize("model", WITH_TIES, ids=lambda model: model.name)
def test_a_tie_parameter_that_answers_do_not_tell_is_refused(model):
    with pytest.raises(NotIdentified, match="needs ties, and there are none"):
        fit_scale(NO_TIES, model=model)
    with pytest.raises(NotIdentified, match="no likeliest parameters"):
        fit_scale(ONLY_TIES, model=model)
    # a may win and tie for ever: the further it is ahead, the better it fits.
    with pytest.raises(NotIdentified, match="no likeliest parameters"):
        fit_scale(NEVER_LOST, model=model)


def test_a_side_effect_that_answers_do_not_tell_is_refused():
    one_order = rows(("a", "b", "left"), ("a", "b", "right"))
    with pytest.raises(NotIdentified, match="cannot be told apart"):
        fit_scale(one_order, side_effect=True)
    always_left = rows(("a", "b", "left"), ("b", "a", "left"))
    with pytest.raises(NotIdentified, match="no likeliest parameters"):
        fit_scale(always_left, side_effect=True)
    with pytest.raises(ValueError, match="counted by side"):
        fit_scale(Outcomes.of(judgments()), side_effect=True)


def test_strata_are_not_mixed_silently():
    c = Comparisons.from_rows([("ann", "x", s, "a", "b", "left") for s in ("0.23", "0.37")])
    with pytest.raises(ValueError, match="2 strata"):
        fit_scale(c)


@steady
@given(
    st.lists(
        st.tuples(st.permutations(NAMES), st.sampled_from(["left", "right", "tie"])),
        min_size=1,
        max_size=25,
    )
)
def test_every_table_gives_a_scale_or_a_reason(answers):
    c = rows(*((names[0], names[1], chosen) for names, chosen in answers))
    for model in MODELS:
        for side_effect in (False, True):
            try:
                scale = fit_scale(c, model=model, side_effect=side_effect)
            except NotIdentified:
                continue
            assert np.isfinite(scale.parameters).all()
            assert np.all(np.diag(scale.covariance) > 0)
