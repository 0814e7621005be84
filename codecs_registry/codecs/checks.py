"""What codecs ask: of a picture before they encode it, of a library before they count on it."""

from __future__ import annotations

import numpy as np

from codecs_registry.codecs.base import Codec, CodecError, EncodeFailed, Pixels, check_pixels


def check_size(pixels: Pixels, *, label: str, max_side: int) -> None:
    """Raise ValueError if these are not Pixels, EncodeFailed if a side is over max_side pixels."""
    check_pixels(pixels)
    height, width = pixels.shape[:2]
    if max(height, width) > max_side:
        raise EncodeFailed(
            f"{label} takes at most {max_side} pixels a side; this image is {width} x {height}"
        )


def failure(codec: Codec, setting: float) -> str:
    """Why a small black picture cannot be encoded at a setting and decoded; '' if it can."""
    try:
        codec.decode(codec.encode(np.zeros((16, 16, 3), np.uint8), setting))
    except (CodecError, ValueError) as error:  # PyAV's UnknownCodecError is a ValueError
        return str(error) or type(error).__name__
    return ""
