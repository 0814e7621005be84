"""Exports: asked for, claimed by one worker at a time, made, kept until they are deleted.

    request ----> waiting --claim--> making --finish--> ready
                    ^                  |  \\--fail--> failed --retry--> waiting
                    '--- lease ends ---'

As with encodes (docs/decisions/0003-the-database-is-the-queue.md) the database says who makes what.
At most one is made at a time, which the database holds to: workers have other things to do. One
whose worker died goes on behind the last whole file of its archive, or part of a table, unless what
it is made of has changed since; then it begins anew. The archive has its name when it is whole.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from annotation.datasets import FORMATS, Contents, DataChanged, Moment, export_files
from annotation.datasets.archives import Archive, ArchiveInUse, Kept, file_digest, sums_of
from annotation.datasets.contents import FILE_NAMES
from annotation.models import Campaign, Export
from annotation.populations import PEOPLE
from codecs_registry import clock
from codecs_registry.leases import DATABASE_GONE, Work, lease_kept, worker_name

MAX_ATTEMPTS = 5
SECONDS_BETWEEN = 1.0  # of two notes of how far it is
State = Export.State
WORK = Work(
    Export,
    waiting=State.WAITING,
    held=State.MAKING,
    failed=State.FAILED,
    most_attempts=MAX_ATTEMPTS,
)


class UnknownExport(ValueError):
    """There is no such format, or no such population; the message names those there are."""


class LeaseLost(Exception):
    """The export is no longer this worker's: it was deleted, or another has taken it."""


def folder() -> Path:
    return settings.CLOSER_DATA / "exports"


def archive_of(export: Export) -> Path:
    """Where its archive lies, once it is ready."""
    return folder() / f"{export.id}.tar"


def _partial(export: Export) -> Path:
    return folder() / f"{export.id}.tar.partial"


# --- asked for ------------------------------------------------------------------------------------


def request(
    campaign: Campaign,
    form: str,
    population: str = PEOPLE,
    *,
    title: str,
    about: Mapping[str, Any],
    by=None,
) -> Export:
    """Ask for an export; one that is being made already is not asked for again.

    title : a word for the campaign, in the names of files.   about : docs/datasets.md.
    by : who asks.

    Raises UnknownExport.
    """
    for given, known in ((form, FORMATS), (population, FILE_NAMES)):
        if given not in known:
            raise UnknownExport(f"{given!r} is none of {', '.join(known)}")
    asked = {"campaign": campaign, "format": form, "population": population}
    for _ in range(3):  # between a refusal and the look at what refused it, that may be over
        try:
            with transaction.atomic():
                return Export.objects.create(
                    **asked,
                    name=f"{title}-{form}-{FILE_NAMES[population]}",
                    about=dict(about),
                    requested_by=by,
                    requested_at=clock.now(),
                )
        except IntegrityError:  # export_made_once_at_a_time
            with suppress(Export.DoesNotExist):
                return Export.objects.get(**asked, state__in=[State.WAITING, State.MAKING])
    raise RuntimeError(f"an export of {campaign} can be neither made nor found")


def retry(export: Export) -> bool:
    """Ask again for one that failed. False: it is none, or the same is being made already."""
    return bool(WORK.retry(Export.objects.filter(id=export.id)))


def delete(export: Export) -> None:
    """Forget an export, with its files. A worker that makes it stops when it next notes how far it
    is."""
    Export.objects.filter(id=export.id).delete()
    _delete_files(export)


def _delete_files(export: Export) -> None:
    partial = _partial(export)
    for path in (archive_of(export), partial, sums_of(partial)):
        path.unlink(missing_ok=True)


# --- claimed --------------------------------------------------------------------------------------


def claim_next(*, worker: str, now: datetime) -> Export | None:
    """Take what was asked for first. None: nothing waits, or another one is being made."""
    WORK.release_lost(now=now)
    waiting = Export.objects.filter(state=State.WAITING).order_by("id")
    for export_id in waiting.values_list("id", flat=True):
        if WORK.take(waiting.filter(id=export_id), worker=worker, now=now):
            Export.objects.filter(id=export_id, started_at=None).update(started_at=now)
            return Export.objects.select_related("campaign").get(id=export_id)
    return None


