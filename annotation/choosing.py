"""Which task an annotator is given next, and why: to measure, or to check their attention."""

import random
from collections import Counter
from dataclasses import dataclass
from math import floor

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotation import orders
from annotation.models import COUNTED, Annotator, Assignment, Purpose, Task
from annotation.training import Stage

FEWEST_BETWEEN = 4  # a task is repeated after at least so many others: from memory is no answer


@dataclass(frozen=True)
class Chosen:
    task: Task
    purpose: Purpose
    shown: list[int]
    repeats: Assignment | None = None


def choose(annotator: Annotator, stage: Stage) -> Chosen | None:
    """What comes next for the annotator, whom the caller has locked; a task that measures comes
    locked, too. None: nothing is left."""
    if stage.purposes != COUNTED:
        # Nobody is trained for nothing.
        return _to_train_on(annotator, stage) if open_tasks(annotator).exists() else None
    recent = recent_sources(annotator)
    task = _open_task(annotator, recent)
    if task is None:
        return None
    # A check waits for a source image that rests, as long as there is another one to measure.
    check = _check_that_is_due(annotator, [] if task.source_id in recent else recent)
    if check:
        return check
    return Chosen(task, Purpose.MEASURE, orders.order(task, annotator, Purpose.MEASURE))


def open_tasks(annotator: Annotator) -> QuerySet[Task]:
    """What the annotator could be given to measure, in the order of serving's rule 4."""
    seen = Assignment.objects.filter(annotator=annotator, task=OuterRef("id"))
    return Task.objects.filter(
        ~Exists(seen), campaign=annotator.campaign, **{f"{annotator.places}__gt": 0}
    ).order_by("-priority", f"-{annotator.places}", "order_key")


def _open_task(annotator: Annotator, recent: list[int]) -> Task | None:
    """The task that rule 4 names, locked, of none of the recent sources if there is another; None
    if there is none that is not being taken by others this instant."""
    found = open_tasks(annotator)
    rested = found.exclude(source_id__in=recent)
    top = rested.values("priority", annotator.places).first() if recent else None
    if top is not None:
        found = rested
    else:
        top = found.values("priority", annotator.places).first()
    if top is None:
        return None
    free = found.select_for_update(of=("self",), no_key=True, skip_locked=True)
    start = orders.chance(annotator, "task").random()
    return free.filter(**top, order_key__gte=start).first() or free.first()


def recent_sources(annotator: Annotator) -> list[int]:
    """The source images of the tasks that the annotator was given last: rule 5."""
    given = annotator.assignments.order_by("-id").values_list("task__source_id", flat=True)
    return list(given[: annotator.campaign.source_distance])


# --- gold tasks and repeats -----------------------------------------------------------------------


def _check_that_is_due(annotator: Annotator, recent: list[int]) -> Chosen | None:
    """A gold task or a repeat of none of the recent sources, if its turn has come and there is
    one; one that could not be given when it was due comes as soon as it can."""
    campaign = annotator.campaign
    if not campaign.gold_share and not campaign.repeat_share:
        return None
    given = annotator.assignments.filter(purpose__in=COUNTED).aggregate(
        all=Count("id"),
        gold=Count("id", filter=Q(purpose=Purpose.GOLD)),
        repeats=Count("id", filter=Q(purpose=Purpose.REPEAT)),
    )
    seed = f"{campaign.seed}/{annotator.id}"
    if due(campaign.gold_share, given["all"], f"{seed}/gold") > given["gold"]:
        task = _gold_task(annotator, recent)
        if task:
            return Chosen(task, Purpose.GOLD, orders.order(task, annotator, Purpose.GOLD))
    # Repeats are reckoned from the first task that could be one: before, none is old enough.
    index = given["all"] - distance(annotator) - 1
    if index >= 0 and due(campaign.repeat_share, index, f"{seed}/repeat") > given["repeats"]:
        return _repeat(annotator, recent)
    return None


def distance(annotator: Annotator) -> int:
    """After how many other tasks one can be repeated."""
    return max(FEWEST_BETWEEN, annotator.campaign.source_distance)


def due(share: float, index: int, seed: str) -> int:
    """How many of a kind an annotator should have been given with task `index`, counted from 0.

    Every stretch of 1/share tasks has one, at a place that `seed` draws in it: the share holds
    within one at any time, and no two places tell the third.
    """
    if not share:
        return 0
    stretch = floor((index + 1) * share)
    drawn = random.Random(f"{seed}/{stretch}").random()  # noqa: S311
    return stretch + (floor((stretch + drawn) / share) <= index)


def _gold_task(annotator: Annotator, recent: list[int]) -> Task | None:
    """One that did not check the annotator before; rather one that they did not practise on."""
    given = Assignment.objects.filter(annotator=annotator, task=OuterRef("id"))
    unused = annotator.campaign.gold_tasks.filter(
        ~Exists(given.filter(purpose=Purpose.GOLD))
    ).exclude(source_id__in=recent)
    return _any_of(unused.filter(~Exists(given)), annotator) or _any_of(unused, annotator)


def _any_of(tasks: QuerySet[Task], annotator: Annotator) -> Task | None:
    return _drawn(list(tasks.order_by("id").values_list("id", flat=True)), annotator)


def _drawn(ids: list[int], annotator: Annotator) -> Task | None:
    return Task.objects.get(id=orders.chance(annotator, "any").choice(ids)) if ids else None


def _repeat(annotator: Annotator, recent: list[int]) -> Chosen | None:
    last = annotator.assignments.order_by("-id").values_list("id", flat=True)
    old = (
        annotator.assignments.filter(purpose=Purpose.MEASURE, repeat=None)
        .exclude(judgment=None)
        .exclude(id__in=list(last[: distance(annotator)]))
        .exclude(task__source_id__in=recent)
        .order_by("id")
    )
    ids = list(old.values_list("id", flat=True))
    if not ids:
        return None
    drawn = orders.chance(annotator, "repeat").choice(ids)
    before = old.select_related("task").get(id=drawn)
    return Chosen(before.task, Purpose.REPEAT, orders.reversed_order(before), before)


# --- practice and quiz ----------------------------------------------------------------------------


def _to_train_on(annotator: Annotator, stage: Stage) -> Chosen | None:
    """A gold task, one of those that the annotator has seen least often."""
    [purpose] = stage.purposes
    waiting = annotator.assignments.filter(purpose=purpose, judgment=None).count()
    if stage.done + waiting >= stage.of:
        return None
    own = Assignment.objects.filter(annotator=annotator, task__closest__isnull=False)
    times = Counter(own.values_list("task_id", flat=True))
    ids = list(annotator.campaign.gold_tasks.order_by("id").values_list("id", flat=True))
    fewest = min((times[each] for each in ids), default=0)
    task = _drawn([each for each in ids if times[each] == fewest], annotator)
    if task is None:
        return None
    return Chosen(task, purpose, orders.order(task, annotator, purpose))
