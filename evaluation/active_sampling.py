"""Active sampling in service: the tasks that are to be judged next, by their priority.

In a study with sampling = "active", the pairs of codecs whose answers are expected to tell most of
the scale at their bit rate (statistics/sampling.py) are marked: of each as many tasks as it is
wanted times, on the source images judged least. Marked tasks go first (annotation/serving.py, rule
4); all others, and all where nothing is marked, fill evenly. Where the study has a target width, a
bit rate whose intervals are narrow enough has nothing marked, and the widest goes before the rest.

Every round looks at all that is stored, so it does not matter in which order judgments arrive, how
late, or whether rounds are lost or run twice. Without a worker what is marked is soon judged, and
balanced sampling goes on. An assignment keeps the priority that its task had. Answers are added up
by the database, and of tasks only those that are to be marked are read; a study whose rounds take
long has fewer of them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations
from math import inf

import numpy as np
from django.db import connection, transaction
from django.db.models import Count
from numpy.typing import NDArray

from annotation.counts import counts_of_campaign
from annotation.models import Assignment, Campaign, Purpose, Task
from annotation.serving import locked
from codecs_registry import clock
from codecs_registry.models import stratum_name
from evaluation.models import PEOPLE, SIMULATED, IntervalWidth, Study
from evaluation.statistics.sampling import next_pairs
from evaluation.study_files import ACTIVE

logger = logging.getLogger(__name__)

MARKED, MARKED_WIDEST = 1.0, 2.0  # priorities
BACKOFF = 10  # times as long as a round took, until the next
FEWEST = 8  # tasks marked at each bit rate
PER_LEASE = 2  # and so many for each pair that is out with somebody: a round may be late


@dataclass(frozen=True)
class Wanted:
    """A pair of codecs that is asked next at a bit rate, and what is known of it.

    questions : tasks that are marked.   judged : answers so far.   preferred : the share of them,
    from 0 to 1, that found the first codec closer, ties as halves; None without answers.
    """

    stratum: str
    codecs: tuple[str, str]
    questions: int
    judged: float
    preferred: float | None


def queue(study: Study) -> list[Wanted]:
    """What a study asks next, bit rate by bit rate, the most wanted first: as the last round chose,
    less what was given since."""
    places = _places(_is_rehearsal(study))
    marked = Task.objects.filter(campaign=study.campaign_id, priority__gt=0, **{f"{places}__gt": 0})
    left = {
        (stratum_name(bpp), tuple(compares.split(" "))): n
        for bpp, compares, n in marked.order_by()
        .values_list("target_bpp", "compares")
        .annotate(n=Count("id"))
    }
    found = []
    for each in Study.objects.values_list("asked_next", flat=True).get(id=study.id):
        pair = tuple(each["codecs"])
        if questions := left.get((each["stratum"], pair)):
            found.append(Wanted(**each | {"codecs": pair, "questions": questions}))
    order = {stratum: place for place, stratum in enumerate(study.strata)}
    return sorted(found, key=lambda each: (order[each.stratum], -each.questions))


@dataclass
class _Stratum:
    """What is known of one bit rate, (n, n) each, of the study's codecs in order. wins, pending :
    see next_pairs. allowed : whether a pair, the first before the second, has a task with places.
    """

    wins: NDArray[np.float64]
    pending: NDArray[np.int64]
    allowed: NDArray[np.bool_]


def prioritise_all(*, now: datetime | None = None) -> int:
    """A round for every open study that samples actively and has news; returns how many.

    now : a study whose last round took long is left alone for BACKOFF times as long; without it,
        none is.
    """
    studies = Study.objects.filter(
        campaign__state=Campaign.State.OPEN, specification__sampling=ACTIVE
    )
    done = 0
    for study in studies.only("id", "sampled_at", "sampling_s"):
        if now and study.sampled_at:
            rest = timedelta(seconds=BACKOFF * (study.sampling_s or 0))
            if now < study.sampled_at + rest:
                continue
        try:
            done += prioritise(study.id)
        except Exception:  # one study's trouble must not leave the others without
            logger.exception("study %s: no pairs could be chosen", study.id)
    return done


@transaction.atomic
def prioritise(study_id: int) -> bool:
    """Mark the tasks that a study asks for next; returns whether there was anything new.

    A call while another is at it does nothing.
    """
    begun = time.monotonic()
    free = Study.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    study = free.filter(id=study_id).first()
    if study is None:
        return False
    news = counts_of_campaign(study.campaign_id).news_and_leases
    if study.sampled_until == news:
        return False
    rng = np.random.default_rng([study.campaign.seed, news])
    is_rehearsal = _is_rehearsal(study)
    priorities = _priorities(study, SIMULATED if is_rehearsal else PEOPLE)
    codecs = sorted(study.codecs)
    wanted = []
    for bpp, stratum in sorted(_strata(study).items()):
        times = _chosen(stratum, rng)  # drawn of each, so that none changes another's
        if priorities[bpp]:
            for (i, j), questions in times.items():
                judged = float(stratum.wins[i, j] + stratum.wins[j, i])
                preferred = float(stratum.wins[i, j] / judged) if judged else None
                pair = codecs[i], codecs[j]
                wanted.append((bpp, Wanted(stratum_name(bpp), pair, questions, judged, preferred)))
    marked = _least_judged(study.campaign_id, wanted, _places(is_rehearsal))
    _mark(study.campaign_id, {each: priorities[bpp] for each, bpp in marked.items()})
    Study.objects.filter(id=study_id).update(
        sampled_until=news,
        asked_next=[asdict(each) for _, each in wanted],
        sampled_at=clock.now(),
        sampling_s=time.monotonic() - begun,
    )
    return True


def _chosen(stratum: _Stratum, rng: np.random.Generator) -> Counter[tuple[int, int]]:
    """How often each pair is to be marked at one bit rate."""
    if not stratum.allowed.any():
        return Counter()
    size = max(FEWEST, PER_LEASE * int(stratum.pending.sum()))
    pairs = next_pairs(
        stratum.wins, size, rng=rng, pending=stratum.pending, allowed=stratum.allowed
    )
    return Counter((i, j) for i, j in pairs.tolist())


def _priorities(study: Study, population: str) -> dict[Decimal, float]:
    """What tasks of each bit rate are marked with; 0: none is, since it is narrow enough."""
    if study.target_width is None:
        return dict.fromkeys(study.targets_bpp, MARKED)
    widths: dict[str, float] = {}
    for each in IntervalWidth.objects.filter(study=study, population=population).order_by("id"):
        widths[each.stratum] = inf if each.widest is None else each.widest
    of_bpp = {bpp: widths.get(stratum_name(bpp), inf) for bpp in study.targets_bpp}
    widest = max(of_bpp.values())
    return {
        bpp: 0.0 if width <= study.target_width else MARKED_WIDEST if width == widest else MARKED
        for bpp, width in of_bpp.items()
    }


def _is_rehearsal(study: Study) -> bool:
    """Whether only simulated annotators were asked: then their judgments count, and people's once
    there are any."""
    given = Assignment.objects.filter(
        annotator__campaign=study.campaign_id, purpose=Purpose.MEASURE, holds_place=True
    )
    by_people = given.filter(annotator__is_simulated=False)
    return not by_people.exists() and given.exists()


def _places(is_rehearsal: bool) -> str:
    return "simulated_places_left" if is_rehearsal else "places_left"


ANSWERS = """
    SELECT t.target_bpp, t.compares, shown.codec, sign(j.ranks[2] - j.ranks[1]), count(*)
    FROM annotation_annotator who
    JOIN annotation_assignment a
        ON a.annotator_id = who.id AND a.purpose = 'measure' AND a.holds_place
    JOIN annotation_task t ON t.id = a.task_id
    JOIN codecs_registry_reconstruction shown ON shown.id = a.shown[1]
    LEFT JOIN annotation_judgment j ON j.assignment_id = a.id
    WHERE who.campaign_id = %s AND who.is_simulated = %s
    GROUP BY 1, 2, 3, 4
