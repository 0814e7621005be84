"""Who judges what next, and what counts as judged.

The rules, whatever the order of requests, leases, crashes and repeats:

1. An annotator is given each task at most once (the database holds a unique constraint), but for
   the repeats that rule 8 counts, and for what they practise on.
2. A task never collects more judgments than it wants: an assignment takes one of the task's
   places, their number cannot go below zero, and a lease that ended gives its place back.
   Simulated annotators have places of their own and leave people's alone. Gold tasks, repeats,
   practice and quiz take none.
3. Sides and positions are balanced: orders.py.
4. Tasks of higher priority go first, then those with the most places left, so that all tasks fill
   evenly; among equals, each annotator starts at a random place.
5. A source image that the annotator was given among the last `source_distance` tasks waits until
   there is nothing else for them, whatever the priorities; that of a gold task or a repeat, too.
   What they had been given before and did not answer is not given anew: it comes back as it is.
6. What could not be shown to an annotator comes again for them after all else.
7. An answer that arrives twice is one judgment. An answer that arrives after its lease ended still
   counts as long as its task has a place, and the campaign's budget has one.
8. Gold tasks and repeats are given at their shares of all that the annotator is asked (practice and
   quiz apart), each at a random place in its stretch, or as soon after as rule 5 lets one:
   choosing.py. None is given where nothing is left to be measured.
9. People give no more judgments than the campaign's budget, and no annotator more than its quota;
   nothing is leased after the campaign's closing date, nor to who was stopped.
10. Practice comes first, then the quiz until it is passed, then what counts.

No function reads the clock: `now` is the caller's. Locks are taken in the order annotator, campaign
(where it has a budget), assignments, tasks, those of a kind in the order of their tasks' ids. Who
looks for a task to take never waits for one while holding any lock: PostgreSQL keeps the lock of a
row that turns out not to qualify after the wait, and two who look would hold each other up.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.dispatch import Signal

from annotation import choosing, quality
from annotation.kinds import KINDS
from annotation.models import COUNTED, Annotator, Assignment, Campaign, Judgment, Purpose, Task
from annotation.training import stage_of

LEASE = timedelta(minutes=15)
AHEAD = 2  # the pair that is being judged, and the one that loads meanwhile

# Sent after leases ended unanswered, and their places were given back.
leases_ended = Signal()  # count: int


class PlaceTaken(Exception):
    """The lease had ended and others have judged the task as often as it is wanted."""


def lease(annotator: Annotator, *, now: datetime, ahead: int = AHEAD) -> list[Assignment]:
    """Give an annotator up to `ahead` assignments to judge, the oldest first.

    What they already hold comes first and has its lease renewed, so asking again (a reload, a
    second tab, another day) goes on where they were. Empty: there is nothing left for them.
    """
    ended = release_ended(now=now)
    if ended:
        leases_ended.send(sender=Assignment, count=ended)
    while True:
        held = _renew_and_take(annotator, now=now, ahead=ahead)
        busy = None if held else _first_open(annotator, now=now)
        if busy is None:
            return held
        # Others are taking all that is left this instant: look again when they are done.
        with transaction.atomic():
            locked(Task.objects).filter(id=busy).first()


@transaction.atomic
def _renew_and_take(annotator: Annotator, *, now: datetime, ahead: int) -> list[Assignment]:
    # One request of an annotator at a time: two tabs must not take two sets.
    annotator = _locked_annotator(annotator.id)
    if annotator.stopped_at:
        return []
    lock_budgets(annotator.campaign)
    stage = stage_of(annotator)
    held = _renew(annotator, stage.purposes, now=now, ahead=ahead)
    while len(held) < ahead and _may_take_more(annotator, stage.purposes, now=now):
        chosen = choosing.choose(annotator, stage)
        if chosen is None or not _take_budget(annotator, chosen.purpose):
            break
        if chosen.purpose == Purpose.MEASURE:
            places = annotator.places
            Task.objects.filter(id=chosen.task.id).update(**{places: F(places) - 1})
        held.append(
            Assignment.objects.create(
                task=chosen.task,
                annotator=annotator,
                purpose=chosen.purpose,
                repeats=chosen.repeats,
                shown=chosen.shown,
                priority=chosen.task.priority if chosen.purpose == Purpose.MEASURE else 0.0,
                leased_at=now,
                lease_ends=now + LEASE,
            )
        )
    return held or _renew(annotator, stage.purposes, now=now, ahead=ahead, were_given_back=True)


@transaction.atomic
def judge(
    assignment: Assignment,
    *,
    answer: object,
    response_ms: int,
    viewing: dict,
    now: datetime,
    events: list | None = None,
    confidence: int | None = None,
    remark: str = "",
) -> tuple[Judgment, bool]:
    """Record an answer; returns the judgment and whether it is new.

    An assignment that has its judgment keeps it, whatever is said later.

    answer : see the campaign's kind. Raises PlaceTaken (nothing is recorded) and InvalidAnswer.
    """
    annotator = _locked_annotator(assignment.annotator_id)
    lock_budgets(annotator.campaign)
    assignment = locked(Assignment.objects).get(id=assignment.id)
    assignment.annotator = annotator
    campaign = annotator.campaign
    ranks = KINDS[campaign.kind].ranks(
        answer, len(assignment.shown), allows_ties=campaign.allows_ties
    )
    known = Judgment.objects.filter(assignment=assignment).first()
    if known:
        return known, False
    if not assignment.holds_place:
        # A late answer counts beyond the quota. One to what was given back does not, or giving back
        # and answering could go on without end.
        was_given_back = assignment.given_back_at is not None and assignment.purpose in COUNTED
        if (was_given_back and _has_enough(annotator)) or not _retake_place(assignment):
            raise PlaceTaken
    judgment = Judgment.objects.create(
        assignment=assignment,
        ranks=ranks,
        response_ms=response_ms,
        viewing=viewing,
        events=events or [],
        confidence=confidence,
        remark=remark,
        judged_at=now,
    )
    Assignment.objects.filter(id=assignment.id).update(lease_ends=None)
    quality.review(annotator, assignment, now=now)
    return judgment, True


@transaction.atomic
def release_ended(*, now: datetime) -> int:
    """Give back the places of all assignments whose lease ended without a judgment."""
    ended = Assignment.objects.filter(holds_place=True, lease_ends__lte=now)
    campaigns = Campaign.objects.in_bulk(set(ended.values_list("task__campaign_id", flat=True)))
    if not campaigns:
        return 0
    lock_budgets(*campaigns.values())
    rows = list(
        locked(ended, skip_locked=True)
        .select_related("annotator", "task__campaign")
        .order_by("task_id")
    )
    return sum(_give_back(assignment) for assignment in rows)


@transaction.atomic
def give_back(assignment: Assignment, *, now: datetime) -> None:
    """End a lease early, because its images cannot be shown. A judgment that exists stays."""
    lock_budgets(assignment.annotator.campaign)
    assignment = locked(Assignment.objects).get(id=assignment.id)
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
    free_place(assignment)
    return True


def free_place(assignment: Assignment) -> None:
    """Count the place of an assignment, which it no longer holds, as free: its task's and the
    budget's."""
    _return_budget(assignment)
    if assignment.purpose == Purpose.MEASURE:
        places = assignment.annotator.places
        Task.objects.filter(id=assignment.task_id).update(**{places: F(places) + 1})


