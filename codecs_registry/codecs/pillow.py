"""Writing and reading one picture through Pillow, as the codecs that it brings need it."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from codecs_registry.codecs.base import (
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Pixels,
)
from codecs_registry.codecs.checks import check_size


def version(feature: str, library: str) -> str:
    """'libwebp 1.6.0 (Pillow 13.0.0)': the library behind a Pillow feature, with its version."""
    number = features.version(feature) or "unknown version"
    return f"{library} {number} (Pillow {PIL.__version__})"


def missing(feature: str, label: str) -> str:
    """'' if this Pillow has the feature, else why not and how to get it."""
    if features.check(feature):
        return ""
    return (
        f"Pillow {PIL.__version__} was built here without {label}. Pillow's wheels have it: "
        "pip install --force-reinstall --only-binary pillow pillow"
    )


def write(pixels: Pixels, *, file_format: str, label: str, max_side: int, **options: Any) -> bytes:
    """Encode pixels (H, W, 3) with Pillow's options for this format.

    max_side : the longest side, in pixels, that format and library take.

    Raises ValueError if these are not Pixels, CodecUnavailable if Pillow lacks the format,
    EncodeFailed if they are too large or the library refuses them.
    """
    check_size(pixels, label=label, max_side=max_side)
    height, width = pixels.shape[:2]
    # A new Image a call: save() keeps its options on the Image, so that threads which share one
    # overwrite each other's. It has no info either, so no profile, EXIF or XMP finds its way in.
    image = Image.fromarray(pixels.copy())
    file = io.BytesIO()
    try:
        image.save(file, file_format, **options)
    except KeyError as error:
        raise CodecUnavailable(f"this Pillow cannot write {label}") from error
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise EncodeFailed(
            f"{label} could not encode {width} x {height} pixels: {error}"
        ) from error
    return file.getvalue()


def read(bitstream: bytes, *, file_format: str, label: str) -> Pixels:
    """Decode a file of this format to pixels (H, W, 3).

    Raises DecodeFailed if it is broken, cut short or of another format.
    """
    try:
        with warnings.catch_warnings():
            # Pillow suspects large pictures; this one was made here, from pixels of its size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(bitstream), formats=(file_format,)) as image:
                return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, RuntimeError, MemoryError) as error:
        raise DecodeFailed(f"this is not a {label} file that can be read: {error}") from error
    except Image.DecompressionBombError as error:
        raise DecodeFailed(f"this {label} file is too large: {error}") from error
