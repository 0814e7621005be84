"""Active sampling in service: the tasks that are to be judged next, by their priority.

In a study with sampling = "active", the pairs of codecs whose answers are expected to tell most of
the scale at their bit rate (statistics/sampling.py) are marked: of each as many tasks as it is
wanted times, on the source images judged least. Marked tasks go first (annotation/serving.py, rule
4); all others, and all where nothing is marked, fill evenly.

Every round looks at all that is stored, so it does not matter in which order judgments arrive, how
late, or whether rounds are lost or run twice. Without a worker what is marked is soon judged, and
balanced sampling goes on. An assignment keeps the priority that its task had.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from django.db import transaction
from django.db.models import Count, Max
from numpy.typing import NDArray

from annotation.models import Assignment, Campaign, Purpose, Task, TaskReconstruction
from annotation.serving import locked
from codecs_registry.models import Reconstruction, stratum_name
from evaluation.models import Study
from evaluation.statistics.sampling import next_pairs
from evaluation.study_files import ACTIVE

logger = logging.getLogger(__name__)

MARKED = 1.0
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
    """What a study asks next, bit rate by bit rate, the most wanted first."""
    marked = set(
        Task.objects.filter(campaign=study.campaign_id, priority__gt=0).values_list("id", flat=True)
    )
    codecs = sorted(study.codecs)
    found = []
    for bpp, stratum in sorted(_strata(study).items()):
        times = {pair: len(marked.intersection(ids)) for pair, ids in stratum.open_tasks.items()}
        for (i, j), questions in sorted(times.items(), key=lambda each: -each[1]):
            judged = stratum.wins[i, j] + stratum.wins[j, i]
            preferred = float(stratum.wins[i, j] / judged) if judged else None
            if questions:
                pair = codecs[i], codecs[j]
                found.append(Wanted(stratum_name(bpp), pair, questions, float(judged), preferred))
    return found


@dataclass
class _Stratum:
    """What is known of one bit rate. wins, pending : (n, n), of the study's codecs in order; see
    next_pairs. open_tasks : by pair of codecs, those that can be asked, the least judged first."""

    wins: NDArray[np.float64]
    pending: NDArray[np.int64]
    open_tasks: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))


def prioritise_all() -> int:
    """A round for every open study that samples actively and has news; returns how many."""
    studies = Study.objects.filter(
        campaign__state=Campaign.State.OPEN, specification__sampling=ACTIVE
    )
    done = 0
    for study_id in studies.values_list("id", flat=True):
        try:
            done += prioritise(study_id)
        except Exception:  # one study's trouble must not leave the others without
            logger.exception("study %s: no pairs could be chosen", study_id)
    return done


@transaction.atomic
def prioritise(study_id: int) -> bool:
    """Mark the tasks that a study asks for next; returns whether there was anything new.

    A call while another is at it does nothing.
    """
    free = Study.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    study = free.filter(id=study_id).first()
    if study is None:
        return False
    news = _news(study.campaign_id)
    if study.sampled_until == news:
        return False
    rng = np.random.default_rng([study.campaign.seed, news])
    marked: list[int] = []
    for _, stratum in sorted(_strata(study).items()):
        marked += _chosen(stratum, rng)
    _mark(study.campaign_id, marked)
    Study.objects.filter(id=study_id).update(sampled_until=news)
    return True


def _news(campaign_id: int) -> int:
    """A number that rises with every lease and every judgment."""
    given = Assignment.objects.filter(task__campaign=campaign_id)
    last = given.aggregate(lease=Max("id"), judgment=Max("judgment"))
    return (last["lease"] or 0) + (last["judgment"] or 0)


def _chosen(stratum: _Stratum, rng: np.random.Generator) -> list[int]:
    """Ids of the tasks to mark at one bit rate."""
    if not stratum.open_tasks:
        return []
    allowed = np.zeros(stratum.wins.shape, dtype=bool)
    for pair in stratum.open_tasks:
        allowed[pair] = True
    size = max(FEWEST, PER_LEASE * int(stratum.pending.sum()))
    pairs = next_pairs(
        stratum.wins, size, rng=rng, pending=stratum.pending, allowed=allowed
    ).tolist()
    wanted = Counter((i, j) for i, j in pairs)
    return [each for pair, times in wanted.items() for each in stratum.open_tasks[pair][:times]]


def _strata(study: Study) -> dict[Decimal, _Stratum]:
    """What is known and can be asked, by bit rate. People's judgments count, unless there are only
    simulated ones: a rehearsal."""
    number = {codec: i for i, codec in enumerate(sorted(study.codecs))}
    n = len(number)
    strata = {
        bpp: _Stratum(np.zeros((n, n)), np.zeros((n, n), dtype=np.int64))
        for bpp in study.targets_bpp
    }
    given = Assignment.objects.filter(
        task__campaign=study.campaign_id, purpose=Purpose.MEASURE, holds_place=True
    )
    by_people = given.filter(annotator__is_simulated=False)
    is_rehearsal = given.exists() and not by_people.exists()
    codec_of = dict(
        Reconstruction.objects.filter(studies=study).values_list("id", "codec").order_by()
    )
    answers = (
        (given if is_rehearsal else by_people)
        .order_by()
        .values_list("task__target_bpp", "shown", "judgment__ranks")
        .annotate(n=Count("id"))
    )
    for bpp, shown, ranks, times in answers:
        left, right = (number[codec_of[each]] for each in shown)
        stratum = strata[bpp]
        if ranks is None:
            stratum.pending[left, right] += times
        else:
            # A tie is half a win of each.
            left_wins = 0.5 + 0.5 * int(np.sign(ranks[1] - ranks[0]))
            stratum.wins[left, right] += times * left_wins
            stratum.wins[right, left] += times * (1 - left_wins)
    places = "simulated_places_left" if is_rehearsal else "places_left"
    for bpp, pair, task_id in _open_tasks(study.campaign_id, places, number):
        strata[bpp].open_tasks[pair].append(task_id)
    return strata


def _open_tasks(
    campaign_id: int, places: str, number: dict[str, int]
) -> Iterable[tuple[Decimal, tuple[int, int], int]]:
    """(bit rate, pair of codecs, id) of each task that has a place, the least judged first, then as
    serving goes."""
    parts: dict[int, list[int]] = defaultdict(list)
    of_tasks = TaskReconstruction.objects.filter(
        task__campaign=campaign_id, task__closest=None, **{f"task__{places}__gt": 0}
    )
    for task_id, codec in of_tasks.values_list("task_id", "reconstruction__codec").order_by():
        parts[task_id].append(number[codec])
    tasks = Task.objects.filter(campaign=campaign_id, closest=None, **{f"{places}__gt": 0})
    for task_id, bpp in tasks.order_by(f"-{places}", "order_key").values_list("id", "target_bpp"):
        if task_id in parts:  # not one that became open this instant
            i, j = sorted(parts[task_id])
            yield bpp, (i, j), task_id


def _mark(campaign_id: int, ids: list[int]) -> None:
    """Give these tasks, and no others of the campaign, priority."""
    wanted = set(ids)
    marked = Task.objects.filter(campaign=campaign_id, priority__gt=0)
    before = set(marked.values_list("id", flat=True))
    # Locked in serving's order, or each could wait for the other.
    changed = Task.objects.filter(id__in=before ^ wanted).order_by("id")
    list(locked(changed).values_list("id"))
    Task.objects.filter(id__in=before - wanted).update(priority=0.0)
    Task.objects.filter(id__in=wanted - before).update(priority=MARKED)
