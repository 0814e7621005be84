"""The table of pairwise judgments that all estimators start from."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

COLUMNS = ("annotator", "content", "stratum", "left", "right", "chosen")
OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5}
_PART = re.compile(r"@\d+,\d+$")


class InvalidComparisons(ValueError):
    """A comparison table that cannot be used; the message says where, and what was expected."""


class Stratified:
    """What tables of judgments have in common: strata, which nothing may mix silently."""

    __slots__ = ()
    content: IntArray
    contents: tuple[str, ...]
    stratum: IntArray
    strata: tuple[str, ...]

    @property
    def pictures(self) -> tuple[str, ...]:
        """The pictures that contents are, or are parts of: "harbour.png@40,16" is a part of
        "harbour.png". Parts are questions of their own; but answers to those of one picture have
        something in common, so that where clusters are meant, these are pictures."""
        return tuple(sorted({picture_of(each) for each in self.contents}))

    @property
    def picture(self) -> IntArray:
        """(m,) int64 codes into pictures."""
        place = {label: code for code, label in enumerate(self.pictures)}
        codes = np.array([place[picture_of(each)] for each in self.contents], dtype=np.int64)
        return codes[self.content]

    def where(self, rows: BoolArray | IntArray) -> Self:
        raise NotImplementedError

    def in_stratum(self, label: str) -> Self:
        """The rows of one stratum, with only the labels that occur in it.

        Raises ValueError if there is no such stratum.
        """
        if label not in self.strata:
            raise ValueError(f"no stratum {label!r}; there are {', '.join(self.strata) or 'none'}")
        return self.where(self.stratum == self.strata.index(label))

    def require_one_stratum(self) -> None:
        """Raise ValueError if there are several strata."""
        if len(self.strata) > 1:
            raise ValueError(
                f"{len(self.strata)} strata ({', '.join(self.strata)}) would be mixed: "
                "take one with in_stratum(), or mix them knowingly with pooled()"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons(Stratified):
    """m pairwise judgments as parallel arrays, one row a judgment.

    annotator, content, stratum : (m,) int64 codes into annotators, contents, strata. A content is
        a source image, or with several parts of it one of these, see `pictures`.
    a, b : (m,) int64 codes into conditions; a was shown on the left, b on the right, a != b.
    outcome : (m,) float64; 1.0 a was chosen, 0.0 b was chosen, 0.5 a tie.
    weight : (m,) int64 > 0; how many identical judgments the row stands for, usually 1. They are
        one annotator's: where it matters how many people agree, a row counts once.
    response_ms : (m,) float64; how long the answer took, in milliseconds; NaN where not known.
    expected : (m,) float64; the outcome that a gold question must have, 1.0, 0.0 or 0.5; NaN for
        all others. Gold questions check attention and belong in no scale: see without_gold().
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
    response_ms: FloatArray
    expected: FloatArray
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
        for name, values in (("response_ms", self.response_ms), ("expected", self.expected)):
            if values.shape != (m,):
                raise InvalidComparisons(f"{name}: expected {m} rows, found shape {values.shape}")
        if self.weight.shape != (m,) or self.weight.dtype.kind not in "iu":
            raise InvalidComparisons(f"weight: expected {m} whole numbers")
        if np.any(self.weight < 1):
            raise InvalidComparisons("weight: expected whole numbers from 1 on")

    @classmethod
    def from_columns(
        cls,
        annotator: Sequence[str] | None,
        content: Sequence[str] | None,
        stratum: Sequence[str] | None,
        left: Sequence[str],
        right: Sequence[str],
        chosen: Sequence[str],
        *,
        weight: Sequence[int] | IntArray | None = None,
        response_ms: Sequence[float] | FloatArray | None = None,
        expected: Sequence[str] | None = None,
    ) -> Comparisons:
        """Build the table from columns of m labels.

        annotator, content, stratum : None puts all judgments under one label, "all".
        chosen : "left", "right" or "tie".
        weight : one count for each row, default 1 each; rows of weight 0 are no judgments, and
            left out.
        response_ms : NaN where not known; default all.
        expected : the right answer to a gold question, as in chosen; "" for all others.

        Labels lose surrounding spaces and must not be empty. No rows give an empty table.
        Raises InvalidComparisons naming the first bad row (counted from 1) and column.
        """
        m = len(left)
        columns = (annotator, content, stratum, left, right, chosen)
        for name, column in zip(COLUMNS, columns, strict=True):
            if column is not None and len(column) != m:
                raise InvalidComparisons(f"{name}: expected {m} rows, found {len(column)}")
        (a, b), conditions = _encoded((left, right), ("left", "right"))
        if len(same := np.flatnonzero(a == b)):
            raise InvalidComparisons(
                f"row {same[0] + 1}, column right: expected another condition than left's "
                f"{conditions[a[same[0]]]!r}"
            )
        codes = {
            "annotator": encoded_or_one(annotator, m, "annotator"),
            "content": encoded_or_one(content, m, "content"),
            "stratum": encoded_or_one(stratum, m, "stratum", by=number_first),
        }
        unknown = np.broadcast_to(np.nan, m)  # takes no memory
        counts = np.broadcast_to(np.int64(1), m) if weight is None else whole_numbers(weight)
        is_judged = counts != 0
        table = cls(
            annotator=codes["annotator"][0],
            content=codes["content"][0],
            stratum=codes["stratum"][0],
            a=a,
            b=b,
            outcome=_outcomes(chosen, "chosen", OUTCOMES),
            weight=counts if weight is None or is_judged.all() else counts + ~is_judged,
            response_ms=unknown if response_ms is None else np.asarray(response_ms, np.float64),
            expected=unknown
            if expected is None
            else _outcomes(expected, "expected", {**OUTCOMES, "": np.nan}),
            annotators=codes["annotator"][1],
            contents=codes["content"][1],
            strata=codes["stratum"][1],
            conditions=conditions,
        )
        return table if is_judged.all() else table.where(is_judged)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Sequence[str]], *, weight: Sequence[int] | IntArray | None = None
    ) -> Comparisons:
        """Build the table from rows (annotator, content, stratum, left, right, chosen).

        As from_columns, which is faster.
        """
        rows = list(rows)
        for i, row in enumerate(rows):
            if len(row) != len(COLUMNS):
                raise InvalidComparisons(
                    f"row {i + 1}: expected the {len(COLUMNS)} values {', '.join(COLUMNS)}, "
                    f"found {len(row)}"
                )
        columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
        return cls.from_columns(*columns, weight=weight)

    @property
    def n_annotators(self) -> int:
        return len(self.annotators)

    def where(self, rows: BoolArray | IntArray) -> Self:
        """The rows of a mask (m,) or of indexes; labels that no longer occur are dropped."""
        annotator, annotators = still_used(self.annotator[rows], self.annotators)
        content, contents = still_used(self.content[rows], self.contents)
        stratum, strata = still_used(self.stratum[rows], self.strata)
        both, conditions = still_used(np.concatenate([self.a[rows], self.b[rows]]), self.conditions)
        a, b = np.split(both, 2)
        return type(self)(
            annotator=annotator,
            content=content,
            stratum=stratum,
            a=a,
            b=b,
            outcome=self.outcome[rows],
            weight=self.weight[rows],
            response_ms=self.response_ms[rows],
            expected=self.expected[rows],
            annotators=annotators,
            contents=contents,
            strata=strata,
            conditions=conditions,
        )

    def without_gold(self) -> Comparisons:
        """The judgments that were asked for their own sake."""
        return self.where(np.isnan(self.expected))

    def with_rows_of(self, other: Comparisons) -> Comparisons:
        """The rows of both tables, this one's first."""
        if not len(other.outcome):
            return self

        def labels(
            name: str, by: Callable[[str], tuple[float, str]] | None = None
        ) -> tuple[str, ...]:
            return tuple(sorted({*getattr(self, name), *getattr(other, name)}, key=by))

        def codes(name: str, of: str, joined: tuple[str, ...]) -> IntArray:
            place = {label: code for code, label in enumerate(joined)}
            return np.concatenate(
                [
                    np.array([place[each] for each in getattr(table, of)], np.int64)[
                        getattr(table, name)
                    ]
                    for table in (self, other)
                ]
            )

        def values(name: str) -> FloatArray:
            return np.concatenate([getattr(self, name), getattr(other, name)])

        annotators, contents = labels("annotators"), labels("contents")
        strata, conditions = labels("strata", number_first), labels("conditions")
        return Comparisons(
            annotator=codes("annotator", "annotators", annotators),
            content=codes("content", "contents", contents),
            stratum=codes("stratum", "strata", strata),
            a=codes("a", "conditions", conditions),
            b=codes("b", "conditions", conditions),
            outcome=values("outcome"),
            weight=np.concatenate([self.weight, other.weight]),
            response_ms=values("response_ms"),
            expected=values("expected"),
            annotators=annotators,
            contents=contents,
            strata=strata,
            conditions=conditions,
        )

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
        self.require_one_stratum()
        n = len(self.conditions)
        sums = np.bincount(self.a * n + self.b, weights=self.weight * score, minlength=n * n)
        return np.asarray(sums, dtype=np.float64).reshape(n, n)


