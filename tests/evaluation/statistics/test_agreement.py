import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats import inter_rater

from evaluation.statistics import Comparisons, NotIdentified
from evaluation.statistics.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from evaluation.statistics.ratings import matrix_counts, nominal_answers

steady = settings(deadline=None)  # a busy machine is no failure
COEFFICIENTS = (krippendorff_alpha, fleiss_kappa, gwet_ac1)

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability": 4 observers, 12 units, values
# 1 to 5, some missing (0 here). Gwet (2014, "Handbook of Inter-Rater Reliability") uses it too.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)

# Fleiss (1971), table 1: 30 patients, each put into one of 5 diagnoses by 6 psychiatrists.
DIAGNOSES = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
PATIENTS = np.array([[int(count) for count in row] for row in DIAGNOSES.split()])


def rng(seed=7):
    return np.random.default_rng(seed)


def observers():
    return matrix_counts(OBSERVERS - 1, 5)


def of(coefficient, counts, **options):
    return coefficient(np.asarray(counts), rng=rng(), **{"n_boot": 200, **options})


@st.composite
def rated_units(draw, values=4):
    """Counts of units x values, in which ratings of two values can be paired."""
    shape = (draw(st.integers(1, 8)), values)
    counts = draw(arrays(np.int64, shape, elements=st.integers(0, 4)))
    assume(np.count_nonzero(counts[counts.sum(axis=1) >= 2].any(axis=0)) >= 2)
    return counts


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_of_four_observers_is_as_published(level, published):
    estimate = of(krippendorff_alpha, observers(), level=level)
    assert estimate.value == pytest.approx(published, abs=5e-4)  # printed to three digits
    assert estimate.n == 11  # the last unit has one rating


def test_kappa_and_ac1_of_four_observers_are_as_published():
    # Gwet (2014), and the documentation of his R package irrCAC, printed to five digits.
    assert of(fleiss_kappa, observers()).value == pytest.approx(0.76117, abs=5e-6)
    assert of(gwet_ac1, observers()).value == pytest.approx(0.77544, abs=5e-6)


def test_kappa_of_psychiatric_diagnoses_is_as_published():
    estimate = of(fleiss_kappa, PATIENTS)
    assert estimate.value == pytest.approx(0.430, abs=5e-4)  # Fleiss (1971), three digits
    assert estimate.value == pytest.approx(inter_rater.fleiss_kappa(PATIENTS))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@steady
@given(rated_units())
def test_the_package_krippendorff_finds_the_same_alpha(level, counts):
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
    assert of(krippendorff_alpha, counts, level=level).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_statsmodels_finds_the_same_kappa_where_all_units_have_as_many_ratings(seed):
    counts = rng(seed).multinomial(5, [0.5, 0.2, 0.3], size=40)
    expected = inter_rater.fleiss_kappa(counts)
    assert of(fleiss_kappa, counts).value == pytest.approx(expected, abs=1e-12)


@steady
@given(rated_units())
def test_ac1_is_what_its_definition_says_rating_by_rating(counts):
    ratings = [np.repeat(np.arange(4), unit) for unit in counts]
    agreeing = []
    for unit in (each for each in ratings if len(each) >= 2):
        pairs = [(i, j) for i in range(len(unit)) for j in range(len(unit)) if i != j]
        agreeing.append(np.mean([unit[i] == unit[j] for i, j in pairs]))
    p = np.mean([np.bincount(u, minlength=4) / len(u) for u in ratings if len(u)], axis=0)
    q = np.count_nonzero(p)
    chance = sum(each * (1 - each) for each in p) / (q - 1)
    expected = (np.mean(agreeing) - chance) / (1 - chance)
    assert of(gwet_ac1, counts).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@steady
@given(rated_units(), st.permutations(range(4)))
def test_renaming_values_and_reordering_units_changes_no_nominal_coefficient(
    coefficient, counts, order
):
    renamed = counts[::-1][:, order]
    assert of(coefficient, renamed).value == pytest.approx(of(coefficient, counts).value, abs=1e-9)


