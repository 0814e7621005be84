"""Exports of a study: what their data card says of it, and who is told that one is owed."""

from django.db import transaction

from annotation import exports
from annotation.models import Export
from annotation.populations import PEOPLE
from annotation.tasks import wake_exporters
from evaluation.models import Study
from evaluation.provenance import provenance
from projects import audit


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


def request(study: Study, form: str, population: str = PEOPLE, *, by=None) -> Export:
    """Ask for an export (annotation/exports.py), and wake who makes it. Raises UnknownExport."""
    told = about(study, by=by)
    with transaction.atomic():
        asked = exports.request(
            study.campaign, form, population, title=study.slug, about=told, by=by
        )
        _record(study, "asked for an export", asked, by=by)
    wake_exporters()
    return asked


def delete(study: Study, export: Export, *, by=None) -> None:
    """Forget an export, with its files."""
    with transaction.atomic():
        _record(study, "deleted an export", export, by=by)
        exports.delete(export)


def _record(study: Study, action: str, export: Export, *, by) -> None:
    audit.record(action, study, by=by, project=study.project, export=export.name)
