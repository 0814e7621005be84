"""The rate search against curves that no codec would dare to have.

The laws hold for any curve: the search ends within its budget, makes no file twice, and returns
the nearest of those made. That this is also the nearest there is can be promised, and is checked,
only where size rises or falls throughout.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import mul

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codecs_registry.codecs.base import Knob
from codecs_registry.rate import Match, match_rates

PIXELS = 10_000
TARGETS = (0.23, 0.37, 0.67, 1.0)


@dataclass
class Encoder:
    """A made-up codec that remembers which files it made."""

    bits: Callable[[float], int]
    made: dict[float, int] = field(default_factory=dict)

    def __call__(self, setting: float) -> int:
        assert setting not in self.made, f"made a file twice at {setting}"
        self.made[setting] = self.bits(setting)
        return self.made[setting]


def search(
    encoder: Encoder,
    knob: Knob,
    targets: tuple[float, ...] = TARGETS,
    *,
    tolerance: float = 0.02,
    max_encodes: int = 60,
) -> dict[float, Match]:
    """Search, and check the laws that hold for every curve."""
    matches = match_rates(
        encoder,
        knob=knob,
        pixel_count=PIXELS,
        targets_bpp=targets,
        tolerance=tolerance,
        max_encodes=max_encodes,
    )
    assert 1 <= len(encoder.made) <= max_encodes
    assert all(knob.low <= setting <= knob.high for setting in encoder.made)
    assert not knob.integer or all(float(setting).is_integer() for setting in encoder.made)
    assert list(matches) == list(targets)
    for target, match in matches.items():
        wanted = target * PIXELS
        bits = encoder.made[match.setting]
        assert match.bpp == bits / PIXELS
        assert match.encodes == len(encoder.made)
        nearest = min(abs(made - wanted) for made in encoder.made.values())
        assert abs(bits - wanted) == nearest
        assert bits == min(m for m in encoder.made.values() if abs(m - wanted) == nearest)
        assert (match.miss == "") == (abs(bits / wanted - 1) <= tolerance)
    return matches


def whole_numbers(sizes: list[int], *, rises: bool = True) -> tuple[Encoder, Knob]:
    """A codec with one setting for each of these sizes, in bits."""
    knob = Knob(low=0, high=len(sizes) - 1, integer=True, rises=rises)
    return Encoder(lambda setting: sizes[int(setting)]), knob


targets_bpp = st.lists(st.floats(0.01, 20), min_size=1, max_size=5, unique=True).map(tuple)
sizes_in_bits = st.integers(1, 300_000)


@given(
    sizes=st.lists(sizes_in_bits, min_size=2, max_size=300),
    rises=st.booleans(),
    targets=targets_bpp,
    max_encodes=st.integers(1, 70),
)
@example(sizes=[5000] * 100, rises=True, targets=TARGETS, max_encodes=60)
@example(sizes=[1, 300_000] * 100, rises=True, targets=TARGETS, max_encodes=60)
def test_any_curve_at_all_ends_the_search_with_the_nearest_file_made(
    sizes: list[int], rises: bool, targets: tuple[float, ...], max_encodes: int
) -> None:
    search(*whole_numbers(sizes, rises=rises), targets, max_encodes=max_encodes)


@given(
    sizes=st.lists(sizes_in_bits, min_size=2, max_size=1000).map(sorted),
    rises=st.booleans(),
    targets=targets_bpp,
)
def test_with_whole_number_settings_the_best_one_is_found_or_one_within_tolerance(
    sizes: list[int], rises: bool, targets: tuple[float, ...]
) -> None:
    encoder, knob = whole_numbers(sizes if rises else sizes[::-1], rises=rises)
    # Two of three tries halve an interval in the worst case, for each target by itself.
    budget = 8 + 3 * math.ceil(math.log2(len(sizes))) * len(targets)
    for target, match in search(encoder, knob, targets, max_encodes=budget).items():
        best = min(abs(bits / PIXELS - target) for bits in sizes)
        assert match.miss == "" or abs(match.bpp - target) == pytest.approx(best)


@st.composite
def float_knobs(draw: st.DrawFn) -> Knob:
    """Any range and scale, and any curve at all for what an ordinary photograph would give."""
    scale = draw(st.sampled_from(["linear", "log", "cbrt"]))
    low = draw(st.floats(0.01, 10))
    high = low * draw(st.floats(1.01, 1e4))
    knob = Knob(low=low, high=high, rises=draw(st.booleans()), scale=scale)  # type: ignore[arg-type]
    if not draw(st.booleans()):
        return knob
    first, last = sorted((knob.position(low), knob.position(high)))
    shares = sorted(draw(st.sets(st.integers(0, 100), min_size=2, max_size=8)))
    steps = draw(st.lists(st.floats(1.01, 3), min_size=len(shares), max_size=len(shares)))
    settings = [knob.setting(first + (last - first) * share / 100) for share in shares]
    return replace(
        knob, curve=tuple(zip(settings, accumulate([0.05, *steps[1:]], mul), strict=True))
    )


def share_of_range(knob: Knob, setting: float) -> float:
    """0 at the end with the smallest files, 1 at that with the largest, along the knob's scale."""
    plain = replace(knob, curve=())
    first, last = sorted((plain.position(knob.low), plain.position(knob.high)))
    return (plain.position(setting) - first) / (last - first)


