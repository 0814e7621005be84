"""Requests of annotators as open tasks grow from a thousand to a million, beside Label Studio.

2,000 annotators have joined. Clients take them in turn, each asking for a task and answering it
over HTTP: one client alone, and eight at once, for SECONDS=12 each at each of SIZES=1000,... open
tasks, in twelve rounds, so that what else the machine does meets all alike. Both servers are two
processes of eight threads under gunicorn, on the same cores as clients and database: ours on
PostgreSQL, Label Studio on SQLite, as its package comes (on PostgreSQL it wants pg_trgm, which the
embedded one lacks). Our answer to a judgment brings the next task, so a session needs a request a
judgment, where `pairs/s` counts two for both.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import numpy as np

from benchmarks import label_studio, scratch

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PEER_UP_TO = 100_000  # it takes minutes to import more, and its pace is plain by then
ANNOTATORS = 2000
CROWD = 8  # clients at once
SECONDS, ROUNDS = 12.0, 12
SOURCES = 50


def run() -> list[dict]:
    sizes = [int(each) for each in os.environ.get("SIZES", "").split(",") if each] or list(SIZES)
    seconds = float(os.environ.get("SECONDS", SECONDS))
    with ExitStack() as until_the_end:
        services = list(_ours(sizes, until_the_end))
        skipped = []
        try:
            services += _theirs([size for size in sizes if size <= PEER_UP_TO], until_the_end)
        except label_studio.Unavailable as error:
            skipped = [{"server": "Label Studio", "skipped": str(error)}]
        for _ in range(ROUNDS):
            for clients in (1, CROWD):
                for each in services:
                    each.drive(clients, seconds / ROUNDS)
    ours = {each.size: each for each in services if each.server == "Closer"}
    rows = [each.row() for each in services] + skipped
    rows.append(_ratios("growth of ours", ours[max(sizes)], ours[min(sizes)]))
    for each in services:
        if each.server != "Closer":
            rows.append(_ratios(f"Label Studio / ours, {each.size}", each, ours[each.size]))
    return rows


# --- what is timed --------------------------------------------------------------------------------


@dataclass
class Taken:
    """Milliseconds of each request, by what was asked; in how many seconds; how many failed."""

    next_ms: list[float] = field(default_factory=list)
    judge_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0


class Failed(Exception):
    """A request was not answered as it should be."""


@dataclass
class Service:
    """A server with so many open tasks. ask(client, annotator) returns what answer(client,
    annotator, that) answers; both raise Failed. taken : by how many clients there were."""

    server: str
    size: int
    url: str
    annotators: list[str]
    ask: Callable[[httpx.Client, str], object]
    answer: Callable[[httpx.Client, str, object], None]
    taken: dict[int, Taken] = field(default_factory=lambda: {1: Taken(), CROWD: Taken()})

    def __post_init__(self) -> None:
        self.waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for each in self.annotators:
            self.waiting.put(each)

    def drive(self, clients: int, seconds: float) -> None:
        """Have clients serve one annotator after another, each asking once and answering once."""
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda _: self._work(clients, started + seconds), range(clients)))
        self.taken[clients].seconds += time.perf_counter() - started

    def _work(self, clients: int, until: float) -> None:
        taken = self.taken[clients]
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while time.perf_counter() < until:
                who = self.waiting.get()
                at = time.perf_counter()
                try:
                    given = self.ask(client, who)
                    asked = time.perf_counter()
                    self.answer(client, who, given)
                except (Failed, httpx.TransportError):
                    with LOCK:
                        taken.failed += 1
                    continue
                finally:
                    self.waiting.put(who)
                done = time.perf_counter()
                with LOCK:
                    taken.next_ms.append((asked - at) * 1000)
                    taken.judge_ms.append((done - asked) * 1000)

    def row(self) -> dict:
        alone, crowd = self.taken[1], self.taken[CROWD]
        return {
            "server": self.server,
            "open tasks": self.size,
            **_percentiles("alone: next", alone.next_ms),
            **_percentiles("judge", alone.judge_ms),
            f"{CROWD} at once: pairs/s": round(self.pairs_per_s, 1),
            **_percentiles("next ", crowd.next_ms),
            **_percentiles("judge ", crowd.judge_ms),
            "pairs": len(alone.judge_ms) + len(crowd.judge_ms),
            "failed": alone.failed + crowd.failed,
        }

    @property
    def pairs_per_s(self) -> float:
        return len(self.taken[CROWD].judge_ms) / self.taken[CROWD].seconds


LOCK = threading.Lock()


def _percentiles(name: str, ms: list[float]) -> dict:
    p50, p99 = np.percentile(ms, [50, 99])
    return {f"{name} p50 ms": round(p50, 1), f"{name} p99 ms": round(p99, 1)}


def _ratios(what: str, of: Service, to: Service) -> dict:
    def ratio(clients: int, name: str) -> float:
        of_ms, to_ms = (getattr(each.taken[clients], name) for each in (of, to))
        return round(float(np.median(of_ms) / np.median(to_ms)), 2)

    return {
        "ratio": what,
        "alone: next p50": ratio(1, "next_ms"),
        "judge p50": ratio(1, "judge_ms"),
        f"{CROWD} at once: next p50": ratio(CROWD, "next_ms"),
        "judge p50 ": ratio(CROWD, "judge_ms"),
        "pairs/s": round(of.pairs_per_s / to.pairs_per_s, 2),
    }


def _sent(response: httpx.Response) -> dict:
    if response.is_error:
        raise Failed(response.text[:200])
    return response.json()


# --- ours -----------------------------------------------------------------------------------------


def _ours(sizes: list[int], until_the_end: ExitStack) -> Iterator[Service]:
    until_the_end.enter_context(scratch.database())
    from benchmarks.web import served

    url = until_the_end.enter_context(served(workers=2))
    for size in sizes:
        yield Service("Closer", size, url, _fill(size), _ask, _answer)


def _ask(client: httpx.Client, who: str) -> object:
    return _sent(client.post(f"/judge/{who}/next"))["assignments"][0]["token"]


def _answer(client: httpx.Client, who: str, given: object) -> None:
    answer = {"assignment": given, "answer": "left", "response_ms": 900}
    _sent(client.post(f"/judge/{who}/judgments", json=answer))


def _fill(size: int) -> list[str]:
    """Make a campaign of so many open tasks; returns its annotators' tokens."""
    from django.db import connection

    from annotation.links import TokenConverter
    from annotation.models import Annotator
    from tests import factories

    campaign = factories.campaign(judgments_per_task=50, source_distance=2)
    last = [factories.task(campaign) for _ in range(SOURCES)][-1]
    with connection.cursor() as cursor:
        # Each of the tasks that are there already is the model of many.
        cursor.execute(
            """INSERT INTO annotation_task (campaign_id, source_id, target_bpp, places_left,
                   simulated_places_left, priority, order_key, delivery_bytes)
               SELECT campaign_id, source_id, target_bpp, places_left, simulated_places_left,
                   priority, random(), delivery_bytes
               FROM annotation_task, generate_series(1, %s)
               WHERE campaign_id = %s LIMIT %s""",
            [size // SOURCES, campaign.id, size - SOURCES],
        )
        cursor.execute(
            """INSERT INTO annotation_taskreconstruction (task_id, reconstruction_id)
               SELECT t.id, r.id FROM annotation_task t
               JOIN codecs_registry_reconstruction r ON r.source_id = t.source_id
               WHERE t.campaign_id = %s AND t.id > %s""",
            [campaign.id, last.id],
        )
        cursor.execute("VACUUM (ANALYZE)")  # as it would be by the time that people judge
    people = Annotator.objects.bulk_create(
        Annotator(campaign=campaign, began_at=factories.NOW) for _ in range(ANNOTATORS)
    )
    # As in links: the requests name who judges by what stands in their addresses.
    return [TokenConverter().to_url(each.token) for each in people]


# --- Label Studio ---------------------------------------------------------------------------------


def _theirs(sizes: list[int], until_the_end: ExitStack) -> Iterator[Service]:
    """Raises label_studio.Unavailable."""
    peer = until_the_end.enter_context(label_studio.served(annotators=ANNOTATORS))
    for size in sizes:
        project = peer.make_project(size)

        def ask(client: httpx.Client, who: str, project: int = project) -> object:
            address = f"/api/projects/{project}/next"
            return _sent(client.get(address, headers=label_studio.by(who)))["id"]

        yield Service("Label Studio", size, peer.url, peer.annotators, ask, _annotate)


def _annotate(client: httpx.Client, who: str, given: object) -> None:
    address = f"/api/tasks/{given}/annotations"
    _sent(client.post(address, json=label_studio.ANSWER, headers=label_studio.by(who)))
