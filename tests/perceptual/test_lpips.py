"""LPIPS, and LPIPS-Comp as a metric: distances, maps, files."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptual import lpips
from perceptual.backbones import RANDOM, load_backbone
from perceptual.lpips import Card, InvalidMetricFile, LpipsComp, RankingHead, error_decibels
from perceptual.metric import Metric
from perceptual.reference import psnr
from tests.perceptual.peers import package_distance, published_lpips


def pictures(height=64, width=80, *, n=1, seed=0) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def versions_of(reference: torch.Tensor, *, seed=1) -> torch.Tensor:
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(seed))
    return (reference + 0.1 * noise).clamp(0, 1)


@pytest.fixture(scope="module")
def metric() -> LpipsComp:
    """Weights that differ from channel to channel, one of them of pixel error."""
    network = load_backbone("efficientnet-lite0")
    made = lpips.untrained(network, name="test", with_psnr=True)
    made.weight.data = torch.rand(513, generator=torch.Generator().manual_seed(2))
    return made


@pytest.mark.parametrize("net", ["vgg", "alex", "squeeze"])
def test_published_lpips_is_that_of_its_package(net):
    """Their linear weights, and the same random weights of the network."""
    name = f"lpips-{net}"
    ours = lpips.published(name, load_backbone(lpips.PUBLISHED[name], RANDOM))
    reference = pictures(96, 120, n=2)
    distorted = versions_of(reference)
    theirs = package_distance(published_lpips(net), reference, distorted)
    torch.testing.assert_close(ours.distance(reference, distorted), theirs, rtol=1e-5, atol=1e-5)
    assert float(theirs.min()) > 0.001, "or there is nothing to compare"


def test_a_metrics_digest_is_of_what_its_distances_depend_on():
    backbone = load_backbone("efficientnet-lite0")
    first, second = lpips.untrained(backbone), lpips.untrained(backbone)
    assert first.digest == second.digest  # their ranking heads are drawn, and differ
    second.weight.data[0] = 2
    assert first.digest != second.digest


def test_equal_pictures_are_at_distance_nought_and_others_are_not(metric):
    reference = pictures(n=2)
    assert metric.distance(reference, reference).tolist() == [0, 0]
    assert bool((metric.distance(reference, versions_of(reference)) > 0).all())


def test_one_reference_stands_for_all(metric):
    reference = pictures()
    several = torch.cat([versions_of(reference, seed=seed) for seed in range(3)])
    each = [metric.distance(reference, one[None]) for one in several]
    torch.testing.assert_close(metric.distance(reference, several), torch.cat(each))


def test_gradients_reach_both_pictures_even_where_they_are_equal(metric):
    reference, distorted = pictures(), pictures()
    for each in (reference, distorted):
        each.requires_grad_(True)
    metric.distance(reference, distorted).sum().backward()
    assert torch.isfinite(reference.grad).all()
    assert torch.isfinite(distorted.grad).all()


def test_a_flat_picture_has_finite_gradients(metric):
    distorted = torch.zeros(1, 3, 64, 64, requires_grad=True)
    metric.distance(torch.ones(1, 3, 64, 64), distorted).sum().backward()
    assert torch.isfinite(distorted.grad).all()


def test_pixel_error_is_psnr_upside_down():
    reference = pictures()
    distorted = versions_of(reference)
    grey = [(each * 255).round() / 255 for each in (reference, distorted)]
    decibels = psnr(*((each[0] * 255).round().byte().permute(1, 2, 0).numpy() for each in grey))
    assert float(error_decibels(*grey)) == pytest.approx(20 * math.log10(255) - decibels, abs=0.01)
    assert float(error_decibels(reference, reference)) == 0


def test_the_mean_of_the_map_is_the_distance_without_pixel_error(metric):
    reference = pictures(96, 130)
    distorted = versions_of(reference)
    without = metric.distance(reference, distorted) - metric.weight[-1] * error_decibels(
        reference, distorted
    )
    found = metric.distance_map(reference, distorted)
    assert found.shape == (1, 96, 130)
    torch.testing.assert_close(found.mean((1, 2)), without, rtol=1e-4, atol=1e-6)


def test_the_map_lies_where_the_difference_does(metric):
    reference = pictures(128, 128)
    distorted = reference.clone()
    distorted[..., :40, :40] = 0.5
    found = metric.distance_map(reference, distorted)[0]
    assert float(found[:40, :40].mean()) > 20 * float(found[80:, 80:].mean())


def test_a_picture_too_small_or_of_another_shape_is_refused(metric):
    with pytest.raises(ValueError, match="32 pixels"):
        metric.distance(pictures(31, 64), pictures(31, 64))
    with pytest.raises(ValueError, match="differ in shape"):
        metric.distance(pictures(64, 64), pictures(64, 65))


# --- the head -------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.floats(0, 10), st.floats(0, 10))
def test_the_ranking_head_is_fair_to_both_sides(d0, d1):
    torch.manual_seed(1)
    head = RankingHead()
    one_way, other = (head(torch.tensor([a]), torch.tensor([b])) for a, b in ((d0, d1), (d1, d0)))
    torch.testing.assert_close(one_way, -other)


@settings(max_examples=30)
@given(st.floats(0, 10), st.floats(0, 10), st.floats(0.001, 5), st.integers(0, 99))
def test_whatever_it_has_learned_a_larger_distance_is_not_closer(d0, d1, further, seed):
    torch.manual_seed(seed)
    head = RankingHead().double()
    other = torch.tensor([d1]).double()
    before, after = (head(torch.tensor([each]).double(), other) for each in (d0, d0 + further))
    assert after.item() > before.item()


# --- files ----------------------------------------------------------------------------------------


def stored(metric: LpipsComp, tmp_path):
    file = tmp_path / "metric.safetensors"
    file.write_bytes(lpips.to_bytes(metric))
    return file


def test_a_metric_comes_back_from_its_file_as_it_was(metric, tmp_path):
    back = lpips.load(stored(metric, tmp_path))
    assert back.card == metric.card
    reference = pictures()
    distorted = versions_of(reference)
    assert torch.equal(back.distance(reference, distorted), metric.distance(reference, distorted))
    assert lpips.to_bytes(back) == lpips.to_bytes(metric)


def test_a_backbone_that_was_trained_goes_with_its_metric(tmp_path):
    network = load_backbone("alexnet", RANDOM, seed=4)
    card = Card("own", "alexnet", network.digest, variant="scratch")
    made = LpipsComp(network, card).eval().requires_grad_(False)
    back = lpips.load(stored(made, tmp_path))
    assert back.backbone.digest == network.digest


def test_a_file_for_other_weights_of_the_backbone_is_refused(metric, tmp_path):
    file = stored(metric, tmp_path)
    with pytest.raises(InvalidMetricFile, match="other weights of efficientnet-lite0"):
        lpips.load(file, backbone=load_backbone("efficientnet-lite0", RANDOM))


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "another's"])
def test_a_file_that_holds_no_metric_is_refused(metric, tmp_path, damage):
    file = stored(metric, tmp_path)
    whole = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "text": b"not a metric",
            "cut": whole[: len(whole) // 2],
            "another's": (
                lpips.files("perceptual") / "weights/lpips-v0.1.safetensors"
            ).read_bytes(),
        }[damage]
    )
    with pytest.raises(InvalidMetricFile):
        lpips.load(file)


def test_a_file_of_a_later_format_is_refused(metric, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "FORMAT", 2)
    file = stored(metric, tmp_path)
    monkeypatch.undo()
    with pytest.raises(InvalidMetricFile, match="another format"):
        lpips.load(file)


def test_a_notebook_needs_no_django(metric, tmp_path):
    file = stored(metric, tmp_path)
    script = f"""
import sys, torch
from perceptual import Metric
metric = Metric.load({str(file)!r})
print(float(metric.distance(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))) > 0)
print("django" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_a_metric_measures_alike_after_its_name_has_changed(metric, tmp_path):
    metric_again = lpips.load(stored(metric, tmp_path))
    metric_again.card = replace(metric_again.card, name="another")
    assert isinstance(metric_again, Metric)
    assert metric_again.name == "another"
