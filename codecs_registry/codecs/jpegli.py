"""JPEG (ITU-T T.81) by jpegli, which chooses what each block can spare."""

from __future__ import annotations

from importlib.metadata import version

from codecs_registry.codecs import pillow
from codecs_registry.codecs.base import EncodeFailed, Knob, Pixels, Setting, check_setting
from codecs_registry.codecs.limits import check_size


class Jpegli:
    """Sequential JPEG, 4:2:0, with the Huffman tables of ITU-T T.81, Annex K.3.

    Its setting is jpegli's quality, whole, whose steps are 1 % to 4 % of a file's size. At quality
    1 photographs still take 0.2 to 0.4 bpp, as jpegli's tables do not become coarser than that.

    pyjpegli fixes the rest, and to a loss: with scans and Huffman tables made for each image, as
    the program cjpegli makes them, files would be 7 % smaller at 1 bpp and 10 % to 30 % at 0.25.
    """

    name = "jpegli"
    label = "jpegli"
    extension = ".jpg"
    knob = Knob(
        low=1,
        high=100,
        integer=True,
        curve=(
            (1.0, 0.268),
            (11.0, 0.349),
            (20.0, 0.451),
            (35.0, 0.583),
            (58.0, 0.751),
            (73.0, 0.976),
            (83.0, 1.26),
            (89.0, 1.64),
            (93.0, 2.18),
            (95.0, 2.64),
            (97.0, 3.36),
        ),
    )
    memory_per_pixel = 16

    def version(self) -> str:
        return f"jpegli (pyjpegli {version('pyjpegli')})"

    def unavailable(self) -> str:
        try:
            import pyjpegli  # noqa: F401
        except ImportError as error:
            return f"pyjpegli does not load ({error}): pip install pyjpegli"
        return pillow.missing("jpg", "JPEG")

    def settings(self, setting: float) -> dict[str, Setting]:
        check_setting(self.knob, setting)
        return {
            "quality": int(setting),
            "subsampling": "4:2:0",
            "progressive": False,
            "optimize": False,
        }

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        check_setting(self.knob, setting)
        check_size(pixels, label=self.label, max_side=65500)  # jpegli's JPEG_MAX_DIMENSION
        import pyjpegli

        height, width = pixels.shape[:2]
        try:
            bitstream: bytes = pyjpegli.encode(pixels, width, height, quality=int(setting))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EncodeFailed(
                f"{self.label} could not encode {width} x {height} pixels: {error}"
            ) from error
        return bitstream

    def decode(self, bitstream: bytes) -> Pixels:
        return pillow.read(bitstream, file_format="JPEG", label=self.label)
