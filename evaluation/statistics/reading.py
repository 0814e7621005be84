"""Files of judgments, read: ours, and those of other studies and toolboxes."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from sys import intern
from typing import IO, Any

from evaluation.statistics.comparisons import Comparisons, InvalidComparisons, picture_of
from evaluation.statistics.file_formats import FORMATS, Rows, truth
from evaluation.statistics.rankings import Rankings, places_of
from evaluation.statistics.shares import Shares, judgments_of

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

    comparisons : the pairwise judgments; of rankings, all their pairs. Empty only where shares are
        all that the file tells.
    shares : what the file tells where it holds shares of votes without their number; else None.
    rankings : the rankings, where the file holds rankings; otherwise None.
    repeats : the rows that say that they repeat an earlier question to see whether the annotator
        agrees with themselves, as comparisons; otherwise None.
    n_rows : how many rows follow the header, all told: those used, malformed and set aside.
    n_used : how many rows are judgments, or shares, of the above.
    malformed : the rows that could not be understood and are left out, by line.
    set_aside : how many rows were understood and left out, by cause.
    sha256 : of the file's bytes, in hexadecimal; of a text source, of its text in UTF-8.
    format : a key of FORMATS.
    is_simulated : whether programs answered.
    names_annotators : whether the file says who judged. If not, all comparisons stand under one
        label, "all", which is nobody: nothing that needs to know them can be had.
    """

    comparisons: Comparisons
    shares: Shares | None
    rankings: Rankings | None
    repeats: Comparisons | None
    n_rows: int
    n_used: int
    malformed: tuple[Malformed, ...]
    set_aside: dict[str, int]
    sha256: str
    format: str
    is_simulated: bool
    names_annotators: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that a file may use, where it is to belong to something; None: any."""

    contents: Collection[str] | None = None
    strata: Collection[str] | None = None
    conditions: Collection[str] | None = None


def read_judgments(
    source: Source,
    *,
    format: str = "auto",  # noqa: A002
    simulated: bool | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Labels | None = None,
) -> Judgments:
    """Read a file of judgments: CSV in UTF-8 with a header, one row a judgment.

    source : a path, or an open file (text or binary).
    format : what the columns are and mean, as below; "auto" takes the format of which the header
        names the largest share of columns.
    simulated : take only the rows whose column `simulated` says so (True) or not (False); without
        that column, all rows are people's. None takes all, but refuses a file that holds both.
    columns : where the file calls a format's column otherwise: its name in the file, by the
        format's; "" where the file has none, whatever its header says. Not for formats without a
        header.
    labels : a row with another label than these is malformed; gold questions may compare others.

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
    mucped23 : method_a, method_b, image, worse (A or B: the side that was seen as WORSE, so the
        other one is chosen). Who judged is not told.
    clic : CLIC's triplets (oracle.csv): no header; the original, A, B, and 0 where A is closer or
        1 where B is. A condition is the folder of a picture that is named as its original is, or
        else the picture's own name. Who judged is not told.
    bapps : shares of votes, as in the manifest of a 2AFC dataset: content, p0_codec, p1_codec,
        judge (the share of votes for p1), [stratum], [votes], [simulated]. With the number of votes
        they are as many judgments, half votes being ties; without it they are shares and no more.
    pieapp : the pairwise labels of PieAPP (Prashnani et al. 2018, arXiv:1806.02067): ref. image,
        distorted image A, distorted image B, raw preference for A (or preference for A, in the test
        set: the share of people who find A closer), [votes]. Pairs without a raw preference were
        asked of nobody and are set aside.

    A malformed row is counted and left out. Refused with InvalidComparisons, in one line: a file
    without a header, a column missing or twice, no row that can be used, bytes that are not UTF-8,
    quotes in the wrong place (where the rows begin is then unknown), both kinds of judgments if
    simulated is None. OSError passes.
    """
    data = _bytes(source)
    name, rows = _rows(_text(data), format, columns or {})
    n_rows = len(rows.lines) + len(rows.wrong)
    is_simulated = False
    if "simulated" in rows.columns:
        is_simulated = _take(rows, simulated)
    elif simulated and rows.lines:
        raise InvalidComparisons("column simulated: expected simulated judgments, found none")
    found = FORMATS[name].read(rows)
    if labels is not None:
        _hold_to(labels, rows, found)
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
    asked = _of_rows(found, [row for row in used if not is_repeat[row]])
    has_shares_alone = "share" in asked and "votes" not in asked
    ranked, comparisons = (None, NOTHING) if has_shares_alone else _table(asked)
    return Judgments(
        comparisons=comparisons,
        shares=Shares.from_columns(**asked) if has_shares_alone else None,
        rankings=ranked,
        repeats=_table(_of_rows(found, again))[1] if again else None,
        n_rows=n_rows,
        n_used=len(used),
        malformed=malformed,
        set_aside=rows.causes(),
        sha256=hashlib.sha256(data).hexdigest(),
        format=name,
        is_simulated=is_simulated,
        names_annotators="annotator" in found,
    )


NOTHING = Comparisons.from_rows([])


def _of_rows(columns: dict[str, Sequence[Any]], rows: list[int]) -> dict[str, Sequence[Any]]:
    if len(rows) == len(next(iter(columns.values()))):
        return dict(columns)
    return {key: [column[row] for row in rows] for key, column in columns.items()}


def _table(columns: dict[str, Sequence[Any]]) -> tuple[Rankings | None, Comparisons]:
    """Columns as rankings, if they are, and as comparisons."""
    if "ranking" in columns:
        ranked = Rankings.from_columns(**columns)
        return ranked, ranked.comparisons()
    if "votes" in columns:
        return None, judgments_of(**columns)
    annotator = columns.pop("annotator", None)
    return None, Comparisons.from_columns(annotator, **columns)


def _hold_to(labels: Labels, rows: Rows, columns: dict[str, Sequence[Any]]) -> None:
    """Call malformed what has a label that is none of these."""
    is_gold = [bool(each) for each in columns.get("expected", [""] * len(rows.lines))]

    def one_of(allowed: Collection[str], label: str | None, is_gold: bool) -> None:
        if is_gold or label is None:
            return
        # A part of a picture belongs where the picture does.
        if label.strip() not in allowed and picture_of(label.strip()) not in allowed:
            raise ValueError(f"{reprlib.repr(label)} is none of the study's")

    def all_of(allowed: Collection[str], ranking: str | None) -> None:
        for label in places_of(ranking) if ranking is not None else ():
            one_of(allowed, label, False)

    if labels.contents is not None:
        rows.meanings("content", partial(one_of, labels.contents), columns["content"], is_gold)
    if labels.strata is not None:
        rows.meanings("stratum", partial(one_of, labels.strata), columns["stratum"], is_gold)
    if labels.conditions is not None:
        for side in ("left", "right"):
            if side in columns:
                rows.meanings(side, partial(one_of, labels.conditions), columns[side], is_gold)
        if "ranking" in columns:
            rows.meanings("ranking", partial(all_of, labels.conditions), columns["ranking"])


def read_comparisons(source: Source, *, simulated: bool | None = None) -> Comparisons:
    """Read a comparison file of which every row must be right.

    As read_judgments with the format "comparisons", but the first malformed row raises
    InvalidComparisons, which names its line, its column and what was expected.
    """
    judgments = read_judgments(source, format="comparisons", simulated=simulated)
    if judgments.malformed:
        raise InvalidComparisons(str(judgments.malformed[0]))
    return judgments.comparisons


def _rows(text: str, name: str, renamed: Mapping[str, str]) -> tuple[str, Rows]:
    """The name of the format, told by the header if it is "auto", and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[int] = []
    wrong: dict[int, str] = {}
    try:
        first = next(reader, [])
        header, has_header = header_of(first, name)
        name, known = _known_columns(_in_our_words(header, renamed), name)
        header = _in_our_words(header, renamed)
        columns: dict[str, list[str]] = {column: [] for column in known}
        places = [(texts.append, header.index(column)) for column, texts in columns.items()]
        for fields in reader if has_header else chain([first], reader):
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


