"""Meeting four bit rates: our search beside bisection for each target, on the same cores.

On the 24 Kodak photographs where they are at hand, else on the demo's; BENCH_IMAGES names a folder
of others, CODECS=jpeg,avif takes some codecs only. "wall" compares the two when both use all cores;
"wall, one core" sets our search on all cores against a loop over targets on one, which is what a
script does.
"""

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from benchmarks.photographs import photograph_paths
from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import Codec, Pixels
from codecs_registry.pictures import read_picture
from codecs_registry.rate import match_rates
from codecs_registry.rate_matched import knob_at_hand

TARGETS = (0.23, 0.37, 0.67, 1.0)
TOLERANCE = 0.02
MAX_BISECTIONS = 20
OUT_OF_REACH = ("out of range", "steps are too coarse")


@dataclass(frozen=True)
class Cost:
    encodes: int
    seconds: float
    misses: tuple[float, ...] = ()
    """The share of each target by which its file is off it."""
    reachable: tuple[float, ...] = ()
    """Of these, those that the codec can meet: not out of its range, nor between its steps."""


def run() -> list[dict]:
    paths = photograph_paths()
    wanted = os.environ.get("CODECS")
    names = wanted.split(",") if wanted else list(all_codecs())
    rows, costs = [], []
    with ProcessPoolExecutor(
        os.cpu_count(),
        mp_context=get_context("spawn"),
        initializer=_read_all,
        initargs=(paths,),
    ) as pool:
        list(pool.map(time.sleep, [0.5] * (os.cpu_count() or 1)))  # all have started
        for name in names:
            if get_codec(name).unavailable():
                continue
            ours, our_wall = _timed(pool, search, name, paths)
            peer, peer_wall = _timed(pool, bisect, name, paths)
            costs.append((ours, our_wall, peer, peer_wall))
            rows.append(_row(name, [costs[-1]]))
            print(rows[-1], file=sys.stderr, flush=True)
    rows.append(_row("all", costs))
    return rows


def _timed(
    pool: ProcessPoolExecutor, way, name: str, paths: list[Path]
) -> tuple[list[Cost], float]:
    started = time.perf_counter()
    costs = list(pool.map(way, [name] * len(paths), paths))
    return costs, time.perf_counter() - started


def _row(name: str, costs: list[tuple[list[Cost], float, list[Cost], float]]) -> dict:
    ours = [cost for each, *_ in costs for cost in each]
    peer = [cost for _, _, each, _ in costs for cost in each]
    our_wall, peer_wall = sum(each[1] for each in costs), sum(each[3] for each in costs)
    misses = [miss for cost in ours for miss in cost.misses]
    cells = len(ours) * len(TARGETS)
    reachable = [miss for cost in ours for miss in cost.reachable]
    return {
        "codec": name,
        "cells": cells,
        "within 2 %": _within(misses),
        "of reachable": _within(reachable),
        "median miss": f"{statistics.median(misses):.2%}",
        "of reachable ones": f"{statistics.median(reachable):.2%}" if reachable else "-",
        "worst": f"{max(misses):.2%}",
        "encodes/cell": round(sum(cost.encodes for cost in ours) / cells, 2),
        "bisection": round(sum(cost.encodes for cost in peer) / cells, 2),
        "wall s": round(our_wall, 1),
        "bisection's wall / ours": round(peer_wall / our_wall, 2),
        "on one core": round(sum(cost.seconds for cost in peer) / our_wall, 2),
    }


@cache
def _pixels(path: Path) -> Pixels:
    return read_picture(path).pixels


def _read_all(paths: list[Path]) -> None:
    for path in paths:
        _pixels(path)


def _within(misses: list[float]) -> str:
    return f"{sum(miss <= TOLERANCE for miss in misses) / len(misses):.1%}" if misses else "-"


def search(name: str, path: Path) -> Cost:
    """Our search, for all targets together."""
    codec, pixels = get_codec(name), _pixels(path)
    count = pixels.shape[0] * pixels.shape[1]
    started = time.perf_counter()
    matches = match_rates(
        lambda setting: 8 * len(codec.encode(pixels, setting)),
        knob=knob_at_hand(codec, pixels),
        pixel_count=count,
        targets_bpp=TARGETS,
    ).values()
    seconds = time.perf_counter() - started
    misses = tuple(abs(match.bpp / match.target_bpp - 1) for match in matches)
    reachable = tuple(
        miss
        for match, miss in zip(matches, misses, strict=True)
        if not any(why in match.miss for why in OUT_OF_REACH)
    )
    return Cost(max(match.encodes for match in matches), seconds, misses, reachable)


def bisect(name: str, path: Path) -> Cost:
    """Plain bisection of the whole knob, target by target, until within the tolerance."""
    codec, pixels = get_codec(name), _pixels(path)
    count = pixels.shape[0] * pixels.shape[1]
    started = time.perf_counter()
    encodes = sum(_bisect(codec, pixels, target * count) for target in TARGETS)
    return Cost(encodes, time.perf_counter() - started)


def _bisect(codec: Codec, pixels: Pixels, wanted: float) -> int:
    """Encodes that it takes."""
    knob = codec.knob
    low, high = knob.low, knob.high
    for encodes in range(MAX_BISECTIONS):
        middle = (low + high) / 2
        setting = round(middle) if knob.integer else middle
        size = 8 * len(codec.encode(pixels, setting))
        if abs(size / wanted - 1) <= TOLERANCE or (knob.integer and high - low < 1):
            return encodes + 1
        if (size < wanted) == knob.rises:
            low = middle
        else:
            high = middle
    return MAX_BISECTIONS
