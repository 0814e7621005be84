"""Every codec keeps the promises of the protocol, with its real library."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, features
from skimage import data

from codecs_registry import codecs
from codecs_registry.codecs import avif_svt, vvc
from codecs_registry.codecs.avif import Avif
from codecs_registry.codecs.avif_svt import AvifSvt
from codecs_registry.codecs.base import (
    Codec,
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
    UnknownCodec,
    check_pixels,
)
from codecs_registry.codecs.frames import packet_of
from codecs_registry.codecs.jpeg import Jpeg, quantisation_tables
from codecs_registry.codecs.jpeg2000 import Jpeg2000
from codecs_registry.codecs.jpegli import Jpegli
from codecs_registry.codecs.jpegxl import JpegXl
from codecs_registry.codecs.mozjpeg import MozJpeg
from codecs_registry.codecs.vvc import Vvc
from codecs_registry.codecs.webp import WebP
from codecs_registry.pictures import read_picture
from tests.codecs_registry.test_pictures import P3_PRIMARIES, icc_profile

ROOT = Path(codecs.__file__).parents[2]


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=codecs.GROUP)


def declared() -> list[EntryPoint]:
    """The entry points as pyproject.toml declares them, installed or not."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    return [entry(name, value) for name, value in points[codecs.GROUP].items()]


OURS = {
    name: codec
    for name, codec in codecs.load_codecs(declared()).items()
    if name in {point.name for point in declared()}
}
AVAILABLE = [codec for codec in OURS.values() if not codec.unavailable()]
every_codec = pytest.mark.parametrize("codec", AVAILABLE, ids=lambda codec: codec.name)

