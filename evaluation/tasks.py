"""Celery's door to studies."""

from celery import shared_task
from django.db.models import Q
from django.db.models.signals import post_save
from django.dispatch import receiver

from annotation.models import Withdrawal
from codecs_registry import clock
from codecs_registry.encoding import reconstructions_finished
from evaluation import launching
from evaluation.models import PILOT, IntervalWidth, StoredAnalysis, Study


@shared_task
def advance_study(study_id: int) -> None:
    """Open a study if its stimuli are complete. Safe to run twice or at the same time."""
    launching.advance(study_id)


@shared_task(expires=10)
def advance_studies() -> None:
    """Open the studies whose last message was lost."""
    launching.advance_all()


@shared_task(expires=5)
def choose_pairs() -> None:
    """Have active sampling choose what is asked next. Safe to run twice, late or at once."""
    from evaluation.active_sampling import prioritise_all  # with all of statistics

    prioritise_all(now=clock.now())


@shared_task
def analyse(stored_id: int) -> None:
    """Bring a stored analysis up to date. Safe to run twice, late or at once."""
    from evaluation import import_results
    from evaluation.statistics.options import Options
    from evaluation.stored_analyses import refresh

    stored = StoredAnalysis.objects.select_related("study__campaign", "study__pilot", "imported")
    found = stored.filter(id=stored_id).first()
    if found is None:  # somebody withdrew, or removed it, meanwhile
        return
    now = clock.now()
    if found.imported:
        import_results.compute(found.imported, now=now)
    else:
        refresh(found.study, found.population, options=Options(**found.options), now=now)


@shared_task(expires=5)
def keep_analyses_fresh() -> None:
    """Ask for the analyses of all studies that have news, one message each."""
    from evaluation.stored_analyses import ask_for_owed

    ask_for_owed(now=clock.now())


@receiver(reconstructions_finished)
def advance_waiting_studies(*, reconstruction_ids: list[int], **_: object) -> None:
    waiting = Study.objects.filter(n_tasks=None, reconstructions__in=reconstruction_ids)
    for study_id in waiting.values_list("id", flat=True).distinct():
        advance_study.delay(study_id)


@receiver(post_save, sender=Withdrawal)
def forget_who_withdrew(*, instance: Withdrawal, **_: object) -> None:
    """An analysis names annotators, so it goes with the one who goes, and how wide intervals were
    with their judgments, too."""
    of_study = Q(study__campaign=instance.campaign_id) & ~Q(population=PILOT)
    of_pilot = Q(study__pilot=instance.campaign_id, population=PILOT)
    for kept in (StoredAnalysis, IntervalWidth):
        kept.objects.filter(of_study | of_pilot).delete()
