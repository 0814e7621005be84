"""Serving to many at the same moment.

Rows are committed, and deleted at the end: a test's usual transaction would hide them from others.
"""

import random
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from annotation import serving
from annotation.models import Assignment, Judgment
from tests import factories
from tests.annotation.test_serving import check_rules
from tests.at_once import at_once, committed_rows
from tests.factories import NOW


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


def wait_until_somebody_waits_for(holder) -> None:
    """Until a transaction of another connection waits for one of `holder`'s, a connection."""
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_locks"
                " WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))",
                [pid],
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_double_click_is_one_judgment():
    [assignment] = serving.lease(factories.annotator(factories.open_campaign(1)), now=NOW)
    answers = at_once(
        lambda number: serving.judge(
            assignment,
            answer=["left", "right"][number % 2],
            response_ms=number,
            viewing={},
            now=NOW,
        ),
        6,
    )
    assert sum(is_new for _, is_new in answers) == 1
    assert len({judgment.id for judgment, _ in answers}) == 1


def test_two_tabs_are_given_the_same_pairs():
    annotator = factories.annotator(factories.open_campaign(9))
    given = at_once(lambda _: serving.lease(annotator, now=NOW), 6)
    assert all(each == given[0] for each in given)
    assert Assignment.objects.count() == serving.AHEAD


def test_the_last_place_goes_to_one_annotator():
    campaign = factories.open_campaign(1, judgments_per_task=1)
    people = [factories.annotator(campaign) for _ in range(6)]
    given = at_once(lambda number: serving.lease(people[number], now=NOW), 6)
    assert sorted(map(len, given)) == [0, 0, 0, 0, 0, 1]


def test_all_who_come_at_once_are_given_pairs_while_there_are_places():
    campaign = factories.open_campaign(2, judgments_per_task=8)
    people = [factories.annotator(campaign) for _ in range(8)]
    given = at_once(lambda number: serving.lease(people[number], now=NOW, ahead=1), 8)
    assert [len(each) for each in given] == [1] * 8
    assert sum(campaign.tasks.values_list("places_left", flat=True)) == 2 * 8 - 8


def test_a_pair_that_is_being_judged_in_another_tab_is_not_given_again():
    annotator = factories.annotator(factories.open_campaign(3))
    [judged, ahead] = serving.lease(annotator, now=NOW)
    given = []
    second_tab = threading.Thread(
        target=lambda: (given.extend(serving.lease(annotator, now=NOW)), connection.close())
    )
    with transaction.atomic():
        serving.judge(judged, answer="left", response_ms=1, viewing={}, now=NOW)
        second_tab.start()
        wait_until_somebody_waits_for(connection)
    second_tab.join(timeout=30)
    assert judged not in given
    assert given[0] == ahead


def test_who_waits_for_a_task_holds_no_other_and_so_nobody_in_turn_waits_for_them():
    campaign = factories.open_campaign(2, judgments_per_task=1)
    taken, left = campaign.tasks.all()
    campaign.tasks.filter(id=taken.id).update(priority=1)
    annotator = factories.annotator(campaign)
    given = []
    asking = threading.Thread(
        target=lambda: (given.extend(serving.lease(annotator, now=NOW)), connection.close())
    )
    touch = "UPDATE annotation_task SET delivery_bytes = delivery_bytes WHERE id = %s"
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(touch, [left.id])
            with transaction.atomic():
                campaign.tasks.filter(id=taken.id).update(places_left=0)
                asking.start()
                wait_until_somebody_waits_for(connection)
            wait_until_somebody_waits_for(other)
            cursor.execute(touch, [taken.id])  # a deadlock, if who asks held on to it
            cursor.execute("COMMIT")
    finally:
        other.close()
    asking.join(timeout=30)
    assert [each.task for each in given] == [left]


def test_the_rules_hold_while_leases_end_answers_come_late_and_pairs_are_given_back():
    """Sixteen requests at a time, by three annotators with many tabs, on few tasks: the most that
    they can be in each other's way. A deadlock would raise here."""
    campaign = factories.open_campaign(4, judgments_per_task=2)
    people = [factories.annotator(campaign) for _ in range(3)]
    clock = [NOW]
    what, weights = ["lease", "judge", "give back", "release", "wait"], [8, 6, 3, 2, 1]
    acknowledged = []

    def one_of(annotator, chance) -> Assignment | None:
        held = list(annotator.assignments.all())
        return chance.choice(held) if held else None

    def requests(number: int) -> None:
        chance = random.Random(number)
        for _ in range(25):
            annotator, now = chance.choice(people), clock[0]
            match chance.choices(what, weights):
                case ["lease"]:
                    serving.lease(annotator, now=now)
                case ["judge"] if assignment := one_of(annotator, chance):
                    try:
                        judgment, _ = serving.judge(
                            assignment,
                            answer=chance.choice(["left", "right"]),
                            response_ms=1,
                            viewing={},
                            now=now,
                        )
                    except serving.PlaceTaken:
                        continue
                    acknowledged.append((assignment.id, tuple(judgment.ranks)))
                case ["give back"] if assignment := one_of(annotator, chance):
                    serving.give_back(assignment, now=NOW)
                case ["release"]:
                    serving.release_ended(now=now)
                case ["wait"]:
                    clock[0] += serving.LEASE + timedelta(minutes=1)

    at_once(requests, 16)
    known = dict(acknowledged)
    assert set(acknowledged) == set(known.items()), "an answer once given is the answer always"
    stored = Judgment.objects.values_list("assignment", "ranks")
    assert {assignment: tuple(ranks) for assignment, ranks in stored} == known
    check_rules(campaign, released={each.id for each in people})


def test_one_participant_of_a_platform_in_many_tabs_is_one_annotator():
    crowd = {"platform": "prolific", "completed": "DONE"}
    campaign = factories.open_campaign(1, stored_options={"crowd": crowd})
    address = reverse("welcome", args=[campaign.token], query={"PROLIFIC_PID": "5a9d64f5"})
    links = {response.url for response in at_once(lambda _: Client().post(address), 8)}
    assert campaign.annotators.count() == len(links) == 1


def test_a_budget_is_never_exceeded_however_many_ask_at_once():
    campaign = factories.open_campaign(6, judgments_per_task=9, budget=7, budget_left=7)
    people = [factories.annotator(campaign) for _ in range(6)]
    at_once(lambda number: factories.judge_all(people[number]), 6)
    assert Judgment.objects.count() == 7
    campaign.refresh_from_db()
    assert campaign.budget_left == 0
