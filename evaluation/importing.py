"""Judgments that were made elsewhere, taken in as a file: looked at first, then kept as it came."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from annotation.records import content_names
from codecs_registry import blobs
from evaluation.import_models import ImportedJudgments, ImportPreview
from evaluation.models import PEOPLE, SIMULATED, Study
from evaluation.statistics.comparisons import InvalidComparisons
from evaluation.statistics.file_formats import FORMATS
from evaluation.statistics.reading import Judgments, Labels, header_of, read_judgments, resembled
from projects import audit
from projects.access import default_project
from projects.models import Project

MOST_BYTES = 100 * 2**20
"""Of a file: about a million and a half judgments."""
FIRST_VALUES = 3
KEPT = timedelta(days=1)
"""How long a file that was looked at, and not imported, lies about at most."""


class AlreadyImported(Exception):
    """The same file is there already, as `imported`."""

    def __init__(self, imported: ImportedJudgments) -> None:
        super().__init__(f"This file was imported already, as “{imported.name}”")
        self.imported = imported


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    format : a key of FORMATS, or "auto".
    columns : the file's name of a format's column, by the format's; "": it is none of the file's.
    simulated : which judgments to take where a file holds both kinds; None: what there is.
    study : whose codecs, images and bit rates the file is held to; None: it stands alone.
    project : whose it is, which is the study's if there is one; None: that of what commands make.
    """

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    simulated: bool | None = None
    study: Study | None = None
    project: Project | None = None

    def digest(self, content: bytes) -> str:
        """Of the file and of all that decides what its rows become."""
        said = [
            hashlib.sha256(content).hexdigest(),
            self.format,
            dict(self.columns),
            self.simulated,
            self.study and self.study.id,
            self.project and self.project.id,
        ]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def read(self, content: bytes) -> Judgments:
        """Raises InvalidComparisons."""
        if len(content) > MOST_BYTES:
            raise InvalidComparisons(f"expected a file of at most {MOST_BYTES // 2**20} MB")
        if b"\0" in content:
            raise InvalidComparisons("expected text, found a file with zero bytes in it")
        return read_judgments(
            io.BytesIO(content),
            format=self.format,
            simulated=self.simulated,
            columns=self.columns,
            labels=None if self.study is None else labels_of(self.study),
        )


def labels_of(study: Study) -> Labels:
    """What a file may name that is to belong to a study.

    Raises InvalidComparisons if the study has no tasks yet.
    """
    contents = content_names(study.campaign).values()
    if not contents:
        raise InvalidComparisons(f"“{study.name}” is not encoded yet: no file can be held to it")
    return Labels(
        contents=frozenset(contents),
        strata=frozenset(study.strata),
        conditions=frozenset(study.codecs),
    )


@dataclass(frozen=True)
class Column:
    """A column of a file: its first values, and what it is taken for ("": for nothing)."""

    name: str
    first_values: tuple[str, ...]
    taken_for: str
    meaning: str


@dataclass(frozen=True)
class DryRun:
    """What an import would be.

    format : what it was read as, or would be.
    missing : columns that the format needs and the file lacks, each with what it is.
    judgments : None if the file is refused, and then `refusal` says why.
    """

    format: str
    columns: tuple[Column, ...]
    missing: tuple[tuple[str, str], ...]
    judgments: Judgments | None
    refusal: str

    @property
    def orientation(self) -> str:
        return FORMATS[self.format].orientation


def dry_run(content: bytes, reading: Reading) -> DryRun:
    """Look at a file as an import would; stores nothing."""
    try:
        judgments, refusal = reading.read(content), ""
    except InvalidComparisons as error:
        judgments, refusal = None, str(error)
    names, rows = _first_rows(content, reading.format)
    name = reading.format
    if judgments is not None:
        name = judgments.format
    elif name == "auto":
        name = resembled(names)
    columns = tuple(_column(i, names, rows, name, reading.columns) for i in range(len(names)))
    found = {each.taken_for for each in columns}
    return DryRun(
        format=name,
        columns=columns,
        missing=tuple(each for each in FORMATS[name].required.items() if each[0] not in found),
        judgments=judgments,
        refusal=refusal,
    )


def header(content: bytes, name: str) -> list[str]:
    """What a file calls its columns, read as a format or as "auto"."""
    return _first_rows(content, name)[0]


