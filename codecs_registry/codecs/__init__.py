"""Which codecs there are: ours, those of third parties, programs that a TOML file declares, and
models of the learned codec.

A codec is found by an entry point of the group 'closer.codecs': its name is the codec's, its value
a class (or function) without arguments that makes an object fulfilling `base.Codec`. `command_line`
says what is in a TOML file. A model beside them is a codec of its file's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from codecs_registry.codecs.base import (
    Codec,
    CodecUnavailable,
    Knob,
    Pixels,
    Setting,
    UnknownCodec,
)
from codecs_registry.codecs.closer import Closer
from codecs_registry.codecs.command_line import (
    MODEL,
    VARIABLE,
    BadDeclaration,
    CommandLineCodec,
    check_name,
    declarations,
    read_declaration,
)

GROUP = "closer.codecs"

__all__ = ["GROUP", "BrokenCodec", "all_codecs", "get_codec", "load_codecs"]


def all_codecs() -> dict[str, Codec]:
    """Every codec by its name, in the names' order, whether it can be used here or not."""
    return dict(_installed())


def get_codec(name: str) -> Codec:
    """The codec of this name. Raises UnknownCodec, which names those that there are."""
    codecs = _installed()
    if name not in codecs:
        raise UnknownCodec(f"no codec is named {name!r}; known are {', '.join(codecs) or 'none'}")
    return codecs[name]


@cache
def _installed() -> dict[str, Codec]:
    return load_codecs(entry_points(group=GROUP), declarations())


def load_codecs(found: Iterable[EntryPoint], files: Iterable[Path] = ()) -> dict[str, Codec]:
    """The codecs of these entry points, TOML files and models, by name.

    One that does not load, or whose name is taken by one before it, becomes a BrokenCodec.
    """
    codecs: dict[str, Codec] = {}
    # The same entry point is found twice when a package lies twice on the path.
    entries = {(entry.name, entry.value): entry for entry in found}
    # Ours first: a name is its first owner's.
    for name, value in sorted(entries, key=lambda key: (not _is_ours(key[1]), key)):
        if name in codecs:
            taken = f"its name {name!r} is taken by {type(codecs[name]).__qualname__}"
            codecs[f"{name} ({value})"] = BrokenCodec(f"{name} ({value})", taken)
        else:
            codecs[name] = _load(entries[name, value])
    for file in files:
        codec = _declared(file)
        if codec.name in codecs:
            taken = f"{file}: name: {codec.name!r} is taken by {codecs[codec.name].label}"
            codec = BrokenCodec(f"{codec.name} ({file})", taken, _MEND_FILE)
        codecs[codec.name] = codec
    return dict(sorted(codecs.items()))


def _is_ours(value: str) -> bool:
    return value.startswith(f"{__name__}.")


def _load(entry: EntryPoint) -> Codec:
    try:
        codec = entry.load()()
    except Exception as error:  # a stranger's code: whatever it raises, the others must work
        return BrokenCodec(entry.name, f"{entry.value} failed: {type(error).__name__}: {error}")
    if not isinstance(codec, Codec):
        return BrokenCodec(entry.name, f"{entry.value} makes no codec: see the protocol in base.py")
    if codec.name != entry.name:
        return BrokenCodec(entry.name, f"{entry.value} calls itself {codec.name!r}")
    return codec


def _declared(file: Path) -> Codec:
    try:
        if file.suffix == MODEL:
            check_name(file.stem)
            return Closer(file.stem, file)
        return CommandLineCodec(read_declaration(file))
    except BadDeclaration as error:
        reason = str(error)
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    return BrokenCodec(str(file), f"{file}: {reason}", _MEND_FILE)


_MEND_PACKAGE = "Repair or uninstall the package that brings it."
_MEND_FILE = f"Mend the file, or take it out of {VARIABLE}."


class BrokenCodec:
    """Stands in the list for a codec that does not load, and says why."""

    extension = ""
    knob = Knob(low=0.0, high=1.0)
    memory_per_pixel = 0

    def __init__(self, name: str, reason: str, mend: str = _MEND_PACKAGE) -> None:
        self.name = name
        self.label = name
        self.reason = reason
        self.mend = mend

    def version(self) -> str:
        return "unknown version"

    def unavailable(self) -> str:
        return f"{self.reason}. {self.mend}"

    def settings(self, setting: float) -> dict[str, Setting]:
        raise CodecUnavailable(self.unavailable())

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        raise CodecUnavailable(self.unavailable())

    def decode(self, bitstream: bytes) -> Pixels:
        raise CodecUnavailable(self.unavailable())
