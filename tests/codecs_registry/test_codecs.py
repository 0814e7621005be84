"""Every codec keeps the promises of the protocol, with its real library."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from codecs_registry import codecs
from codecs_registry.codecs.avif import Avif
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
from codecs_registry.codecs.jpeg import Jpeg, quantisation_tables
from codecs_registry.codecs.jpeg2000 import Jpeg2000
from codecs_registry.codecs.webp import WebP

OURS: list[Codec] = [Avif(), Jpeg(), Jpeg2000(), WebP()]
every_codec = pytest.mark.parametrize("codec", OURS, ids=lambda codec: codec.name)

MAGIC = {
    "avif": (4, b"ftypavif"),
    "jpeg": (0, b"\xff\xd8\xff"),
    "jpeg2000": (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    "webp": (8, b"WEBPVP8 "),
}


def picture(height: int = 96, width: int = 128) -> Pixels:
    """A smooth gradient, a few edges and some texture, the same every time."""
    y, x = np.mgrid[0:height, 0:width]
    texture = np.random.default_rng(7).normal(0, 6, (height, width, 1))
    edges = 40.0 * ((x // 24 + y // 24) % 2)[..., None]
    smooth = np.stack([60 + 100 * x / width, 60 + 100 * y / height, 150 - 90 * x / width], axis=-1)
    return np.clip(np.rint(smooth + edges + texture), 0, 255).astype(np.uint8)


def along(knob: Knob, share: float) -> float:
    """The setting at a share of the knob's scale, 0 making the smallest files, 1 the largest."""
    first, last = knob.position(knob.low), knob.position(knob.high)
    return knob.setting(first + (last - first) * (share if knob.rises else 1 - share))


