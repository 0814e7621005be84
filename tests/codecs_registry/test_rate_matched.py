"""Rate-matched encodes of one picture: what is known of it beforehand, and what is kept."""

import math

import numpy as np
import pytest

from codecs_registry.codecs.base import CodecError
from codecs_registry.codecs.jpeg import Jpeg
from codecs_registry.codecs.jpeg2000 import Jpeg2000
from codecs_registry.codecs.webp import WebP
from codecs_registry.rate_matched import PROBES, Files, encode_to_rates, knob_at_hand
from tests import factories

TARGETS = (0.5, 1.0)


def busy(width: int = 128, height: int = 96, *, noise: float = 30):
    plain = factories.pixels(width, height).astype(float)
    plain += np.random.default_rng(5).normal(0, noise, plain.shape)
    return np.clip(plain, 0, 255).astype(np.uint8)


def test_a_busy_picture_is_expected_to_need_larger_files_than_an_ordinary_one():
    middle = 30.0
    ordinary = WebP().knob.position(middle)
    assert knob_at_hand(WebP(), busy()).position(middle) > ordinary
    flat = np.full((96, 128, 3), 90, np.uint8)
    assert knob_at_hand(WebP(), flat).position(middle) < ordinary


def test_a_picture_like_the_ordinary_photograph_moves_nothing(monkeypatch):
    sizes = {scale: round(bpp * 128 * 96 / 8) for scale, bpp in PROBES}
    monkeypatch.setattr(Jpeg, "encode", lambda self, pixels, scale: bytes(sizes[scale]))
    knob = WebP().knob
    moved = knob_at_hand(WebP(), busy())
    for setting, bpp in moved.curve:
        assert math.log(bpp) == pytest.approx(knob.position(setting), abs=0.02)


def test_a_knob_that_asks_for_a_rate_is_taken_at_its_word():
    assert knob_at_hand(Jpeg2000(), busy()) == Jpeg2000().knob


def test_the_search_reports_each_encode_and_keeps_each_file():
    told, files = [], Files()
    encoded = list(encode_to_rates(WebP(), busy(), TARGETS, files=files, progress=told.append))
    assert told == list(range(1, len(files.sizes()) + 1))
    assert {len(each.bitstream) for each in encoded} <= set(files.sizes().values())
    again: list[int] = []
    repeated = encode_to_rates(WebP(), busy(), TARGETS, files=files, progress=again.append)
    for before, after in zip(encoded, repeated, strict=True):
        assert abs(after.actual_bpp - after.target_bpp) <= abs(before.actual_bpp - after.target_bpp)
    assert len(again) <= len(TARGETS), "but for one more try each at what is met already"
    assert len(files.sizes()) == len(told) + len(again), "and nothing is made twice"


def test_a_codec_that_decodes_another_size_is_refused():
    class Cropping(WebP):
        def decode(self, bitstream):
            return super().decode(bitstream)[1:]

    with pytest.raises(CodecError, match="another size"):
        list(encode_to_rates(Cropping(), busy(), TARGETS))