def is_owed(*, now: datetime) -> bool:
    """Whether an export waits for a worker, or has lost its own, and none is being made."""
    is_made = WORK.under_way(now=now).exists()
    return not is_made and Export.objects.filter(WORK.owed(now=now)).exists()


# --- made -----------------------------------------------------------------------------------------


def make_next() -> Export | None:
    """Make what is next. None: nothing is owed. Any number of workers may call it at once.

    Expected failures are recorded with the export, not raised. Where the database went away, one
    of DATABASE_GONE is, and the export waits.
    """
    export = claim_next(worker=worker_name(), now=clock.now())
    if export is None:
        return None
    held = _held(export)
    with lease_kept(held):
        try:
            _make(export)
        except LeaseLost:
            if not Export.objects.filter(id=export.id).exists():
                _delete_files(export)
        except ArchiveInUse:  # by a worker that was taken for dead: it is waited for
            WORK.give_back(held)
            return None
        except DATABASE_GONE:
            WORK.let_go(held)
            raise
        except DataChanged as error:
            _fail(export, f"{error} Try again.")
        except OSError as error:  # the disk is full, say
            _fail(export, f"The files could not be written: {error.strerror or error}.")
        except Exception as error:
            _fail(export, f"{type(error).__name__}: {error}")
            raise
    return export


def _make(export: Export) -> None:
    form, contents = FORMATS[export.format], _contents(export)
    _note(export, total=form.units(contents))
    notes = _Notes(export)
    contents.tell = notes.tell
    with Archive(
        _partial(export),
        folder=export.name,
        kept=Kept.stored(export.kept),
        mtime=int(export.requested_at.timestamp()),
    ) as archive:
        notes.archive = archive
        archive.add(export_files(form, contents), tell=notes.tell)
        archive.end()
        sha256 = file_digest(_partial(export))
        size = _partial(export).stat().st_size
        _note(export, done=export.total)  # it is ours still
        _partial(export).replace(archive_of(export))
        _finish(export, size_bytes=size, sha256=sha256)
    sums_of(_partial(export)).unlink(missing_ok=True)


def _contents(export: Export) -> Contents:
    """What it is made of: what a former worker began with if that is there still, else what is
    there now."""
    moment = Moment(**export.moment) if export.moment else None
    if moment is None or not moment.holds(export.campaign):
        moment = Moment.now(export.campaign)
        _note(export, moment=moment.as_dict(), kept={}, done=0)
    return Contents(export.campaign, export.population, export.about, moment)


class _Notes:
    """Writes down from time to time how far an export is, and what of its archive is kept."""

    def __init__(self, export: Export) -> None:
        self.archive: Archive | None = None
        self._export = export
        self._done = 0
        self._kept = Kept()
        self._noted_at = time.monotonic()

    def tell(self, n: int) -> None:
        """Raises LeaseLost."""
        self._done += n
        if time.monotonic() - self._noted_at < SECONDS_BETWEEN:
            return
        if self.archive and self.archive.kept != self._kept:
            self._kept = self.archive.flush()  # what is noted as kept is on the disk
        _note(self._export, done=self._done, kept=self._kept.as_dict())
        self._noted_at = time.monotonic()


def _finish(export: Export, **found: Any) -> None:
    if not _held(export).update(state=State.READY, finished_at=clock.now(), **found):
        raise LeaseLost


def _fail(export: Export, reason: str) -> None:
    """What is half-written goes: it may be that the disk is full of it."""
    if WORK.fail(_held(export), reason, now=clock.now(), moment=None, kept={}):
        _delete_files(export)


def _note(export: Export, **seen: Any) -> None:
    if not _held(export).update(**seen):
        raise LeaseLost
    for name, value in seen.items():
        setattr(export, name, value)


def _held(export: Export) -> QuerySet[Export]:
    return WORK.held_by(export.worker).filter(id=export.id)
