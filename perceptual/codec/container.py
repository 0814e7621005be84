"""The file of a coded picture (docs/learned-codec.md): 18 bytes, then the coded values.

    0   3   "CLO"
    3   1   version of the format, 1
    4   4   the first bytes of the model's SHA-256
    8   2   width    10  2  height    12  2  rate, 0 to 8192 along log lambda, and on to 10240
    14  4   CRC-32 of all the rest
    18      coded values: 32-bit words

All numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from perceptual.codec.exact import FINEST_RATE

MAGIC, VERSION = b"CLO", 1
LARGEST_SIDE = 2**16 - 1
LARGEST_PICTURE = 2**27
"""Pixels: a few forged bytes must not ask for all the memory of a machine."""
_BEFORE = struct.Struct("<3sB4sHHH")
_CHECK = struct.Struct("<I")
SIZE = _BEFORE.size + _CHECK.size


class BadBitstream(ValueError):
    """A file is broken, of another format, or of another model; the message says which."""


@dataclass(frozen=True)
class Header:
    """digest : the model's, in hexadecimal; a file keeps its first 4 bytes."""

    digest: str
    width: int
    height: int
    rate: int


def write(header: Header, coded: bytes) -> bytes:
    """A whole file."""
    before = _BEFORE.pack(
        *(MAGIC, VERSION, bytes.fromhex(header.digest[:8])),
        *(header.width, header.height, header.rate),
    )
    return before + _CHECK.pack(zlib.crc32(coded, zlib.crc32(before))) + coded


def read(data: bytes) -> tuple[Header, bytes]:
    """Header and coded values. Raises BadBitstream."""
    if data[: len(MAGIC)] != MAGIC:
        raise BadBitstream("it is no file of Closer's learned codec")
    if len(data) < SIZE:
        raise BadBitstream("it is cut short")
    _, version, digest, width, height, rate = _BEFORE.unpack_from(data)
    if version != VERSION:
        raise BadBitstream(f"it is of version {version} of the format; {VERSION} is known")
    (check,) = _CHECK.unpack_from(data, _BEFORE.size)
    if zlib.crc32(data[SIZE:], zlib.crc32(data[: _BEFORE.size])) != check:
        raise BadBitstream("it was altered or cut short: its check sum is wrong")
    if not (width and height and rate <= FINEST_RATE):
        raise BadBitstream("its header is broken")
    if width * height > LARGEST_PICTURE:
        raise BadBitstream(f"{width} x {height} pixels are more than {LARGEST_PICTURE}")
    return Header(digest.hex(), width, height, rate), data[SIZE:]
