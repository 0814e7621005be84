"""What the columns of a file of judgments mean, by format.

A column's values become ours by a function of one value, which is called once for each different
value and raises ValueError for what it does not understand.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import Any, TypeVar

from evaluation.statistics import comparisons, rankings

T = TypeVar("T")

ORIGINAL = "original"  # the condition of an AIC-3 picture that was not compressed


@dataclass(slots=True)
class Rows:
    """The rows of a file on their way to judgments, and which of them are left out.

    columns : by name, m texts each.
    lines : m numbers; the line of each row.
    wrong : by line, why a row is malformed; from the start those that are longer or shorter than
        the header and not among the m.
    aside : by line, why a row that can be understood is left out.
    """

    columns: Mapping[str, Sequence[str]]
    lines: list[int]
    wrong: dict[int, str]
    aside: dict[int, str] = field(default_factory=dict)

    def meanings(self, column: str, meaning: Callable[..., T], *values: Sequence[Any]) -> list[T]:
        """What each row says in a column, or by values of several that are given.

        Where meaning raises ValueError, the row is malformed and its item here is None.
        """
        keys = list(zip(*values, strict=True)) if values else self.columns[column]
        known: dict[Any, Any] = {}
        unknown: dict[Any, str] = {}
        for key in dict.fromkeys(keys):
            try:
                known[key] = meaning(*key) if values else meaning(key)
            except ValueError as error:
                known[key] = None
                unknown[key] = f"column {column}: {error}"
        if unknown:
            for line, key in zip(self.lines, keys, strict=True):
                if key in unknown:
                    self.wrong.setdefault(line, unknown[key])  # the first reason is enough
        return list(map(known.__getitem__, keys))

    def labels(self, *columns: str) -> list[list[str]]:
        return [self.meanings(column, _label) for column in columns]

    def set_aside(self, cause: str, rows: Iterable[bool]) -> None:
        for line, leave in zip(self.lines, rows, strict=True):
            if leave:
                self.aside.setdefault(line, cause)

    def used(self) -> list[int]:
        """The positions of the rows that are judgments."""
        left_out = self.wrong.keys() | self.aside.keys()
        return [row for row, line in enumerate(self.lines) if line not in left_out]

    def causes(self) -> dict[str, int]:
        """How many rows were set aside, by cause."""
        return dict(Counter(why for line, why in self.aside.items() if line not in self.wrong))


def _of_comparisons(rows: Rows) -> dict[str, Sequence[Any]]:
    annotator, content, stratum, left, right = rows.labels(*comparisons.COLUMNS[:5])
    columns: dict[str, Sequence[Any]] = {
        "annotator": annotator,
        "content": content,
        "stratum": stratum,
        "left": left,
        "right": rows.meanings("right", _unlike_left, left, right),
        "chosen": rows.meanings("chosen", _chosen),
    }
    if "response_ms" in rows.columns:
        columns["response_ms"] = rows.meanings("response_ms", _milliseconds)
    if "gold" in rows.columns:
        columns["expected"] = rows.meanings("gold", _gold)
    return columns


def _of_rankings(rows: Rows) -> dict[str, Sequence[Any]]:
    annotator, content, stratum = rows.labels(*rankings.COLUMNS[:3])
    ranking = rows.meanings("ranking", _ranking)
    return {"annotator": annotator, "content": content, "stratum": stratum, "ranking": ranking}


def _of_aic3(rows: Rows) -> dict[str, Sequence[Any]]:
    annotator, content = rows.labels("worker", "img_num")
    rows.meanings("method", _plain)
    rows.meanings("img_pivot", _pivot)
    left, right = (rows.meanings(column, _picture) for column in ("img_left", "img_right"))
    chosen = rows.meanings("response", _more_distorted)
    is_trap = rows.meanings("is_trap", _flag)
    rows.set_aside("bias questions", map(eq, left, right))
    rows.set_aside("skipped", (answer == "skip" for answer in chosen))
    columns: dict[str, Sequence[Any]] = {
        "annotator": annotator,
        "content": content,
        "stratum": ["all"] * len(rows.lines),
        "left": left,
        "right": right,
        "chosen": chosen,
        "expected": rows.meanings("is_trap", _trap, is_trap, left, right),
    }
    if "response_time" in rows.columns:
        columns["response_ms"] = rows.meanings("response_time", _milliseconds)
    return columns


def _of_pwcmp(rows: Rows) -> dict[str, Sequence[Any]]:
    annotator, content, left, right = rows.labels("observer", "scene", "condition_A", "condition_B")
    has_criteria = "criterion" in rows.columns
    return {
        "annotator": annotator,
        "content": content,
        "stratum": rows.labels("criterion")[0] if has_criteria else ["all"] * len(rows.lines),
        "left": left,
        "right": rows.meanings("condition_B", _unlike_left, left, right),
        "chosen": rows.meanings("is_A_selected", _a_selected),
    }


@dataclass(frozen=True, slots=True)
class Format:
    """The columns of a format, and how they become those of Comparisons or Rankings."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Rows], dict[str, Sequence[Any]]]


