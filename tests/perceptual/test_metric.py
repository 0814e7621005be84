"""What holds of every metric, and of the interface that they share."""

import pytest
import torch

from perceptual.backbones import load_backbone
from perceptual.dists import Dists
from perceptual.metric import (
    Metric,
    MetricUnavailable,
    UnknownMetric,
    availability,
    metric_names,
)
from tests.perceptual.scenes import make, noisy, scenes

ALWAYS_THERE = ("psnr", "ssim", "ms-ssim", "ssimulacra2")
WITH_PROGRAMS = ("butteraugli", "cvvdp")


@pytest.fixture(scope="module", params=[*ALWAYS_THERE, "dists", *WITH_PROGRAMS])
def metric(request) -> Metric:
    return make(request.param)


def test_equal_pictures_are_as_near_as_can_be(metric):
    pictures = scenes(2)
    found = metric.distance(pictures, pictures)
    assert found.shape == (2,)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([metric.low] * 2, abs=2e-5)


def test_more_noise_is_farther(metric):
    picture = scenes(1)
    versions = torch.cat([noisy(picture, amount) for amount in (0.01, 0.03, 0.1, 0.3)])
    found = metric.distance(picture, versions)
    assert found.tolist() == sorted(found.tolist())
    assert found[0] < found[-1]
    assert ((found >= metric.low) & (found <= metric.high)).all()


def test_one_reference_stands_for_all(metric):
    picture = scenes(1)
    versions = torch.cat([noisy(picture, amount) for amount in (0.02, 0.2)])
    at_once = metric.distance(picture, versions)
    expanded = metric.distance(picture.expand(2, -1, -1, -1), versions)
    one_by_one = torch.cat([metric.distance(picture, each[None]) for each in versions])
    torch.testing.assert_close(at_once, expanded, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(at_once, one_by_one, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_distorted_picture(metric):
    picture = scenes(1)
    distorted = noisy(picture, 0.05).requires_grad_()
    found = metric.distance(picture, distorted)
    if not metric.is_differentiable:
        assert not found.requires_grad
        return
    found.sum().backward()
    assert distorted.grad.isfinite().all()
    assert distorted.grad.abs().sum() > 0
    with torch.no_grad():  # a small step against the gradient brings them nearer
        step = 1e-3 * distorted.grad / distorted.grad.abs().max()
        nearer = metric.distance(picture, (distorted - step).clamp(0, 1))
    assert nearer < found


def test_the_smallest_picture_is_taken_and_a_smaller_one_refused(metric):
    smallest = scenes(1, side=metric.smallest_side)
    assert metric.distance(smallest, noisy(smallest, 0.1)).isfinite().all()
    if metric.smallest_side > 1:
        small = scenes(1, side=metric.smallest_side - 1)
        with pytest.raises(ValueError, match="with sides of"):
            metric.distance(small, small)


def test_sides_may_be_odd_and_unequal(metric):
    picture = scenes(1)[..., :163, :171]
    found = metric.distance(picture, noisy(picture, 0.05))
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("reference", "distorted", "reason"),
    [
        (
            torch.zeros(3, 8, 8),
            torch.zeros(1, 3, 8, 8),
            r"reference: expected shape \(N, 3, H, W\)",
        ),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), "distorted: expected shape"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9), "differ in shape"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, 3, 8, 8), "differ in shape"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "expected float32"),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 255.0), r"in \[0, 1\], found 255"),
        (torch.full((1, 3, 8, 8), -0.1), torch.zeros(1, 3, 8, 8), r"in \[0, 1\], found -0.1"),
        (torch.full((1, 3, 8, 8), torch.nan), torch.zeros(1, 3, 8, 8), "found nan"),
    ],
)
def test_what_does_not_fit_is_refused(metric, reference, distorted, reason):
    with pytest.raises(ValueError, match=reason):
        metric.distance(reference, distorted)


class TestNames:
    def test_every_metric_says_whether_it_can_run_and_if_not_what_to_do(self):
        found = availability()
        assert list(found) == metric_names()
        for name in ALWAYS_THERE:
            assert found[name] == ""
        for name, reason in found.items():
            if reason:
                with pytest.raises(MetricUnavailable):
                    Metric.load(name)

    def test_a_metric_is_called_as_it_was_asked_for(self):
        for name in ALWAYS_THERE:
            assert Metric.load(name).name == name

    def test_an_unknown_name_is_refused_with_those_that_there_are(self):
        with pytest.raises(UnknownMetric, match="no metric 'vmaf'; there are psnr, ssim"):
            Metric.load("vmaf")

    def test_without_the_program_butteraugli_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(MetricUnavailable, match="apt install libjxl-devtools"):
            Metric.load("butteraugli")


class TestDigest:
    def test_it_is_the_same_always_and_another_for_each_metric(self):
        digests = {name: Metric.load(name).digest for name in ALWAYS_THERE}
        assert len(set(digests.values())) == len(ALWAYS_THERE)
        assert digests == {name: Metric.load(name).digest for name in ALWAYS_THERE}

    def test_it_follows_a_networks_weights(self):
        first, same, other = (
            Dists(load_backbone("vgg16", "random", seed=seed)).digest for seed in (0, 0, 1)
        )
        assert first == same != other
