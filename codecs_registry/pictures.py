"""Reading picture files into 8-bit sRGB pixels by one stated rule, and writing PNG.

The rule, in this order (docs/images.md tells it to researchers):

1. EXIF orientation is applied.
2. 16-bit samples are scaled to 8 bits by value * 255 / 65535, rounded; 1-bit ones to 0 and 255.
3. A palette is looked up. Grey becomes three equal channels.
4. An embedded ICC profile is converted to sRGB (perceptual intent, as LittleCMS does it); CMYK
   without a profile is converted by Pillow's plain formula. No profile means sRGB.
5. Alpha is composited onto mid-grey (128, 128, 128) in sRGB values, as it is stored.
6. Of several frames or pages, the first counts.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"}
BACKDROP = (128, 128, 128)


class UnreadablePicture(Exception):
    """The file is no picture that we take; the message says why, without the file's name."""


@dataclass(frozen=True)
class Picture:
    """Pixels (H, W, 3) of a file, and what was done to reach them."""

    pixels: Pixels
    conversions: list[str]


def identify(pixels: Pixels) -> str:
    """The SHA-256 (hexadecimal) of pixels (H, W, 3), uint8, row by row."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_picture(file: Path | BinaryIO) -> Picture:
    """Decode a file to sRGB.

    Raises UnreadablePicture if it is no picture, is truncated, is of a format outside FORMATS, or
    would decode to more than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            # We judge the size ourselves, before anything is decoded.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    megapixels = image.width * image.height / 1e6
                    raise UnreadablePicture(
                        f"it would decode to {megapixels:.0f} megapixels; "
                        f"the limit is {MAX_PIXELS / 1e6:.0f}"
                    )
                image.load()
                return _to_srgb(image)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UnreadablePicture(f"it cannot be opened ({error.strerror})") from None
    except UnidentifiedImageError:
        raise UnreadablePicture(f"it is no picture in {', '.join(FORMATS)} format") from None
    except UnreadablePicture:
        raise
    except Exception as error:  # decoders raise many kinds for a damaged file
        raise UnreadablePicture(f"it cannot be decoded, so it may be damaged ({error})") from None


def _to_srgb(image: Image.Image) -> Picture:
    conversions = []
    profile = image.info.get("icc_profile")
    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
        conversions.append("EXIF orientation applied")

    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
        conversions.append("16 bits to 8")
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        conversions.append("palette looked up")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())

    alpha = image.getchannel("A") if "A" in image.getbands() else None
    if alpha is not None:
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if profile:
        image, converted = _from_profile(image, profile)
        conversions += converted
    if image.mode != "RGB":
        conversions.append(f"{ {'L': 'grey'}.get(image.mode, image.mode) } to RGB")
        image = image.convert("RGB")
    if alpha is not None:
        backdrop = Image.new("RGB", image.size, BACKDROP)
        backdrop.paste(image, mask=alpha)
        image = backdrop
        conversions.append("alpha composited onto mid-grey")
    return Picture(np.asarray(image, dtype=np.uint8), conversions)


def _to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadablePicture("its samples are neither 8 nor 16 bits deep")
    return Image.fromarray(np.rint(values * (255 / 65535)).astype(np.uint8))


def _from_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        if "srgb" in name.lower() and image.mode == "RGB":
            return image, []
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise UnreadablePicture(f"its colour profile cannot be used ({error})") from None
    return converted, [f"profile “{name}” converted to sRGB"]


def write_png(pixels: Pixels) -> bytes:
    """A PNG file of pixels (H, W, 3), uint8, with no metadata."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", compress_level=4)
    return target.getvalue()


def read_png(content: bytes) -> Pixels:
    """Pixels (H, W, 3) of a PNG that `write_png` made."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
