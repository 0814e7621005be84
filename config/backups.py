"""Backups: the database as of one moment, and every file that it names then.

    HOME/
      blobs/ab/abcd....png     files, by what they hold: shared by all backups of the folder
      2026-11-30T171500Z/
        database.dump          what pg_dump (custom format) saw in one snapshot
        blobs.txt              what that snapshot names: name, size in bytes
        manifest.json          versions, migrations, rows and a digest of each table and file

First comes the database, then the files: these never change and are never deleted while something
names them, so that what the snapshot names is there however long the copying takes. Whoever judges
meanwhile is not held up; what was committed when the snapshot was taken is in it, wholly, and
nothing else. A backup has its name once it is whole; one that was cut short leaves nothing but
whole files, which the next need not copy again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core import signing
from django.core.files.storage import storages
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from codecs_registry import blobs
from codecs_registry.blob_fields import names_query
from config import postgres
from evaluation.provenance import provenance

FORMAT = 1
DUMP, LIST, MANIFEST, BLOBS = "database.dump", "blobs.txt", "manifest.json", "blobs"
MAKING, WRITING = ".making-", ".writing-"
NAME = "%Y-%m-%dT%H%M%SZ"
STORAGE_LOCK = "closer stored files"
"""Of PostgreSQL: shared by who copies files, held alone by who deletes some."""

Tell = Callable[[str], None]


class BackupFailed(Exception):
    """A backup cannot be made, found or trusted; the message is one line and says what to do."""


@dataclass(frozen=True)
class Backup:
    """One that is whole."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def home(self) -> Path:
        return self.folder.parent

    @property
    def missing(self) -> list[str]:
        """Files that the database named and the storage did not have, or had altered."""
        return self.manifest["missing"]

    def files(self) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each blob."""
        with (self.folder / LIST).open() as lines:
            for line in lines:
                name, size = line.split()
                yield name, int(size)

    def file(self, name: str) -> Path:
        return self.home / BLOBS / name


@dataclass
class Copied:
    """How many files a backup has, and how many of them were new to its folder."""

    files: int = 0
    size: int = 0
    new: int = 0
    new_size: int = 0


# --- found ----------------------------------------------------------------------------------------


def find(place: Path) -> Backup:
    """The backup in a folder, or the newest of a folder of them. Raises BackupFailed."""
    if (place / MANIFEST).exists():
        return read(place)
    found = all_in(place)
    if not found:
        raise BackupFailed(f"{place} is no backup, and no folder with backups in it.")
    return found[-1]


def all_in(home: Path) -> list[Backup]:
    """The backups of a folder, the oldest first. Raises BackupFailed if one cannot be read."""
    return [read(path.parent) for path in sorted(home.glob(f"[!.]*/{MANIFEST}"))]


def read(folder: Path) -> Backup:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        is_known = manifest["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupFailed(f"{folder / MANIFEST} cannot be read: {error}.") from None
    if not is_known:
        raise BackupFailed(f"{folder} was made by another version of Closer: use that one.")
    return Backup(folder.resolve(), manifest)


# --- made -----------------------------------------------------------------------------------------


def make(home: Path, *, copies: bool = False, tell: Tell = lambda line: None) -> Backup:
    """Make a backup in a folder, which may have others.

    copies : whether files are copied even where a hard link would do, so that what happens to the
        disk blocks of one does not happen to the other.
    tell : takes a line on how far it is, about every second.

    Raises BackupFailed, postgres.ProgramFailed or OSError; nothing is half-made then.
    """
    postgres.program("pg_dump")  # told before anything is written
    _prepare(home)
    with _only_one_in(home), _files_stay():
        for left in home.glob(f"{MAKING}*"):
            shutil.rmtree(left)
        made_at = datetime.now(UTC)
        folder = home / made_at.strftime(NAME)
        if folder.exists():
            raise BackupFailed(f"{folder} was made this very second.")
        aside = home / f"{MAKING}{folder.name}"
        aside.mkdir(mode=0o700)
        try:
            manifest = {"format": FORMAT, "made_at": made_at.isoformat(), **_about()}
            manifest |= _dump_database(aside, tell)
            manifest |= _copy_files(home, aside, copies=copies, tell=tell)
            _write(aside / MANIFEST, json.dumps(manifest, indent=1))
            os.sync()  # what the manifest speaks of is on the disk before it has its name
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return read(folder)


def _prepare(home: Path) -> None:
    storage = blobs.folder()
    if storage and (home.resolve() == storage or storage in home.resolve().parents):
        raise BackupFailed(f"{home} lies within the stored files themselves: choose another.")
    if home.exists() and not home.is_dir():
        raise BackupFailed(f"{home} is no folder.")
    if home.exists() and any(home.iterdir()) and not (home / BLOBS).is_dir():
        raise BackupFailed(f"{home} has other things in it: choose an empty or a new folder.")
    # Judgments, hashes of passwords and annotators' links are in it.
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / BLOBS).mkdir(exist_ok=True, mode=0o700)


@contextlib.contextmanager
def _only_one_in(home: Path) -> Iterator[None]:
    with (home / BLOBS / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"Another backup into {home} is being made: wait for it.") from None
        yield


@contextlib.contextmanager
def _files_stay() -> Iterator[None]:
    """Nobody deletes stored files meanwhile (verify_storage --delete-orphans)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", [STORAGE_LOCK])
        try:
            yield
        finally:
            cursor.execute(
                "SELECT pg_advisory_unlock_shared(hashtextextended(%s, 0))", [STORAGE_LOCK]
            )


