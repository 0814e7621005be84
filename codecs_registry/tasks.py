"""Celery's door to encoding."""

import os
import socket

from celery import shared_task
from celery.signals import worker_ready
from django.utils import timezone

from codecs_registry import encoding


@shared_task
def encode_owed() -> None:
    """Make what is owed of one picture by one codec, then pass the word on.

    Expected failures are recorded with the reconstruction, not raised. Safe to run twice, late or
    at the same time: the database says who makes what.
    """
    try:
        found_work = encoding.make_next() is not None
    except Exception:
        wake_encoders(1)  # this picture failed and says so; the others still wait
        raise
    if found_work:
        encode_owed.delay()


def wake_encoders(messages: int | None = None) -> None:
    """Have workers look for what is owed: each message keeps one of them busy until all is done."""
    owed = encoding.count_owed(now=timezone.now())
    for _ in range(min(owed, messages or os.cpu_count() or 1)):
        encode_owed.delay()


@shared_task(expires=10)
def resume_encoding() -> None:
    """Take up encodes whose message was lost or whose worker died."""
    encoding.give_up(now=timezone.now())
    wake_encoders(1)


@worker_ready.connect
def look_for_work_when_a_worker_starts(**_: object) -> None:
    encoding.release_dead(socket.gethostname(), now=timezone.now())
    encoding.give_up(now=timezone.now())
    wake_encoders()
