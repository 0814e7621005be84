"""What every page knows of projects: base.html shows it in its head."""

from functools import cache

from django.conf import settings
from django.http import HttpRequest

from projects.access import current, projects_of


def theirs(request: HttpRequest) -> dict:
    """their_projects: of who is signed in; project_now: the one they look at. To others
    has_organisation: whether they can sign in through one."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"has_organisation": bool(settings.OIDC_ISSUER)}
    return {
        "their_projects": lambda: projects_of(user),
        "project_now": cache(lambda: current(request)),
    }
