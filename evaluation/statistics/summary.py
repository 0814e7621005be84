"""All results of a table of judgments as one document of plain values: what `analyse --json`
prints, pages show and a notebook reads. What cannot be had is None, its reason beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

import numpy as np

from evaluation.statistics import agreement, preference
from evaluation.statistics.annotator_model import fit_annotators
from evaluation.statistics.breakdown import extreme_questions, image_shares
from evaluation.statistics.comparisons import Comparisons
from evaluation.statistics.concordance import kendall_w
from evaluation.statistics.estimate import Estimate, NotIdentified
from evaluation.statistics.leave_one_out import PRIOR_SD
from evaluation.statistics.options import Options
from evaluation.statistics.plackett_luce import plackett_luce
from evaluation.statistics.rankings import Rankings
from evaluation.statistics.ratings import nominal_answers
from evaluation.statistics.repeats import repeat_agreement
from evaluation.statistics.scale_summary import (
    CANNOT,
    Document,
    absent,
    estimated,
    explained,
    scale_document,
    short_scale,
)
from evaluation.statistics.screening import AnnotatorReport, excluded, screen, without

NO_JUDGMENTS = "there are no judgments"
NO_RANKINGS = "it is a result of rankings, and these are pairs"


def summarise(
    comparisons: Comparisons,
    rankings: Rankings | None = None,
    options: Options | None = None,
    *,
    repeats: Comparisons | None = None,
) -> Document:
    """Preferences, scales, agreement and screening, for each stratum.

    rankings : those that the comparisons were expanded from, if any.
    repeats : answers to questions that their annotators were asked again to see whether they agree
        with themselves. They count in that and in screening only: a person has one vote a question.

    Gold questions count in screening only. Returns a document of dicts, lists, strings, numbers
    and None: "confidence", "strata", "annotators", "screening" and "counts".
    """
    options = options or Options()
    asked = comparisons.without_gold()
    everything = comparisons if repeats is None else comparisons.with_rows_of(repeats)
    reports = screen(everything)
    flagged = () if options.screen == "none" else excluded(reports)
    left_out = flagged if options.screen == "exclude" else ()
    used = without(asked, left_out)
    again = without(everything.without_gold(), left_out)
    document: Document = {
        "confidence": options.confidence,
        "strata": {
            stratum: summarise_stratum(
                used.in_stratum(stratum),
                _rankings_in(rankings, stratum, left_out),
                options,
                again=again.in_stratum(stratum),
            )
            if stratum in used.strata
            else empty_stratum(options)
            for stratum in asked.strata
        },
        "annotators": [
            _annotator(report, reliability, options)
            for report, reliability in zip(
                reports, _reliabilities(asked, reports, options), strict=True
            )
        ],
        "screening": {
            "mode": options.screen,
            "rule": "gold questions failed, or two flags",
            "flagged": list(flagged),
            "left_out": list(left_out),
            "side_by_side": {
                stratum: _side_by_side(asked.in_stratum(stratum), flagged, options)
                for stratum in (asked.strata if flagged else ())
            },
        },
        "counts": {
            "judgments": int(everything.weight.sum()),
            "gold": int(comparisons.weight.sum() - asked.weight.sum()),
            "repeats": int(everything.weight.sum() - comparisons.weight.sum()),
            "left_out_by_screening": int(asked.weight.sum() - used.weight.sum()),
        },
    }
    return document


def summarise_stratum(
    comparisons: Comparisons,
    rankings: Rankings | None,
    options: Options,
    *,
    again: Comparisons | None = None,
) -> Document:
    """The results of one stratum; again : the same judgments with what annotators were asked again,
    if they were."""
    confidence = options.confidence
    scale, scale_reason, scale_fit = scale_document(comparisons, options)
    return {
        "n_judgments": int((comparisons if rankings is None else rankings).weight.sum()),
        "n_annotators": comparisons.n_annotators,
        "n_contents": len(comparisons.pictures),
        "win_share": _win_shares(comparisons, rankings, confidence),
        "scale": scale,
        "scale_reason": scale_reason,
        "scale_fit": scale_fit,
        **_of_rankings(rankings, options),
        "pairs": [
            asdict(each) for each in preference.pairwise_table(comparisons, confidence=confidence)
        ],
        "agreement": _agreement(
            comparisons, rankings, options, again=comparisons if again is None else again
        ),
        "images": image_shares(
            comparisons, confidence=confidence, from_rankings=rankings is not None
        ),
        "questions": extreme_questions(comparisons, confidence=confidence),
        **_by(comparisons, options),
    }


def empty_stratum(options: Options | None = None) -> Document:
    """The results where nothing was judged: the same keys, and the reason."""
    options = options or Options()
    by: Document = {} if options.by == "stratum" else {f"by_{options.by}": []}
    return {
        "n_judgments": 0,
        "n_annotators": 0,
        "n_contents": 0,
        "win_share": [],
        "scale": None,
        "scale_reason": NO_JUDGMENTS,
        "scale_fit": None,
        "first_choice": None,
        "first_choice_reason": NO_JUDGMENTS,
        "plackett_luce": None,
        "plackett_luce_reason": NO_JUDGMENTS,
        "pairs": [],
        "agreement": {name: absent(NO_JUDGMENTS) for name in AGREEMENT},
        "images": [],
        "questions": {
            "n_questions": 0,
            "most_agreed": [],
            "most_agreed_reason": NO_JUDGMENTS,
            "least_agreed": [],
            "least_agreed_reason": NO_JUDGMENTS,
        },
        **by,
    }


def _of_rankings(rankings: Rankings | None, options: Options) -> Document:
    if rankings is None:
        return {
            "first_choice": None,
            "first_choice_reason": NO_RANKINGS,
            "plackett_luce": None,
            "plackett_luce_reason": NO_RANKINGS,
        }
    shares = preference.first_choice_shares(rankings, confidence=options.confidence)
    document: Document = {
        "first_choice": [asdict(each) for each in shares],
        "first_choice_reason": None,
        "plackett_luce": None,
        "plackett_luce_reason": None,
    }
    try:
        scale = plackett_luce(rankings)
    except CANNOT as error:
        document["plackett_luce_reason"] = explained(error, rankings)
    else:
        low, high = scale.interval(options.confidence)
        document["plackett_luce"] = [
            {"condition": name, "score": float(score), "low": float(a), "high": float(b)}
            for name, score, a, b in zip(rankings.conditions, scale.scores, low, high, strict=True)
        ]
    return document


AGREEMENT = (
    "human_ceiling",
    "leave_one_out",
    "krippendorff_alpha",
    "krippendorff_alpha_ordinal",
    "fleiss_kappa",
    "gwet_ac1",
    "kendall_w",
    "repeat_agreement",
)


def _win_shares(
    comparisons: Comparisons, rankings: Rankings | None, confidence: float
) -> list[Document]:
    """Without intervals where the pairs come of rankings, as those of one are not independent."""
    rows = [asdict(each) for each in preference.win_shares(comparisons, confidence=confidence)]
    if rankings is None:
        return rows
    bare = {"low": None, "high": None, "reason": "pairs of one ranking are not independent"}
    return [row | bare if row["n"] else row for row in rows]


def _agreement(
    comparisons: Comparisons, rankings: Rankings | None, options: Options, *, again: Comparisons
) -> dict[str, Document]:
    votes = agreement.task_votes(comparisons)
    counts, contents = nominal_answers(comparisons)
    how: Document = {"confidence": options.confidence, "n_boot": options.n_boot}
    # Which condition is named first is spelling, and answers on one image are not independent.
    pairs: Document = {**how, "symmetric": True, "contents": contents}

    def concordance() -> Estimate:
        if rankings is None:
            raise NotIdentified(NO_RANKINGS)
        return kendall_w(
            *(rankings.rank, rankings.content, rankings.annotator),
            picture=rankings.picture,
            rng=options.rng,
            **how,
        )

    ask: dict[str, Callable[[], Estimate]] = {
        "human_ceiling": lambda: agreement.human_ceiling(*votes, rng=options.rng, **how),
        "leave_one_out": lambda: agreement.leave_one_out_score(*votes, rng=options.rng, **how),
        "krippendorff_alpha": lambda: agreement.krippendorff_alpha(
            counts, rng=options.rng, **pairs
        ),
        "krippendorff_alpha_ordinal": lambda: agreement.krippendorff_alpha(
            counts, level="ordinal", rng=options.rng, **pairs
        ),
        "fleiss_kappa": lambda: agreement.fleiss_kappa(counts, rng=options.rng, **pairs),
        "gwet_ac1": lambda: agreement.gwet_ac1(counts, rng=options.rng, **pairs),
        "kendall_w": concordance,
        "repeat_agreement": lambda: repeat_agreement(again, rng=options.rng, **how),
    }
    return {name: estimated(ask[name], comparisons) for name in AGREEMENT}


def _by(comparisons: Comparisons, options: Options) -> Document:
    """The results of each source image or annotator of a stratum, if asked for."""
    if options.by == "stratum":
        return {}
    codes, labels = (
        (comparisons.content, comparisons.contents)
        if options.by == "content"
        else (comparisons.annotator, comparisons.annotators)
    )
    groups = []
    for code, label in enumerate(labels):
        part = comparisons.where(codes == code)
        shares = preference.win_shares(part, confidence=options.confidence)
        groups.append(
            {
                options.by: label,
                "n_judgments": int(part.weight.sum()),
                "win_share": [asdict(each) for each in shares],
                **short_scale(part, options),
            }
        )
    return {f"by_{options.by}": groups}


def _side_by_side(
    comparisons: Comparisons, flagged: Sequence[str], options: Options
) -> dict[str, Document]:
    """The scale with everybody, and without those who were flagged."""
    document = {}
    for name, part in (
        ("everybody", comparisons),
        ("without_flagged", without(comparisons, flagged)),
    ):
        document[name] = {
            "n_judgments": int(part.weight.sum()),
            **short_scale(part, options),
        }
    return document


def _annotator(report: AnnotatorReport, reliability: Document, options: Options) -> Document:
    measures = {
        name: getattr(report, name)
        for name in (
            "agreement_with_others",
            "gold_correct",
            "side_bias",
            "too_fast",
            "median_response_ms",
            "correlation_with_others",
            "likelihood",
            "circular_triads",
            "repeat_agreement",
        )
    }
    flags = () if options.screen == "none" else report.flags
    reasons = {name: measure.reason for name, measure in measures.items() if measure.value is None}
    if reliability["value"] is None:
        reasons["reliability"] = reliability["reason"]
    return {
        "annotator": report.annotator,
        "n": report.n,
        **{name: measure.value for name, measure in measures.items()},
        "flags": [asdict(flag) for flag in flags],
        "reliability": None if reliability["value"] is None else reliability,
        "reasons": reasons,
    }


def _reliabilities(
    comparisons: Comparisons, reports: Sequence[AnnotatorReport], options: Options
) -> list[Document]:
    """Each annotator's reliability over all strata, 1 being the average, with its interval.

    Every stratum has a scale of its own, which a weak prior keeps from floating freely.
    """
    c, n = comparisons, len(comparisons.conditions)
    each = replace(
        c,
        a=c.stratum * n + c.a,
        b=c.stratum * n + c.b,
        stratum=np.zeros_like(c.stratum),
        strata=("all",) if c.strata else (),
        conditions=tuple(f"{name} at {stratum}" for stratum in c.strata for name in c.conditions),
    )
    try:
        scale = fit_annotators(each, prior_sd=PRIOR_SD)
    except CANNOT as error:
        reason = explained(error, each)
        return [{"value": None, "reason": reason} for _ in reports]
    low, high = scale.reliability_interval(options.confidence)
    found = {
        name: {"value": float(value), "low": float(a), "high": float(b)}
        for name, value, a, b in zip(c.annotators, scale.reliability, low, high, strict=True)
    }
    nothing = {"value": None, "reason": "only gold questions were answered"}
    return [found.get(report.annotator, nothing) for report in reports]


def _rankings_in(
    rankings: Rankings | None, stratum: str, left_out: Iterable[str]
) -> Rankings | None:
    if rankings is None:
        return None
    names = np.array(rankings.annotators, dtype=np.str_)
    kept = ~np.isin(names, list(left_out))[rankings.annotator]
    return rankings.where(kept & (rankings.stratum == rankings.strata.index(stratum)))
