"""Celery's door to studies."""

from celery import shared_task
from django.dispatch import receiver

from annotation.models import Campaign
from codecs_registry.encoding import reconstructions_finished
from evaluation import launching
from evaluation.models import ImportedJudgments, Study


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

    prioritise_all()


@shared_task
def analyse_import(import_id: int) -> None:
    """Compute the results of imported judgments. Safe to run twice or at the same time."""
    from evaluation import import_results

    imported = ImportedJudgments.objects.filter(id=import_id).first()
    if imported and import_results.kept(imported) is None:
        import_results.compute(imported)


@receiver(reconstructions_finished)
def advance_waiting_studies(*, reconstruction_ids: list[int], **_: object) -> None:
    waiting = Study.objects.filter(
        campaign__state=Campaign.State.DRAFT, reconstructions__in=reconstruction_ids
    )
    for study_id in waiting.values_list("id", flat=True).distinct():
        advance_study.delay(study_id)