def _first_rows(content: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the first rows after them, of any bytes at all."""
    text = content[: 2**16].decode(errors="replace").removeprefix("\ufeff")
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline="")):
            if row:
                rows.append(row)
            if len(rows) > FIRST_VALUES:
                break
    except csv.Error:
        pass  # reading says what is wrong with it
    names, has_header = header_of(rows[0] if rows else [], name)
    return names, rows[1:] if has_header else rows[:FIRST_VALUES]


def _column(
    place: int, names: list[str], rows: list[list[str]], name: str, renamed: Mapping[str, str]
) -> Column:
    of_format = {**FORMATS[name].required, **FORMATS[name].optional}
    ours = {theirs: column for column, theirs in renamed.items() if theirs}
    column = names[place]
    taken_for = ours.get(column, column if column not in renamed else "")
    if taken_for not in of_format:
        taken_for = ""
    return Column(
        name=column,
        first_values=tuple(row[place][:80] for row in rows if place < len(row)),
        taken_for=taken_for,
        meaning=of_format.get(taken_for, ""),
    )


def same_file(reading: Reading, judgments: Judgments | None) -> ImportedJudgments | None:
    """The import that has these judgments already, if there is one."""
    if judgments is None:
        return None
    return ImportedJudgments.objects.filter(**_identity(reading, judgments)).first()


def _identity(reading: Reading, judgments: Judgments) -> dict:
    population = SIMULATED if judgments.is_simulated else PEOPLE
    study = reading.study
    return {
        "sha256": judgments.sha256,
        "project": study.project if study else reading.project or default_project(),
        "study": study,
        "population": population,
    }


def import_judgments(
    content: bytes, *, file_name: str, reading: Reading, name: str = "", by=None
) -> ImportedJudgments:
    """Keep a file and how it is read; whole, or not at all.

    by : the user who imports it, or None where a command does.

    Raises InvalidComparisons if no row can be used, AlreadyImported if the study (or, of files that
    stand alone, the project) has the same judgments already.
    """
    judgments = reading.read(content)
    same = _identity(reading, judgments)
    if known := ImportedJudgments.objects.filter(**same).first():
        raise AlreadyImported(known)
    file_name = _readable(file_name)
    try:
        with transaction.atomic():
            imported = ImportedJudgments.objects.create(
                **same,
                name=_readable(name)[:100] or file_name[:100],
                file_name=file_name,
                file=blobs.put(content, ".csv"),
                size_bytes=len(content),
                format=judgments.format,
                columns=dict(reading.columns),
                n_rows=judgments.n_rows,
                n_used=judgments.n_used,
                n_malformed=len(judgments.malformed),
                set_aside=judgments.set_aside,
                imported_by=by,
            )
            audit.record(
                "imported judgments",
                imported,
                by=by,
                project=imported.project,
                rows=imported.n_used,
                sha256=imported.sha256,
            )
            return imported
    except IntegrityError:  # somebody was faster
        raise AlreadyImported(ImportedJudgments.objects.get(**same)) from None


def read_again(imported: ImportedJudgments) -> Judgments:
    """The judgments of an import, from the file that was kept."""
    reading = Reading(
        format=imported.format,
        columns=imported.columns,
        # Where a file marks no row, all are people's, and asking for them changes nothing.
        simulated=imported.is_simulated,
        study=imported.study,
    )
    return reading.read(blobs.read(imported.file))


def remove(imported: ImportedJudgments, *, by=None) -> None:
    """Forget an import. The file itself stays among the blobs, which are never deleted."""
    with transaction.atomic():
        audit.record("removed imported judgments", imported, by=by, project=imported.project)
        imported.delete()


def keep_for_preview(
    content: bytes, *, file_name: str, study: Study | None, by, now: datetime
) -> ImportPreview:
    """Keep an uploaded file while somebody looks at it, in place of the one they looked at before;
    others' that nobody came back to go, too."""
    ImportPreview.objects.filter(uploaded_at__lt=now - KEPT).delete()
    preview, _ = ImportPreview.objects.update_or_create(
        user=by,
        defaults={"content": content, "file_name": _readable(file_name), "study": study},
    )
    return preview


def _readable(name: str) -> str:
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()[:200]
