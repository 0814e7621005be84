"""From judgments to results: what `analyse --json` prints and the results page shows."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from itertools import combinations

import numpy as np
from django.db.models import Count, Max, Min, Q

from annotation.records import comparison_records
from codecs_registry.models import stratum_name
from evaluation.models import SIMULATED, Study
from evaluation.provenance import provenance
from evaluation.statistics import (
    Comparisons,
    Estimate,
    NotConverged,
    NotIdentified,
    bradley_terry,
    human_ceiling,
    pairwise_table,
    task_votes,
    win_shares,
)

BOOTSTRAP_SEED = 2018
NOT_YET = ("krippendorff_alpha", "fleiss_kappa", "kendall_w", "repeat_agreement")
LATER = "this version does not compute it yet"


def analyse_study(study: Study, *, population: str, confidence: float = 0.95) -> dict:
    """Analyse what people, or what simulated annotators, said in a study: never both together."""
    wants_simulated = population == SIMULATED
    rows = [
        (each.annotator, each.content, each.stratum, each.left, each.right, each.chosen)
        for each in comparison_records(study.campaign)
        if each.is_simulated == wants_simulated
    ]
    result = analyse(Comparisons.from_rows(rows), confidence=confidence)
    result["provenance"] |= {"study": study.name, "population": population, **_digest(rows)}
    missed = _missed_rates(study)
    strata = {}
    for stratum in study.strata:  # an empty stratum is a fact, too
        strata[stratum] = result["strata"].get(stratum) or _empty_stratum()
        _name_all(strata[stratum], study.codecs)
        strata[stratum]["missed"] = missed.get(stratum, [])
    result["strata"] = strata
    return result


def _name_all(stratum: dict, codecs: list[str]) -> None:
    """Add the codecs of a study that nobody judged at this bit rate, and their pairs."""
    absent = {"share": None, "low": None, "high": None, "n": 0, "reason": "never compared"}
    judged = {each["condition"] for each in stratum["win_share"]}
    stratum["win_share"] += [{"condition": name, **absent} for name in codecs if name not in judged]
    known = {(each["a"], each["b"]) for each in stratum["pairs"]}
    empty = dict.fromkeys(("a_preferred", "low", "high", "p", "p_adjusted"))
    stratum["pairs"] += [
        {"a": a, "b": b, "n": 0, "ties": 0, **empty, "reason": "never compared"}
        for a, b in combinations(sorted(codecs), 2)
        if (a, b) not in known
    ]


def _missed_rates(study: Study) -> dict[str, list[dict]]:
    """By stratum and codec: how many reconstructions missed the target, and where they are."""
    found = defaultdict(list)
    grouped = (
        study.reconstructions.filter(state="ready")
        .order_by()
        .values("target_bpp", "codec")
        .annotate(
            of=Count("id"),
            missed=Count("id", filter=~Q(miss="")),
            lowest_bpp=Min("actual_bpp"),
            highest_bpp=Max("actual_bpp"),
        )
    )
    for row in grouped.filter(missed__gt=0).order_by("codec"):
        found[stratum_name(row["target_bpp"])].append(
            {
                "condition": row["codec"],
                "n": row["missed"],
                "of": row["of"],
                "lowest_bpp": row["lowest_bpp"],
                "highest_bpp": row["highest_bpp"],
            }
        )
    return found


def analyse(comparisons: Comparisons, *, confidence: float = 0.95) -> dict:
    """Preferences, scales and agreement for each stratum (what `analyse --json` prints).

    Intervals hold `confidence` (a share) each. What cannot be had is None, its reason beside it.
    """
    return {
        "confidence": confidence,
        "strata": {
            stratum: _analyse_stratum(comparisons.in_stratum(stratum), confidence)
            for stratum in comparisons.strata
        },
        "annotators": _annotators(comparisons),
        "provenance": {**provenance(), "bootstrap_seed": BOOTSTRAP_SEED},
    }


def _analyse_stratum(comparisons: Comparisons, confidence: float) -> dict:
    scale, scale_reason = _scale(comparisons, confidence)
    return {
        "n_judgments": int(comparisons.weight.sum()),
        "n_annotators": comparisons.n_annotators,
        "win_share": [asdict(each) for each in win_shares(comparisons, confidence=confidence)],
        "scale": scale,
        "scale_reason": scale_reason,
        "first_choice": None,
        "first_choice_reason": "it is a result of rankings, and these are pairs",
        "pairs": [asdict(each) for each in pairwise_table(comparisons, confidence=confidence)],
        "agreement": {
            "human_ceiling": _human_ceiling(comparisons, confidence),
            **{name: {"value": None, "reason": LATER} for name in NOT_YET},
        },
    }


def _empty_stratum() -> dict:
    reason = "there are no judgments"
    absent = asdict(Estimate(float("nan"), None, None, 0, "", reason)) | {"value": None}
    return {
        "n_judgments": 0,
        "n_annotators": 0,
        "win_share": [],
        "scale": None,
        "scale_reason": reason,
        "first_choice": None,
        "first_choice_reason": reason,
        "pairs": [],
        "agreement": {
            "human_ceiling": absent,
            **{name: {"value": None, "reason": reason} for name in NOT_YET},
        },
    }


def _scale(comparisons: Comparisons, confidence: float) -> tuple[list[dict] | None, str | None]:
    try:
        scale = bradley_terry(comparisons.win_matrix())
    except NotIdentified as error:
        return None, error.explain(comparisons.conditions)
    except NotConverged as error:
        return None, str(error)
    low, high = scale.interval(confidence)
    return [
        {"condition": name, "score": float(score), "low": float(a), "high": float(b)}
        for name, score, a, b in zip(comparisons.conditions, scale.scores, low, high, strict=True)
    ], None


def _human_ceiling(comparisons: Comparisons, confidence: float) -> dict:
    votes, contents = task_votes(comparisons)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    try:
        estimate = human_ceiling(votes, contents, confidence=confidence, rng=rng)
    except NotIdentified as error:
        estimate = Estimate(float("nan"), None, None, 0, "", str(error))
        return asdict(estimate) | {"value": None}
    return asdict(estimate)


def _annotators(comparisons: Comparisons) -> list[dict]:
    judged = np.bincount(comparisons.annotator, minlength=comparisons.n_annotators)
    decided = comparisons.outcome != 0.5
    left = np.bincount(
        comparisons.annotator[decided],
        weights=comparisons.outcome[decided],
        minlength=comparisons.n_annotators,
    )
    sided = np.bincount(comparisons.annotator[decided], minlength=comparisons.n_annotators)
    return [
        {
            "annotator": name,
            "n": int(n),
            "agreement_with_others": None,
            "gold_correct": None,
            "side_bias": float(on_left / n_sided - 0.5) if n_sided else None,
            "flags": [],
            "reason": LATER,
        }
        for name, n, on_left, n_sided in zip(
            comparisons.annotators, judged, left, sided, strict=True
        )
    ]


def _digest(rows: Iterable[tuple]) -> dict:
    digest = hashlib.sha256()
    for row in rows:
        digest.update("\x1f".join(row).encode() + b"\n")
    return {"judgments_sha256": digest.hexdigest()}
