"""Whether the storage has what the database names, as it was; what can be made again is.

missing : named, and not there.   altered : there, and not what its name says.
orphans : there, and named by nothing. Some are about to be named, by a worker that has just
written them; the others are left of what was deleted, or of a process that died between the two.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection
from django.db.models import TextField
from django.db.models.functions import Cast

from annotation import stimuli
from codecs_registry import blobs, remaking
from codecs_registry.blob_fields import BlobField, names_query, naming_fields
from codecs_registry.remaking import Way
from config.backups import BLOBS, STORAGE_LOCK, Tell
from evaluation import difference_maps, metric_versions

ROWS_TOLD = 5
"""How many rows that name a lost file are told."""


@dataclass
class Broken:
    """A file that is not as it was.

    wanted_by : the rows that name it, in words.   mended_by : of what it was made again; "" not.
    reasons : why it could not be made again, for each way there is.
    """

    name: str
    state: Literal["missing", "altered"]
    wanted_by: list[str] = field(default_factory=list)
    mended_by: str = ""
    reasons: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What a check came to."""

    files: int = 0
    broken: list[Broken] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    orphans_size: int = 0
    leftovers: list[Path] = field(default_factory=list)
    deleted: int = 0

    @property
    def lost(self) -> list[Broken]:
        return [each for each in self.broken if not each.mended_by]


def check(*, quick: bool = False, tell: Tell = lambda line: None) -> Found:
    """Look at every file. quick : only whether it is there, not at what it holds."""
    found = Found()
    stored = list(storages["blobs"].stored())  # first: what is named by then is no orphan
    found.leftovers = list(storages["blobs"].leftovers())
    names = _names()
    found.orphans = [name for name in stored if name not in names]
    found.orphans_size = sum(_size(name) for name in found.orphans)
    told_at = time.monotonic()
    for name in sorted(names):
        found.files += 1
        state = _state(name, quick=quick)
        if state:
            found.broken.append(Broken(name, state, _wanted_by(name)))
        if time.monotonic() - told_at >= 1:
            told_at = time.monotonic()
            tell(f"{found.files} of {len(names)} files, {len(found.broken)} not as they were")
    return found


def _names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(names_query())
        return {name for (name,) in cursor.fetchall()}


def _size(name: str) -> int:
    try:
        return blobs.size(name)
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _state(name: str, *, quick: bool) -> Literal["missing", "altered", ""]:
    try:
        if quick:
            return "" if blobs.exists(name) else "missing"
        return "" if blobs.is_whole(name) else "altered"
    except FileNotFoundError:
        return "missing"
    except OSError:  # the disk cannot read it
        return "altered"


def _wanted_by(name: str) -> list[str]:
    told = []
    for each in naming_fields():
        rows = each.model._default_manager.annotate(text=Cast(each.name, TextField()))
        is_all = isinstance(each, BlobField)
        rows = rows.filter(text=name) if is_all else rows.filter(text__contains=f'"{name}"')
        told += [f"{each.verbose_name} of {row}" for row in rows[:ROWS_TOLD]]
    return told


# --- mended ---------------------------------------------------------------------------------------


def repair(found: Found, *, backup: Path | None = None, tell: Tell = lambda line: None) -> None:
    """Make again what can be made again; a file counts only if it has the bytes that its name says.

    backup : a folder of backups, whose files are taken first.
    """
    while True:  # what is mended may be what another is made of
        owed = found.lost
        for number, each in enumerate(owed):
            _mend(each, backup)
            tell(f"{number + 1} of {len(owed)}: {each.name} {each.mended_by or 'stays lost'}")
        if len(found.lost) in (0, len(owed)):
            return


def _mend(broken: Broken, backup: Path | None) -> None:
    broken.reasons = []
    for way in _ways(broken.name, backup):
        try:
            content = way.make()
        except Exception as error:  # of codecs and decoders, whatever they raise
            broken.reasons.append(f"{way.said}: {error}")
            continue
        if blobs.sha256(content) != blobs.digest_of(broken.name):
            broken.reasons.append(f"{way.said}: other bytes came out than were there")
            continue
        storages["blobs"].mend(broken.name, ContentFile(content))
        broken.mended_by = f"made again of {way.said}"
        return
    if difference_maps.ask_again(broken.name):
        if broken.state == "altered":
            storages["blobs"].delete(broken.name)
        broken.mended_by = "asked for again: a worker makes it"


def _ways(name: str, backup: Path | None) -> Iterator[Way]:
    if backup:
        yield Way("the backup", (backup / BLOBS / name).read_bytes)
    yield from remaking.ways(name)
    yield from stimuli.ways_to_remake(name)
    yield from metric_versions.ways_to_remake(name)


# --- thrown away ----------------------------------------------------------------------------------


def delete_orphans(found: Found, *, older_than_s: float) -> None:
    """Delete what nothing names and nobody has written within so many seconds, and what killed
    processes left half-written."""
    with _alone():
        names = _names()
        for name in found.orphans:
            if name not in names:
                with contextlib.suppress(FileNotFoundError):
                    found.deleted += storages["blobs"].delete_unused(
                        name, older_than_s=older_than_s
                    )
        for path in found.leftovers:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than_s:
                    path.unlink()
                    found.deleted += 1


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No backup copies files meanwhile: it waits, or is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [STORAGE_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [STORAGE_LOCK])
