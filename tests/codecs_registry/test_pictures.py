"""Reading pictures: the rule that codecs_registry/pictures.py states is what happens."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from codecs_registry import pictures
from codecs_registry.pictures import (
    UnreadablePicture,
    identify,
    read_picture,
    read_png,
    write_png,
    write_webp,
)
from tests import factories

SIXTEEN_BITS = [0, 0x00FF, 0x0100, 0x7FFF, 0x80FF, 0xFFFF]
HIGH_BYTES = [0, 0, 1, 127, 128, 255]
BACKDROP = 128

SRGB_PRIMARIES = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
P3_PRIMARIES = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def file_of(image: Image.Image, file_format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return io.BytesIO(file.getvalue())


def read(file: io.BytesIO) -> np.ndarray:
    pixels = read_picture(file).pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    return pixels


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes, extra=b"") -> io.BytesIO:
    """A PNG by hand (PNG 3rd edition): Pillow writes no 16-bit colour."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def sixteen_bit_png(channels: int, *, extra: bytes = b"") -> io.BytesIO:
    colour = {1: 0, 3: 2, 2: 4, 4: 6}[channels]
    alpha = [0xFFFF] if channels in (2, 4) else []
    samples = [[value] * (channels - len(alpha)) + alpha for value in SIXTEEN_BITS]
    rows = b"\0" + b"".join(struct.pack(f">{channels}H", *each) for each in samples)
    return png(len(SIXTEEN_BITS), 1, depth=16, colour=colour, rows=rows, extra=extra)


