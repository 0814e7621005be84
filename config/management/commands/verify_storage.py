import json
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from config import stored_files
from config.backups import BLOBS, in_words

DAY_S = 24 * 3600


class Command(BaseCommand):
    help = (
        "Read every stored file that the database names, and say which are missing or altered; "
        "with --repair, make again what can be made again, byte for byte (docs/backup.md)."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--repair",
            action="store_true",
            help="make lost files again: of the same pixels in the other format, of a bitstream, "
            "of a source image by the same codec in the same version",
        )
        parser.add_argument(
            "--from",
            type=Path,
            dest="backup",
            metavar="FOLDER",
            help="with --repair: take files from this folder of backups first",
        )
        parser.add_argument(
            "--quick", action="store_true", help="only whether they are there, not what they hold"
        )
        parser.add_argument(
            "--delete-orphans",
            action="store_true",
            help="delete files that nothing names and that are older than --older-than",
        )
        parser.add_argument(
            "--older-than",
            type=float,
            default=7.0,
            metavar="DAYS",
            help="(default: %(default)g; a worker may be about to name younger ones)",
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *, repair, backup, quick, delete_orphans, older_than, **options):
        if backup and not (backup / BLOBS).is_dir():
            raise CommandError(f"{backup} is no folder of backups: it has no {BLOBS} in it")
        if older_than < 0:
            raise CommandError("--older-than takes days, 0 or more")
        found = stored_files.check(quick=quick, tell=self.stderr.write)
        if repair:
            stored_files.repair(found, backup=backup, tell=self.stderr.write)
        if delete_orphans:
            stored_files.delete_orphans(found, older_than_s=older_than * DAY_S)
        if options["json"]:
            self.stdout.write(json.dumps(self.as_document(found), indent=2))
        else:
            self.say(found)
        if found.lost:
            more = "" if repair else "; --repair makes again what can be made again"
            raise CommandError(f"{len(found.lost)} files are lost{more}")

    def say(self, found):
        for each in found.broken:
            self.stdout.write(f"{each.name}: {each.state}{each.mended_by and ', '}{each.mended_by}")
            for row in each.wanted_by:
                self.stdout.write(f"  {row}")
            for reason in each.reasons if not each.mended_by else ():
                self.stdout.write(f"  cannot be made again: {reason}")
        self.stdout.write(
            f"{found.files} files, {len(found.broken)} not as they were, "
            f"{len(found.broken) - len(found.lost)} of these mended; "
            f"{len(found.orphans)} that nothing names ({in_words(found.orphans_size)}), "
            f"{len(found.leftovers)} half-written, {found.deleted} of these deleted"
        )

    def as_document(self, found):
        return {
            "files": found.files,
            "broken": [asdict(each) for each in found.broken],
            "orphans": {"n": len(found.orphans), "bytes": found.orphans_size},
            "half_written": len(found.leftovers),
            "deleted": found.deleted,
        }
