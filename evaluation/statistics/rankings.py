"""The table of rankings, for judgments that order several reconstructions at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from evaluation.statistics.comparisons import (
    BoolArray,
    Comparisons,
    IntArray,
    InvalidComparisons,
    Stratified,
    encoded_or_one,
    number_first,
    still_used,
    whole_numbers,
)

COLUMNS = ("annotator", "content", "stratum", "ranking")


@dataclass(frozen=True, slots=True, eq=False)
class Rankings(Stratified):
    """m rankings of some of n conditions as parallel arrays, one row a ranking.

    annotator, content, stratum : (m,) int64 codes into annotators, contents, strata.
    rank : (m, n) int64; rank[r, i] = place of conditions[i] in ranking r; 1 is the closest to the
        original, equal places are ties, and 0 means not ranked (a partial ranking, which says
        nothing about what it leaves out). Places run 1, 2, 3, ... without gaps, so one after a
        tie of two is the next number; each ranking has at least two conditions.
    weight : (m,) int64 >= 0; how many identical judgments the row stands for, usually 1.
    annotators, contents, strata, conditions : the labels, each once. Constructors sort them
        (strata that are numbers by value, before all others), so results do not depend on
        the order of rows.

    There may be no rows at all. Raises InvalidComparisons if the arrays do not fit together.
    """

    annotator: IntArray
    content: IntArray
    stratum: IntArray
    rank: IntArray
    weight: IntArray
    annotators: tuple[str, ...]
    contents: tuple[str, ...]
    strata: tuple[str, ...]
    conditions: tuple[str, ...]

    def __post_init__(self) -> None:
        m, n = len(self.rank), len(self.conditions)
        for name, codes, labels in (
            ("annotator", self.annotator, self.annotators),
            ("content", self.content, self.contents),
            ("stratum", self.stratum, self.strata),
        ):
            if codes.shape != (m,):
                raise InvalidComparisons(f"{name}: expected {m} rows, found shape {codes.shape}")
            if m and not (codes.min() >= 0 and codes.max() < len(labels)):
                raise InvalidComparisons(f"{name}: expected codes from 0 to {len(labels) - 1}")
        if self.rank.shape != (m, n) or self.rank.dtype.kind not in "iu":
            raise InvalidComparisons(
                f"rank: expected whole numbers of shape {(m, n)}, found shape {self.rank.shape}"
            )
        if np.any(np.count_nonzero(self.rank, axis=1) < 2):
            raise InvalidComparisons("rank: expected at least two conditions in every row")
        ordered = np.sort(self.rank, axis=1)
        if not (np.isin(ordered[:, :1], (0, 1)).all() and np.all(np.diff(ordered, axis=1) <= 1)):
            raise InvalidComparisons("rank: expected places 1, 2, 3, ... without gaps, or 0")
        if self.weight.shape != (m,) or self.weight.dtype.kind not in "iu":
            raise InvalidComparisons(f"weight: expected {m} whole numbers")
        if np.any(self.weight < 0):
            raise InvalidComparisons("weight: expected no negative number")

    @classmethod
    def from_columns(
        cls,
        annotator: Sequence[str] | None,
        content: Sequence[str] | None,
        stratum: Sequence[str] | None,
        ranking: Sequence[str],
        *,
        weight: Sequence[int] | IntArray | None = None,
    ) -> Rankings:
        """Build the table from columns of m texts.

        annotator, content, stratum : None puts all rankings under one label, "all".
        ranking : conditions from the closest to the original to the farthest, as in
            "avif > webp = jpeg > jpeg2000": > separates places, = ties. At least two, none twice;
            a condition that was not ranked is left out.
        weight : one count for each row; default 1 each.

        Labels lose surrounding spaces and must not be empty. No rows give an empty table.
        Raises InvalidComparisons naming the first bad row (counted from 1) and column.
        """
        m = len(ranking)
        for name, column in zip(COLUMNS, (annotator, content, stratum, ranking), strict=True):
            if column is not None and len(column) != m:
                raise InvalidComparisons(f"{name}: expected {m} rows, found {len(column)}")
        annotator_codes, annotators = encoded_or_one(annotator, m, "annotator")
        content_codes, contents = encoded_or_one(content, m, "content")
        stratum_codes, strata = encoded_or_one(stratum, m, "stratum", by=number_first)
        rank, conditions = _ranks(ranking)
        return cls(
            annotator=annotator_codes,
            content=content_codes,
            stratum=stratum_codes,
            rank=rank,
            weight=np.broadcast_to(np.int64(1), m) if weight is None else whole_numbers(weight),
            annotators=annotators,
            contents=contents,
            strata=strata,
            conditions=conditions,
        )

    @classmethod
    def from_rows(
        cls, rows: Iterable[Sequence[str]], *, weight: Sequence[int] | IntArray | None = None
    ) -> Rankings:
        """Build the table from rows (annotator, content, stratum, ranking), as from_columns."""
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
        rank = self.rank[rows]
        ranked = np.flatnonzero(rank.any(axis=0))
        return type(self)(
            annotator=annotator,
            content=content,
            stratum=stratum,
            rank=rank[:, ranked],
            weight=self.weight[rows],
            annotators=annotators,
            contents=contents,
            strata=strata,
            conditions=tuple(self.conditions[i] for i in ranked),
        )

    def pooled(self) -> Rankings:
        """All rankings as one stratum "all": a mixture of strata, made knowingly."""
        return replace(self, stratum=np.zeros_like(self.stratum), strata=("all",))

    def comparisons(self) -> Comparisons:
        """Every pair of conditions that a ranking orders, as one judgment of its weight.

        A ranking of k conditions gives k (k - 1) / 2 rows, one after another; left is the one
        that comes first in conditions; a shared place is a tie. The pairs of a ranking are not
        independent, so that intervals that take them as such are too narrow.
        """
        left, right = np.triu_indices(len(self.conditions), k=1)
        rank_left, rank_right = self.rank[:, left], self.rank[:, right]
        row, pair = np.nonzero((rank_left > 0) & (rank_right > 0))
        lead = rank_right[row, pair] - rank_left[row, pair]
        unknown = np.broadcast_to(np.nan, len(row))  # takes no memory
        return Comparisons(
            annotator=self.annotator[row],
            content=self.content[row],
            stratum=self.stratum[row],
            a=left[pair],
            b=right[pair],
            outcome=(1.0 + np.sign(lead)) / 2,
            weight=self.weight[row],
            response_ms=unknown,
            expected=unknown,
            annotators=self.annotators,
            contents=self.contents,
            strata=self.strata,
            conditions=self.conditions,
        )


def _ranks(column: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """The places (m, n) that the texts of a column give, and the conditions, sorted."""
    parsed: dict[str, dict[str, int]] = {}
    for i, text in enumerate(column):
        if text not in parsed:
            try:
                parsed[text] = places_of(text)
            except ValueError as error:
                raise InvalidComparisons(f"row {i + 1}, column ranking: {error}") from None
    conditions = tuple(sorted({label for places in parsed.values() for label in places}))
    index = {label: i for i, label in enumerate(conditions)}
    different = np.zeros((len(parsed), len(conditions)), dtype=np.int64)
    for row, places in zip(different, parsed.values(), strict=True):
        row[[index[label] for label in places]] = list(places.values())
    position = {text: i for i, text in enumerate(parsed)}
    return different[np.fromiter(map(position.__getitem__, column), np.int64, len(column))], (
        conditions
    )


def places_of(text: str) -> dict[str, int]:
    """The place of each condition in a text such as "avif > webp = jpeg"."""
    places: dict[str, int] = {}
    for place, tied in enumerate(text.split(">"), start=1):
        for name in tied.split("="):
            label = name.strip()
            if not label:
                raise ValueError(f"expected a condition on each side of > and =, found {text!r}")
            if label in places:
                raise ValueError(f"expected each condition once, found {label!r} twice")
            places[label] = place
    if len(places) < 2:
        raise ValueError(f"expected at least two conditions, found {text!r}")
    return places