def picture_of(content: str) -> str:
    """The name of the picture that a content is, or is a part of."""
    return _PART.sub("", content)


def encoded_or_one(
    column: Sequence[str] | None,
    m: int,
    name: str,
    by: Callable[[str], tuple[float, str]] | None = None,
) -> tuple[IntArray, tuple[str, ...]]:
    if column is None:
        return np.broadcast_to(np.int64(0), m), ("all",) if m else ()
    (codes,), labels = _encoded((column,), (name,), by)
    return codes, labels


def _encoded(
    columns: Sequence[Sequence[str]],
    names: Sequence[str],
    by: Callable[[str], tuple[float, str]] | None = None,
) -> tuple[list[IntArray], tuple[str, ...]]:
    """The codes (m,) of columns that share their labels, and these, sorted."""
    seen: defaultdict[str, int] = defaultdict(count().__next__)
    found = [_looked_up(column, seen) for column in columns]
    stripped = [value.strip() for value in seen]
    labels = tuple(sorted(dict.fromkeys(stripped), key=by))
    if "" in labels:
        row, name = next(
            (row, name)
            for name, column in zip(names, columns, strict=True)
            for row, value in enumerate(column)
            if not value.strip()
        )
        raise InvalidComparisons(f"row {row + 1}, column {name}: expected a value, found none")
    index = {label: i for i, label in enumerate(labels)}
    code = np.array([index[label] for label in stripped], dtype=np.int64)
    return [code[each] for each in found], labels


