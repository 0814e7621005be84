"""Codecs that run as programs, each declared in a TOML file (docs/add-a-codec.md tells its keys).

A program's output is never trusted: no shell, a private folder, limits of time, size and memory,
and only a plain file of the promised kind is read back. It is no sandbox: a program may read what
we may read, reach the network, and leave its process group, so declare only programs that you would
start by hand.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import shlex
import shutil
import signal
import stat
import string
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from codecs_registry.codecs.base import (
    CodecError,
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    Setting,
    check_pixels,
    check_setting,
)
from codecs_registry.pictures import MAX_PIXELS, write_png

READY = Path(__file__).with_name("commands")
"""The folder of the declarations that come with Closer."""
VARIABLE = "CLOSER_CODECS"
"""The environment variable that names further files and folders, os.pathsep between them."""
MODEL = ".safetensors"
"""How files of the learned codec end, which stand beside those declarations."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")

_KEYS = {
    "name",
    "label",
    "extension",
    "encode",
    "decode",
    "version",
    "version_pattern",
    "picture",
    "how_to_get",
    "memory_per_pixel",
    "knob",
    "limits",
    "settings",
}
_MEGABYTE = 1_000_000
_VERSION_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 300.0
_LOG_BYTES = 4096
_MESSAGE_CHARACTERS = 300
_VERSION_CHARACTERS = 100

# Limits are set by the process that then becomes the program, so that none of it runs without
# them. Python ignores two signals, and a program would inherit that: it must die of a full file.
_LAUNCHER = """
import os, resource, signal, sys
cpu, size, memory = map(int, sys.argv[1:4])
def limit(what, most):
    soft, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
limit(resource.RLIMIT_CORE, 0)
limit(resource.RLIMIT_CPU, cpu)
limit(resource.RLIMIT_FSIZE, size)
if memory:
    limit(resource.RLIMIT_DATA, memory)
try:
    os.execv(sys.argv[4], sys.argv[4:])
except OSError as error:
    sys.stderr.write(f"it does not start: {error.strerror}\\n")
    sys.stderr.flush()
    os._exit(127)
"""


class BadDeclaration(ValueError):
    """A TOML file declares no codec; the message names the key and says what is wrong with it."""


@dataclass(frozen=True)
class Limits:
    """Of one run of a program. megabytes_written is for each file, in 10^6 bytes, and
    megabytes_of_memory for the private memory of each process, 0 for none."""

    seconds: float = 60.0
    megabytes_written: float = 256.0
    megabytes_of_memory: float = 0.0


@dataclass(frozen=True)
class Declaration:
    """What a TOML file says of a codec, checked. `source` is the file's name with its digest."""

    name: str
    label: str
    extension: str
    encode: tuple[str, ...]
    decode: tuple[str, ...]
    version: tuple[str, ...]
    version_pattern: str
    picture: Literal["png", "ppm"]
    how_to_get: str
    memory_per_pixel: int
    knob: Knob
    limits: Limits
    settings: tuple[tuple[str, Setting], ...]
    folder: Path
    source: str


def declarations(variable: str | None = None) -> list[Path]:
    """The ready TOML files, then those of the files and folders that the variable names: TOML files
    and models of the learned codec.

    variable : in place of the environment's value. A path in it that is not there is kept, so that
        reading it says so.
    """
    named = os.environ.get(VARIABLE, "") if variable is None else variable
    files: dict[Path, None] = {}
    for path in [READY, *(Path(part).expanduser() for part in named.split(os.pathsep) if part)]:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if not path.is_dir() or file.suffix in (".toml", MODEL):
                files[file.absolute()] = None
    return list(files)


def read_declaration(file: Path) -> Declaration:
    """The declaration in a TOML file. Raises BadDeclaration, naming the key, OSError."""
    content = file.read_bytes()
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadDeclaration(f"it is no TOML: {error}") from None
    return _declaration(table, file.absolute().parent, _source(file, content))


def check_name(name: str) -> None:
    """Raises BadDeclaration unless a codec can be called so."""
    if not NAME.fullmatch(name):
        raise BadDeclaration(
            f"name: {name!r} is not 1 to 40 of a-z, 0-9, '.', '_', '-', a letter or digit first"
        )


