"""Shares of votes: what a dataset tells of a pair where it does not tell each vote.

With the number of votes a share is as many judgments. Without it there are no judgments to count:
shares of conditions and pairs can be had, and nothing that says how certain they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.statistics.comparisons import (
    BoolArray,
    Comparisons,
    FloatArray,
    IntArray,
    Stratified,
    encoded_or_one,
    number_first,
)
from evaluation.statistics.options import Options
from evaluation.statistics.scale_summary import Document, absent
from evaluation.statistics.summary import empty_stratum

NO_VOTES = "the file tells shares of votes, and not of how many votes they are"
ROUNDING = 0.005 + 1e-9
"""Of shares in files: two decimals at least."""
NOBODY = "the file does not say who judged"
NO_SIDES = "the file does not tell on which side what was shown"


@dataclass(frozen=True, slots=True, eq=False)
class Shares(Stratified):
    """m shares of votes as parallel arrays, one row a pair of reconstructions of a source image.

    content, stratum : (m,) int64 codes into contents, strata.
    a, b : (m,) int64 codes into conditions.
    share : (m,) float64 in [0, 1]; of the votes for a.
    """

    content: IntArray
    stratum: IntArray
    a: IntArray
    b: IntArray
    share: FloatArray
    contents: tuple[str, ...]
    strata: tuple[str, ...]
    conditions: tuple[str, ...]

    @classmethod
    def from_columns(
        cls,
        content: Sequence[str],
        stratum: Sequence[str],
        left: Sequence[str],
        right: Sequence[str],
        share: Sequence[float],
    ) -> Shares:
        """From columns of m values; share is that of the votes for left."""
        m = len(share)
        both, conditions = encoded_or_one([*left, *right], 2 * m, "left")
        content_codes, contents = encoded_or_one(content, m, "content")
        stratum_codes, strata = encoded_or_one(stratum, m, "stratum", by=number_first)
        return cls(
            content=content_codes,
            stratum=stratum_codes,
            a=both[:m],
            b=both[m:],
            share=np.asarray(share, dtype=np.float64),
            contents=contents,
            strata=strata,
            conditions=conditions,
        )


def judgments_of(
    content: Sequence[str],
    stratum: Sequence[str],
    left: Sequence[str],
    right: Sequence[str],
    share: Sequence[float],
    votes: Sequence[int],
) -> Comparisons:
    """As many judgments as there were votes, by nobody in particular; half a vote for each side is
    a tie.

    share : of the votes for left, in [0, 1]; share * votes is a whole number or a half, but for
        ROUNDING of the share. Where both are as near as that, it is the whole number: no tie is
        made of what may be none.
    """
    count = np.asarray(votes, dtype=np.int64)
    exact = np.asarray(share, dtype=np.float64) * count
    whole = np.rint(exact)
    is_whole = np.abs(exact - whole) <= ROUNDING * count
    halves = np.where(is_whole, 2 * whole, np.rint(2 * exact)).astype(np.int64)
    ties = halves % 2
    for_left = halves // 2
    return Comparisons.from_columns(
        None,
        [*content] * 3,
        [*stratum] * 3,
        [*left] * 3,
        [*right] * 3,
        ["left"] * len(count) + ["right"] * len(count) + ["tie"] * len(count),
        weight=np.concatenate([for_left, count - for_left - ties, ties]),
    )


def summarise_shares(shares: Shares, options: Options | None = None) -> Document:
    """What shares tell, in the form of summary.summarise: all that needs to know how many votes
    there were, or whose, is None with the reason.

    A condition's share is the mean over the pairs that it is in, a pair's that over source images;
    each row counts once, and "n_shares" is how many they are.
    """
    options = options or Options()
    return {
        "confidence": options.confidence,
        "strata": {
            label: _stratum(shares, shares.stratum == code, options)
            for code, label in enumerate(shares.strata)
        },
        "annotators": [],
        "annotators_reason": NOBODY,
        "screening": _no_screening(),
        "counts": {
            "judgments": None,
            "judgments_reason": NO_VOTES,
            "shares": len(shares.share),
            "gold": 0,
            "repeats": 0,
            "left_out_by_screening": 0,
        },
    }


def without_annotators(document: Document) -> Document:
    """A document of summary.summarise without what took all judgments as one annotator's."""
    for stratum in document["strata"].values():
        stratum |= {
            "n_annotators": None,
            "n_annotators_reason": NOBODY,
            "agreement": {name: absent(NOBODY) for name in stratum["agreement"]},
        }
        fit = stratum["scale_fit"]
        for reason in ("model_reason", "interval_reason") if fit else ():
            fit[reason] = fit[reason] and NOBODY
        if fit:
            fit["side_effect"] = absent(NO_SIDES)
        questions = stratum["questions"]
        for reason in ("most_agreed_reason", "least_agreed_reason"):
            questions[reason] = questions[reason] and NOBODY
    return document | {"annotators": [], "annotators_reason": NOBODY}


def _stratum(shares: Shares, rows: BoolArray, options: Options) -> Document:
    a, b, share = shares.a[rows], shares.b[rows], shares.share[rows]
    sides, own = np.concatenate([a, b]), np.concatenate([share, 1 - share])
    n = np.bincount(sides, minlength=len(shares.conditions))
    total = np.bincount(sides, own, minlength=len(shares.conditions))
    unknown = {"low": None, "high": None, "n": None, "reason": NO_VOTES}
    nothing = empty_stratum(options)
    return {
        **nothing,
        "n_judgments": None,
        "n_judgments_reason": NO_VOTES,
        "n_annotators": None,
        "n_annotators_reason": NOBODY,
        "n_shares": len(share),
        "n_contents": len({shares.contents[i] for i in shares.content[rows]}),
        "win_share": [
            {
                "condition": shares.conditions[i],
                "share": float(total[i] / n[i]),
                "n_shares": int(n[i]),
                **unknown,
            }
            for i in np.flatnonzero(n)
        ],
        "scale_reason": NO_VOTES,
        "pairs": _pairs(shares.conditions, a, b, share),
        "agreement": {name: absent(NOBODY) for name in nothing["agreement"]},
        "first_choice_reason": NO_VOTES,
        "plackett_luce_reason": NO_VOTES,
    }


def _pairs(
    conditions: tuple[str, ...], a: IntArray, b: IntArray, share: FloatArray
) -> list[Document]:
    first, second = np.minimum(a, b), np.maximum(a, b)
    pairs, pair = np.unique(first * len(conditions) + second, return_inverse=True)
    n = np.bincount(pair)
    mean = np.bincount(pair, np.where(a < b, share, 1 - share)) / n
    return [
        {
            "a": conditions[code // len(conditions)],
            "b": conditions[code % len(conditions)],
            "n": None,
            "n_shares": int(count),
            "ties": None,
            "a_preferred": float(preferred),
            **dict.fromkeys(("low", "high", "p", "p_adjusted", "p_adjusted_bh")),
            "reason": NO_VOTES,
        }
        for code, count, preferred in zip(pairs, n, mean, strict=True)
    ]


def _no_screening() -> Document:
    return {
        "mode": "none",
        "rule": "",
        "flagged": [],
        "left_out": [],
        "side_by_side": {},
        "reason": NOBODY,
    }
