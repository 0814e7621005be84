"""The search for the settings that meet target bit rates. It knows no codec, only a knob.

A knob measures its settings along the rate curve of an ordinary photograph, so the picture at hand
has nearly the same curve, moved: one file tells by how much. Between two neighbouring settings
already tried, log(bpp) is taken for a straight line along it, and the next try is where that line
meets the target (regula falsi); when that does not halve the interval in two tries, the next one
halves it (after Dekker 1969), so that plateaus and steps cannot hold it up. Every file made serves
all targets, and files known from before serve as if they had been made.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from codecs_registry.codecs.base import Knob

_CLOSE = 0.0125
"""Within this share of a target nobody looks for a nearer file."""
_POLISH = 1
"""Tries spent on getting that close once a file is within the tolerance."""
_REACHES = 4
"""Tries beyond everything measured that a mean curve is trusted for, before the knob's end."""
_RESOLUTION = 1 / 4096
"""Share of a continuous knob's scale that no longer counts as a step of its own."""


@dataclass(frozen=True)
class Match:
    """The setting found for one target."""

    target_bpp: float
    setting: float
    bpp: float
    """Bits of the whole file by pixels of the source image."""
    encodes: int
    """Files made by the whole search, for all its targets together, known ones not counted."""
    miss: str
    """'' if bpp is within the tolerance of the target, else why it is not."""


@dataclass(frozen=True, order=True)
class _Try:
    position: float  # on the knob's scale, turned so that files grow along it
    setting: float
    bits: int

    @property
    def log_bits(self) -> float:
        return math.log(self.bits)


@dataclass
class _Hunt:
    """What the search remembers of one target."""

    bits: float
    widths: list[float] = field(default_factory=list)
    reached: int = 0  # how often it tried beyond everything measured
    polished: int = 0
    over: bool = False


def match_rates(
    size_bits: Callable[[float], int],
    *,
    knob: Knob,
    pixel_count: int,
    targets_bpp: Sequence[float],
    known: Mapping[float, int] | None = None,
    tolerance: float = 0.02,
    max_encodes: int = 60,
) -> dict[float, Match]:
    """Find, for all targets together, the setting whose file is nearest to each.

    size_bits : encodes at a setting and returns the bits of the whole file, > 0. It is called at
        most max_encodes times and never twice with one setting. What it raises ends the search.
    pixel_count : pixels of the source image (H * W).
    targets_bpp : bits per pixel, each > 0.
    known : bits by setting of files made before, for which size_bits is not called.
    tolerance : the share of a target by which a file may miss it: 0.02 is 2 %.

    Returns a Match for each target, by target. Its file is the nearest of all that were made for
    any target; of two equally near, the smaller. Nothing is promised to be nearest of all that
    could be made unless size rises or falls with the setting throughout.

    Raises ValueError if an argument is out of range.
    """
    if pixel_count < 1 or max_encodes < 1 or not 0 < tolerance < 1:
        raise ValueError("pixel_count and max_encodes must be at least 1, tolerance in (0, 1)")
    if not all(0 < target < math.inf for target in targets_bpp):
        raise ValueError(f"target bit rates must be above 0 bpp, not {list(targets_bpp)}")

    curve = _Curve(size_bits, knob, known or {})
    hunts = {target: _Hunt(target * pixel_count) for target in _ends_first(targets_bpp)}
    for start in _starts(curve, list(hunts)):
        if curve.encodes < max_encodes:
            curve.measure(start)
    # In turn, so that a target which cannot be met does not use up what the others need.
    while curve.encodes < max_encodes and not all(hunt.over for hunt in hunts.values()):
        for hunt in hunts.values():
            if hunt.over or curve.encodes == max_encodes:
                continue
            setting = _next(curve, hunt, tolerance)
            # Every try is a new one, or the search could go on for ever.
            hunt.over = setting is None or not curve.measure(setting)

    matches = {}
    for target in dict.fromkeys(targets_bpp):
        hunt = hunts[target]
        settled = hunt.over or _next(curve, hunt, tolerance) is None
        nearest = curve.nearest(hunt.bits)
        bpp = nearest.bits / pixel_count
        met = _miss(nearest, hunt.bits) <= tolerance
        miss = "" if met else _reason(curve, target, bpp, pixel_count, settled=settled)
        matches[target] = Match(target, nearest.setting, bpp, curve.encodes, miss)
    return matches


class _Curve:
    """All files made so far, in the order in which they should grow."""

    def __init__(
        self, size_bits: Callable[[float], int], knob: Knob, known: Mapping[float, int]
    ) -> None:
        self.size_bits = size_bits
        self.knob = knob
        self.encodes = 0
        self.tries = sorted(
            _Try(knob.position(setting), setting, bits) for setting, bits in known.items()
        )
        self.lowest, self.highest = knob.low, knob.high
        if not knob.rises:
            self.lowest, self.highest = self.highest, self.lowest
        self.low, self.high = knob.position(self.lowest), knob.position(self.highest)

    def measure(self, setting: float) -> bool:
        """Make the file of a setting; False if it was made before."""
        if any(known.setting == setting for known in self.tries):
            return False
        bits = max(self.size_bits(setting), 1)
        self.encodes += 1
        insort(self.tries, _Try(self.knob.position(setting), setting, bits))
        return True

    def nearest(self, bits: float) -> _Try:
        return min(self.tries, key=lambda known: (abs(known.bits - bits), known.bits, known))

    def within(self, low: _Try, high: _Try, position: float) -> float | None:
        """The setting at a position, moved to lie between two tries; None if none lies there."""
        if self.knob.integer:
            first, last = sorted((low.setting, high.setting))
            if last - first < 2:
                return None
            return min(max(self.knob.setting(position), first + 1), last - 1)
        width = high.position - low.position
        along = self.knob.along
        whole = along(self.highest) - along(self.lowest)
        if along(high.setting) - along(low.setting) <= _RESOLUTION * whole:
            return None
        # Not so near to an end that nothing is learnt.
        position = min(max(position, low.position + width / 50), high.position - width / 50)
        setting = self.knob.setting(position)
        return None if setting in (low.setting, high.setting) else setting