def _retake_place(assignment: Assignment) -> bool:
    if not _take_budget(assignment.annotator, assignment.purpose):
        return False
    if assignment.purpose == Purpose.MEASURE:
        places = assignment.annotator.places
        free = Task.objects.filter(id=assignment.task_id, **{f"{places}__gt": 0})
        if not free.update(**{places: F(places) - 1}):
            _return_budget(assignment)
            return False
    Assignment.objects.filter(id=assignment.id).update(holds_place=True)
    return True


def _renew(
    annotator: Annotator,
    purposes: tuple[Purpose, ...],
    *,
    now: datetime,
    ahead: int,
    were_given_back: bool = False,
) -> list[Assignment]:
    """Up to `ahead` of the annotator's unanswered assignments that hold a place or get one again;
    of those that were given back, or of the others."""
    unanswered = annotator.assignments.filter(
        judgment=None, purpose__in=purposes, given_back_at__isnull=not were_given_back
    ).order_by("task_id", "id")
    ids = [assignment.id for assignment in locked(unanswered)]
    held = []
    # Asked again under the locks: an answer may have arrived while they were waited for.
    for assignment in unanswered.filter(id__in=ids).order_by("-holds_place", "task_id", "id"):
        if len(held) == ahead:
            break
        assignment.annotator = annotator
        is_free = assignment.holds_place or (
            _may_take_more(annotator, purposes, now=now) and _retake_place(assignment)
        )
        if is_free:
            assignment.holds_place, assignment.lease_ends = True, now + LEASE
            held.append(assignment)
    Assignment.objects.filter(id__in=[each.id for each in held]).update(lease_ends=now + LEASE)
    return sorted(held, key=lambda each: each.id)


