"""From a backup (backups.py) back to an installation that runs.

Files come first, then the database in one transaction: it never names a file that is not there,
and a restore that was cut short is begun again by the same command.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from django.core.files import File
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from annotation.models import Export
from codecs_registry import blobs
from config import backups, postgres
from config.backups import Backup, BackupFailed, Tell

OURS = {"django_migrations", "annotation_judgment"}
"""Tables by which a database is known as Closer's."""
OLDEST_SERVER = 17
"""pg_restore sets a parameter that servers before it do not know, which ends its transaction."""
FILLED_BY_ITSELF = {
    *("django_migrations", "django_content_type", "auth_permission", "django_session"),
    *("projects_project", "projects_signinfailures"),
}
"""Tables that have rows where migrations were applied, and nobody has done anything yet."""


@dataclass
class Restored:
    """What came back. notes: what whoever restores has to know or to do, a line each."""

    files: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def restore(backup: Backup, tell: Tell = lambda line: None) -> Restored:
    """Fill an empty database and an empty storage from a backup, check every row and every byte,
    and bring the database up to this version of Closer.

    Raises BackupFailed, postgres.ProgramFailed or OSError; then the database is as empty as before.
    """
    _refuse_unknown(backup)
    _refuse_used(backup)
    dump = backup.folder / backups.DUMP
    for about, path in (("database", dump), ("blobs", backup.folder / backups.LIST)):
        if backups.digest(path) != backup.manifest[about]["sha256"]:
            raise BackupFailed(f"{path} is missing or altered: use another backup.")
    done = Restored()
    _restore_files(backup, done, tell)
    _restore_database(backup, dump, done, tell)
    if MigrationExecutor(connection).migration_plan(_newest()):
        tell("bringing the database up to date")
        call_command("migrate", verbosity=0)
    _say_what_is_not_in_it(backup, done)
    return done


def _refuse_unknown(backup: Backup) -> None:
    known = MigrationLoader(None).disk_migrations
    strange = [
        f"{app}.{name}"
        for app, names in backup.manifest["migrations"].items()
        for name in names
        if (app, name) not in known
    ]
    if strange:
        version = backup.manifest["made_by"]["closer"]
        raise BackupFailed(
            f"It was made by Closer {version}, which is newer than this one (it has the migration "
            f"{strange[0]}): install that version."
        )
    server, former = connection.pg_version // 10000, backup.manifest["postgresql"]
    wanted = max(former, OLDEST_SERVER)
    if server < wanted:
        raise BackupFailed(
            f"It was made of PostgreSQL {former}, and the server here is {server}: use {wanted} or "
            "later."
        )
    postgres.program("pg_restore")


def _refuse_used(backup: Backup) -> None:
    here = set(connection.introspection.table_names())
    name = connection.settings_dict["NAME"]
    if here and not here >= OURS:
        raise BackupFailed(
            f"The database {name} has tables that are not Closer's: name an empty one."
        )
    with connection.cursor() as cursor:
        for table in sorted(here - FILLED_BY_ITSELF):
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')  # noqa: S608
            if cursor.fetchone()[0]:
                raise BackupFailed(
                    f"The database {name} is in use (there are rows in {table}): name an empty "
                    "one in DATABASE_URL, or an empty folder in CLOSER_DATA."
                )
    listed = {name for name, _ in backup.files()}
    if any(name not in listed for name in storages["blobs"].stored()):
        raise BackupFailed(
            "The storage has files that are not in the backup: name an empty folder in CLOSER_DATA."
        )


def _restore_files(backup: Backup, done: Restored, tell: Tell) -> None:
    owed = backup.manifest["blobs"]["files"]
    told_at = time.monotonic()
    for name, _ in backup.files():
        if not (blobs.exists(name) and blobs.is_whole(name)):
            _put(backup.file(name), name)
        done.files += 1
        if time.monotonic() - told_at >= 1:
            told_at = time.monotonic()
            tell(f"files: {done.files} of {owed}")


def _put(path: Path, name: str) -> None:
    if backups.digest(path) != blobs.digest_of(name):
        raise BackupFailed(f"{path} is missing or altered: use another backup.")
    with path.open("rb") as file:
        storages["blobs"].mend(name, File(file))


def _restore_database(backup: Backup, dump: Path, done: Restored, tell: Tell) -> None:
    began = time.monotonic()
    _empty_database()
    connection.close()  # nothing of ours is in its way
    postgres.run(
        *("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"),
        *(f"--dbname={connection.settings_dict['NAME']}", dump),
        every_second=lambda: tell(f"database: {time.monotonic() - began:.0f} s"),
    )
    tell("checking every row")
    with transaction.atomic(), connection.cursor() as cursor:
        found = backups.tables_of(cursor)
        cursor.execute("ANALYZE")
    for table, was in backup.manifest["tables"].items():
        now = found.get(table)
        if now != was:
            raise BackupFailed(
                f"{table} came back with {now and now['rows']} rows that are not the {was['rows']} "
                "that were there: do not use it, and keep the backup."
            )
        done.tables[table] = was["rows"]


def _empty_database() -> None:
    """Take away the tables of a database in which nothing was done: the backup has its own."""
    if not connection.introspection.table_names():
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '30s'")
            cursor.execute("DROP SCHEMA public CASCADE")
            cursor.execute("CREATE SCHEMA public")
            cursor.execute("ALTER SCHEMA public OWNER TO pg_database_owner")  # as it was
    except DatabaseError as error:
        raise BackupFailed(
            f"The empty tables here cannot be taken away ({str(error).splitlines()[0]}): "
            "name a new database."
        ) from None


def _newest() -> list[tuple[str, str]]:
    return MigrationLoader(connection).graph.leaf_nodes()


def _say_what_is_not_in_it(backup: Backup, done: Restored) -> None:
    exports = Export.objects.filter(state=Export.State.READY).update(
        state=Export.State.FAILED,
        error="Its archive is not part of a backup. Try again.",
        size_bytes=None,
        sha256="",
        moment=None,
        kept={},
    )
    if exports:
        done.notes.append(
            f"{exports} exports have no archive any more: their pages make them anew."
        )
    if backup.missing:
        done.notes.append(
            f"{len(backup.missing)} files were missing when the backup was made; "
            "manage.py verify_storage --repair may make them again."
        )
    if backups.key_fingerprint() != backup.manifest["secret_key"]:
        done.notes.append(
            "SECRET_KEY is not the one of then: people sign in again, and annotators' links lead "
            "nowhere until the former key stands in SECRET_KEY_FALLBACKS."
        )
