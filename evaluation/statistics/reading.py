"""Files of judgments, read: ours, those of JPEG AIC-3 and those of the pwcmp toolbox."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import IO, Any, Literal

from evaluation.statistics.comparisons import Comparisons, InvalidComparisons
from evaluation.statistics.file_formats import FORMATS, Rows, truth
from evaluation.statistics.rankings import Rankings

Source = str | os.PathLike[str] | IO[str] | IO[bytes]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that could not be understood.

    line : of the file, counted from 1; the row's last line where a quoted value spans several.
    reason : what was expected, as in "column chosen: expected left, right or tie, found 'j'".
    """

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}{', ' if self.reason.startswith('column') else ': '}{self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Judgments:
    """What a file of judgments holds.

    comparisons : the pairwise judgments, never empty; of rankings, all their pairs.
    rankings : the rankings, where the file holds rankings; otherwise None.
    repeats : the rows that say that they repeat an earlier question to see whether the annotator
        agrees with themselves, as comparisons; otherwise None.
    n_rows : how many rows follow the header, all told: those of comparisons (or of rankings) and of
        repeats, those that are malformed and those set aside.
    malformed : the rows that could not be understood and are left out, by line.
    set_aside : how many rows were understood and left out, by cause.
    sha256 : of the file's bytes, in hexadecimal; of a text source, of its text in UTF-8.
    format : "comparisons", "rankings", "aic3" or "pwcmp".
    """

    comparisons: Comparisons
    rankings: Rankings | None
    repeats: Comparisons | None
    n_rows: int
    malformed: tuple[Malformed, ...]
    set_aside: dict[str, int]
    sha256: str
    format: str


def read_judgments(
    source: Source,
    *,
    format: Literal["auto", "comparisons", "rankings", "aic3", "pwcmp"] = "auto",  # noqa: A002
    simulated: bool | None = None,
) -> Judgments:
    """Read a file of judgments: CSV in UTF-8 with a header, one row a judgment.

    source : a path, or an open file (text or binary).
    format : what the columns are and mean, as below; "auto" takes the format of which the header
        names the largest share of columns.
    simulated : take only the rows whose column `simulated` says so (True) or not (False); without
        that column, all rows are people's. None takes all, but refuses a file that holds both.

    Columns stand in any order; others are ignored, and so are empty lines and spaces around a
    value. Those in brackets may be absent.

    comparisons : annotator, content, stratum, left, right, chosen (left, right or tie),
        [response_ms] (milliseconds, or empty), [gold] (the right answer of a gold question, as
        in chosen, or empty), [simulated] (true or false).
    rankings : annotator, content, stratum, ranking ("avif > webp = jpeg": closest to the original
        first, = for ties), [simulated].
    aic3 : the responses to plain triplet comparisons of JPEG AIC-3 (Jenadeleh et al. 2025,
        arXiv:2504.06301, and its data set JPEG-AI-SDR25): worker, method, img_num, img_left,
        img_pivot, img_right, is_trap, response, [response_time] (milliseconds, though the data
        set's README says seconds). `response` names the MORE distorted side, so the other one is
        chosen; notsure is a tie. A condition is a codec with its level of distortion, such as
        "JPEG-AI 06", or "original"; the content is img_num. A level is no bit rate, and all of
        a content's conditions are on one scale: the stratum is "all". Trap questions, which show
        the original on one side, are gold. Set aside are "bias questions", which show one picture
        on both sides, and other rows that were "skipped". Boosted triplets (method BTC) are
        malformed: with differences amplified, distances are others.
    pwcmp : the tables of the pwcmp toolbox: observer, scene, condition_A, condition_B,
        is_A_selected (1 if A was judged better, otherwise 0), [criterion]. A is taken as left;
        the stratum is the criterion, as different questions share no scale, or "all". Repeats in
        further sessions are judgments like others.

    A malformed row is counted and left out. Refused with InvalidComparisons, in one line: a file
    without a header, a column missing or twice, no row that can be used, bytes that are not UTF-8,
    quotes in the wrong place (where the rows begin is then unknown), both kinds of judgments if
    simulated is None. OSError passes.
    """
    data = _bytes(source)
    name, rows = _rows(_text(data), format)
    n_rows = len(rows.lines) + len(rows.wrong)
    if "simulated" in rows.columns:
        _take(rows, simulated)
    elif simulated and rows.lines:
        raise InvalidComparisons("column simulated: expected simulated judgments, found none")
    columns = FORMATS[name].read(rows)
    is_repeat = (
        rows.meanings("repeat", truth) if "repeat" in rows.columns else [False] * len(rows.lines)
    )
    used = rows.used()
    malformed = tuple(Malformed(line, rows.wrong[line]) for line in sorted(rows.wrong))
    if not used:
        raise InvalidComparisons(_nothing_to_use(rows, malformed, n_rows))
    again = [row for row in used if is_repeat[row]]
    if len(again) == len(used):
        raise InvalidComparisons("column repeat: expected a judgment that repeats none, found none")
    ranked, found = _table(columns, [row for row in used if not is_repeat[row]])
    return Judgments(
        comparisons=found,
        rankings=ranked,
        repeats=_table(columns, again)[1] if again else None,
        n_rows=n_rows,
        malformed=malformed,
        set_aside=rows.causes(),
        sha256=hashlib.sha256(data).hexdigest(),
        format=name,
    )


def _table(
    columns: dict[str, Sequence[Any]], rows: list[int]
) -> tuple[Rankings | None, Comparisons]:
    """Rows of columns as rankings, if they are, and as comparisons."""
    if len(rows) < len(next(iter(columns.values()))):
        columns = {key: [column[row] for row in rows] for key, column in columns.items()}
    if "ranking" in columns:
        ranked = Rankings.from_columns(**columns)
        return ranked, ranked.comparisons()
    return None, Comparisons.from_columns(**columns)


def read_comparisons(source: Source, *, simulated: bool | None = None) -> Comparisons:
    """Read a comparison file of which every row must be right.

    As read_judgments with the format "comparisons", but the first malformed row raises
    InvalidComparisons, which names its line, its column and what was expected.
    """
    judgments = read_judgments(source, format="comparisons", simulated=simulated)
    if judgments.malformed:
        raise InvalidComparisons(str(judgments.malformed[0]))
    return judgments.comparisons


def _rows(text: str, name: str) -> tuple[str, Rows]:
    """The name of the format, told by the header if it is "auto", and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[int] = []
    wrong: dict[int, str] = {}
    try:
        header = [column.strip() for column in next(reader, [])]
        name, known = _known_columns(header, name)
        columns: dict[str, list[str]] = {column: [] for column in known}
        places = [(texts.append, header.index(column)) for column, texts in columns.items()]
        for fields in reader:
            if len(fields) == len(header):
                lines.append(reader.line_num)
                for append, place in places:
                    append(intern(fields[place]))  # labels recur: a tenth of the memory
            elif fields:
                wrong[reader.line_num] = (
                    f"expected {len(header)} values as in the header, found {len(fields)}"
                )
    except csv.Error as error:
        raise InvalidComparisons(f"line {reader.line_num}: expected CSV: {error}") from error
    return name, Rows(columns, lines, wrong)


def _known_columns(header: list[str], name: str) -> tuple[str, list[str]]:
    """The name of the format, and which of its columns the header names."""
    if name == "auto":
        share = {
            each: sum(column in header for column in FORMATS[each].required)
            / len(FORMATS[each].required)
            for each in FORMATS
        }
        name = max(share, key=share.__getitem__)
    elif name not in FORMATS:
        raise ValueError(f"format: expected auto, {', '.join(FORMATS)}, found {name!r}")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise InvalidComparisons(
            "line 1: expected columns separated by commas, found semicolons or tabs: save the "
            "file as comma-separated values"
        )
    required = FORMATS[name].required
    optional = [column for column in FORMATS[name].optional if column in header]
    for column in (*required, *optional):
        if header.count(column) != 1:
            raise InvalidComparisons(
                f"line 1, column {column}: expected once in a header with {','.join(required)}, "
                f"found {header.count(column)} times"
            )
    return name, [*required, *optional]


def _take(rows: Rows, simulated: bool | None) -> None:
    """Set aside the rows of the kind that is not asked for."""
    marks = rows.meanings("simulated", truth)
    kinds = {mark for mark in marks if mark is not None}
    if simulated is None and len(kinds) > 1:
        raise InvalidComparisons(
            "column simulated: expected one kind of judgments, found people's and simulated ones; "
            "say which to take"
        )
    if simulated is not None:
        if kinds == {not simulated}:
            raise InvalidComparisons(
                f"column simulated: expected {'simulated' if simulated else 'people'} judgments, "
                "found none"
            )
        cause = "people's judgments" if simulated else "simulated judgments"
        rows.set_aside(cause, (mark is not simulated for mark in marks))


def _nothing_to_use(rows: Rows, malformed: tuple[Malformed, ...], n_rows: int) -> str:
    if malformed:
        return f"{malformed[0]}; none of {n_rows} rows can be used"
    causes = " and ".join(f"{n} {cause}" for cause, n in rows.causes().items())
    return f"line 2: expected a judgment after the header, found {causes or 'none'}"


def _bytes(source: Source) -> bytes:
    try:
        data = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else source.read()
    except UnicodeDecodeError as error:  # a text file that was opened in another encoding
        raise _not_utf8(error) from error
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


def _not_utf8(error: UnicodeDecodeError) -> InvalidComparisons:
    line = error.object.count(b"\n", 0, error.start) + 1
    return InvalidComparisons(f"line {line}: expected text in UTF-8: {error}")
