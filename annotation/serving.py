"""Who judges what next, and what counts as judged.

The rules, whatever the order of requests, leases, crashes and repeats:

1. An annotator is given each task at most once (the database holds a unique constraint).
2. A task never collects more judgments than it wants: an assignment takes one of the task's
   places, their number cannot go below zero, and a lease that ended gives its place back.
   Simulated annotators have places of their own and leave people's alone.
3. Of an annotator's assignments that hold a place, those that show a pair in one order and those
   that show it in the other differ by at most one, unless a lease ended in between; where the
   annotator is even, the codec comes to the side where they saw it less often in pairs of the same
   two codecs, then the side that the task has shown less often is taken, and chance decides the
   rest. Of rankings, each codec comes to each place in turn.
4. Tasks of higher priority go first, then those with the most places left, so that all tasks fill
   evenly; among equals, each annotator starts at a random place.
5. A source image that the annotator was given among the last `source_distance` tasks waits until
   there is nothing else for them, whatever the priorities.
6. What could not be shown to an annotator comes again for them after all else.
7. An answer that arrives twice is one judgment. An answer that arrives after its lease ended still
   counts as long as its task has a place.

No function reads the clock: `now` is the caller's. Locks are taken in the order annotator,
assignments, tasks, those of a kind in the order of their tasks' ids. Who looks for a task to take
never waits for one while holding any lock: PostgreSQL keeps the lock of a row that turns out not to
qualify after the wait, and two who look would hold each other up.
"""

import random
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from annotation.kinds import KINDS
from annotation.models import Annotator, Assignment, Campaign, Judgment, Task
from codecs_registry.models import Reconstruction

LEASE = timedelta(minutes=15)
AHEAD = 2  # the pair that is being judged, and the one that loads meanwhile


class PlaceTaken(Exception):
    """The lease had ended and others have judged the task as often as it is wanted."""


def lease(annotator: Annotator, *, now: datetime, ahead: int = AHEAD) -> list[Assignment]:
    """Give an annotator up to `ahead` assignments to judge, the oldest first.

    What they already hold comes first and has its lease renewed, so asking again (a reload, a
    second tab, another day) goes on where they were. Empty: there is nothing left for them.
    """
    release_ended(now=now)
    while True:
        held = _renew_and_take(annotator, now=now, ahead=ahead)
        busy = None if held else _first_open(annotator)
        if busy is None:
            return held
        # Others are taking all that is left this instant: look again when they are done.
        with transaction.atomic():
            _locked(Task.objects).filter(id=busy).first()


@transaction.atomic
def _renew_and_take(annotator: Annotator, *, now: datetime, ahead: int) -> list[Assignment]:
    # One request of an annotator at a time: two tabs must not take two sets.
    annotator = Annotator.objects.select_for_update(no_key=True).get(id=annotator.id)
    held = _renew(annotator, now=now, ahead=ahead)
    while len(held) < ahead and _may_take_more(annotator):
        task = _take_place(annotator)
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
    return held or _renew(annotator, now=now, ahead=ahead, were_given_back=True)


@transaction.atomic
def judge(
    assignment: Assignment, *, answer: object, response_ms: int, viewing: dict, now: datetime
) -> tuple[Judgment, bool]:
    """Record an answer; returns the judgment and whether it is new.

    An assignment that has its judgment keeps it, whatever is said later.

    answer : see the campaign's kind. Raises PlaceTaken (nothing is recorded) and InvalidAnswer.
    """
    assignment = _locked(Assignment.objects).get(id=assignment.id)
    campaign = assignment.task.campaign
    ranks = KINDS[campaign.kind].ranks(
        answer, len(assignment.shown), allows_ties=campaign.allows_ties
    )
    known = Judgment.objects.filter(assignment=assignment).first()
    if known:
        return known, False
    if not assignment.holds_place and not _retake_place(assignment):
        raise PlaceTaken
    judgment = Judgment.objects.create(
        assignment=assignment,
        ranks=ranks,
        response_ms=response_ms,
        viewing=viewing,
        judged_at=now,
    )
    Assignment.objects.filter(id=assignment.id).update(lease_ends=None)
    return judgment, True


