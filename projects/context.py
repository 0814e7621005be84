"""What every page knows of projects: base.html shows it in its head."""

from django.http import HttpRequest

from projects.access import current, projects_of


def theirs(request: HttpRequest) -> dict:
    """projects: those of who is signed in; project_now: the one they look at."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {"their_projects": lambda: projects_of(user), "project_now": lambda: current(request)}
