"""The rules of serving hold while a hundred annotators judge at once and four web processes are
killed and started again under them.

Annotators answer by chance and fetch no picture. CLOSER_LONG=1 takes a thousand, and more kills.
"""

import contextlib
import os
import random
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx
import numpy as np
import psutil
import pytest

from annotation.models import COUNTED
from benchmarks.web import free_port, web_service
from config.stack.supervisor import Supervisor
from evaluation.simulation import SimulatedAnnotator
from tests.e2e.conftest import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

IS_LONG = bool(os.environ.get("CLOSER_LONG"))
ANNOTATORS = 1000 if IS_LONG else 100  # a fifth of them in the study that has a budget
ROUNDS_OF_KILLS = 12 if IS_LONG else 1
WEB_WORKERS = 8 if IS_LONG else 4
AT_ONCE = 8 * WEB_WORKERS  # as many as they have threads
SHARE = 0.25  # of gold tasks, and of repeats
TASKS = 3 * 3 * 2  # pictures, pairs of codecs, rates
# Places run out before the annotators do, and in the other study the budget.
FILLED = {
    "judgments_per_annotator": 4,
    "judgments_per_task": ANNOTATORS * 4 // 5 * 2 // TASKS,
}
BUDGETED = {
    "judgments_per_annotator": 12,
    "judgments_per_task": ANNOTATORS,
    "budget": ANNOTATORS // 5 * 11,
}


class ByChance(SimulatedAnnotator):
    """Some give a pair back, and some leave for good: what they hold is free when leases end."""

    def _decide(self, images: dict[str, str]) -> str:
        return str(self.chance.choice(["left", "right"]))

    def take_part(self, link: str, stack) -> dict[str, str]:
        """What the server acknowledged: answers by assignment token."""
        self.begin(urlsplit(link).path)
        acknowledged = self.judge(2).assignments
        match self.chance.choice(["stay", "give back", "leave"], p=[0.7, 0.2, 0.1]):
            case "give back":
                self.give_back()
            case "leave":
                end_leases(stack, token_in(self.page))
                return acknowledged
        return acknowledged | self.judge(20).assignments

    def begin(self, address: str) -> None:
        """Press "Start", as people do."""
        self._send("GET", address)
        token = self.client.cookies["csrftoken"]
        self.page = self._send("POST", address, data={"csrfmiddlewaretoken": token}).url.path

    def give_back(self) -> None:
        held = self._send("POST", urljoin(self.page, "next")).json()["assignments"]
        for assignment in held[:1]:
            self._send(
                "POST", urljoin(self.page, "give-back"), json={"assignment": assignment["token"]}
            )


def token_in(address: str) -> str:
    """Of a link to a campaign or to an annotator: what stands before the signature."""
    return re.search(r"/(?:c|judge)/([^/.]+)", address)[1]


def end_leases(stack, annotator_token: str) -> None:
    stack.sql(
        """UPDATE annotation_assignment a SET lease_ends = now() - interval '1 second'
           FROM annotation_annotator who WHERE who.id = a.annotator_id AND who.token = %s
           AND a.lease_ends IS NOT NULL RETURNING a.id""",
        annotator_token,
    )


class Web:
    """A web server of so many processes beside the stack's own, over the same database."""

    def __init__(self, stack, workers: int) -> None:
        self.workers = workers
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.service = web_service(self.port, workers=workers, environment=stack.environment)
        folder = stack.data / "web"
        self.supervisor = Supervisor(logs=folder, process_list=folder / "processes.json")

    def __enter__(self) -> "Web":
        self.supervisor.start(self.service)
        self.supervisor.watch()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def kill_a_worker(self, chance: random.Random) -> None:
        wait_for(self.processes)
        chance.choice(self.processes()).kill()

    def kill_the_server(self, _: random.Random) -> None:
        self._end(signal.SIGKILL)

    def restart_the_server(self, _: random.Random) -> None:
        self._end(signal.SIGTERM)

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.service.process.pid).children()
        return []

    def _end(self, how: signal.Signals) -> None:
        """End it, and wait until its supervisor has started it again and it answers."""
        before = self.service.process.pid
        os.kill(before, how)
        wait_for(lambda: self.service.process.pid != before)
        wait_for(self.service.is_ready)


@pytest.fixture
def campaigns(stack, photographs) -> list[str]:
    """Links of two campaigns with gold tasks and repeats."""
    launched = [
        stack.launch_study(
            name,
            photographs,
            codecs=["jpeg", "jpeg2000", "webp"],
            bpp=[0.25, 6.0],
            gold_share=SHARE,
            repeat_share=SHARE,
            **keys,
        )
        for name, keys in (("Filled", FILLED), ("Budgeted", BUDGETED))
    ]
    gold = stack.sql("SELECT count(*) FROM annotation_task WHERE closest_id IS NOT NULL")
    assert gold[0][0] >= 2 * 4, "enough of them for all that an annotator is asked"
    return [each["annotation_link"] for each in launched]


