import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, ndtr
from scipy.stats import t as student
from statsmodels.stats.sandwich_covariance import cov_cluster

from evaluation.statistics.batch import bradley_terry_batch, identified
from evaluation.statistics.choice_models import DAVIDSON, THURSTONE
from evaluation.statistics.clusters import BOTH, cluster_bootstrap, robust
from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.contents import content_scale
from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.scaling import bradley_terry, fit_scale

TRUTH = np.array([0.8, -0.6, 0.2, -0.4])


def crowd(annotators=12, contents=9, each=40, sd=0.7, seed=0, ties=False):
    """Judgments in which annotators and source images have likings of their own, of spread sd."""
    rng = np.random.default_rng(seed)
    n = len(TRUTH)
    liking, content_effect = rng.normal(0, sd, (annotators, n)), rng.normal(0, sd, (contents, n))
    annotator = np.repeat(np.arange(annotators), each)
    content = rng.integers(contents, size=len(annotator))
    a = rng.integers(n, size=len(annotator))
    b = (a + rng.integers(1, n, size=len(a))) % n
    worth = TRUTH + liking[annotator] + content_effect[content]
    rows = np.arange(len(a))
    p = expit(worth[rows, a] - worth[rows, b])
    chosen = np.where(rng.random(len(a)) < p, "left", "right")
    if ties:
        chosen = np.where(rng.random(len(a)) < 0.2, "tie", chosen)
    return Comparisons.from_rows(
        [
            (f"ann{k}", f"photo{c}", "1", f"codec{i}", f"codec{j}", str(side))
            for k, c, i, j, side in zip(annotator, content, a, b, chosen, strict=True)
        ]
    )


def design(c):
    x = np.zeros((len(c.outcome), len(c.conditions)))
    x[np.arange(len(x)), c.a] += 1
    x[np.arange(len(x)), c.b] -= 1
    return x[:, 1:]


@pytest.mark.parametrize("over", [("annotator",), ("content",), BOTH])
def test_the_robust_covariance_is_that_of_statsmodels(over):
    c = crowd()
    glm = sm.Logit(c.outcome, design(c)).fit(disp=0, tol=1e-13)
    v = robust(c, fit_scale(c), over=over).covariance
    against_first = v[1:, 1:] + v[0, 0] - v[1:, [0]] - v[[0], 1:]

    def sandwich(codes):
        g = len(np.unique(codes))
        return cov_cluster(glm, codes, use_correction=False) * g / (g - 1)

    expected = sum(sandwich(getattr(c, kind)) for kind in over)
    if over == BOTH:
        expected = expected - sandwich(c.annotator * len(c.contents) + c.content)
    np.testing.assert_allclose(against_first, expected, rtol=1e-6)


def test_intervals_take_students_t_for_the_fewer_clusters():
    c = crowd()
    scale = robust(c, fit_scale(c))
    low, high = scale.interval(0.9)
    errors = np.sqrt(np.diag(scale.covariance))
    np.testing.assert_allclose(high - low, 2 * student.ppf(0.95, 9 - 1) * errors)


def test_side_effect_and_ties_get_robust_errors_too():
    c = crowd(ties=True)
    plain = fit_scale(c, model=DAVIDSON, side_effect=True)
    scale = robust(c, plain, over=("annotator",))
    assert scale.side.value == plain.side.value
    assert scale.side.standard_error != plain.side.standard_error
    assert 0 < scale.tie.standard_error < 1


def test_judgments_that_are_independent_have_about_the_plain_errors():
    c = crowd(60, 60, 60, sd=0.0)
    plain, clustered = fit_scale(c), robust(c, fit_scale(c))
    ratio = np.diag(clustered.covariance) / np.diag(plain.covariance)
    assert np.all((ratio > 0.6) & (ratio < 1.6))


def test_judgments_that_are_not_have_larger_ones():
    c = crowd(20, 20, 100, sd=0.8)
    plain, clustered = fit_scale(c), robust(c, fit_scale(c))
    assert np.all(np.diag(clustered.covariance) > 3 * np.diag(plain.covariance))


