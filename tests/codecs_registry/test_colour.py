"""Pixels become Y'CbCr planes and back with no error but that of one rounding."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data

from codecs_registry.codecs.base import Pixels
from codecs_registry.codecs.colour import Matrix, Subsampling, from_ycbcr, to_ycbcr

pictures = st.tuples(st.integers(1, 19), st.integers(1, 19), st.just(3)).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
subsamplings = st.sampled_from(["4:2:0", "4:4:4"])
depths = st.sampled_from([8, 10])
KR_KB = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722), "BT.2020": (0.2627, 0.0593)}
matrices = st.sampled_from(sorted(KR_KB))


def round_trip(pixels: Pixels, subsampling: Subsampling, depth: int, full_range: bool) -> Pixels:
    height, width = pixels.shape[:2]
    planes = to_ycbcr(pixels, subsampling=subsampling, depth=depth, full_range=full_range)
    return from_ycbcr(planes, width=width, height=height, depth=depth, full_range=full_range)


def psnr_db(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def levels_by_the_standard(
    pixels: Pixels, depth: int, full_range: bool, matrix: Matrix
) -> np.ndarray:
    """ITU-T H.273, clause 8.3, in double precision and not yet rounded."""
    kr, kb = KR_KB[matrix]
    red, green, blue = np.moveaxis(pixels / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = 0.5 * (blue - luma) / (1 - kb), 0.5 * (red - luma) / (1 - kr)
    half, top = 2 ** (depth - 1), 2**depth - 1
    if full_range:
        return np.stack([top * luma, top * cb + half, top * cr + half])
    step = 2 ** (depth - 8)
    return np.stack([
        step * (219 * luma + 16), step * 224 * cb + half, step * 224 * cr + half
    ])  # fmt: skip


@given(pictures, depths, st.booleans(), matrices)
def test_planes_are_the_standards_levels_rounded_once(
    pixels: Pixels, depth: int, full_range: bool, matrix: Matrix
) -> None:
    planes = to_ycbcr(
        pixels, subsampling="4:4:4", depth=depth, full_range=full_range, matrix=matrix
    )
    exact = levels_by_the_standard(pixels, depth, full_range, matrix).clip(0, 2**depth - 1)
    assert np.abs(np.stack(planes) - exact).max() < 0.5 + 1e-3


@given(pictures, depths, st.booleans())
def test_halved_chroma_is_the_mean_of_two_by_two_pixels(
    pixels: Pixels, depth: int, full_range: bool
) -> None:
    planes = to_ycbcr(pixels, subsampling="4:2:0", depth=depth, full_range=full_range)
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    exact = levels_by_the_standard(even, depth, full_range, "BT.601")
    for plane, full in zip(planes[1:], exact[1:], strict=True):
        means = full.reshape(full.shape[0] // 2, 2, -1, 2).mean((1, 3)).clip(0, 2**depth - 1)
        assert plane.shape == means.shape
        assert np.abs(plane - means).max() < 0.5 + 1e-3


@given(st.integers(0, 255), subsamplings, depths, st.booleans(), st.integers(1, 9))
def test_grey_has_no_chroma_and_stays_the_same_grey(
    level: int, subsampling: Subsampling, depth: int, full_range: bool, side: int
) -> None:
    grey = np.full((side, 2 * side + 1, 3), level, np.uint8)
    _, cb, cr = to_ycbcr(grey, subsampling=subsampling, depth=depth, full_range=full_range)
    assert np.all(cb == 2 ** (depth - 1))
    assert np.all(cr == 2 ** (depth - 1))
    back = round_trip(grey, subsampling, depth, full_range)
    if depth == 10 or full_range:  # 219 levels cannot tell 256 apart
        assert np.array_equal(back, grey)
    else:
        assert np.all(back == back[0, 0, 0])


@pytest.mark.parametrize("full_range", [True, False])
def test_ten_bit_planes_of_full_size_give_every_colour_back(full_range: bool) -> None:
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.array(list(product(steps, repeat=3)), np.uint8)[None]
    back = round_trip(colours, "4:4:4", 10, full_range)
    assert np.abs(back.astype(int) - colours).max() <= (0 if full_range else 1)


def test_eight_bit_planes_of_full_size_cost_less_than_one_level() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for pixels in (noise, data.astronaut()):
        back = round_trip(pixels, "4:4:4", 8, True)
        assert psnr_db(pixels, back) > 50
        assert np.abs(back.astype(float) - pixels).mean((0, 1)).max() < 0.5
        assert np.abs((back.astype(float) - pixels).mean((0, 1))).max() < 0.1


@given(st.tuples(*[st.integers(0, 255)] * 3), subsamplings, depths)
def test_one_colour_stays_one_colour_up_to_a_rounding(
    colour: tuple[int, int, int], subsampling: Subsampling, depth: int
) -> None:
    pixels = np.full((7, 5, 3), colour, np.uint8)
    back = round_trip(pixels, subsampling, depth, True)
    assert np.all(back == back[0, 0])
    assert np.abs(back.astype(int) - pixels).max() <= (2 if depth == 8 else 0)


@settings(deadline=None)
@given(pictures, subsamplings, depths, st.booleans())
def test_a_picture_of_any_size_comes_back_in_that_size(
    pixels: Pixels, subsampling: Subsampling, depth: int, full_range: bool
) -> None:
    planes = to_ycbcr(pixels, subsampling=subsampling, depth=depth, full_range=full_range)
    assert {plane.dtype for plane in planes} == {np.dtype("u1" if depth == 8 else "u2")}
    back = round_trip(pixels, subsampling, depth, full_range)
    assert back.shape == pixels.shape
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous


@pytest.mark.parametrize("shape", [(40, 60), (41, 61), (1, 9), (9, 1), (2, 2)])
def test_halved_chroma_is_interpolated_by_the_triangle_filter(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    small = [-(-side // 2) for side in shape]
    grey = np.full(shape, 128, np.uint8)
    red = rng.integers(108, 149, small, dtype=np.uint8)
    back = from_ycbcr(
        (grey, np.full_like(red, 128), red), width=shape[1], height=shape[0]
    )  # red alone: R = Y' + 1.402 (Cr - 128)
    rows, columns = (
        np.clip((np.arange(side) - 0.5) / 2, 0, count - 1)
        for side, count in zip(shape, small, strict=True)
    )
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, right = np.minimum(top + 1, small[0] - 1), np.minimum(left + 1, small[1] - 1)
    down, across = (rows - top)[:, None], columns - left
    wanted = (1 - down) * ((1 - across) * red[top][:, left] + across * red[top][:, right]) + (
        down * ((1 - across) * red[below][:, left] + across * red[below][:, right])
    )
    assert np.abs(back[..., 0] - (128 + 1.402 * (wanted - 128))).max() < 0.5 + 1e-3


def test_a_large_picture_has_no_seams() -> None:
    tall = np.tile(data.astronaut(), (4, 2, 1))[:1999, :1023].copy()
    planes = to_ycbcr(tall, subsampling="4:2:0")
    back = from_ycbcr(planes, width=1023, height=1999)
    upper = from_ycbcr((planes[0][:200], planes[1][:100], planes[2][:100]), width=1023, height=200)
    assert np.array_equal(back[:199], upper[:199])
    middle = [planes[0][600:1000], planes[1][300:500], planes[2][300:500]]
    assert np.array_equal(back[601:999], from_ycbcr((*middle,), width=1023, height=400)[1:-1])


def test_padding_right_of_and_below_the_picture_is_left_out() -> None:
    pixels = data.astronaut()[:37, :29].copy()
    planes = to_ycbcr(pixels, subsampling="4:2:0")
    padded = [np.pad(planes[0], ((0, 3), (0, 3)))]
    padded += [np.pad(plane, ((0, 1), (0, 1))) for plane in planes[1:]]
    assert np.array_equal(
        from_ycbcr((*padded,), width=29, height=37), from_ycbcr(planes, width=29, height=37)
    )


@pytest.mark.parametrize(
    ("shapes", "width", "height"),
    [
        ([(4, 4), (3, 2), (3, 2)], 4, 4),
        ([(4, 4), (2, 2), (4, 4)], 4, 4),
        ([(4, 4), (2, 2), (2, 2)], 5, 4),
        ([(4, 4), (2, 2), (2, 2)], 4, 0),
    ],
)
def test_planes_that_do_not_suit_each_other_are_refused(
    shapes: list[tuple[int, int]], width: int, height: int
) -> None:
    planes = (*(np.zeros(shape, np.uint8) for shape in shapes),)
    with pytest.raises(ValueError, match=r"suit|size|hold"):
        from_ycbcr(planes, width=width, height=height)


def test_what_is_not_pixels_and_other_depths_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        to_ycbcr(np.zeros((4, 4, 3)), subsampling="4:4:4")
    with pytest.raises(ValueError, match="8 to 16 bits"):
        to_ycbcr(np.zeros((4, 4, 3), np.uint8), subsampling="4:4:4", depth=7)
