"""Pictures that others sent: a crafted file is refused, breaks nothing, and reaches nothing."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codecs_registry import untrusted
from codecs_registry.pictures import FORMATS, UnreadablePicture, read_picture
from codecs_registry.untrusted import read_untrusted
from tests import factories

ROOT = Path(__file__).parents[2]


def file_of(name: str, side: int = 40) -> bytes:
    file = io.BytesIO()
    Image.fromarray(factories.pixels(side, side)).save(file, name)
    return file.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8) -> bytes:
    """A PNG file of these chunks, whose head may say whatever it likes."""
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in ((b"IHDR", head), *chunks, (b"IEND", b"")):
        parts.append(struct.pack(">I", len(content)) + kind + content)
        parts.append(struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


def bombs() -> dict[str, bytes]:
    nothing = zlib.compress(bytes(50_000_000), 9)
    return {
        "a head of 2^31 pixels a side": png(2**31 - 1, 2**31 - 1, (b"IDAT", b"")),
        "just more than the most": png(10_001, 10_000, (b"IDAT", nothing)),
        "text that grows 1000 times": png(8, 8, (b"zTXt", b"a\0\0" + nothing), (b"IDAT", b"")),
        "a profile that grows 1000 times": png(8, 8, (b"iCCP", b"a\0\0" + nothing), (b"IDAT", b"")),
        "a TIFF directory that names itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "a TIFF of 10^9 strips": b"II*\0\x08\0\0\0\1\0\x11\1\4\0\0\xca\x9a\x3b\x08\0\0\0\0\0\0\0",
        "a WebP as large as its format allows": (
            b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(8)
        ),
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_is_read_as_it_is_in_this_process(name: str) -> None:
    content = file_of(name)
    found, plain = read_untrusted(io.BytesIO(content)), read_picture(io.BytesIO(content))
    assert np.array_equal(found.pixels, plain.pixels)
    assert found.conversions == plain.conversions


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_is_read_where_closer_does_not_run_as_root(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may start threads and processes whatever the limit says.
    command = f"""
import os, sys; sys.path.insert(0, {str(ROOT)!r})
from codecs_registry import untrusted
untrusted._warm_up()
if not os.getuid():
    os.setuid(65534)
