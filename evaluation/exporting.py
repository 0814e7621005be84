"""Exports of a study: what their data card says of it, and who is told that one is owed."""

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation import exports
from annotation.datasets.contents import FILE_NAMES
from annotation.models import Export, Withdrawal
from annotation.populations import BOTH, PEOPLE, SIMULATED
from annotation.tasks import wake_exporters
from evaluation.models import Study
from evaluation.provenance import provenance
from projects import audit


class NothingToExport(Exception):
    """Those whose judgments are asked for have given none; the message says who."""


def about(study: Study, *, by=None) -> dict:
    """What a data card says that the campaign does not know. by : who exports it."""
    return {
        "study": study.name,
        "made_by": _name(study.launched_by),
        "exported_by": _name(by),
        "licence": study.specification.get("licence"),
        "provenance": provenance(),
    }


def _name(user) -> str | None:
    return user and (user.get_full_name() or user.get_username())


def exports_of(study: Study) -> QuerySet[Export]:
    """A study's exports, the newest first; `is_outdated` of each: somebody's judgments are in it
    who withdrew them since."""
    later = Withdrawal.objects.filter(
        campaign=OuterRef("campaign"), withdrawn_at__gt=OuterRef("requested_at")
    )
    is_outdated = Q(finished_at__isnull=False) & Q(Exists(later))
    return study.campaign.exports.select_related("requested_by").annotate(is_outdated=is_outdated)


def request(study: Study, form: str, population: str = PEOPLE, *, by=None) -> Export:
    """Ask for an export (annotation/exports.py), and wake who makes it.

    Raises UnknownExport, and NothingToExport if nobody of the population has judged.
    """
    if population in FILE_NAMES and not _has_judgments(study, population):
        who = "Simulated annotators" if population == SIMULATED else "People"
        raise NothingToExport(f"{who} have not judged yet: there is nothing to export")
    told = about(study, by=by)
    with transaction.atomic():
        asked = exports.request(
            study.campaign, form, population, title=study.slug, about=told, by=by
        )
        _record(study, "asked for an export", asked, by=by)
    transaction.on_commit(wake_exporters)
    return asked


def _has_judgments(study: Study, population: str) -> bool:
    counts = study.judgment_counts()
    return any(counts.values()) if population == BOTH else bool(counts[population])


def retry(export: Export) -> bool:
    """Have one that failed made again. False: it did not, or the same is being made already."""
    is_asked = exports.retry(export)
    if is_asked:
        transaction.on_commit(wake_exporters)
    return is_asked


def delete(study: Study, export: Export, *, by=None) -> None:
    """Forget an export, with its files."""
    with transaction.atomic():
        _record(study, "deleted an export", export, by=by)
        exports.delete(export)


def _record(study: Study, action: str, export: Export, *, by) -> None:
    audit.record(action, study, by=by, project=study.project, export=export.name)
