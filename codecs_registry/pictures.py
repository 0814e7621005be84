"""Reading picture files into 8-bit sRGB pixels by one stated rule, and writing PNG.

The rule, in this order (docs/images.md tells it to researchers):

1. EXIF orientation is applied.
2. Of 16-bit samples the high byte is kept, as Pillow keeps it of colour; 1-bit ones become 0 and
   255. Deeper samples and floats are refused: nobody can tell what their white is.
3. A palette is looked up. Grey becomes three equal channels.
4. An embedded ICC profile is converted to sRGB (perceptual intent, as LittleCMS does it), unless
   it is sRGB's own: one that moves no colour by more than a level. CMYK without a profile is
   converted by Pillow's plain formula. No profile means sRGB.
5. Alpha, or the one colour that stands for it, is composited onto mid-grey (128, 128, 128) in sRGB
   values, as it is stored.
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
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

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


def read_picture(file: Path | BinaryIO, *, most_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a file to sRGB.

    Raises UnreadablePicture if it is no picture, is truncated, is of a format outside FORMATS, or
    would decode to more than `most_pixels`.
    """
    most = f"over {most_pixels / 1e6:g} megapixels"
    try:
        with warnings.catch_warnings():
            # We judge the size ourselves, before anything is decoded.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > most_pixels:
                    raise UnreadablePicture(f"it is {image.width} x {image.height} pixels, {most}")
                orientation = image.getexif().get(ExifTags.Base.Orientation)
                image.load()  # this turns a TIFF file's pixels already
                picture = _to_srgb(ImageOps.exif_transpose(image))
                if orientation in range(2, 9):
                    picture.conversions.insert(0, "EXIF orientation applied")
                return picture
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UnreadablePicture(f"it cannot be opened ({error.strerror})") from None
    except UnidentifiedImageError:
        raise UnreadablePicture(f"it is no picture in {', '.join(FORMATS)} format") from None
    except Image.DecompressionBombError:  # Pillow's own limit, above ours
        raise UnreadablePicture(f"it would decode to {most}") from None
    except UnreadablePicture:
        raise
    except Exception as error:  # decoders raise many kinds for a damaged file
        raise UnreadablePicture(f"it cannot be decoded, so it may be damaged ({error})") from None


def _to_srgb(image: Image.Image) -> Picture:
    conversions = []
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F"):
        raise UnreadablePicture("its samples are neither 8 nor 16 bits deep")
    if image.mode.startswith("I;16"):
        image = _to_8_bit(image)
        conversions.append("16 bits to 8")
    if image.mode == "P":
        conversions.append("palette looked up")
        if "transparency" not in image.info:
            image = image.convert("RGB")
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
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
        conversions.append(f"{'grey' if image.mode == 'L' else image.mode} to RGB")
        image = image.convert("RGB")
    if alpha is not None:
        backdrop = Image.new("RGB", image.size, BACKDROP)
        backdrop.paste(image, mask=alpha)
        image = backdrop
        conversions.append("alpha composited onto mid-grey")
    return Picture(np.asarray(image, dtype=np.uint8), conversions)


def _to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        grey.putalpha(Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8)))
    return grey


def _from_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    conversions = []
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and image.mode == "L":
            image = image.convert("RGB")
            conversions.append("grey to RGB")
        elif space == "GRAY" and image.mode == "RGB":
            red, green, blue = image.split()
            if red == green == blue:  # so Pillow reads 16-bit grey with alpha
                image = red
        if image.mode == "RGB" and _is_srgb(source):
            return image, conversions
        converted = _convert(image, source)
    except (ImageCms.PyCMSError, OSError) as error:
        raise UnreadablePicture(f"its colour profile cannot be used ({error})") from None
    return converted, [*conversions, f"profile “{name}” converted to sRGB"]


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile is sRGB's own, told by what it does: names mislead ("linear sRGB")."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    moved = np.asarray(_convert(Image.fromarray(probe), profile), dtype=np.int16) - probe
    return bool(np.abs(moved).max() <= 1)


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")


def write_png(pixels: Pixels) -> bytes:
    """A PNG file of pixels (H, W, 3), uint8, with no metadata."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", compress_level=4)
    return target.getvalue()


LARGEST_WEBP = 16383  # pixels a side (RFC 9649, section 3.4)


def write_webp(pixels: Pixels) -> bytes | None:
    """A lossless WebP file of pixels (H, W, 3), uint8, with no metadata.

    It is a quarter to a third smaller than the PNG, and made faster. It is decoded again and
    compared: None where it is not exactly equal, or the picture is too large for the format.
    """
    if max(pixels.shape[:2]) > LARGEST_WEBP:
        return None
    target = io.BytesIO()
    # Method 4 would take ten times as long for a tenth to a fifth less (benchmarks/delivery.py).
    Image.fromarray(pixels).save(target, "WEBP", lossless=True, method=0, quality=0, exact=True)
    content = target.getvalue()
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
        is_equal = np.array_equal(np.asarray(image.convert("RGB")), pixels)
    return content if is_equal else None


def read_png(content: bytes) -> Pixels:
    """Pixels (H, W, 3) of a PNG that `write_png` made."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def read_webp(content: bytes) -> Pixels:
    """Pixels (H, W, 3) of a lossless WebP that `write_webp` made."""
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
