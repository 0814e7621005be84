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
from pathlib import PurePosixPath
from typing import Any, TypeVar

from evaluation.statistics import comparisons, rankings
from evaluation.statistics.comparisons import InvalidComparisons
from evaluation.statistics.shares import ROUNDING

T = TypeVar("T")

ORIGINAL = "original"  # the condition of a picture that was not compressed


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


def _of_mucped23(rows: Rows) -> dict[str, Sequence[Any]]:
    left, right, content = rows.labels("method_a", "method_b", "image")
    return {
        "content": content,
        "stratum": ["all"] * len(rows.lines),
        "left": left,
        "right": rows.meanings("method_b", _unlike_left, left, right),
        "chosen": rows.meanings("worse", _worse),
    }


def _of_clic(rows: Rows) -> dict[str, Sequence[Any]]:
    content, a, b = rows.labels("O", "A", "B")
    left = rows.meanings("A", _decoded, content, a)
    right = rows.meanings("B", _decoded, content, b)
    return {
        "content": content,
        "stratum": ["all"] * len(rows.lines),
        "left": left,
        "right": rows.meanings("B", _unlike_left, left, right),
        "chosen": rows.meanings("T", _closer_of_two),
    }


def _of_bapps(rows: Rows) -> dict[str, Sequence[Any]]:
    content, left, right = rows.labels("content", "p0_codec", "p1_codec")
    has_strata = "stratum" in rows.columns
    for_p1 = rows.meanings("judge", _share)
    return {
        "content": content,
        # The datasets of other tables than studies have no bit rate: the column is there, empty.
        "stratum": rows.meanings("stratum", _or_all) if has_strata else ["all"] * len(rows.lines),
        "left": left,
        "right": rows.meanings("p1_codec", _unlike_left, left, right),
        **_shares(rows, "judge", [None if share is None else 1 - share for share in for_p1]),
    }


def _of_pieapp(rows: Rows) -> dict[str, Sequence[Any]]:
    column = next((name for name in PIEAPP_ANSWERS if name in rows.columns), None)
    if column is None:
        raise InvalidComparisons(
            f"line 1, column {PIEAPP_ANSWERS[0]}: expected it, or {PIEAPP_ANSWERS[1]} as in the "
            "test set; a processed preference is an estimate, and nobody's answer"
        )
    content, a, b = rows.labels(*PIEAPP_PICTURES)
    left = rows.meanings(PIEAPP_PICTURES[1], _distorted, content, a)
    right = rows.meanings(PIEAPP_PICTURES[2], _distorted, content, b)
    rows.set_aside(
        "pairs that nobody was asked", (not text.strip() for text in rows.columns[column])
    )
    for_a = rows.meanings(column, _share_or_none)
    return {
        "content": content,
        "stratum": ["all"] * len(rows.lines),
        "left": left,
        "right": rows.meanings(PIEAPP_PICTURES[2], _unlike_left, left, right),
        **_shares(rows, column, for_a),
    }


def _shares(rows: Rows, column: str, for_left: Sequence[float | None]) -> dict[str, Sequence[Any]]:
    """The share of votes for the left of each row, and of how many votes, where that is told."""
    if "votes" not in rows.columns:
        return {"share": for_left}
    votes = rows.meanings("votes", _count)
    rows.meanings(column, _of_so_many, for_left, votes)
    return {"share": for_left, "votes": votes}


PIEAPP_PICTURES = ("ref. image", "distorted image A", "distorted image B")
PIEAPP_ANSWERS = ("raw preference for A", "preference for A")


@dataclass(frozen=True, slots=True)
class Format:
    """The columns of a format, and how they become those of Comparisons, Rankings or Shares.

    label : its name for people.
    orientation : which side its answers name, in words.
    required, optional : its columns, each with what it is taken for.
    read : columns "content", "stratum", "left", "right", and "annotator" where the format names
        them, with "chosen" or "share" (of the votes, for left) and perhaps "votes"; or those of
        Rankings.
    has_header : False if columns are told by their place alone.
    """

    label: str
    orientation: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    read: Callable[[Rows], dict[str, Sequence[Any]]]
    has_header: bool = True