"""
OPEN = """
    SELECT bpp, pair FROM unnest(%s::numeric[]) AS bpp, unnest(%s::text[]) AS pair
    WHERE EXISTS (
        SELECT FROM annotation_task
        WHERE campaign_id = %s AND target_bpp = bpp AND compares = pair AND compares <> ''
            AND {places} > 0
    )
"""
LEAST_JUDGED = """
    SELECT task.id, bpp
    FROM unnest(%s::numeric[], %s::text[], %s::int[]) AS wanted(bpp, pair, times),
    LATERAL (
        SELECT id FROM annotation_task
        WHERE campaign_id = %s AND target_bpp = bpp AND compares = pair AND compares <> ''
            AND {places} > 0
        ORDER BY {places} DESC, order_key LIMIT times
    ) task
"""


def _strata(study: Study) -> dict[Decimal, _Stratum]:
    """What is known and can be asked, by bit rate."""
    codecs = sorted(study.codecs)
    number = {codec: i for i, codec in enumerate(codecs)}
    n = len(codecs)
    strata = {
        bpp: _Stratum(
            np.zeros((n, n)), np.zeros((n, n), dtype=np.int64), np.zeros((n, n), dtype=bool)
        )
        for bpp in study.targets_bpp
    }
    is_rehearsal = _is_rehearsal(study)
    pairs = [" ".join(pair) for pair in combinations(codecs, 2)]
    with connection.cursor() as cursor:
        cursor.execute(ANSWERS, [study.campaign_id, is_rehearsal])
        for bpp, compares, left, sign, times in cursor.fetchall():
            a, b = compares.split(" ")
            i, j = number[left], number[b if left == a else a]
            stratum = strata[bpp]
            if sign is None:
                stratum.pending[i, j] += times
            else:
                # A tie is half a win of each.
                left_wins = 0.5 + 0.5 * float(sign)
                stratum.wins[i, j] += times * left_wins
                stratum.wins[j, i] += times * (1 - left_wins)
        sql = OPEN.format(places=_places(is_rehearsal))
        cursor.execute(sql, [study.targets_bpp, pairs, study.campaign_id])
        for bpp, compares in cursor.fetchall():
            a, b = compares.split(" ")
            strata[bpp].allowed[number[a], number[b]] = True
    return strata


def _least_judged(
    campaign_id: int, wanted: list[tuple[Decimal, Wanted]], places: str
) -> dict[int, Decimal]:
    """Ids of tasks, with their bit rates: of each pair as many as it is wanted times, the least
    judged first, then as serving goes."""
    with connection.cursor() as cursor:
        cursor.execute(
            LEAST_JUDGED.format(places=places),
            [
                [bpp for bpp, _ in wanted],
                [" ".join(each.codecs) for _, each in wanted],
                [each.questions for _, each in wanted],
                campaign_id,
            ],
        )
        return dict(cursor.fetchall())


def _mark(campaign_id: int, priorities: dict[int, float]) -> None:
    """Give these tasks, and no others of the campaign, priority."""
    marked = Task.objects.filter(campaign=campaign_id, priority__gt=0)
    before = dict(marked.values_list("id", "priority"))
    changed = {
        each
        for each in before.keys() | priorities.keys()
        if before.get(each, 0.0) != priorities.get(each, 0.0)
    }
    # Locked in serving's order, or each could wait for the other.
    list(locked(Task.objects.filter(id__in=changed).order_by("id")).values_list("id"))
    for priority in (0.0, MARKED, MARKED_WIDEST):
        ids = [each for each in changed if priorities.get(each, 0.0) == priority]
        Task.objects.filter(id__in=ids).update(priority=priority)
