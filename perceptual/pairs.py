"""2AFC datasets as they lie on disk: two versions of a picture, and which one people found closer.

The layout is that of BAPPS (R. Zhang, P. Isola, A. A. Efros, E. Shechtman and O. Wang, "The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, section 2):

    [2afc/][train|val/]SUBSET/{ref,p0,p1}/NAME.png    judge/NAME.npy    [manifest.csv]

A dataset that Closer wrote has `manifest.csv` (docs/datasets.md), which knows more of each pair:
votes, photograph, codecs. Without it a pair is known by its files alone.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

TRAIN, VAL = SPLITS = ("train", "val")
VALIDATION_SHARE = 0.2
"""Of the source images, where the folder itself does not split."""

PICTURE_FOLDERS = ("ref", "p0", "p1")
JUDGE_FOLDER = "judge"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".tif", ".tiff")
MANIFEST = "manifest.csv"
NEEDED_COLUMNS = ("split", "subset", "file", "content", "stratum", "votes", "votes_p1", "simulated")

_SUBSET = re.compile(r"(?P<simulated>simulated-)?bpp-(?P<stratum>\d+(\.\d+)?)")
_JUDGE_TOLERANCE = 1e-6  # what float32 loses of a share of votes


class InvalidDataset(ValueError):
    """The folder holds no dataset that can be read; the message names the file and says why."""


@dataclass(frozen=True)
class Pair:
    """Two distorted versions of one picture.

    reference, p0, p1 : files of pictures of one size.
    share : of the votes that found p1 closer to the reference, from 0 to 1.
    votes : how many there were; None where the folder does not say.
    content : names the source image. Pairs that share it are not independent of each other.
    stratum : target bpp as it is spelled in folders and tables, such as "0.23"; "" if unknown.
    split : "train" or "val".   subset : the folder's name.
    codecs : of p0 and of p1; None if unknown.
    """

    reference: Path
    p0: Path
    p1: Path
    share: float
    votes: int | None
    content: str
    stratum: str
    split: str
    subset: str
    codecs: tuple[str, str] | None
    is_simulated: bool


@dataclass(frozen=True)
class Dataset:
    """The pairs of a folder, by split, subset and file name."""

    folder: Path
    pairs: tuple[Pair, ...]

    @property
    def contents(self) -> list[str]:
        """The source images, each once, in alphabetical order."""
        return sorted({pair.content for pair in self.pairs})

    @property
    def train(self) -> tuple[Pair, ...]:
        """Pairs to train on: those of "train" whose source image has no pair in "val"."""
        held_out = {pair.content for pair in self.pairs if pair.split == VAL}
        return tuple(
            pair for pair in self.pairs if pair.split == TRAIN and pair.content not in held_out
        )

    @property
    def val(self) -> tuple[Pair, ...]:
        """Pairs to validate on: those of "val"."""
        return tuple(pair for pair in self.pairs if pair.split == VAL)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what the pairs are.

        It covers of each pair the bytes of the three pictures, share, votes, content, stratum,
        split, subset, codecs and whether it is simulated. What the files are called, where the
        folder lies, and whether it has its `2afc` level, do not change it.
        """
        lines = sorted("\t".join(_identity(pair)) for pair in self.pairs)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _identity(pair: Pair) -> Iterator[str]:
    for file in (pair.reference, pair.p0, pair.p1):
        yield file_digest(file)
    yield repr(float(np.float32(pair.share)))
    yield from (str(pair.votes), pair.content, pair.stratum, pair.split, pair.subset)
    yield from pair.codecs or ("", "")
    yield str(pair.is_simulated)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(file: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header.

    Raises InvalidDataset if it is no picture.
    """
    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidDataset(f"{file} cannot be read as a picture: {error}") from None


def pixels(path: Path) -> Tensor:
    """(3, H, W) float32 in [0, 1]: the picture's sRGB samples.

    Samples are taken as they are stored: an embedded colour profile is not applied. Grey becomes
    three equal samples. Raises InvalidDataset if the file is not a whole picture of 8 bits, or if
    it is transparent anywhere.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise InvalidDataset(f"{path}: expected 8 bits a sample, found mode {image.mode}")
            if image.has_transparency_data:
                opaque = image.convert("RGBA")
                if np.asarray(opaque)[..., 3].min() < 255:
                    raise InvalidDataset(f"{path} is transparent, so it is not known what is seen")
            samples = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidDataset(f"{path} cannot be read as a picture: {error}") from None
    return torch.from_numpy(samples).permute(2, 0, 1).to(torch.float32).div_(255).contiguous()


def read_dataset(folder: Path) -> Dataset:
    """The dataset in a folder: one that Closer exported, or any in the layout of BAPPS.

    Without a manifest, a pair's content is the SHA-256 of its reference's bytes, and bit rate and
    origin follow from a subset called as ours are (`bpp-0.23`, `simulated-bpp-0.23`). A folder that
    does not split into train and val is split by source image: one in five, and at least one of two
    or more, is for validation, and which follows from the names of contents alone.

    Raises InvalidDataset, naming the file, where a picture or judge has no counterpart or cannot be
    read, pictures of a pair differ in size, a share is not between 0 and 1, the manifest does not
    agree with the files, or there is no pair at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidDataset(f"{folder} is not a folder")
    found = [pair for subset in _subsets(folder) for pair in _pairs_of(subset)]
    if not found:
        raise InvalidDataset(
            f"{folder} holds no pairs: expected [2afc/][train|val/]SUBSET/ with the folders "
            "ref, p0, p1 and judge"
        )
    manifest = folder / MANIFEST
    if manifest.exists():
        found = list(_with_manifest(found, manifest))
    pairs = _with_split(found)
    return Dataset(folder, tuple(sorted(pairs, key=lambda each: (each.split, each.subset))))


def _subsets(folder: Path) -> Iterator[Path]:
    """The folders that hold pairs, in alphabetical order."""
    top = folder / "2afc"
    if not top.is_dir():
        top = folder
    if _holds_pairs(top):
        yield top
        return
    for child in _folders(top):
        if _holds_pairs(child):
            yield child
        elif child.name in SPLITS:
            yield from (each for each in _folders(child) if _holds_pairs(each))


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def _holds_pairs(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in (*PICTURE_FOLDERS, JUDGE_FOLDER))


def _pairs_of(subset: Path) -> Iterator[Pair]:
    """The pairs of one subset; "" stands for a split that its folder does not tell."""
    pictures = [_by_name(subset / name, PICTURES) for name in PICTURE_FOLDERS]
    judges = _by_name(subset / JUDGE_FOLDER, (".npy",))
    absolute = subset.absolute()
    split = absolute.parent.name if absolute.parent.name in SPLITS else ""
    ours = _SUBSET.fullmatch(absolute.name)
    folders = (*pictures, judges)
    for name in sorted(set().union(*folders)):
        for kind, files in zip((*PICTURE_FOLDERS, JUDGE_FOLDER), folders, strict=True):
            if name not in files:
                present = next(files[name] for files in folders if name in files)
                raise InvalidDataset(f"{present} has no counterpart in {subset / kind}")
        reference, p0, p1 = (files[name] for files in pictures)
        _check_sizes(reference, p0, p1)
        yield Pair(
            reference,
            p0,
            p1,
            share=_share(judges[name]),
            votes=None,
            content=file_digest(reference),
            stratum=ours["stratum"] if ours else "",
            split=split,
            subset=absolute.name,
            codecs=None,
            is_simulated=bool(ours and ours["simulated"]),
        )


def _by_name(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """Files by their name without its ending; hidden and other files are left alone."""
    if not folder.is_dir():
        raise InvalidDataset(f"{folder} is missing: a subset has the folders ref, p0, p1 and judge")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.suffix.lower() not in endings:
            continue
        if file.stem in found:
            raise InvalidDataset(f"{file} and {found[file.stem].name} have one name")
        found[file.stem] = file
    return found


def _check_sizes(*files: Path) -> None:
    sizes = [size(file) for file in files]
    for file, (width, height) in zip(files, sizes, strict=True):
        if (width, height) != sizes[0]:
            raise InvalidDataset(
                f"{file} is {width}x{height} pixels, and its reference {sizes[0][0]}x{sizes[0][1]}"
            )


def _share(judge: Path) -> float:
    try:
        value: Any = np.load(judge, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidDataset(f"{judge} cannot be read as an array: {error}") from None
    if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "fiu":
        raise InvalidDataset(f"{judge}: expected one number")
    share = float(value.reshape(()))
    if not 0 <= share <= 1:
        raise InvalidDataset(f"{judge}: expected a share between 0 and 1, found {share}")
    return share


def _with_manifest(found: Iterable[Pair], manifest: Path) -> Iterator[Pair]:
    """The pairs with what the manifest knows of them."""
    rows = _rows(manifest)
    for pair in found:
        row = rows.pop((pair.split, pair.subset, pair.reference.stem), None)
        if row is None:
            raise InvalidDataset(f"{manifest} has no row for {pair.reference}")
        yield _told(pair, row, manifest)
    for key in rows:
        raise InvalidDataset(f"{manifest} has a row for {'/'.join(key)}, whose files are missing")


def _rows(manifest: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """By split, subset and file."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = [name for name in NEEDED_COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise InvalidDataset(f"{manifest} has no column {missing[0]}")
            rows: dict[tuple[str, str, str], dict[str, str]] = {}
            for row in table:
                key = row["split"], row["subset"], row["file"]
                if key in rows:
                    raise InvalidDataset(f"{manifest} has two rows for {'/'.join(key)}")
                rows[key] = {name: value or "" for name, value in row.items() if name is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataset(f"{manifest} cannot be read: {error}") from None
    return rows


def _told(pair: Pair, row: dict[str, str], manifest: Path) -> Pair:
    where = f"{manifest}, {pair.split}/{pair.subset}/{row['file']}"
    try:
        votes, votes_p1 = int(row["votes"]), float(row["votes_p1"])
    except ValueError:
        raise InvalidDataset(f"{where}: expected numbers of votes") from None
    if votes < 1 or not 0 <= votes_p1 <= votes:
        raise InvalidDataset(f"{where}: expected 0 to {votes} votes for p1, found {votes_p1:g}")
    if abs(votes_p1 / votes - pair.share) > _JUDGE_TOLERANCE:
        raise InvalidDataset(
            f"{where}: {votes_p1:g} of {votes} votes for p1, and its judge says {pair.share:g}"
        )
    if row["simulated"] not in ("true", "false"):
        raise InvalidDataset(f"{where}: simulated is true or false, not {row['simulated']!r}")
    codecs = row.get("p0_codec", ""), row.get("p1_codec", "")
    return replace(
        pair,
        share=votes_p1 / votes,
        votes=votes,
        content=row["content"] or pair.content,
        stratum=row["stratum"],
        codecs=codecs if all(codecs) else None,
        is_simulated=row["simulated"] == "true",
    )


def _with_split(found: list[Pair]) -> Iterator[Pair]:
    unsplit = {pair.content for pair in found if not pair.split}
    ranked = sorted(unsplit, key=lambda content: hashlib.sha256(content.encode()).digest())
    n_validation = round(VALIDATION_SHARE * len(ranked)) or int(len(ranked) > 1)
    held_out = set(ranked[:n_validation])
    for pair in found:
        if pair.split:
            yield pair
        else:
            yield replace(pair, split=VAL if pair.content in held_out else TRAIN)