untrusted._warm_up = lambda: None
untrusted.serve()
"""
    monkeypatch.setattr(untrusted, "_COMMAND", command)
    untrusted._idle.close()
    assert read_untrusted(io.BytesIO(file_of(name, 600))).pixels.shape == (600, 600, 3)


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_before_they_take_memory_or_time(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(UnreadablePicture):
        read_untrusted(io.BytesIO(bombs()[name]))
    assert time.monotonic() - started < untrusted.SECONDS / 4
    assert read_untrusted(io.BytesIO(file_of("PNG"))).pixels.shape == (40, 40, 3)


@settings(max_examples=150)
@given(
    name=st.sampled_from(FORMATS),
    seed=st.integers(0, 2**32),
    changes=st.integers(1, 12),
    cut=st.floats(0, 1),
)
def test_damaged_files_are_read_or_refused(name: str, seed: int, changes: int, cut: float) -> None:
    chance = random.Random(seed)
    content = bytearray(file_of(name))
    for _ in range(changes):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if chance.random() < 0.3:
        del content[int(cut * len(content)) :]
    try:
        picture = read_untrusted(io.BytesIO(bytes(content)))
    except UnreadablePicture:
        return
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[2] == 3


HEADS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0"]


@settings(max_examples=100)
@given(st.binary(max_size=400), st.sampled_from(HEADS))
def test_bytes_that_are_no_picture_are_refused(content: bytes, head: bytes) -> None:
    with pytest.raises(UnreadablePicture) as refused:
        read_untrusted(io.BytesIO(head + content))
    assert "Traceback" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="cannot be opened"):
        read_untrusted(tmp_path / "none.png")


# --- a decoder that was taken over ----------------------------------------------------------------


def taken_over(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have decoders do this in place of decoding, with all that was given up."""
    monkeypatch.setattr(
        untrusted,
        "_COMMAND",
        f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from codecs_registry import untrusted

def decode(content, most_pixels):
    import json, os, socket, struct, time
    held = []
    def answer(text): return {{"reason": text}}, memoryview(b"")
{code}

untrusted._decoded = decode
import json, os, socket, struct, time
untrusted.serve()
""",
    )
    untrusted._idle.close()


@pytest.fixture(autouse=True)
def _no_decoder_stays():
    yield
    untrusted._idle.close()


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "socket.socket()",
        "os.pipe()",
        "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
    ],
)
def test_it_can_open_nothing(monkeypatch: pytest.MonkeyPatch, attempt: str) -> None:
    code = f"""
    try:
        {attempt}
    except OSError as error:
        return answer(os.strerror(error.errno))
    return answer("opened")
"""
    taken_over(monkeypatch, code)
    with pytest.raises(UnreadablePicture, match="Too many open files"):
        read_untrusted(io.BytesIO(b""))


def test_it_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret")
    taken_over(monkeypatch, "    return answer(repr(dict(os.environ)) + 'so much')")
    with pytest.raises(UnreadablePicture) as refused:
        read_untrusted(io.BytesIO(b""))
    assert "so much" in str(refused.value)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    "code",
    [
        "    os.kill(os.getpid(), 11)",
        "    os._exit(0)",
        "    os.write(1, b'x' * 100); os._exit(1)",
        "    os.write(1, struct.pack('<Q', 2**60)); time.sleep(60)",
        "    return {'size': [2**40, 2**40], 'conversions': []}, memoryview(b'')",
        "    return {'size': [-1, 3], 'conversions': []}, memoryview(b'')",
        "    return {'size': [100, 100], 'conversions': []}, memoryview(b'x'); os._exit(0)",
        "    return [], memoryview(b'')",
    ],
)
def test_what_it_answers_is_not_believed(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(untrusted, "SECONDS", 2.0)
    taken_over(monkeypatch, code)
    with pytest.raises(UnreadablePicture, match=r"breaks its decoder|longer than"):
        read_untrusted(io.BytesIO(b""))


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "SECONDS", 1.5)
    taken_over(monkeypatch, "    time.sleep(1000)")
    with pytest.raises(UnreadablePicture, match=r"takes longer than 1\.5 s"):
        read_untrusted(io.BytesIO(b""))


def test_one_that_takes_all_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
    try:
        while True:
            held.append(bytearray(2**28))
    except MemoryError:
        size = len(held) * 2**28
        held.clear()
        return answer(f"{size} bytes, and no more")
"""
    taken_over(monkeypatch, code)
    with pytest.raises(UnreadablePicture, match="and no more") as refused:
        read_untrusted(io.BytesIO(b""))
    assert int(str(refused.value).split()[0]) <= untrusted.MEMORY + 2**29


# --- processes ------------------------------------------------------------------------------------


def test_threads_read_at_once_and_processes_stay_for_the_next() -> None:
    content = file_of("JPEG")
    expected = read_picture(io.BytesIO(content)).pixels
    found: list[bool] = []

    def read() -> None:
        for _ in range(5):
            found.append(np.array_equal(read_untrusted(io.BytesIO(content)).pixels, expected))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [True] * 20
    assert 1 <= len(untrusted._idle._waiting) <= untrusted.MOST_IDLE


def test_a_process_is_replaced_after_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    untrusted._idle.close()
    monkeypatch.setattr(untrusted, "MOST_PICTURES", 2)
    for _ in range(5):
        read_untrusted(io.BytesIO(file_of("PNG")))


def test_none_outlives_the_process_that_asked() -> None:
    code = (
        "import io, os, signal; from codecs_registry import untrusted; "
        f"untrusted.read_untrusted(io.BytesIO({file_of('PNG', 8)!r})); "
        "print(untrusted._idle._waiting[0]._process.pid, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    pid = int(ended.stdout)
    until = time.monotonic() + 10
    while time.monotonic() < until and Path(f"/proc/{pid}").exists():
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()
    assert os.getpid() != pid
