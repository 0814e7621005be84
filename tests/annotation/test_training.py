"""Practice and quiz, and the rules that act on careless answers."""

import contextlib
from datetime import timedelta

import pytest
from django.urls import reverse

from annotation import people, serving
from annotation.models import Judgment, Purpose, QualityEvent
from annotation.quality import MORE_PRACTICE
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def trained_study(**asked):
    return factories.study(
        **{"sources": 3, "codecs": ("avif", "jpeg"), "bpp": ("0.23", "1.0")} | asked
    )


def newcomer(study):
    owed = study.campaign.options.practice.tasks
    return factories.annotator(study.campaign, practice_owed=owed)


def answer_one(who, *, rightly: bool = True, response_ms: int = 2000, now=NOW):
    """Answer what comes next, and a gold task rightly or not; returns it, None if nothing came."""
    held = serving.lease(who, now=now)
    if not held:
        return None
    assignment = held[0]
    closest = assignment.task.closest_id
    side = assignment.shown.index(closest) if closest else 0
    given = ("left", "right")[side if rightly else 1 - side]
    serving.judge(assignment, answer=given, response_ms=response_ms, viewing={}, now=now)
    assignment.refresh_from_db()
    return assignment


def purposes(who, **how) -> list[str]:
    found = []
    while assignment := answer_one(who, **how):
        found.append(str(assignment.purpose))
    return found


# --- practice and quiz ----------------------------------------------------------------------------


def test_practice_comes_first_then_the_quiz_then_what_counts():
    study = trained_study(practice={"tasks": 2, "quiz": 3})
    assert purposes(newcomer(study)) == ["practice"] * 2 + ["quiz"] * 3 + ["measure"] * 6


def test_practice_and_quiz_show_gold_tasks_and_none_twice_while_there_are_more():
    study = trained_study(practice={"tasks": 3, "quiz": 3})
    who = newcomer(study)
    purposes(who)
    trained = who.assignments.filter(purpose__in=["practice", "quiz"])
    assert all(each.task.closest_id for each in trained)
    assert len({each.task_id for each in trained}) == 6  # of six


def test_who_fails_the_quiz_practises_and_tries_again_and_is_thanked_after_the_last_try():
    study = trained_study(practice={"tasks": 1, "quiz": 2, "quiz_attempts": 2})
    who = newcomer(study)
    assert purposes(who, rightly=False) == ["practice", "quiz", "quiz"] * 2
    who.refresh_from_db()
    assert (who.stop_reason, who.quiz_passed_at) == ("quiz", None)
    assert Judgment.objects.filter(assignment__annotator=who).count() == 6, "nothing is deleted"


def test_who_passes_at_the_second_try_goes_on():
    study = trained_study(practice={"quiz": 2, "quiz_attempts": 2})
    who = newcomer(study)
    for _ in range(2):
        answer_one(who, rightly=False)
    assert purposes(who) == ["quiz"] * 2 + ["measure"] * 6


@pytest.mark.parametrize(("right", "passes"), [(4, True), (3, False)])
def test_the_share_that_passes_is_met_exactly(right, passes):
    study = trained_study(practice={"quiz": 5, "quiz_pass": 0.8, "quiz_attempts": 1})
    who = newcomer(study)
    for number in range(5):
        answer_one(who, rightly=number < right)
    who.refresh_from_db()
    assert bool(who.quiz_passed_at) == passes
    assert bool(who.stopped_at) != passes


def test_simulated_annotators_are_trained_already():
    study = trained_study(practice={"tasks": 2, "quiz": 2})
    who = factories.annotator(study.campaign, is_simulated=True, practice_owed=2)
    assert set(purposes(who)) == {"measure"}