MAGIC = {
    "avif": (4, b"ftypavif"),
    "avif-svt": (4, b"ftypavif"),
    "bpg-x265": (0, b"BPG\xfb"),
    "closer": (0, b"CLO\x01"),
    "heic": (4, b"ftyphei"),
    "jpeg": (0, b"\xff\xd8\xff"),
    "jpeg2000": (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    "jpegli": (0, b"\xff\xd8\xff"),
    "jpegxl": (0, b"\xff\x0a"),
    "mozjpeg": (0, b"\xff\xd8\xff"),
    "vvc": (0, b"\x00\x00\x00\x01"),
    "webp": (8, b"WEBPVP8 "),
}
"""Those that are installed with Closer, and how their files begin."""
by_pillow = pytest.mark.parametrize(
    "codec", [OURS[name] for name in ("avif", "jpeg", "jpeg2000", "webp")], ids=lambda c: c.name
)


def picture(height: int = 96, width: int = 128) -> Pixels:
    """A smooth gradient, a few edges and some texture, the same every time."""
    y, x = np.mgrid[0:height, 0:width]
    texture = np.random.default_rng(7).normal(0, 6, (height, width, 1))
    edges = 40.0 * ((x // 24 + y // 24) % 2)[..., None]
    smooth = np.stack([60 + 100 * x / width, 60 + 100 * y / height, 150 - 90 * x / width], axis=-1)
    return np.clip(np.rint(smooth + edges + texture), 0, 255).astype(np.uint8)


@functools.cache
def photograph() -> Pixels:
    """A face and what is around it, 256 x 256."""
    return np.ascontiguousarray(data.astronaut()[:256, 100:356])


def along(knob: Knob, share: float) -> float:
    """The setting at a share of the knob's scale, 0 making the smallest files, 1 the largest."""
    first, last = sorted((knob.position(knob.low), knob.position(knob.high)))
    return knob.setting(first + (last - first) * share)


def psnr_db(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all channels, peak 255."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_all_that_is_installed_with_closer_can_be_used_here() -> None:
    assert not {name: OURS[name].unavailable() for name in MAGIC if OURS[name].unavailable()}


@every_codec
def test_a_codec_names_its_libraries_with_their_versions(codec: Codec) -> None:
    assert isinstance(codec, Codec)
    assert "unknown version" not in codec.version()
    assert any(character.isdigit() for character in codec.version())
    assert codec.extension.startswith(".")
    assert codec.memory_per_pixel > 3


@every_codec
def test_the_bitstream_is_a_whole_file_of_its_format(codec: Codec) -> None:
    at, magic = MAGIC.get(codec.name, (0, b""))
    assert codec.encode(picture(), along(codec.knob, 0.5))[at:].startswith(magic)


# What comes back.


@every_codec
def test_at_a_high_rate_the_decoded_picture_is_the_picture(codec: Codec) -> None:
    source = picture()
    decoded = codec.decode(codec.encode(source, along(codec.knob, 0.9)))
    check_pixels(decoded)
    assert decoded.shape == source.shape
    # Halved chroma costs the edges most; swapped channels or a shifted range end below 20 dB.
    assert psnr_db(source, decoded) > 30
    assert np.abs(decoded.mean((0, 1)) - source.mean((0, 1))).max() < 1


COLOURS = [
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 140, 110),
    (0, 0, 0), (16, 16, 16), (128, 128, 128), (235, 235, 235), (255, 255, 255),
]  # fmt: skip


@every_codec
def test_flat_colours_come_back_as_they_were_from_every_codec(codec: Codec) -> None:
    patches = np.repeat(np.repeat(np.array([COLOURS], np.uint8), 32, axis=1), 32, axis=0)
    decoded = codec.decode(codec.encode(patches, along(codec.knob, 1.0)))
    for n, colour in enumerate(COLOURS):
        middle = decoded[8:-8, 32 * n + 8 : 32 * n + 24].astype(int)
        assert np.abs(middle - colour).max() <= 3, colour
        assert np.abs(middle.mean((0, 1)) - colour).max() <= 2, colour


def _grey(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).convert("L")


def _with_alpha(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(pixels[..., 0]))
    return image


def _sixteen_bits(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 1].astype(np.uint16) * 257)


KINDS = {
    "plain": lambda pixels: (Image.fromarray(pixels), "PNG", {}),
    "grey": lambda pixels: (_grey(pixels), "PNG", {}),
    "two levels": lambda pixels: (_grey(pixels).convert("1", dither=0), "PNG", {}),
    "palette": lambda pixels: (Image.fromarray(pixels).quantize(16, dither=0), "PNG", {}),
    "alpha": lambda pixels: (_with_alpha(pixels), "PNG", {}),
    "16 bits": lambda pixels: (_sixteen_bits(pixels), "PNG", {}),
    "CMYK": lambda pixels: (Image.fromarray(pixels).convert("CMYK"), "TIFF", {}),
    "wide gamut": lambda pixels: (
        Image.fromarray(pixels),
        "PNG",
        {"icc_profile": icc_profile("P3", P3_PRIMARIES, gamma=2.2)},
    ),
    "turned": lambda pixels: (Image.fromarray(pixels), "PNG", {"exif": _turned_by_exif()}),
}


def _turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif.tobytes()


@every_codec
@settings(max_examples=12)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.sampled_from([0.3, 1.0]),
)
def test_every_kind_of_picture_comes_back_in_its_size_and_colours(
    codec: Codec, kind: str, height: int, width: int, share: float
) -> None:
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([40 + 4 * x, 50 + 4 * y, 200 - 2 * x - 2 * y], axis=-1).astype(np.uint8)
    image, file_format, options = KINDS[kind](smooth)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    source = read_picture(io.BytesIO(file.getvalue())).pixels
    decoded = codec.decode(codec.encode(source, along(codec.knob, share)))
    check_pixels(decoded)
    assert decoded.shape == source.shape
    if share == 1.0 and kind not in ("two levels", "palette"):  # edges cost halved chroma dearly
        # AVIF's 8-bit planes move the blue of single pixels by 3 levels, larger areas by less.
        assert np.abs(decoded.astype(float) - source).mean() < 2.5
        assert np.abs(decoded.mean((0, 1)) - source.mean((0, 1))).max() < 4


@every_codec
@settings(max_examples=10)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_noise_of_any_size_comes_back_in_that_size(
    codec: Codec, height: int, width: int, share: float, seed: int
) -> None:
    source = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    decoded = codec.decode(codec.encode(source, along(codec.knob, share)))
    assert decoded.shape == source.shape
    assert decoded.dtype == np.uint8


@every_codec
@pytest.mark.parametrize("shape", [(1, 1), (1, 301), (301, 1), (2, 3), (33, 17), (64, 64)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_lines_and_single_pixels_are_images_too(
    codec: Codec, shape: tuple[int, int], share: float
) -> None:
    source = picture(*shape)
    assert codec.decode(codec.encode(source, along(codec.knob, share))).shape == source.shape


@every_codec
@pytest.mark.parametrize("shape", [(8192, 24), (24, 8192)])
def test_sides_of_8192_pixels_work(codec: Codec, shape: tuple[int, int]) -> None:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    source = np.stack([(x + y) // 33, 255 - (x + y) // 33, 128 + 0 * x], axis=-1).astype(np.uint8)
    decoded = codec.decode(codec.encode(source, along(codec.knob, 0.5)))
    assert decoded.shape == source.shape
    assert psnr_db(source, decoded) > 25


@every_codec
def test_noise_at_the_highest_rate_is_not_too_much(codec: Codec) -> None:
    # Pillow guesses the size of libjpeg's buffer, and noise is what makes the largest files.
    noise = np.random.default_rng(1).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    assert codec.decode(codec.encode(noise, along(codec.knob, 1.0))).shape == noise.shape


# The same again.


@every_codec
def test_the_same_pixels_and_setting_give_the_same_bytes_also_from_several_threads(
    codec: Codec,
) -> None:
    source = picture(72, 88)
    chosen = [along(codec.knob, share) for share in (0.3, 0.4, 0.5, 0.6)]
    alone = [codec.encode(source, setting) for setting in chosen]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda setting: codec.encode(source, setting), chosen * 3))
    assert together == alone * 3


IN_A_FRESH_PROCESS = """
import hashlib, json, sys
import numpy as np
from codecs_registry.codecs import get_codec
pixels = np.load(sys.argv[1])
for name, setting in json.loads(sys.argv[2]).items():
    print(name, hashlib.sha256(get_codec(name).encode(pixels, setting)).hexdigest())
"""


def in_a_fresh_process(script: str, *arguments: str) -> list[str]:
    """The words that a Python script prints."""
    command = [sys.executable, "-c", script, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_a_fresh_process_makes_the_same_bytes(tmp_path: Path) -> None:
    chosen = {codec.name: along(codec.knob, 0.5) for codec in AVAILABLE}
    np.save(tmp_path / "picture.npy", picture())
    words = in_a_fresh_process(
        IN_A_FRESH_PROCESS, str(tmp_path / "picture.npy"), json.dumps(chosen)
    )
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        name: hashlib.sha256(OURS[name].encode(picture(), setting)).hexdigest()
        for name, setting in chosen.items()
    }


@every_codec
def test_encoding_leaves_the_source_as_it_was(codec: Codec) -> None:
    source = picture()
    source.setflags(write=False)
    codec.encode(source, along(codec.knob, 0.5))
    assert np.array_equal(source, picture())


# The knob.


@functools.cache
def along_the_curve(name: str) -> list[tuple[float, float, float]]:
    """(the curve's bpp, a photograph's bpp, its PSNR) at every other point of a codec's curve."""
    codec, source = OURS[name], photograph()
    points = []
    for setting, bpp in sorted(codec.knob.curve, key=lambda point: point[1])[::2]:
        bitstream = codec.encode(source, setting)
        points.append((bpp, 8 * len(bitstream) / 256**2, psnr_db(source, codec.decode(bitstream))))
    return points


@every_codec
def test_along_its_curve_files_grow_and_pictures_get_better(codec: Codec) -> None:
    points = along_the_curve(codec.name)
    assert len(points) >= 4
    for at in (0, 1, 2):
        values = [point[at] for point in points]
        assert values == sorted(set(values))
    settings = [setting for setting, _ in sorted(codec.knob.curve, key=lambda point: point[1])]
    assert settings == sorted(settings, reverse=not codec.knob.rises)


@every_codec
def test_its_curve_is_about_what_a_photograph_gives(codec: Codec) -> None:
    points = along_the_curve(codec.name)
    assert points[0][0] < 0.4
    assert points[-1][0] > 1.5
    # Below, headers weigh in so small a picture.
    for expected, bpp, _ in (point for point in points if point[0] > 0.1):
        assert expected / 3 < bpp < expected * 3


@every_codec
def test_the_ends_of_the_knob_are_far_apart(codec: Codec) -> None:
    source = picture()
    smallest, largest = (len(codec.encode(source, along(codec.knob, end))) for end in (0, 1))
    assert largest > 4 * smallest


@every_codec
def test_settings_are_recorded_so_that_no_two_look_alike_and_json_can_hold_them(
    codec: Codec,
) -> None:
    recorded = [codec.settings(along(codec.knob, n / 20)) for n in range(21)]
    assert len({json.dumps(each) for each in recorded}) == len(recorded)
    for each in recorded:
        assert json.loads(json.dumps(each)) == each
        assert all(type(value) in (str, int, float, bool) for value in each.values())


@every_codec
def test_settings_outside_the_knobs_range_are_refused(codec: Codec) -> None:
    for setting in (codec.knob.low - 1, codec.knob.high + 1, float("nan")):
        with pytest.raises(ValueError, match="is not between"):
            codec.encode(picture(), setting)


@every_codec
def test_a_whole_number_knob_has_no_halves(codec: Codec) -> None:
    setting = along(codec.knob, 0.5) + 0.5
    if codec.knob.integer:
        with pytest.raises(ValueError, match="not a whole number"):
            codec.encode(picture(), setting)
    else:
        assert codec.encode(picture(), setting)


# What is refused.


@every_codec
def test_no_profile_and_no_metadata_get_into_the_file(codec: Codec) -> None:
    bitstream = codec.encode(picture(), along(codec.knob, 0.6))
    marks = (b"Exif", b"ICC_PROFILE", b"profICC", b"colrprof", b"colrrICC", b"<x:xmpmeta", b"8BIM")
    assert not any(mark in bitstream for mark in marks)
    if codec.extension in (".avif", ".jpg", ".jp2", ".webp"):
        with Image.open(io.BytesIO(bitstream)) as image:
            assert not image.getexif()
            assert not {"icc_profile", "exif", "xmp", "photoshop"} & set(image.info)


@functools.cache
def small_file(name: str) -> bytes:
    return OURS[name].encode(picture(), along(OURS[name].knob, 0.5))


@every_codec
@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.3, 0.5, 0.7])
def test_a_file_that_is_cut_short_is_refused(codec: Codec, share: float) -> None:
    bitstream = small_file(codec.name)
    with pytest.raises(DecodeFailed):
        codec.decode(bitstream[: round(len(bitstream) * share)])


@given(stream=st.binary(min_size=1, max_size=200))
def test_what_is_decoded_is_not_followed_by_whatever_lies_in_memory(stream: bytes) -> None:
    packet = packet_of(stream)
    assert bytes(packet) == stream
    assert ctypes.string_at(packet.buffer_ptr + packet.buffer_size, 64) == bytes(64)


@every_codec
@settings(max_examples=15)
@given(at=st.floats(0, 1))
def test_wherever_it_is_cut_nothing_else_happens(codec: Codec, at: float) -> None:
    bitstream = small_file(codec.name)
    try:
        decoded = codec.decode(bitstream[: int(len(bitstream) * at)])
    except DecodeFailed:
        return
    assert decoded.shape == picture().shape


@every_codec
def test_a_file_of_another_format_is_refused_by_the_label_of_this_one(codec: Codec) -> None:
    png = io.BytesIO()
    Image.fromarray(picture()).save(png, "PNG")
    others = [
        small_file(other.name)
        for other in AVAILABLE
        if MAGIC.get(other.name) != MAGIC.get(codec.name)
    ]
    for foreign in (b"", b"\0", b"not a picture", b"\0" * 64, png.getvalue(), *others):
        with pytest.raises(DecodeFailed):
            codec.decode(foreign)


@every_codec
@pytest.mark.parametrize(
    ("pixels", "complaint"),
    [
        (np.zeros((4, 4, 3)), "uint8"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 8, 3), np.uint8)[:, ::2], "contiguous"),
        ([[[0, 0, 0]]], "NumPy array"),
    ],
)
def test_anything_but_pixels_is_refused(codec: Codec, pixels: Pixels, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        codec.encode(pixels, along(codec.knob, 0.5))


LIMITS = [
    (Jpeg(), 65500),
    (Jpegli(), 65500),
    (MozJpeg(), 65500),
    (WebP(), 16383),
    (Avif(), 32768),
    (AvifSvt(), 8704),
    (Vvc(), 16384),
]
at_the_limits = pytest.mark.parametrize(("codec", "limit"), LIMITS)


@at_the_limits
def test_an_image_beyond_the_formats_limit_is_refused_with_the_limit(
    codec: Codec, limit: int
) -> None:
    line = np.zeros((1, limit + 1, 3), np.uint8)
    with pytest.raises(EncodeFailed, match=f"at most {limit} pixels a side"):
        codec.encode(line, along(codec.knob, 0.5))


@at_the_limits
def test_an_image_at_the_formats_limit_is_not(codec: Codec, limit: int) -> None:
    line = np.zeros((limit, 1, 3), np.uint8)
    assert codec.decode(codec.encode(line, along(codec.knob, 0.5))).shape == line.shape


@by_pillow
def test_a_codec_whose_library_is_missing_says_how_to_get_it(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert f"without {codec.label}" in codec.unavailable()
    assert "pip install" in codec.unavailable()


@pytest.mark.parametrize(
    ("name", "module"),
    [("jpegli", "pyjpegli"), ("mozjpeg", "pyvips"), ("jpegxl", "imagecodecs")],
)
def test_a_codec_whose_package_is_missing_says_how_to_get_it(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert module in OURS[name].unavailable()
    assert "pip install" in OURS[name].unavailable()


# One by one.


def saved(source: Pixels, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(source).save(file, file_format, **options)
    return file.getvalue()


def test_a_jpeg_can_be_made_again_from_its_settings() -> None:
    recorded = Jpeg().settings(1.7)
    assert recorded["tables"] == "ITU-T T.81 Annex K"
    again = saved(
        picture(),
        "JPEG",
        qtables=quantisation_tables(float(recorded["table_scale"])),
        subsampling=recorded["subsampling"],
        optimize=recorded["optimize"],
    )
    assert again == Jpeg().encode(picture(), 1.7)


@pytest.mark.parametrize(("scale", "quality"), [(1.0, 50), (0.5, 75), (0.2, 90), (2.0, 25)])
def test_jpeg_tables_are_libjpegs_where_its_quality_has_the_same_scale(
    scale: float, quality: int
) -> None:
    # The scale of jpeg_quality_scaling: 50 / quality below 50, else 2 - quality / 50.
    options = {"subsampling": "4:2:0", "optimize": True}
    assert Jpeg().encode(picture(), scale) == saved(picture(), "JPEG", quality=quality, **options)


@pytest.mark.parametrize("end", [Jpeg.knob.low, Jpeg.knob.high])
def test_jpeg_tables_cannot_go_beyond_the_ends_of_the_knob(end: float) -> None:
    (entry,) = {entry for table in quantisation_tables(end) for entry in table}
    assert entry in (1, 255)


def test_a_jpeg_2000_file_can_be_made_again_from_its_settings() -> None:
    recorded = Jpeg2000().settings(30.5)
    again = saved(
        picture(),
        "JPEG2000",
        quality_layers=[recorded["compression_ratio"]],
        irreversible=recorded["irreversible"],
        mct=recorded["mct"],
        progression=recorded["progression"],
    )
    assert again == Jpeg2000().encode(picture(), 30.5)


def test_a_webp_file_can_be_made_again_from_its_settings() -> None:
    recorded = WebP().settings(33.3)
    again = saved(picture(), "WEBP", quality=recorded["quality"], method=recorded["method"])
    assert again == WebP().encode(picture(), 33.3)


def test_an_avif_file_can_be_made_again_from_its_settings() -> None:
    recorded = Avif().settings(123)
    again = saved(
        picture(),
        "AVIF",
        codec=recorded["encoder"],
        speed=recorded["speed"],
        max_threads=recorded["max_threads"],
        subsampling=recorded["subsampling"],
        range=recorded["range"],
        quality=50,
        advanced={k: str(recorded[k]) for k in ("tune", "cq-level", "qm-max", "sharpness")},
    )
    assert again == Avif().encode(picture(), 123)


def test_a_rung_of_the_avif_ladder_is_what_libavifs_quality_makes() -> None:
    # Quality 45 is quantiser 40 in libavif 1.4; tune=iq is its default for still pictures.
    knob = Avif.knob
    (rung,) = (
        setting
        for setting in range(int(knob.low), int(knob.high) + 1)
        if {"cq-level": 40, "qm-max": 10, "sharpness": 7}.items()
        <= Avif().settings(setting).items()
    )
    plain = saved(picture(), "AVIF", quality=45, speed=6, max_threads=1)
    assert plain == Avif().encode(picture(), rung)


def test_a_jpegli_file_can_be_made_again_from_its_settings() -> None:
    import mozjpeg_lossless_optimization
    import pyjpegli

    recorded = Jpegli().settings(70)
    plain = pyjpegli.encode(picture(), 128, 96, quality=recorded["quality"])
    assert mozjpeg_lossless_optimization.optimize(plain) == Jpegli().encode(picture(), 70)


def _scans(jpeg: bytes) -> tuple[int, int, int]:
    """The kind of frame (T.81, table B.1), its luminance's sampling factors, how many scans."""
    kind, sampling, scans, at = 0, 0, 0, 2
    while jpeg[at + 1] != 0xD9:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4])
        if marker in (0xC0, 0xC1, 0xC2):
            kind, sampling = marker, jpeg[at + 11]
        at += 2 + length
        if marker == 0xDA:
            scans += 1
            while jpeg[at] != 0xFF or jpeg[at + 1] in (0, *range(0xD0, 0xD8)):
                at += 1
    return kind, sampling, scans


def test_jpeg_files_have_the_frames_and_sampling_that_are_recorded() -> None:
    for codec, setting in ((Jpeg(), 1.0), (Jpegli(), 70), (MozJpeg(), 70)):
        kind, sampling, scans = _scans(codec.encode(picture(), setting))
        assert codec.settings(setting)["subsampling"] == "4:2:0"
        assert sampling == 0x22
        assert (kind == 0xC2) == (scans > 1) == (codec.name != "jpeg")


def test_the_scans_of_a_jpegli_file_are_made_anew_and_none_of_its_pixels_change() -> None:
    import pyjpegli

    plain = pyjpegli.encode(picture(), 128, 96, quality=60)
    written_again = Jpegli().encode(picture(), 60)
    assert len(written_again) < len(plain)
    assert np.array_equal(Jpegli().decode(written_again), Jpegli().decode(plain))


def test_a_mozjpeg_file_can_be_made_again_from_its_settings() -> None:
    import pyvips

    recorded = MozJpeg().settings(70)
    assert recorded.pop("subsampling") == "4:2:0"
    image = pyvips.Image.new_from_array(picture())
    options = {"Q": recorded.pop("quality"), "subsample_mode": "on", "keep": "none"}
    again = image.jpegsave_buffer(**options, **recorded)
    assert again == MozJpeg().encode(picture(), 70)
    # libjpeg-turbo would pass over what only MozJPEG knows.
    assert image.jpegsave_buffer(**options, **recorded | {"trellis_quant": False}) != again


AFTER_A_FORK = """
import os
import numpy as np
from codecs_registry.codecs.base import EncodeFailed
from codecs_registry.codecs.mozjpeg import MozJpeg
grey = np.full((64, 64, 3), 128, np.uint8)
def in_a_child():
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        MozJpeg().encode(grey, 70)
    except EncodeFailed as error:
        os._exit(1 if "forked" in str(error) else 2)
    os._exit(0)
MozJpeg().version(), MozJpeg().unavailable()
before = in_a_child()
MozJpeg().encode(grey, 70)
print(before, in_a_child())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_forked_before_libvips_ran_can_encode_and_one_forked_later_says_why_not() -> None:
    assert in_a_fresh_process(AFTER_A_FORK) == ["0", "1"]


def test_a_jpeg_xl_file_can_be_made_again_from_its_settings() -> None:
    import imagecodecs

    recorded = JpegXl().settings(3.3)
    again = imagecodecs.jpegxl_encode(
        picture(),
        distance=recorded["distance"],
        effort=recorded["effort"],
        lossless=False,
        numthreads=recorded["threads"],
    )
    assert again == JpegXl().encode(picture(), 3.3)


def test_a_jpeg_xl_file_of_another_kind_is_refused() -> None:
    import imagecodecs

    for other in (picture()[..., 0].copy(), picture().astype(np.uint16)):
        with pytest.raises(DecodeFailed, match="three 8-bit channels"):
            JpegXl().decode(imagecodecs.jpegxl_encode(other))


def _av1_size(avif: bytes) -> tuple[int, int]:
    """Width and height as the AV1 sequence header of a still picture tells them (5.5.1)."""
    bits = int.from_bytes(avif[avif.index(b"mdat") + 6 :][:8])
    widths, heights = (bits >> 50 & 15) + 1, (bits >> 46 & 15) + 1
    width = bits >> (46 - widths) & ((1 << widths) - 1)
    height = bits >> (46 - widths - heights) & ((1 << heights) - 1)
    return width + 1, height + 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 70), (70, 3), (4, 4), (37, 70)])
def test_an_svt_avif_tells_the_true_size_inside_and_outside_of_its_av1_frame(
    shape: tuple[int, int],
) -> None:
    bitstream = AvifSvt().encode(picture(*shape), 250)
    ispe = bitstream[bitstream.index(b"ispe") + 8 :][:8]
    assert (int.from_bytes(ispe[4:]), int.from_bytes(ispe[:4])) == shape
    assert _av1_size(bitstream) == shape[::-1]


def test_an_svt_avif_is_tagged_as_full_range_srgb_in_bt601() -> None:
    bitstream = AvifSvt().encode(picture(), 250)
    assert bitstream[bitstream.index(b"nclx") + 4 :][:7] == bytes([0, 1, 0, 13, 0, 6, 0x80])


def test_threads_that_svt_av1_gives_real_time_priority_lose_it() -> None:
    def policy_afterwards() -> int:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        avif_svt._take_turns()
        return os.sched_getscheduler(0)

    if not hasattr(os, "sched_setscheduler"):
        pytest.skip("this system has no such priorities")
    with ThreadPoolExecutor(1) as thread:
        try:
            assert thread.submit(policy_afterwards).result() == os.SCHED_OTHER
        except PermissionError:
            pytest.skip("only root may have them")


def test_svt_and_libaom_make_pictures_of_about_the_same_quality_at_the_same_size() -> None:
    source = photograph()
    svt = AvifSvt().encode(source, 250)
    quality = psnr_db(source, AvifSvt().decode(svt))
    libaom = [Avif().encode(source, setting) for setting in (150, 180, 210, 240)]
    sizes = [len(each) for each in libaom]
    expected = np.interp(len(svt), sizes, [psnr_db(source, Avif().decode(b)) for b in libaom])
    assert sizes[0] < len(svt) < sizes[-1]
    assert abs(quality - expected) < 1


@pytest.mark.parametrize("shape", [(48, 64), (49, 65), (5, 8), (16, 1)])
def test_the_ffmpeg_that_encodes_vvc_decodes_the_planes_that_we_decode(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    bitstream = Vvc().encode(picture(*shape), 30)
    stream = tmp_path / "picture.266"
    stream.write_bytes(bitstream)
    command = [vvc._ffmpeg(), "-v", "error", "-i", str(stream), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    planes = vvc._decode(bitstream)
    assert raw == b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)
    assert planes[0].shape == tuple(side + side % 2 for side in shape)


def test_an_odd_side_of_a_vvc_picture_is_told_by_zeros_after_the_stream() -> None:
    files = {(h, w): Vvc().encode(picture(h, w), 40) for h in (30, 31) for w in (40, 41)}
    zeros = {shape: len(file) - len(file.rstrip(b"\0")) for shape, file in files.items()}
    assert zeros == {(30, 40): 0, (30, 41): 1, (31, 40): 2, (31, 41): 3}
    with pytest.raises(DecodeFailed):
        Vvc().decode(files[31, 41] + b"\0")


def test_between_two_quantisers_of_vvc_there_are_files_in_between() -> None:
    source = np.ascontiguousarray(photograph()[:128])
    sizes = [len(Vvc().encode(source, 33 + quarter / 4)) for quarter in range(9)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert max(a / b for a, b in pairwise(sizes)) < 1.07


def test_an_ffmpeg_that_cannot_encode_vvc_is_named_and_how_to_get_one_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", sys.executable)
    vvc._probe.cache_clear()
    try:
        assert sys.executable in Vvc().unavailable()
        assert "pip install imageio-ffmpeg" in Vvc().unavailable()
        assert "unknown version" in Vvc().version()
        with pytest.raises(EncodeFailed, match="vvenc"):
            Vvc().encode(picture(), 40)
    finally:
        vvc._probe.cache_clear()


def test_an_encode_of_vvc_that_takes_too_long_is_ended() -> None:
    arguments = vvc._arguments(4096, 4096, Vvc().settings(20), {})
    with pytest.raises(EncodeFailed, match="longer than"):
        vvc._run(arguments, bytes(4096 * 4096 * 3), seconds=0.05)


# Knobs.


@pytest.mark.parametrize("scale", ["linear", "log", "cbrt"])
def test_a_knobs_scale_leads_there_and_back(scale: str) -> None:
    knob = Knob(low=0.5, high=80, scale=scale)  # type: ignore[arg-type]
    for setting in (0.5, 1.0, 33.3, 80.0):
        assert knob.setting(knob.position(setting)) == pytest.approx(setting)
    assert knob.setting(-1e6) == 0.5
    assert knob.setting(1e6) == 80


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "scale": "log"},
        {"low": -1, "high": 1, "scale": "cbrt"},
        {"low": 0, "high": 1.5, "integer": True},
    ],
)
def test_a_knob_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="knob"):
        Knob(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("curve", "complaint"),
    [
        (((0, 0.1), (11, 1.0)), "setting"),
        (((0.5, 0.1), (2, 1.0)), "setting"),
        (((0, 0.1),), "two points"),
        (((0, 0.0), (5, 1.0)), "above 0"),
        (((0, 1.0), (5, 0.1)), "throughout"),
        (((0, 0.1), (5, 1.0), (8, 0.9)), "throughout"),
    ],
)
def test_a_knobs_curve_is_of_settings_that_it_has_and_rises_with_them(
    curve: tuple[tuple[float, float], ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Knob(low=0, high=10, integer=True, curve=curve)


# Finding codecs.


@pytest.fixture
def fresh_lookup() -> Iterator[None]:
    codecs._installed.cache_clear()
    yield
    codecs._installed.cache_clear()


def test_all_our_codecs_are_declared_under_their_own_names() -> None:
    found = codecs.load_codecs(declared())
    assert set(MAGIC) <= set(found)
    assert not [c for c in found.values() if isinstance(c, codecs.BrokenCodec)]
    assert all(name == codec.name for name, codec in found.items())


def test_installed_codecs_are_found_in_the_order_of_their_names(fresh_lookup: None) -> None:
    found = codecs.all_codecs()
    assert set(MAGIC) <= set(found)
    assert list(found) == sorted(found)
    found.clear()  # a caller's own copy
    assert codecs.get_codec("jpeg2000").label == "JPEG 2000"


def test_an_unknown_codec_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownCodec, match=r"'jpg'; known are .*avif.*jpeg.*webp"):
        codecs.get_codec("jpg")


def refuses_to_start() -> Codec:
    raise RuntimeError("no weights")


def takes_anothers_name() -> Codec:
    return Jpeg()


def makes_no_codec() -> int:
    return 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package_at_all:Codec", "ModuleNotFoundError"),
        ("codecs_registry.codecs.jpeg:NoSuchClass", "AttributeError"),
        (f"{__name__}:refuses_to_start", "no weights"),
        (f"{__name__}:takes_anothers_name", "calls itself 'jpeg'"),
        (f"{__name__}:makes_no_codec", "makes no codec"),
    ],
)
def test_a_broken_plug_in_is_listed_as_unavailable_and_leaves_the_others_alone(
    value: str, reason: str
) -> None:
    found = codecs.load_codecs([entry("broken", value), *declared()])
    assert reason in found["broken"].unavailable()
    assert found["jpeg"].unavailable() == ""
    with pytest.raises(CodecUnavailable, match=reason):
        found["broken"].encode(picture(), 0.5)


def test_a_plug_in_cannot_take_the_name_of_one_of_our_codecs() -> None:
    found = codecs.load_codecs([entry("jpeg", f"{__name__}:takes_anothers_name"), *declared()])
    assert type(found["jpeg"]) is Jpeg
    (other,) = (codec for codec in found.values() if isinstance(codec, codecs.BrokenCodec))
    assert "taken" in other.unavailable()


def test_a_package_that_lies_twice_on_the_path_gives_its_codecs_once() -> None:
    assert list(codecs.load_codecs([*declared(), *declared()])) == sorted(
        point.name for point in declared()
    )