@pytest.mark.parametrize(("over", "name"), [("annotator", "annotators"), ("content", "source")])
def test_one_cluster_tells_nothing_of_how_clusters_vary(over, name):
    c = crowd(1, 5, 80) if over == "annotator" else crowd(5, 1, 80)
    for ask in (
        lambda: robust(c, fit_scale(c), over=(over,)),
        lambda: cluster_bootstrap(c, over=(over,), rng=np.random.default_rng(0)),
    ):
        with pytest.raises(NotIdentified, match=f"different {name}.* there is 1"):
            ask()


@pytest.mark.parametrize("over", [(), ("stratum",), ("annotator", "annotator")])
def test_what_is_no_way_of_clustering_is_refused(over):
    c = crowd()
    with pytest.raises(ValueError, match="clusters"):
        robust(c, fit_scale(c), over=over)


@pytest.mark.parametrize("over", [("annotator",), ("content",)])
def test_the_bootstrap_is_a_loop_of_refits_done_at_once(over):
    c = crowd()
    boot = cluster_bootstrap(c, over=over, n_boot=40, rng=np.random.default_rng(7))
    codes = getattr(c, over[0])
    g = codes.max() + 1
    drawn = np.random.default_rng(7).multinomial(g, np.full(g, 1 / g), size=40)
    for draw, times in zip(boot.draws, drawn, strict=True):
        again = c.where(np.repeat(np.arange(len(codes)), times[codes]))
        np.testing.assert_allclose(draw, fit_scale(again).scores, atol=1e-6)


@pytest.mark.parametrize("model", [THURSTONE, DAVIDSON], ids=lambda model: model.name)
def test_the_bootstrap_takes_any_model(model):
    c = crowd(ties=True)
    scale = fit_scale(c, model=model, side_effect=True)
    boot = cluster_bootstrap(
        c, over=("annotator",), n_boot=60, rng=np.random.default_rng(0), scale=scale
    )
    errors = np.sqrt(np.diag(robust(c, scale, over=("annotator",)).covariance))
    # 60 resamples tell a standard deviation to about 9 %; the two differ by more for 12 clusters.
    np.testing.assert_allclose(boot.draws.std(axis=0), errors, rtol=0.5)


def test_the_two_way_bootstrap_has_the_robust_covariance():
    c = crowd()
    boot = cluster_bootstrap(c, n_boot=500, rng=np.random.default_rng(0))
    deviations = boot.draws - boot.scores
    expected = robust(c, fit_scale(c)).covariance
    np.testing.assert_allclose(deviations.T @ deviations / 500, expected, atol=1e-10)


