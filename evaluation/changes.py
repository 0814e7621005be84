"""What can be changed about a study that was launched, and what was: docs/studies.md.

A key can be changed if judgments given before and after answer the same question under the same
conditions. Everything else (CONDITIONS) takes another study.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, Max

from annotation.models import Campaign
from annotation.serving import locked
from codecs_registry import clock
from evaluation.models import Study, StudyChange
from evaluation.study_files import InvalidStudy, checked
from projects import audit


class NotAllowed(Exception):
    """A study is not in a state for this; the message says why, and what can be done."""


@contextmanager
def changing(study: Study) -> Iterator[Study]:
    """The study as it is now, locked until the end: two changes come one after the other."""
    with transaction.atomic():
        yield locked(Study.objects.select_related("campaign", "pilot")).get(id=study.id)


def record(study: Study, key: str, before, after, *, by, reason: str = "") -> StudyChange:
    """Note a change, in the study's versions and in its project's log. The caller has locked the
    study."""
    told = {"before": before, "after": after} | ({"reason": reason} if reason else {})
    audit.record(f"changed {key}", study, by=by, project=study.project, **told)
    last = study.changes.aggregate(last=Max("version"))["last"] or 0
    return StudyChange.objects.create(
        study=study, version=last + 1, by=by, key=key, before=before, after=after, reason=reason
    )


@dataclass(frozen=True)
class Changeable:
    """A key that can be changed.

    now : (study) -> its value as a study file has it.
    refusal : (study, new value) -> why it cannot become that, "" if it can.
    apply : (study, new value) -> None.
    """

    now: Callable[[Study], object]
    refusal: Callable[[Study, object], str]
    apply: Callable[[Study, object], None]


def change(study: Study, wanted: Mapping[str, object], *, by=None) -> list[StudyChange]:
    """Change keys of a study file, all of them or none; what stays the same is no change.

    wanted : values as a study file has them. Raises InvalidStudy, naming every key in question.
    """
    problems: dict[str, str] = {}
    values: dict[str, object] = {}
    for key, value in wanted.items():
        if key not in CHANGEABLE:
            problems[key] = (
                "is a condition of the study: judgments before and after would not be comparable. "
                "Launch another study"
            )
            continue
        try:
            values[key] = checked(key, value)
        except InvalidStudy as error:
            problems |= error.problems
    with changing(study) as found:
        changes = []
        for key, value in values.items():
            before = CHANGEABLE[key].now(found)
            if value == before:
                continue
            if reason := CHANGEABLE[key].refusal(found, value):
                problems[key] = reason
            changes.append((key, before, value))
        if problems:
            raise InvalidStudy(problems)
        made = []
        for key, before, value in changes:
            CHANGEABLE[key].apply(found, value)
            made.append(record(found, key, before, value, by=by))
    study.refresh_from_db()
    return made


# --- key by key -----------------------------------------------------------------------------------


def _of_campaign(name: str) -> Callable[[Study], object]:
    return lambda study: getattr(study.campaign, name)


def _set_campaign(study: Study, **values) -> None:
    Campaign.objects.filter(id=study.campaign_id).update(**values)


def _may_grow(name: str) -> Callable[[Study, object], str]:
    """More can be asked for; less would leave some tasks with more than others."""

    def refusal(study: Study, value) -> str:
        before = getattr(study.campaign, name)
        if before is None:
            return "has no limit now; set one in another study"
        if value is not None and value < before:
            return f"can be raised, not lowered: it is {before}"
        return ""

    return refusal


def _ask_more_often(study: Study, times: int) -> None:
    more = times - study.campaign.judgments_per_task
    # Locked in serving's order, or each could wait for the other.
    tasks = study.campaign.measured_tasks
    list(locked(tasks.order_by("id")).values_list("id"))
    tasks.update(
        places_left=F("places_left") + more,
        simulated_places_left=F("simulated_places_left") + more,
    )
    _set_campaign(study, judgments_per_task=times)


def _set_budget(study: Study, budget: int | None) -> None:
    campaign = locked(Campaign.objects).get(id=study.campaign_id)  # as serving left it
    left = None if budget is None else campaign.budget_left + budget - campaign.budget
    _set_campaign(study, budget=budget, budget_left=left)


def _closing_date(study: Study) -> str | None:
    closes_at = study.campaign.closes_at
    return closes_at.isoformat() if closes_at else None


def _is_past(study: Study, closes_at) -> str:
    is_past = closes_at is not None and datetime.fromisoformat(closes_at) <= clock.now()
    return "is past; to end now, close the study" if is_past else ""


def _set_target_width(study: Study, width: float | None) -> None:
    Study.objects.filter(id=study.id).update(target_width=width)


def _has_begun(study: Study, instructions) -> str:
    if study.state == Study.State.PILOT:
        return "cannot change while the pilot goes on; end it first"
    if study.campaign.annotators.filter(began_at__isnull=False).exists():
        return "were read by annotators; judgments under others would not be comparable"
    return ""


CHANGEABLE: dict[str, Changeable] = {
    "judgments_per_task": Changeable(
        _of_campaign("judgments_per_task"), _may_grow("judgments_per_task"), _ask_more_often
    ),
    "judgments_per_annotator": Changeable(
        _of_campaign("judgments_per_annotator"),
        _may_grow("judgments_per_annotator"),
        lambda study, value: _set_campaign(study, judgments_per_annotator=value),
    ),
    "budget": Changeable(_of_campaign("budget"), _may_grow("budget"), _set_budget),
    "closes_at": Changeable(
        _closing_date, _is_past, lambda study, value: _set_campaign(study, closes_at=value)
    ),
    "target_width": Changeable(
        lambda study: study.target_width,
        lambda study, value: "",
        _set_target_width,
    ),
    "instructions": Changeable(
        _of_campaign("instructions"),
        _has_begun,
        lambda study, value: _set_campaign(study, instructions=value),
    ),
}