def _declaration(table: dict[str, Any], folder: Path, source: str) -> Declaration:
    _refuse_others(table, _KEYS, "")
    limits, knob = _table(table, "limits"), _table(table, "knob")
    _refuse_others(limits, set(Limits.__dataclass_fields__), "limits.")
    name = _text(table, "name")
    check_name(name)
    extension = _text(table, "extension")
    if not re.fullmatch(r"\.[A-Za-z0-9]{1,16}", extension):
        raise BadDeclaration(f"extension: {extension!r} is not a dot and 1 to 16 letters or digits")
    picture = _text(table, "picture", "png")
    if picture not in ("png", "ppm"):
        raise BadDeclaration(f"picture: {picture!r} is neither 'png' nor 'ppm'")
    pattern = _text(table, "version_pattern", "")
    try:
        re.compile(pattern)
    except re.error as error:
        raise BadDeclaration(f"version_pattern: {error}") from None
    if pattern and "version" not in table:
        raise BadDeclaration("version_pattern: there is no version command to find it in")
    memory = table.get("memory_per_pixel", 200)
    if type(memory) is not int or memory < 0:
        raise BadDeclaration(f"memory_per_pixel: {memory!r} is no whole number of bytes")
    return Declaration(
        name=name,
        label=_text(table, "label", name),
        extension=extension,
        encode=_command(table, "encode", {"setting", "bitstream", "picture"}),
        decode=_command(table, "decode", {"bitstream", "picture"}),
        version=_command(table, "version", set()) if "version" in table else (),
        version_pattern=pattern,
        picture="ppm" if picture == "ppm" else "png",
        how_to_get=_text(table, "how_to_get", ""),
        memory_per_pixel=memory,
        knob=_knob(knob),
        limits=Limits(
            seconds=_number(limits, "limits.seconds", 60, low=0.01, high=86_400),
            megabytes_written=_number(limits, "limits.megabytes_written", 256, low=0.001),
            megabytes_of_memory=_number(limits, "limits.megabytes_of_memory", 0, low=0),
        ),
        settings=_settings(_table(table, "settings")),
        folder=folder,
        source=source,
    )


def _knob(table: dict[str, Any]) -> Knob:
    _refuse_others(table, {"low", "high", "integer", "rises", "scale", "curve"}, "knob.")
    scale = _text(table, "knob.scale", "linear")
    if scale not in ("linear", "log", "cbrt"):
        raise BadDeclaration(f"knob.scale: {scale!r} is none of 'linear', 'log', 'cbrt'")
    points = table.get("curve", [])
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))
        for point in points
    ):
        raise BadDeclaration("knob.curve: it is no list of [setting, bpp] pairs of numbers")
    try:
        return Knob(
            low=_number(table, "knob.low"),
            high=_number(table, "knob.high"),
            integer=_truth(table, "knob.integer", False),
            rises=_truth(table, "knob.rises", True),
            scale=scale,  # type: ignore[arg-type]  # one of the three, as was just seen
            curve=tuple((float(setting), float(bpp)) for setting, bpp in points),
        )
    except BadDeclaration:
        raise
    except ValueError as error:
        raise BadDeclaration(f"knob: {error}") from None


def _settings(table: dict[str, Any]) -> tuple[tuple[str, Setting], ...]:
    for key, value in table.items():
        if key in ("command", "declaration"):
            raise BadDeclaration(f"settings.{key}: this is recorded anyway")
        if not isinstance(value, str | bool) and not _is_number(value):
            raise BadDeclaration(f"settings.{key}: {value!r} is no text, number, true or false")
    return tuple(table.items())


