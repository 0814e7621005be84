"""Who may see and who may change what: every page, endpoint and command asks here."""

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest

from projects.models import Membership, Project
from projects.roles import Role

CURRENT = "project"  # the session's key of the one that is looked at


def projects_of(user, role: Role = Role.VIEWER) -> QuerySet[Project]:
    """The projects in which somebody has at least this role; all of an administrator's."""
    if isinstance(user, AnonymousUser) or not user.is_active:
        return Project.objects.none()
    if user.is_superuser:
        return Project.objects.all()
    held = Membership.objects.filter(user=user, role__in=role.or_more)
    return Project.objects.filter(id__in=held.values("project"))


def may(user, project: Project | None, role: Role) -> bool:
    """Whether somebody has at least this role in a project."""
    return project is not None and projects_of(user, role).filter(id=project.id).exists()


def require(user, project: Project, role: Role) -> None:
    """Raises Http404 to those who may not know of a project, PermissionDenied to those whose role
    in it is less."""
    if not may(user, project, Role.VIEWER):
        raise Http404
    if not may(user, project, role):
        raise PermissionDenied(f"This takes the role {role.value} in “{project}”.")


def current(request: HttpRequest, role: Role = Role.VIEWER) -> Project | None:
    """The project that somebody looks at: the one they chose, else the first of theirs; None for
    those who are in none.

    Raises PermissionDenied if their role in it is less than this one.
    """
    theirs = projects_of(request.user)
    chosen = theirs.filter(id=request.session.get(CURRENT, 0)).first() or theirs.first()
    if chosen and not may(request.user, chosen, role):
        raise PermissionDenied(f"This takes the role {role.value} in “{chosen}”.")
    return chosen


class NoSuchProject(LookupError):
    """No project has this name; the message lists those that there are."""


def find_project(name: str) -> Project:
    """The project of this name or slug. Raises NoSuchProject."""
    known = Project.objects.filter(Q(name=name) | Q(slug=name)).first()
    if known is None:
        names = ", ".join(Project.objects.values_list("name", flat=True)) or "none yet"
        raise NoSuchProject(f"{name!r} is no project here (there are: {names})")
    return known


def default_project() -> Project:
    """The project of what commands make without naming one: the oldest, which came with the
    installation unless it was deleted since."""
    known = Project.objects.order_by("id").first()
    defaults = {"name": "Lab", "trains_metric": True}
    return known or Project.objects.get_or_create(slug="lab", defaults=defaults)[0]
