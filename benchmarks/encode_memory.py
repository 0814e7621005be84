"""Peak memory of an encode and a decode for each pixel: what a codec's memory_per_pixel says.

Each codec runs in a process of its own on a picture of MEGAPIXELS (default 16). The peer is the
picture itself, 3 bytes a pixel. Not a part of `make bench`: it needs gigabytes.
"""

import os
import sys

import numpy as np

from codecs_registry.codecs import all_codecs, get_codec
from codecs_registry.codecs.base import Pixels
from codecs_registry.costs import in_process_of_its_own, ordinary_setting, peak_beyond_loaded

BPP = 1.0


def run() -> list[dict]:
    wanted = os.environ.get("CODECS")
    names = wanted.split(",") if wanted else list(all_codecs())
    side = round((float(os.environ.get("MEGAPIXELS", "16")) * 1e6) ** 0.5)
    rows = []
    for name in names:
        codec = get_codec(name)
        if codec.unavailable():
            continue
        measured = in_process_of_its_own(_bytes_per_pixel, name, side, of=codec.label)
        row = {
            "codec": name,
            "bytes/pixel": round(measured, 1),
            "declared": codec.memory_per_pixel,
            "x picture": round(measured / 3, 1),
        }
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _bytes_per_pixel(name: str, side: int) -> float:
    codec = get_codec(name)
    return peak_beyond_loaded(codec, ordinary_setting(codec, BPP), [_picture(side)]) / side**2


def _picture(side: int) -> Pixels:
    """Waves with some noise, repeated: no photograph, but about as hard to code as one.

    Made without large arrays of floats, whose memory would count.
    """
    y, x = np.mgrid[0:512, 0:512].astype(np.float32)
    waves = 128 + 60 * np.sin(x / 37) * np.cos(y / 23) + 20 * np.sin((x + 2 * y) / 5)
    noise = np.random.default_rng(1).normal(0, 4, (512, 512)).astype(np.float32)
    grey = np.clip(waves + noise, 0, 255).astype(np.uint8)
    tile = np.stack([grey, np.roll(grey, 5, 1), grey[::-1]], axis=-1)
    times = -(-side // 512)
    return np.ascontiguousarray(np.tile(tile, (times, times, 1))[:side, :side])
