"""The 2AFC dataset of a campaign, as files: pairs of reconstructions with the share of votes.

The layout is BAPPS', as the LPIPS project's loader reads it (Zhang et al. 2018, "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric"):

    2afc/{train,val}/<subset>/{ref,p0,p1}/000000.png    judge/000000.npy

with a subset for each stratum, and subsets of their own, named simulated-..., for what simulated
annotators judged. docs/datasets.md describes it for those who train on it.
"""

import contextlib
import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np

from annotation.kinds import KINDS, Ranking
from annotation.models import Campaign, Judgment, Purpose, Task
from annotation.records import (
    JudgmentRecord,
    complete_records,
    content_names,
    judgment_records,
)
from annotation.stimuli import shown_png
from codecs_registry.models import Reconstruction, stratum_name
from codecs_registry.responses import csv_lines

VALIDATION_SHARE = 0.2
ANSWER_COLUMNS = {"2afc": ("left", "right", "chosen", "gold"), "ranking": ("ranking",)}
MANIFEST_COLUMNS = (
    *("split", "subset", "file", "content", "sha256", "crop", "stratum"),
    *("p0_codec", "p0_version", "p0_bpp", "p0_miss", "p1_codec", "p1_version", "p1_bpp", "p1_miss"),
    *("votes", "votes_p1", "judge", "simulated"),
)

FIELD = {"gold": "expected"}  # of a record, where it is called otherwise

Files = Iterator[tuple[str, bytes]]
Id = TypeVar("Id", int, str)


class FolderInUse(Exception):
    """The folder to export into holds something already."""


@dataclass(frozen=True)
class Pair:
    """Two reconstructions of a task as the dataset holds them: how many votes, and how many for
    p1; a tie is half a vote for each."""

    split: str
    subset: str
    file: str
    task: Task
    p0: Reconstruction
    p1: Reconstruction
    votes: int
    votes_p1: float
    is_simulated: bool

    @property
    def judge(self) -> np.ndarray:
        """(1,) float32: the share of votes for p1."""
        return np.array([self.votes_p1 / self.votes], dtype=np.float32)


def split_by_source(
    sources: Iterable[tuple[Id, str]], *, seed: int, share: float = VALIDATION_SHARE
) -> dict[Id, str]:
    """ "train" or "val" for each (id, sha256) of source images.

    A source image's reconstructions are never in both. `share` of them, and at least one of two or
    more, is for validation: those whose hash with the seed comes first, so that the split follows
    from the images and the seed alone.
    """
    ranked = sorted(
        # Pictures of different shape can share a hash; the id keeps their order the same always.
        set(sources),
        key=lambda each: (hashlib.sha256(f"{seed}/{each[1]}".encode()).digest(), each[0]),
    )
    n_validation = round(share * len(ranked)) or int(len(ranked) > 1)
    return {
        source_id: "val" if position < n_validation else "train"
        for position, (source_id, _) in enumerate(ranked)
    }


def pairs(campaign: Campaign) -> list[Pair]:
    """Every pair that was judged, in a stable order, its votes by people and by simulations apart.

    A ranking is a judgment of each pair in it. Gold tasks are in no dataset, and repeats no votes:
    an annotator has one.
    """
    votes = _votes(campaign)
    tasks = (
        Task.objects.filter(id__in={task_id for task_id, _ in votes})
        .select_related("source")
        .prefetch_related("reconstructions")
        .order_by("target_bpp", "source__sha256", "id")
    )
    split = split_by_source(
        campaign.tasks.values_list("source_id", "source__sha256").order_by(), seed=campaign.seed
    )
    numbers: Counter = Counter()
    found = []
    for task, shown in ((each, pair) for each in tasks for pair in _all_pairs(each)):
        p0, p1 = _sides(task, shown, seed=campaign.seed)
        for is_simulated in (False, True):
            given = votes[task.id, is_simulated]
            for_p0, for_p1 = given[p0.id, p1.id], given[p1.id, p0.id]
            if not for_p0 + for_p1:
                continue
            subset = f"{'simulated-' if is_simulated else ''}bpp-{task.stratum}"
            place = split[task.source_id], subset
            found.append(
                Pair(
                    *place,
                    file=f"{numbers[place]:06d}",
                    task=task,
                    p0=p0,
                    p1=p1,
                    votes=round(for_p0 + for_p1),
                    votes_p1=for_p1,
                    is_simulated=is_simulated,
                )
            )
            numbers[place] += 1
    return found


def _votes(campaign: Campaign) -> dict[tuple[int, bool], Counter]:
    """By task, and whether simulated: how often one reconstruction was judged closer than another,
    by (its id, the other's id); a tie counts one half both ways."""
    votes: dict[tuple[int, bool], Counter] = defaultdict(Counter)
    judgments = Judgment.objects.filter(
        assignment__task__campaign=campaign, assignment__purpose=Purpose.MEASURE
    ).values_list(
        "assignment__task_id", "assignment__annotator__is_simulated", "assignment__shown", "ranks"
    )
    for task_id, is_simulated, shown, ranks in judgments.iterator(chunk_size=5000):
        for (a, rank_a), (b, rank_b) in combinations(zip(shown, ranks, strict=True), 2):
            for_a = 0.5 if rank_a == rank_b else float(rank_a < rank_b)
            votes[task_id, is_simulated][a, b] += for_a
            votes[task_id, is_simulated][b, a] += 1 - for_a
    return votes


def _all_pairs(task: Task) -> Iterator[tuple[Reconstruction, Reconstruction]]:
    shown = sorted(task.reconstructions.all(), key=lambda each: (each.codec, each.codec_version))
    return combinations(shown, 2)


