"""Lossless files of photographs and of what JPEG makes of them: bytes and time beside our PNG.

WebP is what annotators are sent, its check included; method 4 and AVIF are what we refused.
"""

import io
import time
from statistics import median

import imagecodecs
from PIL import Image

from benchmarks.photographs import photographs
from codecs_registry.codecs import get_codec
from codecs_registry.codecs.base import Pixels
from codecs_registry.pictures import write_png, write_webp
from codecs_registry.rate_matched import encode_to_rates

BPP = (0.23, 1.0)


def run() -> list[dict]:
    originals = photographs()[:8]
    pictures = {"original": originals, **{f"jpeg at {bpp}": [] for bpp in BPP}}
    for original in originals:
        for encoded in encode_to_rates(get_codec("jpeg"), original, list(BPP)):
            pictures[f"jpeg at {encoded.target_bpp}"].append(encoded.pixels)
    return [_row(name, each) for name, each in pictures.items()]


def _row(name: str, pictures: list[Pixels]) -> dict:
    found: dict = {"picture": name, "n": len(pictures)}
    png = [_measured(write_png, each) for each in pictures]
    for peer, write in WRITERS.items():
        peers = [_measured(write, each) for each in pictures]
        pairs = list(zip(peers, png, strict=True))
        found[f"{peer} bytes / png"] = round(median(a[0] / b[0] for a, b in pairs), 2)
        found[f"{peer} ms / png"] = round(median(a[1] / b[1] for a, b in pairs), 2)
    return found


def _measured(write, picture: Pixels) -> tuple[int, float]:
    started = time.perf_counter()
    content = write(picture)
    return len(content), time.perf_counter() - started


def _webp_method_4(picture: Pixels) -> bytes:
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "WEBP", lossless=True, method=4, exact=True)
    return target.getvalue()


def _avif(picture: Pixels) -> bytes:
    return imagecodecs.avif_encode(picture, level=100, speed=8, numthreads=1)


WRITERS = {"webp": write_webp, "webp method 4": _webp_method_4, "avif": _avif}
