"""Pixels as the files that are kept of them."""

from dataclasses import dataclass

from codecs_registry import blobs
from codecs_registry.pictures import Pixels, write_png, write_webp


@dataclass(frozen=True)
class Lossless:
    """The blobs of a picture, as PNG and as lossless WebP, and their sizes; "" and None where it
    cannot be had as WebP."""

    png: str
    png_bytes: int
    webp: str
    webp_bytes: int | None


def store(pixels: Pixels) -> Lossless:
    """Keep pixels (H, W, 3), uint8."""
    png, webp = write_png(pixels), write_webp(pixels)
    return Lossless(
        png=blobs.put(png, ".png"),
        png_bytes=len(png),
        webp=blobs.put(webp, ".webp") if webp else "",
        webp_bytes=len(webp) if webp else None,
    )
