"""Trainings as rows: asked for, claimed by one worker at a time, kept, given back, ended.

As with encodes (docs/decisions/0003-the-database-is-the-queue.md) the database says who trains
what. At most one run is running, which the database holds to; whoever finds another one running
leaves the rest to a later call. A run whose worker died waits again when its lease ends, and goes
on from the files in its folder.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings as configured
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from codecs_registry import clock
from codecs_registry.leases import Work
from evaluation.metric_models import NAME_PATTERN, MetricVersion, TrainingRun
from evaluation.training_data import newest_judgment

if TYPE_CHECKING:  # PyTorch takes a second to import, which pages that list runs do not need
    from perceptual.training import Progress, Settings

MAX_ATTEMPTS = 5
BASE_NAME = "closer-lpips-comp"
State = TrainingRun.State
WORK = Work(
    TrainingRun,
    waiting=State.QUEUED,
    held=State.RUNNING,
    failed=State.FAILED,
    most_attempts=MAX_ATTEMPTS,
)


class NameTaken(Exception):
    """There is a version, or a training, of this name; or it cannot be a version's."""


class LeaseLost(Exception):
    """The run is no longer this worker's: its lease ended, and another has taken it."""


class Stopped(Exception):
    """The worker is to end; the run waits for the next."""


def folder_of(run: TrainingRun) -> Path:
    """Where a run keeps what it needs to go on."""
    return configured.CLOSER_DATA / "training" / f"run-{run.id}"


def components_file() -> Path:
    """What frozen backbones saw, kept for all trainings."""
    return configured.CLOSER_DATA / "training" / "components.sqlite3"


def request(settings: Settings, *, population: str, name: str = "", **fields) -> TrainingRun:
    """Ask for a training. name : of the version to be; the next free one if it is not given.

    fields : study, dataset, start, rule, asked_by, is_foreground of the run.

    Raises NameTaken, and IntegrityError if the rule's last run is not over.
    """
    asked = {
        "population": population,
        "settings": asdict(settings),
        "last_judgment": newest_judgment(population),
        **fields,
    }
    if name:
        _require_free(name)
        return TrainingRun.objects.create(name=name, **asked)
    while True:
        free = _next_name()
        try:
            with transaction.atomic():
                return TrainingRun.objects.create(name=free, **asked)
        except IntegrityError:
            if _is_free(free):  # then it was no other training of the same name
                raise


def unfinished(settings: Settings, *, name: str = "", **fields) -> TrainingRun | None:
    """The run that the same request left unfinished, whoever may be at it; None if there is none.

    fields : as in `request`.
    """
    waiting = TrainingRun.objects.filter(
        state__in=[State.QUEUED, State.RUNNING], settings=asdict(settings), **fields
    )
    return (waiting.filter(name=name) if name else waiting).first()


def _require_free(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 100:
        raise NameTaken(
            f"{name!r} cannot be a version's name: lower-case letters, digits, '.', '_' and '-' "
            "can, 100 at most"
        )
    from perceptual.metric import metric_names

    if name in metric_names():
        raise NameTaken(f"{name!r} is the name of another metric")
    if not _is_free(name):
        raise NameTaken(f"there is a version or a training called {name!r} already")


def _is_free(name: str) -> bool:
    return not (
        MetricVersion.objects.filter(name=name).exists()
        or TrainingRun.objects.filter(name=name).exists()
    )


def _next_name() -> str:
    return next(name for n in count(1) if _is_free(name := f"{BASE_NAME}-{n}"))


def claim_next(*, worker: str, now: datetime) -> TrainingRun | None:
    """Take what was asked for first. None: nothing waits, or another is being trained."""
    WORK.release_lost(now=now)
    waiting = TrainingRun.objects.filter(state=State.QUEUED, is_foreground=False)
    for run_id in waiting.order_by("id").values_list("id", flat=True):
        if run := claim(run_id, worker=worker, now=now):
            return run
    return None


def claim(run_id: int, *, worker: str, now: datetime) -> TrainingRun | None:
    """Take a run that waits. None: it does not, or another is being trained."""
    WORK.release_lost(now=now)
    run = TrainingRun.objects.filter(id=run_id)
    if not WORK.take(run.filter(state=State.QUEUED), worker=worker, now=now):
        return None
    run.filter(started_at=None).update(started_at=now)
    return run.get()


def is_owed(*, now: datetime) -> bool:
    """Whether a training waits for a worker, or has lost its own, and none is under way."""
    owed = TrainingRun.objects.filter(WORK.owed(now=now), is_foreground=False)
    return owed.exists() and not WORK.under_way(now=now).exists()


def give_back(run: TrainingRun) -> None:
    """Have a run wait for the next worker; it does not count as an attempt."""
    WORK.give_back(held(run))


def fail(run: TrainingRun, reason: str) -> None:
    WORK.fail(held(run), reason, now=clock.now())


def retry(run: TrainingRun) -> bool:
    """Ask again for one that failed; it goes on where it was. False: it is no failed one, or its
    rule has asked for another since."""
    return bool(WORK.retry(TrainingRun.objects.filter(id=run.id)))


def discard(run: TrainingRun) -> bool:
    """Forget a run that waits or failed, with its files; whether it was one."""
    idle = TrainingRun.objects.filter(id=run.id, state__in=[State.QUEUED, State.FAILED])
    is_gone = bool(idle.delete()[0])
    if is_gone:
        shutil.rmtree(folder_of(run), ignore_errors=True)
    return is_gone


def finish(run: TrainingRun, version: MetricVersion) -> None:
    """Raises LeaseLost."""
    ended = held(run).update(state=State.FINISHED, version=version, finished_at=clock.now())
    if not ended:
        raise LeaseLost


def note_stage(run: TrainingRun, stage: str, *, done: int = 0, total: int = 0) -> None:
    """Raises LeaseLost."""
    _note(run, stage=stage, done=done, total=total, seconds_left=None, curve=run.curve)


def note_newest(run: TrainingRun, judgment: int) -> None:
    """Write down the newest judgment that a run sees. Raises LeaseLost."""
    _note(run, last_judgment=judgment)


def note(run: TrainingRun, progress: Progress) -> None:
    """Write down how far a training is. Raises LeaseLost."""
    seen = {"stage": progress.stage, "done": progress.done, "total": progress.total}
    if progress.epoch:
        seen["curve"] = run.curve
    _note(run, seconds_left=progress.seconds_left, **seen)


def _note(run: TrainingRun, **seen) -> None:
    if not held(run).update(**seen):
        raise LeaseLost
    for name, value in seen.items():
        setattr(run, name, value)


def held(run: TrainingRun) -> QuerySet[TrainingRun]:
    """The run, for as long as it is this worker's."""
    return WORK.held_by(run.worker).filter(id=run.id)