def test_practice_tells_what_was_right_and_the_quiz_does_not(client):
    study = trained_study(practice={"tasks": 1, "quiz": 1})
    who = newcomer(study)

    def post(name, body):
        address = reverse(name, args=[who.token])
        return client.post(address, body, content_type="application/json").json()

    todo = post("next-assignments", {})
    assert todo["stage"] == {"name": "practice", "done": 0, "of": 1}
    told = []
    for _ in range(3):
        token = todo["assignments"][0]["token"]
        assignment = who.assignments.get(token=token)
        closest = assignment.task.closest_id
        right = ("left", "right")[assignment.shown.index(closest)] if closest else "left"
        todo = post("judgments", {"assignment": token, "answer": right, "response_ms": 900})
        told.append((todo["feedback"], todo["stage"] and todo["stage"]["name"]))
    assert told[0] == ({"is_right": True, "closest": told[0][0]["closest"]}, "quiz")
    assert told[1:] == [(None, None), (None, None)]
    assert todo["judged"] == 1, "practice and quiz are no judgments that count"


# --- rules ----------------------------------------------------------------------------------------


def rule(check: str, action: str, **more) -> dict:
    return {"rules": [{"check": check, "action": action, "share": 0.3, "at_least": 3} | more]}


def test_too_fast_answers_stop_the_serving_and_keep_the_judgments():
    study = trained_study(**rule("too fast", "stop", too_fast_s=1.0))
    who = newcomer(study)
    assert purposes(who, response_ms=900) == ["measure"] * 3
    who.refresh_from_db()
    assert who.stop_reason == "rule"
    event = QualityEvent.objects.get()
    assert (event.check_name, event.action, event.failed, event.of) == ("too fast", "stop", 3, 3)
    assert Judgment.objects.count() == 3


def test_a_pace_that_is_fast_enough_meets_no_rule():
    study = trained_study(**rule("too fast", "stop", too_fast_s=1.0))
    assert len(purposes(newcomer(study), response_ms=1000)) == 6
    assert not QualityEvent.objects.exists()


def test_gold_failures_add_practice_once():
    study = trained_study(gold_share=0.5, **rule("gold", "practice", at_least=2))
    who = newcomer(study)
    found = purposes(who, rightly=False)
    assert found.count("practice") == MORE_PRACTICE
    assert QualityEvent.objects.get().of == 2


def test_repeats_answered_otherwise_are_flagged_and_go_on():
    study = trained_study(repeat_share=0.4, sources=6, **rule("repeats", "flag", at_least=2))
    who = newcomer(study)
    assert "repeat" in purposes(who)  # always left: never the same picture twice
    event = QualityEvent.objects.get()
    assert (event.check_name, event.failed) == ("repeats", event.of)
    assert event.told_at, "a flag is for the researcher alone"
    who.refresh_from_db()
    assert who.stopped_at is None


def test_a_lean_to_one_side_warns_the_annotator_once(client):
    study = trained_study(**rule("side bias", "warn", share=0.9, at_least=4))
    who = newcomer(study)

    def post(name, body):
        address = reverse(name, args=[who.token])
        return client.post(address, body, content_type="application/json").json()

    todo, told = post("next-assignments", {}), []
    while todo["assignments"]:
        given = {"answer": "left", "response_ms": 900}
        todo = post("judgments", given | {"assignment": todo["assignments"][0]["token"]})
        told.append(todo["warnings"])
    assert told == [[], [], [], ["side bias"], [], []]


def test_the_same_rule_applies_to_each_annotator_for_themselves():
    study = trained_study(**rule("too fast", "flag"))
    for _ in range(2):
        purposes(newcomer(study), response_ms=500)
    assert QualityEvent.objects.count() == 2


# --- budget and closing ---------------------------------------------------------------------------


def test_people_give_no_more_than_the_budget_and_simulations_none_of_it():
    study = trained_study(budget=7, practice={"tasks": 1})
    simulated = factories.annotator(study.campaign, is_simulated=True)
    assert len(purposes(simulated)) == 6
    found = [purposes(newcomer(study)) for _ in range(3)]
    counted = [each for one in found for each in one if each != "practice"]
    assert len(counted) == 7
    study.campaign.refresh_from_db()
    assert study.campaign.budget_left == 0


def test_a_lease_that_ends_gives_the_budget_back():
    study = trained_study(budget=2)
    serving.lease(newcomer(study), now=NOW)
    other = newcomer(study)
    assert serving.lease(other, now=NOW) == []
    later = NOW + serving.LEASE + timedelta(minutes=1)
    assert len(serving.lease(other, now=later)) == 2


