"""What a campaign's rules do when an annotator's answers look careless, as they come in.

A rule applies to an annotator once. What it saw and did is recorded; judgments are all kept, and
who is left out of a result is the analysis' to say (docs/screening.md).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db.models import F

from annotation.models import (
    COUNTED,
    Annotator,
    Assignment,
    Judgment,
    Purpose,
    QualityEvent,
    StopReason,
)
from annotation.options import Rule
from annotation.training import is_right, mark_quiz

MORE_PRACTICE = 3  # tasks, when a rule asks for practice


@dataclass(frozen=True)
class Count:
    """Of `of` answers that a check looks at, `failed` look careless."""

    failed: int
    of: int


def review(annotator: Annotator, assignment: Assignment, *, now: datetime) -> None:
    """After an answer was recorded: mark the quiz, or apply the campaign's rules. The caller has
    locked the annotator."""
    annotator.quality_events.filter(told_at=None).update(told_at=now)
    if assignment.purpose == Purpose.QUIZ:
        mark_quiz(annotator, now=now)
    rules = annotator.campaign.options.rules
    if assignment.purpose not in COUNTED or not rules:
        return
    applied = list(annotator.quality_events.values_list("rule", flat=True))
    for rule in rules:
        if asdict(rule) in applied:
            continue
        count = CHECKS[rule.check](annotator, rule)
        if count.of >= rule.at_least and count.failed > rule.share * count.of:
            _apply(rule, count, annotator, now=now)
            applied.append(asdict(rule))


def _apply(rule: Rule, count: Count, annotator: Annotator, *, now: datetime) -> None:
    QualityEvent.objects.create(
        annotator=annotator,
        check_name=rule.check,
        action=rule.action,
        rule=asdict(rule),
        failed=count.failed,
        of=count.of,
        happened_at=now,
        # The annotator is told of all but a flag.
        told_at=now if rule.action == "flag" else None,
    )
    row = Annotator.objects.filter(id=annotator.id)
    if rule.action == "practice":
        row.update(practice_owed=F("practice_owed") + MORE_PRACTICE)
    if rule.action == "stop":
        row.filter(stopped_at=None).update(stopped_at=now, stop_reason=StopReason.RULE)


def _answers(annotator: Annotator, *purposes: Purpose):
    return Judgment.objects.filter(
        assignment__annotator=annotator, assignment__purpose__in=purposes
    ).order_by("id")


def _gold(annotator: Annotator, rule: Rule) -> Count:
    answers = list(_answers(annotator, Purpose.GOLD).select_related("assignment__task"))
    return Count(sum(not is_right(each) for each in answers), len(answers))


def _repeats(annotator: Annotator, rule: Rule) -> Count:
    """Answers that differ: another order of the same reconstructions."""
    answers = _answers(annotator, Purpose.REPEAT).values_list(
        "assignment__shown",
        "ranks",
        "assignment__repeats__shown",
        "assignment__repeats__judgment__ranks",
    )
    differ = [
        dict(zip(shown, ranks, strict=True)) != dict(zip(before, ranks_before, strict=True))
        for shown, ranks, before, ranks_before in answers
    ]
    return Count(sum(differ), len(differ))


def _side_bias(annotator: Annotator, rule: Rule) -> Count:
    """Pairs on whose more often chosen side the answer was; ties have none."""
    answers = _answers(annotator, *COUNTED)
    ranks = list(answers.values_list("ranks", flat=True))
    left, right = (sum(each == side for each in ranks) for side in ([1, 2], [2, 1]))
    return Count(max(left, right), left + right)


def _too_fast(annotator: Annotator, rule: Rule) -> Count:
    answers = _answers(annotator, *COUNTED)
    fast = answers.filter(response_ms__lt=1000 * rule.too_fast_s).count()
    return Count(fast, answers.count())


CHECKS: dict[str, Callable[[Annotator, Rule], Count]] = {
    "gold": _gold,
    "repeats": _repeats,
    "side bias": _side_bias,
    "too fast": _too_fast,
}
