"""What comes before the tasks that count: practice with feedback, and a quiz that must be passed.

Both are gold tasks, whose answer is known. Simulated annotators are trained already.
"""

from dataclasses import dataclass
from datetime import datetime

from annotation.kinds import is_alone_first
from annotation.models import (
    COUNTED,
    Annotator,
    Assignment,
    Judgment,
    Purpose,
    StopReason,
)


@dataclass(frozen=True)
class Stage:
    """Where an annotator is: the purposes of what they are given now, and, in practice and quiz,
    how many are done of how many."""

    purposes: tuple[Purpose, ...]
    done: int = 0
    of: int = 0

    @property
    def name(self) -> str:
        return "judging" if self.purposes == COUNTED else str(self.purposes[0])


JUDGING = Stage(COUNTED)


def stage_of(annotator: Annotator) -> Stage:
    """Practice first, then the quiz until it is passed, then what counts."""
    practice = annotator.campaign.options.practice
    is_trained = not practice.quiz or annotator.quiz_passed_at is not None
    if annotator.is_simulated or (is_trained and not annotator.practice_owed):
        return JUDGING
    if not annotator.campaign.gold_tasks.exists():
        return JUDGING  # there is nothing to practise on
    practised = _judged(annotator, Purpose.PRACTICE).count()
    if practised < annotator.practice_owed:
        return Stage((Purpose.PRACTICE,), practised, annotator.practice_owed)
    if not is_trained:
        before = practice.quiz * (annotator.quiz_attempt - 1)
        done = _judged(annotator, Purpose.QUIZ).count() - before
        return Stage((Purpose.QUIZ,), done, practice.quiz)
    return JUDGING


def is_right(judgment: Judgment) -> bool:
    """Whether an answer to a gold task puts the one that is closest first, and it alone."""
    assignment = judgment.assignment
    return is_alone_first(judgment.ranks, assignment.shown.index(assignment.task.closest_id))


def mark_quiz(annotator: Annotator, *, now: datetime) -> None:
    """After an answer to the quiz: at its last one, pass the annotator, let them try again after
    more practice, or serve them no more. The caller has locked the annotator."""
    practice = annotator.campaign.options.practice
    stage = stage_of(annotator)
    if annotator.stopped_at or stage.name != Purpose.QUIZ or stage.done < stage.of:
        return
    answers = _judged(annotator, Purpose.QUIZ).order_by("-id").select_related("assignment__task")
    right = sum(is_right(each) for each in answers[: stage.of])
    if right >= practice.quiz_pass * stage.of - 1e-9:  # 0.8 * 5 is 4, whatever binary makes of it
        annotator.quiz_passed_at = now
    elif annotator.quiz_attempt < practice.quiz_attempts:
        give_another_try(annotator)
    else:
        annotator.stopped_at, annotator.stop_reason = now, StopReason.QUIZ
    annotator.save(
        update_fields=[
            *("quiz_passed_at", "quiz_attempt", "practice_owed"),
            *("stopped_at", "stop_reason"),
        ]
    )


def give_another_try(annotator: Annotator) -> None:
    """At the quiz, after practice. The caller saves the annotator."""
    annotator.quiz_attempt += 1
    annotator.practice_owed += annotator.campaign.options.practice.tasks


def _judged(annotator: Annotator, purpose: Purpose):
    return Judgment.objects.filter(assignment__annotator=annotator, assignment__purpose=purpose)


def feedback(assignment: Assignment) -> dict | None:
    """What an annotator is told of their answer to a practice task; None for all others.

    `closest` is the position of the one that is closest.
    """
    if assignment.purpose != Purpose.PRACTICE:
        return None
    return {
        "is_right": is_right(assignment.judgment),
        "closest": assignment.shown.index(assignment.task.closest_id),
    }
