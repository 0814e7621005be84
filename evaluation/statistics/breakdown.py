"""Where results come from: shares of wins on each picture and kind of picture, and the questions
on which annotators agreed most and least."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from evaluation.statistics.comparisons import Comparisons, FloatArray, picture_of
from evaluation.statistics.options import Options
from evaluation.statistics.preference import Share, wilson_interval
from evaluation.statistics.ratings import (
    FIRST,
    SECOND,
    TIE,
    nominal_answers,
    question_codes,
    question_conditions,
)
from evaluation.statistics.resampling import bootstrap_estimate

Document = dict[str, Any]
MOST_QUESTIONS = 3
FROM_RANKINGS = "pairs of one ranking are not independent"


def image_shares(
    comparisons: Comparisons, *, confidence: float, from_rankings: bool = False
) -> list[Document]:
    """Each condition's share of wins on each picture, in the order of comparisons.pictures.

    A tie is half a win, as in preference.win_shares, and intervals are Wilson's; parts of a picture
    count with it. from_rankings : the judgments were expanded from rankings, and have no intervals.
    Raises ValueError if there are several strata.
    """
    won, judged = _by_picture(comparisons)
    return [
        {
            "image": picture,
            "n_judgments": int(judged[place].sum()) // 2,
            "win_share": [
                asdict(_share(condition, float(k), int(n), confidence, from_rankings))
                for condition, k, n in zip(
                    comparisons.conditions, won[place], judged[place], strict=True
                )
            ],
        }
        for place, picture in enumerate(comparisons.pictures)
    ]


def category_shares(
    comparisons: Comparisons, categories: Mapping[str, Sequence[str]], options: Options
) -> list[Document]:
    """Each condition's share of wins on the pictures of each category, in the order given.

    categories : the pictures of each; a picture may be in several, or in none. Those of which none
        was judged are listed with n = 0.

    Intervals draw the category's pictures with return (see resampling.py), so that there is none
    with fewer than eight. Raises ValueError if there are several strata.
    """
    won, judged = _by_picture(comparisons)
    place = {picture: at for at, picture in enumerate(comparisons.pictures)}
    found = []
    for category, pictures in categories.items():
        rows = sorted({place[each] for each in pictures if each in place})
        found.append(
            {
                "category": category,
                "n_images": len(rows),
                "n_judgments": int(judged[rows].sum()) // 2,
                "win_share": [
                    _category_share(condition, won[rows, at], judged[rows, at], options)
                    for at, condition in enumerate(comparisons.conditions)
                ],
            }
        )
    return found


def extreme_questions(comparisons: Comparisons, *, confidence: float) -> Document:
    """The questions on which annotators agreed most, and least; up to MOST_QUESTIONS each, and no
    picture twice in either list.

    A question is a content and an unordered pair of conditions, an annotator counting once (see
    ratings.nominal_answers). Most agreed are those whose preferred side has the highest lower bound
    of Wilson's interval, so that ten of ten come before two of two (E. Miller 2009, "How not to
    sort by average rating"); least agreed are those whose share is nearest to a half, those with
    more answers first. Unanimous ones are not among the least, nor even ones among the most.

    `agreement` is the share of pairs of answers that are alike (see ceiling.human_ceiling, which
    leaves ties out; here a tie is an answer of its own). Having been picked for being extreme,
    they would be less so if asked again, and their intervals, each Wilson's, do not allow for it.

    Returns "most_agreed" and "least_agreed", lists, and for each that is empty a reason.
    """
    c = comparisons
    c.require_one_stratum()
    counts, _ = nominal_answers(c)
    _, content = question_codes(c)
    rows = [
        _question(c.contents[place], c.conditions[a], c.conditions[b], each)
        for place, a, b, each in zip(content, *question_conditions(c), counts, strict=True)
        if each.sum() >= 2
    ]
    for row in rows:
        share = wilson_interval(row["a_preferred"] * row["n"], row["n"], confidence)
        row["low"], row["high"] = share.low, share.high
    none = "no question has answers of two annotators" if not rows else None

    def name(row: Document) -> tuple[str, str, str]:
        return row["content"], row["a"], row["b"]

    most = _first_of_pictures(
        (row for row in rows if row["a_preferred"] != 0.5),
        lambda row: (-max(row["low"], 1 - row["high"]), *name(row)),
    )
    least = _first_of_pictures(
        (row for row in rows if row["agreement"] < 1 and row not in most),
        lambda row: (abs(row["a_preferred"] - 0.5), -row["n"], *name(row)),
    )
    all_agree = "all other answers are unanimous"
    return {
        "n_questions": len(rows),
        "most_agreed": most,
        "most_agreed_reason": None if most else none or "answers are even on every question",
        "least_agreed": least,
        "least_agreed_reason": None if least else none or all_agree,
    }


def _first_of_pictures(
    rows: Iterable[Document], key: Callable[[Document], tuple[Any, ...]]
) -> list[Document]:
    first: dict[str, Document] = {}
    for row in sorted(rows, key=key):
        first.setdefault(picture_of(row["content"]), row)
    return list(first.values())[:MOST_QUESTIONS]


def _by_picture(comparisons: Comparisons) -> tuple[FloatArray, FloatArray]:
    """(pictures, n) wins of each condition on each picture, and judgments it took part in."""
    c = comparisons
    c.require_one_stratum()
    n, p = len(c.conditions), len(c.pictures)
    cells = np.concatenate([c.picture * n + c.a, c.picture * n + c.b])
    wins = np.concatenate([c.weight * c.outcome, c.weight * (1 - c.outcome)])
    judged = np.concatenate([c.weight, c.weight]).astype(np.float64)
    won, took_part = (np.bincount(cells, each, n * p).reshape(p, n) for each in (wins, judged))
    return np.asarray(won, np.float64), np.asarray(took_part, np.float64)


def _share(condition: str, k: float, n: int, confidence: float, from_rankings: bool) -> Share:
    if not n:
        return Share(condition, None, None, None, 0, "never compared")
    if from_rankings:
        return Share(condition, k / n, None, None, n, FROM_RANKINGS)
    share = wilson_interval(k, n, confidence)
    return Share(condition, share.value, share.low, share.high, n)


def _category_share(
    condition: str, won: FloatArray, judged: FloatArray, options: Options
) -> Document:
    n = int(judged.sum())
    if not n:
        return asdict(Share(condition, None, None, None, 0, "never compared"))
    share = bootstrap_estimate(
        np.stack([won, judged], axis=1),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=n,
        clusters="source images",
        confidence=options.confidence,
        n_boot=options.n_boot,
        rng=options.rng,
    )
    return asdict(Share(condition, share.value, share.low, share.high, n, share.reason))


def _question(content: str, a: str, b: str, counts: np.ndarray) -> Document:
    n = int(counts.sum())
    return {
        "content": content,
        "a": a,
        "b": b,
        "n": n,
        "votes_a": int(counts[FIRST]),
        "votes_b": int(counts[SECOND]),
        "ties": int(counts[TIE]),
        "agreement": float((counts * (counts - 1)).sum() / (n * (n - 1))),
        "a_preferred": float((counts[FIRST] + counts[TIE] / 2) / n),
    }
