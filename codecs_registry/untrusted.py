"""Decoding pictures that others sent, in a process that can do nothing else.

    read_untrusted --file's bytes--> decoder process: read_picture --pixels, or why not--> Picture

A decoder written in C may have a fault that a crafted file uses. So such files are decoded in a
process that has no environment (and so no secrets), can open nothing (no file, no socket), write
nothing but its answer, start nothing, and has limits of memory and time. A file that breaks it is
refused like any damaged one, and costs its sender's request at most SECONDS.

Processes stay for the next picture: to begin one takes a quarter of a second.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from codecs_registry.pictures import MAX_PIXELS, Picture, UnreadablePicture, read_picture

SECONDS = 60.0
"""For one picture, from its bytes to its pixels."""
MEMORY = 24 * MAX_PIXELS
"""Bytes beside those of the file: what the largest picture takes, with 16 bits a sample, alpha and
a colour profile."""
MOST_PICTURES = 200
"""Of one process: what leaks in a decoder does not grow for long."""
MOST_IDLE = 2
LONGEST_ANSWER = 2**20
"""Bytes, beside the pixels."""
_HEAD = struct.Struct("<QQ")
"""Of a request: how many bytes follow, and how many pixels are the most."""
_LENGTH = struct.Struct("<Q")
_ROOT = str(Path(__file__).parents[1])
_COMMAND = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from codecs_registry.untrusted import serve; serve()"
)


def read_untrusted(file: Path | BinaryIO, *, most_pixels: int = MAX_PIXELS) -> Picture:
    """`read_picture` of a file that somebody sent, which may be made to do harm.

    Raises UnreadablePicture, also if the decoder breaks, takes too long or too much memory.
    """
    content = _content(file)
    decoder = _idle.take() or _Decoder()
    try:
        picture = decoder.read(content, most_pixels)
    except _Broken as reason:
        decoder.close()
        raise UnreadablePicture(str(reason)) from None
    except UnreadablePicture:
        _idle.give(decoder)
        raise
    except BaseException:
        decoder.close()
        raise
    _idle.give(decoder)
    return picture


def _content(file: Path | BinaryIO) -> bytes:
    if not isinstance(file, Path):
        file.seek(0)  # as Pillow does
        return file.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadablePicture(f"it cannot be opened ({error.strerror})") from None


# --- this side ------------------------------------------------------------------------------------


class _Broken(Exception):
    """The process cannot be asked again; the message says what the picture did to it."""


class _Decoder:
    """One process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
        )
        self.left = MOST_PICTURES

    def read(self, content: bytes, most_pixels: int) -> Picture:
        self.left -= 1
        until = time.monotonic() + SECONDS
        try:
            self._write(_HEAD.pack(len(content), most_pixels) + content, until)
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
            if length > LONGEST_ANSWER:
                raise EOFError
            reason, size, conversions = _told(json.loads(self._read(length, until)), most_pixels)
            if reason:
                raise UnreadablePicture(reason)
            samples = self._read(size[0] * size[1] * 3, until)
        except TimeoutError:
            raise _Broken(f"it takes longer than {SECONDS:g} s to decode") from None
        except (EOFError, BrokenPipeError, json.JSONDecodeError):
            raise _Broken("it breaks its decoder, so it is damaged or made to do so") from None
        return Picture(np.frombuffer(samples, np.uint8).reshape(*size, 3), conversions)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # noqa: S101
            pipe.close()

    def _write(self, content: bytes, until: float) -> None:
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101
        os.set_blocking(pipe.fileno(), False)
        rest = memoryview(content)
        while rest:
            _wait(pipe.fileno(), select.POLLOUT, until)
            rest = rest[os.write(pipe.fileno(), rest) :]

    def _read(self, count: int, until: float) -> bytearray:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101
        found = bytearray(count)
        rest = memoryview(found)
        while rest:
            _wait(pipe.fileno(), select.POLLIN, until)
            read = os.readv(pipe.fileno(), [rest])
            if not read:
                raise EOFError
            rest = rest[read:]
        return found


def _wait(descriptor: int, what: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, what)
    if not poll.poll(max(until - time.monotonic(), 0) * 1000):
        raise TimeoutError


def _told(answer: Any, most_pixels: int) -> tuple[str, tuple[int, int], list[str]]:
    """The reason, the size and the conversions of an answer, which a broken process may have made
    up. Raises EOFError if it cannot be one."""
    match answer:
        case {"reason": str(reason)}:
            return reason, (0, 0), []
        case {"size": [int(height), int(width)], "conversions": [*conversions]}:
            if height > 0 < width and height * width <= most_pixels:
                return "", (height, width), [str(each) for each in conversions]
    raise EOFError


class _Idle:
    """Processes that wait for the next picture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Decoder] = []

    def take(self) -> _Decoder | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def give(self, decoder: _Decoder) -> None:
        with self._lock:
            if decoder.left and len(self._waiting) < MOST_IDLE:
                self._waiting.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        while decoder := self.take():
            decoder.close()

    def forget(self) -> None:
        """After a fork: they are the parent's."""
        self.__init__()  # type: ignore[misc]


_idle = _Idle()
atexit.register(_idle.close)
os.register_at_fork(after_in_child=_idle.forget)


# --- the process ----------------------------------------------------------------------------------


def serve() -> None:
    """Decode what comes on stdin until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the other side ends it
    _warm_up()
    held = _data()
    _give_up_everything()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(_HEAD.size):
        length, most_pixels = _HEAD.unpack(head)
        content = source.read(length)
        _limit(held + length)
        told, samples = _decoded(content, most_pixels)
        line = json.dumps(told).encode()
        target.write(_LENGTH.pack(len(line)) + line)
        target.write(samples)
        target.flush()


def _decoded(content: bytes, most_pixels: int) -> tuple[dict[str, Any], memoryview]:
    try:
        picture = read_picture(io.BytesIO(content), most_pixels=most_pixels)
    except UnreadablePicture as reason:
        return {"reason": str(reason)}, memoryview(b"")
    except MemoryError:
        return {"reason": "it takes too much memory to decode"}, memoryview(b"")
    pixels = np.ascontiguousarray(picture.pixels)
    return {"size": pixels.shape[:2], "conversions": picture.conversions}, pixels.data.cast("B")


def _warm_up() -> None:
    """Load all that a picture may need: nothing can be opened later."""
    from PIL import AvifImagePlugin, Image, ImageCms

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # no thread can be started later, either
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (16, 16))
    for name in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        file = io.BytesIO()
        picture.save(file, name, icc_profile=profile)
        file.seek(0)
        read_picture(file)
    with contextlib.suppress(UnreadablePicture):
        read_picture(io.BytesIO(b"no picture"))


def _give_up_everything() -> None:
    for what, most in (
        (resource.RLIMIT_NOFILE, 3),  # no more than are open
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _limit(held: int) -> None:
    """Of memory, and of the processor's time, for one picture."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + SECONDS) + 1
    for what, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, held + MEMORY)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most, hard))


def _data() -> int:
    """Bytes of private memory that are in use."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 2**28