def psnr_db(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all channels, peak 255."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@every_codec
def test_our_codecs_can_be_used_here_and_name_their_library(codec: Codec) -> None:
    assert codec.unavailable() == ""
    assert isinstance(codec, Codec)
    assert "Pillow" in codec.version()
    assert any(character.isdigit() for character in codec.version())


@every_codec
def test_the_bitstream_is_a_whole_file_of_its_format(codec: Codec) -> None:
    at, magic = MAGIC[codec.name]
    assert codec.encode(picture(), along(codec.knob, 0.5))[at:].startswith(magic)


@every_codec
def test_at_a_high_rate_the_decoded_picture_is_the_picture(codec: Codec) -> None:
    source = picture()
    decoded = codec.decode(codec.encode(source, along(codec.knob, 0.9)))
    check_pixels(decoded)
    assert decoded.shape == source.shape
    # Halved chroma costs the edges most; swapped channels or a shifted range end below 20 dB.
    assert psnr_db(source, decoded) > 30
    assert np.abs(decoded.mean((0, 1)) - source.mean((0, 1))).max() < 1


@every_codec
@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_images_of_any_size_come_back_in_that_size(
    codec: Codec, height: int, width: int, share: float, seed: int
) -> None:
    source = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    decoded = codec.decode(codec.encode(source, along(codec.knob, share)))
    assert decoded.shape == source.shape
    assert decoded.dtype == np.uint8


@every_codec
@pytest.mark.parametrize("shape", [(1, 1), (1, 301), (301, 1), (2, 2), (33, 17)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_lines_and_single_pixels_are_images_too(
    codec: Codec, shape: tuple[int, int], share: float
) -> None:
    source = picture(*shape)
    assert codec.decode(codec.encode(source, along(codec.knob, share))).shape == source.shape


@every_codec
def test_noise_at_the_highest_rate_is_not_too_much(codec: Codec) -> None:
    # Pillow guesses the size of libjpeg's buffer, and noise is what makes the largest files.
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert codec.decode(codec.encode(noise, along(codec.knob, 1.0))).shape == noise.shape


@every_codec
def test_the_same_pixels_and_setting_give_the_same_bytes_also_from_several_threads(
    codec: Codec,
) -> None:
    source = picture()
    chosen = [along(codec.knob, share) for share in (0.3, 0.4, 0.5, 0.6)] * 3
    alone = [codec.encode(source, setting) for setting in chosen]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda setting: codec.encode(source, setting), chosen))
    assert alone == together


@every_codec
def test_encoding_leaves_the_source_as_it_was(codec: Codec) -> None:
    source = picture()
    source.setflags(write=False)
    codec.encode(source, along(codec.knob, 0.5))
    assert np.array_equal(source, picture())


@every_codec
def test_files_grow_along_the_knob(codec: Codec) -> None:
    source = picture()
    sizes = [len(codec.encode(source, along(codec.knob, n / 8))) for n in range(9)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * sizes[0]


@every_codec
def test_typical_settings_make_files_of_ordinary_bit_rates(codec: Codec) -> None:
    assert codec.knob.typical is not None
    source = picture(256, 384)
    sizes = [len(codec.encode(source, setting)) for setting in sorted(codec.knob.typical)]
    bpps = sorted(8 * size / (256 * 384) for size in sizes)
    # Within a factor of four of 0.2 and 1 bpp, for this picture is no photograph.
    assert 0.05 < bpps[0] < 0.8
    assert 0.25 < bpps[1] < 4


@every_codec
def test_no_profile_and_no_metadata_get_into_the_file(codec: Codec) -> None:
    bitstream = codec.encode(picture(), along(codec.knob, 0.6))
    with Image.open(io.BytesIO(bitstream)) as image:
        assert not image.getexif()
        assert not {"icc_profile", "exif", "xmp", "photoshop"} & set(image.info)
    assert not any(mark in bitstream for mark in (b"Exif", b"ICC_PROFILE", b"prof", b"<x:xmpmeta"))


@every_codec
def test_no_two_settings_of_the_knob_are_recorded_alike(codec: Codec) -> None:
    chosen = [along(codec.knob, n / 20) for n in range(21)]
    assert len({str(codec.settings(setting)) for setting in chosen}) == len(chosen)


@every_codec
def test_a_codec_whose_library_is_missing_says_how_to_get_it(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert f"without {codec.label}" in codec.unavailable()
    assert "pip install" in codec.unavailable()


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


@pytest.mark.parametrize(("codec", "limit"), [(Jpeg(), 65500), (WebP(), 16383), (Avif(), 32768)])
def test_an_image_beyond_the_formats_limit_is_refused_with_the_limit(
    codec: Codec, limit: int
) -> None:
    line = np.zeros((1, limit + 1, 3), np.uint8)
    with pytest.raises(EncodeFailed, match=f"at most {limit} pixels a side"):
        codec.encode(line, along(codec.knob, 0.5))


@pytest.mark.parametrize(("codec", "limit"), [(Jpeg(), 65500), (WebP(), 16383), (Avif(), 32768)])
def test_an_image_at_the_formats_limit_is_not(codec: Codec, limit: int) -> None:
    line = np.zeros((1, limit, 3), np.uint8)
    assert codec.decode(codec.encode(line, along(codec.knob, 0.5))).shape == line.shape


@every_codec
def test_a_broken_or_foreign_file_is_refused(codec: Codec) -> None:
    bitstream = codec.encode(picture(), along(codec.knob, 0.5))
    foreign = saved(picture(), "PNG")
    for broken in (
        b"",
        b"not a picture",
        bitstream[:20],
        bitstream[: len(bitstream) // 2],
        foreign,
    ):
        with pytest.raises(DecodeFailed, match=codec.label):
            codec.decode(broken)


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


@every_codec
def test_settings_outside_the_knobs_range_are_refused(codec: Codec) -> None:
    for setting in (codec.knob.low - 1, codec.knob.high + 1, float("nan")):
        with pytest.raises(ValueError, match="is not between"):
            codec.encode(picture(), setting)


def test_a_whole_number_knob_has_no_halves() -> None:
    with pytest.raises(ValueError, match="not a whole number"):
        Avif().encode(picture(), 10.5)


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


@pytest.mark.parametrize("typical", [(0.0, 11.0), (0.5, 2.0)])
def test_a_knobs_typical_settings_are_settings_that_it_has(typical: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="setting"):
        Knob(low=0, high=10, integer=True, typical=typical)


# Finding codecs.


@pytest.fixture
def fresh_lookup() -> Iterator[None]:
    codecs._installed.cache_clear()
    yield
    codecs._installed.cache_clear()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=codecs.GROUP)


def declared() -> list[EntryPoint]:
    """The entry points as pyproject.toml declares them, installed or not."""
    text = (Path(codecs.__file__).parents[2] / "pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"][codecs.GROUP]
    return [entry(name, value) for name, value in points.items()]


def test_all_our_codecs_are_declared_under_their_own_names() -> None:
    found = codecs.load_codecs(declared())
    assert {codec.name for codec in OURS} <= set(found)
    assert not [c for c in found.values() if isinstance(c, codecs.BrokenCodec)]
    assert all(name == codec.name for name, codec in found.items())


def test_installed_codecs_are_found_in_the_order_of_their_names(fresh_lookup: None) -> None:
    found = codecs.all_codecs()
    assert {codec.name for codec in OURS} <= set(found)
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
