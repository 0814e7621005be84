"""Judgments as rows: the right codec was on the right side and was chosen by the right person."""

import json

import pytest

from annotation import serving
from annotation.datasets import judgments_jsonl
from annotation.models import Assignment
from annotation.records import complete_records, content_names, judgment_records
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def judge_shown(task, shown, closest: str, **fields):
    """A judgment of a task's reconstructions in the order given."""
    task.places_left -= 1
    task.save()
    assignment = Assignment.objects.create(
        task=task,
        annotator=factories.annotator(task.campaign, **fields),
        shown=[each.id for each in shown],
        leased_at=NOW,
        lease_ends=NOW,
    )
    return serving.judge(assignment, answer=closest, response_ms=700, viewing={}, now=NOW)[0]


@pytest.mark.parametrize("order", [("avif", "jpeg"), ("jpeg", "avif")])
@pytest.mark.parametrize("closest", ["left", "right"])
@pytest.mark.parametrize("made_first", ["avif", "jpeg"])
def test_left_right_and_chosen_are_as_shown_whatever_the_order(order, closest, made_first):
    source = factories.source_image(name="harbour.png")
    codecs = (made_first, "jpeg" if made_first == "avif" else "avif")
    task = factories.task(factories.campaign(), source, codecs)
    by_codec = {each.codec: each for each in task.reconstructions.all()}

    judgment = judge_shown(task, [by_codec[codec] for codec in order], closest)

    [record] = judgment_records(task.campaign)
    assert (record.left, record.right) == order
    assert record.chosen == closest
    assert (record.content, record.stratum) == ("harbour.png", "0.37")
    assert (record.response_ms, record.submitted_at) == (700, NOW)
    assert record.annotator == f"annotator-{judgment.assignment.annotator_id}"
    assert record.task_id == task.id
    # And by the rule of models.Judgment alone: rank 1 stands where the chosen codec stood.
    winner = judgment.assignment.shown[judgment.ranks.index(1)]
    assert winner == by_codec[record.left if closest == "left" else record.right].id


@pytest.mark.parametrize("is_simulated", [True, False])
def test_simulated_annotators_are_marked_in_flag_and_name(is_simulated):
    task = factories.task(factories.campaign())
    judge_shown(task, task.reconstructions.all(), "left", is_simulated=is_simulated)
    [record] = judgment_records(task.campaign)
    assert record.is_simulated == is_simulated
    assert record.annotator.startswith("simulated-") == is_simulated


def test_records_come_in_the_order_in_which_they_were_given_and_hold_no_link():
    campaign = factories.open_campaign(4, judgments_per_task=2)
    people = [factories.annotator(campaign) for _ in range(2)]
    for annotator in people:
        factories.judge_all(annotator)
    records = list(judgment_records(campaign))
    assert [each.annotator for each in records] == [
        f"annotator-{each.id}" for each in people for _ in range(4)
    ]
    said = repr(records)
    assert not any(each.token in said for each in people)


def test_the_judgments_of_another_campaign_are_not_among_them():
    factories.judge_all(factories.annotator(factories.open_campaign(2)))
    assert list(judgment_records(factories.campaign())) == []


def test_a_campaign_shares_reconstructions_with_another_and_keeps_its_own_judgments():
    source, made = factories.source_image(), {}
    campaigns = [factories.campaign() for _ in range(2)]
    for campaign in campaigns:
        factories.task(campaign, source, made=made)
        factories.judge_all(factories.annotator(campaign))
    for campaign in campaigns:
        [record] = judgment_records(campaign)
        assert record.task_id == campaign.tasks.get().id


def test_source_images_of_one_name_stay_apart():
    campaign = factories.campaign()
    same = [factories.source_image(name="IMG_1.png") for _ in range(2)]
    other = factories.source_image(name="IMG_2.png")
    for source in (*same, other):
        factories.task(campaign, source)
        factories.task(campaign, source, bpp="1.0")
    names = content_names(campaign)
    assert names == {
        same[0].id: f"IMG_1.png-{same[0].sha256[:8]}",
        same[1].id: f"IMG_1.png-{same[1].sha256[:8]}",
        other.id: "IMG_2.png",
    }
    assert len(set(names.values())) == 3


def test_all_that_is_stored_of_each_judgment_is_in_the_complete_records():
    study = factories.study(bpp=("0.23", "1.0"), practice={"tasks": 1}, judgments_per_task=1)
    who = factories.annotator(study.campaign, practice_owed=1, conditions={"px_per_mm": 3.8})
    held = serving.lease(who, now=NOW)
    events = [[0, "sides"], [900, "original-on"]]
    serving.judge(
        held[0],
        answer="left",
        response_ms=1500,
        viewing={"flips": 1},
        events=events,
        confidence=2,
        remark="blurred",
        now=NOW,
    )
    factories.judge_all(who)
    records = list(complete_records(study.campaign))
    assert [each["purpose"] for each in records] == ["practice"] + ["measure"] * 4
    first = records[0]
    assert (first["events"], first["confidence"], first["remark"]) == (events, 2, "blurred")
    assert (first["viewing"], first["conditions"]) == ({"flips": 1}, {"px_per_mm": 3.8})
    assert first["shown"][first["closest"]]["target_bpp"] == "1.0"
    assert {each["target_bpp"] for each in first["shown"]} == {"0.23", "1.0"}
    assert json.loads(next(iter(judgments_jsonl(study.campaign)))) == first