def judge_while_killing(stack, campaigns: list[str], web: Web) -> dict[str, str]:
    """All that was acknowledged."""
    filled, budgeted = campaigns
    chance = random.Random(1)
    acknowledged: dict[str, str] = {}
    lock = threading.Lock()

    def run(index: int) -> None:
        with httpx.Client(base_url=web.url, follow_redirects=True, timeout=30) as client:
            annotator = ByChance(client, np.random.default_rng(index))
            given = annotator.take_part(filled if index % 5 else budgeted, stack)
        with lock:
            acknowledged.update(given)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(run, index) for index in range(ANNOTATORS)]
        for _ in range(ROUNDS_OF_KILLS):
            for strike in (
                *(web.kill_a_worker, web.kill_a_worker, web.kill_the_server),
                *(web.kill_a_worker, web.restart_the_server),
            ):
                threading.Event().wait(chance.uniform(0.1, 0.8))
                done = [each.result() for each in running if each.done()]  # tells what went wrong
                assert len(done) < ANNOTATORS, "too late to matter"
                strike(chance)
        for each in running:
            each.result()
    return acknowledged


@dataclass(frozen=True)
class Given:
    """What an annotator was given of what counts. lean : of pairs that measure and hold a place,
    how many more showed the lower id on the left than on the right."""

    given: int
    gold: int
    repeats: int
    lean: int
    never_released: bool


def what_annotators_were_given(stack) -> list[Given]:
    rows = stack.sql(
        """SELECT count(a.id),
               count(a.id) FILTER (WHERE a.purpose = 'gold'),
               count(a.id) FILTER (WHERE a.purpose = 'repeat'),
               coalesce(sum(CASE WHEN a.shown[1] < a.shown[2] THEN 1 ELSE -1 END)
                   FILTER (WHERE a.purpose = 'measure' AND a.holds_place), 0),
               coalesce(bool_and(a.holds_place AND a.given_back_at IS NULL), true)
           FROM annotation_annotator who
           LEFT JOIN annotation_assignment a ON a.annotator_id = who.id AND a.purpose = ANY(%s)
           GROUP BY who.id""",
        [str(each) for each in COUNTED],
    )
    return [Given(*row) for row in rows]


def stored_answers(stack) -> dict[str, str]:
    return dict(
        stack.sql(
            """SELECT a.token, CASE WHEN j.ranks[1] = 1 THEN 'left' ELSE 'right' END
               FROM annotation_judgment j JOIN annotation_assignment a ON a.id = j.assignment_id"""
        )
    )


def tasks_whose_places_do_not_add_up(stack) -> list[tuple]:
    """Those that measure, with more or fewer places left and held than are wanted."""
    return stack.sql(
        """SELECT t.id, t.places_left, held.count, c.judgments_per_task FROM annotation_task t
           JOIN annotation_campaign c ON c.id = t.campaign_id,
           LATERAL (SELECT count(*) FROM annotation_assignment a
                    WHERE a.task_id = t.id AND a.purpose = 'measure' AND a.holds_place) held
           WHERE t.closest_id IS NULL AND t.places_left + held.count <> c.judgments_per_task"""
    )


def places_left(stack, campaign: str) -> int:
    [(left,)] = stack.sql(
        """SELECT sum(t.places_left) FROM annotation_task t
           JOIN annotation_campaign c ON c.id = t.campaign_id WHERE c.token = %s""",
        campaign,
    )
    return left


def budget_of(stack, campaign: str) -> tuple[int, int, int]:
    """The budget, what is left of it, and what assignments hold of it."""
    [row] = stack.sql(
        """SELECT c.budget, c.budget_left, count(a.id) FROM annotation_campaign c
           JOIN annotation_annotator who ON who.campaign_id = c.id AND NOT who.is_simulated
           JOIN annotation_assignment a ON a.annotator_id = who.id
               AND a.holds_place AND a.purpose = ANY(%s)
           WHERE c.token = %s GROUP BY c.id""",
        [str(each) for each in COUNTED],
        campaign,
    )
    return row


def test_the_rules_hold_for_many_annotators_while_web_processes_are_killed(stack, campaigns):
    with Web(stack, WEB_WORKERS) as web:
        wait_for(lambda: len(web.processes()) == WEB_WORKERS)
        acknowledged = judge_while_killing(stack, campaigns, web)

    assert stored_answers(stack) == acknowledged, "each once, and as it was given"
    assert tasks_whose_places_do_not_add_up(stack) == []
    filled, budgeted = (token_in(link) for link in campaigns)
    assert places_left(stack, filled) == 0, "they were run for, and so put to the test"
    budget, left, held = budget_of(stack, budgeted)
    assert (left, held) == (0, budget), "it was run for, too"

    people = what_annotators_were_given(stack)
    assert len(people) >= ANNOTATORS, "who pressed Start as a server died pressed it twice"
    assert sum(each.never_released for each in people) > ANNOTATORS / 2
    for each in people:
        assert abs(each.gold - SHARE * each.given) <= 1
        assert each.repeats <= SHARE * each.given + 1
        if each.never_released:
            assert abs(each.lean) <= 1
            assert each.given <= BUDGETED["judgments_per_annotator"]
        # Shares of repeats begin with the sixth task: before, none is old enough.
        if each.never_released and each.given == BUDGETED["judgments_per_annotator"]:
            assert each.repeats >= SHARE * (each.given - 5) - 1
