"""Nothing that was acknowledged is lost or doubled, whatever is killed."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from evaluation.simulation import SimulatedAnnotator
from tests.e2e.conftest import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

ANNOTATORS = 20


def kill(stack, service: str) -> None:
    """Kill -9, and wait until the supervisor has started the service again."""
    before = stack.pid(service)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: stack.pid(service) != before)


def open_studies(stack) -> list[str]:
    return [
        token
        for (token,) in stack.sql("SELECT token FROM annotation_campaign WHERE state = 'open'")
    ]


def test_every_acknowledged_judgment_is_there_once_after_kills(stack, photographs):
    # The worker is killed while it encodes, and the study opens all the same.
    stack.launch_study(
        "Crashes",
        photographs,
        wait=False,
        codecs=["avif", "jpeg", "webp"],
        bpp=[0.5, 1.0],
        judgments_per_task=ANNOTATORS,
    )
    kill(stack, "worker")
    [token] = wait_for(lambda: open_studies(stack))

    acknowledged: dict[str, str] = {}
    lock = threading.Lock()

    def run(index: int) -> None:
        with httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30) as client:
            annotator = SimulatedAnnotator(client, np.random.default_rng(index))
            annotator.join(token, simulation_pass="")
            # One at a time, so that the kills fall between and into requests of all kinds.
            while given := annotator.judge(1).assignments:
                with lock:
                    acknowledged.update(given)

    with ThreadPoolExecutor(ANNOTATORS) as pool:
        running = [pool.submit(run, index) for index in range(ANNOTATORS)]
        for service in ("web", "postgres", "worker", "valkey", "web", "postgres"):
            time.sleep(0.7)
            assert not all(each.done() for each in running), "the kills came too late to matter"
            kill(stack, service)
        for each in running:
            each.result()

    stored = dict(
        stack.sql(
            """SELECT a.token, CASE WHEN j.ranks[1] = 1 THEN 'left' ELSE 'right' END
               FROM annotation_judgment j JOIN annotation_assignment a ON a.id = j.assignment_id"""
        )
    )
    tasks = 3 * 3 * 2
    assert len(acknowledged) == ANNOTATORS * tasks
    assert stored == acknowledged
    [(overfilled,)] = stack.sql(
        """SELECT count(*) FROM annotation_task t WHERE t.places_left <> 0 OR %s <>
           (SELECT count(*) FROM annotation_assignment a WHERE a.task_id = t.id)""",
        ANNOTATORS,
    )
    assert overfilled == 0