def test_after_the_closing_date_nothing_new_is_given_and_what_is_open_still_counts():
    study = trained_study(closes_at=NOW.isoformat())
    who = newcomer(study)
    before = NOW - timedelta(minutes=1)
    held = serving.lease(who, now=before)
    assert len(held) == 2
    assert serving.lease(newcomer(study), now=NOW) == []
    _, is_new = serving.judge(held[0], answer="left", response_ms=1, viewing={}, now=NOW)
    assert is_new
    assert [each.id for each in serving.lease(who, now=NOW)] == [held[1].id]


def test_who_was_stopped_is_given_nothing_and_an_open_answer_still_counts():
    study = trained_study()
    who = newcomer(study)
    held = serving.lease(who, now=NOW)
    who.stopped_at, who.stop_reason = NOW, "rule"
    who.save()
    assert serving.lease(who, now=NOW) == []
    _, is_new = serving.judge(held[0], answer="left", response_ms=1, viewing={}, now=NOW)
    assert is_new


def test_a_budget_and_rules_hold_for_what_counts_alone():
    study = trained_study(practice={"tasks": 3}, **rule("too fast", "stop"))
    who = newcomer(study)
    found = purposes(who, response_ms=400)
    assert found == ["practice"] * 3 + [str(Purpose.MEASURE)] * 3


# --- where these meet -----------------------------------------------------------------------------


def test_who_did_not_pass_and_is_let_go_on_has_one_more_try():
    study = trained_study(practice={"tasks": 1, "quiz": 2, "quiz_attempts": 1})
    who = newcomer(study)
    purposes(who, rightly=False)
    people.restore(who)
    assert purposes(who) == ["practice"] + ["quiz"] * 2 + ["measure"] * 6
    again = newcomer(study)
    purposes(again, rightly=False)
    people.restore(again)
    assert purposes(again, rightly=False) == ["practice"] + ["quiz"] * 2
    again.refresh_from_db()
    assert again.stop_reason == "quiz"


def test_practice_that_a_rule_adds_at_the_end_of_a_quota_is_given():
    more = rule("too fast", "practice", at_least=2)
    study = trained_study(practice={"tasks": 1}, judgments_per_annotator=3, **more)
    found = purposes(newcomer(study), response_ms=500)
    assert found == ["practice"] + ["measure"] * 2 + ["practice"] * 3 + ["measure"]


def test_two_rules_that_apply_at_once_are_both_recorded():
    check = {"check": "too fast", "share": 0, "at_least": 1}
    study = trained_study(rules=[check | {"action": "warn"}, check | {"action": "flag"}])
    purposes(newcomer(study), response_ms=500)
    assert QualityEvent.objects.count() == 2


def test_nobody_is_trained_where_nothing_can_follow():
    study = trained_study(practice={"tasks": 3}, judgments_per_task=1)
    purposes(newcomer(study))
    assert purposes(newcomer(study)) == []


@pytest.mark.parametrize("how", ["the date", "the researcher"])
def test_a_lease_that_lapsed_is_not_given_again_after_the_end(how):
    study = trained_study(closes_at=NOW.isoformat() if how == "the date" else None)
    who = newcomer(study)
    serving.lease(who, now=NOW - timedelta(hours=2))
    if how == "the researcher":
        study.campaign.state = "closed"
        study.campaign.save()
    assert serving.lease(who, now=NOW + timedelta(hours=1)) == []


def test_giving_back_and_answering_does_not_go_beyond_the_quota():
    study = trained_study(judgments_per_annotator=1)
    who = newcomer(study)
    given_back = []
    for _ in range(3):
        [held] = serving.lease(who, now=NOW, ahead=1)
        serving.give_back(held, now=NOW)
        given_back.append(held)
    answer_one(who)
    for held in given_back:
        with contextlib.suppress(serving.PlaceTaken):
            serving.judge(held, answer="left", response_ms=1, viewing={}, now=NOW)
    assert Judgment.objects.count() == 1