def _may_take_more(annotator: Annotator, purposes: tuple[Purpose, ...], *, now: datetime) -> bool:
    """Whether something can be leased to the annotator; practice and quiz are in no quota."""
    campaign = annotator.campaign
    is_open = campaign.state == Campaign.State.OPEN
    is_late = campaign.closes_at is not None and now >= campaign.closes_at
    return is_open and not is_late and not (purposes == COUNTED and _has_enough(annotator))


def _has_enough(annotator: Annotator) -> bool:
    limit = annotator.campaign.judgments_per_annotator
    counted = annotator.assignments.filter(holds_place=True, purpose__in=COUNTED)
    return limit is not None and counted.count() >= limit


def _first_open(annotator: Annotator, *, now: datetime) -> int | None:
    """A task that the annotator could be given, if it were not being taken this instant."""
    annotator = Annotator.objects.select_related("campaign").get(id=annotator.id)
    campaign = annotator.campaign
    may_not = annotator.stopped_at or not _may_take_more(annotator, COUNTED, now=now)
    is_spent = campaign.budget_left == 0 and not annotator.is_simulated
    if may_not or is_spent or stage_of(annotator).purposes != COUNTED:
        return None
    return choosing.open_tasks(annotator).values_list("id", flat=True).first()


# --- the campaign's budget: people's judgments that count, and the leases that may give them ------


def lock_budgets(*campaigns: Campaign) -> None:
    """Lock the campaigns that have a budget, before any assignment or task of theirs."""
    budgeted = [each.id for each in campaigns if each.budget is not None]
    if budgeted:
        list(locked(Campaign.objects).filter(id__in=budgeted).order_by("id").values_list("id"))


def _is_budgeted(annotator: Annotator, purpose: str) -> bool:
    counts = purpose in COUNTED and not annotator.is_simulated
    return counts and annotator.campaign.budget is not None


def _take_budget(annotator: Annotator, purpose: str) -> bool:
    """Whether the budget, which the caller has locked, allows one more; it is counted."""
    if not _is_budgeted(annotator, purpose):
        return True
    left = Campaign.objects.filter(id=annotator.campaign_id, budget_left__gt=0)
    return bool(left.update(budget_left=F("budget_left") - 1))


def _return_budget(assignment: Assignment) -> None:
    if _is_budgeted(assignment.annotator, assignment.purpose):
        campaign = Campaign.objects.filter(id=assignment.annotator.campaign_id)
        campaign.update(budget_left=F("budget_left") + 1)


def _locked_annotator(annotator_id: int) -> Annotator:
    return locked(Annotator.objects.select_related("campaign")).get(id=annotator_id)


def locked(rows, *, skip_locked: bool = False):
    """Rows of one table, each locked until the transaction ends."""
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)
