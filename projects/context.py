"""What every page knows of projects: base.html shows it in its head."""

from django.conf import settings
from django.http import HttpRequest

from projects.access import current, may, projects_of
from projects.roles import Role


def theirs(request: HttpRequest) -> dict:
    """their_projects: of who is signed in; project_now: the one they look at; may_make_studies:
    whether they are a researcher in it, or more. To others has_organisation: whether they can sign
    in through one."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"has_organisation": bool(settings.OIDC_ISSUER)}
    return {
        "their_projects": lambda: projects_of(user),
        "project_now": lambda: current(request),
        "may_make_studies": lambda: may(user, current(request), Role.RESEARCHER),
    }
