from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from config import backups, restoring
from config.postgres import ProgramFailed


class Command(BaseCommand):
    help = (
        "Fill an empty database and an empty storage from a backup, check every row and every "
        "byte, and bring the database up to this version (docs/backup.md)."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "backup",
            type=Path,
            metavar="BACKUP",
            help="its folder, or one with several: the newest",
        )

    def handle(self, *, backup, **options):
        try:
            found = backups.find(backup)
            self.stderr.write(f"restoring {found.folder}, made {found.manifest['made_at']}")
            done = restoring.restore(found, self.stderr.write)
        except (backups.BackupFailed, ProgramFailed, OSError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command begins again.") from None
        self.stdout.write(
            f"{done.tables['annotation_judgment']} judgments and all other rows, "
            f"{done.files} files: all as they were"
        )
        for line in done.notes:
            self.stdout.write(line)