def _looked_up(column: Sequence[str], table: Mapping[str, int]) -> NDArray[np.integer[Any]]:
    """The numbers (m,) of a column's values."""
    with suppress(ValueError):  # bytes hold numbers to 255, and are made twice as fast
        return np.frombuffer(bytes(map(table.__getitem__, column)), np.uint8)
    return np.fromiter(map(table.__getitem__, column), np.int64, len(column))


def _outcomes(column: Sequence[str], name: str, outcomes: dict[str, float]) -> FloatArray:
    seen: defaultdict[str, int] = defaultdict(count().__next__)
    found = _looked_up(column, seen)
    values = [outcomes.get(value.strip()) for value in seen]
    if None in values:
        wrong = list(seen)[values.index(None)]
        raise InvalidComparisons(
            f"row {column.index(wrong) + 1}, column {name}: expected left, right or tie, "
            f"found {wrong!r}"
        )
    return np.asarray(np.array(values, dtype=np.float64)[found])


def number_first(label: str) -> tuple[float, str]:
    """Sorts numbers by value, then all other labels by name."""
    try:
        number = float(label)
    except ValueError:
        return math.inf, label
    return (number if math.isfinite(number) else math.inf), label


def whole_numbers(weight: Sequence[int] | IntArray) -> IntArray:
    counts = np.asarray(weight)
    if counts.size and counts.dtype.kind not in "iu":
        raise InvalidComparisons("weight: expected whole numbers")
    return counts.astype(np.int64)


def still_used(codes: IntArray, labels: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    times = np.bincount(codes, minlength=len(labels))
    used = np.flatnonzero(times)
    return (np.cumsum(times > 0) - 1)[codes], tuple(labels[i] for i in used)
