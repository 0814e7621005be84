"""The pictures that benchmarks of codecs run on."""

import os
from importlib.util import find_spec
from pathlib import Path

from codecs_registry.codecs.base import Pixels
from codecs_registry.pictures import read_picture

DEMO = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")
TEST_DATA = Path(os.environ.get("CLOSER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def photograph_paths() -> list[Path]:
    """Those of the folder that BENCH_IMAGES names, else Kodak's, else the demo's."""
    if folder := os.environ.get("BENCH_IMAGES"):
        return sorted(Path(folder).iterdir())
    if kodak := sorted((TEST_DATA / "images" / "kodak").glob("*.png")):
        return kodak
    return [Path(find_spec("skimage").origin).parent / "data" / name for name in DEMO]


def photographs() -> list[Pixels]:
    return [read_picture(path).pixels for path in photograph_paths()]
