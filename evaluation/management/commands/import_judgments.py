from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from annotation.datasets import VALIDATION_SHARE, FolderInUse
from evaluation.imported_judgments import FORMATS, InvalidJudgments
from evaluation.provenance import provenance


class Command(BaseCommand):
    help = (
        "Turn judgments that were made elsewhere, with their pictures, into a 2AFC dataset "
        "(docs/datasets.md)."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, metavar="FOLDER")
        parser.add_argument("--format", choices=FORMATS, required=True)
        parser.add_argument("--out", type=Path, required=True, metavar="DATASET")
        parser.add_argument(
            "--validation-share",
            type=float,
            default=VALIDATION_SHARE,
            help="of the pictures, which go to val with all their pairs; 0.5 makes halves",
        )
        parser.add_argument("--seed", type=int, default=0, help="of the split, and of p0 and p1")

    def handle(self, *, folder, out, validation_share, seed, **options):
        if not 0 < validation_share < 1:
            raise CommandError("--validation-share takes a share between 0 and 1, such as 0.2")
        write = FORMATS[options["format"]]
        try:
            found = write(
                folder,
                out,
                seed=seed,
                validation_share=validation_share,
                provenance=provenance(),
            )
        except (InvalidJudgments, FolderInUse, OSError) as error:
            raise CommandError(str(error)) from None
        n_votes = sum(each.votes for each in found)
        n_contents = len({each.content for each in found})
        self.stdout.write(
            f"{len(found)} pairs of {n_contents} pictures, {n_votes} votes: {out.absolute()}"
        )
