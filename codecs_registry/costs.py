"""What codecs cost: seconds a megapixel and memory, each codec in a process of its own on one core.

Knows no database: `codec_costs` keeps what is measured here.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from codecs_registry.codecs import get_codec
from codecs_registry.codecs.base import Codec, CodecError, Pixels
from codecs_registry.machine import OthersLoad, core_seconds, on_one_core
from codecs_registry.pictures import identify, read_picture

MEGA = 1_000_000
CONFIDENCE = 0.95
_SMALL = 64  # pixels a side of what a codec's library is loaded by
_LOOK_S = 0.002
T = TypeVar("T")


@dataclass(frozen=True)
class Photographs:
    """What codecs are measured on.

    files : of pictures, as `read_picture` takes them.
    sha256 : of their pixels, whatever the files' format and order: what was measured on the same
        ones compares.
    """

    files: tuple[bytes, ...]
    sha256: str


@dataclass(frozen=True)
class Spread:
    """A median, with the ends of its interval; these are None where there are too few values."""

    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Cost:
    """What a codec took for some photographs.

    setting : of its knob.   actual_bpp : of all its files by all pixels.
    encode, decode : seconds for a megapixel: the median over pictures of each one's median.
    encode_core_s, decode_core_s : likewise, but only while a core worked for the codec: what
        `encode` and `decode` would be where nothing else runs, but for what it waits for.
    peak_bytes : of memory for the picture that takes most, beyond what the process, with the
        programs that it starts, had once the codec's library was loaded.
    peak_bytes_per_pixel : the same by the pixels of the largest picture.
    busy_elsewhere : cores that others kept busy meanwhile.
    """

    codec: str
    version: str
    setting: float
    actual_bpp: float
    encode: Spread
    decode: Spread
    encode_core_s: float
    decode_core_s: float
    peak_bytes: int
    peak_bytes_per_pixel: float
    busy_elsewhere: float


def photographs(files: Iterable[bytes]) -> Photographs:
    """Those of files. Raises UnreadablePicture if one is none, ValueError if there are none."""
    files = tuple(files)
    if not files:
        raise ValueError("codecs are measured on one photograph or more")
    each = []
    for file in files:
        pixels = read_picture(io.BytesIO(file)).pixels
        each.append(f"{identify(pixels)} {pixels.shape[1]} x {pixels.shape[0]}")
    return Photographs(files, hashlib.sha256("\n".join(sorted(each)).encode()).hexdigest())


def measure(name: str, on: Photographs, *, bpp: float, repeat: int) -> Cost:
    """What a codec costs on photographs, at the setting that an ordinary one takes at a rate.

    bpp : above 0.   repeat : how often each is encoded and decoded, at least once.

    Raises CodecError if it cannot code one of them, or if its process ended.
    """
    return in_process_of_its_own(_measured, name, on.files, bpp, repeat, of=name)


def in_process_of_its_own(function: Callable[..., T], *arguments: object, of: str) -> T:
    """What a function returns that runs in a fresh process, on one core.

    of : the codec's name, for the message.

    Raises what the function raises, and CodecError if the process is killed.
    """
    with on_one_core(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise CodecError(
                f"the process of {of} ended before it was done: it crashed, or was killed for "
                "want of memory"
            ) from None


def ordinary_setting(codec: Codec, bpp: float) -> float:
    """What an ordinary photograph takes at a rate; the knob's middle where nobody measured it."""
    knob = codec.knob
    return knob.setting(
        math.log(bpp) if knob.curve else (knob.position(knob.low) + knob.position(knob.high)) / 2
    )


def median_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Spread:
    """The median with its distribution-free interval, from the k-th smallest to the k-th largest
    value: k is the greatest for which 2 P(B < k) <= 1 - confidence, B binomial with n and 1/2.

    It holds whatever the distribution, and is a little too wide. Fewer than 6 values have none at
    95 %.   Raises statistics.StatisticsError without values.

    David, H. A., & Nagaraja, H. N. (2003). Order Statistics, 3rd ed., Section 7.1.
    """
    ordered = sorted(values)
    n, k, below = len(ordered), 0, 0.0
    while k < n and 2 * (below := below + math.comb(n, k) / 2**n) <= 1 - confidence:
        k += 1
    middle = statistics.median(ordered)
    return Spread(middle, ordered[k - 1], ordered[-k]) if k else Spread(middle, None, None)


