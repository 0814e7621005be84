"""Encodes and CPU time to reach four bit rates: our search beside bisection for each target.

On the demo's photographs, and on those of the folder that BENCH_IMAGES names.
"""

import os
import statistics
import time
from importlib.util import find_spec
from pathlib import Path

from codecs_registry.codecs import all_codecs
from codecs_registry.codecs.base import Codec, Pixels
from codecs_registry.pictures import read_picture
from codecs_registry.rate import match_rates

TARGETS = (0.23, 0.37, 0.67, 1.0)
TOLERANCE = 0.02
MAX_BISECTIONS = 20
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")


def photographs() -> list[Pixels]:
    if folder := os.environ.get("BENCH_IMAGES"):
        paths = sorted(Path(folder).iterdir())
    else:
        paths = [Path(find_spec("skimage").origin).parent / "data" / name for name in PHOTOGRAPHS]
    return [read_picture(path).pixels for path in paths]


def run() -> list[dict]:
    pictures = photographs()
    return [_compare(codec, pictures) for codec in all_codecs().values() if not codec.unavailable()]


def _compare(codec: Codec, pictures: list[Pixels]) -> dict:
    ours, peer, misses = Counter(codec), Counter(codec), []
    for pixels in pictures:
        count = pixels.shape[0] * pixels.shape[1]
        with ours.on(pixels):
            matches = match_rates(
                ours.size_bits, knob=codec.knob, pixel_count=count, targets_bpp=TARGETS
            )
        misses += [abs(match.bpp / target - 1) for target, match in matches.items()]
        for target in TARGETS:
            with peer.on(pixels):
                _bisect(peer.size_bits, codec, target * count)
    cells = len(misses)
    return {
        "codec": codec.name,
        "cells": cells,
        "within 2 %": f"{sum(miss <= TOLERANCE for miss in misses) / cells:.1%}",
        "median miss": f"{statistics.median(misses):.2%}",
        "worst": f"{max(misses):.2%}",
        "encodes/cell": round(ours.encodes / cells, 2),
        "bisection": round(peer.encodes / cells, 2),
        "CPU s": round(ours.seconds, 2),
        "bisection's CPU / ours": round(peer.seconds / ours.seconds, 2),
    }


class Counter:
    """Encodes, counted and timed."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.encodes = 0
        self.seconds = 0.0

    def on(self, pixels: Pixels) -> "Counter":
        self.pixels = pixels
        return self

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._started

    def size_bits(self, setting: float) -> int:
        self.encodes += 1
        return 8 * len(self.codec.encode(self.pixels, setting))


def _bisect(size_bits, codec: Codec, wanted: float) -> None:
    """Plain bisection over the whole knob, until within the tolerance."""
    knob = codec.knob
    low, high = knob.low, knob.high
    for _ in range(MAX_BISECTIONS):
        middle = (low + high) / 2
        setting = round(middle) if knob.integer else middle
        size = size_bits(setting)
        if abs(size / wanted - 1) <= TOLERANCE or (knob.integer and high - low < 1):
            return
        if (size < wanted) == knob.rises:
            low = middle
        else:
            high = middle