FORMATS = {
    "comparisons": Format(
        "Comparisons (Closer's own)",
        "“chosen” names the side that is closer to the original, left or right; or a tie.",
        {
            "annotator": "who judged",
            "content": "the source image",
            "stratum": "the bit rate: strata are never mixed",
            "left": "the condition (codec) on the left",
            "right": "the condition (codec) on the right",
            "chosen": "the answer: left, right or tie",
        },
        {
            "response_ms": "how long the answer took, in milliseconds",
            "gold": "the right answer of a question that checks attention",
            "repeat": "whether the annotator was asked once more",
            "simulated": "whether a program answered",
        },
        _of_comparisons,
    ),
    "rankings": Format(
        "Rankings (Closer's own)",
        "The first of “ranking” is the closest to the original; “=” joins ties.",
        {
            "annotator": "who judged",
            "content": "the source image",
            "stratum": "the bit rate: strata are never mixed",
            "ranking": "the answer: conditions from the closest to the farthest",
        },
        {
            "repeat": "whether the annotator was asked once more",
            "simulated": "whether a program answered",
        },
        _of_rankings,
    ),
    "aic3": Format(
        "JPEG AIC-3 triplets",
        "AIC-3 names the more distorted side: the other one is preferred. “notsure” is a tie.",
        {
            "worker": "who judged",
            "method": "how it was asked: only PTC, plain triplets, is taken",
            "img_num": "the source image",
            "img_left": "the condition on the left: codec and level of distortion",
            "img_pivot": "the original in the middle",
            "img_right": "the condition on the right: codec and level of distortion",
            "is_trap": "whether it checks attention (gold)",
            "response": "the answer: the more distorted side",
        },
        {"response_time": "how long the answer took, in milliseconds"},
        _of_aic3,
    ),
    "pwcmp": Format(
        "pwcmp table",
        "“is_A_selected” is 1 where A was judged better, and 0 where B was.",
        {
            "observer": "who judged",
            "scene": "the source image",
            "condition_A": "the first condition, taken as left",
            "condition_B": "the second condition, taken as right",
            "is_A_selected": "the answer: 1 for A, 0 for B",
        },
        {"criterion": "the stratum: answers to different questions are never mixed"},
        _of_pwcmp,
    ),
    "mucped23": Format(
        "mucped23 answers",
        "“worse” names the side that was seen as worse: the other one is preferred.",
        {
            "method_a": "the first condition, taken as left",
            "method_b": "the second condition, taken as right",
            "image": "the source image",
            "worse": "the answer: the worse side, A or B",
        },
        {},
        _of_mucped23,
    ),
    "clic": Format(
        "CLIC triplets (oracle.csv)",
        "The last value is 0 where A is closer to the original O, and 1 where B is.",
        {
            "O": "the source image",
            "A": "the first condition, taken as left",
            "B": "the second condition, taken as right",
            "T": "the answer: 0 for A, 1 for B",
        },
        {},
        _of_clic,
        has_header=False,
    ),
    "bapps": Format(
        "BAPPS shares (manifest.csv)",
        "“judge” is the share of votes for p1: 0 is all for p0, 1 is all for p1.",
        {
            "content": "the source image",
            "p0_codec": "the condition p0, taken as left",
            "p1_codec": "the condition p1, taken as right",
            "judge": "the answers: the share of votes for p1",
        },
        {
            "stratum": "the bit rate: strata are never mixed",
            "votes": "how many people voted on the pair",
            "simulated": "whether a program answered",
        },
        _of_bapps,
    ),
    "pieapp": Format(
        "PieAPP preferences",
        "The preference is the share of people who find A closer to the original.",
        {
            PIEAPP_PICTURES[0]: "the source image",
            PIEAPP_PICTURES[1]: "the first condition (A), taken as left",
            PIEAPP_PICTURES[2]: "the second condition (B), taken as right",
        },
        {
            PIEAPP_ANSWERS[0]: "the answers: the share of people for A",
            PIEAPP_ANSWERS[1]: "the answers: the share of people for A",
            "votes": "how many people voted on the pair (to add where it is known)",
        },
        _of_pieapp,
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
_worse = _one_of({"A": "right", "B": "left"}, "A or B, the worse side")
_closer_of_two = _one_of({"0": "left", "1": "right"}, "0 (A is closer) or 1 (B is closer)")


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


def _or_all(text: str) -> str:
    return text.strip() or "all"


def _decoded(original: str | None, path: str | None) -> str | None:
    """The condition that the path of a CLIC picture tells: its folder, if the file is named as the
    original is, as in team-3/harbour.png; otherwise the file's own name, which is all there is."""
    if original is None or path is None:
        return None  # the row is malformed already
    name = PurePosixPath(path)
    folder = name.parent.as_posix()
    is_named_alike = name.stem == PurePosixPath(original).stem and folder != "."
    return folder if is_named_alike else name.stem or path


def _distorted(original: str, picture: str) -> str:
    """The condition of a PieAPP picture: itself, since a distortion's number means another strength
    on another reference; the test set compares references with their distorted versions, too."""
    return ORIGINAL if picture == original else picture


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise _unlike("a share from 0 to 1", text.strip())
    return share


def _share_or_none(text: str) -> float | None:
    return _share(text) if text.strip() else None


def _count(text: str) -> int:
    value = text.strip()
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value)):
        raise _unlike("how many people voted, a whole number from 1 on", value)
    return int(value)


def _of_so_many(share: float | None, votes: int | None) -> None:
    """A tie is half a vote for each side, so that votes come in halves; files round shares."""
    if share is None or votes is None:
        return
    if abs(share - round(2 * share * votes) / (2 * votes)) > ROUNDING:
        raise ValueError(f"expected a share that {votes} votes can have")