@steady
@given(rated_units())
def test_reading_ordered_values_backwards_changes_no_ordinal_alpha(counts):
    forth, back = (of(krippendorff_alpha, c, level="ordinal") for c in (counts, counts[:, ::-1]))
    assert back.value == pytest.approx(forth.value, abs=1e-9)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_raters_who_always_agree_on_several_values_reach_one(coefficient):
    estimate = of(coefficient, [[3, 0], [0, 2], [4, 0], [0, 5]] * 2)
    assert estimate.value == pytest.approx(1.0)
    assert (estimate.low, estimate.high) == (None, None)
    assert "agree alike" in estimate.reason or "undetermined" in estimate.reason


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_raters_who_guess_agree_as_often_as_chance(coefficient):
    counts = rng().multinomial(4, [1 / 3] * 3, size=20_000)
    assert of(coefficient, counts).value == pytest.approx(0, abs=0.01)  # five standard errors


def test_ac1_stays_high_where_nearly_all_say_the_same_and_kappa_does_not():
    counts = [[2, 0]] * 98 + [[1, 1]] * 2
    assert of(fleiss_kappa, counts).value < 0
    assert of(gwet_ac1, counts).value > 0.97


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_twice_the_units_leave_the_value_and_shrink_the_interval_by_root_two(coefficient):
    counts = rng().multinomial(4, [0.6, 0.3, 0.1], size=300)
    once = of(coefficient, counts, n_boot=4000)
    twice = of(coefficient, np.concatenate([counts, counts]), n_boot=4000)
    # Alpha alone depends on the number of ratings, by n - 1; expanding the percentiles of 300 units
    # and of 500 groups differs by 0.2 %.
    assert twice.value == pytest.approx(once.value, abs=1e-3)
    # Two intervals of 4000 samples: each half-width has an error of 3 %, and one of 3 % for groups.
    assert (once.high - once.low) / (twice.high - twice.low) == pytest.approx(2**0.5, rel=0.15)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_the_interval_is_that_of_the_jackknife_for_many_units(coefficient):
    counts = rng(3).multinomial(3, [0.5, 0.3, 0.2], size=200)
    without = [of(coefficient, np.delete(counts, i, axis=0), n_boot=1).value for i in range(200)]
    # Efron and Tibshirani (1993), eq. 11.5: another way to the same standard error. Expanded
    # percentiles of 200 units are as far out as Student's t.
    error = np.sqrt(199 / 200 * np.sum((without - np.mean(without)) ** 2))
    found = of(coefficient, counts, n_boot=8000)
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 199) * error, rel=0.08)


def test_units_on_few_images_widen_the_interval():
    units = np.repeat(rng().multinomial(6, [0.5, 0.5], size=12), 20, axis=0)
    alone = of(krippendorff_alpha, units)
    clustered = of(krippendorff_alpha, units, contents=np.repeat(np.arange(12), 20))
    assert clustered.value == pytest.approx(alone.value)
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_intervals_of_95_percent_cover_alpha_in_about_95_percent():
    source = rng(5)
    # Two of three values at chance, each unit with its own shares: Beta(2, 2) has the mean
    # p^2 + (1-p)^2 = 0.6, so alpha of infinitely many units is (0.6 - 0.5) / 0.5.
    covered = []
    for _ in range(400):
        k = source.binomial(6, source.beta(2, 2, size=80))
        estimate = krippendorff_alpha(np.stack([k, 6 - k], axis=1), n_boot=400, rng=source)
        covered.append(estimate.low <= 0.2 <= estimate.high)
    # Three standard errors of 1.1 points; expanded percentiles leave nothing more to allow for.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.033)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (np.zeros((0, 3), int), "no unit was rated by two"),
        ([[1, 0], [0, 1], [0, 0]], "no unit was rated by two"),
        ([[3, 0], [2, 0]], "one and the same value"),
    ],
)
def test_agreement_that_ratings_do_not_determine_is_refused(coefficient, counts, reason):
    with pytest.raises(NotIdentified, match=reason):
        of(coefficient, counts)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_few_units_give_a_value_without_an_interval_and_say_why(coefficient):
    estimate = of(coefficient, [[2, 0], [1, 1], [0, 3]])
    assert (estimate.low, estimate.high) == (None, None)
    assert estimate.reason == "an interval over units needs 8 of them, and there are 3"


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_one_annotator_whose_rows_have_weights_agrees_with_nobody(coefficient):
    rows = [
        ("ann", f"kodim{i}", "0.23", "jpeg", "webp", ("left", "right")[i % 2]) for i in range(9)
    ]
    counts, _ = nominal_answers(Comparisons.from_rows(rows, weight=[4] * 9))
    with pytest.raises(NotIdentified, match="no unit was rated by two"):
        of(coefficient, counts)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([1, 2], {}, "counts: expected shape"),
        ([[0.5, 1]], {}, "counts: expected whole"),
        ([[-1, 2]], {}, "counts: expected whole"),
        ([[2, 1]], {"contents": ["x", "y"]}, "contents: expected shape"),
        ([[2, 1]], {"level": "ratio"}, "level: expected one of nominal"),
        ([[2, 1]], {"confidence": 95}, "confidence"),
        ([[2, 1]], {"n_boot": 0}, "bootstrap sample"),
    ],
)
def test_what_are_no_counts_is_refused(counts, options, message):
    with pytest.raises(ValueError, match=message):
        of(krippendorff_alpha, counts, **options)


