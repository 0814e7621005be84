"""Judgments as a file of comparisons or rankings (docs/comparison-files.md)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import ClassVar

from annotation.datasets import columns
from annotation.datasets.contents import Column, Contents, File, Format, Part
from annotation.models import Campaign
from annotation.populations import BOTH
from annotation.records import JudgmentRecord
from codecs_registry.responses import csv_lines

ANSWER_COLUMNS = {"2afc": ("left", "right", "chosen", "gold"), "ranking": ("ranking",)}
FIELD = {"gold": "expected"}  # of a record, where it is called otherwise
LINES_AT_ONCE = 1000


class CsvFile(Format):
    name: ClassVar = "csv"
    label: ClassVar = "CSV"
    what: ClassVar = "A row a judgment, for every table program, and for Closer's own analyse."
    loader: ClassVar = 'pandas.read_csv("FOLDER/judgments-{who}.csv")'

    def purposes(self, contents: Contents) -> tuple[str, ...]:
        return contents.compared

    def units(self, contents: Contents) -> int:
        return sum(contents.count(contents.compared).values())

    def files(self, contents: Contents) -> Iterator[File]:
        yield File.of_parts(self._file(contents), _parts(contents), self.units(contents))

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        return {self._file(contents): columns.comparisons(contents.campaign.kind)}

    def _file(self, contents: Contents) -> str:
        return f"judgments-{contents.file_name}.csv"


def _parts(contents: Contents) -> Iterator[Part]:
    for after, rows in contents.stretches(contents.compared):
        records = contents.records(after=after, rows=rows)
        lines = comparison_lines(contents.campaign.kind, records, has_header=not after)
        yield Part(in_blocks(lines), rows)


def judgments_csv(campaign: Campaign, *, population: str = BOTH) -> Iterator[str]:
    """A file of comparisons or rankings (docs/comparison-files.md), a line at a time: one row a
    judgment."""
    return comparison_lines(campaign.kind, Contents(campaign, population).records())


def comparison_lines(
    kind: str, records: Iterable[JudgmentRecord], *, has_header: bool = True
) -> Iterator[str]:
    answers = ANSWER_COLUMNS[kind]
    fields = [FIELD.get(column, column) for column in answers]
    header = ("annotator", "content", "stratum", *answers, "response_ms", "submitted_at")
    lines = csv_lines(
        (*header, "repeat", "simulated"),
        (
            (
                *(record.annotator, record.content, record.stratum),
                *[getattr(record, field) for field in fields],
                *(record.response_ms, record.submitted_at.isoformat()),
                *(_truth(record.repeats), _truth(record.is_simulated)),
            )
            for record in records
        ),
    )
    return lines if has_header else islice(lines, 1, None)


def in_blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Lines as UTF-8, some at a time: a write for each would take longer than to make them."""
    while block := "".join(islice(lines, LINES_AT_ONCE)):
        yield block.encode()


def _truth(claim: bool) -> str:
    return "true" if claim else "false"
