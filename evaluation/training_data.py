"""What a metric is trained on: all judgments of one population as one 2AFC dataset.

The folder is laid out as `annotation.datasets` writes it, with three differences. A source image is
called by the SHA-256 of its pixels, so that it is the same one in every study. Which source images
are held out hangs on that alone, and never changes as pictures and judgments come. And pictures are
links to the stored ones: a snapshot of a million judgments costs no copies.
"""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from django.core.files.storage import storages
from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from annotation.datasets import MANIFEST_COLUMNS, Pair, manifest_row, new_folder, pairs
from annotation.models import Annotator, Campaign, Judgment, Purpose
from annotation.stimuli import shown_blob
from codecs_registry import blobs
from evaluation.metric_models import RetrainingRule
from evaluation.models import Study
from evaluation.populations import SIMULATED

HELD_OUT_SHARE = 0.2
HELD_OUT_SEED = 0
"""One for all times: another would put pictures that were trained on among those held out."""


class NothingToTrainOn(Exception):
    """There are no judgments of the kind that was asked for; the message says which."""


@dataclass(frozen=True)
class Gathered:
    """A pair with its place in the dataset, and the study that it was judged in."""

    study: str
    pair: Pair


def is_held_out(sha256: str, *, seed: int = HELD_OUT_SEED) -> bool:
    """Whether a source image is kept out of all training: where SHA-256("held-out/seed/sha256") is
    in the lowest fifth.

    sha256 : of its pixels, in hexadecimal.
    """
    drawn = hashlib.sha256(f"held-out/{seed}/{sha256}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") < HELD_OUT_SHARE * 2**64


def judgments(population: str, study: Study | None = None) -> QuerySet[Judgment]:
    """The judgments of a population that count as votes: of one study, or of all in projects that
    train the metric."""
    found = Judgment.objects.filter(
        assignment__purpose=Purpose.MEASURE,
        assignment__annotator__is_simulated=population == SIMULATED,
        campaign__study__isnull=False,
    )
    if study is None:
        return found.filter(campaign__study__project__trains_metric=True)
    return found.filter(campaign=study.campaign_id)


def number_of_judgments(population: str) -> int:
    """How many `judgments` there are, in a moment at any size."""
    annotators = Annotator.objects.filter(
        is_simulated=population == SIMULATED, campaign__study__project__trains_metric=True
    )
    return annotators.aggregate(n=Sum("n_measured", default=0))["n"]


def newest_judgment(population: str) -> int:
    """The id of the newest judgment that counts; 0 if there is none."""
    return judgments(population).order_by("-id").values_list("id", flat=True).first() or 0


def new_judgments(rule: RetrainingRule) -> int:
    """How many judgments came since the rule's last training."""
    last = rule.runs.first() if rule.pk else None
    if last is None:
        return number_of_judgments(rule.population)
    return judgments(rule.population).filter(id__gt=last.last_judgment).count()


def gather(population: str, study: Study | None = None) -> list[Gathered]:
    """The judged pairs of one study or of all, in a stable order, as of one moment.

    Raises NothingToTrainOn if there are none.
    """
    studies = Study.objects.filter(project__trains_metric=True).select_related("campaign")
    studies = studies.order_by("id")
    numbers: Counter = Counter()
    found = []
    with _one_moment():
        for each in studies if study is None else [study]:
            for pair in _pairs_of(each.campaign, population):
                place = pair.split, pair.subset
                placed = replace(pair, file=f"{numbers[place]:06d}")
                found.append(Gathered(each.name, placed))
                numbers[place] += 1
    if not found:
        kind = "no simulated annotator" if population == SIMULATED else "nobody"
        raise NothingToTrainOn(f"{kind} has judged {study.name if study else 'any study'} yet")
    return found


def _pairs_of(campaign: Campaign, population: str) -> Iterator[Pair]:
    for pair in pairs(campaign):
        if pair.is_simulated == (population == SIMULATED):
            split = "val" if is_held_out(pair.task.source.sha256) else "train"
            yield replace(pair, split=split)


@contextmanager
def _one_moment() -> Iterator[None]:
    """What is read inside is as of one moment, while judgments go on coming."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:  # else whoever began the transaction has decided
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def write_snapshot(gathered: Iterable[Gathered], folder: Path) -> None:
    """Write the dataset into a new folder, which appears when it is complete."""
    with (
        new_folder(folder) as aside,
        (aside / "manifest.csv").open("w", newline="", encoding="utf-8") as manifest,
    ):
        writer = csv.DictWriter(manifest, (*MANIFEST_COLUMNS, "study"))
        writer.writeheader()
        for each in gathered:
            row = manifest_row(each.pair, each.pair.task.source.sha256)
            writer.writerow(row | {"study": each.study})
            _place(each.pair, aside)


def _place(pair: Pair, folder: Path) -> None:
    subset = folder / "2afc" / pair.split / pair.subset
    for name in ("ref", "p0", "p1", "judge"):
        (subset / name).mkdir(parents=True, exist_ok=True)
    for name, blob in (
        ("ref", pair.task.source.png),
        ("p0", pair.p0.decoded),
        ("p1", pair.p1.decoded),
    ):
        link(shown_blob(pair.task, blob), subset / name / f"{pair.file}.png")
    np.save(subset / "judge" / f"{pair.file}.npy", pair.judge)


def link(blob: str, path: Path) -> None:
    """Have a file hold what a blob does: by a link where there can be one, else by a copy."""
    try:
        os.link(storages["blobs"].path(blob), path)
    except (NotImplementedError, OSError):  # files kept elsewhere, or on another disk
        path.write_bytes(blobs.read(blob))


def counts_by_study(manifest: Path) -> dict[str, dict[str, int]]:
    """Of a snapshot: how many pairs and votes each study gave, training and held-out apart."""
    found: dict[str, Counter] = {}
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts = found.setdefault(row["study"], Counter())
            kind = "held_out" if row["split"] == "val" else "train"
            counts[f"{kind}_pairs"] += 1
            counts[f"{kind}_votes"] += int(row["votes"])
    return {study: dict(counts) for study, counts in found.items()}