def test_the_same_seed_gives_the_same_bootstrap():
    c = crowd()
    first, second = (
        cluster_bootstrap(c, n_boot=20, rng=np.random.default_rng(5)).draws for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_percentiles_are_taken_further_out_where_clusters_are_few():
    c = crowd()
    boot = cluster_bootstrap(c, over=("content",), n_boot=500, rng=np.random.default_rng(0))
    # Hesterberg (2015): alpha/2 becomes Phi(-sqrt(g / (g - 1)) t), here for nine source images.
    tail = ndtr(-np.sqrt(9 / 8) * student.ppf(0.975, 8))
    np.testing.assert_allclose(
        boot.interval(), np.quantile(boot.draws, [tail, 1 - tail], axis=0), rtol=1e-9
    )


def test_resamples_without_a_scale_are_counted_and_many_of_them_refused():
    # webp loses only to one annotator, so most resamples that leave this one out fail.
    rows = [(f"ann{k}", "x", "1", "webp", "jpeg", "left") for k in range(9)]
    c = Comparisons.from_rows([*rows, ("ann0", "x", "1", "webp", "jpeg", "right")])
    boot = cluster_bootstrap(c, over=("annotator",), n_boot=200, rng=np.random.default_rng(0))
    # The annotator is left out with probability (8 / 9)^9 = 0.35.
    assert 40 < boot.n_failed < 95
    with pytest.raises(NotIdentified, match=f"{boot.n_failed} of 200 resamples"):
        boot.interval()


def test_few_clusters_and_clusters_all_alike_give_no_percentiles():
    c = crowd(annotators=7)
    boot = cluster_bootstrap(c, over=("annotator",), n_boot=50, rng=np.random.default_rng(0))
    with pytest.raises(NotIdentified, match="need 8 clusters of a kind, and there are 7"):
        boot.interval()
    answers = [("webp", "jpeg", "left"), ("webp", "jpeg", "right"), ("webp", "jpeg", "left")]
    alike = Comparisons.from_rows(
        [(f"ann{k}", "x", "1", *answer) for k in range(9) for answer in answers]
    )
    boot = cluster_bootstrap(alike, over=("annotator",), n_boot=50, rng=np.random.default_rng(0))
    with pytest.raises(NotIdentified, match="all clusters answered alike"):
        boot.interval()


def test_a_prior_is_refused_where_clusters_are_meant_to_speak():
    c = crowd()
    with_prior = fit_scale(c, prior_sd=1.0)
    for ask in (
        lambda: robust(c, with_prior),
        lambda: cluster_bootstrap(c, scale=with_prior, rng=np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="without a prior"):
            ask()


def test_two_way_errors_are_never_below_those_of_independent_judgments():
    # Of many differences one would otherwise come out with next to no variance, by chance.
    for seed in range(20):
        c = crowd(20, 20, 15, sd=0.0, seed=seed)
        scale = fit_scale(c)
        each = robust(c, scale).covariance
        cells = c.annotator * 20 + c.content
        alone = Comparisons.from_rows(
            [
                (f"cell{k}", f"cell{k}", "1", c.conditions[a], c.conditions[b], side)
                for k, a, b, side in zip(
                    cells, c.a, c.b, np.where(c.outcome == 1, "left", "right"), strict=True
                )
            ]
        )
        least = robust(alone, scale, over=("annotator",)).covariance
        assert np.linalg.eigvalsh(each - least).min() > -1e-9


def test_a_batch_is_many_single_fits():
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 4, (200, 5, 5)).astype(float)
    wins[:, np.arange(5), np.arange(5)] = 0
    wins[0, 0], wins[1] = 0, wins[1] * 1e5 + np.eye(5, k=1)
    scores, covariance = bradley_terry_batch(wins)
    assert 0 < np.isnan(scores[:, 0]).sum() < 200
    for each, score, v in zip(wins, scores, covariance, strict=True):
        try:
            scale = bradley_terry(each)
        except NotIdentified:
            assert np.isnan(score).all()
            assert np.isnan(v).all()
        else:
            np.testing.assert_allclose(score, scale.scores, atol=1e-6)
            np.testing.assert_allclose(v, scale.covariance, rtol=1e-4, atol=1e-9)


def test_a_chain_leads_from_all_to_all_only_if_it_is_closed():
    chain = np.diag(np.ones(11), k=1)
    ring = chain.copy()
    ring[11, 0] = 1
    assert identified(np.stack([chain, ring])).tolist() == [False, True]


def in_parts(c):
    """The same judgments, of pictures of which two parts were asked about."""
    rows = zip(c.annotator, c.content, c.a, c.b, c.outcome, strict=True)
    return Comparisons.from_rows(
        [
            (
                c.annotators[k],
                f"{c.contents[content]}@{8 * (number % 2)},0",
                "1",
                c.conditions[a],
                c.conditions[b],
                "left" if outcome else "right",
            )
            for number, (k, content, a, b, outcome) in enumerate(rows)
        ]
    )


@pytest.mark.parametrize("over", [("content",), BOTH])
def test_parts_of_one_picture_are_one_cluster(over):
    c = crowd()
    parts = in_parts(c)
    assert len(parts.contents) == 2 * len(parts.pictures) == 2 * len(c.contents)
    scale = fit_scale(c)
    np.testing.assert_allclose(
        robust(parts, scale, over=over).covariance, robust(c, scale, over=over).covariance
    )
    of_parts, of_pictures = (
        cluster_bootstrap(each, over=over, n_boot=50, rng=np.random.default_rng(0))
        for each in (parts, c)
    )
    np.testing.assert_allclose(of_parts.draws, of_pictures.draws)
    assert of_parts.n_clusters == of_pictures.n_clusters
    np.testing.assert_allclose(content_scale(parts).scores, content_scale(c).scores)
