"""The judged pairs of a campaign: which reconstruction is p0, how many votes p1 has, and whether a
pair is for training or for validation."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, islice
from typing import TypeVar

import numpy as np
from django.db.models import Count

from annotation.models import Campaign, Purpose, Task
from annotation.populations import BOTH, PEOPLE, POPULATIONS, SIMULATED
from annotation.records import all_judgments
from codecs_registry.models import Reconstruction

VALIDATION_SHARE = 0.2
SPLITS = ("train", "val")
TASKS_AT_ONCE = 500  # whose votes are in memory

Id = TypeVar("Id", int, str)
Votes = dict[tuple[int, bool], Counter]


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


def split_of(campaign: Campaign) -> dict[int, str]:
    """ "train" or "val" for each source image of a campaign, by its id."""
    sources = campaign.tasks.values_list("source_id", "source__sha256")
    return split_by_source(sources.order_by().distinct(), seed=campaign.seed)


def pairs(campaign: Campaign) -> list[Pair]:
    """All pairs of judged_pairs, by people and by simulations."""
    return list(judged_pairs(campaign))


def judged_pairs(
    campaign: Campaign,
    *,
    population: str = BOTH,
    until: int | None = None,
    target_bpp: Decimal | None = None,
    split: str | None = None,
) -> Iterator[Pair]:
    """Every pair that was judged, in a stable order, its votes by people and by simulations apart,
    streamed: votes are counted by the database, for TASKS_AT_ONCE at a time.

    A ranking is a judgment of each pair in it. Gold tasks are in no dataset, and repeats no votes:
    an annotator has one.

    until : the id of the last judgment that counts.   target_bpp, split : of this stratum or of
    this split alone; a pair has the same number in its subset whatever is left out.
    """
    splits = split_of(campaign)
    tasks = campaign.tasks.select_related("source").order_by("target_bpp", "source__sha256", "id")
    if target_bpp is not None:
        tasks = tasks.filter(target_bpp=target_bpp)
    if split is not None:
        tasks = tasks.filter(source_id__in=[each for each, its in splits.items() if its == split])
    kinds = {BOTH: (False, True), PEOPLE: (False,), SIMULATED: (True,)}[population]
    numbers: Counter = Counter()
    stream = tasks.prefetch_related("reconstructions").iterator(chunk_size=TASKS_AT_ONCE)
    while some := list(islice(stream, TASKS_AT_ONCE)):
        votes = _votes(campaign, some, population=population, until=until)
        for task, shown in ((each, pair) for each in some for pair in _all_pairs(each)):
            p0, p1 = _sides(task, shown, seed=campaign.seed)
            for is_simulated in kinds:
                given = votes[task.id, is_simulated]
                for_p0, for_p1 = given[p0.id, p1.id], given[p1.id, p0.id]
                if not for_p0 + for_p1:
                    continue
                place = splits[task.source_id], subset_name(task.stratum, is_simulated=is_simulated)
                yield Pair(
                    *place,
                    file=f"{numbers[place]:06d}",
                    task=task,
                    p0=p0,
                    p1=p1,
                    votes=round(for_p0 + for_p1),
                    votes_p1=for_p1,
                    is_simulated=is_simulated,
                )
                numbers[place] += 1


def subset_name(stratum: str, *, is_simulated: bool) -> str:
    return f"{'simulated-' if is_simulated else ''}bpp-{stratum}"


def count_pairs(campaign: Campaign, *, population: str, until: int) -> dict[str, tuple[int, int]]:
    """By population: how many pairs judged_pairs yields, and how many votes they have. A ranking of
    n has n (n - 1) / 2 pairs, and is a vote in each."""
    judged = all_judgments(campaign, population=population, until=until)
    counts = (
        judged.filter(assignment__purpose=Purpose.MEASURE)
        .values_list("assignment__annotator__is_simulated", "assignment__shown__len")
        .annotate(tasks=Count("assignment__task", distinct=True), judgments=Count("id"))
        .order_by()
    )
    found = dict.fromkeys(POPULATIONS, (0, 0))
    for is_simulated, n, tasks, judgments in counts:
        name, each = SIMULATED if is_simulated else PEOPLE, n * (n - 1) // 2
        pairs, votes = found[name]
        found[name] = pairs + tasks * each, votes + judgments * each
    return found


def judged_splits(campaign: Campaign, *, population: str, until: int) -> set[str]:
    """The splits in which judged_pairs has any."""
    judged = all_judgments(campaign, population=population, until=until)
    sources = judged.filter(assignment__purpose=Purpose.MEASURE).order_by()
    splits = split_of(campaign)
    return {
        splits[each]
        for each in sources.values_list("assignment__task__source_id", flat=True).distinct()
    }


def _votes(campaign: Campaign, tasks: list[Task], *, population: str, until: int | None) -> Votes:
    """By task, and whether simulated: how often one reconstruction was judged closer than another,
    by (its id, the other's id); a tie counts one half both ways."""
    answers = (
        all_judgments(campaign, population=population, until=until)
        .filter(assignment__task__in=[each.id for each in tasks])
        .filter(assignment__purpose=Purpose.MEASURE)
        .values_list(
            "assignment__task_id",
            "assignment__annotator__is_simulated",
            "assignment__shown",
            "ranks",
        )
        .annotate(n=Count("id"))
        .order_by()
    )
    votes: Votes = defaultdict(Counter)
    for task_id, is_simulated, shown, ranks, n in answers:
        for (a, rank_a), (b, rank_b) in combinations(zip(shown, ranks, strict=True), 2):
            for_a = 0.5 if rank_a == rank_b else float(rank_a < rank_b)
            votes[task_id, is_simulated][a, b] += n * for_a
            votes[task_id, is_simulated][b, a] += n * (1 - for_a)
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