@transaction.atomic
def release_ended(*, now: datetime) -> int:
    """Give back the places of all assignments whose lease ended without a judgment."""
    ended = list(
        _locked(Assignment.objects, skip_locked=True)
        .filter(holds_place=True, lease_ends__lte=now)
        .select_related("annotator")
        .order_by("task_id")
    )
    return sum(_give_back(assignment) for assignment in ended)


@transaction.atomic
def give_back(assignment: Assignment, *, now: datetime) -> None:
    """End a lease early, because its images cannot be shown. A judgment that exists stays."""
    assignment = _locked(Assignment.objects).get(id=assignment.id)
    if _give_back(assignment):
        Assignment.objects.filter(id=assignment.id).update(given_back_at=now)


def _give_back(assignment: Assignment) -> bool:
    """Give back the place of an assignment that the caller has locked, unless it was judged.

    Whether it was is asked only now, under the lock: what a query read while it waited for the
    lock, or just before, may be from before the judgment.
    """
    judged = Judgment.objects.filter(assignment=OuterRef("id"))
    holding = Assignment.objects.filter(~Exists(judged), id=assignment.id, holds_place=True)
    if not holding.update(holds_place=False):
        return False
    places = assignment.annotator.places
    Task.objects.filter(id=assignment.task_id).update(**{places: F(places) + 1})
    return True


def _retake_place(assignment: Assignment) -> bool:
    places = assignment.annotator.places
    free = Task.objects.filter(id=assignment.task_id, **{f"{places}__gt": 0})
    if not free.update(**{places: F(places) - 1}):
        return False
    Assignment.objects.filter(id=assignment.id).update(holds_place=True)
    return True


def _renew(
    annotator: Annotator, *, now: datetime, ahead: int, were_given_back: bool = False
) -> list[Assignment]:
    """Up to `ahead` of the annotator's unanswered assignments that hold a place or get one again;
    of those that were given back, or of the others."""
    unanswered = annotator.assignments.filter(
        judgment=None, given_back_at__isnull=not were_given_back
    ).order_by("task_id")
    locked = [assignment.id for assignment in _locked(unanswered)]
    held = []
    # Asked again under the locks: an answer may have arrived while they were waited for.
    for assignment in unanswered.filter(id__in=locked).order_by("-holds_place", "task_id"):
        if len(held) == ahead:
            break
        assignment.annotator = annotator
        if assignment.holds_place or (not _has_enough(annotator) and _retake_place(assignment)):
            assignment.holds_place, assignment.lease_ends = True, now + LEASE
            held.append(assignment)
    Assignment.objects.filter(id__in=[each.id for each in held]).update(lease_ends=now + LEASE)
    return sorted(held, key=lambda each: each.id)


def _may_take_more(annotator: Annotator) -> bool:
    return annotator.campaign.state == Campaign.State.OPEN and not _has_enough(annotator)


def _has_enough(annotator: Annotator) -> bool:
    limit = annotator.campaign.judgments_per_annotator
    return limit is not None and annotator.assignments.filter(holds_place=True).count() >= limit


def _open_tasks(annotator: Annotator) -> QuerySet[Task]:
    """What the annotator could be given, in the order of rule 4."""
    seen = Assignment.objects.filter(annotator=annotator, task=OuterRef("id"))
    return Task.objects.filter(
        ~Exists(seen), campaign=annotator.campaign, **{f"{annotator.places}__gt": 0}
    ).order_by("-priority", f"-{annotator.places}", "order_key")


def _first_open(annotator: Annotator) -> int | None:
    annotator = Annotator.objects.select_related("campaign").get(id=annotator.id)
    if not _may_take_more(annotator):
        return None
    return _open_tasks(annotator).values_list("id", flat=True).first()


