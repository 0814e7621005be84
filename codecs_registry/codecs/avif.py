"""AVIF (an AV1 key frame in a HEIF file) by libaom, its coarse quantiser made finer."""

from __future__ import annotations

from functools import cache

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import Knob, Pixels, Setting, check_setting
from codecs_registry.codecs.checks import failure

_SPEED = 6
_FREE = 10
"""The highest level of quantisation matrix that tune=iq uses: a limit that limits nothing."""
_LIMITED = {60: 4, 55: 5, 50: 6, 40: 7, 25: 8, 10: 9}
"""Quantisers at which tune=iq goes over to the next level, and the level before."""
_SHARPNESS = (3, 4, 5, 6, 7)


def _ladder() -> tuple[tuple[int, int, int], ...]:
    """(cq-level, limit of qm level, sharpness) in the order in which files grow.

    AV1's own ladder is coarse: each of libaom's 64 quantisers, to which libavif maps its qualities
    0 to 100, makes a file 3 % to 9 % larger than the one before, and 7 % to 16 % larger where
    tune=iq goes over to flatter quantisation matrices as well. So between two quantisers:

    - sharpness (a bias of libaom's rate-distortion decisions) goes from 3 up to the 7 of tune=iq,
      each step adding 0.5 % to 2.5 % on any picture, at about the PSNR that a quantiser of that
      size would give; below 3, PSNR falls faster than size;
    - where the matrices change, the new quantiser is used with the old ones first.

    Left out are quantiser 0, which is lossless, and another fine knob, deltaq-strength, which does
    next to nothing to a picture that has texture everywhere. (Measured on Kodak, libaom 3.14.)
    """
    return tuple(
        (quantiser, limit, sharpness)
        for quantiser in range(63, 0, -1)
        for limit in ([_LIMITED[quantiser]] if quantiser in _LIMITED else []) + [_FREE]
        for sharpness in _SHARPNESS
    )


_LADDER = _ladder()


class Avif:
    """AVIF as libavif makes it of still pictures (4:2:0, 8 bits, full range, tune=iq), and between.

    Its setting counts the rungs of a ladder of libaom's quantiser, matrices and sharpness. A rung's
    file is usually larger than the last one's, but may be a few percent smaller.
    """

    name = "avif"
    label = "AVIF"
    extension = ".avif"
    knob = Knob(
        low=0,
        high=len(_LADDER) - 1,
        integer=True,
        curve=(
            (0.0, 0.0665),
            (28.0, 0.0997),
            (56.0, 0.143),
            (89.0, 0.22),
            (120.0, 0.325),
            (154.0, 0.496),
            (192.0, 0.731),
            (244.0, 1.09),
            (294.0, 1.67),
            (326.0, 2.65),
            (344.0, 3.9),
        ),
    )
    memory_per_pixel = 30

    def version(self) -> str:
        return pillow.version("avif", f"{_libaom()}, libavif")

    def unavailable(self) -> str:
        return pillow.missing("avif", self.label) or _lacking()

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        quantiser, qm_limit, sharpness = _LADDER[int(setting)]
        return {
            "encoder": "aom",
            "speed": _SPEED,
            "max_threads": 1,
            "subsampling": "4:2:0",
            "range": "full",
            "tune": "iq",
            "cq-level": quantiser,
            "qm-max": qm_limit,
            "sharpness": sharpness,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        chosen = self.settings(setting)
        return pillow.write(
            pixels,
            file_format="AVIF",
            label=self.label,
            max_side=32768,  # libavif writes up to 65536 and, by default, reads no more than this
            codec="aom",
            speed=_SPEED,
            max_threads=1,  # libaom's output depends on it
            subsampling="4:2:0",
            range="full",
            quality=50,  # overruled by cq-level; any but 100, which turns to lossless coding
            # tune first: it sets the others to values of its own.
            advanced={key: str(chosen[key]) for key in ("tune", "cq-level", "qm-max", "sharpness")},
        )

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="AVIF", label=self.label)


def _libaom() -> str:
    """'libaom 3.14.1', from libavif's list such as 'dav1d [dec]:1.5.3, aom [enc]:3.14.1'."""
    try:
        from PIL import _avif  # not there in a Pillow built without AVIF
    except ImportError:
        return "libaom unknown version"
    versions = dict(part.strip().split(":", 1) for part in _avif.codec_versions().split(","))
    number = next((n for name, n in versions.items() if name.startswith("aom")), "unknown version")
    return f"libaom {number}"


@cache
def _lacking() -> str:
    """'' if libaom is there and knows the options of the ladder, else what is missing."""
    if error := failure(Avif(), Avif.knob.low):
        return (
            f"this Pillow's libaom cannot be used ({error}). It must know tune=iq, as in the "
            "wheels of Pillow 13: pip install --upgrade --only-binary pillow pillow"
        )
    return ""
