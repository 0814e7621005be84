"""Laws that all estimators obey, whatever the judgments."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import (
    BOTH,
    BRADLEY_TERRY,
    DAVIDSON,
    RAO_KUPPER,
    THURSTONE,
    Comparisons,
    Estimate,
    NotConverged,
    NotIdentified,
    Options,
    Rankings,
    cluster_bootstrap,
    content_scale,
    first_choice_shares,
    fit_annotators,
    fit_scale,
    fleiss_kappa,
    gwet_ac1,
    human_ceiling,
    kendall_w,
    krippendorff_alpha,
    leave_one_out_score,
    nominal_answers,
    pairwise_table,
    plackett_luce,
    profile_interval,
    repeat_agreement,
    robust,
    robust_annotators,
    screen,
    simulate_study,
    summarise,
    task_votes,
    win_shares,
)

steady = settings(deadline=None)  # a busy machine is no failure
several = settings(deadline=None, max_examples=5)
seeds = st.integers(0, 2**32 - 1)
MODELS = [BRADLEY_TERRY, THURSTONE, DAVIDSON, RAO_KUPPER]
SCALES = {
    **{model.name: lambda c, model=model: fit_scale(c, model=model) for model in MODELS},
    "side effect": lambda c: fit_scale(c, side_effect=True),
    "side effect and ties": lambda c: fit_scale(c, model=DAVIDSON, side_effect=True),
}
SCORED = {
    **SCALES,
    "prior": lambda c: fit_scale(c, prior_sd=1.0),
    "annotators": fit_annotators,
    "source images": content_scale,
    "robust": lambda c: robust(c, fit_scale(c)),
    "robust annotators": lambda c: robust_annotators(c, fit_annotators(c)),
}
AGREEMENT = {
    "human ceiling": lambda c, **how: human_ceiling(*task_votes(c), **how),
    "leave one out": lambda c, **how: leave_one_out_score(*task_votes(c), **how),
    **{
        f"alpha, {level}": lambda c, level=level, **how: krippendorff_alpha(
            *counted(c), level=level, **how
        )
        for level in ("nominal", "ordinal")
    },
    "kappa": lambda c, **how: fleiss_kappa(*counted(c), **how),
    "AC1": lambda c, **how: gwet_ac1(*counted(c), **how),
}
anyone = pytest.mark.parametrize("of", SCORED.values(), ids=SCORED)
any_agreement = pytest.mark.parametrize("of", AGREEMENT.values(), ids=AGREEMENT)


def counted(c):
    return (nominal_answers(c)[0],)


def agreed(of, c, n_boot=50):
    """The agreement either way round, since it is spelling which condition comes first."""
    how = {"n_boot": n_boot, "rng": np.random.default_rng(0)}
    if of in list(AGREEMENT.values())[2:]:
        how |= {"symmetric": True, "contents": nominal_answers(c)[1]}
    return of(c, **how)


def study(seed, ties=True):
    """288 judgments of four conditions by eight annotators, who judge no task twice."""
    rng = np.random.default_rng(seed)
    c = simulate_study(
        np.array([1.2, 0.4, -0.3, -1.3]),
        n_annotators=8,
        n_contents=6,
        judgments_per_task=8,
        annotator_sd=0.2,
        content_sd=0.3,
        rng=rng,
    )
    tied = ties & (rng.random(len(c.outcome)) < 0.2)
    return replace(c, outcome=np.where(tied, 0.5, c.outcome))


def renamed(c, names):
    """Conditions called otherwise, and so perhaps in another order."""
    labels = tuple(sorted(names))
    code = np.array([labels.index(name) for name in names])
    return replace(c, a=code[c.a], b=code[c.b], conditions=labels)


def turned_round(c):
    return replace(c, a=c.b, b=c.a, outcome=1 - c.outcome)


def both(c, other):
    """The rows of two tables that have the same labels."""
    return replace(
        c,
        **{
            name: np.concatenate([getattr(c, name), getattr(other, name)])
            for name in (
                "annotator",
                "content",
                "stratum",
                "a",
                "b",
                "outcome",
                "weight",
                "response_ms",
                "expected",
            )
        },
    )


def bounds(scale):
    """(n, 3) score, low and high."""
    return np.column_stack([scale.scores, *scale.interval()])


@anyone
@several
@given(seeds, st.permutations(["avif", "jpeg", "jxl", "webp"]))
def test_renaming_conditions_permutes_scores_and_intervals(of, seed, names):
    c = study(seed)
    other = renamed(c, names)
    order = [other.conditions.index(name) for name in names]
    np.testing.assert_allclose(bounds(of(other))[order], bounds(of(c)), atol=2e-4)


@any_agreement
@several
@given(seeds, st.permutations(["avif", "jpeg", "jxl", "webp"]))
def test_renaming_conditions_changes_no_agreement(of, seed, names):
    c = study(seed)
    for name in ("value", "low", "high"):
        found, other = getattr(agreed(of, c), name), getattr(agreed(of, renamed(c, names)), name)
        assert other == pytest.approx(found, abs=1e-9)


@anyone
@several
@given(seeds)
def test_the_order_of_judgments_changes_no_score(of, seed):
    c = study(seed)
    other = c.where(np.random.default_rng(seed).permutation(len(c.outcome)))
    np.testing.assert_allclose(bounds(of(other)), bounds(of(c)), atol=2e-4)


@any_agreement
@several
@given(seeds)
def test_the_order_of_judgments_changes_no_agreement(of, seed):
    c = study(seed)
    other = c.where(np.random.default_rng(seed).permutation(len(c.outcome)))
    assert agreed(of, other).value == pytest.approx(agreed(of, c).value, abs=1e-9)


@pytest.mark.parametrize("of", SCALES.values(), ids=SCALES)
@several
@given(seeds)
def test_the_same_judgments_twice_leave_scores_and_shrink_intervals_by_the_root_of_2(of, seed):
    once, twice = of(study(seed)), of(both(study(seed), study(seed)))
    np.testing.assert_allclose(twice.scores, once.scores, atol=1e-5)
    np.testing.assert_allclose(twice.covariance, once.covariance / 2, atol=1e-5)
    for name in ("side", "tie"):
        if (parameter := getattr(once, name)) is not None:
            assert getattr(twice, name).value == pytest.approx(parameter.value, abs=1e-5)
            expected = parameter.standard_error / np.sqrt(2)
            assert getattr(twice, name).standard_error == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("over", [("annotator",), ("content",), BOTH])
@several
@given(seeds)
def test_the_same_answers_twice_by_the_same_people_make_no_robust_interval_narrower(over, seed):
    c = study(seed)
    again = both(c, c)
    once, twice = (robust(each, fit_scale(each), over=over) for each in (c, again))
    np.testing.assert_allclose(twice.covariance, once.covariance, atol=1e-6)


@anyone
@several
@given(seeds)
def test_a_weight_stands_for_so_many_rows(of, seed):
    c = study(seed)
    weight = np.random.default_rng(seed).integers(1, 3, len(c.outcome))
    weighed = of(replace(c, weight=weight))
    repeated = of(c.where(np.repeat(np.arange(len(weight)), weight)))
    np.testing.assert_allclose(weighed.scores, repeated.scores, atol=2e-4)
    if of not in (SCORED["robust"], SCORED["robust annotators"]):
        np.testing.assert_allclose(bounds(weighed), bounds(repeated), atol=2e-4)


@anyone
@several
@given(seeds)
def test_swapping_sides_changes_nothing_but_the_side_effect(of, seed):
    c = study(seed)
    found, other = of(c), of(turned_round(c))
    np.testing.assert_allclose(bounds(other), bounds(found), atol=2e-4)
    if getattr(found, "side", None) is not None:
        assert other.side.value == pytest.approx(-found.side.value, abs=1e-6)
        assert other.side.standard_error == pytest.approx(found.side.standard_error, rel=1e-5)


@any_agreement
@several
@given(seeds)
def test_swapping_sides_changes_no_agreement(of, seed):
    c = study(seed)
    assert agreed(of, turned_round(c)) == agreed(of, c)


@pytest.mark.parametrize(
    "of",
    [lambda c: fit_scale(c), lambda c: fit_scale(c, model=THURSTONE), SCALES["side effect"]],
    ids=["Bradley-Terry", "Thurstone", "side effect"],
)
@several
@given(seeds)
def test_a_copy_with_all_answers_reversed_makes_all_preferences_vanish(of, seed):
    c = study(seed, ties=False)
    mirrored = both(c, replace(c, outcome=1 - c.outcome))
    scale = of(mirrored)
    np.testing.assert_allclose(scale.scores, 0, atol=1e-6)
    assert scale.side is None or scale.side.value == pytest.approx(0, abs=1e-6)
    assert all(row.share == 0.5 for row in win_shares(mirrored))
    assert all(row.a_preferred == 0.5 and row.p == 1 for row in pairwise_table(mirrored))


@anyone
@several
@given(seeds)
def test_reversing_all_answers_reverses_the_scale(of, seed):
    c = study(seed)
    reversed_answers = replace(c, outcome=1 - c.outcome)
    found, other = bounds(of(c)), bounds(of(reversed_answers))
    np.testing.assert_allclose(other, -found[:, [0, 2, 1]], atol=2e-4)


@st.composite
def small_tables(draw):
    """Up to 16 judgments by four annotators of four conditions on three images: most of them
    disconnected, unanimous, of one annotator, all ties or without any weight."""
    n = draw(st.integers(2, 4))
    annotators, contents = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    outcomes = draw(st.sampled_from([("left", "right"), ("left", "right", "tie"), ("tie",)]))
    row = st.tuples(
        st.integers(1, annotators),
        st.integers(1, contents),
        st.integers(0, n - 1),
        st.integers(1, n - 1),
        st.sampled_from(outcomes),
        st.sampled_from([1, 1, 1, 0, 3]),
    )
    rows = draw(st.lists(row, max_size=16))
    return Comparisons.from_rows(
        [
            (f"person {k}", f"photo {p}", "1", f"codec {i}", f"codec {(i + further) % n}", chosen)
            for k, p, i, further, chosen, _ in rows
        ],
        weight=[each[-1] for each in rows],
    )


@st.composite
def small_rankings(draw):
    """Up to six rankings, some partial, some with ties, by three annotators of two images."""
    places = st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(
        lambda each: sum(place > 0 for place in each) >= 2
    )
    row = st.tuples(st.integers(1, 3), st.integers(1, 2), places, st.integers(0, 2))
    rows = draw(st.lists(row, max_size=6))

    def text(places):
        return " > ".join(
            " = ".join(f"codec {i}" for i, each in enumerate(places) if each == place)
            for place in sorted(set(places) - {0})
        )

    return Rankings.from_rows(
        [(f"person {k}", f"photo {p}", "1", text(places)) for k, p, places, _ in rows],
        weight=[each[-1] for each in rows],
    )


def sampled():
    return {"n_boot": 20, "rng": np.random.default_rng(0)}


def with_profile(c):
    scale = fit_scale(c, model=DAVIDSON)
    return np.array(profile_interval(c, scale))


ESTIMATORS = {
    **{name: lambda c, of=of: bounds(of(c)) for name, of in SCORED.items()},
    "prior, ties and side": lambda c: bounds(
        fit_scale(c, model=RAO_KUPPER, side_effect=True, prior_sd=1.0)
    ),
    "annotators, prior": lambda c: bounds(fit_annotators(c, prior_sd=1.0)),
    "profile": with_profile,
    **{
        f"bootstrap over {' and '.join(over)}": lambda c, over=over: np.array(
            cluster_bootstrap(c, over=over, **sampled()).interval()
        )
        for over in (("annotator",), ("content",), BOTH)
    },
    "bootstrap with ties": lambda c: np.array(
        cluster_bootstrap(c, scale=fit_scale(c, model=DAVIDSON), **sampled()).interval()
    ),
    "image variation": lambda c: content_scale(c).variation,
    "repeats": lambda c: repeat_agreement(c, **sampled()),
    **{name: lambda c, of=of: agreed(of, c, n_boot=20) for name, of in AGREEMENT.items()},
}
OF_RANKINGS = {
    "Plackett-Luce": lambda r: bounds(plackett_luce(r)),
    "Plackett-Luce, prior": lambda r: bounds(plackett_luce(r, prior_sd=1.0)),
    "Kendall's W": lambda r: kendall_w(r.rank, r.content, r.annotator, **sampled()),
}


def assert_a_finite_estimate_or_a_reason(of, table):
    found, reason = None, ""
    try:
        found = of(table)
    except NotIdentified as error:
        reason = error.explain(table.conditions)
    except NotConverged as error:
        reason = str(error)
    if isinstance(found, Estimate):
        assert np.isfinite(found.value)
        assert (found.low is None) == (found.high is None) == (found.reason is not None)
        assert found.low is None or found.low <= found.high
    else:
        assert reason if found is None else np.isfinite(found).all()


@pytest.mark.parametrize("of", ESTIMATORS.values(), ids=ESTIMATORS)
@settings(deadline=None, max_examples=25)
@given(c=small_tables())
def test_any_small_table_gives_a_finite_estimate_or_a_reason(of, c):
    assert_a_finite_estimate_or_a_reason(of, c)


@pytest.mark.parametrize("of", OF_RANKINGS.values(), ids=OF_RANKINGS)
@settings(deadline=None, max_examples=25)
@given(r=small_rankings())
def test_any_few_rankings_give_a_finite_estimate_or_a_reason(of, r):
    assert_a_finite_estimate_or_a_reason(of, r)


@steady
@given(small_rankings())
def test_first_choices_among_those_ranked_are_shares_or_have_a_reason(r):
    for row in first_choice_shares(r):
        assert (row.share is None) == (row.reason is not None) == (row.n == 0)


@steady
@given(small_tables())
def test_every_condition_pair_and_annotator_has_a_row_with_a_value_or_a_reason(c):
    for row in (*win_shares(c), *pairwise_table(c)):
        assert (row.low is None) == (row.reason is not None) == (row.n == 0)
    for report in screen(c):
        for name in ("side_bias", "likelihood", "circular_triads", "repeat_agreement"):
            measure = getattr(report, name)
            assert (measure.value is None) == (measure.reason is not None)


@settings(deadline=None, max_examples=25)
@given(small_tables())
def test_any_small_table_has_a_summary_of_finite_numbers_and_reasons(c):
    json.dumps(summarise(c, options=Options(n_boot=20)), allow_nan=False)
