"""What can be changed about a study that goes on, key by key, and what cannot."""

from datetime import timedelta

import pytest
from django.urls import reverse

from annotation import serving
from codecs_registry import clock
from evaluation import launching
from evaluation.changes import CHANGEABLE, change
from evaluation.models import Study
from evaluation.study_files import InvalidStudy, StudySpecification
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

CONDITIONS = sorted(StudySpecification.defaults().keys() - CHANGEABLE.keys())


def problem(study: Study, key: str, value) -> str:
    """Why a change is refused, which then changes nothing."""
    before = Study.objects.filter(id=study.id).values().get(), study.changes.count()
    with pytest.raises(InvalidStudy) as refused:
        change(study, {key: value})
    assert (Study.objects.filter(id=study.id).values().get(), study.changes.count()) == before
    return refused.value.problems[key]


@pytest.mark.parametrize("key", ["images", "codecs", *CONDITIONS])
def test_a_condition_of_a_study_never_changes(key):
    assert "is a condition of the study" in problem(factories.study(), key, 1)


def test_more_judgments_of_each_question_are_more_places_and_fewer_are_refused(researcher):
    study = factories.study(judgments_per_task=1)
    factories.judge_all(factories.annotator(study.campaign))
    late = factories.annotator(study.campaign)
    assert serving.lease(late, now=NOW) == []
    [made] = change(study, {"judgments_per_task": 3}, by=researcher)
    assert (made.before, made.after, made.by) == (1, 3, researcher)
    assert set(study.campaign.tasks.values_list("places_left", "simulated_places_left")) == {(2, 3)}
    assert factories.judge_all(late) == 2
    assert "can be raised, not lowered: it is 3" in problem(study, "judgments_per_task", 2)
    assert "from 1 to 1000" in problem(study, "judgments_per_task", 0)


def test_a_budget_is_raised_by_what_is_new_and_can_be_lifted():
    study = factories.study(budget=1)
    who = factories.annotator(study.campaign)
    assert factories.judge_all(who) == 1
    change(study, {"budget": 2})
    assert (study.campaign.budget, study.campaign.budget_left) == (2, 1)
    assert "not lowered" in problem(study, "budget", 1)
    change(study, {"budget": None})
    assert study.campaign.budget_left is None
    assert factories.judge_all(who) == 1
    assert "has no limit now" in problem(study, "budget", 100)


def test_a_closing_date_moves_but_not_into_the_past():
    study = factories.study()
    tomorrow = (clock.now() + timedelta(days=1)).replace(microsecond=0).isoformat()
    change(study, {"closes_at": tomorrow})
    assert study.campaign.closes_at.isoformat() == tomorrow
    assert "is past" in problem(study, "closes_at", "2020-01-01T00:00:00Z")
    assert "its zone" in problem(study, "closes_at", "2030-01-01T00:00:00")
    change(study, {"closes_at": None})
    assert study.campaign.closes_at is None


def test_instructions_change_until_somebody_has_begun():
    study = factories.study()
    change(study, {"instructions": "Look at the leaves."})
    assert study.campaign.instructions == "Look at the leaves."
    factories.annotator(study.campaign)
    assert "were read by annotators" in problem(study, "instructions", "Look at the sky.")


def test_a_target_width_is_a_number_or_none():
    study = factories.study(target_width=0.5)
    assert study.target_width == 0.5
    change(study, {"target_width": 0.8})
    assert "from 0.05 to 20" in problem(study, "target_width", float("nan"))
    change(study, {"target_width": None})
    assert study.target_width is None


def test_of_several_changes_all_are_made_or_none():
    study = factories.study()
    with pytest.raises(InvalidStudy):
        change(study, {"judgments_per_task": 5, "seed": 2})
    study.campaign.refresh_from_db()
    assert study.campaign.judgments_per_task == 3
    made = change(study, {"judgments_per_task": 5, "judgments_per_annotator": None, "budget": None})
    assert [each.key for each in made] == ["judgments_per_task"], "the others are as they were"


def test_changes_are_numbered_with_who_made_them_and_are_on_the_page(as_researcher, researcher):
    study = factories.study()
    address = reverse("change-study", args=["sea"])
    as_researcher.post(address, {"judgments_per_task": 4, "target_width": "0.75"})
    launching.pause(study, by=researcher)
    told = list(study.changes.values_list("version", "key", "by__username"))
    assert told == [
        (1, "state", None),
        (2, "state", None),
        (3, "judgments_per_task", "researcher"),
        (4, "target_width", "researcher"),
        (5, "state", "researcher"),
    ]
    shown = as_researcher.get(address).content.decode()
    assert "judgments_per_task" in shown
    assert "researcher" in shown


def test_a_form_that_asks_for_less_is_told_why_and_nothing_changes(as_researcher):
    study = factories.study()
    response = as_researcher.post(reverse("change-study", args=["sea"]), {"judgments_per_task": 1})
    assert response.status_code == 422
    assert "can be raised, not lowered: it is 3" in response.content.decode()
    assert study.changes.filter(key="judgments_per_task").count() == 0
