"""The pictures that benchmarks of codecs run on."""

import os
from importlib.util import find_spec
from pathlib import Path

from codecs_registry.codecs.base import Pixels
from codecs_registry.pictures import read_picture

DEMO = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")


def photographs() -> list[Pixels]:
    """The demo's, or those of the folder that BENCH_IMAGES names."""
    if folder := os.environ.get("BENCH_IMAGES"):
        paths = sorted(Path(folder).iterdir())
    else:
        paths = [Path(find_spec("skimage").origin).parent / "data" / name for name in DEMO]
    return [read_picture(path).pixels for path in paths]
