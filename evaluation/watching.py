"""What a study's page shows while it goes on: how fast, how even, how narrow, how much is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from math import ceil

from django.db import connection

from annotation.counts import Counts
from annotation.kinds import Ranking
from annotation.models import Campaign
from evaluation.models import PEOPLE, SIMULATED, Study

USUAL_S = 56.0
"""Seconds that a judgment takes where nothing is known yet: the mean of 2AFC with flipping in the
study whose protocol ours follows."""
FEWEST_TIMED = 20  # judgments before a study's own median counts
MOST_BARS = 96
BINS = (timedelta(minutes=10), timedelta(hours=1), timedelta(days=1), timedelta(days=7))


def facts(campaign: Campaign, population: str) -> dict:
    """Of all judgments that count, as plain values: {"bin_s", "per_bin": [[ISO time, n]],
    "median_ms"}. It reads them all: for the worker that analyses them, too."""
    with connection.cursor() as cursor:
        cursor.execute(FACTS, [campaign.id, population == SIMULATED])
        rows = cursor.fetchall()
        cursor.execute(MEDIAN, [campaign.id, population == SIMULATED])
        [median_ms] = cursor.fetchone()
    if not rows:
        return {"bin_s": 0, "per_bin": [], "median_ms": None}
    span = rows[-1][0] - rows[0][0]
    size = next((each for each in BINS if span / each < MOST_BARS), BINS[-1])
    bins: dict[float, int] = {}
    for at, n in rows:
        start = at.timestamp() // size.total_seconds() * size.total_seconds()
        bins[start] = bins.get(start, 0) + n
    return {
        "bin_s": size.total_seconds(),
        "per_bin": [[datetime.fromtimestamp(at, UTC).isoformat(), n] for at, n in bins.items()],
        "median_ms": median_ms,
    }


_OF_POPULATION = """
    FROM annotation_annotator who
    JOIN annotation_assignment a ON a.annotator_id = who.id AND a.purpose = 'measure'
    JOIN annotation_judgment j ON j.assignment_id = a.id
    WHERE who.campaign_id = %s AND who.is_simulated = %s
"""
FACTS = f"""
    SELECT date_bin('10 minutes', j.judged_at, 'epoch'), count(*) {_OF_POPULATION}
    GROUP BY 1 ORDER BY 1
"""
MEDIAN = f"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY j.response_ms) {_OF_POPULATION}"


@dataclass(frozen=True)
class Left:
    """What a study still takes.

    judgments : that are wanted and not given. asked : these, with the gold tasks and repeats that
    come among them. hours : of annotators, at `each_s` seconds for each that is asked, which are
    the study's own median where `is_own`. cost : in `currency`, None where pay is not known.
    done_at : when it is done at the pace of the last bins that cover an hour, None where nobody
    judged in them.
    """

    judgments: int
    asked: int
    each_s: float
    is_own: bool
    hours: float
    cost: Decimal | None
    currency: str
    done_at: datetime | None


def left(study: Study, counts: Counts, about: dict, *, population: str, now: datetime) -> Left:
    """Of the study's own judgments; about : the facts above, as of the newest analysis."""
    campaign = study.campaign
    given = counts.simulated if population == SIMULATED else counts.people
    judgments = max(0, (study.n_tasks or 0) * campaign.judgments_per_task - given)
    asked = ceil(judgments / (1 - campaign.gold_share - campaign.repeat_share))
    if population == PEOPLE and campaign.budget_left is not None:
        asked = min(asked, campaign.budget_left)
        judgments = min(judgments, campaign.budget_left)
    median_ms = about.get("median_ms")
    is_own = median_ms is not None and given >= FEWEST_TIMED
    each_s = median_ms / 1000 if is_own else USUAL_S
    crowd = campaign.options.crowd
    is_paid = population == PEOPLE and bool(crowd.pay)
    pace = _per_hour(about, now=now)
    return Left(
        judgments=judgments,
        asked=asked,
        each_s=each_s,
        is_own=is_own,
        hours=asked * each_s / 3600,
        cost=Decimal(crowd.pay) * asked if is_paid else None,
        currency=crowd.currency,
        done_at=now + timedelta(hours=judgments / pace) if pace and judgments else None,
    )


def _per_hour(about: dict, *, now: datetime) -> float:
    """Judgments an hour, of the last bins that cover an hour."""
    if not about.get("per_bin"):
        return 0.0
    size, hour = timedelta(seconds=about["bin_s"]), timedelta(hours=1)
    bins = [(datetime.fromisoformat(at), n) for at, n in about["per_bin"]]
    first = bins[0][0]
    # From the start of the bin that the beginning of the last hour lies in; empty bins are not
    # listed, and are time all the same. A study that just began has had its hour, too.
    begin = max(first, first + (now - hour - first) // size * size)
    return sum(n for at, n in bins if at >= begin) / (max(now - begin, hour) / hour)


@dataclass(frozen=True)
class Coverage:
    """Of one stratum: how often each pair was judged, of how often it is wanted.

    rows : of each codec its name and a cell for each codec before it: (judged, share from 0 to 1).
    """

    stratum: str
    codecs: list[str]
    wanted: int
    rows: list[tuple[str, list[tuple[int, float]]]]


def coverage(study: Study, document: dict) -> list[Coverage]:
    """Stratum by stratum, of a study whose analysis this is."""
    codecs = sorted(study.codecs)
    per_stratum = (study.n_tasks or 0) / len(study.targets_bpp)
    n_pairs = len(list(combinations(codecs, 2)))
    asks_all = study.campaign.kind == Ranking.name
    tasks = per_stratum if asks_all else per_stratum / n_pairs
    wanted = round(tasks * study.campaign.judgments_per_task)
    found = []
    for stratum, values in document["strata"].items():
        judged = {(each["a"], each["b"]): each["n"] for each in values["pairs"]}
        rows = [
            (
                codec,
                [
                    (n, min(1.0, n / wanted) if wanted else 0.0)
                    for n in (_judged(judged, codec, other) for other in codecs[:place])
                ],
            )
            for place, codec in enumerate(codecs)
            if place
        ]
        found.append(Coverage(stratum, codecs[:-1], wanted, rows))
    return found


def _judged(judged: dict[tuple[str, str], int], a: str, b: str) -> int:
    return judged.get((a, b), 0) + judged.get((b, a), 0)


@dataclass(frozen=True)
class Attention:
    """How careful annotators seem. gold : (answered rightly, of how many), by their shares;
    flags : by what was seen, of how many annotators."""

    gold_right: float | None
    n_gold: int
    flags: list[tuple[str, int]]
    n_flagged: int
    n_annotators: int


def attention(document: dict) -> Attention:
    annotators = document["annotators"]
    counts: dict[str, int] = {}
    for each in annotators:
        for flag in each["flags"]:
            counts[flag["rule"]] = counts.get(flag["rule"], 0) + 1
    shares = [each["gold_correct"] for each in annotators if each["gold_correct"] is not None]
    return Attention(
        gold_right=sum(shares) / len(shares) if shares else None,
        n_gold=document["counts"]["gold"],
        flags=sorted(counts.items(), key=lambda each: -each[1]),
        n_flagged=sum(bool(each["flags"]) for each in annotators),
        n_annotators=len(annotators),
    )


def agreement(document: dict, names: Sequence[str] = ("human_ceiling", "krippendorff_alpha")):
    """By stratum: these measures of agreement, as the analysis has them."""
    return {
        stratum: {name: values["agreement"][name] for name in names}
        for stratum, values in document["strata"].items()
    }