def _about() -> dict[str, Any]:
    applied = MigrationRecorder(connection).applied_migrations()
    migrations: dict[str, list[str]] = {}
    for app, name in sorted(applied):
        migrations.setdefault(app, []).append(name)
    return {
        "made_by": provenance(),
        "postgresql": connection.pg_version // 10000,
        "migrations": migrations,
        "secret_key": key_fingerprint(),
    }


def key_fingerprint() -> str:
    """What tells whether an installation has the same SECRET_KEY, and nothing of the key."""
    return signing.Signer(salt="closer backup").signature("closer")


def _dump_database(aside: Path, tell: Tell) -> dict[str, Any]:
    """The database as of one snapshot, which pg_dump shares with our own queries."""
    began = time.monotonic()

    def report() -> None:
        size = dump.stat().st_size if dump.exists() else 0
        tell(f"database: {in_words(size)} after {time.monotonic() - began:.0f} s")

    dump = aside / DUMP
    snapshot = connection.copy()
    try:
        snapshot.set_autocommit(False)
        with snapshot.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT pg_export_snapshot()")
            [name] = cursor.fetchone()
            postgres.run(
                *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
                *(f"--snapshot={name}", f"--file={dump}"),
                every_second=report,
            )
            tables = tables_of(cursor)
        _write_names(snapshot, aside / "names")
    finally:
        snapshot.close()
    report()
    return {"database": _described(dump), "tables": tables}


def tables_of(cursor) -> dict[str, dict[str, Any]]:
    """Rows of each table, and a digest of them all, whatever their order."""
    cursor.execute("SET LOCAL TimeZone = 'UTC'")
    cursor.execute("SET LOCAL DateStyle = 'ISO'")
    cursor.execute("SET LOCAL extra_float_digits = 1")
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ' ORDER BY relname COLLATE "C"'
    )
    found = {}
    for (table,) in cursor.fetchall():
        # MD5 as a checksum that every PostgreSQL has: its first eight bytes of each row, added up.
        checksum = "('x' || left(md5(t::text), 16))::bit(64)::bigint"
        cursor.execute(f'SELECT count(*), coalesce(sum({checksum}), 0) FROM "{table}" t')  # noqa: S608
        rows, added_up = cursor.fetchone()
        found[table] = {"rows": rows, "digest": str(added_up)}
    return found


def _write_names(snapshot, path: Path) -> None:
    with snapshot.chunked_cursor() as cursor, path.open("w") as file:
        cursor.execute(names_query())
        while rows := cursor.fetchmany(10_000):
            file.writelines(f"{name}\n" for (name,) in rows)


