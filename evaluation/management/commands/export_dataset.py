from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from annotation.datasets import FORMATS, FolderInUse, write_folder
from evaluation.management.study_argument import find_study
from evaluation.provenance import provenance


class Command(BaseCommand):
    help = "Write a study's 2AFC dataset, or its judgments, into a new folder."

    def add_arguments(self, parser):
        parser.add_argument("study", metavar="STUDY")
        parser.add_argument("folder", type=Path, metavar="FOLDER")
        parser.add_argument("--format", choices=FORMATS, default="bapps")

    def handle(self, *, study, folder, **options):
        found = find_study(study)
        files = FORMATS[options["format"]](
            found.campaign, provenance=provenance() | {"study": found.name}
        )
        try:
            count = write_folder(self.counted(files), folder)
        except (FolderInUse, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{count} files in {folder}")

    def counted(self, files):
        for number, file in enumerate(files, start=1):
            if number % 500 == 0:
                self.stderr.write(f"{number} files")
            yield file
