"""Judgments made elsewhere, with their pictures, as a 2AFC dataset like our own.

mucped23 (google-research): people saw an original and two JPEG encodes of it, and said which was
worse. `answers.csv` has `method_a,method_b,image,worse`; the pictures are `originals/IMAGE.png` and
`stimuli/METHOD/IMAGE.jpg`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from annotation.datasets import MANIFEST_COLUMNS, VALIDATION_SHARE, new_folder, split_by_source
from codecs_registry.pictures import Picture, UnreadablePicture, identify, read_picture

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
    with new_folder(out) as folder:
        _write(found, source, folder, seed, validation_share, provenance)
    return found


def _write(
    found: Sequence[Votes],
    source: Path,
    folder: Path,
    seed: int,
    validation_share: float,
    provenance: dict,
) -> None:
    pictures = _Pictures(source)
    split = split_by_source(
        ((each.content, pictures.sha256(each.content)) for each in found),
        seed=seed,
        share=validation_share,
    )
    numbers: Counter[str] = Counter()
    manifest = io.StringIO()
    writer = csv.DictWriter(manifest, MANIFEST_COLUMNS)
    writer.writeheader()
    for each in found:
        name = f"{numbers[split[each.content]]:06d}"
        numbers[split[each.content]] += 1
        subset = folder / "2afc" / split[each.content] / SUBSET
        pictures.put(pictures.original(each.content), subset / "ref" / f"{name}.png")
        for side, method in (("p0", each.p0), ("p1", each.p1)):
            pictures.put(pictures.version(method, each.content), subset / side / f"{name}.png")
        judge = np.array([each.votes_p1 / each.votes], np.float32)
        (subset / "judge").mkdir(exist_ok=True)
        np.save(subset / "judge" / f"{name}.npy", judge)
        writer.writerow(_row(each, split[each.content], name, judge, pictures))
    (folder / "manifest.csv").write_text(manifest.getvalue(), encoding="utf-8", newline="")
    card = {
        "judgments": sum(each.votes for each in found),
        "simulated_judgments": 0,
        "pairs": len(found),
        "strata": [],
        "kind": "2AFC",
        "imported_from": SUBSET,
        "seed": seed,
        "validation_share": validation_share,
        "provenance": provenance,
    }
    (folder / "dataset.json").write_text(json.dumps(card, indent=2), encoding="utf-8")


def _row(each: Votes, split: str, name: str, judge: np.ndarray, pictures: _Pictures) -> dict:
    row = {
        "split": split,
        "subset": SUBSET,
        "file": name,
        "content": each.content,
        "sha256": pictures.sha256(each.content),
        "crop": "",
        "stratum": "",
        "votes": each.votes,
        "votes_p1": each.votes_p1,
        "judge": judge[0],
        "simulated": "false",
    }
    for side, method in (("p0", each.p0), ("p1", each.p1)):
        row[f"{side}_codec"] = method
        row[f"{side}_version"] = ""
        row[f"{side}_bpp"] = f"{pictures.bpp(method, each.content):.6f}"
        row[f"{side}_miss"] = ""
    return row


class _Pictures:
    """The pictures of mucped23, each decoded once and then linked to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pixels: dict[Path, int] = {}
        self._sha256: dict[str, str] = {}
        self._written: dict[Path, Path] = {}

    def original(self, content: str) -> Path:
        return self._folder / "originals" / f"{content}.png"

    def version(self, method: str, content: str) -> Path:
        return self._folder / "stimuli" / method / f"{content}.jpg"

    def sha256(self, content: str) -> str:
        if content not in self._sha256:
            self._sha256[content] = identify(_read(self.original(content)).pixels)
        return self._sha256[content]

    def bpp(self, method: str, content: str) -> float:
        """Of the file of a version that was put somewhere already."""
        file = self.version(method, content)
        return 8 * file.stat().st_size / self._pixels[file]

    def put(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in self._written:
            _link(self._written[source], target)
            return
        pixels = _read(source).pixels
        self._pixels[source] = pixels.shape[0] * pixels.shape[1]
        Image.fromarray(pixels).save(target, compress_level=6)
        self._written[source] = target


def _read(file: Path) -> Picture:
    try:
        return read_picture(file)
    except (UnreadablePicture, OSError) as error:
        raise InvalidJudgments(f"{file}: {error}") from None


def _link(existing: Path, target: Path) -> None:
    try:
        os.link(existing, target)
    except OSError:  # not every file system has links
        shutil.copyfile(existing, target)


FORMATS = {"mucped23": write_mucped23}
