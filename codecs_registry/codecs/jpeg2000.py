"""JPEG 2000 (ITU-T T.800) by OpenJPEG, whose own rate control meets a rate almost exactly."""

from __future__ import annotations

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import Knob, Pixels, Setting, check_setting


class Jpeg2000:
    """JPEG 2000 Part 1, one quality layer, irreversible 9/7 wavelet and colour transform.

    Its setting is the compression ratio, 24 bits a pixel over the bpp wanted; OpenJPEG then
    truncates code blocks for the least squared error. At 1 it keeps every bit plane.
    """

    name = "jpeg2000"
    label = "JPEG 2000"
    extension = ".jp2"
    knob = Knob(
        low=1.0,
        high=10000.0,
        rises=False,
        asks_for_rate=True,
        scale="log",
        curve=(
            (392.2, 0.0605),
            (259.9, 0.0909),
            (171.4, 0.14),
            (112.6, 0.212),
            (74.0, 0.323),
            (48.7, 0.492),
            (32.06, 0.746),
            (21.13, 1.13),
            (13.9, 1.72),
            (9.132, 2.63),
            (6.002, 3.86),
        ),
    )
    memory_per_pixel = 41

    def version(self) -> str:
        return pillow.version("jpg_2000", "OpenJPEG")

    def unavailable(self) -> str:
        return pillow.missing("jpg_2000", self.label)

    def settings(self, setting: float) -> dict[str, Setting]:
        return {
            "compression_ratio": setting,
            "irreversible": True,
            "mct": 1,
            "progression": "LRCP",
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        return pillow.write(
            pixels,
            file_format="JPEG2000",
            label=self.label,
            max_side=65535,  # the format takes 2**32 - 1, but nobody tested more here
            quality_mode="rates",
            quality_layers=[setting],
            irreversible=True,
            mct=1,
            progression="LRCP",
            no_jp2=False,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="JPEG2000", label=self.label)