FORMATS = {
    "comparisons": Format(
        comparisons.COLUMNS, ("response_ms", "gold", "repeat", "simulated"), _of_comparisons
    ),
    "rankings": Format(rankings.COLUMNS, ("repeat", "simulated"), _of_rankings),
    "aic3": Format(
        (
            *("worker", "method", "img_num", "img_left", "img_pivot", "img_right"),
            *("is_trap", "response"),
        ),
        ("response_time",),
        _of_aic3,
    ),
    "pwcmp": Format(
        ("observer", "scene", "condition_A", "condition_B", "is_A_selected"),
        ("criterion",),
        _of_pwcmp,
    ),
}


# --- what values mean -----------------------------------------------------------------------------


def _unlike(expected: str, value: str) -> ValueError:
    return ValueError(f"expected {expected}, found {reprlib.repr(value) if value else 'none'}")


def _label(text: str) -> str:
    if not (label := text.strip()):
        raise _unlike("a value", label)
    return label


def _one_of(answers: dict[str, T], expected: str) -> Callable[[str], T]:
    def meaning(text: str) -> T:
        if (value := text.strip()) not in answers:
            raise _unlike(expected, value)
        return answers[value]

    return meaning


_chosen = _one_of({each: each for each in comparisons.OUTCOMES}, "left, right or tie")
_gold = _one_of({each: each for each in ("", *comparisons.OUTCOMES)}, "left, right, tie or nothing")
_more_distorted = _one_of(
    {"left": "right", "right": "left", "notsure": "tie", "not sure": "tie", "skip": "skip"},
    "left, right, notsure or skip",
)
_plain = _one_of({"PTC": "PTC"}, "PTC (plain triplet comparison)")
_flag = _one_of({"0": False, "1": True}, "0 or 1")
_a_selected = _one_of({"1": "left", "0": "right"}, "1 (A selected) or 0 (B selected)")


def truth(text: str) -> bool:
    return _one_of({"true": True, "false": False}, "true or false")(text.lower())


def _milliseconds(text: str) -> float:
    if not text.strip():
        return math.nan
    try:
        time = float(text)
    except ValueError:
        time = math.nan
    if not 0 <= time < math.inf:
        raise _unlike("milliseconds, or nothing where not known", text.strip())
    return time


def _unlike_left(left: str, right: str) -> str:
    if left == right:
        raise ValueError(f"expected another condition than left's {reprlib.repr(left)}")
    return right


def _ranking(text: str) -> str:
    rankings.places_of(_label(text))
    return text


def _picture(text: str) -> str:
    """The condition that the name of an AIC-3 picture tells: PTC_00009_JPEG-AI_06.png."""
    name = re.fullmatch(r"[^_]+_\d+_(.+)_(\d+)\.\w+", text.strip())
    if name is None:
        raise _unlike("a picture such as PTC_00009_JPEG-AI_06.png", text.strip())
    return ORIGINAL if name[1] == "0ref" else f"{name[1]} {name[2]}"


def _pivot(text: str) -> str:
    if (picture := _picture(text)) != ORIGINAL:
        raise _unlike("the original", picture)
    return picture


def _trap(is_trap: bool, left: str, right: str) -> str:
    """The right answer of a trap question, which is the original; "" for other questions."""
    if is_trap and (left == ORIGINAL) == (right == ORIGINAL):
        raise ValueError("expected the original on one side of a trap question")
    return "" if not is_trap else "left" if left == ORIGINAL else "right"
