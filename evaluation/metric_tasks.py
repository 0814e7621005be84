"""Celery's door to the metric: trainings, scores of reconstructions, maps of differences.

All of it is for the queue `train`, whose worker is niced and apart from the one that encodes.
"""

import os
import threading

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from codecs_registry import clock
from codecs_registry.leases import worker_name
from evaluation import difference_maps, reconstruction_scores, training_runs
from evaluation.metric_models import RetrainingRule

EXPIRES_S = 60  # a message only says "look": what it is about stands in the database

is_stopping = threading.Event()


@shared_task(expires=10)
def look_for_work() -> None:
    """Ask for the trainings that rules want, and take up work whose message was lost or whose
    worker died."""
    now = clock.now()
    if RetrainingRule.objects.filter(is_on=True).exists():
        from evaluation.retraining import ask_for_due

        ask_for_due(now=now)
    if training_runs.is_owed(now=now):
        wake(train_next)
    if reconstruction_scores.is_owed():
        wake(score_reconstructions)
    if difference_maps.owed().exists():
        wake(draw_differences)


@shared_task
def train_next() -> None:
    """Train what waits, one after the other. Expected failures are recorded with the run, not
    raised. Safe to run twice, late or at the same time: the database says who trains."""
    from evaluation.retraining import CANNOT, perform

    use_few_threads()
    while not is_stopping.is_set():
        worker = worker_name()
        run = training_runs.claim_next(worker=worker, now=clock.now())
        if run is None:
            return
        try:
            perform(run, is_to_stop=is_stopping.is_set)
        except (*CANNOT, training_runs.Stopped, training_runs.LeaseLost):
            continue
        wake(score_reconstructions)


@shared_task
def score_reconstructions() -> None:
    """Score what the version in service has not scored yet."""
    use_few_threads()
    while not is_stopping.is_set() and reconstruction_scores.score_next():
        pass


@shared_task
def draw_differences() -> None:
    """Make the maps that somebody waits for."""
    use_few_threads()
    while not is_stopping.is_set() and difference_maps.make_next():
        pass


def wake(task) -> None:
    task.apply_async(expires=EXPIRES_S)


def use_few_threads() -> None:
    """Leave cores to those who encode and serve."""
    import torch

    torch.set_num_threads(settings.CLOSER_TRAIN_THREADS or max(1, (os.cpu_count() or 1) // 2))


@worker_shutting_down.connect
def stop_soon(**_: object) -> None:
    is_stopping.set()


@worker_ready.connect
def look_for_work_when_a_worker_starts(**_: object) -> None:
    training_runs.WORK.release_dead(now=clock.now())
    wake(look_for_work)
