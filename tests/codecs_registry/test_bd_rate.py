"""BD-rate: what can be worked out by hand, published values, and a second program."""

import math

import bjontegaard
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecs_registry.bd_rate import Curve, NoBdRate, bd_quality, bd_rate, overlap

# Rate (kbit/s), PSNR (dB) and BD-rate (percent) of the spreadsheet with JCT-VC's common test
# conditions, as the tests of Netflix's VMAF (python/test/bd_rate_calculator_test.py) quote them.
PUBLISHED = [
    (
        [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
        [
            (108061.2784, 43.6768),
            (61299.9936, 40.4232),
            (33928.7472, 37.2761),
            (18910.912, 34.3147),
        ],
        -0.465215420752807,
    ),
    (
        [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
        [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
        -1.8779823450567612,
    ),
]
PHOTOGRAPH = [(0.23, 30.1), (0.37, 32.2), (0.67, 35.0), (1.0, 37.1)]


@st.composite
def curves(draw) -> list[tuple[float, float]]:
    """4 to 9 points, both coordinates strictly rising, all curves through 0.5 to 1 bpp and 33 dB
    or so, in any order."""
    n = draw(st.integers(4, 9))
    steps = st.lists(st.floats(0.05, 1), min_size=n, max_size=n)
    log_rate, quality = (np.cumsum(draw(steps)) for _ in range(2))
    middle = n // 2
    points = zip(
        np.exp(log_rate - log_rate[middle]) * draw(st.floats(0.95, 1.05)),
        33 + 3 * (quality - quality[middle]) + draw(st.floats(-0.05, 0.05)),
        strict=True,
    )
    return draw(st.permutations([(float(rate), float(value)) for rate, value in points]))


def by_the_package(function, anchor, test) -> float:
    sides = [values for curve in (anchor, test) for values in np.array(sorted(curve)).T]
    return function(*sides, method="pchip", require_matching_points=False, min_overlap=0)


# --- Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("anchor", "test", "expected"), PUBLISHED)
def test_bd_rate_is_that_of_the_common_test_conditions(anchor, test, expected):
    assert bd_rate(anchor, test) == pytest.approx(expected, abs=1e-9)


@given(curves(), curves())
def test_bd_rate_and_bd_quality_are_those_of_the_second_program(anchor, test):
    rate = by_the_package(bjontegaard.bd_rate, anchor, test)
    assert bd_rate(anchor, test) == pytest.approx(rate, rel=1e-6, abs=1e-6)
    quality = by_the_package(bjontegaard.bd_psnr, anchor, test)
    assert bd_quality(anchor, test) == pytest.approx(quality, rel=1e-6, abs=1e-6)


@given(curves(), st.floats(0.2, 5))
def test_a_codec_that_needs_c_times_the_bits_everywhere_has_a_bd_rate_of_c_less_one(curve, c):
    scaled = [(c * rate, quality) for rate, quality in curve]
    assert bd_rate(curve, scaled) == pytest.approx(100 * (c - 1), abs=1e-7)


@given(curves(), st.floats(-3, 3))
def test_a_codec_that_is_d_decibels_better_everywhere_has_a_bd_quality_of_d(curve, d):
    raised = [(rate, quality + d) for rate, quality in curve]
    assert bd_quality(curve, raised) == pytest.approx(d, abs=1e-9)


def test_straight_curves_by_hand():
    """Quality rises by 6 dB with each doubling, from 30 dB at 1; and by 3 dB. Over the 30 to 39 dB
    that both reach, log2 of the rates is (Q - 30) / 6 and (Q - 30) / 3: means of 0.75 and 1.5."""
    steep = [(2**k, 30 + 6 * k) for k in range(4)]
    flat = [(2**k, 30 + 3 * k) for k in range(4)]
    assert bd_rate(steep, flat) == pytest.approx(100 * (2**0.75 - 1), abs=1e-9)
    assert bd_quality(steep, flat) == pytest.approx(-4.5, abs=1e-12)
    assert overlap(Curve.through(steep), Curve.through(flat)) == 0.5


# --- Laws -----------------------------------------------------------------------------------------


@given(curves())
def test_a_codec_needs_as_many_bits_as_itself(curve):
    assert bd_rate(curve, curve) == 0
    assert bd_quality(curve, curve) == 0


@given(curves(), curves())
def test_there_and_back_cancel(anchor, test):
    there, back = 1 + bd_rate(anchor, test) / 100, 1 + bd_rate(test, anchor) / 100
    assert there * back == pytest.approx(1, abs=1e-9)
    assert bd_quality(anchor, test) == pytest.approx(-bd_quality(test, anchor), abs=1e-9)


@given(curves(), curves(), st.floats(0.01, 100))
def test_the_unit_of_rate_does_not_matter(anchor, test, unit):
    changed = ([(unit * rate, quality) for rate, quality in each] for each in (anchor, test))
    assert bd_rate(*changed) == pytest.approx(bd_rate(anchor, test), rel=1e-8, abs=1e-8)


def test_a_point_that_is_there_twice_counts_once():
    assert bd_rate(PHOTOGRAPH, [*PHOTOGRAPH, PHOTOGRAPH[0]]) == 0


def test_a_point_where_nothing_was_lost_does_not_count():
    assert bd_rate(PHOTOGRAPH, [*PHOTOGRAPH, (9.0, math.inf)]) == 0


# --- Where there is none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ([], "test: a curve needs 4 different points and has 0"),
        (PHOTOGRAPH[:3], "test: a curve needs 4 different points and has 3"),
        ([*PHOTOGRAPH[:3], PHOTOGRAPH[0]], "needs 4 different points and has 3"),
        (
            [*PHOTOGRAPH[:3], (9.0, math.inf), (8.0, math.inf)],
            "has 3 besides 2 of infinite quality",
        ),
        ([*PHOTOGRAPH, (0.5, 37.2)], "test: quality does not rise with rate everywhere"),
        ([*PHOTOGRAPH, (1.1, 37.1)], "quality does not rise"),
        ([*PHOTOGRAPH, (1.0, 37.2)], "quality does not rise"),
        ([*PHOTOGRAPH, (0.0, 20.0)], "a rate is not a positive number"),
        ([*PHOTOGRAPH, (math.inf, 40.0)], "a rate is not a positive number"),
        ([*PHOTOGRAPH, (math.nan, 40.0)], "a rate is not a positive number"),
        (
            [(rate, quality + 7) for rate, quality in PHOTOGRAPH],
            "no range of quality in common",
        ),
    ],
)
def test_why_there_is_no_bd_rate_is_said(test, reason):
    with pytest.raises(NoBdRate, match=reason):
        bd_rate(PHOTOGRAPH, test)


def test_curves_that_only_touch_share_nothing():
    for nearly in (0, 1e-12):
        above = [(rate, quality + 7 - nearly) for rate, quality in PHOTOGRAPH]
        with pytest.raises(NoBdRate, match="no range of quality in common"):
            bd_rate(PHOTOGRAPH, above)


def test_curves_that_share_no_rate_have_no_bd_quality():
    with pytest.raises(NoBdRate, match="no range of rate in common"):
        bd_quality(PHOTOGRAPH, [(5 * rate, quality) for rate, quality in PHOTOGRAPH])


def test_curves_that_share_nothing_overlap_by_nothing():
    high = [(rate, quality + 50) for rate, quality in PHOTOGRAPH]
    assert overlap(Curve.through(PHOTOGRAPH), Curve.through(high)) == 0
    assert overlap(Curve.through(high), Curve.through(high)) == 1
