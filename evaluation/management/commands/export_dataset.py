import time
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from annotation.datasets import (
    FORMATS,
    Contents,
    DataChanged,
    FolderInUse,
    export_files,
    write_folder,
)
from annotation.datasets.contents import FILE_NAMES
from annotation.populations import PEOPLE
from evaluation import exporting
from evaluation.management.study_argument import find_study

SECONDS_BETWEEN = 1.0  # of two lines that tell how far it is


class Command(BaseCommand):
    help = "Write a study's judgments, or its 2AFC dataset, into a new folder (docs/datasets.md)."

    def add_arguments(self, parser):
        parser.add_argument("study", metavar="STUDY")
        parser.add_argument("folder", type=Path, metavar="FOLDER")
        parser.add_argument("--format", choices=FORMATS, default="bapps")
        parser.add_argument(
            "--population",
            choices=FILE_NAMES,
            default=PEOPLE,
            help="whose judgments; those of simulated annotators are not among people's "
            "(default: %(default)s)",
        )

    def handle(self, *, study, folder, **options):
        found = find_study(study)
        form = FORMATS[options["format"]]
        contents = Contents(found.campaign, options["population"], exporting.about(found))
        self.total, self.done, self.told_at = form.units(contents), 0, time.monotonic()
        contents.tell = self.tell
        if not self.total:
            self.stderr.write(f"There are no judgments yet{self.others(found, contents)}")
        try:
            count = write_folder(export_files(form, contents), folder)
        except (FolderInUse, DataChanged, OSError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was kept.") from None
        self.stdout.write(f"{count} files in {folder}")

    def tell(self, n):
        self.done += n
        if time.monotonic() - self.told_at >= SECONDS_BETWEEN:
            self.told_at = time.monotonic()
            self.stderr.write(f"{self.done} of {self.total}")

    def others(self, study, contents):
        """Where to look instead, of an export that is empty."""
        for population, n in study.judgment_counts().items():
            if n and population not in contents.populations:
                return f" by {contents.population}; --population {population} has {n}"
        return ""
