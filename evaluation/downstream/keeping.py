"""Results of `evaluate_downstream` put where the pages show them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from evaluation.downstream.models import DownstreamEvaluation
from projects import audit
from projects.models import Project

MOST_BYTES = 8 * 2**20
NAME_LENGTH = DownstreamEvaluation._meta.get_field("name").max_length


class AlreadyKept(Exception):
    """The project has these very results; `kept` is what it has."""

    def __init__(self, kept: DownstreamEvaluation) -> None:
        super().__init__(f"These results are kept already, as “{kept.name}”")
        self.kept = kept


def keep(
    document: Mapping[str, Any], *, name: str, project: Project, by=None
) -> DownstreamEvaluation:
    """Store a document (document.read_document). by : who does; None: a command.

    Raises AlreadyKept where the project has the same.
    """
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    try:
        with transaction.atomic():
            kept = DownstreamEvaluation.objects.create(
                name=name, project=project, document=document, sha256=sha256, kept_by=by
            )
            audit.record(
                "kept a downstream evaluation", kept, by=by, project=project, sha256=sha256
            )
            return kept
    except IntegrityError:
        kept = DownstreamEvaluation.objects.get(project=project, sha256=sha256)
        raise AlreadyKept(kept) from None


def remove(kept: DownstreamEvaluation, *, by) -> None:
    with transaction.atomic():
        audit.record("removed a downstream evaluation", kept, by=by, project=kept.project)
        kept.delete()