def _take_place(annotator: Annotator) -> Task | None:
    """Take a place in the task that rule 4 names; None if there is none that is not being taken
    by others this instant."""
    open_tasks = _open_tasks(annotator)
    recent = _recent_sources(annotator)
    rested = open_tasks.exclude(source_id__in=recent)
    top = rested.values("priority", annotator.places).first() if recent else None
    if top is not None:
        open_tasks = rested
    else:
        top = open_tasks.values("priority", annotator.places).first()
    if top is None:
        return None
    free = _locked(open_tasks, skip_locked=True)
    chance = _chance(annotator, "task")
    task = free.filter(**top, order_key__gte=chance).first() or free.first()
    if task:
        Task.objects.filter(id=task.id).update(**{annotator.places: F(annotator.places) - 1})
    return task


def _recent_sources(annotator: Annotator) -> list[int]:
    """The source images of the tasks that the annotator was given last: rule 5."""
    given = annotator.assignments.order_by("-id").values_list("task__source_id", flat=True)
    return list(given[: annotator.campaign.source_distance])


def _locked(rows, *, skip_locked: bool = False):
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)


def _order(task: Task, annotator: Annotator) -> list[int]:
    """The order in which the annotator sees the task's reconstructions: rule 3."""
    shown = task.parts.order_by("reconstruction__codec", "reconstruction_id")
    ids = list(shown.values_list("reconstruction_id", flat=True))
    return _sides(task, annotator, ids) if len(ids) == 2 else _places(annotator, ids)


def _places(annotator: Annotator, ids: list[int]) -> list[int]:
    """A row of a Latin square over the codecs, another one for each of the annotator's tasks: in
    as many tasks as there are codecs each comes to each place once. Every square is drawn anew, so
    that neighbours change."""
    square, row = divmod(annotator.assignments.count(), len(ids))
    drawn = random.Random(f"{annotator.campaign.seed}/{annotator.id}/{square}/places")  # noqa: S311
    mixed = drawn.sample(ids, len(ids))
    return mixed[row:] + mixed[:row]


def _sides(task: Task, annotator: Annotator, ids: list[int]) -> list[int]:
    first, second = sorted(ids)
    # Above zero: the lower id has been on the left more often.
    lean = (
        _lean(annotator.assignments.filter(holds_place=True))
        or _lean_of_codecs(task, annotator, first, second)
        or _lean(
            task.assignments.filter(
                holds_place=True, annotator__is_simulated=annotator.is_simulated
            )
        )
    )
    if lean == 0:
        lean = 1 if _chance(annotator, "side") < 0.5 else -1
    return [second, first] if lean > 0 else [first, second]


def _lean_of_codecs(task: Task, annotator: Annotator, first: int, second: int) -> int:
    """How much more often the annotator was shown the codec of `first` on the left, of all their
    pairs of these two codecs."""
    codec = dict(task.parts.values_list("reconstruction_id", "reconstruction__codec"))
    pairs = (
        annotator.assignments.filter(holds_place=True)
        .filter(task__parts__reconstruction__codec=codec[first])
        .filter(task__parts__reconstruction__codec=codec[second])
    )
    on_left = list(pairs.values_list("shown__0", flat=True))
    of_first = Reconstruction.objects.filter(id__in=on_left, codec=codec[first]).count()
    return 2 * of_first - len(on_left)


def _lean(assignments) -> int:
    return sum(
        1 if left < right else -1 for left, right in assignments.values_list("shown", flat=True)
    )


def _chance(annotator: Annotator, what: str) -> float:
    """A number in [0, 1) that follows from the campaign's seed and the annotator's history."""
    history = annotator.assignments.count()
    return random.Random(f"{annotator.campaign.seed}/{annotator.id}/{history}/{what}").random()  # noqa: S311
