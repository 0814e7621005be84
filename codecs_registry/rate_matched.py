"""Rate-matched encodes of one picture by one codec. Knows no database and no folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codecs_registry.codecs.base import Codec, CodecError, Knob, Pixels, Setting
from codecs_registry.codecs.jpeg import Jpeg
from codecs_registry.rate import match_rates

PROBES = sorted(Jpeg.knob.curve, key=lambda point: point[1])[1::2]
"""(setting, bpp of an ordinary photograph) at which a picture's JPEG files are looked at."""
_LEAST_SLOPE = 0.2


@dataclass(frozen=True)
class Encoded:
    """One rate-matched encode: the file, what it decodes to, and how it was made."""

    target_bpp: float
    actual_bpp: float
    settings: dict[str, Setting]
    bitstream: bytes
    pixels: Pixels
    encode_ms: float
    decode_ms: float
    miss: str


class Files:
    """The files that a codec made of a picture, by setting. Here in memory; see `encoding`."""

    def __init__(self) -> None:
        self._made: dict[float, tuple[bytes, float]] = {}

    def sizes(self) -> dict[float, int]:
        """Bytes of each file."""
        return {setting: len(bitstream) for setting, (bitstream, _) in self._made.items()}

    def put(self, setting: float, bitstream: bytes, encode_ms: float) -> None:
        self._made[setting] = bitstream, encode_ms

    def get(self, setting: float) -> tuple[bytes, float]:
        """The file and the milliseconds that it took to make."""
        return self._made[setting]


def knob_at_hand(codec: Codec, pixels: Pixels) -> Knob:
    """The codec's knob, its curve moved to where that of this picture (H, W, 3) is likely to lie.

    A picture whose JPEG files are larger than an ordinary photograph's by some factor has larger
    files by about that factor from any codec, at the setting where both would be as large for the
    photograph. A few JPEG files take milliseconds, and spare about one encode in eight.
    """
    knob = codec.knob
    if codec.name == Jpeg.name or not knob.curve or knob.asks_for_rate or Jpeg().unavailable():
        return knob
    count = pixels.shape[0] * pixels.shape[1]
    ordinary = np.array([math.log(bpp) for _, bpp in PROBES])
    logs = [math.log(8 * len(Jpeg().encode(pixels, scale)) / count) for scale, _ in PROBES]
    points = sorted(knob.curve, key=lambda point: point[1])
    plain = np.log([bpp for _, bpp in points])
    moved = plain + np.interp(plain, ordinary, logs - ordinary)
    # A picture of which JPEG makes the same file throughout leaves the curve some slope.
    steps = np.maximum(np.diff(moved), _LEAST_SLOPE * np.diff(plain))
    moved = moved[0] + np.concatenate([[0.0], np.cumsum(steps)])
    bpps = np.exp(moved).tolist()
    return replace(
        knob, curve=tuple((point[0], bpp) for point, bpp in zip(points, bpps, strict=True))
    )


def encode_to_rates(
    codec: Codec,
    pixels: Pixels,
    targets_bpp: Sequence[float],
    *,
    files: Files | None = None,
    progress: Callable[[int], None] = lambda encodes: None,
) -> Iterator[Encoded]:
    """Encode pixels (H, W, 3) so that each file comes nearest to its target, and decode the files.

    files : those made before, which are not made again; what is made is put there.
    progress : told the number of encodes made so far, after each.

    Raises CodecError if the codec cannot encode the picture at all.
    """
    height, width, _ = pixels.shape
    files = Files() if files is None else files
    encodes = 0

    def size_bits(setting: float) -> int:
        nonlocal encodes
        started = time.perf_counter()
        bitstream = codec.encode(pixels, setting)
        files.put(setting, bitstream, (time.perf_counter() - started) * 1000)
        encodes += 1
        progress(encodes)
        return 8 * len(bitstream)

    matches = match_rates(
        size_bits,
        knob=knob_at_hand(codec, pixels),
        pixel_count=height * width,
        targets_bpp=targets_bpp,
        known={setting: 8 * size for setting, size in files.sizes().items()},
    )
    for target_bpp, match in matches.items():
        bitstream, encode_ms = files.get(match.setting)
        started = time.perf_counter()
        decoded = codec.decode(bitstream)
        decode_ms = (time.perf_counter() - started) * 1000
        if decoded.shape != pixels.shape:
            raise CodecError(f"{codec.label} decoded a picture of another size than it was given")
        yield Encoded(
            target_bpp=target_bpp,
            actual_bpp=8 * len(bitstream) / (height * width),
            settings=codec.settings(match.setting),
            bitstream=bitstream,
            pixels=decoded,
            encode_ms=encode_ms,
            decode_ms=decode_ms,
            miss=match.miss,
        )
