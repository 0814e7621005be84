"""Who may see and who may change a study, and the metric."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from evaluation.models import Study
from projects.access import current, projects_of, require
from projects.roles import Role

__all__ = ["Role", "for_the_metric", "in_project", "may_metric", "require_metric", "study_of"]


def study_of(request: HttpRequest, slug: str, role: Role = Role.VIEWER) -> Study:
    """The study at this address, if who asks has at least this role in its project.

    Raises Http404 to those who may not know of it, PermissionDenied to those whose role is less.
    """
    studies = Study.objects.select_related("campaign", "pilot", "project")
    found = get_object_or_404(studies, slug=slug)
    require(request.user, found.project, role)
    return found


def may_metric(user, role: Role) -> bool:
    """The metric belongs to those whose projects' judgments train it."""
    return projects_of(user, role).filter(trains_metric=True).exists()


def require_metric(user, role: Role = Role.VIEWER) -> None:
    """Raises as study_of does."""
    if not may_metric(user, Role.VIEWER):
        raise Http404
    if not may_metric(user, role):
        raise PermissionDenied(
            f"This takes the role {role.value} in a project whose judgments train the metric."
        )


def for_the_metric(role: Role = Role.VIEWER) -> Callable:
    """A view of the metric, for those who are signed in and may (require_metric)."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @login_required
        @wraps(view)
        def checked(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            require_metric(request.user, role)
            return view(request, *args, **kwargs)

        return checked

    return decorate


def in_project(role: Role = Role.VIEWER) -> Callable:
    """A view of the project that somebody looks at, which it is given, for those with this role in
    it. Who is in none is led to where they can be."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @login_required
        @wraps(view)
        def checked(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            project = current(request, role)
            return view(request, project, *args, **kwargs) if project else redirect("projects")

        return checked

    return decorate
