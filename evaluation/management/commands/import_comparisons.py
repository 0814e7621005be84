import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from evaluation.import_words import as_told
from evaluation.importing import AlreadyImported, DryRun, Reading, dry_run, import_judgments
from evaluation.management.study_argument import find_study
from evaluation.statistics.bapps import bapps_table
from evaluation.statistics.comparisons import InvalidComparisons
from evaluation.statistics.file_formats import FORMATS
from projects.access import NoSuchProject, find_project
from projects.models import Project

MOST_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Import judgments that were made elsewhere, for analysis: a file, or a BAPPS folder "
        "(docs/importing-judgments.md)."
    )

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--study", help="whose codecs, images and bit rates the file is held to"
        )
        parser.add_argument("--project", help="whose it is; else that of the study, or the first")
        parser.add_argument("--name", default="", help="of the import; default: the file's")
        parser.add_argument("--format", choices=("auto", *FORMATS), default="auto")
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="OURS=THEIRS",
            help="what the file calls a column of the format; may be given again",
        )
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--people", action="store_true", help="of both kinds, people's judgments")
        kind.add_argument("--simulated", action="store_true", help="of both kinds, simulated ones")
        parser.add_argument("--dry-run", action="store_true", help="look, and import nothing")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, file, study, dry_run: bool, people, simulated, **options):
        reading = Reading(
            format=options["format"],
            columns=columns_of(options["column"]),
            simulated=simulated if simulated or people else None,
            study=find_study(study) if study else None,
            project=project_of(options["project"]),
        )
        if reading.study and reading.project and reading.study.project != reading.project:
            raise CommandError(f"{study} is no study of {reading.project}")
        try:
            content = bapps_table(file) if file.is_dir() else file.read_bytes()
        except (InvalidComparisons, OSError) as error:
            raise CommandError(str(error)) from None
        found = look(content, reading)
        self.tell_failing(found)
        document = as_told(found) | {"imported": None}
        if not dry_run:
            document["imported"] = self.import_it(content, file, reading, options["name"])
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2, allow_nan=False))
        else:
            for line in lines(document):
                self.stdout.write(line)

    def import_it(self, content, file, reading, name) -> dict:
        try:
            imported = import_judgments(
                content, file_name=file.absolute().name, reading=reading, name=name
            )
        except AlreadyImported as already:
            raise CommandError(f"{already} ({already.imported.get_absolute_url()})") from None
        return {
            "id": imported.id,
            "name": imported.name,
            "page": imported.get_absolute_url(),
            "sha256": imported.sha256,
        }

    def tell_failing(self, found: DryRun) -> None:
        failing = found.judgments.malformed
        if failing:
            self.stderr.write(f"{len(failing)} of {found.judgments.n_rows} rows fail:")
        for each in failing[:MOST_SHOWN]:
            self.stderr.write(f"  {each}")
        if len(failing) > MOST_SHOWN:
            self.stderr.write("  ... --json lists them all")


def columns_of(arguments: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in arguments]
    for ours, sign, _ in pairs:
        if not (ours and sign):
            raise CommandError(
                "--column takes a format's column and the file's, as in content=image"
            )
    return {ours: theirs for ours, _, theirs in pairs}


def project_of(name: str | None) -> Project | None:
    try:
        return find_project(name) if name else None
    except NoSuchProject as error:
        raise CommandError(str(error)) from None


def look(content: bytes, reading: Reading) -> DryRun:
    found = dry_run(content, reading)
    if found.judgments is None:
        raise CommandError(found.refusal)
    return found


def lines(document: dict):
    """The dry run, and what came of it, for a terminal."""
    yield f"{FORMATS[document['format']].label}. {document['orientation']}"
    for each in document["columns"]:
        yield f"  {each['name']}: {each['meaning'] or 'ignored'}"
    for sentence in document["read_aloud"]:
        yield f"  “{sentence}”"
    causes = "".join(f", {n} set aside ({cause})" for cause, n in document["set_aside"].items())
    yield (
        f"{document['used']} of {document['rows']} rows are understood, "
        f"{len(document['malformed'])} fail{causes}"
    )
    for kind in ("conditions", "contents", "strata", "annotators"):
        if document[kind] is not None:
            yield f"  {len(document[kind])} {kind}"
    yield from document["cannot_be_had"]
    if document["imported"]:
        yield f"Imported as “{document['imported']['name']}”: {document['imported']['page']}"
    else:
        yield "Nothing was imported (--dry-run)"
