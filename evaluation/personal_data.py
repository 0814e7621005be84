"""All that is held of a person, to hand it to them, and to erase it (docs/privacy.md).

A person is an annotator, or several of different studies whom one platform calls the same; or
somebody with an account.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.urls import Resolver404, resolve

from annotation import forgetting, people
from annotation.models import Annotator, Campaign
from annotation.platforms import PLATFORMS
from evaluation.models import Study
from projects import audit, members
from projects.models import AuditEntry, Project

NEVER_TOLD = {"password", "secret", "digest"}
"""Columns that hold what opens an account or signs a message, or its hash."""
HOW = (
    "Name an annotator by their number (annotator-12), their link, or a platform and its name for "
    f"them ({', '.join(f'{each}:NAME' for each in PLATFORMS)}); somebody with an account by "
    "account:NAME."
)


class NobodyFound(LookupError):
    """Nobody is named so; the message says how people are named."""


def find(named: str) -> list[Annotator] | Any:
    """The annotators that are one person, or the account. Raises NobodyFound."""
    kind, _, rest = named.partition(":")
    if kind == "account":
        account = get_user_model().objects.filter(username=rest).first()
        if account:
            return account
        raise NobodyFound(f"There is no account {rest!r}. {HOW}")
    if kind in PLATFORMS:
        found = Annotator.objects.filter(platform=kind, external_id=rest).exclude(external_id="")
    elif named.startswith("annotator-") and named.removeprefix("annotator-").isdigit():
        found = Annotator.objects.filter(id=int(named.removeprefix("annotator-")))
    else:
        found = Annotator.objects.filter(token=_token_of(named))
    first = found.order_by("id").first()
    if first is None:
        raise NobodyFound(f"Nobody is named {named!r} here. {HOW}")
    return list(forgetting.same_person(first).select_related("campaign"))


def _token_of(link: str) -> str:
    """The token in an annotator's link; "" if there is none."""
    _, _, path = link.partition("://")
    try:
        match = resolve("/" + path.partition("/")[2].partition("?")[0])
    except Resolver404:
        return ""
    return match.kwargs.get("token", "") if match.url_name == "judge" else ""


# --- annotators -----------------------------------------------------------------------------------


def of_annotators(found: Iterable[Annotator]) -> dict[str, Any]:
    """All that is held of an annotator, or of several who are one person, as plain values."""
    return {
        "annotators": [
            {
                "number": each.id,
                "study": _name(each.campaign),
                **people.everything_about(each, tells_all=True),
            }
            for each in found
        ]
    }


@transaction.atomic
def erase_annotators(
    found: Iterable[Annotator], *, with_judgments: bool, now: datetime, by=None
) -> int:
    """Forget who they were; with their judgments, or without. Returns how many judgments went."""
    gone = 0
    for each in found:
        project = _project(each.campaign)
        subject = _name(each.campaign)
        if with_judgments:
            withdrawn = people.withdraw(each, now=now).judgments
            gone += withdrawn
            audit.record(
                "deleted an annotator's data", subject, by=by, project=project, judgments=withdrawn
            )
        else:
            forgetting.forget(each)
            audit.record(
                "erased who an annotator was", subject, by=by, project=project, annotator=each.id
            )
    return gone


def _study(campaign: Campaign) -> Study | None:
    either = models.Q(campaign=campaign) | models.Q(pilot=campaign)
    return Study.objects.filter(either).select_related("project").first()


def _name(campaign: Campaign) -> str:
    return str(_study(campaign) or campaign)


def _project(campaign: Campaign) -> Project | None:
    study = _study(campaign)
    return study.project if study else None


# --- accounts -------------------------------------------------------------------------------------


def of_account(account) -> dict[str, Any]:
    """All that is held of somebody with an account, as plain values: the account, every row that
    belongs to it, what it is named in, and what the log of changes says of it."""
    held: dict[str, Any] = {"account": _values(account), "belongs_to_them": {}, "names_them": {}}
    for relation in _relations():
        model, field = relation.related_model, relation.field
        rows = model._default_manager.filter(**{field.name: account})
        if model is AuditEntry or not rows.exists():
            continue
        name = model._meta.label
        if relation.on_delete is models.CASCADE:
            held["belongs_to_them"][name] = [_values(row) for row in rows]
        else:
            held["names_them"][f"{name}.{field.name}"] = [str(row) for row in rows]
    held["log"] = [
        {
            "at": each.at,
            "action": each.action,
            "subject": each.subject,
            "details": each.details,
            "by_them": each.actor_id == account.pk,
        }
        for each in AuditEntry.objects.filter(
            models.Q(actor=account) | models.Q(subject=str(account)[:200])
        ).order_by("id")
    ]
    held["sessions"] = [each.expire_date for each in _sessions(account)]
    return held


@transaction.atomic
def erase_account(account, *, by=None) -> None:
    """Delete an account with all that belongs to it. What it made stays, without it; the log of
    changes keeps the name, for it tells who is answerable.

    Raises members.CannotChange if a project would have no owner.
    """
    for each in account.memberships.select_related("project", "user"):
        members.remove_member(each, by=by)
    for each in _sessions(account):
        each.delete()
    audit.record("erased an account", account, by=by, project=None)
    account.delete()


def _relations():
    """Everything in the database that points at accounts."""
    fields = get_user_model()._meta.get_fields(include_hidden=True)
    found = [each for each in fields if each.auto_created and (each.one_to_many or each.one_to_one)]
    return sorted(found, key=lambda each: (each.related_model._meta.label, each.field.name))


def _values(row: models.Model) -> dict[str, Any]:
    """Of all columns but secrets and files' contents."""
    return {
        field.name: field.value_from_object(row)
        for field in row._meta.concrete_fields
        if field.name not in NEVER_TOLD and not isinstance(field, models.BinaryField)
    }


def _sessions(account) -> list[Session]:
    return [
        each
        for each in Session.objects.all().iterator()
        if each.get_decoded().get("_auth_user_id") == str(account.pk)
    ]


class Encoder(DjangoJSONEncoder):
    """JSON of what the database holds."""

    def default(self, o):
        return str(o) if isinstance(o, models.Model) else super().default(o)
