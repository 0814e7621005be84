import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.contents import content_scale
from evaluation.statistics.estimate import NotIdentified
from evaluation.statistics.scaling import fit_scale


def judged(sd, *, n=4, contents=15, each=200, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.linspace(0.8, -0.8, n) + rng.normal(0, sd, (contents, n))
    content = np.repeat(np.arange(contents), each)
    a = rng.integers(n, size=len(content))
    b = (a + rng.integers(1, n, size=len(a))) % n
    left = rng.random(len(a)) < expit(scores[content, a] - scores[content, b])
    rows = [
        ("ann", f"photo{c:02}", "1", f"codec{i}", f"codec{j}", "left" if y else "right")
        for c, i, j, y in zip(content, a, b, left, strict=True)
    ]
    return Comparisons.from_rows(rows), scores


def test_two_codecs_have_the_mixed_logistic_model_that_quadrature_finds():
    c, _ = judged(0.7, n=2, contents=30, each=60)
    for_first = np.where(c.a == 0, c.outcome, 1 - c.outcome)
    wins = np.bincount(c.content, for_first)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def loss(x):  # the marginal likelihood of a mean difference and its standard deviation
        d = x[0] + np.exp(x[1]) * nodes[:, None]
        each = wins * log_expit(d) + (60 - wins) * log_expit(-d)
        return -logsumexp(each, b=weights[:, None] / np.sqrt(2 * np.pi), axis=0).sum()

    found = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6})
    scale = content_scale(c)
    assert scale.scores[0] - scale.scores[1] == pytest.approx(found.x[0], abs=0.003)
    # A difference has twice the variance of a score. The restricted likelihood, which allows for
    # the scores being estimated from 30 images, has about 1/60 more than the likelihood.
    sd = scale.variation.value * np.sqrt(2)
    assert sd == pytest.approx(np.exp(found.x[1]) * (1 + 1 / 60), rel=0.01)


def test_images_that_are_all_alike_have_the_pooled_scale_and_no_variation():
    c, _ = judged(0.0, each=400)
    scale = content_scale(c)
    assert scale.variation.low == 0.0
    assert scale.variation.value < 0.1
    np.testing.assert_allclose(scale.scores, fit_scale(c).scores, atol=0.02)


def test_the_spread_of_images_and_the_scores_on_each_are_found_again():
    covered, spreads = [], []
    for seed in range(20):
        c, scores = judged(0.6, seed=seed)
        scale = content_scale(c)
        truth = scores - scores.mean(axis=1, keepdims=True)
        spreads.append(scale.variation.low <= 0.6 <= scale.variation.high)
        low, high = scale.interval()
        mean = np.linspace(0.8, -0.8, 4)
        covered.append((low <= mean) & (mean <= high))
        assert np.corrcoef(truth.ravel(), scale.content_scores.ravel())[0, 1] > 0.9
        z = (scale.content_scores - truth) / scale.content_errors
        assert np.std(z) == pytest.approx(1, abs=0.35)
    assert np.mean(covered) > 0.85
    assert np.mean(spreads) > 0.8


def test_scores_on_an_image_that_few_judged_are_drawn_to_those_of_all():
    c, _ = judged(0.8)
    few = np.flatnonzero((c.content > 0) | (np.arange(len(c.content)) < 4))
    scale, all_judged = content_scale(c.where(few)), content_scale(c)
    assert np.abs(scale.content_scores[0] - scale.scores).max() < scale.variation.value
    assert np.all(scale.content_errors[0] > all_judged.content_errors[0])


def test_renaming_codecs_permutes_the_scale():
    c, _ = judged(0.5)
    rows = [
        ("ann", c.contents[k], "1", f"z{9 - i}", f"z{9 - j}", "left" if y else "right")
        for k, i, j, y in zip(c.content, c.a, c.b, c.outcome, strict=True)
    ]
    scale, renamed = content_scale(c), content_scale(Comparisons.from_rows(rows))
    np.testing.assert_allclose(renamed.scores, scale.scores[::-1], atol=1e-4)
    assert renamed.variation.value == pytest.approx(scale.variation.value, abs=1e-4)


def test_what_determines_no_joint_scale_is_refused():
    row = ("ann", "x", "1", "avif", "jpeg", "left")
    with pytest.raises(NotIdentified, match="needs two of them, and there is 1"):
        content_scale(Comparisons.from_rows([row, (*row[:5], "right")]))
    with pytest.raises(NotIdentified, match="never lost"):
        content_scale(Comparisons.from_rows([row, ("ann", "y", *row[2:])]))
    with pytest.raises(ValueError, match="2 strata"):
        content_scale(Comparisons.from_rows([row, ("ann", "y", "2", *row[3:])]))
