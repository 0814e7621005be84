"""Tokens of the API: made, shown once, found by what a request brings, revoked."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from codecs_registry import clock
from evaluation.api_models import ApiToken, Scope
from projects import audit
from projects.access import may
from projects.models import Project
from projects.roles import Role

SECRET_BYTES = 32
MARK = "closer_"  # by which those who look for leaked secrets tell what one is
SHOWN = len(MARK) + 6
USE_NOTED = timedelta(minutes=1)  # a row is not written at each request


class CannotMake(Exception):
    """A token that is refused; the message says why."""


def make_token(
    user,
    name: str,
    scopes: list[Scope],
    *,
    project: Project | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A new token of somebody's, and its secret, which is kept nowhere.

    Raises CannotMake if they do not take part in the project.
    """
    if project is not None and not may(user, project, Role.VIEWER):
        raise CannotMake("You do not take part in this project.")
    secret = MARK + secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        token = ApiToken.objects.create(
            user=user,
            project=project,
            name=name,
            scopes=sorted(set(scopes)),
            digest=digest(secret),
            prefix=secret[:SHOWN],
            expires_at=expires_at,
        )
        audit.record("made a token", token, by=user, project=project, scopes=token.scopes)
    return token, secret


def digest(secret: str) -> str:
    """SHA-256, without salt or stretching: there are 256 bits to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_token(secret: str) -> ApiToken | None:
    """The token with this secret, if it holds; notes that it was used."""
    now = clock.now()
    found = ApiToken.objects.select_related("user", "project").filter(digest=digest(secret)).first()
    if found is None or not found.is_live or not found.user.is_active:
        return None
    if found.used_at is None or found.used_at < now - USE_NOTED:
        ApiToken.objects.filter(id=found.id).update(used_at=now)
    return found


@transaction.atomic
def revoke_token(token: ApiToken, *, by) -> None:
    """Have a token open nothing from now on."""
    revoked = ApiToken.objects.filter(id=token.id, revoked_at=None).update(revoked_at=clock.now())
    if revoked:
        audit.record("revoked a token", token, by=by, project=token.project)
