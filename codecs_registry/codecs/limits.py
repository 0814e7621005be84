"""What every codec asks of a picture before it encodes it."""

from __future__ import annotations

from codecs_registry.codecs.base import EncodeFailed, Pixels, check_pixels


def check_size(pixels: Pixels, *, label: str, max_side: int) -> None:
    """Raise ValueError if these are not Pixels, EncodeFailed if a side is over max_side pixels."""
    check_pixels(pixels)
    height, width = pixels.shape[:2]
    if max(height, width) > max_side:
        raise EncodeFailed(
            f"{label} takes at most {max_side} pixels a side; this image is {width} x {height}"
        )
