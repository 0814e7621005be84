"""PSNR and MS-SSIM: laws, worked examples, and scikit-image as the second program."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import downscale_local_mean

from perceptual import reference
from perceptual.reference import SMALLEST_SIDE, WEIGHTS, ms_ssim, psnr, similarity

BT601 = np.array([0.299, 0.587, 0.114])
# scikit-image's SSIM as Wang et al. 2004 define it; its mean is over the places we take, too.
WANG = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
}


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """(300, 451, 3): odd one way, even the other."""
    return data.chelsea()


def noisy(picture: np.ndarray, deviation: float, *, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, picture.shape)
    return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def ssim_by_scikit_image(x: np.ndarray, y: np.ndarray) -> float:
    return structural_similarity(x @ BT601, y @ BT601, **WANG)


def by_the_book(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM as its equations are written: whole planes, one two-dimensional window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    a, b = x @ BT601, y @ BT601
    result = 1.0
    for scale, weight in enumerate(WEIGHTS, start=1):
        mean_a, mean_b, of_a, of_b, of_both = (
            fftconvolve(plane, window, mode="valid") for plane in (a, b, a * a, b * b, a * b)
        )
        variance_a, variance_b = of_a - mean_a**2, of_b - mean_b**2
        values = (2 * (of_both - mean_a * mean_b) + c2) / (variance_a + variance_b + c2)
        if scale == len(WEIGHTS):
            values *= (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        result *= values.mean() ** weight
        a, b = (
            downscale_local_mean(np.pad(plane, [(0, n % 2) for n in plane.shape], "edge"), (2, 2))
            for plane in (a, b)
        )
    return result


# --- PSNR -----------------------------------------------------------------------------------------


def test_psnr_of_a_worked_example():
    black = np.zeros((2, 2, 3), np.uint8)
    spotted = black.copy()
    spotted[0, 0, 0], spotted[1, 1, 2] = 3, 255
    # 12 samples, two of them wrong: MSE = (9 + 65025) / 12 = 5419.5; 65025 / 5419.5 = 11.99834.
    assert psnr(black, spotted) == pytest.approx(10.79121, abs=5e-6)


def test_equal_pictures_have_no_finite_psnr(photograph):
    assert psnr(photograph, photograph.copy()) == math.inf


def test_psnr_is_scikit_images(photograph):
    for deviation in (1, 10, 80):
        distorted = noisy(photograph, deviation)
        assert psnr(photograph, distorted) == pytest.approx(
            peak_signal_noise_ratio(photograph, distorted), abs=1e-9
        )


# --- MS-SSIM --------------------------------------------------------------------------------------


def test_a_scale_is_scikit_images_ssim_where_the_window_lies_inside(photograph):
    distorted = noisy(photograph, 12)
    ours, _ = similarity(photograph, distorted)
    assert ours == pytest.approx(ssim_by_scikit_image(photograph, distorted), abs=1e-9)


@pytest.mark.parametrize("level", [0, 255])
def test_a_scale_keeps_its_precision_on_bright_and_on_dark_pictures(level):
    """Where variances are small differences of large squares."""
    flat = np.full((64, 48, 3), level, np.uint8)
    distorted = flat.copy()
    distorted[::3, ::2] ^= 1
    ours, _ = similarity(flat, distorted)
    assert ours == pytest.approx(ssim_by_scikit_image(flat, distorted), abs=1e-9)


def by_scikit_image(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM (equation 7) from scikit-image's map of SSIM, SciPy's Gaussian and plain means."""
    planes = [x @ BT601, y @ BT601]
    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        _, ssim = structural_similarity(*planes, **WANG, full=True)
        a, b = (gaussian_filter(plane, 1.5, truncate=3.5) for plane in planes)
        luminance = (2 * a * b + 2.55**2) / (a**2 + b**2 + 2.55**2)
        wanted = ssim if scale == len(WEIGHTS) - 1 else ssim / luminance
        result *= wanted[5:-5, 5:-5].mean() ** weight
        planes = [
            downscale_local_mean(np.pad(plane, [(0, n % 2) for n in plane.shape], "edge"), (2, 2))
            for plane in planes
        ]
    return result


@pytest.mark.parametrize("shape", [(300, 451), (288, 448), (161, 175)])
@pytest.mark.parametrize("deviation", [3, 30])
def test_ms_ssim_is_the_weighted_product_of_its_scales(photograph, shape, deviation):
    x = photograph[: shape[0], : shape[1]]
    y = noisy(x, deviation)
    assert ms_ssim(x, y) == pytest.approx(by_scikit_image(x, y), abs=1e-9)


@pytest.mark.parametrize("shape", [(300, 451), (161, 163), (176, 256)])
def test_ms_ssim_is_what_its_equations_say(photograph, shape):
    x = photograph[: shape[0], : shape[1]]
    for y in (noisy(x, 15), np.roll(x, 2, axis=1), x // 2 + 60):
        assert ms_ssim(x, y) == pytest.approx(by_the_book(x, y), abs=1e-9)


def test_equal_pictures_are_perfectly_similar(photograph):
    assert ms_ssim(photograph, photograph.copy()) == 1.0


def test_more_noise_is_less_similar_by_both_metrics(photograph):
    distorted = [noisy(photograph, deviation) for deviation in (2, 5, 10, 20, 40, 80)]
    for metric in (psnr, ms_ssim):
        values = [metric(photograph, each) for each in distorted]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == len(values)


def test_a_negative_is_not_similar_at_all(photograph):
    assert 0 <= ms_ssim(photograph, 255 - photograph) < 0.05


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
@given(seed=st.integers(0, 2**32 - 1), deviation=st.floats(0.5, 60))
def test_neither_metric_minds_which_picture_comes_first(photograph, metric, seed, deviation):
    x = photograph[seed % 100 :][:170, :163]
    y = noisy(x, deviation, seed=seed)
    assert metric(x, y) == metric(y, x)


def test_a_picture_that_the_coarsest_window_does_not_fit_into_has_no_ms_ssim(photograph):
    assert SMALLEST_SIDE == 161
    for height, width, has_one in ((161, 161, True), (160, 300, False), (300, 160, False)):
        x = photograph[:height, :width]
        assert (ms_ssim(x, noisy(x, 5)) is not None) == has_one
        assert math.isfinite(psnr(x, noisy(x, 5)))


@pytest.mark.parametrize("shape", [(192, 176), (191, 177), (300, 451)])
def test_working_in_bands_changes_nothing(photograph, monkeypatch, shape):
    x = photograph[: shape[0], : shape[1]]
    y = noisy(x, 9)
    whole = psnr(x, y), ms_ssim(x, y)
    monkeypatch.setattr(reference, "_BAND_PIXELS", 1)  # bands of 64 rows
    assert (psnr(x, y), ms_ssim(x, y)) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
def test_what_cannot_be_compared_is_refused(metric):
    picture = np.zeros((200, 200, 3), np.uint8)
    with pytest.raises(ValueError, match="differ in shape"):
        metric(picture, picture[:199])
    with pytest.raises(ValueError, match="uint8"):
        metric(picture, picture / 255)
    with pytest.raises(ValueError, match="height, width, 3"):
        metric(picture[..., 0], picture[..., 0])
    with pytest.raises(ValueError, match="no pixels"):
        metric(picture[:0], picture[:0])