@given(knob=float_knobs(), bend=st.floats(0.6, 2.5), targets=targets_bpp)
def test_a_smooth_curve_meets_every_target_in_its_range(
    knob: Knob, bend: float, targets: tuple[float, ...]
) -> None:
    # From 0.005 to 40 bpp, and log(bpp) bent away from the line that the search assumes.
    def bits(setting: float) -> int:
        share = min(max(share_of_range(knob, setting), 0.0), 1.0)
        return round(PIXELS * 0.005 * 8000**share**bend)

    matches = search(Encoder(bits), knob, targets, max_encodes=100)
    # A hundredth bpp is 100 bits here, so that whole bits are never what misses 2 %.
    assert [match.miss for match in matches.values()] == [""] * len(targets)


@given(knob=float_knobs(), steps=st.integers(1, 40), targets=targets_bpp, seed=st.integers(0, 99))
def test_steps_and_noise_on_a_continuous_knob_do_not_hold_the_search_up(
    knob: Knob, steps: int, targets: tuple[float, ...], seed: int
) -> None:
    def bits(setting: float) -> int:
        step = math.floor(share_of_range(knob, setting) * steps)
        noise = 1 + zlib.crc32(f"{seed} {step}".encode()) / 2**32  # the same whenever asked
        return round(PIXELS * 0.02 * 100 ** (step / steps) * noise)

    search(Encoder(bits), knob, targets, max_encodes=120)


@settings(max_examples=30)
@given(targets=targets_bpp, max_encodes=st.integers(1, 60))
def test_a_file_that_is_always_of_one_size_costs_no_more_than_looking_at_both_ends(
    targets: tuple[float, ...], max_encodes: int
) -> None:
    encoder, knob = whole_numbers([4000] * 500)
    search(encoder, knob, targets, max_encodes=max_encodes)
    assert len(encoder.made) <= 4


def test_a_target_between_two_steps_gets_the_nearer_one() -> None:
    matches = search(*whole_numbers([1000, 2000, 2240, 2410, 5000]), (0.23, 0.235))
    assert [match.setting for match in matches.values()] == [2, 3]


def test_of_two_equally_near_files_the_smaller_is_taken() -> None:
    matches = search(*whole_numbers([1000, 2200, 2400, 5000]), (0.23,))
    assert matches[0.23].bpp == 0.22


def test_a_target_below_the_smallest_file_says_how_small_that_is() -> None:
    match = search(*whole_numbers([3100, 4000, 5000, 6000]), (0.23,))[0.23]
    assert match.setting == 0
    assert match.miss == (
        "0.23 bpp is out of range: the smallest file this codec makes of this image is 0.31 bpp"
    )


def test_a_target_above_the_largest_file_says_how_large_that_is() -> None:
    match = search(*whole_numbers([3100, 4000, 5000, 6000], rises=True), (1.0,))[1.0]
    assert match.setting == 3
    assert match.miss == (
        "1 bpp is out of range: the largest file this codec makes of this image is 0.6 bpp"
    )


def test_steps_that_are_too_coarse_are_named() -> None:
    match = search(*whole_numbers([1000, 2000, 2240, 2410, 5000]), (0.232,))[0.232]
    assert match.miss == (
        "the codec's steps are too coarse at 0.232 bpp: nearest are 0.224 and 0.241 bpp"
    )


def test_a_search_cut_short_says_so() -> None:
    encoder, knob = whole_numbers([round(100 * 1.01**n) for n in range(1000)])
    match = search(encoder, knob, (0.23,), max_encodes=2)[0.23]
    assert re.fullmatch(
        r"search stopped after 2 encodes: the nearest to 0.23 bpp is [\d.]+ bpp, [\d.]+% off",
        match.miss,
    )