def icc_profile(name: str, primaries, *, gamma: float) -> bytes:
    """A matrix profile (ICC.1:2001-04) of these D50 primaries, with one gamma."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = name.encode() + b"\0"
    d50 = 0.9642, 1.0, 0.8249
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(*d50),
        **{
            key: b"XYZ " + bytes(4) + fixed(*primary)
            for key, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for key, data in tags.items():
        table += key + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kinds = struct.pack(">4sI4s4s4s", b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header = struct.pack(">I", start + len(body)) + kinds + bytes(12) + b"acsp" + bytes(28)
    return (header + fixed(*d50)).ljust(128, b"\0") + table + body


def by_littlecms(image: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, source, srgb, outputMode="RGB"))


# --- identity and PNG -----------------------------------------------------------------------------

any_pixels = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)), fill=st.nothing()
)


@settings(max_examples=50)
@given(pixels=any_pixels)
def test_a_png_that_we_write_holds_exactly_the_pixels(pixels):
    assert np.array_equal(read_png(write_png(pixels)), pixels)
    assert np.array_equal(read(io.BytesIO(write_png(pixels))), pixels)


def test_a_png_that_we_write_carries_nothing_but_pixels():
    content = write_png(factories.pixels())
    kinds, at = set(), 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kinds.add(content[at + 4 : at + 8])
        at += 12 + length
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


@settings(max_examples=30)
@given(pixels=any_pixels)
def test_a_pictures_identity_is_the_sha256_of_its_pixels_row_by_row(pixels):
    expected = hashlib.sha256(bytes(int(sample) for sample in pixels.ravel())).hexdigest()
    assert identify(pixels) == expected
    # A view with other strides is the same picture.
    assert identify(np.asfortranarray(pixels)) == expected


def test_a_plain_8_bit_picture_is_taken_as_it_is():
    pixels = factories.pixels()
    picture = read_picture(file_of(Image.fromarray(pixels)))
    assert np.array_equal(picture.pixels, pixels)
    assert picture.conversions == []


# --- 1. orientation -------------------------------------------------------------------------------

# What each EXIF orientation (CIPA DC-008, tag 274) asks to be done to the stored pixels.
TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_exif_orientation_is_applied(orientation, file_format):
    stored = factories.pixels(7, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(file_of(Image.fromarray(stored), file_format, exif=exif))
    assert np.array_equal(picture.pixels, TURNS[orientation](stored))
    applied = "EXIF orientation applied" in picture.conversions
    assert applied == (orientation != 1)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF"])
def test_a_photograph_taken_upright_is_upright_in_every_format(file_format):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(factories.pixels(64, 32))
    assert read(file_of(stored, file_format, exif=exif)).shape == (64, 32, 3)


@pytest.mark.parametrize("nonsense", [0, 9, 1000])
def test_an_orientation_that_means_nothing_changes_nothing(nonsense):
    stored = factories.pixels(7, 4)
    exif = Image.Exif()
    exif[0x0112] = nonsense
    picture = read_picture(file_of(Image.fromarray(stored), exif=exif))
    assert np.array_equal(picture.pixels, stored)
    assert picture.conversions == []


# --- 2. depth -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_of_16_bit_samples_in_png_the_high_byte_is_kept(channels):
    assert read(sixteen_bit_png(channels))[0].tolist() == [[byte] * 3 for byte in HIGH_BYTES]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_of_16_bit_samples_in_tiff_the_high_byte_is_kept(channels, byteorder):
    samples = np.array([SIXTEEN_BITS], dtype=f"{byteorder}u2")
    if channels == 3:
        samples = np.stack([samples] * 3, axis=-1)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, byteorder=byteorder)
    assert read(file)[0].tolist() == [[byte] * 3 for byte in HIGH_BYTES]


def test_8_bits_stored_in_16_come_back_exactly():
    levels = np.arange(256, dtype=np.uint16)[None] * 257
    file = io.BytesIO()
    tifffile.imwrite(file, levels)
    assert np.array_equal(read(file)[0, :, 0], np.arange(256))


def test_the_colour_that_stands_for_alpha_works_in_16_bit_grey():
    transparent = chunk(b"tRNS", struct.pack(">H", 0x7FFF))
    expected = [0, 0, 1, BACKDROP, 128, 255]
    assert read(sixteen_bit_png(1, extra=transparent))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.uint32, np.int16])
def test_floats_and_deeper_or_signed_samples_are_refused(kind):
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[0, 1, 200]], dtype=kind))
    with pytest.raises(UnreadablePicture, match="neither 8 nor 16 bits"):
        read_picture(file)


def test_bits_become_black_and_white():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 255)
    assert read(file_of(image))[0].tolist() == [[0] * 3, [255] * 3]


# --- 3. palette and grey --------------------------------------------------------------------------


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


def test_a_palette_is_looked_up():
    picture = read_picture(file_of(palette_image()))
    assert picture.pixels[0].tolist() == [[10, 20, 30], [200, 100, 50], [0, 0, 255]]
    assert picture.conversions == ["palette looked up"]


@pytest.mark.parametrize(
    ("transparency", "middle"), [(1, [128] * 3), (bytes([255, 128, 255]), [164, 114, 89])]
)
def test_a_palette_with_transparency_is_looked_up_and_composited(transparency, middle):
    # 128 of 255 opaque: 128 + (200 - 128) * 128 / 255 = 164 and so on.
    pixels = read(file_of(palette_image(), transparency=transparency))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert np.abs(pixels[0, 1].astype(int) - middle).max() <= 1  # Pillow blends in whole numbers
    assert pixels[0, 2].tolist() == [0, 0, 255]


def test_grey_becomes_three_equal_channels():
    levels = np.arange(256, dtype=np.uint8)[None]
    picture = read_picture(file_of(Image.fromarray(levels)))
    assert np.array_equal(picture.pixels, np.repeat(levels[..., None], 3, axis=-1))
    assert picture.conversions == ["grey to RGB"]


# --- 4. colour ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_a_wide_gamut_profile_changes_pixels_as_littlecms_does(file_format):
    pixels = factories.pixels()
    profile = icc_profile("Display P3", P3_PRIMARIES, gamma=2.2)
    picture = read_picture(file_of(Image.fromarray(pixels), file_format, icc_profile=profile))
    assert np.array_equal(picture.pixels, by_littlecms(Image.fromarray(pixels), profile))
    assert not np.array_equal(picture.pixels, pixels)
    assert picture.conversions == ["profile “Display P3” converted to sRGB"]


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF"])
def test_a_profile_is_read_from_every_format(file_format):
    profile = icc_profile("Display P3", P3_PRIMARIES, gamma=2.2)
    image = Image.new("RGB", (64, 64), (200, 60, 60))
    plain = read(file_of(image, file_format, quality=90))
    converted = read(file_of(image, file_format, quality=90, icc_profile=profile))
    # P3's red is deeper than sRGB's: the same numbers mean more red and less green.
    assert converted[32, 32, 0] > plain[32, 32, 0] + 5
    assert converted[32, 32, 1] < plain[32, 32, 1] - 5


def test_srgbs_own_profile_changes_no_pixel():
    pixels = factories.pixels()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(file_of(Image.fromarray(pixels), icc_profile=profile))
    assert np.array_equal(picture.pixels, pixels)
    assert picture.conversions == []


def test_a_profile_is_judged_by_what_it_does_not_by_srgb_in_its_name():
    pixels = factories.pixels()
    profile = icc_profile("linear sRGB", SRGB_PRIMARIES, gamma=1.0)
    picture = read_picture(file_of(Image.fromarray(pixels), icc_profile=profile))
    assert picture.pixels.mean() > pixels.mean() + 20, "light values are coded brighter"
    assert picture.conversions == ["profile “linear sRGB” converted to sRGB"]


def test_grey_with_a_profile_made_for_colour_is_taken_as_colour():
    levels = np.arange(256, dtype=np.uint8)[None]
    as_colour = Image.fromarray(levels).convert("RGB")
    for gamma in (1.0, 2.2):
        profile = icc_profile("Display P3", P3_PRIMARIES, gamma=gamma)
        pixels = read(file_of(Image.fromarray(levels), icc_profile=profile))
        assert np.array_equal(pixels, by_littlecms(as_colour, profile))


def test_a_profile_and_alpha_go_together():
    pixels = factories.pixels()
    profile = icc_profile("Display P3", P3_PRIMARIES, gamma=2.2)
    image = Image.fromarray(pixels)
    expected = by_littlecms(image, profile).copy()
    expected[:, :10] = BACKDROP
    image.putalpha(
        Image.fromarray(np.where(np.arange(48) < 10, 0, 255).astype(np.uint8)[None]).resize(
            image.size, Image.Resampling.NEAREST
        )
    )
    assert np.array_equal(read(file_of(image, icc_profile=profile)), expected)


def test_a_damaged_profile_is_refused_not_ignored():
    profile = icc_profile("Display P3", P3_PRIMARIES, gamma=2.2)[:200]
    with pytest.raises(UnreadablePicture, match="colour profile"):
        read_picture(file_of(Image.new("RGB", (4, 4)), icc_profile=profile))


def test_cmyk_without_a_profile_is_converted_by_pillows_plain_formula():
    image = Image.new("CMYK", (32, 32), (0, 128, 255, 51))
    picture = read_picture(file_of(image, "JPEG", quality=100))
    expected = np.asarray(image.convert("RGB"))[0, 0]
    assert np.abs(picture.pixels[5, 5].astype(int) - expected).max() <= 2  # JPEG is lossy
    assert picture.conversions == ["CMYK to RGB"]


# --- 5. alpha -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_composited_onto_mid_grey(mode):
    colours = {
        "LA": [(255, 0), (255, 255), (0, 128)],
        "RGBA": [(255,) * 3 + (0,), (255,) * 4, (0, 0, 0, 128)],
    }[mode]
    image = Image.new(mode, (3, 1))
    image.putdata(colours)
    hidden, opaque, half = read(file_of(image))[0, :, 0].tolist()
    assert (hidden, opaque) == (BACKDROP, 255)
    assert abs(half - BACKDROP * (1 - 128 / 255)) <= 1


def test_what_hides_behind_full_transparency_does_not_tell_pictures_apart():
    black, white = (Image.new("RGBA", (4, 4), (level,) * 3 + (0,)) for level in (0, 255))
    assert identify(read(file_of(black))) == identify(read(file_of(white)))


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF", "TIFF"])
def test_alpha_is_composited_in_every_format_that_has_it(file_format):
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    pixels = read(file_of(image, file_format, **options)).astype(int)
    assert np.abs(pixels - BACKDROP).max() <= 1


def test_one_colour_that_stands_for_alpha_is_composited():
    image = Image.fromarray(np.array([[0, 100, 200]], dtype=np.uint8))
    assert read(file_of(image, transparency=100))[0, :, 0].tolist() == [0, BACKDROP, 200]
    colour = Image.new("RGB", (2, 1), (1, 2, 3))
    colour.putpixel((1, 0), (9, 9, 9))
    assert read(file_of(colour, transparency=(9, 9, 9)))[0].tolist() == [[1, 2, 3], [BACKDROP] * 3]


# --- 6. frames ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_of_several_frames_the_first_counts(file_format):
    frames = [Image.new("RGB", (32, 32), (level, level, level)) for level in (200, 10, 90)]
    file = file_of(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert abs(int(read(file)[16, 16, 1]) - 200) <= 3  # WebP and AVIF are lossy


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", pictures.FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused(file_format, share):
    noise = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    content = file_of(Image.fromarray(noise), file_format).getvalue()
    with pytest.raises(UnreadablePicture):
        read_picture(io.BytesIO(content[: int(share * len(content))]))


@settings(max_examples=100)
@given(data=st.data(), file_format=st.sampled_from(pictures.FORMATS))
def test_a_damaged_file_gives_a_picture_or_a_reason_and_no_other_error(data, file_format):
    content = bytearray(file_of(Image.fromarray(factories.pixels()), file_format).getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = read_picture(io.BytesIO(bytes(content)))
    except UnreadablePicture as reason:
        assert str(reason)  # noqa: PT017  (a picture would be right, too)
    else:
        assert picture.pixels.dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_picture_is_refused_with_the_formats_that_there_are(content):
    with pytest.raises(UnreadablePicture, match="no picture in PNG, JPEG, WEBP, TIFF, AVIF format"):
        read_picture(io.BytesIO(content))


@pytest.mark.parametrize("file_format", ["GIF", "BMP"])
def test_a_picture_of_another_format_is_refused_whatever_its_name(file_format, tmp_path):
    path = tmp_path / "really.png"
    path.write_bytes(file_of(Image.new("RGB", (4, 4)), file_format).getvalue())
    with pytest.raises(UnreadablePicture, match="no picture in"):
        read_picture(path)


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_more_than_100_megapixels_are_refused_by_the_header_without_decoding(side):
    # The header promises them, and there are none: decoding would say that the file is damaged.
    file = png(side, 10_000 if side < 50_000 else side, depth=8, colour=2, rows=b"")
    with pytest.raises(UnreadablePicture, match="over 100 megapixels"):
        read_picture(file)


def test_exactly_100_megapixels_are_not_too_large():
    with pytest.raises(UnreadablePicture, match="cannot be decoded"):
        read_picture(png(10_000, 10_000, depth=8, colour=2, rows=b""))


def test_a_file_that_is_not_there_or_a_folder_is_a_reason_too(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(UnreadablePicture, match="cannot be opened"):
            read_picture(path)


@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 2**32))
def test_a_lossless_webp_holds_exactly_the_pixels(width, height, seed):
    picture = factories.pixels(width, height, seed=seed)
    with Image.open(io.BytesIO(write_webp(picture))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), picture)


def test_a_picture_that_is_too_large_for_webp_has_none():
    assert write_webp(np.zeros((1, 16384, 3), np.uint8)) is None
