"""Celery's door to exports."""

from celery import shared_task
from celery.signals import worker_ready

from annotation import exports, forgetting
from codecs_registry import clock

EXPIRES_S = 60  # a message only says "look": what it is about stands in the database


@shared_task
def make_exports() -> None:
    """Make what waits, one after the other. Safe to run twice, late or at the same time."""
    while exports.make_next():
        pass


@shared_task
def forget_contacts() -> None:
    """Forget who judged in campaigns that ended long ago. Safe to run twice or late."""
    forgetting.forget_contacts(now=clock.now())


@shared_task(expires=10)
def resume_exports() -> None:
    """Take up exports whose message was lost or whose worker died."""
    if exports.is_owed(now=clock.now()):
        wake_exporters()


def wake_exporters() -> None:
    make_exports.apply_async(expires=EXPIRES_S)


@worker_ready.connect
def look_for_exports_when_a_worker_starts(**_: object) -> None:
    exports.WORK.release_dead(now=clock.now())
    wake_exporters()
