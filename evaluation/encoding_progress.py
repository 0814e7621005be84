"""How far a study's encoding is, codec by codec and bit rate by bit rate, and what failed why."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min

from codecs_registry.models import Reconstruction, stratum_name
from evaluation.models import Study

State = Reconstruction.State
LOOKED_BACK = timedelta(minutes=10)
QUIET_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Cell:
    """Of one codec at one bit rate, how many reconstructions are in each state."""

    stratum: str
    ready: int
    running: int
    waiting: int
    failed: int

    @property
    def total(self) -> int:
        return self.ready + self.running + self.waiting + self.failed


@dataclass(frozen=True)
class Failures:
    """Reconstructions that failed for one reason: the first of them, and how many more."""

    reason: str
    first: Reconstruction
    more: int


@dataclass(frozen=True)
class Progress:
    """rows : of each codec a cell for each of `strata`. left : how long the rest takes at the pace
    of the last minutes; None where too little was made. is_quiet : nothing is being made."""

    strata: list[str]
    rows: list[tuple[str, list[Cell]]]
    ready: int
    running: int
    waiting: int
    failed: int
    left: timedelta | None
    is_quiet: bool

    @property
    def total(self) -> int:
        return self.ready + self.running + self.waiting + self.failed

    @property
    def left_words(self) -> str:
        minutes = (self.left or timedelta()).total_seconds() / 60
        return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(1, round(minutes))} min"


def progress(study: Study, *, now: datetime) -> Progress:
    made = study.reconstructions.order_by()
    counts: Counter[tuple[str, str, str]] = Counter()
    for codec, bpp, state, n in made.values_list("codec", "target_bpp", "state").annotate(
        n=Count("id")
    ):
        counts[codec, stratum_name(bpp), state] += n
    rows = [
        (
            codec,
            [
                Cell(
                    stratum,
                    *(
                        counts[codec, stratum, str(state)]
                        for state in (State.READY, State.ENCODING, State.WAITING, State.FAILED)
                    ),
                )
                for stratum in study.strata
            ],
        )
        for codec in sorted(study.codecs)
    ]
    cells = [cell for _, of_codec in rows for cell in of_codec]
    ready, running, waiting, failed = (
        sum(getattr(cell, name) for cell in cells)
        for name in ("ready", "running", "waiting", "failed")
    )
    since = max(study.launched_at, now - LOOKED_BACK)
    recent = made.filter(state=State.READY, finished_at__gt=since).aggregate(
        n=Count("id"), first=Min("finished_at")
    )
    is_slow_start = now - study.launched_at < QUIET_AFTER
    newest = made.filter(finished_at__gt=now - QUIET_AFTER).exists()
    return Progress(
        strata=study.strata,
        rows=rows,
        ready=ready,
        running=running,
        waiting=waiting,
        failed=failed,
        left=(now - since) / recent["n"] * (running + waiting) if recent["n"] > 1 else None,
        is_quiet=bool(waiting) and not running and not newest and not is_slow_start,
    )


def failures(study: Study) -> list[Failures]:
    """What failed, each reason once, the most frequent first."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    failed = study.reconstructions.filter(state=State.FAILED).order_by("id")
    for found, reason in failed.values_list("id", "error"):
        by_reason[reason].append(found)
    firsts = Reconstruction.objects.select_related("source").in_bulk(
        [ids[0] for ids in by_reason.values()]
    )
    return sorted(
        (Failures(reason, firsts[ids[0]], len(ids) - 1) for reason, ids in by_reason.items()),
        key=lambda each: -each.more,
    )


def encoding_counts(study_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Of each of these studies how many reconstructions are in each state, and in all ("total"),
    in one query."""
    found: dict[int, dict[str, int]] = {
        each: {**dict.fromkeys(map(str, State), 0), "total": 0} for each in study_ids
    }
    rows = Reconstruction.objects.filter(studies__in=list(found)).order_by()
    for study, state, n in rows.values_list("studies", "state").annotate(n=Count("id")):
        found[study][state] += n
        found[study]["total"] += n
    return found
