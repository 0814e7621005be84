"""Milliseconds in the database for "next task" and "judge" as tasks grow, beside a bare insert.

The peer is the least that any such server must do: one transaction that inserts a row and commits,
over the same connection to the same PostgreSQL in the same run.
"""

import statistics
import time

from benchmarks import scratch

SIZES = (100, 10_000, 100_000)
ROUNDS = 200


def run() -> list[dict]:
    with scratch.database():
        return [_measure(size) for size in SIZES]


def _measure(tasks: int) -> dict:
    from django.db import connection
    from django.utils import timezone

    from annotation import serving
    from annotation.models import Task, TaskReconstruction
    from tests import factories

    campaign = factories.open_campaign(1, judgments_per_task=50)
    model = campaign.tasks.get()
    parts = list(model.reconstructions.all())
    made = Task.objects.bulk_create(
        (
            Task(
                campaign=campaign,
                source=model.source,
                target_bpp=model.target_bpp,
                places_left=model.places_left,
                simulated_places_left=model.simulated_places_left,
                order_key=(i * 0.6180339887) % 1,
                delivery_bytes=model.delivery_bytes,
            )
            for i in range(tasks - 1)
        ),
        batch_size=5000,
    )
    TaskReconstruction.objects.bulk_create(
        (TaskReconstruction(task=task, reconstruction=part) for task in made for part in parts),
        batch_size=10_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("CREATE TABLE IF NOT EXISTS peer (id bigserial PRIMARY KEY, at timestamptz)")

    leases, judgments, bare = [], [], []
    annotator = factories.annotator(campaign)
    for number in range(min(ROUNDS, tasks)):
        if number % 40 == 0:
            annotator = factories.annotator(campaign)
        now = timezone.now()
        with _timed(leases):
            [assignment] = serving.lease(annotator, now=now, ahead=1)
        with _timed(judgments):
            serving.judge(assignment, answer="left", response_ms=1, viewing={}, now=now)
        with _timed(bare), connection.cursor() as cursor:
            cursor.execute("INSERT INTO peer (at) VALUES (now())")
    bare_ms = statistics.median(bare)
    return {
        "open tasks": tasks,
        "next ms": round(statistics.median(leases), 2),
        "judge ms": round(statistics.median(judgments), 2),
        "bare ms": round(bare_ms, 2),
        "next / bare": round(statistics.median(leases) / bare_ms, 1),
        "judge / bare": round(statistics.median(judgments) / bare_ms, 1),
    }


class _timed:  # noqa: N801  (a context manager, used as a statement)
    def __init__(self, into: list[float]) -> None:
        self.into = into

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.into.append((time.perf_counter() - self.started) * 1000)
