"""Tasks carry the id of the request that sent them, and are timed; workers tell that they live."""

import contextlib
import time
from pathlib import Path
from threading import local

from celery.signals import (
    beat_init,
    before_task_publish,
    heartbeat_sent,
    task_postrun,
    task_prerun,
    worker_shutdown,
)
from celery.worker.state import active_requests
from django.conf import settings

from config import broker
from config.logs import request_id

REQUEST_ID = "closer_request_id"
_started = local()  # a thread does one task at a time
_is_scheduler = False


@before_task_publish.connect
def stamp(*, headers: dict, **_: object) -> None:
    headers.setdefault(broker.SENT_AT, broker.now())
    if known := request_id.get():
        headers.setdefault(REQUEST_ID, known)
    if _is_scheduler:
        touch_heartbeat()


@task_prerun.connect
def begin(*, task, **_: object) -> None:
    request_id.set(task.request.get(REQUEST_ID) or "")
    _started.at = time.perf_counter()


@task_postrun.connect
def end(*, task, state: str | None = None, **_: object) -> None:
    seconds = time.perf_counter() - getattr(_started, "at", time.perf_counter())
    request_id.set("")
    if not task.request.is_eager:
        broker.note_task(task.name, state or "UNKNOWN", seconds)


@heartbeat_sent.connect
def tell_of_worker(*, sender, **_: object) -> None:
    touch_heartbeat()
    begun = [each for each in active_requests if each.time_start]
    doing = [(each.name, broker.now() - each.time_start) for each in begun]
    queues = list(sender.eventer.app.amqp.queues.consume_from)
    with contextlib.suppress(*broker.Unreachable):  # the next one may arrive
        broker.note_worker(sender.eventer.hostname, queues, doing)


@worker_shutdown.connect
def tell_of_end(*, sender, **_: object) -> None:
    with contextlib.suppress(*broker.Unreachable):
        broker.forget_worker(sender.hostname)


@beat_init.connect
def begin_scheduling(**_: object) -> None:
    global _is_scheduler
    _is_scheduler = True


def touch_heartbeat() -> None:
    """Renew the file that tells whoever watches this process that it goes on."""
    if settings.CLOSER_HEARTBEAT:
        with contextlib.suppress(OSError):
            Path(settings.CLOSER_HEARTBEAT).touch()