def _sides(
    task: Task, pair: tuple[Reconstruction, Reconstruction], *, seed: int
) -> tuple[Reconstruction, Reconstruction]:
    """Which reconstruction is p0 and which p1: by the seed, so that no codec is always p0."""
    first, second = pair
    key = f"{seed}/{task.source.sha256}/{task.stratum}/{first.codec}/{second.codec}"
    flip = hashlib.sha256(key.encode()).digest()[0] & 1
    return (second, first) if flip else (first, second)


def bapps_files(campaign: Campaign, *, provenance: dict) -> Files:
    """The files of a BAPPS folder, the manifest and the data card last."""
    found = pairs(campaign)
    contents = content_names(campaign)
    manifest = io.StringIO()
    writer = csv.DictWriter(manifest, MANIFEST_COLUMNS)
    writer.writeheader()
    for pair in found:
        folder = f"2afc/{pair.split}/{pair.subset}"
        yield f"{folder}/ref/{pair.file}.png", shown_png(pair.task, pair.task.source.png)
        yield f"{folder}/p0/{pair.file}.png", shown_png(pair.task, pair.p0.decoded)
        yield f"{folder}/p1/{pair.file}.png", shown_png(pair.task, pair.p1.decoded)
        judge = io.BytesIO()
        np.save(judge, pair.judge)
        yield f"{folder}/judge/{pair.file}.npy", judge.getvalue()
        writer.writerow(manifest_row(pair, contents[pair.task.source_id]))
    yield "manifest.csv", manifest.getvalue().encode()
    votes = Counter()
    for pair in found:
        votes[pair.is_simulated] += pair.votes
    yield "dataset.json", _card(campaign, provenance, votes, pairs=len(found))


def manifest_row(pair: Pair, content: str) -> dict:
    """A pair's row of MANIFEST_COLUMNS. content : names its source image."""
    row = {
        "split": pair.split,
        "subset": pair.subset,
        "file": pair.file,
        "content": content,
        "sha256": pair.task.source.sha256,
        "crop": " ".join(map(str, pair.task.crop or ())),
        "stratum": pair.task.stratum,
        "votes": pair.votes,
        "votes_p1": f"{pair.votes_p1:g}",
        "judge": pair.judge[0],
        "simulated": _truth(pair.is_simulated),
    }
    for side, reconstruction in (("p0", pair.p0), ("p1", pair.p1)):
        row |= side_columns(
            side,
            codec=reconstruction.codec,
            codec_version=reconstruction.codec_version,
            bpp=reconstruction.actual_bpp,
            miss=reconstruction.miss,
        )
    return row


def side_columns(
    side: str, *, codec: str, codec_version: str, bpp: float, miss: str
) -> dict[str, str]:
    """What a manifest's row says of "p0" or "p1"."""
    return {
        f"{side}_codec": codec,
        f"{side}_version": codec_version,
        f"{side}_bpp": f"{bpp:.6f}",
        f"{side}_miss": miss,
    }


def judgments_csv(campaign: Campaign) -> Iterator[str]:
    """A file of comparisons or rankings (docs/comparison-files.md), a line at a time: one row a
    judgment."""
    return _lines(campaign, judgment_records(campaign))


def _lines(campaign: Campaign, records: Iterable[JudgmentRecord]) -> Iterator[str]:
    answers = ANSWER_COLUMNS[campaign.kind]
    if campaign.kind == Ranking.name:  # a file of rankings has no gold
        records = (each for each in records if not each.is_gold)
    header = ("annotator", "content", "stratum", *answers, "response_ms", "submitted_at")
    return csv_lines(
        (*header, "repeat", "simulated"),
        (
            (
                *(record.annotator, record.content, record.stratum),
                *(getattr(record, FIELD.get(column, column)) for column in answers),
                *(record.response_ms, record.submitted_at.isoformat()),
                *(_truth(record.repeats), _truth(record.is_simulated)),
            )
            for record in records
        ),
    )


def judgments_jsonl(campaign: Campaign) -> Iterator[str]:
    """All that is stored of each judgment (docs/judgments.md), a JSON object a line."""
    for each in complete_records(campaign):
        yield json.dumps(each, ensure_ascii=False) + "\n"


def csv_files(campaign: Campaign, *, provenance: dict) -> Files:
    """The judgments as one file of comparisons or rankings, and the data card."""
    records = list(judgment_records(campaign))
    yield "judgments.csv", "".join(_lines(campaign, records)).encode()
    yield (
        "dataset.json",
        _card(campaign, provenance, Counter(each.is_simulated for each in records)),
    )


FORMATS = {"bapps": bapps_files, "csv": csv_files}


def _truth(claim: bool) -> str:
    return "true" if claim else "false"


def _card(campaign: Campaign, provenance: dict, judgments: Counter, **counts: int) -> bytes:
    """What the folder holds. `judgments` counts those in it, by whether they are simulated: in the
    database there may be more by now."""
    card = {
        "judgments": judgments[False],
        "simulated_judgments": judgments[True],
        **counts,
        "strata": sorted(
            {stratum_name(bpp) for bpp in campaign.tasks.values_list("target_bpp", flat=True)},
            key=float,
        ),
        "kind": KINDS[campaign.kind].label,
        "seed": campaign.seed,
        "validation_share": VALIDATION_SHARE,
        "provenance": provenance,
    }
    return json.dumps(card, indent=2).encode()


def write_folder(files: Files, folder: Path) -> int:
    """Write files into a new folder; returns how many. Raises FolderInUse (see new_folder)."""
    count = 0
    with new_folder(folder) as aside:
        for name, content in files:
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            count += 1
    return count


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is renamed to this one at the end: a run that is interrupted leaves
    no folder that looks complete. Raises FolderInUse if the folder holds anything already."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUse(f"{folder} is there already and is not empty; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.partial-"))
    try:
        yield aside
        aside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
