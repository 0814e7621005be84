"""Who judges what next, and what counts as judged.

The rules, whatever the order of requests, leases, crashes and repeats:

1. An annotator is given each task at most once (the database holds a unique constraint).
2. A task never collects more judgments than it wants: an assignment takes one of the task's
   places, `places_left` cannot go below zero, and a lease that ended gives its place back.
3. Of an annotator's assignments that hold a place, those that show a pair in one order and those
   that show it in the other differ by at most one, unless a lease ended in between; where the
   annotator is even, the side that the task has shown less often is taken, and chance decides the
   rest.
4. Tasks of higher priority go first, then those with the most places left, so that all tasks fill
   evenly; among equals, each annotator starts at a random place.
5. An answer that arrives twice is one judgment. An answer that arrives after its lease ended still
   counts as long as its task has a place.

No function reads the clock: `now` is the caller's. Locks are taken in the order annotator,
assignment, task, and tasks in the order of their ids or without waiting.
"""

import random
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from annotation.kinds import KINDS
from annotation.models import Annotator, Assignment, Campaign, Judgment, Task

LEASE = timedelta(minutes=15)
AHEAD = 2  # the pair that is being judged, and the one that loads meanwhile


class PlaceTaken(Exception):
    """The lease had ended and others have judged the task as often as it is wanted."""


def lease(annotator: Annotator, *, now: datetime, ahead: int = AHEAD) -> list[Assignment]:
    """Give an annotator up to `ahead` assignments to judge, the oldest first.

    What they already hold comes first and has its lease renewed, so asking again (a reload, a
    second tab, another day) goes on where they were. Empty: there is nothing left for them.
    """
    release_ended(annotator.campaign, now=now)
    with transaction.atomic():
        # One request of an annotator at a time: two tabs must not take two sets.
        annotator = Annotator.objects.select_for_update(no_key=True).get(id=annotator.id)
        held = _renew(annotator, now=now)[:ahead]
        while len(held) < ahead and _may_take_more(annotator):
            # Whoever holds a task's lock must not wait for another's: no deadlock.
            task = _take_place(annotator, wait=not held)
            if task is None:
                break
            held.append(
                Assignment.objects.create(
                    task=task,
                    annotator=annotator,
                    shown=_order(task, annotator),
                    leased_at=now,
                    lease_ends=now + LEASE,
                )
            )
    return held


@transaction.atomic
def judge(
    assignment: Assignment, *, closest: str, response_ms: int, viewing: dict, now: datetime
) -> tuple[Judgment, bool]:
    """Record an answer; returns the judgment and whether it is new.

    An assignment that has its judgment keeps it, whatever is said later.

    Raises PlaceTaken (nothing is recorded), and InvalidAnswer if `closest` is no position.
    """
    assignment = _locked(Assignment.objects).get(id=assignment.id)
    ranks = KINDS[assignment.task.campaign.kind].ranks(closest)
    known = Judgment.objects.filter(assignment=assignment).first()
    if known:
        return known, False
    if not assignment.holds_place and not _retake_place(assignment):
        raise PlaceTaken
    return (
        Judgment.objects.create(
            assignment=assignment,
            ranks=ranks,
            response_ms=response_ms,
            viewing=viewing,
            judged_at=now,
        ),
        True,
    )


@transaction.atomic
def release_ended(campaign: Campaign, *, now: datetime) -> int:
    """Give back the places of assignments whose lease ended without a judgment."""
    ended = list(
        _locked(Assignment.objects, skip_locked=True)
        .filter(task__campaign=campaign, holds_place=True, lease_ends__lte=now, judgment=None)
        .order_by("task_id")
    )
    for assignment in ended:
        _give_back(assignment)
    return len(ended)


@transaction.atomic
def give_back(assignment: Assignment) -> None:
    """End a lease early, because its images cannot be shown. A judgment that exists stays."""
    assignment = _locked(Assignment.objects).get(id=assignment.id)
    if assignment.holds_place and not Judgment.objects.filter(assignment=assignment).exists():
        _give_back(assignment)


def _give_back(assignment: Assignment) -> None:
    Assignment.objects.filter(id=assignment.id).update(holds_place=False)
    Task.objects.filter(id=assignment.task_id).update(places_left=F("places_left") + 1)


def _retake_place(assignment: Assignment) -> bool:
    free = Task.objects.filter(id=assignment.task_id, places_left__gt=0)
    if not free.update(places_left=F("places_left") - 1):
        return False
    Assignment.objects.filter(id=assignment.id).update(holds_place=True)
    return True


def _renew(annotator: Annotator, *, now: datetime) -> list[Assignment]:
    """The annotator's unanswered assignments that hold a place or get one again."""
    unanswered = _locked(annotator.assignments).filter(judgment=None).order_by("task_id")
    held = []
    for assignment in unanswered:
        if assignment.holds_place or _retake_place(assignment):
            assignment.holds_place, assignment.lease_ends = True, now + LEASE
            held.append(assignment)
    Assignment.objects.filter(id__in=[each.id for each in held]).update(lease_ends=now + LEASE)
    return sorted(held, key=lambda each: each.id)


def _may_take_more(annotator: Annotator) -> bool:
    campaign = annotator.campaign
    if campaign.state != Campaign.State.OPEN:
        return False
    limit = campaign.judgments_per_annotator
    return limit is None or annotator.assignments.filter(holds_place=True).count() < limit


def _take_place(annotator: Annotator, *, wait: bool) -> Task | None:
    """Take a place in the task that rule 4 names; None if there is none (or, unless `wait`, none
    that is not being taken by others this instant)."""
    seen = Assignment.objects.filter(annotator=annotator, task=OuterRef("id"))
    open_tasks = Task.objects.filter(
        ~Exists(seen), campaign=annotator.campaign, places_left__gt=0
    ).order_by("-priority", "-places_left", "order_key")
    top = open_tasks.values("priority", "places_left").first()
    if top is None:
        return None
    chance = _chance(annotator, "task")
    for skip_locked in (True, False) if wait else (True,):
        locked = _locked(open_tasks, skip_locked=skip_locked)
        task = locked.filter(**top, order_key__gte=chance).first() or locked.first()
        if task and Task.objects.filter(id=task.id, places_left__gt=0).update(
            places_left=F("places_left") - 1
        ):
            return task
    return None


def _locked(rows, *, skip_locked: bool = False):
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)


def _order(task: Task, annotator: Annotator) -> list[int]:
    """The order in which the annotator sees the task's reconstructions: rule 3."""
    first, second = sorted(task.parts.values_list("reconstruction_id", flat=True))
    # Above zero: the lower id has been on the left more often.
    lean = _lean(annotator.assignments.filter(holds_place=True)) or _lean(
        task.assignments.filter(holds_place=True)
    )
    if lean == 0:
        lean = 1 if _chance(annotator, "side") < 0.5 else -1
    return [second, first] if lean > 0 else [first, second]


def _lean(assignments) -> int:
    return sum(
        1 if left < right else -1 for left, right in assignments.values_list("shown", flat=True)
    )


def _chance(annotator: Annotator, what: str) -> float:
    """A number in [0, 1) that follows from the campaign's seed and the annotator's history."""
    history = annotator.assignments.count()
    return random.Random(f"{annotator.campaign.seed}/{annotator.id}/{history}/{what}").random()  # noqa: S311