class PeakMemory:
    """The most memory that this process and its programs take while it is watched.

    Linux alone tells it exactly (/proc): elsewhere it is looked at a few hundred times a second.
    The programs' peak is added to the process' own, though they need not be at the same time.

    (ru_maxrss will not do: a program inherits what its parent had at its peak.)
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._own = self._programs = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        with suppress(OSError):  # the peak so far is forgotten; see proc_pid_clear_refs(5)
            Path("/proc/self/clear_refs").write_text("5")
        self._before = int(self._process.memory_info().rss)
        self._there = {each.pid: _high_water(each) for each in self._running()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    @property
    def bytes(self) -> int:
        """Beyond what the process and its programs had when watching began."""
        return max(0, self._own - self._before) + self._programs

    def _watch(self) -> None:
        # On any core, not on the one that is measured: a program's last moments would be missed.
        with suppress(AttributeError, OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        while not self._done.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        self._own = max(self._own, _high_water(self._process))
        taken = (_high_water(each) - self._there.get(each.pid, 0) for each in self._running())
        self._programs = max(self._programs, sum(max(0, each) for each in taken))

    def _running(self) -> list[psutil.Process]:
        return list(self._process.children(recursive=True))


def _high_water(process: psutil.Process) -> int:
    """The most bytes that a process has had; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def peak_beyond_loaded(codec: Codec, setting: float, pictures: Sequence[Pixels]) -> int:
    """Bytes at the peak of encoding and decoding pictures, beyond what the process had when it
    had coded a small one, so that the library was loaded."""
    small = np.ascontiguousarray(pictures[0][:_SMALL, :_SMALL])
    codec.decode(codec.encode(small, setting))
    with PeakMemory() as peak:
        for pixels in pictures:
            codec.decode(codec.encode(pixels, setting))
    return peak.bytes


def _measured(name: str, files: Sequence[bytes], bpp: float, repeat: int) -> Cost:
    codec = get_codec(name)
    setting = ordinary_setting(codec, bpp)
    pictures = [read_picture(io.BytesIO(file)).pixels for file in files]
    peak = peak_beyond_loaded(codec, setting, pictures)  # and all is warm
    encode_s, decode_s, encode_core_s, decode_core_s = (
        [list[float]() for _ in pictures] for _ in range(4)
    )
    bits = [0] * len(pictures)
    load = OthersLoad()
    # Picture after picture, and all of them again: a moment when the machine was busy falls on
    # one run of many pictures, and what a codec keeps of the last pictures spares it nothing.
    for _ in range(repeat):
        for at, pixels in enumerate(pictures):
            encoding = _Stopwatch()
            bitstream = codec.encode(pixels, setting)
            encoding.read(encode_s[at], encode_core_s[at])
            decoding = _Stopwatch()
            decoded = codec.decode(bitstream)
            decoding.read(decode_s[at], decode_core_s[at])
            bits[at] = 8 * len(bitstream)
            if decoded.shape != pixels.shape:
                raise CodecError(
                    f"{codec.label} decoded a picture of another size than it was given"
                )
    busy = load.cores()
    areas = [pixels.shape[0] * pixels.shape[1] for pixels in pictures]
    return Cost(
        codec=name,
        version=codec.version(),
        setting=setting,
        actual_bpp=sum(bits) / sum(areas),
        encode=_per_megapixel(encode_s, areas),
        decode=_per_megapixel(decode_s, areas),
        encode_core_s=_per_megapixel(encode_core_s, areas).median,
        decode_core_s=_per_megapixel(decode_core_s, areas).median,
        peak_bytes=peak,
        peak_bytes_per_pixel=peak / max(areas),
        busy_elsewhere=busy,
    )


class _Stopwatch:
    """Runs from when it is made, by the clock and by the cores' work."""

    def __init__(self) -> None:
        self._core, self._clock = core_seconds(), time.perf_counter()

    def read(self, clock_s: list[float], core_s: list[float]) -> None:
        """Append what has passed."""
        clock_s.append(time.perf_counter() - self._clock)
        core_s.append(core_seconds() - self._core)


def _per_megapixel(seconds: Sequence[Sequence[float]], areas: Sequence[int]) -> Spread:
    return median_interval(
        [statistics.median(runs) * MEGA / area for runs, area in zip(seconds, areas, strict=True)]
    )
