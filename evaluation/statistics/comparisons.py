"""The table of pairwise judgments that all estimators start from, and the file it is read from."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

COLUMNS = ("annotator", "content", "stratum", "left", "right", "chosen")
SIMULATED = "simulated"  # optional: marks what simulated annotators answered
OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5}


class InvalidComparisons(ValueError):
    """A comparison table that cannot be used; the message says where, and what was expected."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """m pairwise judgments as parallel arrays, one row a judgment.

    annotator, content, stratum : (m,) int64 codes into annotators, contents, strata.
    a, b : (m,) int64 codes into conditions; a was shown on the left, b on the right, a != b.
    outcome : (m,) float64; 1.0 a was chosen, 0.0 b was chosen, 0.5 a tie.
    weight : (m,) int64 >= 0; how many identical judgments the row stands for, usually 1.
    annotators, contents, strata, conditions : the labels, each once. Constructors sort them
        (strata that are numbers by value, before all others), so results do not depend on
        the order of rows.

    There may be no rows at all. Raises InvalidComparisons if the arrays do not fit together.
    """

    annotator: IntArray
    content: IntArray
    stratum: IntArray
    a: IntArray
    b: IntArray
    outcome: FloatArray
    weight: IntArray
    annotators: tuple[str, ...]
    contents: tuple[str, ...]
    strata: tuple[str, ...]
    conditions: tuple[str, ...]

    def __post_init__(self) -> None:
        m = len(self.outcome)
        for name, codes, labels in (
            ("annotator", self.annotator, self.annotators),
            ("content", self.content, self.contents),
            ("stratum", self.stratum, self.strata),
            ("a", self.a, self.conditions),
            ("b", self.b, self.conditions),
        ):
            if codes.shape != (m,):
                raise InvalidComparisons(f"{name}: expected {m} rows, found shape {codes.shape}")
            if m and not (codes.min() >= 0 and codes.max() < len(labels)):
                raise InvalidComparisons(f"{name}: expected codes from 0 to {len(labels) - 1}")
        if np.any(self.a == self.b):
            raise InvalidComparisons("a and b: expected two different conditions in every row")
        if not np.all(np.isin(self.outcome, (0.0, 0.5, 1.0))):
            raise InvalidComparisons("outcome: expected 1 (a chosen), 0 (b chosen) or 0.5 (tie)")
        if self.weight.shape != (m,) or self.weight.dtype.kind not in "iu":
            raise InvalidComparisons(f"weight: expected {m} whole numbers")
        if np.any(self.weight < 0):
            raise InvalidComparisons("weight: expected no negative number")

    @classmethod
    def from_rows(
        cls, rows: Iterable[Sequence[str]], *, weight: Sequence[int] | IntArray | None = None
    ) -> Comparisons:
        """Build the table from rows (annotator, content, stratum, left, right, chosen).

        chosen : "left", "right" or "tie".
        weight : one count for each row; default 1 each.

        Labels lose surrounding spaces and must not be empty. No rows give an empty table.
        Raises InvalidComparisons naming the first bad row (counted from 1) and column.
        """
        return _from_rows(list(rows), weight, lambda i: f"row {i + 1}")

    @property
    def n_annotators(self) -> int:
        return len(self.annotators)

    def where(self, rows: BoolArray | IntArray) -> Comparisons:
        """The rows of a mask (m,) or of indexes; labels that no longer occur are dropped."""
        annotator, annotators = _still_used(self.annotator[rows], self.annotators)
        content, contents = _still_used(self.content[rows], self.contents)
        stratum, strata = _still_used(self.stratum[rows], self.strata)
        both, conditions = _still_used(
            np.concatenate([self.a[rows], self.b[rows]]), self.conditions
        )
        a, b = np.split(both, 2)
        return Comparisons(
            annotator=annotator,
            content=content,
            stratum=stratum,
            a=a,
            b=b,
            outcome=self.outcome[rows],
            weight=self.weight[rows],
            annotators=annotators,
            contents=contents,
            strata=strata,
            conditions=conditions,
        )

    def in_stratum(self, label: str) -> Comparisons:
        """The judgments of one stratum, with only the labels that occur in it.

        Raises ValueError if there is no such stratum.
        """
        if label not in self.strata:
            raise ValueError(f"no stratum {label!r}; there are {', '.join(self.strata) or 'none'}")
        return self.where(self.stratum == self.strata.index(label))

    def pooled(self) -> Comparisons:
        """All judgments as one stratum "all": a mixture of strata, made knowingly."""
        return replace(self, stratum=np.zeros_like(self.stratum), strata=("all",))

    def win_matrix(self) -> FloatArray:
        """(n, n) wins[i, j] = how often conditions[i] was judged closer than conditions[j].

        A tie adds 1/2 to each side; rows count by their weight. No rows give zeros.
        Raises ValueError if there are several strata: take one, or mix them with pooled().
        """
        return self._pair_sums(self.outcome) + self._pair_sums(1.0 - self.outcome).T

    def tie_matrix(self) -> IntArray:
        """(n, n) symmetric; how often i and j were judged a tie. Strata as in win_matrix()."""
        ties = self._pair_sums((self.outcome == 0.5).astype(np.float64))
        return np.rint(ties + ties.T).astype(np.int64)

    def _pair_sums(self, score: FloatArray) -> FloatArray:
        """(n, n) sums of weight * score over the rows that showed [left, right]."""
        if len(self.strata) > 1:
            raise ValueError(
                f"{len(self.strata)} strata ({', '.join(self.strata)}) would be mixed: "
                "take one with in_stratum(), or mix them knowingly with pooled()"
            )
        n = len(self.conditions)
        sums = np.bincount(self.a * n + self.b, weights=self.weight * score, minlength=n * n)
        return np.asarray(sums, dtype=np.float64).reshape(n, n)


def read_comparisons(
    source: str | os.PathLike[str] | IO[str] | IO[bytes], *, simulated: bool | None = None
) -> Comparisons:
    """Read a comparison file: CSV in UTF-8, with a header, one row a judgment.

    source : a path, or an open file (text or binary).
    simulated : take only the rows whose column `simulated` says so (True) or not (False); without
        that column, all rows are people's. None takes all, but refuses a file that holds both.

    The header names annotator, content, stratum, left, right and chosen in any order; further
    columns are ignored, and so are empty lines and spaces around a value. Refused with
    InvalidComparisons, which names line, column and what was expected: no rows, a column missing
    or twice, a row longer or shorter than the header, an empty value, a condition compared with
    itself, `chosen` other than left, right or tie, quotes that do not close. OSError passes.
    """
    reader = csv.reader(io.StringIO(_text(source), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        pick = itemgetter(*_positions(header))
        marked = header.index(SIMULATED) if SIMULATED in header else None
        kinds: set[bool] = set()
        rows: list[tuple[str, ...]] = []
        lines: list[int] = []
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise InvalidComparisons(
                    f"line {reader.line_num}: expected {len(header)} values as in the header, "
                    f"found {len(fields)}"
                )
            is_simulated = marked is not None and _truth(fields[marked], reader.line_num)
            kinds.add(is_simulated)
            if simulated in (None, is_simulated):
                rows.append(pick(fields))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidComparisons(f"line {reader.line_num}: expected CSV: {error}") from error
    if simulated is None and len(kinds) > 1:
        raise InvalidComparisons(
            "column simulated: expected one kind of judgments, found people's and simulated ones; "
            "say which to take"
        )
    if kinds and not rows:
        raise InvalidComparisons(
            f"column simulated: expected {'simulated' if simulated else 'people'} judgments, "
            "found none"
        )
    if not rows:
        raise InvalidComparisons("line 2: expected a judgment after the header, found none")
    return _from_rows(rows, None, lambda i: f"line {lines[i]}")


def _truth(value: str, line: int) -> bool:
    if value.strip().lower() not in ("true", "false"):
        raise InvalidComparisons(
            f"line {line}, column simulated: expected true or false, found {value!r}"
        )
    return value.strip().lower() == "true"


def _text(source: str | os.PathLike[str] | IO[str] | IO[bytes]) -> str:
    try:
        data = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else source.read()
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidComparisons(f"line {line}: expected text in UTF-8: {error}") from error
    return text.removeprefix("\ufeff")  # spreadsheets put a byte order mark first


def _positions(header: list[str]) -> list[int]:
    """Where each of COLUMNS stands in the header."""
    for column in COLUMNS:
        if header.count(column) != 1:
            raise InvalidComparisons(
                f"line 1, column {column}: expected once in a header with {','.join(COLUMNS)}, "
                f"found {header.count(column)} times"
            )
    return [header.index(column) for column in COLUMNS]


def _from_rows(
    rows: Sequence[Sequence[str]],
    weight: Sequence[int] | IntArray | None,
    place: Callable[[int], str],
) -> Comparisons:
    """Check and encode; place(i) says where row i was found, for messages."""
    for i, row in enumerate(rows):
        if len(row) != len(COLUMNS):
            raise InvalidComparisons(
                f"{place(i)}: expected the {len(COLUMNS)} values {', '.join(COLUMNS)}, "
                f"found {len(row)}"
            )
    columns = [[row[c].strip() for row in rows] for c in range(len(COLUMNS))]
    for name, column in zip(COLUMNS, columns, strict=True):
        if "" in column:
            where = place(column.index(""))
            raise InvalidComparisons(f"{where}, column {name}: expected a value, found none")
    annotator, content, stratum, left, right, chosen = columns
    for i, answer in enumerate(chosen):
        if answer not in OUTCOMES:
            raise InvalidComparisons(
                f"{place(i)}, column chosen: expected left, right or tie, found {answer!r}"
            )
    for i, (a, b) in enumerate(zip(left, right, strict=True)):
        if a == b:
            raise InvalidComparisons(
                f"{place(i)}, column right: expected another condition than left's {a!r}"
            )
    annotators, contents = _labels(annotator), _labels(content)
    strata, conditions = _labels(stratum, by=_number_first), _labels([*left, *right])
    return Comparisons(
        annotator=_codes(annotator, annotators),
        content=_codes(content, contents),
        stratum=_codes(stratum, strata),
        a=_codes(left, conditions),
        b=_codes(right, conditions),
        outcome=np.fromiter((OUTCOMES[answer] for answer in chosen), np.float64, len(chosen)),
        weight=np.ones(len(rows), np.int64) if weight is None else _whole(weight),
        annotators=annotators,
        contents=contents,
        strata=strata,
        conditions=conditions,
    )


def _labels(
    column: Sequence[str], by: Callable[[str], tuple[float, str]] | None = None
) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(column), key=by))


def _number_first(label: str) -> tuple[float, str]:
    """Sorts numbers by value, then all other labels by name."""
    try:
        number = float(label)
    except ValueError:
        return math.inf, label
    return (number if math.isfinite(number) else math.inf), label


def _codes(column: Sequence[str], labels: tuple[str, ...]) -> IntArray:
    code = {label: i for i, label in enumerate(labels)}
    return np.fromiter((code[label] for label in column), np.int64, len(column))


def _whole(weight: Sequence[int] | IntArray) -> IntArray:
    counts = np.asarray(weight)
    if counts.size and counts.dtype.kind not in "iu":
        raise InvalidComparisons("weight: expected whole numbers")
    return counts.astype(np.int64)


def _still_used(codes: IntArray, labels: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    used, codes = np.unique(codes, return_inverse=True)
    return codes.astype(np.int64), tuple(labels[i] for i in used)
