"""PSNR, SSIM and MS-SSIM of tensors beside those of `perceptual.reference` and of scikit-image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from perceptual import reference
from perceptual.metric import Metric
from tests.perceptual.scenes import noisy, scenes


def eight_bits(pictures: torch.Tensor) -> np.ndarray:
    return (pictures[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16))
def test_psnr_is_the_one_that_reports_show(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randint(0, 256, (2, 1, 3, height, width), generator=generator) / 255
    found = Metric.load("psnr").distance(x, y)
    assert -found.item() == pytest.approx(reference.psnr(eight_bits(x), eight_bits(y)), abs=1e-4)


def test_psnr_of_equal_pictures_is_120_db():
    picture = scenes(1, side=16)
    assert Metric.load("psnr").distance(picture, picture).item() == -120


def test_one_grey_level_in_one_sample_of_a_large_picture_is_seen():
    x = torch.zeros(1, 3, 1024, 1024)
    y = x.clone()
    y[0, 0, 0, 0] = 1 / 255
    assert -Metric.load("psnr").distance(x, y).item() == pytest.approx(113.11, abs=0.01)


@pytest.mark.parametrize("amount", [0.01, 0.1])
def test_ssim_is_that_of_scikit_image(amount):
    x = scenes(1)
    y = noisy(x, amount)
    lumas = [(each[0] * torch.tensor(reference._LUMA).view(3, 1, 1)).sum(0) for each in (x, y)]
    _, ssim_map = structural_similarity(
        *(luma.double().numpy() for luma in lumas),
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inside = ssim_map[5:-5, 5:-5].mean()  # the window of 11 lies wholly inside
    assert 1 - Metric.load("ssim").distance(x, y).item() == pytest.approx(inside, abs=2e-5)


@pytest.mark.parametrize("amount", [0.01, 0.1, 0.4])
def test_ms_ssim_is_the_one_that_reports_show(amount):
    x = scenes(1, side=176)
    y = noisy(x, amount)
    expected = reference.ms_ssim(eight_bits(x), eight_bits(y))
    assert 1 - Metric.load("ms-ssim").distance(x, y).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("shape", [(161, 161), (163, 171), (199, 223)])
def test_ms_ssim_of_odd_sides_differs_little_from_it(shape):
    x = scenes(1, side=256)[..., : shape[0], : shape[1]]
    y = noisy(x, 0.1)
    expected = reference.ms_ssim(eight_bits(x), eight_bits(y))
    # Odd rows are averaged with zeros here, and with themselves there.
    assert 1 - Metric.load("ms-ssim").distance(x, y).item() == pytest.approx(expected, abs=0.004)
