"""Results shown to whoever has a link: who gave it, what it shows, and its end."""

from __future__ import annotations

import hashlib
import json
import secrets
from copy import deepcopy
from datetime import datetime
from typing import Any

from django.db import transaction

from codecs_registry import clock
from evaluation.metric_models import Population
from evaluation.models import SharedLink, Study
from projects import audit

TOKEN_BYTES = 24


class LinkRevoked(Exception):
    """The link was good once."""


class NothingToShare(Exception):
    """Nobody of the population has judged; the message says so."""


class NotAnalysed(Exception):
    """The results are being analysed for the first time."""


def share_results(
    study: Study, *, population: str, freezes: bool, now: datetime, by=None
) -> SharedLink:
    """Make a link to a study's results: as they are now (freezes), or always the newest.

    Raises NothingToShare and NotAnalysed.
    """
    from evaluation.stored_analyses import newest  # with all of statistics

    if not study.judgment_counts().get(population):
        raise NothingToShare("There are no judgments of this kind to share yet")
    document = newest(study, population, now=now) if freezes else None
    if freezes and document is None:
        raise NotAnalysed
    return share(study, population=population, document=document, by=by)


@transaction.atomic
def share(
    study: Study, *, population: str, document: dict[str, Any] | None = None, by=None
) -> SharedLink:
    """Make a link to a study's results.

    document : what analysis.analyse_study returned, to be shown as it is now whatever is judged
        later; None shows the newest results each time.
    by : the user who shares.

    Raises ValueError for a population that there is none of.
    """
    if population not in Population.values:
        raise ValueError(f"expected one of {', '.join(Population.values)}, found {population!r}")
    text = "" if document is None else json.dumps(for_others(document), allow_nan=False)
    audit.record(
        "shared results",
        study,
        by=by,
        project=study.project,
        judged_by=population,
        shows="as of now" if text else "always the newest",
    )
    return SharedLink.objects.create(
        study=study,
        population=population,
        token=secrets.token_urlsafe(TOKEN_BYTES),
        document_text=text,
        document_sha256=hashlib.sha256(text.encode()).hexdigest() if text else "",
        created_by=by,
    )


@transaction.atomic
def revoke(link: SharedLink, *, by=None) -> bool:
    """End a link, for good. False: it had ended already."""
    ended = SharedLink.objects.filter(id=link.id, revoked_at__isnull=True).update(
        revoked_at=clock.now(), revoked_by=by
    )
    if ended:
        audit.record("revoked shared results", link.study, by=by, project=link.study.project)
    return ended == 1


def link_of(token: str) -> SharedLink:
    """The link with this token. Raises SharedLink.DoesNotExist, and LinkRevoked where it ended."""
    link = SharedLink.objects.select_related("study__campaign").get(token=token)
    if link.revoked_at is not None:
        raise LinkRevoked
    return link


def for_others(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what tells annotators apart elsewhere: they are numbered anew, in the
    order of the document, so that their names lead to nothing in other files of the study."""
    shown = deepcopy(document)
    names: dict[str, str] = {}
    for number, each in enumerate(shown["annotators"], start=1):
        names[each["annotator"]] = f"annotator {number}"

    def renamed(name: str) -> str:
        return names.setdefault(name, f"annotator {len(names) + 1}")

    for each in shown["annotators"]:
        each["annotator"] = renamed(each["annotator"])
    for key in ("flagged", "left_out"):
        shown["screening"][key] = [renamed(name) for name in shown["screening"][key]]
    for stratum in shown["strata"].values():
        for each in stratum.get("by_annotator", []):
            each["annotator"] = renamed(each["annotator"])
    return shown