def _ends_first(targets_bpp: Sequence[float]) -> list[float]:
    """The targets, each once: the two ends, between which the others are then interpolated."""
    ordered = sorted(set(targets_bpp))
    return [*ordered[-1:], *ordered[:-1]]


def _starts(curve: _Curve, targets_bpp: Sequence[float]) -> tuple[float, ...]:
    """What to try before the first file tells more."""
    knob = curve.knob
    if curve.tries or not targets_bpp:
        return ()
    if knob.curve:
        return (knob.setting(math.log(targets_bpp[0])),)
    first, last = curve.low, curve.high
    return knob.setting((2 * first + last) / 3), knob.setting((first + 2 * last) / 3)


def _miss(known: _Try, bits: float) -> float:
    return abs(known.bits / bits - 1)


def _next(curve: _Curve, hunt: _Hunt, tolerance: float) -> float | None:
    """The setting to try next for a target, None if nothing better is to be had."""
    miss = _miss(curve.nearest(hunt.bits), hunt.bits)
    if miss <= min(_CLOSE, tolerance):
        return None
    if miss <= tolerance:
        if hunt.polished == _POLISH:
            return None
        hunt.polished += 1
    below = all(known.bits < hunt.bits for known in curve.tries)
    above = all(known.bits > hunt.bits for known in curve.tries)
    return _beyond(curve, hunt, up=below) if below or above else _between(curve, hunt)


def _between(curve: _Curve, hunt: _Hunt) -> float | None:
    """A setting between two neighbours whose files are smaller and larger than the target.

    Where the curve is not monotone there may be several such pairs: the likeliest to hold a near
    file come first, those that have no setting between them are passed over.
    """
    crossings = [
        (low, high)
        for low, high in pairwise(curve.tries)
        if min(low.bits, high.bits) < hunt.bits < max(low.bits, high.bits)
    ]
    for low, high in sorted(crossings, key=lambda pair: abs(pair[0].bits - pair[1].bits)):
        width = high.position - low.position
        slow = len(hunt.widths) >= 2 and width > hunt.widths[-2] / 2
        share = (math.log(hunt.bits) - low.log_bits) / (high.log_bits - low.log_bits)
        setting = curve.within(low, high, low.position + width * (0.5 if slow else share))
        if setting is not None:
            hunt.widths = [] if slow else [*hunt.widths, width]
            return setting
    return None


def _beyond(curve: _Curve, hunt: _Hunt, *, up: bool) -> float | None:
    """A setting outside all that was tried, where the outermost two tries point to the target.

    After a few such tries, or where they do not point there, the end of the knob; None if that
    was tried too.
    """
    outer = curve.tries[-1] if up else curve.tries[0]
    end = curve.high if up else curve.low
    last = curve.highest if up else curve.lowest
    if outer.setting == last:
        return None
    hunt.reached += 1
    slope = _slope(curve, hunt, up=up)
    if slope is None or hunt.reached > (_REACHES if curve.knob.curve else 2):
        return last
    position = outer.position + (math.log(hunt.bits) - outer.log_bits) / slope
    if not curve.low < position < curve.high:
        return last
    edge = _Try(end, last, 1)
    low, high = (outer, edge) if up else (edge, outer)
    setting = curve.within(low, high, position)
    return last if setting is None else setting


def _slope(curve: _Curve, hunt: _Hunt, *, up: bool) -> float | None:
    """How log(bits) goes on beyond all that was tried; None if it does not lead to the target."""
    if curve.knob.curve:
        return 1.0
    if len(curve.tries) < 2:
        return None
    outer, inner = (curve.tries[-1], curve.tries[-2]) if up else curve.tries[:2]
    leads_on = abs(hunt.bits - outer.bits) < abs(hunt.bits - inner.bits)
    if not leads_on or outer.position == inner.position:
        return None  # flat, or leading away
    return (outer.log_bits - inner.log_bits) / (outer.position - inner.position)


def _reason(curve: _Curve, target: float, bpp: float, pixel_count: int, *, settled: bool) -> str:
    """Why a target was missed, for the person who asked for it."""
    sizes = sorted(known.bits / pixel_count for known in curve.tries)
    if not settled:
        return (
            f"search stopped after {curve.encodes} encodes: the nearest to {target:g} bpp is "
            f"{bpp:.4g} bpp, {abs(bpp / target - 1):.1%} off"
        )
    if target < sizes[0]:
        return (
            f"{target:g} bpp is out of range: the smallest file this codec makes of this image "
            f"is {sizes[0]:.4g} bpp"
        )
    if target > sizes[-1]:
        return (
            f"{target:g} bpp is out of range: the largest file this codec makes of this image "
            f"is {sizes[-1]:.4g} bpp"
        )
    at = bisect_left(sizes, target)
    return (
        f"the codec's steps are too coarse at {target:g} bpp: "
        f"nearest are {sizes[at - 1]:.4g} and {sizes[at]:.4g} bpp"
    )
