"""Celery's door to webhooks."""

from celery import shared_task
from django.dispatch import receiver

from codecs_registry import clock
from codecs_registry.encoding import reconstructions_finished
from evaluation import webhooks
from evaluation.api.idempotency import forget_kept

AT_ONCE = 10  # then others have their turn at the worker


@shared_task(expires=60)
def deliver() -> None:
    """Send what is due. Safe to run twice, late or at once: the database says who sends what."""
    for _ in range(AT_ONCE):
        if not webhooks.deliver_next(now=clock.now()):
            return
    deliver.delay()


@shared_task(expires=60)
def tell_of_judgments() -> None:
    webhooks.announce_judgments(now=clock.now())


@shared_task(expires=3600)
def forget_old() -> None:
    """Delete deliveries and kept answers that nobody asks for any more."""
    webhooks.forget_old(now=clock.now())
    forget_kept(now=clock.now())


@receiver(reconstructions_finished)
def tell_of_failures(*, reconstruction_ids: list[int], **_: object) -> None:
    webhooks.announce_failures(reconstruction_ids)
