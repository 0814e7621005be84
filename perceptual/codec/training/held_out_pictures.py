"""Parts of pictures held out, and what the codec makes of them, as files that a page shows.

    held-out/step-000002000/about.json         what they are, and rate and PSNR of each
                            1-original.webp    lossless, as all of them
                            1-1.webp           the first picture at the first lambda

A folder is written aside and renamed: it is there whole or not at all. Those of the first and of
the last two watchings stay, so that a page which shows the last but one still finds its pictures.

Without PyTorch, which takes seconds to load: those that read have no other need of it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER, ABOUT, ORIGINAL = "held-out", "about.json", "original"
FORMAT = 1
MOST_PICTURES = 4
LARGEST_SIDE = 384
"""Pixels of what is shown, around the middle."""
KEPT = 2
"""Of the last watchings, besides the first."""

Pixels = NDArray[np.uint8]
"""(H, W, 3), sRGB."""


@dataclass(frozen=True)
class Reconstruction:
    """What the codec makes of a picture at a lambda (`price`): bits per pixel by likelihood, and
    PSNR in dB, of the whole picture."""

    price: float
    bpp: float
    psnr: float


@dataclass(frozen=True)
class Shown:
    """A picture held out, of which a part is shown.

    width, height : of the part, in pixels; whole_width, whole_height : of the picture.
    """

    name: str
    width: int
    height: int
    whole_width: int
    whole_height: int
    reconstructions: tuple[Reconstruction, ...]


@dataclass(frozen=True)
class Watching:
    """Pictures of one watching.   changed : when they were written, in ns since 1970."""

    step: int
    folder: Path
    pictures: tuple[Shown, ...]
    changed: int

    def file(self, number: int, which: str) -> Path | None:
        """The file of a picture by its number, from 1; None: there is none.

        which : ORIGINAL, or the number of a lambda, from 1.
        """
        if not 1 <= number <= len(self.pictures):
            return None
        lambdas = len(self.pictures[number - 1].reconstructions)
        if which not in (ORIGINAL, *(str(place) for place in range(1, lambdas + 1))):
            return None
        return self.folder / f"{number}-{which}.webp"


def middle(pixels: Pixels) -> Pixels:
    """The part that is shown: at most LARGEST_SIDE wide and high, around the middle."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - LARGEST_SIDE) // 2, max(0, width - LARGEST_SIDE) // 2
    return pixels[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


def write(work: Path, step: int, about: Sequence[Shown], parts: Sequence[Sequence[Pixels]]) -> None:
    """Keep the pictures of a watching in a training's folder.

    parts : of each picture the original, then one for each of its reconstructions.
    """
    folder = work / FOLDER
    whole = folder / _name(step)
    aside = folder / f".{whole.name}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for number, pictures in enumerate(parts, start=1):
        for place, pixels in enumerate(pictures):
            file = aside / f"{number}-{place or ORIGINAL}.webp"
            # Nearly as small as at greater effort, and eight times as fast.
            Image.fromarray(pixels).save(file, lossless=True, quality=20, method=1)
    told = {"format": FORMAT, "step": step, "pictures": [asdict(each) for each in about]}
    (aside / ABOUT).write_text(json.dumps(told))
    forget(work, since=step)
    aside.rename(whole)
    for _, old in _steps(folder)[1:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def forget(work: Path, *, since: int) -> None:
    """Delete the pictures of this step and of later ones: the training went back."""
    for step, old in _steps(work / FOLDER):
        if step >= since:
            shutil.rmtree(old, ignore_errors=True)


def watchings(work: Path) -> list[Watching]:
    """Those whose pictures are in a training's folder, in the order of steps; what cannot be read
    is left out."""
    found = (_read(step, folder) for step, folder in _steps(work / FOLDER))
    return [each for each in found if each]


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _steps(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    named = (each.name.removeprefix("step-") for each in folder.glob("step-*"))
    steps = sorted(int(each) for each in named if each.isascii() and each.isdigit())
    return [(step, folder / _name(step)) for step in steps]


def _read(step: int, folder: Path) -> Watching | None:
    try:
        changed = (folder / ABOUT).stat().st_mtime_ns
        told = json.loads((folder / ABOUT).read_bytes())
        if told["format"] != FORMAT or told["step"] != step:
            return None
        pictures = tuple(_shown(each) for each in told["pictures"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Watching(step, folder, pictures, changed) if pictures else None


def _shown(told: dict[str, Any]) -> Shown:
    sizes = {name: int(told[name]) for name in _SIZES}
    points = tuple(
        Reconstruction(*(float(each[name]) for name in ("price", "bpp", "psnr")))
        for each in told["reconstructions"]
    )
    if (
        not points
        or min(sizes.values()) < 1
        or not all(math.isfinite(value) for each in points for value in asdict(each).values())
    ):
        raise ValueError("there is no reconstruction, or a number is none")
    return Shown(name=str(told["name"]), reconstructions=points, **sizes)


_SIZES = ("width", "height", "whole_width", "whole_height")
