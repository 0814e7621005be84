"""Tasks carry the id of the request that sent them, and are timed."""

import time
from threading import local

from celery.signals import before_task_publish, task_postrun, task_prerun

from config import broker
from config.logs import request_id

REQUEST_ID = "closer_request_id"
_started = local()  # a thread does one task at a time


@before_task_publish.connect
def stamp(*, headers: dict, **_: object) -> None:
    headers.setdefault(broker.SENT_AT, broker.now())
    if known := request_id.get():
        headers.setdefault(REQUEST_ID, known)


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