def _copy_files(home: Path, aside: Path, *, copies: bool, tell: Tell) -> dict[str, Any]:
    names = aside / "names"
    copied, missing = Copied(), []
    told_at = time.monotonic()
    with names.open() as lines:
        owed = sum(1 for _ in lines)
    with names.open() as lines, _private(aside / LIST) as listed:
        for number, line in enumerate(lines):
            name = line.strip()
            target = home / BLOBS / name
            try:
                is_new = not _is_there(name, target)
                if is_new:
                    _take(name, target, copies=copies)
            except (FileNotFoundError, _Altered):
                missing.append(name)
                continue
            size = target.stat().st_size
            listed.write(f"{name} {size}\n")
            copied.files += 1
            copied.size += size
            if is_new:
                copied.new += 1
                copied.new_size += size
            if time.monotonic() - told_at >= 1:
                told_at = time.monotonic()
                tell(f"files: {number + 1} of {owed}, {in_words(copied.new_size)} new")
    names.unlink()
    return {
        "blobs": {**_described(aside / LIST), **vars(copied)},
        "missing": missing,
    }


class _Altered(Exception):
    pass


def _is_there(name: str, target: Path) -> bool:
    """Whether an earlier backup has the file. One of the right size is believed: `verify` reads."""
    try:
        return target.stat().st_size == blobs.size(name)
    except FileNotFoundError:
        return target.exists()  # the storage has lost it, and the backup has not


def _take(name: str, target: Path, *, copies: bool) -> None:
    """Have a backup hold a blob. Raises FileNotFoundError if there is none, _Altered if it holds
    other bytes than its name says."""
    target.parent.mkdir(exist_ok=True, mode=0o700)
    aside = target.with_name(f"{WRITING}{target.name}")
    aside.unlink(missing_ok=True)
    try:
        is_linked = not copies and _linked(name, aside)
        found = digest(aside) if is_linked else _copied(name, aside)
        if found != blobs.digest_of(name):
            raise _Altered(name)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _linked(name: str, target: Path) -> bool:
    try:
        os.link(storages["blobs"].path(name), target)
    except FileNotFoundError:
        raise
    except (NotImplementedError, OSError):  # kept elsewhere; another disk
        return False
    return True


def _copied(name: str, target: Path) -> str:
    found = hashlib.sha256()
    with storages["blobs"].open(name) as source, _private(target, "wb") as file:
        for chunk in source.chunks():
            found.update(chunk)
            file.write(chunk)
    return found.hexdigest()


# --- read back, and thinned out -------------------------------------------------------------------


def problems(found: list[Backup], tell: Tell = lambda line: None) -> Iterator[str]:
    """Read backups back: a line on each thing that is not as it was when they were made. Files
    that several share are read once."""
    seen: set[str] = set()
    told_at = time.monotonic()
    for backup in found:
        if backup.missing:
            yield f"{backup.folder.name}: {len(backup.missing)} files were missing or altered then"
        for about, name in (("database", DUMP), ("blobs", LIST)):
            if digest(backup.folder / name) != backup.manifest[about]["sha256"]:
                yield f"{backup.folder.name}: {name} is missing or altered"
                break
        else:
            for name, _ in backup.files():
                if name in seen:
                    continue
                seen.add(name)
                if digest(backup.file(name)) != blobs.digest_of(name):
                    yield f"{backup.folder.name}: {BLOBS}/{name} is missing or altered"
                if time.monotonic() - told_at >= 1:
                    told_at = time.monotonic()
                    tell(f"{backup.folder.name}: {len(seen)} files read")


def digest(path: Path) -> str:
    """The SHA-256 (hexadecimal) of a file; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def keep_newest(home: Path, count: int) -> int:
    """Delete all backups of a folder but the newest, and the files that none of these has. Returns
    how many backups went."""
    with _only_one_in(home):
        found = all_in(home)
        old, kept = found[:-count], found[-count:]
        for backup in old:
            # Without its name first: what is half-deleted is no backup.
            aside = home / f"{MAKING}{backup.folder.name}"
            backup.folder.rename(aside)
            shutil.rmtree(aside)
        named = {name for backup in kept for name, _ in backup.files()}
        for path in (home / BLOBS).glob("??/*"):
            if f"{path.parent.name}/{path.name}" not in named:
                path.unlink()
    return len(old)


# --- files ----------------------------------------------------------------------------------------


def _private(path: Path, mode: str = "w"):
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def _write(path: Path, text: str) -> None:
    with _private(path) as file:
        file.write(text)


def _described(path: Path) -> dict[str, Any]:
    path.chmod(0o600)
    return {"bytes": path.stat().st_size, "sha256": digest(path)}


def in_words(size: int) -> str:
    """'1.5 GB', of a size in bytes."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size} bytes"