def random_comparisons(seed, m=200, conditions="abc"):
    source = rng(seed)
    pairs = np.array([source.permutation(list(conditions))[:2] for _ in range(m)])
    return Comparisons.from_columns(
        annotator=source.choice(["ann", "bob", "eve", "kim"], m).tolist(),
        content=source.choice([f"kodim{i:02}" for i in range(1, 9)], m).tolist(),
        stratum=source.choice(["0.23", "0.37"], m).tolist(),
        left=pairs[:, 0].tolist(),
        right=pairs[:, 1].tolist(),
        chosen=source.choice(["left", "right", "tie"], m, p=[0.5, 0.3, 0.2]).tolist(),
    )


def mapped(comparisons, conditions):
    """The same judgments with other names for conditions."""
    c = comparisons
    return Comparisons.from_columns(
        annotator=[c.annotators[i] for i in c.annotator],
        content=[c.contents[i] for i in c.content],
        stratum=[c.strata[i] for i in c.stratum],
        left=[conditions[i] for i in c.a],
        right=[conditions[i] for i in c.b],
        chosen=[{1.0: "left", 0.0: "right", 0.5: "tie"}[o] for o in c.outcome],
    )


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize("names", ["acb", "bca", "cba"])
def test_renaming_conditions_changes_no_symmetric_coefficient(coefficient, names):
    comparisons = random_comparisons(1)
    found = [
        of(coefficient, nominal_answers(each)[0], symmetric=True).value
        for each in (comparisons, mapped(comparisons, names))
    ]
    assert found[1] == pytest.approx(found[0], abs=1e-12)


def test_a_condition_that_all_prefer_is_agreement_and_not_chance():
    counts = [[5, 0, 1]] * 30 + [[6, 0, 0]] * 30
    assert of(krippendorff_alpha, counts).value < 0.01
    assert of(krippendorff_alpha, counts, symmetric=True).value == pytest.approx(2 / 3, abs=0.01)


@steady
@given(rated_units(values=3))
def test_symmetric_alpha_is_that_of_every_unit_named_from_both_sides(counts):
    both = np.concatenate([counts, counts[:, ::-1]])
    expected = krippendorff.alpha(value_counts=both, level_of_measurement="ordinal")
    alpha = of(krippendorff_alpha, counts, level="ordinal", symmetric=True).value
    # Alpha depends on the number of ratings by n - 1, which doubling all turns into 2 n - 1.
    n = counts[counts.sum(axis=1) >= 2].sum()
    assert 1 - alpha == pytest.approx(2 * (n - 1) / (2 * n - 1) * (1 - expected), abs=1e-9)
