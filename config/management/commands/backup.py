from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from config import backups
from config.postgres import ProgramFailed


class Command(BaseCommand):
    help = (
        "Back up the database, as of one moment, and every file that it names, into a folder; "
        "files that an earlier backup has there are not copied again (docs/backup.md)."
    )

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, metavar="FOLDER")
        parser.add_argument(
            "--copy",
            action="store_true",
            help="copy files also where hard links would do: on the same disk",
        )
        parser.add_argument(
            "--keep", type=int, metavar="N", help="then delete all but the newest N backups there"
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="make none, but read back all that are there, every byte",
        )

    def handle(self, *, folder, copy, keep, verify, **options):
        if keep is not None and keep < 1:
            raise CommandError("--keep takes 1 or more")
        try:
            if verify:
                self.verify(folder)
            else:
                self.make(folder, copies=copy, keep=keep)
        except (backups.BackupFailed, ProgramFailed, OSError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the next backup goes on from the files there.") from None

    def make(self, folder, *, copies, keep):
        made = backups.make(folder, copies=copies, tell=self.stderr.write)
        files = made.manifest["blobs"]
        judgments = made.manifest["tables"]["annotation_judgment"]["rows"]
        self.stdout.write(
            f"{made.folder}: {judgments} judgments, {files['files']} files "
            f"({backups.in_words(files['size'])}), {files['new']} of them new "
            f"({backups.in_words(files['new_size'])})"
        )
        if keep:
            went = backups.keep_newest(folder, keep)
            self.stderr.write(f"{went} older backups deleted")
        if made.missing:
            raise CommandError(
                f"The backup lacks {len(made.missing)} files that the storage does not have as "
                f"they were ({made.missing[0]}, ...): manage.py verify_storage tells more"
            )

    def verify(self, folder):
        found = [backups.find(folder)] if (folder / backups.MANIFEST).exists() else None
        found = found or backups.all_in(folder)
        if not found:
            raise CommandError(f"{folder} has no backups")
        wrong = 0
        for line in backups.problems(found, self.stderr.write):
            wrong += 1
            self.stderr.write(line)
        if wrong:
            raise CommandError(f"{wrong} things are not as they were: do not rely on it")
        self.stdout.write(f"{len(found)} backups read back: all as they were made")