def test_a_hopeless_target_does_not_use_up_what_the_others_need() -> None:
    encoder, knob = whole_numbers([round(1000 * 1.005**n) for n in range(1000)])
    matches = search(encoder, knob, (0.001, 0.37, 0.67), max_encodes=16)
    assert matches[0.001].miss.startswith("0.001 bpp is out of range")
    assert matches[0.37].miss == matches[0.67].miss == ""


def test_a_straight_line_is_met_at_once() -> None:
    # log(bpp) linear in log(ratio), as of a codec that takes the bit rate itself.
    knob = Knob(low=1, high=10_000, rises=False, scale="log", curve=((24, 1.0), (240, 0.1)))
    encoder = Encoder(lambda ratio: round(24 / ratio * PIXELS))
    search(encoder, knob)
    assert len(encoder.made) == len(TARGETS)


@given(knob=float_knobs(), targets=targets_bpp, later=targets_bpp)
def test_known_files_are_used_and_never_made_again(
    knob: Knob, targets: tuple[float, ...], later: tuple[float, ...]
) -> None:
    def bits(setting: float) -> int:
        return round(PIXELS * 0.005 * 8000 ** min(max(share_of_range(knob, setting), 0.0), 1.0))

    def ask(targets: tuple[float, ...]) -> dict[float, Match]:
        known = dict(encoder.made)
        matches = match_rates(
            encoder, knob=knob, pixel_count=PIXELS, targets_bpp=targets, known=known
        )
        assert {match.encodes for match in matches.values()} == {len(encoder.made) - len(known)}
        return matches

    encoder = Encoder(bits)  # it objects to making a file twice
    met = ask(targets)
    ask(later)
    for target, match in ask(targets).items():
        assert abs(match.bpp - target) <= abs(met[target].bpp - target)


def test_the_first_file_is_made_where_an_ordinary_photograph_meets_the_target() -> None:
    knob = Knob(low=1, high=100, curve=((10, 0.1), (20, 0.23), (50, 1.0), (80, 3.0)))
    encoder = Encoder(lambda setting: round(PIXELS * math.exp(knob.position(setting))))
    search(encoder, knob)
    assert sorted(encoder.made)[0] == pytest.approx(20)
    assert sorted(encoder.made)[-1] == pytest.approx(50)
    assert len(encoder.made) == len(TARGETS)


def test_a_picture_that_is_busier_throughout_costs_one_file_to_find_that_out() -> None:
    knob = Knob(low=1, high=100, curve=((10, 0.1), (20, 0.23), (50, 1.0), (80, 3.0)))
    encoder = Encoder(lambda setting: round(1.7 * PIXELS * math.exp(knob.position(setting))))
    search(encoder, knob)
    assert len(encoder.made) == 1 + len(TARGETS)


def test_targets_share_their_files() -> None:
    apart = 0
    for target in TARGETS:
        encoder, knob = whole_numbers([round(500 * 1.01**n + n) for n in range(500)])
        search(encoder, knob, (target,))
        apart += len(encoder.made)
    together, knob = whole_numbers([round(500 * 1.01**n + n) for n in range(500)])
    search(together, knob, TARGETS)
    assert len(together.made) < apart


def test_no_targets_need_no_files() -> None:
    encoder, knob = whole_numbers([1, 2])
    assert match_rates(encoder, knob=knob, pixel_count=PIXELS, targets_bpp=[]) == encoder.made == {}


@pytest.mark.parametrize(
    ("pixel_count", "target", "tolerance", "max_encodes"),
    [
        (0, 0.23, 0.02, 60),
        (100, 0.0, 0.02, 60),
        (100, math.nan, 0.02, 60),
        (100, math.inf, 0.02, 60),
        (100, 0.23, 0.0, 60),
        (100, 0.23, 0.02, 0),
    ],
)
def test_senseless_arguments_are_refused(
    pixel_count: int, target: float, tolerance: float, max_encodes: int
) -> None:
    encoder, knob = whole_numbers([1, 2])
    with pytest.raises(ValueError, match="must be"):
        match_rates(
            encoder,
            knob=knob,
            pixel_count=pixel_count,
            targets_bpp=[target],
            tolerance=tolerance,
            max_encodes=max_encodes,
        )


def test_what_the_encoder_raises_ends_the_search() -> None:
    def fail(setting: float) -> int:
        raise RuntimeError("the encoder fell over")

    knob = Knob(low=0, high=9, integer=True)
    with pytest.raises(RuntimeError, match="fell over"):
        match_rates(fail, knob=knob, pixel_count=PIXELS, targets_bpp=TARGETS)
