"""Judged pairs of pictures that lie in files, written as a 2AFC dataset like our own
(docs/datasets.md)."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotation.datasets import MANIFEST_COLUMNS, side_columns


@dataclass(frozen=True)
class Version:
    """A version of a picture: its PNG, what made it, and the bits per pixel that it took.

    miss : why these are off the target, "" if they are not.
    """

    file: Path
    codec: str
    codec_version: str
    bpp: float
    miss: str = ""


@dataclass(frozen=True)
class JudgedPair:
    """Two versions of a picture, and how many of so many votes were for p1.

    reference : its PNG.   content : names it.   sha256 : of its samples.   split : "train" or
    "val".   stratum : target bpp as it is spelled in folders, "" if there is none.
    """

    content: str
    sha256: str
    reference: Path
    p0: Version
    p1: Version
    votes: int
    votes_p1: int
    split: str
    subset: str
    stratum: str = ""
    is_simulated: bool = False


def write_pairs(pairs: Sequence[JudgedPair], folder: Path, card: Mapping[str, Any]) -> None:
    """Write the files of a dataset: pictures, judges, manifest.csv and, of `card` and what can be
    counted, dataset.json. Pictures are linked to where the file system can do that."""
    numbers: Counter[tuple[str, str]] = Counter()
    manifest = io.StringIO()
    writer = csv.DictWriter(manifest, MANIFEST_COLUMNS)
    writer.writeheader()
    for pair in pairs:
        name = f"{numbers[pair.split, pair.subset]:06d}"
        numbers[pair.split, pair.subset] += 1
        subset = folder / "2afc" / pair.split / pair.subset
        files = {"ref": pair.reference, "p0": pair.p0.file, "p1": pair.p1.file}
        for kind, file in files.items():
            _link(file, subset / kind / f"{name}.png")
        judge = np.array([pair.votes_p1 / pair.votes], np.float32)
        (subset / "judge").mkdir(exist_ok=True)
        np.save(subset / "judge" / f"{name}.npy", judge)
        writer.writerow(_row(pair, name, judge))
    (folder / "manifest.csv").write_text(manifest.getvalue(), encoding="utf-8", newline="")
    simulated = sum(pair.votes for pair in pairs if pair.is_simulated)
    counted = {
        "judgments": sum(pair.votes for pair in pairs) - simulated,
        "simulated_judgments": simulated,
        "pairs": len(pairs),
        "strata": sorted({pair.stratum for pair in pairs if pair.stratum}, key=float),
        "kind": "2AFC",
    }
    (folder / "dataset.json").write_text(json.dumps(counted | dict(card), indent=2), "utf-8")


def _row(pair: JudgedPair, name: str, judge: np.ndarray) -> dict[str, Any]:
    row = {
        "split": pair.split,
        "subset": pair.subset,
        "file": name,
        "content": pair.content,
        "sha256": pair.sha256,
        "crop": "",
        "stratum": pair.stratum,
        "votes": pair.votes,
        "votes_p1": pair.votes_p1,
        "judge": judge[0],
        "simulated": "true" if pair.is_simulated else "false",
    }
    for side, version in (("p0", pair.p0), ("p1", pair.p1)):
        row |= side_columns(
            side,
            codec=version.codec,
            codec_version=version.codec_version,
            bpp=version.bpp,
            miss=version.miss,
        )
    return row


def _link(existing: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(existing, target)
    except OSError:  # not every file system has links
        shutil.copyfile(existing, target)
