"""Celery's door to encoding."""

import logging

from celery import shared_task
from celery.signals import worker_ready

from codecs_registry import blobs, clock, encoding
from codecs_registry.leases import DATABASE_GONE

RETRY_SECONDS = 3  # until memory that other encodes hold may be free, or the disk has room

logger = logging.getLogger(__name__)


@shared_task
def encode_owed() -> None:
    """Make what is owed of one picture by one codec, if anything is.

    Expected failures are recorded with the reconstruction, not raised. Safe to run twice, late or
    at the same time: the database says who makes what.
    """
    try:
        encoding.make_next()
    except encoding.MemoryIsShort:
        encode_owed.apply_async(countdown=RETRY_SECONDS)
    except (blobs.StorageFailed, *DATABASE_GONE) as error:
        logger.warning("What was made cannot be stored, and is made again later: %s", error)
        encode_owed.apply_async(countdown=RETRY_SECONDS)


def wake_encoders() -> None:
    """Send a message for each picture and codec that is owed."""
    for _ in range(encoding.count_owed(now=clock.now())):
        encode_owed.delay()


@shared_task(expires=10)
def resume_encoding() -> None:
    """Take up encodes whose message was lost or whose worker died."""
    now = clock.now()
    encoding.give_up(now=now)
    if not encoding.is_worked_on(now=now):  # else messages are on their way, as far as we can see
        wake_encoders()


@worker_ready.connect
def look_for_work_when_a_worker_starts(**_: object) -> None:
    now = clock.now()
    encoding.WORK.release_dead(now=now)
    encoding.give_up(now=now)
    wake_encoders()