def _refuse_others(table: Mapping[str, Any], known: set[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            others = ", ".join(sorted(known))
            raise BadDeclaration(f"{prefix}{key}: no such key; known are {others}")


def _get(table: Mapping[str, Any], key: str, default: Any) -> Any:
    value = table.get(key.rpartition(".")[2], default)
    if value is None:
        raise BadDeclaration(f"{key}: it is missing")
    return value


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise BadDeclaration(f"{key}: {value!r} is no table")
    return value


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = _get(table, key, default)
    if not isinstance(value, str) or (not value and default != ""):
        raise BadDeclaration(f"{key}: {value!r} is no text")
    return value


def _truth(table: Mapping[str, Any], key: str, default: bool) -> bool:
    value = _get(table, key, default)
    if not isinstance(value, bool):
        raise BadDeclaration(f"{key}: {value!r} is neither true nor false")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(
    table: Mapping[str, Any],
    key: str,
    default: float | None = None,
    *,
    low: float = -1e9,
    high: float = 1e9,
) -> float:
    value = _get(table, key, default)
    if not _is_number(value) or not low <= value <= high:
        raise BadDeclaration(f"{key}: {value!r} is no number from {low:g} to {high:g}")
    return float(value)


def _command(table: Mapping[str, Any], key: str, needed: set[str]) -> tuple[str, ...]:
    """A command as a list of texts in which each placeholder that is needed, and no other, is."""
    words = _get(table, key, None)
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise BadDeclaration(f"{key}: it is no list of texts, the program first")
    if not re.fullmatch(r"[^{}]+", words[0]) or any("\0" in word for word in words):
        raise BadDeclaration(f"{key}: its program has no name, or a brace or a zero byte is in it")
    found: set[str] = set()
    for word in words:
        try:
            parts = list(string.Formatter().parse(word))
        except ValueError as error:
            raise BadDeclaration(f"{key}: {word!r}: {error} (a brace is written twice)") from None
        for _, field, form, conversion in parts:
            if field is None:
                continue
            if field not in needed or form or conversion:
                allowed = ", ".join(f"{{{one}}}" for one in sorted(needed)) or "none"
                raise BadDeclaration(f"{key}: {word!r}: the placeholders here are: {allowed}")
            found.add(field)
    if found != needed:
        missing = ", ".join(f"{{{one}}}" for one in sorted(needed - found))
        raise BadDeclaration(f"{key}: it lacks {missing}")
    return tuple(words)


class CommandLineCodec:
    """A codec that two commands make up: one that encodes and one that decodes (`base.Codec`)."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.label = declaration.label
        self.extension = declaration.extension
        self.knob = declaration.knob
        self.memory_per_pixel = declaration.memory_per_pixel

    def version(self) -> str:
        """What the version command says, or a digest of the programs; with the declaration's."""
        if self._missing():
            return f"not found ({self.declaration.source})"
        return f"{self._programs()[0]} ({self.declaration.source})"

    def unavailable(self) -> str:
        reason = self._missing() or self._programs()[1]
        return f"{reason} {self.declaration.how_to_get}".rstrip() if reason else ""

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        command = _filled(
            self.declaration.encode,
            setting=self._written(setting),
            bitstream="{bitstream}",
            picture="{picture}",
        )
        return {
            **dict(self.declaration.settings),
            "command": shlex.join(command),
            "declaration": self.declaration.source,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_pixels(pixels)
        check_setting(self.knob, setting)
        picture = write_png(pixels) if self.declaration.picture == "png" else _write_ppm(pixels)
        return self._run(
            self.declaration.encode,
            picture,
            given="picture",
            made="bitstream",
            setting=self._written(setting),
            failed=EncodeFailed,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        content = self._run(
            self.declaration.decode,
            bitstream,
            given="bitstream",
            made="picture",
            failed=DecodeFailed,
        )
        return _read_picture(content, self.declaration.picture, self.label)

    def _written(self, setting: float) -> str:
        """A setting as the command gets it: whole, or the shortest text that is this very float."""
        return str(int(setting)) if self.knob.integer else repr(float(setting))

    def _run(
        self,
        command: Sequence[str],
        content: bytes,
        *,
        given: str,
        made: str,
        failed: type[CodecError],
        setting: str = "",
    ) -> bytes:
        """The file named `made` that a command makes of the content of the file named `given`."""
        if reason := self.unavailable():
            raise CodecUnavailable(reason)
        limits = self.declaration.limits
        names = {
            "picture": f"picture.{self.declaration.picture}",
            "bitstream": f"bitstream{self.extension}",
        }
        path = _path(command[0], self.declaration.folder)
        with _private_folder() as folder:
            (folder / names[given]).write_bytes(content)
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                words = [path, *_filled(command[1:], setting=setting, **names)]
                code, said = _execute(words, folder, limits)
                if code != 0:
                    raise _Failed(_ending(code, limits, said))
                return _read_back(at, names[made], int(limits.megabytes_written * _MEGABYTE))
            except _Failed as error:
                raise failed(f"{self.label}: {Path(path).name} {error}") from None
            finally:
                os.close(at)

    def _missing(self) -> str:
        for program in (self.declaration.encode[0], self.declaration.decode[0]):
            if not _path(program, self.declaration.folder):
                return f"{program} is not on this machine."
        return ""

    def _programs(self) -> tuple[str, str]:
        """The programs' version, and why they are not the ones that are wanted, or ''.

        Every claim of work asks, so it is remembered for as long as the files are the same; what
        went wrong, for five minutes.
        """
        declared = self.declaration
        commands = [part for part in (declared.encode, declared.decode, declared.version) if part]
        paths = [_path(command[0], declared.folder) for command in commands]
        # Of a script that an interpreter runs, or a folder of weights, the path is an argument.
        paths += [word for command in commands for word in command[1:] if word.startswith(os.sep)]
        stamps = []
        for path in filter(None, dict.fromkeys(paths)):
            with suppress(OSError):
                about = Path(path).stat()
                if stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode):
                    stamps.append((path, about.st_mtime_ns, about.st_size))
        key = (declared, tuple(stamps))
        asked, version, reason = _known.get(key, (-math.inf, "", "not asked yet"))
        if reason and time.monotonic() > asked + _ASK_AGAIN_SECONDS:
            try:
                version, reason = _identified(declared, [path for path, _, _ in stamps])
            except (_Failed, OSError) as error:
                version = "unknown version"
                program = (declared.version or declared.encode)[0]
                reason = f"{program} tells no version: it {error}."
            _known[key] = (time.monotonic(), version, reason)
        return version, reason


_known: dict[tuple[Declaration, tuple[tuple[str, int, int], ...]], tuple[float, str, str]] = {}
"""By declaration and (path, time, size) of its files: when it was asked, version, reason."""


def _identified(declared: Declaration, paths: Sequence[str]) -> tuple[str, str]:
    """As `CommandLineCodec._programs`, asked anew; the paths are those of its files."""
    said = ""
    program = _path(declared.version[0], declared.folder) if declared.version else ""
    if program:
        limits = replace(declared.limits, seconds=min(_VERSION_SECONDS, declared.limits.seconds))
        with _private_folder() as folder:
            # Many programs tell their version with an exit status that is not 0.
            words = [program, *_filled(declared.version[1:])]
            said = _execute(words, folder, limits, head=True)[1]
    if declared.version_pattern:
        if match := re.search(declared.version_pattern, said, re.MULTILINE):
            return _printable(match[0])[:_VERSION_CHARACTERS] or "unknown version", ""
        shown = repr(_printable(said)[:_MESSAGE_CHARACTERS]) if said.strip() else "nothing"
        expected = f"no version like '{declared.version_pattern}'"
        return "unknown version", f"{declared.version[0]} tells {expected}; it says {shown}."
    if line := next((line for line in map(_printable, said.splitlines()) if line), ""):
        return line[:_VERSION_CHARACTERS], ""
    digest = hashlib.sha256()
    for path in filter(os.path.isfile, paths):
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"executable {digest.hexdigest()[:12]}", ""


def _source(file: Path, content: bytes) -> str:
    return f"{file.name[-60:]} {hashlib.sha256(content).hexdigest()[:16]}"


def _path(program: str, folder: Path) -> str:
    """The absolute path of a program that can be run, or ''; one with a slash is looked for from
    the declaration's folder, another along PATH."""
    where = str(folder / program) if os.sep in program else program
    return str(Path(found).absolute()) if (found := shutil.which(where)) else ""


def _filled(words: Sequence[str], **values: str) -> list[str]:
    return [word.format(**values) for word in words]


class _Failed(Exception):
    """Goes on as EncodeFailed or DecodeFailed, after the program's name."""


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A new folder that nobody else can enter; it is gone afterwards."""
    folder = tempfile.TemporaryDirectory(prefix="closer-codec-", ignore_cleanup_errors=True)
    try:
        yield Path(folder.name)
    finally:
        for pause in (0.0, 0.02, 0.2, 1.0):  # a killed process may still be on its way out
            time.sleep(pause)
            folder.cleanup()
            if not os.path.lexists(folder.name):
                break


def _execute(
    words: Sequence[str], folder: Path, limits: Limits, *, head: bool = False
) -> tuple[int, str]:
    """Run a program in the folder, and end all that it started in its process group.

    Returns its exit status (negative: the signal that ended it) and the end, or head, of what it
    printed. Raises _Failed when its time is over.
    """
    # Seconds of CPU are a second fence, for when this process dies first; wall time is the first.
    cpu = math.ceil(limits.seconds) * (os.cpu_count() or 1) + 1
    size = int(limits.megabytes_written * _MEGABYTE)
    memory = int(limits.megabytes_of_memory * _MEGABYTE)
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(cpu), str(size), str(memory)]
    with tempfile.TemporaryFile() as log:  # it has no name, and the limit holds for it too
        process = subprocess.Popen(
            [*launcher, *words],
            cwd=folder,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "LANG": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            limit = "" if head else " (limits.seconds)"
            raise _Failed(f"did not end within {limits.seconds:g} seconds{limit}") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        end = os.fstat(log.fileno()).st_size
        said = os.pread(log.fileno(), _LOG_BYTES, 0 if head else max(0, end - _LOG_BYTES))
    return code, said.decode(errors="replace")


def _ending(code: int, limits: Limits, said: str) -> str:
    if code == -signal.SIGXFSZ:
        return f"wrote more than {limits.megabytes_written:g} MB (limits.megabytes_written)"
    if code == -signal.SIGXCPU:
        return "used more than its share of processor time"
    with_what = f"ended with status {code}"
    if code < 0:
        with suppress(ValueError):
            with_what = f"was ended by {signal.Signals(-code).name}"
    lines = [line for line in map(_printable, said.splitlines()) if line][-3:]
    return f"{with_what}: {' / '.join(lines)[-_MESSAGE_CHARACTERS:]}" if lines else with_what


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _read_back(folder: int, name: str, limit: int) -> bytes:
    """The bytes of a plain file in an open folder. Raises _Failed if it is anything else."""
    try:
        # Not to wait for a writer, if this is a pipe.
        file = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except FileNotFoundError:
        raise _Failed(f"ended well but wrote no {name}") from None
    except OSError as error:
        raise _Failed(f"left a {name} that is no plain file ({error.strerror})") from None
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise _Failed(f"left a {name} that is no plain file")
        if about.st_size == 0:
            raise _Failed(f"ended well but wrote nothing into {name}")
        with os.fdopen(file, "rb", closefd=False) as opened:
            content = opened.read(limit + 1)
    finally:
        os.close(file)
    if len(content) > limit:
        raise _Failed(f"wrote more than {limit / _MEGABYTE:g} MB (limits.megabytes_written)")
    return content


def _write_ppm(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


# The last number of a binary PPM's or PGM's head, the largest value (Netpbm: ppm(5), pgm(5)).
_PPM_HEAD = re.compile(rb"P[56](?:(?:\s|#[^\n]*\n)+(\d{1,9})){3}\s")


def _is_8_bit(content: bytes, kind: str) -> bool:
    if kind == "png":  # depth and colour type, grey or RGB (PNG, third edition, 11.2.1)
        return content[24:26] in (b"\x08\x00", b"\x08\x02")
    head = _PPM_HEAD.match(content[:1024])
    return head is not None and head[1] == b"255"


def _read_picture(content: bytes, kind: str, label: str) -> Pixels:
    """Pixels (H, W, 3) of a PNG or PPM file, samples as stored: a profile in it is not applied."""
    too_large = f"{label} decoded to over {MAX_PIXELS / 1e6:.0f} megapixels"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged here, before anything is decoded
            with Image.open(io.BytesIO(content), formats=(kind.upper(),)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DecodeFailed(too_large)
                if not _is_8_bit(content, kind):
                    raise DecodeFailed(f"{label} decoded to no 8-bit RGB or grey picture")
                return np.array(image.convert("RGB"))
    except DecodeFailed:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, above ours
        raise DecodeFailed(too_large) from None
    except Exception as error:  # decoders raise many kinds for what is no picture
        raise DecodeFailed(f"{label} decoded to no readable {kind.upper()}: {error}") from None
