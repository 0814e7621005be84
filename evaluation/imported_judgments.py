"""Judgments made elsewhere, with their pictures, as a 2AFC dataset like our own.

mucped23 (google-research): people saw an original and two JPEG encodes of it, and said which was
worse. `answers.csv` has `method_a,method_b,image,worse`; the pictures are `originals/IMAGE.png` and
`stimuli/METHOD/IMAGE.jpg`.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from annotation.datasets import VALIDATION_SHARE, new_folder, split_by_source
from codecs_registry.pictures import Picture, UnreadablePicture, identify, read_picture
from evaluation.judged_pairs import JudgedPair, Version, write_pairs

ANSWERS = "answers.csv"
COLUMNS = ("method_a", "method_b", "image", "worse")
SUBSET = "mucped23"


class InvalidJudgments(ValueError):
    """The folder does not hold what its format says; the message names the file, and the row."""


@dataclass(frozen=True)
class Votes:
    """What people said of two versions of one picture: how many found p1 closer."""

    content: str
    p0: str
    p1: str
    votes: int
    votes_p1: int


def read_mucped23(folder: Path, *, seed: int = 0) -> list[Votes]:
    """The votes of each pair, by picture and methods; answers on one pair, whichever side either
    method was on, are votes for one of its two methods.

    seed : decides which of the two is p0.

    Raises InvalidJudgments.
    """
    for_method: dict[tuple[str, str, str], Counter[str]] = {}
    for number, row in _answers(folder / ANSWERS):
        a, b, image = row["method_a"], row["method_b"], row["image"]
        if a == b or row["worse"] not in ("A", "B"):
            raise InvalidJudgments(
                f"{folder / ANSWERS}, line {number}: expected two methods, and A or B as the worse"
            )
        first, second = sorted((a, b))
        closer = b if row["worse"] == "A" else a
        for_method.setdefault((image, first, second), Counter())[closer] += 1
    found = []
    for (image, first, second), counts in sorted(for_method.items()):
        p0, p1 = _sides(image, first, second, seed)
        found.append(Votes(image, p0, p1, counts.total(), counts[p1]))
    return found


def _answers(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            table = csv.DictReader(opened)
            for column in COLUMNS:
                if column not in (table.fieldnames or ()):
                    raise InvalidJudgments(f"{file} has no column {column}")
            for row in table:
                if not all(row[column] for column in COLUMNS):
                    raise InvalidJudgments(f"{file}, line {table.line_num}: a value is missing")
                yield table.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidJudgments(f"{file} cannot be read: {error}") from None


def _sides(image: str, first: str, second: str, seed: int) -> tuple[str, str]:
    digest = hashlib.sha256(f"{seed}/{image}/{first}/{second}".encode()).digest()
    return (second, first) if digest[0] & 1 else (first, second)


def write_mucped23(
    source: Path,
    out: Path,
    *,
    seed: int = 0,
    validation_share: float = VALIDATION_SHARE,
    provenance: dict,
) -> list[Votes]:
    """Write mucped23 in `source` as a 2AFC dataset (docs/datasets.md) into a new folder.

    validation_share : of the pictures, which go to val with all their pairs.

    The pairs are of no one bit rate, so that they have no stratum; `p0_bpp` and `p1_bpp` are those
    of the JPEG files. The folder appears when it is complete. Returns the pairs. Raises
    InvalidJudgments, and FolderInUse if the folder holds anything already.
    """
    found = read_mucped23(source, seed=seed)
    if not found:
        raise InvalidJudgments(f"{source / ANSWERS} holds no answers")
    with new_folder(out) as folder, TemporaryDirectory(dir=folder) as aside:
        pictures = _Pictures(source, Path(aside))
        split = split_by_source(
            ((each.content, pictures.sha256(each.content)) for each in found),
            seed=seed,
            share=validation_share,
        )
        pairs = [
            JudgedPair(
                *(each.content, pictures.sha256(each.content), pictures.original(each.content)),
                *(pictures.version(method, each.content) for method in (each.p0, each.p1)),
                *(each.votes, each.votes_p1, split[each.content], SUBSET),
            )
            for each in found
        ]
        card = {
            "imported_from": SUBSET,
            "seed": seed,
            "validation_share": validation_share,
            "provenance": provenance,
        }
        write_pairs(pairs, folder, card)
    return found


class _Pictures:
    """The pictures of mucped23, each decoded once, into a folder."""

    def __init__(self, source: Path, decoded: Path) -> None:
        self._source = source
        self._decoded = decoded
        self._made: dict[Path, tuple[Path, str, int]] = {}

    def original(self, content: str) -> Path:
        return self._png(self._source / "originals" / f"{content}.png")[0]

    def sha256(self, content: str) -> str:
        return self._png(self._source / "originals" / f"{content}.png")[1]

    def version(self, method: str, content: str) -> Version:
        file = self._source / "stimuli" / method / f"{content}.jpg"
        png, _, pixel_count = self._png(file)
        return Version(png, method, "", 8 * file.stat().st_size / pixel_count)

    def _png(self, file: Path) -> tuple[Path, str, int]:
        """Where it lies decoded, the SHA-256 of its samples, and how many pixels it has."""
        if file not in self._made:
            pixels = _read(file).pixels
            png = self._decoded / f"{len(self._made)}.png"
            Image.fromarray(pixels).save(png, compress_level=6)
            self._made[file] = png, identify(pixels), pixels.shape[0] * pixels.shape[1]
        return self._made[file]


def _read(file: Path) -> Picture:
    try:
        return read_picture(file)
    except (UnreadablePicture, OSError) as error:
        raise InvalidJudgments(f"{file}: {error}") from None


FORMATS = {"mucped23": write_mucped23}
