"""HEIC files are libheif's own, at quantisers in between too, and are decoded without loss."""

from __future__ import annotations

import functools
import io
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from codecs_registry.codecs.base import Codec, DecodeFailed, EncodeFailed, Pixels
from codecs_registry.codecs.heic import Heic


def picture(height: int = 96, width: int = 128) -> Pixels:
    """Part of a photograph, the same every time."""
    return np.ascontiguousarray(data.astronaut()[:height, 150 : 150 + width])


def psnr_db(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def by_libheif(bitstream: bytes) -> Pixels:
    return np.array(pillow_heif.open_heif(bitstream).to_pillow().convert("RGB"))


@functools.cache
def small_file() -> bytes:
    return Heic().encode(picture(70, 90), 35)


def test_it_can_be_used_here_and_names_its_libraries() -> None:
    codec = Heic()
    assert isinstance(codec, Codec)
    assert codec.unavailable() == ""
    assert codec.version().startswith("x265 ")
    assert "libheif" in codec.version()
    assert "pillow-heif" in codec.version()


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_at_whole_quantisers_the_file_is_libheifs_own(quality: int) -> None:
    source = picture()
    file = io.BytesIO()
    size = (source.shape[1], source.shape[0])
    pillow_heif.encode("RGB", size, source.tobytes(), file, quality=quality, chroma="420")
    ours = Heic().encode(source, (100 - quality) / 2 - 6 * math.log2(1.4))
    assert ours == file.getvalue()


def test_fractions_of_its_quantiser_make_files_in_between() -> None:
    source = picture(256, 256)
    sizes = [len(Heic().encode(source, 30 + quarter / 4)) for quarter in range(5)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 5
    assert max(a / b for a, b in pairwise(sizes)) < 1.06


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 33), (65, 63), (64, 64), (1, 8192), (5000, 9)]
)
def test_pictures_of_any_size_come_back_in_it(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    smooth = np.stack([x % 200, 40 + y % 160, 200 - x % 150], -1).astype(np.uint8)
    back = Heic().decode(Heic().encode(smooth, 12))
    assert back.shape == smooth.shape
    assert np.abs(back.astype(float) - smooth).mean() < 2


def test_libheif_reads_the_file_in_the_same_size_and_almost_the_same_colours() -> None:
    source = picture(95, 127)
    file = Heic().encode(source, 20)
    assert by_libheif(file).shape == source.shape
    assert psnr_db(by_libheif(file), Heic().decode(file)) > 35


def test_without_colour_the_picture_is_the_one_that_libheif_decodes() -> None:
    grey = np.repeat(picture()[..., 1:2], 3, axis=2)
    file = Heic().encode(grey, 25)
    assert np.array_equal(by_libheif(file), Heic().decode(file))


def test_halved_chroma_is_interpolated_and_not_repeated() -> None:
    source = picture(256, 256)
    file = Heic().encode(source, 10)
    assert psnr_db(source, Heic().decode(file)) > psnr_db(source, by_libheif(file)) + 0.5


def test_at_a_high_rate_the_picture_is_as_good_as_its_halved_chroma() -> None:
    source = picture()
    back = Heic().decode(Heic().encode(source, Heic().knob.low))
    assert psnr_db(source, back) > 38
    assert np.abs((back.astype(float) - source).mean((0, 1))).max() < 0.5


def test_black_white_and_grey_keep_their_levels() -> None:
    for level in (0, 128, 255):
        flat = np.full((64, 64, 3), level, np.uint8)
        assert np.array_equal(Heic().decode(Heic().encode(flat, 10)), flat)


def test_no_profile_and_no_metadata_enter_the_file() -> None:
    info = pillow_heif.open_heif(small_file()).info
    assert not info.get("icc_profile")
    assert not info.get("exif")
    assert not info.get("xmp")
    assert not info["metadata"]
    assert b"nclx" in small_file()
    assert len(small_file()) < 450 + 8 * 90 * 70 // 8  # the container's own bytes, and little else


def test_the_same_pixels_and_setting_give_the_same_bytes_also_beside_other_sizes() -> None:
    shapes = ((1, 1), (20, 40), (96, 128))
    jobs = [(shape, setting) for shape in shapes for setting in (25, 35.5)] * 3

    def encode(job: tuple[tuple[int, int], float]) -> bytes:
        return Heic().encode(picture(*job[0]), job[1])

    alone = [encode(job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(encode, jobs)) == alone


def test_what_it_encodes_with_is_recorded_and_belongs_to_the_setting() -> None:
    recorded = Heic().settings(30.25)
    assert recorded["x265:crf"] == 30.25
    assert {"encoder", "subsampling", "depth", "matrix", "range"} <= recorded.keys()
    for setting in (0, 51.5):
        with pytest.raises(ValueError, match="not between"):
            Heic().settings(setting)
        with pytest.raises(ValueError, match="not between"):
            Heic().encode(picture(), setting)


def test_a_picture_that_is_too_long_is_refused() -> None:
    with pytest.raises(EncodeFailed, match="at most"):
        Heic().encode(np.zeros((1, 16385, 3), np.uint8), 40)


def test_a_file_that_is_cut_short_anywhere_is_refused() -> None:
    file = small_file()
    for length in [*range(0, len(file), 5), len(file) - 1]:
        with pytest.raises(DecodeFailed):
            Heic().decode(file[:length])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
def test_a_damaged_file_gives_a_picture_or_decode_failed_and_nothing_else(
    changes: list[tuple[float, int]], cut: float
) -> None:
    file = bytearray(small_file())
    for at, value in changes:
        file[int(at * len(file))] = value
    try:
        pixels = Heic().decode(bytes(file[: round(cut * len(file))]))
    except DecodeFailed:
        return
    assert pixels.ndim == 3


def test_files_of_another_format_are_refused() -> None:
    png, avif = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture()).save(png, "PNG")
    Image.fromarray(picture()).save(avif, "AVIF")
    for file in (b"", b"ftypheic", png.getvalue(), avif.getvalue()):
        with pytest.raises(DecodeFailed, match="HEIC"):
            Heic().decode(file)


@pytest.mark.parametrize("options", [{"chroma": "444"}, {"full_range_flag": 0}, {"tile_size": 64}])
def test_heic_files_of_other_kinds_are_refused(options: dict[str, object]) -> None:
    source = picture()
    file = io.BytesIO()
    chosen = {"chroma": "420", **options}
    pillow_heif.encode("RGB", (128, 96), source.tobytes(), file, **chosen)
    with pytest.raises(DecodeFailed):
        Heic().decode(file.getvalue())
