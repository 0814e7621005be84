"""What the system holds of an annotator, and how they and the researcher end it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Max, Min, Q, QuerySet, Sum

from annotation import serving
from annotation.kinds import is_alone_first
from annotation.links import new_token
from annotation.models import (
    COUNTED,
    Annotator,
    Assignment,
    Campaign,
    Judgment,
    Purpose,
    StopReason,
    Withdrawal,
)
from annotation.platforms import PLATFORMS
from annotation.training import give_another_try

COUNTED_JUDGMENTS = Q(assignment__purpose__in=COUNTED)


@dataclass(frozen=True)
class Ending:
    """How it ended for an annotator to whom nothing more is given.

    outcome : "completed", "screened out", "full" or "revoked". code, back : the platform's code for
        it, and the address that takes them back; "" for none.
    """

    outcome: str
    code: str = ""
    back: str = ""


def ending(annotator: Annotator) -> Ending:
    """Of an annotator for whom there is nothing to judge."""
    if annotator.stop_reason == StopReason.REVOKED:
        return Ending("revoked")
    if annotator.stop_reason:
        return ending_for(annotator.campaign, "screened out")
    has_judged = counted_judgments(annotator).exists()
    return ending_for(annotator.campaign, "completed" if has_judged else "full")


def counted_judgments(annotator: Annotator) -> QuerySet[Judgment]:
    """Those that annotators are asked, and paid, for: neither practice nor quiz."""
    return Judgment.objects.filter(COUNTED_JUDGMENTS, assignment__annotator=annotator)


def ending_for(campaign: Campaign, outcome: str) -> Ending:
    crowd = campaign.options.crowd
    code = getattr(crowd, outcome.replace(" ", "_"), "")
    if not code:
        return Ending(outcome)
    return Ending(
        outcome, code, PLATFORMS[crowd.platform].back.format(code=code) if crowd.platform else ""
    )


def everything_about(annotator: Annotator, *, tells_all: bool = False) -> dict:
    """All that is stored of an annotator, as plain values: what they can download.

    While the campaign goes on, it does not tell which of their tasks check attention, nor what the
    researcher alone is told, unless it is to tell all.
    """
    tells_all = tells_all or annotator.campaign.state == Campaign.State.CLOSED
    events = annotator.quality_events.order_by("id")
    if not tells_all:
        events = events.exclude(action="flag")
    judgments = (
        Judgment.objects.filter(assignment__annotator=annotator)
        .select_related("assignment__task__source")
        .order_by("id")
    )
    return {
        "annotator": {
            name: getattr(annotator, name)
            for name in (
                *("token", "label", "platform", "external_id", "external", "language"),
                *("joined_at", "began_at", "consent_version", "conditions"),
                *("quiz_passed_at", "stopped_at", "stop_reason"),
            )
        },
        "judgments": [
            {
                "assignment": each.assignment.token,
                "purpose": "judged"
                if each.assignment.purpose in COUNTED and not tells_all
                else each.assignment.purpose,
                "positions": len(each.assignment.shown),
                **{
                    name: getattr(each, name)
                    for name in (
                        *("ranks", "response_ms", "confidence", "remark"),
                        *("viewing", "events", "judged_at"),
                    )
                },
            }
            for each in judgments
        ],
        "not_answered": list(
            annotator.assignments.filter(judgment=None)
            .order_by("id")
            .values_list("leased_at", flat=True)
        ),
        "quality_events": list(
            events.values(
                *("action", "happened_at"), *(("check_name", "failed", "of") if tells_all else ())
            )
        ),
    }


@transaction.atomic
def withdraw(annotator: Annotator, *, now: datetime) -> Withdrawal:
    """Delete an annotator with all that is theirs; their places are free for others.

    What stays is that somebody withdrew from the campaign, when, and how many judgments went.
    """
    annotator = Annotator.objects.select_for_update().get(id=annotator.id)
    campaign = annotator.campaign
    serving.lock_budgets(campaign)
    assignments = annotator.assignments.order_by("task_id", "id")
    held = [each for each in assignments.select_for_update(of=("self",)) if each.holds_place]
    judgments = Judgment.objects.filter(assignment__annotator=annotator)
    count = judgments.count()
    with connection.cursor() as cursor:  # the trigger lets this annotator's judgments go
        cursor.execute("SELECT set_config('closer.withdrawing', %s, true)", [str(annotator.id)])
    judgments.delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('closer.withdrawing', '', true)")
    annotator.assignments.filter(purpose=Purpose.REPEAT).delete()
    annotator.assignments.all().delete()
    for each in held:
        each.annotator = annotator
        serving.free_place(each)
    annotator.delete()
    return Withdrawal.objects.create(campaign=campaign, judgments=count, withdrawn_at=now)


def revoke(annotator: Annotator, *, now: datetime) -> None:
    """Make a link lead nowhere. What was judged by it stays."""
    Annotator.objects.filter(id=annotator.id).update(stopped_at=now, stop_reason=StopReason.REVOKED)


@transaction.atomic
def restore(annotator: Annotator) -> None:
    """Let an annotator go on whom a rule, a quiz or the researcher had stopped; whom a quiz had, by
    one more try."""
    annotator = Annotator.objects.select_for_update(no_key=True).get(id=annotator.id)
    if annotator.stop_reason == StopReason.QUIZ:
        give_another_try(annotator)
    annotator.stopped_at, annotator.stop_reason = None, ""
    annotator.save(update_fields=["quiz_attempt", "practice_owed", "stopped_at", "stop_reason"])


def renew_link(campaign: Campaign) -> None:
    """Give a campaign another link; the old one leads nowhere. Annotators keep theirs."""
    Campaign.objects.filter(id=campaign.id).update(token=new_token())


@dataclass(frozen=True)
class Work:
    """What an annotator has done, and what they are owed.

    worked_s : seconds from the pictures to the answers, each at most three minutes, practice and
        quiz too. gold : how many gold tasks were answered rightly, of how many. pay, bonus : for
        the judgments that count, in the campaign's currency; None where it says nothing of them.
    """

    annotator: Annotator
    judged: int
    trained: int
    worked_s: float
    first_at: datetime | None
    last_at: datetime | None
    gold: tuple[int, int]
    status: str
    events: list[str]
    pay: Decimal | None
    bonus: Decimal | None

    @property
    def minutes(self) -> float:
        return self.worked_s / 60


def people_of(campaign: Campaign) -> QuerySet[Annotator]:
    """The people who annotate for a campaign, in the order in which they came."""
    return campaign.annotators.filter(is_simulated=False).order_by("id")


def work_of(campaign: Campaign, annotators: Iterable[Annotator] | None = None) -> list[Work]:
    """What each person who annotates for a campaign has done, in the order in which they came.

    annotators : only of these people, and without the times of their first and last answers, for
        which all of theirs would be read.
    """
    people = people_of(campaign).select_related("campaign").prefetch_related("quality_events")
    times: dict[int, tuple[datetime, datetime]] = {}
    if annotators is not None:
        people = people.filter(id__in=[each.id for each in annotators])
    else:
        answers = campaign.judgments.order_by()
        for who, first_at, last_at in answers.values_list("assignment__annotator").annotate(
            first_at=Min("judged_at"), last_at=Max("judged_at")
        ):
            times[who] = first_at, last_at
    gold = _gold_answers([each.id for each in people])
    return [
        _work(
            each,
            *times.get(each.id, (None, None)),
            right=gold[each.id, True],
            wrong=gold[each.id, False],
        )
        for each in people
    ]


def _work(
    annotator: Annotator,
    first_at: datetime | None,
    last_at: datetime | None,
    *,
    right: int,
    wrong: int,
) -> Work:
    crowd = annotator.campaign.options.crowd
    judged = annotator.n_counted
    return Work(
        annotator=annotator,
        judged=judged,
        trained=annotator.n_answered - judged,
        worked_s=annotator.worked_ms / 1000,
        first_at=first_at,
        last_at=last_at,
        gold=(right, right + wrong),
        status=_status(annotator, judged),
        events=[f"{each.check_name}: {each.action}" for each in annotator.quality_events.all()],
        pay=Decimal(crowd.pay) * judged if crowd.pay else None,
        bonus=_bonus(annotator, judged, right=right, gold=right + wrong),
    )


def _bonus(annotator: Annotator, judged: int, *, right: int, gold: int) -> Decimal | None:
    """Nobody earns one unseen: where a share of gold tasks is asked for, there must be some."""
    crowd = annotator.campaign.options.crowd
    if not crowd.bonus:
        return None
    share = right / gold if gold else 0.0
    is_earned = share >= crowd.bonus_gold and not annotator.stop_reason
    return Decimal(crowd.bonus) * judged if is_earned else Decimal(0)


def _status(annotator: Annotator, judged: int) -> str:
    if annotator.stop_reason:
        return annotator.get_stop_reason_display()
    if annotator.began_at is None and not judged:
        return "invited"
    return "has judged" if judged else "has begun"


def _gold_answers(annotator_ids: list[int]) -> Counter:
    """How many gold tasks an annotator answered rightly or not, by (annotator's id, rightly)."""
    answers = Assignment.objects.filter(
        annotator__in=annotator_ids, purpose=Purpose.GOLD, judgment__isnull=False
    ).values_list("annotator_id", "shown", "task__closest_id", "judgment__ranks")
    return Counter(
        (annotator, is_alone_first(ranks, shown.index(closest)))
        for annotator, shown, closest, ranks in answers
    )


def pay_of_all(campaign: Campaign) -> Decimal | None:
    """What all people are owed for their judgments, without bonuses; None where the campaign says
    nothing of pay."""
    pay = campaign.options.crowd.pay
    if not pay:
        return None
    counted = people_of(campaign).aggregate(n=Sum("n_counted", default=0))["n"]
    return Decimal(pay) * counted


PAYMENT_COLUMNS = (
    *("annotator", "label", "platform", "external_id", "status", "judgments", "practice"),
    *("minutes", "first_at", "last_at", "gold_right", "gold", "rules", "pay", "bonus"),
    "currency",
)


def payment_rows(campaign: Campaign) -> Iterator[tuple]:
    """A row of PAYMENT_COLUMNS for each person: what a payment is reckoned from."""
    for each in work_of(campaign):
        who = each.annotator
        yield (
            *(f"annotator-{who.id}", _as_text(who.label), who.platform),
            *(_as_text(who.external_id), each.status),
            *(each.judged, each.trained, f"{each.minutes:.1f}"),
            *(moment.isoformat() if moment else "" for moment in (each.first_at, each.last_at)),
            *(*each.gold, "; ".join(each.events)),
            *("" if owed is None else owed for owed in (each.pay, each.bonus)),
            campaign.options.crowd.currency,
        )


def _as_text(value: str) -> str:
    """What a spreadsheet takes for text, whoever wrote it: a formula would be carried out."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
