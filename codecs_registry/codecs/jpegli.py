"""JPEG (ITU-T T.81) by jpegli, which chooses what each block can spare."""

from __future__ import annotations

from importlib.metadata import version

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import EncodeFailed, Knob, Pixels, Setting, check_setting
from codecs_registry.codecs.checks import check_size


class Jpegli:
    """Progressive JPEG, 4:2:0, with scans and Huffman tables made for each image.

    Its setting is jpegli's quality, whole, whose steps are 1 % to 4 % of a file's size. At quality
    1 photographs still take up to 0.3 bpp, as jpegli's tables do not become coarser than that.

    The program cjpegli makes such scans and tables, but pyjpegli fixes sequential files with the
    tables of ITU-T T.81, Annex K.3. So its coefficients are written again, none of them changed,
    by MozJPEG's jpegtran: 7 % smaller at 1 bpp, 10 % to 30 % at 0.25.
    """

    name = "jpegli"
    label = "jpegli"
    extension = ".jpg"
    knob = Knob(
        low=1,
        high=100,
        integer=True,
        curve=(
            (1.0, 0.192),
            (9.0, 0.262),
            (17.0, 0.358),
            (27.0, 0.484),
            (52.0, 0.631),
            (69.0, 0.833),
            (81.0, 1.11),
            (89.0, 1.53),
            (93.0, 2.03),
            (96.0, 2.69),
            (98.0, 3.57),
        ),
    )
    memory_per_pixel = 16

    def version(self) -> str:
        return (
            f"jpegli (pyjpegli {version('pyjpegli')}), scans by MozJPEG "
            f"(mozjpeg-lossless-optimization {version('mozjpeg-lossless-optimization')})"
        )

    def unavailable(self) -> str:
        try:
            import mozjpeg_lossless_optimization  # noqa: F401
            import pyjpegli  # noqa: F401
        except ImportError as error:
            return f"{error}: pip install pyjpegli mozjpeg-lossless-optimization"
        return pillow.missing("jpg", "JPEG")

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {
            "quality": int(setting),
            "subsampling": "4:2:0",
            "progressive": True,
            "optimize": True,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=65500)  # jpegli's JPEG_MAX_DIMENSION
        import mozjpeg_lossless_optimization
        import pyjpegli

        height, width = pixels.shape[:2]
        try:
            plain = pyjpegli.encode(pixels, width, height, quality=int(setting))
            bitstream: bytes = mozjpeg_lossless_optimization.optimize(plain)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EncodeFailed(
                f"{self.label} could not encode {width} x {height} pixels: {error}"
            ) from error
        return bitstream

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="JPEG", label=self.label)
