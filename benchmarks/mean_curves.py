"""The rate curve of an ordinary photograph for each codec, to be written into its knob.

It is measured on the pictures of the folder that BENCH_IMAGES names, which must not be those that
a rate search is judged by. Not a part of `make bench`: `python -m benchmarks mean_curves`, or with
CODECS=webp,avif for some codecs only.
"""

import math
import os
from dataclasses import replace

from benchmarks.photographs import photographs
from codecs_registry.codecs import all_codecs
from codecs_registry.codecs.base import Codec, Pixels

POINTS = 10
SCOUTS = 16
LEAST_BPP, MOST_BPP = 0.06, 4.0


def run() -> list[dict]:
    wanted = os.environ.get("CODECS")
    names = wanted.split(",") if wanted else list(all_codecs())
    pictures = photographs()
    rows = []
    for codec in (all_codecs()[name] for name in names):
        if not codec.unavailable():
            rows.append({"codec": codec.name, "curve": mean_curve(codec, pictures)})
            print(rows[-1], flush=True)
    return rows


def mean_curve(codec: Codec, pictures: list[Pixels]) -> tuple[tuple[float, float], ...]:
    """(setting, exp(mean(log(bpp)))), evenly apart in log(bpp) as far as three pictures tell."""
    plain = replace(codec.knob, curve=())
    first, last = sorted((plain.position(plain.low), plain.position(plain.high)))
    evenly = [plain.setting(first + (last - first) * i / SCOUTS) for i in range(SCOUTS + 1)]
    scouted = replace(plain, curve=_rising(codec, pictures[:3], evenly))
    start = max(math.log(LEAST_BPP), scouted.position(scouted.setting(-math.inf)))
    end = min(math.log(MOST_BPP), scouted.position(scouted.setting(math.inf)))
    return _rising(
        codec,
        pictures,
        [scouted.setting(start + (end - start) * i / POINTS) for i in range(POINTS + 1)],
    )


def _rising(
    codec: Codec, pictures: list[Pixels], settings: list[float]
) -> tuple[tuple[float, float], ...]:
    """The points at these settings, but for those at which the mean file does not grow."""
    curve: list[tuple[float, float]] = []
    for setting in settings:
        setting = setting if codec.knob.integer else float(f"{setting:.4g}")
        logs = [
            math.log(8 * len(codec.encode(each, setting)) / (each.shape[0] * each.shape[1]))
            for each in pictures
        ]
        bpp = float(f"{math.exp(sum(logs) / len(logs)):.3g}")
        if not curve or (bpp > curve[-1][1] and setting != curve[-1][0]):
            curve.append((setting, bpp))
    return tuple(curve)
