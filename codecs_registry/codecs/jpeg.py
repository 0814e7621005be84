"""JPEG (ITU-T T.81) by libjpeg-turbo, with its quantisation scaled finely."""

from __future__ import annotations

import numpy as np

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import Knob, Pixels, Setting, check_setting

# ITU-T T.81, Annex K, tables K.1 (luminance) and K.2 (chrominance), row by row.
_LUMINANCE = np.array([
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
])  # fmt: skip
_CHROMINANCE = np.array([
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
])  # fmt: skip


class Jpeg:
    """Baseline JPEG, 4:2:0, with Huffman tables made for each image.

    Its setting is the factor on Annex K's tables. libjpeg's quality is the same factor in whole
    steps (1 at quality 50, 0.5 at 75), which are too coarse to meet a bit rate within 2 %.
    """

    name = "jpeg"
    label = "JPEG"
    extension = ".jpg"
    # Below the lowest factor every entry is 1, above the highest every entry is 255.
    knob = Knob(
        low=0.0123,
        high=25.5,
        rises=False,
        scale="log",
        curve=(
            (25.5, 0.0889),
            (12.04, 0.119),
            (7.465, 0.169),
            (4.603, 0.249),
            (2.763, 0.369),
            (1.607, 0.548),
            (0.8913, 0.812),
            (0.4765, 1.2),
            (0.241, 1.8),
            (0.1185, 2.61),
            (0.04759, 3.87),
        ),
    )
    memory_per_pixel = 16

    def version(self) -> str:
        return pillow.version("libjpeg_turbo", "libjpeg-turbo")

    def unavailable(self) -> str:
        return pillow.missing("jpg", self.label)

    def settings(self, setting: float) -> dict[str, Setting]:
        return {
            "tables": "ITU-T T.81 Annex K",
            "table_scale": setting,
            "subsampling": "4:2:0",
            "optimize": True,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        return pillow.write(
            pixels,
            file_format="JPEG",
            label=self.label,
            max_side=65500,  # libjpeg's JPEG_MAX_DIMENSION; the format itself would take 65535
            qtables=quantisation_tables(setting),
            subsampling="4:2:0",
            optimize=True,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="JPEG", label=self.label)


def quantisation_tables(scale: float) -> list[list[int]]:
    """Luminance and chrominance tables, 64 whole numbers each, of 1 to 255 as baseline requires.

    Rounded half up as libjpeg's jpeg_add_quant_table does, so that a factor which libjpeg's
    quality has gives its tables.
    """
    return [
        np.clip(np.floor(table * scale + 0.5), 1, 255).astype(int).tolist()
        for table in (_LUMINANCE, _CHROMINANCE)
    ]