def header_of(first: list[str], name: str) -> tuple[list[str], bool]:
    """The names of the columns, and whether the first row is where they stand.

    Formats without a header are told by the first row: as many values as columns, and none that is
    a column's name; of CLIC's triplets, the last is 0 or 1.
    """
    values = [each.strip() for each in first]
    clic = list(FORMATS["clic"].required)
    if name == "auto" and len(values) == len(clic) and values[-1] in ("0", "1"):
        return clic, False
    if name in FORMATS and not FORMATS[name].has_header and values != clic:
        return clic, False
    return values, True


def resembled(header: list[str]) -> str:
    """The format of which a header names the largest share of columns."""

    def named(name: str) -> float:
        required = FORMATS[name].required
        return sum(column in header for column in required) / len(required)

    return max(FORMATS, key=named)


def _in_our_words(header: list[str], renamed: Mapping[str, str]) -> list[str]:
    """A header in which the columns that are called otherwise have the format's names."""
    ours = {theirs: column for column, theirs in renamed.items() if theirs}
    # A column of that name that is not the one that is meant is none.
    return [ours.get(each, "" if each in renamed else each) for each in header]


def _known_columns(header: list[str], name: str) -> tuple[str, list[str]]:
    """The name of the format, and which of its columns the header names."""
    if name == "auto":
        name = resembled(header)
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


def _take(rows: Rows, simulated: bool | None) -> bool:
    """Set aside the rows of the kind that is not asked for; whether those left are simulated."""
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
        return simulated
    return kinds == {True}


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
