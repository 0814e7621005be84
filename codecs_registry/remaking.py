"""Stored files that are lost, made again of others.

A file's name is the SHA-256 of what it held, so that whatever is made again is either the very same
bytes or of no use: nothing here can put something else in a file's place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from codecs_registry import blobs
from codecs_registry.codecs import get_codec
from codecs_registry.models import Encode, Reconstruction, SourceImage
from codecs_registry.pictures import read_png, read_webp, write_png, write_webp

ALIKE = 3
"""How many rows are tried that name the same file: codecs may come to the same bytes."""


class CannotRemake(Exception):
    """A way to make a file again leads nowhere; the message says why."""


@dataclass(frozen=True)
class Way:
    """One way to make a file again.

    said : of what. make : returns the bytes; may raise anything.
    """

    said: str
    make: Callable[[], bytes]


def ways(name: str) -> Iterator[Way]:
    """How a file of this app's may be made again, the cheapest way first."""
    for source in SourceImage.objects.filter(png=name)[:1]:
        yield from png_ways(source.webp)
    for source in SourceImage.objects.filter(webp=name)[:1]:
        yield from webp_ways(source.png)
    for made in Reconstruction.objects.filter(decoded=name)[:ALIKE]:
        yield from png_ways(made.webp)
        yield Way("its bitstream, decoded", partial(_decoded, made))
    for made in Reconstruction.objects.filter(webp=name)[:1]:
        yield from webp_ways(made.decoded)
    for encode in Encode.objects.filter(bitstream=name).select_related("source")[:ALIKE]:
        yield Way("its source image, encoded", partial(_encoded, encode))
    if not Encode.objects.filter(bitstream=name).exists():
        for made in Reconstruction.objects.filter(bitstream=name)[:1]:
            yield Way("its source image, encoded", partial(_unknown_setting, made))


def png_ways(webp: str) -> Iterator[Way]:
    """A PNG from the lossless WebP of the same pixels, if there is one."""
    if webp:
        yield Way("the same pixels as WebP", lambda: write_png(read_webp(read_whole(webp))))


def webp_ways(png: str) -> Iterator[Way]:
    """Lossless WebP from the PNG of the same pixels."""
    yield Way("the same pixels as PNG", lambda: write_webp(read_png(read_whole(png))) or b"")


def read_whole(name: str) -> bytes:
    """A stored file that something is made of. Raises CannotRemake if it is lost itself."""
    try:
        if blobs.is_whole(name):
            return blobs.read(name)
    except FileNotFoundError:
        raise CannotRemake(f"{name} is missing, too") from None
    raise CannotRemake(f"{name} is altered, too")


def _decoded(made: Reconstruction) -> bytes:
    codec = _same_codec(made.codec, made.codec_version)
    return write_png(codec.decode(read_whole(made.bitstream)))


def _encoded(encode: Encode) -> bytes:
    codec = _same_codec(encode.codec, encode.codec_version)
    if codec.settings(encode.setting) != encode.settings:
        raise CannotRemake(f"{codec.label} has other settings here")
    return codec.encode(read_png(read_whole(encode.source.png)), encode.setting)


def _unknown_setting(made: Reconstruction) -> bytes:
    raise CannotRemake(f"nothing tells at which setting {made.codec} made it")


def _same_codec(name: str, version: str):
    codec = get_codec(name)
    if reason := codec.unavailable():
        raise CannotRemake(f"{codec.label} is not available here: {reason}")
    if codec.version() != version:
        raise CannotRemake(f"it was made by {version}, and here is {codec.version()}")
    return codec
