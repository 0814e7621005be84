"""Exports of a study: what their data card says of it, and who is told that one is owed."""

from annotation import exports
from annotation.models import Export
from annotation.populations import PEOPLE
from annotation.tasks import wake_exporters
from evaluation.models import Study
from evaluation.provenance import provenance


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
    asked = exports.request(study.campaign, form, population, title=study.slug, about=told, by=by)
    wake_exporters()
    return asked
