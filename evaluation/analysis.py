"""From judgments to results: what `analyse` prints, and the results page and report show."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import combinations
from math import fsum

from django.db.models import Count, Max, Min, Q

from annotation.kinds import Ranking
from annotation.records import JudgmentRecord, content_names, judgment_records
from codecs_registry.models import stratum_name
from evaluation.metrics_beside_people import metrics_beside_people
from evaluation.models import PILOT, SIMULATED, Study
from evaluation.provenance import provenance
from evaluation.statistics import Comparisons, Judgments, Rankings
from evaluation.statistics.breakdown import category_shares
from evaluation.statistics.options import Options
from evaluation.statistics.screening import without
from evaluation.statistics.shares import summarise_shares, without_annotators
from evaluation.statistics.summary import empty_stratum, summarise


def analyse_study(study: Study, *, population: str, options: Options | None = None) -> dict:
    """Analyse what people, or simulated annotators, or the people of its pilot said in a study:
    never two of them together."""
    campaign = study.pilot if population == PILOT else study.campaign
    wants_simulated = population == SIMULATED
    given = judgment_records(campaign) if campaign else ()
    records = [each for each in given if each.is_simulated == wants_simulated]
    summary, used = _summarise(records, study.campaign.kind, options)
    result = _with_provenance(
        summary,
        options,
        study=study.name,
        population=population,
        judgments_sha256=_digest(records),
    )
    missed = _missed_rates(study)
    strata = {}
    for stratum in study.strata:  # an empty stratum is a fact, too
        strata[stratum] = result["strata"].get(stratum) or empty_stratum(options)
        _name_all(strata[stratum], study.codecs)
        strata[stratum]["missed"] = missed.get(stratum, [])
    result["strata"] = strata
    result["rates"] = _rates(study)
    result["categories"], result["categories_reason"] = _categories(study, used, options)
    result["metrics"] = metrics_beside_people(study, used, options or Options())
    return result


def analyse_file(judgments: Judgments, *, name: str, options: Options | None = None) -> dict:
    """Analyse a file of judgments that was read; what of it was left out is told."""
    result = _with_provenance(
        _summarise_file(judgments, options),
        options,
        file=name,
        format=judgments.format,
        judgments_sha256=judgments.sha256,
    )
    result["counts"] |= {
        "rows": judgments.n_rows,
        "malformed": len(judgments.malformed),
        "set_aside": dict(judgments.set_aside),
    }
    result["malformed"] = [asdict(each) for each in judgments.malformed]
    return result


def _summarise_file(judgments: Judgments, options: Options | None) -> dict:
    if judgments.shares is not None:
        return summarise_shares(judgments.shares, options)
    if judgments.names_annotators:
        return summarise(
            judgments.comparisons, judgments.rankings, options, repeats=judgments.repeats
        )
    # Nobody can be looked at, or left out, who is not named.
    options = replace(options or Options(), screen="none")
    return without_annotators(summarise(judgments.comparisons, None, options))


def _with_provenance(result: dict, options: Options | None, **about: object) -> dict:
    options = options or Options()
    seeds = {"bootstrap_seed": options.seed, "resamples": options.n_boot}
    return result | {"provenance": {**provenance(), **seeds, **about, "options": asdict(options)}}


def _summarise(
    records: list[JudgmentRecord], kind: str, options: Options | None
) -> tuple[dict, Comparisons]:
    """The results, and the judgments that they rest on."""
    again = [each for each in records if each.repeats]
    comparisons, rankings = _tables([each for each in records if not each.repeats], kind)
    repeats = _tables(again, kind)[0] if again else None
    summary = summarise(comparisons, rankings, options, repeats=repeats)
    return summary, without(comparisons.without_gold(), summary["screening"]["left_out"])


def _tables(records: list[JudgmentRecord], kind: str) -> tuple[Comparisons, Rankings | None]:
    """The judgments as comparisons; and those of a ranking campaign as rankings, too."""
    about = ("annotator", "content", "stratum")
    if kind == Ranking.name:
        asked = [each for each in records if not each.is_gold]
        rankings = Rankings.from_columns(*_columns(asked, *about, "ranking"))
        return rankings.comparisons().with_rows_of(_gold_rankings(records)), rankings
    response_ms = [each.response_ms for each in records]
    return Comparisons.from_columns(
        *_columns(records, *about, "left", "right", "chosen"),
        response_ms=response_ms,
        expected=[each.expected for each in records],
    ), None


def _gold_rankings(records: list[JudgmentRecord]) -> Comparisons:
    """Gold rankings as comparisons of what is closest for certain with all others at once."""
    gold = [each for each in records if each.is_gold]
    return Comparisons.from_columns(
        *_columns(gold, "annotator", "content", "stratum"),
        ["the closest"] * len(gold),
        ["the others"] * len(gold),
        ["left" if each.is_right else "right" for each in gold],
        expected=["left"] * len(gold),
    )


def _columns(records: list[JudgmentRecord], *names: str) -> list[list]:
    return [[getattr(each, name) for each in records] for name in names]


def _name_all(stratum: dict, codecs: list[str]) -> None:
    """Add the codecs of a study that nobody judged at this bit rate, and their pairs."""
    absent = {"share": None, "low": None, "high": None, "n": 0, "reason": "never compared"}
    judged = {each["condition"] for each in stratum["win_share"]}
    stratum["win_share"] += [{"condition": name, **absent} for name in codecs if name not in judged]
    known = {(each["a"], each["b"]) for each in stratum["pairs"]}
    values = ("a_preferred", "low", "high", "p", "p_adjusted", "p_adjusted_bh")
    stratum["pairs"] += [
        {"a": a, "b": b, "n": 0, "ties": 0, **dict.fromkeys(values), "reason": "never compared"}
        for a, b in combinations(sorted(codecs), 2)
        if (a, b) not in known
    ]


def _rates(study: Study) -> dict[str, list[dict]]:
    """By stratum and codec: the bits per pixel that its reconstructions have, and of how many."""
    found = defaultdict(list)
    ready = study.reconstructions.filter(state="ready").order_by()
    for bpp, codec, actual in ready.values_list("target_bpp", "codec", "actual_bpp"):
        found[stratum_name(bpp), codec].append(actual)
    measured = {
        key: {
            "n": len(rates),
            "mean": fsum(rates) / len(rates),  # in whatever order they come, the same
            "lowest": min(rates),
            "highest": max(rates),
        }
        for key, rates in found.items()
    }
    nothing = {"n": 0, "mean": None, "lowest": None, "highest": None}
    return {
        stratum: [
            {"condition": codec}
            | {name: measured.get((stratum, codec), nothing)[name] for name in nothing}
            for codec in study.codecs
        ]
        for stratum in study.strata
    }


def _categories(
    study: Study, judged: Comparisons, options: Options | None
) -> tuple[dict[str, list[dict]] | None, str | None]:
    """Shares of wins by kind of picture and stratum, or why there are none. A category is a
    collection that holds some of the study's source images and not all of them."""
    names = content_names(study.campaign)
    # Pictures are shared by projects, their collections are not.
    known = Q(collections__project=None) | Q(collections__project=study.project_id)
    held = study.sources.filter(known, id__in=names, collections__isnull=False)
    held = held.values_list("collections__name", "id")
    categories = defaultdict(list)
    for collection, source_id in held.order_by("collections__name", "id").distinct():
        categories[collection].append(names[source_id])
    some = {name: images for name, images in categories.items() if len(images) < len(names)}
    if not some:
        return None, "no collection divides the source images"
    return {
        stratum: category_shares(judged.in_stratum(stratum), some, options or Options())
        if stratum in judged.strata
        else []
        for stratum in study.strata
    }, None


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


def _digest(records: Iterable[JudgmentRecord]) -> str:
    digest = hashlib.sha256()
    for each in records:
        row = (
            *(each.annotator, each.content, each.stratum, *each.codecs, *map(str, each.ranks)),
            *([f"gold {each.closest}"] if each.is_gold else []),
            *(["repeat"] if each.repeats else []),
        )
        digest.update("\x1f".join(row).encode() + b"\n")
    return digest.hexdigest()
