"""Pairs in the layout of BAPPS, as the LPIPS project's loader reads it (Zhang et al. 2018, "The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric"):

    2afc/{train,val}/<subset>/{ref,p0,p1}/000000.png    judge/000000.npy

with a subset for each stratum, and subsets of their own, named simulated-..., for what simulated
annotators judged.
"""

import io
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from annotation.datasets import columns
from annotation.datasets.contents import Column, Contents, File, Format
from annotation.datasets.csv_file import in_blocks
from annotation.datasets.manifest import MANIFEST_COLUMNS, manifest_row
from annotation.datasets.pairs import Pair
from annotation.stimuli import shown_png
from codecs_registry.responses import csv_lines

MANIFEST = "manifest.csv"
PICTURES = ("ref", "p0", "p1")


class Bapps(Format):
    name: ClassVar = "bapps"
    label: ClassVar = "BAPPS folder"
    what: ClassVar = (
        "Pairs with their pictures, in the layout that the LPIPS project, score_metrics and "
        "train_metric read."
    )
    loader: ClassVar = (
        "from perceptual.pairs import read_dataset\n"
        'dataset = read_dataset(Path("FOLDER"))  # or LPIPS\' TwoAFCDataset on FOLDER/2afc/...'
    )
    is_of_pairs: ClassVar = True

    def files(self, contents: Contents) -> Iterator[File]:
        for pairs in contents.subsets():
            for pair in pairs:
                folder = f"2afc/{pair.split}/{pair.subset}"
                for part in PICTURES:
                    yield File(f"{folder}/{part}/{pair.file}.png", picture(pair, part))
                yield File(f"{folder}/judge/{pair.file}.npy", [judge_npy(pair)])
        yield File(MANIFEST, in_blocks(_manifest_lines(contents)))

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        return {MANIFEST: list(columns.PAIRS)}


def _manifest_lines(contents: Contents) -> Iterator[str]:
    rows = (
        manifest_row(each, contents.content_names[each.task.source_id]) for each in contents.pairs()
    )
    return csv_lines(MANIFEST_COLUMNS, ([row[name] for name in MANIFEST_COLUMNS] for row in rows))


def picture(pair: Pair, part: str) -> Iterator[bytes]:
    """The PNG of "ref", "p0" or "p1", read when it is asked for."""
    yield shown_png(pair.task, blob_of(pair, part))


def blob_of(pair: Pair, part: str) -> str:
    """The whole picture's blob."""
    return pair.task.source.png if part == "ref" else getattr(pair, part).decoded


def judge_npy(pair: Pair) -> bytes:
    file = io.BytesIO()
    np.save(file, pair.judge)
    return file.getvalue()
